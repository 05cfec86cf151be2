# SPDX-License-Identifier: Apache-2.0
"""Goal: the generated pages of doc/ say what the program says, and the page of fields what each field is and comes from.

Method: each page as the built program prints it is compared with the one in doc/.  Of doc/FIELDS every row must have an example
and a source, or wait for an input that scripts/field-coverage names; a running service must say the same through sluicectl; and
what it says of NetFlow v5 must be where the values of a record stand that went through it.
"""
import json
import os
import re
import runpy
import socket
import struct
import subprocess

import pytest

from conftest import BUILD, ROOT, Sluiced, files_sink, read_flows, wait_for

# Header and record of NetFlow v5: Cisco, "NetFlow Export Datagram Format".
V5_HEADER = [("version", "H", 5), ("count", "H", 1), ("SysUptime", "I", 3000), ("unix_secs", "I", 1772619341), ("unix_nsecs", "I", 0),
             ("flow_sequence", "I", 0), ("engine_type", "B", 0), ("engine_id", "B", 0), ("sampling_interval", "H", 0x4064)]
V5_RECORD = [("srcaddr", "4s"), ("dstaddr", "4s"), ("nexthop", "4s"), ("input", "H"), ("output", "H"), ("dPkts", "I"), ("dOctets", "I"),
             ("First", "I"), ("Last", "I"), ("srcport", "H"), ("dstport", "H"), ("pad1", "B"), ("tcp_flags", "B"), ("prot", "B"),
             ("tos", "B"), ("src_as", "H"), ("dst_as", "H"), ("src_mask", "B"), ("dst_mask", "B"), ("pad2", "H")]


@pytest.mark.parametrize("page", ["fields", "options", "counters"])
def test_page_is_up_to_date(page):
    said = subprocess.run([os.path.join(BUILD, "sluiced"), "--print-doc", page], capture_output=True, text=True, timeout=60,
                          check=True).stdout
    with open(os.path.join(ROOT, "doc", page.upper() + ".md"), encoding="utf-8") as f:
        assert f.read() == said, f"doc/{page.upper()}.md is out of date: make doc"


def test_no_page_of_that_name():
    done = subprocess.run([os.path.join(BUILD, "sluiced"), "--print-doc", "feilds"], capture_output=True, timeout=60, check=False)
    assert done.returncode != 0 and not done.stdout


def page_rows():
    """name: (type, unit, meaning, example, fed by) of the two layers in doc/FIELDS.md."""
    with open(os.path.join(ROOT, "doc", "FIELDS.md"), encoding="utf-8") as f:
        rows = [line.strip()[1:-1].split("|") for line in f if line.startswith("| `")]
    return {r[0].split("`")[1]: tuple(cell.strip() for cell in r[1:]) for r in rows if len(r) == 6}


def schema_fields():
    done = subprocess.run([os.path.join(BUILD, "sluiced"), "--print-schema"], capture_output=True, text=True, timeout=60, check=True)
    return [f["name"] for layer in json.loads(done.stdout)["fields"] if layer["name"] in ("normalized", "enriched")
            for f in layer["type"]["fields"]]


def test_every_field_has_an_example_and_a_source():
    rows = page_rows()
    assert list(rows) == schema_fields()
    waiting = runpy.run_path(os.path.join(ROOT, "scripts", "field-coverage"))["NOT_YET"]
    for name, (_, _, meaning, example, fed_by) in rows.items():
        assert meaning and fed_by, name
        json.loads(example.strip("`"))
        if fed_by == "nothing yet":
            assert any(re.fullmatch(pattern, name) for pattern, _ in waiting), f"{name}: nothing feeds it, and nothing says why"
        else:
            assert all(re.match(r"[\w, -]+: \S", part) for part in fed_by.split("<br>")), fed_by


@pytest.fixture(scope="module", name="service")
def running_service(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("docs"))
    s = Sluiced(folder, files_sink(folder), ["normalizer.enrich=[]"])
    yield s
    s.kill()


def test_the_service_says_what_the_page_says(service):
    rows = page_rows()
    said = service.ctl("fields")["fields"]
    assert [f["field"] for f in said] == list(rows)
    for field in said:
        _, unit, meaning, example, fed_by = rows[field["field"]]
        assert (field["unit"], field["meaning"]) == (unit, meaning)
        assert field["example"] == json.loads(example.strip("`"))
        assert {s["by"] for s in field["fed_by"]} == {part.split(": ")[0] for part in fed_by.split("<br>")} - {"nothing yet"}
    text = subprocess.run([os.path.join(BUILD, "sluicectl"), "-s", service.socket, "fields"], capture_output=True, text=True, timeout=60,
                          check=True).stdout
    blocks = dict(zip(rows, text.split("\n\n")))
    for name, (_, _, meaning, example, fed_by) in rows.items():
        lines = [line.strip() for line in blocks[name].splitlines()]
        assert lines[0].split()[0].split(".")[1] == name and lines[1] == meaning
        assert json.loads(lines[2].removeprefix("example: ")) == json.loads(example.strip("`"))
        assert lines[3] == "fed by" and lines[4:] == fed_by.replace("`", "").split("<br>")


def v5_message(changed):
    """A message of one record whose fields are alike in all messages but for the one that is named."""
    values = {name: bytes([10, 1, 1, 1]) if kind == "4s" else 8 for name, kind in V5_RECORD}
    values.update({name: value for name, _, value in V5_HEADER} | {"First": 1000, "Last": 2000, "prot": 6})
    if changed:
        others = {"prot": 1, "unix_nsecs": 7000000, "sampling_interval": 0x8065}  # both parts of the last
        usual = bytes([10, 2, 2, 2]) if isinstance(values[changed], bytes) else values[changed] + 1
        values[changed] = others.get(changed, usual)
    return b"".join(struct.pack(">" + kind, values[name]) for name, kind, *_ in V5_HEADER + V5_RECORD)


def fed_by_v5(by, names):
    """name in v5: the fields that the page says it feeds."""
    said = {name: set() for name in names}
    for field, row in page_rows().items():
        for part in row[4].split("<br>"):
            who, what = part.split(": ", 1) if ": " in part else (part, "")
            for name in names if who == by else ():
                if re.search(rf"\b{name}\b", what):
                    said[name].add(field)
    return said


def test_v5_fields_stand_where_the_page_says(service):
    """Each field of header and record is changed alone: the canonical fields that change with it are those it is said to feed."""
    said = fed_by_v5("netflow5", [name for name, _ in V5_RECORD])
    said.update(fed_by_v5("netflow5 header", [name for name, _, _ in V5_HEADER if name not in ("version", "count")]))
    assert not [name for name, fields in said.items() if not fields and not name.startswith("pad")]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for sent, changed in enumerate([None, *said], 1):
            out.sendto(v5_message(changed), ("127.0.0.1", service.port))
            assert wait_for(lambda count=sent: service.counter("flows") == count), changed
    service.drain()
    flows = [f["normalized"] for f in read_flows(service.folder)]
    assert len(flows) == len(said) + 1
    for name, flow in zip(said, flows[1:]):
        differs = {k for k, v in flow.items() if v != flows[0][k]} - {"ingest_time", "event_time"}
        if name == "prot":  # ICMP's type and code stand in the port
            differs -= {"icmp_type", "icmp_code"}
        missing = {"icmp_type", "icmp_code"} if name == "dstport" else set()  # this one is TCP
        assert differs == said[name] - missing, name
