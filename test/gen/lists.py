# SPDX-License-Identifier: Apache-2.0
"""Structured data (RFC 6313), read from its octets without any of sluiced's code, and compared with what raw.elements says.

judge(said, kind, octets, ...).wrong is what is wrong with the text of a list element: nothing when each value is there, under its name,
and nothing else; .notes is what raw.notes has to say of it.  walk(...) gives what stands inside, in the order of the wire.  `templates`:
number -> fields, each ((enterprise, number), length).
"""
import json

VARIABLE, DEPTH_MAX = 65535, 4
PADDING = (0, 210)
SEMANTICS = {0xFF: "undefined", 0: "noneOf", 1: "exactlyOneOf", 2: "oneOrMoreOf", 3: "allOf", 4: "ordered"}


class Closed(Exception):
    """Its octets are no list."""


class Reader:
    def __init__(self, octets):
        self.octets, self.at = octets, 0

    def take(self, count):
        if self.at + count > len(self.octets):
            raise Closed
        self.at += count
        return self.octets[self.at - count:self.at]

    def number(self, count):
        return int.from_bytes(self.take(count), "big")

    def left(self):
        return len(self.octets) - self.at

    def value(self, length):
        if length == VARIABLE:
            length = self.number(1)
            if length == 255:
                length = self.number(2)
        return self.take(length)


def read_records(octets, fields):
    """Records as [(identity, octets)]."""
    r, records = Reader(octets), []
    if not any(length for _, length in fields):
        raise Closed
    while r.left():
        records.append([(identity, r.value(length)) for identity, length in fields])
    return records


def read_basic(octets):
    r = Reader(octets)
    semantic, number, length = r.number(1), r.number(2), r.number(2)
    pen = r.number(4) if number & 0x8000 else 0
    items = []
    if length == 0 and r.left():
        raise Closed
    while r.left():
        items.append(r.value(length))
    return semantic, (pen, number & 0x7FFF), items


def read_multi(octets):
    r, blocks = Reader(octets), []
    semantic = r.number(1)
    while r.left():
        number, length = r.number(2), r.number(2)
        if length < 4:
            raise Closed
        blocks.append((number, r.take(length - 4)))
    return semantic, blocks


def read_sub(octets):
    r = Reader(octets)
    semantic, number = r.number(1), r.number(2)
    return semantic, number, r.take(r.left())


def records_of(number, body, templates):
    if not body:
        return []
    if number not in templates:
        raise Closed
    return read_records(body, templates[number])


def children(kind, octets, templates):
    """[(identity, octets)] of what a list holds itself; blocks that cannot be read hold nothing."""
    if kind == "basicList":
        _, identity, items = read_basic(octets)
        return [(identity, item) for item in items]
    blocks = [read_sub(octets)[1:]] if kind == "subTemplateList" else read_multi(octets)[1]
    found = []
    for number, body in blocks:
        try:
            found += [member for record in records_of(number, body, templates) for member in record]
        except Closed:
            pass
    return [(identity, value) for identity, value in found if identity != PADDING or any(value)]


def walk(kind, octets, templates, registry, depth=1):
    """What stands in the list and in the lists that it holds."""
    if depth > DEPTH_MAX:
        return
    try:
        own = children(kind, octets, templates)
    except Closed:
        return
    for identity, value in own:
        yield identity, value
        inner = registry.list_kind(*identity)
        if inner and value:
            yield from walk(inner, value, templates, registry, depth + 1)


