#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds that are no plain texts: units for fuzz_collector and fuzz_gate, streams for fuzz_framer, captures for fuzz_replay, lines for fuzz_ctl,
recipes for fuzz_oracle, manifests for fuzz_manifest, journals for fuzz_keep, segments for fuzz_log, calls for fuzz_parquet, encoded flows for
fuzz_parquet_flow, headers for fuzz_packet, datagrams for fuzz_sflow, templates and a list for
fuzz_lists, announcements and templates for fuzz_rfc5610.

usage: test/fuzz/seeds.py    into test/fuzz/corpus; the same octets each time
"""
import gzip
import os
import re
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, "gen"))
from crc32c import crc32c  # noqa: E402
import frames  # noqa: E402

CORPUS = os.path.join(HERE, "corpus")
TIME = 1700000000


def write(target, name, octets):
    os.makedirs(os.path.join(CORPUS, target), exist_ok=True)
    with open(os.path.join(CORPUS, target, name), "wb") as f:
        f.write(octets)


# Messages.

def v5(count, sequence=0):
    head = struct.pack(">HHIIIIBBH", 5, count, 60000, TIME, 0, sequence, 0, 1, 0x4064)
    record = struct.pack(">IIIHHIIIIHHBBBBHHBBH", 0x0A000001, 0x0A000002, 0, 1, 2, 3, 180, 1000, 2000, 1234, 53, 0, 0x1B, 17, 0,
                         64512, 64513, 24, 16, 0)
    return head + record * count


def flowset(number, body):
    body += bytes(-len(body) % 4)
    return struct.pack(">HH", number, 4 + len(body)) + body


def v9(count, *sets, sequence=0, domain=0):
    return struct.pack(">HHIIII", 9, count, 60000, TIME, sequence, domain) + b"".join(sets)


def ipfix(*sets, sequence=0, domain=0):
    body = b"".join(struct.pack(">HH", n, 4 + len(b)) + b for n, b in sets)
    return struct.pack(">HHIII", 10, 16 + len(body), TIME, sequence, domain) + body


def specs(*fields):
    """(element, length), or (element, length, enterprise)."""
    return b"".join(struct.pack(">HH", f[0], f[1]) if len(f) == 2 else struct.pack(">HHI", f[0] | 0x8000, f[1], f[2]) for f in fields)


def template(number, *fields):
    return struct.pack(">HH", number, len(fields)) + specs(*fields)


def v9_options(number, scope, options):
    return struct.pack(">HHH", number, 4 * len(scope), 4 * len(options)) + specs(*scope) + specs(*options)


def ipfix_options(number, scope, options):
    return struct.pack(">HHH", number, len(scope) + len(options), len(scope)) + specs(*scope) + specs(*options)


# As fuzz_collector has them.
HALF, PORT, WAIT, EXPIRE, IDLE, EXPORTERS = 0x04, 0x08, 0x10, 0x40, 0x20, 0x80
TENTH, SECOND, RESTART, OF_HELD, CLOCK, STRANGERS, AGAIN, KEEP_NOW = 0x100, 0x200, 0x400, 0x800, 0x1000, 0x2000, 0x4000, 0x8000


def units(*messages):
    """Each with its peer, 0 to 3, and what happens before it."""
    return b"".join(struct.pack(">HH", len(m), how) + m for how, m in messages)


def options(hold=2, borrow=True, closed=False, rate=0, strangers=0, sessions=0, templates=0, entries=0):
    """The first two octets for fuzz_collector: each a number of its tables."""
    return struct.pack(">H", hold | borrow << 2 | closed << 3 | rate << 4 | strangers << 6 | sessions << 8 | templates << 10 | entries << 12)


def earlier_tmpls(peer, version, domain, *tmpls, port=1):
    """An entry of an earlier life's templates: (whether it is of options, definition) of each."""
    out = struct.pack(">B16sHHIQQ", 4, struct.pack(">I", peer), port, version, domain, TIME * 1000 - 60000, TIME * 1000 - 10000)
    return out + b"".join(struct.pack(">QQQQBH", TIME * 1000 - 20000, 0, 0, TIME * 1000, is_options, len(d)) + d for is_options, d in tmpls)


def earlier_set(peer, message, offset, port=1):
    """And of its sets that wait: the one at that place of the message."""
    version, = struct.unpack_from(">H", message)
    size, = struct.unpack_from(">H", message, offset + 2)
    header = 20 if version == 9 else 16
    domain, = struct.unpack_from(">I", message, header - 4)
    out = struct.pack(">QB16sHHI", 1, 4, struct.pack(">I", peer), port, version, domain)
    out += struct.pack(">HBQQQqIIII", 4739, 0, TIME * 1000 - 9000, TIME * 1000 - 9000, 5, -1, len(message), offset, 0, 1)
    return out + bytes([header]) + message[:header] + struct.pack(">I", size) + message[offset:offset + size]


BASIC = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (1, 8), (2, 4), (22, 4), (21, 4)]
BASIC_RECORD = struct.pack(">IIHHBQIII", 0x0A000001, 0x0A000002, 1234, 53, 17, 180, 3, 1000, 2000)
# Lengths that are not the elements' own, repeats, zero octets, unknown elements and enterprises.
ODD = [(8, 3), (1, 3), (1, 4), (27, 16), (152, 8), (154, 8), (32000, 5), (210, 1), (4, 2), (136, 1), (8, 4), (82, 0)]
ODD_BYTES = sum(length for _, length in ODD)
VARIABLE = [(82, 65535), (205, 65535, 35632), (77, 65535, 32473), (1, 8, 29305), (313, 65535), (291, 65535), (1, 4)]
VARIABLE_RECORD = (b"\4eth0" + b"\xff\0\5a.org" + b"\0" + struct.pack(">Q", 9) + b"\3abc" + b"\6\3\0\10\0\4\1" + struct.pack(">I", 7))

V1_RECORD = bytes(range(1, 37)) + struct.pack(">HBBB7x", 0, 6, 0, 0x12)
V7_RECORD = bytes(range(1, 37)) + struct.pack(">BBBBHHBBHI", 1, 0x1B, 17, 0, 64512, 64513, 24, 16, 2, 0x0A000009)


def v1(count):
    return struct.pack(">HHIII", 1, count, 60000, TIME, 0) + V1_RECORD * count


def v7(count, sequence=0):
    return struct.pack(">HHIIIII", 7, count, 60000, TIME, 0, sequence, 0) + V7_RECORD * count


