# SPDX-License-Identifier: Apache-2.0
"""What a flow record must become, worked out from tshark's reading of it and from nothing of ours.

canonical(record) gives the fields of the normalized layer that the reading determines.  The rules are those
of the canonical record: the elements that feed a field, best first, a vendor's own before IANA's; an empty
string or zero-length value is absent, and so is an all-zero address among several candidates.  Neither the
mapping files nor the code is looked at.
"""
import fnmatch
import functools
import re

from golden_tshark import CERT, CISCO, IANA, NTOP, REVERSE, VMWARE, moment
from second_reader import told_by_frame


class Between:
    """tshark cuts NTP fractions off at the nanosecond: a time is its number or the next."""

    def __init__(self, low, high):
        self.low, self.high = low, high

    def __eq__(self, other):
        return isinstance(other, int) and self.low <= other <= self.high

    def __repr__(self):
        return f"{self.low}..{self.high}"


def as_number(key, v):
    return int.from_bytes(v, "big") if isinstance(v, bytes) else int(v)


def as_text(key, v):
    return v.hex() if isinstance(v, bytes) else str(v)


def as_flag(key, v):
    return bool(as_number(key, v))


def as_us(key, v):
    """nProbe's latencies and IANA's 161 are milliseconds."""
    return as_number(key, v) * (1000 if key[0] == NTOP or key == (IANA, 161) else 1)


def as_application(key, v):
    """IANA 95 is an engine of one octet and a selector in the others."""
    return f"{v[0]}:{int.from_bytes(v[1:], 'big')}" if key[0] == IANA else str(v)


def as_direction(key, v):
    return ("ingress", "egress")[v]


def as_action(key, v):
    """firewallEvent: created and deleted flows, and updates of them, were let through; forwardingStatus: its two high bits."""
    if key == (IANA, 89):
        return ("unknown", "allow", "deny", "unknown")[v >> 6]
    return {1: "allow", 2: "allow", 3: "deny", 5: "allow"}.get(v, "unknown")


def icmp_part(shift):
    def part(key, v):
        return v >> shift & 0xFF if key in ((IANA, 32), (IANA, 139)) else v
    return part


