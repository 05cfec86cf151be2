# SPDX-License-Identifier: Apache-2.0
"""Goal: every promote line that is shipped does what it says, and every element that is defined has its name and type.

Method: one capture for each question, replayed by sluiced through both decoders, which must read it alike.  Each line of each mapping
gets a template with its element alone (and what `when` asks for), and a record with a value that is known here; the field, all other
fields, the event type and what stands in raw are computed from what the elements' owners say (shipped/elements.tsv), not from sluice's
code.  With SLUICE_COVERAGE=FILE every proven line is appended to FILE as `field<TAB>element`.
"""
import ipaddress
import json
import os
import re
import struct
import subprocess
from collections import defaultdict, namedtuple

import pytest

from conftest import BUILD, ROOT

DATA = os.path.join(ROOT, "test", "system", "shipped")
NTOP, REVERSE, V9 = 35632, 29305, "v9"
VMWARE, PMACCT = 6876, 43874
PREFIX = {"cisco": 9, "cert": 6871, "ntop": NTOP, "vmware": VMWARE, "pmacct": PMACCT}
V9_NTOP = 57472  # types of nProbe's elements in NetFlow v9
NTP_1970 = 2208988800
EXPORT_S, UPTIME_MS = 1700000000, 100000000
BOOT_MS = EXPORT_S * 1000 - UPTIME_MS
BOOT, PADDING = (0, 160), (0, 210)

Line = namedtuple("Line", "mapping element pen id field how scale also")
Element = namedtuple("Element", "pen id name type unit")


def rows(name):
    with open(os.path.join(DATA, name), encoding="utf-8") as f:
        return [line.rstrip("\n").split("\t") for line in f if not line.startswith("#")]


ELEMENTS = {}  # (pen, id) as their owners define them
NAMES = {}     # the names that mappings use
for pen_text, number, words, kind, *unit in rows("elements.tsv"):
    who = V9 if pen_text == "v9" else int(pen_text)
    ELEMENTS[who, int(number)] = Element(who, int(number), words.split("|")[0], kind, "".join(unit))
    vendor = {v: k + "." for k, v in PREFIX.items()}.get(who, "")
    for word in words.split("|"):
        NAMES.setdefault(f"v9.{number}" if who == V9 else vendor + word, (who, int(number)))
for (who, number), one in list(ELEMENTS.items()):
    if who == 0:
        ELEMENTS[REVERSE, number] = one._replace(pen=REVERSE)
        NAMES["reverse." + one.name] = (REVERSE, number)

with open(os.path.join(ROOT, "normalizer", "fields.def"), encoding="utf-8") as fields_file:
    found_fields = re.findall(r'^FIELD\(normalized, (\w+), +(\w+), +\w+, "([^"]*)"', fields_file.read(), re.M)
    FIELD_TYPES, FIELD_UNITS = {f: t for f, t, _ in found_fields}, {f: u for f, _, u in found_fields}


def read_mapping(name):
    with open(os.path.join(ROOT, "templates", "mappings", name + ".conf"), encoding="utf-8") as f:
        # Lines of what stands inside lists: test_lists.py.
        text = re.sub(r"\binside = \(.*?\n  \);", "", re.sub(r"#.*", "", f.read()), flags=re.S)
    found = re.findall(r'\{\s*element = "([^"]+)";\s*field = "([^"]+)";([^}]*)\}', text)
    assert len(found) == len(re.findall(r"\belement\s*=", text)), f"{name}.conf has lines that this test does not read"
    lines = []
    for element, field, rest in found:
        how = re.search(r'as = "([^"]+)"', rest)
        scale = re.search(r"scale = (\d+)", rest)
        if element.startswith("sflow."):
            continue  # of headers of packets inside records: test_plan.c and test_psamp.py
        assert element in NAMES, f"{name}.conf: nobody defines {element}"
        lines.append(Line(name, element, *NAMES[element], field, how.group(1) if how else "natural",
                          int(scale.group(1)) if scale else 1, "also = true" in rest))
    return lines


