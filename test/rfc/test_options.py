# SPDX-License-Identifier: Apache-2.0
"""D: options data."""
import json
import struct

from wire import FLOW, VARIABLE, data, define, flow, ipfix, options, v9, v9_define, v9_options, variable

NAMED = [(8, 4), (10, 4), (14, 4), (302, 4), (95, 4), (234, 4), (1, 4)]


def named(octets, into=5, out=6, selector=1, app=0x03000050, vrf=1):
    return b"\x0a\0\0\1" + struct.pack(">IIIIII", into, out, selector, app, vrf, octets)


def by_octets(item):
    return {f["normalized"]["bytes"]: f for f in item.flows()}


SCOPES = [(149, 4), (144, 4), (143, 4), (145, 2), (141, 4), (130, 4), (131, 16), (10, 4)]


def test_064_scopes(item):
    """S 7011 3.4.2.1: options data of every scope that the RFC names is read"""
    p = item.peer()
    for n, scope in enumerate(SCOPES):
        p.send(ipfix(options(256 + n, [scope], [(41, 8)]), data(256 + n, b"\1" * scope[1] + struct.pack(">Q", n))))
    assert item.counted("records_options") == len(SCOPES) and item.counted("templates_refused") == 0
    assert p.row()["options"] == len(SCOPES) and item.octets() == []


REPORTS = [
    ([(149, 4), (143, 4)], [(40, 8), (41, 8), (42, 8)], struct.pack(">IIQQQ", 7, 1, 987654321, 2, 3)),
    ([(149, 4), (143, 4)], [(164, 8), (165, 8), (258, 8), (259, 8)], struct.pack(">IIQQQQ", 7, 1, 987654322, 2, 3, 4)),
    ([(144, 4)], [(166, 8), (167, 8), (168, 8), (258, 8), (259, 8)], struct.pack(">IQQQQQ", 1, 987654323, 2, 3, 4, 5)),
    ([(145, 2)], [(173, 8)], struct.pack(">HQ", 300, 0b111)),
]


def test_065_standard_reports_are_read(item):
    """M 7011 4: the standard reports of options data are read, and become no flow"""
    p = item.peer()
    for n, (scopes, elements, record) in enumerate(REPORTS):
        p.send(ipfix(options(256 + n, scopes, elements), data(256 + n, record), domain=7))
    assert item.counted("records_options") == 4 and p.row(7)["options"] == 4 and item.octets() == []


def test_065_standard_reports_are_told(item):
    """M 7011 4: the standard reports are recognised by their elements, and what they say can be seen"""
    p = item.peer()
    for n, (scopes, elements, record) in enumerate(REPORTS):
        p.send(ipfix(options(256 + n, scopes, elements), data(256 + n, record), domain=7))
    p.send(ipfix(define(300, FLOW), data(256, struct.pack(">IIQQQ", 7, 1, 987654331, 3, 3)), data(259, REPORTS[3][2]), domain=7))
    item.settle()
    rows = [r for r in item.service.ctl("exporters")["reports"] if (r["exporter"], r["port"], r["domain"]) == (p.address, p.port, 7)]
    assert [r["process"] for r in rows] == ["metering 1", "exporting 1"]
    assert (rows[0]["exported_octets"], rows[0]["exported_octets_added"], rows[0]["exported_messages"]) == (987654331, 10, 3)
    assert (rows[0]["ignored_packets"], rows[0]["ignored_octets"]) == (987654322, 2)
    assert [rows[1][f"not_sent_{unit}"] for unit in ("flows", "packets", "octets")] == [987654323, 2, 3]
    assert rows[1]["exported_octets"] is None and rows[1]["not_sent_flows_added"] == 0
    assert item.service.ctl("ledger")["exporters_say"]["exported_octets"] >= 10 and item.counted("said_exported_octets") == 10
    flow_template = next(t for t in item.service.ctl("templates")["templates"]
                         if (t["exporter"], t["port"], t["template"]) == (p.address, p.port, 300))
    assert [e["is_flow_key"] for e in flow_template["elements"]] == [n < 3 for n in range(len(FLOW))]


