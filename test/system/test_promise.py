# SPDX-License-Identifier: Apache-2.0
"""Goal: nothing an exporter said is lost in translation, whatever `raw` is set to.

Method: captures of random templates and records (test/gen/exporter.py) and all real captures are cut by a
reader of their own (test/gen/cutter.py), replayed under each mode of raw, and each element of each record
is looked for in the flow event (test/gen/promise.py).  SLUICE_PROMISE_SEED chooses another seed,
SLUICE_PROMISE_COUNT how many templates.
"""
import glob
import json
import os
import shutil
import subprocess
import sys

import pytest

from conftest import BUILD, ROOT, read_flows

sys.path.insert(0, os.path.join(ROOT, "test", "gen"))
from cutter import Cutter  # noqa: E402
from exporter import Exporter  # noqa: E402
from promise import Oracle  # noqa: E402

SEED = int(os.environ.get("SLUICE_PROMISE_SEED", "2026"))
SAMPLED = {"tcp_rtt_us"}  # by sFlow alone
COUNT = int(os.environ.get("SLUICE_PROMISE_COUNT", "600"))
MODES = ("unpromoted", "full", "wire", "none")
COMPLAINTS_MAX = 20

CAPTURES = sorted(p for d in ("test/corpus", "../shared/corpus") for p in glob.glob(os.path.join(ROOT, d, "*.pcap"))
                  if "sflow" not in os.path.basename(p))


@pytest.fixture(scope="module")
def oracle():
    printed = subprocess.run([os.path.join(BUILD, "sluiced"), "--print-schema"], capture_output=True, check=True, cwd=ROOT)
    return Oracle(json.loads(printed.stdout))


def replay(folder, path, raw, selfcheck=0):
    """All flows of a capture in their order, and the ledger balanced."""
    home = os.path.join(folder, raw)
    sink = f'({{ name = "files"; type = "file"; path = "{home}/flows"; }})'
    done = subprocess.run([os.path.join(BUILD, "sluiced"), "-o", f"sinks={sink}", "-o", f"normalizer.raw={raw}",
                           "-o", f"state={home}/state", "-o", "workers=1", "-o", "normalizer.enrich=()",
                           "-o", f"collector.selfcheck={selfcheck}", "--replay", path],
                          capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)
    assert done.returncode == 0 and done.stdout.endswith("\nbalanced\n"), done.stdout[-2000:] + done.stderr[-2000:]
    assert "selfcheck.differs" not in done.stderr, done.stderr[-2000:]
    flows = read_flows(home)
    shutil.rmtree(home)
    return flows


def check(oracle, folder, path, records):
    """Each record against its flow under each mode; the normalized layer is the same under all."""
    first = None
    for raw in MODES:
        flows = replay(folder, path, raw, selfcheck=1)
        assert len(flows) == len(records)
        complaints = []
        for at, (record, flow) in enumerate(zip(records, flows)):
            complaints += [f"{raw}, record {at} (version {record.version}): {c}" for c in oracle.check(record, flow, raw)]
            if first is not None and differs(first[at], flow):
                complaints.append(f"{raw}, record {at}: normalized is not that of {MODES[0]}")
        assert not complaints, f"{len(complaints)} complaints\n" + "\n".join(complaints[:COMPLAINTS_MAX])
        first = first or flows
    return first


def differs(a, b):
    """Not a number is equal to itself here."""
    return a["record_id"] != b["record_id"] or repr(a["normalized"]) != repr(b["normalized"])


def datagrams(path):
    """tshark's: peer, port and octets; not those of a packet that is told inside."""
    fields = ("ip.src", "ipv6.src", "udp.srcport", "udp.payload")
    done = subprocess.run(["tshark", "-r", path, "-T", "fields", "-E", "occurrence=f", *(w for f in fields for w in ("-e", f))],
                          capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        v4, v6, port, payload = (line.split("\t") + [""] * 4)[:4]
        if payload:
            yield bytes.fromhex(payload.replace(":", "")), v4 or v6, port


def cut(path):
    cutter = Cutter()
    return [record for octets, peer, port in datagrams(path) for record in cutter.message(octets, peer, port)]


def test_random(oracle, folder):
    print(f"SLUICE_PROMISE_SEED={SEED} SLUICE_PROMISE_COUNT={COUNT}")
    path = os.path.join(folder, "random.pcap")
    said = Exporter(SEED, oracle.registry, oracle.mappings).write(path, COUNT)
    records = cut(path)
    # What was meant is what stands in the capture.
    wrong = [i for i, (r, s) in enumerate(zip(records, said)) if (r.fields, r.octets) != s]
    assert len(records) == len(said) and not wrong
    flows = check(oracle, folder, path, records)
    # Each field that a mapping names was put to the test.
    filled = {field for flow in flows for field, value in flow["normalized"].items() if value is not None}
    missing = oracle.mapped - filled - SAMPLED
    assert COUNT < 300 or not missing, missing


@pytest.mark.parametrize("path", CAPTURES, ids=lambda p: os.path.basename(p)[:-5])
def test_capture(oracle, folder, path):
    records = cut(path)
    check(oracle, folder, path, records)