# No template brings elements of sFlow: test_sflow.py proves the lines of its mapping.
SHIPPED = sorted(f[:-5] for f in os.listdir(os.path.join(ROOT, "templates", "mappings")) if f.endswith(".conf") and f != "sflow5.conf")
MAPPINGS = {name: read_mapping(name) for name in SHIPPED}
# How each arrives, and an element that makes `when` true and is not promoted, with its name in raw.
ARRIVES = {"iana": ((9, 10), None), "nprobe": ((9, 10), (NTOP, 105, "ntop.FLOW_PROTO_PORT")),
           "cisco": ((10,), (9, 8233, "cisco.C3PL_Class_Cce_id")), "cert": ((10,), (6871, 106, "cert.yafFlowKeyHash")),
           "vmware": ((10,), (VMWARE, 889, "vmware.vxlanExportRole")),
           "v9": ((9,), None), "v5": ((5,), None), "v1": ((1,), None), "v7": ((7,), None)}
FIXED = ("v1", "v5", "v7")  # formats without templates

# Values that tables know, by what IANA and ntop say of the numbers.
TABLES = {"protocolIdentifier": (6, "tcp"), "flowDirection": (1, "egress"), "firewallEvent": (3, "deny"), "cisco.fwEvent": (3, "deny"),
          "v9.40005": (3, "deny"), "forwardingStatus": (130, "drop"), "ntop.FLOW_VERDICT": (2, "drop")}
# Conversions that hold the whole value of an element; ms does of what is no finer.
WHOLE = {"natural", "ns", "uptime_ms", "unix_s", "unix_ms", "nonzero", "decimal", "ndpi", "hex", "bits", "flag", "address", "app_id", "append"}
EVENTS = {"dns_query": "dns", "http_host": "http", "http_url": "http", "tls_sni": "ssl", "ja3_client": "ssl", "ja4_client": "ssl",
          "nat_event": "nat", "firewall_event": "firewall"}
ENVELOPE = {"event_time", "ingest_time", "event_type", "event_class", "source", "export_time", "export_sequence", "exporter_ip",
            "exporter_port", "observation_domain_id"}


def ntp(n, fraction=0x20000000):
    return struct.pack(">II", EXPORT_S + n + NTP_1970, fraction)


def unsigned(kind, hows, wide, n):
    """A number of that type that the conversion and the field can hold."""
    size = int(kind[8:]) // 8
    if size == 8:
        v = (1 << 33) + n if wide else 0x01020000 + n
    else:
        v = {1: 1 + n % 200, 2: 0x100 * (1 + n % 100) + (n * 7 + 3) % 256, 4: 0x01020000 + n}[size]
    if "uptime_ms" in hows:
        v = 50000 + n
    elif "delta_us" in hows:
        v = 1500000 + 1000 * n
    elif "bits" in hows:
        v = 1 << 63 | n
    elif "low24" in hows:
        v = 1 << 56 | 0x123400 + n
    elif "flag" in hows:
        v = 1
    return v.to_bytes(size, "big")


