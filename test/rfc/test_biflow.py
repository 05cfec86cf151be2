# SPDX-License-Identifier: Apache-2.0
"""G: biflows (RFC 5103)."""
import struct

from test_fields import normalized, read
from wire import FLOW, flow

REVERSE = 29305
CERT = 6871
NTOP = 35632


def test_088_reverse_elements(item):
    """M 5103 6.1: an element of enterprise 29305 is the reverse of IANA's"""
    flows = read(item, ([(1, 4), (2, 4), (1, 4, REVERSE), (2, 4, REVERSE), (6, 1), (6, 1, REVERSE)],
                        struct.pack(">IIIIBB", 10, 1, 20, 2, 2, 18)))
    n = flows[0]["normalized"]
    assert (n["bytes"], n["packets"], n["reverse_bytes"], n["reverse_packets"], n["tcp_flags_reverse"]) == (10, 1, 20, 2, 18)
    assert flows[0]["enriched"]["is_biflow"] is True and flows[0]["raw"]["elements"] == {}


def test_089_reverse_of_an_enterprise(item):
    """G: enterprises mark their reverse elements in their own way: CERT's by bit 0x4000"""
    flows = read(item, ([(14, 1, CERT), (14 | 0x4000, 1, CERT), (1, 4)], struct.pack(">BBI", 2, 18, 7)))
    assert flows[0]["normalized"]["bytes"] == 7
    # The forward one is a part of the flags; the reverse one must be told as its reverse, not as it.
    said = flows[0]["raw"]["elements"]
    assert [v for k, v in said.items() if "everse" in k] == ["18"], said


def test_090_direction(item):
    """S 5103 6.3: biflowDirection: 1 the source began, 2 the destination did, 0 arbitrary, 3 perimeter"""
    flows = read(item, *[([*FLOW, (239, 1)], struct.pack(">4s4sHHBIB", b"\x0a\0\0\1", b"\xc0\0\2\1", 50000, 50001, 6, n, n)) for n in range(4)])
    assert normalized(flows, "biflow_direction") == [0, 1, 2, 3]
    # Who began is the client: ports that nobody knows would make the lower one, the source's, the server's.
    assert [f["enriched"]["server_ip"] for f in flows] == ["10.0.0.1", "192.0.2.1", "10.0.0.1", "10.0.0.1"]


def test_091_not_reversible(item):
    """G 5103 6.1: reverse forms of elements that have none are ignored: they fill no field"""
    flows = read(item, ([*FLOW, (210, 2, REVERSE), (239, 1, REVERSE), (148, 4, REVERSE)], flow(1) + b"\0\0" + b"\2" + b"\0\0\0\7"),
                 (FLOW, flow(1)))
    said, plain = (dict(f["normalized"], **f["enriched"]) for f in flows)
    of_message = {"ingest_time", "ingest_latency_ms", "clock_skew_ms", "export_sequence", "sequence_gap"}
    assert {k for k in said if said[k] != plain[k]} <= of_message
    assert "contract" not in flows[0]["raw"]["notes"]


def test_092_reverse_of_zero(item):
    """G: a flow of one direction that is sent as a biflow, its reverse counters zero, stays a biflow with zeros"""
    flows = read(item, ([*FLOW, (1, 4, REVERSE), (2, 8, REVERSE)], flow(9) + b"\0" * 12), (FLOW, flow(9)))
    assert normalized(flows, "reverse_bytes") == [0, None] and normalized(flows, "reverse_packets") == [0, None]
    assert flows[0]["enriched"]["is_biflow"] is True and not flows[1]["enriched"]["is_biflow"]


def test_093_nprobe_out_counters(item):
    """G: 23 and 24 are the reverse direction where nProbe speaks, known by its enterprise number, else post counters"""
    record = flow(9) + struct.pack(">II", 70, 7)
    probe = read(item, ([*FLOW, (23, 4), (24, 4), (118, 2, NTOP)], record + b"\0\7"))
    other = read(item, ([*FLOW, (23, 4), (24, 4)], record))
    names = ("reverse_bytes", "reverse_packets", "post_bytes", "post_packets")
    assert [probe[0]["normalized"][n] for n in names] == [70, 7, None, None]
    assert [other[0]["normalized"][n] for n in names] == [None, None, 70, 7]
