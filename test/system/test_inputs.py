# SPDX-License-Identifier: Apache-2.0
"""Goal: a tee sends every datagram on as it came; listeners change at a reload while others receive; each option of a listener does as it says.

Method: running services; sockets of the test's own beside them as exporters and as the other collector; network namespaces that
the test makes, with a bridge and veth pairs, for what needs interfaces.  Every datagram is counted on both sides.
"""
import json
import os
import shutil
import socket
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


# --- what a listener can be told, in namespaces ----------------------------------------------------------------------

SENDER = """
import json, socket, struct, sys, time
for device, address, to, port, count in json.loads(sys.argv[1]):
    is_6 = ":" in to
    s = socket.socket(socket.AF_INET6 if is_6 else socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    index = socket.if_nametoindex(device)
    if is_6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    else:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("4s4si", bytes(4), bytes(4), index))
    s.bind((address, 0))
    for _ in range(count):
        s.sendto(b"no flow", (to, port))
        time.sleep(0.001)
"""


class Net:
    """Ours and the exporters' namespace, with two wires between: e0 to x0, e1 to x1."""

    def __init__(self):
        self.us, self.them = f"sl{os.getpid()}a", f"sl{os.getpid()}b"
        try:
            for name in (self.us, self.them):
                self.run("ip", "netns", "add", name)
                self.run("ip", "-n", name, "link", "set", "lo", "up")
                self.run("ip", "netns", "exec", name, "sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/default/dad_transmits; "
                         "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad")
            for i in (0, 1):
                self.run("ip", "link", "add", f"e{i}", "netns", self.us, "type", "veth", "peer", "name", f"x{i}", "netns", self.them)
                for name, device, last in ((self.us, f"e{i}", 1), (self.them, f"x{i}", 2)):
                    self.run("ip", "-n", name, "link", "set", device, "up")
                    self.run("ip", "-n", name, "addr", "add", f"10.77.{i}.{last}/24", "dev", device)
                    self.run("ip", "-n", name, "addr", "add", f"fd77:{i}::{last}/64", "dev", device, "nodad")
                    self.run("ip", "-n", name, "route", "add", "224.0.0.0/4", "dev", device, "metric", str(10 + i))
        except subprocess.CalledProcessError as e:
            self.close()
            pytest.skip(f"no namespace with wires here: {e.stderr.strip()}")
        self.within = ["ip", "netns", "exec", self.us]

    @staticmethod
    def run(*words):
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    def send(self, *what):
        """Each (wire, to, port, count), from the exporters' end of the wire."""
        rows = [(f"x{wire}", f"fd77:{wire}::2" if ":" in to else f"10.77.{wire}.2", to, port, count) for wire, to, port, count in what]
        self.run("ip", "netns", "exec", self.them, sys.executable, "-c", SENDER, json.dumps(rows))

    def close(self):
        for name in (self.us, self.them):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@pytest.fixture
def net():
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2")
    n = Net()
    yield n
    n.close()


def listen_on(start, net, *entries, workers=1):
    return start(Sluiced, NULL, [f"workers={workers}", "listen=(" + ", ".join(f"{{ {e} }}" for e in entries) + ")"], within=net.within)


def came(s, count):
    """All of that count, and after a while still no more."""
    wait_for(lambda: s.counter("units_udp") >= count, 5)
    time.sleep(0.3)
    assert s.counter("units_udp") == count, s.ctl("status")["listen"]


@pytest.mark.parametrize("workers", [1, 3])
def test_an_interface_is_the_only_one(start, net, workers):
    s = listen_on(start, net, 'interface = "e0"; port = 2055;', workers=workers)
    net.send((0, "10.77.0.1", 2055, 10), (1, "10.77.1.1", 2055, 20), (0, "fd77:0::1", 2055, 5), (1, "fd77:1::1", 2055, 40))
    came(s, 15)
    assert {row["interface"] for row in s.ctl("status")["listen"]} == {"e0"}


def test_one_port_on_two_interfaces(start, net):
    s = listen_on(start, net, 'interface = "e0"; port = 2055;', 'interface = "e1"; port = 2055;', workers=2)
    net.send((0, "10.77.0.1", 2055, 10), (1, "10.77.1.1", 2055, 20))
    came(s, 30)


def test_an_address_is_the_only_one(start, net):
    s = listen_on(start, net, 'address = "10.77.0.1"; port = 2055;', 'address = "fd77:1::1"; port = 2055;')
    net.send((0, "10.77.0.1", 2055, 3), (1, "10.77.1.1", 2055, 20), (1, "fd77:1::1", 2055, 5), (0, "fd77:0::1", 2055, 40))
    came(s, 8)


def test_v6only_takes_no_ipv4(start, net):
    s = listen_on(start, net, 'address = "::"; v6only = true; port = 2055;')
    net.send((0, "10.77.0.1", 2055, 10), (0, "fd77:0::1", 2055, 5))
    came(s, 5)


