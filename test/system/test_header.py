# SPDX-License-Identifier: Apache-2.0
"""
Goal: what the parser of sampled headers reads of a packet is what tshark reads of it, whole or cut.
Method: frames of random layers (links, tags, labels, PPPoE, both IP versions with options, extensions and
fragments, transports, one tunnel) go to header_driver and, as a capture, to tshark; each field of both is
compared, of the tunnel's outside and inside.  Then the same frames cut anywhere: tshark gives up early in
some headers, so whatever it still shows must be ours too.
"""
import json
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "gen"))
import frames  # noqa: E402

DRIVER = ROOT / "build" / "header_driver"
LINK_TYPES = {frames.ETHERNET: 1, frames.PPP: 9, frames.IPV4: 228, frames.IPV6: 229, frames.MPLS: 219}

EXTENSIONS = (0, 43, 44, 51, 60)
TAGS = (0x8100, 0x88A8, 0x9100)


def number(text):
    return int(text, 0)


def ip_flags(text):
    return int(text, 0) << 5


def bit(text):
    return int(text in ("1", "True"))


def more(text):
    return bit(text) << 5


def after_head(text):
    return int(text) + 40


# Our key: (tshark's field, how its text is read). A packet has one of them at each level.
FIELDS = {
    "dst_mac": {"eth.dst": str},
    "src_mac": {"eth.src": str},
    "type": {"eth.type": number, "vlan.etype": number, "ieee8021ah.etype": number},
    "pppoe": {"pppoe.session_id": number},
    "ip": {"ip.version": number},  # tshark shows it for IPv6 too
    "tos": {"ip.dsfield": number, "ipv6.tclass": number},
    "flow_label": {"ipv6.flow": number},
    "bytes": {"ip.len": number, "ipv6.plen": after_head},
    "id": {"ip.id": number, "ipv6.fraghdr.ident": number},
    "fragment_flags": {"ip.flags": ip_flags, "ipv6.fraghdr.more": more},
    "fragment_offset": {"ip.frag_offset": number, "ipv6.fraghdr.offset": number},
    "ttl": {"ip.ttl": number, "ipv6.hlim": number},
    "protocol": dict.fromkeys(("ip.proto", "ipv6.nxt", "ipv6.hopopts.nxt", "ipv6.dstopts.nxt", "ipv6.routing.nxt", "ipv6.fraghdr.nxt",
                               "ah.next_header"), number),
    "src_ip": {"ip.src": str, "ipv6.src": str},
    "dst_ip": {"ip.dst": str, "ipv6.dst": str},
    "src_port": dict.fromkeys(("tcp.srcport", "udp.srcport", "sctp.srcport"), number),
    "dst_port": dict.fromkeys(("tcp.dstport", "udp.dstport", "sctp.dstport"), number),
    "sequence": {"tcp.seq_raw": number},
    "flags": {"tcp.flags": number},
    "udp_bytes": {"udp.length": number},
    "icmp_type": {"icmp.type": number, "icmpv6.type": number},
    "icmp_code": {"icmp.code": number, "icmpv6.code": number},
    "tunnel_id": {"vxlan.vni": number, "geneve.vni": number, "gre.key": number},
    "label": {"mpls.label": number},
    "class": {"mpls.exp": number},
    "bottom": {"mpls.bottom": bit},
    "label_ttl": {"mpls.ttl": number},
    "vlan": {"vlan.id": number, "ieee8021ad.id": number},
    "priority": {"vlan.priority": number, "ieee8021ad.priority": number},
}
LEAVES = {field: (key, read) for key, fields in FIELDS.items() for field, read in fields.items()}


def level_values(words, prefix, out):
    """Adds one level of our reading to lists by key."""
    for name, value in words.items():
        if name.startswith("inner.") != bool(prefix):
            continue
        name = name.removeprefix(prefix)
        if name.startswith("mpls"):
            for key, part in zip(("label", "class", "bottom", "label_ttl"), value.split(":")):
                out.setdefault(key, []).append(int(part))
        elif name in ("vlan1", "vlan2"):
            for key, part in zip(("vlan", "priority"), value.split(":")):
                out.setdefault(key, []).append(int(part))
        elif name == "fragment":
            for key, part in zip(("fragment_flags", "fragment_offset"), value.split(":")):
                out.setdefault(key, []).append(int(part, 0))
        elif name == "type" and prefix and "inner.dst_mac" not in words:
            pass  # of the tunnel's own header
        elif name in FIELDS and name != "bottom":
            read = str if name.endswith(("mac", "_ip")) else number
            out.setdefault(name, []).append(read(value))
    tags = int(words.get(prefix + "vlans", 0))
    for key in ("vlan", "priority"):
        if tags > 2:
            out[key].extend([None] * (tags - 2))  # counted, not kept


