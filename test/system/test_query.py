# SPDX-License-Identifier: Apache-2.0
"""Goal: scripts/query answers what the flow files say, whatever layout they have: each question's numbers are those that Python
computes from the same flows, the computed columns are those that the enrichers give, and what may happen to a folder of files
(none yet, some that go, half ones, odd names) is no error, or a clear one.

Method: captures and messages made here are replayed with all enrichers; the flows, with the fields of `time` and `totals` taken out,
are written by pyarrow in either layout.
"""
import collections
import copy
import csv
import importlib.util
import io
import itertools
import json
import os
import pty
import random
import select
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

import fastavro
import pytest

from conftest import BUILD, ROOT
from lake import write_lake

CAPTURES = ("demo", "sluicegen_ipfix_nprobe", "sluicegen_v9_rich", "softflowd_v9_sampled", "softflowd_v5", "openvswitch_ipfix", "pmacctd_v9_rich")
TOTALS = ("total_bytes", "total_packets", "bytes_per_second", "packets_per_second", "bytes_per_packet", "byte_ratio", "ip_family")
TIME = ("event_hour", "event_year", "event_month", "event_day", "event_weekday", "event_date")
LAYOUTS = ("flat", "nested", "mixed")
QUERY = os.path.join(ROOT, "scripts", "query")
NOW_MS = 1790000000000

spec = importlib.util.spec_from_file_location("query", os.path.join(ROOT, "scripts", "query.d", "query.py"))
query = importlib.util.module_from_spec(spec)
spec.loader.exec_module(query)


# ---- flows ----

COUNTS = (0, 1, 7, 1500, 2 ** 53 + 1, 2 ** 63 - 1, 2 ** 64 - 1)
TIMES = (0, 1, 999, 86399999, 86400000, 951782399999, 951782400000, NOW_MS, NOW_MS + 1, NOW_MS + 60000, 4102444799999, 253402300799999, 253402300800000)
ELEMENTS = ((struct.pack(">HH", 1, 8), COUNTS), (struct.pack(">HH", 2, 8), COUNTS), (struct.pack(">HHI", 0x8001, 8, 29305), COUNTS),
            (struct.pack(">HHI", 0x8002, 8, 29305), COUNTS), (struct.pack(">HH", 152, 8), TIMES), (struct.pack(">HH", 153, 8), TIMES),
            (struct.pack(">HH", 162, 8), (0, 999, 1000, 61000000)))
ADDRESSES = ((b"", b""), (struct.pack(">HH", 8, 4), bytes([10, 0, 0, 1])), (struct.pack(">HH", 12, 4), bytes([10, 0, 0, 2])),
             (struct.pack(">HH", 27, 16), b"\x20\x01\x0d\xb8" + bytes(12)), (struct.pack(">HH", 28, 16), bytes(10) + b"\xff\xff\x01\x02\x03\x04"))


