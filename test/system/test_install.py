# SPDX-License-Identifier: Apache-2.0
"""Goal: what `make install` leaves behind works where it lies, and an operator's configuration is left alone.

Method: installs into folders of its own; the installed service, started elsewhere, takes flows and writes them.
"""
import json
import os
import subprocess
import sys

import pytest

from conftest import BUILD, ROOT, sluicegen, wait_for
from lake import read_lake


def install(**variables):
    words = [f"{name}={value}" for name, value in variables.items()]
    subprocess.run(["make", "-s", f"BUILD={os.path.basename(BUILD)}", *words, "install"], cwd=ROOT, capture_output=True, text=True,
                   timeout=300, check=True, env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")})


def files_below(folder):
    return sorted(os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names)


@pytest.fixture
def installed(folder):
    umask = os.umask(0o077)
    try:
        install(PREFIX=f"{folder}/usr", SYSCONFDIR=f"{folder}/etc", STATEDIR=folder, RUNDIR=folder)
    finally:
        os.umask(umask)
    return folder


def sluiced(folder, *words):
    return [f"{folder}/usr/sbin/sluiced", "-c", f"{folder}/etc/sluice/sluice.conf", *words]


def test_checks(installed):
    done = subprocess.run(sluiced(installed, "--check"), cwd="/", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    os.rename(f"{installed}/usr/share/sluice/templates/elements", f"{installed}/gone")
    assert subprocess.run(sluiced(installed, "--check"), cwd="/", capture_output=True, timeout=60, check=False).returncode == 78


def test_runs(installed):
    socket = f"{installed}/sluice.sock"

    def ctl(word):
        return json.loads(subprocess.run([f"{installed}/usr/bin/sluicectl", "-s", socket, "--json", word], capture_output=True,
                                         text=True, timeout=60, check=True).stdout)

    service = subprocess.Popen(sluiced(installed, "-o", 'listen=({ transport = "udp"; address = "127.0.0.1"; port = 0; })'), cwd="/",
                               stderr=subprocess.DEVNULL)
    try:
        assert wait_for(lambda: os.path.exists(socket))
        port = ctl("status")["listen"][0]["port"]
        sluicegen("-P", "ipfix", "-n", 100, "-r", 10000, "-d", f"127.0.0.1:{port}")
        assert wait_for(lambda: sum(c["value"] for c in ctl("counters")["counters"] if c["name"] == "flows_appended") == 100)
    finally:
        service.terminate()
        assert service.wait(timeout=60) == 0
    rows = read_lake(f"{installed}/flows")
    assert len({r["record_id"] for r in rows}) == len(rows) == 100
    query = f"{installed}/usr/bin/sluice-query"
    venv = {**os.environ, "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]}
    asked = subprocess.run([query, "--json", "SELECT count(DISTINCT record_id) AS flows FROM flows"], cwd="/", capture_output=True, text=True,
                           timeout=60, check=True, env=venv)
    assert json.loads(asked.stdout) == [{"flows": 100}]
    listed = subprocess.run([query, "list"], cwd="/", capture_output=True, text=True, timeout=60, check=True)
    assert "top-talkers" in listed.stdout


def test_readable_by_the_service(installed):
    for name in files_below(installed):
        if name.startswith(("usr/", "etc/")):
            assert os.stat(os.path.join(installed, name)).st_mode & 0o044 == 0o044, name


def test_configuration_stays(installed):
    conf = f"{installed}/etc/sluice/sluice.conf"
    shipped = open(conf, encoding="utf-8").read()
    with open(conf, "a", encoding="utf-8") as f:
        f.write("# mine\n")
    install(PREFIX=f"{installed}/usr", SYSCONFDIR=f"{installed}/etc", STATEDIR=installed, RUNDIR=installed)
    assert open(conf, encoding="utf-8").read() == shipped + "# mine\n"
    assert open(conf + ".new", encoding="utf-8").read() == shipped


def test_staged(folder):
    """A package's tree: all below DESTDIR, and no file knows of it."""
    install(DESTDIR=folder, PREFIX="/usr")
    names = files_below(folder)
    for name in ("usr/sbin/sluiced", "usr/bin/sluicectl", "usr/lib/systemd/system/sluiced.service", "usr/lib/sysusers.d/sluice.conf"):
        assert name in names
    texts = {name: open(os.path.join(folder, name), encoding="utf-8").read()
             for name in ("etc/sluice/sluice.conf", "usr/lib/systemd/system/sluiced.service")}
    assert not any(folder in text or "@" in text for text in texts.values())
    assert '"/usr/share/sluice/templates/mappings"' in texts["etc/sluice/sluice.conf"]
    assert "/usr/sbin/sluiced -c /etc/sluice/sluice.conf" in texts["usr/lib/systemd/system/sluiced.service"]
