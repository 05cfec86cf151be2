# SPDX-License-Identifier: Apache-2.0
"""Around a running service: good exporters whose flows are known to the octet, hostile ones, and what each message costs."""
import collections
import glob
import os
import socket
import statistics
import threading
import time

import fastavro
import wire
from service import wait_for

GOOD_FLOW = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (1, 8), (2, 4)]
RECORDS = 4  # of a good message
TICK_S = 0.005  # each good exporter sends a message so often
REFRESH = 50  # messages of a good exporter from template to template
SETTLE_BYTES = 400000  # unread at once: far below any receive buffer of the tests


def worker_of(address, workers):
    """The worker that the address is steered to: MurmurHash3's finalizer (collector/udp_steer.c)."""
    h = int.from_bytes(socket.inet_aton(address), "big")
    h = (h ^ h >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return (h ^ h >> 16) % workers


def addresses(net, worker=None, workers=2):
    """Addresses of 127.net.0.0/16, all or those of one worker."""
    for n in range(1, 65535):
        address = f"127.{net}.{n >> 8}.{n & 255}"
        if worker is None or worker_of(address, workers) == worker:
            yield address


def udp(address, port=0, shared=False):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    if shared:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind((address, port))
    return s


class GoodExporter:
    """Sends records of which each has octets of its own: 0, 1, 2, ..."""

    def __init__(self, address, worker, version, to):
        self.address, self.worker, self.version, self.to = address, worker, version, to
        self.socket = udp(address, shared=True)
        self.port = self.socket.getsockname()[1]
        self.messages, self.records, self.sequence = 0, 0, 0

    def send(self):
        body = b"".join(b"\x0a\0\0\1\xc0\0\2\1\x9c\x40\1\xbb\6" + n.to_bytes(8, "big") + b"\0\0\0\1"
                        for n in range(self.records, self.records + RECORDS))
        with_template = self.messages % REFRESH == 0
        if self.version == 9:
            sets = [wire.v9_define(400, GOOD_FLOW)] if with_template else []
            message = wire.v9(*sets, wire.a_set(400, body), count=RECORDS + len(sets), seq=self.messages, source=7)
        else:
            sets = [wire.define(400, GOOD_FLOW)] if with_template else []
            message = wire.ipfix(*sets, wire.a_set(400, body), seq=self.records, domain=7)
        self.socket.sendto(message, self.to)
        self.messages += 1
        self.records += RECORDS


class Good(threading.Thread):
    """All good exporters, at a steady rate until paused."""

    def __init__(self, port, workers):
        super().__init__(daemon=True)
        self.exporters = []
        for worker in range(workers):
            found = addresses(60, worker, workers)
            self.exporters += [GoodExporter(next(found), worker, version, ("127.0.0.1", port)) for version in (9, 10)]
        self.lock, self.ending = threading.Lock(), threading.Event()
        self.start()

    def run(self):
        while not self.ending.wait(TICK_S):
            with self.lock:
                for e in self.exporters:
                    e.send()

    def paused(self):
        """A context in which none of them sends."""
        return self.lock

    def close(self):
        if self.ending.is_set():
            return
        self.ending.set()
        self.join()
        for e in self.exporters:
            e.socket.close()


def good_options(workers):
    """The option `exporters` that names those that Good will be."""
    names = []
    for worker in range(workers):
        found = addresses(60, worker, workers)
        names += [next(found), next(found)]
    return "exporters=(" + ", ".join(f'{{ address = "{a}"; name = "good-{i}"; }}' for i, a in enumerate(names)) + ")"


class Workers:
    """CPU time of the service's worker threads, as the scheduler counts it."""

    def __init__(self, pid, port):
        self.inodes_port = f":{port:04X}"
        self.tasks = []
        for task in glob.glob(f"/proc/{pid}/task/*"):
            with open(task + "/comm", encoding="ascii") as f:
                if f.read().startswith("worker-"):
                    self.tasks.append(task)

    def cpu_ns(self):
        total = 0
        for task in self.tasks:
            with open(task + "/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
        return total

    def is_asleep(self):
        for task in self.tasks:
            with open(task + "/stat", encoding="ascii") as f:
                if f.read().rsplit(")", 1)[1].split()[0] != "S":
                    return False
        return self.unread() == 0

    def unread(self):
        """Octets in the receive queues of the listener's sockets."""
        with open("/proc/net/udp", encoding="ascii") as f:
            return sum(int(line.split()[4].split(":")[1], 16) for line in f if line.split()[1].endswith(self.inodes_port))

    def rest(self, seconds=60):
        """Waits until all that was sent is read and worked off."""
        quiet, end = 0, time.monotonic() + seconds
        while quiet < 3:
            quiet = quiet + 1 if self.is_asleep() else 0
            assert time.monotonic() < end, "the workers do not come to rest"
            time.sleep(0.0005)


SHOWN = ("withdrawals_ignored", "templates_flapped", "sequence_restarts", "sessions_evicted", "held")


def reasons_of(grown):
    """What grew, for the table: rows with a reason, and what else says that something was odd."""
    found = [f"{name}/{reason} {n}" if reason else f"{name} {n}" for (name, reason), n in sorted(grown.items())
             if n > 0 and (name in SHOWN if not reason else not name.startswith("dead_letters"))]
    return ", ".join(found) or "-"


class Rig:
    """A service, its good exporters, and hostile sources one after the other."""

    def __init__(self, service, workers):
        self.service, self.good = service, Good(service.port, workers)
        self.workers = Workers(service.process.pid, service.port)
        self.sources = addresses(70)
        self.read, self.octets = set(), collections.defaultdict(list)
        wait_for(lambda: service.counter("records_flow") > 0)

    def close(self):
        self.good.close()

    def source(self):
        return udp(next(self.sources))

    def send(self, sock, message):
        sock.sendto(message, ("127.0.0.1", self.service.port))

    def attack(self, messages, sources=3):
        """All messages from each of the sources in turn, while good exporters go on."""
        for _ in range(sources):
            sock, pending = self.source(), 0
            for m in messages:
                self.send(sock, m)
                pending += len(m) + 1000
                if pending > SETTLE_BYTES:
                    pending = 0
                    wait_for(lambda: self.workers.unread() < SETTLE_BYTES // 4, seconds=60, every=0.001)
            sock.close()
        return sources * len(messages)

    def cost_us(self, messages, repeats=3, of=statistics.median):
        """CPU of the most expensive of the messages, each by the median of several sources, or what `of` makes of them."""
        costs = [[] for _ in messages]
        with self.good.paused():
            for _ in range(repeats):
                sock = self.source()
                self.workers.rest()
                for cost, m in zip(costs, messages):
                    before = self.workers.cpu_ns()
                    self.send(sock, m)
                    self.workers.rest()
                    cost.append((self.workers.cpu_ns() - before) / 1000)
                sock.close()
        return max(of(c) for c in costs)

    def counters(self):
        sums = collections.Counter()
        for c in self.service.ctl("counters")["counters"]:
            sums[c["name"], c["reason"] or ""] += c["value"]
        sums["held", ""] = (sums["data_sets_held_now", ""] + sums["data_sets_held_decoded", ""] +
                            sum(n for (name, _), n in sums.items() if name == "data_sets_dropped"))
        return sums

    def snapshot(self):
        """Counters when nobody sends, without what the good exporters caused."""
        with self.good.paused():
            self.workers.rest()
            sums = self.counters()
            for e in self.good.exporters:
                sums["units_udp", ""] -= e.messages
                for name in ("records", "records_flow"):
                    sums[name, ""] -= e.records
        return sums

    def wait_refresh(self):
        """Until each good exporter has sent its template once more."""
        marks = [e.messages + REFRESH + 1 for e in self.good.exporters]
        assert wait_for(lambda: all(e.messages >= n for e, n in zip(self.good.exporters, marks)))

    def rss_kib(self):
        with open(f"/proc/{self.service.process.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("RssAnon"))

    def settle(self, exact_workers=()):
        """All is read, the ledger's lines are equal, and every good flow is in the sink, but for what the kernel dropped and
        counted; of these workers, every one.  Answers the kernel's drops."""
        assert self.service.process.poll() is None, self.service.log()
        with self.good.paused():
            self.workers.rest()
            self.service.ledger()
            drops = self.service.counter("kernel_drops")
            self.service.drain()
            self.collect()
            for e in self.good.exporters:
                found = sorted(self.octets[e.address])
                missing = e.records - len(found)
                most = 0 if e.worker in exact_workers else REFRESH * RECORDS * drops
                assert 0 <= missing <= most, (e.address, e.records, len(found), drops)
                assert missing or found == list(range(e.records)), (e.address, "not the flows that were sent")
                assert sum(found) == e.records * (e.records - 1) // 2 or missing
        self.service.ledger()
        assert self.service.process.poll() is None, self.service.log()
        return drops

    def collect(self):
        """Flows of the good exporters that are new in the sink, which has a folder for each exporter, or none."""
        good = {e.address for e in self.good.exporters}
        for path in glob.glob(os.path.join(self.service.folder, "flows", "good-*", "*.avro")) + glob.glob(
                os.path.join(self.service.folder, "flows", "*.avro")):
            if path in self.read:
                continue
            self.read.add(path)
            with open(path, "rb") as f:
                for r in fastavro.reader(f):
                    if r["normalized"]["exporter_ip"] in good:
                        self.octets[r["normalized"]["exporter_ip"]].append(r["normalized"]["bytes"])
