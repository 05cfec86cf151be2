# SPDX-License-Identifier: Apache-2.0
"""J, K: NetFlow v9, v5 and its kin."""
import struct

from marks import not_yet
from test_templates import LIFETIME, OTHER, lifetime, other, sources
from wire import FLOW, VARIABLE, a_set, data, flow, now, template, v5, v5_record, v9, v9_define, v9_options


def padded(number, *records):
    """A data set with RFC 3954's padding to 4 octets."""
    body = b"".join(records)
    return a_set(number, body + b"\0" * (-len(body) % 4))


def test_104_header_and_count(item):
    """M 3954 5.1: the header has 20 octets; its count is of records, and a wrong one does not stop the decoding"""
    p = item.peer()
    p.send(v9(v9_define(256, FLOW), padded(256, flow(1), flow(2)), count=3))
    assert item.counted("netflow9_count_wrong") == 0
    for n, count in enumerate((0, 1, 65535)):
        p.send(v9(padded(256, flow(10 * n + 11), flow(10 * n + 12)), count=count, seq=n + 1))
    assert item.octets() == [1, 2, 11, 12, 21, 22, 31, 32]
    assert item.counted("netflow9_count_wrong") == 3 and item.counted("messages_malformed") == 0


def test_105_source_ids(item):
    """S 3954 5.1: exporters are told apart by address and source id"""
    p = item.peer()
    p.send(v9(v9_define(256, FLOW), source=1), v9(v9_define(256, OTHER), source=2))
    p.send(v9(padded(256, flow(1)), source=1, seq=1), v9(padded(256, other(2)), source=2, seq=1))
    assert sources(item.flows()) == {1: "10.0.0.1", 2: "10.0.0.99"}


def test_106_flowset_ids(item):
    """M 3954 5: set 0 defines templates, 1 options templates, 2 to 255 are reserved and skipped, 256 and more are data"""
    p = item.peer()
    p.send(v9(v9_define(256, FLOW), v9_options(257, [(1, 4)], [(34, 4)]), a_set(2, template(258, FLOW)), a_set(255, b"\1\2\3\4"),
              padded(256, flow(1)), data(257, struct.pack(">II", 1, 10)), padded(258, flow(2)), count=4))
    assert item.octets() == [1] and item.counted("sets_skipped") == 2 and item.counted("records_options") == 1
    assert item.counted("templates_new") == 2 and item.without_template() == 1


def test_107_options_template(item):
    """M 3954 6.1: lengths of scopes and options are octets, multiples of 4; others, and those beyond the set, are refused"""
    p = item.peer()
    p.send(v9(v9_options(300, [(1, 4)], [(34, 4), (35, 1)])))
    p.send(v9(data(300, struct.pack(">IIB", 1, 10, 1)), seq=1))
    assert item.counted("records_options") == 1
    for n, lengths in enumerate(((3, 8), (4, 7))):
        p.send(v9(v9_options(301 + n, [(1, 4)], [(34, 4), (35, 1)], *lengths), v9_define(256, FLOW), padded(256, flow(n)), seq=2 + n))
    assert item.counted("templates_refused", "scope") == 2
    for n, lengths in enumerate(((65535, 8), (4, 65535), (65532, 65532), (4, 400))):
        p.send(v9(v9_options(303 + n, [(1, 4)], [(34, 4)], *lengths), padded(256, flow(10 + n)), seq=4 + n))
    assert item.counted("templates_refused", "overrun") == 4 and item.octets() == [0, 1, 10, 11, 12, 13]


def test_108_scope_types(item):
    """M 3954 6.1: scope types are no elements: 1 to 5 and an unknown 6 are read by their length, and named as scopes"""
    p = item.peer()
    p.send(v9(v9_define(256, [(10, 2), (1, 4)])))
    for kind in range(1, 7):
        # Type 2 is an interface: its rate is that interface's; if 4 were protocolIdentifier, nothing would change.
        p.send(v9(v9_options(300 + kind, [(kind, 4)], [(34, 4)]), data(300 + kind, struct.pack(">II", 5, 10 * kind)), count=2, seq=kind))
    p.send(v9(data(256, struct.pack(">HI", 5, 1), struct.pack(">HI", 6, 2)), count=2, seq=7))
    said = {f["normalized"]["bytes"]: f["normalized"]["sampling_rate"] for f in item.flows()}
    assert item.counted("records_options") == 6 and said[1] == 20 and said[2] != 20
    scopes = [t["elements"][0] for t in item.service.ctl("templates")["templates"] if t["exporter"] == p.address and t["is_options"]]
    assert [(s["id"], s["is_scope"], s["fields"]) for s in scopes] == [(kind, True, []) for kind in range(1, 7)]
    assert all(s["element"].startswith("e") and s["element"].endswith(f"id{s['id']}") and s["element"][1] != "0" for s in scopes), scopes


