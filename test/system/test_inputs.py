# SPDX-License-Identifier: Apache-2.0
"""Goal: a tee sends every datagram on as it came; listeners change at a reload while others receive; each option of a listener does as it says.

Method: running services; sockets of the test's own beside them as exporters and as the other collector; network namespaces that
the test makes, with a bridge and veth pairs, for what needs interfaces.  Every datagram is counted on both sides.
"""
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from conftest import BUILD, ROOT, Sluiced, sluicegen, wait_for

is_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
SIZES = [1, 2, 24, 1400, 1472, 1473, 2000, 9000, 32768, 65000, 65506, 65507]
NULL = '({ name = "n"; type = "null"; })'
WITHOUT_RAW = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"]


class Collector(threading.Thread):
    """The other collector: keeps all that comes, and from where."""

    def __init__(self, address="127.0.0.1", family=socket.AF_INET):
        super().__init__(daemon=True)
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, 33 if os.geteuid() == 0 else socket.SO_RCVBUF, 64 << 20)
        self.socket.bind((address, 0))
        self.socket.settimeout(0.2)
        self.port, self.got, self.is_over = self.socket.getsockname()[1], [], False
        self.start()

    def run(self):
        while not self.is_over:
            try:
                self.got.append(self.socket.recvfrom(65536))
            except TimeoutError:
                pass

    def close(self):
        self.is_over = True
        self.join()
        self.socket.close()


