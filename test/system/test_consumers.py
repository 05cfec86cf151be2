# SPDX-License-Identifier: Apache-2.0
"""Goal: what doc/consumers says to type works, as it stands there, and gives the numbers of the flows that were sent.

Method: the blocks marked `run` are taken from the document and run in a folder with files of the sink itself, in both layouts; what
they print is compared with what Python computes from the rows.
"""
import collections
import csv
import importlib.util
import io
import os
import re
import subprocess
import sys

import pytest

from conftest import BUILD, ROOT
from lake import read_lake

CAPTURES = ("demo", "sluicegen_ipfix_nprobe", "sluicegen_v9_rich", "softflowd_v5", "openvswitch_ipfix")
BLOCK = re.compile(r"^<!-- run: ([\w-]+) -->\n```(\w+)\n(.*?)^```$", re.M | re.S)


def blocks(page):
    with open(os.path.join(ROOT, "doc", "consumers", page), encoding="utf-8") as f:
        return {name: (language, text) for name, language, text in BLOCK.findall(f.read())}


PAGE = blocks("parquet.md")


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("lake"))
    sinks = (f'({{ name = "files"; type = "parquet"; path = "{folder}/flows"; }}, '
             f'{{ name = "nested"; type = "parquet"; path = "{folder}/flows-nested"; layout = "nested"; codec = "zstd"; }})')
    words = ["-c", "etc/sluice.conf", "-o", f"state={folder}/state", "-o", f"sinks={sinks}", "--replay"]
    words += [os.path.join(ROOT, "test", "corpus", f"{c}.pcap") for c in CAPTURES]
    subprocess.run([os.path.join(BUILD, "sluiced"), *words], cwd=ROOT, check=True, capture_output=True, timeout=60)
    rows = read_lake(f"{folder}/flows")
    assert len(rows) >= 200 and len({r["event_type"] for r in rows}) > 3
    # What a reader must not look at.
    with open(f"{folder}/flows/.half.parquet.tmp", "wb") as f:
        f.write(b"PAR1")
    return folder, rows


def run_sql(text, folder):
    """The last statement's rows."""
    import duckdb
    con = duckdb.connect()
    was = os.getcwd()
    os.chdir(folder)
    try:
        for statement in con.extract_statements(text):
            con.execute(statement)
        return con.fetchall()
    finally:
        os.chdir(was)


def run_python(text, folder):
    done = subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(name, folder):
    language, text = PAGE[name]
    return run_sql(text, folder) if language == "sql" else run_python(text, folder)


def octets(rows):
    values = [r["bytes"] for r in rows if r["bytes"] is not None]
    return sum(values) if values else None


def test_duckdb_types(lake):
    folder, rows = lake
    want = collections.defaultdict(list)
    for r in rows:
        want[r["event_type"]].append(r)
    got = collections.defaultdict(lambda: (0, 0))
    for kind, _, flows, total in run("duckdb-types", folder):
        got[kind] = (got[kind][0] + flows, got[kind][1] + (total or 0))
    assert got == {k: (len(v), octets(v) or 0) for k, v in want.items()}


def test_duckdb_view(lake):
    """Of the last 30 days, when the captures are not so old."""
    folder, rows = lake
    language, text = PAGE["duckdb-view"]
    assert language == "sql" and "INTERVAL 30 DAY" in text and "current_date - 31" in text
    run_sql(text, folder)
    sums = collections.Counter()
    for r in rows:
        sums[r["src_ip"], r["dst_ip"], r["protocol"]] += r["bytes"] or 0
    want = sorted(((*k, v) for k, v in sums.items()), key=lambda x: (-x[3], x[:3]))[:10]
    assert run_sql(text.replace("30 DAY", "30000 DAY").replace("current_date - 31", "DATE '1970-01-01'"), folder) == want


def test_duckdb_nested(lake):
    folder, rows = lake
    want = sorted((r["src_ip"], r["direction"], sorted(r["raw"]["elements"])) for r in rows if r["raw"]["elements"])
    assert want and sorted((ip, d, sorted(e.items())) for ip, d, e in run("duckdb-nested", folder)) == want


def test_duckdb_metadata(lake):
    folder, rows = lake
    got = run("duckdb-metadata", folder)
    files = {name for name, _, _ in got}
    assert sum(int(value) for _, key, value in got if key == "sluice.records") == len(rows)
    with open(os.path.join(ROOT, "doc", "consumers", "parquet.md"), encoding="utf-8") as f:
        told = set(re.findall(r"`(sluice\.\w+)`", f.read()))
    assert {(name, key) for name, key, _ in got} == {(name, key) for name in files for key in told - {"sluice.schema"}}


def test_pyarrow(lake):
    folder, rows = lake
    some = [r for r in rows if r["protocol"] == "tcp" and (r["bytes"] or 0) > 1000]
    assert some and run("pyarrow", folder).split() == [str(len(some)), str(octets(some))]
    assert run("pyarrow-unify", folder).split() == [str(len(rows))]


def test_polars(lake):
    folder, rows = lake
    groups = collections.defaultdict(list)
    for r in rows:
        if r["protocol"] == "udp":
            groups[r["dst_port"]].append(r)
    want = {(str(port), str(len(g)), str(octets(g) or 0)) for port, g in groups.items()}
    assert want and {tuple(r.values()) for r in csv.DictReader(io.StringIO(run("polars", folder).strip() + "\n"))} == want


@pytest.mark.skipif(importlib.util.find_spec("pyiceberg") is None, reason="pyiceberg is not installed: pip install 'pyiceberg[sql-sqlite,pyarrow]'")
def test_pyiceberg(lake):
    folder, rows = lake
    added, count = run("pyiceberg", folder).split()
    assert int(added) > 3 and int(count) == len(rows)
    assert run("pyiceberg", folder).split() == ["0", str(len(rows))]


def test_every_marked_block_is_run():
    with open(__file__, encoding="utf-8") as f:
        used = set(re.findall(r'(?:run\(|PAGE\[)"([\w-]+)"', f.read()))
    assert set(PAGE) == used
    assert {language for language, _ in PAGE.values()} == {"sql", "python"}
