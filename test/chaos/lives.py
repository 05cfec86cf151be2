# SPDX-License-Identifier: Apache-2.0
"""One service over many lives: the same folder, state, port and sinks; and what its accounts say."""
import contextlib
import os
import random
import shutil
import signal
import subprocess
import time

from letters import Undecoded
from oracle import Exporter, dead_letters, ranges, refused_numbers, topic_as_files, verdict
from service import ROOT, Collecting, MockBroker, Sluiced, files_sink, wait_for

# What the log promises: `group`, but another mode can be asked for to see what the tests say of it.
SYNC = os.environ.get("SLUICE_CHAOS_SYNC", "group")
SEED = int(os.environ.get("SLUICE_CHAOS_SEED", str(int(time.time()))))
RECOVERY_S = 30
MODEST = 5000  # flows a second where an outage takes long: each flow has to be read again, 60 us each
# A frame is sealed after 100 ms and synced 100 ms later at most; the rest is for the disk and a busy machine.
SYNC_WINDOW_S = 0.5
CURSOR_S = 2.5  # cursors are written once a second
BATCH_FLOWS = 64 * 30  # what a worker holds between a socket and the log: collector.batch messages of v5
# Sinks' terms of the ledger that say that nobody has a record any more; dead letters are read like what was delivered.
SINK_LOSSES = ("evicted", "corrupt", "lost_unsynced", "abandoned")
DEAD = "dead letter sink dead"


def free_port():
    """Below the ports that the kernel gives away by itself: nobody else takes it between two lives."""
    taken = {int(line.split()[1].split(":")[1], 16) for line in open("/proc/net/udp", encoding="ascii").readlines()[1:]}
    return random.SystemRandom().choice([p for p in range(20000, 30000) if p not in taken])


def socket_queues(port):
    """Octets that wait in the kernel for the service."""
    queues = 0
    with open("/proc/net/udp", encoding="ascii") as f:
        for line in f.readlines()[1:]:
            words = line.split()
            if int(words[1].split(":")[1], 16) == port:
                queues += int(words[4].split(":")[1], 16)
    return queues


def kafka_sink(broker, **options):
    # No key: the mock keeps 5 MiB of a partition, and there are fewer exporters than partitions.
    extra = "".join(f" {k} = {v};" for k, v in {"key": '"none"', **options}.items())
    return f'{{ name = "bus"; type = "kafka"; topic = "flows"; brokers = "{broker.bootstrap}"; schema_id = 7;{extra} }}'