@pytest.mark.parametrize("workers", [1, 3])
def test_multicast_groups_by_interface(start, net, workers):
    """Several groups of both families; a group counts only by the interface where it was joined."""
    s = listen_on(start, net, 'port = 2055; multicast = ("239.7.7.1%e0", "239.7.7.2%e1", "ff15::7:1%e0", "ff15::7:2%e1");', workers=workers)
    time.sleep(0.2)
    net.send((0, "239.7.7.1", 2055, 1), (1, "239.7.7.2", 2055, 2), (0, "ff15::7:1", 2055, 4), (1, "ff15::7:2", 2055, 8))
    came(s, 15)
    net.send((1, "239.7.7.1", 2055, 16), (0, "239.7.7.2", 2055, 16), (1, "ff15::7:1", 2055, 16), (0, "239.7.7.3", 2055, 16))
    came(s, 15)
    net.send((0, "10.77.0.1", 2055, 3))
    came(s, 18)


def test_multicast_with_the_interface_of_the_entry(start, net):
    s = listen_on(start, net, 'port = 2055; interface = "e1"; multicast = ("239.7.7.1", "ff15::7:1");', 'port = 2056; address = "239.7.7.9"; interface = "e0";')
    time.sleep(0.2)
    net.send((1, "239.7.7.1", 2055, 1), (1, "ff15::7:1", 2055, 2), (0, "239.7.7.9", 2056, 4), (0, "239.7.7.1", 2055, 16), (1, "239.7.7.9", 2056, 16),
             (0, "10.77.0.1", 2056, 32))
    came(s, 7)


def test_a_reload_joins_and_leaves(start, net, folder):
    conf = write_conf(folder, ['port = 2055; multicast = ("239.7.7.1%e0");'])
    s = start(Sluiced, NULL, ["listen", "workers=2"], conf=conf, within=net.within)
    write_conf(folder, ['port = 2055; multicast = ("239.7.7.2%e0");'])
    assert s.ctl("reload")["ok"]
    time.sleep(0.2)
    net.send((0, "239.7.7.1", 2055, 1), (0, "239.7.7.2", 2055, 2), (0, "10.77.0.1", 2055, 4))
    came(s, 6)
    assert s.counter("kernel_drops_stopping") == s.counter("kernel_drops") == 0


def test_more_groups_than_the_system_lets_join(start, net):
    groups = ", ".join(f'"239.7.8.{i}%e0"' for i in range(40))
    with pytest.raises(AssertionError, match="net.ipv4.igmp_max_memberships"):
        listen_on(start, net, f"port = 2055; multicast = ({groups});")


def test_a_vrf_is_an_interface(start, net):
    try:
        net.run("ip", "-n", net.us, "link", "add", "red", "type", "vrf", "table", "10")
    except subprocess.CalledProcessError as e:
        pytest.skip(f"no VRF on this kernel: {e.stderr.strip()}")
    net.run("ip", "-n", net.us, "link", "set", "red", "up")
    net.run("ip", "-n", net.us, "link", "set", "e0", "master", "red")
    s = listen_on(start, net, 'interface = "red"; port = 2055;')
    net.send((0, "10.77.0.1", 2055, 10), (1, "10.77.1.1", 2055, 20))
    came(s, 10)


