# SPDX-License-Identifier: Apache-2.0
"""B: templates."""
import random
import struct
import time

from marks import not_yet
from service import BUILD, wait_for
from test_framing import is_transport
from wire import (FLOW, VARIABLE, data, define, flow, ipfix, now, options, template, templates)

OTHER = [(1, 8), (12, 4), (8, 4)]  # another shape than FLOW, of 16 octets


def other(octets):
    return struct.pack(">Q", octets) + b"\xc0\0\2\x63" + b"\x0a\0\0\x63"


def withdrawal(number, set_id=2):
    return struct.pack(">HHHH", set_id, 8, number, 0)


def sources(flows):
    return {f["normalized"]["bytes"]: f["normalized"]["src_ip"] for f in flows}


def test_017_key_of_a_template(item):
    """M 7011 8: templates are kept by session, observation domain and id"""
    p = item.peer()
    p.send(ipfix(define(256, FLOW), domain=1), ipfix(define(256, OTHER), domain=2))
    p.send(ipfix(data(256, flow(1)), domain=1), ipfix(data(256, other(2)), domain=2))
    assert sources(item.flows()) == {1: "10.0.0.1", 2: "10.0.0.99"}


def test_018_domains_reuse_ids(item):
    """M 7011 8: domains of one source port reuse ids with other meanings, in any order"""
    p = item.peer()
    for turn in range(3):
        p.send(ipfix(define(256, OTHER), data(256, other(10 + turn)), domain=2))
        p.send(ipfix(define(256, FLOW), data(256, flow(20 + turn)), domain=1))
        p.send(ipfix(data(256, other(30 + turn)), domain=2), ipfix(data(256, flow(40 + turn)), domain=1))
    assert item.octets() == sorted(tens + turn for tens in (10, 20, 30, 40) for turn in range(3))
    assert item.counted("templates_new") == 2 and item.counted("templates_refreshed") == 4
    assert item.counted("templates_changed") == 0


def test_019_ports_are_sessions(item):
    """M 7011 8: exporters behind different UDP source ports are separate sessions"""
    a = item.peer(address="127.100.19.1")
    b = item.peer(address="127.100.19.1")
    a.send(ipfix(define(256, [(1, 8)])))
    b.send(ipfix(define(256, [(2, 12)])))
    a.send(ipfix(data(256, struct.pack(">Q", 7))))
    b.send(ipfix(data(256, struct.pack(">IQ", 0, 8))))
    said = {f["normalized"]["exporter_port"]: (f["normalized"]["bytes"], f["normalized"]["packets"]) for f in item.flows()}
    assert said == {a.port: (7, None), b.port: (None, 8)}


def test_020_earlier_session(item):
    """M 7011 8: templates of one session are not used in another: from another source port"""
    a = item.peer(address="127.100.20.1")
    a.send(ipfix(define(256, FLOW), data(256, flow(1))))
    b = item.peer(address="127.100.20.1")
    b.send(ipfix(data(256, flow(2))))
    assert item.octets() == [1]
    assert item.without_template() == 1


def test_020_earlier_session_tcp(item):
    """M 7011 8: templates of a closed TCP session are not used in the next one"""
    a = item.stream(address="127.100.20.9")
    a.send(ipfix(define(256, FLOW), data(256, flow(1))))
    a.close()
    b = item.stream(address="127.100.20.9", port=a.port)
    b.send(ipfix(data(256, flow(2))))
    assert item.octets() == [1] and item.counted("data_sets_held_now") == 1
    b.close()
    assert item.octets() == [1] and item.counted("data_sets_dropped", "stream_closed") == 1
    assert item.counted("sessions_closed") == 2 and b.row() is None


def test_021_template_in_another_message(item):
    """M 7011 8: data and its template may be in different messages"""
    p = item.peer()
    p.send(ipfix(define(256, FLOW)), ipfix(), ipfix(data(256, flow(1))))
    assert item.octets() == [1]


def test_022_ids_in_any_order(item):
    """M 7011 3.4.1: template ids need not be incremental"""
    p = item.peer()
    for n, number in enumerate((65535, 256, 40000)):
        p.send(ipfix(define(number, FLOW)))
        p.send(ipfix(data(number, flow(n))))
    assert item.octets() == [0, 1, 2]


def test_023_id_below_256(item):
    """G 7011 3.4.1: a template id below 256 is an error: that record is skipped and counted, its neighbours live"""
    p = item.peer()
    p.send(ipfix(templates(template(255, OTHER), template(256, FLOW)), data(256, flow(1))))
    assert item.octets() == [1] and item.counted("templates_refused", "id") == 1


