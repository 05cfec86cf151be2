# SPDX-License-Identifier: Apache-2.0
"""What a whole run of sluicegen must look like in a table: columns of normalized and enriched, recomputed.

The wire fields are those of expect.py, a column at a time; prove() compares the two ways.  The enriched ones are
written from their documentation: doc/FIELDS.md, the Community ID specification, IANA's registries of special-purpose
addresses, the files of templates/tables; dedup_key from the header that describes its octets.  For the templates
nprobe and fixed (v5).  Every enricher is meant to be on.

    table = truth(("ipfix", "nprobe", 1000000, 4, 1, 1790029800, "127.0.1.1", 0, 10000))
    table["src_ip_scope"]		an Arrow array, row i is flow number i of the run

Times are milliseconds and dates are days, as in the file: numbers.
"""
import base64
import concurrent.futures
import hashlib
import ipaddress
import multiprocessing
import os
from datetime import datetime, timezone

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

import expect

TABLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "templates", "tables")
CHUNK = 100000

# The first that holds an address says its scope (IANA's special-purpose registries).
SCOPES = [(ipaddress.ip_network(net), scope) for net, scope in (
    ("255.255.255.255/32", "broadcast"), ("127.0.0.0/8", "loopback"), ("::1/128", "loopback"), ("169.254.0.0/16", "link_local"),
    ("fe80::/10", "link_local"), ("10.0.0.0/8", "private"), ("172.16.0.0/12", "private"), ("192.168.0.0/16", "private"),
    ("fc00::/7", "private"), ("100.64.0.0/10", "shared"), ("224.0.0.0/4", "multicast"), ("ff00::/8", "multicast"),
    ("192.0.2.0/24", "documentation"), ("198.51.100.0/24", "documentation"), ("203.0.113.0/24", "documentation"),
    ("2001:db8::/32", "documentation"), ("0.0.0.0/8", "reserved"), ("192.0.0.0/24", "reserved"), ("198.18.0.0/15", "reserved"),
    ("240.0.0.0/4", "reserved"), ("2000::/3", "global"), ("::/0", "reserved"), ("0.0.0.0/0", "global"))]
PRIVATE = {"private", "shared", "loopback", "link_local"}
SCOPE_NAMES = sorted({scope for _, scope in SCOPES})
DIRECTIONS = ("external", "inbound", "outbound", "internal")  # 2 * the source is private + the destination is

TCP, UDP = 6, 17
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
# By type: its counterpart in the Community ID specification; types that have none are one-way.
ICMP_PAIRS = {1: {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10},
              58: {128: 129, 129: 128, 133: 134, 134: 133, 135: 136, 136: 135, 130: 131, 131: 130, 144: 145, 145: 144,
                   139: 140, 140: 139}}
# IANA's "ICMP Parameters": of the types and codes that sluicegen sends in v5.
ICMP_NAMES = {(8, 0): "Echo", (0, 0): "Echo Reply", (3, 3): "Destination Unreachable: Port Unreachable",
              (11, 0): "Time Exceeded: Time to Live exceeded in Transit"}

DECIMAL = pa.array([str(i) for i in range(256)])
HEX = pa.array([f"{i:02x}" for i in range(256)])
U64 = np.uint64


def words(seed, n, k):
    z = U64(seed) + (n * U64(16) + U64(k + 1)) * U64(expect.GOLDEN)
    z = (z ^ z >> U64(30)) * U64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> U64(27)) * U64(0x94D049BB133111EB)
    return z ^ z >> U64(31)


def bits(w, at, count):
    return (w >> U64(at) & U64((1 << count) - 1)).astype(np.int64)


def pick(table, index):
    """table[index] of a list of texts."""
    return pa.array(table, pa.string()).take(pa.array(index))


def where(mask, values):
    """An array with nulls where the mask is false."""
    values = values if isinstance(values, pa.Array) else pa.array(values)
    return pc.if_else(pa.array(mask), values, pa.scalar(None, values.type))


