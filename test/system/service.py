# SPDX-License-Identifier: Apache-2.0
"""A sluiced of a test's own and what stands around it: sluicegen, checker, mock broker, topic reader, registry double."""
import contextlib
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import confluent_kafka
import fastavro
import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("SLUICE_BUILD", "build"))
PYTHON = sys.executable

# Times as the numbers that are in the file.
for logical in ("long-timestamp-millis", "long-timestamp-micros", "int-date"):
    fastavro.read.LOGICAL_READERS.pop(logical, None)


def wait_for(what, seconds=20, every=0.05):
    """The first true answer of what(), or None."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = what()
        if answer:
            return answer
        time.sleep(every)
    return None


class Sluiced:
    """A running service with a folder, a port and a control socket of its own; within is put before its command."""

    def __init__(self, folder, sinks, options=(), conf=None, within=()):
        self.folder = folder
        self.socket = os.path.join(folder, "sluice.sock")
        self.log_path = os.path.join(folder, "sluiced.log")
        self.command = [*within, os.path.join(BUILD, "sluiced"), "-c", conf or os.path.join(ROOT, "etc", "sluice.conf")]
        defaults = {"state": os.path.join(folder, "state"), "control.socket": self.socket, "workers": "1",
                    "listen": '({ transport = "udp"; address = "127.0.0.1"; port = 0; })', "sinks": sinks}
        defaults.update(o.split("=", 1) if "=" in o else (o, None) for o in options)
        for key, value in defaults.items():
            if value is None:  # the file says it
                continue
            self.command += ["-o", f"{key}={value}"]
        with open(self.log_path, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.command, stderr=log, stdout=log, cwd=ROOT)
        status = wait_for(lambda: self.process.poll() is not None or self.try_ctl("status").get("ok"))
        if not status or self.process.poll() is not None:
            self.kill()
            raise AssertionError("sluiced did not start:\n" + self.log())
        self.port = self.ctl("status")["listen"][0]["port"]

    def log(self):
        with open(self.log_path, encoding="utf-8") as log:
            return log.read()

    def try_ctl(self, *words):
        done = subprocess.run([os.path.join(BUILD, "sluicectl"), "-s", self.socket, "--json", *words],
                              capture_output=True, text=True, timeout=60, check=False)
        try:
            return json.loads(done.stdout)
        except ValueError:
            return {}

    def ctl(self, *words):
        answer = self.try_ctl(*words)
        assert answer, f"no answer to {words}:\n{self.log()}"
        return answer

    def counter(self, name, reason=""):
        return sum(c["value"] for c in self.ctl("counters")["counters"] if c["name"] == name and (not reason or c["reason"] == reason))

    def settle(self, name="flows", quiet_s=0.5, seconds=30):
        """Waits until a counter stands still; returns it."""
        last, since, end = -1, time.monotonic(), time.monotonic() + seconds
        while time.monotonic() < end:
            now = self.counter(name)
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > quiet_s:
                break
            time.sleep(0.05)
        return last

    def drain(self):
        assert self.ctl("drain").get("drained"), self.log()

    def ledger(self):
        answer = self.ctl("ledger")
        wrong = [line for line in answer["lines"] if line["difference"] != 0]
        assert answer["ok"] and not wrong, wrong
        for line in answer["lines"]:
            assert sum(line["left"].values()) - sum(line["right"].values()) == line["difference"]
        return {line["name"]: line for line in answer["lines"]}

    def stop(self, code=0):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=60) == code, self.log()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class MockBroker:
    """librdkafka's mock cluster in a process of its own."""

    def __init__(self, *topics):
        words = [w for t in topics for w in ("-t", t)]
        self.process = subprocess.Popen([os.path.join(BUILD, "mock_broker"), *words], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.bootstrap = self.process.stdout.readline().split()[1]

    def say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer == "ok", f"{command}: {answer}"

    def close(self):
        self.process.kill()
        self.process.wait()


class Registry:
    """The registry double, over HTTP."""

    def __init__(self, port=0):
        self.process = subprocess.Popen([PYTHON, os.path.join(ROOT, "test/system/registry_double.py"), "--port", str(port)],
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().split()[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def mode(self, mode):
        request = urllib.request.Request(self.url + "/_mode", json.dumps({"mode": mode}).encode(), method="PUT")
        urllib.request.urlopen(request, timeout=10).read()

    def requests(self):
        return json.load(urllib.request.urlopen(self.url + "/_requests", timeout=10))

    def close(self):
        self.process.kill()
        self.process.wait()


def forget_ends(folder):
    """Takes away what a killed service left in shared memory: where its logs end (sink/log_live.h), which sets wait (daemon/marks.h)."""
    with contextlib.suppress(FileNotFoundError):
        at = os.stat(os.path.join(folder, "state"))
        os.unlink(f"/dev/shm/sluice-held-{at.st_dev:x}-{at.st_ino:x}")
    for path in glob.glob(os.path.join(folder, "**", "format"), recursive=True):
        with open(path, encoding="latin-1") as f:
            words = f.read().split()
        at = os.stat(os.path.dirname(path))
        if len(words) == 4:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"/dev/shm/sluice-{words[2]}-{at.st_dev:x}-{at.st_ino:x}")


@pytest.fixture
def folder():
    path = tempfile.mkdtemp(prefix="sluice-test-")
    yield path
    forget_ends(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def start(folder):
    """Starts services; what is still running at the end of the test is ended."""
    with contextlib.ExitStack() as stack:
        def run(what, *args, **kwargs):
            if what is Sluiced:
                args = (folder, *args)
            thing = what(*args, **kwargs)
            stack.callback(thing.kill if what is Sluiced else thing.close)
            return thing
        yield run


def files_sink(folder, **options):
    extra = "".join(f" {k} = {json.dumps(v)};" for k, v in options.items())
    return f'({{ name = "files"; type = "file"; path = "{folder}/flows";{extra} }})'


def read_flows(folder):
    """All records of the completed containers below the folder, by fastavro."""
    flows = []
    for path in sorted(glob.glob(os.path.join(folder, "flows", "**", "*.avro"), recursive=True)):
        with open(path, "rb") as f:
            flows += list(fastavro.reader(f))
    return flows


def sluicegen(*words, cwd=ROOT):
    """Runs it to the end; its account as an object."""
    done = subprocess.run([os.path.join(BUILD, "sluicegen"), "--json", *map(str, words)], capture_output=True, text=True,
                          timeout=300, check=True, cwd=cwd)
    return json.loads(done.stdout)


def check(run, *words):
    """The checker over what was delivered; its exit code and what it said."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        json.dump(run, f)
        f.flush()
        done = subprocess.run([PYTHON, os.path.join(ROOT, "test/gen/check.py"), "--run", f.name, *map(str, words)],
                              capture_output=True, text=True, timeout=600, check=False)
    return done.returncode, done.stdout + done.stderr


def kafka_sink(broker, registry, topic="flows"):
    return (f'{{ name = "bus"; type = "kafka"; topic = "{topic}"; brokers = "{broker.bootstrap}"; '
            f'registry: {{ url = "{registry.url}"; }}; }}')


class Collecting(threading.Thread):
    """Reads a topic while it fills: the mock keeps only a few MiB."""

    def __init__(self, bootstrap, topic, folder):
        super().__init__(daemon=True)
        self.path = os.path.join(folder, "topic.bin")
        self.count, self.stopping, self.keys = 0, False, set()
        self.consumer = confluent_kafka.Consumer({"bootstrap.servers": bootstrap, "group.id": "t", "enable.auto.commit": False,
                                                  "auto.offset.reset": "earliest", "fetch.wait.max.ms": 20, "log_level": 0})
        partitions = wait_for(lambda: list(self.consumer.list_topics(topic, timeout=5).topics[topic].partitions))
        self.consumer.assign([confluent_kafka.TopicPartition(topic, p, 0) for p in partitions])
        self.start()

    def run(self):
        with open(self.path, "wb") as f:
            while not self.stopping:
                for m in self.consumer.consume(1000, timeout=0.2):
                    if m.error() is None:
                        value = m.value()
                        f.write(len(value).to_bytes(4, "big") + value)
                        self.keys.add(m.key())
                        self.count += 1

    def stop(self):
        self.stopping = True
        self.join()
        self.consumer.close()
        with open(self.path, "rb") as f:
            data = f.read()
        at, values = 0, []
        while at < len(data):
            n = int.from_bytes(data[at:at + 4], "big")
            values.append(data[at + 4:at + 4 + n])
            at += 4 + n
        return values


def container_of(values, schema, path):
    """The topic's values as a container, for the checker: the same octets, another envelope."""
    ids = {v[1:5] for v in values}
    assert all(v[0] == 0 for v in values) and len(ids) == 1
    head = b"Obj\x01" + b"\x04" + b"\x16avro.schema" + varint(len(schema)) + schema + b"\x14avro.codec\x08null" + b"\0" + b"s" * 16
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(head)
        for i in range(0, len(values), 1000):
            block = b"".join(v[5:] for v in values[i:i + 1000])
            f.write(varint(len(values[i:i + 1000])) + varint(len(block)) + block + b"s" * 16)


def varint(v):
    v = v << 1
    out = bytearray()
    while v > 127:
        out.append(v & 127 | 128)
        v >>= 7
    out.append(v)
    return bytes(out)