# The elements that feed a field, best first, and what becomes of the value.
FIELDS = {
    "app_id": ({NTOP: (118,), CERT: (33, 300, 301), IANA: (95,)}, as_application),
    "flow_direction": ({IANA: (61,)}, as_direction),
    "duration_us": ({IANA: (162, 161)}, as_us),
    "sampler_id": ({IANA: (302, 48)}, as_number),
    "action": ({NTOP: (522,), CISCO: (7237,), IANA: (233, 89)}, as_action),
    "icmp_type": ({IANA: (176, 178, 32, 139)}, icmp_part(8)),
    "icmp_code": ({IANA: (177, 179, 32, 139)}, icmp_part(0)),
    "src_ip": ({CISCO: (12236, 12238), IANA: (8, 27)}, as_text),
    "dst_ip": ({CISCO: (12237, 12239), IANA: (12, 28)}, as_text),
    "src_port": ({CISCO: (12240,), IANA: (7, 182, 180)}, as_number),
    "bytes": ({IANA: (1, 231, 352, 85)}, as_number),
    "packets": ({IANA: (2, 298, 86)}, as_number),
    "reverse_bytes": ({REVERSE: (1, 85), IANA: (232, 23)}, as_number),
    "reverse_packets": ({REVERSE: (2, 86), IANA: (299, 24)}, as_number),
    "src_mac": ({IANA: (56, 81)}, as_text),
    "client_latency_us": ({NTOP: (123,), CISCO: (9316,)}, as_us),
    "server_latency_us": ({NTOP: (124,), CISCO: (9319,)}, as_us),
    "app_latency_us": ({NTOP: (125, 320), CISCO: (9306,)}, as_us),
    "dst_port": ({CISCO: (12241,), IANA: (11, 183, 181)}, as_number),
    "protocol_number": ({IANA: (4,)}, as_number),
    "tcp_flags": ({IANA: (6,)}, as_number),
    "ip_tos": ({IANA: (5,)}, as_number),
    "ip_dscp": ({IANA: (195,)}, as_number),
    "in_interface": ({IANA: (10, 252)}, as_number),
    "out_interface": ({IANA: (14, 253)}, as_number),
    "dst_mac": ({IANA: (80, 57)}, as_text),
    "src_vlan": ({IANA: (58, 243)}, as_number),
    "dst_as_number": ({IANA: (17,)}, as_number),
    "dst_prefix_len": ({IANA: (13, 30)}, as_number),
    "flow_end_reason": ({IANA: (136,)}, as_number),
    "app_name": ({NTOP: (119, 427), CISCO: (23933,), IANA: (96,)}, as_text),
    "tcp_retransmits_forward": ({NTOP: (109,), CISCO: (9268,)}, as_number),
    "dns_query": ({NTOP: (205,)}, as_text),
    "http_host": ({NTOP: (187, 361), CISCO: (12235,), CERT: (117,), IANA: (460,)}, as_text),
    "tls_sni": ({NTOP: (188,), CERT: (294,)}, as_text),
    "ip_version": ({IANA: (60,)}, as_number),
    "src_as_number": ({IANA: (16,)}, as_number),
    "next_hop": ({IANA: (15, 62)}, as_text),
    "src_prefix_len": ({IANA: (9, 29)}, as_number),
    "sampling_rate": ({IANA: (305, 34, 50)}, as_number),
    "sampling_algorithm": ({IANA: (304, 35, 49)}, as_number),
    "flow_id": ({CISCO: (12242,), IANA: (148,)}, as_text),
    "post_bytes": ({IANA: (23, 171)}, as_number),
    "post_packets": ({IANA: (24, 172)}, as_number),
    "bytes_total": ({IANA: (85,)}, as_number),
    "packets_total": ({IANA: (86,)}, as_number),
    "reverse_bytes_total": ({REVERSE: (85,)}, as_number),
    "reverse_packets_total": ({REVERSE: (86,)}, as_number),
    "dropped_bytes": ({IANA: (132, 134)}, as_number),
    "dropped_packets": ({IANA: (133, 135)}, as_number),
    "flow_count": ({IANA: (3,)}, as_number),
    "tcp_flags_forward": ({NTOP: (78,), IANA: (6,)}, as_number),
    "tcp_flags_reverse": ({NTOP: (79,), REVERSE: (6,)}, as_number),
    "ip_ttl_min": ({IANA: (52, 192)}, as_number),
    "ip_ttl_max": ({IANA: (53, 192)}, as_number),
    "ipv6_flow_label": ({IANA: (31,)}, as_number),
    "ip_fragment_id": ({IANA: (54,)}, as_number),
    "ip_fragment_offset": ({IANA: (88,)}, as_number),
    "fragments_forward": ({NTOP: (80,)}, as_number),
    "fragments_reverse": ({NTOP: (81,)}, as_number),
    "dst_vlan": ({IANA: (59, 254)}, as_number),
    "src_prev_as": ({IANA: (129,)}, as_number),
    "dst_next_as": ({IANA: (128,)}, as_number),
    "bgp_next_hop": ({IANA: (18, 63)}, as_text),
    "ingress_vrf": ({IANA: (234,)}, as_number),
    "egress_vrf": ({IANA: (235,)}, as_number),
    "biflow_direction": ({IANA: (239,)}, as_number),
    "forwarding_status": ({IANA: (89,)}, as_number),
    "action_reason": ({CISCO: (234,)}, as_text),
    "action_acl": ({CISCO: (232, 233)}, as_text),
    "firewall_event": ({CISCO: (7237,), IANA: (233,)}, as_number),
    "nat_event": ({IANA: (230,)}, as_number),
    "nat_src_ip": ({CISCO: (7233,), IANA: (225, 281)}, as_text),
    "nat_dst_ip": ({CISCO: (7234,), IANA: (226, 282)}, as_text),
    "nat_src_port": ({CISCO: (7235,), IANA: (227,)}, as_number),
    "nat_dst_port": ({CISCO: (7236,), IANA: (228,)}, as_number),
    "nat_port_range_start": ({IANA: (361,)}, as_number),
    "nat_port_range_end": ({IANA: (362,)}, as_number),
    "user_name": ({NTOP: (121, 428), CISCO: (7232, 23934), IANA: (371,)}, as_text),
    "app_category": ({NTOP: (501,), IANA: (372,)}, as_text),
    "app_confidence": ({NTOP: (560,)}, as_number),
    "l7_info": ({NTOP: (539, 591)}, as_text),
    "l7_error_code": ({NTOP: (554,)}, as_number),
    "risk_bitmap": ({NTOP: (509,)}, as_number),
    "risk_score_reported": ({NTOP: (527,)}, as_number),
    "risk_info": ({NTOP: (555, 510)}, as_text),
    "tcp_rtt_us": ({CISCO: (4248,)}, as_us),
    "tcp_retransmits_reverse": ({NTOP: (110,), CISCO: (9270,)}, as_number),
    "tcp_retransmit_bytes_forward": ({NTOP: (127,), CISCO: (9267,)}, as_number),
    "tcp_retransmit_bytes_reverse": ({NTOP: (128,), CISCO: (9269,)}, as_number),
    "tcp_out_of_order_forward": ({NTOP: (111,)}, as_number),
    "tcp_out_of_order_reverse": ({NTOP: (112,)}, as_number),
    "tcp_window_max_forward": ({NTOP: (416,), CISCO: (4316,)}, as_number),
    "tcp_window_max_reverse": ({NTOP: (420,)}, as_number),
    "tcp_mss_forward": ({NTOP: (417,), CISCO: (4318,)}, as_number),
    "packet_size_min": ({NTOP: (108,), IANA: (25,)}, as_number),
    "packet_size_max": ({NTOP: (107,), IANA: (26,)}, as_number),
    "dns_query_id": ({NTOP: (206,)}, as_number),
    "dns_query_type": ({NTOP: (207,), CERT: (175,)}, as_number),
    "dns_rcode": ({NTOP: (208,)}, as_number),
    "dns_answer_count": ({NTOP: (209,)}, as_number),
    "dns_ttl": ({NTOP: (352,)}, as_number),
    "dns_answers": ({NTOP: (398,), CERT: (302,)}, as_text),
    "http_method": ({NTOP: (360,), IANA: (459,)}, as_text),
    "http_url": ({NTOP: (180,), CERT: (112,), IANA: (461,)}, as_text),
    "http_status": ({NTOP: (181,), CERT: (123,), IANA: (457,)}, as_number),
    "http_user_agent": ({NTOP: (183,), CERT: (111,), IANA: (468,)}, as_text),
    "http_referer": ({NTOP: (182,), CERT: (115,)}, as_text),
    "http_content_type": ({NTOP: (184,), IANA: (469,)}, as_text),
    "http_x_forwarded_for": ({NTOP: (460,)}, as_text),
    "tls_version": ({NTOP: (495,), CERT: (288,)}, as_number),
    "tls_cipher": ({NTOP: (493,), CERT: (187,)}, as_number),
    "tls_unsafe_cipher": ({NTOP: (494,)}, as_flag),
    "tls_alpn": ({NTOP: (513,)}, as_text),
    "tls_issuer_dn": ({NTOP: (514,), CERT: (310,)}, as_text),
    "tls_subject_dn": ({NTOP: (515,), CERT: (311,)}, as_text),
    "ja3_client": ({NTOP: (489,), CERT: (464,)}, as_text),
    "ja3_server": ({NTOP: (490,), CERT: (466,)}, as_text),
    "ja4_client": ({NTOP: (576,)}, as_text),
    "hassh_client": ({NTOP: (499,)}, as_text),
    "hassh_server": ({NTOP: (500,)}, as_text),
    "tunnel_id": ({NTOP: (106,), IANA: (351, 507)}, as_number),
    "tunnel_id_reverse": ({NTOP: (120,)}, as_number),
    "inner_src_ip": ({NTOP: (114, 396)}, as_text),
    "inner_dst_ip": ({NTOP: (116, 397)}, as_text),
    "inner_protocol": ({NTOP: (113,)}, as_number),
    "inner_src_port": ({NTOP: (115,)}, as_number),
    "inner_dst_port": ({NTOP: (117,)}, as_number),
    "sip_call_id": ({NTOP: (130, 348)}, as_text),
    "rtp_jitter_forward_us": ({NTOP: (154,), CISCO: (4255,)}, as_us),
    "rtp_mos_x100": ({NTOP: (434,)}, as_number),
    "gtp_imsi": ({NTOP: (227, 276)}, as_text),
    "exporter_reported_ip": ({IANA: (130, 131)}, as_text),
    "observation_point_id": ({IANA: (138,)}, as_number),
    "probe_name": ({NTOP: (122, 590, 589)}, as_text),
    "cloud_account_id": ({NTOP: (575,)}, as_text),
    "encryption_status": ({NTOP: (586,)}, as_text),
    "src_host_name": ({NTOP: (491,)}, as_text),
    "dst_host_name": ({NTOP: (492,)}, as_text),
    "src_geo_country": ({NTOP: (101,)}, as_text),
    "dst_geo_country": ({NTOP: (103,)}, as_text),
    "service": ({NTOP: (1037,)}, as_text),
}
ADDRESSES = {"src_ip", "dst_ip", "next_hop", "bgp_next_hop", "nat_src_ip", "nat_dst_ip", "src_mac", "dst_mac",
             "inner_src_ip", "inner_dst_ip", "exporter_reported_ip"}
