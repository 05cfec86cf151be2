# SPDX-License-Identifier: Apache-2.0
"""Is everything that an exporter said readable in the flow event?  The oracle of promise 2.

Written from the rules (doc/ARCHITECTURE.md, normalizer/mapping.h, xform.h, flow.h) and from the shipped
mapping files.  Oracle().check(record, flow, raw) gives complaints, none when all is there:

- each canonical field that mappings speak of holds what the winner of its candidates says, or is null;
- each element stands in raw.elements under its name, as text of its type; or the fields that took it,
  turned back, give its value again; or it says nothing: no octets, an empty string, zeros that pad, an
  address of zeros where there are other candidates.

What comes back is judged by turning the conversion back, never by a list of conversions said to be whole.
"""
import ipaddress
import re
import struct
from collections import namedtuple

from lists import judge, walk
from registry import NATURAL, Registry, mappings, table

LONG_MAX, INT_MAX = (1 << 63) - 1, (1 << 31) - 1
NTP_1970 = 2208988800
PADDING, BOOT = (0, 210), (0, 160)
SIGNED = ("signed8", "signed16", "signed32", "signed64")
UNSIGNED = ("unsigned8", "unsigned16", "unsigned32", "unsigned64")
NTP = ("dateTimeMicroseconds", "dateTimeNanoseconds")
NUMBERS = UNSIGNED + SIGNED + ("dateTimeSeconds", "dateTimeMilliseconds")
# The mappings' own words decide these, or the envelope and options data do where no element fills them.
STATIC = ("event_type", "event_class")
ENVELOPE = ("sampling_rate", "sampling_algorithm", "in_interface_name")
# A value may come back from these by luck; whether raw has it too is settled for all records of a template.
PERHAPS = ("ms", "unix_us", "delta_us", "table")

# One element of one record on its way into one field.
Candidate = namedtuple("Candidate", "order at line field kind octets alone")


class Absent(Exception):
    """The octets say nothing."""


class Failed(Exception):
    """The field cannot say it.  `value` is what it holds nevertheless."""

    def __init__(self, value=None):
        super().__init__()
        self.value = value


def unsigned(octets):
    """Octets beyond eight may be zeros."""
    if any(octets[:-8]):
        raise Failed
    return int.from_bytes(octets, "big")


def ntp_ns(octets, kind):
    """Nanoseconds since 1970; RFC 7011, 6.1.9 and 6.1.10: the low 11 bits of microseconds mean nothing."""
    seconds, fraction = struct.unpack(">II", octets)
    if kind == "dateTimeMicroseconds":
        fraction &= 0xFFFFF800
    seconds += 0 if seconds >= NTP_1970 else 1 << 32
    return (seconds - NTP_1970) * 10**9 + (fraction * 10**9 + (1 << 31) >> 32)


def boolean(octets):
    if len(octets) != 1 or octets[0] not in (1, 2):
        raise Failed
    return octets[0] == 1


def string(octets):
    octets = octets.rstrip(b"\0")
    if not octets:
        raise Absent
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise Failed from None


def address(octets):
    return str(ipaddress.ip_address(octets)) if len(octets) == 4 else ipv6_text(octets)


def ipv6_text(octets):
    if octets[:12] == bytes(10) + b"\xff\xff":
        return "::ffff:" + str(ipaddress.ip_address(octets[12:]))
    return str(ipaddress.ip_address(octets))


def mac(octets):
    return octets.hex(":")


class Conversion:
    """A way from an element to a field: `to` may raise Absent and Failed; `back` gives what the field tells of the value.

    back(value) is a dict of parts of the value, equal to parts(octets) where nothing is lost.
    """

    def __init__(self, to, back, parts=None):
        self.to, self.back = to, back
        self.parts = parts or (lambda octets, c: {"value": unsigned(octets)})


def text_parts(octets, c):
    del c
    return {"value": octets.rstrip(b"\0")}


def octet_parts(octets, c):
    del c
    return {"value": bytes(octets)}


def halves(octets, c):
    del c
    v = unsigned(octets)
    return {"high": v >> 8, "low": v & 255}


def half(name, shift):
    def to(octets, c):
        del c
        v = unsigned(octets)
        if v > 0xFFFF:
            raise Failed
        return v >> shift & 255
    return Conversion(to, lambda value, c: {name: value}, halves)