def payloads(times=1):
    return [bytes((n * 7 + i) & 255 for i in range(4)) * (size // 4) + b"x" * (size % 4) for n in range(times) for i, size in enumerate(SIZES)]


def send_all(port, what, address="127.5.6.7", to="127.0.0.1", family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        s.bind((address, 0))
        for p in what:
            s.sendto(p, (to, port))
            time.sleep(0.0005)
        return s.getsockname()[:2]


def tee_rows(s):
    return s.ctl("status")["tee"]


def account(s):
    line = s.ledger()["tee"]
    return line["left"]["units"], line["right"]["forwarded"], line["right"]["dropped"]


# --- tee -------------------------------------------------------------------------------------------------------------

@is_root
@pytest.mark.parametrize("workers", ["1", "3"])
def test_a_tee_keeps_octets_and_source(start, workers):
    other = start(Collector)
    s = start(Sluiced, NULL, [f"workers={workers}", f'tee=({{ to = "127.0.0.1:{other.port}"; }})'])
    sent = payloads(5)
    froms = [send_all(s.port, sent, f"127.5.6.{i}") for i in range(1, 5)]
    assert wait_for(lambda: len(other.got) == len(sent) * 4), len(other.got)
    for source in froms:
        assert [data for data, came in other.got if came == source] == sent
    assert account(s) == (len(sent) * 4, len(sent) * 4, 0)
    (row,) = tee_rows(s)
    assert (row["source"], row["units"], row["forwarded"]) == ("original", len(sent) * 4, len(sent) * 4)
    assert s.counter("units_udp") == len(sent) * 4 and s.counter("kernel_drops") == 0


@is_root
def test_a_tee_keeps_ipv6_sources(start):
    other = start(Collector, "::1", socket.AF_INET6)
    s = start(Sluiced, NULL, ['listen=({ address = "::1"; port = 0; })', f'tee=({{ to = "[::1]:{other.port}"; }})'])
    source = send_all(s.port, payloads(), "::1", "::1", socket.AF_INET6)
    assert wait_for(lambda: len(other.got) == len(SIZES))
    assert [data for data, _ in other.got] == payloads() and {came[:2] for _, came in other.got} == {source}


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv")
def test_without_the_privilege_our_source_is_seen_and_said(start):
    other = start(Collector)
    within = WITHOUT_RAW if os.geteuid() == 0 else []
    s = start(Sluiced, NULL, [f'tee=({{ to = "127.0.0.1:{other.port}"; }})'], within=within)
    source = send_all(s.port, payloads())
    assert wait_for(lambda: len(other.got) == len(SIZES))
    assert [data for data, _ in other.got] == payloads()
    assert source not in {came for _, came in other.got} and {came[0] for _, came in other.got} == {"127.0.0.1"}
    (row,) = tee_rows(s)
    assert row["source"] == "own" and "not permitted" in row["source_why"]
    assert s.log().count("tee.own_source") == 1
    assert s.counter("tee_own_source") == len(SIZES) and account(s) == (len(SIZES), len(SIZES), 0)


def test_targets_choose_exporters_and_fail_alone(start):
    one, two = start(Collector), start(Collector)
    s = start(Sluiced, NULL, [f'tee=({{ to = "127.0.0.1:{one.port}"; source = "own"; from = ("127.5.0.0/16"); }}, '
                              f'{{ to = "127.0.0.1:{two.port}"; source = "own"; }}, '
                              f'{{ to = "no-such-host.invalid:2055"; source = "own"; }})'])
    send_all(s.port, payloads(), "127.5.6.7")
    send_all(s.port, payloads(), "127.6.6.7")
    n = len(SIZES)
    assert wait_for(lambda: len(two.got) == 2 * n)
    assert [d for d, _ in one.got] == payloads() and account(s) == (5 * n, 3 * n, 2 * n)
    assert s.counter("tee_dropped", "unreachable") == 2 * n and s.counter("units_udp") == 2 * n
    assert [(r["units"], r["forwarded"], r["dropped_unreachable"]) for r in tee_rows(s)] == [(n, n, 0), (2 * n, 2 * n, 0), (2 * n, 0, 2 * n)]


def test_a_tee_to_ourselves_is_refused(start, folder):
    other = start(Collector)
    base = [os.path.join(BUILD, "sluiced"), "-c", os.path.join(ROOT, "etc/sluice.conf"), "-o", f"state={folder}/s", "--check", "-o"]
    for tee in ('({ to = "127.0.0.1:2055"; })', '({ to = "localhost:4739"; })', '({ to = "[::1]:6343"; })',
                '({ to = "127.0.0.1:1"; }, { to = "127.9.9.9:2055"; })'):
        done = subprocess.run([*base, "tee=" + tee], capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 78 and "a listener of ours: a loop" in done.stderr, (tee, done)
    for tee in ('({ to = "nowhere"; })', '({ to = "::1:2055"; })', '({ source = "own"; })', '({ to = "a:1"; source = "x"; })',
                '({ to = "a:1"; from = ( "b" ); })'):
        done = subprocess.run([*base, "tee=" + tee], capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 78 and "loop" not in done.stderr, (tee, done)
    conf = write_conf(folder, [f"port = {free_port()};"], f'tee = ({{ to = "127.0.0.1:{other.port}"; source = "own"; }});')
    s = start(Sluiced, NULL, ["listen"], conf=conf)
    write_conf(folder, [f"port = {s.port};"], f'tee = ({{ to = "127.0.0.1:{s.port}"; source = "own"; }});')
    answer = s.try_ctl("reload")
    assert not answer["ok"] and "a loop" in answer["error"]
    send_all(s.port, payloads())
    assert wait_for(lambda: len(other.got) == len(SIZES)), "the earlier tee went on"


def test_a_reload_changes_the_tee_and_keeps_its_counts(start, folder):
    one, two = start(Collector), start(Collector)
    port = free_port()
    to = '{{ to = "127.0.0.1:{}"; source = "own"; }}'.format
    conf = write_conf(folder, [f"port = {port};"], f"tee = ({to(one.port)});")
    s = start(Sluiced, NULL, ["listen"], conf=conf)
    send_all(port, payloads())
    assert wait_for(lambda: len(one.got) == len(SIZES))
    write_conf(folder, [f"port = {port};"], f"tee = ({to(two.port)}, {to(one.port)});")
    answer = s.ctl("reload")
    assert answer["ok"] and any("tee" in c for c in answer["changed"]) and not answer["needs_restart"], answer
    send_all(port, payloads())
    assert wait_for(lambda: len(two.got) == len(SIZES) and len(one.got) == 2 * len(SIZES))
    assert [r["forwarded"] for r in tee_rows(s)] == [len(SIZES), 2 * len(SIZES)]
    write_conf(folder, [f"port = {port};"], "")
    assert s.ctl("reload")["ok"]
    send_all(port, payloads())
    s.settle("units_udp")
    assert "tee" not in s.ctl("status") and account(s) == (3 * len(SIZES), 3 * len(SIZES), 0)
    s.stop()


# --- listeners and reload --------------------------------------------------------------------------------------------

def free_port(family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.bind(("", 0))
        return s.getsockname()[1]


def write_conf(folder, listens, more=""):
    path = os.path.join(folder, "sluice.conf")
    with open(path, "w", encoding="utf-8") as f:
        f.write('listen = ( ' + ", ".join(f"{{ {entry} }}" for entry in listens) + f" );\n{more}\n")
    return path


def sockets_of(s, port):
    """The inodes of a process's sockets on a port."""
    found = set()
    for name in ("udp", "udp6"):
        with open(f"/proc/{s.process.pid}/net/{name}", encoding="ascii") as f:
            found |= {w[9] for w in map(str.split, f) if w[1].endswith(f":{port:04X}")}
    return found


@pytest.mark.parametrize("workers", ["1", "2"])
def test_listeners_change_while_another_receives(start, folder, workers):
    stays, other, third = free_port(), free_port(), free_port()
    keep = f'address = "127.0.0.1"; port = {stays}; rcvbuf = "4M";'
    conf = write_conf(folder, [keep, f"port = {other};"])
    s = start(Sluiced, NULL, [f"workers={workers}", "listen"], conf=conf)
    inodes = sockets_of(s, stays)
    assert len(inodes) == int(workers)
    account_of = {}
    sender = threading.Thread(target=lambda: account_of.update(sluicegen("-d", f"127.0.0.1:{stays}", "-n", 60000, "-r", 10000, "-e", 8)))
    sender.start()
    reloads = 0
    while sender.is_alive():
        for listens in ([keep], [keep, f"port = {third};"], [f'port = {other}; rcvbuf = "1M";', keep], [keep, f'port = {other}; rcvbuf = "2M";'],
                        [keep, f'port = {other}; address = "127.0.0.1";']):
            write_conf(folder, listens)
            answer = s.ctl("reload")
            assert answer["ok"] and not answer["needs_restart"], answer
            reloads += 1
            assert sockets_of(s, stays) == inodes
            assert len(s.ctl("status")["listen"]) == len(listens) * int(workers)
    assert reloads >= 5
    s.settle()
    assert s.counter("flows") == 60000 == account_of["flows"], account_of
    assert s.counter("kernel_drops") == s.counter("kernel_drops_stopping") == s.counter("sequence_missed") == 0
    s.ledger()
    s.stop()


def test_what_a_closed_listener_holds_is_read(start, folder):
    """Stopped, so that it cannot read before the reload comes."""
    stays, goes = free_port(), free_port()
    s = start(Sluiced, NULL, ["listen"], conf=write_conf(folder, [f"port = {stays};", f"port = {goes};"]))
    s.process.send_signal(19)
    write_conf(folder, [f"port = {stays};"])
    sluicegen("-d", f"127.0.0.1:{goes}", "-n", 2000, "-r", 0, "-b", "0.0.0.0")
    s.process.send_signal(1)
    s.process.send_signal(18)
    assert wait_for(lambda: s.log().count("reload.done"))
    assert s.settle() == 2000 and not sockets_of(s, goes)
    s.ledger()


def test_a_listener_that_cannot_open_changes_nothing(start, folder):
    stays, goes, more = free_port(), free_port(), free_port()
    s = start(Sluiced, NULL, ["listen"], conf=write_conf(folder, [f"port = {stays};", f"port = {goes};"]))
    before = sockets_of(s, stays), sockets_of(s, goes)
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    holder.bind(("127.0.0.1", 0))
    taken = holder.getsockname()[1]
    for entry, why in ((f'address = "127.0.0.1"; port = {taken};', "in use by another program"),
                       ('address = "203.0.113.9"; port = 0;', "no such address"),
                       ('interface = "nosuch0"; port = 0;', "no interface nosuch0"),
                       ('multicast = ("239.1.1.1%nosuch0"); port = 0;', "no interface nosuch0"),
                       ('multicast = ("10.1.1.1"); port = 0;', "no multicast group"),
                       ('multicast = ("239.1.1.1"); address = "127.0.0.1"; port = 0;', "would receive nothing")):
        write_conf(folder, [f"port = {stays};", f"port = {more};", entry])
        answer = s.try_ctl("reload")
        assert not answer["ok"] and why in answer["error"], answer
        assert (sockets_of(s, stays), sockets_of(s, goes)) == before and not sockets_of(s, more)
    holder.close()
    assert sluicegen("-d", f"127.0.0.1:{goes}", "-n", 100)["flows"] == 100 == s.settle()
