# SPDX-License-Identifier: Apache-2.0
"""Goal: lists of RFC 6313, however nested, can be read back from raw.elements: each value, name, semantic and template; and what
cannot be opened is there as hex. What a mapping wants of them fills its fields.

Method: random messages of nested lists (templates that name themselves, change inside a message or are not there, lengths
that do not come out even, empty lists, both forms of variable length) in one capture, replayed through both decoders; each list
is compared with its octets by a reader of its own (test/gen/lists.py). Then messages as YAF builds them, and costly ones.
SLUICE_LISTS_SEED chooses another seed, SLUICE_LISTS_COUNT how many messages.
"""
import collections
import json
import os
import struct
import subprocess
import sys

import pytest

from conftest import BUILD, ROOT

sys.path.insert(0, os.path.join(ROOT, "test", "gen"))
sys.path.insert(0, os.path.join(ROOT, "test", "rfc"))
from cutter import Cutter  # noqa: E402
from exporter import TIME, Exporter  # noqa: E402
from lists import judge  # noqa: E402
from promise import Oracle, is_text_of, note_of  # noqa: E402
from registry import Registry, mappings  # noqa: E402
from wire import VARIABLE, data, define, ipfix, template, templates, variable  # noqa: E402

SEED = int(os.environ.get("SLUICE_LISTS_SEED", "2026"))
COUNT = int(os.environ.get("SLUICE_LISTS_COUNT", "500"))
BASIC, SUB, MULTI = (0, 291), (0, 292), (0, 293)
KINDS = {"basicList": BASIC, "subTemplateList": SUB, "subTemplateMultiList": MULTI}
DEPTH_MAX = 6  # two more than are opened
CPU_MS = float(os.environ.get("SLUICE_LISTS_CPU_MS", "5"))


class Nested(Exporter):
    """Messages whose records are lists of anything."""

    def __init__(self, seed):
        registry = Registry()
        super().__init__(seed, registry, mappings(registry))
        self.known = [k for k in registry.elements if k[0] < 0xFFFFFF00 and k not in registry.lists and k[1] < 0x8000]
        self.sub = {}

    def element(self, lists=0.25):
        r = self.random
        if self.chance(lists):
            return r.choice((BASIC, SUB, MULTI))
        return (r.choice((0, 32473)), r.randrange(30000, 30100)) if self.chance(0.1) else r.choice(self.known)

    def width(self, identity):
        kind = self.registry.type(*identity)
        if identity in self.registry.lists or self.chance(0.3):
            return VARIABLE
        size = {"string": 7, "octetArray": 5}.get(kind) or len(self.octets(kind, None))
        return min(size, 40)

    def semantic(self):
        return bytes([self.random.choice((255, 255, 0, 1, 2, 3, 4, 5, 9, 254))])

    def item(self, identity, length, depth):
        """As it stands on the wire."""
        kind = self.registry.list_kind(*identity)
        if kind and length == VARIABLE:
            value = self.list(kind, depth + 1)
        else:
            value = self.octets(self.registry.type(*identity), None if length == VARIABLE else length)
        return variable(value, self.chance(0.2)) if length == VARIABLE else value

    def body(self, number, depth):
        fields = self.sub.get(number)
        if fields is None:
            return self.random.randbytes(self.random.randrange(12))
        return b"".join(self.item(*f, depth) for _ in range(self.random.choice((0, 1, 1, 2, 3))) for f in fields)

    def list(self, kind, depth=1):
        r = self.random
        if depth > DEPTH_MAX or self.chance(0.05):
            octets = b""
        elif kind == "basicList":
            pen, number = self.element(0.3)
            length = self.width((pen, number))
            octets = self.semantic() + struct.pack(">HH", number | (0x8000 if pen else 0), length) + (struct.pack(">I", pen) if pen else b"")
            octets += b"".join(self.item((pen, number), length, depth) for _ in range(r.randrange(4) if length else 0))
        elif kind == "subTemplateList":
            number = r.choice((*self.sub, 999))
            octets = self.semantic() + struct.pack(">H", number) + self.body(number, depth)
        else:
            octets = self.semantic()
            for _ in range(r.randrange(4)):
                number = r.choice((*self.sub, 998))
                block = self.body(number, depth)
                octets += struct.pack(">HH", number, 4 + len(block)) + block
        if self.chance(0.05):  # cut, too long, or with an octet turned
            at = r.randrange(len(octets) + 1)
            octets = r.choice((octets[:at], octets + b"\0", octets[:at] + b"\x05" + octets[at + 1:]))
        return octets if len(octets) < 4000 else octets[:3]

    def define_subs(self):
        for number in self.random.sample(range(300, 306), self.random.randrange(1, 4)):
            fields = [(i, self.width(i)) for i in (self.element() for _ in range(self.random.randrange(1, 5)))]
            if any(length for _, length in fields):
                self.sub[number] = fields
                yield self.template_set(10, number, fields)

    def message(self, version, domain):
        del version
        self.sub = {}
        fields = [(i, VARIABLE) for i in self.random.sample((BASIC, SUB, MULTI), 2)] + [(BASIC, 9), ((0, 1), 4)]
        octets = self.template_set(10, 256, fields)
        for _ in range(self.random.randrange(1, 4)):
            octets += b"".join(self.define_subs())
            records = []
            for _ in range(self.random.randrange(1, 4)):
                records.append((None, b"".join(self.item(*f, 0) for f in fields)))
            octets += self.data_set(256, fields, records)
        assert len(octets) < 60000
        return struct.pack(">HHIII", 10, 16 + len(octets), TIME, 0, domain) + octets


