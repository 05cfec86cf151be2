# SPDX-License-Identifier: Apache-2.0
"""Sampled packets read once more, in another language: all that an event must say of them, and nothing else.

told_by_frame() reads an Ethernet frame's headers, told_by_samples() the flow samples of an sFlow datagram; both give
(fields of normalized, elements of raw).  What they do not know is an error, so that a capture with more needs more here.
"""
import ipaddress
import struct

TCP, UDP, ICMP, ICMP6, FRAGMENT6 = 6, 17, 1, 58, 44
PROTOCOLS = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMP6: "ipv6-icmp"}
UNKNOWN_INTERFACE = 0x3FFFFFFF
NO_EVENT = {"event_type": "network_connection", "event_class": "network"}


def mac(octets):
    return octets.hex(":")


def transport(protocol, octets, fields, elements):
    if protocol in (TCP, UDP):
        source, destination = struct.unpack_from(">HH", octets)
        fields.update(src_port=source, dst_port=destination)
        elements.update(sourceTransportPort=source, destinationTransportPort=destination)
    if protocol == TCP:
        flags = struct.unpack_from(">H", octets, 12)[0] & 0xFFF
        fields.update(tcp_flags=flags, tcp_flags_forward=flags)
        elements.update(tcpControlBits=flags, tcpSequenceNumber=struct.unpack_from(">I", octets, 4)[0])
    if protocol in (ICMP, ICMP6):
        fields.update(icmp_type=octets[0], icmp_code=octets[1])
        version = 4 if protocol == ICMP else 6
        elements.update({f"icmpTypeIPv{version}": octets[0], f"icmpCodeIPv{version}": octets[1]})


def fragment(number, flags, offset, fields, elements):
    fields.update(ip_fragment_id=number, ip_fragment_offset=offset)
    elements.update(fragmentIdentification=number, fragmentFlags=flags, fragmentOffset=offset)


def network(d, fields, elements):
    """The packet's protocol, and its payload if that begins with a header."""
    version, offset = d[0] >> 4, 0
    if version == 4:
        protocol, tos, ttl, at = d[9], d[1], d[8], (d[0] & 15) * 4
        source, destination = ipaddress.ip_address(d[12:16]), ipaddress.ip_address(d[16:20])
        length, number, word = struct.unpack_from(">HHH", d, 2)
        offset = word & 0x1FFF
        fragment(number, word >> 13 << 5, offset, fields, elements)
    else:
        first, length, protocol, ttl = struct.unpack_from(">IHBB", d)
        length, tos, at = length + 40, first >> 20 & 255, 40
        source, destination = ipaddress.ip_address(d[8:24]), ipaddress.ip_address(d[24:40])
        fields["ipv6_flow_label"] = elements["flowLabelIPv6"] = first & 0xFFFFF
        if protocol == FRAGMENT6:
            protocol, _, word, number = struct.unpack_from(">BBHI", d, 40)
            offset, at = word >> 3, 48
            fragment(number, (word & 1) << 5, offset, fields, elements)
    fields.update(ip_version=version, src_ip=str(source), dst_ip=str(destination), protocol_number=protocol, protocol=PROTOCOLS[protocol],
                  ip_tos=tos, ip_ttl_min=ttl, ip_ttl_max=ttl)
    elements.update({"ipVersion": version, f"sourceIPv{version}Address": source, f"destinationIPv{version}Address": destination,
                     "protocolIdentifier": protocol, "ipClassOfService": tos, "ipTTL": ttl, "ipTotalLength": length})
    return protocol, d[at:] if offset == 0 else None