COLLECTOR = {
    "v1": units((1, v1(2)), (1, v1(1)), (1, v1(3)[:-1])),
    "v7": units((1, v7(2)), (1, v7(1, 2)), (2, v7(1, 9)), (1, v7(4)[:-1])),
    "v5": units((1, v5(2)), (1, v5(1, 2)), (2, v5(1, 9)), (1, v5(1, 4)[:-1])),
    "v9": units((1, v9(3, flowset(0, template(256, *BASIC)), flowset(256, BASIC_RECORD * 2))),
                (1, v9(1, flowset(256, BASIC_RECORD), sequence=1)), (2, v9(1, flowset(256, BASIC_RECORD)))),
    "v9_options": units((1, v9(2, flowset(1, v9_options(257, [(1, 4)], [(34, 4), (35, 1), (160, 8)])),
                                  flowset(257, struct.pack(">IIBQ", 1, 1000, 2, TIME * 1000)))),
                        (1, v9(3, flowset(0, template(256, (22, 4), (21, 4), (57472 + 205, 8), (45004, 4))),
                                  flowset(256, struct.pack(">II8sI", 1, 2, b"a.org", 7) * 2), sequence=1))),
    "v9_odd": units((1, v9(2, flowset(0, template(300, *ODD)), flowset(300, bytes(range(ODD_BYTES)))))),
    "v9_replaced": units((1, v9(6, flowset(0, template(256, *BASIC)), flowset(256, BASIC_RECORD), flowset(0, template(256, (1, 4))),
                                   flowset(256, bytes(12)))), (1, v9(2, flowset(0, template(256, (1, 65535))), flowset(256, bytes(8))))),
    "ipfix": units((1, ipfix((2, template(256, *BASIC)), (256, BASIC_RECORD * 2))), (1, ipfix((256, BASIC_RECORD), sequence=2)),
                   (1, ipfix((256, BASIC_RECORD), sequence=1)), (3, ipfix((256, BASIC_RECORD)))),
    "ipfix_variable": units((1, ipfix((2, template(260, *VARIABLE)), (260, VARIABLE_RECORD * 2))),
                            (1, ipfix((260, VARIABLE_RECORD[:-1]), sequence=2))),
    "ipfix_options": units((1, ipfix((3, ipfix_options(258, [(149, 4)], [(41, 8), (305, 4), (160, 8)])),
                                     (258, struct.pack(">IQIQ", 1, 5, 1000, TIME * 1000)))),
                           (1, ipfix((2, template(256, *BASIC) + template(259, (1, 4))), (259, bytes(8)), (256, BASIC_RECORD), sequence=1))),
    "ipfix_odd": units((1, ipfix((2, template(300, *ODD)), (300, bytes(range(ODD_BYTES)) * 2)))),
    "ipfix_withdrawal": units((1, ipfix((2, template(256, *BASIC)), (2, template(256)), (256, BASIC_RECORD), (2, template(2)))),),
    "ipfix_refused": units((1, ipfix((2, template(256, *BASIC)), (2, template(256, *[(1, 1)] * 5)), (256, BASIC_RECORD))),
                           (1, ipfix((2, template(255, (1, 4)) + template(270, (82, 0)) + template(271, *[(i + 1, 1) for i in range(65)]))))),
    "ipfix_overrun": units((1, ipfix((2, template(260, *VARIABLE)), (260, VARIABLE_RECORD))),
                           (1, ipfix((260, VARIABLE_RECORD), (260, VARIABLE_RECORD[:9] + b"\xff"), (260, VARIABLE_RECORD), sequence=1))),
    "many_sessions": units(*((i % 4, ipfix((2, template(256 + i, (1, 4))), (256 + i, bytes(4)), domain=i // 2)) for i in range(70))),
    "expired": units((1, ipfix((2, template(256, *BASIC)), (256, BASIC_RECORD))), (1 | EXPIRE, ipfix((256, BASIC_RECORD), sequence=1)),
                     (2, v5(1)), (1, ipfix((2, template(256, *BASIC)), (256, BASIC_RECORD))), (1 | IDLE, ipfix((256, BASIC_RECORD), sequence=1))),
    "held": units((1, ipfix((256, BASIC_RECORD), (260, VARIABLE_RECORD))), (1, ipfix((256, BASIC_RECORD), sequence=3)),
                  (1, ipfix((2, template(256, *BASIC)), (256, BASIC_RECORD), sequence=4)), (1, ipfix((2, template(260, *VARIABLE)), sequence=5)),
                  (2, v9(2, flowset(300, bytes(ODD_BYTES)), flowset(256, BASIC_RECORD))), (2, v9(1, flowset(0, template(300, *ODD)), sequence=1))),
    "held_in_vain": units((1, ipfix((256, BASIC_RECORD), (260, VARIABLE_RECORD))), (1, ipfix((2, template(256, (82, 0))), (256, BASIC_RECORD))),
                          (1, ipfix((2, template(260, *[(1, 8)] * 4)), (256, BASIC_RECORD))), (2 | WAIT, ipfix((256, BASIC_RECORD))),
                          *((3, ipfix((256, BASIC_RECORD * 9), sequence=9 * i)) for i in range(8))),
    "borrowed": units((1, ipfix((2, template(256, *BASIC)))), (1 | PORT, ipfix((256, BASIC_RECORD))), (1 | PORT | HALF, ipfix((256, BASIC_RECORD))),
                      (1, ipfix((2, template(256, (1, 4))))), (1 | PORT, ipfix((256, BASIC_RECORD)))),
    "exporters": units((1, v5(1)), (1 | EXPORTERS, v5(1)), (1 | EXPORTERS, ipfix((2, template(256, (1, 4))), (256, bytes(4)), domain=1)),
                       (2, v5(1)), (1 | EXPORTERS, v5(1))),
    "wrong": units((1, v9(1, flowset(0, template(256, *BASIC)))[:-2]), (1, ipfix((2, template(256, *BASIC)))[:-1] + b"\0\0"),
                   (1, b"\0\7" + bytes(30)), (1, b""), (1, struct.pack(">HHIIIHH", 10, 20, TIME, 0, 0, 256, 3))),
}
MEND = 0x80  # as fuzz_gate has it
# Padding that looks like records, records of an octet, of nothing but lengths, of both forms of them, and of 0 octets.
GATE = {
    **COLLECTOR,
    "padding": units((0, v9(2, flowset(0, template(256, (4, 1))), flowset(256, b"\6"))), (0, v9(1, flowset(256, b"\6\6"), sequence=1)),
                     (0, v9(3, flowset(0, template(257, (4, 3))), flowset(257, b"\6" * 9), flowset(256, b"\6")))),
    "padding_ipfix": units((0, ipfix((2, template(256, *BASIC)), (256, BASIC_RECORD + bytes(11)), (256, bytes(3))))),
    "padding_variable": units((0, ipfix((2, template(260, (82, 65535), (4, 1))), (260, b"\0\1\0"), (260, b"\2ab\6\xff\0\0\7\0")))),
    "lengths_only": units((0, ipfix((2, template(260, (82, 65535))), (260, bytes(40)), (260, b"\xff\0\0" * 9), (260, b"\xff\0")))),
    "no_octets": units((0, ipfix((2, template(256, (1, 0), (4, 1), (2, 0)) + template(257, (82, 65535), (1, 0))), (256, b"\6" * 5), (257, b"\1a\0")))),
    "long_value": units((0, ipfix((2, template(260, (4, 1), (82, 65535))), (260, b"\6\xff\1\0" + bytes(256) + b"\6\xfe" + bytes(254))))),
    "overrun": units((0, ipfix((2, template(260, (82, 65535), (1, 4))), (260, b"\1a\0\0\0\1\4ab"), (260, b"\1a\0\0\0\1\1ab\0\0")))),
    "mended": units((MEND, ipfix((2, template(256, *BASIC)), (256, BASIC_RECORD * 3))[:-5]), (MEND, v9(1, flowset(0, template(256, *ODD)))),
                    (MEND, v9(9, flowset(256, bytes(ODD_BYTES * 4)))[:-1])),
}


WAITS = ipfix((256, BASIC_RECORD), (260, VARIABLE_RECORD), sequence=1)
# With options: rates, refusals, small stores, few sessions, restarts.
CHOSEN = {
    **{name: options() + octets for name, octets in COLLECTOR.items()},
    "rates": options(entries=2, rate=1) + units(*((2, v5(1, i)) for i in range(4)), *((1, v5(1, i)) for i in range(3)), (2 | TENTH, v5(1, 4)),
                                                (2 | SECOND, v5(1, 5)), (1 | SECOND, v5(1, 9)), (2 | EXPORTERS, v5(1, 6)), (1 | AGAIN, v5(1))),
    "closed": options(closed=True, entries=1) + units((1, ipfix((2, template(256, *BASIC)), domain=1)), (1, ipfix((256, BASIC_RECORD))), (3, v5(1)),
                                                      (3 | STRANGERS, v5(1)), (3 | STRANGERS, v5(1)), (3 | EXPORTERS, v5(1))),
    "strangers": options(strangers=1, sessions=1) + units((1, v5(1)), (2, v5(1)), (3 | HALF, v5(1)), (1 | EXPORTERS, ipfix((256, BASIC_RECORD), domain=1))),
    "small_store": options(hold=1) + units(*((i % 4, ipfix((256 + i, BASIC_RECORD * 3), sequence=i)) for i in range(9)),
                                           (1, ipfix((2, template(257, *BASIC)))), (1, ipfix((256, BASIC_RECORD * 3)))),
    "no_store": options(hold=0, borrow=False) + units((1, WAITS), (1, ipfix((2, template(256, *BASIC)))), (1 | RESTART, b"")),
    "few_templates": options(templates=1) + units((1, ipfix((2, template(256, *BASIC) + template(257, *BASIC)), (257, BASIC_RECORD)))),
    "restart": options() + units((1, ipfix((2, template(300, *ODD)), (3, ipfix_options(258, [(149, 4)], [(41, 8)])))), (2, v9(1, flowset(0, template(256, *BASIC)))),
                                 (2, v9(1, flowset(1, v9_options(257, [(1, 4)], [(34, 4)])), sequence=1)), (1, WAITS), (1 | RESTART, b""),
                                 (1, ipfix((300, bytes(ODD_BYTES)), sequence=3)), (2, v9(1, flowset(256, BASIC_RECORD), sequence=2)),
                                 (1, ipfix((2, template(256, *BASIC) + template(260, *VARIABLE)), sequence=4))),
    "restart_late": options() + units((1, ipfix((2, template(256, *BASIC)))), (2, WAITS), (1 | RESTART | WAIT | EXPIRE, b""), (1, ipfix((256, BASIC_RECORD))),
                                      (1 | RESTART | CLOCK, b""), (1 | IDLE | RESTART, b"")),
    "kept": options(templates=2) + units((RESTART, earlier_tmpls(1, 10, 0, (0, template(256, *BASIC)), (1, ipfix_options(258, [(149, 4)], [(41, 8)])))),
                                         (1, ipfix((256, BASIC_RECORD))), (RESTART, earlier_tmpls(1, 9, 0, (0, template(256, (1, 0))))), (RESTART, earlier_tmpls(1, 5, 0))),
    "kept_held": options() + units((RESTART | OF_HELD, earlier_set(1, WAITS, 16)), (RESTART | OF_HELD, earlier_set(1, WAITS, 20 + len(BASIC_RECORD))),
                                   (1, ipfix((2, template(256, *BASIC)))), (RESTART | OF_HELD, earlier_set(1, WAITS, 16)), (RESTART | OF_HELD, earlier_set(2, v5(1) + WAITS, 24))),
    "kept_often": options() + units((1, WAITS), (1 | KEEP_NOW, ipfix((2, template(256, *BASIC) + template(300, *ODD)))), (2 | KEEP_NOW, WAITS),
                                    (1 | KEEP_NOW, ipfix((2, struct.pack(">HH", 300, 0)), (3, ipfix_options(258, [(149, 4)], [(41, 8)])))),
                                    (1 | RESTART | KEEP_NOW, b""), (1 | KEEP_NOW, ipfix((2, template(260, *VARIABLE)))), (1 | IDLE | KEEP_NOW, b""), (1 | RESTART, b"")),
    "kept_few": options(hold=1, sessions=1, templates=1) + units(*((i % 4 | KEEP_NOW, ipfix((2, template(256 + i, *BASIC)), (261, BASIC_RECORD), sequence=i)) for i in range(9)),
                                                                 (1 | RESTART, b""), (2 | KEEP_NOW | EXPIRE, WAITS), (2 | RESTART, b"")),
}


# Captures.

def udp(payload, fragment, whole):
    """`whole`: octets of the datagram's payload, when this is a part of it."""
    if fragment:
        return payload
    return struct.pack(">HHHH", 40000, 4739, 8 + (whole or len(payload)), 0) + payload


def udp4(payload, source=0x0A000001, fragment=0, more=False, number=7, whole=0):
    body = udp(payload, fragment, whole)
    return struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(body), number, fragment // 8 | (0x2000 if more else 0), 64, 17, 0, source,
                       0x0A0000FE) + body


def udp6(payload, fragment=None, more=False, whole=0):
    body = udp(payload, fragment, whole)
    if fragment is not None:
        body = struct.pack(">BBHI", 17, 0, fragment | more, 9) + body
    next_header = 17 if fragment is None else 44
    return struct.pack(">IHBB", 0x60000000, len(body), next_header, 64) + bytes(15) + b"\1" + bytes(15) + b"\2" + body


def ethernet(packet, vlans=()):
    tags = b"".join(struct.pack(">HH", t, i + 1) for i, t in enumerate(vlans))
    return bytes(12) + tags + struct.pack(">H", 0x86DD if packet[0] >> 4 == 6 else 0x0800) + packet


def pcap(link, *frames, order="<", magic=0xA1B2C3D4):
    head = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    return head + b"".join(struct.pack(order + "IIII", TIME, 5, len(f), len(f)) + f for f in frames)


def block(kind, body, order):
    body += bytes(-len(body) % 4)
    return struct.pack(order + "II", kind, 12 + len(body)) + body + struct.pack(order + "I", 12 + len(body))


def pcapng(*frames, order="<", options=b""):
    out = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    out += block(1, struct.pack(order + "HHI", 1, 0, 65535) + options, order)
    for f in frames:
        stamp = TIME * 1000000
        out += block(6, struct.pack(order + "IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(f), len(f)) + f, order)
    return out + block(3, struct.pack(order + "I", len(frames[0])) + frames[0], order)


SHORT = v5(1)
LONG = v5(4)
STORED = ipfix((2, struct.pack(">HHHH", 256, 1, 1, 4)), (256, bytes(8)))


def zstd_raw(octets):
    """A Zstandard frame of one block as it is (RFC 8878, 3.1.1): nothing is compressed."""
    return struct.pack("<IBB", 0xFD2FB528, 0x20, len(octets)) + struct.pack("<I", len(octets) << 3 | 1)[:3] + octets


REPLAY = {
    "ethernet.pcap": pcap(1, ethernet(udp4(SHORT)), ethernet(udp6(SHORT))),
    "vlan.pcap": pcap(1, ethernet(udp4(SHORT), [0x8100]), ethernet(udp4(SHORT), [0x88A8, 0x8100])),
    "big_endian_ns.pcap": pcap(1, ethernet(udp4(SHORT)), order=">", magic=0xA1B23C4D),
    "raw.pcap": pcap(101, udp4(SHORT), udp6(SHORT)),
    "cooked.pcap": pcap(113, struct.pack(">HHH8sH", 0, 1, 6, bytes(8), 0x0800) + udp4(SHORT)),
    "cooked2.pcap": pcap(276, struct.pack(">HHIHBB8s", 0x0800, 0, 1, 1, 0, 6, bytes(8)) + udp4(SHORT)),
    "null.pcap": pcap(0, struct.pack("<I", 2) + udp4(SHORT)),
    "fragments.pcap": pcap(1, ethernet(udp4(LONG[:96], more=True, whole=len(LONG))), ethernet(udp4(LONG[96:], fragment=104)),
                           ethernet(udp4(SHORT[:40], more=True, number=8))),
    "fragments6.pcap": pcap(1, ethernet(udp6(LONG[:96], 0, True, len(LONG))), ethernet(udp6(LONG[96:], 104))),
    "cut.pcap": pcap(1, ethernet(udp4(SHORT)))[:-9],
    "messages.ipfix": STORED * 3,
    "skipped.ipfix": STORED + bytes(7) + STORED + STORED[:20],
    "messages.ipfix.gz": gzip.compress(STORED * 2, mtime=0) + gzip.compress(STORED, mtime=0),
    "padded.ipfix.gz": gzip.compress(STORED * 2, mtime=0) + bytes(40),
    "messages.ipfix.zst": struct.pack("<II4s", 0x184D2A5F, 4, b"skip") + zstd_raw(STORED * 2),
    "ethernet.pcap.gz": gzip.compress(pcap(1, ethernet(udp4(SHORT))), mtime=0),
    "blocks.pcapng": pcapng(ethernet(udp4(SHORT)), ethernet(udp6(SHORT))),
    "big_endian.pcapng": pcapng(ethernet(udp4(SHORT)), order=">", options=struct.pack(">HHB3xHH", 9, 1, 9, 0, 0)),
}

# The first octet is the length of pieces.
CTL = {
    "words": b"\1e one two\ne \"three\"\nfail it is so\n",
    "unknown": b"\0nothing\n\n \n e\ne\r\n",
    "no_end": b"\0e a",
    "long": b"\4e " + b"x" * 5000 + b"\ne y\n",
    "octets": b"\0e \0\xff\xc3\x28\x7f\x01\n\xf0\x9f\x8c\x8a\n",
}


def recipe(how, fields, values):
    """As fuzz_oracle reads it: (source, index, length) of each field, then what the records hold."""
    return bytes([how, len(fields) - 1]) + b"".join(struct.pack(">BHB", *f) for f in fields) + values


RAW_FULL, RAW_WIRE, RAW_NONE, V9, BOOT, FORCED = 1, 2, 3, 4, 8, 16
PROMOTED, NEXT, KNOWN, UNKNOWN, AGAIN = 0, 2, 3, 4, 5
NATURAL, ANY = 128, 255  # of a field's length
ORDINALS = bytes(range(1, 251))
TEXTS = b"\7example\0\xfa\0\3abc\2\xff\xfe\5a\0\0\0\0"

ORACLE = {
    # Each line of the mapping files once, 48 at a time: candidates of one field stand together.
    **{f"lines_{at}": recipe(at // 48 % 4 | BOOT, [(PROMOTED, at, NATURAL)] + [(NEXT, 0, NATURAL)] * 47, ORDINALS * 3) for at in range(0, 384, 48)},
    **{f"lines_v9_{at}": recipe(at // 48 % 4 | V9, [(PROMOTED, at, NATURAL)] + [(NEXT, 0, NATURAL)] * 47, ORDINALS * 3) for at in range(0, 384, 48)},
    "variable": recipe(0, [(PROMOTED, n * 7, ANY) for n in range(40)], TEXTS * 20),
    "variable_full": recipe(RAW_FULL | FORCED, [(PROMOTED, n * 5, ANY) for n in range(48)], TEXTS * 20),
    "short": recipe(0, [(PROMOTED, n * 3, n % 9) for n in range(48)], bytes(400) + ORDINALS),
    "long": recipe(RAW_WIRE, [(PROMOTED, n * 11, 9 + n % 9) for n in range(30)], bytes(300) + ORDINALS * 2),
    "known": recipe(0, [(KNOWN, n * 53, NATURAL) for n in range(48)], b"\xff" * 600),
    "unknown": recipe(RAW_NONE, [(UNKNOWN, n * 1001, n % 12) for n in range(40)], ORDINALS * 2),
    "again": recipe(0, [(PROMOTED, 40, NATURAL), (AGAIN, 0, NATURAL), (AGAIN, 1, ANY), (AGAIN, 2, 0)], ORDINALS),
    "zeros": recipe(V9 | FORCED, [(PROMOTED, n, NATURAL) for n in range(48)], bytes(1200)),
}


def manifest(logs, files, version=2, flags=1):
    out = struct.pack(">4sHHII16s", b"SLMF", version, flags, len(logs), len(files), bytes(range(16)))
    out += b"".join(struct.pack(">I10Q", *log, 0, 0, 0, 0, 0) for log in logs)
    late = struct.pack(">Q", 2) if version > 1 else b""
    out += b"".join(struct.pack(">QQ", 9, 3) + late + struct.pack(">HH", len(tmp), len(name)) + tmp + name for tmp, name in files)
    return out + struct.pack(">I", crc32c(out))


STAMPED = b"fuzz-20260131T123456.789Z-000001.avro"
MANIFEST = {
    "one": manifest([(0, 0, 5, 5, 900, 0)], [(b"." + STAMPED + b".tmp", STAMPED)]),
    "two": manifest([(0, 7, 9, 1, 90, 1), (3, 0, 0, 0, 0, 0)],
                    [(b"day=1/." + STAMPED + b".tmp", b"day=1/" + STAMPED), (b"a/b/." + STAMPED + b".tmp", b"a/b/" + STAMPED)], flags=0),
    "older": manifest([(0, 0, 5, 5, 900, 0)], [(b"." + STAMPED + b".tmp", STAMPED)], version=1),
    "newer": manifest([], [], version=3),
    "outside": manifest([], [(b"../." + STAMPED + b".tmp", STAMPED)]),
    "same_log": manifest([(1, 0, 5, 5, 900, 0)] * 2, []),
    "many": manifest([], [])[:8] + b"\xff" * 12,
}


# Entries of journals: fuzz_keep makes the file around them when the first octet says so.

KEPT_TMPLS, KEPT_JOINS, KEPT_HELD, KEPT_ELEMENTS, BATCH, BATCHES = 0, 1, 2, 3, 4, 8


def kept(*parts):
    body = b"".join(parts)
    return struct.pack(">I", len(body)) + body


def kept_key(version=10, peer=bytes(4), domain=0):
    return bytes([len(peer)]) + peer.ljust(16, b"\0") + struct.pack(">HHI", 0, version, domain)


def kept_template(definition, is_options=0):
    return struct.pack(">qqqqBH", TIME * 1000, TIME * 1000, 60000, TIME * 1000, is_options, len(definition)) + definition


def kept_join(kind, key, rate=0, algorithm=-1, boot=0, name=b"", description=b"", category=b""):
    texts = b"".join(bytes([len(t)]) + t for t in (name, description, category))
    return kept(kept_key(), (bytes([kind]) + key).ljust(48, b"\0"), struct.pack(">Bqqq", 1, rate, algorithm, boot), texts)


def kept_element(pen, number, kind, of_list, name):
    return struct.pack(">IHBBB", pen, number, kind, of_list, len(name)) + name


def kept_set(number, octets, version=10, offset=0):
    header = struct.pack(">HHIII", 10, 36 + offset, TIME, 0, 0) if version == 10 else struct.pack(">HHIIII", 9, 1, 1000, TIME, 0, 0)
    start = len(header) + offset
    return kept(struct.pack(">Q", number), kept_key(version), struct.pack(">HBqqQqIIII", 4739, 0, TIME * 1000, TIME * 1000, 1, 0, start + len(octets), start, 0, 1),
                bytes([len(header)]), header, struct.pack(">I", len(octets)), octets)


KEPT_SPAN = struct.pack(">qq", TIME * 1000, TIME * 1000)
KEPT_SET = struct.pack(">HH", 256, 20) + bytes(range(16))
KEEP = {
    "templates": bytes([KEPT_TMPLS | BATCH]) + kept(kept_key(), KEPT_SPAN, kept_template(struct.pack(">HHHHHHI", 256, 2, 1, 4, 0x8001, 65535, 9)),
                                                    kept_template(struct.pack(">HHHHHHH", 257, 2, 1, 10, 4, 82, 8), 1)),
    "templates_v9": bytes([KEPT_TMPLS | BATCH]) + kept(kept_key(9), KEPT_SPAN, kept_template(struct.pack(">HHHH", 256, 1, 57590, 2)),
                                                       kept_template(struct.pack(">HHHHHHH", 257, 4, 4, 2, 4, 82, 8), 1)),
    "templates_taken_back": bytes([KEPT_TMPLS | BATCHES]) + kept(kept_key(), KEPT_SPAN, kept_template(struct.pack(">HHHH", 256, 1, 1, 4))) + kept(kept_key()),
    "joins": bytes([KEPT_JOINS | BATCH]) + kept_join(0, struct.pack(">Q", 7), 1000, 2) + kept_join(1, struct.pack(">Q", 5), name=b"eth0", description=b"up") +
    kept_join(2, b"13:453", name=b"dns", category=b"net") + kept_join(4, b"", boot=TIME * 1000),
    "joins_wrong": bytes([KEPT_JOINS | BATCHES]) + kept_join(9, b"") + kept_join(1, b"\xff" * 47) + kept_join(3, b"", name=b"\xff\xfe") + kept_join(0, b"", rate=-1),
    "held": bytes([KEPT_HELD | BATCH]) + kept_set(1, KEPT_SET) + kept_set(2, KEPT_SET, 9) + kept_set(3, KEPT_SET) + kept(struct.pack(">Q", 1)),
    "held_between": bytes([KEPT_HELD | BATCHES]) + kept_set(1, KEPT_SET, offset=8) + kept_set(2, KEPT_SET, offset=2),
    "elements": bytes([KEPT_ELEMENTS | BATCH]) + kept(kept_key(), kept_element(32473, 90, 2, 0, b"depth"), kept_element(9, 20000, 0, 2, b"all.of-them"),
                                                      kept_element(32473, 77, 13, 0, b"depth"), kept_element(32473, 78, 13, 0, b"")),
    "elements_wrong": bytes([KEPT_ELEMENTS | BATCHES]) + kept(kept_key(), kept_element(32473, 1, 2, 0, b"a"), kept_element(0, 8, 13, 0, b"mine")) +
    kept(kept_key(domain=1), kept_element(32473, 2, 99, 0, b"b")) + kept(kept_key(domain=2), kept_element(32473, 3, 2, 1, b"c")),
    "file": bytes([KEPT_HELD]) + b"sluice fuzz 2\n" + bytes(40),
    "older": bytes([KEPT_TMPLS]) + b"sluice fuzz 1\n" + bytes(40),
}


# Segments: fuzz_log puts their checksums right when the first octet says so.

EPOCH, FIRST_LSN, NAMES, SETTLED = 0x1234, 7, 0xFFFFFFFF, 0xFFFFFFFE


def padded(octets):
    return octets + bytes(-len(octets) % 8)


def segment_head(version=1, previous_end=5, hole=1, settled=0):
    return struct.pack("<8sII16sQQQqIIIIQ", b"SluiceLg", version, 0, bytes(16), FIRST_LSN, previous_end, 3, TIME * 1000, EPOCH, 0, 1, hole, settled)


def frame(lsn, count, schema, body, plain=None, codec=0):
    plain = len(body) if plain is None else plain
    return padded(struct.pack("<IIQIIQQHHI", 0x52464C53, 0, lsn, count, schema, len(body), plain, codec, 1, EPOCH) + body)


def settled(lsn, end):
    return frame(lsn, 0, SETTLED, struct.pack("<Q", end))


def named(kind, number, text):
    return struct.pack("<IIII", kind, number, len(text), 0) + padded(text)


def record(lsn, payload, exporter=4, event_type=0):
    return struct.pack("<IIqqQQHHI", len(payload), exporter, lsn, lsn, 0, 1, event_type, 0, 0) + padded(payload)


def lz4(body):
    """One run of literals."""
    return bytes([0xF0]) + b"\xff" * ((len(body) - 15) // 255) + bytes([(len(body) - 15) % 255]) + body


def zstd(body):
    """One raw block."""
    return struct.pack("<IBI", 0xFD2FB528, 0xA0, len(body)) + (len(body) << 3 | 1).to_bytes(3, "little") + body


LOG_NAMES = named(0, 4, b"10.0.0.1:0") + named(1, 0, b"flow") + named(2, 9, b'{"type":"record"}')
LOG_RECORDS = b"".join(record(FIRST_LSN + i, bytes(range(10 + i))) for i in range(3))
LOG_START = frame(FIRST_LSN, 0, NAMES, LOG_NAMES) * 2
LOG = {
    "records": b"\1" + segment_head() + LOG_START + frame(7, 3, 9, LOG_RECORDS) + frame(10, 1, 9, record(10, b"")),
    "packed": b"\1" + segment_head() + LOG_START + frame(7, 3, 9, lz4(LOG_RECORDS), len(LOG_RECORDS), 1)
              + frame(10, 3, 9, zstd(LOG_RECORDS), len(LOG_RECORDS), 2),
    "headless": b"\3" + segment_head() + LOG_START + frame(7, 3, 9, LOG_RECORDS),
    "hole": b"\1" + segment_head() + LOG_START + bytes(40) + frame(9, 3, 9, LOG_RECORDS) + frame(9, 3, 8, LOG_RECORDS),
    "settled": b"\1" + segment_head(settled=7) + LOG_START + frame(7, 3, 9, LOG_RECORDS) + settled(10, 50) + frame(50, 3, 9, LOG_RECORDS),
    "settled_wrong": b"\1" + segment_head() + settled(9, 9) + settled(9, 7) + frame(7, 1, SETTLED, LOG_RECORDS) + settled(7, 2**64 - 1),
    "nul_in_name": b"\1" + segment_head() + frame(7, 0, NAMES, named(0, 4, b"a\0" + bytes(40))) + LOG_START,
    "wrong_count": b"\1" + segment_head() + LOG_START + frame(7, 2, 9, LOG_RECORDS) + frame(7, 4, 9, LOG_RECORDS + bytes(48)),
    "unsealed": b"\0" + segment_head() + LOG_START,
    "later": b"\1" + segment_head(version=2),
}

# Calls: fuzz_parquet's options, then rows: how often, which leaves, and how their values are drawn.

def calls(options, *rows):
    return bytes(options) + b"".join(bytes([op, which & 255, which >> 8]) + bytes(values) for op, which, values in rows)


ALL = 0x07FE
PARQUET = {
    "one_row": calls((1, 0), (0, ALL, [0x25] * 40)),
    "few_values": calls((1, 1 << 2), (0xff, 0x003E, [1, 2, 3, 4, 5, 6, 7]), (0xff, 0x003E, [9, 9, 9, 9, 9, 9, 9])),
    "many_values": calls((2, 3), (0xff, ALL, [0xb0] * 60), (0xff, ALL, [0xb0] * 60)),
    "plain": calls((5, 3), (0xff, ALL, [0xb0] * 60), (0xff, ALL, [0xf0] * 60)),
    "small_pages": calls((0x09, 0x11), (0xff, ALL, [0x93] * 60), (0xc2, ALL, [0xff] * 20)),
    "flushed": calls((0x11, 0x2A), (0xf3, ALL, [0xa0] * 60)) + b"\xbf" + calls((), (0xf3, 0, [0x10, 0x10])),
    "two_files": calls((0x02, 0), (0xc2, ALL, [0xe1] * 60)) + b"\xbe" + calls((), (0xc2, ALL, [0xe0] * 60)),
    "late_values": calls((1, 3), (0xff, 0x3E, [1, 2, 3, 4, 5, 6, 7]), (0xff, 0x3E, [0xb0] * 7), (0xff, 0x3E, [0xb0] * 7)),
    "full_dictionary": calls((1, 0), (0xc8, 0x20, [0x11, 0xff, 0x11])),
}


# Encoded flows, each with its length before it; the first octet says layout, codec and how.

FIELD_TYPES = ["ADDR", "MAC", "STR", "I32", "I64", "F64", "BOOL", "MS", "DATE", "LONGS", "STRS"]


def zigzag(number):
    number, out = (number << 1 ^ number >> 63) & (1 << 64) - 1, b""
    while number >= 0x80:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def avro_text(text):
    return zigzag(len(text)) + text


AVRO_VALUES = {"ADDR": avro_text(b"192.0.2.1"), "MAC": avro_text(b"02:00:5e:10:00:11"), "STR": avro_text("na\u00efve".encode()),
               "I32": zigzag(-443), "I64": zigzag(1 << 40), "F64": struct.pack("<d", 0.25), "BOOL": b"\1", "MS": zigzag(1772619339870),
               "DATE": zigzag(20454), "LONGS": zigzag(3) + zigzag(1) + zigzag(-(1 << 63)) + zigzag(7) + b"\0",
               "STRS": zigzag(-1) + zigzag(4) + avro_text(b"one") + zigzag(1) + avro_text(b"") + b"\0"}
RAW_EMPTY = bytes(5)
RAW_FILLED = (zigzag(10) + b"\2" + zigzag(257) + zigzag(2) + avro_text(b"e9id1") + avro_text(b"42") + avro_text(b"") + avro_text(b"x") + b"\0"
              + b"\2" + avro_text(bytes(range(40))) + zigzag(1) + avro_text(b"no_end_time") + b"\0")


def flow_fields():
    """(type, is required) of each, with one added of each type, as fuzz_parquet_flow has them."""
    path = os.path.join(os.path.dirname(CORPUS), "..", "..", "normalizer", "fields.def")
    with open(path, encoding="utf-8") as f:
        rows = re.findall(r"^FIELD\((\w+), *\w+, *(\w+), *(\w+)", f.read(), re.M)
    layers = {name: [(t, null == "REQUIRED") for where, t, null in rows if where == name] for name in ("normalized", "enriched")}
    return layers["normalized"] + [(t, False) for t in FIELD_TYPES] + layers["enriched"]


def encoded_flow(is_there, raw):
    out = avro_text(bytes(range(16)))
    for number, (kind, is_required) in enumerate(flow_fields()):
        if is_required:
            out += AVRO_VALUES[kind]
        else:
            out += b"\2" + AVRO_VALUES[kind] if is_there(number) else b"\0"
    return out + raw


def encoded_flows(how, *flows):
    return bytes([how]) + b"".join(struct.pack(">H", len(f)) + f for f in flows)


FLOW_FULL = encoded_flow(lambda number: True, RAW_FILLED)
FLOW_SOME = encoded_flow(lambda number: number < 40 or number % 9 == 0, RAW_EMPTY)
FLOW_FEW = encoded_flow(lambda number: False, RAW_FILLED)
PARQUET_FLOW = {
    "full": encoded_flows(0, FLOW_FULL, FLOW_SOME),
    "nested_snappy": encoded_flows(1 | 1 << 1, FLOW_SOME, FLOW_FEW, FLOW_SOME),
    "zstd_plain": encoded_flows(2 << 1 | 8, *[FLOW_SOME] * 9),
    "rows_alone": encoded_flows(16, FLOW_FEW, FLOW_FEW),
    "cut": encoded_flows(1, FLOW_FEW[:-1], FLOW_FEW, FLOW_FEW + b"\0"),
    "empty": encoded_flows(0, b""),
}

# Sampled headers: what the frame begins with, as fuzz_packet numbers it, where it is cut once more, and the frame.
FIRSTS = {frames.ETHERNET: 0, frames.PPP: 1, frames.IPV4: 2, frames.IPV6: 3, frames.MPLS: 4}
PACKET = {name: bytes([FIRSTS[first], 200]) + octets for name, (first, octets) in frames.FIXED.items()}
AUTHENTICATION = struct.pack(">BBHII", 6, 4, 0, 7, 1) + bytes(12)
PACKET["hdlc"] = bytes([5, 200]) + b"\x0f\0\x08\0\x45\0\0\x1c\0\1\0\0\x40\x11\0\0" + bytes(16)
PACKET["aal5"] = bytes([9, 200]) + b"\xaa\xaa\3\0\0\0\x08\0\x45\0\0\x1c\0\1\0\0\x40\x11\0\0" + bytes(16)
PACKET["authentication"] = bytes([2, 200]) + b"\x45\0\0\x40\0\1\0\0\x40\x33\0\0" + bytes(8) + AUTHENTICATION + bytes(20)
PACKET["payload"] = bytes([128, 51, 200]) + AUTHENTICATION + b"\xc0\0\1\xbb" + bytes(16)
PACKET["payload6"] = bytes([129, 0, 200]) + b"\x11\0\1\4\0\0\0\0" + b"\xc0\0\1\xbb" + bytes(16)

# sFlow: datagrams without their version word, each with its length before it.

def flow_record(kind, body):
    body += bytes(-len(body) % 4)
    return struct.pack(">II", kind, len(body)) + body


def opaque(octets):
    return struct.pack(">I", len(octets)) + octets + bytes(-len(octets) % 4)


def array(*numbers):
    return struct.pack(f">{len(numbers) + 1}I", len(numbers), *numbers)


def sampled(packet, protocol=1):
    return flow_record(1, struct.pack(">III", protocol, len(packet) + 4, 4) + opaque(packet))


def compact(*said):
    return flow_record(1, struct.pack(">IIIIIIII", 1, 3, 100, 100, 0, 5, 6, len(said)) + b"".join(said))


def expanded(*said):
    return flow_record(3, struct.pack(">IIIIIIIIIII", 2, 0, 3, 100, 200, 1, 0, 0xFFFFFFFF, 1, 258, len(said)) + b"".join(said))


def sflow(*said, agent=b"\x0a\0\0\1", count=None, number=1):
    octets = (struct.pack(">I", 1 if len(agent) == 4 else 2) + agent +
              struct.pack(">IIII", 0, number, 1000, len(said) if count is None else count) + b"".join(said))
    return struct.pack(">H", len(octets)) + octets


MACS = bytes.fromhex("02005e00000102005e000002")
PACKET4 = struct.pack(">BBHHHBBHII", 0x45, 0, 48, 1, 0, 64, 17, 0, 0x0A000001, 0xC0000201) + struct.pack(">HHHH", 40000, 443, 28, 0) + bytes(20)
PACKET6 = struct.pack(">IHBB", 6 << 28, 28, 0, 64) + bytes(15) + b"\1" + bytes(15) + b"\2" + b"\x11\0\1\4\0\0\0\0" + PACKET4[20:40]
VXLAN = PACKET4[:20] + struct.pack(">HHHHII", 50000, 4789, 94, 0, 0x08000000, 77 << 8) + MACS + b"\x08\0" + PACKET4
V4, V6 = struct.pack(">II", 1, 0x0A0000FE), struct.pack(">I", 2) + bytes(15) + b"\7"
SFLOW = {
    "headers": sflow(compact(sampled(MACS + b"\x08\0" + PACKET4)), compact(sampled(MACS + b"\x86\xdd" + PACKET6)),
                     compact(sampled(MACS + b"\x88\xa8\0\x0a\x81\0\0\x14\x08\0" + VXLAN)), compact(sampled(PACKET4, 11)),
                     compact(sampled(PACKET6, 12)), compact(sampled(b"\0\6\x41\x40" + PACKET4, 13))),
    "records": sflow(*[compact(r) for r in (
        flow_record(2, struct.pack(">I", 64) + MACS[:6] + b"\0\0" + MACS[6:] + b"\0\0" + struct.pack(">I", 0x0800)),
        flow_record(3, struct.pack(">8I", 48, 17, 0x0A000001, 0xC0000201, 40000, 443, 0, 184)),
        flow_record(4, struct.pack(">II", 48, 6) + bytes(32) + struct.pack(">4I", 40000, 443, 18, 0)),
        flow_record(1001, struct.pack(">4I", 10, 0, 20, 7)), flow_record(1002, V4 + struct.pack(">II", 24, 16)),
        flow_record(1003, V6 + struct.pack(">6I", 64496, 64497, 64498, 2, 2, 2) + struct.pack(">5I", 64512, 64513, 1, 1, 64514) +
                    array(0xFBF00001, 0xFBF00002) + struct.pack(">I", 100)),
        flow_record(1004, struct.pack(">I", 106) + opaque(b"alice") + struct.pack(">I", 106) + opaque(b"bob")),
        flow_record(1005, struct.pack(">I", 1) + opaque(b"/a.html") + opaque(b"a.example")),
        flow_record(1006, V4 + array(0x64140, 0xC81FF) + array(0x64140)), flow_record(1007, V4 + V6),
        flow_record(1008, opaque(b"t1") + struct.pack(">II", 7, 1)), flow_record(1012, array(0x88A8000A, 0x81000014)),
        flow_record(1037, struct.pack(">I", 101) + opaque(b"web") + struct.pack(">I", 1)))]),
    "expanded": sflow(expanded(sampled(MACS + b"\x08\0" + PACKET4), flow_record(1001, struct.pack(">4I", 10, 0, 20, 7)),
                               flow_record(0xABC001, b"1234"), flow_record(1020, struct.pack(">II", 40017, 443))),
                      flow_record(2, struct.pack(">III", 1, 3, 0)), flow_record(4, struct.pack(">IIII", 1, 0, 3, 0)),
                      flow_record(5, bytes(32)), flow_record(0xABC001, b"1234"), agent=bytes(15) + b"\1"),
    "lies": sflow(compact(flow_record(1003, struct.pack(">IIIIII", 0, 1, 2, 3, 1 << 30, 2)), flow_record(1, struct.pack(">4I", 1, 64, 4, 1 << 31)))) +
            sflow(compact(), count=0xFFFFFFFF) + sflow(struct.pack(">II", 1, 0xFFFFFFFC)) +
            sflow(compact(flow_record(1005, struct.pack(">II", 1, 0xFFFFFFFF)), compact())),
    "hosts": sflow(*[compact(r) for r in (
        flow_record(1013, struct.pack(">I", 0x000FAC04) + opaque(b"abc")),
        flow_record(1014, opaque(b"home") + MACS[:6] + b"\0\0" + struct.pack(">IIQIII", 4, 36, 300000000, 32, 64, 120)),
        flow_record(1015, opaque(b"lab") + MACS[:6] + b"\0\0" + struct.pack(">IIIIIQI", 3, 2, 120, 121, 11, 54000000, 100)),
        flow_record(1021, struct.pack(">I", 110) + MACS[:6] + b"\0\0" + MACS[6:] + b"\0\0" + struct.pack(">I", 0x0800)),
        flow_record(1024, struct.pack(">8I", 0, 17, 0x0A000001, 0x0A000002, 50000, 4789, 0, 0)),
        flow_record(1025, struct.pack(">II", 0, 17) + bytes(32) + struct.pack(">4I", 50000, 6081, 0, 0)),
        flow_record(1027, struct.pack(">I", 50)), flow_record(2100, struct.pack(">5I", 6, 0x0A000001, 0xC0000201, 443, 40000)),
        flow_record(2101, struct.pack(">I", 6) + bytes(15) + b"\1" + bytes(15) + b"\2" + struct.pack(">II", 443, 40000)),
        flow_record(2103, struct.pack(">I", 6) + bytes(32) + struct.pack(">II", 40000, 80)), flow_record(2209, struct.pack(">12I", *range(12))))]),
    "sequence": b"".join(sflow(compact(), number=n) for n in (1, 2, 2, 5, 4, 1)),
}

# Lists: kind, templates of fields (number in fuzz_lists' table, length), the list.
def list_of(kind, subs, octets):
    return bytes([kind]) + b"".join(bytes([len(fields) - 1 or 32]) + bytes(v for f in fields for v in f) for fields in subs) + b"\0" + octets


def varied(octets):
    return bytes([len(octets)]) + octets if len(octets) < 255 else b"\xff" + struct.pack(">H", len(octets)) + octets


BASIC_PORTS = b"\4" + struct.pack(">HH", 7, 2) + b"\0\x50\1\xbb"
BASIC_NAMES = b"\xff" + struct.pack(">HHI", 0x8000 | 179, 65535, 6871) + varied(b"www.example.com") + varied(b'"\\\1\xc3') + varied(b"")
NESTED = BASIC_PORTS
for _ in range(6):
    NESTED = b"\3" + struct.pack(">HH", 291, 65535) + varied(NESTED)
LISTS = {
    "basic": list_of(0, [], BASIC_PORTS),
    "names": list_of(0, [], BASIC_NAMES),
    "empty": list_of(0, [], b"\xff" + struct.pack(">HH", 7, 2)),
    "no_octets": list_of(0, [], b"\xff" + struct.pack(">HH", 7, 0) + bytes(4)),
    "nested": list_of(0, [], NESTED),
    "sub": list_of(1, [[(3, 4), (8, 255)]], b"\3" + struct.pack(">H", 300) + b"\x0a\0\0\1" + varied(b"eth0") + b"\x0a\0\0\2" + varied(b"")),
    "sub_itself": list_of(1, [[(1, 255), (5, 1)]], b"\3" + struct.pack(">H", 300) + varied(b"\3" + struct.pack(">H", 300) + b"\0\6") + b"\x11"),
    "sub_unknown": list_of(1, [], b"\xff" + struct.pack(">H", 999) + b"\1\2"),
    "multi": list_of(2, [[(3, 4), (3, 4)], [(16, 255), (9, 2)]], b"\xff" + struct.pack(">HH", 300, 12) + b"\x0a\0\0\1\x0a\0\0\2" +
                     struct.pack(">HH", 301, 10) + varied(b"a.b") + bytes(2) + struct.pack(">HH", 999, 5) + b"\1"),
    "multi_short": list_of(2, [], b"\xff" + struct.pack(">HH", 300, 3)),
    "stack": list_of(0, [], b"\4" + struct.pack(">HH", 70, 3) + b"\0\1\1\0\2\1"),
    "as_path": list_of(3, [], struct.pack(">7I", 2, 2, 64512, 4200000000, 1, 1, 64514)),
    "as_path_lies": list_of(3, [], struct.pack(">5I", 2, 1, 64512, 1, 1 << 30)),
    "communities": list_of(4, [], struct.pack(">4H", 65000, 123, 65535, 65281)),
    "zero_fields": list_of(1, [[(6, 0)] * 30 + [(5, 1)]], b"\xff" + struct.pack(">H", 300) + b"\6" * 40),
}

# Announcements and templates: enterprise by its place in fuzz_rfc5610's table.
def announced(pen, number, kind, name):
    return bytes([0, 4, 2, 1, len(name)]) + struct.pack(">IHB", pen, number, kind) + name


def used(fields, octets):
    return bytes([len(fields) - 1 or 16]) + bytes(v for f in fields for v in f) + octets


VENDOR = 32473
RFC5610 = {
    "named": announced(VENDOR, 77, 13, b"probeMood") + used([(3, 77, 255), (0, 1, 4)], varied(b"content") + bytes(4)),
    "late": used([(3, 77, 2), (3, 77, 2)], bytes(4)) + announced(VENDOR, 77, 2, b"depth") + bytes(4),
    "known": announced(0, 8, 13, b"mine") + announced(35632, 118, 13, b"mine") + used([(0, 8, 4), (5, 118, 2)], bytes(6)),
    "names": announced(VENDOR, 77, 2, b"octetDeltaCount") + announced(VENDOR, 78, 2, b"x") + announced(424242, 78, 2, b"x") +
             announced(VENDOR, 79, 2, b"v9.40000") + announced(VENDOR, 80, 2, b"e9id77") + announced(VENDOR, 81, 2, b'a"') +
             used([(3, 77, 2), (3, 78, 2), (7, 78, 2), (3, 79, 1), (3, 80, 1), (3, 81, 1)], bytes(9)),
    "lies": b"".join(announced(VENDOR, n, n, b"n%d" % n) for n in range(24)) + used([(3, n, 3) for n in range(8, 22)], bytes(42)),
}

# Streams, behind an octet that seeds the cuts.

FLOWS = ipfix((2, template(256, (8, 4), (12, 4), (1, 4))), (256, bytes(36)))
FRAMER = {
    "messages": b"\1" + FLOWS * 3 + ipfix() * 2,
    "amid": b"\2" + FLOWS * 2 + FLOWS[:30],
    "desynchronised": b"\3" + FLOWS + b"garbage" + FLOWS,
    "short-length": b"\4" + FLOWS + b"\0\x0a\0\x0f" + bytes(20),
    "long": b"\5" + ipfix((255, bytes(65000))) + FLOWS,
}

for target, seeds in (("fuzz_collector", CHOSEN), ("fuzz_gate", GATE), ("fuzz_framer", FRAMER), ("fuzz_replay", REPLAY), ("fuzz_ctl", CTL), ("fuzz_oracle", ORACLE), ("fuzz_log", LOG),
                      ("fuzz_manifest", MANIFEST), ("fuzz_keep", KEEP), ("fuzz_parquet", PARQUET), ("fuzz_parquet_flow", PARQUET_FLOW), ("fuzz_packet", PACKET),
                      ("fuzz_sflow", SFLOW), ("fuzz_lists", LISTS), ("fuzz_rfc5610", RFC5610)):
    for name, octets in seeds.items():
        write(target, name, octets)
