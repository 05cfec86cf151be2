# SPDX-License-Identifier: Apache-2.0
"""C: encodings of fields."""
import struct

import pytest

from wire import FLOW, NTP_EPOCH_S, VARIABLE, data, define, flow, ipfix, v9, v9_define, variable

AT = 1790000000  # an export time


def read(item, *records, at=AT):
    """Sends each (elements, octets) under a template of its own; the flows in that order."""
    p = item.peer()
    for n, (elements, octets) in enumerate(records):
        p.send(ipfix(define(256 + n, elements), data(256 + n, octets), at=at, seq=n))
    flows = {f["raw"]["template_id"]: f for f in item.flows() if f["normalized"]["exporter_ip"] == p.address}
    assert sorted(flows) == [256 + n for n in range(len(records))]
    return [flows[n] for n in sorted(flows)]


def normalized(flows, name):
    return [f["normalized"][name] for f in flows]


def notes(flows, note):
    return [note in f["raw"]["notes"] for f in flows]


def test_044_variable_length(item):
    """M 7011 7: variable lengths, in one octet below 255 and in three from 255 on, are read to their end"""
    lengths = (0, 1, 254, 255, 1000, 65000)
    flows = read(item, *[([(371, VARIABLE), (1, 4)], variable(b"u" * n) + struct.pack(">I", n)) for n in lengths])
    assert normalized(flows, "bytes") == list(lengths)
    assert normalized(flows[:3], "user_name") == [None, "u", "u" * 254]
    # A text may be cut or kept elsewhere when it is long, but not vanish.
    for f, n in zip(flows[3:], lengths[3:]):
        assert max(len(f["normalized"]["user_name"] or ""), len(f["raw"]["elements"].get("userName", ""))) == n


def test_045_variable_beyond_set(item):
    """M 7011 9.1: a variable length beyond its set: the message's data is malformed, and is counted"""
    p = item.peer()
    p.send(ipfix(define(256, [(371, VARIABLE), (1, 4)]), define(257, FLOW)))
    p.send(ipfix(data(257, flow(1)), data(256, b"\xc8" + b"x" * 10)))
    assert item.octets() == [] and item.counted("data_sets_refused", "overrun") == 2
    p.send(ipfix(data(257, flow(2))))
    assert item.octets() == [2]


def test_046_long_form_of_small_length(item):
    """G 7011 7: three octets of length for a small one are legal"""
    flows = read(item, ([(371, VARIABLE), (1, 4)], variable(b"alice", is_long=True) + struct.pack(">I", 7)),
                 ([(371, VARIABLE), (1, 4)], variable(b"", is_long=True) + struct.pack(">I", 8)))
    assert normalized(flows, "user_name") == ["alice", None] and normalized(flows, "bytes") == [7, 8]


def test_047_reduced_size(item):
    """M 7011 6.2: integers of any length from 1 octet to their natural size, signed ones with their sign"""
    value = 0xE1E2E3E4E5E6E7
    flows = read(item, *[([(1, n)], (value & (1 << 8 * n) - 1).to_bytes(n, "big")) for n in range(1, 8)], ([(1, 8)], b"\x12" + b"\xff" * 7))
    assert normalized(flows, "bytes") == [value & (1 << 8 * n) - 1 for n in range(1, 8)] + [0x12FFFFFFFFFFFFFF]
    # mibObjectValueInteger, a signed32, has no field: it is told in raw.
    signed = read(item, *[([(434, n), (1, 1)], (-2).to_bytes(n, "big", signed=True) + b"\1") for n in (1, 2, 3, 4)])
    assert [f["raw"]["elements"]["mibObjectValueInteger"] for f in signed] == ["-2"] * 4


def test_048_float32_for_float64(item):
    """M 7011 6.2: a float64 may be sent as a float32"""
    flows = read(item, ([(311, 4)], struct.pack(">f", 0.0625)), ([(311, 8)], struct.pack(">d", 0.1)), ([(311, 4)], struct.pack(">f", 0.1)))
    assert [f["raw"]["elements"]["samplingProbability"] for f in flows] == ["0.0625", "0.1", "0.1"]
    assert not any(notes(flows, "contract"))


def test_049_longer_than_natural(item):
    """G: a number of more octets than its type has is accepted when the excess is zero, else it is flagged and kept in raw"""
    flows = read(item, ([(16, 8)], struct.pack(">Q", 4200000001)), ([(1, 12)], b"\0" * 10 + b"\1\2"), ([(1, 12)], b"\1" + b"\0" * 9 + b"\1\2"))
    assert normalized(flows, "src_as_number") == [4200000001, None, None]
    assert normalized(flows, "bytes") == [None, 258, None] and notes(flows, "contract") == [False, False, True]
    assert flows[2]["raw"]["elements"]["octetDeltaCount"] == "01" + "00" * 9 + "0102"


