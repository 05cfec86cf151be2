# SPDX-License-Identifier: Apache-2.0
"""tshark's reading of a capture as records of elements.

tshark_records(path) gives the data records of a capture in their order.  tshark's reading of the templates
says which element each of its leaves is, so that two elements that it shows under one name (a field and its
reverse, 225 and Cisco's 40001) are told apart; a leaf that does not fit its template is an error.
raw_equal() and leaf_agrees() hold our text of an element against tshark's.
"""
import functools
import ipaddress
import json
import os
import re
import subprocess
from datetime import datetime, timezone

NTP_1970 = 2208988800
IANA, CISCO, CERT, VMWARE, REVERSE, NTOP, PMACCT = 0, 9, 6871, 6876, 29305, 35632, 43874
V7 = 0xFFFFFF07  # what NetFlow v7 has and IANA has not
V9_NTOP, V9_VENDOR = 57472, 32768  # NetFlow v9 types: nProbe's begin at the first, vendors' at the second


# --- What tshark's text means. A reader takes the leaves of one element, the first of them its value. ---

def uint(leaves):
    return int(leaves[0][1], 0)


def signed(leaves):
    return int(leaves[0][1])


def text(leaves):
    return leaves[0][1]


def octets(leaves):
    return bytes.fromhex(leaves[0][1].replace(":", ""))


def octets_uint(leaves):
    return int.from_bytes(octets(leaves), "big")


class Filled(str):
    """A text whose octets end in NULs, which fill it up and are not the text's."""
    size = 0


def octets_text(leaves):
    whole = octets(leaves)
    value = Filled(whole.rstrip(b"\0").decode())
    value.size = len(whole)
    return value


def real(leaves):
    return leaves[0][1]


def boolean(leaves):
    return leaves[0][1]


def moment(leaves):
    """tshark's absolute time in nanoseconds since 1970."""
    m = re.match(r"(\w+ +\d+, \d+ \d+:\d+:\d+)\.(\d+) UTC", leaves[0][1])
    whole = datetime.strptime(re.sub(" +", " ", m.group(1)), "%b %d, %Y %H:%M:%S").replace(tzinfo=timezone.utc)
    return int(whole.timestamp()) * 10**9 + int(m.group(2).ljust(9, "0"))


def duration(leaves):
    """Seconds with a fraction, as milliseconds.  tshark shows an uptime of 0 as the start of 1970."""
    if leaves[0][0].startswith("cflow.abstime"):
        return moment(leaves) // 10**6
    whole, fraction = leaves[0][1].split(".")
    return int(whole) * 1000 + int(fraction.ljust(9, "0")) // 10**6


def mpls(leaves):
    """The three octets of a label stack entry: label, experimental bits, bottom of stack."""
    v = {k: int(t) for k, t in leaves[1:]}
    return (v["cflow.mpls_label"] << 4 | v["cflow.mpls_exp"] << 1 | v["cflow.mpls_bos"]).to_bytes(3, "big")


def status(leaves):
    """Forwarding status: two bits of status over six of reason."""
    return int(leaves[1][1]) << 6 | int(leaves[2][1])


def application(leaves):
    return bytes([int(leaves[0][1])]) + bytes.fromhex(leaves[1][1].replace(":", ""))


def pair(leaves):
    """ICMP type and code, which tshark shows as two leaves."""
    return int(leaves[0][1]) << 8 | int(leaves[1][1])