# The time of observation (322 to 325) is what records of one event have for an end.
STARTS, ENDS = (154, 152, 156, 150, 22, 158), (155, 153, 157, 151, 21, 159, 324, 323, 325, 322)
NANOSECOND = {"flow_start_ns": (156, 154), "flow_end_ns": (157, 155, 325, 324)}
NTP = (154, 155, 156, 157, 324, 325)
# Flags that are whole only together: YAF's of the first packet and of the others, nProbe's of client and server.
FLAGS_TOGETHER = {"tcp_flags": ((CERT, 14, 15), (NTOP, 78, 79)), "tcp_flags_forward": ((CERT, 14, 15),),
                  "tcp_flags_reverse": ((CERT, 16398, 16399),)}
SOURCES = {1: "netflow1", 5: "netflow5", 7: "netflow7", 9: "netflow9", 10: "ipfix"}
PROTOCOLS = {0: "hopopt", 1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 41: "ipv6", 44: "ipv6-frag", 47: "gre", 50: "esp",
             51: "ah", 58: "ipv6-icmp", 88: "eigrp", 89: "ospfigp", 103: "pim", 112: "vrrp", 132: "sctp"}

# What kind of record a flow is, and of which family: by the first field that it has.
EVENTS = [("dns_query", "dns", "dns"), ("http_host", "http", "application"), ("http_url", "http", "application"),
          ("tls_sni", "ssl", "crypto"), ("ja3_client", "ssl", "crypto"), ("ja4_client", "ssl", "crypto"),
          ("nat_event", "nat", "network"), ("firewall_event", "firewall", "network")]


