# SPDX-License-Identifier: Apache-2.0
"""Goal: the ledger goes on over a clean restart and balances across it, says so when it cannot, and a stop under load
accounts for every datagram that was sent.

Method: lives of one service after one another in one folder, ended by SIGTERM, by SIGKILL, or with their file of counters
changed between them; a service that is stopped while sluicegen sends, or while its sockets are full.
"""
import glob
import json
import os
import re
import signal
import subprocess
import time

import fastavro
import pytest

from conftest import BUILD, ROOT, Sluiced, files_sink, sluicegen, wait_for

NULL = '({ name = "null"; type = "null"; })'


def send(s, count, rate=20000, *words):
    return sluicegen("-d", f"127.0.0.1:{s.port}", "-n", count, "-r", rate, *words)


def since(s):
    answer, status = s.ctl("ledger"), s.ctl("status")
    assert (answer["since"], answer["previous_unclean"]) == (status["since"], status["previous_unclean"])
    return answer["since"], answer["previous_unclean"]


def saved(folder):
    """The counters of a stopped service: reasons are summed up by name, and stand by name and reason."""
    with open(os.path.join(folder, "state", "counters"), encoding="ascii") as f:
        rows = [line.split() for line in f.read().split("\n")[1:-2]]
    counters = {}
    for name, reason, value in rows:
        counters[name] = counters.get(name, 0) + int(value)
        counters[name, reason] = int(value)
    return counters


def count_flows(folder):
    """Of completed containers, by their blocks: to decode millions takes minutes."""
    count = 0
    for path in glob.glob(os.path.join(folder, "flows", "**", "*.avro"), recursive=True):
        with open(path, "rb") as f:
            count += sum(block.num_records for block in fastavro.block_reader(f))
    return count


def state_files(folder):
    return set(os.listdir(os.path.join(folder, "state")))


@pytest.mark.parametrize("sync, lives", [("group", (1, 3, 2, 1)), ("off", (1, 3, 2, 1))], ids=["on disk", "in memory"])
def test_clean_restart(start, folder, sync, lives):
    """Lines above the log go on; those of sinks with a log on disk, too, and are of this life with one in memory. All balance."""
    began, flows = None, 0
    for workers, count in zip(lives, (3000, 2000, 0, 500)):
        s = start(Sluiced, files_sink(folder), [f"workers={workers}", f"log.sync={sync}"])
        began = began or s.ctl("status")["started"]
        assert since(s) == (began, False)
        assert s.ledger()["flows"]["left"]["flows"] == flows
        if count:
            send(s, count, 20000, "-e", 5)
            s.settle()
        s.drain()
        flows += count
        ledger = s.ledger()
        assert ledger["flows"]["left"]["flows"] == ledger["flows"]["right"]["appended"] == flows
        assert ledger["records"]["left"]["records"] == flows
        assert ledger["sink files"]["left"]["records"] == ledger["sink files"]["right"]["delivered"] == (count if sync == "off" else flows)
        assert ledger["received units"]["left"]["udp"] == s.counter("units_udp") == s.ctl("status")["received_units"]
        s.stop()
        assert "balanced=yes" in s.log()
        assert saved(folder)["flows"] == flows
        assert "running" not in state_files(folder)
    assert count_flows(folder) == flows


def test_for_people(start, folder):
    def shown():
        return subprocess.run([os.path.join(BUILD, "sluicectl"), "-s", s.socket, "ledger"], capture_output=True, text=True,
                              timeout=20, check=True).stdout

    s = start(Sluiced, NULL)
    began = s.ctl("status")["started"]
    assert f"\nsince {began}, over clean restarts\nbalanced\n" in shown()
    s.kill()
    s = start(Sluiced, NULL)
    assert f"\nsince {s.ctl('status')['started']}; the life before did not end cleanly, and is not in it\n" in shown()


