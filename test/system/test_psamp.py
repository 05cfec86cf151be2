# SPDX-License-Identifier: Apache-2.0
"""
Goal: a packet report (PSAMP, RFC 5476) of a real exporter becomes a flow of one packet with what that says, as tshark reads it.
Method: softflowd reports random frames (test/gen/frames.py, cut nowhere, of at least the shortest length of Ethernet) out of a
capture; its messages, one behind the other, are an IPFIX file, which is replayed through both decoders and every mode of raw;
each flow is compared with what tshark shows of the same frame. SLUICE_PSAMP_SEED and SLUICE_PSAMP_COUNT choose others.
"""
import json
import os
import random
import shutil
import socket
import struct
import subprocess
import sys

import pytest

from conftest import BUILD, ROOT

sys.path.insert(0, os.path.join(ROOT, "test", "gen"))
import frames  # noqa: E402

SEED = int(os.environ.get("SLUICE_PSAMP_SEED", "2026"))
COUNT = int(os.environ.get("SLUICE_PSAMP_COUNT", "300"))
PATHS = os.environ["PATH"] + ":/usr/sbin:/sbin"
SHORTEST = 60
# tshark's field, ours, how its text is read; of the outermost level.
LEAVES = [
    ("eth.src", "src_mac", str), ("eth.dst", "dst_mac", str), ("ip.src", "src_ip", str), ("ip.dst", "dst_ip", str),
    ("ip.ttl", "ip_ttl_max", int), ("ip.proto", "protocol_number", int), ("ip.dsfield", "ip_tos", lambda t: int(t, 0)),
    ("ip.len", "bytes", int), ("ipv6.plen", "bytes", lambda t: 40 + int(t)), ("ipv6.src", "src_ip", str), ("ipv6.dst", "dst_ip", str), ("ipv6.hlim", "ip_ttl_max", int),
]


def make_packets(dice):
    return [frame.ljust(SHORTEST, b"\0") for frame in (frames.random_frame(dice) for _ in range(COUNT))]


def write_capture(path, packets):
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for i, p in enumerate(packets):
            f.write(struct.pack("<IIII", 1700000000 + i, 0, len(p), len(p)) + p)


def reports(path):
    """What softflowd sends of the capture."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        s.bind(("127.0.0.1", 0))
        s.settimeout(2)
        subprocess.run(["softflowd", "-r", path, "-n", f"127.0.0.1:{s.getsockname()[1]}", "-v", "psamp", "-d", "-c", "none"],
                       env={**os.environ, "PATH": PATHS}, capture_output=True, timeout=120, check=True)
        messages = []
        try:
            while True:
                messages.append(s.recv(65535))
        except TimeoutError:
            return messages


def replay(path, *options):
    done = subprocess.run([os.path.join(BUILD, "sluiced"), "-o", 'sinks=({ name = "out"; type = "stdout"; })', "-o", f"state={path}.state",
                           "-o", "normalizer.enrich=()", *options, "--replay", path],
                          capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.splitlines()[-1] == "balanced"
    return [json.loads(line) for line in done.stdout.splitlines()]


def told_by_tshark(path):
    done = subprocess.run(["tshark", "-r", path, "-T", "fields", "-E", "separator=\t", "-E", "occurrence=f", "-e", "frame.protocols",
                           *(a for name, *_ in LEAVES for a in ("-e", name))], capture_output=True, text=True, timeout=120, check=True)
    names = ["frame.protocols"] + [name for name, *_ in LEAVES]
    return [dict(zip(names, line.split("\t"))) for line in done.stdout.splitlines()]


def is_outer(name, said):
    """Where IPv4 and IPv6 are both there, one is inside the other, and tshark shows it under its own name."""
    first = next((p for p in said["frame.protocols"].split(":") if p in ("ip", "ipv6")), "ip")
    return name.split(".")[0] in ("eth", first)


@pytest.mark.skipif(shutil.which("softflowd", path=PATHS) is None or shutil.which("tshark") is None, reason="no softflowd or tshark here")
def test_softflowd(tmp_path):
    print(f"SLUICE_PSAMP_SEED={SEED} SLUICE_PSAMP_COUNT={COUNT}")
    packets = make_packets(random.Random(SEED))
    capture, file = str(tmp_path / "frames.pcap"), str(tmp_path / "reports.ipfix")
    write_capture(capture, packets)
    theirs = told_by_tshark(capture)
    messages = reports(capture)
    with open(file, "wb") as f:
        f.write(b"".join(messages))
    flows = replay(file)
    by_section = {}
    for packet, said in zip(packets, theirs):
        by_section.setdefault(packet, said)
    wrong, seen = [], set()
    for flow in flows:
        section = bytes.fromhex(flow["raw"]["elements"]["dataLinkFrameSection"])
        whole = section[:int(flow["raw"]["elements"]["sectionExportedOctets"])]
        said = by_section[whole]
        assert flow["normalized"]["packets"] == 1
        for name, field, kind in LEAVES:
            if not said[name] or not is_outer(name, said):
                continue
            seen.add(name)
            if flow["normalized"].get(field) != kind(said[name]):
                wrong.append((whole.hex(), name, said[name], flow["normalized"].get(field)))
    assert len(flows) >= COUNT // 2 and seen == {name for name, *_ in LEAVES}
    assert not wrong, f"{len(wrong)} differences, the first: {wrong[:5]}"
    # The other decoder, and without raw: the same fields.
    for options in (("-o", "collector.decoder=fixbuf"), ("-o", "normalizer.raw=none")):
        assert [f["normalized"] for f in replay(file, *options)] == [f["normalized"] for f in flows]
