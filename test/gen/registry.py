# SPDX-License-Identifier: Apache-2.0
"""Elements, tables and mapping files as written down, read without any of sluiced's code.

Registry().name(pen, id), .type(pen, id)	templates/elements, over IANA's own list beside this file
mappings(registry)				templates/mappings, most specific first
table(name)					number -> name, of templates/tables
"""
import glob
import os
import re
import xml.etree.ElementTree as ElementTree

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TEMPLATES = os.path.join(ROOT, "templates")
XML = "{http://www.iana.org/assignments}"
CERT = "{http://www.cert.org/ipfix}"

IANA, REVERSE, NTOP, V9 = 0, 29305, 35632, 0xFFFFFF09
LISTS = ("basicList", "subTemplateList", "subTemplateMultiList", "unsigned256")

# Octets of a value of the type at full size; types that are not here have any length.
NATURAL = {"unsigned8": 1, "unsigned16": 2, "unsigned32": 4, "unsigned64": 8, "signed8": 1, "signed16": 2, "signed32": 4,
           "signed64": 8, "float32": 4, "float64": 8, "boolean": 1, "macAddress": 6, "ipv4Address": 4, "ipv6Address": 16,
           "dateTimeSeconds": 4, "dateTimeMilliseconds": 8, "dateTimeMicroseconds": 8, "dateTimeNanoseconds": 8}


def rows(path):
    with open(path, encoding="utf-8") as f:
        return [line.rstrip("\n").split("\t") for line in f if line.strip() and not line.startswith("#")]


class Registry:
    """What an element's number means."""

    def __init__(self):
        self.elements = {}  # (enterprise, number): (name, type)
        self.lists = {}  # (enterprise, number): which list of RFC 6313
        for number, name, kind in rows(os.path.join(os.path.dirname(os.path.abspath(__file__)), "iana.tsv")):
            self.add(IANA, int(number), name, kind)
        for path in sorted(glob.glob(os.path.join(TEMPLATES, "elements", "*.xml"))):
            self.read(path)
        for (pen, number), (name, kind) in list(self.elements.items()):
            if pen == IANA:  # RFC 5103, 6.1
                self.add(REVERSE, number, "reverse" + name[0].upper() + name[1:], self.lists.get((pen, number), kind))
        self.by_name = {name: key for key, (name, _) in self.elements.items()}

    def add(self, pen, number, name, kind):
        self.elements[pen, number] = (name, "octetArray" if kind in LISTS else kind)
        if kind in LISTS[:3]:
            self.lists[pen, number] = kind

    def read(self, path):
        for record in ElementTree.parse(path).iter(XML + "record"):
            number = int(record.findtext(XML + "elementId"))
            pen = int(record.findtext(CERT + "enterpriseId", "0"))
            self.add(pen, number | 0x8000 if pen == V9 else number, record.findtext(XML + "name"), record.findtext(XML + "dataType"))

    def name(self, pen, number):
        if (pen, number) in self.elements:
            return self.elements[pen, number][0]
        return f"v9.{number}" if pen == V9 else f"e{pen}id{number}"

    def type(self, pen, number):
        return self.elements.get((pen, number), ("", "octetArray"))[1]

    def list_kind(self, pen, number):
        return self.lists.get((pen, number))

    def find(self, name):
        """(enterprise, number) of a name as mapping files write it."""
        if name in self.by_name:
            return self.by_name[name]
        if re.fullmatch(r"v9\.\d+", name):
            return v9_identity(int(name[3:]))
        if name.startswith("reverse."):
            return REVERSE, self.by_name[name[8:]][1]
        pen, number = re.fullmatch(r"e(\d+)id(\d+)", name).groups()
        return int(pen), int(number)


def v9_identity(number):
    if number >= 57472:
        return NTOP, number - 57472
    return (V9, number) if number >= 32768 else (IANA, number)


TOKEN = re.compile(r'\s*(?:#[^\n]*\s*)*("(?:[^"\\]|\\.)*"|[A-Za-z_]\w*|-?\d+L?|[{}()\[\];,:=])')


def parse_conf(text):
    """libconfig's syntax, as far as mapping files use it: groups as dict, lists as list."""
    tokens = TOKEN.findall(re.sub(r"(?m)^\s*#.*$|\s#[^\"\n]*$", "", text))[::-1]

    def value():
        token = tokens.pop()
        if token == "{":
            return group()
        if token in "([":
            values = []
            while tokens[-1] not in ")]":
                values.append(value())
                if tokens[-1] == ",":
                    tokens.pop()
            tokens.pop()
            return values
        if token[0] == '"':
            return token[1:-1]
        return token == "true" if token in ("true", "false") else int(token.rstrip("L"))

    def group():
        settings = {}
        while tokens and tokens[-1] != "}":
            name = tokens.pop()
            assert tokens.pop() in "=:", name
            settings[name] = value()
            if tokens and tokens[-1] in ";,":
                tokens.pop()
        if tokens:
            tokens.pop()
        return settings

    return group()


class Mapping:
    """One file: which element fills which field, and for whom."""
    RANKS = ("exporter", "template", "elements", "pen", "format")

    def __init__(self, path, registry):
        with open(path, encoding="utf-8") as f:
            settings = parse_conf(f.read())["mapping"]
        self.name = settings["name"]
        self.when = settings.get("when", {})
        self.rank = next((i for i, key in enumerate(self.RANKS) if key in self.when), len(self.RANKS))
        assert set(self.when) <= {"pen", "format"}, f"{path}: a condition that this reader does not know"
        self.lines = [(registry.find(line["element"]), line) for line in settings["promote"]]
        # What stands inside lists: (element, list or None, line).
        self.inside = [(registry.find(line["element"]), registry.find(line["list"]) if "list" in line else None, line)
                       for line in settings.get("inside", ())]

    def holds(self, version, identities):
        if "format" in self.when and self.when["format"] != {1: "v1", 5: "v5", 7: "v7", 9: "v9", 10: "ipfix"}[version]:
            return False
        return "pen" not in self.when or any(pen == self.when["pen"] for pen, _ in identities)


def mappings(registry):
    files = [Mapping(p, registry) for p in sorted(glob.glob(os.path.join(TEMPLATES, "mappings", "*.conf")))]
    return sorted(files, key=lambda m: m.rank)


def table(name):
    return {int(row[0]): row[1] for row in rows(os.path.join(TEMPLATES, "tables", name + ".tsv"))}
