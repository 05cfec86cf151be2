# SPDX-License-Identifier: Apache-2.0
"""An exporter that says anything: random templates and records, as IPFIX, NetFlow v9 and v5 in a capture.

Exporter(seed, registry, mappings).write(path, count) writes `count` sessions, a template and its records
each, and gives what was said: a list of (fields, record octets) in order.  Every draw comes from the seed.
"""
import random
import struct

from cutter import FIXED
from registry import IANA, NATURAL, NTOP, REVERSE, V9

VARIABLE = 65535
TIME = 1700000000
UPTIME_MS = 0x80001234  # the signed difference of sysUpTimes wraps on both sides of it
REPEATS_MAX = 64  # collector.repeats_max
NUMBERS = (0, 1, 2, 3, 6, 17, 58, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32,
           (1 << 63) - 1, 1 << 63, (1 << 64) - 1, TIME, TIME * 1000, TIME * 10**6)
SINGLES = (0x00000000, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001, 0x00000001, 0x7F7FFFFF, 0x3DCCCCCD, 0x3F800000)
DOUBLES = (0, 1 << 63, 0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000, 0xFFF8000000000001, 1, 0x7FEFFFFFFFFFFFFF,
           0x3FB999999999999A, 0x4340000000000001)
TEXTS = ("", "a", "www.example.com", "Příliš žluťoučký kůň", "\U0001f40e", "a b\tc\n", '"\\', "a\0b", "0123456789abcdef", "true", "7")
BROKEN = (b"\xff", b"ab\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\0\xfe", b"\x80")