def low_bits(theirs, ours):
    return 0 <= theirs.high - ours <= 2**11 * 10**9 // 2**32 + 1


def cut_at_nul(theirs, ours):
    """theirs is None where a field is null because its element is empty; octets that are no UTF-8 stand in hex."""
    return not theirs and ("\0" in ours or "00" in ours)


# Where tshark's reading is not what the standard says: (capture, field or element, clause, what the clause says, is it that).
EXPLAINED = [
    ("*", "dataRecordsReliability", "RFC 7011 section 6.1.5", "1 is true, 2 is false; tshark shows any octet but 0 as true",
     lambda theirs, ours: (theirs, ours) == ("1", "false")),
    ("softflowd_ipfix_micro", "flow_start_ns", "RFC 7011 section 6.1.9", "the low 11 bits of the fraction are ignored", low_bits),
    ("softflowd_ipfix_micro", "flow_end_ns", "RFC 7011 section 6.1.9", "the low 11 bits of the fraction are ignored", low_bits),
    ("softflowd_psamp", "flow_end_ns", "RFC 7011 section 6.1.9", "the low 11 bits of the fraction are ignored", low_bits),
    ("sluicegen_*_rich", "ip_version", "RFC 5477 section 8.5.2", "a packet's header in the record says it; tshark shows sections as octets",
     lambda theirs, ours: theirs is None and ours == 6),
    ("*nprobe_dpi", "app_name", "RFC 7011 section 6.1.6", "a string is all its octets; tshark ends it at a NUL", cut_at_nul),
    ("*nprobe_dpi", "applicationName", "RFC 7011 section 6.1.6", "a string is all its octets; tshark ends it at a NUL", cut_at_nul),
    ("*nprobe_dpi", "ntop.L7_PROTO_NAME", "RFC 7011 section 6.1.6", "a string is all its octets; tshark ends it at a NUL", cut_at_nul),
]


