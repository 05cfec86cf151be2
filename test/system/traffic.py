# SPDX-License-Identifier: Apache-2.0
"""Traffic of our own making, and what is true of it: frames, captures, and flows counted from the frames.

Nothing here knows Sluice; a capture is read back octet by octet, so that demo.pcap is counted by the same rules.
"""
import collections
import ipaddress
import socket
import struct
import sys
import time

# 2026-01-05 06:13:20 UTC and some microseconds: no packet stands on a whole millisecond.
BASE_US = 1767593600_000000 + 123457
TCP, UDP, ICMP, ICMP6, FRAGMENT6 = 6, 17, 1, 58, 44

Packet = collections.namedtuple("Packet", "time_us src_mac dst_mac vlan src dst proto src_port dst_port tos flags icmp "
                                          "octets frame_octets is_fragment is_later_fragment fragment_key first_octets")


# --- making ----------------------------------------------------------------------------

def checksum(octets):
    octets += b"\0" * (len(octets) % 2)
    total = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def mac(number):
    return f"02:00:5e:00:{number >> 8:02x}:{number & 255:02x}"


def ip_datagram(src, dst, proto, payload, tos=0, number=1, fragment=None):
    """fragment is (offset in octets, more to come)."""
    s, d = ipaddress.ip_address(src), ipaddress.ip_address(dst)
    offset, more = fragment or (0, False)
    if s.version == 4:
        head = struct.pack(">BBHHHBBH", 0x45, tos, 20 + len(payload), number, offset // 8 | (0x2000 if more else 0), 64, proto, 0)
        head += s.packed + d.packed
        return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload
    if fragment:
        payload = struct.pack(">BBHI", proto, 0, offset | more, number) + payload
        proto = FRAGMENT6
    return struct.pack(">IHBB", 6 << 28 | tos << 20, len(payload), proto, 64) + s.packed + d.packed + payload


def transport(src, dst, proto, src_port, dst_port, payload, flags=0x18):
    """The segment with its checksum; for ICMP the ports are type and code."""
    s, d = ipaddress.ip_address(src).packed, ipaddress.ip_address(dst).packed
    if proto == TCP:
        segment, at = struct.pack(">HHIIBBHHH", src_port, dst_port, 1000, 2000, 5 << 4, flags, 65535, 0, 0) + payload, 16
    elif proto == UDP:
        segment, at = struct.pack(">HHHH", src_port, dst_port, 8 + len(payload), 0) + payload, 6
    else:
        segment, at = struct.pack(">BBHHH", src_port, dst_port, 0, 77, 1) + payload, 2
    pseudo = b"" if proto == ICMP else s + d + struct.pack(">II", len(segment), proto)
    return segment[:at] + struct.pack(">H", checksum(pseudo + segment)) + segment[at + 2:]


class Maker:
    """Frames in the order of their times."""

    def __init__(self, base_us):
        self.frames, self.now, self.number = [], base_us, 0

    def frame(self, src_mac, dst_mac, datagram, vlan=None, step_us=0):
        self.now += step_us or 1009 + 37 * (len(self.frames) % 11)
        tag = struct.pack(">HH", 0x8100, vlan) if vlan is not None else b""
        kind = 0x0800 if datagram[0] >> 4 == 4 else 0x86DD
        octets = bytes.fromhex((dst_mac + src_mac).replace(":", "")) + tag + struct.pack(">H", kind) + datagram
        # Not filled up to 60 octets: softflowd counts the filling as the packet's.
        self.frames.append((self.now, octets))

    def one(self, ends, proto, ports, size, reply=False, tos=0, flags=0x18, vlan=None, fragments=()):
        """One datagram between the ends ((address, MAC), (address, MAC)), whole or in fragments of these sizes."""
        (src, src_mac), (dst, dst_mac) = reversed(ends) if reply else ends
        sport, dport = reversed(ports) if reply and proto in (TCP, UDP) else ports
        segment = transport(src, dst, proto, sport, dport, bytes(i & 255 for i in range(size)), flags)
        self.number += 1
        at = 0
        for count in fragments:
            more = at + count < len(segment)
            self.frame(src_mac, dst_mac, ip_datagram(src, dst, proto, segment[at:at + count], tos, self.number, (at, more)), vlan)
            at += count
        if not fragments:
            self.frame(src_mac, dst_mac, ip_datagram(src, dst, proto, segment, tos, self.number), vlan)

    def pause(self, microseconds):
        self.now += microseconds


def talk(m, n, a, b, vlan=None):
    """What two hosts say to each other: TCP with its flags, UDP both ways and one way, pings."""
    ends, tos = (a, b), 0x28 + 4 * n
    kinds = (ICMP, 8, 0) if ":" not in a[0] else (ICMP6, 128, 129)
    ports = (40000 + n, 443)
    for reply, flags, size in ((False, 0x02, 0), (True, 0x12, 0), (False, 0x10, 0), (False, 0x18, 333 + n), (True, 0x18, 1200),
                               (True, 0x10, 1460 - 20 * n), (False, 0x10, 0), (True, 0x19, 55), (False, 0x11, 0)):
        m.one(ends, TCP, ports, size, reply, tos, flags, vlan)
    m.pause(250_123)
    for i in range(4 + n):
        m.one(ends, UDP, (53000 + n, 53), 30 + i, False, 0, 0, vlan)
        m.one(ends, UDP, (53000 + n, 53), 90 + 7 * i, True, 0, 0, vlan)
    m.pause(1_000_777 * (n % 3))
    for i in range(3):
        m.one(ends, UDP, (60000 + n, 5000), 700 + i, False, 0xB8, 0, vlan)
    for i in range(2 + n % 2):
        m.one(ends, kinds[0], (kinds[1], 0), 56, False, 0, 0, vlan)
        m.one(ends, kinds[0], (kinds[2], 0), 56, True, 0, 0, vlan)
    m.one(ends, TCP, (41000 + n, 81), 0, False, 0, 0x02, vlan)
    m.one(ends, TCP, (41000 + n, 81), 0, True, 0, 0x14, vlan)


def make(hosts=8, with_fragments6=True, base_us=BASE_US):
    """The frames of hosts pairs of hosts, a third of them in VLANs, half of them IPv6; and fragments."""
    m = Maker(base_us)
    for n in range(hosts):
        net = ("192.0.2.", "198.51.100.") if n % 2 == 0 else ("2001:db8:1::", "2001:db8:2::")
        a, b = (f"{net[0]}{10 + n}", mac(0x100 + n)), (f"{net[1]}{20 + n}", mac(0x200 + n))
        # Some begin at the higher address, for exporters that go by that.
        talk(m, n, *((a, b) if n % 4 < 2 else (b, a)), 100 + n if n % 3 == 2 else None)
    a4, b4 = ("192.0.2.200", mac(0x301)), ("198.51.100.200", mac(0x302))
    a6, b6 = ("2001:db8:1::200", mac(0x303)), ("2001:db8:2::200", mac(0x304))
    for i in range(3):
        m.one((a4, b4), UDP, (7000, 7001), 3000 + 100 * i, tos=0x10, fragments=(1480, 1480, 1480))
        m.one((a4, b4), ICMP, (8, 0), 2000, fragments=(1480, 1480))
        if with_fragments6:
            m.one((a6, b6), UDP, (7000, 7001), 3000, fragments=(1448, 1448, 1448))
    return m.frames


def write_pcap(path, frames):
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for time_us, octets in frames:
            f.write(struct.pack("<IIII", time_us // 10**6, time_us % 10**6, len(octets), len(octets)) + octets)


# --- reading ---------------------------------------------------------------------------

def read_pcap(path):
    with open(path, "rb") as f:
        octets = f.read()
    assert octets[:4] == b"\xd4\xc3\xb2\xa1" and struct.unpack_from("<I", octets, 20)[0] == 1
    at, frames = 24, []
    while at < len(octets):
        seconds, micros, count, _ = struct.unpack_from("<IIII", octets, at)
        frames.append((seconds * 10**6 + micros, octets[at + 16:at + 16 + count]))
        at += 16 + count
    return frames


def mac_text(octets):
    return ":".join(f"{o:02x}" for o in octets)


def network(d):
    """(source, destination, protocol, type of service, octets, payload, (fragment id, offset, more) or None)"""
    if d[0] >> 4 == 4:
        octets, number, offset = struct.unpack_from(">HHH", d, 2)
        head = (d[0] & 15) * 4
        fragment = (number, (offset & 0x1FFF) * 8, bool(offset & 0x2000)) if offset & 0x3FFF else None
        return str(ipaddress.ip_address(d[12:16])), str(ipaddress.ip_address(d[16:20])), d[9], d[1], octets, d[head:octets], fragment
    first, count, proto, _ = struct.unpack_from(">IHBB", d)
    payload, fragment = d[40:40 + count], None
    if proto == FRAGMENT6:
        proto, _, offset, number = struct.unpack_from(">BBHI", payload)
        payload, fragment = payload[8:], (number, offset & 0xFFF8, bool(offset & 1))
    return (str(ipaddress.ip_address(d[8:24])), str(ipaddress.ip_address(d[24:40])), proto, first >> 20 & 255, 40 + count, payload,
            fragment)


def read_frame(time_us, frame):
    kind, at, vlan = struct.unpack_from(">H", frame, 12)[0], 14, None
    if kind == 0x8100:
        vlan, kind = struct.unpack_from(">HH", frame, 14)
        vlan, at = vlan & 0xFFF, 18
    if kind not in (0x0800, 0x86DD):
        return None
    src, dst, proto, tos, octets, payload, fragment = network(frame[at:])
    is_later = bool(fragment and fragment[1] > 0)
    src_port = dst_port = flags = 0
    icmp = None
    if proto in (TCP, UDP) and not is_later:
        src_port, dst_port = struct.unpack_from(">HH", payload)
        flags = payload[13] if proto == TCP else 0
    elif proto in (ICMP, ICMP6) and not is_later:
        icmp = (payload[0], payload[1])
    return Packet(time_us, mac_text(frame[6:12]), mac_text(frame[:6]), vlan, src, dst, proto, src_port, dst_port, tos, flags, icmp,
                  octets, len(frame), fragment is not None, is_later, (src, dst, proto, fragment[0]) if fragment else None,
                  payload[:2])


def packets_of(frames):
    return [p for p in (read_frame(t, f) for t, f in frames) if p is not None]


# --- counting --------------------------------------------------------------------------

def reassembled(packets):
    """Later fragments with the ports of their first one, as exporters tell them that remember it."""
    ports = {p.fragment_key: p for p in packets if p.is_fragment and not p.is_later_fragment}
    for p in packets:
        first = ports.get(p.fragment_key) if p.is_later_fragment else None
        yield p if first is None else p._replace(src_port=first.src_port, dst_port=first.dst_port, icmp=first.icmp)


class Flow:
    def __init__(self):
        self.packets = self.octets = self.frame_octets = self.flags = self.tos = 0
        self.start_us = self.end_us = None
        self.src_mac = self.dst_mac = self.vlan = None
        self.toses = set()

    def add(self, p):
        if self.packets == 0:
            self.start_us, self.src_mac, self.dst_mac, self.vlan, self.tos = p.time_us, p.src_mac, p.dst_mac, p.vlan, p.tos
        self.packets += 1
        self.octets += p.octets
        self.frame_octets += p.frame_octets
        self.flags |= p.flags
        self.toses.add(p.tos)
        self.end_us = p.time_us


def flows_of(packets, key):
    flows = collections.defaultdict(Flow)
    for p in packets:
        flows[key(p)].add(p)
    return dict(flows)


def sums(packets, version=None):
    """(packets, octets) of IPv4, of IPv6, or of both."""
    chosen = [p for p in packets if version is None or (":" in p.src) == (version == 6)]
    return len(chosen), sum(p.octets for p in chosen)


# --- sending ---------------------------------------------------------------------------

def send(frames, interfaces, gap_s=0.002):
    """Puts frames on the wire, those of the second hosts on the second interface; prints when, before and after, in ns."""
    sockets = []
    for name in interfaces:
        sockets.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
        sockets[-1].bind((name, 0))
    for _, octets in frames:
        before = time.time_ns()
        sockets[octets[10] == 2].send(octets)
        print(before, time.time_ns())
        time.sleep(gap_s)


if __name__ == "__main__":
    send(read_pcap(sys.argv[1]), sys.argv[2:4])
