# SPDX-License-Identifier: Apache-2.0
"""Goal: a lake of Parquet files holds what the log had, once, in the directories that its pattern says, as two readers
of their own see it; whatever ends the service, and however little room there is.

Method: sluicegen sends to a service with a parquet sink, beside a sink of Avro files where the truth is wanted; DuckDB and
pyarrow read the lake. The service is killed at any time, its disk is small, its exporters' clocks are wrong.
"""
import collections
import glob
import json
import os
import random
import subprocess
import time

import duckdb
import fastavro
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet
import pytest

from conftest import BUILD, ROOT, Sluiced, files_sink, read_flows, sluicegen, wait_for

DAY = 86400


def lake_sink(folder, **options):
    extra = "".join(f" {k} = {json.dumps(v)};" for k, v in options.items())
    return f'({{ name = "lake"; type = "parquet"; path = "{folder}/lake";{extra} }})'


def both(*lists):
    return "(" + ", ".join(s[1:-1] for s in lists) + ")"


def send(s, count, *words):
    return sluicegen("-d", f"127.0.0.1:{s.port}", "-n", count, *words)


def lake(s):
    return next(sink for sink in s.ctl("sinks")["sinks"] if sink["name"] == "lake")


def files(folder, kind="parquet"):
    return sorted(glob.glob(os.path.join(folder, "lake", "**", f"*.{kind}"), recursive=True))


def leftovers(folder):
    """Temporary files and manifests, hidden or not."""
    return [os.path.join(at, name) for at, _, names in os.walk(os.path.join(folder, "lake")) for name in names
            if name.endswith(".tmp") or "manifest" in name]


def by_duckdb(folder, columns="count(*), sum(bytes), sum(packets)"):
    path = os.path.join(folder, "lake", "**", "*.parquet")
    rows = duckdb.sql(f"select filename, {columns} from read_parquet('{path}', hive_partitioning = true, filename = true) "
                      "group by filename").fetchall()
    sums = collections.defaultdict(list)
    for name, *values in rows:
        sums[os.path.dirname(os.path.relpath(name, os.path.join(folder, "lake")))].append(values)
    return {at: [sum(column) for column in zip(*values)] for at, values in sums.items()}


def by_pyarrow(folder, layer=None):
    sums = collections.defaultdict(lambda: [0, 0, 0])
    for name in files(folder):
        table = pyarrow.parquet.ParquetFile(name).read()
        column = (lambda c: pc.struct_field(table[layer], c)) if layer else table.__getitem__  # noqa: B023
        at = sums[os.path.dirname(os.path.relpath(name, os.path.join(folder, "lake")))]
        for i, value in enumerate((table.num_rows, pc.sum(column("bytes")).as_py(), pc.sum(column("packets")).as_py())):
            at[i] += value
    return dict(sums)


def ids(folder):
    return [i for name in files(folder) for i in pyarrow.parquet.ParquetFile(name).read(columns=["record_id"])["record_id"].to_pylist()]


def notes(name):
    return {k.decode(): v.decode() for k, v in pyarrow.parquet.read_metadata(name).metadata.items()}


