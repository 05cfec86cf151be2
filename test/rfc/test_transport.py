# SPDX-License-Identifier: Apache-2.0
"""F: sessions and transports."""
import datetime
import os
import signal
import socket
import time

from marks import not_yet
from service import ROOT, wait_for
from test_framing import is_transport
from wire import FLOW, data, define, flow, ipfix


def test_077_new_sessions(item):
    """M 7011 9: new sessions are taken at all times: 500 source ports"""
    address = "127.100.77.1"
    peers = [item.peer(address=address) for _ in range(500)]
    for n, p in enumerate(peers):
        p.send(ipfix(define(256, FLOW), data(256, flow(n))))
    assert item.octets() == list(range(500)) and item.counted("sessions_new") == 500


def test_077_new_sessions_tcp(item):
    """M 7011 9: 500 TCP clients"""
    streams = [item.stream(address=f"127.100.77.{2 + n % 50}") for n in range(500)]
    for n, p in enumerate(streams):
        p.send(ipfix(define(256, FLOW), data(256, flow(n))))
    assert item.octets() == list(range(500)) and item.counted("sessions_new") == 500
    assert item.counted("connections") == 500 and item.counted("connections_refused") == 0


def test_078_port(own):
    """M 7011 10.1: the port is configurable, 4739 unless it is said"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    item = own(f'listen=({{ transport = "udp"; address = "127.0.0.1"; port = {port}; }})')
    assert item.service.port == port
    item.peer().send(ipfix(define(256, FLOW), data(256, flow(1))))
    assert item.octets() == [1]
    with open(os.path.join(ROOT, "doc/OPTIONS.md"), encoding="utf-8") as f:
        assert any(line.startswith("| `listen[].port`") and "| `4739` |" in line for line in f)


def test_079_sctp_is_absent():
    """M 7011 10.1: SCTP is required of a fully compliant implementation: where it is absent, the documents say so"""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
        says = "SCTP" in f.read()
    assert says or is_transport("sctp")


def test_080_transports_share_nothing(item):
    """M 7011 10: a template that came over TCP is not used for data over UDP, from the same address and port, nor the other way"""
    tcp = item.stream(address="127.100.80.1")
    udp = item.peer(address="127.100.80.1", port=tcp.port)
    tcp.send(ipfix(define(256, FLOW), data(256, flow(1))))
    item.settle()
    udp.send(ipfix(data(256, flow(2))))
    assert item.octets() == [1] and item.without_template() == 1
    udp.send(ipfix(define(257, FLOW), data(257, flow(3))))
    item.settle()
    tcp.send(ipfix(data(257, flow(4))))
    assert item.octets() == [1, 3] and item.without_template() == 2


def test_081_idle_session(own):
    """Y 7011 9.3: a UDP session that is idle is forgotten, with its templates"""
    item = own("collector.session_idle_s=1")
    p = item.peer()
    p.send(ipfix(define(256, FLOW), data(256, flow(1))))
    assert p.row()["templates"] == 1
    assert wait_for(lambda: item.counted("sessions_idle") == 1, 10) and p.row() is None
    p.send(ipfix(data(256, flow(2))))
    assert item.octets() == [1] and item.counted("sessions_new") == 2


def test_082_stop(own):
    """S 7011 10.4: what has come before a stop is emitted: SIGTERM in a burst"""
    item = own()
    p = item.peer()
    p.send(ipfix(define(256, FLOW)))
    item.settle()
    for n in range(60):
        p.send(ipfix(data(256, *[flow(20 * n + i) for i in range(20)])))
    item.service.process.send_signal(signal.SIGTERM)
    assert item.service.process.wait(timeout=60) == 0, item.service.log()
    item.unsettled, item.service.drain = 0, lambda: None
    assert item.octets() == list(range(1200))


def test_083_what_is_kept_of_a_template(item):
    """S 7011 8.4: of a template the exporter, domain, id and definition are kept, and shown"""
    p = item.peer()
    p.send(ipfix(define(300, [(8, 4), (82, 65535)]), domain=3))
    item.settle()
    rows = [t for t in item.service.ctl("templates")["templates"] if t["exporter"] == p.address]
    assert len(rows) == 1 and (rows[0]["domain"], rows[0]["template"], rows[0]["format"]) == (3, 300, "ipfix")
    assert [(e["id"], e["bytes"]) for e in rows[0]["elements"]] == [(8, 4), (82, "variable")]


def test_083_port_and_time_of_a_template(item):
    """S 7011 8.4: its source port, the port it came to, and when it was received last"""
    p = item.peer()
    p.send(ipfix(define(300, FLOW)))
    item.settle()
    row = next(t for t in item.service.ctl("templates")["templates"]
               if (t["exporter"], t["port"]) == (p.address, p.port))
    assert (row["local_port"], row["last_used"]) == (item.service.port, "")
    received = datetime.datetime.fromisoformat(row["last_received"].replace("Z", "+00:00"))
    assert abs((datetime.datetime.now(datetime.timezone.utc) - received).total_seconds()) < 60


@not_yet("TLS and DTLS are not there yet")
def test_084_tls_versions():
    """M 7011 11: TLS for TCP, DTLS for UDP, none below 1.2"""
    assert is_transport("tls")


@not_yet("TLS and DTLS are not there yet")
def test_085_mutual_authentication():
    """M 7011 11: both sides show certificates, and the name in them is checked"""
    assert is_transport("tls")


def test_086_allow_list(own):
    """G: sources that are not listed are counted and dropped"""
    item = own('exporters=({ address = "127.100.86.1"; })', 'collector.unknown="refuse"')
    listed, stranger = item.peer(), item.peer()
    for n, p in enumerate((stranger, listed, stranger)):
        p.send(ipfix(define(256, FLOW), data(256, flow(n))))
    assert item.octets() == [1] and item.counted("units_refused", "not_listed") == 2
    assert stranger.row() is None


def test_087_receive_buffer(own):
    """G: what the kernel drops because our receive buffer is full is counted"""
    item = own('listen=({ transport = "udp"; address = "127.0.0.1"; port = 0; rcvbuf = "4K"; })')
    p = item.peer()
    p.send(ipfix(define(256, FLOW)))
    item.settle()
    os.kill(item.service.process.pid, signal.SIGSTOP)
    for n in range(200):
        p.socket.sendto(ipfix(data(256, *[flow(n)] * 40)), ("127.0.0.1", item.service.port))
    os.kill(item.service.process.pid, signal.SIGCONT)
    # The kernel says how many it dropped with the next datagram that it keeps.
    time.sleep(0.2)
    p.socket.sendto(ipfix(), ("127.0.0.1", item.service.port))
    assert wait_for(lambda: item.counted("units_udp") + item.counted("kernel_drops") == 202, 10)
    assert 0 < item.counted("kernel_drops") < 201