# IANA's elements in the captures: (name, tshark's field, reader). MPLS-Label and Forwarding are tshark's subtrees.
IANA_ELEMENTS = {
    1: ("octetDeltaCount", "cflow.octets", uint),
    2: ("packetDeltaCount", "cflow.packets", uint),
    3: ("deltaFlowCount", "cflow.flows", uint),
    4: ("protocolIdentifier", "cflow.protocol", uint),
    5: ("ipClassOfService", "cflow.tos", uint),
    6: ("tcpControlBits", "cflow.tcpflags", uint),
    7: ("sourceTransportPort", "cflow.srcport", uint),
    8: ("sourceIPv4Address", "cflow.srcaddr", text),
    9: ("sourceIPv4PrefixLength", "cflow.srcmask", uint),
    10: ("ingressInterface", "cflow.inputint", uint),
    11: ("destinationTransportPort", "cflow.dstport", uint),
    12: ("destinationIPv4Address", "cflow.dstaddr", text),
    13: ("destinationIPv4PrefixLength", "cflow.dstmask", uint),
    14: ("egressInterface", "cflow.outputint", uint),
    15: ("ipNextHopIPv4Address", "cflow.nexthop", text),
    16: ("bgpSourceAsNumber", "cflow.srcas", uint),
    17: ("bgpDestinationAsNumber", "cflow.dstas", uint),
    18: ("bgpNextHopIPv4Address", "cflow.bgpnexthop", text),
    19: ("postMCastPacketDeltaCount", "cflow.mulpackets", uint),
    23: ("postOctetDeltaCount", "cflow.post_octets", uint),
    24: ("postPacketDeltaCount", "cflow.post_packets", uint),
    25: ("minimumIpTotalLength", "cflow.length_min", uint),
    26: ("maximumIpTotalLength", "cflow.length_max", uint),
    27: ("sourceIPv6Address", "cflow.srcaddrv6", text),
    28: ("destinationIPv6Address", "cflow.dstaddrv6", text),
    29: ("sourceIPv6PrefixLength", "cflow.srcmaskv6", uint),
    30: ("destinationIPv6PrefixLength", "cflow.dstmaskv6", uint),
    31: ("flowLabelIPv6", "cflow.ipv6flowlabel", uint),
    32: ("icmpTypeCodeIPv4", "cflow.icmp_type_code_ipv4", uint),
    39: ("engineId", "cflow.engine_id", uint),
    47: ("mplsTopLabelIPv4Address", "cflow.toplabeladdr", text),
    48: ("samplerId", "cflow.sampler_id", uint),
    52: ("minimumTTL", "cflow.ttl_min", uint),
    53: ("maximumTTL", "cflow.ttl_max", uint),
    54: ("fragmentIdentification", "cflow.frag_ident", uint),
    43: ("ipv4RouterSc", "cflow.routersc", text),
    55: ("postIpClassOfService", "cflow.post_tos", uint),
    56: ("sourceMacAddress", "cflow.srcmac", text),
    57: ("postDestinationMacAddress", "cflow.post_dstmac", text),
    58: ("vlanId", "cflow.vlanid", uint),
    59: ("postVlanId", "cflow.post_vlanid", uint),
    60: ("ipVersion", "cflow.ip_version", uint),
    61: ("flowDirection", "cflow.direction", uint),
    62: ("ipNextHopIPv6Address", "cflow.nexthopv6", text),
    63: ("bgpNextHopIPv6Address", "cflow.bgpnexthopv6", text),
    70: ("mplsTopLabelStackSection", "MPLS-Label", mpls),
    71: ("mplsLabelStackSection2", "MPLS-Label", mpls),
    72: ("mplsLabelStackSection3", "MPLS-Label", mpls),
    80: ("destinationMacAddress", "cflow.dstmac", text),
    81: ("postSourceMacAddress", "cflow.post_srcmac", text),
    82: ("interfaceName", "cflow.if_name", text),
    85: ("octetTotalCount", "cflow.permanent_octets", uint),
    86: ("packetTotalCount", "cflow.permanent_packets", uint),
    88: ("fragmentOffset", "cflow.fragment_offset", uint),
    89: ("forwardingStatus", "Forwarding Status", status),
    94: ("applicationDescription", "cflow.appl_desc", text),
    95: ("applicationId", "cflow.appl_id.classification_engine_id", application),
    96: ("applicationName", "cflow.appl_name", text),
    128: ("bgpNextAdjacentAsNumber", "cflow.peer_dstas", uint),
    129: ("bgpPrevAdjacentAsNumber", "cflow.peer_srcas", uint),
    132: ("droppedOctetDeltaCount", "cflow.drop_octets", uint),
    133: ("droppedPacketDeltaCount", "cflow.drop_packets", uint),
    136: ("flowEndReason", "cflow.flow_end_reason", uint),
    138: ("observationPointId", "cflow.observation_point_id", uint),
    139: ("icmpTypeCodeIPv6", "cflow.icmp_ipv6_type", pair),
    140: ("mplsTopLabelIPv6Address", "cflow.toplabeladdr_v6", text),
    148: ("flowId", "cflow.flow_id", uint),
    161: ("flowDurationMilliseconds", "cflow.timedelta", duration),
    176: ("icmpTypeIPv4", "cflow.icmp_ipv4_type", uint),
    177: ("icmpCodeIPv4", "cflow.icmp_ipv4_code", uint),
    178: ("icmpTypeIPv6", "cflow.icmp_ipv6_type", uint),
    179: ("icmpCodeIPv6", "cflow.icmp_ipv6_code", uint),
    184: ("tcpSequenceNumber", "cflow.tcp_seq_num", uint),
    195: ("ipDiffServCodePoint", "cflow.ip_dscp", uint),
    201: ("mplsLabelStackLength", "cflow.mpls_label_length", uint),
    209: ("tcpOptions", "cflow.tcp_option_map", octets_uint),
    225: ("postNATSourceIPv4Address", "cflow.post_natsource_ipv4_address", text),
    226: ("postNATDestinationIPv4Address", "cflow.post_natdestination_ipv4_address", text),
    227: ("postNAPTSourceTransportPort", "cflow.post_naptsource_transport_port", uint),
    228: ("postNAPTDestinationTransportPort", "cflow.post_naptdestination_transport_port", uint),
    230: ("natEvent", "cflow.nat_event", uint),
    233: ("firewallEvent", "cflow.firewall_event", uint),
    234: ("ingressVRFID", "cflow.ingress_vrfid", uint),
    235: ("egressVRFID", "cflow.egress_vrfid", uint),
    239: ("biflowDirection", "cflow.biflow_direction", uint),
    243: ("dot1qVlanId", "cflow.dot1q_vlan_id", uint),
    252: ("ingressPhysicalInterface", "cflow.ingress_physical_interface", uint),
    253: ("egressPhysicalInterface", "cflow.egress_physical_interface", uint),
    256: ("ethernetType", "cflow.ethernet_type", uint),
    276: ("dataRecordsReliability", "cflow.data_records_reliability", boolean),
    281: ("postNATSourceIPv6Address", "cflow.post_nat_source_ipv6_address", text),
    282: ("postNATDestinationIPv6Address", "cflow.post_nat_destination_ipv6_address", text),
    293: ("subTemplateMultiList", "cflow.enterprise_private_entry", octets),
    301: ("selectionSequenceId", "cflow.selection_sequence_id", uint),
    313: ("ipHeaderPacketSection", "cflow.section_header", octets),
    315: ("dataLinkFrameSection", "cflow.data_link_frame_section", octets),
    320: ("absoluteError", "cflow.absolute_error", real),
    321: ("relativeError", "cflow.relative_error", real),
    322: ("observationTimeSeconds", "cflow.observation_time_seconds", moment),
    323: ("observationTimeMilliseconds", "cflow.observation_time_milliseconds", moment),
    324: ("observationTimeMicroseconds", "cflow.observation_time_microseconds", moment),
    325: ("observationTimeNanoseconds", "cflow.observation_time_nanoseconds", moment),
    346: ("privateEnterpriseNumber", "cflow.private_enterprise_number", uint),
    361: ("portRangeStart", "cflow.port_range_start", uint),
    362: ("portRangeEnd", "cflow.port_range_end", uint),
    371: ("userName", "cflow.user_name", text),
    20: ("postMCastOctetDeltaCount", "cflow.muloctets", uint),
    134: ("droppedOctetTotalCount", "cflow.drop_total_octets", uint),
    135: ("droppedPacketTotalCount", "cflow.drop_total_packets", uint),
    174: ("postMCastPacketTotalCount", "cflow.post_total_mulpackets", uint),
    175: ("postMCastOctetTotalCount", "cflow.post_total_muloctets", uint),
    192: ("ipTTL", "cflow.ip_ttl", uint),
    196: ("ipPrecedence", "cflow.ip_precedence", uint),
    198: ("octetDeltaSumOfSquares", "cflow.delta_octets_squared", uint),
    199: ("octetTotalSumOfSquares", "cflow.total_octets_squared", uint),
    218: ("tcpSynTotalCount", "cflow.total_tcp_syn", uint),
    219: ("tcpFinTotalCount", "cflow.total_tcp_fin", uint),
    220: ("tcpRstTotalCount", "cflow.total_tcp_rst", uint),
    221: ("tcpPshTotalCount", "cflow.total_tcp_psh", uint),
    222: ("tcpAckTotalCount", "cflow.total_tcp_ack", uint),
    223: ("tcpUrgTotalCount", "cflow.total_tcp_urg", uint),
    240: ("ethernetHeaderLength", "cflow.ethernet_header_length", uint),
    244: ("dot1qPriority", "cflow.dot1q_priority", uint),
    352: ("layer2OctetDeltaCount", "cflow.layer2_octet_delta_count", uint),
    353: ("layer2OctetTotalCount", "cflow.layer2_octet_total_count", uint),
    354: ("ingressUnicastPacketTotalCount", "cflow.ingress_unicast_packet_total_count", uint),
    355: ("ingressMulticastPacketTotalCount", "cflow.ingress_multicast_packet_total_count", uint),
    356: ("ingressBroadcastPacketTotalCount", "cflow.ingress_broadcast_packet_total_count", uint),
    357: ("egressUnicastPacketTotalCount", "cflow.egress_unicast_packet_total_count", uint),
    358: ("egressBroadcastPacketTotalCount", "cflow.egress_broadcast_packet_total_count", uint),
    368: ("ingressInterfaceType", "cflow.ingress_interface_type", uint),
    369: ("egressInterfaceType", "cflow.egress_interface_type", uint),
    83: ("interfaceDescription", "cflow.if_desc", text),
    410: ("sectionExportedOctets", "cflow.section_exported_octets", uint),
    434: ("mibObjectValueInteger", "cflow.mib_object_value_integer", signed),
}
# The times of a flow, which tshark shows in pairs, and the sub-leaves that hold them.
TIMES = {21: "flowEndSysUpTime", 22: "flowStartSysUpTime", 150: "flowStartSeconds", 151: "flowEndSeconds",
         152: "flowStartMilliseconds", 153: "flowEndMilliseconds", 154: "flowStartMicroseconds", 155: "flowEndMicroseconds",
         156: "flowStartNanoseconds", 157: "flowEndNanoseconds", 158: "flowStartDeltaMicroseconds",
         159: "flowEndDeltaMicroseconds"}