def test_109_redefinition(item):
    """M 3954 5.2: a new definition of a template id replaces the old one"""
    p = item.peer()
    p.send(v9(v9_define(256, FLOW), padded(256, flow(1)), count=2))
    p.send(v9(v9_define(256, OTHER), padded(256, other(2)), count=2, seq=1))
    assert sources(item.flows()) == {1: "10.0.0.1", 2: "10.0.0.99"} and item.counted("templates_changed") == 1


def test_110_template_lifetime(own):
    """M 3954 7: a template that is not refreshed in time is forgotten, and not used"""
    lifetime(own(LIFETIME), lambda number: v9(v9_define(number, FLOW)), lambda number, n: v9(padded(number, flow(n))))


def test_111_data_without_template(item):
    """S 3954 9: data before its template is held, or counted"""
    p = item.peer()
    p.send(*[v9(padded(256, flow(n)), seq=n) for n in range(5)])
    p.send(v9(v9_define(256, FLOW), padded(256, flow(5)), count=2, seq=5))
    said = item.octets()
    assert 5 in said and len(said) - 1 + item.counted("data_sets_refused", "no_template") == 5


def test_111_data_is_held(item):
    """S 3954 9: data that came before its template is decoded when it comes"""
    p = item.peer()
    p.send(*[v9(padded(256, flow(n)), seq=n) for n in range(5)])
    p.send(v9(v9_define(256, FLOW), seq=5))
    assert item.octets() == [0, 1, 2, 3, 4] and item.counted("data_sets_refused") == 0


def test_112_restart(item):
    """S 3954 7: when the exporter restarts, or its clock changes, its templates are discarded"""
    p = item.peer()
    p.send(v9(v9_define(256, FLOW), seq=5000, uptime=7200000), v9(padded(256, flow(1)), seq=5001, uptime=7201000))
    p.send(v9(padded(256, flow(2)), seq=0, uptime=3600000))
    p.send(v9(padded(256, flow(3)), seq=1, uptime=3601000))
    assert item.octets() == [1]


def test_113_types_with_bit_15(item):
    """M 3954 8: v9 has no enterprise bit: types from 32768 on take 4 octets in the template, and data stays aligned"""
    p = item.peer()
    elements = [(8, 4), (57590, 2), (33000, 12), (56701, 32), (65535, 4), (57652, 3), (1, 4)]
    record = b"\x0a\0\0\1" + b"\1\2" + bytes(range(12)) + b"dns".ljust(32, b"\0") + b"\xaa\xbb\xcc\xdd" + b"/a\0" + struct.pack(">I", 77)
    p.send(v9(v9_define(256, elements), padded(256, record), count=2))
    f = item.one()
    n = f["normalized"]
    assert (n["src_ip"], n["bytes"], n["app_id"], n["app_name"], n["http_url"]) == ("10.0.0.1", 77, "258", "dns", "/a")
    assert n["action_acl"] == bytes(range(12)).hex() and f["raw"]["elements"]["e35632id8063"] == "aabbccdd"


def test_114_length_65535(item):
    """G: a v9 field of length 65535 is refused: v9 has no variable length"""
    p = item.peer()
    p.send(v9(a_set(0, template(256, [(57652, VARIABLE), (1, 4)]) + template(257, FLOW)), padded(257, flow(1)), count=3))
    assert item.counted("templates_refused", "variable") == 1 and item.octets() == [1]