def test_066_samplers(item):
    """G: options of samplers set the sampling of their exporter and domain, by the sampler's number when it is there"""
    p = item.peer()
    rates = options(300, [(302, 4)], [(304, 2), (305, 4), (306, 4)])
    p.send(ipfix(rates, data(300, struct.pack(">IHII", 1, 1, 1, 99), struct.pack(">IHII", 2, 1, 1, 999)), domain=5))
    p.send(ipfix(define(256, NAMED), data(256, named(1, selector=1), named(2, selector=2), named(3, selector=3)), domain=5))
    p.send(ipfix(define(256, NAMED), data(256, named(4, selector=1)), domain=9))
    assert {n: f["normalized"]["sampling_rate"] for n, f in by_octets(item).items()} == {1: 100, 2: 1000, 3: None, 4: None}
    # The elements of v9: 48, 49, 50 of a sampler; 34, 35 of the exporter.
    q = item.peer()
    q.send(v9(v9_options(300, [(1, 4)], [(48, 1), (49, 1), (50, 4)]), a_sampler(300, 7, 50), v9_options(301, [(1, 4)], [(34, 4), (35, 1)]),
              data(301, struct.pack(">IIB", 1, 10, 1) + b"\0" * 3), count=4))
    q.send(v9(v9_define(256, [(48, 1), (1, 4)]), data(256, struct.pack(">BI", 7, 11) + b"\0" * 3), count=2, seq=1))
    q.send(v9(v9_define(257, [(1, 4)]), data(257, struct.pack(">I", 12)), count=2, seq=2))
    said = {f["normalized"]["bytes"]: f["normalized"]["sampling_rate"] for f in item.flows()}
    assert (said[11], said[12]) == (50, 10)


def a_sampler(number, sampler, rate):
    return data(number, struct.pack(">IBBI", 1, sampler, 2, rate) + b"\0" * 2)


def test_067_interfaces(item):
    """G: options of interfaces fill names and descriptions; a rename counts from then on"""
    p = item.peer()

    def names(*rows):
        return [options(300, [(10, 4)], [(82, VARIABLE), (83, VARIABLE)]),
                data(300, *[struct.pack(">I", n) + variable(name) + variable(text) for n, name, text in rows])]

    p.send(ipfix(define(256, NAMED), *names((5, b"ge-0/0/1", b"to the office"), (6, b"ge-0/0/2", b"to transit"))))
    p.send(ipfix(data(256, named(1))))
    p.send(ipfix(*names((5, b"xe-0/0/1", b"to the lab"))))
    p.send(ipfix(data(256, named(2), named(3, into=7))))
    said = {n: [f["normalized"]["in_interface_name"], f["normalized"]["out_interface_name"], f["enriched"]["in_interface_alias"]]
            for n, f in by_octets(item).items()}
    assert said == {1: ["ge-0/0/1", "ge-0/0/2", "to the office"], 2: ["xe-0/0/1", "ge-0/0/2", "to the lab"], 3: [None, "ge-0/0/2", None]}


def test_068_applications(item):
    """G: options of applications fill their name, of flows behind them; those before them keep the number"""
    p = item.peer()
    p.send(ipfix(define(256, NAMED), data(256, named(1))))
    p.send(ipfix(options(300, [(95, 4)], [(96, 8), (94, 16)]), data(300, struct.pack(">I8s16s", 0x03000050, b"http", b"World Wide Web"))))
    p.send(ipfix(data(256, named(2))))
    said = {n: (f["normalized"]["app_id"], f["normalized"]["app_name"]) for n, f in by_octets(item).items()}
    assert said == {1: ("3:80", None), 2: ("3:80", "http")}


TYPE = [(339, 1), (344, 1), (345, 2), (341, VARIABLE)]
UNSIGNED16, UNSIGNED64, STRING, IPV4, BASIC_LIST = 2, 4, 13, 18, 20


def a_type(pen, number, kind, name):
    return struct.pack(">IHBBH", pen, number, kind, 0, 0) + variable(name)


def test_069_announced_types(item):
    """M 5610: options data defines unknown enterprise elements: their name and type"""
    p = item.peer()
    p.send(ipfix(options(300, [(346, 4), (303, 2)], TYPE), data(300, a_type(35632, 29999, STRING, b"probeMood"))))
    p.send(ipfix(define(256, [(29999, VARIABLE, 35632), (1, 4)]), data(256, variable(b"content") + struct.pack(">I", 7))))
    assert item.one()["raw"]["elements"] == {"probeMood": "content"}
    assert item.counted("elements_announced") == 1
    shown = [e["element"] for t in item.service.ctl("templates")["templates"] if t["port"] == p.port and t["template"] == 256 for e in t["elements"]]
    assert shown == ["probeMood", "octetDeltaCount"]


def test_069_announced_late(item):
    """G: templates that were there before an element was announced take it up; before, and for others, it keeps its number"""
    p, other = item.peer(), item.peer()
    for peer in (p, other):
        peer.send(ipfix(define(256, [(77, 2, 32473), (1, 4)]), data(256, b"\1\2" + struct.pack(">I", 1))))
    p.send(ipfix(options(300, [(346, 4), (303, 2)], TYPE), data(300, a_type(32473, 77, UNSIGNED16, b"queueDepth"))))
    for peer in (p, other):
        peer.send(ipfix(data(256, b"\1\2" + struct.pack(">I", 2))))
    elements = sorted((f["normalized"]["bytes"], *f["raw"]["elements"].items()) for f in item.flows())
    assert elements == [(1, ("e32473id77", "0102")), (1, ("e32473id77", "0102")), (2, ("e32473id77", "0102")), (2, ("queueDepth", "258"))]