TIME_PAIRS = ((22, 21), (150, 151), (152, 153), (154, 155), (156, 157), (158, 159))
VARIABLE = 65535
ENTERPRISE, UNKNOWN = "cflow.enterprise_private_entry", "cflow.unknown_field_type"
# Vendors' elements: (our name, tshark's field, reader). What is in no table is octets to both.
VENDOR_ELEMENTS = {
    (VMWARE, 898): ("vmware.virtualObsID", ENTERPRISE, octets_text),
    (CERT, 14): ("cert.initialTCPFlags", ENTERPRISE, octets_uint),
    (CERT, 15): ("cert.unionTCPFlags", ENTERPRISE, octets_uint),
    (CERT, 21): ("cert.reverseFlowDeltaMilliseconds", ENTERPRISE, octets_uint),
    (CERT, 33): ("cert.silkAppLabel", ENTERPRISE, octets_uint),
    (CERT, 40): ("cert.flowAttributes", ENTERPRISE, octets_uint),
    (CERT, 16398): ("cert.reverseInitialTCPFlags", ENTERPRISE, octets_uint),
    (CERT, 16399): ("cert.reverseUnionTCPFlags", ENTERPRISE, octets_uint),
    (CERT, 16424): ("cert.reverseFlowAttributes", ENTERPRISE, octets_uint),
    (NTOP, 109): ("ntop.RETRANSMITTED_IN_PKTS", "cflow.pie.ntop.retransmitted_in_pkts", uint),
    (NTOP, 110): ("ntop.RETRANSMITTED_OUT_PKTS", "cflow.pie.ntop.retransmitted_out_pkts", uint),
    (NTOP, 118): ("ntop.L7_PROTO", "cflow.pie.ntop.l7_proto", uint),
    (NTOP, 119): ("ntop.L7_PROTO_NAME", "cflow.pie.ntop.l7_proto_name", text),
    (NTOP, 121): ("ntop.FLOW_USER_NAME", "cflow.pie.ntop.flow_user_name", text),
    (NTOP, 123): ("ntop.CLIENT_NW_LATENCY_MS", "cflow.pie.ntop.client_nw_latency_ms", uint),
    (NTOP, 124): ("ntop.SERVER_NW_LATENCY_MS", "cflow.pie.server_nw_latency_ms", uint),
    (NTOP, 125): ("ntop.APPL_LATENCY_MS", "cflow.pie.ntop.appl_latency_ms", uint),
    (NTOP, 127): ("ntop.RETRANSMITTED_IN_BYTES", "cflow.pie.ntop.retransmitted_in_bytes", uint),
    (NTOP, 128): ("ntop.RETRANSMITTED_OUT_BYTES", "cflow.pie.ntop.retransmitted_out_bytes", uint),
    (NTOP, 187): ("ntop.HTTP_HOST", "cflow.pie.ntop.http_host", text),
    (NTOP, 188): ("ntop.TLS_SERVER_NAME", "cflow.pie.ntop.ssl_server_name", text),
    (NTOP, 205): ("ntop.DNS_QUERY", "cflow.pie.ntop.dns_query", text),
    (NTOP, 208): ("ntop.DNS_RET_CODE", "cflow.pie.ntop.dns_ret_code", uint),
    (NTOP, 489): ("ntop.JA3C_HASH", None, octets_text),
    (NTOP, 490): ("ntop.JA3S_HASH", None, octets_text),
    (NTOP, 493): ("ntop.TLS_CIPHER", None, octets_uint),
    (NTOP, 494): ("ntop.TLS_UNSAFE_CIPHER", None, octets_uint),
    (NTOP, 495): ("ntop.TLS_VERSION", None, octets_uint),
    (CISCO, 232): ("v9.33000", "cflow.ingress_acl_id", octets),
    (CISCO, 233): ("v9.33001", "cflow.egress_acl_id", octets),
    (CISCO, 234): ("v9.33002", "cflow.fw_ext_event", uint),
    (CISCO, 7232): ("v9.40000", "cflow.aaa_username", text),
    (CISCO, 7233): ("v9.40001", "cflow.post_natsource_ipv4_address", text),
    (CISCO, 7234): ("v9.40002", "cflow.post_natdestination_ipv4_address", text),
    (CISCO, 7235): ("v9.40003", "cflow.post_naptsource_transport_port", uint),
    (CISCO, 7236): ("v9.40004", "cflow.post_naptdestination_transport_port", uint),
    (CISCO, 7237): ("v9.40005", "cflow.firewall_event", uint),
    (VMWARE, 898): ("vmware.virtualObsID", ENTERPRISE, octets_text),
    (PMACCT, 1): ("pmacct.tag", ENTERPRISE, octets_uint),
    (PMACCT, 3): ("pmacct.label", ENTERPRISE, octets_text),
    (V7, 1): ("v7.flags", "cflow.flags", uint),
    (V7, 2): ("v7.flags2", "cflow.padding", octets_uint),  # tshark knows the first flags only
    (CISCO, 23933): ("v9.56701", UNKNOWN, octets_text),  # Palo Alto's App-ID and User-ID use Cisco's numbers
    (CISCO, 23934): ("v9.56702", UNKNOWN, octets_text),
}


