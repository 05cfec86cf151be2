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
import re
import struct
import subprocess
import sys
import time

import pytest

from conftest import BUILD, ROOT

sys.path.insert(0, os.path.join(ROOT, "test", "gen"))
sys.path.insert(0, os.path.join(ROOT, "test", "rfc"))
from cutter import Cutter  # noqa: E402
from exporter import TIME, Exporter  # noqa: E402
from lists import judge  # noqa: E402
from promise import is_text_of, note_of  # noqa: E402
from registry import Registry, mappings  # noqa: E402
from wire import VARIABLE, data, define, ipfix, template, templates, variable  # noqa: E402

SEED = int(os.environ.get("SLUICE_LISTS_SEED", "2026"))
COUNT = int(os.environ.get("SLUICE_LISTS_COUNT", "500"))
BASIC, SUB, MULTI = (0, 291), (0, 292), (0, 293)
KINDS = {"basicList": BASIC, "subTemplateList": SUB, "subTemplateMultiList": MULTI}
DEPTH_MAX = 6  # two more than are opened


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
