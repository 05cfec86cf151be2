# SPDX-License-Identifier: Apache-2.0
"""H: structured data (RFC 6313). I: files (RFC 5655)."""
import json
import os
import struct
import subprocess

import pytest

from marks import not_yet
from service import BUILD, ROOT, files_sink, read_flows
from test_fields import read
from wire import FLOW, VARIABLE, data, define, flow, ipfix, options, variable

BASIC, SUB, MULTI = 291, 292, 293
PORTS = (44333, 55555, 60123)


def basic(semantic, number, length, *values, pen=None):
    head = struct.pack(">BHH", semantic, number | (0x8000 if pen else 0), length) + (struct.pack(">I", pen) if pen else b"")
    return head + b"".join(values)


def with_list(kind, octets, n=7):
    return [(8, 4), (kind, VARIABLE), (1, 4)], b"\x0a\0\0\1" + variable(octets) + struct.pack(">I", n)


def raw_list(flow_event):
    return next(v for k, v in flow_event["raw"]["elements"].items() if k.endswith("List"))


def opened(flow_event):
    return json.loads(raw_list(flow_event))


def test_099_lists_are_skipped(item):
    """G 6313: a list that cannot be read is skipped by its length, and stands in raw"""
    lists = [(BASIC, basic(255, 7, 2, b"\x50")), (BASIC, b"\xff\0\7"), (SUB, b"\xff\1"), (MULTI, b"\xff" + struct.pack(">HH", 300, 3)),
             (BASIC, b"")]
    flows = read(item, *[with_list(kind, octets) for kind, octets in lists])
    assert all((f["normalized"]["src_ip"], f["normalized"]["bytes"]) == ("10.0.0.1", 7) for f in flows)
    assert [raw_list(f) for f in flows[:4]] == [octets.hex() for _, octets in lists[:4]]
    assert all("list" in f["raw"]["notes"] for f in flows[:4])


@pytest.mark.parametrize("octets,element,values", [
    (basic(255, 7, 2, *[struct.pack(">H", p) for p in PORTS]), "sourceTransportPort", [str(p) for p in PORTS]),
    (basic(255, 371, VARIABLE, variable(b"alice"), variable(b"bob")), "userName", ["alice", "bob"]),
    (basic(255, 371, VARIABLE, variable(b"alice", is_long=True)), "userName", ["alice"]),
    (basic(255, 180, VARIABLE, variable(b"/path"), pen=35632), "ntop.HTTP_URL", ["/path"]),
    (basic(255, 9, 3, b"abc", b"def", pen=32473), "e32473id9", ["616263", "646566"]),
    (basic(255, 7, 2), "sourceTransportPort", []),
], ids=["numbers", "texts", "long form", "enterprise", "unknown enterprise", "empty"])
def test_094_basic_list(item, octets, element, values):
    """M 6313 4.5.1: a basicList is read: its element and its values"""
    f = read(item, with_list(BASIC, octets))[0]
    assert opened(f) == {"semantic": "undefined", "element": element, "values": values} and "list" not in f["raw"]["notes"]


def test_095_sub_template_list(item):
    """M 6313 4.5.2: the records of a subTemplateList are read by their template"""
    p = item.peer()
    elements, record = with_list(SUB, b"\xff\1\x2c" + b"\x0a\x4d\x4e\x4f" + b"\x0a\x50\x51\x52")
    p.send(ipfix(define(300, [(8, 4)]), define(256, elements), data(256, record)))
    assert opened(item.one()) == {"semantic": "undefined", "template": 300,
                                  "records": [{"sourceIPv4Address": a} for a in ("10.77.78.79", "10.80.81.82")]}


def test_095_unknown_template(item):
    """M 6313: a list whose template is not known is skipped, and its record is kept"""
    f = read(item, with_list(SUB, b"\xff\x03\xe7" + b"\1\2\3\4"))[0]
    assert (f["normalized"]["src_ip"], f["normalized"]["bytes"]) == ("10.0.0.1", 7)
    assert opened(f) == {"semantic": "undefined", "template": 999, "hex": "01020304"} and "list" in f["raw"]["notes"]


def test_095_redefined_template(item):
    """M 6313 with 7011 8.1: a list is read by the template in force where it stands, though its message changes it behind"""
    p = item.peer()
    elements, record = with_list(SUB, b"\xff\1\x2c" + b"\0\1\0\2")
    p.send(ipfix(define(300, [(7, 2)]), define(256, elements), data(256, record), define(300, [(8, 4)]), data(256, record)))
    assert [opened(f)["records"] for f in item.flows()] == [[{"sourceTransportPort": "1"}, {"sourceTransportPort": "2"}],
                                                            [{"sourceIPv4Address": "0.1.0.2"}]]


def test_096_sub_template_multi_list(item):
    """M 6313 4.5.3: the blocks of a subTemplateMultiList are read, each by its template"""
    p = item.peer()
    blocks = b"\xff" + struct.pack(">HH4sHHH", 300, 8, b"\x0a\x4d\x4e\x4f", 301, 6, PORTS[0])
    elements, record = with_list(MULTI, blocks)
    p.send(ipfix(define(300, [(8, 4)]), define(301, [(7, 2)]), define(256, elements), data(256, record)))
    assert opened(item.one())["blocks"] == [{"template": 300, "records": [{"sourceIPv4Address": "10.77.78.79"}]},
                                            {"template": 301, "records": [{"sourceTransportPort": str(PORTS[0])}]}]


