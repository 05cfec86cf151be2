# SPDX-License-Identifier: Apache-2.0
"""Goal: a flow's row in a Parquet file says what its Avro record says, in both layouts, to readers that are not ours.

Method: the flow of doc/FIELDS' examples, each of its fields alone, one without any and odd ones are written by fastavro with the
schema that the program prints, and with one that a mapping has added fields to.  parquet_flows makes rows of these octets; what
pyarrow reads of them must be what fastavro reads of the octets, and the columns' types what the schema says.
"""
import datetime
import io
import json
import os
import struct
import subprocess

import fastavro
import pyarrow
import pyarrow.parquet
import pytest

from conftest import BUILD, ROOT

ADDED = ["string", "int", "long", "double", "boolean", {"type": "array", "items": "long"}, {"type": "array", "items": "string"}]
ADDED_VALUES = ["naïve ☃", -(2**31), 2**63 - 1, -0.0, True, [0, -(2**63), 7], ["", "ü", "x" * 300]]


def program_schema():
    done = subprocess.run([os.path.join(BUILD, "sluiced"), "--print-schema"], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def layer(schema, name):
    return next(f["type"]["fields"] for f in schema["fields"] if f["name"] == name)


def with_added_fields(schema):
    fields = layer(schema, "normalized")
    fields += [{"name": f"added_{i}", "type": ["null", t], "default": None, "doc": ""} for i, t in enumerate(ADDED)]
    return schema


def examples():
    """name: example, of the two layers in doc/FIELDS.md."""
    with open(os.path.join(ROOT, "doc", "FIELDS.md"), encoding="utf-8") as f:
        rows = [line.strip()[1:-1].split("|") for line in f if line.startswith("| `")]
    return {r[0].split("`")[1]: json.loads(r[4].strip().strip("`")) for r in rows if len(r) == 6}


def nothing(avro_type):
    if isinstance(avro_type, dict):
        avro_type = avro_type["type"]
    return {"string": "", "int": 0, "long": 0, "double": 0.0, "boolean": False, "array": [], "bytes": b""}[avro_type]


def flow(schema, values, raw=None):
    """A flow with these values; what must be there and is not among them is nothing."""
    out = {"record_id": bytes(range(16)),
           "raw": raw or {"protocol_version": 10, "template_id": None, "elements": {}, "wire": None, "notes": []}}
    for name in ("normalized", "enriched"):
        out[name] = {f["name"]: values.get(f["name"], None if isinstance(f["type"], list) else nothing(f["type"]))
                     for f in layer(schema, name)}
    return out


def all_flows(schema):
    values = {**examples(), **{f"added_{i}": v for i, v in enumerate(ADDED_VALUES)}}
    names = [f["name"] for part in ("normalized", "enriched") for f in layer(schema, part)]
    assert set(examples()) <= set(names)
    full_raw = {"protocol_version": 10, "template_id": 257, "elements": {"e9id1": "42", "vendorText": "ü", "": ""},
                "wire": bytes(range(256)), "notes": ["no_end_time", "contract"]}
    flows = [flow(schema, values, full_raw), flow(schema, {}),
             flow(schema, {}, {**full_raw, "template_id": None, "wire": b"", "elements": {"a": "b"}, "notes": [""]}),
             flow(schema, {n: [] for n in names if isinstance(values.get(n), list)})]
    return flows + [flow(schema, {n: values[n]}) for n in names if n in values] + flows


def write(schema, flows, folder, layout, codec):
    """Runs parquet_flows; the file, and the records as fastavro reads them."""
    parsed, octets, read = fastavro.parse_schema(schema), b"", []
    for f in flows:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed, f)
        octets += struct.pack("<I", len(out.getvalue())) + out.getvalue()
        out.seek(0)
        read.append(with_times(fastavro.schemaless_reader(out, parsed, None), schema))
    path, schema_path = os.path.join(folder, "flows.parquet"), os.path.join(folder, "flow.avsc")
    with open(schema_path, "w", encoding="utf-8") as out:
        json.dump(schema, out)
    done = subprocess.run([os.path.join(BUILD, "parquet_flows"), schema_path, layout, codec, path], input=octets, capture_output=True,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(flows)
    return path, read


def with_times(value, avro_type):
    """fastavro gives plain numbers for times here: service.py has taken its logical types away."""
    if isinstance(avro_type, list):
        return None if value is None else with_times(value, avro_type[1])
    if not isinstance(avro_type, dict):
        return value
    if avro_type["type"] == "record":
        return {f["name"]: with_times(value[f["name"]], f["type"]) for f in avro_type["fields"]}
    if avro_type.get("logicalType") == "timestamp-millis":
        return datetime.datetime.fromtimestamp(0, datetime.timezone.utc) + datetime.timedelta(milliseconds=value)
    if avro_type.get("logicalType") == "date":
        return datetime.date(1970, 1, 1) + datetime.timedelta(days=value)
    return value


def laid_out(record, layout):
    record = {**record, "raw": {**record["raw"], "elements": sorted(record["raw"]["elements"].items())}}
    if layout == "nested":
        return record
    return {"record_id": record["record_id"], **record["normalized"], **record["enriched"], "raw": record["raw"]}


def row_of(row):
    row["raw"]["elements"] = sorted(row["raw"]["elements"])
    return row


def same(a, b):
    """Equal, of the same type, and -0.0 is not 0.0."""
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b and repr(a) == repr(b) if isinstance(a, float) else a == b and type(a) is type(b)


def compare(want, have):
    assert len(want) == len(have)
    for i, (w, h) in enumerate(zip(want, have)):
        wrong = {k: (w[k], h.get(k)) for k in w if not same(w[k], h.get(k))}
        assert same(w, h), f"row {i}: {wrong}"


@pytest.mark.parametrize("codec", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("layout", ["flat", "nested"])
def test_rows_are_what_fastavro_reads(tmp_path, layout, codec):
    schema = program_schema()
    path, read = write(schema, all_flows(schema), tmp_path, layout, codec)
    table = pyarrow.parquet.read_table(path)
    table.validate(full=True)
    compare([laid_out(r, layout) for r in read], [row_of(r) for r in table.to_pylist()])
    assert pyarrow.parquet.ParquetFile(path).num_row_groups == -(-len(read) // 100)


@pytest.mark.parametrize("layout", ["flat", "nested"])
def test_added_fields(tmp_path, layout):
    schema = with_added_fields(program_schema())
    path, read = write(schema, all_flows(schema), tmp_path, layout, "snappy")
    compare([laid_out(r, layout) for r in read], [row_of(r) for r in pyarrow.parquet.read_table(path).to_pylist()])


def arrow_type(avro_type):
    """What pyarrow is to make of a column of that type, and whether it may be null."""
    if isinstance(avro_type, list):
        return arrow_type(avro_type[1])[0], True
    kind = avro_type if isinstance(avro_type, str) else avro_type.get("logicalType", avro_type["type"])
    if kind == "array":
        return pyarrow.list_(pyarrow.field("element", arrow_type(avro_type["items"])[0], nullable=False)), False
    if kind == "map":
        return pyarrow.map_(pyarrow.string(), pyarrow.field("value", pyarrow.string(), nullable=False)), False
    if kind == "record":
        return pyarrow.struct([arrow_field(f) for f in avro_type["fields"]]), False
    plain = {"string": pyarrow.string(), "int": pyarrow.int32(), "long": pyarrow.int64(), "double": pyarrow.float64(),
             "boolean": pyarrow.bool_(), "bytes": pyarrow.binary(), "date": pyarrow.date32(),
             "timestamp-millis": pyarrow.timestamp("ms", tz="UTC")}
    return plain[kind], False


def arrow_field(field):
    kind, may_be_null = arrow_type(field["type"])
    return pyarrow.field(field["name"], kind, nullable=may_be_null)


@pytest.mark.parametrize("layout", ["flat", "nested"])
def test_columns_are_of_the_schema(tmp_path, layout):
    schema = program_schema()
    path, _ = write(schema, [flow(schema, {})], tmp_path, layout, "none")
    fields = []
    for f in schema["fields"]:
        fields += f["type"]["fields"] if layout == "flat" and f["name"] in ("normalized", "enriched") else [f]
    have, want = pyarrow.parquet.read_schema(path), pyarrow.schema([arrow_field(f) for f in fields])
    assert have.names == want.names
    for h, w in zip(have, want):
        assert h.equals(w), (h, w)


def test_what_is_no_record_is_said(tmp_path):
    schema = program_schema()
    with open(tmp_path / "flow.avsc", "w", encoding="utf-8") as out:
        json.dump(schema, out)
    done = subprocess.run([os.path.join(BUILD, "parquet_flows"), tmp_path / "flow.avsc", "flat", "none", tmp_path / "x"],
                          input=struct.pack("<I", 3) + b"abc", capture_output=True, timeout=60, check=False)
    assert done.returncode == 1 and done.stdout == b"0\n" and b"a record" in done.stderr
