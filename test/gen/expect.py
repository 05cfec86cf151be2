# SPDX-License-Identifier: Apache-2.0
"""What flow number n of a sluicegen run must look like in the canonical record.

Written from the description in gen_value.h, not from the code of sluicegen or sluiced.

Run(...).expect(n) gives an Expected: what must stand in normalized and raw, field by field.
"""
import struct
from socket import AF_INET6, inet_ntop

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
UPTIME_MS = 259200 * 1000
NTP_EPOCH_S = 2208988800
LONG_MAX = (1 << 63) - 1

SOURCE = {"v5": "netflow5", "v9": "netflow9", "ipfix": "ipfix", "sflow": "sflow5"}
VERSION = {"v5": 5, "v9": 9, "ipfix": 10, "sflow": 105}
FIXED = {"v5": "fixed", "sflow": "sample"}  # what has no templates
DOMAIN = {"basic": 100000, "nprobe": 200000, "rich": 300000}
TEMPLATE_ID = {"basic": (256, 257), "nprobe": (260, 260), "rich": (270, 271)}

TCP = ([(443, 91, "TLS")] * 6 + [(80, 7, "HTTP")] * 2 + [
    (8080, 7, "HTTP"), (22, 92, "SSH"), (25, 3, "SMTP"), (3306, 20, "MySQL"),
    (5432, 19, "PostgreSQL"), (993, 51, "IMAPS"), (445, 41, "SMBv23"), (179, 13, "BGP")])
UDP = ([(53, 5, "DNS")] * 6 + [(443, 188, "QUIC")] * 3 + [
    (123, 9, "NTP"), (161, 14, "SNMP"), (514, 17, "Syslog"), (1194, 159, "OpenVPN"),
    (4500, 79, "IPSec"), (5060, 100, "SIP"), (67, 18, "DHCP")])
TLS = [(91, "TLS"), (126, "TLS.Google"), (212, "TLS.Microsoft"), (265, "TLS.AmazonAWS"),
       (220, "TLS.Cloudflare"), (203, "TLS.Github"), (133, "TLS.NetFlix"), (140, "TLS.Apple")]
DOMAINS = ["example.com", "example.net", "example.org", "www.example.com", "cdn.example.net",
           "api.example.org", "mail.example.com", "img.cdn.example.net", "shop.example.org",
           "login.example.com", "static.example.net", "video.example.org", "ns1.example.com",
           "updates.example.net", "a.b.c.example.org", "telemetry.example.com"]
NETS = [0xC6120000, 0xC6130000, 0x64400000, 0xAC100000, 0xC0A80000, 0xCB000000, 0xC0000000,
        0xC6330000]
ICMP = [(8, 0), (0, 0), (3, 3), (11, 0)]
ICMP6 = [(128, 0), (129, 0), (1, 4), (3, 0)]
TOS = [0, 0, 0, 0, 0x28, 0x48, 0x88, 0xB8]
FLAGS = [0x02, 0x12, 0x14, 0x18, 0x1A, 0x1B, 0x1B, 0x1F]
PROTOCOL = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp"}


def word(seed, index):
    """Output number `index` of the splitmix64 sequence from state `seed`."""
    z = (seed + (index + 1) * GOLDEN) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


JA3 = ["%016x%016x" % (word(0x6A6133, 2 * i), word(0x6A6133, 2 * i + 1)) for i in range(64)]


def bits(value, at, count):
    return value >> at & ((1 << count) - 1)


def ipv4(number):
    return "%d.%d.%d.%d" % (number >> 24, number >> 16 & 255, number >> 8 & 255, number & 255)


def ipv6(high, low):
    return inet_ntop(AF_INET6, struct.pack(">QQ", high, low))


def mac(third, low24):
    return "02:5e:%02x:%02x:%02x:%02x" % (third, low24 >> 16, low24 >> 8 & 255, low24 & 255)


def ipv4_number(text):
    parts = [int(p) for p in text.split(".")]
    if len(parts) != 4:
        raise ValueError(text)
    return parts[0] << 24 | parts[1] << 16 | parts[2] << 8 | parts[3]


class Expected:
    """What one record must say.

    normalized  field: value (None: must be null)
    ranges      (field, least, greatest)
    elements    raw.elements key: text, or a function of the text
    either      (field, value, key, text): in the field, or under the key in raw.elements
    """
    __slots__ = ("normalized", "ranges", "elements", "either", "template_id")

    def __init__(self, normalized, template_id):
        self.normalized = normalized
        self.template_id = template_id
        self.ranges = ()
        self.elements = {}
        self.either = ()


