# SPDX-License-Identifier: Apache-2.0
"""Goal: trouble of one part stays with it: the others go on, status says what it is, and it passes.

Method: a sluiced that is made to fail in one way per test, while sluicegen sends.
"""
import os
import socket
import subprocess
import time

import pytest

from conftest import BUILD, Sluiced, files_sink, read_flows, sluicegen, wait_for


def send(s, count, rate=5000, *words):
    sluicegen("-d", f"127.0.0.1:{s.port}", "-n", count, "-r", rate, *words)


def sink(s, name="files"):
    return next(x for x in s.ctl("sinks")["sinks"] if x["name"] == name)


def test_drain_that_waits(start, folder):
    """A drain that cannot end, and one whose client is gone, make nobody write small files."""
    stuck = '{ name = "stuck"; type = "file"; path = "/dev/null/flows"; }'
    s = start(Sluiced, f'({{ name = "files"; type = "file"; path = "{folder}/flows"; }}, {stuck})', ["shutdown_s=1"])
    for is_waiting in (True, False):
        before = sink(s)["files"]
        send(s, 100)
        client = subprocess.Popen([os.path.join(BUILD, "sluicectl"), "-s", s.socket, "drain"])
        assert wait_for(lambda: sink(s)["files"] > before)
        if not is_waiting:
            client.terminate()  # not SIGINT, which a service started in the background ignores
            client.wait(timeout=20)
        send(s, 1000, 1000)
        time.sleep(0.5)
        # What was not sealed yet when the drain began is another file, but what comes later is none.
        at = sink(s)["files"]
        assert at <= before + 2
        send(s, 1000, 1000)
        time.sleep(0.5)
        assert sink(s)["files"] == at
        client.kill()
        client.wait()
    assert s.counter("sink_delivered") >= 200


@pytest.fixture
def small_disk(folder):
    """A file system of 3 MiB at the place of the flows."""
    path = os.path.join(folder, "flows")
    os.mkdir(path)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", path], capture_output=True, check=False).returncode:
        pytest.skip("mounting takes root")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_full_disk(start, folder, small_disk):
    """What fits is completed, and counted, before a full disk holds up the rest."""
    s = start(Sluiced, files_sink(folder, codec="null"), ["log.max_bytes=64M", "shutdown_s=1"])
    send(s, 20000, 20000)
    wait_for(lambda: sink(s)["pending"] > 0 and sink(s)["state"] == "waiting" and sink(s)["delivered"] > 0, 30)
    time.sleep(2)
    about = sink(s)
    assert about["error"] == "No space left on device"
    assert len(read_flows(folder)) == about["delivered"]
    disk = os.statvfs(small_disk)
    assert disk.f_bavail < disk.f_blocks / 4
    s.ledger()
    s.kill()


def test_too_many_clients(start):
    """The one too many hears so, and sluicectl says it, whoever is faster."""
    s = start(Sluiced, '({ name = "null"; type = "null"; })')
    clients = [socket.socket(socket.AF_UNIX) for _ in range(64)]
    for c in clients:
        c.connect(s.socket)
    for _ in range(20):
        done = subprocess.run([os.path.join(BUILD, "sluicectl"), "-s", s.socket, "status"], capture_output=True, text=True,
                              timeout=20, check=False)
        assert (done.returncode, done.stderr) == (1, "sluicectl: too many clients\n")
    for c in clients:
        c.close()
    assert wait_for(lambda: s.try_ctl("status").get("ok"))
    assert "ctl.refused clients=64" in s.log()
