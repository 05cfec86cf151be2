# SPDX-License-Identifier: Apache-2.0
"""Goal: whoever makes up ids, domains, ports or addresses, or sends what waits for ever, fills his own caps and nobody else's.

Method: each flood against a service of its own with known caps, while listed exporters go on: their flows are complete, memory
stays below the sum of the caps, and every datagram is in the ledger.
"""
import errno
import os
import socket
import struct
import time

import pytest
import vectors
import wire
from rig import RECORDS, REFRESH, SETTLE_BYTES, addresses, reasons_of, udp
from service import wait_for
from vectors import DEFINITIONS, FLOW, NEWS_MAX, TEMPLATES_MAX, data, define, flow, ipfix, room, template, templates

SOURCES = int(os.environ.get("SLUICE_HOSTILE_SOURCES", "1000000"))  # forged addresses
IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
LOG_MIB = 32
EXPORTER_MAX = 16384  # templates of an address
SETTINGS = (f"log.memory_bytes={LOG_MIB}M", "collector.hold_bytes=16M")
# The log, the sink's memory_bytes, hold_bytes, and what a service has that has seen nothing.
BASE_MIB = LOG_MIB + 64 + 16 + 32
SESSION_KIB = 8  # a session with a template of a few fields, its plan and its join


class Flood:
    """Sends as fast as is read: what is lost on the way in would prove nothing."""

    def __init__(self, rig):
        self.rig, self.sent, self.pending = rig, 0, 0
        self.before = rig.snapshot()

    def send(self, sock, message, ancillary=()):
        to = ("127.0.0.1", self.rig.service.port)
        sock.sendmsg([message], ancillary, 0, to)
        self.sent += 1
        self.pending += len(message) + 1000
        if self.pending > SETTLE_BYTES:
            self.pending = 0
            wait_for(lambda: self.rig.workers.unread() < SETTLE_BYTES // 4, seconds=60, every=0.001)

    def end(self, row, name, mib_max=BASE_MIB):
        drops = self.rig.settle()
        grown = self.rig.snapshot() - self.before
        rss = self.rig.rss_kib() // 1024
        row(name, self.sent, None, drops, rss, reasons_of(grown))
        assert grown["units_udp", ""] == self.sent
        assert drops == 0
        assert rss <= mib_max
        return grown


def test_ids(flooded, row):
    """Of one domain, more ids than it may have; then of twenty."""
    rig = flooded(2, *SETTINGS)
    flood, per, sock = Flood(rig), DEFINITIONS, rig.source()
    ids = list(range(256, 65536))
    for domain in range(20):
        for i in range(0, len(ids), per):
            flood.send(sock, ipfix(templates(b"".join(template(n, [(4, 1)]) for n in ids[i:i + per])), domain=domain))
    grown = flood.end(row, "template flood over ids")
    # The first messages fill the domains that the address has room for, and put out nobody; all others do.
    taken = 20 * -(-len(ids) // per) * NEWS_MAX
    evictions = taken - EXPORTER_MAX
    assert grown["templates_new", ""] == taken
    assert grown["templates_refused", "message"] == 20 * len(ids) - taken
    assert grown["templates_evicted", "domain"] + grown["templates_evicted", "exporter"] == evictions
    assert grown["templates_evicted", "exporter"] == (20 - EXPORTER_MAX // TEMPLATES_MAX) * TEMPLATES_MAX


def test_domains(flooded, row):
    """20 000 domains of one source, each with a template and a flow; 1000 may be there at once."""
    rig = flooded(2, *SETTINGS, "collector.unknown_domains_max=1000")
    flood, sock = Flood(rig), rig.source()
    for domain in range(20000):
        flood.send(sock, ipfix(define(256, FLOW), data(256, flow(1)), domain=domain))
    grown = flood.end(row, "template flood over domains")
    assert grown["sessions_new", ""] - grown["sessions_evicted", ""] <= 1000
    assert grown["records_flow", ""] + grown["units_refused", "sessions_full"] == 20000


def test_ports(flooded, row):
    """5000 ports of one address; each sends a template, and a flow later."""
    rig = flooded(2, *SETTINGS, "collector.unknown_domains_max=1000")
    flood, address = Flood(rig), next(addresses(71))
    for _ in range(5000):
        sock = udp(address)
        flood.send(sock, ipfix(define(256, FLOW)))
        flood.send(sock, ipfix(data(256, flow(1))))
        sock.close()
    grown = flood.end(row, "template flood over ports")
    assert grown["sessions_new", ""] - grown["sessions_evicted", ""] <= 1000
    assert grown["records_flow", ""] + grown["units_refused", "sessions_full"] >= 5000


def test_addresses(flooded, row):
    """A million forged addresses of 127.128.0.0/9, each with a template, and one of 200 with a flow."""
    domains_max = 20000
    rig = flooded(2, *SETTINGS, f"collector.unknown_domains_max={domains_max}", pattern="")
    flood, sock = Flood(rig), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    plain, with_flow = ipfix(define(256, FLOW)), ipfix(define(256, FLOW), data(256, flow(1)))
    for n in range(SOURCES):
        message = plain if n % 200 else with_flow
        source = struct.pack(">I", 0x7F800000 + n)
        flood.send(sock, message, [(socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=i4s4s", 0, source, bytes(4)))])
    sock.close()
    # Names of exporters stay in the log as long as its records do.
    grown = flood.end(row, "forged addresses", BASE_MIB + 2 * domains_max * SESSION_KIB // 1024)
    assert grown["sessions_new", ""] - grown["sessions_evicted", ""] <= 2 * domains_max
    assert grown["templates_new", ""] + grown["units_refused", "sessions_full"] == SOURCES


def test_agents(flooded, row):
    """2000 sFlow agents behind one address, each with 64 kinds of samples that nobody else has; 4000 templates may be there at once."""
    rig = flooded(2, *SETTINGS, "collector.templates_all_max=4000", "collector.unknown_domains_max=2000")
    flood, sock, kinds = Flood(rig), rig.source(), 64
    for n in range(2000):
        samples = [vectors.kinds_of((n * kinds + i) * 7919 % 2**len(vectors.KINDS)) for i in range(kinds)]
        for half in (samples[:32], samples[32:]):
            flood.send(sock, wire.sflow(*half, agent=struct.pack(">I", n)))
    grown = flood.end(row, "sFlow agents, each of its own kinds")
    assert grown["records_flow", ""] + grown["records_undecodable", "work"] == 2000 * kinds
    assert grown["templates_evicted", "all"] > 100000


def test_held(flooded, row):
    """Data without a template from 200 sources, as much as the pool has room for many times over; one that showed a template waits
    for another, and loses nothing."""
    rig = flooded(2, *SETTINGS, "collector.hold_s=600")
    flood, waiting = Flood(rig), rig.source()
    flood.send(waiting, ipfix(define(256, FLOW), data(300, *[flow(n) for n in range(20)])))
    for source, _ in zip(addresses(72), range(200)):
        sock = udp(source)
        for n in range(8):
            flood.send(sock, ipfix(data(256 + n, bytes(room(16)))))
        sock.close()
    flood.send(waiting, ipfix(define(300, FLOW), seq=20))
    grown = flood.end(row, "held-set pool flooded")
    assert grown["data_sets_held_decoded", ""] == 1 and grown["records_flow", ""] == 20
    assert grown["data_sets_dropped", "full"] > 1000
    assert grown["data_sets_dropped", "full"] + grown["data_sets_held_now", ""] == 1600


def fragment(source, number, payload, port):
    """The first fragment of a datagram whose rest never comes."""
    segment = struct.pack(">HHHH", 9999, port, 65000, 0) + payload
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), number, 0x2000, 64, socket.IPPROTO_UDP, 0,
                       socket.inet_aton(source), socket.inet_aton("127.0.0.1")) + segment


def reassembly_failures(rig):
    return rig.service.ctl("ledger")["machine"]["ip_reassembly_failures"]


def test_fragments(flooded, row):
    """Lost fragments fill the kernel's room for reassembly; whole datagrams come through."""
    try:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    except PermissionError:
        pytest.skip("raw sockets need CAP_NET_RAW")
    rig = flooded(2, *SETTINGS)
    flood, refused, failed = Flood(rig), 0, reassembly_failures(rig)
    for n in range(2000):
        try:
            raw.sendto(fragment(f"127.73.{n >> 8}.{n & 255}", n, bytes(8000), rig.service.port), ("127.0.0.1", 0))
        except OSError as e:
            assert e.errno in (errno.ENOBUFS, errno.EMSGSIZE), e
            refused += 1
    raw.close()
    assert refused < 100
    sock = rig.source()
    for _ in range(20):
        flood.send(sock, ipfix(define(256, FLOW), data(256, *[flow(n) for n in range(500)])))
    grown = flood.end(row, "lost fragments")
    assert grown["records_flow", ""] == 20 * 500
    # Those that wait still are counted when the kernel gives them up, after 30 s.
    assert wait_for(lambda: reassembly_failures(rig) > failed)


def test_other_worker(flooded, row):
    """What is most expensive, as fast as can be, on one worker: the other's exporters lose nothing, its own only what is counted."""
    # Workers share the log's memory: a smaller one would be full before the disk takes what the flood makes.
    rig = flooded(2, *SETTINGS, "log.memory_bytes=256M", 'listen=({ transport = "udp"; address = "127.0.0.1"; port = 0; rcvbuf = 262144; })')
    socks = [udp(a) for a, _ in zip(addresses(74, worker=0), range(3))]
    wide = next(v for v in vectors.ALL if v.name.startswith("0-length")).messages
    sent, end = 0, time.monotonic() + 3
    while time.monotonic() < end:
        for sock in socks:
            for m in (wide[2], wide[3]):
                sock.sendto(m, ("127.0.0.1", rig.service.port))
                sent += 1
    drops = rig.settle(exact_workers=(1,))
    row("a flood on the other worker", sent, None, drops, rig.rss_kib() // 1024, reasons_of(rig.snapshot()))
    assert drops > 0
    assert rig.rss_kib() // 1024 <= BASE_MIB - LOG_MIB + 256
    lost = sum(e.records - len(rig.octets[e.address]) for e in rig.good.exporters)
    assert lost <= REFRESH * RECORDS * drops