class Element:
    """One element of a record: what tshark says it is, and all its leaves."""

    def __init__(self, pen, number, name, leaves, value):
        self.key, self.name, self.leaves, self.value = (pen, number), name, leaves, value


class Record:
    def __init__(self, header, template_id, is_nprobe, options):
        self.header, self.template_id, self.is_nprobe, self.options = header, template_id, is_nprobe, options
        self.elements = []
        self.unread = []  # leaves that stand for no element
        self.deltas = []  # tshark's own subtraction of two times

    def deltas_and_unread(self):
        return self.deltas + self.unread

    def find(self, key):
        return next((e for e in self.elements if e.key == key), None)


def is_tree(v):
    return isinstance(v, list) and bool(v) and isinstance(v[0], tuple)


def describe(key, version):
    """(our name, tshark's fields, reader) of an element."""
    pen, number = key
    if pen == REVERSE:
        name, field, read = describe((IANA, number), version)
        return "reverse" + name[0].upper() + name[1:], field, read
    if key in VENDOR_ELEMENTS:
        name, field, read = VENDOR_ELEMENTS[key]
        return name, [field] if field else [ENTERPRISE, UNKNOWN], read
    if pen == IANA and number in IANA_ELEMENTS:
        name, field, read = IANA_ELEMENTS[number]
        return name, [field], read
    if pen == CISCO and version == 9:
        return f"v9.{number + V9_VENDOR}", [UNKNOWN], octets
    return f"e{pen}id{number}", [ENTERPRISE, UNKNOWN], octets