class Run:
    """The constants of one run of sluicegen; names as its result line has them."""

    def __init__(self, protocol, template, flows, exporters=1, seed=1, time=0, base="127.0.1.1",
                 first=0, spread=2, domain=None):
        self.protocol = protocol
        self.template = FIXED.get(protocol, template)
        self.flows = flows
        self.exporters = exporters
        self.seed = seed
        self.base_ms = time * 1000
        self.first = first
        self.spread = spread
        self.domain = domain
        if domain is None:
            self.domain = 0 if protocol in FIXED else DOMAIN[template]
        self.source = SOURCE[protocol]
        self.version = VERSION[protocol]
        number = ipv4_number(base)
        self.exporter_ips = [ipv4(number + k) for k in range(exporters)]
        self.exporter_set = frozenset(self.exporter_ips)
        self.expect = {"fixed": self.v5, "basic": self.basic, "nprobe": self.nprobe,
                       "rich": self.rich, "sample": self.sample}[self.template]
        self.number_of = self.number_of_v5 if protocol == "v5" else self.number_of_flow_id

    def number_of_flow_id(self, normalized):
        return int(normalized["flow_id"])

    def number_of_v5(self, normalized):
        low = ipv4_number(normalized["src_ip"]) & 0xFFFFFF
        high = ipv4_number(normalized["dst_ip"]) ^ word(self.seed, 16 * low + 15)
        return (high & 0xFFFF) << 24 | low

    def domain_of(self, exporter):
        domain = self.domain + exporter
        return domain & 0xFFFF if self.protocol == "v5" else domain

    def is_v6(self, n, w0):
        if self.template == "nprobe":
            return bits(w0, 32, 3) < 2
        return self.template != "fixed" and n // self.exporters % 8 >= 5

    def common(self, n, w0, v6):
        """The fields of every template but the addresses; and the service, None for ICMP."""
        seed = self.seed
        w3 = word(seed, 16 * n + 3)
        w4 = word(seed, 16 * n + 4)
        kind = w0 & 255
        flags = 0
        if kind >= 243:
            service = None
            protocol = 58 if v6 else 1
            src_port = dst_port = 0
        else:
            if kind < 160:
                protocol = 6
                service = TCP[w0 >> 8 & 15]
                flags = FLAGS[w0 >> 48 & 7]
            else:
                protocol = 17
                service = UDP[w0 >> 8 & 15]
            src_port = 32768 + (w0 >> 16 & 32767) % 28232
            dst_port = service[0]
            if w0 >> 12 & 1:
                src_port, dst_port = dst_port, src_port
        packets = 1 + ((w3 & 0xFFFFF) >> (w3 >> 20 & 31) % 21)
        end_ms = self.base_ms + n * self.spread // 1000 - (w4 >> 24 & 2047)
        exporter = n % self.exporters
        family = 2 if v6 else 1
        fields = {
            "source": self.source,
            "exporter_ip": self.exporter_ips[exporter],
            "observation_domain_id": self.domain_of(exporter),
            "event_time": end_ms,
            "flow_start_time": end_ms - ((w4 & 0x1FFFF) >> (w4 >> 17 & 15)),
            "flow_end_time": end_ms,
            "src_port": src_port,
            "dst_port": dst_port,
            "protocol_number": protocol,
            "protocol": PROTOCOL[protocol],
            "tcp_flags": flags,
            "ip_tos": TOS[w0 >> 40 & 7],
            "bytes": packets * (40 + (w3 >> 32 & 2047) % 1461),
            "packets": packets,
            "in_interface": 1 + (w0 >> 52 & 15),
            "out_interface": 1 + (w0 >> 56 & 15),
            "src_as_number": 64512 + (w4 >> 36 & 63),
            "dst_as_number": 1 + (w4 >> 42 & 0x3FFFF),
            "src_prefix_len": (16 + 4 * (w4 >> 60 & 3)) * family,
            "dst_prefix_len": (16 + 4 * (w4 >> 62 & 3)) * family,
        }
        if self.protocol != "v5":
            fields["flow_id"] = str(n)
            fields["src_ip"], fields["dst_ip"] = self.addresses(n, w0, v6)
        return fields, service, w3

    def addresses(self, n, w0, v6):
        w1 = word(self.seed, 16 * n + 1)
        skewed = w1 >> 32 & w1 >> 48 & 0xFFFF
        if v6:
            w2 = word(self.seed, 16 * n + 2)
            client = ipv6(0x20010DB800010000 | w1 & 0xFFFF, w2 if w1 >> 30 & 1 else w2 & 0xFFFF)
            server = ipv6(0x20010DB8000F0000 | w1 >> 24 & 7, skewed)
        else:
            client = ipv4(0x0A000000 | w1 & 0xFFFFFF)
            server = ipv4(NETS[w1 >> 24 & 7] + skewed)
        return (server, client) if w0 >> 12 & 1 else (client, server)

    def reverse(self, fields, w3):
        packets = fields["packets"] * (w3 >> 48 & 15) >> 3
        fields["reverse_packets"] = packets
        fields["reverse_bytes"] = packets * (40 + (w3 >> 52 & 1023))

    def v5(self, n):
        w0 = word(self.seed, 16 * n)
        fields, service, _ = self.common(n, w0, False)
        low = n & 0xFFFFFF
        high = (n >> 24 ^ word(self.seed, 16 * low + 15)) & 0xFFFF
        fields["src_ip"] = ipv4(0x0A000000 + low)
        fields["dst_ip"] = ipv4(0xAC100000 + high)
        fields["dst_as_number"] = 1 + bits(word(self.seed, 16 * n + 4), 42, 14)
        fields["next_hop"] = "192.0.2.%d" % bits(word(self.seed, 16 * n + 13), 24, 8)
        e = Expected(fields, None)
        if service is None:
            kind, code = ICMP[w0 >> 8 & 3]
            # The port carries type and code; whether it is also a port is the reader's choice.
            del fields["dst_port"]
            fields["icmp_type"], fields["icmp_code"] = kind, code
        return e

    def sample(self, n):
        """Times are the receiver's own.  The number is not in normalized: sample_number() has it from raw, too."""
        w = [word(self.seed, 16 * n + k) for k in range(16)]
        v6 = bits(w[0], 32, 3) < 2
        fields, service, _ = self.common(n, w[0], v6)
        j = n // self.exporters
        sub_agent, lane, pair = j // 64 % 2, j % 4, j // 128
        place = pair * 16 + j % 64 // 4
        tagged = bits(w[5], 62, 2) == 0
        vlan = 1 + bits(w[5], 24, 12) % 100
        ip_octets = min(1500, 40 + bits(w[3], 32, 11) % 1461 + 20 * v6)
        frame = max(60, 14 + 4 * tagged + ip_octets)
        for name in ("flow_id", "event_time", "flow_start_time", "flow_end_time", "src_as_number", "dst_as_number"):
            del fields[name]
        fields.update(
            bytes=frame, packets=1, sampling_rate=256 << lane, observation_domain_id=self.domain + sub_agent,
            exporter_reported_ip=fields["exporter_ip"], src_mac=mac(0, bits(w[5], 0, 24)), dst_mac=mac(1, bits(w[12], 0, 24)),
            src_vlan=vlan, dst_vlan=1, ip_version=6 if v6 else 4, ip_ttl_min=64,
            next_hop=hop(v6, 0xC0000200, 2, bits(w[13], 24, 8)))
        e = Expected(fields, None)
        if service is None:
            fields["icmp_type"], fields["icmp_code"] = (ICMP6 if v6 else ICMP)[bits(w[0], 8, 2)]
            fields["src_port"] = fields["dst_port"] = None
        if fields["protocol_number"] != 6:
            fields["tcp_flags"] = None
        e.elements = {
            "sflow.sampleSequence": str(place + 1), "sflow.sourceClass": "0", "sflow.sourceIndex": str(1 + 4 * sub_agent + lane),
            "sflow.samplePool": str((place + 1) * (256 << lane) & 0xFFFFFFFF), "sflow.sampleDrops": str(place // 50),
            "sflow.frameLength": str(frame + 4), "sflow.strippedOctets": "4"}
        if tagged:
            e.elements["dot1qVlanId"] = str(vlan)
        return e

    def sample_number(self, normalized, elements):
        """The number of a sample: which of its source's it is."""
        sub_agent = normalized["observation_domain_id"] - self.domain
        place, lane = int(elements["sflow.sampleSequence"]) - 1, int(elements["sflow.sourceIndex"]) - 1 - 4 * sub_agent
        j = place // 16 * 128 + sub_agent * 64 + place % 16 * 4 + lane
        return j * self.exporters + self.exporter_ips.index(normalized["exporter_reported_ip"])

    def basic(self, n):
        w0 = word(self.seed, 16 * n)
        v6 = self.is_v6(n, w0)
        fields, _, _ = self.common(n, w0, v6)
        return Expected(fields, TEMPLATE_ID["basic"][v6])

    def nprobe(self, n):
        seed = self.seed
        w0 = word(seed, 16 * n)
        v6 = w0 >> 32 & 7 < 2
        fields, service, w3 = self.common(n, w0, v6)
        w5 = word(seed, 16 * n + 5)
        protocol = fields["protocol_number"]
        tcp = protocol == 6
        query = sni = host = ja3 = None
        if service is None:
            l7, name = (102, "ICMPV6") if v6 else (81, "ICMP")
        else:
            port, l7, name = service
            w6 = word(seed, 16 * n + 6)
            text = "%x.%s" % ((w6 & 0xFFFFFFFF) >> (w6 >> 32 & 31), DOMAINS[w6 >> 52 & 15])
            if tcp:
                if port == 443:
                    sni = text
                    ja3 = JA3[w6 >> 37 & 63]
                    l7, name = TLS[w6 >> 60 & 7]
                elif port in (80, 8080):
                    host = text
            elif port == 53:
                query = text
        self.reverse(fields, w3)
        del fields["src_prefix_len"], fields["dst_prefix_len"]
        fields.update(
            ip_version=6 if v6 else 4, src_mac=mac(0, w5 & 0xFFFFFF),
            src_vlan=1 + (w5 >> 24 & 4095) % 100, app_id=str(l7), app_name=name,
            client_latency_us=(w5 >> 36 & 255) * 1000 if tcp else 0,
            server_latency_us=(w5 >> 44 & 255) * 1000 if tcp else 0,
            tcp_retransmits_forward=w5 >> 52 & 7 if tcp else 0,
            tcp_retransmits_reverse=w5 >> 55 & 7 if tcp else 0,
            dns_rcode=3 if query and w5 >> 58 & 7 == 0 else 0, dns_query=query, tls_sni=sni,
            http_host=host, ja3_client=ja3, user_name=None, post_bytes=None, post_packets=None)
        return Expected(fields, TEMPLATE_ID["nprobe"][0])

    def rich(self, n):
        w = [word(self.seed, 16 * n + k) for k in range(16)]
        v6 = self.is_v6(n, w[0])
        fields, _, w3 = self.common(n, w[0], v6)
        e = Expected(fields, TEMPLATE_ID["rich"][v6])
        rich_fields(e, w, v6)
        rich_times(e, w, v6)
        rich_elements(e, n, w, v6, self.protocol == "ipfix")
        if self.protocol == "ipfix":
            self.reverse(fields, w3)
        return e


def hop(v6, net, site, host):
    return ipv6(0x20010DB800000000 | site << 16, host) if v6 else ipv4(net | host)


def rich_fields(e, w, v6):
    is_icmp = e.normalized["protocol_number"] in (1, 58)
    icmp = (ICMP6 if v6 else ICMP)[bits(w[0], 8, 2)] if is_icmp else (0, 0)
    total = w[7] | 1 << 63 if bits(w[7], 0, 6) == 0 else w[7] >> 24
    user = "už-%x" % bits(w[14], 23, 16) if bits(w[14], 21, 2) else None
    e.normalized.update(
        bytes_total=min(total, LONG_MAX), packets_total=bits(w[8], 0, 40),
        flow_end_reason=1 + bits(w[9], 0, 8) % 5,
        flow_direction=("ingress", "egress")[bits(w[9], 48, 1)],
        src_mac=mac(0, bits(w[5], 0, 24)), dst_mac=mac(1, bits(w[12], 0, 24)),
        src_vlan=bits(w[9], 49, 12), dst_vlan=bits(w[10], 0, 12),
        mpls_labels=[bits(w[9], 8, 20), bits(w[9], 28, 20), bits(w[10], 0, 20)],
        next_hop=hop(v6, 0xC0000200, 2, bits(w[13], 24, 8)),
        bgp_next_hop=hop(v6, 0xC6336400, 3, bits(w[13], 32, 8)),
        nat_src_ip=hop(v6, 0xCB007100, 5, bits(w[13], 48, 8)),
        nat_dst_ip=hop(v6, 0xC6336400, 6, bits(w[13], 56, 8)),
        dst_next_as=bits(w[9], 0, 32), src_prev_as=bits(w[9], 32, 32),
        nat_src_port=bits(w[11], 28, 16), nat_dst_port=bits(w[11], 44, 16),
        nat_event=bits(w[11], 60, 4), nat_port_range_start=bits(w[12], 0, 16),
        nat_port_range_end=bits(w[12], 16, 16), firewall_event=bits(w[11], 20, 8) % 6,
        ip_ttl_min=bits(w[12], 48, 8), ip_ttl_max=bits(w[12], 56, 8),
        packet_size_min=bits(w[13], 0, 16), packet_size_max=bits(w[13], 16, 16),
        ip_fragment_id=bits(w[13], 0, 16), ip_fragment_offset=bits(w[13], 16, 13),
        icmp_type=icmp[0], icmp_code=icmp[1], ip_dscp=bits(w[7], 0, 6),
        ipv6_flow_label=bits(w[7], 6, 20) if v6 else None,
        ingress_vrf=bits(w[7], 26, 24), egress_vrf=bits(w[7], 40, 24),
        biflow_direction=bits(w[10], 62, 2), forwarding_status=bits(w[10], 54, 8),
        observation_point_id=bits(w[8], 8, 32), dropped_bytes=bits(w[15], 0, 40),
        dropped_packets=bits(w[15], 20, 40), flow_count=bits(w[15], 40, 16),
        app_id="13:%d" % bits(w[14], 0, 12), app_name=UDP[bits(w[0], 8, 4)][2], user_name=user)
    if total > LONG_MAX:
        e.elements["octetTotalCount"] = str(total)


def rich_times(e, w, v6):
    add_ns = (10 + bits(w[8], 56, 7)) * 1000
    slack_ns = 500  # microseconds carry 21 bits of fraction
    if v6:
        add_ns += bits(w[8], 40, 7)
        slack_ns = 1
    start_ns = e.normalized["flow_start_time"] * 1000000 + add_ns
    end_ns = e.normalized["flow_end_time"] * 1000000 + add_ns
    e.ranges = (("flow_start_ns", start_ns, start_ns + slack_ns),
                ("flow_end_ns", end_ns, end_ns + slack_ns))


def ntp_hex(ms):
    """NTP time of a whole millisecond, as sluicegen rounds it: eleven zero bits at the end."""
    fraction = -(-(ms % 1000 << 32) // 1000)
    fraction = (fraction + 2047) & ~2047
    return "%016x" % ((ms // 1000 + NTP_EPOCH_S) << 32 | fraction)


def is_double(value):
    return lambda text: float(text) == value


def is_single(value):
    octets = struct.pack(">f", value)
    return lambda text: struct.pack(">f", float(text)) == octets


def rich_elements(e, n, w, v6, ipfix):
    """Elements that no canonical field takes: they must stand in raw.elements."""
    end_ms = e.normalized["flow_end_time"]
    narrow = bits(w[11], 0, 20) / 256
    signed = bits(w[12], 32, 16)
    count = bits(w[14], 16, 5) + (0 if bits(w[14], 12, 4) else 255)
    repeated = "%016x" % w[15]
    section = 20 + bits(w[14], 39, 4) if ipfix else 20
    unknown = bits(w[14], 43, 4) if ipfix else 5
    label_address = hop(v6, 0xCB007100, 4, bits(w[13], 40, 8))
    e.elements.update({
        "ingressInterface#2": str(bits(w[8], 40, 16)),
        "postSourceMacAddress": mac(2, bits(w[12], 24, 24)),
        "postDestinationMacAddress": mac(3, bits(w[13], 0, 24)),
        "dot1qVlanId": str(bits(w[10], 12, 12)),
        "mplsTopLabelIPv6Address" if v6 else "mplsTopLabelIPv4Address": label_address,
        "absoluteError": is_double(bits(w[10], 21, 40) / 1024),
        "relativeError": is_single(narrow) if ipfix else is_double(narrow),
        "dataRecordsReliability": ("true", "false")[bits(w[10], 20, 1)],
        "observationTimeSeconds": str(end_ms // 1000),
        "observationTimeMilliseconds": str(end_ms),
        "observationTimeMicroseconds": ntp_hex(end_ms),
        "observationTimeNanoseconds": ntp_hex(end_ms),
        "mibObjectValueInteger": str(signed - 65536 if signed >= 32768 else signed),
        "e0id32000": "%010x" % bits(w[15], 24, 40),
        "postMCastPacketDeltaCount": str(bits(w[8], 16, 32)),
        "postMCastPacketDeltaCount#2": str(bits(w[8], 24, 32)),
        "ipHeaderPacketSection": (repeated * 5)[:2 * section],
    })
    if count:
        e.elements["applicationDescription"] = "".join(
            chr(97 + (n + i) % 26) for i in range(count))
    if unknown:
        key = "e32473id77" if ipfix else "v9.45678"
        e.elements[key] = (repeated * 2)[:2 * unknown]
    name = "eth%d" % e.normalized["in_interface"]
    e.either = (("in_interface_name", name, "interfaceName", name),)
