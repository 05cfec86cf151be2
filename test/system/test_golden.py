# SPDX-License-Identifier: Apache-2.0
"""Goal: every field of every flow record reads as tshark reads it, through both decoders.

Method: each capture that has a tshark reading beside it is replayed with raw = "full", by the plan and by
libfixbuf.  Both outputs must be the same; the flows are then paired with tshark's in their order.  Each
canonical field that the reading determines must be what golden_oracle makes of it, and each field of ours
must be determined; each element that tshark names is compared with raw.elements.  A difference passes only
with the clause of the RFC that explains it.
"""
import collections
import glob
import json
import os
import re
import subprocess
import sys

import pytest

import conftest
import golden_oracle as oracle
import golden_tshark as tshark
from conftest import BUILD, ROOT

sys.path.insert(0, os.path.join(ROOT, "test", "gen"))
from cutter import Cutter  # noqa: E402
from lists import judge, walk  # noqa: E402
from promise import is_text_of, note_of  # noqa: E402
from registry import Registry  # noqa: E402

REGISTRY = Registry()
# tshark shows the octets of a list; what YAF's mapping takes out of it.
INSIDE = {(0, 56): "src_mac", (0, 80): "dst_mac"}

CAPTURES = sorted(p for d in (os.path.join(ROOT, "test/corpus"), os.path.join(ROOT, "../shared/corpus"))
                  for p in glob.glob(os.path.join(d, "*.pcap"))
                  if os.path.exists(p[:-5] + ".tshark.json") and "sflow" not in os.path.basename(p))


def replay(path, decoder, raw="full"):
    done = subprocess.run([os.path.join(BUILD, "sluiced"), "-o", 'sinks=({ name = "out"; type = "stdout"; })',
                           "-o", f"collector.decoder={decoder}", "-o", f"normalizer.raw={raw}", "-o", "state=/tmp/sluice-golden-state",
                           "-o", "normalizer.enrich=()", "-o", "collector.selfcheck=1", "--replay", path],
                          capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    flows, ledger = done.stdout.splitlines(), done.stderr.splitlines()
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert ledger and ledger[-1] == "balanced", ledger
    return flows, ledger


def is_all_read(path, ledger):
    """Each message was read; so were as many records as tshark has, options data among them, and no more sets were left over."""
    said = {line.split("  ")[0]: line for line in ledger}
    records, unknown = tshark.tshark_counts(path)
    left = sum(int(n) for n in re.findall(r" \+ \w+ (\d+)", said["data sets"]))
    (arrived, read), = re.findall(r"messages (\d+) = read (\d+)$", said["messages"])
    return arrived == read and f"records {records} = " in said["records"] and left == unknown


class Comparison:
    """Counts of one capture, and every difference."""

    def __init__(self, capture, path):
        self.capture, self.path, self.records = capture, path, None
        self.count, self.clauses, self.differences = collections.Counter(), collections.Counter(), []
        self.proven, self.silent_leaves = set(), collections.Counter()

    def value(self, where, name, theirs, ours, is_equal):
        """One comparison: equal, explained or a difference."""
        kind = where.split()[0]
        self.count[kind] += 1
        if is_equal:
            self.count[kind + " equal"] += 1
            return
        clause = oracle.explained(self.capture, name, theirs, ours)
        if clause:
            self.count[kind + " explained"] += 1
            self.clauses[name, clause] += 1
        else:
            self.differences.append(f"{where} {name}: tshark {theirs!r}, ours {ours!r}")

    def templates(self, number):
        """Those in force at the record."""
        if self.records is None:
            cutter = Cutter()
            self.records = [r for f in tshark.frames(self.path) for r in cutter.message(bytes.fromhex(f["octets"]))]
        return self.records[number].templates

    def lists(self, number, record):
        """(element, which list) of those that the record has."""
        return [(e, REGISTRY.list_kind(*e.key)) for e in record.elements if REGISTRY.list_kind(*e.key) and e.value]

    def fields(self, number, record, ours):
        wanted = oracle.canonical(record)
        for e, kind in self.lists(number, record):
            for identity, octets in walk(kind, e.value, self.templates(number), REGISTRY):
                if identity in INSIDE:
                    wanted.setdefault(INSIDE[identity], octets.hex(":"))
        said = {k: v for k, v in ours["normalized"].items() if v is not None}
        for name in sorted(set(wanted) | set(said)):
            is_equal = name in wanted and name in said and wanted[name] == said[name]
            self.value(f"field {number}", name, wanted.get(name), said.get(name), is_equal)
            if is_equal:
                self.proven.add(name)

    def elements(self, number, record, ours):
        left, used = dict(ours["raw"]["elements"]), collections.Counter()
        for e in record.elements:
            used[e.name] += 1
            key = e.name if used[e.name] == 1 else f"{e.name}#{used[e.name]}"
            text = left.pop(key, None)
            kind = REGISTRY.list_kind(*e.key)
            if kind and e.value and text is not None:
                wrong = judge(text, kind, e.value, self.templates(number), REGISTRY, is_text_of, note_of).wrong
                self.value(f"element {number}", key, e.value, text, not wrong)
                continue
            self.value(f"element {number}", key, e.value, text, text is not None and tshark.raw_equal(e, text))
            self.leaves(number, e)
        # What tshark has no leaf for has no octets.
        self.differences += [f"element {number} {key}: tshark none, ours {text!r}" for key, text in left.items() if text != ""]
        for leaf, _ in record.deltas_and_unread():
            self.silent_leaves[leaf] += 1

    def leaves(self, number, element):
        self.count["leaf"] += 1
        for name, text in element.leaves[1:]:
            agrees = tshark.leaf_agrees(element, name, text)
            if agrees is None:
                self.silent_leaves[name] += 1
            else:
                self.count["leaf"] += 1
                self.value(f"part {number}", name, text, element.value, agrees)


@pytest.mark.parametrize("path", CAPTURES, ids=lambda p: os.path.basename(p)[:-5])
def test_capture(path):
    (by_plan, ledger), (by_fixbuf, _) = replay(path, "plan"), replay(path, "fixbuf")
    assert by_plan == by_fixbuf
    assert is_all_read(path, ledger), ledger
    ours = [json.loads(line) for line in by_plan]
    theirs = tshark.tshark_records(path)
    assert len(theirs) == len(ours)
    c = Comparison(os.path.basename(path)[:-5], path)
    for i, (record, flow) in enumerate(zip(theirs, ours)):
        c.fields(i, record, flow)
        c.elements(i, record, flow)
    print(f"golden {c.capture}: {len(ours)} flows, {dict(c.count)}, explained {dict(c.clauses)}")
    assert not c.differences, f"{len(c.differences)} differences, the first:\n" + "\n".join(c.differences[:20])
    conftest.golden_add(c, len(ours))


@pytest.mark.parametrize("path", CAPTURES, ids=lambda p: os.path.basename(p)[:-5])
def test_wire(path):
    """Each record's octets stand in the datagrams as tshark cuts them, one behind the other."""
    octets = "|".join(frame["octets"] for frame in tshark.frames(path))
    at = 0
    flows = [json.loads(line) for line in replay(path, "plan", "wire")[0]]
    for i, f in enumerate(flows):
        wire = f["raw"]["wire"]
        found = octets.find(wire, at)
        assert wire and found >= 0, f"the octets of flow {i} are not behind those of the one before"
        at = found + len(wire)
    assert len(flows) == len(replay(path, "plan")[0])