def test_050_wrong_fixed_length(item):
    """G: a wrong length of a fixed type keeps its octets in raw, and is flagged"""
    flows = read(item, ([(56, 4)], b"\1\2\3\4"), ([(8, 3)], b"\x0a\0\1"), ([(27, 4)], b"\x20\1\x0d\xb8"))
    assert [f["raw"]["elements"] for f in flows] == [{"sourceMacAddress": "01020304"}, {"sourceIPv4Address": "0a0001"},
                                                     {"sourceIPv6Address": "20010db8"}]
    assert normalized(flows, "src_ip") == [None] * 3 and normalized(flows, "src_mac") == [None] * 3 and all(notes(flows, "contract"))


def test_051_boolean(item):
    """M 7011 6.1.5: a boolean is 1 for true, 2 for false; others are invalid, and told as they are"""
    flows = read(item, *[([(276, 1)], bytes([n])) for n in range(4)])  # dataRecordsReliability
    assert [f["raw"]["elements"]["dataRecordsReliability"] for f in flows] == ["0", "true", "false", "3"]


def test_052_ill_formed_utf8(item):
    """S 7011 6.1.6: ill-formed UTF-8 is detected and flagged, its octets are kept; NULs at the end are cut"""
    texts = (b"\xc3\x28", b"\xc0\xaf", b"\xed\xa0\x80", b"a\0b", b"bob\0\0\0\0\0", "Zoë".encode())
    flows = read(item, *[([(371, len(t)), (1, 1)], t + b"\1") for t in texts])
    assert normalized(flows, "user_name") == [None, None, None, "a\0b", "bob", "Zoë"]
    assert [f["raw"]["elements"].get("userName") for f in flows] == ["c328", "c0af", "eda080", None, None, None]
    assert notes(flows, "bad_utf8") == [True] * 3 + [False] * 3 and normalized(flows, "bytes") == [1] * 6


def test_053_seconds(item):
    """M 7011 6.1.7, 5.2: dateTimeSeconds is unsigned, from 1970 to 2106; 0 says nothing and stands in raw"""
    seconds = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
    flows = read(item, *[([(150, 4)], struct.pack(">I", s)) for s in seconds])
    assert normalized(flows, "flow_start_time") == [None] + [1000 * s for s in seconds[1:]]
    assert flows[0]["raw"]["elements"] == {"flowStartSeconds": "0"}


def ntp(seconds, fraction):
    return struct.pack(">II", seconds + NTP_EPOCH_S & 0xFFFFFFFF, fraction)


def test_054_ntp_times(item):
    """M 7011 6.1.9, 6.1.10, 5.2: micro- and nanoseconds are 64-bit NTP; of micro the low 11 bits mean nothing; era by context"""
    half, low = 0x80000000, 0x800007FF
    era1 = 2 ** 32 - NTP_EPOCH_S  # 2036-02-07 06:28:16
    flows = read(item, ([(154, 8)], ntp(AT, half)), ([(154, 8)], ntp(AT, low)), ([(156, 8)], ntp(AT, half)), ([(156, 8)], ntp(AT, low)),
                 ([(154, 8)], ntp(era1 + 1, half)), ([(156, 8)], ntp(era1 + 1, 0)))
    ns = AT * 10**9 + 500000000
    assert normalized(flows, "flow_start_ns") == [ns, ns, ns, ns + round(0x7FF / 2**32 * 1e9), (era1 + 1) * 10**9 + 500000000,
                                                  (era1 + 1) * 10**9]
    assert normalized(flows, "flow_start_time")[0] == ns // 10**6
    # nProbe says microseconds since 1970 there: its template is known by its enterprise number.
    probe = read(item, ([(154, 8), (118, 2, 35632)], struct.pack(">QH", AT * 10**6 + 250000, 7)))
    assert normalized(probe, "flow_start_time") == [AT * 1000 + 250]