def octets_of(pen, number, lines, n):
    """A value of the element: all its lines shall be able to hold it."""
    kind = ELEMENTS[pen, number].type
    hows = {line.how for line in lines}
    name = lines[0].element if lines else ""
    if name in TABLES:
        return bytes([TABLES[name][0]]) if kind != "unsigned16" and kind != "unsigned32" else \
            TABLES[name][0].to_bytes(int(kind[8:]) // 8, "big")
    if kind.startswith("unsigned") and kind != "unsigned256":
        return unsigned(kind, hows, all(FIELD_TYPES[line.field] != "I32" for line in lines), n)
    if "unix_us" in hows:
        return struct.pack(">Q", (EXPORT_S + n) * 1000000 + 123456)
    return {"string": b"404 no %03d" % n if "number" in hows else b"text %d \xc3\xa9" % n,
            "octetArray": bytes([3, 0, n >> 8, n & 255]) if "app_id" in hows else
                          (n << 4 | 0xb).to_bytes(3, "big") if "mpls_label" in hows or name == "vmware.tunnelKey" else bytes([n & 255]) + b"\x00\xff\x1a" * 5,
            "ipv4Address": bytes([192, 0, 2, 1 + n % 250]),
            "ipv6Address": ipaddress.ip_address("2001:db8::").packed[:14] + struct.pack(">H", n + 1),
            "macAddress": b"\x02\x5e\x00\x53" + struct.pack(">H", n), "boolean": b"\x01", "signed32": struct.pack(">i", -n - 1),
            "float64": struct.pack(">d", n + 0.5), "float32": struct.pack(">f", n + 0.5),
            "dateTimeSeconds": struct.pack(">I", EXPORT_S - n), "dateTimeMilliseconds": struct.pack(">Q", BOOT_MS + n),
            "dateTimeMicroseconds": ntp(n), "dateTimeNanoseconds": ntp(n)}.get(kind, bytes([n & 255, 1, 2, 3]))


def time_ns(kind, octets):
    v = int.from_bytes(octets, "big")
    if kind == "dateTimeSeconds":
        return v * 10**9
    if kind == "dateTimeMilliseconds":
        return v * 10**6
    return ((v >> 32) - NTP_1970) * 10**9 + (v & 0xffffffff) * 10**9 // 2**32


def plain(kind, octets):
    """A value by its type alone."""
    if kind.startswith("unsigned") and kind != "unsigned256":
        return int.from_bytes(octets, "big")
    if kind == "string":
        return octets.decode()
    if kind in ("ipv4Address", "ipv6Address"):
        return str(ipaddress.ip_address(octets))
    return octets.hex(":") if kind == "macAddress" else octets.hex()


def expected(line, octets):
    kind = ELEMENTS[line.pen, line.id].type
    v = int.from_bytes(octets, "big")
    if line.how.startswith("table:"):
        return TABLES[line.element][1]
    known = {"natural": lambda: v * line.scale if line.scale != 1 or (kind, FIELD_TYPES[line.field]) == ("octetArray", "I64") else plain(kind, octets), "nonzero": lambda: v, "or": lambda: v,
             "ms": lambda: time_ns(kind, octets) // 10**6, "ns": lambda: time_ns(kind, octets),
             "uptime_ms": lambda: BOOT_MS + v, "delta_us": lambda: EXPORT_S * 1000 - v // 1000,
             "unix_us": lambda: v // 1000 if FIELD_TYPES[line.field] == "MS" else v * 1000,
             "decimal": lambda: str(v), "ndpi": lambda: octets.decode() if kind == "string" else str(v), "hex": octets.hex, "bits": lambda: v - (1 << 64),
             "app_id": lambda: f"{octets[0]}:{int.from_bytes(octets[1:], 'big')}", "mpls_label": lambda: [v >> 4],
             "append": lambda: v, "high8": lambda: v >> 8, "low8": lambda: v & 255, "icmp_high8": lambda: v >> 8,
             "icmp_low8": lambda: v & 255, "low24": lambda: v & 0xffffff, "flag": lambda: v == 1, "number": lambda: 404,
             "address": lambda: plain(kind, octets)}
    return known[line.how]()


def is_whole(lines):
    """Can the element's value be told from the fields its lines fill?"""
    hows = {line.how for line in lines}
    kind = ELEMENTS[lines[0].pen, lines[0].id].type
    return bool(hows & WHOLE or {"high8", "low8"} <= hows or hows & {"table:flow_direction", "table:ntop_verdict"}
                or ("ms" in hows and kind in ("dateTimeSeconds", "dateTimeMilliseconds"))
                or ("unix_us" in hows and any(FIELD_TYPES[line.field] == "I64" for line in lines)))


def raw_key(pen, number):
    e = ELEMENTS[pen, number]
    if pen == REVERSE:
        return "reverse" + e.name[0].upper() + e.name[1:]
    return {0: e.name, NTOP: "ntop." + e.name, VMWARE: "vmware." + e.name, PMACCT: "pmacct." + e.name}.get(pen)  # the others go by names of our own


SEMANTICS = {255: '"undefined"', 0: '"noneOf"', 1: '"exactlyOneOf"', 2: '"oneOrMoreOf"', 3: '"allOf"', 4: '"ordered"'}


def raw_text(kind, octets):
    """How raw.elements says a value."""
    if kind in ("dateTimeSeconds", "dateTimeMilliseconds"):
        return str(int.from_bytes(octets, "big"))
    if kind == "boolean":
        return "true" if octets == b"\x01" else "false"
    if kind == "signed32":
        return str(struct.unpack(">i", octets)[0])
    if kind in ("float32", "float64"):
        return repr(struct.unpack(">f" if kind == "float32" else ">d", octets)[0])
    if kind == "subTemplateList":  # of no template that fits; octets of another list are none
        semantic = SEMANTICS.get(octets[0], str(octets[0]))
        return f'{{"semantic":{semantic},"template":{int.from_bytes(octets[1:3], "big")},"hex":"{octets[3:].hex()}"}}'
    return str(plain(kind, octets))


class Capture:
    """Templates with one record each, in datagrams of an exporter of their own for each name."""

    def __init__(self):
        self.packets, self.cases, self.exporters = [], {}, {}

    def exporter(self, name):
        return self.exporters.setdefault(name, (f"10.0.0.{len(self.exporters) + 1}", []))

    def packet(self, address, payload):
        udp = struct.pack(">HHHH", 50000, 4739, 8 + len(payload), 0) + payload
        head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, ipaddress.ip_address(address).packed,
                           ipaddress.ip_address("10.9.9.9").packed)
        total = sum(struct.unpack(">10H", head))
        while total >> 16:
            total = (total & 0xffff) + (total >> 16)
        self.packets.append(head[:10] + struct.pack(">H", ~total & 0xffff) + head[12:] + udp)

    def add(self, name, version, fields, what):
        """fields: [(pen, id, octets)]; what comes back with the record."""
        address, templates = self.exporter(f"{name} {version}")
        number = 256 + len(templates)
        templates.append(number)
        short = -sum(len(octets) for _, _, octets in fields) % 4
        fields = [*fields, (*PADDING, bytes(short))] if short else fields  # a shorter record would be read again in the set's padding
        spec, data = b"", b"".join(octets for _, _, octets in fields)
        for pen, identity, octets in fields:
            if version == 9:
                identity += V9_NTOP if pen == NTOP else 0
                spec += struct.pack(">HH", identity, len(octets))
            elif pen == 0:
                spec += struct.pack(">HH", identity, len(octets))
            else:
                spec += struct.pack(">HHI", identity | 0x8000, len(octets), pen)
        template = struct.pack(">HHHH", 0 if version == 9 else 2, 8 + len(spec), number, len(fields)) + spec
        sets = template + struct.pack(">HH", number, 4 + len(data)) + data
        if version == 9:
            header = struct.pack(">HHIIII", 9, 2, UPTIME_MS, EXPORT_S, number, 1)
        else:
            header = struct.pack(">HHIII", 10, 16 + len(sets), EXPORT_S, number, 1)
        self.packet(address, header + sets)
        self.cases[address, number] = what

    @staticmethod
    def run(folder, path, raw, decoder):
        done = subprocess.run([os.path.join(BUILD, "sluiced"), "-o", 'sinks=({ name = "out"; type = "stdout"; })',
                               "-o", f"normalizer.raw={raw}", "-o", f"state={folder}/state", "-o", "normalizer.enrich=()",
                               "-o", f"collector.decoder={decoder}", "--replay", path],
                              capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)
        assert done.returncode == 0 and done.stderr.splitlines()[-1] == "balanced", done.stderr[-3000:]
        return done.stdout

    def replay(self, folder, raw="unpromoted"):
        """[(what, flow)] of all records, in their order."""
        path = os.path.join(folder, "shipped.pcap")
        with open(path, "wb") as f:
            f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
            for p in self.packets:
                f.write(struct.pack("<IIII", EXPORT_S, 0, len(p), len(p)) + p)
        said = [self.run(folder, path, raw, decoder) for decoder in ("plan", "fixbuf")]
        assert said[0] == said[1], "libfixbuf reads the capture otherwise"
        flows = [json.loads(line) for line in said[0].splitlines()]
        out = [(self.cases.pop((f["normalized"]["exporter_ip"], f["raw"].get("template_id"))), f) for f in flows]
        assert not self.cases, f"{len(self.cases)} records did not come back"
        return out