def test_115_padding(item):
    """G 3954 5.3: sets are padded to 4 octets, or not, or the whole message is"""
    p = item.peer()
    p.send(v9(v9_define(256, FLOW), padded(256, flow(1)), padded(256, flow(2)), count=3))
    p.send(v9(data(256, flow(3)), data(256, flow(4)), count=2, seq=1))
    p.send(v9(data(256, flow(5)), b"\0\0\0", seq=2))
    # Records of 3 octets with an octet of padding: the count says that it is none.
    p.send(v9(v9_define(257, [(4, 1), (5, 1), (1, 1)]), padded(257, b"\6\0\7"), padded(257, b"\x11\0\x08", b"\x11\0\x09"), count=4, seq=3))
    # Records of 1 octet: zeros may be records or padding, and the count decides.
    p.send(v9(v9_define(258, [(1, 1)]), padded(258, b"\x0a", b"\x0b"), count=3, seq=4))
    assert item.octets() == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    assert item.counted("messages_malformed") == 0 and item.counted("netflow9_count_wrong") == 0


def test_116_time(item):
    """G 3954: a flow's time is the export's, less what was up since; right over the wrap of sysUpTime"""
    p = item.peer()
    at = 1790000000
    p.send(v9(v9_define(256, [(22, 4), (21, 4), (1, 4)]), at=at, uptime=1000))
    cases = {1: (500, 900, 1000), 2: (2**32 - 3000, 2**32 - 1, 1000), 3: (2**32 - 9, 5, 6), 4: (2**31, 2**31 + 1000, 2**31 + 2000)}
    for n, (first, last, uptime) in cases.items():
        p.send(v9(data(256, struct.pack(">III", first, last, n)), at=at, uptime=uptime, seq=n))
    for f in item.flows():
        first, last, uptime = cases[f["normalized"]["bytes"]]
        want = tuple(at * 1000 - (uptime - t) % 2**32 for t in (first, last))
        assert (f["normalized"]["flow_start_time"], f["normalized"]["flow_end_time"]) == want
    assert item.octets() == [1, 2, 3, 4]