def number_to(octets, c):
    v = unsigned(octets) * c.line.get("scale", 1)
    if c.field == "int" and v > INT_MAX:
        raise Failed
    if v > LONG_MAX:
        raise Failed(LONG_MAX)
    return v


def nonzero(octets, c):
    if unsigned(octets) == 0:
        raise Failed
    return number_to(octets, c)


def signed_to(octets, c):
    if len(octets) > 8:
        raise Failed
    v = int.from_bytes(octets, "big", signed=True)
    if c.field == "int" and not -INT_MAX - 1 <= v <= INT_MAX:
        raise Failed
    return v


def fixed(size, text):
    def to(octets, c):
        if len(octets) != NATURAL[c.kind] or len(octets) not in size:
            raise Failed
        if not c.alone and not any(octets):
            raise Absent
        return text(octets)
    return to


def float_to(octets, c):
    del c
    if len(octets) not in (4, 8):
        raise Failed
    return struct.unpack(">f" if len(octets) == 4 else ">d", octets)[0]


def app_id_parts(octets, c=None):
    """RFC 6759: engine, an enterprise number where it is 20, selector."""
    del c
    head = 5 if octets[0] == 20 else 1
    if len(octets) <= head:
        raise Failed
    parts = [octets[0]] + ([int.from_bytes(octets[1:5], "big")] if head == 5 else [])
    return {"value": parts + [unsigned(octets[head:])]}


def time_ns(octets, c):
    """Nanoseconds since 1970 of any dateTime."""
    if c.kind in NTP:
        if len(octets) != 8:
            raise Failed
        if not any(octets):
            raise Failed
        return ntp_ns(octets, c.kind)
    v = unsigned(octets)
    if v == 0 or (c.kind == "dateTimeSeconds" and v > 0xFFFFFFFF):
        raise Failed
    return v * (10**9 if c.kind == "dateTimeSeconds" else 10**6)


def time_to(unit_ns):
    def to(octets, c):
        ns = time_ns(octets, c)
        if ns // unit_ns > LONG_MAX:
            raise Failed
        return ns // unit_ns
    return to


def time_conversion(unit_ns):
    return Conversion(time_to(unit_ns), lambda value, c: {"value": value * unit_ns}, lambda octets, c: {"value": time_ns(octets, c)})