def test_069_announced_in_lists(item):
    """G: inside lists, and as lists, announced elements have their name and type too"""
    p = item.peer()
    p.send(ipfix(options(300, [(346, 4), (303, 2)], TYPE),
                 data(300, a_type(32473, 77, UNSIGNED16, b"queueDepth"), a_type(32473, 78, BASIC_LIST, b"queueDepths"))))
    depths = variable(b"\4" + struct.pack(">HHI", 0x8000 | 77, 2, 32473) + struct.pack(">HH", 258, 7))
    p.send(ipfix(define(256, [(78, VARIABLE, 32473), (1, 4)]), data(256, depths + struct.pack(">I", 1))))
    elements = item.one()["raw"]["elements"]
    assert json.loads(elements["queueDepths"]) == {"semantic": "ordered", "element": "queueDepth", "values": ["258", "7"]}


def test_069_first_holds(item):
    """G: what is announced again otherwise, or by no name, or by one that is another's, is counted and changes nothing"""
    p = item.peer()
    p.send(ipfix(options(300, [(346, 4), (303, 2)], TYPE),
                 data(300, a_type(32473, 77, UNSIGNED16, b"queueDepth"), a_type(32473, 77, STRING, b"queueDepth"),
                      a_type(32473, 77, UNSIGNED16, b"queueDepth"), a_type(32473, 78, UNSIGNED16, b"a\"b"),
                      a_type(32473, 79, UNSIGNED16, b"queueDepth"), a_type(32473, 80, UNSIGNED16, b"octetDeltaCount"),
                      a_type(32473, 81, UNSIGNED64, b"lies"), a_type(32473, 82, IPV4, b"lies.too"))))
    p.send(ipfix(define(256, [(n, 2, 32473) for n in range(77, 83)] + [(1, 4)]), data(256, b"\0\1" * 6 + struct.pack(">I", 1))))
    assert item.one()["raw"]["elements"] == {"queueDepth": "1", "e32473id78": "0001", "e32473id79": "1", "e32473id80": "1", "lies": "1",
                                             "lies.too": "0001"}
    assert (item.counted("elements_announced"), item.counted("announcements_refused")) == (5, 2)


def test_069_known_elements_stay(item):
    """M 5610: announced types do not redefine IANA's elements, nor others that are known"""
    p = item.peer()
    p.send(ipfix(options(300, [(346, 4), (303, 2)], TYPE), data(300, a_type(0, 8, STRING, b"mine"), a_type(35632, 118, STRING, b"mine2"))))
    p.send(ipfix(define(256, [(8, 4), (118, 2, 35632), (1, 4)]), data(256, b"\x0a\0\0\1\0\7" + struct.pack(">I", 7))))
    f = item.one()
    assert (f["normalized"]["src_ip"], f["normalized"]["app_id"], f["normalized"]["bytes"]) == ("10.0.0.1", "7", 7)
    assert (item.counted("announcements_refused", "known"), item.counted("elements_announced")) == (2, 0)


def test_070_no_flow(item):
    """G: options data never becomes a flow"""
    p = item.peer()
    p.send(ipfix(define(256, FLOW), options(300, [(149, 4)], [(8, 4), (12, 4), (1, 4)]),
                 data(300, *[struct.pack(">IIII", 0, 1, 2, n) for n in range(50)]), data(256, flow(1))))
    assert item.octets() == [1]
    assert (item.counted("flows"), item.counted("records_flow"), item.counted("records_options")) == (1, 1, 50)


def test_071_vrf_names(item):
    """G: options of VRFs fill their names"""
    p = item.peer()
    p.send(ipfix(define(256, NAMED), options(300, [(234, 4)], [(236, 8)]), data(300, struct.pack(">I8s", 1, b"red"))))
    p.send(ipfix(data(256, named(1), named(2, vrf=2))))
    assert {n: f["normalized"]["ingress_vrf_name"] for n, f in by_octets(item).items()} == {1: "red", 2: None}


def test_071_unknown_scope(item):
    """G: a scope that nobody knows is read by its length, and harms nothing; no options data has a raw layer (70)"""
    p = item.peer()
    p.send(ipfix(options(300, [(32001, 5), (9, 3, 4242424242)], [(82, VARIABLE)]), data(300, b"12345678" + variable(b"nobody's"))))
    p.send(ipfix(define(256, NAMED), data(256, named(1))))
    f = item.one()
    assert item.counted("records_options") == 1 and f["normalized"]["in_interface_name"] is None