def test_rcvbuf_is_what_was_asked(start, net):
    s = listen_on(start, net, 'port = 2055; rcvbuf = "48M";', 'port = 2056; rcvbuf = 65536;', "port = 2057; rcvbuf = 0;", workers=2)
    rows = [(r["port"], r["rcvbuf_asked"], r["rcvbuf"]) for r in s.ctl("status")["listen"]]
    default = int(Net.run(*net.within, "cat", "/proc/sys/net/core/rmem_default"))
    assert rows == [(2055, 48 << 20, 48 << 20)] * 2 + [(2056, 65536, 65536)] * 2 + [(2057, 0, default // 2)] * 2


def test_sixty_four_listeners(start, net):
    s = listen_on(start, net, *(f"port = {3000 + i}; rcvbuf = 262144;" for i in range(64)), workers=2)
    assert len(s.ctl("status")["listen"]) == 128
    net.send(*((i % 2, f"10.77.{i % 2}.1", 3000 + i, 3) for i in range(64)))
    came(s, 192)
    s.stop()


BROKEN = """
import socket, struct
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
def send(fragment, checksum, octets):
    udp = struct.pack("!HHHH", 5000, 2055, 8 + len(octets), checksum) + octets
    raw.sendto(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 7, fragment, 64, 17, 0, socket.inet_aton("10.77.0.2"),
                           socket.inet_aton("10.77.0.1")) + udp, ("10.77.0.1", 0))
for _ in range(3):
    send(0, 0x1234, b"damaged!")
send(0x2000, 0, b"f" * 1000)
"""


def test_what_the_machine_loses_is_told(start, net):
    net.run(*net.within, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ipfrag_time")
    s = listen_on(start, net, "port = 2055;")
    assert set(s.ctl("ledger")["machine"].values()) == {0} and not s.ctl("status")["advice"]
    net.run("ip", "netns", "exec", net.them, sys.executable, "-c", BROKEN)
    assert wait_for(lambda: s.ctl("ledger")["machine"]["ip_reassembly_failures"] == 1), s.ctl("ledger")["machine"]
    status = s.ctl("status")
    assert status["machine"] == {"ip_reassembly_failures": 1, "udp_checksum_errors": 3, "udp_rcvbuf_errors": 0, "udp_memory_errors": 0}
    advice = " ".join(status["advice"])
    assert "net.ipv4.ipfrag_high_thresh" in advice and "udp_checksum_errors" in advice
    assert s.counter("units_udp") == 0


@is_root
def test_a_tee_cuts_what_the_wire_does_not_carry(start, net):
    """Over a wire of 1500 octets; the receiver there puts the fragments together, and its kernel checks the checksums."""
    receiver = """
import json, socket, sys
found = []
s = {}
for family, address in ((socket.AF_INET, "10.77.1.2"), (socket.AF_INET6, "fd77:1::2")):
    s[family] = socket.socket(family, socket.SOCK_DGRAM)
    s[family].setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
    s[family].settimeout(5)
    s[family].bind((address, 9000))
print("ready", flush=True)
sys.stdin.readline()
for family, one in s.items():
    for _ in range(int(sys.argv[1])):
        try:
            data, came = one.recvfrom(65536)
            found.append((len(data), data == bytes(i & 255 for i in range(len(data))), came[0], came[1]))
        except TimeoutError:
            break
print(json.dumps(found))
"""
    sender = """
import socket, sys, time
for family, to in ((socket.AF_INET, "10.77.0.1"), (socket.AF_INET6, "fd77:0::1")):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind(("10.77.0.2" if family == socket.AF_INET else "fd77:0::2", 7777))
    for n in map(int, sys.argv[1:]):
        s.sendto(bytes(i & 255 for i in range(n)), (to, 2055))
        time.sleep(0.02)
"""
    s = start(Sluiced, NULL, ["listen=({ port = 2055; })", 'tee=({ to = "10.77.1.2:9000"; from = ("10.77.0.0/24"); }, '
                              '{ to = "[fd77:1::2]:9000"; from = ("fd77:0::/64"); })'], within=net.within)
    # What comes has an address of another wire: reverse path filters would not have it.
    net.run("ip", "netns", "exec", net.them, "sh", "-c", "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done; "
            "for f in /proc/sys/net/ipv4/conf/*/accept_local; do echo 1 > $f; done")
    with subprocess.Popen(["ip", "netns", "exec", net.them, sys.executable, "-c", receiver, str(len(SIZES))], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as p:
        p.stdout.readline()
        net.run("ip", "netns", "exec", net.them, sys.executable, "-c", sender, *map(str, SIZES))
        assert wait_for(lambda: s.counter("units_udp") == 2 * len(SIZES)), s.counter("units_udp")
        found = json.loads(p.communicate("go\n", timeout=60)[0])
    assert account(s) == (2 * len(SIZES), 2 * len(SIZES), 0)
    assert [(n, ok) for n, ok, _, _ in found if n] == [(n, True) for n in SIZES] * 2, found
    assert {(a, port) for _, _, a, port in found} == {("10.77.0.2", 7777), ("fd77::2", 7777)}


def test_a_slow_wire_costs_the_tee_alone(start, net):
    """What the wire cannot carry waits in the socket's buffer until that is full; ours has everything."""
    try:
        net.run("ip", "netns", "exec", net.us, "tc", "qdisc", "add", "dev", "e1", "root", "tbf", "rate", "8kbit", "burst", "64kb", "limit", "200mb")
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("no traffic shaping here")
    s = start(Sluiced, NULL, ['listen=({ address = "127.0.0.1"; port = 2055; rcvbuf = "64M"; })', "workers=2",
                              'tee=({ to = "10.77.1.2:9000"; source = "own"; }, { to = "10.77.1.2:9001"; })'], within=net.within)
    flood = ("import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
             "for i in range(20000): s.sendto(bytes(1400), ('127.0.0.1', 2055))")
    net.run(*net.within, sys.executable, "-c", flood)
    assert s.settle("units_udp") == 20000 and s.counter("kernel_drops") == 0
    assert s.counter("messages_malformed") == 20000
    units, forwarded, dropped = account(s)
    assert units == 40000 == forwarded + dropped and dropped == s.counter("tee_dropped", "full") > 1000
    for row in tee_rows(s):
        assert row["units"] == 20000 == row["forwarded"] + row["dropped_full"] and row["dropped_full"] > 0
