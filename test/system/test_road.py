# SPDX-License-Identifier: Apache-2.0
"""Goal: what exporters send is what readers find, in files and in Kafka, whatever happens between.

Method: real exporters and sluicegen send to a running sluiced; fastavro and a Kafka consumer read what came out;
counts must match exactly, and the ledger must balance.
"""
import glob
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from conftest import (BUILD, ROOT, MockBroker, Registry, Sluiced, check, files_sink, read_flows, sluicegen, wait_for)
from service import Collecting, container_of, kafka_sink

DEMO = os.path.join(ROOT, "test/corpus/demo.pcap")


def softflowd(port, *words):
    # softflowd 1.1.1 (Debian 13) never returns from an IPv6 fragment.
    words = [*words, "not ip6 proto 44"]
    done = subprocess.run(["softflowd", "-r", DEMO, "-n", f"127.0.0.1:{port}", "-d", "-c", "none", *words],
                          capture_output=True, text=True, timeout=60, check=True)
    return int(re.search(r"\((\d+) records\)", done.stdout + done.stderr).group(1))


@pytest.mark.parametrize("version,source", [("5", "netflow5"), ("9", "netflow9"), ("10", "ipfix")])
def test_softflowd(start, folder, version, source):
    s = start(Sluiced, files_sink(folder, codec="deflate"))
    sent = softflowd(s.port, "-v", version)
    assert sent > 0
    s.settle()
    s.drain()
    ledger = s.ledger()
    assert ledger["flows"]["left"]["flows"] == sent
    s.stop()
    flows = read_flows(folder)
    assert len(flows) == sent
    assert {f["normalized"]["source"] for f in flows} == {source}
    assert all(f["normalized"]["exporter_ip"] == "127.0.0.1" for f in flows)
    assert len({f["record_id"] for f in flows}) == sent


@pytest.mark.parametrize("version", ["5", "9", "10"])
def test_pmacctd(start, folder, version):
    s = start(Sluiced, files_sink(folder, codec="snappy"))
    conf = os.path.join(folder, "pmacctd.conf")
    with open(conf, "w", encoding="utf-8") as f:
        f.write(f"daemonize: false\npcap_savefile: {DEMO}\nplugins: nfprobe[p]\nnfprobe_receiver[p]: 127.0.0.1:{s.port}\n"
                f"nfprobe_version[p]: {version}\nplugin_buffer_size: 1024000\nplugin_pipe_size: 102400000\n")
    subprocess.run(["pmacctd", "-f", conf], capture_output=True, timeout=60, check=True)
    assert s.settle(quiet_s=1) > 0
    s.drain()
    ledger = s.ledger()
    s.stop()
    flows = read_flows(folder)
    # What the capture holds is what was exported: packets and octets of IPv4, and of IPv6 where v5 is not.
    sums = {4: [0, 0], 6: [0, 0]}
    for f in flows:
        n = f["normalized"]
        family = 6 if ":" in (n["src_ip"] or "") else 4
        sums[family][0] += n["packets"]
        sums[family][1] += n["bytes"]
    assert len(flows) == ledger["flows"]["left"]["flows"]
    packets = subprocess.run(["tshark", "-r", DEMO, "-T", "fields", "-e", "ip.len", "-e", "ipv6.plen"], capture_output=True,
                             text=True, check=True).stdout
    truth = {4: [0, 0], 6: [0, 0]}
    for line in packets.splitlines():
        v4, _, v6 = line.partition("\t")
        if v4:
            truth[4][0] += 1
            truth[4][1] += int(v4.split(",")[0])
        elif v6:
            truth[6][0] += 1
            truth[6][1] += 40 + int(v6.split(",")[0])
    assert sums[4] == truth[4]
    assert sums[6] == ([0, 0] if version == "5" else truth[6])


@pytest.mark.parametrize("codec", ["null", "snappy", "zstandard", "deflate"])
def test_codecs(start, folder, codec):
    s = start(Sluiced, files_sink(folder, codec=codec))
    run = sluicegen("-P", "ipfix", "-t", "rich", "-n", 2000, "-r", 20000, "-e", 3, "-d", f"127.0.0.1:{s.port}")
    s.settle()
    s.stop()
    code, said = check(run, "--files", f"{folder}/flows")
    assert code == 0, said


def test_json_lines(start, folder):
    s = start(Sluiced, files_sink(folder, format="json", codec="null"))
    run = sluicegen("-P", "v9", "-t", "nprobe", "-n", 2000, "-r", 20000, "-e", 2, "-d", f"127.0.0.1:{s.port}")
    s.settle()
    s.stop()
    code, said = check(run, "--files", f"{folder}/flows")
    assert code == 0, said


