# SPDX-License-Identifier: Apache-2.0
"""Flow events as a folder of Parquet files: read by pyarrow, and written by it in either layout, for tests of what reads them."""
import datetime
import glob
import os
import urllib.parse

import pyarrow
import pyarrow.parquet

SIMPLE = {"string": pyarrow.string(), "bytes": pyarrow.binary(), "int": pyarrow.int32(), "long": pyarrow.int64(), "double": pyarrow.float64(),
          "boolean": pyarrow.bool_()}


def read_lake(folder):
    """The rows of all complete files below the folder, as they are in the files."""
    return [row for path in sorted(glob.glob(os.path.join(folder, "**", "*.parquet"), recursive=True))
            for row in pyarrow.parquet.ParquetFile(path).read().to_pylist()]


def arrow_type(avro):
    """Of an Avro type; with null allowed, that of the other one."""
    if isinstance(avro, list):
        (only,) = [t for t in avro if t != "null"]
        return arrow_type(only)
    if isinstance(avro, str):
        return SIMPLE[avro]
    if avro.get("logicalType") == "timestamp-millis":
        return pyarrow.timestamp("ms", "UTC")
    if avro.get("logicalType") == "date":
        return pyarrow.date32()
    if avro["type"] == "record":
        return pyarrow.struct([(f["name"], arrow_type(f["type"])) for f in avro["fields"]])
    if avro["type"] == "array":
        return pyarrow.list_(arrow_type(avro["items"]))
    if avro["type"] == "map":
        return pyarrow.map_(pyarrow.string(), arrow_type(avro["values"]))
    return SIMPLE[avro["type"]]


def table_of(flows, schema, layout):
    """Nested is the Avro shape; flat has the fields of normalized and enriched at the top."""
    nested = pyarrow.table({f["name"]: pyarrow.array([x[f["name"]] for x in flows], arrow_type(f["type"])) for f in schema["fields"]})
    if layout == "nested":
        return nested
    columns = {"record_id": nested["record_id"]}
    for layer in ("normalized", "enriched"):
        whole = nested[layer].combine_chunks()
        columns.update((field.name, whole.field(i)) for i, field in enumerate(whole.type))
    return pyarrow.table({**columns, "raw": nested["raw"]})


def place_of(flow):
    n = flow["normalized"]
    # Python knows no year 10000.
    at = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=min(n["event_time"], 253402300799999))
    return f'{urllib.parse.quote(n["event_type"], safe="")}/date={at:%Y-%m-%d}/hour={at:%H}'


def write_lake(flows, schema, folder, layout, name="part"):
    """Files as the sink names them, by event_type, date and hour; their paths."""
    parts = {}
    for f in flows:
        parts.setdefault(place_of(f), []).append(f)
    paths = []
    for place, some in sorted(parts.items()):
        os.makedirs(os.path.join(folder, place), exist_ok=True)
        paths.append(os.path.join(folder, place, f"{name}.parquet"))
        pyarrow.parquet.write_table(table_of(some, schema, layout), paths[-1], compression="snappy")
    return paths