class Judge:
    def __init__(self, templates, registry, is_text_of, note_of):
        self.templates, self.registry = templates, registry
        self.is_text_of, self.note_of = is_text_of, note_of
        self.wrong, self.notes, self.found = [], set(), []

    def expect(self, ok, what, said):
        if not ok:
            self.wrong.append(f"{what}: {said!r}")

    def closed(self, said, octets):
        self.notes.add("list")
        self.expect(said == {"hex": octets.hex()}, f"{octets.hex()} cannot be opened", said)

    def value(self, identity, octets, said, depth):
        self.found.append((identity, octets))
        kind = self.registry.list_kind(*identity)
        if kind and octets:
            self.list(kind, octets, said, depth + 1)
            return
        kind = self.registry.type(*identity)
        note = self.note_of(kind, octets)
        if note:
            self.notes.add(note)
            self.expect(said == {"hex": octets.hex()}, f"{identity} {octets.hex()} against its type", said)
        else:
            self.expect(isinstance(said, str) and self.is_text_of(kind, octets, said), f"{identity} {kind} {octets.hex()}", said)

    def list(self, kind, octets, said, depth):
        try:
            if depth > DEPTH_MAX:
                raise Closed
            {"basicList": self.basic, "subTemplateList": self.sub, "subTemplateMultiList": self.multi}[kind](octets, said, depth)
        except Closed:
            self.closed(said, octets)
        except (KeyError, TypeError, AttributeError) as e:
            self.wrong.append(f"{kind} {octets.hex()}: {e!r} in {said!r}")

    def semantic(self, said, number):
        self.expect(said["semantic"] == SEMANTICS.get(number, number), f"semantic {number}", said["semantic"])

    def basic(self, octets, said, depth):
        semantic, identity, items = read_basic(octets)
        self.semantic(said, semantic)
        self.expect(list(said) == ["semantic", "element", "values"], "keys of a basicList", said)
        self.expect(said["element"] == self.registry.name(*identity), f"name of {identity}", said["element"])
        self.expect(len(said["values"]) == len(items), f"{len(items)} values", said["values"])
        for item, text in zip(items, said["values"]):
            self.value(identity, item, text, depth)

    def sub(self, octets, said, depth):
        semantic, number, body = read_sub(octets)
        self.semantic(said, semantic)
        self.records(number, body, {k: v for k, v in said.items() if k != "semantic"}, depth)

    def multi(self, octets, said, depth):
        semantic, blocks = read_multi(octets)
        self.semantic(said, semantic)
        self.expect(list(said) == ["semantic", "blocks"] and len(said["blocks"]) == len(blocks), f"{len(blocks)} blocks", said)
        for (number, body), block in zip(blocks, said["blocks"]):
            self.records(number, body, block, depth)

    def records(self, number, body, said, depth):
        self.expect(said["template"] == number, f"template {number}", said)
        try:
            records = records_of(number, body, self.templates)
        except Closed:
            self.notes.add("list")
            self.expect(said == {"template": number, "hex": body.hex()}, f"records of {number} cannot be opened", said)
            return
        self.expect(list(said) == ["template", "records"] and len(said["records"]) == len(records), f"{len(records)} records", said)
        for record, members in zip(records, said["records"]):
            self.members(record, dict(members), depth)

    def members(self, record, members, depth):
        counts = {}
        for identity, octets in record:
            counts[identity] = n = counts.get(identity, 0) + 1
            if identity == PADDING and not any(octets):
                continue
            name = self.registry.name(*identity) + (f"#{n}" if n > 1 else "")
            self.expect(name in members, f"{name} of {identity} is lost", members)
            if name in members:
                self.value(identity, octets, members.pop(name), depth)
        self.expect(not members, "nobody said", members)


def judge(said, kind, octets, templates, registry, is_text_of, note_of):
    """The judge, when `said`, the text of raw.elements, was compared with the octets."""
    j = Judge(templates, registry, is_text_of, note_of)
    try:
        {"basicList": read_basic, "subTemplateList": read_sub, "subTemplateMultiList": read_multi}[kind](octets)
    except Closed:
        if octets:
            j.notes.add("list")
        j.expect(said == octets.hex(), "no list, as hex", said)
        return j
    try:
        j.list(kind, octets, json.loads(said), 1)
    except ValueError as e:
        j.wrong.append(f"{e}: {said!r}")
    return j