def lines_by_element(mapping):
    out = defaultdict(list)
    for line in MAPPINGS[mapping]:
        out[line.pen, line.id].append(line)
    return out


# What the element means, where type and unit do not say it.
MEANS = {"icmpTypeCodeIPv4": {"icmp_type": "high8", "icmp_code": "low8"}, "icmpTypeCodeIPv6": {"icmp_type": "high8", "icmp_code": "low8"},
         "layer2SegmentId": "low24", "applicationId": "app_id", "samplingInterval": "nonzero", "samplerRandomInterval": "nonzero",
         "UPSTREAM_TUNNEL_ID": "nonzero", "DOWNSTREAM_TUNNEL_ID": "nonzero", "L7_PROTO_RISK": "bits", "initialTCPFlags": "or",
         "unionTCPFlags": "or", "cert_rev_init_tcp_flags": "or", "cert_rev_union_tcp_flags": "or", "obsoleteReverseInitialTCPFlags": "or",
         "obsoleteReverseUnionTCPFlags": "or", "CLIENT_TCP_FLAGS": {"tcp_flags": "or"}, "SERVER_TCP_FLAGS": {"tcp_flags": "or"},
         "L7_PROTO": "ndpi", "ndpiL7Protocol": "ndpi", "ndpiL7SubProtocol": "ndpi", "flowStartSysUpTime": "uptime_ms", "flowEndSysUpTime": "uptime_ms", "flowStartDeltaMicroseconds": "delta_us",
         "flowEndDeltaMicroseconds": "delta_us"}