def template_of(tree):
    """A template's elements as ((enterprise, number), length)."""
    elements = []
    for k, v in tree:
        if not k.startswith("Field ("):
            continue
        f = dict(v)
        pen = int(f.get("cflow.template_ipfix_field_pen", "0"))
        number = next((int(t) for n, t in f.items() if "field_type" in n and "scope" not in n), None)
        if number is not None and "cflow.template_field_type" in f:  # NetFlow v9
            if number >= V9_NTOP:
                pen, number = NTOP, number - V9_NTOP
            elif number >= V9_VENDOR:
                pen, number = CISCO, number - V9_VENDOR
        elements.append(((pen, number), int(f["cflow.template_field_length"])))
    return elements


START = (8, 12, 15, 10, 14, 2, 1, 22, 21, 7, 11)
FIXED = {1: [((IANA, n), 1) for n in (*START, 4, 5, 6)],
         5: [((IANA, n), 1) for n in (*START, 6, 4, 5, 16, 17, 9, 13)],
         7: [((IANA, n), 1) for n in START] + [((V7, 1), 1)] + [((IANA, n), 1) for n in (6, 4, 5, 16, 17, 9, 13)] +
            [((V7, 2), 2), ((IANA, 43), 4)]}


def groups_of(tree):
    """The leaves of a record, grouped by element: [(tshark's name of the group, leaves, sub-leaves' offset)]."""
    groups = []
    for k, v in tree:
        if k == "cflow.pie.ntop":  # a heading
            continue
        if k.endswith("_tree") or k in ("cflow.appl_id.selector_id", "cflow.icmp_ipv6_code"):
            is_second = k == "cflow.icmp_ipv6_code" and groups[-1][0] != "cflow.icmp_ipv6_type"
            if not is_second:
                groups[-1][1].extend(leaves_of(v) if is_tree(v) else [(k, v)])
                continue
        name = re.sub(r"^(MPLS-Label).*", r"\1", k)
        groups.append((name, [(k, "")] + leaves_of(v) if is_tree(v) else [(k, v)]))
    return groups