class Lives:
    """start() begins a life, kill() and stop() end it; the accounts of lives that were killed are taken just before."""

    def __init__(self, folder, sinks, options=(), within=(), flows_dir=None):
        self.folder, self.sinks, self.options, self.within = folder, sinks, dict(options), list(within)
        self.flows_dir = flows_dir or os.path.join(folder, "flows")
        self.letters_dir = os.path.join(folder, "letters")
        self.port = free_port()
        self.service = None
        self.dropped = 0  # of earlier lives
        # By sink, when it was last drained.
        self.delivered_in_all, self.refused_in_all, self.letters_in_all = {}, {}, 0
        self.life = 0

    def start(self, workers=1, within=(), **options):
        dead = f'({{ name = "dead"; type = "file"; path = "{self.letters_dir}"; codec = "null"; rotate_s = 1; }})'
        said = {"log.sync": f'"{SYNC}"', "workers": str(workers), "normalizer.enrich": "[]", "dead_letter.sinks": dead,
                "collector.hold_s": "0",  # what cannot be decoded is a letter at once
                **self.options, **options,
                "listen": f'({{ transport = "udp"; address = "127.0.0.1"; port = {self.port}; }})'}
        self.life += 1
        self.service = Sluiced(self.folder, self.sinks, [f"{k}={v}" for k, v in said.items()], within=[*self.within, *within])
        return self.service

    def kill(self):
        """SIGKILL; returns (moment before, octets in the kernel's queue)."""
        before, queue = time.monotonic(), socket_queues(self.port)
        self.service.kill()
        return before, queue

    def stop(self):
        """SIGTERM; returns the moment before."""
        self.dropped += self.drops()
        before = time.monotonic()
        self.service.stop()
        self.service = None
        return before

    def close(self):
        if self.service is not None:
            self.service.kill()

    # Accounts.

    def drops(self):
        """Flows that this life lost before the log, all reasons."""
        return self.service.counter("flows_dropped")

    def sink_lines(self):
        return {k.removeprefix("sink "): v for k, v in self.ledger().items() if k.startswith("sink ")}

    def ledger(self, seconds=5):
        """Running, the sides may differ by what is in flight; they come together."""
        wait_for(lambda: not any(line["difference"] for line in self.service.ctl("ledger")["lines"]), seconds)
        return self.service.ledger()

    def sink_losses(self, sink):
        right = self.sink_lines()[sink]["right"]
        return sum(right.get(k, 0) for k in SINK_LOSSES)

    def lost_unsynced(self, sink):
        """Of all lives."""
        return self.sink_lines()[sink]["right"]["lost_unsynced"]

    def letters_lost(self):
        """Under any reason."""
        right = self.ledger()[DEAD]["right"]
        return sum(right[k] for k in SINK_LOSSES)

    def delivered(self):
        return {s["name"]: s["delivered"] for s in self.service.ctl("sinks")["sinks"]}

    def idle(self, seconds=10):
        """Nothing waits in the kernel, and the worker has taken what it had."""
        assert wait_for(lambda: socket_queues(self.port) == 0, seconds, 0.001)
        self.service.settle(quiet_s=0.1, seconds=seconds)

    def queue_empty(self, seconds=10):
        assert wait_for(lambda: socket_queues(self.port) == 0, seconds, 0.0005)

    def drain(self):
        """Everything is with every sink, dead letters too; the ledger balances to the last record."""
        self.idle()
        self.service.drain()
        ledger = self.ledger()
        lines = {k.removeprefix("sink "): v for k, v in ledger.items() if k.startswith("sink ")}
        assert all(line["right"]["pending"] == 0 for line in [*lines.values(), ledger[DEAD]]), ledger
        assert ledger["dead letter"]["right"]["dropped"] == 0, ledger["dead letter"]
        self.delivered_in_all = {name: line["right"]["delivered"] for name, line in lines.items()}
        self.refused_in_all = {name: line["right"]["dead_letter"] for name, line in lines.items()}
        self.letters_in_all = ledger[DEAD]["right"]["delivered"]
        return lines

    def flows_again(self, exporter, seconds=RECOVERY_S):
        """New records come to every sink again within 30 s; returns how long it took."""
        began = time.monotonic()
        at = self.delivered()
        exporter.resume()
        done = wait_for(lambda: all(v > at[k] + 500 for k, v in self.delivered().items()), seconds, 0.1)
        exporter.pause()
        assert done, f"no new records for {seconds} s: {at} {self.delivered()}\n{self.service.log()}"
        return time.monotonic() - began

    def is_well(self):
        """Did no worker wait?  The kernel drops nothing when sockets are read in time."""
        assert self.service.ctl("status")["kernel_drops"] == 0


