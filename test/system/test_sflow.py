# SPDX-License-Identifier: Apache-2.0
"""Goal: every flow sample of sFlow reads as tshark reads it, and as its exporter meant it.

Method: captures are replayed with raw = "full". What tshark says of each sample, in order, must be what stands in its event, leaf
by leaf; and what a reader in another language (second_reader.py) says of it must be all that stands there. A capture without flow
samples shows that its counter samples are counted. Of traffic that is known, each packet is held against its sample.
"""
import collections
import glob
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys

import pytest

import traffic
from conftest import BUILD, ROOT, Sluiced, files_sink, folder, prove, read_flows, sluicegen, start, wait_for  # noqa: F401
from second_reader import told_by_samples
from test_exporters import check_packet, run_service

sys.path.insert(0, os.path.join(ROOT, "test", "gen"))

import expect  # noqa: E402

CORPUS = os.path.join(ROOT, "test/corpus")
TELEGRAF = os.path.join(ROOT, "../shared/corpus/telegraf__sflow_v5_example.pcap")
CAPTURES = ("pmacctd_sflow", "openvswitch_sflow")
# What the traffic of a capture has not.
NOT_THERE = {"pmacctd_sflow": {"vlan.id"}, "openvswitch_sflow": set()}
PAYLOAD = 14 + 20 + 8  # of a datagram in a capture
FCS = 4

# tshark's leaf, how it is read, and what holds it: a field, an element of raw, or both.
PLAIN, HEX, TEXT = int, lambda text: int(text, 16), str
LEAVES = [
    ("sflow.flow_sample.sequence_number", PLAIN, None, "sflow.sampleSequence"),
    ("sflow.flow_sample.source_id_class", PLAIN, None, "sflow.sourceClass"),
    ("sflow.flow_sample.index", PLAIN, None, "sflow.sourceIndex"),
    ("sflow.flow_sample.sampling_rate", PLAIN, "sampling_rate", "samplingInterval"),
    ("sflow.flow_sample.sample_pool", PLAIN, None, "sflow.samplePool"),
    ("sflow.flow_sample.dropped_packets", PLAIN, None, "sflow.sampleDrops"),
    ("sflow_245.header_protocol", PLAIN, None, "sflow.headerProtocol"),
    ("sflow_245.header.frame_length", PLAIN, None, "sflow.frameLength"),
    ("sflow_245.header.payload_stripped", PLAIN, None, "sflow.strippedOctets"),
    ("sflow_245.vlan.in", PLAIN, None, "vlanId"), ("vlan.id", PLAIN, "src_vlan", "dot1qVlanId"),
    ("sflow_245.vlan.out", PLAIN, None, "postVlanId"),
    ("sflow_245.pri.in", PLAIN, None, "sflow.inputPriority"),
    ("sflow_245.pri.out", PLAIN, None, "sflow.outputPriority"),
    ("eth.src", TEXT, "src_mac", "sourceMacAddress"), ("eth.dst", TEXT, "dst_mac", "destinationMacAddress"),
    ("ip.version", PLAIN, "ip_version", "ipVersion"), ("ipv6.version", PLAIN, "ip_version", "ipVersion"),
    ("ip.src", TEXT, "src_ip", "sourceIPv4Address"), ("ip.dst", TEXT, "dst_ip", "destinationIPv4Address"),
    ("ipv6.src", TEXT, "src_ip", "sourceIPv6Address"), ("ipv6.dst", TEXT, "dst_ip", "destinationIPv6Address"),
    ("ip.proto", PLAIN, "protocol_number", "protocolIdentifier"),
    ("ip.dsfield", HEX, "ip_tos", "ipClassOfService"), ("ipv6.tclass", HEX, "ip_tos", "ipClassOfService"),
    ("ip.ttl", PLAIN, "ip_ttl_min", "ipTTL"), ("ipv6.hlim", PLAIN, "ip_ttl_min", "ipTTL"),
    ("ip.len", PLAIN, None, "ipTotalLength"), ("ip.id", HEX, "ip_fragment_id", "fragmentIdentification"),
    ("ip.frag_offset", PLAIN, "ip_fragment_offset", "fragmentOffset"), ("ipv6.flow", HEX, "ipv6_flow_label", "flowLabelIPv6"),
    ("tcp.srcport", PLAIN, "src_port", "sourceTransportPort"), ("tcp.dstport", PLAIN, "dst_port", "destinationTransportPort"),
    ("udp.srcport", PLAIN, "src_port", "sourceTransportPort"), ("udp.dstport", PLAIN, "dst_port", "destinationTransportPort"),
    ("tcp.flags", HEX, "tcp_flags", "tcpControlBits"), ("tcp.seq_raw", PLAIN, None, "tcpSequenceNumber"),
    ("icmp.type", PLAIN, "icmp_type", "icmpTypeIPv4"), ("icmp.code", PLAIN, "icmp_code", "icmpCodeIPv4"),
    ("icmpv6.type", PLAIN, "icmp_type", "icmpTypeIPv6"), ("icmpv6.code", PLAIN, "icmp_code", "icmpCodeIPv6"),
]


