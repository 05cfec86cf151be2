# SPDX-License-Identifier: Apache-2.0
"""Goal: flows take up what options data of their exporter says of them: sampling, names of interfaces,
applications and VRFs, the time of its boot; what they say themselves wins, the configuration comes last.

Method: messages written here, sent to a running service; the flow events are read by fastavro.
"""
import socket
import struct

from conftest import Sluiced, files_sink, prove, read_flows

NOW = 1790000000
BOOT_MS = (NOW - 3600) * 1000


def spec(fields):
    return b"".join(struct.pack(">HH", i, n) for i, n in fields)


def padded(head, body):
    body += b"\0" * (-len(body) % 4)
    return struct.pack(">HH", head, 4 + len(body)) + body


def ipfix(domain, *sets):
    body = b"".join(sets)
    return struct.pack(">HHIII", 10, 16 + len(body), NOW, 0, domain) + body


def ipfix_options(number, scopes, fields, *records):
    return padded(3, struct.pack(">HHH", number, len(fields), scopes) + spec(fields)) + padded(number, b"".join(records))


def ipfix_data(number, fields, *records):
    return padded(2, struct.pack(">HH", number, len(fields)) + spec(fields)) + padded(number, b"".join(records))


def v9(domain, count, *sets):
    return struct.pack(">HHIIII", 9, count, 5000, NOW, 0, domain) + b"".join(sets)


def v9_options(number, scopes, fields, *records):
    template = struct.pack(">HHH", number, 4 * len(scopes), 4 * len(fields)) + spec(scopes + fields)
    return padded(1, template) + padded(number, b"".join(records))


def v9_data(number, fields, *records):
    return padded(0, struct.pack(">HH", number, len(fields)) + spec(fields)) + padded(number, b"".join(records))


FLOW = [(8, 4), (12, 4), (10, 2), (14, 2), (48, 1), (95, 4), (234, 4), (235, 4), (22, 4), (21, 4), (1, 4)]


def flow(n, sampler, into=5, out=6, app=0x0D0001C5):
    return (bytes([10, 0, 0, n, 192, 0, 2, 1]) + struct.pack(">HHBIIIIII", into, out, sampler, app, 1, 2, 1000, 2500, n))


def run(start, folder, messages, options=()):
    s = start(Sluiced, files_sink(folder), options=("normalizer.enrich=(\"network\",\"derived\")", *options))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.bind(("127.0.0.1", 0))
        for message in messages:
            out.sendto(message, ("127.0.0.1", s.port))
        s.settle("messages")
    ledger, learned, refused = s.ledger(), s.counter("joins_learned"), s.counter("joins_refused")
    assert ledger
    s.drain()
    s.stop()
    return {f["normalized"]["bytes"]: f for f in read_flows(folder)}, learned, refused


def said(f, *names):
    return tuple(f["normalized"][n] for n in names)


NAMES = ("in_interface_name", "out_interface_name", "app_name", "ingress_vrf_name", "egress_vrf_name")


def test_ipfix(start, folder):
    interfaces = ipfix_options(400, 1, [(10, 4), (82, 8), (83, 8)], struct.pack(">I", 5) + b"ge-0/0/1" + b"uplink\0\0",
                               struct.pack(">I", 6) + b"ge-0/0/2" + b"transit\0")
    sampler = [(302, 4), (304, 2), (305, 4), (306, 4)]
    everyone = ipfix_options(401, 1, sampler, struct.pack(">IHII", 1, 1, 1, 9), struct.pack(">IHII", 2, 1, 1, 99))
    own = ipfix_options(401, 1, sampler, struct.pack(">IHII", 2, 3, 1, 999))
    apps = ipfix_options(402, 1, [(95, 4), (96, 6)], struct.pack(">I", 0x0D0001C5) + b"dns\0\0\0")
    vrfs = ipfix_options(403, 1, [(234, 4), (236, 4)], struct.pack(">I", 1) + b"red\0", struct.pack(">I", 2) + b"blue")
    boot = ipfix_options(404, 1, [(144, 4), (160, 8)], struct.pack(">IQ", 1, BOOT_MS))
    flows, learned, refused = run(start, folder, [
        ipfix(5, ipfix_data(300, FLOW, flow(1, 1))),           # nothing is known yet
        ipfix(0, interfaces, everyone),
        ipfix(5, ipfix_data(300, FLOW, flow(2, 2))),           # by domain 0
        # The options data of a message speaks of the flows before it, too.
        ipfix(5, ipfix_data(300, FLOW, flow(3, 2), flow(4, 1), flow(5, 9, into=7, app=0x0D000001)), own, apps, vrfs, boot),
        ipfix(6, ipfix_data(300, FLOW, flow(6, 2))),           # domain 5 is no business of 6
    ])
    assert (learned, refused) == (8, 0)
    assert said(flows[1], "sampling_rate", "flow_end_time", *NAMES) == (None,) * 7
    assert "sampling_unknown" in flows[1]["raw"]["notes"]
    assert flows[1]["raw"]["elements"]["flowEndSysUpTime"] == "2500"
    assert said(flows[2], "sampling_rate", "sampling_algorithm", "sampler_id") == (100, 1, 2)
    assert said(flows[2], *NAMES) == ("ge-0/0/1", "ge-0/0/2", None, None, None)
    assert flows[2]["enriched"]["in_interface_alias"] == "uplink" and flows[2]["enriched"]["out_interface_alias"] == "transit"
    assert flows[2]["enriched"]["bytes_corrected"] == 200
    assert said(flows[3], "sampling_rate", "sampling_algorithm") == (1000, 3)
    assert said(flows[3], *NAMES) == ("ge-0/0/1", "ge-0/0/2", "dns", "red", "blue")
    assert said(flows[3], "flow_start_time", "flow_end_time") == (BOOT_MS + 1000, BOOT_MS + 2500)
    assert said(flows[4], "sampling_rate", "sampling_algorithm") == (10, 1)
    assert said(flows[5], "sampling_rate", *NAMES) == (None, None, "ge-0/0/2", None, "red", "blue")
    assert said(flows[6], "sampling_rate", *NAMES) == (100, "ge-0/0/1", "ge-0/0/2", None, None, None)
    assert said(flows[6], "flow_end_time") == (None,)
    prove(("sampling_rate", "sampling_algorithm", "in_interface_alias", "out_interface_alias", *NAMES), "test_options test_ipfix")


