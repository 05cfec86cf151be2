# SPDX-License-Identifier: Apache-2.0
"""Goal: what cannot be decoded, and what a broker will not take, is found in the dead letters, octet by octet and with its
reason; sent through again when the cause is gone, it arrives as it would have, and where it was missing only.

Method: messages made here go to a running sluiced; fastavro reads the letters, and they are compared with what was sent.
"""
import glob
import io
import json
import os
import select
import socket
import struct
import subprocess

import fastavro
import pytest

import traffic
from conftest import BUILD, ROOT, MockBroker, Registry, Sluiced, files_sink, read_flows, sluicegen, wait_for
from test_road import Collecting, kafka_sink

TIME_S = 1767593600


@pytest.fixture
def start(start):  # noqa: F811
    """Without hold, a set without template is a letter at once."""
    def run(what, *args, **kwargs):
        if what is Sluiced:
            sinks, options = (*args, ())[:2]
            args = (sinks, [*options, "collector.hold_s=0"])
        return start(what, *args, **kwargs)
    return run


def dead_files(folder, **options):
    extra = "".join(f" {k} = {json.dumps(v)};" for k, v in options.items())
    return f'dead_letter.sinks=({{ name = "dead"; type = "file"; path = "{folder}/dead/flows"; codec = "null";{extra} }})'


def letters(folder):
    return read_flows(os.path.join(folder, "dead"))


class Exporter:
    """A socket of its own, and IPFIX messages from it."""

    def __init__(self, port, domain=9):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", port))
        self.port, self.domain, self.sequence = self.socket.getsockname()[1], domain, 0

    def header(self, octets):
        return struct.pack(">HHIII", 10, 16 + octets, TIME_S, self.sequence, self.domain)

    def send(self, *sets, records=0):
        """Sends a message of these sets; its octets."""
        message = self.header(sum(map(len, sets))) + b"".join(sets)
        self.sequence += records
        self.socket.send(message)
        return message


def template(number, *fields):
    body = struct.pack(">HH", number, len(fields)) + b"".join(struct.pack(">HH", *f) for f in fields)
    return struct.pack(">HH", 2, 4 + len(body)) + body


def data(number, *records):
    body = b"".join(records)
    return struct.pack(">HH", number, 4 + len(body)) + body