def leaves_of(tree):
    out = []
    for k, v in tree:
        out += leaves_of(v) if is_tree(v) else [(k, v)]
    return out


def read_times(record, template, groups):
    """Takes the groups of times out of groups; tshark shows a pair where its second half stands, a lone one last."""
    have = [key[1] for key, _ in template if key[0] == IANA and key[1] in TIMES]
    pairs = sorted((p for p in TIME_PAIRS if p[0] in have or p[1] in have),
                   key=lambda p: (not (p[0] in have and p[1] in have), max(have.index(n) for n in p if n in have)))
    taken = []
    for g in groups:
        names = [k for k, _ in g[1]]
        if not any(n.endswith(("timestart", "timeend")) for n in names):
            continue
        starts = pairs.pop(0)
        for number, suffix in zip(starts, ("timestart", "timeend")):
            leaf = [x for x in g[1] if x[0].endswith(suffix)]
            if leaf:
                value = duration(leaf) if number in (21, 22) else moment(leaf)
                if number in (158, 159):  # microseconds before the export time; tshark shows the difference
                    value = record.header["export_ms"] * 1000 - value // 1000
                record.elements.append(Element(IANA, number, TIMES[number], leaf, value))
        record.deltas += [x for x in g[1] if x[0] == "cflow.timedelta"]
        taken.append(g)
    assert not pairs, f"times without a leaf: {pairs}"
    return [g for g in groups if g not in taken]