def test_v9(start, folder):
    system = v9_options(400, [(1, 4)], [(34, 4), (35, 1)], struct.pack(">IIB", 0, 64, 2))
    interface = v9_options(401, [(2, 4)], [(34, 4), (35, 1), (82, 4)], struct.pack(">IIB", 5, 16, 1) + b"eth5")
    sampler = v9_options(402, [(1, 4)], [(48, 1), (84, 4), (49, 1), (50, 4)], struct.pack(">IB4sBI", 0, 1, b"smp1", 2, 512))
    own = [(8, 4), (34, 4), (1, 4)]
    flows, _, refused = run(start, folder, [
        v9(3, 8, system, interface, sampler),
        v9(3, 4, v9_data(300, FLOW, flow(1, 1), flow(2, 0), flow(3, 0, into=8, out=9))),
        v9(3, 2, v9_data(301, own, struct.pack(">4sII", b"\x0a\0\0\x04", 7, 4))),
        # Source 0 is one like any other; what it says of samplers and interfaces by their number holds for all.
        v9(0, 6, system, sampler),
        v9(9, 3, v9_data(300, FLOW, flow(5, 1), flow(6, 0))),
        # A rate of 0 takes it back.
        v9(3, 3, v9_options(400, [(1, 4)], [(34, 4), (35, 1)], struct.pack(">IIB", 0, 0, 0)), v9_data(300, FLOW, flow(7, 0, into=8, out=9))),
    ])
    assert refused == 0
    assert said(flows[1], "sampling_rate", "sampling_algorithm", "in_interface_name") == (512, 2, "eth5")
    assert said(flows[2], "sampling_rate", "sampling_algorithm") == (16, 1)
    assert said(flows[3], "sampling_rate", "sampling_algorithm", "in_interface_name") == (64, 2, None)
    assert said(flows[4], "sampling_rate") == (7,)
    assert said(flows[5], "sampling_rate", "sampling_algorithm") == (512, 2)
    assert said(flows[6], "sampling_rate") == (None,)
    assert said(flows[7], "sampling_rate") == (None,)


def test_configuration_comes_last_and_limit(start, folder):
    sampler = ipfix_options(401, 1, [(302, 4), (305, 4), (306, 4)], struct.pack(">III", 1, 1, 9), struct.pack(">III", 2, 1, 99))
    flows, learned, refused = run(start, folder, [
        ipfix(5, ipfix_data(300, FLOW, flow(1, 1))),
        ipfix(5, sampler, ipfix_data(300, FLOW, flow(2, 1), flow(3, 2))),
    ], ["normalizer.joins_max=1", 'exporters=({ address = "127.0.0.1"; sampling_rate = 50; })'])
    assert (learned, refused) == (1, 1)
    assert [said(flows[n], "sampling_rate") for n in (1, 2, 3)] == [(50,), (10,), (50,)]


def test_limit_of_all_domains(start, folder):
    """What one domain has taken the other cannot have; what is known may change."""
    def sampler(*said):
        return ipfix_options(401, 1, [(302, 4), (305, 4), (306, 4)], *[struct.pack(">III", n, 1, space) for n, space in said])

    flows, learned, refused = run(start, folder, [
        ipfix(5, sampler((1, 9), (2, 99))),
        ipfix(6, sampler((1, 19), (2, 29))),
        ipfix(5, sampler((1, 39)), ipfix_data(300, FLOW, flow(1, 1), flow(2, 2))),
        ipfix(6, ipfix_data(300, FLOW, flow(3, 1), flow(4, 2))),
    ], ["normalizer.joins_all_max=3"])
    assert (learned, refused) == (4, 1)
    assert [said(flows[n], "sampling_rate") for n in (1, 2, 3, 4)] == [(40,), (100,), (20,), (None,)]
