# SPDX-License-Identifier: Apache-2.0
"""Goal: what real exporters saw is what readers find: sums, and for each flow its counters, times, MACs, VLAN and flags.

Method: a capture of our own making, whose flows are counted here from its octets, goes through softflowd, pmacctd
and Open vSwitch to a running sluiced; fastavro reads what came out.  The exporters' habits are told where they are
expected: when one of them changes its mind, the test says so.
"""
import collections
import concurrent.futures
import ipaddress
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time

import pytest

import traffic
from conftest import Sluiced, files_sink, read_flows, wait_for
from switch import Switch

NS = 1000  # in a microsecond
FCS = 4  # octets of a checksum that sFlow counts as the frame's
SECTION_MAX = 1390  # octets of a frame that softflowd reports
RICH = ("src_host,dst_host,src_port,dst_port,proto,tos,tcpflags,src_mac,dst_mac,vlan,src_as,dst_as,tag,label,in_iface,out_iface,"
        "sampling_rate,mpls_label_top,flows,src_mask,dst_mask")


# --- what flows are compared by --------------------------------------------------------

def key_of_packet(p):
    return (p.src, p.dst, p.proto, p.src_port, p.dst_port, p.icmp or (0, 0))


def key_of_flow(f):
    n = f["normalized"]
    is_icmp = n["protocol_number"] in (traffic.ICMP, traffic.ICMP6)
    return (n["src_ip"], n["dst_ip"], n["protocol_number"], 0 if is_icmp else n["src_port"], 0 if is_icmp else n["dst_port"],
            (n["icmp_type"], n["icmp_code"]) if is_icmp else (0, 0))


def turned(key):
    return (key[1], key[0], key[2], key[4], key[3], key[5])


def both_ways(truth, key):
    """First and last packet time of a flow and its opposite: of a ping, request and reply are two flows."""
    flows = [truth[k] for k in {key, turned(key)} if k in truth]
    return min(f.start_us for f in flows), max(f.end_us for f in flows)


def by_key(flows, key_of=key_of_flow):
    found = {}
    for f in flows:
        key = key_of(f)
        assert key not in found, f"twice: {key}"
        found[key] = f
    return found


def totals(flows, *names):
    return tuple(sum(f["normalized"][n] or 0 for f in flows) for n in names)


def compare(flows, truth, times, check_time, key_of=key_of_flow):
    """Each flow with its truth: counters and flags; its times as check_time says, which is told those of the packets."""
    found = by_key(flows, key_of)
    assert found.keys() == truth.keys()
    for key, want in truth.items():
        n = found[key]["normalized"]
        assert (n["packets"], n["bytes"]) == (want.packets, want.octets), key
        if key[2] == traffic.TCP:
            assert n["tcp_flags"] == want.flags, key
        assert n["ip_version"] in (None, 6 if ":" in key[0] else 4), key
        check_time(n, *times(key), key)