def scatter(mask, texts):
    """Texts, one for each true place of the mask, in order."""
    out = np.full(len(mask), None, dtype=object)
    out[mask] = texts
    return pa.array(out, pa.string())


class Addresses:
    """A column of them: 64 bits above and 64 below; an IPv4 one has only its 32 in the lower."""

    def __init__(self, v6, high, low):
        self.v6, self.high, self.low = v6, high, low

    def text(self):
        octets = [DECIMAL.take(pa.array((self.low >> U64(8 * i) & U64(255)).astype(np.int64))) for i in (3, 2, 1, 0)]
        short = pc.binary_join_element_wise(*octets, ".")
        pairs = zip(self.high[self.v6].tolist(), self.low[self.v6].tolist())
        return pc.coalesce(scatter(self.v6, [expect.ipv6(high, low) for high, low in pairs]), short)

    def scope(self):
        """Numbers in SCOPE_NAMES."""
        out = np.full(len(self.v6), -1)
        for net, scope in SCOPES:
            number, mask = int(net.network_address), int(net.netmask)
            inside = (self.low & U64(mask & expect.MASK)) == U64(number & expect.MASK)
            if net.version == 6:
                inside &= (self.high & U64(mask >> 64)) == U64(number >> 64)
            out[(out < 0) & inside & (self.v6 == (net.version == 6))] = SCOPE_NAMES.index(scope)
        return out

    def mapped(self):
        """As IPv6, an IPv4 one as ::ffff:a.b.c.d."""
        return self.high, np.where(self.v6, self.low, self.low | U64(0xffff00000000))


def swapped(mask, a, b):
    return np.where(mask, b, a), np.where(mask, a, b)