def edge_messages():
    """Templates with every choice of counters, times and addresses, and records of odd values."""
    rng = random.Random(7)
    for number in range(300):
        chosen = [e for e in ELEMENTS if rng.random() < 0.7]
        address, octets = rng.choice(ADDRESSES)
        fields = b"".join(e[0] for e in chosen) + address
        count = len(chosen) + bool(address)
        if count == 0:
            continue
        records = b"".join(b"".join(rng.choice(e[1]).to_bytes(8, "big") for e in chosen) + octets for _ in range(4))
        sets = struct.pack(">HHHH", 2, 8 + len(fields), 300 + number, count) + fields + struct.pack(">HH", 300 + number, 4 + len(records)) + records
        yield struct.pack(">HHIII", 10, 16 + len(sets), NOW_MS // 1000, number, 9) + sets


def write_capture(path, messages):
    """Raw IPv4, without checksums."""
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
        for m in messages:
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + len(m), 0, 0, 64, 17, 0, bytes([192, 0, 2, 9]), bytes([192, 0, 2, 10]))
            frame = ip + struct.pack(">HHHH", 4000, 4739, 8 + len(m), 0) + m
            f.write(struct.pack("<IIII", NOW_MS // 1000, 0, len(frame), len(frame)) + frame)


def replay(folder):
    """Flows of the captures and of the messages, with all enrichers that SQL is to stand in for."""
    edges = os.path.join(folder, "edges.pcap")
    write_capture(edges, edge_messages())
    words = ["-c", "etc/sluice.conf", "-o", f"state={folder}/state", "-o", f'sinks=({{ name = "f"; type = "file"; path = "{folder}/avro"; }})',
             "-o", 'normalizer.enrich=("network","service","community_id","derived","totals","time")', "--replay", edges]
    words += [os.path.join(ROOT, "test", "corpus", f"{c}.pcap") for c in CAPTURES]
    subprocess.run([os.path.join(BUILD, "sluiced"), *words], cwd=ROOT, check=True, capture_output=True, timeout=60)
    for at, _, names in os.walk(f"{folder}/avro"):
        for name in names:
            if name.endswith(".avro"):
                with open(os.path.join(at, name), "rb") as f:
                    yield from fastavro.reader(f)


def more_flows(flows):
    """Copies with values that captures have too few of: repeated names and errors of DNS, gaps, samplings, refused connections."""
    rng = random.Random(11)
    base = [f for f in flows if f["normalized"]["src_port"] is not None and f["normalized"]["exporter_ip"] != "192.0.2.9"]
    for i in range(400):
        f = copy.deepcopy(rng.choice(base))
        n, e = f["normalized"], f["enriched"]
        f["record_id"] = i.to_bytes(16, "big")
        n.update(src_ip=f"10.1.0.{rng.randrange(9)}", dst_ip=f"10.2.0.{rng.randrange(9)}", bytes=rng.randrange(10 ** 6), packets=rng.randrange(1, 999),
                 reverse_bytes=rng.choice((None, 0, 12345)), sampling_rate=rng.choice((None, 0, 1, 100)), exporter_ip=f"192.0.2.{rng.randrange(2)}",
                 dns_query=rng.choice((None, "a.example", "b.example", "it's \"odd\".example")), dns_rcode=rng.choice((None, 0, 2, 3, 5)),
                 tls_sni=rng.choice((None, "x.example", "ü.example")), export_sequence=i // 5, export_time=NOW_MS + i // 100 * 3600000,
                 in_interface_name=rng.choice((None, "ge-0")), in_interface=rng.randrange(3), dst_port=rng.randrange(50))
        n["observation_domain_id"] = n["export_sequence"] % 3
        e.update(sequence_gap=n["export_sequence"] % 4 or None, tcp_session_state=rng.choice((None, "syn_only", "reset", "closed")),
                 server_port=rng.choice((None, 53, 443)), service_name=rng.choice((None, "domain", "https")), exporter_name="edge",
                 ndpi_app=rng.choice((None, "DNS", "QUIC")))
        recompute(f)
        yield f


def recompute(f):
    """What `totals` gives, for a flow that was made here."""
    n, e = f["normalized"], f["enriched"]
    total = sum(n[k] or 0 for k in ("bytes", "reverse_bytes"))
    packets = sum(n[k] or 0 for k in ("packets", "reverse_packets"))
    ms = n["flow_end_time"] - n["flow_start_time"]
    e.update(total_bytes=total, total_packets=packets, bytes_per_second=total / ((ms or 1) / 1000), packets_per_second=packets / ((ms or 1) / 1000),
             bytes_per_packet=total / packets if (n["reverse_bytes"] is None) == (n["reverse_packets"] is None) and packets > 0 else None,
             byte_ratio=n["reverse_bytes"] / n["bytes"] if n["reverse_bytes"] is not None and n["bytes"] > 0 else None, ip_family="ipv4")
    assert ms >= 0


class Sample:
    def __init__(self, folder):
        self.folder = folder
        self.schema = json.loads(subprocess.run([os.path.join(BUILD, "sluiced"), "-c", "etc/sluice.conf", "--print-schema"], cwd=ROOT, check=True,
                                                capture_output=True, timeout=60).stdout)
        flows = list(replay(folder))
        self.flows = flows + list(more_flows(flows))
        self.lakes = {}
        self.stripped = copy.deepcopy(self.flows)
        for f in self.stripped:
            f["enriched"].update(dict.fromkeys(TOTALS + TIME))
        for layout in LAYOUTS:
            half = len(flows) if layout == "mixed" else 0
            write_lake(self.stripped[half:], self.schema, self.of(layout), "flat" if layout == "mixed" else layout, "a")
            if half:
                write_lake(self.stripped[:half], self.schema, self.of(layout), "nested", "b")

    def ask(self, layout, n, sql):
        """In this process, of what a table of a day's traffic has: odd times would make one step of the timeline."""
        if layout not in self.lakes:
            self.lakes[layout] = open_lake(self.of(layout), until=query.time_of("9999-12-31T23:59:59.999999"))
        self.lakes[layout].con.execute(f"SET VARIABLE n = {n}")
        out = io.StringIO()
        query.answer(self.lakes[layout], query.sql_of(sql), "json", out)
        return json.loads(out.getvalue())

    def of(self, layout):
        return os.path.join(self.folder, layout)


@pytest.fixture(scope="module")
def sample():
    folder = tempfile.mkdtemp(prefix="sluice-test-")
    yield Sample(folder)
    shutil.rmtree(folder)


def ask(*words, code=0, **kwargs):
    done = subprocess.run([QUERY, *map(str, words)], capture_output=True, text=True, timeout=120, check=False, **kwargs)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def rows_of(*words):
    return json.loads(ask("--json", *words))


# ---- columns ----

def open_lake(folder, **kwargs):
    import duckdb
    lake = query.Lake(duckdb, folder, **kwargs)
    lake.refresh()
    return lake


@pytest.mark.parametrize("layout", LAYOUTS)
def test_computed_columns_are_the_enrichers(sample, layout):
    lake = open_lake(sample.of(layout))
    names = ", ".join((*TOTALS, *TIME[:-1], "event_date - DATE '1970-01-01'"))
    got = {r[0]: r[1:] for r in lake.con.execute(f"SELECT record_id, {names} FROM flows").fetchall()}
    want = {f["record_id"]: tuple(f["enriched"][c] for c in TOTALS + TIME) for f in sample.flows}
    # NetFlow data sets of two captures are the same ones.
    assert len(want) > 1000 and got == want
    for i, column in enumerate(TOTALS + TIME):
        values = {w[i] for w in want.values()}
        assert len(values) >= 2 and (None in values or column in TIME), (column, values)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_columns(sample, layout):
    """Each field is a column of its name, with its value; raw stays, and folders' keys are columns."""
    lake = open_lake(sample.of(layout))
    fields = {f["name"]: f for f in sample.schema["fields"]}
    names = [x["name"] for layer in ("normalized", "enriched") for x in fields[layer]["type"]["fields"]]
    described = [r[0] for r in lake.con.execute("DESCRIBE flows").fetchall()]
    assert described == ["record_id", *names, "raw", "date", "hour"]
    plain = [n for n in names if n not in TOTALS + TIME and not n.endswith("_time")]
    rows = lake.con.execute(f"SELECT record_id, {', '.join(map(query.name, plain))} FROM flows").fetchall()
    want = {f["record_id"]: {**f["normalized"], **f["enriched"]} for f in sample.flows}
    assert len(rows) == len(sample.flows)
    for row in rows:
        assert list(row[1:]) == [want[row[0]][n] for n in plain]
    elements = lake.con.execute("SELECT record_id, raw.elements, raw.protocol_version FROM flows").fetchall()
    raw = {f["record_id"]: f["raw"] for f in sample.flows}
    assert all((dict(e), v) == (raw[i]["elements"], raw[i]["protocol_version"]) for i, e, v in elements) and any(e for _, e, _ in elements)
    times = lake.con.execute("SELECT record_id, epoch_ms(event_time), epoch_ms(flow_start_time), strftime(event_time AT TIME ZONE 'UTC', '%Y-%m-%d/%H') = "
                             "date || '/' || hour FROM flows").fetchall()
    assert all(t == (want[i]["event_time"], want[i]["flow_start_time"]) for i, *t in ((r[0], *r[1:3]) for r in times) for t in [tuple(t)])
    assert all(r[3] for r in times if r[1] < 253402300800000)


def test_the_sinks_own_files(sample, folder):
    """The same flows by the sink, in both layouts and in one folder, are what pyarrow wrote."""
    sinks = ", ".join(f'{{ name = "{x}"; type = "parquet"; path = "{folder}/{x}"; layout = "{x}"; }}' for x in ("flat", "nested"))
    words = ["-c", "etc/sluice.conf", "-o", f"state={folder}/state", "-o", f"sinks=({sinks})",
             "-o", 'normalizer.enrich=("network","service","community_id","derived")', "--replay", os.path.join(sample.folder, "edges.pcap")]
    words += [os.path.join(ROOT, "test", "corpus", f"{c}.pcap") for c in CAPTURES]
    subprocess.run([os.path.join(BUILD, "sluiced"), *words], cwd=ROOT, check=True, capture_output=True, timeout=60)
    sql = "SELECT * EXCLUDE (date, hour) REPLACE (raw::VARCHAR AS raw) FROM flows WHERE record_id > '\\x00\\x00\\x00\\x00\\x00\\x00\\x01'::BLOB ORDER BY ALL"
    want = sample.ask("flat", 1, sql)
    assert len(want) > 1000
    for layout in ("flat", "nested"):
        got = rows_of("-d", f"{folder}/{layout}", "--until", "9999-12-31T23:59:59.999999", sql)
        assert got == want
    assert rows_of("-d", folder, "SELECT count(*) AS n, count(DISTINCT record_id) AS d FROM flows")[0]["n"] == \
        2 * rows_of("-d", f"{folder}/flat", "SELECT count(*) AS n FROM flows")[0]["n"]


def test_stored_values_stay(sample, folder):
    """What an enricher wrote is not computed again."""
    some = copy.deepcopy(sample.stripped[:3])
    some[0]["enriched"].update(total_bytes=-5, event_year=1, ip_family="other", byte_ratio=0.25)
    for layout in ("flat", "nested"):
        write_lake(some, sample.schema, f"{folder}/{layout}", layout)
        rows = rows_of("-d", f"{folder}/{layout}", "SELECT total_bytes, event_year, ip_family, byte_ratio FROM flows WHERE event_year = 1")
        assert rows == [{"total_bytes": -5, "event_year": 1, "ip_family": "other", "byte_ratio": 0.25}]


@pytest.mark.parametrize("layout", ("flat", "nested"))
def test_older_and_newer_schema(sample, folder, layout):
    """Files of a version that had fewer fields, and of one that has more."""
    older, newer = copy.deepcopy(sample.schema), copy.deepcopy(sample.schema)
    gone = ("reverse_bytes", "total_bytes", "event_year", "duration_us", "sequence_gap", "dns_query")
    for schema, lacks, has in ((older, gone, []), (newer, (), [{"name": "new_field", "type": ["null", "long"]}])):
        for field in schema["fields"]:
            if field["name"] in ("normalized", "enriched"):
                field["type"]["fields"] = [x for x in field["type"]["fields"] if x["name"] not in lacks]
        schema["fields"][1]["type"]["fields"] += has
    some = copy.deepcopy(sample.stripped[-50:])
    for i, f in enumerate(some):
        f["normalized"]["new_field"] = i
    assert [x["name"] for x in newer["fields"]][:2] == ["record_id", "normalized"]
    write_lake(some[:20], older, folder, layout, "old")
    only = rows_of("-d", folder, "SELECT count(total_bytes) AS n, count(event_year) AS y, count(reverse_bytes) AS r, sum(total_bytes) AS s FROM flows")
    want = sum(f["normalized"]["bytes"] or 0 for f in some[:20])
    assert only == [{"n": sum(f["normalized"]["bytes"] is not None for f in some[:20]), "y": 20, "r": 0, "s": want}]
    write_lake(some[20:], newer, folder, layout, "new")
    rows = rows_of("-d", folder, "SELECT new_field FROM flows WHERE new_field IS NOT NULL ORDER BY 1")
    assert [r["new_field"] for r in rows] == list(range(20, 50))
    assert rows_of("-d", folder, "SELECT count(*) AS n FROM flows WHERE event_year IS NOT NULL") == [{"n": 50}]


# ---- questions ----

def scaled(f, value):
    return (value or 0) * max(f["sampling_rate"] or 1, 1)


def total(f, what="bytes"):
    return scaled(f, (f[what] or 0) + (f["reverse_" + what] or 0) if (f[what] or 0) + (f["reverse_" + what] or 0) < 2 ** 63 else 2 ** 63 - 1)


def grouped(flows, key):
    groups = collections.defaultdict(list)
    for f in flows:
        groups[key(f)].append(f)
    return groups.items()


def last(value):
    """None comes last."""
    return (value is None, value)


def most(values):
    return max((v for v in values if v is not None), default=None)


def iso(ms):
    seconds, rest = divmod(ms, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:03d}Z"


def top_talkers(flows):
    sides = [(f[a + "_ip"], scaled(f, f[x]), scaled(f, f[y]), total(f, "packets")) for f in flows
             for a, x, y in (("src", "bytes", "reverse_bytes"), ("dst", "reverse_bytes", "bytes")) if f[a + "_ip"] is not None]
    rows = [{"address": a, "octets": sum(s[1] + s[2] for s in g), "sent": sum(s[1] for s in g), "received": sum(s[2] for s in g),
             "packets": sum(s[3] for s in g), "flows": len(g)} for a, g in grouped(sides, lambda s: s[0])]
    return sorted(rows, key=lambda r: (-r["octets"], r["address"]))


def conversations(flows):
    both = [f for f in flows if f["src_ip"] is not None and f["dst_ip"] is not None]
    rows = [{"one": a, "other": b, "protocol": p, "octets": sum(map(total, g)), "packets": sum(total(f, "packets") for f in g), "flows": len(g)}
            for (a, b, p), g in grouped(both, lambda f: (*sorted((f["src_ip"], f["dst_ip"])), f["protocol"]))]
    return sorted(rows, key=lambda r: (-r["octets"], r["one"], r["other"], last(r["protocol"])))


def first(*values):
    return next((v for v in values if v is not None), None)


def ports(flows):
    some = [f for f in flows if first(f["server_port"], f["dst_port"]) is not None]

    def server(f):
        return first(f["server_ip"], f["dst_ip"])

    def client(f):
        return f["dst_ip"] if server(f) is not None and server(f) == f["src_ip"] else f["src_ip"]
    rows = [{"port": port, "protocol": p, "service": most(f["service_name"] for f in g), "octets": sum(map(total, g)), "flows": len(g),
             "servers": len({server(f) for f in g} - {None}), "clients": len({client(f) for f in g} - {None})}
            for (port, p), g in grouped(some, lambda f: (first(f["server_port"], f["dst_port"]), f["protocol"]))]
    return sorted(rows, key=lambda r: (-r["octets"], r["port"], last(r["protocol"])))


def applications(flows):
    rows = [{"application": a, "octets": sum(map(total, g)), "packets": sum(total(f, "packets") for f in g), "flows": len(g),
             "sources": len({f["src_ip"] for f in g} - {None})}
            for a, g in grouped(flows, lambda f: first(f["ndpi_app"], f["app_name"], f["service_name"], "unknown"))]
    return sorted(rows, key=lambda r: (-r["octets"], r["application"]))


def dns(flows):
    rows = [{"name": q, "queries": len(g), "clients": len({f["src_ip"] for f in g} - {None}), "no_such_name": sum(f["dns_rcode"] == 3 for f in g),
             "failed": sum(f["dns_rcode"] not in (None, 0, 3) for f in g)} for q, g in grouped(flows, lambda f: f["dns_query"]) if q is not None]
    return sorted(rows, key=lambda r: (-r["queries"], r["name"]))


def tls(flows):
    rows = [{"server_name": s, "octets": sum(map(total, g)), "flows": len(g), "clients": len({f["src_ip"] for f in g} - {None})}
            for s, g in grouped(flows, lambda f: f["tls_sni"]) if s is not None]
    return sorted(rows, key=lambda r: (-r["octets"], r["server_name"]))


def exporters(flows):
    rows = []
    for (ip, source, domain), g in grouped(flows, lambda f: (f["exporter_ip"], f["source"], f["observation_domain_id"])):
        late = [f["ingest_latency_ms"] for f in g if f["ingest_latency_ms"] is not None]
        rows.append({"exporter_ip": ip, "name": most(f["exporter_name"] for f in g), "source": source, "domain": domain, "flows": len(g),
                     "octets": sum(map(total, g)), "first": iso(min(f["event_time"] for f in g)), "last": iso(max(f["event_time"] for f in g)),
                     "median_delay_ms": statistics.median(late) if late else None, "sampling_rate": most(f["sampling_rate"] for f in g)})
    return sorted(rows, key=lambda r: (-r["flows"], r["exporter_ip"], r["source"], last(r["domain"])))


def loss(flows):
    def place(f):
        return first(f["export_time"], f["ingest_time"]) // 3600000, f["exporter_ip"], f["source"], f["observation_domain_id"]
    rows = []
    for (hour, ip, source, domain), g in grouped(flows, place):
        gaps = {(f["exporter_port"], f["export_time"], f["export_sequence"]): f["sequence_gap"] or 0 for f in g}
        missing = sum(gaps.values())
        is_v9 = source == "netflow9"
        rows.append({"hour": iso(hour * 3600000), "exporter_ip": ip, "name": most(f["exporter_name"] for f in g), "source": source, "domain": domain,
                     "flows": len(g), "missing": missing, "unit": "messages" if is_v9 else "records",
                     "percent": 100 * missing / (missing + (len(gaps) if is_v9 else len(g)))})
    return sorted(sorted(rows, key=lambda r: (-r["missing"], r["exporter_ip"], r["source"], last(r["domain"]))), key=lambda r: r["hour"], reverse=True)


def timeline(flows, n=1000):
    times = [f["event_time"] for f in flows]
    steps = [s * 1000 for s in (1, 10, 60, 300, 600, 1800, 3600, 10800, 21600, 43200, 86400, 604800, 2592000)]
    step = next((s for s in steps if max(times) // s - min(times) // s < n), 365 * 86400000)
    return [{"start": iso(at * step), "flows": len(g), "octets": sum(map(total, g)), "packets": sum(total(f, "packets") for f in g),
             "bits_per_second": float(sum(map(total, g))) * 8000 / step} for at, g in sorted(grouped(flows, lambda f: f["event_time"] // step))][:n]


def scanners(flows):
    some = [f for f in flows if None not in (f["src_ip"], f["dst_ip"], f["dst_port"])]
    rows = [{"source": s, "targets": len({(f["dst_ip"], f["dst_port"]) for f in g}), "addresses": len({f["dst_ip"] for f in g}),
             "ports": len({f["dst_port"] for f in g}), "in_vain": sum(f["tcp_session_state"] in ("syn_only", "reset") for f in g), "flows": len(g)}
            for s, g in grouped(some, lambda f: f["src_ip"])]
    return sorted(rows, key=lambda r: (-r["targets"], -r["in_vain"], r["source"]))


def interfaces(flows):
    sides = [(f["exporter_ip"], f[x + "_interface"], f[x + "_interface_name"], scaled(f, f["bytes"]), x) for f in flows for x in ("in", "out")]
    rows = [{"exporter_ip": ip, "interface": i, "name": most(s[2] for s in g), "octets_in": sum(s[3] for s in g if s[4] == "in"),
             "octets_out": sum(s[3] for s in g if s[4] == "out"), "flows": len(g)} for (ip, i), g in grouped(sides, lambda s: s[:2]) if i is not None]
    return sorted(rows, key=lambda r: (-r["octets_in"] - r["octets_out"], r["exporter_ip"], r["interface"]))


QUESTIONS = {"top-talkers": top_talkers, "conversations": conversations, "ports": ports, "applications": applications, "dns": dns, "tls": tls,
             "exporters": exporters, "loss": loss, "timeline": timeline, "scanners": scanners, "interfaces": interfaces}


def is_close(got, want):
    """Sums of what is no whole number may differ in the last place."""
    return got.keys() == want.keys() and all(v == pytest.approx(want[k], rel=1e-12) if isinstance(v, float) else v == want[k] for k, v in got.items())


def test_every_question_is_tested():
    listed = dict(line.split("  ", 1) for line in ask("list").splitlines())
    assert {k.strip() for k in listed} == set(QUESTIONS) and all(len(v.strip()) > 20 for v in listed.values())


@pytest.mark.parametrize("question", QUESTIONS)
def test_question(sample, question):
    flows = [{**f["normalized"], **f["enriched"]} for f in sample.flows if f["normalized"]["event_time"] < 253402300800000]
    want = QUESTIONS[question](flows)
    assert len(want) >= 3
    for layout in LAYOUTS:
        got = sample.ask(layout, 1000, question)
        assert len(got) == min(len(want), 1000)
        for g, w in zip(got, want):
            assert is_close(g, w), (g, w)
    # A timeline of two steps is another one.
    two = rows_of("-d", sample.of("flat"), "-n", 2, "--until", "9999-12-31T23:59:59.999999", question)
    assert len(two) <= 2 and (question == "timeline" or two == got[:2])


def test_since_and_until(sample):
    times = sorted(f["normalized"]["event_time"] for f in sample.flows)
    low, high = NOW_MS - 10 ** 9, NOW_MS + 60000
    want = sum(low <= t < high for t in times)
    assert 0 < want < len(times)
    got = rows_of("-d", sample.of("mixed"), "--since", iso(low), "--until", iso(high), "SELECT count(*) AS n FROM flows")
    assert got == [{"n": want}]
    (narrow,) = timeline([{**f["normalized"], **f["enriched"]} for f in sample.flows if f["normalized"]["event_time"] == NOW_MS], 10)
    assert rows_of("-d", sample.of("nested"), "--since", iso(NOW_MS), "--until", iso(NOW_MS + 1), "timeline") == [narrow]
    # So long ago, of now.
    assert rows_of("-d", sample.of("flat"), "--since", "2w", "SELECT count(*) AS n FROM flows") == \
        [{"n": sum(t >= time.time() * 1000 - 14 * 86400000 for t in times)}]
    assert "is no time" in ask("-d", sample.of("flat"), "--since", "yesterday", "dns", code=2)


# ---- what comes out ----

def test_formats(sample, folder):
    sql = ("SELECT record_id, event_time, dns_query, src_as_path, [event_time] AS times, raw.elements AS elements, 1.5::DOUBLE AS f, 'nan'::DOUBLE AS x "
           "FROM flows WHERE dns_query LIKE 'it''s%' ORDER BY record_id LIMIT 2")
    sql = sql.replace("src_as_path, ", "")
    want = sorted((f for f in sample.flows if (f["normalized"]["dns_query"] or "").startswith("it's")), key=lambda f: f["record_id"])[:2]
    got = rows_of("-d", sample.of("flat"), sql)
    assert [(r["record_id"], r["event_time"], r["dns_query"], r["f"], r["x"]) for r in got] == \
        [(f["record_id"].hex(), iso(f["normalized"]["event_time"]), 'it\'s "odd".example', 1.5, None) for f in want]
    rows = list(csv.DictReader(io.StringIO(ask("-d", sample.of("flat"), "--csv", sql))))
    assert [(r["record_id"], r["dns_query"], r["f"]) for r in rows] == [(f["record_id"].hex(), 'it\'s "odd".example', "1.5") for f in want]
    table = ask("-d", sample.of("flat"), sql).splitlines()
    assert table[0].split()[:3] == ["record_id", "event_time", "dns_query"] and table[-1] == "(2 rows)" and want[0]["record_id"].hex() in table[2]
    # Several statements; those without a result say nothing.
    made = ask("-d", sample.of("flat"), "--csv", "CREATE TABLE t AS SELECT 1 AS a; INSERT INTO t VALUES (2); SELECT sum(a) AS s FROM t; SELECT 'x' AS y")
    assert made == "s\n3\ny\nx\n"
    assert "Read Parquet" in ask("-d", sample.of("flat"), "EXPLAIN SELECT count(*) FROM flows").replace("READ_PARQUET", "Read Parquet")
    # What came from the network does not steer a terminal.
    some = copy.deepcopy(sample.stripped[:1])
    some[0]["normalized"]["dns_query"] = "\x1b[2Jx\n\u202e"
    write_lake(some, sample.schema, folder, "flat")
    text = ask("-d", folder, "SELECT dns_query FROM flows")
    assert "\x1b" not in text and "\\x1b[2Jx\\x0a\\x202e" in text
    assert rows_of("-d", folder, "SELECT dns_query FROM flows") == [{"dns_query": "\x1b[2Jx\n\u202e"}]


def test_large_answers_come_whole(sample):
    sql = "SELECT a.record_id, b.event_time FROM flows a, flows b LIMIT 23456"
    assert len(ask("-d", sample.of("flat"), "--csv", sql).splitlines()) == 23457
    assert len(rows_of("-d", sample.of("flat"), sql)) == 23456
    done = subprocess.run([QUERY, "-d", sample.of("flat"), sql], capture_output=True, text=True, timeout=60, check=True)
    assert len(done.stdout.splitlines()) == 10003 and "only the first 10000 rows" in done.stderr
    # A reader that has enough.
    done = subprocess.run(f"{QUERY} -d {sample.of('flat')} --csv '{sql}' | head -1", shell=True, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "record_id,event_time\n" and done.stderr == ""


def test_standard_input_and_own_questions(sample, folder):
    assert ask("-d", sample.of("flat"), "--csv", input="SELECT count(*) AS n\nFROM flows;\nSELECT 2 AS two;") == f"n\n{len(sample.flows)}\ntwo\n2\n"
    for name, text in (("big", "-- The largest flow.\nSELECT max(bytes) AS b FROM flows LIMIT getvariable('n')"), ("dns", "-- Ours.\nSELECT 5 AS five")):
        with open(f"{folder}/{name}.sql", "w", encoding="utf-8") as f:
            f.write(text)
    env = {**os.environ, "SLUICE_QUERIES": f"{folder}/none:{folder}"}
    listed = ask("list", env=env)
    assert "big" in listed and "The largest flow." in listed and "Ours." in listed and "top-talkers" in listed
    largest = max(f["normalized"]["bytes"] or 0 for f in sample.flows)
    assert ask("-d", sample.of("flat"), "--csv", "big", env=env) == f"b\n{largest}\n"
    assert ask("-d", sample.of("flat"), "--csv", "dns", env=env) == "five\n5\n"


def read_to_prompt(fd, seconds=60):
    got, end = "", time.monotonic() + seconds
    while not got.endswith(("flows> ", "   ... ")):
        assert time.monotonic() < end and select.select([fd], [], [], seconds)[0], got
        got += os.read(fd, 65536).decode(errors="replace")
    return got


def test_prompt(sample, folder):
    """On a terminal; files that come meanwhile are there at the next question."""
    write_lake(sample.stripped[:10], sample.schema, folder, "flat", "one")
    master, slave = pty.openpty()
    process = subprocess.Popen([QUERY, "-d", folder, "--csv"], stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "dumb"})
    os.close(slave)

    def say(line, answer):
        os.write(master, line.encode() + b"\n")
        said = read_to_prompt(master)
        assert answer in said
        return said
    read_to_prompt(master)
    say("SELECT count(*) + 1000 AS n", "   ... ")
    say("FROM flows;", "1010\r\n")
    write_lake(sample.stripped[10:30], sample.schema, folder, "nested", "two")
    say("SELECT count(*) + 1000 AS n FROM flows;", "1030\r\n")
    say("SELEC 1;", "Parser Error")
    say("nonsens", "no question")
    say("\\list", "top-talkers")
    say("\\n 1", "flows> ")
    assert len(say("exporters", "exporter_ip").splitlines()) == 4  # its echo, a head, a row, the prompt
    say("\\columns", "event_time,")
    say("\\table", "flows> ")
    say("SELECT 77 AS a;", "(1 row)")
    say("\\?", "\\list")
    os.write(master, b"\\q\n")
    assert process.wait(timeout=20) == 0
    os.close(master)


# ---- folders ----

def test_odd_paths(sample, folder):
    """Quotes, blanks, percent signs and what a pattern means."""
    odd = f"{folder}/it's \"odd\" [a-z]*? 100%25/x=1"
    some = sample.stripped[:20]
    write_lake(some, sample.schema, odd, "flat", "na'me [1]*")
    assert rows_of("-d", odd, "SELECT count(*) AS n FROM flows") == [{"n": 20}]
    # A file that the pattern would also match is not read twice, and files without keys are read as well.
    shutil.copy(write_lake(some[:1], sample.schema, f"{folder}/other", "nested")[0], f"{odd}/na.parquet")
    assert rows_of("-d", odd, "SELECT count(*) AS n FROM flows") == [{"n": 21}]


def test_half_files_are_passed_over(sample, folder):
    paths = write_lake(sample.stripped[:20], sample.schema, folder, "flat")
    for path in (os.path.join(os.path.dirname(paths[0]), ".half.parquet.tmp"), os.path.join(os.path.dirname(paths[0]), ".hidden.parquet"), f"{folder}/.part.manifest-1", f"{folder}/x.parquet.tmp"):
        with open(path, "wb") as f:
            f.write(b"PAR1 half")
    os.mkdir(f"{folder}/.state")
    shutil.copy(paths[0], f"{folder}/.state/other.parquet")
    assert rows_of("-d", folder, "SELECT count(*) AS n FROM flows") == [{"n": 20}]
    with open(f"{folder}/bad.parquet", "wb") as f:
        f.write(b"not one of ours")
    error = ask("-d", folder, "dns", code=1)
    assert "bad.parquet" in error and "no complete Parquet file" in error


def test_files_that_go(sample, folder):
    """Retention takes files that are listed already; those that are there are answered from."""
    kept = write_lake(sample.stripped[:20], sample.schema, folder, "flat", "kept")
    goes = write_lake(sample.stripped[20:40], sample.schema, folder, "flat", "goes")
    lake = open_lake(folder)
    assert sorted(lake.files) == sorted(kept + goes)
    calls = []

    def work():
        calls.append(len(lake.files))
        if len(calls) == 1:
            for path in goes:
                os.unlink(path)
        return lake.con.execute("SELECT count(*), max(total_bytes) FROM flows").fetchone()[0]
    assert lake.again(work) == 20 and calls == [len(kept + goes), len(kept)]
    # What is wrong for good is not tried again.
    with pytest.raises(query.Trouble, match="nonsense"):
        lake.again(lambda: calls.append(0) or lake.con.execute("SELECT nonsense FROM flows"))
    assert len(calls) == 3
    for path in kept:
        os.unlink(path)
    with pytest.raises(query.Trouble, match="no flow files yet"):
        lake.again(work)


def test_files_that_come_and_go_all_the_time(sample, folder):
    kept = write_lake(sample.stripped[:50], sample.schema, folder, "flat", "kept")
    stopping = threading.Event()

    def churn():
        for i in itertools.count():
            if stopping.is_set():
                return
            path = kept[0].replace("kept", f"f{i}")
            shutil.copy(kept[0], path + ".tmp")
            os.rename(path + ".tmp", path)
            time.sleep(0.2)
            os.unlink(path)
    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(6):
            (row,) = rows_of("-d", folder, "SELECT count(DISTINCT record_id) AS n FROM flows")
            assert row["n"] == 50
    finally:
        stopping.set()
        thread.join()


def test_what_is_wrong_is_said(sample, folder):
    for words, code, text in ((["-d", f"{folder}/none", "dns"], 1, "no such folder"), (["-d", folder, "dns"], 1, "no flow files yet"),
                              (["-d", sample.of("flat"), "SELEC 1"], 1, "Parser Error"), (["-d", sample.of("flat"), "SELECT nonsense FROM flows"], 1, "nonsense"),
                              (["-d", sample.of("flat"), "top-talker"], 1, "but top-talkers"), (["-n", "0", "dns"], 2, "no number of rows"),
                              (["--csv", "--json", "dns"], 2, "not allowed")):
        error = ask(*words, code=code)
        assert text in error and "Traceback" not in error
    with open(f"{folder}/file", "w", encoding="utf-8"):
        pass
    assert "no such folder" in ask("-d", f"{folder}/file", "dns", code=1)
    # Without DuckDB questions are still listed.
    with open(f"{folder}/duckdb.py", "w", encoding="utf-8") as f:
        f.write("raise ImportError('not today')\n")
    env = {**os.environ, "PYTHONPATH": folder}
    error = ask("-d", sample.of("flat"), "dns", code=1, env=env)
    assert "not today" in error and "scripts/setup query" in error and "Traceback" not in error
    assert "top-talkers" in ask("list", env=env)


def test_it_may_be_called_from_anywhere(sample, folder):
    write_lake(sample.stripped[:5], sample.schema, f"{folder}/here", "flat")
    done = subprocess.run([os.path.relpath(QUERY, folder), "-d", "here", "--csv", "SELECT count(*) AS n FROM flows"], cwd=folder, capture_output=True, text=True,
                          timeout=60, check=True)
    assert done.stdout == "n\n5\n" and sys.version_info >= (3, 11)