def test_024_repeated_elements(item):
    """M 7011 8: repeated elements are kept in their order: the field takes the first, raw has all"""
    p = item.peer()
    p.send(ipfix(define(256, [(8, 4), (8, 4)]), data(256, bytes([10, 0, 0, 1, 10, 0, 0, 2]))))
    f = item.one()
    assert f["normalized"]["src_ip"] == "10.0.0.1"
    assert f["raw"]["elements"]["sourceIPv4Address#2"] == "10.0.0.2"


def test_025_field_count_0(item):
    """G 7011 8.1, 8.4: a template with field count 0 over UDP is a withdrawal, and is ignored and counted"""
    p = item.peer()
    p.send(ipfix(define(256, FLOW), define(257, OTHER)))
    p.send(ipfix(withdrawal(256), data(256, flow(1))))
    p.send(ipfix(data(257, other(2))))
    assert item.octets() == [1, 2] and item.counted("withdrawals_ignored") == 1


def test_025_field_count_0_tcp(item):
    """G 7011 8.1: over TCP it withdraws"""
    p = item.stream()
    p.send(ipfix(define(256, FLOW), define(257, OTHER)), ipfix(withdrawal(256)))
    p.send(ipfix(data(256, flow(1))), ipfix(data(257, other(2))))
    assert item.octets() == [2] and item.counted("templates_withdrawn") == 1
    assert item.counted("withdrawals_ignored") == 0 and p.row()["templates"] == 1


def test_026_withdrawal_tcp(item):
    """M 7011 8.1: over TCP a withdrawn template is used no more, and its id may be defined anew"""
    p = item.stream()
    p.send(ipfix(define(256, FLOW), data(256, flow(1))), ipfix(withdrawal(256)), ipfix(data(256, flow(2))))
    assert item.octets() == [1] and item.without_template() == 1
    p.send(ipfix(withdrawal(256)))
    assert item.counted("templates_withdrawn") == 1 and item.counted("withdrawals_ignored") == 1


@not_yet("SCTP is not there yet")
def test_026_withdrawal_sctp():
    """M 7011 8.1: over SCTP a withdrawn template is used no more"""
    assert is_transport("sctp")


def test_027_withdrawal_of_unknown_tcp(item):
    """M 7011 8.1: over TCP the withdrawal of an unknown template is ignored and logged"""
    p = item.stream()
    p.send(ipfix(define(256, FLOW)), ipfix(withdrawal(999)), ipfix(data(256, flow(1))))
    assert item.octets() == [1] and item.counted("withdrawals_ignored") == 1
    assert "withdrawal.unknown exporter=" in item.service.log()


@not_yet("SCTP is not there yet")
def test_027_withdrawal_of_unknown_sctp():
    """M 7011 8.1: over SCTP the withdrawal of an unknown template is ignored and logged"""
    assert is_transport("sctp")


def test_027_withdrawal_of_unknown_udp(item):
    """M 7011 8.1: the withdrawal of an unknown template is ignored and counted"""
    p = item.peer()
    p.send(ipfix(define(256, FLOW)), ipfix(withdrawal(999)), ipfix(data(256, flow(1))))
    assert item.octets() == [1] and item.counted("withdrawals_ignored") == 1


def test_028_withdrawal_of_all_tcp(item):
    """M 7011 8.1: over TCP a withdrawal of all templates clears those of its domain only"""
    p = item.stream()
    for domain in (1, 2):
        p.send(ipfix(define(256, FLOW), define(257, OTHER), domain=domain))
    p.send(ipfix(withdrawal(2), domain=1))
    p.send(ipfix(data(256, flow(1)), domain=1), ipfix(data(256, flow(2)), domain=2), ipfix(data(257, other(3)), domain=2))
    assert item.octets() == [2, 3] and item.counted("templates_withdrawn") == 2


@not_yet("SCTP is not there yet")
def test_028_withdrawal_of_all_sctp():
    """M 7011 8.1: over SCTP a withdrawal of all templates clears those of its domain only"""
    assert is_transport("sctp")


def test_028_withdrawal_of_all_udp(item):
    """M 7011 8.1, 8.4: a withdrawal of all templates, ids 2 and 3, clears nothing over UDP"""
    p = item.peer()
    for domain in (1, 2):
        p.send(ipfix(define(256, FLOW), domain=domain))
    p.send(ipfix(withdrawal(2), withdrawal(3, set_id=3), domain=1))
    p.send(ipfix(data(256, flow(1)), domain=1), ipfix(data(256, flow(2)), domain=2))
    assert item.octets() == [1, 2] and item.counted("withdrawals_ignored") == 2