def explained(capture, name, theirs, ours):
    """The clause that says why ours differs, or None."""
    return next((clause for glob, what, clause, _, accepts in EXPLAINED
                 if what == name and fnmatch.fnmatch(capture, glob) and ours is not None and accepts(theirs, ours)), None)


def is_zero(v):
    return re.fullmatch(r"[0:.]*", v) is not None


def candidates(record, ids):
    for pen, numbers in ids.items():
        for number in numbers:
            element = record.find((pen, number))
            if element is not None and element.value not in ("", b""):
                yield element


def from_elements(record):
    out = {}
    for field, (ids, convert) in FIELDS.items():
        found = list(candidates(record, for_exporter(field, ids, record.is_nprobe)))
        if field in ADDRESSES and len(found) > 1:
            found = [e for e in found if not is_zero(e.value)]
        if found:
            out[field] = convert(found[0].key, found[0].value)
    return out


def for_exporter(field, ids, is_nprobe):
    """The elements as this exporter means them: nProbe sends the other direction's counters in 23 and 24."""
    if field in ("reverse_bytes", "reverse_packets") and not is_nprobe:
        return {pen: tuple(n for n in numbers if n not in (23, 24)) for pen, numbers in ids.items()}
    if field == "tcp_flags_forward" and is_nprobe:  # its element 6 has both directions' flags
        return {pen: numbers for pen, numbers in ids.items() if pen != IANA}
    if field in ("post_bytes", "post_packets") and is_nprobe:
        return {pen: tuple(n for n in numbers if n not in (23, 24)) for pen, numbers in ids.items()}
    return ids


def booted_ms(record):
    """Element 160, from the record or the latest options data that has it."""
    element = record.find((IANA, 160))
    if element is not None:
        return element.value // 10**6
    said = [leaf for leaves in record.options for leaf in leaves if leaf[0] == "cflow.sys_init_time"]
    return moment(said[-1:]) // 10**6 if said else None