class Disk:
    """A small file system in a mount namespace that a sleeping process keeps; the service runs in there."""

    def __init__(self, mountpoint, options):
        os.makedirs(mountpoint, exist_ok=True)
        self.mountpoint = mountpoint
        script = 'mount -t tmpfs -o "$1" chaos "$2" && echo ok && exec sleep 3600'
        self.holder = subprocess.Popen(["unshare", "-m", "sh", "-c", script, "sh", options, mountpoint],
                                       stdout=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "ok\n":
            self.close()
            raise AssertionError("no mount namespace or no mount in it: the chaos tier needs root")

    def within(self):
        return ["nsenter", "-m", "-t", str(self.holder.pid), "env", f"--chdir={ROOT}"]

    def path(self, name):
        """As it is seen from here."""
        return f"/proc/{self.holder.pid}/root{self.mountpoint}/{name}"

    def fill(self):
        """To the last octet."""
        block = bytes(1 << 16)
        fd = os.open(self.path("filler"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for size in (len(block), 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(fd, block[:size])
        os.close(fd)

    def use_inodes(self):
        os.makedirs(self.path("many"), exist_ok=True)
        with contextlib.suppress(OSError):
            for i in range(100000):
                with open(self.path(f"many/{i}"), "w", encoding="ascii"):
                    pass

    def free(self):
        shutil.rmtree(self.path("many"), ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path("filler"))

    def close(self):
        self.holder.kill()
        self.holder.wait()


class World:
    """What most tests begin with: an exporter, one service with a file sink, and with a Kafka sink if wanted."""

    def __init__(self, stack, folder, with_kafka=False, rate=MODEST, exporters=4, sink=None, kafka=None, files=True,
                 bad_every=0, through=None, **lives):
        self.folder, self.stack = folder, stack
        self.broker = self.between = self.reader = None
        sinks = [files_sink(folder, **{"codec": "null", "rotate_s": 1, **(sink or {})})[1:-1]] if files else []
        if with_kafka:
            self.broker = MockBroker("flows:64")
            stack.callback(self.broker.close)
            self.reader = Collecting(self.broker.bootstrap, "flows", folder)
            stack.callback(self.reader_stop)
            if through is not None:
                self.between = through(self.broker)
                stack.callback(self.between.close)
            sinks.append(kafka_sink(self.between or self.broker, **(kafka or {})))
        self.has_files = files
        self.lives = Lives(folder, f"({', '.join(sinks)})", **lives)
        stack.callback(self.lives.close)
        self.exporter = Exporter(folder, self.lives.port, rate, exporters, bad_every=bad_every)
        stack.callback(self.exporter.close)
        self.values = self.undecoded = None
        print(f"seed {SEED}")

    def reader_stop(self):
        if self.values is None:
            self.values = self.reader.stop()

    def verdicts(self):
        """By sink, over everything that was delivered or became a dead letter; self.undecoded is that of what nobody could
        decode."""
        run, sent = self.exporter.run_words(), self.exporter.numbers()
        out = {}
        if self.has_files:
            out["files"] = verdict(run, sent, self.lives.flows_dir)
        if self.reader is not None:
            # A consumer takes its time to come back to a broker that was away.
            wait_for(lambda: self.reader.count >= self.lives.delivered_in_all.get("bus", 0), 30)
            wait_until_still(lambda: self.reader.count)
            self.reader_stop()
            assert self.values, "nothing came to the topic"
            out["bus"] = verdict(run, sent, topic_as_files(self.values, os.path.join(self.folder, "topic")))
        self.read_letters(run, out)
        for name, v in out.items():
            print(f"{name}: delivered {v.delivered}, refused {len(v.buried)}, missing {len(v.missing)}, "
                  f"doubled {len(v.doubles)} of {len(sent)}")
        return out

    def read_letters(self, run, verdicts):
        """Nothing is in them but what was sent to come there and what sinks say that they refused, and it was counted."""
        letters = dead_letters(self.lives.letters_dir)
        assert letters.count == self.lives.letters_in_all, f"{letters.count} letters, {self.lives.letters_in_all} counted"
        assert letters.refused.keys() <= verdicts.keys()
        for name, v in verdicts.items():
            v.bury(refused_numbers(run, letters, name, os.path.join(self.folder, "refused")))
            assert len(v.buried) == self.lives.refused_in_all[name], (
                f"{name}: {len(v.buried)} letters, {self.lives.refused_in_all[name]} counted")
        self.undecoded = Undecoded(self.exporter.bad_numbers(), letters.found)


def wait_until_still(what, quiet_s=1.0, seconds=30):
    last, since, end = what(), time.monotonic(), time.monotonic() + seconds
    while time.monotonic() < end and time.monotonic() - since < quiet_s:
        time.sleep(0.05)
        if what() != last:
            last, since = what(), time.monotonic()


def assert_none_missing(v, but=frozenset()):
    missing = v.missing - but
    assert not missing, f"{len(missing)} missing: {ranges(missing)}"


@contextlib.contextmanager
def frozen(broker):
    broker.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        broker.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def away(broker):
    """Its ports are closed and its connections gone; what it has it keeps."""
    broker.say("down 0")
    try:
        yield
    finally:
        broker.say("up 0")