@pytest.mark.parametrize("protocol", ["v5", "v9", "ipfix"])
@pytest.mark.parametrize("template", ["basic", "nprobe", "rich"])
def test_every_field(start, folder, protocol, template):
    if protocol == "v5" and template != "basic":
        pytest.skip("v5 has one fixed record: it is tested once")
    s = start(Sluiced, files_sink(folder, codec="deflate"), ["collector.selfcheck=7"])
    run = sluicegen("-P", protocol, "-t", template, "-n", 3000, "-r", 30000, "-e", 4, "-d", f"127.0.0.1:{s.port}")
    s.settle()
    s.ledger()
    assert s.counter("selfcheck_differences") == 0
    assert protocol == "v5" or s.counter("selfchecks") > 100
    assert s.counter("selfcheck_skipped") == 0
    s.stop()
    code, said = check(run, "--files", f"{folder}/flows")
    assert code == 0, said


@pytest.mark.parametrize("freeze_s", [0, 20], ids=["steady", "broker frozen for 20 s"])
def test_kafka_and_file(start, folder, freeze_s):
    # The mock keeps about 5 MiB of a partition: with so many, all of it, should the reader fall behind.
    broker, registry = start(MockBroker, "flows:64"), start(Registry)
    s = start(Sluiced, f'({kafka_sink(broker, registry)}, {files_sink(folder, codec="snappy")[1:-1]})')
    reader = Collecting(broker.bootstrap, "flows", folder)
    results = {}

    def send(protocol, base):
        results[protocol] = sluicegen("-P", protocol, "-t", "nprobe", "-n", 200000, "-r", 25000, "-e", 16, "-b", base,
                                      "-d", f"127.0.0.1:{s.port}")

    senders = [threading.Thread(target=send, args=a) for a in (("ipfix", "127.1.1.1"), ("v9", "127.1.2.1"))]
    for t in senders:
        t.start()
    if freeze_s:
        time.sleep(3)
        broker.process.send_signal(signal.SIGSTOP)
        time.sleep(freeze_s)
        broker.process.send_signal(signal.SIGCONT)
    for t in senders:
        t.join()
    assert s.settle() == 400000
    s.drain()
    s.ledger()
    sinks = {k["name"]: k for k in s.ctl("sinks")["sinks"]}
    assert sinks["bus"]["delivered"] == sinks["files"]["delivered"] == 400000
    assert wait_for(lambda: reader.count >= 400000, 60)
    values = reader.stop()
    s.stop()
    schema = subprocess.run([os.path.join(BUILD, "sluiced"), "--print-schema"], capture_output=True, check=True,
                            cwd=ROOT).stdout.strip()
    container_of(values, schema, f"{folder}/topic/flows/topic.avro")
    assert len(reader.keys) == 32
    for where in (f"{folder}/flows", f"{folder}/topic/flows"):
        for protocol in ("ipfix", "v9"):
            code, said = check(results[protocol], "--files", where)
            assert code == 0, f"{where} {protocol}: {said}"


def test_broker_and_registry_away_at_start(start, folder):
    broker, registry = start(MockBroker, "flows:2"), start(Registry)
    registry.mode("503")
    broker.say("down 0")
    s = start(Sluiced, f"({kafka_sink(broker, registry)})")
    run = sluicegen("-P", "ipfix", "-n", 1000, "-r", 10000, "-d", f"127.0.0.1:{s.port}")
    assert s.settle() == run["flows"]
    assert s.ctl("sinks")["sinks"][0]["pending"] == 1000
    broker.say("up 0")
    registry.mode("ok")
    reader = Collecting(broker.bootstrap, "flows", folder)
    s.drain()
    assert wait_for(lambda: reader.count >= 1000, 30)
    assert len(reader.stop()) == 1000
    s.ledger()
    s.stop()


def test_folder_not_writable(start, folder):
    os.makedirs(f"{folder}/blocked")
    with open(f"{folder}/blocked/flows", "w", encoding="utf-8"):
        pass  # a file stands where the folder should be
    s = start(Sluiced, f'({{ name = "files"; type = "file"; path = "{folder}/blocked/flows"; rotate_s = 1; }})')
    sluicegen("-P", "v9", "-n", 500, "-r", 10000, "-d", f"127.0.0.1:{s.port}")
    assert s.settle() == 500
    assert wait_for(lambda: s.ctl("sinks")["sinks"][0]["errors"] > 0, 20)
    os.unlink(f"{folder}/blocked/flows")
    s.drain()
    s.ledger()
    s.stop()
    os.rename(f"{folder}/blocked/flows", f"{folder}/flows")
    assert len(read_flows(folder)) == 500


