# SPDX-License-Identifier: Apache-2.0
"""An exporter that knows when it sent which flow, and a verdict over everything that was delivered.

Exporter sends flows of sluicegen at a steady rate for as long as it is asked to, over all lives of a service, and keeps
the moment of each message.  So a test can tell what was sent while no socket was there from what was lost.
verdict() compares all that came out with what flow number n must look like (test/gen/expect.py).  Among the flows it sends
what nobody can decode, when it is asked to (letters.py).

NetFlow v5: it needs no template, so that a restarted service reads the first message that it gets.
"""
import bisect
import concurrent.futures
import functools
import glob
import multiprocessing
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from array import array

import pyarrow
import pyarrow.parquet

from letters import Letters, undecodable
from service import BUILD, ROOT, container_of

sys.path.insert(0, os.path.join(ROOT, "test", "gen"))
import check as checker  # noqa: E402
import expect  # noqa: E402

RATE = 22000  # asked; a busy machine sends a little less
EXPORTERS = 4
PIECE_FLOWS = 120000
BASE = "127.0.1.1"
V5_HEAD, V5_RECORD = 24, 48
FRAME_HEAD = 42  # Ethernet, IPv4, UDP: as sluicegen writes them
TICK_S = 0.002
TOPIC_FILE_VALUES = 20000


class Message:
    """A v5 message of the capture: its exporter, its octets and the numbers of its flows."""
    __slots__ = ("exporter", "octets", "numbers")

    def __init__(self, frame, base):
        self.exporter = struct.unpack_from(">I", frame, 26)[0] - base
        self.octets = frame[FRAME_HEAD:]
        count = struct.unpack_from(">H", self.octets, 2)[0]
        at = range(V5_HEAD, V5_HEAD + count * V5_RECORD, V5_RECORD)
        # Up to 2^24 flows the number stands in the source address (gen_value.h).
        self.numbers = [struct.unpack_from(">I", self.octets, a)[0] & 0xffffff for a in at]


def read_capture(path, base):
    with open(path, "rb") as f:
        data = f.read()
    at, messages = 24, []
    while at < len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        messages.append(Message(data[at + 16:at + 16 + length], base))
        at += 16 + length
    return messages


class Exporter:
    """Sends from a thread of its own between resume() and pause(); close() ends it.

    Behind each bad_every messages of flows one that cannot be decoded; 0: none."""

    def __init__(self, folder, port, rate, exporters=EXPORTERS, seed=1, bad_every=0):
        self.folder, self.port, self.rate, self.exporters, self.seed = folder, port, rate, exporters, seed
        self.time = int(time.time())
        self.base = expect.ipv4_number(BASE)
        self.messages, self.sent_at, self.made = [], [], 0
        self.flows = 0  # sent
        self.bad_every, self.bad_sent_at = bad_every, []
        self.active_s = 0.0  # spent sending
        self.lock, self.running, self.closed = threading.Condition(), False, False
        self.make()
        self.sockets = []
        for k in range(exporters):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind((expect.ipv4(self.base + k), 0))
            self.sockets.append(s)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def make(self):
        """The next flows as a capture: sluicegen is the only one who knows what they look like."""
        path = os.path.join(self.folder, "piece.pcap")
        subprocess.run([os.path.join(BUILD, "sluicegen"), "--json", "-P", "v5", "-e", str(self.exporters), "-b", BASE,
                        "-f", str(self.made), "-n", str(PIECE_FLOWS), "-r", "0", "-s", str(self.seed),
                        "--time", str(self.time), "-w", path], stdout=subprocess.DEVNULL, check=True, timeout=60)
        self.messages += read_capture(path, self.base)
        self.made += PIECE_FLOWS
        os.unlink(path)

    def run(self):
        while True:
            with self.lock:
                self.lock.wait_for(lambda: self.running or self.closed)
                if self.closed:
                    return
                started, before = time.monotonic(), self.flows
                while self.running and not self.closed:
                    self.burst(before + int((time.monotonic() - started) * self.rate))
                    self.lock.wait(TICK_S)
                self.active_s += time.monotonic() - started

    def burst(self, due):
        while self.flows < due:
            if len(self.sent_at) == len(self.messages):
                self.make()
            m = self.messages[len(self.sent_at)]
            self.sockets[m.exporter].sendto(m.octets, ("127.0.0.1", self.port))
            self.sent_at.append(time.monotonic())
            self.flows += len(m.numbers)
            if self.bad_every and len(self.sent_at) % self.bad_every == 0:
                self.sockets[m.exporter].sendto(undecodable(len(self.bad_sent_at)), ("127.0.0.1", self.port))
                self.bad_sent_at.append(time.monotonic())

    def resume(self):
        with self.lock:
            self.running = True
            self.lock.notify_all()

    def pause(self):
        with self.lock:
            self.running = False
            self.lock.notify_all()

    def send_for(self, seconds):
        self.resume()
        time.sleep(seconds)
        self.pause()

    def close(self):
        with self.lock:
            self.closed = True
            self.lock.notify_all()
        self.thread.join()
        for s in self.sockets:
            s.close()

    def rate_was(self):
        """Flows a second over all the time that it was to send."""
        return self.flows / self.active_s if self.active_s else 0.0

    def numbers(self, since=0.0, until=float("inf")):
        """Numbers sent from one moment to another, as a set."""
        first, end = bisect.bisect_left(self.sent_at, since), bisect.bisect_left(self.sent_at, until)
        return {n for m in self.messages[first:end] for n in m.numbers}

    def bad_numbers(self, since=0.0, until=float("inf")):
        """The same of what cannot be decoded."""
        return set(range(bisect.bisect_left(self.bad_sent_at, since), bisect.bisect_left(self.bad_sent_at, until)))

    def run_words(self):
        """What the checker needs to know, as expect.Run takes it; flows that were made and not sent are among them."""
        return ("v5", "fixed", self.made, self.exporters, self.seed, self.time, BASE)