# By the type of the element and of the field.
CONVERTS = {("unsigned", "STR"): "decimal", ("octetArray", "STR"): "hex", ("octetArray", "LONGS"): "mpls_label",
            ("unsigned", "LONGS"): "append", ("ipv4Address", "STR"): "address", ("ipv6Address", "STR"): "address",
            ("string", "I32"): "number", ("unsigned", "BOOL"): "flag"}


def rule(line):
    """The conversion and scale that the owner's definition asks for."""
    e, unit = ELEMENTS[line.pen, line.id], FIELD_UNITS[line.field]
    means = MEANS.get(e.name, "")
    means = means.get(line.field, "") if isinstance(means, dict) else means
    if line.element in TABLES and FIELD_TYPES[line.field] == "STR":
        return "table", 1
    if line.mapping in FIXED:
        return {"icmp_type": "icmp_high8", "icmp_code": "icmp_low8"}[line.field], 1
    if e.type.startswith("dateTime"):
        if line.mapping == "nprobe" and e.type == "dateTimeMicroseconds":  # not in NTP format
            return "unix_us", 1
        return {"ms": "ms", "ns": "ns"}[unit], 1
    if means:
        return means, 1
    return (CONVERTS.get((re.sub(r"^unsigned\d+$", "unsigned", e.type), FIELD_TYPES[line.field]), "natural"),
            1000 if (e.unit, unit) == ("milliseconds", "us") else 1)


def test_conversions():
    """Each line converts as type and unit of element and field ask for."""
    lines = [line for m in MAPPINGS.values() for line in m]
    wrong = [(line, rule(line)) for line in lines if (line.how.split(":")[0], line.scale) != rule(line)]
    assert not wrong, "\n".join(map(str, wrong))
    # No line moves one unit into another without a conversion.
    kinds = {"octets": "octets", "packets": "packets", "frames": "packets", "flows": "flows", "hops": "hops", "microseconds": "us",
             "milliseconds": "us ms", "nanoseconds": "ns ms", "seconds": "ms"}
    for line in lines:
        e = ELEMENTS[line.pen, line.id]
        if e.unit in kinds and line.how == "natural":
            assert FIELD_UNITS[line.field] in kinds[e.unit].split(), line


def can_send(version, pen):
    return pen in ((0, NTOP, V9) if version == 9 else (0, NTOP, REVERSE, 9, 6871, VMWARE, PMACCT))


def surroundings(mapping, version, lines):
    """What must be in the record beside the element."""
    fields, marker = [], ARRIVES[mapping][1]
    if marker is not None:
        fields.append((*marker[:2], octets_of(*marker[:2], [], 1)))
    if version == 10 and any(line.how == "uptime_ms" for line in lines):
        fields.append((*BOOT, struct.pack(">Q", BOOT_MS)))
    return fields


