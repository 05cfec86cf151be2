# SPDX-License-Identifier: Apache-2.0
"""What hostile exporters send, class by class, and what each of them is counted under.

A class is a list of messages, which one source sends in order, and the counters that grow by them: exactly so much for each
source.
"""
import collections
import glob
import os
import struct

from wire import (FLOW, VARIABLE, a_set, data, define, flow, flow_sample, ipfix, now, options, raw_header, sample, sflow, template,
                  templates, v5, v5_record, v9, v9_define, v9_options, variable)

Vectors = collections.namedtuple("Vectors", "name messages counted")

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = os.path.join(HERE, os.pardir, "corpus")
MESSAGE_MAX = 65507  # octets of a datagram over IPv4
SAMPLE = 23  # one message of so many of a capture, and one octet of so many of it
FIELDS_MAX, REPEATS_MAX, TEMPLATES_MAX = 1024, 64, 4096
NEWS_MAX = 2048  # new or changed definitions of one message

NO_TEMPLATE = ("held", "")
RECORDS = ("records", "")  # flows, options data, and what was beyond collector.message_work


def room(head, set_head=4):
    """Octets of the body of one set that fills the largest message."""
    return MESSAGE_MAX - head - set_head


def turn():
    """Two definitions of one id, each with data behind it."""
    other = [(12, 4), (8, 4), (1, 4)]
    return define(256, FLOW) + data(256, flow(1)) + define(256, other) + data(256, bytes(11) + b"\1")


TURNS = room(16, 0) // len(turn())
FLAPS = room(20) // 16
DEFINITIONS = room(16) // 8
WIDE_PER_MESSAGE = room(16) // (4 * FIELDS_MAX + 4)
WIDE = 40 * WIDE_PER_MESSAGE


# --- what captures say, changed ---------------------------------------------------------------------------------------