class Part(checker.Check):
    """What one process finds in its part of the files; which number came is kept for the whole."""

    def __init__(self, run):
        super().__init__(run, None)
        self.came, self.keys = array("Q"), array("Q")

    def mark(self, n, index, record):
        self.came.append(n)
        self.keys.append(int.from_bytes(record["record_id"][:8], "big"))


def files_below(root):
    return checker.files_under(root) + glob.glob(os.path.join(root, "**", "*.parquet"), recursive=True)


def parquet_records(path, names):
    """Rows of a Parquet file of the flat layout in the shape of Avro's records, times as numbers."""
    with pyarrow.parquet.ParquetFile(path) as f:
        columns = [name for name in f.schema_arrow.names if name in names]
        for batch in f.iter_batches(10000, columns=["record_id", "raw", *columns]):
            plain = [batch[c].cast(pyarrow.int64()) if pyarrow.types.is_timestamp(batch[c].type) else batch[c] for c in columns]
            rows = zip(*(column.to_pylist() for column in plain))
            for record_id, raw, row in zip(batch["record_id"].to_pylist(), batch["raw"].to_pylist(), rows):
                yield {"record_id": record_id, "raw": {**raw, "elements": dict(raw["elements"])}, "normalized": dict(zip(columns, row))}


def records_of(path, names):
    return parquet_records(path, names) if path.endswith(".parquet") else checker.read_files(path, names)


def read_part(run_words, paths):
    run = expect.Run(*run_words)
    part, names = Part(run), checker.wanted_fields(run)
    for path in paths:
        for record in records_of(path, names):
            part.add(record)
    return part.delivered, part.wrong + part.other, part.lines, part.came, part.keys


class Verdict:
    """missing: numbers that were sent and never came.  doubles: numbers that came again, under the same record_id.
    buried: numbers that are in the dead letters instead."""

    def __init__(self, sent):
        self.sent, self.missing, self.buried = sent, set(sent), set()
        self.ids, self.delivered, self.doubles, self.wrong = {}, 0, [], []

    def add(self, delivered, wrong, lines, came, keys):
        self.delivered += delivered
        self.wrong += lines if wrong else []
        for n, key in zip(came, keys):
            if self.ids.setdefault(n, key) != key:
                self.wrong.append(f"number {n} came twice under two record_ids")
            elif n in self.missing:
                self.missing.discard(n)
            elif n in self.sent:
                self.doubles.append(n)
            else:
                self.wrong.append(f"number {n} was never sent")

    def bury(self, numbers):
        """What a sink refused is covered, but it must have been sent, and neither delivered nor refused twice."""
        twice = len(numbers) - len(set(numbers))
        assert twice == 0, f"{twice} letters tell a record again"
        strange = set(numbers) - self.missing
        assert not strange, f"refused, and delivered or never sent: {ranges(strange)}"
        self.buried = set(numbers)
        self.missing -= self.buried

    def finish(self):
        if len(set(self.ids.values())) != len(self.ids):
            self.wrong.append("two numbers have the same record_id")
        assert not self.wrong, self.wrong[:20]


@functools.cache
def pool():
    """Processes of their own: reading is Python's work, 60 us a record."""
    return concurrent.futures.ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"))


def verdict(run_words, sent, root):
    """Over all completed files below a folder; none at all is an error, for each test delivers something."""
    paths = sorted(files_below(root), key=os.path.getsize, reverse=True)
    assert paths, f"no file was completed in {root}"
    count = min(len(paths), os.cpu_count())
    v = Verdict(sent)
    for part in pool().map(read_part, [run_words] * count, [paths[i::count] for i in range(count)]):
        v.add(*part)
    v.finish()
    return v


def topic_as_files(values, folder):
    """The values of a topic as containers that verdict() can read."""
    for i in range(0, len(values), TOPIC_FILE_VALUES):
        container_of(values[i:i + TOPIC_FILE_VALUES], schema_text(), os.path.join(folder, f"{i}.avro"))
    return folder


@functools.cache
def schema_text():
    return subprocess.run([os.path.join(BUILD, "sluiced"), "--print-schema"], capture_output=True, check=True,
                          cwd=ROOT).stdout.strip()


def dead_letters(root):
    """Those of all completed files below a folder; it may have none."""
    return Letters(checker.files_under(root))


def refused_numbers(run_words, letters, sink, folder):
    """Numbers of the records that a sink refused; each is as its exporter told it."""
    if not letters.refused[sink]:
        return []
    _, wrong, lines, came, _ = read_part(run_words, [letters.records_as_file(sink, schema_text(), folder)])
    assert not wrong, lines
    return list(came)


def ranges(numbers):
    """For messages of failed tests: 1-5 9 12-13 ..."""
    out, numbers = [], sorted(set(numbers))
    for n in numbers:
        if out and out[-1][1] == n - 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return " ".join(f"{a}-{b}" if b > a else str(a) for a, b in out[:20]) + (" ..." if len(out) > 20 else "")
