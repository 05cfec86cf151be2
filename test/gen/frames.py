# SPDX-License-Identifier: Apache-2.0
"""Frames of packets, octet by octet, for tests and seeds of the parser of sampled headers.

random_frame(dice) gives a frame of random layers with at most one tunnel; FIXED is a few of each kind.
Addresses are of the documentation networks.
"""
import ipaddress
import struct

ETHERNET, PPP, IPV4, IPV6, MPLS = 1, 7, 11, 12, 13  # sFlow's numbers of what a header begins with
T_IPV4, T_IPV6, T_MPLS, T_PPPOE, T_TEB = 0x0800, 0x86DD, 0x8847, 0x8864, 0x6558
ICMP, TCP, UDP, GRE, ICMPV6, SCTP = 1, 6, 17, 47, 58, 132


def be16(n):
    return struct.pack(">H", n)


def ethernet(kind, payload, number=1, tags=()):
    """`tags` are (ethertype, tag control word), outermost first."""
    octets = struct.pack(">HIHI", 0x0200, number, 0x0200, number + 1)
    for tpid, word in tags:
        octets += struct.pack(">HH", tpid, word)
    return octets + be16(kind) + payload


def mpls(labels, payload):
    """`labels` are (label, class, TTL), the top first."""
    for at, (label, bits, ttl) in enumerate(reversed(labels)):
        payload = struct.pack(">I", label << 12 | bits << 9 | (at == 0) << 8 | ttl) + payload
    return payload


def pppoe(protocol, payload, session=7):
    return struct.pack(">BBHHH", 0x11, 0, session, len(payload) + 2, protocol) + payload