def is_variable(group):
    return any(k == "cflow.string_len_short" for k, _ in group[1])


def read_record(record, template, tree):
    """Gives each leaf to its element of the template, in the template's order."""
    groups = read_times(record, template, groups_of(tree))
    at = 0
    for (pen, number), length in template:
        if pen == IANA and number in TIMES:
            continue
        name, fields, read = describe((pen, number), record.header["version"])
        while at < len(groups) and groups[at][0] == "cflow.padding" and "cflow.padding" not in fields:
            record.unread += groups[at][1]
            at += 1
        if number == 179 and at > 0 and groups[at - 1][0] == "cflow.icmp_ipv6_type" and len(groups[at - 1][1]) == 2:
            leaves = groups[at - 1][1][1:]  # tshark's type and code stand together, be they one element or two
        elif at < len(groups) and groups[at][0] in fields and is_variable(groups[at]) == (length == VARIABLE):
            leaves = groups[at][1]
            at += 1
        else:
            assert length in (0, VARIABLE), f"tshark has no leaf for {name}, but {groups[at:at + 1]}"
            continue
        record.elements.append(Element(pen, number, name, leaves, read(leaves)))
    record.unread += [leaf for g in groups[at:] for leaf in g[1]]
    assert all(k in ("cflow.padding", "cflow.reserved") for k, _ in record.unread), f"leaves of no element: {record.unread}"


@functools.lru_cache(maxsize=None)
def frames(path):
    """tshark's frames: receive time in milliseconds, sender, octets in hex; not of a packet that is told inside."""
    done = subprocess.run(["tshark", "-r", path, "-T", "fields", "-E", "occurrence=f", "-e", "frame.time_epoch", "-e", "ip.src", "-e", "ipv6.src",
                           "-e", "udp.srcport", "-e", "udp.payload"], capture_output=True, text=True, check=True)
    out = []
    for line in done.stdout.splitlines():
        epoch, v4, v6, port, payload = line.split("\t")
        seconds, fraction = epoch.split(".")
        out.append({"received_ms": int(seconds) * 1000 + int(fraction.ljust(9, "0")) // 10**6,
                    "ip": v4 or str(ipaddress.ip_address(v6)), "port": int(port), "octets": payload.replace(":", "")})
    return out


def header_of(tree, frame):
    h = dict((k, v) for k, v in tree if isinstance(v, str))
    stamp = dict(next(v for k, v in tree if k == "cflow.timestamp_tree"))
    out = dict(frame, version=int(h["cflow.version"]), sequence=None, domain=None)
    if out["version"] != 1:
        out["sequence"] = int(h["cflow.sequence"])
    seconds = int(stamp.get("cflow.unix_secs") or stamp["cflow.exporttime"])
    out["export_ms"] = seconds * 1000 + int(stamp.get("cflow.unix_nsecs", "0")) // 10**6
    if "cflow.sysuptime" in h:
        out["uptime_ms"] = duration([("", h["cflow.sysuptime"])])
    if out["version"] not in (1, 7):
        out["domain"] = int(h.get("cflow.od_id") or h.get("cflow.source_id") or
                            int(h["cflow.engine_type"]) << 8 | int(h["cflow.engine_id"]))
    if out["version"] == 5:
        out["sampling"] = int(h["cflow.samplingmode"]), int(h["cflow.samplerate"])
    return out


