# SPDX-License-Identifier: Apache-2.0
"""L: sFlow v5 (sflow.org, sFlow Version 5)."""
import struct

from wire import flow_sample, raw_header, sample, sflow

ETHERNET = bytes.fromhex("02005e00000102005e000002")
UDP = struct.pack(">HHHH", 40000, 443, 8 + 64, 0) + bytes(64)
IPV4 = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(UDP), 1, 0, 64, 17, 0, b"\x0a\0\0\1", b"\xc0\0\2\1") + UDP
FRAME = ETHERNET + b"\x08\x00" + IPV4
# Two VLAN tags; IPv6 with two extension headers; GRE in IPv4; VXLAN.
TAGGED = ETHERNET + b"\x88\xa8\0\x0a\x81\0\0\x14\x08\0" + IPV4
IPV6 = (struct.pack(">IHBB", 6 << 28, 16 + len(UDP), 0, 64) + bytes(15) + b"\1" + bytes(15) + b"\2" +
        b"\x3c\0\1\4\0\0\0\0" + b"\x11\0\1\4\0\0\0\0" + UDP)
GRE = IPV4[:9] + b"\x2f" + IPV4[10:20] + b"\0\0\x08\0" + IPV4
VXLAN = IPV4[:20] + struct.pack(">HHHHII", 50000, 4789, 16 + len(FRAME), 0, 0x08000000, 77 << 8) + FRAME


def test_122_datagram(item):
    """G: samples are skipped by their length: an unknown format, one beyond the datagram, 200 samples"""
    p = item.peer()
    known = flow_sample(raw_header(FRAME))
    p.send(sflow(sample(0x00ABC001, b"\1\2\3\4" * 5), known), sflow(*[known] * 200))
    p.send(sflow(known, struct.pack(">II", 1, 5000) + b"\0" * 8, count=2))
    assert len(item.flows()) in (201, 202) and item.counted("messages_malformed", "version") == 0


def test_123_kinds_of_samples(item):
    """G: flow samples 1 and 3; counter samples 2 and 4, which are no flows; records of headers, switch, router"""
    p = item.peer()
    expanded = sample(3, struct.pack(">IIIIIIIIIII", 1, 0, 3, 100, 100, 0, 0, 1, 0, 2, 1) + struct.pack(">II", 1, 16 + len(FRAME) + 2) +
                      struct.pack(">IIII", 1, len(FRAME), 4, len(FRAME)) + FRAME + b"\0\0")
    switch, router = (1001, struct.pack(">IIII", 10, 0, 20, 0)), (1002, struct.pack(">I4sII", 1, b"\x0a\0\0\xfe", 24, 16))
    p.send(sflow(flow_sample(raw_header(FRAME), switch, router), expanded, sample(2, struct.pack(">III", 1, 3, 0)),
                 sample(4, struct.pack(">IIII", 1, 0, 3, 0))))
    flows = item.flows()
    assert len(flows) == 2 and all(f["normalized"]["src_ip"] == "10.0.0.1" for f in flows)
    assert flows[0]["normalized"]["next_hop"] == "10.0.0.254" and item.counted("records_counter_sample") == 2


def test_124_interfaces(item):
    """G: of input and output the top 2 bits are a format; 0x3FFFFFFF is the device itself"""
    p = item.peer()
    p.send(sflow(flow_sample(raw_header(FRAME), into=5, out=6), flow_sample(raw_header(FRAME), into=0x3FFFFFFF, out=0x40000102),
                 flow_sample(raw_header(FRAME), into=5, out=0x80000003)))
    said = [(f["normalized"]["in_interface"], f["normalized"]["out_interface"]) for f in item.flows()]
    assert said[:1] == [(5, 6)] and 0x40000102 not in [o for _, o in said] and 0x80000003 not in [o for _, o in said]


def cuts(item):
    p = item.peer()
    for frame in (FRAME, TAGGED, ETHERNET + b"\x86\xdd" + IPV6, ETHERNET + b"\x08\0" + GRE, ETHERNET + b"\x08\0" + VXLAN):
        p.send(sflow(*[flow_sample(raw_header(frame[:n], len(frame))) for n in range(len(frame) + 1)]))
    item.settle()
    assert item.alive()


def test_125_cut_headers_harm_nothing(item):
    """G: sampled headers that are cut anywhere harm nothing"""
    cuts(item)


def test_125_cut_headers_are_read(item):
    """G: sampled headers that are cut anywhere are read as far as they go"""
    cuts(item)
    assert len(item.flows()) > 500


def test_126_packets_and_bytes(item):
    """G: a sample is one packet of frame_length less stripped octets; the rate goes into the corrected fields only"""
    p = item.peer()
    p.send(sflow(flow_sample(raw_header(FRAME, frame_length=1518, stripped=4), rate=100)))
    f = item.one()
    assert (f["normalized"]["packets"], f["normalized"]["bytes"]) == (1, 1514)
    assert (f["enriched"]["packets_corrected"], f["enriched"]["bytes_corrected"]) == (100, 151400)