def same_milliseconds(n, start_us, end_us, where):
    assert (n["flow_start_time"], n["flow_end_time"]) == (start_us // 1000, end_us // 1000), where
    assert n["flow_start_ns"] is None and n["flow_end_ns"] is None, where


def none_missed(s):
    return [s.counter(name) for name in ("sequence_missed", "sequence_late", "sequence_restarts", "sflow_samples_missed")] == [0] * 4


def run_service(folder, export, *options, missed_none=False):
    """A service, what export(port) sends to it, and the flows that come out of it; with what export() returns."""
    s = Sluiced(folder, files_sink(folder, codec="deflate"), ["normalizer.raw=full", *options])
    try:
        said = export(s.port)
        s.settle(quiet_s=0.4)
        s.drain()
        ledger = s.ledger()
        if missed_none:
            assert none_missed(s)
        s.stop()
    finally:
        s.kill()
    flows = read_flows(folder)
    assert flows, s.log()
    assert ledger["flows"]["left"]["flows"] == len(flows)
    assert {f["normalized"]["exporter_ip"] for f in flows} == {"127.0.0.1"}
    return flows, said


@pytest.fixture(scope="module")
def own():
    """The capture without IPv6 fragments (softflowd 1.1.1 never returns from one), and its packets."""
    with tempfile.TemporaryDirectory(prefix="sluice-own-") as folder:
        path = os.path.join(folder, "own.pcap")
        traffic.write_pcap(path, traffic.make(with_fragments6=False))
        yield path, traffic.packets_of(traffic.read_pcap(path))


# --- softflowd -------------------------------------------------------------------------

def softflowd(path, *words):
    """Runs it over the capture, by the capture's clock; returns (records, packets, octets) as it printed them."""
    def export(port):
        done = subprocess.run(["softflowd", "-r", path, "-n", f"127.0.0.1:{port}", "-a", "-d", "-c", "none", *words],
                              capture_output=True, text=True, timeout=30, check=True)
        text = done.stdout + done.stderr
        counters = re.findall(r"^ *\S+ \(\d+\): +(\d+) +(\d+) ", text, re.M)
        return (int(re.search(r"\((\d+) records\)", text).group(1)), sum(int(p) for _, p in counters),
                sum(int(o) for o, _ in counters))
    return export


def flows_of_softflowd(packets):
    """It remembers no ports for later fragments; those of ICMP count as echo replies."""
    return traffic.flows_of(packets, key_of_packet)


def check_softflowd(folder, path, packets, words, check_time, is_one_way=False):
    """One run: sums as printed and as captured, then each flow.  Without VLANs both ways share their times."""
    flows, (records, packet_sum, octet_sum) = run_service(folder, softflowd(path, *words))
    assert len(flows) == records
    assert totals(flows, "packets", "bytes") == (packet_sum, octet_sum) == traffic.sums(packets)
    truth = flows_of_softflowd(packets)

    def times(key):
        if is_one_way and truth[key].vlan is not None:
            return truth[key].start_us, truth[key].end_us
        return both_ways(truth, key)
    compare(flows, truth, times, check_time)
    return flows, truth


def not_early(n, start_us, end_us, where):
    """Times are by uptime: the boot time has lost its microseconds, so each may be a millisecond late."""
    for name, want_us in (("flow_start_time", start_us), ("flow_end_time", end_us)):
        assert 0 <= n[name] - want_us // 1000 <= 1, f"{where} {name}"
    assert n["flow_start_ns"] is None


def test_softflowd_v5(folder, own):
    path, packets = own
    v4 = [p for p in packets if ":" not in p.src]
    flows, (records, _, _) = run_service(folder, softflowd(path, "-v", "5"))
    assert len(flows) == records and {f["normalized"]["source"] for f in flows} == {"netflow5"}
    assert totals(flows, "packets", "bytes") == traffic.sums(packets, 4)
    truth = flows_of_softflowd(v4)
    compare(flows, truth, lambda key: both_ways(truth, key), not_early)
    assert {f["normalized"]["sampling_rate"] for f in flows} == {1}


def test_softflowd_v1(folder, own):
    """As v5, but nobody says how it samples."""
    path, packets = own
    v4 = [p for p in packets if ":" not in p.src]
    flows, (records, packet_sum, octet_sum) = run_service(folder, softflowd(path, "-v", "1"))
    assert len(flows) == records and {f["normalized"]["source"] for f in flows} == {"netflow1"}
    assert totals(flows, "packets", "bytes") == (packet_sum, octet_sum) == traffic.sums(v4)
    truth = flows_of_softflowd(v4)
    compare(flows, truth, lambda key: both_ways(truth, key), not_early)
    assert {f["normalized"]["sampling_rate"] for f in flows} == {None}


def test_softflowd_v9(folder, own):
    """The header tells whole seconds, so all times are early by what it cut off: the fraction of the last packet's time."""
    path, packets = own
    cut_us = packets[-1].time_us % 10**6

    def early(n, start_us, end_us, where):
        for name, want_us in (("flow_start_time", start_us), ("flow_end_time", end_us)):
            assert abs(n[name] * 1000 + 500 - (want_us - cut_us)) <= 1500, f"{where} {name}"
    flows, _ = check_softflowd(folder, path, packets, ["-v", "9"], early)
    assert {f["normalized"]["source"] for f in flows} == {"netflow9"}
    assert {f["normalized"]["export_time"] for f in flows} == {packets[-1].time_us // 10**6 * 1000}


def test_softflowd_ipfix_uptime(folder, own):
    """Uptimes again, but options data says when the exporter was started; both without their microseconds."""
    def early(n, start_us, end_us, where):
        for name, want_us in (("flow_start_time", start_us), ("flow_end_time", end_us)):
            assert -1 <= n[name] - want_us // 1000 <= 0, f"{where} {name}"
    check_softflowd(folder, *own, ["-v", "10"], early)


def test_softflowd_ipfix_seconds(folder, own):
    def whole(n, start_us, end_us, where):
        assert (n["flow_start_time"], n["flow_end_time"]) == (start_us // 10**6 * 1000, end_us // 10**6 * 1000), where
    check_softflowd(folder, *own, ["-v", "10", "-A", "sec"], whole)


def test_softflowd_ipfix_milliseconds(folder, own):
    check_softflowd(folder, *own, ["-v", "10", "-A", "milli"], same_milliseconds)


@pytest.mark.parametrize("unit,lost_ns", [("micro", 477), ("nano", 1)])
def test_softflowd_ipfix_fractions(folder, own, unit, lost_ns):
    """NTP's fractions.  softflowd puts a microsecond on top; of dateTimeMicroseconds the last 11 bits say nothing."""
    def fine(n, start_us, end_us, where):
        for side, want_us in (("start", start_us), ("end", end_us)):
            assert -lost_ns <= n[f"flow_{side}_ns"] - want_us * NS <= NS, f"{where} {side}"
            assert n[f"flow_{side}_time"] == n[f"flow_{side}_ns"] // 10**6, f"{where} {side}"
    flows, _ = check_softflowd(folder, *own, ["-v", "10", "-A", unit], fine)
    assert len({f["normalized"]["flow_start_ns"] % 10**6 for f in flows}) > 10


def test_softflowd_biflow(folder, own):
    """One record for both directions: from the lower address to the higher one is forward."""
    path, packets = own
    flows, (records, packet_sum, octet_sum) = run_service(folder, softflowd(path, "-v", "10", "-b", "-A", "milli"))
    forward = totals(flows, "packets", "bytes")
    reverse = totals(flows, "reverse_packets", "reverse_bytes")
    assert (forward[0] + reverse[0], forward[1] + reverse[1]) == (packet_sum, octet_sum) == traffic.sums(packets)
    want = collections.Counter(biflows_of(flows_of_softflowd(packets)))
    assert len(flows) == records == want.total() and reverse[0] > 0
    names = ("packets", "bytes", "reverse_packets", "reverse_bytes")
    found = collections.Counter()
    for f in flows:
        n, key = f["normalized"], key_of_flow(f)
        flags = (n["tcp_flags_forward"], n["tcp_flags_reverse"]) if key[2] == traffic.TCP else None
        found[(key[:5], *(n[c] or 0 for c in names), flags, n["flow_start_time"], n["flow_end_time"])] += 1
    assert found == want


def biflows_of(truth):
    """Without the type of ICMP: of what went the reverse way only, softflowd does not tell it."""
    nothing = traffic.Flow()
    for key in {k if lower_first(k) else turned(k) for k in truth}:
        there, back = truth.get(key, nothing), truth.get(turned(key), nothing)
        start_us, end_us = both_ways(truth, key)
        yield (key[:5], there.packets, there.octets, back.packets, back.octets,
               (there.flags, back.flags) if key[2] == traffic.TCP else None, start_us // 1000, end_us // 1000)


def lower_first(key):
    return ipaddress.ip_address(key[0]) < ipaddress.ip_address(key[1])


@pytest.mark.parametrize("level", ["vlan", "ether"])
def test_softflowd_vlan_and_mac(folder, own, level):
    flows, truth = check_softflowd(folder, *own, ["-v", "10", "-A", "milli", "-T", level], same_milliseconds, is_one_way=True)
    assert len({t.vlan for t in truth.values()}) > 2
    for key, f in by_key(flows).items():
        n, want = f["normalized"], truth[key]
        # No tag is told as VLAN 0.
        assert n["src_vlan"] == (want.vlan or 0), key
        if level == "ether":
            assert (n["src_mac"], n["dst_mac"]) == (want.src_mac, want.dst_mac), key
        else:
            assert n["src_mac"] is None and n["dst_mac"] is None, key


def test_softflowd_tos(folder, own):
    """It tells the octet of IPv4, of the way that the first packet went; else 0."""
    flows, truth = check_softflowd(folder, *own, ["-v", "10", "-A", "milli"], same_milliseconds)
    compared = set()
    for key, f in by_key(flows).items():
        back = truth.get(turned(key))
        if ":" not in key[0] and (back is None or truth[key].start_us <= back.start_us):
            assert {f["normalized"]["ip_tos"]} == truth[key].toses, key
            assert f["normalized"]["ip_dscp"] in (None, truth[key].tos >> 2), key
            compared |= truth[key].toses
    assert len(compared) > 3


@pytest.mark.parametrize("version", ["1", "5", "9", "10"])
def test_softflowd_sampled(folder, own, version):
    """One of ten packets, the first among them; counters are not multiplied."""
    path, packets = own
    taken, count = [], 0
    for p in packets:
        # With v1 and v5 it does not even count the IPv6 packet that it would have taken.
        if count % 10 == 0 and version in ("1", "5") and ":" in p.src:
            continue
        taken += [p] if count % 10 == 0 else []
        count += 1
    flows, (records, packet_sum, octet_sum) = run_service(folder, softflowd(path, "-v", version, "-s", "10"))
    assert (packet_sum, octet_sum) == traffic.sums(taken)
    assert len(flows) == records
    assert totals(flows, "packets", "bytes") == traffic.sums(taken)
    assert by_key(flows).keys() == flows_of_softflowd(taken).keys()
    # v5 tells it in its header, v9 and IPFIX in options data, v1 not at all.
    rate = None if version == "1" else 10
    assert {f["normalized"]["sampling_rate"] for f in flows} == {rate}
    assert all(f["enriched"]["packets_corrected"] == (rate and rate * f["normalized"]["packets"]) for f in flows)


@pytest.mark.parametrize("rate", [1, 10])
def test_softflowd_psamp(folder, own, rate):
    """A report for each frame that it took, in their order, with as much of it as there is room for, and its time."""
    path, _ = own
    taken = traffic.read_pcap(path)[::rate]

    def export(port):
        done = subprocess.run(["softflowd", "-r", path, "-n", f"127.0.0.1:{port}", "-v", "psamp", "-s", str(rate), "-a", "-d", "-c", "none"],
                              capture_output=True, text=True, timeout=30, check=True)
        return int(re.search(r"Packets processed: (\d+)", done.stdout + done.stderr).group(1))
    flows, said = run_service(folder, export, missed_none=True)
    assert len(flows) == said == len(taken)
    flows.sort(key=lambda f: int(f["raw"]["elements"]["selectionSequenceId"]))
    for number, (f, (time_us, octets)) in enumerate(zip(flows, taken)):
        elements = f["raw"]["elements"]
        count = int(elements["sectionExportedOctets"])
        assert bytes.fromhex(elements["dataLinkFrameSection"])[:count] == octets[:SECTION_MAX], number
        assert int(elements["selectionSequenceId"]) == number + 1
        packet = traffic.read_frame(time_us, octets)
        check_packet(f, packet, number)
        assert (f["normalized"]["packets"], f["normalized"]["bytes"]) == (1, packet.octets), number
        # As softflowd_ipfix_micro: a microsecond on top, and the last 11 bits say nothing.
        assert -477 <= f["normalized"]["flow_end_ns"] - time_us * NS <= NS, number


def check_packet(f, p, where):
    """A flow that is one packet, by what stands in its headers."""
    n = f["normalized"]
    assert (n["src_ip"], n["dst_ip"], n["protocol_number"], n["ip_tos"]) == (p.src, p.dst, p.proto, p.tos), where
    assert (n["src_mac"], n["dst_mac"], n["src_vlan"] or None) == (p.src_mac, p.dst_mac, p.vlan), where
    assert (n["src_port"] or 0, n["dst_port"] or 0, n["tcp_flags"] or 0) == (p.src_port, p.dst_port, p.flags), where
    assert (n["icmp_type"], n["icmp_code"]) == (p.icmp or (None, None)), where
    assert (n["ip_version"], n["ip_ttl_max"]) == (6 if ":" in p.src else 4, 64), where


# --- pmacctd ---------------------------------------------------------------------------

PMACCTD = {  # name: (version, aggregate and more, sampling rate)
    "v5": (5, False, 1), "v9": (9, False, 1), "ipfix": (10, False, 1),
    "v9_rich": (9, True, 1), "ipfix_rich": (10, True, 1), "ipfix_sampled": (10, True, 4),
}


def pmacctd(path, folder, version, is_rich, rate):
    def export(port):
        lines = ["daemonize: false", f"pcap_savefile: {path}", "plugins: nfprobe[p]", f"nfprobe_receiver[p]: 127.0.0.1:{port}",
                 f"nfprobe_version[p]: {version}", "plugin_buffer_size: 1024000", "plugin_pipe_size: 102400000"]
        if is_rich:
            tags = os.path.join(folder, "tags.map")
            with open(tags, "w", encoding="ascii") as f:
                f.write("set_tag=7 set_label=lab1\n")
            lines += [f"aggregate[p]: {RICH}", "nfprobe_engine[p]: 77", f"pre_tag_map: {tags}", "nfprobe_ifindex[p]: 5",
                      "nfprobe_direction[p]: in"]
        if rate > 1:
            lines.append(f"sampling_rate: {rate}")
        conf = os.path.join(folder, "pmacctd.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write("\n".join(lines) + "\n")
        # Its status says nothing: a plugin that ends first makes it 1, and one that could not start leaves it 0.
        subprocess.run(["pmacctd", "-f", conf], capture_output=True, timeout=40, check=False)
    return export


@pytest.fixture(scope="module")
def by_pmacctd():
    """All of its runs, side by side, since each sleeps for seconds: name to flows; and the packets, now not long ago,
    since v5 cannot tell more than 49 days."""
    with tempfile.TemporaryDirectory(prefix="sluice-own-") as folder:
        path = os.path.join(folder, "own.pcap")
        traffic.write_pcap(path, traffic.make(base_us=(int(time.time()) - 3600) * 10**6 + 123457))

        def run(name):
            mine = os.path.join(folder, name)
            os.mkdir(mine)
            return run_service(mine, pmacctd(path, mine, *PMACCTD[name]))[0]
        with concurrent.futures.ThreadPoolExecutor(len(PMACCTD)) as pool:
            yield dict(zip(PMACCTD, pool.map(run, PMACCTD))), traffic.packets_of(traffic.read_pcap(path))


def key_for_pmacctd(p):
    """It remembers the ports of first fragments.  Type and code of ICMP are its destination port; of a later fragment they
    are whatever stands first in it."""
    is_icmp = p.proto in (traffic.ICMP, traffic.ICMP6)
    return (p.src, p.dst, p.proto, p.src_port, int.from_bytes(p.first_octets, "big") if is_icmp else p.dst_port, (0, 0))


def flows_of_pmacctd(packets):
    return traffic.flows_of(traffic.reassembled(packets), key_for_pmacctd)


def key_as_ports(f):
    n = f["normalized"]
    port = n["dst_port"]
    if n["icmp_type"] is not None:
        port = n["icmp_type"] << 8 | n["icmp_code"]
    return (n["src_ip"], n["dst_ip"], n["protocol_number"], n["src_port"] or 0, port, (0, 0))


@pytest.mark.parametrize("name", ["v5", "v9", "ipfix"])
def test_pmacctd(by_pmacctd, name):
    """Without MACs both ways share their times.  In v5 they are by uptime: a millisecond may go."""
    runs, packets = by_pmacctd
    flows = runs[name]
    if name == "v5":
        packets = [p for p in packets if ":" not in p.src]

    def near(n, start_us, end_us, where):
        for field, want_us in (("flow_start_time", start_us), ("flow_end_time", end_us)):
            assert abs(n[field] - want_us // 1000) <= 1, f"{where} {field}"
    truth = flows_of_pmacctd(packets)
    assert totals(flows, "packets", "bytes") == traffic.sums(packets)
    compare(flows, truth, lambda key: both_ways(truth, key), near if name == "v5" else same_milliseconds, key_as_ports)


@pytest.mark.parametrize("name", ["v9_rich", "ipfix_rich"])
def test_pmacctd_rich(by_pmacctd, name):
    runs, packets = by_pmacctd
    flows = runs[name]
    truth = flows_of_pmacctd(packets)
    assert totals(flows, "packets", "bytes") == traffic.sums(packets)
    compare(flows, truth, lambda key: (truth[key].start_us, truth[key].end_us), same_milliseconds, key_as_ports)
    for key, f in by_key(flows, key_as_ports).items():
        n, want = f["normalized"], truth[key]
        assert (n["src_mac"], n["dst_mac"], n["src_vlan"] or None) == (want.src_mac, want.dst_mac, want.vlan), key
        # The traffic class of IPv6 it leaves out.
        assert {n["ip_tos"]} == (want.toses if ":" not in key[0] else {0}), key
        assert (n["in_interface"], n["out_interface"], n["observation_domain_id"]) == (5, 0, 77), key
        assert (n["src_as_number"], n["dst_as_number"], n["src_prefix_len"], n["dst_prefix_len"]) == (0, 0, 0, 0), key
        assert n["flow_direction"] == "ingress", key
        if name == "ipfix_rich":
            # Elements of pmacct's own: the tag, and a label that it leaves empty.
            assert f["raw"]["elements"]["pmacct.tag"] == "7" and "pmacct.label" in f["raw"]["elements"], key


def test_pmacctd_sampled(by_pmacctd):
    """Which packets it takes is chance; what it takes is true of the traffic."""
    runs, packets = by_pmacctd
    flows = runs["ipfix_sampled"]
    truth = flows_of_pmacctd(packets)
    # A fragment whose first one was not taken has no ports.
    loose = traffic.flows_of(packets, key_for_pmacctd)
    assert 0 < totals(flows, "packets")[0] < len(packets) // 2
    for key, f in by_key(flows, key_as_ports).items():
        n, want = f["normalized"], truth.get(key) or loose[key]
        assert 0 < n["packets"] <= want.packets and n["bytes"] <= want.octets, key
        assert want.start_us // 1000 <= n["flow_start_time"] <= n["flow_end_time"] <= want.end_us // 1000, key
        assert (n["src_mac"], n["dst_mac"], n["src_vlan"] or None) == (want.src_mac, want.dst_mac, want.vlan), key
        assert f["raw"]["elements"]["samplerId"] == "1", key
    assert {f["normalized"]["sampling_rate"] for f in flows} == {4}


# --- Open vSwitch ----------------------------------------------------------------------

@pytest.fixture
def switch():
    for program in ("ovs-vswitchd", "ovsdb-server", "ovs-vsctl", "unshare", "nsenter", "ip"):
        if shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
            pytest.skip(f"{program} is not installed")
    done = subprocess.run(["unshare", "--net", "ip", "link", "add", "va", "type", "veth", "peer", "name", "pa"], capture_output=True,
                          text=True, timeout=10, check=False)
    if done.returncode != 0:
        pytest.skip("no network namespace with veth here: " + (done.stdout + done.stderr).strip())
    with tempfile.TemporaryDirectory(prefix="sluice-ovs-") as folder:
        thing = Switch(folder)
        try:
            thing.cables()
            thing.start()
            yield thing
        finally:
            thing.close()


def test_open_vswitch(switch, folder):
    """IPFIX and NetFlow v5 of one bridge at once.  It sees no ports in fragments of IPv6, so there are none."""
    path = os.path.join(folder, "own.pcap")
    traffic.write_pcap(path, traffic.make(with_fragments6=False))
    s = Sluiced(folder, files_sink(folder), ["normalizer.raw=full"], within=switch.within)
    try:
        switch.export(s.port, s.port)
        sent = switch.send(path)
        said = wait_for(lambda: switch.seen(2 * len(sent)), 10)
        assert said, switch.ofctl("dump-ipfix-bridge")
        switch.flush()
        s.settle(quiet_s=4)
        s.drain()
        s.ledger()
        s.stop()
    finally:
        s.kill()
    flows = collections.defaultdict(list)
    for f in read_flows(folder):
        flows[f["normalized"]["source"]].append(f)
    packets = traffic.packets_of([(a // 1000, o) for (a, _), (_, o) in zip(sent, traffic.read_pcap(path))])
    # Every packet coming in and going out: twice, and the bridge says the same.
    count, octets = traffic.sums(packets)
    assert len(sent) == len(packets) == count
    assert (said["current flows"], said["sampled pkts"], said["pkts errs"]) == (len(flows["ipfix"]), 2 * count, 0)
    for direction in ("ingress", "egress"):
        some = [f for f in flows["ipfix"] if f["normalized"]["flow_direction"] == direction]
        assert totals(some, "packets", "bytes") == (count, octets)
        check_switch_ipfix(some, traffic.flows_of(packets, key_of_packet), direction)
    check_switch_v5(flows["netflow5"], [p for p in packets if ":" not in p.src])


def samples_of(datagram):
    """(sequence, flow samples as [(input, output, frame's length)], how many counter samples): the test's own reading."""
    version, kind = struct.unpack_from(">II", datagram)
    assert (version, kind) == (5, 1)
    sequence, _, count = struct.unpack_from(">3I", datagram, 16)
    at, flows, counters = 28, [], 0
    for _ in range(count):
        kind, length = struct.unpack_from(">II", datagram, at)
        sample, at = datagram[at + 8:at + 8 + length], at + 8 + length
        assert kind in (1, 2)
        if kind == 1:
            flows.append((*struct.unpack_from(">II", sample, 20), *frame_lengths(sample)))
        counters += kind == 2
    assert at == len(datagram)
    return sequence, flows, counters


def frame_lengths(sample):
    """Of a flow sample's raw headers."""
    at = 32
    while at < len(sample):
        kind, length = struct.unpack_from(">II", sample, at)
        if kind == 1:
            yield struct.unpack_from(">I", sample, at + 12)[0]
        at += 8 + length
    assert at == len(sample)


def test_open_vswitch_sflow(switch, folder):
    """Every packet is a sample; a second receiver of the same datagrams counts them, with those of counters."""
    path = os.path.join(folder, "own.pcap")
    traffic.write_pcap(path, traffic.make())
    frames = traffic.read_pcap(path)
    s = Sluiced(folder, files_sink(folder), ["normalizer.raw=full"], within=switch.within)
    try:
        with switch.listen() as witness:
            switch.sample(s.port, witness.getsockname()[1])
            assert len(switch.send(path)) == len(frames)
            assert wait_for(lambda: s.counter("flows") == len(frames) and s.counter("records_counter_sample") >= 4), s.ctl("counters")
            switch.vsctl("clear Bridge br0 sflow")
            s.settle("messages_sflow5")
            said = [samples_of(datagram) for datagram in pending(witness)]
        numbers, received = switch.interfaces(), switch.received()
        assert none_missed(s) and s.counter("records_counter_sample") == sum(counters for *_, counters in said)
        s.drain()
        s.ledger()
        s.stop()
    finally:
        s.kill()
    assert [sequence for sequence, *_ in said] == list(range(1, len(said) + 1))
    samples = [flow for _, flows, _ in said for flow in flows]
    flows = read_flows(folder)
    assert len(flows) == len(samples) == len(frames)
    # What came into the bridge, as it says itself, is what its samples say.
    for port, name in ((1, "pa"), (2, "pb")):
        some = [f["normalized"] for f in flows if f["normalized"]["in_interface"] == numbers[name]]
        assert received[port] == (sum(n["packets"] for n in some), sum(n["bytes"] for n in some))
    assert flows[0]["raw"]["elements"]["sflow.samplePool"] == "1"
    at_port = {numbers["pa"]: iter([f for f in frames if f[1][10] != 2]), numbers["pb"]: iter([f for f in frames if f[1][10] == 2])}
    for number, (f, sample) in enumerate(zip(flows, samples)):
        n, elements = f["normalized"], f["raw"]["elements"]
        # The bridge looks at its ports by turns: of frames that are at both, either may be first.
        frame = next(at_port[n["in_interface"]])
        packet = traffic.read_frame(*frame)
        check_packet(f, packet, number)
        assert (n["packets"], n["bytes"], n["sampling_rate"]) == (1, packet.frame_octets, 1), number
        assert (n["in_interface"], n["out_interface"], int(elements["sflow.frameLength"])) == sample, number
        assert sample[2] == packet.frame_octets + FCS, number
        assert bytes.fromhex(elements["sflow.header"]) == frame[1][:128], number
        assert (n["exporter_reported_ip"], int(elements["sflow.sampleSequence"])) == ("127.0.0.1", number + 1), number


def pending(listener):
    """Datagrams that wait in a socket."""
    listener.setblocking(False)
    while True:
        try:
            yield listener.recv(65535)
        except BlockingIOError:
            return


def check_switch_times(n, want, where):
    """The switch looked at a packet when it had been sent, or just before, by its clock that stands still for a while."""
    for name, want_us in (("flow_start_time", want.start_us), ("flow_end_time", want.end_us)):
        assert -20 <= n[name] - want_us / 1000 <= 500, f"{where} {name}"


def check_switch_ipfix(flows, truth, direction):
    found = by_key(flows)
    assert found.keys() == truth.keys()
    interfaces = collections.defaultdict(set)
    for key, want in truth.items():
        n, elements = found[key]["normalized"], found[key]["raw"]["elements"]
        assert (n["packets"], n["bytes"]) == (want.packets, want.octets), key
        assert (n["src_mac"], n["dst_mac"], n["src_vlan"]) == (want.src_mac, want.dst_mac, want.vlan), key
        assert {n["ip_tos"]} == want.toses, key
        assert (n["ip_version"], n["ip_ttl_min"], n["ip_ttl_max"]) == (6 if ":" in key[0] else 4, 64, 64), key
        assert (n["observation_domain_id"], n["observation_point_id"]) == (123, 456), key
        assert elements["vmware.virtualObsID"] == "lab-vobs" and elements["interfaceName"] == n["in_interface_name"], key
        check_switch_times(n, want, key)
        # Microseconds before the whole second in the header.
        for name, element in (("flow_start_time", "flowStartDeltaMicroseconds"), ("flow_end_time", "flowEndDeltaMicroseconds")):
            assert n[name] == (n["export_time"] * 1000 - int(elements[element])) // 1000, f"{key} {name}"
        interfaces[elements["interfaceName"]].add((n["in_interface"], n["out_interface"]))
    assert interfaces.keys() == {"pa", "pb"}
    (a,), (b,) = interfaces["pa"], interfaces["pb"]
    assert a[0] != b[0] and (a[1], b[1]) == ((None, None) if direction == "ingress" else (b[0], a[0]))


def check_switch_v5(flows, packets):
    """Octets are those of the frames; interfaces are ports of the bridge.  A flow may come in parts: its entry in the
    datapath does not live as long as it does."""
    parts = collections.defaultdict(list)
    for f in flows:
        parts[key_of_flow(f)].append(f["normalized"])
    truth = traffic.flows_of(packets, key_of_packet)
    assert parts.keys() == truth.keys()
    for key, want in truth.items():
        some = parts[key]
        assert sum(n["packets"] for n in some) == want.packets, key
        assert sum(n["bytes"] for n in some) == want.frame_octets, key
        assert {(n["in_interface"], n["out_interface"]) for n in some} <= {(1, 2), (2, 1)}, key
        assert {n["observation_domain_id"] for n in some} == {3 << 8 | 9} and {n["ip_tos"] for n in some} == want.toses, key
        flags = 0
        for n in some:
            flags |= n["tcp_flags"] or 0
        assert flags == want.flags, key
        check_switch_times({"flow_start_time": min(n["flow_start_time"] for n in some),
                            "flow_end_time": max(n["flow_end_time"] for n in some)}, want, key)
