# SPDX-License-Identifier: Apache-2.0
"""Goal: IPFIX over TCP loses, spoils and doubles nothing, whatever becomes of exporters, sinks and listeners; and who
means ill holds up nobody.

Method: sluicegen's flows through a real service and check.py; connections of the test's own for what no exporter does.
"""
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest

from conftest import BUILD, PYTHON, ROOT, Sluiced, files_sink, read_flows, wait_for

FLOWS = 200000
LISTEN = ('listen=({ transport = "tcp"; address = "127.0.0.1"; port = 0; }, '
          '{ transport = "udp"; address = "127.0.0.1"; port = 0; })')
QUICK = ('normalizer.enrich=()',)


def port_of(service, transport="tcp"):
    return next(row["port"] for row in service.ctl("status")["listen"] if row["transport"] == transport)


def generator(service, *words):
    return subprocess.Popen([os.path.join(BUILD, "sluicegen"), "-T", "tcp", "-d", f"127.0.0.1:{port_of(service)}", "--json",
                             "--time", "1780000000", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result_of(process, code=0):
    out, errors = process.communicate(timeout=300)
    assert process.returncode == code, errors
    return json.loads(out)


def check(folder, run):
    """What check.py says of the files, against a run that may be made of several."""
    path = os.path.join(folder, "run.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(run, f)
    done = subprocess.run([PYTHON, os.path.join(ROOT, "test/gen/check.py"), "--run", path, "--files", os.path.join(folder, "flows"),
                           "--fields", "key", "--json"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def closed(service, reason):
    return service.counter("connections_closed", reason)


@pytest.mark.parametrize("workers,words", [(1, ("-t", "basic", "-e", 1, "--message", 65535)), (3, ("-t", "basic", "-e", 16, "--cut", 997))])
def test_all_arrive(start, folder, workers, words):
    """None missing, wrong or doubled: largest messages of one exporter; messages cut anywhere of many, over workers."""
    service = start(Sluiced, files_sink(folder, codec="null", rotate_s=3600), (LISTEN, f"workers={workers}", *QUICK))
    run = result_of(generator(service, "-n", FLOWS, "-r", 0, *words))
    assert wait_for(lambda: service.counter("flows") == FLOWS, 60)
    assert wait_for(lambda: closed(service, "peer") == run["exporters"])
    service.drain()
    lines = service.ledger()
    assert lines["received units"]["left"]["stream"] == run["messages"] == lines["received units"]["right"]["messages"]
    assert lines["connections"]["left"]["connections"] == run["exporters"]
    assert service.counter("connections_now") == 0 and service.ctl("exporters")["exporters"] == []
    service.stop()
    check(folder, run)