def test_029_withdrawals_over_udp(item):
    """M 7011 8.4: over UDP withdrawals are ignored"""
    p = item.peer()
    p.send(ipfix(define(256, FLOW)), ipfix(withdrawal(256)), ipfix(data(256, flow(1))))
    assert item.octets() == [1] and item.counted("withdrawals_ignored") == 1 and item.counted("data_sets_refused") == 0


def test_030_identical_refresh(item):
    """S 7011 8.4: an identical refresh over UDP is not logged"""
    p = item.peer()
    p.send(ipfix(define(256, FLOW), data(256, flow(1))))
    item.settle()
    before = item.service.log()
    p.send(*[ipfix(define(256, FLOW)) for _ in range(100)])
    assert item.counted("templates_refreshed") == 100 and item.counted("templates_changed") == 0
    said = [line for line in item.service.log()[len(before):].splitlines() if "sluiced.health" not in line]
    assert said == []


def test_031_redefinition(item):
    """M 7011 8.4: over UDP another definition replaces the old one"""
    p = item.peer()
    p.send(ipfix(define(256, [(8, 4)]), data(256, b"\x0a\0\0\1")))
    p.send(ipfix(define(256, [(8, 4), (12, 4)]), data(256, b"\x0a\0\0\2\x0a\0\0\3")))
    said = sorted((f["normalized"]["src_ip"], f["normalized"]["dst_ip"] or "") for f in item.flows())
    assert said == [("10.0.0.1", ""), ("10.0.0.2", "10.0.0.3")] and item.counted("templates_changed") == 1


def test_032_redefinition_tcp(item):
    """S 7011 8.1: over TCP a redefinition without withdrawal is logged as an error; here the last definition holds"""
    p = item.stream()
    p.send(ipfix(define(256, [(8, 4)]), data(256, b"\x0a\0\0\1"), at=2000000000))
    # By its export time it is older; on a stream that says nothing.
    p.send(ipfix(define(256, [(8, 4), (12, 4)]), data(256, b"\x0a\0\0\2\x0a\0\0\3"), at=1000000000))
    said = sorted((f["normalized"]["src_ip"], f["normalized"]["dst_ip"] or "") for f in item.flows())
    assert said == [("10.0.0.1", ""), ("10.0.0.2", "10.0.0.3")] and item.counted("templates_changed") == 1
    assert "template.redefined exporter=" in item.service.log()


LIFETIME = "collector.template_lifetime_s=3"


def lifetime(item, message, record):
    """Of two templates the one that was refreshed after 2 s lives for three of these, 8 s in all, the other for 3 s."""
    once, often = item.peer(), item.peer()
    begin = time.monotonic()
    for p in (once, often):
        p.send(message(256))
    time.sleep(2)
    often.send(message(256))
    assert wait_for(lambda: item.counted("templates_expired"), 5)
    once.send(record(256, 1))
    # By then it would be gone, too, were the lifetime 3 s from its refresh on.
    time.sleep(max(0.0, begin + 6.4 - time.monotonic()))
    assert (once.row()["templates"], often.row()["templates"]) == (0, 1) and item.counted("templates_expired") == 1
    assert wait_for(lambda: item.counted("templates_expired") == 2, 8)
    often.send(record(256, 2))
    assert item.octets() == []
    assert item.without_template() == 2


def test_033_template_lifetime(own):
    """Y 7011 8.4: over UDP a template that is not refreshed is forgotten, after three of its refreshes; its data has none"""
    lifetime(own(LIFETIME), lambda number: ipfix(define(number, FLOW)), lambda number, n: ipfix(data(number, flow(n))))


def test_034_data_without_template(item):
    """S 7011 9.3: data without template is no error: it is held, or counted; it is read when the template is there"""
    p = item.peer()
    p.send(*[ipfix(data(256, flow(n))) for n in range(5)])
    p.send(ipfix(define(256, FLOW)), ipfix(data(256, flow(5))))
    said = item.octets()
    assert 5 in said and len(said) - 1 + item.counted("data_sets_refused", "no_template") == 5
    assert said[:-1] == list(range(len(said) - 1)) and item.counted("messages_malformed") == 0