def replay(path):
    done = subprocess.run([os.path.join(BUILD, "sluiced"), "-o", 'sinks=({ name = "out"; type = "stdout"; })', "-o", "normalizer.raw=full",
                           "-o", "state=/tmp/sluice-sflow-state", "-o", "normalizer.enrich=()", "--replay", path],
                          capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stderr.splitlines()[-1] == "balanced"
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def agrees(theirs, name, kind, field, element, ours):
    """Whether our field and our element say what tshark's leaf does."""
    want = kind(theirs[name])
    if name == "ip.frag_offset" and want % 8 == 0:
        want //= 8  # tshark says octets, the header and IPFIX say units of 8
    text, said = ours["raw"]["elements"].get(element), ours["normalized"].get(field)
    return text == str(want) and (field is None or said == want)


@pytest.mark.parametrize("name", CAPTURES)
def test_as_tshark_reads(name):
    path = os.path.join(CORPUS, name + ".pcap")
    flows, _ = replay(path)
    with open(path[:-5] + ".tshark.json", encoding="ascii") as f:
        samples = json.load(f)
    assert len(flows) == len(samples) > 100
    seen, wrong = collections.Counter(), []
    for number, (theirs, ours) in enumerate(zip(samples, flows)):
        for leaf, kind, field, element in LEAVES:
            if leaf not in theirs:
                continue
            seen[leaf] += 1
            # The switch's own VLAN goes before the header's.
            if not agrees(theirs, leaf, kind, field if leaf != "vlan.id" else None, element, ours):
                wrong.append((number, leaf, theirs[leaf], ours["raw"]["elements"].get(element), ours["normalized"].get(field)))
        n, raw = ours["normalized"], ours["raw"]["elements"]
        assert n["bytes"] == int(theirs["sflow_245.header.frame_length"]) - int(theirs["sflow_245.header.payload_stripped"])
        assert bytes.fromhex(theirs["sflow_245.header"].replace(":", "")).startswith(bytes.fromhex(raw["sflow.header"]))
    assert not wrong, f"{len(wrong)} differences, the first: {wrong[:10]}"
    missing = {leaf for leaf, *_ in LEAVES} - seen.keys() - NOT_THERE[name]
    assert not missing, f"nothing in the capture proves {sorted(missing)}"


@pytest.mark.parametrize("name", CAPTURES)
def test_as_second_reader_reads(name):
    """Every field and element of every sample, and none that the reader does not name."""
    path = os.path.join(CORPUS, name + ".pcap")
    flows, _ = replay(path)
    said = [(time_us // 1000, *told) for time_us, frame in traffic.read_pcap(path) for told in told_by_samples(frame[PAYLOAD:])]
    assert len(flows) == len(said) > 100
    proven = set()
    for number, (flow, (received_ms, fields, elements)) in enumerate(zip(flows, said)):
        fields.update(dict.fromkeys(("flow_start_time", "flow_end_time", "event_time", "ingest_time"), received_ms))
        fields.update(exporter_ip="192.0.2.1", exporter_port=50000)
        assert {k: v for k, v in flow["normalized"].items() if v is not None} == fields, number
        assert flow["raw"]["elements"] == elements and flow["raw"]["protocol_version"] == 105, number
        proven |= fields.keys()
    prove(proven, name)


def test_every_capture():
    """None in either corpus is passed over."""
    found = {os.path.basename(p)[:-5] for d in (CORPUS, os.path.dirname(TELEGRAF)) for p in glob.glob(os.path.join(d, "*sflow*.pcap"))}
    assert found - {os.path.basename(TELEGRAF)[:-5]} == set(CAPTURES)


def test_counter_samples():
    if not os.path.exists(TELEGRAF):
        pytest.skip("no such capture here")
    flows, ledger = replay(TELEGRAF)
    assert flows == [] and "records 1 = flows 0 + counter_samples 1" in ledger


def test_pmacctd(folder):  # noqa: F811
    """Each packet of the traffic is a sample, with what it was: frame for frame, in their order."""
    if shutil.which("pmacctd", path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
        pytest.skip("pmacctd is not installed")
    path = os.path.join(folder, "own.pcap")
    frames = traffic.make()
    traffic.write_pcap(path, frames)

    def export(port):
        conf = os.path.join(folder, "pmacctd.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write("\n".join(["daemonize: false", f"pcap_savefile: {path}", "plugins: sfprobe[p]", f"sfprobe_receiver[p]: 127.0.0.1:{port}",
                               "sfprobe_agentip: 10.9.0.1", "plugin_buffer_size: 1024000", "plugin_pipe_size: 102400000"]) + "\n")
        subprocess.run(["pmacctd", "-f", conf], capture_output=True, timeout=40, check=False,
                       env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin"))
    flows, _ = run_service(folder, export, missed_none=True)
    flows.sort(key=lambda f: int(f["raw"]["elements"]["sflow.sampleSequence"]))
    packets = [p for p in (traffic.read_frame(t, f) for t, f in traffic.read_pcap(path)) if p is not None]
    assert len(flows) == len(packets)
    assert sum(f["normalized"]["bytes"] for f in flows) == sum(p.frame_octets for p in packets)
    for number, (f, p) in enumerate(zip(flows, packets)):
        n = f["normalized"]
        check_packet(f, p, number)
        assert (n["bytes"], int(f["raw"]["elements"]["sflow.frameLength"])) == (p.frame_octets, p.frame_octets + FCS), number
        assert (n["exporter_reported_ip"], n["sampling_rate"]) == ("10.9.0.1", 1), number


# --- sluicegen's samples ----------------------------------------------------------------

EXPORTERS, SAMPLES, TIME = 3, 12000, 1790029800


def expected(run):
    return expect.Run(run["protocol"], run["template"], run["flows"], run["exporters"], run["seed"], run["time"], run["base"], run["first"],
                      run["spread"], run["domain"])


def test_sluicegen(folder, start):  # noqa: F811
    """Every sample of six sub-agents and 24 sources, with all that it said; what samplers dropped is counted, and nothing missed."""
    s = start(Sluiced, files_sink(folder, codec="deflate"), ["normalizer.raw=full"])
    run = sluicegen("-P", "sflow", "-n", SAMPLES, "-e", EXPORTERS, "-r", 20000, "-d", f"127.0.0.1:{s.port}")
    assert wait_for(lambda: s.counter("flows") == SAMPLES), s.counter("flows")
    s.drain()
    s.ledger()
    assert (s.counter("sflow_samples_missed"), s.counter("sequence_missed")) == (0, 0)
    # Of each lane's places 0 to the last one, the fiftieth each brings a drop.
    per_agent, lanes = SAMPLES // EXPORTERS, 4
    places = [sum(j // 64 % 2 == sub and j % lanes == lane for j in range(per_agent)) for sub in range(2) for lane in range(lanes)]
    assert s.counter("sflow_samples_dropped") == EXPORTERS * sum((count - 1) // 50 for count in places) > 0
    s.stop()
    flows, want = read_flows(folder), expected(run)
    assert len(flows) == run["flows"] == run["packets"] == SAMPLES
    said = [f["normalized"] for f in flows]
    assert sum(n["packets"] for n in said) == run["packets"]
    assert sum(n["bytes"] for n in said) == run["sampled_octets"]
    assert sum(n["packets"] * n["sampling_rate"] for n in said) == run["scaled_packets"]
    assert sum(n["bytes"] * n["sampling_rate"] for n in said) == run["scaled_octets"]
    numbers = set()
    for n, f in zip(said, flows):
        elements = f["raw"]["elements"]
        number = want.sample_number(n, elements)
        e = want.expect(number)
        numbers.add(number)
        assert {k: n[k] for k in e.normalized} == e.normalized, number
        assert {k: elements.get(k) for k in e.elements} == e.elements, number
    assert numbers == set(range(SAMPLES))


def test_sluicegen_as_tshark_reads(folder):  # noqa: F811
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    path = os.path.join(folder, "s.pcap")
    run = sluicegen("-P", "sflow", "-n", 3000, "-e", EXPORTERS, "-w", path, "--time", TIME)
    leaves = ["sflow.flow_sample.sequence_number", "sflow.flow_sample.sampling_rate", "sflow_245.header.frame_length", "eth.src"]
    done = subprocess.run(["tshark", "-r", path, "-Y", "sflow", "-T", "fields", "-E", "occurrence=a", *(w for leaf in leaves for w in ("-e", leaf))],
                          capture_output=True, text=True, timeout=120, check=True)
    rows = [[column.split(",") for column in line.split("\t")] for line in done.stdout.splitlines()]
    assert len(rows) == run["messages"]
    sequences, rates, frames, macs = ([v for row in rows for v in row[i]] for i in range(4))
    rates, frames = [int(v) for v in rates], [int(v) - FCS for v in frames]
    assert len(sequences) == len(rates) == len(frames) == run["flows"]
    assert len(macs) == run["flows"] + run["messages"]  # and the capture's own frames
    assert (sum(rates), sum(frames)) == (run["scaled_packets"], run["sampled_octets"])
    assert sum(r * f for r, f in zip(rates, frames)) == run["scaled_octets"]
    done = subprocess.run(["tshark", "-r", path, "-Y", "_ws.malformed || _ws.short || _ws.unreassembled"], capture_output=True, text=True,
                          timeout=120, check=True)
    assert done.stdout == ""
    flows, _ = replay(path)
    assert len(flows) == run["flows"]


# --- the mapping ------------------------------------------------------------------------

MACS = bytes.fromhex("02005e00000102005e000002")
AGENT6 = bytes.fromhex("20010db8000000000000000000000007")


def udp(src_port, dst_port, payload):
    return struct.pack(">HHHH", src_port, dst_port, 8 + len(payload), 0) + payload


def ip4(payload, src=b"\x0a\0\0\1", dst=b"\xc0\0\2\1"):
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, 17, 0) + src + dst + payload


def ip6(payload):
    return struct.pack(">IHBB", 6 << 28, len(payload), 17, 64) + bytes(15) + b"\7" + bytes(15) + b"\x08" + payload


INNER4, INNER6 = ip4(udp(5000, 53, bytes(4)), b"\xac\x10\5\x09", b"\xcb\0\x71\x50"), ip6(udp(5001, 443, bytes(4)))
VXLAN = ip4(udp(50000, 4789, struct.pack(">II", 8 << 24, 77 << 8) + MACS + b"\x08\0" + INNER4))
GENEVE = ip4(udp(50000, 6081, struct.pack(">HHI", 0, 0x6558, 78 << 8) + MACS + b"\x86\xdd" + INNER6))
INSIDE4 = {"inner_src_ip": "172.16.5.9", "inner_dst_ip": "203.0.113.80", "inner_protocol": 17, "inner_src_port": 5000,
           "inner_dst_port": 53}
INSIDE6 = {"inner_src_ip": "::7", "inner_dst_ip": "::8", "inner_protocol": 17, "inner_src_port": 5001, "inner_dst_port": 443}


def opaque(octets):
    return struct.pack(">I", len(octets)) + octets + bytes(-len(octets) % 4)


def header(packet, protocol=1):
    return 1, struct.pack(">III", protocol, len(packet), 0) + opaque(packet)


TAGGED = header(MACS + b"\x81\0\0\x14\x08\0" + INNER4)
# Flow records, output, and what the fields say; elements of the mapping that it proves.
SAID = [
    ([TAGGED], 2, {"src_vlan": 20, "dst_vlan": None}, ["dot1qVlanId"]),
    ([TAGGED, (1001, struct.pack(">4I", 10, 0, 30, 0))], 2, {"src_vlan": 10, "dst_vlan": 30}, ["vlanId", "postVlanId"]),
    ([TAGGED, (1001, bytes(16))], 2, {"src_vlan": 20, "dst_vlan": None}, []),
    ([], 0x40000102, {"action_reason": "258", "action": "drop", "out_interface": None}, ["sflow.discardReason"]),
    ([], 0, {"action_reason": None, "action": None, "out_interface": 0}, []),
    ([header(MACS + b"\x08\0" + VXLAN)], 2, {"tunnel_id": 77, "src_ip": "10.0.0.1", **INSIDE4},
     ["layer2SegmentId", "sflow.innerSourceIPv4Address", "sflow.innerDestinationIPv4Address", "sflow.innerProtocolIdentifier",
      "sflow.innerSourceTransportPort", "sflow.innerDestinationTransportPort"]),
    ([header(GENEVE, 11)], 2, {"tunnel_id": 78, "src_ip": "10.0.0.1", **INSIDE6},
     ["sflow.geneveId", "sflow.innerSourceIPv6Address", "sflow.innerDestinationIPv6Address"]),
    ([(1030, struct.pack(">I", 79))], 2, {"tunnel_id": 79}, ["sflow.vniIngress"]),
    ([(1029, struct.pack(">I", 80))], 2, {"tunnel_id": 80}, ["sflow.vniEgress"]),
    ([(1029, struct.pack(">I", 80)), (1030, struct.pack(">I", 79))], 2, {"tunnel_id": 79}, []),
    ([(1037, struct.pack(">I", 101) + opaque(b"web-in") + struct.pack(">I", 1))], 2, {"action_acl": "web-in"}, ["sflow.aclName"]),
    ([(1003, struct.pack(">I", 2) + AGENT6 + struct.pack(">7I", 64496, 64497, 64498, 1, 2, 2, 64512) + struct.pack(">IIII", 64513, 1, 65000 << 16 | 123, 100))], 2,
     {"bgp_next_hop": "2001:db8::7", "src_as_number": 64497, "src_prev_as": 64498, "dst_next_as": 64512, "dst_as_number": 64513,
      "sflow.dstAsPath": '[{"type":"sequence","as":["64512","64513"]}]', "sflow.communities": '["65000:123"]', "sflow.localPreference": "100"}, []),
    ([(1004, struct.pack(">I", 106) + opaque(b"alice") + struct.pack(">I", 106) + opaque(b""))], 2, {"user_name": "alice"}, []),
    ([(1005, struct.pack(">I", 1) + opaque(b"/a") + opaque(b"a.example"))], 2,
     {"http_url": "/a", "http_host": "a.example", "event_type": "http"}, []),
    ([(1006, struct.pack(">4s4sIII", b"\0\0\0\1", b"\x0a\0\0\xfe", 1, 100 << 12 | 1 << 8 | 64, 0))], 2, {"mpls_labels": [100]}, []),
    ([(1007, struct.pack(">I4sI4s", 1, b"\xc6\x33\x64\7", 1, b"\xcb\0\x71\x50")), (1020, struct.pack(">II", 40017, 443))], 2,
     {"nat_src_ip": "198.51.100.7", "nat_dst_ip": "203.0.113.80", "nat_src_port": 40017, "nat_dst_port": 443}, []),
    ([(2209, struct.pack(">12I", 1, 1460, 1448, 2, 1, 3, 1500, 19840, 4000, 10, 3, 10000))], 2,
     {"tcp_rtt_us": 19840, "sflow.tcpRetransmitted": "3"}, ["sflow.tcpRoundTripTime"]),
    ([(2209, bytes(48))], 2, {"tcp_rtt_us": None, "sflow.tcpRoundTripTime": "0"}, []),
    ([(2100, struct.pack(">I4s4sII", 6, b"\x0a\0\0\1", b"\xc0\0\2\1", 443, 40000))], 2,
     {"src_ip": "192.0.2.1", "dst_ip": "10.0.0.1", "src_port": 40000, "dst_port": 443, "protocol": "tcp", "protocol_number": 6,
      "sflow.socketLocalIPv4Address": "10.0.0.1", "sflow.socketRemoteTransportPort": "40000"}, []),
    ([(2101, struct.pack(">I", 17) + AGENT6 + AGENT6[:15] + b"\x09" + struct.pack(">II", 53, 40001))], 2,
     {"src_ip": "2001:db8::9", "dst_ip": "2001:db8::7", "src_port": 40001, "dst_port": 53, "protocol": "udp"}, []),
    ([TAGGED, (1024, struct.pack(">II4s4s4I", 0, 17, b"\x0a\0\0\1", b"\x0a\0\0\2", 50000, 4789, 0, 0)), (1030, struct.pack(">I", 79))], 2,
     {"src_ip": "172.16.5.9", "dst_port": 53, "tunnel_id": 79, "sflow.tunnelIngressSourceIPv4Address": "10.0.0.1",
      "sflow.tunnelIngressDestinationTransportPort": "4789"}, []),
    ([(1014, opaque(b"home") + b"\x02\0\x5e\0\0\xaa\0\0" + struct.pack(">IIQIII", 4, 36, 300000000, 32, 64, 120))], 2,
     {"sflow.wlanBssid": "02:00:5e:00:00:aa", "sflow.wlanSpeed": "300000000", "src_mac": None}, []),
    ([(0xABC001, b"1234")], 2, {"exporter_reported_ip": "2001:db8::7", "packets": 1, "bytes": None}, []),
]


def datagram(number, records, out):
    said = b"".join(struct.pack(">II", kind, len(body)) + body for kind, body in records)
    sample = struct.pack(">8I", number, 3, 100, 100 * number, 0, 1, out, len(records)) + said
    return struct.pack(">II", 5, 2) + AGENT6 + struct.pack(">6I", 9, number, 1000 * number, 1, 1, len(sample)) + sample


def test_fields(folder):  # noqa: F811
    """What each record of a sample becomes, and every line of sflow5.conf."""
    def export(port):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for number, (records, out, *_) in enumerate(SAID):
                s.sendto(datagram(number, records, out), ("127.0.0.1", port))
    flows, _ = run_service(folder, export)
    flows.sort(key=lambda f: f["normalized"]["export_sequence"])
    assert len(flows) == len(SAID)
    for number, (flow, (_, _, want, _)) in enumerate(zip(flows, SAID)):
        assert {k: flow["raw"]["elements"].get(k) if k.startswith("sflow.") else flow["normalized"][k] for k in want} == want, number
        assert flow["normalized"]["observation_domain_id"] == 9
    assert flows[-1]["raw"]["elements"]["sflow.otherRecords"] == "00abc0010000000431323334"
    with open(os.path.join(ROOT, "templates/mappings/sflow5.conf"), encoding="ascii") as f:
        lines = set(re.findall(r'element = "([^"]+)"', f.read()))
    assert lines == {element for *_, elements in SAID for element in elements}