def test_kill(start, folder):
    s = start(Sluiced, NULL)
    send(s, 1000)
    s.settle()
    s.stop()
    s = start(Sluiced, NULL)
    send(s, 1000)
    s.settle()
    assert s.ledger()["flows"]["left"]["flows"] == 2000
    s.kill()
    s = start(Sluiced, NULL)
    assert since(s) == (s.ctl("status")["started"], True)
    assert s.ledger()["flows"]["left"]["flows"] == 0
    assert "balance.previous_unclean" in s.log()
    send(s, 1000)
    s.settle()
    began, _ = since(s)
    s.stop()
    # What is lost is lost: the balance goes on from where it began anew.
    s = start(Sluiced, NULL)
    assert since(s) == (began, False)
    assert s.ledger()["flows"]["left"]["flows"] == 1000


def test_start_that_fails(start, folder):
    """A service that does not come up, a check and a replay leave the balance where it is."""
    s = start(Sluiced, NULL)
    began = s.ctl("status")["started"]
    send(s, 1000)
    s.settle()
    s.stop()
    with open(os.path.join(folder, "state", "counters"), "rb") as f:
        before = f.read()
    taken = '({ transport = "udp"; address = "192.0.2.1"; port = 4739; })'
    capture = os.path.join(ROOT, "test/corpus/softflowd_v5.pcap")
    for words, code in ((["-o", f"listen={taken}"], 1), (["--check"], 0), (["--replay", capture], 0)):
        done = subprocess.run([*s.command, *words], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
        assert done.returncode == code, done.stderr
        with open(os.path.join(folder, "state", "counters"), "rb") as f:
            assert f.read() == before
    s = start(Sluiced, NULL)
    assert since(s) == (began, False)
    assert s.ledger()["flows"]["left"]["flows"] == 1000


@pytest.mark.parametrize("how", ["changed", "cut", "empty"])
def test_broken_counters(start, folder, how):
    s = start(Sluiced, NULL)
    send(s, 1000)
    s.settle()
    s.stop()
    path = os.path.join(folder, "state", "counters")
    with open(path, "rb") as f:
        octets = f.read()
    octets = {"changed": octets.replace(b"flows - 1000", b"flows - 9000"), "cut": octets[:-30], "empty": b""}[how]
    with open(path, "wb") as f:
        f.write(octets)
    s = start(Sluiced, NULL)
    assert since(s) == (s.ctl("status")["started"], True)
    assert s.ledger()["flows"]["left"]["flows"] == 0
    said = [line for line in s.log().split("\n") if "balance." in line]
    assert len(said) == 1 and "balance.set_aside file=counters.bad why=" in said[0]
    with open(path + ".bad", "rb") as f:
        assert f.read() == octets


def test_newer_version(start, folder):
    s = start(Sluiced, NULL)
    s.stop()
    path = os.path.join(folder, "state", "counters")
    with open(path, "r+", encoding="ascii") as f:
        text = f.read().replace("sluice counters 1\n", "sluice counters 2\n")
        f.seek(0)
        f.write(text)
    done = subprocess.run(s.command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert done.returncode == 78
    assert re.search(r"state/counters: has version 2, of a newer sluiced; this one knows version 1", done.stderr)
    with open(path, encoding="ascii") as f:
        assert f.read() == text
    os.rename(path, path + ".newer")
    s = start(Sluiced, NULL)
    assert since(s)[1] is False


def test_disk_that_fails_at_stop(start, folder):
    """The stop says that it could not save, ends with 1, and the next life knows."""
    s = start(Sluiced, NULL)
    send(s, 1000)
    s.settle()
    os.mkdir(os.path.join(folder, "state", "counters.tmp"))  # where the file is written: nothing can be
    s.stop(code=1)
    assert "balance.not_saved" in s.log() and "balanced=yes" in s.log()
    os.rmdir(os.path.join(folder, "state", "counters.tmp"))
    s = start(Sluiced, NULL)
    assert since(s) == (s.ctl("status")["started"], True)
    assert s.ledger()["flows"]["left"]["flows"] == 0


def check_sums(folder, counters):
    """Lines of the ledger from the file."""
    refused = counters["units_refused"]
    assert counters["units_udp"] == counters["messages"] + refused
    assert counters["messages"] == counters["messages_read"]
    assert counters["records_flow"] == counters["flows"] == counters["flows_appended"] + counters["flows_dropped"]
    assert count_flows(folder) == counters["flows_appended"]


@pytest.mark.parametrize("workers", [1, 2])
def test_full_sockets(start, folder, workers):
    """What the kernel had taken before the stop is in the ledger, and in the files."""
    s = start(Sluiced, files_sink(folder), [f"workers={workers}"])
    s.process.send_signal(signal.SIGSTOP)
    run = send(s, 20000, 0, "-e", 8)
    s.process.send_signal(signal.SIGTERM)
    s.process.send_signal(signal.SIGCONT)
    assert s.process.wait(timeout=60) == 0, s.log()
    counters = saved(folder)
    check_sums(folder, counters)
    assert counters["kernel_drops_stopping"] == counters["units_refused"] == 0
    assert counters["units_udp"] + counters["kernel_drops"] == run["messages"]
    assert counters["units_udp"] > 1000
    if counters["kernel_drops"] == 0:
        assert counters["flows"] == 20000


def test_no_time(start, folder):
    """Without time to drain the datagrams are refused by name."""
    s = start(Sluiced, files_sink(folder), ["shutdown_s=0"])
    s.process.send_signal(signal.SIGSTOP)
    run = send(s, 20000, 0)
    s.process.send_signal(signal.SIGTERM)
    s.process.send_signal(signal.SIGCONT)
    assert s.process.wait(timeout=60) == 0, s.log()
    counters = saved(folder)
    assert counters["units_udp"] == counters["messages"] + counters["units_refused"]
    assert counters["units_refused", "shutdown"] > 0
    assert counters["units_udp"] + counters["kernel_drops"] + counters["kernel_drops_stopping"] == run["messages"]


@pytest.mark.parametrize("rate, workers", [(100000, 1), (0, 2)], ids=["fast", "as fast as it goes"])
def test_stop_under_load(start, folder, rate, workers):
    """Each datagram sent is received, or dropped by the kernel and counted, and what was received is in the files."""
    def files_done():
        return s.try_ctl("status").get("stopping") and s.ctl("sinks")["sinks"][0]["pending"] == 0

    stuck = '{ name = "stuck"; type = "file"; path = "/dev/null/flows"; }'  # the stop lasts until it is hurried
    s = start(Sluiced, f"({files_sink(folder, codec='null')[1:-1]}, {stuck})",
              ["shutdown_s=60", f"workers={workers}", "log.max_bytes=1G"])
    command = [os.path.join(BUILD, "sluicegen"), "--json", "-d", f"127.0.0.1:{s.port}", "-r", str(rate), "-e", "8", "-n", "1000000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sender:
        try:
            assert wait_for(lambda: s.counter("flows") > 20000)
            time.sleep(0.5)
            s.process.send_signal(signal.SIGTERM)
            time.sleep(1)
            sender.terminate()
            run = json.loads(sender.communicate(timeout=60)[0])
        finally:
            sender.kill()
    assert s.process.poll() is None, "it ended before the sender did:\n" + s.log()
    assert wait_for(files_done, 60)
    s.process.send_signal(signal.SIGTERM)
    assert s.process.wait(timeout=60) == 0, s.log()
    counters = saved(folder)
    check_sums(folder, counters)
    assert counters["kernel_drops_stopping"] > 0
    assert counters["units_refused"] == 0
    assert counters["units_udp"] + counters["kernel_drops"] + counters["kernel_drops_stopping"] == run["messages"]
    # The ledger goes on from there.
    s = start(Sluiced, NULL)
    assert s.ledger()["flows"]["left"]["flows"] == counters["flows"]
    assert not s.ctl("status")["advice"]