def test_034_data_is_held(item):
    """Y 7011 9.3: data that came before its template is decoded when it comes"""
    p = item.peer()
    p.send(*[ipfix(data(256, flow(n))) for n in range(5)])
    p.send(ipfix(define(256, FLOW)))
    assert item.octets() == [0, 1, 2, 3, 4]
    assert item.counted("data_sets_held_decoded") == 5 and item.counted("data_sets_refused") == 0


def test_035_export_times(item):
    """G 7011 8.2: data that is older than its id's new definition is not read with that"""
    p = item.peer()
    t = now()
    p.send(ipfix(define(256, FLOW), at=t - 100), ipfix(define(256, OTHER), at=t))
    p.send(ipfix(data(256, flow(1)), at=t - 50))
    assert item.octets() == [1] and item.counted("data_sets_late") == 1
    # Nor does a copy of the old one that comes late take the new one's place.
    p.send(ipfix(define(256, FLOW), data(256, flow(2)), at=t - 50), ipfix(data(256, other(3)), at=t))
    assert item.octets() == [1, 2, 3] and item.counted("templates_late") == 1


def resident_kib(service):
    with open(f"/proc/{service.process.pid}/status", encoding="ascii") as f:
        return int(next(line for line in f if line.startswith("VmRSS")).split()[1])


def test_036_bounds(item):
    """G: the templates of a domain and the fields of a template are bounded; others work on, and so does what is in use"""
    p, other_peer = item.peer(), item.peer()
    before = resident_kib(item.service)
    in_use = list(range(65280, 65530))
    p.send(ipfix(templates(*[template(n, FLOW) for n in in_use]), *[data(n, flow(n)) for n in in_use]))
    ids = [256 + n % 65000 for n in range(70000)]
    for i in range(0, len(ids), 5000):
        p.send(ipfix(templates(*[template(number, [(8, 4), (1, 4 if n < 65000 else 8)])
                                 for n, number in enumerate(ids[i:i + 5000], i)])))
    p.send(ipfix(define(65535, [(5, 1)] * 1025)))
    p.send(ipfix(*[data(n, flow(n)) for n in in_use]))
    other_peer.send(ipfix(define(256, FLOW), data(256, flow(1))))
    # Each of 14 messages may bring 2048; the first ones fill what room there was, and the others put out what is unused.
    assert p.row()["templates"] == 4096 and item.counted("templates_evicted", "domain") == 14 * 2048 - (4096 - len(in_use))
    assert item.counted("templates_refused", "message") == 70000 - 14 * 2048
    assert item.counted("templates_refused", "fields") == 1
    # Of 65280 it would be more; sanitizers keep what was freed.
    assert resident_kib(item.service) - before < 6144 or "san" in BUILD
    assert item.octets() == sorted([1, *in_use, *in_use])


def test_036_bound_of_sessions(own):
    """G: the number of sessions is bounded; those that are known work on"""
    item = own("collector.domains_max=2")
    p = item.peer()
    for domain in range(10):
        p.send(ipfix(define(256, FLOW), data(256, flow(domain)), domain=domain))
    p.send(ipfix(data(256, flow(100)), domain=1))
    assert item.octets() == [0, 1, 100] and item.counted("units_refused", "sessions_full") == 8


def test_036_bound_over_domains(own):
    """G: the templates of one exporter are bounded over all its domains: 70000 in 20 of them"""
    item = own()
    p = item.peer()
    for domain in range(20):
        for first in range(256, 256 + 3500, 700):
            p.send(ipfix(templates(*[template(n, [(8, 4), (1, 4)]) for n in range(first, first + 700)]), domain=domain))
    other_peer = item.peer()
    other_peer.send(ipfix(define(256, FLOW), data(256, flow(1))))
    item.settle()
    assert sum(p.row(domain)["templates"] for domain in range(20)) == p.row(19)["templates_of_address"] == 16384
    assert item.counted("templates_evicted", "exporter") == 70000 - 16384
    assert item.octets() == [1]


def test_037_longer_than_a_message(item):
    """G: a template whose records are longer than any message is refused"""
    p = item.peer()
    p.send(ipfix(define(256, [(82, 65534)] * 2)))
    p.send(ipfix(templates(template(257, [(82, 65534)] * 100), template(258, FLOW)), data(258, flow(1))))
    assert item.counted("templates_refused", "long") == 2 and item.octets() == [1]