def told_by_frame(octets):
    fields, elements = {"src_mac": mac(octets[6:12]), "dst_mac": mac(octets[:6]), **NO_EVENT}, {}
    kind, at = struct.unpack_from(">H", octets, 12)[0], 14
    if kind == 0x8100:
        word, kind = struct.unpack_from(">HH", octets, 14)
        at, fields["src_vlan"] = 18, word & 0xFFF
        elements.update(dot1qVlanId=word & 0xFFF, dot1qPriority=word >> 13)
    assert kind in (0x0800, 0x86DD)
    elements.update(sourceMacAddress=fields["src_mac"], destinationMacAddress=fields["dst_mac"], ethernetType=kind)
    protocol, payload = network(octets[at:], fields, elements)
    if payload is not None:
        transport(protocol, payload, fields, elements)
    return fields, {name: str(value) for name, value in elements.items()}


def raw_header(record, fields, elements):
    kind, frame, stripped, count = struct.unpack_from(">4I", record)
    header = record[16:16 + count]
    assert kind == 1 and len(record) == 16 + (count + 3) // 4 * 4 and len(header) == count
    said, named = told_by_frame(header)
    for name, value in said.items():
        fields.setdefault(name, value)
    fields["bytes"] = frame - stripped
    elements.update(named, layer2OctetDeltaCount=frame - stripped)
    elements.update({"sflow.headerProtocol": kind, "sflow.frameLength": frame, "sflow.strippedOctets": stripped, "sflow.header": header.hex()})


def extended_switch(record, fields, elements):
    vlan_in, priority_in, vlan_out, priority_out = struct.unpack(">4I", record)
    # VLAN 0 is none.
    fields.update({name: vlan for name, vlan in (("src_vlan", vlan_in), ("dst_vlan", vlan_out)) if vlan})
    elements.update({"vlanId": vlan_in, "postVlanId": vlan_out, "sflow.inputPriority": priority_in, "sflow.outputPriority": priority_out})


RECORDS = {1: raw_header, 1001: extended_switch}


def interface(side, number, fields, elements):
    field, element = {"input": ("in_interface", "ingressInterface"), "output": ("out_interface", "egressInterface")}[side]
    if number == UNKNOWN_INTERFACE:
        elements.update({f"sflow.{side}Format": 0, f"sflow.{side}Value": number})
    else:
        assert number < 1 << 30
        fields[field] = elements[element] = number


def told_by_sample(sample):
    number, source, rate, pool, drops, from_port, to_port, count = struct.unpack_from(">8I", sample)
    fields = {"packets": 1, "sampling_rate": rate}
    elements = {"packetDeltaCount": 1, "samplingInterval": rate, "sflow.sampleSequence": number, "sflow.sourceClass": source >> 24,
                "sflow.sourceIndex": source & 0xFFFFFF, "sflow.samplePool": pool, "sflow.sampleDrops": drops}
    interface("input", from_port, fields, elements)
    interface("output", to_port, fields, elements)
    at, records = 32, []
    for _ in range(count):
        kind, length = struct.unpack_from(">II", sample, at)
        records.append((kind, sample[at + 8:at + 8 + length]))
        at += 8 + length
    assert at == len(sample)
    # What the switch says of VLANs goes before what the header says.
    for kind, record in sorted(records, reverse=True):
        RECORDS[kind](record, fields, elements)
    return fields, {name: str(value) for name, value in elements.items()}


def told_by_samples(datagram):
    """Of each flow sample; those of counters are passed over."""
    version, address_kind, agent, sub_agent, sequence, _, count = struct.unpack_from(">II4s4I", datagram)
    assert (version, address_kind) == (5, 1)
    agent, at = str(ipaddress.ip_address(agent)), 28
    for _ in range(count):
        kind, length = struct.unpack_from(">II", datagram, at)
        at += 8 + length
        assert kind in (1, 2), kind
        if kind == 1:
            fields, elements = told_by_sample(datagram[at - length:at])
            fields.update(source="sflow5", exporter_reported_ip=agent, observation_domain_id=sub_agent, export_sequence=sequence)
            yield fields, {**elements, "exporterIPv4Address": agent}
    assert at == len(datagram)
