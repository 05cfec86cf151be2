# SPDX-License-Identifier: Apache-2.0
"""Goal: what the service took on outlives it: kills, stops with a sink that is away, other sinks, other workers.

Method: lives of sluiced on one state directory; the ledger of each is balanced over all of them, and the
delivered files are read back.
"""
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from conftest import BUILD, ROOT, Sluiced, files_sink, read_flows, sluicegen, wait_for

sys.path.insert(0, os.path.join(ROOT, "test", "gen"))
from crc32c import crc32c  # noqa: E402

AWAY = "/dev/null/flows"  # no folder can be there


FIRST = itertools.count(0, 100000)


def send(s, count, rate=20000):
    """Sends so many records, none of them twice; how many flows the service made of them."""
    before = s.counter("flows")
    sluicegen("-d", f"127.0.0.1:{s.port}", "-n", count, "-r", rate, "-f", next(FIRST), "-e", 8)
    return s.settle() - before


def sink(s, name="files"):
    return next(x for x in s.ctl("sinks")["sinks"] if x["name"] == name)


def line(s, name="files"):
    return next(v for k, v in s.ledger().items() if name in k)


def life(start, folder, path="flows", workers=1, more="", options=()):
    place = path if path.startswith("/") else f"{folder}/{path}"
    sinks = f'({{ name = "files"; type = "file"; path = "{place}"; }}{more})'
    return start(Sluiced, sinks, [f"workers={workers}", "log.sync=group", "shutdown_s=1", *options])


def log_bytes(folder):
    found = 0
    for at, _, names in os.walk(os.path.join(folder, "state", "log")):
        found += sum(os.stat(os.path.join(at, n)).st_size for n in names if n.endswith(".seg"))
    return found


def test_killed(start, folder):
    """Whatever moment a kill comes at, the sink's line is balanced over all lives, and says what it cost."""
    sent = 0
    for n in (3000, 500, 8000):
        s = life(start, folder)
        sent += send(s, n)
        s.process.send_signal(signal.SIGKILL)
        s.process.wait()
    s = life(start, folder)
    sent += send(s, 100)
    s.drain()
    about = line(s)
    lost = about["right"]["lost_unsynced"]
    assert about["left"]["records"] == sent
    assert about["right"]["delivered"] == sent - lost
    assert about["right"]["corrupt"] == about["right"]["evicted"] == about["right"]["pending"] == 0
    s.stop()
    assert sent - lost <= len({f["record_id"] for f in read_flows(folder)}) <= sent
    # A life that ended in good order costs nothing.
    s = life(start, folder)
    assert line(s)["right"] == about["right"]
    s.stop()


def test_sink_that_is_away(start, folder):
    """What it had not got at a stop stays, and is delivered by the next life that can."""
    sent = 0
    for _ in range(2):
        s = life(start, folder, AWAY)
        sent += send(s, 1500)
        about = line(s)
        assert (about["left"]["records"], about["right"]["pending"]) == (sent, sent)
        s.stop()
        assert "sink.waiting sink=files" in s.log()
    assert log_bytes(folder) > 0
    s = life(start, folder)
    sent += send(s, 10)
    s.drain()
    about = line(s)
    assert about["left"]["records"] == about["right"]["delivered"] == sent
    assert about["right"]["abandoned"] == about["right"]["lost_unsynced"] == 0
    s.stop()
    flows = read_flows(folder)
    assert len(flows) == len({f["record_id"] for f in flows}) == sent


def test_removed_sink(start, folder):
    """Nobody keeps what only a sink wanted that is no more; one of that name later is a new one."""
    away = f', {{ name = "away"; type = "file"; path = "{AWAY}"; }}'
    s = life(start, folder, more=away, options=["log.max_bytes=16M"])
    first = send(s, 5000)
    s.stop()
    before = log_bytes(folder)
    assert before > 1 << 20
    s = life(start, folder, options=["log.max_bytes=16M"])
    assert "log.cursor_removed" in s.log() and "away" in s.log()
    second = send(s, 100)
    s.drain()
    assert line(s)["right"]["delivered"] == first + second
    assert wait_for(lambda: log_bytes(folder) < before / 2)
    s.stop()
    newest = away.replace(f'path = "{AWAY}";', f'path = "{AWAY}"; from = "newest";')
    s = life(start, folder, more=newest, options=["log.max_bytes=16M"])
    third = send(s, 50)
    assert line(s, "away")["left"]["records"] == third
    assert line(s)["left"]["records"] == first + second + third
    s.kill()


def test_other_workers(start, folder):
    """What more workers left is delivered first, and stays in the ledger when their logs are gone."""
    sent = 0
    for workers, path in ((2, AWAY), (1, AWAY), (3, AWAY), (1, "flows"), (1, "flows"), (2, "flows")):
        s = life(start, folder, path, workers)
        sent += send(s, 400)
        if path != AWAY:
            s.drain()
            about = line(s)
            assert about["left"]["records"] == about["right"]["delivered"] == sent
        assert line(s)["left"]["records"] == sent
        s.stop()
    assert sorted(n for n in os.listdir(os.path.join(folder, "state", "log")) if n.isdigit()) == ["0", "1"]
    flows = read_flows(folder)
    assert len(flows) == len({f["record_id"] for f in flows}) == sent