class Flows:
    """Numbers of flows first to first + count, as expect.Run.common() and the templates say."""

    def __init__(self, run, first, count):
        self.run, self.count = run, count
        self.n = n = np.arange(first, first + count, dtype=np.uint64)
        self.w = w = [words(run.seed, n, k) for k in range(7)]
        self.is_v5 = run.template == "fixed"
        self.v6 = np.zeros(count, bool) if self.is_v5 else bits(w[0], 32, 3) < 2
        kind = w[0] & U64(255)
        self.icmp = kind >= 243
        self.tcp, self.udp = kind < 160, (kind >= 160) & ~self.icmp
        self.protocol = np.where(self.tcp, TCP, np.where(self.udp, UDP, np.where(self.v6, 58, 1)))
        self.service = bits(w[0], 8, 4) + np.where(self.udp, 16, 0)  # in expect.TCP + expect.UDP
        self.turned = bits(w[0], 12, 1) == 1
        self.service_port = np.array([row[0] for row in expect.TCP + expect.UDP])[self.service]
        self.ends()
        self.clock()
        self.counters()

    def ends(self):
        w = self.w
        client = 32768 + bits(w[0], 16, 15) % 28232
        src, dst = swapped(self.turned, client, self.service_port)
        self.src_port, self.dst_port = np.where(self.icmp, 0, src), np.where(self.icmp, 0, dst)
        if self.is_v5:
            self.v5_ends()
            return
        skewed = w[1] >> U64(32) & w[1] >> U64(48) & U64(0xFFFF)
        site = w[1] & U64(0xFFFF)
        host = np.where(bits(w[1], 30, 1) == 1, w[2], w[2] & U64(0xFFFF))
        nets = np.array(expect.NETS, np.uint64)[bits(w[1], 24, 3)]
        zero = np.zeros(self.count, np.uint64)
        client_high = np.where(self.v6, U64(0x20010DB800010000) | site, zero)
        client_low = np.where(self.v6, host, U64(0x0A000000) | w[1] & U64(0xFFFFFF))
        server_high = np.where(self.v6, U64(0x20010DB8000F0000) | w[1] >> U64(24) & U64(7), zero)
        server_low = np.where(self.v6, skewed, nets + skewed)
        high, low = swapped(self.turned, client_high, server_high), swapped(self.turned, client_low, server_low)
        self.src, self.dst = (Addresses(self.v6, h, at) for h, at in zip(high, low))

    def v5_ends(self):
        low = self.n & U64(0xFFFFFF)
        high = (self.n >> U64(24) ^ words(self.run.seed, low, 15)) & U64(0xFFFF)
        zero = np.zeros(self.count, np.uint64)
        self.src = Addresses(self.v6, zero, U64(0x0A000000) + low)
        self.dst = Addresses(self.v6, zero, U64(0xAC100000) + high)
        which = np.array(expect.ICMP)[bits(self.w[0], 8, 2)]
        self.icmp_type, self.icmp_code = which[:, 0], which[:, 1]
        # The port carries type and code, and the record's field is dstport.
        self.dst_port = np.where(self.icmp, self.icmp_type * 256 + self.icmp_code, self.dst_port)

    def clock(self):
        w4, run = self.w[4], self.run
        self.moment = run.base_ms + (self.n * U64(run.spread) // U64(1000)).astype(np.int64)
        self.end = self.moment - bits(w4, 24, 11)
        self.start = self.end - (bits(w4, 0, 17) >> bits(w4, 17, 4))
        self.exporter = (self.n % U64(run.exporters)).astype(np.int64)
        self.domain = run.domain + self.exporter

    def counters(self):
        w3 = self.w[3]
        self.packets = 1 + (bits(w3, 0, 20) >> bits(w3, 20, 5) % 21)
        self.bytes = self.packets * (40 + bits(w3, 32, 11) % 1461)
        self.reverse_packets = np.zeros_like(self.packets) if self.is_v5 else self.packets * bits(w3, 48, 4) >> 3
        self.reverse_bytes = self.reverse_packets * (40 + bits(w3, 52, 10))
        self.flags = np.where(self.tcp, np.array(expect.FLAGS)[bits(self.w[0], 48, 3)], 0)


def common_fields(f):
    w, run = f.w, f.run
    plain = {"event_time": f.end, "flow_start_time": f.start, "flow_end_time": f.end, "src_port": f.src_port,
             "dst_port": f.dst_port, "protocol_number": f.protocol, "tcp_flags": f.flags,
             "ip_tos": np.array(expect.TOS)[bits(w[0], 40, 3)], "bytes": f.bytes, "packets": f.packets,
             "in_interface": 1 + bits(w[0], 52, 4), "out_interface": 1 + bits(w[0], 56, 4),
             "src_as_number": 64512 + bits(w[4], 36, 6), "dst_as_number": 1 + bits(w[4], 42, 14 if f.is_v5 else 18),
             "observation_domain_id": f.domain}
    names = [expect.PROTOCOL.get(i, "") for i in range(256)]
    return {**{name: pa.array(v) for name, v in plain.items()},
            "protocol": pick(names, f.protocol), "source": pick([run.source], np.zeros(f.count, np.int64)),
            "exporter_ip": pick(run.exporter_ips, f.exporter), "src_ip": f.src.text(), "dst_ip": f.dst.text()}


def v5_fields(f):
    everyone = np.ones(f.count, np.int64)
    plain = {"src_prefix_len": 16 + 4 * bits(f.w[4], 60, 2), "dst_prefix_len": 16 + 4 * bits(f.w[4], 62, 2),
             "tcp_flags_forward": f.flags, "sampling_rate": everyone, "sampling_algorithm": 0 * everyone}
    hop = bits(words(f.run.seed, f.n, 13), 24, 8)
    return {**{name: pa.array(v) for name, v in plain.items()},
            "next_hop": pick([f"192.0.2.{i}" for i in range(256)], hop),
            "icmp_type": where(f.icmp, f.icmp_type), "icmp_code": where(f.icmp, f.icmp_code),
            "event_type": pick(["network_connection"], 0 * everyone), "event_class": pick(["network"], 0 * everyone)}


def nprobe_fields(f):
    w, w5, w6 = f.w, f.w[5], f.w[6]
    https, asks = f.tcp & (f.service_port == 443), f.udp & (f.service_port == 53)
    http = f.tcp & np.isin(f.service_port, (80, 8080))
    named = https | http | asks
    left = ((w6[named] & U64(0xFFFFFFFF)) >> (w6[named] >> U64(32) & U64(31))).tolist()
    right = bits(w6[named], 52, 4).tolist()
    text = scatter(named, ["%x.%s" % (a, expect.DOMAINS[b]) for a, b in zip(left, right)])
    third = [HEX.take(pa.array(bits(w5, at, 8))) for at in (16, 8, 0)]
    apps = [(l7, name) for _, l7, name in expect.TCP + expect.UDP] + expect.TLS + [(81, "ICMP"), (102, "ICMPV6")]
    app = np.where(f.icmp, np.where(f.v6, 41, 40), np.where(https, 32 + bits(w6, 60, 3), f.service))
    kind = np.select((https, http, asks), (1, 2, 3), 0)
    only_tcp = {"client_latency_us": bits(w5, 36, 8) * 1000, "server_latency_us": bits(w5, 44, 8) * 1000,
                "tcp_retransmits_forward": bits(w5, 52, 3), "tcp_retransmits_reverse": bits(w5, 55, 3)}
    plain = {"ip_version": np.where(f.v6, 6, 4), "src_vlan": 1 + bits(w5, 24, 12) % 100, "reverse_packets": f.reverse_packets,
             "reverse_bytes": f.reverse_bytes, "dns_rcode": np.where(asks & (bits(w5, 58, 3) == 0), 3, 0),
             **{name: np.where(f.tcp, v, 0) for name, v in only_tcp.items()}}
    return {**{name: pa.array(v) for name, v in plain.items()},
            "flow_id": pc.cast(pa.array(f.n.astype(np.int64)), pa.string()),
            "src_mac": pc.binary_join_element_wise("02:5e:00", *third, ":"),
            "app_id": pick([str(a) for a, _ in apps], app), "app_name": pick([a for _, a in apps], app),
            "dns_query": where(asks, text), "tls_sni": where(https, text), "http_host": where(http, text),
            "ja3_client": where(https, pick(expect.JA3, bits(w6, 37, 6))),
            "event_type": pick(["network_connection", "ssl", "http", "dns"], kind),
            "event_class": pick(["network", "crypto", "application", "dns"], kind)}, app, [a for a, _ in apps]


# --- enriched ----------------------------------------------------------------------------------

def network(f):
    out, private = {}, []
    for side, addresses in (("src", f.src), ("dst", f.dst)):
        scope = addresses.scope()
        is_private = np.isin(scope, [SCOPE_NAMES.index(s) for s in PRIVATE])
        private.append(is_private)
        out[f"{side}_ip_scope"], out[f"{side}_ip_is_private"] = pick(SCOPE_NAMES, scope), pa.array(is_private)
    out["direction"] = pick(DIRECTIONS, 2 * private[0] + private[1])
    return out


def rows_of(*path):
    with open(os.path.join(TABLES, *path), encoding="utf-8") as table:
        return [line.rstrip("\n").split("\t") for line in table if line.strip() and not line.startswith("#")]


def services():
    """Names by protocol and port."""
    return {(number, int(port)): name for port, name, protocols in (row[:3] for row in rows_of("services.tsv"))
            for number, protocol in ((TCP, "tcp"), (UDP, "udp")) if protocol in protocols.split(",")}


def service(f):
    names = services()
    texts = [None, *sorted(set(names.values())), "unknown"]
    place = {name: i for i, name in enumerate(texts)}
    by_port = np.zeros((2, 65536), np.int64)
    for (protocol, port), name in names.items():
        by_port[int(protocol == UDP), port] = place[name]
    src_name, dst_name = by_port[f.udp.astype(int), f.src_port], by_port[f.udp.astype(int), f.dst_port]
    # Did the destination answer, or does the source ask?  Then the destination is the server.
    told = (f.reverse_packets > 0) | (f.reverse_bytes > 0) | (f.tcp & (f.flags & (SYN | ACK) == SYN))
    by_table = (src_name > 0) != (dst_name > 0)
    is_src = ~told & np.where(by_table, src_name > 0, f.src_port < f.dst_port)
    first, second = swapped(~is_src, src_name, dst_name)
    name = np.select((first > 0, second > 0), (first, second), place["unknown"])
    ports = ~f.icmp
    address = pc.if_else(pa.array(is_src), f.src.text(), f.dst.text())
    return {"server_ip": where(ports, address), "server_port": where(ports, np.where(is_src, f.src_port, f.dst_port)),
            "service_name": where(ports, pick(texts, name))}


def community_ends(f):
    """What stands where ports stand, and whether the order of the ends is to be kept."""
    # Without icmp_type the destination port carries type and code.
    kind, code = f.dst_port >> 8, f.dst_port & 255
    pair = np.full((2, 256), -1)
    for row, protocol in enumerate((1, 58)):
        for a, b in ICMP_PAIRS[protocol].items():
            pair[row, a] = b
    other = pair[f.v6.astype(int), kind & 255]
    one_way = f.icmp & (other < 0)
    return np.where(f.icmp, kind, f.src_port), np.where(f.icmp, np.where(one_way, code, other), f.dst_port), one_way


def community_id(f):
    a_port, b_port, one_way = community_ends(f)
    a, b = f.src, f.dst
    same = (a.high == b.high) & (a.low == b.low)
    behind = (a.high > b.high) | ((a.high == b.high) & (a.low > b.low)) | (same & (a_port > b_port))
    turn = behind & ~one_way
    high, low, ports = swapped(turn, a.high, b.high), swapped(turn, a.low, b.low), swapped(turn, a_port, b_port)
    out = np.empty(f.count, dtype=object)
    for v6 in (False, True):
        rows = f.v6 == v6
        kinds = [("seed", ">u2")] + ([(x, ">u8") for x in ("sh", "sl", "dh", "dl")] if v6 else [("sl", ">u4"), ("dl", ">u4")])
        kinds += [("protocol", "u1"), ("pad", "u1"), ("sp", ">u2"), ("dp", ">u2")]
        m = np.zeros(int(rows.sum()), np.dtype(kinds))
        columns = {"sh": high[0], "sl": low[0], "dh": high[1], "dl": low[1], "protocol": f.protocol, "sp": ports[0], "dp": ports[1]}
        for name in m.dtype.names:
            if name in columns:
                m[name] = columns[name][rows]
        octets, size = m.tobytes(), m.dtype.itemsize
        out[rows] = ["1:" + base64.b64encode(hashlib.sha1(octets[i:i + size]).digest()).decode()
                     for i in range(0, len(octets), size)]
    return {"community_id": pa.array(out, pa.string())}


def ndpi(app, numbers):
    """`numbers` are nDPI's, `app` the place of each flow's in it."""
    names = {int(row[0]): row for row in rows_of("ndpi", "2026", "protocols.tsv")}
    return {column: pick([names[n][at] or None for n in numbers], app)
            for column, at in (("ndpi_app", 1), ("ndpi_breed", 5), ("ndpi_category", 6))}


def state_of(flags):
    if flags & RST:
        return "reset"
    if flags & FIN and flags & ACK:
        return "closed"
    if flags & ACK:
        return "established"
    return "syn_only" if flags & SYN and not flags & FIN else "unknown"


def derived(f):
    texts = ["".join(letter if flags >> bit & 1 else "." for bit, letter in enumerate("FSRPAUECN")) for flags in range(512)]
    out = {"duration_ms": pa.array(f.end - f.start), "is_biflow": pa.array(np.full(f.count, not f.is_v5)),
           "tcp_flags_text": where(f.tcp, pick(texts, f.flags)),
           "tcp_session_state": where(f.tcp, pick([state_of(flags) for flags in range(512)], f.flags)),
           "dedup_key": dedup_key(f)}
    if f.is_v5:  # the only one whose header says the rate
        names = [ICMP_NAMES[pair] for pair in zip(f.icmp_type[f.icmp].tolist(), f.icmp_code[f.icmp].tolist())]
        out.update(bytes_corrected=pa.array(f.bytes), packets_corrected=pa.array(f.packets), is_sampled=pa.array(f.icmp & False),
                   icmp_name=scatter(f.icmp, names))
    return out


def dedup_key(f):
    exporters = expect.ipv4_number(f.run.exporter_ips[0]) + f.exporter
    exporter = Addresses(f.v6 & False, np.zeros(f.count, np.uint64), exporters.astype(np.uint64))
    numbers = (f.domain, f.protocol, f.src_port, f.dst_port, f.start, f.end)
    columns = [half for side in (exporter, f.src, f.dst) for half in side.mapped()] + list(numbers)
    octets = np.stack([c.astype(np.uint64) for c in columns], axis=1).astype(">u8").tobytes()
    return pa.array([xxhash.xxh3_128_hexdigest(octets[i:i + 96]) for i in range(0, len(octets), 96)])


def totals(f):
    octets, packets = f.bytes + f.reverse_bytes, f.packets + f.reverse_packets
    seconds = np.maximum(f.end - f.start, 1) / 1000
    out = {"total_bytes": octets, "total_packets": packets, "bytes_per_second": octets / seconds,
           "packets_per_second": packets / seconds, "bytes_per_packet": octets / packets}
    if not f.is_v5:
        out["byte_ratio"] = f.reverse_bytes / f.bytes
    return {**{name: pa.array(v) for name, v in out.items()}, "ip_family": pick(["ipv4", "ipv6"], f.v6.astype(np.int64))}


def calendar(f):
    """One look into Python's calendar for each hour that is there."""
    hours, place = np.unique(f.end // 3600000, return_inverse=True)
    moments = [datetime.fromtimestamp(3600 * int(h), timezone.utc) for h in hours]
    parts = {"event_year": [t.year for t in moments], "event_month": [t.month for t in moments],
             "event_day": [t.day for t in moments], "event_hour": [t.hour for t in moments],
             "event_weekday": [t.isoweekday() % 7 for t in moments],
             "event_date": [t.date().toordinal() - 719163 for t in moments]}  # 1970-01-01 is day 719163
    return {name: pa.array(np.array(v)[place]) for name, v in parts.items()}


def chunk(run_words, first, count):
    f = Flows(expect.Run(*run_words), first, count)
    columns = common_fields(f)
    if f.is_v5:
        columns.update(v5_fields(f))
    else:
        own, app, numbers = nprobe_fields(f)
        columns.update(own)
        columns.update(ndpi(app, numbers))
    for enricher in (network, service, community_id, derived, totals, calendar):
        columns.update(enricher(f))
    return columns


def truth(run_words):
    """All columns that are not null, by name."""
    run = expect.Run(*run_words)
    starts = range(run.first, run.first + run.flows, CHUNK)
    counts = [min(CHUNK, run.first + run.flows - at) for at in starts]
    if len(counts) == 1:
        return chunk(run_words, run.first, run.flows)
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        parts = list(pool.map(chunk, [run_words] * len(counts), starts, counts))
    return {name: pa.concat_arrays([part[name] for part in parts]) for name in parts[0]}


def prove(columns, run_words, count=200):
    """The first flows must be what expect.py says of them; returns which fields were compared."""
    run = expect.Run(*run_words)
    compared = set()
    for i in range(min(count, run.flows)):
        for name, value in run.expect(run.first + i).normalized.items():
            got = columns[name][i].as_py() if name in columns else None
            assert got == value, f"{name} of flow {run.first + i}: {got!r}, and expect.py says {value!r}"
            compared.add(name)
    return compared