def unix(per_second):
    """Since 1970, into milliseconds or (a long that is no time) nanoseconds."""
    def unit(c):
        return 10**3 if c.field == "timestamp" else 10**9

    def to(octets, c):
        v = unsigned(octets)
        if v == 0 or v * 10**9 // per_second > LONG_MAX:
            raise Failed
        return v * unit(c) // per_second
    return Conversion(to, lambda value, c: {"value": value * per_second // unit(c) if value * per_second % unit(c) == 0 else None})


def delta_to(octets, c):
    v = unsigned(octets)
    if v > 0xFFFFFFFF:
        raise Failed
    return c.line["clock"].export_ms - v // 1000


def uptime_to(octets, c):
    v = unsigned(octets)
    if v > 0xFFFFFFFF or c.line["clock"].uptime_ms is None:
        raise Failed
    before = (c.line["clock"].uptime_ms - v) & 0xFFFFFFFF
    return c.line["clock"].export_ms - (before - (1 << 32) if before >= 1 << 31 else before)


def uptime_back(value, c):
    return {"value": (c.line["clock"].uptime_ms - (c.line["clock"].export_ms - value)) & 0xFFFFFFFF}


def bits_to(octets, c):
    del c
    v = unsigned(octets)
    return v - (1 << 64) if v > LONG_MAX else v


def table_to(octets, c):
    name = c.line["table"].get(unsigned(octets))
    if name is None:
        raise Failed
    return name


def table_back(value, c):
    numbers = [n for n, name in c.line["table"].items() if name == value]
    return {"value": numbers[0] if len(numbers) == 1 else None}


def nothing(value, c):
    del value, c
    return {"value": None}


def flag(octets, c):
    del c
    if unsigned(octets) > 1:
        raise Failed
    return unsigned(octets) == 1


def leading_number(octets, c):
    """The decimal number with which a text begins."""
    del c
    digits = re.match(rb"[0-9]*", octets).group()
    if not any(octets):
        raise Absent
    if not digits or int(digits) > INT_MAX:
        raise Failed
    return int(digits)


def any_address(octets, c):
    del c
    if len(octets) not in (4, 16):
        raise Failed
    return address(octets)


def ndpi(name):
    """Text as it is, a number as its digits."""
    return lambda x, c: getattr(STRING if c.kind == "string" else DECIMAL, name)(x, c)


NUMBER = Conversion(number_to, lambda value, c: {"value": value // c.line.get("scale", 1)})
DECIMAL = Conversion(lambda octets, c: str(unsigned(octets)), lambda value, c: {"value": int(value)})
HEX = Conversion(lambda octets, c: octets.hex(), lambda value, c: {"value": bytes.fromhex(value)}, octet_parts)
STRING = Conversion(lambda octets, c: string(octets), lambda value, c: {"value": value.encode()}, text_parts)
CONVERSIONS = {
    "ms": time_conversion(10**6), "ns": time_conversion(1), "uptime_ms": Conversion(uptime_to, uptime_back),
    "delta_us": Conversion(delta_to, lambda value, c: {"value": (c.line["clock"].export_ms - value) * 1000}),
    "unix_s": unix(1), "unix_ms": unix(10**3), "unix_us": unix(10**6),
    "high8": half("high", 8), "low8": half("low", 0), "icmp_high8": half("high", 8), "icmp_low8": half("low", 0),
    "nonzero": Conversion(nonzero, NUMBER.back), "decimal": DECIMAL, "hex": HEX,
    "bits": Conversion(bits_to, lambda value, c: {"value": value % (1 << 64)}),
    "app_id": Conversion(lambda octets, c: ":".join(map(str, app_id_parts(octets)["value"])),
                         lambda value, c: {"value": [int(v) for v in value.split(":")]}, app_id_parts),
    "table": Conversion(table_to, table_back), "or": Conversion(number_to, nothing),
    "low24": Conversion(lambda octets, c: unsigned(octets) & 0xFFFFFF, nothing), "number": Conversion(leading_number, nothing, text_parts),
    "flag": Conversion(flag, lambda value, c: {"value": int(value)}), "ndpi": Conversion(ndpi("to"), ndpi("back"), ndpi("parts")),
    "address": Conversion(any_address, lambda value, c: {"value": ipaddress.ip_address(value).packed}, octet_parts),
}
ADDRESS = Conversion(fixed((4, 16), address), lambda value, c: {"value": ipaddress.ip_address(value).packed}, octet_parts)
MAC = Conversion(fixed((6,), mac), lambda value, c: {"value": bytes.fromhex(value.replace(":", ""))}, octet_parts)
FLOAT = Conversion(float_to, lambda value, c: {"value": value}, lambda octets, c: {"value": float_to(octets, c)})
BOOLEAN = Conversion(lambda octets, c: boolean(octets), lambda value, c: {"value": value}, lambda octets, c: {"value": boolean(octets)})
INTEGER = Conversion(signed_to, lambda value, c: {"value": value}, lambda octets, c: {"value": signed_to(octets, c)})


def conversion(c):
    """How the line turns this type into its field."""
    way = c.line.get("as", "")
    if way:
        return CONVERSIONS[way.split(":")[0]]
    if c.kind.startswith("dateTime") and c.field == "timestamp":
        return CONVERSIONS["ms"]
    if c.kind in SIGNED:
        return INTEGER
    if c.field in ("int", "long", "timestamp"):
        return NUMBER
    if c.kind in UNSIGNED:
        return DECIMAL
    return {"octetArray": HEX, "string": STRING, "ipv4Address": ADDRESS, "ipv6Address": ADDRESS, "macAddress": MAC, "float32": FLOAT,
            "float64": FLOAT, "boolean": BOOLEAN}[c.kind]


def is_float_text(text, octets):
    wide = ">f" if len(octets) == 4 else ">d"
    value = struct.unpack(wide, octets)[0]
    if value != value:
        return text.lower().lstrip("-") == "nan"
    return struct.pack(wide, float(text)) == octets


def is_text_of(kind, octets, text):
    """Does raw.elements say these octets, in the form of the type?"""
    size = len(octets)
    if kind in NUMBERS and 1 <= size <= 8:
        return text == str(int.from_bytes(octets, "big", signed=kind in SIGNED))
    if kind in ("float32", "float64") and size in (4, 8):
        return is_float_text(text, octets)
    if kind == "boolean" and size == 1:
        return text == {1: "true", 2: "false"}.get(octets[0], str(octets[0]))
    if kind == "macAddress" and size == 6:
        return text == mac(octets)
    if kind in ("ipv4Address", "ipv6Address") and size == NATURAL[kind]:
        return text == address(octets)
    if kind == "string":
        try:
            return text == octets.rstrip(b"\0").decode("utf-8")
        except UnicodeDecodeError:
            pass
    return text == octets.hex()


def note_of(kind, octets):
    """What raw.notes must say where an element stands in raw as hex against its type."""
    if kind == "string":
        try:
            octets.rstrip(b"\0").decode("utf-8")
        except UnicodeDecodeError:
            return "bad_utf8"
        return ""
    sizes = range(1, 9) if kind in NUMBERS else (4, 8) if kind.startswith("float") else (NATURAL.get(kind, 0),)
    return "" if not octets or kind == "octetArray" or kind in NTP or len(octets) in sizes else "contract"


Clock = namedtuple("Clock", "export_ms uptime_ms")


# Pieces of a packet, and what its headers may fill where no element of the record does.
SECTIONS = {(0, 313), (0, 314), (0, 315), (0, 316), (0, 317)}
# One that has none of these is the report of one packet, which counts for packets and bytes.
COUNTED = {f"{way}{what}{total}" for way in ("", "reverse_") for what in ("bytes", "packets") for total in ("", "_total")}
OF_PACKET = set("""src_ip dst_ip src_port dst_port protocol protocol_number tcp_flags tcp_flags_forward ip_tos src_mac dst_mac src_vlan
    ip_version ip_ttl_min ip_ttl_max ipv6_flow_label ip_fragment_id ip_fragment_offset icmp_type icmp_code mpls_labels tunnel_id
    inner_src_ip inner_dst_ip inner_protocol inner_src_port inner_dst_port""".split())


class Oracle:
    """Knows elements, mappings and the schema's types."""

    def __init__(self, schema):
        self.registry = Registry()
        self.mappings = mappings(self.registry)
        normalized = next(f for f in schema["fields"] if f["name"] == "normalized")["type"]
        self.field_kinds = {f["name"]: kind_of(f["type"]) for f in normalized["fields"]}
        self.mapped = {line["field"] for m in self.mappings for _, line in m.lines}
        self.mapped |= {line["field"] for m in self.mappings for _, _, line in m.inside}
        self.tables = {}
        self.known = {}  # per template and profile: targets and names

    def lines_of(self, identity, held):
        """(order, line) of the element: the most specific mapping hides it from those behind, unless it says `also`."""
        found = []
        for m in held:
            own = [(i, line) for i, (element, line) in enumerate(self.mappings[m].lines) if element == identity]
            found += [((m, i), line) for i, line in own]
            if own and not all(line.get("also") for _, line in own):
                break
        return found

    def table(self, name):
        if name not in self.tables:
            self.tables[name] = table(name)
        return self.tables[name]

    def names(self, identities):
        names, counts = [], {}
        for identity in identities:
            counts[identity] = n = counts.get(identity, 0) + 1
            names.append(self.registry.name(*identity) + (f"#{n}" if n > 1 else ""))
        return names

    def understand(self, record):
        """What depends on the template and the mappings that hold: names, and per field its candidates' places."""
        identities = tuple(i for i, _ in record.fields)
        held = tuple(m for m in range(len(self.mappings))
                     if any(self.mappings[m].holds(version, seen) for version, seen in record.seen))
        if (identities, held) not in self.known:
            targets = {}
            for at, identity in enumerate(identities):
                for order, line in self.lines_of(identity, held):
                    if line.get("as", "").startswith("table:"):
                        line = {**line, "table": self.table(line["as"][6:])}
                    targets.setdefault(line["field"], []).append((order, at, line))
            for candidates in targets.values():
                candidates.sort(key=lambda t: t[:2])
            self.known[identities, held] = (self.names(identities), targets, held)
        return self.known[identities, held]

    def clock(self, record):
        """Where the header has no uptime, systemInitTimeMilliseconds tells it: the record's first, or that of options."""
        export_ms, uptime_ms, said_ms = record.context
        boot = next((octets for identity, octets in record.fields if identity == BOOT), b"")
        boot_ms = int.from_bytes(boot, "big")
        if not 1 <= len(boot) <= 8 or boot_ms > LONG_MAX // 2:
            boot_ms = said_ms
        if uptime_ms is None and boot_ms != 0:
            uptime_ms = (export_ms - boot_ms) & 0xFFFFFFFF
        return Clock(export_ms, uptime_ms)

    def candidates(self, record, field, targets, clock):
        return [Candidate(order, at, {**line, "clock": clock}, self.field_kinds[field],
                          self.registry.type(*record.fields[at][0]), record.fields[at][1], len(targets) == 1)
                for order, at, line in targets]

    def check(self, record, flow, raw):
        """Complaints; `raw` is the mode: unpromoted, full, wire or none."""
        names, targets, held = self.understand(record)
        told = [set() for _ in names]  # parts of each element's value that fields give back
        silent = [not octets for _, octets in record.fields]
        complaints = []
        clock = self.clock(record)
        inside = self.inside(record, held, clock)
        has_packet = any(identity in SECTIONS and octets for identity, octets in record.fields)
        is_report = any(identity in SECTIONS for identity, _ in record.fields) and not COUNTED & targets.keys()
        unsaid = {*ENVELOPE, *(OF_PACKET if has_packet else ()), *(("packets", "bytes") if is_report else ())}
        for field in {**targets, **inside}:
            want = None
            if field in targets:
                candidates = self.candidates(record, field, targets[field], clock)
                settle = self.settle_list if self.field_kinds[field] == "list" else self.settle
                want = settle(candidates, flow["normalized"], told, silent)
            want = inside.get(field) if want is None else want
            got = flow["normalized"][field]
            if want is None and field in unsaid:
                continue
            if not same(want, got):
                complaints.append(f"{field} is {got!r}, not {want!r}")
        for field, got in flow["normalized"].items():
            if got is not None and field in self.mapped and not any(field in said for said in (targets, inside, STATIC, unsaid)):
                complaints.append(f"{field} is {got!r}, and no element says so")
        return complaints + self.check_raw(record, flow, raw, names, told, silent)

    def inside(self, record, held, clock):
        """What lists of the record say to fields that nothing else fills; they tell no element."""
        found, wants, claimed = [], {}, {}
        for identity, octets in record.fields:
            kind = self.registry.list_kind(*identity)
            if kind and octets:
                found += [(identity, *member) for member in walk(kind, octets, record.templates, self.registry)]
        for m in held if found else ():
            for element, list_, line in self.mappings[m].inside:
                if claimed.setdefault(element, m) != m:
                    continue
                values = [octets for outer, identity, octets in found if identity == element and list_ in (None, outer)]
                gathers = line.get("as") == "or" and wants.get(line["field"], (None, ""))[1] == "or"
                if line["field"] in wants and not gathers:
                    continue
                if line.get("as", "").startswith("table:"):
                    line = {**line, "table": self.table(line["as"][6:])}
                c = Candidate((m, 0), 0, {**line, "clock": clock}, self.field_kinds[line["field"]], self.registry.type(*element), b"", True)
                want = self.inside_list(values) if c.field == "list" else self.inside_first(values, c)
                if want is not None:
                    wants[line["field"]] = (want | (wants[line["field"]][0] if gathers else 0) if line.get("as") == "or" else want,
                                            line.get("as"))
        return {field: want for field, (want, _) in wants.items()}

    @staticmethod
    def inside_list(values):
        return [unsigned(v) >> 4 for v in values] if values and all(len(v) == 3 for v in values) and len(values) <= 64 else None

    @staticmethod
    def inside_first(values, c):
        for octets in values:
            try:
                if octets:
                    return conversion(c).to(octets, c)
            except Absent:
                continue
            except Failed as failed:
                return failed.value
        return None

    def settle(self, candidates, normalized, told, silent):
        """The first candidate that says something the field can hold; when it says `or`, with the bits of all that say so."""
        value, gathers = None, False
        for c in candidates:
            if c.line.get("as", "").startswith("icmp_") and normalized["protocol_number"] not in (1, 58):
                continue
            try:
                if not c.octets:
                    continue
                way = conversion(c)
                got = way.to(c.octets, c)
                if value is not None and gathers and c.line.get("as") == "or":
                    value |= got
                if value is None:
                    value, gathers = got, c.line.get("as") == "or"
                    back, whole = way.back(got, c), way.parts(c.octets, c)
                    told[c.at] |= {part for part in whole if same(back.get(part), whole[part])}
                    if c.line.get("as", "").split(":")[0] in PERHAPS:
                        told[c.at].add("perhaps")
            except Absent:
                silent[c.at] = True
            except Failed as failed:
                value = failed.value if value is None else value
        return value

    def settle_list(self, candidates, normalized, told, silent):
        """Labels: up to the last that is not all zero.  Counts: each line once, and all of them, or nothing."""
        del normalized, silent
        if candidates[0].line["as"] == "mpls_label":
            while candidates and not any(candidates[-1].octets):
                candidates.pop()
            return [unsigned(c.octets) >> 4 for c in candidates if len(c.octets) == 3] or None
        lines = [c.order for c in candidates]
        whole = [(m, i) for m in {order[0] for order in lines} for i, (_, line) in enumerate(self.mappings[m].lines)
                 if line["field"] == candidates[0].line["field"]]
        try:
            values = [unsigned(c.octets) for c in candidates]
        except Failed:
            return None
        if lines != whole or any(v > LONG_MAX for v in values) or not all(c.octets for c in candidates):
            return None
        for c in candidates:
            told[c.at].add("value")
        return values

    def check_raw(self, record, flow, raw, names, told, silent):
        elements = flow["raw"]["elements"]
        complaints = []
        if raw == "none":
            return [f"raw = none, and there are {sorted(elements)}"] if elements else []
        for name in set(elements) - set(names):
            complaints.append(f"raw says {name}, which the record does not have")
        for at, (identity, octets) in enumerate(record.fields):
            name, kind = names[at], self.registry.type(*identity)
            is_padding = identity == PADDING and not any(octets)
            if name in elements:
                if self.registry.list_kind(*identity) and octets:
                    j = judge(elements[name], self.registry.list_kind(*identity), octets, record.templates, self.registry, is_text_of,
                              note_of)
                    complaints += [f"raw {name}: {c}" for c in j.wrong]
                    complaints += [f"raw {name}: no note {n}" for n in sorted(j.notes) if n not in flow["raw"]["notes"]]
                elif not is_text_of(kind, octets, elements[name]):
                    complaints.append(f"raw {name} ({kind}) {octets.hex()} is {elements[name]!r}")
                elif note_of(kind, octets) not in flow["raw"]["notes"] + [""]:
                    complaints.append(f"raw {name} ({kind}) {octets.hex()} is there without a note")
                if raw != "full" and octets and (silent[at] or (is_told(told[at]) and "perhaps" not in told[at])):
                    complaints.append(f"raw {name} ({kind}) {octets.hex()} repeats what a field says")
            elif not is_padding and (raw == "full" or not (silent[at] or is_told(told[at]))):
                complaints.append(f"{name} ({kind}) {octets.hex()} is lost: field {at} of {len(names)}, told {sorted(told[at])}")
        if raw == "wire" and octets_of(flow["raw"]["wire"]) != record.octets:
            complaints.append("raw.wire is not the record")
        return complaints


def is_told(parts):
    return "value" in parts or parts >= {"high", "low"}


def octets_of(wire):
    return wire if isinstance(wire, bytes) else bytes.fromhex(wire or "")


def same(a, b):
    return a == b or (isinstance(a, float) and isinstance(b, float) and a != a and b != b)


def kind_of(kind):
    """timestamp, list, or Avro's name of the type."""
    if isinstance(kind, list):
        kind = next(k for k in kind if k != "null")
    if isinstance(kind, dict):
        if kind["type"] == "array":
            return "list"
        return "timestamp" if kind.get("logicalType") == "timestamp-millis" else kind["type"]
    return kind