def event_of(fields):
    return {EVENTS[f] for f in fields if f in EVENTS} or {"network_connection"}


def check_line(mapping, lines, octets, flow):
    """One element, alone: its fields, no others, and in raw only when they do not hold it."""
    normalized, elements = flow["normalized"], flow["raw"]["elements"]
    where = f"{mapping}.conf, {lines[0].element}"
    for line in lines:
        got = normalized.get(line.field)
        assert got == expected(line, octets) and isinstance(got, bool) == (line.how == "flag"), f"{where}: {line.field} is {got}"
    assert set(normalized) - ENVELOPE == {line.field for line in lines}, where
    assert normalized["event_type"] in event_of(normalized), where
    marker = ARRIVES[mapping][1]
    keys = set(elements) - {"systemInitTimeMilliseconds", marker[2] if marker else ""}
    name = raw_key(lines[0].pen, lines[0].id) or lines[0].element
    if is_whole(lines):
        assert not keys, f"{where}: {keys} in raw too"
    else:
        assert keys == {name}, f"{where}: {keys} in raw"
        assert elements[name] == raw_text(ELEMENTS[lines[0].pen, lines[0].id].type, octets), where


@pytest.fixture(scope="module")
def proven():
    """(mapping, field, element) of all lines that were proven; written down at the end."""
    lines = set()
    yield lines
    path = os.environ.get("SLUICE_COVERAGE")
    if path:
        with open(path, "a", encoding="utf-8") as f:
            for field, element in sorted({(line.field, line.element) for line in lines}):
                f.write(f"{field}\t{element}\n")


def test_every_line(folder, capsys, proven):
    capture, n = Capture(), 0
    for mapping, (versions, _) in ARRIVES.items():
        for (pen, number), lines in lines_by_element(mapping).items():
            if mapping in FIXED or lines[0].how == "append":
                continue
            assert any(can_send(v, pen) for v in versions), lines[0]
            for version in versions:
                if not can_send(version, pen):
                    continue
                n += 1
                octets = octets_of(pen, number, lines, n)
                capture.add(mapping, version, [*surroundings(mapping, version, lines), (pen, number, octets)],
                            (mapping, version, lines, octets))
    done = set()
    for (mapping, version, lines, octets), flow in capture.replay(folder):
        assert flow["raw"]["protocol_version"] == version
        check_line(mapping, lines, octets, flow)
        done |= set(lines)
    lists = {line for m in MAPPINGS.values() for line in m if line.how == "append" or line.mapping in FIXED}
    assert done | lists == {line for m in MAPPINGS.values() for line in m}
    proven |= done
    with capsys.disabled():
        print("\n" + f"shipped mappings: {len(done)} promote lines proven with {n} records, each element alone")


def test_lists(folder, proven):
    """Lines that fill a list together do so in their order, wherever the elements stand on the wire."""
    capture = Capture()
    for mapping in MAPPINGS:
        by_field = defaultdict(list)
        for line in MAPPINGS[mapping]:
            if line.how == "append":
                by_field[line.field].append(line)
        for field, lines in by_field.items():
            for version in ARRIVES[mapping][0]:
                values = [(line, octets_of(line.pen, line.id, [line], 300 + i)) for i, line in enumerate(lines)]
                capture.add(mapping, version, [(line.pen, line.id, octets) for line, octets in reversed(values)], (field, values))
    seen = set()
    for (field, values), flow in capture.replay(folder):
        assert flow["normalized"][field] == [expected(line, octets) for line, octets in values]
        assert not flow["raw"]["elements"]
        seen |= {line for line, _ in values}
    assert seen == {line for m in MAPPINGS.values() for line in m if line.how == "append"}
    proven |= seen