def refused(folder, *within):
    """Exit code and what it said of a service that does not start on the folder's state."""
    words = [*within, os.path.join(BUILD, "sluiced"), "-c", os.path.join(ROOT, "etc", "sluice.conf")]
    for option in (f"state={folder}/state", f"control.socket={folder}/s.sock", "workers=1", "log.sync=group",
                   'listen=({ transport = "udp"; address = "127.0.0.1"; port = 0; })', f"sinks={files_sink(folder)}"):
        words += ["-o", option]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False, cwd=ROOT)
    return done.returncode, done.stderr


def test_later_version(start, folder):
    """A log that a later version wrote is left alone, and the reason is said."""
    s = life(start, folder, AWAY)
    sent = send(s, 50)
    s.stop()
    path = os.path.join(folder, "state", "log", "format")
    with open(path, encoding="ascii") as f:
        text = f.read()
    with open(path, "w", encoding="ascii") as f:
        later = text.replace("sluice-log 1 ", "sluice-log 2 ").rpartition(" ")[0] + " "
        f.write(f"{later}{crc32c(later.encode()):08x}\n")
    code, said = refused(folder)
    assert code == 1 and f"{folder}/state/log" in said and "format 2" in said and "older version" in said
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    s = life(start, folder)
    s.drain()
    assert line(s)["right"]["delivered"] == sent
    s.stop()


def test_two_services(start, folder):
    """Two services on one state directory: the second one says so and ends."""
    s = life(start, folder)
    code, said = refused(folder)
    assert code == 1 and f"{folder}/state is in use by process {s.process.pid}" in said
    send(s, 50)
    s.drain()
    s.ledger()
    s.stop()


NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def test_permission(start, folder):
    """A log that may not be written is a matter of permission, exit code 77, and says which file."""
    if shutil.which("setpriv") is None or subprocess.run(
            [*NOBODY, os.path.join(BUILD, "sluiced"), "--version"], capture_output=True, check=False).returncode:
        pytest.skip("becoming somebody else takes root, and a build that all may read")
    s = life(start, folder)
    s.stop()
    os.chmod(folder, 0o755)
    for at, names, _ in os.walk(folder):
        for n in names:
            os.chown(os.path.join(at, n), 65534, 65534)
    state = os.path.join(folder, "state")
    os.chown(state, 65534, 65534)
    for at, _, names in os.walk(state):
        for n in names:
            os.chown(os.path.join(at, n), 65534, 65534)
    for name in ("log", "log/lock", "log/0", "log/cursors"):
        path = os.path.join(state, name)
        mode = os.stat(path).st_mode
        os.chown(path, 0, 0)
        os.chmod(path, 0o700 if os.path.isdir(path) else 0o600)
        code, said = refused(folder, *NOBODY)
        assert code == 77 and "ermission denied" in said and f"{state}/log" in said, (name, code, said)
        os.chown(path, 65534, 65534)
        os.chmod(path, mode)


def dump(folder, *words):
    done = subprocess.run([f"{BUILD}/sluicectl", "log", "dump", os.path.join(folder, "state", "log"), *words], capture_output=True,
                          text=True, timeout=60, check=False)
    return done.returncode, [json.loads(row) for row in done.stdout.splitlines()]


def test_log_is_shown(start, folder):
    """How far a sink is behind, and what stands in the segments, with the service and without it."""
    s = life(start, folder, AWAY)
    sent = send(s, 3000)
    assert wait_for(lambda: s.ctl("log")["logs"][0]["durable_lsn"] == sent)
    said = s.ctl("log")
    reader, = said["readers"]
    assert (said["state"], said["sync"], said["directory"]) == ("running", "group", f"{folder}/state/log")
    assert (reader["sink"], reader["done_lsn"], reader["lag_records"]) == ("files", 0, sent)
    assert reader["lag_octets"] >= 400 * sent and reader["lag_ms"] > 0 and said["sync_most_us"] >= said["sync_last_us"] > 0
    assert [(x["first_lsn"], x["end_lsn"], x["missing_before"]) for x in said["segments"]] == [(0, sent, 0)]
    text = subprocess.run([f"{BUILD}/sluicectl", "-s", s.socket, "log"], capture_output=True, text=True, timeout=20, check=True).stdout
    assert "lag_records" in text and f" {sent} " in text
    s.stop()

    code, rows = dump(folder, "--records")
    records = [r for r in rows if r["what"] == "record"]
    frames = [r for r in rows if r["what"] == "frame"]
    assert code == 0 and rows[0]["what"] == "segment" and rows[0]["first_lsn"] == 0
    assert [r["lsn"] for r in records] == list(range(sent)) and sum(f["records"] for f in frames) == sent
    s = life(start, folder)
    s.drain()
    delivered = {bytes(f["record_id"]).hex() for f in read_flows(folder)}
    assert {r["record"]["record_id"] for r in records} == delivered and len(delivered) == sent
    s.stop()


def test_a_damaged_segment_is_shown(start, folder):
    s = life(start, folder, AWAY)
    sent = send(s, 3000)
    s.stop()
    code, rows = dump(folder)
    frames = [r for r in rows if r["what"] == "frame"]
    assert code == 0 and len(frames) > 2
    with open(rows[0]["path"], "r+b") as f:
        f.seek(frames[1]["at"] + 200)
        was = f.read(1)
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([was[0] ^ 1]))
    code, rows = dump(folder)
    assert code == 1 and [r for r in rows if r["what"] == "not_sound"] == [{"what": "not_sound", "at": frames[1]["at"], "octets": frames[1]["octets"]}]
    assert sum(r["records"] for r in rows if r["what"] == "frame") == sent - frames[1]["records"]
    assert subprocess.run([f"{BUILD}/sluicectl", "log", "dump", "/nowhere"], capture_output=True, timeout=20, check=False).returncode == 2