# Cisco ASA: event, extended event, octets of initiator and responder, no packets.
ASA = [(148, 4), (8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (233, 1), (33002, 2), (231, 4), (232, 4)]


def asa(number, event, extended, forward, reverse):
    return struct.pack(">I", number) + flow(0)[:13] + struct.pack(">BHII", event, extended, forward, reverse)


def test_117_asa(item):
    """G: Cisco ASA's events: create, teardown, deny and update; both directions' octets, no packets; 233 or 40005"""
    p = item.peer()
    p.send(v9(v9_define(256, ASA), padded(256, asa(1, 1, 0, 0, 0), asa(1, 2, 2030, 100, 200), asa(2, 3, 1001, 0, 0), asa(3, 5, 0, 7, 8))))
    old = [(40005, 1) if e == (233, 1) else e for e in ASA]
    p.send(v9(v9_define(257, old), padded(257, asa(4, 2, 2030, 300, 400)), seq=1))
    said = sorted(tuple(f["normalized"][k] for k in ("flow_id", "firewall_event", "bytes", "reverse_bytes", "packets", "action_reason",
                                                     "event_type")) for f in item.flows())
    assert said == [("1", 1, 0, 0, None, "0", "firewall"), ("1", 2, 100, 200, None, "2030", "firewall"),
                    ("2", 3, 0, 0, None, "1001", "firewall"), ("3", 5, 7, 8, None, "0", "firewall"),
                    ("4", 2, 300, 400, None, "2030", "firewall")]
    actions = {f["normalized"]["flow_id"]: f["normalized"]["action"] for f in item.flows() if f["normalized"]["firewall_event"] == 3}
    assert actions == {"2": "deny"}


def test_118_address_lengths(item):
    """G: an IPv6 field of 4 octets and an IPv4 field of 16 are flagged, and stand in raw"""
    p = item.peer()
    p.send(v9(v9_define(256, [(27, 4), (1, 4)]), data(256, b"\x20\1\x0d\xb8" + struct.pack(">I", 1)), count=2))
    p.send(v9(v9_define(257, [(8, 16), (1, 4)]), data(257, bytes(range(16)) + struct.pack(">I", 2)), count=2, seq=1))
    said = {f["normalized"]["bytes"]: f for f in item.flows()}
    assert said[1]["raw"]["elements"] == {"sourceIPv6Address": "20010db8"}
    assert said[2]["raw"]["elements"] == {"sourceIPv4Address": bytes(range(16)).hex()}
    assert all(f["normalized"]["src_ip"] is None and "contract" in f["raw"]["notes"] for f in said.values())


def test_119_v5_lengths(item):
    """G: v5: the length is 24 + 48 * count: a count of 0 and a short datagram are malformed, what follows is counted"""
    # A count above 30 is against the format; some exporters send it, and where the length bears it out it is read.
    p = item.peer()
    good = v5(*[v5_record(n) for n in range(1, 4)])
    assert len(good) == 24 + 3 * 48
    p.send(good, v5(), good[:-1], good[:23])
    assert item.counted("messages_malformed", "count") == 2 and item.counted("messages_malformed", "short") == 1
    p.send(v5(*[v5_record(n) for n in range(10, 41)], seq=3), v5(v5_record(4), seq=34) + b"\1\2\3")
    assert item.octets() == [1, 2, 3, 4, *range(10, 41)] and item.counted("trailing_octets") == 3
    p.send(v5(v5_record(5), count=31, seq=35))
    assert item.counted("messages_malformed", "count") == 3
    f = next(f for f in item.flows() if f["normalized"]["bytes"] == 2)["normalized"]
    assert (f["src_ip"], f["dst_ip"], f["next_hop"], f["src_port"], f["dst_port"], f["protocol"], f["tcp_flags"], f["packets"],
            f["in_interface"], f["out_interface"], f["src_as_number"], f["dst_as_number"], f["src_prefix_len"]) == (
                "10.0.0.1", "192.0.2.1", "192.0.2.254", 40000, 443, "tcp", 0x12, 3, 1, 2, 64496, 64511, 24)


def test_120_v5_sampling(item):
    """G: v5: sampling_interval is 2 bits of mode and 14 of interval; zero is not sampled"""
    p = item.peer()
    for n, sampling in enumerate((0x4064, 0, 0xBFFF)):
        p.send(v5(v5_record(n), seq=n, sampling=sampling))
    said = {f["normalized"]["bytes"]: (f["normalized"]["sampling_rate"], f["normalized"]["sampling_algorithm"], f["enriched"]["is_sampled"])
            for f in item.flows()}
    assert said == {0: (100, 1, True), 1: (1, 0, False), 2: (0x3FFF, 2, True)}


def test_121_v7_v1_v8(item):
    """G: v7 (records of 52) and v1 (header 16, records of 48) are read; v8 is refused by its name"""
    p = item.peer()
    common = struct.pack(">4s4s4sHHIIIIHH", b"\x0a\0\0\1", b"\xc0\0\2\1", b"\xc0\0\2\xfe", 1, 2, 3, 1000, 100, 900, 40000, 443)
    v1 = struct.pack(">HHIII", 1, 2, 1000, now(), 0) + (common + struct.pack(">HBBB7x", 0, 6, 0x20, 0x12)) * 2
    v7 = struct.pack(">HHIIIII", 7, 1, 1000, now(), 0, 0, 0) + common + struct.pack(">BBBBHHBBH4s", 1, 0x12, 6, 0x20, 64496, 64511, 24, 16, 2, b"\x0a\0\0\x09")
    v8 = struct.pack(">HHIIIIBBBBI", 8, 1, 1000, now(), 0, 0, 0, 0, 1, 2, 0) + b"\0" * 28
    p.send(v1, v7, v8)
    flows = item.flows()
    assert [f["normalized"]["source"] for f in flows] == ["netflow1", "netflow1", "netflow7"]
    assert item.counted("messages_malformed", "netflow8") == 1 and item.counted("messages_malformed") == 1
    for f in (f["normalized"] for f in flows):
        assert (f["src_ip"], f["dst_ip"], f["next_hop"], f["src_port"], f["dst_port"], f["protocol"], f["tcp_flags"], f["ip_tos"], f["packets"],
                f["bytes"], f["in_interface"], f["out_interface"], f["flow_end_time"] - f["flow_start_time"]) == (
                    "10.0.0.1", "192.0.2.1", "192.0.2.254", 40000, 443, "tcp", 0x12, 0x20, 3, 1000, 1, 2, 800)
        assert f["observation_domain_id"] is None and (f["export_sequence"] is None) == (f["source"] == "netflow1")
    last = flows[-1]
    assert [last["normalized"][k] for k in ("src_as_number", "dst_as_number", "src_prefix_len", "dst_prefix_len")] == [64496, 64511, 24, 16]
    assert last["raw"]["elements"] == {"v7.flags": "1", "v7.flags2": "2", "ipv4RouterSc": "10.0.0.9"}
