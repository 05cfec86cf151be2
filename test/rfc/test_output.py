# SPDX-License-Identifier: Apache-2.0
"""M: the contract of the output."""
import glob
import os
import random
import re
import socket
import struct
import subprocess

import fastavro

from service import (BUILD, ROOT, Collecting, MockBroker, Registry, Sluiced, files_sink, kafka_sink, sluicegen, wait_for)
from wire import FLOW, VARIABLE, data, define, flow, ipfix, options, v5, v5_record, v9, v9_define, variable

# As many as the list of behaviours wants, in another minute or two: SLUICE_RFC_FLOWS=1000000.
FLOWS = int(os.environ.get("SLUICE_RFC_FLOWS", "60000"))

UTF8 = [(82, VARIABLE), (1, 4)]
MESSAGES = [
    ipfix(define(256, FLOW), define(257, UTF8), options(300, [(149, 4)], [(305, 4), (306, 4)]), data(256, flow(1), flow(2)),
          data(257, variable(b"eth0") + struct.pack(">I", 3)), data(300, struct.pack(">III", 0, 1, 99)), at=1790000000),
    v9(v9_define(256, FLOW), data(256, flow(4), flow(5)), count=3, at=1790000000),
    v5(v5_record(6), v5_record(7), at=1790000000),
]


def test_no_item_is_left_out():
    """Each of the 130 items has a test."""
    found = set()
    for path in glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "test_*.py")):
        with open(path, encoding="utf-8") as f:
            found |= {int(n) for n in re.findall(r"^def test_(\d{3})_", f.read(), re.M)}
    assert found == set(range(1, 131))


def test_127_every_record_is_accounted(start):
    """G: every unit that goes in comes out once, or is counted under one reason: good and bad messages of all formats"""
    s = start(Sluiced, '({ name = "out"; type = "null"; })')
    sent, flows = 0, 0
    draw = random.Random(127)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bad:
        bad.bind(("127.101.27.9", 0))
        for turn, protocol in enumerate(("ipfix", "v9", "v5") * 2):
            said = sluicegen("-P", protocol, "-n", FLOWS // 6, "-r", 40000, "-d", f"127.0.0.1:{s.port}", "-b", "127.101.27.10", "-e", 3,
                             "-f", turn * FLOWS)
            sent, flows = sent + said["messages"], flows + said["flows"]
            for _ in range(100):
                m = bytearray(draw.choice(MESSAGES))
                for _ in range(draw.randrange(4)):
                    m[draw.randrange(len(m))] = draw.randrange(256)
                bad.sendto(bytes(m[:draw.randrange(len(m) + 1)]), ("127.0.0.1", s.port))
            sent += 100
    assert wait_for(lambda: s.counter("units_udp") + s.counter("kernel_drops") == sent, 60), sent
    s.drain()
    lines = s.ledger()
    assert s.counter("units_udp") == s.counter("messages") + s.counter("units_refused")
    assert s.counter("messages") == s.counter("messages_read") + s.counter("messages_malformed")
    assert s.counter("flows") == s.counter("flows_appended") + s.counter("flows_dropped") and s.counter("messages_malformed") > 0
    assert s.counter("kernel_drops") > 0 or s.counter("flows") >= flows
    assert lines["sink out"]["right"]["delivered"] == s.counter("flows_appended")


def test_128_damaged_messages(item):
    """G: each prefix and each flipped bit of sound messages, and splices of them, do no harm; what is sound is read after it"""
    p = item.peer()
    for m in MESSAGES:
        p.send(*[m[:n] for n in range(len(m))])
        p.send(*[m[:n // 8] + bytes([m[n // 8] ^ 1 << n % 8]) + m[n // 8 + 1:] for n in range(8 * len(m))])
    draw = random.Random(128)
    for _ in range(500):
        a, b = draw.choice(MESSAGES), draw.choice(MESSAGES)
        p.send(a[:draw.randrange(len(a))] + b[draw.randrange(len(b)):])
    item.settle()
    fresh = item.peer()
    fresh.send(*MESSAGES)
    said = [f["normalized"]["bytes"] for f in item.flows() if f["normalized"]["exporter_ip"] == fresh.address]
    assert sorted(said) == [1, 2, 3, 4, 5, 6, 7]


def replayed(folder, name):
    """The octets of all records of a replay: what is around them in a file names the run."""
    home = os.path.join(folder, name)
    done = subprocess.run([f"{BUILD}/sluiced", "-o", f"state={home}/state", "-o", "workers=1",
                           "-o", f"sinks={files_sink(home, codec='null')}", "--replay", "test/corpus/pmacctd_ipfix_rich.pcap", "--replay",
                           "test/corpus/softflowd_v9.pcap", "--replay", "test/corpus/softflowd_v5.pcap"],
                          capture_output=True, text=True, timeout=120, cwd=ROOT, check=False)
    assert done.returncode == 0 and done.stdout.endswith("\nbalanced\n"), done.stdout + done.stderr
    files = sorted(glob.glob(os.path.join(home, "flows", "**", "*.avro"), recursive=True))
    octets = b""
    for path in files:
        with open(path, "rb") as f:
            octets += b"".join(block.bytes_.getvalue() for block in fastavro.block_reader(f))
    return octets


def test_129_identical_octets(folder):
    """G: a capture that is replayed gives the same octets: a record's time of receipt is the capture's"""
    first, second = replayed(folder, "a"), replayed(folder, "b")
    assert len(first) > 20000 and first == second


def test_130_schema_id_and_registry_outage(start, folder):
    """G: each Kafka value begins with octet 0 and the schema's id; while the registry is away nothing is lost"""
    broker, registry = start(MockBroker, "flows:2"), start(Registry)
    s = start(Sluiced, f"({kafka_sink(broker, registry)})")
    registry.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.bind(("127.101.30.1", 0))
        out.sendto(ipfix(define(256, FLOW)), ("127.0.0.1", s.port))
        for n in range(50):
            out.sendto(ipfix(data(256, *[flow(20 * n + i) for i in range(20)])), ("127.0.0.1", s.port))
        assert wait_for(lambda: s.counter("flows") == 1000)
        registry = start(Registry, registry.port)
        topic = Collecting(broker.bootstrap, "flows", folder)
        assert wait_for(lambda: topic.count == 1000, 60), (topic.count, s.log())
    values = topic.stop()
    assert {v[:1] for v in values} == {b"\0"} and len({v[1:5] for v in values}) == 1 and len(set(values)) == 1000
    assert struct.unpack(">I", values[0][1:5])[0] > 0 and s.ledger()["sink bus"]["right"]["delivered"] == 1000