def test_preference(folder, capsys):
    """Of several candidates, all there, in the worst order of the wire, the first line wins; bits come together."""
    capture, n = Capture(), 0
    for mapping, (versions, _) in ARRIVES.items():
        by_element, by_field = lines_by_element(mapping), defaultdict(list)
        for line in MAPPINGS[mapping]:
            if line.how not in ("append", "mpls_label") and not line.also:
                by_field[line.field].append(line)
        for field, all_lines in by_field.items():
            for version in versions:
                lines = [line for line in all_lines if can_send(version, line.pen)]
                if len(lines) < 2:
                    continue
                n += 1
                values = [octets_of(line.pen, line.id, by_element[line.pen, line.id], 10 * n + i) for i, line in enumerate(lines)]
                want = expected(lines[0], values[0])
                bits = [i for i, line in enumerate(lines) if line.how == "or"]
                if bits and bits[0] == 0:
                    want = 0
                    for i in bits:
                        want |= expected(lines[i], values[i])
                sent = [(line.pen, line.id, v) for line, v in zip(lines, values)]
                capture.add(mapping, version, [*surroundings(mapping, version, lines), *reversed(sent)], (mapping, field, want, bits))
                if bits and bits[0] > 0:
                    joined = 0
                    for i in bits:
                        joined |= expected(lines[i], values[i])
                    capture.add(mapping, version, [*surroundings(mapping, version, lines), *[sent[i] for i in reversed(bits)]],
                                (mapping, field, joined, bits))
    for (mapping, field, want, _), flow in capture.replay(folder):
        assert flow["normalized"].get(field) == want, f"{mapping}.conf: {field} is {flow['normalized'].get(field)}, not {want}"
    with capsys.disabled():
        print("\n" + f"shipped mappings: order of preference proven for {n} fields with several candidates")


def test_v5(folder, proven):
    """Every field of a NetFlow v5 record, and ICMP in its destination port."""
    record = struct.pack(">4s4s4sHHIIIIHHBBBBHHBBH", b"\xc0\x00\x02\x01", b"\xc6\x33\x64\x02", b"\xcb\x00\x71\x03", 4, 5, 1000, 90000,
                         UPTIME_MS - 5000, UPTIME_MS - 1000, 0, 0x0301, 0, 0x1b, 1, 0xb8, 64500, 64501, 24, 16, 0)
    header = struct.pack(">HHIIIIBBH", 5, 1, UPTIME_MS, EXPORT_S, 500000000, 77, 2, 3, 1 << 14 | 100)
    capture = Capture()
    address, _ = capture.exporter("v5")
    capture.packet(address, header + record)
    capture.cases[address, None] = None
    flow = capture.replay(folder)[0][1]["normalized"]
    now = EXPORT_S * 1000 + 500
    want = {"src_ip": "192.0.2.1", "dst_ip": "198.51.100.2", "next_hop": "203.0.113.3", "in_interface": 4, "out_interface": 5,
            "packets": 1000, "bytes": 90000, "flow_start_time": now - 5000, "flow_end_time": now - 1000, "event_time": now - 1000,
            "src_port": 0, "dst_port": 0x0301, "tcp_flags": 0x1b, "tcp_flags_forward": 0x1b, "protocol_number": 1, "protocol": "icmp",
            "ip_tos": 0xb8, "src_as_number": 64500, "dst_as_number": 64501, "src_prefix_len": 24, "dst_prefix_len": 16, "icmp_type": 3,
            "icmp_code": 1, "sampling_rate": 100, "sampling_algorithm": 1, "export_time": now, "export_sequence": 77,
            "observation_domain_id": 0x0203, "exporter_ip": address, "source": "netflow5"}
    assert {k: flow.get(k) for k in want} == want
    proven |= set(MAPPINGS["v5"])


@pytest.mark.parametrize("version", (1, 7))
def test_icmp_of_old_formats(folder, proven, version):
    """In the destination port, as in v5."""
    front = struct.pack(">4s4s4sHHIIIIHH", b"\xc0\x00\x02\x01", b"\xc6\x33\x64\x02", b"\xcb\x00\x71\x03", 4, 5, 1000, 90000,
                        UPTIME_MS - 5000, UPTIME_MS - 1000, 0, 0x0301)
    header = struct.pack(">HHIII", version, 1, UPTIME_MS, EXPORT_S, 500000000)
    capture = Capture()
    address, _ = capture.exporter("v5")
    capture.packet(address, header + front + struct.pack(">HBBB7x", 0, 1, 0xb8, 0x1b) if version == 1 else
                   header + struct.pack(">II", 77, 0) + front + struct.pack(">BBBBHHBBHI", 0, 0x1b, 1, 0xb8, 64500, 64501, 24, 16, 0, 0))
    capture.cases[address, None] = None
    flow = capture.replay(folder)[0][1]["normalized"]
    want = {"src_ip": "192.0.2.1", "dst_ip": "198.51.100.2", "bytes": 90000, "dst_port": 0x0301, "protocol_number": 1, "ip_tos": 0xb8,
            "tcp_flags": 0x1b, "icmp_type": 3, "icmp_code": 1}
    assert {k: flow.get(k) for k in want} == want
    proven |= set(MAPPINGS[f"v{version}"])


