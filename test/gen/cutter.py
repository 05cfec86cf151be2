# SPDX-License-Identifier: Apache-2.0
"""Cuts NetFlow v1, v5, v7, v9 and IPFIX messages into records: an independent reader for the tests.

Cutter().message(octets, peer, port) gives the flow records of one datagram, in order.
"""
import struct
from collections import namedtuple

from registry import v9_identity

VARIABLE = 65535
BOOT = (0, 160)  # systemInitTimeMilliseconds

# One flow record: what the exporter said.  fields: [((enterprise, number), octets)], in order of the wire.
# templates: those of the session, number -> fields, for lists in the record.
# session tells exporters apart; context is (export_ms, uptime_ms or None) of the header, and what options said of the
# exporter's start.  seen are the templates of its session.
Record = namedtuple("Record", "version template_id fields octets session context seen templates", defaults=({},))

V7_FLAGS = 0xFFFFFF07  # no element of IANA's says what a switch did not fill
# Cisco's layouts as IANA's elements: (number, octets) or (number, octets, enterprise); 210 is padding.
FRONT = ((8, 4), (12, 4), (15, 4), (10, 2), (14, 2), (2, 4), (1, 4), (22, 4), (21, 4), (7, 2), (11, 2))
FIXED = {  # version: octets of the header, fields
    1: (16, (*FRONT, (210, 2), (4, 1), (5, 1), (6, 1), (210, 7))),
    5: (24, (*FRONT, (210, 1), (6, 1), (4, 1), (5, 1), (16, 2), (17, 2), (9, 1), (13, 1), (210, 2))),
    7: (24, (*FRONT, (1, 1, V7_FLAGS), (6, 1), (4, 1), (5, 1), (16, 2), (17, 2), (9, 1), (13, 1), (2, 2, V7_FLAGS), (43, 4))),
}


class Template:
    """The fields of a record: ((enterprise, number), length)."""

    def __init__(self, number, fields, is_options):
        self.number, self.fields, self.is_options = number, fields, is_options
        self.least = sum(1 if length == VARIABLE else length for _, length in fields)

    def cut(self, octets, at):
        """The record at `at` as its fields, and what follows it; None when it runs over the end."""
        fields = []
        for identity, length in self.fields:
            if length == VARIABLE:
                length, at = octets[at] if at < len(octets) else 0, at + 1
                if length == 255:
                    length, at = int.from_bytes(octets[at:at + 2], "big"), at + 2
            fields.append((identity, octets[at:at + length]))
            at += length
        return (fields, at) if at <= len(octets) else (None, at)


class Cutter:
    """Holds what exporters defined and said of themselves, by session."""

    def __init__(self):
        self.templates = {}
        self.seen = {}
        self.fields = {}
        self.boot_ms = {}

    def message(self, octets, peer="", port=0):
        version = int.from_bytes(octets[:2], "big")
        if version in FIXED:
            return self.fixed(octets, version, (peer, port, octets[20:22] if version == 5 else b""))
        if version == 9:
            _, _, uptime, seconds, _, domain = struct.unpack_from(">HHIIII", octets)
            return self.sets(octets, 20, 9, (peer, port, domain), (seconds * 1000, uptime))
        if version == 10:
            _, length, seconds, _, domain = struct.unpack_from(">HHIII", octets)
            return self.sets(octets[:length], 16, 10, (peer, port, domain), (seconds * 1000, None))
        return []

    def fixed(self, octets, version, session):
        count, uptime, seconds, nanoseconds = struct.unpack_from(">xxHIII", octets)
        at, layout = FIXED[version]
        template = Template(None, [((pen[0] if pen else 0, number), length) for number, length, *pen in layout], False)
        self.learn(session, version, template)
        records = []
        for at in range(at, at + template.least * count, template.least):
            fields, _ = template.cut(octets, at)
            records.append(Record(version, None, fields, octets[at:at + template.least], session, (seconds * 1000 + nanoseconds // 1000000, uptime, 0),
                                  self.seen[session]))
        return records

    def learn(self, session, version, template):
        self.templates[session, template.number] = template
        self.fields[session] = {**self.fields.get(session, {}), template.number: template.fields}
        # A new object each time: records keep what was seen before them.
        self.seen[session] = self.seen.get(session, frozenset()) | {(version, frozenset(i for i, _ in template.fields))}

    def sets(self, octets, at, version, session, context):
        records = []
        kinds = {0: False, 1: True} if version == 9 else {2: False, 3: True}
        while at + 4 <= len(octets):
            number, length = struct.unpack_from(">HH", octets, at)
            if version == 9 and not any(octets[at:]):
                break  # exporters fill up with zeros
            if length < 4 or at + length > len(octets):
                return []
            content = octets[at + 4:at + length]
            if number in kinds:
                self.define(content, version, session, kinds[number])
            elif (session, number) in self.templates:
                records += self.data(content, version, self.templates[session, number], session, context)
            at += length
        # Mappings hold for a message as its last set leaves them; a record that runs over takes all data of its message with it.
        return [] if None in records else [r._replace(seen=self.seen[session]) for r in records]

    def define(self, content, version, session, is_options):
        at = 0
        while at + 4 <= len(content) and content[at:at + 4] != bytes(4):
            number, count = struct.unpack_from(">HH", content, at)
            at += 4
            if is_options and version == 9:
                options_bytes, = struct.unpack_from(">H", content, at)
                count, at = (count + options_bytes) // 4, at + 2
            elif is_options and count > 0:
                at += 2
            fields = []
            for _ in range(count):
                identity, length = struct.unpack_from(">HH", content, at)
                at += 4
                if version == 9:
                    pair = v9_identity(identity)
                elif identity & 0x8000:
                    pair = (int.from_bytes(content[at:at + 4], "big"), identity & 0x7FFF)
                    at += 4
                else:
                    pair = (0, identity)
                fields.append((pair, length))
            template = Template(number, fields, is_options)
            if template.least > 0:
                self.learn(session, version, template)

    def data(self, content, version, template, session, context):
        records, at = [], 0
        while len(content) - at >= template.least:
            fields, end = template.cut(content, at)
            if fields is None:
                return [None]
            if not template.is_options:
                records.append(Record(version, template.number, fields, content[at:end], session,
                                      (*context, self.boot_ms.get(session, 0)), self.seen[session], self.fields[session]))
            else:
                boot = dict(fields).get(BOOT, b"")
                self.boot_ms[session] = int.from_bytes(boot, "big") or self.boot_ms.get(session, 0)
            at = end
        return records