FIELDS = ((8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (1, 8))


def record(n):
    return bytes((192, 0, 2, n, 198, 51, 100, n)) + struct.pack(">HHBQ", 1000 + n, 443, 6, 100 * n)


def test_undecodable_set(start, folder):
    s = start(Sluiced, files_sink(folder), ["workers=2", dead_files(folder)])
    x = Exporter(s.port)
    first, second = data(300, record(1), record(2)), data(301, record(3))
    message = x.send(first, second, records=3)
    broken = x.send(first)[:-1] + b"!"
    x.socket.send(broken[:2] + struct.pack(">H", 17) + broken[4:])  # its set runs over the end
    assert s.settle("messages") == 3
    s.drain()
    found = {bytes(l["octets"]): l for l in letters(folder)}
    assert len(found) == 3, found.values()
    for octets, offset in ((first, 16), (second, 16 + len(first))):
        l = found[octets]
        assert (l["kind"], l["reason"], l["error"], l["sink"]) == ("set", "data_sets_refused/no_template", None, None)
        assert (l["exporter_name"], l["exporter_ip"], l["exporter_port"], l["local_port"], l["transport"]) == (
            "127.0.0.1", "127.0.0.1", x.port, s.port, "udp")
        assert (l["observation_domain_id"], l["protocol_version"], l["template_id"], l["offset"]) == (
            9, 10, struct.unpack(">H", octets[:2])[0], offset)
        assert bytes(l["header"]) in (message[:16], x.header(len(first)))
    whole = found[broken[:2] + struct.pack(">H", 17) + broken[4:]]
    assert (whole["kind"], whole["reason"], whole["header"]) == ("message", "messages_malformed/set_length", None)
    s.ledger()
    assert s.ctl("status")["dead_letter"]["kept"] == 4  # the first set came twice


def test_again_with_its_template(start, folder):
    """What came before its template gives, sent through again, what it gives with it: record_id and all."""
    s = start(Sluiced, files_sink(folder), ["workers=2", dead_files(folder)])
    x = Exporter(s.port)
    early = [x.send(data(300, record(n), record(n + 1)), data(301, record(n + 2)), records=3) for n in range(1, 91, 3)]
    assert s.settle("messages") == 30
    x.send(template(300, *FIELDS) + template(301, *FIELDS))
    assert s.settle("templates_new") == 2
    answer = s.ctl("replay")
    assert (answer["ok"], answer["sets"], answer["messages"], answer["records"], answer["returned"]) == (True, 60, 0, 0, 0)
    assert s.settle() == 90
    assert s.ctl("replay")["sets"] == 0
    s.drain()
    again = {bytes(f["record_id"]): f for f in read_flows(folder)}
    assert len(again) == 90
    for message in early:
        x.socket.send(message)
    assert s.settle() == 180
    s.drain()
    flows = read_flows(folder)
    assert len(flows) == 180
    for f in flows:
        assert f["normalized"]["bytes"] == again[bytes(f["record_id"])]["normalized"]["bytes"]
    lines = s.ledger()
    assert lines["received units"]["left"]["dead_letter"] == 60
    assert lines["dead letter log"]["right"] == {"replayed": 60, "unreadable": 0, "evicted": 0, "kept": 0}
    assert lines["dead letter sink dead"]["right"]["delivered"] == 60
    s.stop()


def test_flood(start, folder):
    """A flood of nonsense costs so much in a second, and what is over the bound is counted."""
    s = start(Sluiced, files_sink(folder), ["dead_letter.rate=50", "dead_letter.max_bytes=1M", dead_files(folder, format="json")])
    x = Exporter(s.port)
    for n in range(2000):
        x.socket.send(b"\x00\x63" + bytes([n & 255]) * 600)
        if n % 50 == 0:
            s.counter("messages")
    s.settle("messages")
    taken = s.counter("dead_letters_written")
    assert 25 <= taken < 1500
    s.drain()
    lines = s.ledger()
    assert lines["dead letter"]["left"]["messages"] == s.counter("messages_malformed", "version")
    assert lines["dead letter"]["right"]["dropped"] == s.counter("dead_letters_dropped", "rate") > 0
    s.stop()
    path = os.path.join(folder, "dead", "flows")
    read = [json.loads(line) for name in glob.glob(f"{path}/*.jsonl") for line in open(name, encoding="utf-8")]
    assert len(read) == taken
    assert {(l["kind"], l["reason"]) for l in read} == {("message", "messages_malformed/version")}
    assert all(l["octets"].startswith("0063") and len(l["octets"]) == 1204 for l in read)


def long_record(n, octets):
    """With a name that makes its event as long as that."""
    return record(n) + b"\xff" + struct.pack(">H", octets) + bytes([ord("a") + n % 26]) * octets


LONG = (*FIELDS, (82, 0xFFFF))


def send_some(x, count, long_at):
    """Records of which some are too large for the broker; which numbers those have."""
    culprits = set()
    for n in range(count):
        is_long = n % long_at == long_at // 2
        x.send(data(300, long_record(n % 250, 20000 if is_long else 8)), records=1)
        culprits |= {n} if is_long else set()
    return culprits


def schema_text():
    return subprocess.run([os.path.join(BUILD, "sluiced"), "--print-schema"], capture_output=True, check=True, cwd=ROOT).stdout


@pytest.mark.parametrize("where", ["file", "kafka"])
def test_too_large_for_the_broker(start, folder, where):
    """The culprits are in the dead letters, and all others are delivered; both in Kafka, under subjects of their own."""
    broker, registry = start(MockBroker, "flows:1", "dead:1"), start(Registry)
    bus = kafka_sink(broker, registry)[:-1] + ' properties = [ "message.max.bytes=5000" ]; }'
    dead = dead_files(folder)
    if where == "kafka":
        dead = f'dead_letter.sinks=({kafka_sink(broker, registry, "dead").replace("bus", "tomb")})'
    s = start(Sluiced, f"({bus}, {files_sink(folder)[1:-1]})", [dead])
    flows, dead_reader = Collecting(broker.bootstrap, "flows", folder), None
    if where == "kafka":
        os.mkdir(f"{folder}/tomb")
        dead_reader = Collecting(broker.bootstrap, "dead", f"{folder}/tomb")
    x = Exporter(s.port)
    x.send(template(300, *LONG))
    culprits = send_some(x, 300, 50)
    assert s.settle() == 300
    s.drain()
    lines = s.ledger()
    assert lines["sink bus"]["right"]["dead_letter"] == len(culprits) == 6
    assert lines["sink bus"]["right"]["delivered"] == 294
    assert wait_for(lambda: flows.count >= 294)
    delivered = flows.stop()
    schema = fastavro.parse_schema(json.loads(schema_text()))
    ids = {bytes(fastavro.schemaless_reader(io.BytesIO(v[5:]), schema)["record_id"]) for v in delivered}
    assert len(ids) == len(delivered) == 294
    if where == "file":
        found = letters(folder)
    else:
        assert wait_for(lambda: dead_reader.count >= 6)
        tombs = dead_reader.stop()
        asked = [r for r in registry.requests() if "dead-value" in r.get("path", "")]
        assert asked, registry.requests()
        found = [fastavro.schemaless_reader(io.BytesIO(v[5:]), dead_schema(folder, s)) for v in tombs]
    assert len(found) == 6
    everything = {bytes(f["record_id"]): f for f in read_flows(folder)}
    for l in found:
        assert (l["kind"], l["reason"], l["sink"]) == ("record", "sink_dead_letter/refused", "bus")
        assert l["error"] == "Broker: Message size too large" and l["exporter_name"] == "127.0.0.1"
        event = fastavro.schemaless_reader(io.BytesIO(bytes(l["octets"])), schema)
        assert event == everything[bytes(event["record_id"])]
        assert bytes(event["record_id"]) not in ids
        ids.add(bytes(event["record_id"]))
    assert ids == set(everything) and len(ids) == 300
    # The broker did not change its mind: they come back.
    answer = s.ctl("replay")
    assert (answer["records"], answer["returned"]) == (6, 0)
    s.drain()
    lines = s.ledger()
    assert lines["sink files"]["right"]["not_routed"] == 6 and lines["sink files"]["right"]["delivered"] == 300
    assert lines["flows"]["left"]["replayed"] == 6
    assert lines["dead letter log"]["right"] == {"replayed": 6, "unreadable": 0, "evicted": 0, "kept": 6}
    s.stop()


def dead_schema(folder, s):
    """The schema as a file of letters has it."""
    t = Sluiced(os.path.join(folder, "tomb"), '({ name = "null"; type = "null"; })', [dead_files(f"{folder}/tomb"), "collector.hold_s=0"])
    try:
        Exporter(t.port).send(data(300, record(1)))
        assert t.settle("messages") == 1
        t.drain()
    finally:
        t.kill()
    with open(glob.glob(os.path.join(folder, "tomb", "dead", "flows", "*.avro"))[0], "rb") as f:
        return fastavro.parse_schema(fastavro.reader(f).writer_schema)


def test_refused_then_again(start, folder):
    """What a broker refused while it was out of its mind is delivered once it is well, and to it alone."""
    broker, registry = start(MockBroker, "flows:1"), start(Registry)
    s = start(Sluiced, f"({kafka_sink(broker, registry)}, {files_sink(folder)[1:-1]})")
    flows = Collecting(broker.bootstrap, "flows", folder)
    run = sluicegen("-P", "ipfix", "-n", 50, "-r", 1000, "-d", f"127.0.0.1:{s.port}")
    s.settle()
    s.drain()
    broker.say("errors 0 87 1000")
    x = Exporter(s.port)
    x.send(template(300, *FIELDS))
    for n in range(5):
        x.send(data(300, record(n)), records=1)
    assert s.settle() == run["flows"] + 5
    s.drain()
    assert s.ledger()["sink bus"]["right"]["dead_letter"] == 5
    broker.say("clear 0")
    answer = s.ctl("replay")
    assert (answer["ok"], answer["records"], answer["returned"]) == (True, 5, 0)
    s.drain()
    lines = s.ledger()
    assert lines["sink bus"]["right"]["delivered"] == run["flows"] + 5
    assert lines["sink files"]["right"] | {"delivered": 0} == dict.fromkeys(lines["sink files"]["right"], 0) | {"not_routed": 5}
    assert wait_for(lambda: flows.count >= run["flows"] + 5)
    schema = fastavro.parse_schema(json.loads(schema_text()))
    read = [fastavro.schemaless_reader(io.BytesIO(v[5:]), schema) for v in flows.stop()]
    assert sorted(bytes(f["record_id"]) for f in read) == sorted(bytes(f["record_id"]) for f in read_flows(folder))
    s.stop()


LETTERS = 400000


class Asking:
    """A control connection of its own."""

    def __init__(self, s):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(s.socket)
        self.file = self.socket.makefile()
        assert self.ask("version")["ok"]

    def say(self, command):
        self.socket.sendall(command.encode() + b"\n")

    def ask(self, command):
        self.say(command)
        return json.loads(self.file.readline())

    def has_answer(self):
        return bool(select.select([self.socket], [], [], 0)[0])


def many_letters(start, folder):
    """A service with more letters than a turn of the control thread can send."""
    s = start(Sluiced, files_sink(folder), ["dead_letter.rate=1000000", "dead_letter.rate_bytes=1G", "dead_letter.max_bytes=1G"])
    x, sets = Exporter(s.port), [data(300, struct.pack(">I", n)) for n in range(1000)]
    for n in range(LETTERS // 1000):
        x.send(*sets)
        if n % 10 == 9:
            assert wait_for(lambda: s.counter("messages") == n + 1, every=0.001)
    assert s.ctl("sinks")["dead_letter"]["written"] == LETTERS
    return s


def test_others_are_answered_meanwhile(start, folder):
    s = many_letters(start, folder)
    first, other, leaves = Asking(s), Asking(s), Asking(s)
    first.say("replay")
    assert other.ask("status")["ok"]
    assert other.ask("replay") == {"ok": False, "error": "another replay is under way"}
    assert not first.has_answer(), "who came later had to wait for the replay"
    answer = json.loads(first.file.readline())
    assert (answer["ok"], answer["sets"], answer["returned"], answer["stopped_full"]) == (True, LETTERS, 0, False)
    assert s.settle("dead_letters_written") == 2 * LETTERS  # all of them failed again
    lines = s.ledger()
    assert lines["dead letter log"]["right"]["replayed"] == LETTERS == lines["received units"]["left"]["dead_letter"]
    # Who asked goes away: it is done all the same.
    leaves.say("replay")
    assert other.ask("status")["ok"] and not leaves.has_answer()
    leaves.file.close()
    leaves.socket.close()
    assert wait_for(lambda: s.ledger()["dead letter log"]["right"]["replayed"] == 2 * LETTERS)
    s.stop()


def test_stop_during_a_replay(start, folder):
    """What was not sent is there in the next life."""
    s = many_letters(start, folder)
    asking, other = Asking(s), Asking(s)
    asking.say("replay")
    assert other.ask("status")["ok"] and not asking.has_answer()
    s.stop()
    answer = json.loads(asking.file.readline())
    assert not answer["ok"] and "stopping" in answer["error"] and 0 < answer["sets"] < LETTERS
    s = start(Sluiced, files_sink(folder))
    # What was sent failed again: it is behind the rest.
    log = s.ledger()["dead letter log"]["right"]
    assert (log["replayed"], log["evicted"]) == (answer["sets"], 0) and log["kept"] >= LETTERS - answer["sets"]
    assert s.ctl("replay")["sets"] == log["kept"]
    s.ledger()
    s.stop()


def test_letters_balance_over_lives(start, folder):
    """What was replayed or made room in one life is remembered in the next."""
    right = None
    for _ in range(2):
        s = start(Sluiced, files_sink(folder), ["dead_letter.max_bytes=1M", "log.memory_bytes=1M", "dead_letter.rate=100000",
                                                "dead_letter.rate_bytes=64M"])
        if right is not None:
            assert s.ledger()["dead letter log"]["right"] == right
        x = Exporter(s.port)
        for _ in range(40):
            x.send(*(data(300, os.urandom(400)) for i in range(150)))
            s.counter("messages")
        # A log that is so small and full may have no room for some: they are counted.
        written = s.settle("dead_letters_written")
        assert 3000 < written <= 6000
        assert s.ctl("replay")["sets"] > 0
        x.send(*(data(300, bytes(40)) for i in range(100)))
        assert s.settle("dead_letters_written") > written
        right = s.ledger()["dead letter log"]["right"]
        assert right["evicted"] > 0 and right["replayed"] > 0 and right["kept"] > 0, (right, s.ctl("sinks")["dead_letter"])
        s.stop()


def test_nothing_to_send(start, folder):
    s = start(Sluiced, files_sink(folder))
    assert s.ctl("replay", "now") == {"ok": False, "error": "usage: replay"}
    assert s.ctl("replay") == {"ok": True, "sets": 0, "messages": 0, "records": 0, "returned": 0, "stopped_full": False}
    s.stop()


def test_stop_and_capture(start, folder):
    """A stop delivers what there is, as a drain does, and so does the end of a capture."""
    s = start(Sluiced, files_sink(folder), [dead_files(folder)])
    x = Exporter(s.port)
    for n in range(20):
        x.send(data(300, record(n)), records=1)
    assert s.settle("messages", 0.2) == 20
    s.stop()
    assert sorted(bytes(l["octets"]) for l in letters(folder)) == sorted(data(300, record(n)) for n in range(20))
    frames = traffic.make(1, False)[:1]
    message = x.header(len(data(300, record(1)))) + data(300, record(1))
    datagram = traffic.transport("192.0.2.1", "192.0.2.2", traffic.UDP, 1000, 4739, message)
    frame = frames[0][1][:12] + b"\x08\x00" + traffic.ip_datagram("192.0.2.1", "192.0.2.2", traffic.UDP, datagram)
    capture = os.path.join(folder, "one.pcap")
    traffic.write_pcap(capture, [(traffic.BASE_US, frame)])
    done = subprocess.run([os.path.join(BUILD, "sluiced"), "-c", "etc/sluice.conf", "-o", f"state={folder}/state2", "-o",
                           f"sinks={files_sink(folder)}", "-o", dead_files(os.path.join(folder, "again")), "--replay", capture],
                          capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    assert "\nbalanced\n" in done.stdout and "dead letter sink dead records 1 = delivered 1" in done.stdout
    found = letters(os.path.join(folder, "again"))
    assert [(l["exporter_ip"], l["transport"], l["received"]) for l in found] == [("192.0.2.1", "replay", traffic.BASE_US // 1000)]
