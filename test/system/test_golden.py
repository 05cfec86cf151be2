# SPDX-License-Identifier: Apache-2.0
"""Goal: every field of every flow record reads as tshark reads it, through both decoders.

Method: each capture that has a tshark reading beside it is replayed with raw = "full", by the plan and by
libfixbuf.  Both outputs must be the same; the flows are then paired with tshark's in their order, and every
element that tshark names is compared with raw.elements.
"""
import glob
import json
import os
import re
import subprocess
from datetime import datetime, timezone

import pytest

import conftest
from conftest import BUILD, ROOT

NTP_1970 = 2208988800


def decimal(v):
    return str(int(v, 0))


def mac(v):
    return v


def text(v):
    return v


def octets(v):
    return v.replace(":", "")


def moment(v):
    """tshark's absolute time in nanoseconds since 1970."""
    m = re.match(r"(\w+ +\d+, \d+ \d+:\d+:\d+)\.(\d+) UTC", v)
    whole = datetime.strptime(re.sub(" +", " ", m.group(1)), "%b %d, %Y %H:%M:%S").replace(tzinfo=timezone.utc)
    return int(whole.timestamp()) * 10**9 + int(m.group(2).ljust(9, "0"))


# tshark's field: (IANA elements it may stand for, how its text becomes ours).
FIELDS = {
    "cflow.octets": (["octetDeltaCount"], decimal),
    "cflow.packets": (["packetDeltaCount"], decimal),
    "cflow.flows": (["deltaFlowCount"], decimal),
    "cflow.protocol": (["protocolIdentifier"], decimal),
    "cflow.tos": (["ipClassOfService"], decimal),
    "cflow.srcport": (["sourceTransportPort"], decimal),
    "cflow.srcaddr": (["sourceIPv4Address"], text),
    "cflow.srcmask": (["sourceIPv4PrefixLength"], decimal),
    "cflow.inputint": (["ingressInterface"], decimal),
    "cflow.dstport": (["destinationTransportPort"], decimal),
    "cflow.dstaddr": (["destinationIPv4Address"], text),
    "cflow.dstmask": (["destinationIPv4PrefixLength"], decimal),
    "cflow.outputint": (["egressInterface"], decimal),
    "cflow.nexthop": (["ipNextHopIPv4Address"], text),
    "cflow.srcas": (["bgpSourceAsNumber"], decimal),
    "cflow.dstas": (["bgpDestinationAsNumber"], decimal),
    "cflow.bgpnexthop": (["bgpNextHopIPv4Address"], text),
    "cflow.post_octets": (["postOctetDeltaCount"], decimal),
    "cflow.post_packets": (["postPacketDeltaCount"], decimal),
    "cflow.srcaddrv6": (["sourceIPv6Address"], text),
    "cflow.dstaddrv6": (["destinationIPv6Address"], text),
    "cflow.srcmaskv6": (["sourceIPv6PrefixLength"], decimal),
    "cflow.dstmaskv6": (["destinationIPv6PrefixLength"], decimal),
    "cflow.ipv6flowlabel": (["flowLabelIPv6"], decimal),
    "cflow.sampler_id": (["samplerId"], decimal),
    "cflow.ttl_min": (["minimumTTL"], decimal),
    "cflow.ttl_max": (["maximumTTL"], decimal),
    "cflow.frag_ident": (["fragmentIdentification"], decimal),
    "cflow.srcmac": (["sourceMacAddress"], mac),
    "cflow.post_dstmac": (["postDestinationMacAddress"], mac),
    "cflow.dstmac": (["destinationMacAddress"], mac),
    "cflow.post_srcmac": (["postSourceMacAddress"], mac),
    "cflow.vlanid": (["vlanId"], decimal),
    "cflow.post_vlanid": (["postVlanId"], decimal),
    "cflow.ip_version": (["ipVersion"], decimal),
    "cflow.direction": (["flowDirection"], decimal),
    "cflow.nexthopv6": (["ipNextHopIPv6Address"], text),
    "cflow.bgpnexthopv6": (["bgpNextHopIPv6Address"], text),
    "cflow.permanent_octets": (["octetTotalCount"], decimal),
    "cflow.permanent_packets": (["packetTotalCount"], decimal),
    "cflow.fragment_offset": (["fragmentOffset"], decimal),
    "cflow.peer_srcas": (["bgpPrevAdjacentAsNumber"], decimal),
    "cflow.peer_dstas": (["bgpNextAdjacentAsNumber"], decimal),
    "cflow.drop_octets": (["droppedOctetDeltaCount"], decimal),
    "cflow.drop_packets": (["droppedPacketDeltaCount"], decimal),
    "cflow.flow_end_reason": (["flowEndReason"], decimal),
    "cflow.observation_point_id": (["observationPointId"], decimal),
    "cflow.icmp_ipv4_type": (["icmpTypeIPv4"], decimal),
    "cflow.icmp_ipv4_code": (["icmpCodeIPv4"], decimal),
    "cflow.icmp_ipv6_type": (["icmpTypeIPv6"], decimal),
    "cflow.icmp_ipv6_code": (["icmpCodeIPv6"], decimal),
    "cflow.icmp_type_code_ipv4": (["icmpTypeCodeIPv4"], decimal),
    "cflow.ip_dscp": (["ipDiffServCodePoint"], decimal),
    "cflow.post_natsource_ipv4_address": (["postNATSourceIPv4Address"], text),
    "cflow.post_natdestination_ipv4_address": (["postNATDestinationIPv4Address"], text),
    "cflow.post_naptsource_transport_port": (["postNAPTSourceTransportPort"], decimal),
    "cflow.post_naptdestination_transport_port": (["postNAPTDestinationTransportPort"], decimal),
    "cflow.nat_event": (["natEvent"], decimal),
    "cflow.firewall_event": (["firewallEvent"], decimal),
    "cflow.ingress_vrfid": (["ingressVRFID"], decimal),
    "cflow.egress_vrfid": (["egressVRFID"], decimal),
    "cflow.biflow_direction": (["biflowDirection"], decimal),
    "cflow.dot1q_vlan_id": (["dot1qVlanId"], decimal),
    "cflow.ethernet_type": (["ethernetType"], decimal),
    "cflow.ingress_physical_interface": (["ingressPhysicalInterface"], decimal),
    "cflow.egress_physical_interface": (["egressPhysicalInterface"], decimal),
    "cflow.tcp_seq_num": (["tcpSequenceNumber"], decimal),
    "cflow.toplabeladdr": (["mplsTopLabelIPv4Address"], text),
    "cflow.port_range_start": (["portRangeStart"], decimal),
    "cflow.port_range_end": (["portRangeEnd"], decimal),
    "cflow.flow_id": (["flowId"], decimal),
    "cflow.length_min": (["minimumIpTotalLength"], decimal),
    "cflow.length_max": (["maximumIpTotalLength"], decimal),
    "cflow.user_name": (["userName"], text),
    "cflow.appl_name": (["applicationName"], text),
    "cflow.appl_desc": (["applicationDescription"], text),
    "cflow.if_name": (["interfaceName"], text),
    "cflow.post_nat_source_ipv6_address": (["postNATSourceIPv6Address"], text),
    "cflow.post_nat_destination_ipv6_address": (["postNATDestinationIPv6Address"], text),
    "cflow.pie.ntop.l7_proto": (["ntop.L7_PROTO"], decimal),
    "cflow.pie.ntop.l7_proto_name": (["ntop.L7_PROTO_NAME"], text),
    "cflow.pie.ntop.dns_query": (["ntop.DNS_QUERY"], text),
    "cflow.pie.ntop.http_host": (["ntop.HTTP_HOST"], text),
    "cflow.pie.ntop.client_nw_latency_ms": (["ntop.CLIENT_NW_LATENCY_MS"], decimal),
    "cflow.pie.server_nw_latency_ms": (["ntop.SERVER_NW_LATENCY_MS"], decimal),
    "cflow.pie.ntop.retransmitted_in_pkts": (["ntop.RETRANSMITTED_IN_PKTS"], decimal),
    "cflow.pie.ntop.retransmitted_out_pkts": (["ntop.RETRANSMITTED_OUT_PKTS"], decimal),
    "cflow.tcpflags": (["tcpControlBits"], decimal),
}