@pytest.mark.parametrize("layout, codec", [("flat", "snappy"), ("nested", "zstd")])
def test_two_readers(start, folder, layout, codec):
    """Rows and sums of each partition are those of the Avro records that belong there."""
    s = start(Sluiced, both(lake_sink(folder, layout=layout, codec=codec), files_sink(folder, codec="null")), ["workers=2"])
    send(s, 20000, "-e", 4, "-r", 20000)
    s.settle()
    s.drain()
    s.ledger()
    s.stop()
    assert not leftovers(folder)

    truth = collections.defaultdict(lambda: [0, 0, 0])
    flows = read_flows(folder)
    for flow in flows:
        flow = flow["normalized"]
        at = time.strftime("date=%Y-%m-%d/hour=%H", time.gmtime(flow["event_time"] // 1000))
        at = truth[f"{flow['event_type']}/{at}"]
        for i, value in enumerate((1, flow["bytes"], flow["packets"])):
            at[i] += value
    assert len(truth) >= 4 and sum(v[0] for v in truth.values()) == 20000
    layer = {"flat": "", "nested": "normalized."}[layout]
    assert by_duckdb(folder, f"count(*), sum({layer}bytes), sum({layer}packets)") == dict(truth)
    assert by_pyarrow(folder, layer[:-1]) == dict(truth)
    assert sorted(ids(folder)) == sorted(flow["record_id"] for flow in flows)

    ranges = collections.Counter()
    for name in files(folder):
        said = notes(name)
        assert said["sluice.sink"] == "lake" and said["sluice.layout"] == layout and said["sluice.late"] == "0"
        assert int(said["sluice.records"]) == pyarrow.parquet.read_metadata(name).num_rows
        assert fastavro.parse_schema(json.loads(said["sluice.schema"]))["name"] == "sluice.Flow"
        for part in said["sluice.lsn"].split(","):
            worker, span = part.split(":")
            ranges[worker, span] += 1
    spans = collections.defaultdict(list)
    for worker, span in ranges:
        spans[worker].append([int(n) for n in span.split("-")])
    assert sum(end - first for parts in spans.values() for first, end in parts) == 20000
    for parts in spans.values():
        parts.sort()
        assert all(a[1] == b[0] for a, b in zip(parts, parts[1:]))

    # As a lake: a filter on the directory leaves files out, and the partition is a column.
    kind = max(truth, key=lambda at: truth[at][0])
    hour = int(kind.rsplit("=", 1)[1])
    path = os.path.join(folder, "lake", "**", "*.parquet")
    count = duckdb.sql(f"select count(*) from read_parquet('{path}', hive_partitioning = true) where hour = {hour}").fetchall()[0][0]
    assert count == sum(v[0] for at, v in truth.items() if int(at.rsplit("=", 1)[1]) == hour)
    one = pyarrow.dataset.dataset(os.path.join(folder, "lake", kind.split("/")[0]), partitioning="hive")
    assert one.count_rows(filter=pc.field("hour") == hour) == truth[kind][0]


def test_killed(start, folder):
    """kill -9 at any moment, between files and within their completion: nothing half is left, and what the log had is there once.
    SLUICE_KILLS=N: so many lives."""
    options = ["log.sync=group"]
    s = start(Sluiced, lake_sink(folder, rotate_s=1), options)
    chance = random.Random(7)
    first = 0
    for life in range(int(os.environ.get("SLUICE_KILLS", "6"))):
        command = [os.path.join(BUILD, "sluicegen"), "-d", f"127.0.0.1:{s.port}", "-r", "4000", "-n", "1000000", "-f", str(first), "-e", "3"]
        first += 1000000
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sender:
            time.sleep(1.5 + chance.random() * 1.2)
            s.kill() if life % 3 < 2 else s.stop()
            sender.terminate()
        assert all(pyarrow.parquet.read_metadata(name).num_rows > 0 for name in files(folder))
        began = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        s = start(Sluiced, lake_sink(folder, rotate_s=1), options)
        # What is unfinished now is of this life.
        assert not [name for name in leftovers(folder) if name.endswith(".tmp") and os.path.basename(name).split("-")[1] < began]
    s.settle("sink_delivered", 1.5)
    s.drain()
    assert wait_for(lambda: lake(s)["manifests"] == 0)
    delivered = lake(s)["delivered"]
    assert lake(s)["pending"] == 0
    right = s.ledger()["sink lake"]["right"]
    assert right["evicted"] == right["corrupt"] == 0
    s.stop()
    assert not leftovers(folder)
    found = ids(folder)
    assert len(found) == len(set(found)) == delivered
    assert delivered > 10000


def small_disk(path, size):
    os.makedirs(path, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("no mounts here")


@pytest.mark.parametrize("how", ["disk", "limit"])
def test_full(start, folder, how):
    """No room, or for no file of that size: said once, waited out, and all is there when there is room again."""
    path = os.path.join(folder, "lake")
    sink = lake_sink(folder, rotate_s=2, max_open=8)
    if how == "disk":
        small_disk(path, "1m")
    try:
        within = ["prlimit", "--fsize=300000"] if how == "limit" else []
        s = start(Sluiced, sink, ["log.sync=off"] if how == "limit" else [], within=within)
        send(s, 60000, "-r", 30000)
        if how == "disk":
            assert wait_for(lambda: lake(s)["state"] == "waiting")
            assert "No space left" in lake(s)["error"]
            assert lake(s)["delivered"] + lake(s)["pending"] == 60000
            subprocess.run(["mount", "-o", "remount,size=200m", path], check=True)
        assert wait_for(lambda: s.ctl("drain").get("drained"), 60)
        assert lake(s)["delivered"] == 60000 and lake(s)["errors"] > 0
        s.stop()
        assert s.log().count("sink.file_failed") == s.log().count("sink.file_recovered") <= 3
        assert not [name for name in leftovers(folder) if name.endswith(".tmp")]
        found = ids(folder)
        assert len(found) == len(set(found)) == 60000
    finally:
        if how == "disk":
            s.kill()
            subprocess.run(["umount", path], check=False)


def test_small_disk_with_min_free(start, folder):
    """A disk that the flows would fill many times over: the oldest files make room, and the sink goes on."""
    path = os.path.join(folder, "lake")
    small_disk(path, "4m")
    try:
        s = start(Sluiced, lake_sink(folder, rotate_s=1, min_free="2M", pattern="%H/%M/"))
        for i in range(10):
            send(s, 8000, "-r", 16000, "-f", i * 8000)
            time.sleep(0.7)
        s.settle()
        assert wait_for(lambda: s.ctl("drain").get("drained"), 60)
        assert lake(s)["delivered"] == 80000 and lake(s)["state"] == "running"
        assert s.counter("sink_retention_files", "min_free") > 0
        found = ids(folder)
        assert len(found) == len(set(found)) and 1000 < len(found) < 80000
        assert wait_for(lambda: os.statvfs(path).f_bavail * os.statvfs(path).f_frsize >= 2 << 20)
        s.stop()
    finally:
        s.kill()
        subprocess.run(["umount", path], check=False)


def open_files(s):
    found = 0
    for fd in os.listdir(f"/proc/{s.process.pid}/fd"):
        try:
            found += ".parquet" in os.readlink(f"/proc/{s.process.pid}/fd/{fd}")
        except FileNotFoundError:
            pass
    return found


def test_week_and_wrong_clocks(start, folder):
    """Seven days at once, by the hour, and exporters a year off: at most 32 files at a time, and the late ones noted."""
    s = start(Sluiced, lake_sink(folder, rotate_s=3600), ["log.memory_bytes=256M"])
    now = int(time.time())
    most = 0
    for hour in range(7 * 24 - 1):
        send(s, 8, "--time", now - hour * 3600, "-f", hour * 100, "-r", 0)
        if hour % 24 == 0:
            for years, number in ((-1, 20), (1, 50)):
                send(s, 20, "--time", now + years * 365 * DAY, "-f", hour * 100 + number, "-r", 0)
        most = max(most, open_files(s))
    end = time.monotonic() + 3
    while time.monotonic() < end:
        most = max(most, open_files(s))
    s.settle()
    s.drain()
    delivered = s.counter("sink_delivered")
    assert delivered == (7 * 24 - 1) * 8 + 7 * 40
    assert s.counter("sink_late") == 7 * 40
    assert lake(s)["open_files"] == 0
    s.stop()
    assert 1 < most <= 32
    found = by_duckdb(folder)
    assert sum(v[0] for v in found.values()) == delivered
    assert len(found) >= 7 * 24 - 1
    days = {at.split("date=")[1][:10] for at in found}
    known = {time.strftime("%Y-%m-%d", time.gmtime(t)) for t in range(now - 7 * DAY, now + 3601, 3600)}
    assert days <= known and len(days) >= 7
    assert sum(int(notes(name)["sluice.late"]) for name in files(folder)) == 7 * 40
    assert {name for name in files(folder) if int(notes(name)["sluice.late"]) > 0} < set(files(folder))
    # Late or not, a row says what the exporter said.
    path = os.path.join(folder, "lake", "**", "*.parquet")
    wrong = duckdb.sql(f"select count(*) from read_parquet('{path}') where abs(epoch(event_time) - {now}) > 30 * {DAY}").fetchall()[0][0]
    assert wrong == 7 * 40


def test_retention(start, folder):
    """The oldest files go, with directories that they leave empty; what is left is within the limit, and the ledger still balances."""
    foreign = os.path.join(folder, "lake", "keep", "flows.parquet")
    os.makedirs(os.path.dirname(foreign))
    with open(foreign, "wb") as f:
        f.write(b"x" * 100000)
    s = start(Sluiced, lake_sink(folder, rotate_s=1, max_bytes="400K", pattern="%{event_type}/%H-%M/"))
    for i in range(5):
        send(s, 2000, "-f", i * 2000, "-r", 0)
        s.settle(quiet_s=0.2)
        s.drain()
    assert wait_for(lambda: lake(s).get("kept_octets", 1 << 60) <= 400 * 1024)
    gone = s.counter("sink_retention_files", "max_bytes")
    assert gone > 0 and s.counter("sink_retention_files") == gone
    own = [name for name in files(folder) if name != foreign]
    sizes = sum(os.path.getsize(name) for name in own)
    assert sizes == lake(s)["kept_octets"] and len(own) == lake(s)["kept_files"]
    assert s.counter("sink_rotations") == gone + len(own)
    assert s.counter("sink_out_octets") == s.counter("sink_retention_octets") + sizes
    assert os.path.getsize(foreign) == 100000
    s.ledger()
    s.stop()
    assert all(names or dirs for _, dirs, names in os.walk(os.path.join(folder, "lake")))


def test_avro_by_pattern(start, folder):
    """The sink of Avro files takes patterns as well."""
    s = start(Sluiced, files_sink(folder, pattern="type=%{event_type}/day=%d/from-%{exporter}", fsync=False))
    send(s, 3000, "-e", 3)
    s.settle()
    s.drain()
    assert s.ctl("sinks")["sinks"][0]["fsync"] is False
    s.stop()
    seen = 0
    for at, _, names in os.walk(os.path.join(folder, "flows")):
        for name in names:
            with open(os.path.join(at, name), "rb") as f:
                flows = [flow["normalized"] for flow in fastavro.reader(f)]
            parts = os.path.relpath(at, os.path.join(folder, "flows")).split("/")
            assert {flow["event_type"] for flow in flows} == {parts[0].removeprefix("type=")}
            assert {flow["exporter_ip"] for flow in flows} == {parts[2].removeprefix("from-")}
            seen += len(flows)
    assert seen == 3000


@pytest.mark.parametrize("name", ["edge/1: \u00e4 = 100%", "..", "_x", "2001:db8::1", "a" * 64])
def test_names_come_back(start, folder, name):
    """What a folder is called for, both readers give back as the value that it was."""
    s = start(Sluiced, lake_sink(folder, pattern="who=%{exporter}/"), [f'exporters=({{ address = "127.0.1.1"; name = "{name}"; }})'])
    send(s, 100, "-r", 0)
    s.settle(quiet_s=0.3)
    s.drain()
    s.stop()
    path = os.path.join(folder, "lake", "**", "*.parquet")
    assert duckdb.sql(f"select who, count(*) from read_parquet('{path}', hive_partitioning = true, hive_types_autocast = false) "
                      "group by who").fetchall() == [(name, 100)]
    table = pyarrow.dataset.dataset(os.path.join(folder, "lake"), partitioning="hive").to_table(columns=["who"])
    assert set(table["who"].to_pylist()) == {name} and table.num_rows == 100
    assert os.listdir(os.path.join(folder, "lake"))[0].startswith("who=")


@pytest.mark.parametrize("pattern, why", [
    ("event_type=%{event_type}/", "`event_type=': a column has that name"),
    ("%{type}/", "pattern: at octet 1: no such token"),
    ("day=%d/../x", "pattern: at octet 8: "),
    ("/srv/%d", "pattern: at octet 1: "),
])
def test_check_refuses(folder, pattern, why):
    done = subprocess.run([os.path.join(BUILD, "sluiced"), "--check", "-c", os.path.join(ROOT, "etc", "sluice.conf"), "-o",
                           f"sinks={lake_sink(folder, pattern=pattern)}"], capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)
    assert done.returncode == 78 and why in done.stderr, done.stderr