def ours(cases):
    text = "".join("%d %s\n" % (first, octets.hex()) for first, octets in cases)
    lines = subprocess.run([DRIVER], input=text, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == len(cases)
    readings = []
    for line in lines:
        words, out = dict(word.split("=", 1) for word in line.split()), {}
        level_values(words, "", out)
        level_values(words, "inner.", out)
        readings.append(out)
    return readings


def walk(pairs, out):
    """The leaves of a tree of tshark's in their order, to lists by our key."""
    for name, value in pairs:
        if isinstance(value, list):
            walk([pair for pair in value if isinstance(pair, tuple)], out)
        elif name in LEAVES:
            key, read = LEAVES[name]
            value = read(value)
            if not (key == "protocol" and value in EXTENSIONS or key == "type" and value in TAGS):
                out.setdefault(key, []).append(value)


def pairs_as_tuples(pairs):
    return [(name, value) for name, value in pairs]


def tshark(folder, first, cases):
    """`cases` are (octets held, octets on the wire)."""
    path = folder / "frames.pcap"
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, LINK_TYPES[first]))
        for at, (octets, wire_bytes) in enumerate(cases):
            f.write(struct.pack("<IIII", 1, at, len(octets), wire_bytes) + octets)
    run = subprocess.run(["tshark", "-n", "-r", path, "-T", "json", "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"],
                         capture_output=True, text=True, check=True, timeout=300)
    packets = json.loads(run.stdout, object_pairs_hook=pairs_as_tuples)
    assert len(packets) == len(cases)
    readings = []
    for packet in packets:
        out = {}
        walk(dict(dict(packet)["_source"])["layers"], out)
        readings.append(out)
    return readings


def agrees(mine, theirs, is_cut):
    """`theirs` may end early where the frame was cut; a tag that we count but do not keep may be anything."""
    if len(mine) < len(theirs) or not is_cut and len(mine) > len(theirs):
        return False
    return all(a is None or a == b for a, b in zip(mine, theirs))


def compare(folder, first, cases, is_cut):
    """Returns how many fields were compared."""
    count = 0
    readings = zip(cases, ours([(first, octets) for octets, _ in cases]), tshark(folder, first, cases))
    for (octets, _), mine, theirs in readings:
        for key in FIELDS:
            assert agrees(mine.get(key, []), theirs.get(key, []), is_cut), (key, mine.get(key), theirs.get(key), octets.hex())
            count += len(theirs.get(key, []))
    return count


def random_frames(seed, count):
    dice = random.Random(seed)
    return [frames.random_frame(dice) for _ in range(count)]


@pytest.mark.parametrize("name", [name for name in frames.FIXED if name not in ("tunnel_in_tunnel", "labels")])
def test_fixed(name, tmp_path):
    first, octets = frames.FIXED[name]
    assert compare(tmp_path, first, [(octets, len(octets))], False) > 5


def test_whole(tmp_path):
    cases = [(octets, len(octets)) for octets in random_frames(1, 2000)]
    assert compare(tmp_path, frames.ETHERNET, cases, False) > 30000


def test_cut(tmp_path):
    dice = random.Random(2)
    cases = [(octets[:dice.randrange(1, len(octets))], len(octets)) for octets in random_frames(3, 3000)]
    assert compare(tmp_path, frames.ETHERNET, cases, True) > 20000


def test_cut_everywhere(tmp_path):
    """Each fixed frame that begins with Ethernet, cut after each octet."""
    for name, (first, octets) in frames.FIXED.items():
        if first == frames.ETHERNET:
            assert compare(tmp_path, first, [(octets[:n], len(octets)) for n in range(1, len(octets))], True) > 50, name