def test_096_one_unknown_template(item):
    """M 6313: of several blocks, one of a template that is not known does not cost the others"""
    p = item.peer()
    elements, record = with_list(MULTI, b"\3" + struct.pack(">HH4sHHHHH", 299, 8, b"\1\2\3\4", 301, 6, PORTS[0], 300, 4))
    p.send(ipfix(define(301, [(7, 2)]), define(256, elements), data(256, record)))
    assert opened(item.one())["blocks"] == [{"template": 299, "hex": "01020304"}, {"template": 301, "records": [
        {"sourceTransportPort": str(PORTS[0])}]}, {"template": 300, "records": []}]


def test_096_broken_blocks(item):
    """M 6313: blocks of a length of 3, or beyond their list, harm nothing but the list"""
    lists = [b"\xff" + struct.pack(">HH4s", 300, length, b"\1\2\3\4") for length in (3, 0, 9, 65535)]
    flows = read(item, *[with_list(MULTI, octets, n) for n, octets in enumerate(lists)])
    assert [f["normalized"]["bytes"] for f in flows] == [0, 1, 2, 3]


def test_097_nesting(item):
    """G: lists in lists, 20 deep, do no harm"""
    inner = b"\x2a"
    for _ in range(20):
        inner = b"\xff\1\x01" + variable(inner)
    p = item.peer()
    elements, record = with_list(SUB, inner)
    p.send(ipfix(define(257, [(SUB, VARIABLE)]), define(256, elements), data(256, record)))
    f = item.one()
    assert f["normalized"]["bytes"] == 7 and item.alive() and "list" in f["raw"]["notes"]
    said = opened(f)
    for _ in range(3):
        said = said["records"][0]["subTemplateList"]
    left = bytes.fromhex(said["records"][0]["subTemplateList"]["hex"])
    for _ in range(4):
        inner = inner[4:]
    assert left == inner


def test_098_semantics_are_kept(item):
    """G 6313 4.4: semantics are told by their names: 255, 0 to 4; the reserved 9 by its number"""
    flows = read(item, *[with_list(BASIC, basic(s, 7, 2, b"\0\x50")) for s in (255, 0, 1, 2, 3, 4, 9)])
    assert [opened(f)["semantic"] for f in flows] == ["undefined", "noneOf", "exactlyOneOf", "oneOrMoreOf", "allOf", "ordered", 9]


def replay(folder, octets):
    """(exit code, octets fields) of a replay of an IPFIX file."""
    path = os.path.join(folder, "messages.ipfix")
    with open(path, "wb") as f:
        f.write(octets)
    done = subprocess.run([f"{BUILD}/sluiced", "-o", f"state={folder}/state", "-o", f"sinks={files_sink(folder)}", "--replay", path],
                          capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    return done.returncode, [f["normalized"]["bytes"] for f in read_flows(folder)]


def test_100_file(folder):
    """M 5655: a file is a stream of messages and one session: templates live on in it"""
    assert replay(folder, ipfix(define(256, FLOW)) + ipfix(data(256, flow(1)))) == (0, [1])


def test_101_corrupt_message(folder):
    """S 5655: a corrupt message in a file is reported, and the next sound header is looked for"""
    parts = [ipfix(define(256, FLOW), data(256, flow(n))) for n in range(5)]
    parts[1] = parts[1][:2] + b"\x7f\xff" + parts[1][4:]
    assert replay(folder, b"".join(parts))[1] == [0, 2, 3, 4]


def test_102_domains_in_a_file(folder):
    """G 5655: several domains and exporters in one file"""
    assert replay(folder, b"".join(ipfix(define(256, FLOW), data(256, flow(n)), domain=n) for n in range(3))) == (0, [0, 1, 2])


FILE_OPTIONS = [([(259, 2), (262, 16)], [], b"\0\1" + bytes(16)), ([(144, 4)], [(260, 4), (264, 4)], struct.pack(">III", 1, 2, 3)),
                ([(130, 4)], [(262, 16), (261, 4)], b"\x0a\0\0\1" + bytes(range(16)) + struct.pack(">I", 9))]


def test_103_options_of_files(item):
    """G 5655: options of files, checksums and time windows, are read and break nothing"""
    p = item.peer()
    for n, (scopes, elements, record) in enumerate(FILE_OPTIONS):
        p.send(ipfix(options(300 + n, scopes, elements), data(300 + n, record)))
    p.send(ipfix(define(256, FLOW), data(256, flow(1))))
    assert item.octets() == [1] and item.counted("records_options") == 3


def test_103_options_in_a_file(folder):
    """G 5655: and in a file"""
    scopes, elements, record = FILE_OPTIONS[0]
    assert replay(folder, ipfix(options(300, scopes, elements), data(300, record), define(256, FLOW), data(256, flow(1)))) == (0, [1])