def messages(path):
    """The UDP payloads of a capture that Exporter.write() made."""
    with open(path, "rb") as f:
        octets = f.read()
    at = 24
    while at < len(octets):
        bytes_, = struct.unpack_from("<I", octets, at + 8)
        yield octets[at + 16 + 28:at + 16 + bytes_]
        at += 16 + bytes_


def capture(path, said):
    """One datagram each, all of one exporter."""
    exporter = Nested(0)
    turns = iter(said)
    exporter.message = lambda version, domain: next(turns)
    exporter.write(path, len(said))


def replay(folder, path, *options):
    done = subprocess.run([f"{BUILD}/sluiced", "-o", 'sinks=({ name = "out"; type = "stdout"; })', "-o", f"state={folder}/state",
                           "-o", "workers=1", "-o", "normalizer.enrich=()", *(w for o in options for w in ("-o", o)), "--replay", path],
                          capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0 and done.stderr.endswith("\nbalanced\n"), done.stderr[-2000:]
    assert "differs" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_round_trip(folder):
    print(f"SLUICE_LISTS_SEED={SEED} SLUICE_LISTS_COUNT={COUNT}")
    path = os.path.join(folder, "lists.pcap")
    exporter = Nested(SEED)
    exporter.write(path, COUNT)
    cutter = Cutter()
    records = [r for n, octets in enumerate(messages(path)) for r in cutter.message(octets, "a", n)]
    flows, _ = replay(folder, path, "collector.selfcheck=1")
    assert flows == replay(folder, path, "collector.decoder=fixbuf")[0]
    assert len(flows) == len(records) > COUNT
    counts, wrong = collections.Counter(), []
    for record, flow in zip(records, flows):
        elements, notes = flow["raw"]["elements"], set()
        names = collections.Counter()
        for identity, octets in record.fields[:-1]:
            kind = exporter.registry.list_kind(*identity)
            names[kind] += 1
            j = judge(elements.pop(kind + ("#2" if names[kind] == 2 else "")), kind, octets, record.templates, exporter.registry,
                      is_text_of, note_of)
            wrong += j.wrong
            notes |= j.notes
            counts[kind] += 1
            counts["values"] += len(j.found)
            counts["not opened"] += "list" in j.notes
        assert not elements
        if notes != set(flow["raw"]["notes"]) & {"list", "contract", "bad_utf8"}:
            wrong.append(f"notes {flow['raw']['notes']}, not {notes}")
    assert not wrong, f"{len(wrong)} differences\n" + "\n".join(wrong[:20])
    # Enough of everything was there.
    assert counts["values"] > 10 * COUNT and counts["not opened"] > COUNT / 10 and all(counts[k] > COUNT / 2 for k in KINDS), counts


# What mappings want of lists.

def flow_with(kind, octets, sub=()):
    """A message with a flow of YAF's that has the list."""
    fields = [((0, 8), 4), ((0, 12), 4), ((6871, 40), 2), (kind, VARIABLE), ((0, 1), 4)]
    sets = [templates(*(template(n, [(i, length, pen) if pen else (i, length) for (pen, i), length in f]) for n, f in sub),
                      template(256, [(i, length, pen) if pen else (i, length) for (pen, i), length in fields]))]
    record = b"\x0a\0\0\1\x0a\0\0\2\0\0" + variable(octets) + struct.pack(">I", 1)
    return ipfix(*sets, data(256, record), at=TIME)


def flow_without_addresses(kind, octets):
    """IANA's only, and no destination."""
    return ipfix(define(256, [(8, 4), (kind[1], VARIABLE), (1, 4)]), data(256, b"\x0a\0\0\1" + variable(octets) + struct.pack(">I", 1)), at=TIME)


def one_flow(folder, message):
    path = os.path.join(folder, "one.pcap")
    capture(path, [message])
    flow, = replay(folder, path, "collector.selfcheck=1")[0]
    return flow


def shipped_lines():
    registry = Registry()
    return [pytest.param(m.name, element, list_, line, id=f"{m.name}-{line['element']}-{line['field']}")
            for m in mappings(registry) for element, list_, line in m.inside]


def value_of(registry, element, line):
    kind = registry.type(*element)
    if line.get("as") == "number":
        return b"404 Not Found"
    return {"string": b"www.example.com", "octetArray": bytes(range(1, 17)), "unsigned8": b"\x03", "unsigned16": b"\x03\x03",
            "unsigned32": b"\0\0\x13\x01", "macAddress": b"\2\0\0\0\0\7", "ipv4Address": b"\x0a\0\0\x63",
            "ipv6Address": bytes(15) + b"\1"}[kind] if line.get("as") != "mpls_label" else b"\x05\xdc\x11"


@pytest.fixture(scope="module")
def oracle():
    printed = subprocess.run([f"{BUILD}/sluiced", "--print-schema"], capture_output=True, check=True, cwd=ROOT)
    return Oracle(json.loads(printed.stdout))


@pytest.mark.parametrize("mapping,element,list_,line", shipped_lines())
def test_shipped_line(folder, oracle, mapping, element, list_, line):
    """A value two lists down fills the field, and stands in raw all the same."""
    registry = oracle.registry
    octets = value_of(registry, element, line)
    pen, number = element
    basic = b"\xff" + struct.pack(">HH", number | (0x8000 if pen else 0), VARIABLE) + (struct.pack(">I", pen) if pen else b"") + variable(octets)
    if mapping == "iana":
        message = flow_without_addresses(list_ or BASIC, basic)
    else:
        block = variable(basic)
        message = flow_with(MULTI, b"\3" + struct.pack(">HH", 300, 4 + len(block)) + block, sub=[(300, [(BASIC, VARIABLE)])])
    flow = one_flow(folder, message)
    record, = Cutter().message(message)
    assert not oracle.check(record, flow, "unpromoted")
    assert flow["normalized"].get(line["field"]) is not None
    assert len([v for k, v in flow["raw"]["elements"].items() if k.endswith("List")]) == 1 and "list" not in flow["raw"]["notes"]


def test_yaf_dns(folder):
    """Name queries as YAF 2 tells them: a list of resource records inside a block, the question first."""
    rr = [((0, 292), VARIABLE), ((6871, 199), 4), ((6871, 175), 2), ((6871, 174), 1), ((6871, 176), 1), ((6871, 177), 1), ((6871, 178), 1),
          ((6871, 226), 2), ((6871, 179), VARIABLE)]
    answer = [((6871, 302), 4)]

    def record(inner, ttl, number, is_answer, name):
        return variable(inner) + struct.pack(">IHBBBBH", ttl, number, is_answer, 0, 0, is_answer, 0x1234) + variable(name)

    records = b"\3" + struct.pack(">H", 0xCF00) + record(b"", 0, 1, 0, b"www.example.com") + \
        record(b"\3" + struct.pack(">H", 0xCE01) + b"\xc0\0\2\7", 300, 1, 1, b"other.example.com")
    dns = variable(records)
    message = flow_with(MULTI, b"\3" + struct.pack(">HH", 0xCE00, 4 + len(dns)) + dns,
                        sub=[(0xCF00, rr), (0xCE01, answer), (0xCE00, [((0, 292), VARIABLE)])])
    flow = one_flow(folder, message)
    said = flow["normalized"]
    assert (said["dns_query"], said["dns_query_type"], said["dns_query_id"], said["dns_answers"], said["event_type"]) == (
        "www.example.com", 1, 0x1234, "192.0.2.7", "dns")
    text = json.loads(flow["raw"]["elements"]["subTemplateMultiList"])
    second = text["blocks"][0]["records"][0]["subTemplateList"]["records"][1]
    assert second["cert.dnsName"] == "other.example.com" and second["subTemplateList"]["records"] == [{"cert.dnsA": "192.0.2.7"}]


def test_label_stack(folder):
    """All entries of a stack, in their order; 65 are more than a flow has room for: then they stand in raw alone."""
    def stack(count):
        return b"\4" + struct.pack(">HH", 70, 3) + b"".join((n << 4 | (n == count)).to_bytes(3, "big") for n in range(1, count + 1))
    assert one_flow(folder, flow_without_addresses(BASIC, stack(3)))["normalized"]["mpls_labels"] == [1, 2, 3]
    flow = one_flow(folder, flow_without_addresses(BASIC, stack(65)))
    assert flow["normalized"].get("mpls_labels") is None and len(json.loads(flow["raw"]["elements"]["basicList"])["values"]) == 65


def test_own_field_wins(folder):
    """What the record itself says is not overwritten by what a list says."""
    octets = b"\3" + struct.pack(">HH", 12, 4) + b"\xc0\0\2\x09"
    assert one_flow(folder, flow_with(BASIC, octets))["normalized"]["dst_ip"] == "10.0.0.2"
    assert one_flow(folder, flow_without_addresses(BASIC, octets))["normalized"]["dst_ip"] == "192.0.2.9"


def test_raw_none(folder):
    """Without a raw layer, lists still fill fields."""
    path = os.path.join(folder, "none.pcap")
    capture(path, [flow_without_addresses(BASIC, b"\3" + struct.pack(">HH", 12, 4) + b"\xc0\0\2\x09")])
    flow, = replay(folder, path, "normalizer.raw=none")[0]
    assert flow["normalized"]["dst_ip"] == "192.0.2.9" and flow["raw"]["elements"] == {}


# What it must survive.

def filled(head, unit, room=60000):
    return head + unit * ((room - len(head)) // len(unit))


def deep(levels):
    """basicLists of basicLists."""
    octets = b""
    for _ in range(levels):
        octets = b"\xff" + struct.pack(">HH", 291, VARIABLE) + (variable(octets) if octets else b"")
    return octets


WIDE = [(n, 0) for n in range(30000, 31000)] + [(4, 1)]
COSTLY = {
    "octets": ([], BASIC, filled(b"\xff" + struct.pack(">HH", 4, 1), b"\6")),
    "texts to escape": ([], BASIC, filled(b"\xff" + struct.pack(">HH", 371, VARIABLE), variable(b'"\\\1' * 80))),
    "no octets": ([], BASIC, b"\xff" + struct.pack(">HH", 4, 0) + bytes(60000)),
    "fields of no octets": ([template(300, WIDE)], SUB, filled(b"\xff\1\x2c", b"\6", 50000)),
    "fields without text": ([template(300, [(210, 0)] * 64 + [(4, 1)])], SUB, filled(b"\xff\1\x2c", b"\6", 50000)),
    "unknown blocks": ([], MULTI, filled(b"\xff", struct.pack(">HHB", 999, 5, 1))),
    "known blocks": ([template(300, [(4, 1)])], MULTI, filled(b"\xff", struct.pack(">HHB", 300, 5, 1))),
    "itself": ([template(300, [(292, VARIABLE)])], SUB, filled(b"\xff\1\x2c", variable(b"\xff\1\x2c" * 20))),
    "deep": ([], BASIC, deep(5000)),
    "small lists": ([], BASIC, filled(b"\xff" + struct.pack(">HH", 291, VARIABLE), variable(b"\xff" + struct.pack(">HH", 4, 1)))),
    "small lists of nobody's": ([], BASIC, filled(b"\xff" + struct.pack(">HH", 291, VARIABLE), variable(b"\xff" + struct.pack(">HHI", 0x8001, 1, 32473)))),
    "wanted": ([template(300, [(12, 0)] * 20 + [(4, 1)])], SUB, filled(b"\xff\1\x2c", b"\6")),
    "names asked for": ([template(300, [(179, VARIABLE, 6871)])], SUB, filled(b"\xff\1\x2c", variable(b"a"))),
}


def test_what_was_found_before(folder):
    """A list that costs too much does not take with it what another list of the record said."""
    said = b"\3" + struct.pack(">HH", 12, 4) + b"\xc0\0\2\x09"
    subs, kind, costly = COSTLY["fields of no octets"]
    fields = [(BASIC[1], VARIABLE), (kind[1], VARIABLE), (1, 4)]
    flow = one_flow(folder, ipfix(templates(*subs, template(256, fields)),
                                  data(256, variable(said) + variable(costly) + struct.pack(">I", 7)), at=TIME))
    assert flow["raw"]["elements"]["subTemplateList"] == costly.hex() and "list" in flow["raw"]["notes"]
    assert flow["normalized"]["dst_ip"] == "192.0.2.9"


def test_what_was_found_in_it(folder):
    """Nor does anything that was found in a list that is given up stand for the whole of it."""
    costly = b"\3" + struct.pack(">HH", SUB[1], VARIABLE) + variable(filled(b"\xff\1\x2c", b"\xc0\0\2\x09", 50000))
    flow = one_flow(folder, ipfix(templates(template(300, [(12, 4)] + WIDE[:-1]), template(256, [(BASIC[1], VARIABLE), (1, 4)])),
                                  data(256, variable(costly) + struct.pack(">I", 7)), at=TIME))
    assert flow["raw"]["elements"]["basicList"] == costly.hex() and "list" in flow["raw"]["notes"]
    assert "dst_ip" not in flow["normalized"]


def cpu_of(folder, path):
    """Receiving, decoding and encoding; nothing is written."""
    before = os.times()
    done = subprocess.run([f"{BUILD}/sluiced", "-o", 'sinks=({ name = "out"; type = "null"; })', "-o", f"state={folder}/state",
                           "-o", "log.sync=off", "-o", "workers=1", "--replay", path], capture_output=True, cwd=ROOT, timeout=120, check=False)
    after = os.times()
    assert done.returncode == 0
    return after.children_user + after.children_system - before.children_user - before.children_system


@pytest.mark.parametrize("name", COSTLY)
def test_costly(folder, name):
    """A message of lists as costly as they get: bounded, whole in raw, and not above 5 ms."""
    subs, kind, octets = COSTLY[name]
    message = ipfix(templates(*subs, template(256, [(8, 4), (kind[1], VARIABLE), (1, 4)])),
                    data(256, b"\x0a\0\0\1" + variable(octets) + struct.pack(">I", 7)), at=TIME)
    path = os.path.join(folder, "costly.pcap")
    capture(path, [message])
    flows, _ = replay(folder, path)
    assert [f["normalized"]["bytes"] for f in flows] == [7]
    cost = []
    for count in (1, 101):
        capture(path, [message] * count)
        cost.append(cpu_of(folder, path))
    registry = Registry()
    record, = Cutter().message(message)
    element, = [v for k, v in flows[0]["raw"]["elements"].items() if k.endswith("List")]
    if element != octets.hex():
        assert not judge(element, registry.list_kind(*kind), octets, record.templates, registry, is_text_of, note_of).wrong
    else:
        assert "list" in flows[0]["raw"]["notes"]
    each_ms = (cost[1] - cost[0]) / 100 * 1000
    print(f"{name}: {each_ms:.1f} ms of CPU a message, {len(element)} octets of text")
    assert each_ms < CPU_MS

