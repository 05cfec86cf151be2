# SPDX-License-Identifier: Apache-2.0
"""Goal: the health line comes on time, with the keys that doc/HEALTH.md lists, and its figures add up to the counters.

Method: a service that writes one every second; sluicegen's flows and a data set without template are sent, and the lines are
summed. A reload turns it off and on.
"""
import os
import re
import socket
import struct
import time

from conftest import ROOT, Sluiced, files_sink, sluicegen, wait_for


def lines_of(s):
    return [dict(w.split("=", 1) for w in line.split(" ")[3:]) for line in s.log().splitlines()
            if line.split(" ")[1:3] == ["info", "sluiced.health"]]


def summed(lines, key):
    """Of a rate, which has one decimal."""
    return sum(float(x[key]) * float(x["interval_s"]) for x in lines), 0.06 * sum(float(x["interval_s"]) for x in lines)


def losses_of(lines):
    sums = {}
    for x in lines:
        for part in x["losses"].split(",") if x["losses"] != "none" else []:
            name, count = part.rsplit(":", 1)
            sums[name] = sums.get(name, 0) + int(count)
    return sums


def test_line_agrees_with_counters(start, folder):
    s = start(Sluiced, files_sink(folder, rotate_s=1), options=["health_s=1", "collector.hold_s=0"])
    sluicegen("-d", f"127.0.0.1:{s.port}", "-n", 6000, "-r", 2000)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(struct.pack(">HHIIIHH4x", 10, 24, int(time.time()), 0, 9, 999, 8), ("127.0.0.1", s.port))
    s.settle("messages")
    s.drain()
    counted = wait_for(lambda: sum(int(x["rows"]) for x in lines_of(s)) == s.counter("sink_delivered") > 0 and losses_of(lines_of(s)))
    lines = lines_of(s)
    assert counted == {"data_sets_refused/no_template": 1}, lines
    for key, name in (("datagrams_s", "units_udp"), ("records_s", "records"), ("flows_s", "flows"), ("out_s", "sink_delivered")):
        total, error = summed(lines, key)
        assert s.counter(name) > 0 and abs(total - s.counter(name)) <= error + s.counter(name) * 0.06, (key, total, s.counter(name))
    assert sum(int(x["files"]) for x in lines) == s.counter("sink_rotations") > 0
    assert all(x["errors"] == "none" and x["kernel_drops"] == "0" for x in lines)
    with open(f"/proc/{s.process.pid}/status", encoding="utf-8") as f:
        now = int(re.search(r"RssAnon:\s+(\d+) kB", f.read())[1]) * 1024
    assert 0.5 * now < int(lines[-1]["rss_anon"]) < 2 * now
    # A quiet second has a line too, and nobody is behind.
    assert wait_for(lambda: lines_of(s)[-1]["flows_s"] == "0.0" and lines_of(s)[-1]["lag_sink"] == "none")
    assert all(0.9 < float(x["interval_s"]) < 3 for x in lines)
    s.stop()


def test_lag_and_errors(start, folder):
    os.mkdir(f"{folder}/gone")
    sink = f'({{ name = "to disk"; type = "file"; path = "{folder}/gone/flows"; rotate_s = 1; }})'
    s = start(Sluiced, sink, options=["health_s=1"])
    os.rename(f"{folder}/gone", f"{folder}/elsewhere")
    with open(f"{folder}/gone", "w", encoding="utf-8"):
        pass
    for name in os.listdir(f"{folder}/elsewhere/flows"):
        os.unlink(f"{folder}/elsewhere/flows/{name}")
    os.rmdir(f"{folder}/elsewhere/flows")
    sluicegen("-d", f"127.0.0.1:{s.port}", "-n", 500)
    assert s.settle("flows") == 500
    line = wait_for(lambda: next((x for x in lines_of(s) if x["errors"] != "none" and float(x["lag_s"]) > 1), None))
    assert line and re.fullmatch(r"to_disk:\d+", line["errors"])
    assert (line["lag_sink"], line["lag_records"]) == ("to_disk", "500")
    assert int(line["log_octets"]) > 0
    os.unlink(f"{folder}/gone")
    os.rename(f"{folder}/elsewhere", f"{folder}/gone")
    s.kill()


def test_keys_are_documented(start, folder):
    conf = f"{folder}/sluice.conf"
    with open(f"{ROOT}/etc/sluice.conf", encoding="utf-8") as f:
        text = f.read()
    with open(conf, "w", encoding="utf-8") as f:
        f.write(text + "health_s = 1;\n")
    s = start(Sluiced, files_sink(folder), conf=conf)
    lines = wait_for(lambda: lines_of(s))
    with open(f"{ROOT}/doc/HEALTH.md", encoding="utf-8") as f:
        keys = re.findall(r"^\| `(\w+)` \|", f.read(), re.M)
    assert list(lines[0]) == keys
    with open(conf, "w", encoding="utf-8") as f:
        f.write(text + "health_s = 0;\n")
    assert "health_s" in str(s.ctl("reload"))
    count = len(lines_of(s))
    time.sleep(2.5)
    assert len(lines_of(s)) == count
    with open(conf, "w", encoding="utf-8") as f:
        f.write(text + "health_s = 1;\n")
    s.ctl("reload")
    assert wait_for(lambda: len(lines_of(s)) > count)
    assert float(lines_of(s)[-1]["interval_s"]) < 2
    s.stop()