def payloads(path):
    """UDP payloads of a capture: pcap of Ethernet or Linux cooked frames, IPv4 without options or IPv6."""
    with open(path, "rb") as f:
        octets = f.read()
    order = "<" if octets[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    skip = {1: 14, 0: 4, 113: 16, 101: 0}[struct.unpack_from(order + "I", octets, 20)[0]]
    at, found = 24, []
    while at + 16 <= len(octets):
        size = struct.unpack_from(order + "I", octets, at + 8)[0]
        ip = octets[at + 16 + skip:at + 16 + size]
        at += 16 + size
        ip_bytes = {4: 20, 6: 40}[ip[0] >> 4]
        length = struct.unpack_from(">H", ip, ip_bytes + 4)[0]
        found.append(ip[ip_bytes + 8:ip_bytes + length])
    return found


def changed():
    """A sample of each capture; test/unit/test_mutated.c does all octets and all lengths in the process."""
    for path in sorted(glob.glob(os.path.join(CORPUS, "*_*.pcap"))):
        messages = payloads(path)
        yield from messages[:2]
        for message in messages[::SAMPLE][:4]:
            for i in range(0, len(message), SAMPLE):
                yield message[:i] + bytes([message[i] ^ 0xFF]) + message[i + 1:]
                yield message[:i]


# --- definitions ------------------------------------------------------------------------------------------------------

def below_256():
    ids = [1, 2, 3, 127, 255]
    return ([ipfix(define(n, FLOW), data(256, flow(1))) for n in ids] + [v9(v9_define(n, FLOW)) for n in ids] +
            [ipfix(options(n, [(149, 4)], [(41, 8)])) for n in ids] + [v9(v9_options(n, [(1, 4)], [(34, 4)])) for n in ids])


def no_fields():
    """Zero-field definitions: a withdrawal in IPFIX, nothing in v9."""
    return [v9(v9_define(256, [])), v9(a_set(0, struct.pack(">HH", 257, 0) * 1000), count=1000),
            ipfix(a_set(3, struct.pack(">HHH", 256, 0, 0))), ipfix(templates(struct.pack(">HH", 256, 0)))]


def no_octets():
    """Templates whose records have no octets, alone and many, and data of them; then one field of none beside one of four."""
    nothing = [(8, 0), (12, 0), (1, 0)]
    return [ipfix(define(256, nothing), data(256, b"\0" * 1000)), v9(v9_define(256, nothing), data(256, b"\0" * 1000), count=1),
            ipfix(define(257, [(8, 0), (12, 4), (1, 4)]), data(257, *[bytes(7) + b"\1"] * 8))]


def long_templates():
    """Records of 65 535 octets and more, and definitions that are 64 KiB long."""
    many = room(16) // 4 - 1
    return [ipfix(define(256, [(82, 65534), (1, 1)])), ipfix(define(256, [(82, 65534)])), v9(v9_define(256, [(82, 65535)])),
            v9(v9_define(256, [(82, 65534), (1, 1)])), ipfix(define(256, [(n % 400 + 1, 4) for n in range(many)])),
            v9(v9_define(256, [(n % 400 + 1, 4) for n in range(many - 1)])),
            ipfix(define(256, [(n % 30000 + 1, 4, 9) for n in range(many // 2)]))]


def repeats():
    """15 000 times one field, as often as the limit lets in and once more; data of the widest that is let in."""
    widest = [(n // REPEATS_MAX + 1, 1) for n in range(FIELDS_MAX)]
    return [ipfix(define(256, [(8, 4)] * 15000)), v9(v9_define(256, [(8, 4)] * 15000)),
            ipfix(define(256, [(8, 4)] * (REPEATS_MAX + 1))), ipfix(define(256, [(8, 4)] * FIELDS_MAX)),
            ipfix(define(256, [(8, 4)] * REPEATS_MAX), data(256, bytes(4 * REPEATS_MAX))),
            ipfix(define(257, widest)), ipfix(data(257, bytes(room(16) // FIELDS_MAX * FIELDS_MAX)))]


def wrapped():
    """Sums that wrap 16 and 32 bits: of fields, of counts, of sets, of scopes."""
    half = [(82, 32768), (83, 32768)]
    return [ipfix(define(256, half)), v9(v9_define(256, half)), ipfix(define(256, half * 2 + [(1, 4)])),
            ipfix(define(256, [(n + 1, 65534) for n in range(FIELDS_MAX)])),
            ipfix(templates(template(256, FLOW, count=65535))), v9(a_set(0, template(256, FLOW, count=65535))),
            v9(v9_options(256, [(1, 4)], [(34, 4)], 65532, 65532)), v9(v9_options(256, [(1, 4)], [(34, 4)], 32768, 32772)),
            ipfix(options(256, [(149, 4)], [(41, 8)], scope_count=65535)),
            ipfix(a_set(256, b"\0" * 64, length=65535)), v9(a_set(0, b"\0" * 64, length=65535)),
            ipfix(a_set(256, b"\0" * 64, length=3)), ipfix(a_set(256, b"\0" * 64, length=0)),
            ipfix(define(256, FLOW), length=65535), ipfix(define(256, FLOW), length=15),
            v5(v5_record(1), count=65535), v5(count=0)]


def longer_than_type():
    """Fields of every type, far longer and shorter than it, and their data."""
    elements = [8, 12, 27, 1, 2, 4, 7, 56, 152, 150, 156, 22, 82, 95, 276, 291, 319, 432]
    found = []
    for size in (1, 3, 5, 7, 9, 17, 31, 300):
        fields = [(n, size) for n in elements]
        found.append(ipfix(define(256, fields), data(256, b"\xff" * (size * len(fields)))))
        found.append(v9(v9_define(256, fields), data(256, b"\xff" * (size * len(fields))), count=2))
    return found


def scopes():
    """Options templates without a scope, or with more of it than fields; v9: in octets, and not a multiple of four."""
    return [ipfix(options(256, [], [(41, 8)])), ipfix(options(256, [(149, 4)], [(41, 8)], scope_count=3)),
            v9(v9_options(256, [], [(34, 4)])),
            v9(v9_options(256, [(1, 4)], [(34, 4)], scope_bytes=3, option_bytes=5)),
            v9(v9_options(256, [(1, 4)], [(34, 4)], scope_bytes=5, option_bytes=3)),
            v9(v9_options(256, [(1, 4)], [(34, 4)], scope_bytes=4, option_bytes=3))]


# --- sets -------------------------------------------------------------------------------------------------------------

def variable_past_set():
    said = define(256, [(8, 4), (82, VARIABLE)])
    ends = [b"\xc8" + bytes(10), b"\xff\xff\xff" + bytes(10), b"\xff\x00", b"\xff", b"\xff\x00\x0b" + bytes(10)]
    return [ipfix(said)] + [ipfix(data(256, bytes(4) + variable(b"eth0"), bytes(4) + end)) for end in ends]


def withdrawals():
    """Of all templates and of one, before its data, behind it, and by a set full of them."""
    all_of_them, one = a_set(2, struct.pack(">HH", 2, 0)), a_set(2, struct.pack(">HH", 256, 0))
    many = a_set(2, struct.pack(">HH", 256, 0) * (room(16) // 4))
    record = data(256, flow(1))
    return [ipfix(one, record), ipfix(define(256, FLOW), record), ipfix(all_of_them, record), ipfix(one, record),
            ipfix(a_set(3, struct.pack(">HH", 3, 0)), record), ipfix(record, one), ipfix(many), ipfix(record)]


def redefined():
    """Between two data sets of one message, and as often as a message has room for it."""
    return [ipfix(turn()), ipfix(turn() * TURNS)]


def flaps():
    """Two definitions in turns: a message full of them, thousands; IPFIX and v9."""
    pair = template(256, [(8, 4)]) + template(256, [(12, 4)])
    return [ipfix(templates(pair * FLAPS)), ipfix(templates(pair * FLAPS)), v9(a_set(0, pair * FLAPS), count=2 * FLAPS)]


def largest_flows():
    """A message full of the shortest flows: what all others are compared with where the machine is slow."""
    fields = [(8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (1, 4)]
    record = b"\x0a\0\0\1\xc0\0\2\1\x9c\x40\1\xbb\6\0\0\0\5"
    return [ipfix(define(256, fields)), ipfix(data(256, record * (room(16) // len(record))))]


def small_records():
    """65 000 records of one octet, in IPFIX and v9, and as many of a variable field of none."""
    count = room(20)
    octets = bytes(i % 255 + 1 for i in range(count))
    return [ipfix(define(256, [(4, 1)])), ipfix(data(256, octets)), v9(v9_define(256, [(4, 1)])), v9(data(256, octets), count=count),
            ipfix(define(257, [(82, VARIABLE)])), ipfix(data(257, bytes(count)))]


def options_records():
    """65 000 options records of one octet; then a name of 1000 octets for an interface, and 65 000 flows that take it up."""
    count = room(20)
    octets = bytes(i % 255 + 1 for i in range(count))
    return [ipfix(options(256, [(10, 1)], [(82, 0)])), ipfix(data(256, octets)), v9(v9_options(256, [(2, 1)], [(10, 0)])),
            v9(data(256, octets), count=count), ipfix(options(257, [(10, 1)], [(82, VARIABLE)])),
            ipfix(data(257, b"\6" + variable(b"x" * 1000))), ipfix(define(258, [(10, 1)])), ipfix(data(258, b"\6" * count))]


def small_sets():
    """A message of as many sets as it has room for: empty ones, of reserved ids, and data sets of one octet."""
    return [ipfix(define(256, [(4, 1)])), ipfix(a_set(256, b"") * (room(16, 0) // 4)), ipfix(a_set(5, b"") * (room(16, 0) // 4)),
            ipfix(a_set(256, b"\6") * (room(16, 0) // 5))]


def no_values():
    """0-length values by the thousand: 1000 variable fields, and 1023 fixed ones of none beside one of an octet."""
    fields = [(n + 1, VARIABLE) for n in range(1000)]
    empty = [(n % 900 + 1, 0) for n in range(FIELDS_MAX - 1)] + [(4, 1)]
    again = [(n // REPEATS_MAX + 1, 0) for n in range(FIELDS_MAX - 1)] + [(22, 1)]
    return [ipfix(define(256, fields)), ipfix(data(256, bytes(room(16) // 1000 * 1000))), ipfix(define(257, empty)),
            ipfix(data(257, b"\6" * room(16))), ipfix(define(258, again)), ipfix(data(258, b"\6" * room(16)))]


def lists():
    """Lists whose elements have no octets, whose lengths lie, and that stand in each other by the thousand."""
    empty = struct.pack(">BHH", 255, 8, 0) + bytes(1000)
    deep = b""
    while len(deep) < 60000:
        deep = struct.pack(">BHH", 255, 291, VARIABLE) + variable(deep, is_long=True)
    subs = struct.pack(">BH", 255, 257) + b"\6" * 60000
    many = struct.pack(">BHH", 255, 4, 1) + b"\6" * 60000
    return [ipfix(define(256, [(291, VARIABLE)]), define(257, [(4, 1)]), define(258, [(292, VARIABLE)]), define(259, [(293, VARIABLE)])),
            ipfix(data(256, variable(empty, True))), ipfix(data(256, variable(deep, True))), ipfix(data(256, variable(many, True))),
            ipfix(data(258, variable(subs, True))), ipfix(data(259, variable(subs, True)))]


# --- many templates in one message ------------------------------------------------------------------------------------

def filled():
    """As many new definitions as a message has room for, in falling order of id; then all that a domain may have have data in one;
    then as many others, in rising order."""
    ids = range(256 + DEFINITIONS - 1, 255, -1)
    sets = b"".join(data(n, b"\6") for n in ids[:TEMPLATES_MAX])
    said = [ipfix(templates(b"".join(template(n, [(4, 1)]) for n in some)))
            for some in (ids, ids[NEWS_MAX:TEMPLATES_MAX], range(30000, 30000 + DEFINITIONS))]
    return [*said[:2], ipfix(sets), said[2]]


def wide_and_many():
    """Templates as wide as they may be whose records have an octet: data of all of them in one message."""
    empty = [(n % 900 + 1, 0) for n in range(FIELDS_MAX - 1)] + [(4, 1)]
    said = [ipfix(templates(b"".join(template(256 + n, empty) for n in range(first, first + WIDE_PER_MESSAGE))))
            for first in range(0, WIDE, WIDE_PER_MESSAGE)]
    return [*said, ipfix(b"".join(data(256 + n, b"\6") for n in range(WIDE)))]


# --- sFlow ------------------------------------------------------------------------------------------------------------

SAMPLES_ROOM = MESSAGE_MAX - len(sflow())
HEADER_ROOM = SAMPLES_ROOM // 4 * 4 - len(flow_sample(raw_header(b"")))
SMALL_SAMPLES, EMPTY_SAMPLES = SAMPLES_ROOM // len(flow_sample()), SAMPLES_ROOM // len(sample(2, b""))
KINDS = [(n, bytes(size)) for n, size in ((1001, 16), (1002, 12), (1008, 12), (1009, 12), (1010, 8), (1011, 4), (1012, 4), (1020, 8),
                                          (1029, 4), (1030, 4), (1036, 4), (1038, 4), (1039, 4), (1040, 4))]


def words(*numbers):
    return struct.pack(f">{len(numbers)}I", *numbers)


def sflow_lies():
    """Counts and lengths of 2^32-1, 2^31 and 2^30, and some that run over their record, sample or datagram."""
    most, whole, head = 2**32 - 1, flow_sample(raw_header(bytes(14))), [1, 3, 100, 100, 0, 1, 2]
    records = [(1003, words(0, 1, 2, 3, 2**30)), (1003, words(0, 1, 2, 3, 1, 2, 2**30, 0, 0)), (1003, words(0, 1, 2, 3, 0, most, 0)),
               (1, words(1, 100, 0, most)), (1, words(1, 100, 0, most - 3) + bytes(64)), (1005, words(1, 2**31)), (1012, words(2**30))]
    return [sflow(count=most), sflow(whole, count=2**30), sflow(words(1, most), count=1), sflow(whole, words(1, 5000), count=2),
            sflow(sample(1, words(*head, most))), sflow(sample(1, words(*head, 1, 1, most))), sflow(*[flow_sample(r) for r in records])]


def sflow_chains():
    """As deep as a datagram has room for: VLAN tags, labels, extension headers, packets in packets; and a sample in a sample."""
    macs = bytes(12)
    ip6 = struct.pack(">IHBB", 6 << 28, HEADER_ROOM - 60, 60, 64) + bytes(32)
    in_ip = struct.pack(">BBHHHBBH8s", 0x45, 0, 0, 1, 0, 64, 4, 0, bytes(8))
    in_gre = in_ip[:9] + b"\x2f" + in_ip[10:] + b"\0\0\x08\0"
    in_vxlan = in_ip[:9] + b"\x11" + in_ip[10:] + struct.pack(">HHHHII", 1, 4789, 0, 0, 0x08000000, 0) + macs + b"\x08\0"
    frames = [stacked(macs, b"\x81\0\0\1"), stacked(macs + b"\x88\x47", b"\0\0\x10\x40"),
              stacked(macs + b"\x86\xdd" + ip6, b"\x3c\0\1\4\0\0\0\0"), stacked(macs + b"\x86\xdd" + ip6, b"\x2c\0\0\0\0\0\0\0"),
              stacked(macs + b"\x08\0", in_ip), stacked(macs + b"\x08\0", in_gre), stacked(macs + b"\x08\0", in_vxlan)]
    return [sflow(flow_sample(raw_header(f))) for f in frames] + [sflow(flow_sample((1, flow_sample()), (0x00ABC001, flow_sample())))]


def stacked(head, unit):
    return head + unit * ((HEADER_ROOM - len(head)) // len(unit))


def sflow_small():
    """As many samples as a datagram has room for: of no records, of no octets, of no known kind; and one of empty records."""
    return [sflow(*[flow_sample()] * SMALL_SAMPLES), sflow(*[sample(2, b"")] * EMPTY_SAMPLES), sflow(*[sample(5, b"")] * EMPTY_SAMPLES),
            sflow(*[sample(0x00ABC001, b"")] * EMPTY_SAMPLES), sflow(*[sample(1, b"")] * EMPTY_SAMPLES),
            sflow(flow_sample(*[(0x00ABC001, b"")] * ((SAMPLES_ROOM - len(flow_sample())) // 8)))]


def kinds_of(number):
    return flow_sample(*[r for i, r in enumerate(KINDS) if number >> i & 1])


def sflow_kinds(first=0):
    """A datagram of samples that each hold other records than all before."""
    samples, room_left = [], SAMPLES_ROOM
    while room_left >= len(kinds_of(first + len(samples))):
        samples.append(kinds_of(first + len(samples)))
        room_left -= len(samples[-1])
    return samples


SOME_KINDS, OTHER_KINDS = sflow_kinds(), sflow_kinds(8192)


# --- clocks -----------------------------------------------------------------------------------------------------------

def clocks():
    """Export times and sysUpTime that jump by years, both ways, and flow times far from both."""
    times = [0, 1, 2**31 - 1, 2**31, 2**32 - 1, now(), now() - 400000000, now() + 400000000]
    fields = [(8, 4), (1, 4), (22, 4), (21, 4)]
    record = bytes(7) + b"\1" + bytes(3) + b"\1" + struct.pack(">II", 2**32 - 1, 1)
    found = [v9(v9_define(256, fields), data(256, record[:16]), count=2, uptime=uptime, at=at)
             for at in times for uptime in (0, 2**31, 2**32 - 1)]
    found += [v5(v5_record(1, first, last), uptime=uptime, at=at, nsecs=2**32 - 1)
              for at in times for first, last, uptime in ((0, 2**32 - 1, 5), (2**32 - 1, 0, 2**31), (2**31, 1, 0))]
    fields = [(8, 4), (1, 4), (150, 4), (152, 8), (154, 8), (158, 4), (160, 8), (323, 8)]
    return found + [ipfix(define(256, fields), data(256, bytes(7) + b"\1" + filling * 44), at=at, seq=at)
                    for at in times for filling in (b"\0", b"\xff", b"\x7f")]


# --- whole datagrams --------------------------------------------------------------------------------------------------

def largest():
    """Datagrams as large as they are: nothing in them, everything in them, a message and then anything."""
    return [bytes(MESSAGE_MAX), b"\xff" * MESSAGE_MAX, struct.pack(">H", 10) * (MESSAGE_MAX // 2), struct.pack(">H", 9) + bytes(MESSAGE_MAX - 2),
            ipfix(define(256, FLOW), data(256, flow(1))) + bytes(60000), ipfix(data(300, bytes(room(16)))), b"", b"\0", b"\0\x0a"]


def spoofs(version):
    """In the name of an exporter that sends template 400 in domain 7: sequences, clocks and reboots that are not its own, other
    domains, other ids, and nonsense.  Not another template 400: over UDP nobody can tell whose that is."""
    found = [b"", b"\0" * 100, b"\xff" * 1400, ipfix(define(256, FLOW), length=65535)]
    for seq in (0, 2**31, 2**32 - 1, 12345):
        if version == 9:
            found += [v9(a_set(5, b""), count=0, seq=seq, source=7, uptime=uptime, at=at)
                      for uptime in (0, 1, 2**32 - 1) for at in (0, now(), 2**32 - 1)]
        else:
            found += [ipfix(a_set(5, b""), seq=seq, domain=7, at=at) for at in (0, now(), 2**32 - 1)]
        found += [ipfix(define(400, [(8, 4)]), domain=n, seq=seq) for n in range(8, 40)]
        found += [v9(v9_define(256, []), a_set(0, struct.pack(">HH", 255, 1) + bytes(4)), source=7, seq=seq),
                  ipfix(define(300, [(8, 65534), (12, 65534)]), a_set(2, struct.pack(">HH", 400, 0)), domain=7, seq=seq)]
    return found


ALL = [
    Vectors("octets changed, messages cut", list(changed()), {}),
    Vectors("template ids below 256", below_256(), {("templates_refused", "id"): 20, NO_TEMPLATE: 5}),
    Vectors("zero-field templates", no_fields(), {("templates_refused", "empty"): 1002, ("withdrawals_ignored", ""): 1}),
    Vectors("zero-length templates", no_octets(), {("templates_refused", "empty"): 2, ("data_sets_refused", "no_template"): 2,
                                                  ("records_flow", ""): 8}),
    Vectors("templates of 65 535 octets", long_templates(), {("templates_refused", "long"): 3, ("templates_refused", "variable"): 1,
                                                            ("templates_refused", "fields"): 3}),
    Vectors("15 000 repeats of a field", repeats(), {("templates_refused", "fields"): 2, ("templates_refused", "repeats"): 2,
                                                    RECORDS: 64}),
    Vectors("sums that wrap 16 and 32 bits", wrapped(), {("templates_refused", "long"): 4, ("templates_refused", "overrun"): 4,
                                                        ("templates_refused", "scope"): 1, ("messages_malformed", "set_length"): 4,
                                                        ("messages_malformed", "length"): 2, ("messages_malformed", "count"): 2}),
    Vectors("fields longer than their type", longer_than_type(), {("records_flow", ""): 16, ("templates_changed", ""): 14}),
    Vectors("variable lengths past their set", variable_past_set(), {("data_sets_refused", "overrun"): 5}),
    Vectors("withdrawals", withdrawals(), {("withdrawals_ignored", ""): 5 + room(16) // 4, ("records_flow", ""): 7}),
    Vectors("redefinition between data sets", redefined(), {("templates_changed", ""): 2 * TURNS + 1, RECORDS: 2 * TURNS + 2}),
    Vectors("options templates' scopes", scopes(), {("templates_refused", "scope"): 6}),
    Vectors("65 000 one-octet records", small_records(), {RECORDS: 3 * room(20)}),
    Vectors("65 000 options records, names", options_records(), {RECORDS: 3 * room(20) + 1}),
    Vectors("16 000 sets in a message", small_sets(), {RECORDS: room(16, 0) // 5, ("data_sets_refused", "short"): room(16, 0) // 4,
                                                      ("sets_skipped", ""): room(16, 0) // 4}),
    Vectors("0-length values by the thousand", no_values(), {RECORDS: room(16) // 1000 + 2 * room(16)}),
    Vectors("lists in lists, lists of nothing", lists(), {("records_flow", ""): 5}),
    Vectors("flapping templates", flaps(), {("templates_new", ""): 3, ("templates_changed", ""): 3 * (NEWS_MAX - 1),
                                           ("templates_refused", "message"): 3 * (2 * FLAPS - NEWS_MAX)}),
    Vectors("a message of definitions", filled(), {("templates_new", ""): TEMPLATES_MAX + NEWS_MAX, RECORDS: TEMPLATES_MAX,
                                                   ("templates_evicted", "domain"): NEWS_MAX,
                                                   ("templates_refused", "message"): 2 * (DEFINITIONS - NEWS_MAX)}),
    Vectors("wide templates, all used at once", wide_and_many(), {("templates_new", ""): WIDE, RECORDS: WIDE}),
    Vectors("sFlow counts and lengths that lie", sflow_lies(), {
        ("messages_malformed", "count"): 2, ("messages_malformed", "set_length"): 2, ("records_undecodable", "sample"): 2,
        ("records_flow", ""): 7, ("sflow_samples_partial", ""): 7}),
    Vectors("sFlow chains of headers", sflow_chains(), {("records_flow", ""): 8}),
    Vectors("16 000 sFlow samples", sflow_small(), {
        RECORDS: SMALL_SAMPLES + 4 * EMPTY_SAMPLES + 1, ("records_undecodable", "sample"): EMPTY_SAMPLES,
        ("records_undecodable", "sample_format"): EMPTY_SAMPLES, ("records_counter_sample", ""): EMPTY_SAMPLES,
        ("records_drop_sample", ""): EMPTY_SAMPLES}),
    Vectors("sFlow samples of ever other kinds", [sflow(*SOME_KINDS), sflow(*OTHER_KINDS)], {
        RECORDS: len(SOME_KINDS) + len(OTHER_KINDS), ("sflow_shapes_over", ""): len(SOME_KINDS) + len(OTHER_KINDS) - 64}),
    Vectors("clock jumps of years", clocks(), {("records_flow", ""): 72}),
    Vectors("64 KiB datagrams", largest(), {("messages_malformed", "version"): 2, ("messages_malformed", "length"): 1,
                                          ("messages_malformed", "short"): 3, ("trailing_octets", ""): 60000,
                                          ("records_flow", ""): 1, NO_TEMPLATE: 1}),
]