def test_reload(start, folder):
    shutil.copytree(os.path.join(ROOT, "templates"), f"{folder}/templates")
    s = start(Sluiced, files_sink(folder), [f"normalizer.mappings={folder}/templates/mappings"])
    generation = s.ctl("status")["generation"]
    with open(f"{folder}/templates/mappings/zz.conf", "w", encoding="utf-8") as f:
        f.write('mapping: { name = "zz"; when = { format = "v9"; template = 999; };\npromote = ( { element = "octetDeltaCuont"; field = "bytes"; } ); };\n')
    answer = s.ctl("reload")
    assert not answer["ok"] and "zz.conf:2" in answer["error"] and "octetDeltaCount" in answer["error"]
    assert s.ctl("status")["generation"] == generation
    os.unlink(f"{folder}/templates/mappings/zz.conf")
    stop = threading.Event()
    runs = []

    def send():
        runs.append(sluicegen("-P", "ipfix", "-n", 60000, "-r", 20000, "-e", 4, "-d", f"127.0.0.1:{s.port}"))
        stop.set()

    t = threading.Thread(target=send)
    t.start()
    count = 0
    while not stop.is_set():
        assert s.ctl("reload")["ok"]
        count += 1
        time.sleep(0.1)
    t.join()
    assert count > 5
    assert s.settle() == 60000
    s.ledger()
    s.stop()
    code, said = check(runs[0], "--files", f"{folder}/flows")
    assert code == 0, said


def test_reload_with_kafka(start, folder):
    """The sinks go on with the options that they were opened with, whatever is loaded later."""
    broker, registry = start(MockBroker, "flows:2"), start(Registry)
    s = start(Sluiced, f"({kafka_sink(broker, registry)})")
    for flows in (500, 2000, 2500):
        assert all(s.ctl("reload")["ok"] for _ in range(4))
        sluicegen("-P", "ipfix", "-n", 500 if flows == 500 else flows - 500, "-r", 20000, "-d", f"127.0.0.1:{s.port}")
    s.drain()
    assert s.ledger()["sink bus"]["right"]["delivered"] == 500 + 1500 + 2000
    s.stop()


def test_reload_tells_what_waits_for_a_restart(start, folder):
    conf = f"{folder}/sluice.conf"

    def write(size):
        with open(conf, "w", encoding="utf-8") as f:
            f.write(f'log: {{ max_bytes = "{size}"; }};\n')

    write("64M")
    s = start(Sluiced, files_sink(folder), conf=conf)
    write("128M")
    for _ in range(2):
        assert s.ctl("reload")["needs_restart"] == ["log.max_bytes"]
    assert s.ctl("status")["log_max_bytes"] == 64 << 20
    write("64M")
    assert s.ctl("reload")["needs_restart"] == []
    s.stop()


def test_state_folder_is_for_one(start, folder):
    s = start(Sluiced, files_sink(folder))
    second = subprocess.run([*s.command, "-o", f"control.socket={folder}/other.sock"], capture_output=True, text=True, cwd=ROOT,
                            timeout=30, check=False)
    assert second.returncode == 1 and f"in use by process {s.process.pid}" in second.stderr
    s.stop()
    start(Sluiced, files_sink(folder)).stop()


@pytest.mark.parametrize("sync, left", [("group", "pending"), ("off", "abandoned")])
def test_stop_is_answered(start, folder, sync, left):
    """While a stop waits for a sink, the control socket says so; what it has not by then stays in a log on disk."""
    broker, registry = start(MockBroker, "flows:1"), start(Registry)
    broker.say("down 0")
    s = start(Sluiced, f"({kafka_sink(broker, registry)})", ["shutdown_s=3", f"log.sync={sync}"])
    sluicegen("-P", "ipfix", "-n", 100, "-r", 10000, "-d", f"127.0.0.1:{s.port}")
    assert s.settle() == 100
    s.process.send_signal(signal.SIGTERM)
    assert wait_for(lambda: s.ctl("status")["stopping"], 2)
    assert "stopping" in s.ctl("reload")["error"]
    assert s.process.wait(timeout=20) == 0
    assert f"{left} 100" in s.log()


def test_ledger_balances_under_load(start, folder):
    s = start(Sluiced, files_sink(folder, codec="null"))
    sender = threading.Thread(target=sluicegen, args=("-P", "ipfix", "-n", 100000, "-r", 40000, "-d", f"127.0.0.1:{s.port}"))
    sender.start()
    asked = 0
    while sender.is_alive():
        s.ledger()
        asked += 1
    sender.join()
    assert asked > 20
    s.stop()