class Reader:
    """One pass over a capture, with the templates as they come."""

    def __init__(self):
        self.templates, self.nprobe, self.options, self.records = {}, set(), {}, []

    def session(self, header):
        return header["ip"], header["port"], header["domain"]

    def message(self, tree, frame):
        header = header_of(tree, frame)
        for k, v in tree:
            if re.match(r"pdu \d+", k):
                self.record(header, None, FIXED[header["version"]], v)
            data = re.match(r"(?:Flow)?Set \d+ \[id=(\d+)\]", k)
            if data:
                self.set(header, int(data.group(1)), v)

    def set(self, header, number, tree):
        for k, v in tree:
            defined = re.match(r"(Options )?Template \(Id = (\d+)", k)
            if defined:
                self.define(header, defined, template_of(v))
            elif re.match(r"Flow \d+", k):
                is_options, elements = self.templates[self.session(header), number]
                if is_options:
                    self.options.setdefault(self.session(header), []).append(leaves_of(v))
                else:
                    self.record(header, number, elements, v)

    def define(self, header, defined, elements):
        if any(key[0] == NTOP for key, _ in elements):
            self.nprobe.add(self.session(header))
        self.templates[self.session(header), int(defined.group(2))] = bool(defined.group(1)), elements

    def record(self, header, number, template, tree):
        session = self.session(header)
        record = Record(header, number, session in self.nprobe, tuple(self.options.get(session, ())))
        read_record(record, template, tree)
        self.records.append(record)


@functools.lru_cache(maxsize=None)
def tshark_records(path):
    with open(os.path.splitext(path)[0] + ".tshark.json", encoding="utf-8") as f:
        read = json.loads(f.read(), object_pairs_hook=lambda pairs: [(k, v) for k, v in pairs])
    sent = frames(path)
    assert len(read) == len(sent), "tshark reads another number of frames than its JSON has"
    reader = Reader()
    for tree, frame in zip(read, sent):
        layers = dict(dict(tree)["_source"])["layers"]
        for k, v in layers:
            if k == "cflow":
                reader.message(v, frame)
    return reader.records


def tshark_counts(path):
    """(records, of options data too; sets whose template it does not know) in the reading beside a capture."""
    with open(os.path.splitext(path)[0] + ".tshark.json", encoding="utf-8") as f:
        text = f.read()
    return len(re.findall(r'"(?:Flow \d+|pdu \d+/\d+)"', text)), len(re.findall(r'"Data \(\d+ bytes\), no template found": {', text))


def ntp_ns(octets_hex):
    n = int(octets_hex, 16)
    return ((n >> 32) - NTP_1970) * 10**9 + (n & 0xFFFFFFFF) * 10**9 // 2**32


def raw_equal(element, ours):
    """Is our text of an element tshark's value of it?"""
    number, v = element.key[1], element.value
    if isinstance(v, bytes):
        return ours == v.hex()
    field = element.leaves[0][0]
    if number in (154, 155, 156, 157, 324, 325) and "time" in field:
        return ntp_ns(ours) == v
    if number in (150, 151, 322) and "time" in field:
        return int(ours) * 10**9 == v
    if number in (152, 153, 323) and "time" in field:
        return int(ours) * 10**6 == v
    if number in (320, 321):
        return v in [form % float(ours) for form in ("%.6f", "%.6g", "%.15g")]
    if number == 276:
        return ours == ("false", "true")[int(v)]
    return ours == str(v)


FLAGS = {"fin": 0, "syn": 1, "rst": 2, "psh": 3, "ack": 4, "urg": 5, "ece": 6, "cwr": 7, "ns": 8}


def flag_agrees(last, shown, v, is_wide):
    """One bit of the TCP flags; the rest of an octet, or of two, stands together."""
    if last in FLAGS:
        return int(shown, 0) == v >> FLAGS[last] & 1
    if last == "zero":
        return int(shown, 0) == v >> 12
    return int(shown, 0) == (v >> 9 & 7 if is_wide else v >> 6)


def leaf_agrees(element, k, v):
    """Does a leaf below an element, a bit of it or its length, say what our value of it says?  None: it says nothing of it."""
    names = dict(element.leaves)
    if k.startswith("cflow.tcpflags."):
        return flag_agrees(k.rsplit(".", 1)[1], v, element.value, "cflow.tcpflags.ns" in names)
    if k == "cflow.string_len_short":
        return v == "255" if "cflow.string_len_long" in names else int(v) == size_of(element.value)
    if k == "cflow.string_len_long":
        return int(v) == size_of(element.value)
    if k.startswith(("_ws.", "cflow.timedelta")):
        return None
    return True  # a part of the value, which its reader put together


def size_of(v):
    if isinstance(v, Filled):
        return v.size
    return len(v.encode() if isinstance(v, str) else v)