CAPTURES = sorted(p for d in (os.path.join(ROOT, "test/corpus"), os.path.join(ROOT, "../shared/corpus"))
                  for p in glob.glob(os.path.join(d, "*.pcap"))
                  if os.path.exists(p[:-5] + ".tshark.json") and "sflow" not in p)


def replay(path, decoder, raw="full"):
    done = subprocess.run([os.path.join(BUILD, "sluiced"), "-o", 'sinks=({ name = "out"; type = "stdout"; })',
                           "-o", f"collector.decoder={decoder}", "-o", f"normalizer.raw={raw}", "-o", "state=/tmp/sluice-golden-state",
                           "-o", "normalizer.enrich=()", "-o", "collector.selfcheck=1", "--replay", path],
                          capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    flows, ledger = done.stdout.splitlines(), done.stderr.splitlines()
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert ledger and ledger[-1] == "balanced", ledger
    return flows


def pairs(pairs_of_object):
    """tshark repeats keys in one object: all of them, as a list."""
    return pairs_of_object


def tshark_flows(path):
    """Data records in order, as lists of (field, text); options data left out."""
    with open(path[:-5] + ".tshark.json", encoding="utf-8") as f:
        frames = json.loads(f.read(), object_pairs_hook=pairs)
    flows = []

    def get(o, key):
        return next((v for k, v in o if k == key), None)

    options = set()  # ids of options templates, as they are defined

    def walk(o, is_options):
        for k, v in o:
            if not isinstance(v, list) or (v and not isinstance(v[0], tuple)):
                continue
            defined = re.match(r"Options Template \(Id = (\d+)\)", k)
            data = re.match(r"(?:Flow)?Set \d+ \[id=(\d+)\]", k)
            if defined:
                options.add(defined.group(1))
            if re.match(r"(Flow|Pdu|pdu) \d+", k):
                if not is_options:
                    flows.append(leaves(v))
            else:
                walk(v, is_options or bool(data and data.group(1) in options))

    def leaves(o):
        out = []
        for k, v in o:
            if isinstance(v, str):
                out.append((k, v))
            elif isinstance(v, list) and v and isinstance(v[0], tuple):
                out += leaves(v)
        return out

    for frame in frames:
        layers = get(get(frame, "_source"), "layers") if get(frame, "_source") else frame
        for k, v in layers or []:
            if k == "cflow":
                walk(v, False)
    return flows


def compare_flow(theirs, ours, where):
    elements = ours["raw"]["elements"]
    used, compared = {}, 0
    for field, value in theirs:
        if field not in FIELDS or value == "":
            continue
        names, convert = FIELDS[field]
        for name in names:
            n = used.get(name, 0) + 1
            key = name if n == 1 else f"{name}#{n}"
            if key not in elements:
                # tshark shows both directions of a biflow under one name.
                reverse = "reverse" + name[0].upper() + name[1:]
                key = reverse if reverse in elements else key
            if key not in elements:
                continue
            used[name] = n
            want = convert(value)
            assert elements[key] == want, f"{where}: {field} {value} is {key} {elements[key]}"
            compared += 1
    return compared


@pytest.mark.parametrize("path", CAPTURES, ids=lambda p: os.path.basename(p)[:-5])
def test_capture(path):
    by_plan, by_fixbuf = replay(path, "plan"), replay(path, "fixbuf")
    assert by_plan == by_fixbuf
    ours = [json.loads(line) for line in by_plan]
    theirs = tshark_flows(path)
    compared = 0
    if len(theirs) == len(ours):
        for i, (a, b) in enumerate(zip(theirs, ours)):
            compared += compare_flow(a, b, f"flow {i}")
    conftest.GOLDEN["captures"] += 1
    conftest.GOLDEN["flows"] += len(ours)
    conftest.GOLDEN["fields"] += compared
    print(f"golden {os.path.basename(path)}: {len(ours)} flows, tshark {len(theirs)}, {compared} fields equal")
    assert len(theirs) == len(ours)


@pytest.mark.parametrize("path", CAPTURES, ids=lambda p: os.path.basename(p)[:-5])
def test_wire(path):
    """Each record's octets stand in the datagrams as tshark cuts them, one behind the other."""
    done = subprocess.run(["tshark", "-r", path, "-T", "fields", "-e", "udp.payload"], capture_output=True, text=True, check=True)
    octets = done.stdout.replace("\n", "|").replace(":", "")
    at = 0
    flows = [json.loads(line) for line in replay(path, "plan", "wire")]
    for i, f in enumerate(flows):
        wire = f["raw"]["wire"]
        found = octets.find(wire, at)
        assert wire and found >= 0, f"the octets of flow {i} are not behind those of the one before"
        at = found + len(wire)
    assert len(flows) == len(replay(path, "plan"))