def test_038_unknown_element(item):
    """M 7011 9: an unknown element is kept by its id, and the rest is decoded"""
    p = item.peer()
    p.send(ipfix(define(256, [(8, 4), (32000, 5), (1, 4)]), data(256, b"\x0a\0\0\1" + b"\1\2\3\4\5" + struct.pack(">I", 7))))
    f = item.one()
    assert f["raw"]["elements"]["e0id32000"] == "0102030405"
    assert (f["normalized"]["src_ip"], f["normalized"]["bytes"]) == ("10.0.0.1", 7)


def test_039_enterprise_bit(item):
    """M 7011 3.2: a field specifier with the enterprise bit has 8 octets"""
    p = item.peer()
    p.send(ipfix(define(256, [(8, 4), (118, 2, 35632), (1, 4)]), data(256, b"\x0a\0\0\1\x01\x02" + struct.pack(">I", 7))))
    f = item.one()
    assert (f["normalized"]["src_ip"], f["normalized"]["bytes"]) == ("10.0.0.1", 7)
    assert f["raw"]["elements"] == {"ntop.L7_PROTO": "258"} or f["normalized"]["app_id"] == "258"


def test_040_enterprise_0_and_unknown(item):
    """G: elements of an unknown enterprise are kept as unknown; enterprise 0 is read as IANA, as RFC 5610 has it"""
    # The list of behaviours would keep enterprise 0 as unknown. It is reserved, so nobody else's elements can be meant, and
    # privateEnterpriseNumber (346) has 0 for IANA's own: nothing can be mistaken, and the value is more use as a field.
    p = item.peer()
    p.send(ipfix(define(256, [(8, 4, 0), (7, 3, 4242424242), (1, 4)]), data(256, b"\x0a\0\0\1\1\2\3" + struct.pack(">I", 7))))
    f = item.one()
    assert f["raw"]["elements"]["e4242424242id7"] == "010203"
    assert (f["normalized"]["src_ip"], f["normalized"]["bytes"]) == ("10.0.0.1", 7)


FIELDS = [((8, 4), b"\x0a\0\0\1"), ((12, 4), b"\xc0\0\2\1"), ((7, 2), b"\x9c\x40"), ((11, 2), b"\x01\xbb"), ((4, 1), b"\x06"),
          ((6, 1), b"\x1b"), ((1, 8), b"\0\0\0\0\0\0\x12\x34"), ((2, 4), b"\0\0\0\x09"), ((82, VARIABLE), b"\4eth0"),
          ((152, 8), struct.pack(">Q", 1790000000123)), ((153, 8), struct.pack(">Q", 1790000009123)), ((56, 6), b"\2\0\x5e\0\0\1")]


def test_041_order_of_elements(item):
    """G 5153: the order of a template's elements does not matter: 12 fields in 100 orders give one record"""
    p = item.peer()
    draw = random.Random(41)
    for n in range(100):
        order = draw.sample(FIELDS, len(FIELDS))
        p.send(ipfix(define(256 + n, [e for e, _ in order]), data(256 + n, b"".join(v for _, v in order)), at=1790000010, seq=n))
    said = set()
    for f in item.flows():
        told = {k: v for k, v in f["normalized"].items() if k not in ("export_sequence", "ingest_time")}
        said.add(repr(sorted(told.items())) + repr(sorted(f["raw"]["elements"].items())))
    assert len(item.flows()) == 100 and len(said) == 1 and "'bytes', 4660" in said.pop()


def test_042_truncated_template(item):
    """G: a definition that runs over its set is refused and counted; templates from before it live, and so do other sets"""
    # The list would drop the message. Its sets tile it, so the others can be read for certain, and are.
    p = item.peer()
    p.send(ipfix(define(256, FLOW)))
    p.send(ipfix(templates(template(257, OTHER), template(258, OTHER, count=10)), data(256, flow(1)), data(257, other(2)),
                 data(258, other(3))))
    assert item.octets() == [1, 2]
    assert item.counted("templates_refused", "overrun") == 1 and item.without_template() == 1


def test_043_scope_count(item):
    """G 7011 3.4.2.2: an options template whose scope count is 0, or above its field count, is refused and counted"""
    p = item.peer()
    p.send(ipfix(options(256, [(149, 4)], [(41, 8)], scope_count=0)))
    p.send(ipfix(options(257, [(149, 4)], [(41, 8)], scope_count=3)))
    p.send(ipfix(data(256, b"\0" * 12), data(257, b"\0" * 12)))
    assert item.counted("templates_refused", "scope") == 2 and item.without_template() == 2
    assert item.octets() == []