def checksum(octets):
    total = sum(struct.unpack(">%dH" % (len(octets) // 2), octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(protocol, payload, number=1, tos=0, ttl=64, ident=0x1234, fragment=0, options=b""):
    length = 20 + len(options)
    source, destination = 0xC0000200 + number % 256, 0xC6336400 + number % 251
    head = struct.pack(">BBHHHBBHII", 0x40 | length // 4, tos, length + len(payload), ident, fragment, ttl, protocol, 0, source,
                       destination) + options
    return head[:10] + be16(checksum(head)) + head[12:] + payload


def ipv6(protocol, payload, number=1, tos=0, label=0, ttl=64, extensions=()):
    """`extensions` are (protocol, octets from the length on), the first first."""
    kinds = [kind for kind, _ in extensions] + [protocol]
    chain = b"".join(bytes([kinds[at + 1]]) + octets for at, (_, octets) in enumerate(extensions))
    source = ipaddress.ip_address("2001:db8::%x" % number).packed
    destination = ipaddress.ip_address("2001:db8:ffff::%x" % number).packed
    return struct.pack(">IHBB", 6 << 28 | tos << 20 | label, len(chain) + len(payload), kinds[0], ttl) + source + destination + chain + payload


def tcp(source=49152, destination=443, flags=0x18, sequence=1000, payload=b"x" * 12):
    return struct.pack(">HHIIHHHH", source, destination, sequence, 77, 5 << 12 | flags, 512, 0, 0) + payload


def udp(source=49152, destination=9, payload=b"y" * 12):
    return struct.pack(">HHHH", source, destination, 8 + len(payload), 0) + payload


def sctp(source=2905, destination=2906):
    return struct.pack(">HHII", source, destination, 5, 0) + struct.pack(">BBH", 10, 0, 4)


def echo(kind, code=0):
    return struct.pack(">BBHHH", kind, code, 0, 9, 1) + b"z" * 8


def gre(kind, payload, key=None, sequence=None, has_checksum=False):
    flags = (0x8000 if has_checksum else 0) | (0 if key is None else 0x2000) | (0 if sequence is None else 0x1000)
    head = struct.pack(">HH", flags, kind) + (bytes(4) if has_checksum else b"")
    return head + b"".join(struct.pack(">I", n) for n in (key, sequence) if n is not None) + payload


def vxlan(vni, payload):
    return udp(51000, 4789, struct.pack(">II", 0x08000000, vni << 8) + payload)


def geneve(vni, kind, payload, options=b""):
    return udp(51001, 6081, struct.pack(">BBHI", len(options) // 4, 0, kind, vni << 8) + options + payload)


HOP_BY_HOP = (0, b"\0\x01\x04\0\0\0\0")  # PadN
DESTINATION = (60, b"\x01\x01\x0c" + bytes(12))
ROUTING = (43, b"\x02\x04\0" + bytes(4) + ipaddress.ip_address("2001:db8::99").packed)
AUTHENTICATION = (51, b"\x04\0\0" + bytes(20))
FRAGMENT_FIRST = (44, b"\0" + struct.pack(">HI", 1, 0xDEADBEEF))
FRAGMENT_LATER = (44, b"\0" + struct.pack(">HI", 185 << 3, 0xDEADBEEF))
GENEVE_OPTIONS = struct.pack(">HBBI", 0x0102, 1, 1, 5) + struct.pack(">HBB", 0x0102, 2, 0)
IPV4_OPTIONS = b"\x94\x04\0\0" + b"\x01" * 4  # router alert, no-operations

FIXED = {
    "ipv4_tcp": (ETHERNET, ethernet(T_IPV4, ipv4(TCP, tcp()))),
    "ipv4_options_udp_padded": (ETHERNET, ethernet(T_IPV4, ipv4(UDP, udp(payload=b""), options=IPV4_OPTIONS)) + b"\xff" * 10),
    "qinq_ipv6": (ETHERNET, ethernet(T_IPV6, ipv6(TCP, tcp()), tags=((0x88A8, 0x6064), (0x8100, 0x00C8)))),
    "three_tags": (ETHERNET, ethernet(T_IPV4, ipv4(ICMP, echo(8)), tags=((0x9100, 1), (0x8100, 2), (0x8100, 3)))),
    "mpls": (ETHERNET, ethernet(T_MPLS, mpls(((16, 1, 64), (0xFFFFF, 7, 63), (3, 0, 62)), ipv4(UDP, udp())))),
    "pppoe": (ETHERNET, ethernet(T_PPPOE, pppoe(0x21, ipv4(TCP, tcp())))),
    "ppp": (PPP, b"\xff\x03\0\x57" + ipv6(ICMPV6, echo(128))),
    "labels": (MPLS, mpls(((100, 0, 1),) * 12, ipv6(UDP, udp()))),
    "extensions": (IPV6, ipv6(SCTP, sctp(), extensions=(HOP_BY_HOP, DESTINATION, ROUTING, FRAGMENT_FIRST, AUTHENTICATION))),
    "fragment_later": (IPV6, ipv6(UDP, b"q" * 24, extensions=(FRAGMENT_LATER,))),
    "fragment_v4": (IPV4, ipv4(UDP, b"q" * 24, fragment=0x20B9)),
    "gre": (IPV4, ipv4(GRE, gre(T_IPV6, ipv6(TCP, tcp(), number=9), key=77, sequence=3, has_checksum=True))),
    "gre_bridge": (IPV4, ipv4(GRE, gre(T_TEB, ethernet(T_IPV4, ipv4(TCP, tcp(), number=9), number=9, tags=((0x8100, 5),))))),
    "vxlan": (ETHERNET, ethernet(T_IPV4, ipv4(UDP, vxlan(4711, ethernet(T_IPV4, ipv4(TCP, tcp(), number=9), number=9))))),
    "geneve": (IPV6, ipv6(UDP, geneve(99, T_TEB, ethernet(T_IPV6, ipv6(ICMPV6, echo(128), number=9), number=9), GENEVE_OPTIONS))),
    "ip_in_ip": (IPV4, ipv4(4, ipv4(UDP, udp(), number=9))),
    "6in4": (IPV4, ipv4(41, ipv6(TCP, tcp(), number=9))),
    "4in6": (IPV6, ipv6(4, ipv4(ICMP, echo(0), number=9), extensions=(DESTINATION,))),
    "tunnel_in_tunnel": (IPV4, ipv4(4, ipv4(4, ipv4(TCP, tcp(), number=10), number=9))),
}


def random_transport(dice, is_six):
    kind = dice.randrange(5)
    if kind == 0:
        return TCP, tcp(dice.randrange(49152, 65536), dice.choice((22, 443, 9999)), dice.randrange(512), dice.getrandbits(32))
    if kind == 1:
        return SCTP, sctp(dice.randrange(1, 65536), dice.randrange(1, 65536))
    if kind == 2:
        return (ICMPV6, echo(dice.choice((128, 129)))) if is_six else (ICMP, echo(dice.choice((0, 8))))
    return UDP, udp(dice.randrange(49152, 65536), 9, b"y" * dice.randrange(40))


def random_ip(dice, carried, number):
    """(ethertype, packet) that carries (protocol, octets), or a transport when that is None."""
    is_six = dice.random() < 0.5
    protocol, payload = carried or random_transport(dice, is_six)
    tos, ttl = dice.randrange(256), dice.randrange(1, 256)
    if not is_six:
        fragment = 0x4000 if carried else dice.choice((0, 0x4000, 0x2000, 0x00B9, 0x20B9))
        options = dice.choice((b"", b"", IPV4_OPTIONS))
        return T_IPV4, ipv4(protocol, payload, number, tos, ttl, dice.randrange(65536), fragment, options)
    extensions = [x for x in (HOP_BY_HOP, DESTINATION, ROUTING) if dice.random() < 0.2]
    if not carried and dice.random() < 0.2:
        extensions.append(dice.choice((FRAGMENT_FIRST, FRAGMENT_LATER)))
    elif dice.random() < 0.2:
        extensions.append(AUTHENTICATION)
    return T_IPV6, ipv6(protocol, payload, number, tos, dice.getrandbits(20), ttl, extensions)


def random_link(dice, kind, packet, number):
    kinds = ((0x8100, 0x88A8, 0x9100), (0x8100, 0x9100), (0x8100,))[:dice.choice((0, 0, 1, 2, 3))]
    tags = [(dice.choice(tpids), dice.getrandbits(3) << 13 | dice.randrange(1, 4095)) for tpids in kinds]
    between = dice.randrange(4)
    if between == 0:
        labels = [(dice.randrange(16, 1 << 20), dice.randrange(8), dice.randrange(1, 256)) for _ in range(dice.randrange(1, 5))]
        kind, packet = T_MPLS, mpls(labels, packet)
    elif between == 1:
        kind, packet = T_PPPOE, pppoe(0x21 if kind == T_IPV4 else 0x57, packet, dice.randrange(65536))
    return ethernet(kind, packet, number, tags)


def random_tunnel(dice):
    """(protocol, octets) of a tunnel with a packet in it."""
    kind, packet = random_ip(dice, None, 100 + dice.randrange(100))
    which = dice.randrange(5)
    if which == 0:
        return (4 if kind == T_IPV4 else 41), packet
    if which == 1:
        key, sequence = dice.choice((None, dice.getrandbits(32))), dice.choice((None, dice.getrandbits(32)))
        return GRE, gre(kind, packet, key, sequence, dice.random() < 0.3)
    frame = ethernet(kind, packet, 100, ((0x8100, 42),) if dice.random() < 0.3 else ())
    if which == 2:
        return GRE, gre(T_TEB, frame, dice.choice((None, 5)))
    if which == 3:
        return UDP, vxlan(dice.getrandbits(24), frame)
    return UDP, geneve(dice.getrandbits(24), T_TEB, frame, dice.choice((b"", GENEVE_OPTIONS)))


def random_frame(dice):
    carried = random_tunnel(dice) if dice.random() < 0.5 else None
    kind, packet = random_ip(dice, carried, 1 + dice.randrange(90))
    return random_link(dice, kind, packet, 1)