def test_registries(folder, capsys):
    """Every element that its owner defines is known by name and type: IANA's, their reverse, vendors', v9's."""
    capture, n = Capture(), 0
    groups = defaultdict(list)
    for pen, number in ELEMENTS:
        for version in (9, 10):
            if can_send(version, pen) and ELEMENTS[pen, number].type:
                groups[pen, version].append(number)
    for (pen, version), numbers in groups.items():
        for at in range(0, len(numbers), 40):
            part = [(pen, number, octets_of(pen, number, [], n + i)) for i, number in enumerate(numbers[at:at + 40])]
            n += len(part)
            capture.add(f"all {pen}", version, part, part)
    wrong = []
    for part, flow in capture.replay(folder, "full"):
        said = list(flow["raw"]["elements"].items())
        assert len(said) == len(part)
        for (pen, number, octets), (key, text) in zip(part, said):
            name = raw_key(pen, number)
            if name is None:
                name = key if key.startswith({9: "cisco.", 6871: "cert.", VMWARE: "vmware.", V9: f"v9.{number}"}[pen]) else "a name"
            if key != name or text != raw_text(ELEMENTS[pen, number].type, octets):
                wrong.append((pen, number, ELEMENTS[pen, number].type, name, octets.hex(), key, text))
    assert not wrong, "\n".join(map(str, wrong))
    with capsys.disabled():
        print("\n" + f"shipped registries: {n} elements known by name and type")


def test_sources():
    """Each element that is known to feed a field has a line in that order, or a reason why not stands in sources.tsv."""
    where = {"iana_ie": ("iana", 0), "reverse_pen29305": ("iana", REVERSE), "ntop_35632": ("nprobe", NTOP), "cisco_9": ("cisco", 9),
             "yaf_6871": ("cert", 6871), "v9": ("v9", V9),
             "vmware_6876": ("vmware", VMWARE)}
    wanted, refused = defaultdict(list), []
    for row in rows("sources.tsv"):
        field, source, number, reason = (row + [""])[:4]
        mapping, pen = where[source]
        lines = [line.id for line in MAPPINGS[mapping] if line.field == field and line.pen == pen]
        if reason:
            refused.append((field, number))
            assert int(number) not in lines, f"{field}: {number} of {source} is promoted, though: {reason}"
        else:
            wanted[field, mapping, pen].append(int(number))
    for (field, mapping, pen), numbers in wanted.items():
        lines = [line.id for line in MAPPINGS[mapping] if line.field == field and line.pen == pen]
        assert [i for i in lines if i in numbers] == numbers, f"{mapping}.conf: {field} takes {lines}, not {numbers}"
        if mapping == "cisco":  # the same elements in NetFlow v9
            lines = [line.id - 32768 for line in MAPPINGS["v9"] if line.field == field and line.pen == V9]
            assert [i for i in lines if i in numbers] == numbers, f"v9.conf: {field} takes {lines}, not {numbers}"
    assert refused and len(wanted) > 150
    # And nothing is promoted that is not there; a vendor's line of an element of IANA's goes where IANA's or nProbe's reading does.
    known = {(field, pen, i) for (field, _, pen), numbers in wanted.items() for i in numbers}
    known |= {(field, V9, i + 32768) for field, pen, i in known if pen == 9}
    known |= {("reverse_bytes", 0, 23), ("reverse_packets", 0, 24), ("icmp_type", 0, 11), ("icmp_code", 0, 11), ("in_interface_name", 0, 82)}
    assert not [line for m in MAPPINGS.values() for line in m if (line.field, line.pen, line.id) not in known]