def time_of(record, element):
    """Milliseconds since 1970, or None: uptimes need the header's, or element 160 in IPFIX."""
    number, v = element.key[1], element.value
    if number in NTP:
        return Between(v // 10**6, (v + 1) // 10**6)
    if number in (158, 159):
        return (record.header["export_ms"] * 1000 - v) // 1000
    if number not in (21, 22):
        return v // 10**6
    export, uptime = record.header["export_ms"], record.header.get("uptime_ms")
    if uptime is None:
        booted = booted_ms(record)
        if booted is None:
            return None
        uptime = export - booted
    ago = (uptime - v) % 2**32  # 32-bit counters that wrap, and flows from before boot: the nearer reading holds
    return export - (ago - 2**32 if ago >= 2**31 else ago)


def times(record):
    out = {}
    for field, numbers in (("flow_start_time", STARTS), ("flow_end_time", ENDS)):
        found = (time_of(record, e) for e in candidates(record, {IANA: numbers}))
        value = next((t for t in found if t is not None), None)
        if value is not None:
            out[field] = value
    for field, numbers in NANOSECOND.items():
        for e in list(candidates(record, {IANA: numbers}))[:1]:
            out[field] = Between(e.value, e.value + 1)
    return out


def flags_together(record, field):
    """Parts of the TCP flags ORed, where no element has them whole."""
    for pen, *numbers in FLAGS_TOGETHER[field]:
        parts = [e.value for e in (record.find((pen, n)) for n in numbers) if e is not None]
        if parts:
            return functools.reduce(lambda a, b: a | b, parts)
    return None


def labels(record):
    """The label stack down to its bottom; all-zero entries fill up fixed templates."""
    out = []
    for e in candidates(record, {IANA: range(70, 80)}):
        if any(e.value):
            out.append(int.from_bytes(e.value, "big") >> 4)
        if e.value[2] & 1:
            break
    return {"mpls_labels": out} if out else {}


def from_switch(record):
    """Open vSwitch tells both interfaces' names in the record, that of the input first."""
    name = record.find((IANA, 82))
    return {"in_interface_name": name.value} if name and record.find((VMWARE, 898)) else {}


def from_section(record):
    """What the headers of a frame in the record say, by the second reader: the reading beside the capture has its octets.
    A packet report, which has no counters, is of this one packet."""
    section, count = record.find((IANA, 315)), record.find((IANA, 410))
    if not section or not count:
        return {}
    fields, elements = told_by_frame(section.value[:count.value])
    if record.find((IANA, 301)):
        fields.update(packets=1, bytes=int(elements["ipTotalLength"]))
    return fields


def envelope(record):
    h = record.header
    out = {"source": SOURCES[h["version"]], "export_time": h["export_ms"], "ingest_time": h["received_ms"],
           "exporter_ip": h["ip"], "exporter_port": h["port"]}
    for field, word in (("export_sequence", "sequence"), ("observation_domain_id", "domain")):
        if h[word] is not None:
            out[field] = h[word]
    if "sampling" in h:  # NetFlow v5: an interval of 0 says that nothing is sampled
        out["sampling_algorithm"], out["sampling_rate"] = h["sampling"][0], h["sampling"][1] or 1
    return out


def last_said(record, *names):
    """The latest options record that has all these leaves, as a dict."""
    return next((o for o in map(dict, reversed(record.options)) if all(n in o for n in names)), None)


def sampling_said(record):
    """(rate, algorithm) by the sampler that the record names, else what is said of the whole exporter."""
    sampler = record.find((IANA, 48))
    for options in map(dict, reversed(record.options)):
        if sampler and "cflow.sampler_random_interval" in options and int(options["cflow.sampler_id"]) == sampler.value:
            return int(options["cflow.sampler_random_interval"]), int(options["cflow.sampler_mode"])
    options = last_said(record, "cflow.sampling_interval")
    if options:
        return int(options["cflow.sampling_interval"]), int(options["cflow.sampling_algorithm"])
    options = last_said(record, "cflow.sampling_packet_interval")
    if options:
        interval, space = int(options["cflow.sampling_packet_interval"]), int(options["cflow.sampling_packet_space"])
        return (interval + space) // interval, int(options["cflow.selector_algorithm"])
    return None


def interface_names(record):
    """Names by the interface that is the options record's scope."""
    names = {int(o["cflow.scope_interface"], 0): o["cflow.if_name"] for o in map(dict, record.options)
             if "cflow.scope_interface" in o and "cflow.if_name" in o}
    out = {}
    for field, number in (("in_interface_name", 10), ("out_interface_name", 14)):
        interface = record.find((IANA, number))
        if interface and interface.value in names:
            out[field] = names[interface.value]
    return out


def from_options(record):
    """What options data of the same exporter and domain says; a field of the record or its header goes before it."""
    out = interface_names(record)
    sampling = sampling_said(record)
    if sampling:
        out["sampling_rate"], out["sampling_algorithm"] = sampling
    return out


def canonical(record):
    """Every field of the normalized layer that tshark's reading determines."""
    out = from_options(record)
    out.update(from_switch(record))
    out.update(from_section(record))
    out.update(envelope(record))
    out.update(from_elements(record))
    out.update(times(record))
    out.update(labels(record))
    for field in FLAGS_TOGETHER:
        value = flags_together(record, field)
        if value is not None:
            out.setdefault(field, value)
    if "protocol_number" in out:
        out["protocol"] = PROTOCOLS[out["protocol_number"]]
    if record.header["version"] in (1, 5, 7) and out["protocol_number"] == 1:
        out["icmp_type"], out["icmp_code"] = out["dst_port"] >> 8, out["dst_port"] & 0xFF
    out["event_type"], out["event_class"] = next((event[1:] for event in EVENTS if event[0] in out), ("network_connection", "network"))
    out["event_time"] = out.get("flow_end_time", out.get("flow_start_time", out["export_time"]))
    return out