def test_055_uptimes(item):
    """G: times since boot need systemInitTimeMilliseconds or the v9 header; wrapped and reversed ones come out right"""
    boot = (AT - 100) * 1000
    both = [(22, 4), (21, 4)]
    flows = read(item, (both, struct.pack(">II", 1000, 2000)), ([*both, (160, 8)], struct.pack(">IIQ", 1000, 2000, boot)))
    assert normalized(flows, "flow_start_time") == [None, boot + 1000] and normalized(flows, "flow_end_time") == [None, boot + 2000]
    assert flows[0]["raw"]["elements"] == {"flowStartSysUpTime": "1000", "flowEndSysUpTime": "2000"}
    p = item.peer()
    p.send(v9(v9_define(256, [*both, (1, 4)]), uptime=5000, at=AT))
    for n, (first, last, uptime) in enumerate(((1000, 2000, 5000), (2**32 - 1000, 2**32 - 500, 500), (3000, 2000, 5000))):
        p.send(v9(data(256, struct.pack(">III", first, last, n)), uptime=uptime, at=AT, seq=n + 1))
    said = {f["normalized"]["bytes"]: (f["normalized"]["flow_start_time"] - AT * 1000, f["normalized"]["flow_end_time"] - AT * 1000)
            for f in item.flows() if f["normalized"]["exporter_ip"] == p.address}
    assert said == {0: (-4000, -3000), 1: (-1500, -1000), 2: (-2000, -3000)}


def test_056_delta(item):
    """G: flowStartDeltaMicroseconds counts back from the export time"""
    flows = read(item, ([(158, 4), (159, 4)], struct.pack(">II", 1500000, 250000)))
    assert normalized(flows, "flow_start_time") == [AT * 1000 - 1500] and normalized(flows, "flow_end_time") == [AT * 1000 - 250]


def test_057_unsigned64(item):
    """G: a counter above 2^63-1 is cut to that, flagged, and stands whole in raw; a bitmap keeps its bits"""
    flows = read(item, ([(1, 8)], b"\xff" * 8), ([(1, 8)], struct.pack(">Q", 2**63 - 1)))
    assert normalized(flows, "bytes") == [2**63 - 1] * 2 and notes(flows, "saturated") == [True, False]
    assert [f["raw"]["elements"] for f in flows] == [{"octetDeltaCount": str(2**64 - 1)}, {}]
    risk = read(item, ([(509, 8, 35632)], b"\xff" * 8))
    assert normalized(risk, "risk_bitmap") == [-1] and notes(risk, "saturated") == [False]


def test_058_padding_octets(item):
    """G: paddingOctets is not in raw"""
    flows = read(item, ([(4, 1), (210, 3), (1, 4)], b"\6\0\0\0" + struct.pack(">I", 7)))
    assert normalized(flows, "bytes") == [7] and flows[0]["raw"]["elements"] == {}


@pytest.mark.parametrize("text,octets", [("::", bytes(16)), ("::ffff:1.2.3.4", bytes(10) + b"\xff\xff\1\2\3\4"),
                                         ("2001:db8::1", b"\x20\1\x0d\xb8" + bytes(11) + b"\1"),
                                         ("2001:db8::1:0:0:1", b"\x20\1\x0d\xb8" + bytes(4) + b"\0\1" + bytes(5) + b"\1"),
                                         ("2001:db8:0:1:1:1:1:1", b"\x20\1\x0d\xb8\0\0" + b"\0\1" * 5)])
def test_059_addresses_as_text(item, text, octets):
    """G: addresses stand in the form of RFC 5952, IPv4-mapped ones with their IPv4 part"""
    flows = read(item, ([(27, 16), (1, 1)], octets + b"\1"))
    assert normalized(flows, "src_ip") == [text]


def test_060_mpls(item):
    """G: an entry of the label stack: 20 bits of label, 3 experimental, 1 bottom; what the field has not stands in raw"""
    flows = read(item, ([(70, 3)], b"\0\6\x41"), ([(70, 3), (71, 3)], b"\0\6\x4a" + b"\xff\xff\xf1"))
    assert normalized(flows, "mpls_labels") == [[100], [100, 0xFFFFF]]
    assert flows[0]["raw"]["elements"] == {"mplsTopLabelStackSection": "000641"}
    assert flows[1]["raw"]["elements"]["mplsTopLabelStackSection"] == "00064a"


def test_061_application_id(item):
    """G 6759: applicationId is engine and selector; of engine 20 an enterprise number stands between"""
    flows = read(item, ([(95, 4)], bytes.fromhex("03000050")), ([(95, 8)], bytes.fromhex("1400003044000001")))
    assert normalized(flows, "app_id") == ["3:80", "20:12356:1"]


def test_062_tcp_control_bits(item):
    """G: tcpControlBits has 1 or 2 octets"""
    flows = read(item, ([(6, 1)], b"\x12"), ([(6, 2)], b"\1\x12"))
    assert normalized(flows, "tcp_flags") == [0x12, 0x112]


def test_063_forwarding_status(item):
    """G: forwardingStatus has 1 or 4 octets"""
    flows = read(item, ([(89, 1)], b"\x82"), ([(89, 4)], b"\0\0\0\x40"))
    assert normalized(flows, "forwarding_status") == [0x82, 0x40]
    assert normalized(flows, "action") == ["drop", "allow"]