def test_tail(start, folder):
    s = start(Sluiced, files_sink(folder))
    tail = subprocess.Popen([os.path.join(BUILD, "sluicectl"), "-s", s.socket, "--json", "tail", "-n", "5", "source=ipfix"],
                            stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    sluicegen("-P", "v9", "-n", 50, "-r", 10000, "-d", f"127.0.0.1:{s.port}")
    sluicegen("-P", "ipfix", "-n", 50, "-r", 10000, "-d", f"127.0.0.1:{s.port}")
    out, _ = tail.communicate(timeout=30)
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) == 6 and lines[-1]["events"] == 5
    assert all(line["event"]["normalized"]["source"] == "ipfix" for line in lines[:-1])
    s.stop()


def test_nothing_steers_a_terminal(start, folder):
    """What an exporter says comes to the terminal without control characters; with --json as JSON says them."""
    s = start(Sluiced, files_sink(folder))
    words = [os.path.join(BUILD, "sluicectl"), "-s", s.socket]
    tails = [subprocess.Popen([*words, *more, "tail", "-n", "1"], stdout=subprocess.PIPE) for more in ([], ["--json"])]
    time.sleep(0.5)
    template = struct.pack(">HHHHHHHH", 2, 16, 256, 2, 371, 65535, 1, 4)
    name = "a\x1b[31m\x07\x7f\u009b2Jé".encode()
    data = bytes([len(name)]) + name + struct.pack(">I", 7)
    body = template + struct.pack(">HH", 256, 4 + len(data)) + data
    message = struct.pack(">HHIII", 10, 16 + len(body), 1790000000, 1, 1) + body
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(message, ("127.0.0.1", s.port))
    people, machine = (t.communicate(timeout=20)[0] for t in tails)
    assert "a?[31m????2Jé".encode() in people and not any(c < 32 and c != 10 or c == 127 for c in people)
    assert json.loads(machine.splitlines()[0])["event"]["normalized"]["user_name"] == name.decode()
    s.stop()


def test_control_socket(start, folder):
    s = start(Sluiced, files_sink(folder))
    sluicegen("-P", "ipfix", "-t", "rich", "-n", 100, "-r", 10000, "-d", f"127.0.0.1:{s.port}")
    assert s.settle() == 100
    commands = [c["command"].split()[0] for c in s.ctl("help")["commands"]]
    for name in ("status", "ledger", "exporters", "templates", "sinks", "tail", "reload", "drain", "version", "help"):
        assert name in commands
    assert s.ctl("exporters")["exporters"][0]["flows"] == 100
    templates = s.ctl("templates")["templates"]
    assert any(e["fields"] == ["bytes"] for t in templates for e in t["elements"])
    field = s.ctl("fields", "flow_id")["fields"][0]
    assert field["type"] == "string" and {"mapping": "iana", "element": "flowId", "as": "decimal"}.items() <= field["fed_by"][-1].items()
    assert len(s.ctl("fields")["fields"]) > 250
    assert "`src_port'" in s.ctl("fields", "src_prot")["error"]
    unmapped = s.ctl("templates", "--unmapped")["templates"]
    assert unmapped and all(e["in_raw"] and not e["fields"] for t in unmapped for e in t["elements"])
    assert not s.ctl("statsu")["ok"] and "status" in s.ctl("statsu")["error"]
    people = subprocess.run([os.path.join(BUILD, "sluicectl"), "-s", s.socket, "ledger"], capture_output=True, text=True, check=False)
    assert people.returncode == 0 and people.stdout.strip().endswith("balanced")
    assert oct(os.stat(s.socket).st_mode & 0o777) == "0o660"
    s.stop()
    assert not os.path.exists(s.socket)


def replay(folder, *files, sinks='({ name = "n"; type = "null"; })', options=()):
    words = [w for o in (f"sinks={sinks}", f"state={folder}/state", *options) for w in ("-o", o)]
    done = subprocess.run([os.path.join(BUILD, "sluiced"), *words, "--replay", *files], capture_output=True, text=True, cwd=ROOT,
                          timeout=120, check=False)
    assert done.returncode == 0 and done.stdout.strip().endswith("balanced"), f"{files} {done.stdout} {done.stderr}"
    return done.stdout


def test_captures_replayed(folder):
    captures = [p for p in sorted(glob.glob(os.path.join(ROOT, "test/corpus/*.pcap"))) if os.path.basename(p) != "demo.pcap"]
    assert len(captures) > 10
    for path in captures:
        replay(folder, path)
    replay(folder, *captures)


def test_replay_waits_for_sinks(folder):
    """A capture goes through far faster than deflate can write, with a log that holds a thousandth of it."""
    run = sluicegen("-P", "ipfix", "-t", "nprobe", "-n", 40000, "-r", 0, "-w", f"{folder}/big.pcap", "--time", 1790000000)
    said = replay(folder, f"{folder}/big.pcap", sinks=files_sink(folder, codec="deflate", level=9), options=["log.max_bytes=1M"])
    assert "log_full" not in said
    code, said = check(run, "--files", f"{folder}/flows")
    assert code == 0, said