class Exporter:
    """Draws templates and values."""

    def __init__(self, seed, registry, mappings):
        self.random = random.Random(seed)
        self.registry = registry
        self.identities = sorted(registry.elements)
        self.said = []
        by_field = {}
        for m in mappings:
            for identity, line in m.lines:
                by_field.setdefault(line["field"], []).append(identity)
        self.by_field = sorted(by_field.items())

    def chance(self, probability):
        return self.random.random() < probability

    # Which elements.

    def fits(self, version, identity):
        pen, number = identity
        if version == 9:
            return pen in (NTOP, V9) or (pen == IANA and number < 32768)
        return pen != V9

    def unknown(self, version):
        r = self.random
        if version == 9:
            return r.choice(((IANA, r.randrange(700, 32768)), (NTOP, r.randrange(6000, 8000)), (V9, r.randrange(33100, 33150))))
        return r.choice(((r.choice((12345, 0xFFFFFFFE, 8741)), r.randrange(32768)), (IANA, r.randrange(700, 32768)),
                         (REVERSE, r.randrange(700, 32768)), (NTOP, r.randrange(6000, 32768))))

    def some(self, version):
        """One element, or all candidates of a field, or most of them."""
        r = self.random
        if self.chance(0.12):
            return [self.unknown(version)]
        if self.chance(0.05):
            return [(IANA, 210)]
        if self.chance(0.35):
            _, candidates = r.choice(self.by_field)
            return [i for i in candidates if self.chance(0.9)]
        if self.chance(0.5):
            return [r.choice(r.choice(self.by_field)[1])]
        return [r.choice(self.identities)]

    def elements(self, version):
        r = self.random
        want = r.choice((1, 3, 8, 20, 40)) if self.chance(0.97) else r.randrange(100, 400)
        drawn = []
        while len(drawn) < want:
            drawn += [i for i in self.some(version) if self.fits(version, i)]
            if drawn and self.chance(0.08):
                drawn += [r.choice(drawn)] * r.choice((1, 1, 2, 5))
        if self.chance(0.01):
            drawn += [drawn[0]] * (REPEATS_MAX - drawn.count(drawn[0]))
        if self.chance(0.7):
            r.shuffle(drawn)
        return [i for at, i in enumerate(drawn) if drawn[:at].count(i) < REPEATS_MAX]

    def length(self, version, kind):
        r = self.random
        natural = NATURAL.get(kind)
        if version == 10 and self.chance(0.1 if natural else 0.5):
            return VARIABLE
        if natural is None:
            return r.choice((0, 1, 2, 3, 4, 8, 12, 16, 32, 33))
        if self.chance(0.75):
            return natural
        return r.choice((r.randrange(1, natural + 1), r.randrange(1, natural + 1), 0, natural + 1, 9, 16, 17, 20))

    # What they say.

    def number(self, size):
        r = self.random
        v = r.choice(NUMBERS) if self.chance(0.6) else r.getrandbits(8 * size)
        octets = v.to_bytes(max(8, size), "big")
        return octets[-size:] if size else b""

    def text(self, size):
        octets = self.random.choice(BROKEN) if self.chance(0.15) else self.random.choice(TEXTS).encode()
        return octets if size is None else octets[:size].ljust(size, b"\0")

    def octets(self, kind, size):
        """A value of the size; None: of any."""
        r = self.random
        if kind == "string":
            return self.text(size)
        if size is None:
            size = NATURAL.get(kind, r.choice((0, 1, 3, 6, 20, 254, 255, 300))) if self.chance(0.8) else r.randrange(20)
        if self.chance(0.15):
            return bytes(size)
        if self.chance(0.05):
            return b"\xff" * size
        if kind == "boolean" and size == 1:
            return bytes([r.randrange(5)])
        if kind in ("float32", "float64") and size in (4, 8):
            return r.choice(SINGLES).to_bytes(4, "big") if size == 4 else r.choice(DOUBLES).to_bytes(8, "big")
        if kind in ("dateTimeMicroseconds", "dateTimeNanoseconds") and size == 8 and self.chance(0.6):
            return struct.pack(">II", TIME + 2208988800 & 0xFFFFFFFF, r.getrandbits(32))
        if kind in ("macAddress", "ipv4Address", "ipv6Address") or (kind == "octetArray" and self.chance(0.5)):
            return r.randbytes(size)
        if kind == "ipv6Address" and size == 16 and self.chance(0.2):
            return bytes(10) + b"\xff\xff" + r.randbytes(4)
        return self.number(size)

    def value(self, identity, length):
        """The octets as they mean something, and as they stand in the record."""
        kind = self.registry.type(*identity)
        value = self.octets(kind, None if length == VARIABLE else length)
        if length != VARIABLE:
            return value, value
        if len(value) >= 255 or self.chance(0.2):
            return value, b"\xff" + struct.pack(">H", len(value)) + value
        return value, bytes([len(value)]) + value

    # Messages.

    @staticmethod
    def specifier(version, identity, length):
        pen, number = identity
        if version == 9:
            return struct.pack(">HH", number + 57472 if pen == NTOP else number, length)
        if pen == IANA:
            return struct.pack(">HH", number, length)
        return struct.pack(">HHI", number | 0x8000, length, pen)

    def template_set(self, version, number, fields):
        content = b"".join(self.specifier(version, *f) for f in fields)
        content = struct.pack(">HH", number, len(fields)) + content
        return struct.pack(">HH", 0 if version == 9 else 2, 4 + len(content)) + content

    def options_sets(self, version):
        """What the exporter says of itself, which is no flow: statistics, or when it started."""
        numbers = (41, 42) if version == 9 or self.chance(0.5) else (160, 42)
        fields = struct.pack(">HHHHHH", 1 if version == 9 else 144, 4, numbers[0], 8, numbers[1], 8)
        head = struct.pack(">HHH", 400, 4, 8) if version == 9 else struct.pack(">HHH", 400, 3, 1)
        definition = struct.pack(">HH", 1 if version == 9 else 3, 4 + len(head + fields) + 2) + head + fields + bytes(2)
        record = struct.pack(">IQQ", 7, (TIME - 5000) * 1000, 2000)
        return definition + struct.pack(">HH", 400, 4 + 2 * len(record)) + 2 * record

    def data_set(self, number, fields, records):
        content = b"".join(octets for _, octets in records)
        least = sum(1 if length == VARIABLE else length for _, length in fields)
        pad = -len(content) % 4
        content += bytes(pad if pad < least else 0)
        return struct.pack(">HH", number, 4 + len(content)) + content

    def record(self, fields):
        said, octets = [], b""
        for identity, length in fields:
            value, wire = self.value(identity, length)
            said.append((identity, value))
            octets += wire
        return said, octets

    def session(self, version):
        """One message with a template and its records."""
        fields = [(i, self.length(version, self.registry.type(*i))) for i in self.elements(version)]
        if not any(length for _, length in fields):
            fields.append(((IANA, 1), 4))
        number = self.random.randrange(256, 400)
        records = [self.record(fields) for _ in range(self.random.randrange(1, 6))]
        while sum(len(octets) for _, octets in records) > 50000:
            records.pop()
        sets = self.options_sets(version) if self.chance(0.15) else b""
        sets += self.template_set(version, number, fields) + self.data_set(number, fields, records)
        self.said += records
        return sets, len(records)

    def v5(self):
        """One message of NetFlow v5."""
        octets = b""
        count = self.random.randrange(1, 6)
        for _ in range(count):
            fields = [((IANA, number), self.octets(self.registry.type(IANA, number), size)) for number, size in FIXED[5][1]]
            record = b"".join(value for _, value in fields)
            self.said.append((fields, record))
            octets += record
        return struct.pack(">HHIIIIBBH", 5, count, UPTIME_MS, TIME, 0, 1, 0, 0, 0) + octets

    def message(self, version, domain):
        if version == 5:
            return self.v5()
        sets, count = self.session(version)
        if version == 9:
            return struct.pack(">HHIIII", 9, count + 1, UPTIME_MS, TIME, 1, domain) + sets
        return struct.pack(">HHIII", 10, 16 + len(sets), TIME, 0, domain) + sets

    def write(self, path, count):
        with open(path, "wb") as f:
            f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 101))
            for i in range(count):
                payload = self.message(self.random.choice((9, 9, 9, 10, 10, 10, 10, 5)), i + 1)
                udp = struct.pack(">HHHH", 1024 + i % 60000, 2055, 8 + len(payload), 0) + payload
                ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, b"\xc0\0\2\1", b"\xc0\0\2\2")
                f.write(struct.pack("<IIII", TIME + 1, 0, len(ip + udp), len(ip + udp)) + ip + udp)
        return self.said
