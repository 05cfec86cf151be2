# SPDX-License-Identifier: Apache-2.0
"""Octets of messages, after the documents and not after Sluice: IPFIX (RFC 7011), NetFlow v9 (RFC 3954), v5 and sFlow v5.

An element is (id, length), or (id, length, enterprise number) in IPFIX.
"""
import struct
import time

VARIABLE = 65535
NTP_EPOCH_S = 2208988800

# The shape most tests use: addresses, ports, protocol, octets. `bytes` tells records of a test apart.
FLOW = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (1, 4)]


def now():
    return int(time.time())


def flow(octets, src=b"\x0a\0\0\1"):
    return src + b"\xc0\0\2\1" + struct.pack(">HHBI", 40000, 443, 6, octets)


def spec(element):
    number, length, *pen = element
    if pen:
        return struct.pack(">HHI", number | 0x8000, length, pen[0])
    return struct.pack(">HH", number, length)


def specs(elements):
    return b"".join(spec(e) for e in elements)


def a_set(number, body, length=None):
    """A set as it is: no padding; length stands for a false one."""
    return struct.pack(">HH", number, 4 + len(body) if length is None else length) + body


# --- IPFIX ---------------------------------------------------------------------------------------------------------

def ipfix(*sets, seq=0, domain=0, at=None, length=None, version=10):
    body = b"".join(sets)
    return struct.pack(">HHIII", version, 16 + len(body) if length is None else length, now() if at is None else at,
                       seq & 0xFFFFFFFF, domain) + body


def template(number, elements, count=None):
    """The template record."""
    return struct.pack(">HH", number, len(elements) if count is None else count) + specs(elements)


def templates(*records, tail=b""):
    return a_set(2, b"".join(records) + tail)


def define(number, elements):
    return templates(template(number, elements))


def options(number, scopes, elements, scope_count=None, count=None):
    """The options template set of IPFIX."""
    head = struct.pack(">HHH", number, len(scopes) + len(elements) if count is None else count,
                       len(scopes) if scope_count is None else scope_count)
    return a_set(3, head + specs(scopes + elements))


def data(number, *records, tail=b""):
    return a_set(number, b"".join(records) + tail)


def variable(octets, is_long=False):
    if len(octets) >= 255 or is_long:
        return b"\xff" + struct.pack(">H", len(octets)) + octets
    return bytes([len(octets)]) + octets


# --- NetFlow v9 ----------------------------------------------------------------------------------------------------

def v9(*sets, count=1, seq=0, source=0, uptime=1000000, at=None):
    return struct.pack(">HHIIII", 9, count, uptime & 0xFFFFFFFF, now() if at is None else at, seq & 0xFFFFFFFF,
                       source) + b"".join(sets)


def v9_define(number, elements):
    return a_set(0, template(number, elements))


def v9_options(number, scopes, elements, scope_bytes=None, option_bytes=None, tail=b""):
    head = struct.pack(">HHH", number, 4 * len(scopes) if scope_bytes is None else scope_bytes,
                       4 * len(elements) if option_bytes is None else option_bytes)
    return a_set(1, head + specs(scopes + elements) + tail)


# --- NetFlow v5 ----------------------------------------------------------------------------------------------------

def v5_record(octets, first=1000, last=2000):
    return struct.pack(">4s4s4sHHIIIIHHBBBBHHBBH", b"\x0a\0\0\1", b"\xc0\0\2\1", b"\xc0\0\2\xfe", 1, 2, 3, octets, first, last,
                       40000, 443, 0, 0x12, 6, 0, 64496, 64511, 24, 24, 0)


def v5(*records, count=None, seq=0, sampling=0, uptime=1000000, at=None, nsecs=0, engine=0):
    return struct.pack(">HHIIIIHH", 5, len(records) if count is None else count, uptime & 0xFFFFFFFF,
                       now() if at is None else at, nsecs, seq & 0xFFFFFFFF, engine, sampling) + b"".join(records)


# --- sFlow v5 ------------------------------------------------------------------------------------------------------

def sflow(*samples, seq=1, agent=b"\x0a\0\0\1", count=None):
    kind = 1 if len(agent) == 4 else 2
    return (struct.pack(">II", 5, kind) + agent +
            struct.pack(">IIII", 0, seq, 1000000, len(samples) if count is None else count) + b"".join(samples))


def sample(kind, body):
    return struct.pack(">II", kind, len(body)) + body


def flow_sample(*records, seq=1, rate=100, into=1, out=2):
    """Kind 1: a flow sample of records (kind, body)."""
    said = b"".join(struct.pack(">II", k, len(b)) + b for k, b in records)
    return sample(1, struct.pack(">IIIIIIII", seq, 3, rate, 100 * rate, 0, into, out, len(records)) + said)


def raw_header(packet, frame_length=None, stripped=4):
    """Flow record 1: the first octets of an Ethernet frame."""
    padded = packet + b"\0" * (-len(packet) % 4)
    return 1, struct.pack(">IIII", 1, len(packet) if frame_length is None else frame_length, stripped, len(packet)) + padded
