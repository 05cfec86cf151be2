# SPDX-License-Identifier: Apache-2.0
"""Goal: every reader finds in a Parquet file what was put into it, and its statistics are true.

Method: parquet_driver writes files of random schemas and rows, and the truth as JSON lines.  pyarrow reads the file
with page checksums verified, DuckDB and polars those of the shapes and values they know; all of it is compared
exactly.  What pyarrow says of the encodings is collected, so that none is there only on paper.  What no reader shows,
each page's header and the sums of the footer, is read by a parser of our own.
"""
import collections
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "gen"))
import parquet_pages  # noqa: E402

DRIVER = ROOT / "build" / "parquet_driver"
CODECS = {"none": "UNCOMPRESSED", "snappy": "SNAPPY", "zstd": "ZSTD"}


def write(tmp_path, **options):
    path, truth = tmp_path / "random.parquet", tmp_path / "truth"
    subprocess.run([DRIVER, path, truth, *(f"{k}={v}" for k, v in options.items())], check=True, timeout=120)
    with open(truth, encoding="ascii") as f:
        schema = json.loads(f.readline())
        rows = [json.loads(line) for line in f]
    return path, schema, rows


# What a reader gives and what the truth says, both as the same plain values.

def plain(kind, value):
    """A value of the truth: octets for octets, bits for doubles."""
    return bytes.fromhex(value) if kind in ("bytes", "string") else value


def expected(node, value):
    if value is None:
        return None
    kind, children = node["kind"], node["children"]
    if kind == "list":
        return [expected(children[0]["children"][0], v) for v in value]
    if kind == "map":
        key, item = children[0]["children"]
        return [(expected(key, k), expected(item, v)) for k, v in value]
    if kind == "group":
        return {c["name"]: expected(c, v) for c, v in zip(children, value)}
    if node["repeat"] == 2:
        return [plain(kind, v) for v in value]
    return plain(kind, value)


def flat(array, node):
    kind = node["kind"]
    if kind == "ms":
        array = array.cast(pa.timestamp("ms", "UTC")).cast(pa.int64())
    elif kind == "date":
        array = array.cast(pa.int32())
    elif kind == "f64":
        array = array.cast(pa.float64())
        return [None if v is None else struct.unpack("<Q", struct.pack("<d", v))[0] for v in array.to_pylist()]
    return [v.encode() if isinstance(v, str) else v for v in array.to_pylist()]


def walk(array, node):
    """The array as plain values; `array` is no chunked one."""
    kind, children = node["kind"], node["children"]
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    is_list = pa.types.is_list(array.type) or pa.types.is_large_list(array.type) or pa.types.is_map(array.type)
    if kind == "group":
        valid = array.is_valid().to_pylist()
        columns = [walk(array.field(i), c) for i, c in enumerate(children)]
        return [{c["name"]: columns[k][i] for k, c in enumerate(children)} if valid[i] else None for i in range(len(array))]
    if is_list:
        starts, valid = array.offsets.to_pylist(), array.is_valid().to_pylist()
        if kind == "map":
            key, item = children[0]["children"]
            if pa.types.is_map(array.type):
                keys, values = array.keys, array.items
            else:
                keys, values = array.values.field(0), array.values.field(1)
            inner = list(zip(walk(keys, key), walk(values, item)))
        elif kind == "list":
            inner = walk(array.values, children[0]["children"][0])
        else:
            inner = flat(array.values, node)
        return [inner[starts[i]:starts[i + 1]] if valid[i] else None for i in range(len(array))]
    return flat(array, node)


def unique(value):
    """Maps, which are lists of pairs, as a reader has them that takes the last of equal keys."""
    if isinstance(value, dict):
        return {k: unique(v) for k, v in value.items()}
    if isinstance(value, list):
        items = [unique(v) for v in value]
        return dict(items) if items and isinstance(items[0], tuple) else items
    return tuple(unique(v) for v in value) if isinstance(value, tuple) else value


def compare(table, schema, rows, see=lambda value: value):
    assert table.num_rows == len(rows)
    assert table.column_names == [c["name"] for c in schema["children"]]
    for i, node in enumerate(schema["children"]):
        got = []
        for chunk in table.column(i).chunks:
            got += walk(chunk, node)
        got, want = see(got), see([expected(node, row[i]) for row in rows])
        if got != want:
            first = next(k for k, pair in enumerate(zip(got, want)) if pair[0] != pair[1])
            pytest.fail(f"{node['name']} ({node['kind']}), row {first}: {got[first]!r} instead of {want[first]!r}")


# Statistics.

def leaves(node, value_of):
    """(kind, what a leaf holds in a row, None for each null) of all leaves, in order."""
    kind, children = node["kind"], node["children"]
    if kind == "group":
        for i, c in enumerate(children):
            yield from leaves(c, lambda row, i=i: [None if v is None else v[i] for v in value_of(row)])
    elif kind in ("list", "map"):
        def entries(row):
            return [e for v in value_of(row) for e in (v or [None])]
        if kind == "list":
            yield from leaves(children[0]["children"][0], entries)
        else:
            for i, c in enumerate(children[0]["children"]):
                yield from leaves(c, lambda row, i=i: [None if v is None else v[i] for v in entries(row)])
    elif node["repeat"] == 2:
        yield kind, lambda row: [e for v in value_of(row) for e in (v or [None])]
    else:
        yield kind, value_of


def all_leaves(schema):
    for i, node in enumerate(schema["children"]):
        yield from leaves(node, lambda row, i=i: [row[i]])


def bounds(kind, values):
    """(least, greatest) as the file should have them, or None."""
    if kind == "f64":
        values = [struct.unpack("<d", struct.pack("<Q", v))[0] for v in values]
        if any(v != v for v in values):
            return None
        return (min(values), max(values)) if values else None
    values = [plain(kind, v) for v in values]
    if not values or (kind in ("bytes", "string") and any(len(v) > 64 for v in values)):
        return None
    return min(values), max(values)


def check_statistics(path, schema, rows):
    meta = pq.ParquetFile(path).metadata
    first = 0
    for g in range(meta.num_row_groups):
        group = meta.row_group(g)
        part = rows[first:first + group.num_rows]
        first += group.num_rows
        for c, (kind, value_of) in enumerate(all_leaves(schema)):
            column = group.column(c)
            values = [v for row in part for v in value_of(row)]
            present = [v for v in values if v is not None]
            stats = column.statistics
            assert column.num_values == len(values), column.path_in_schema
            assert stats.null_count == len(values) - len(present), column.path_in_schema
            want = bounds(kind, present)
            assert stats.has_min_max == (want is not None), column.path_in_schema
            if want is not None:
                got = (stats.min_raw, stats.max_raw)
                assert tuple(v.encode() if isinstance(v, str) else v for v in got) == want, column.path_in_schema
            if stats.has_distinct_count:
                assert stats.distinct_count == len(set(present)), column.path_in_schema
    assert first == len(rows)


# Pages.

NUMBERS = {"bool": "<B", "i32": "<i", "date": "<i", "i64": "<q", "ms": "<q", "f64": "<d"}
RLE = 3  # of the encodings


def check_page_statistics(kind, entries, stats, where):
    """`stats` is Statistics: 3 nulls, 5 greatest, 6 least, 7 and 8 whether these are exact."""
    present = [v for v in entries if v is not None]
    want = bounds(kind, present)
    assert stats.keys() == ({3, 5, 6, 7, 8} if want else {3}), where
    assert stats[3] == len(entries) - len(present), where
    if want:
        got = (stats[6], stats[5])
        if kind in NUMBERS:
            got = tuple(struct.unpack(NUMBERS[kind], v)[0] for v in got)
        assert got == want and stats[7] is stats[8] is True, where


def check_chunk(file, meta, kind, rows_entries):
    """`meta` is ColumnMetaData; `rows_entries` what the leaf holds, row by row."""
    where, seen, octets, offsets = ".".join(n.decode() for n in meta[3]), collections.Counter(), 0, {}
    starts, count = set(), 0
    for entries in rows_entries:
        starts.add(count)
        count += len(entries)
    entries, at = [e for row in rows_entries for e in row], 0
    for offset, head, head_bytes, body in file.pages(meta):
        assert head[4] & 0xffffffff == zlib.crc32(body), where
        header = head[7 if head[1] == parquet_pages.PAGE_DICT else 5]
        offsets.setdefault(head[1], offset)
        seen[head[1], header[2]] += 1
        octets += head_bytes + head[2]
        if head[1] == parquet_pages.PAGE_DATA:
            assert at in starts, f"{where}: a page begins within a row"
            assert header[3] == header[4] == RLE
            check_page_statistics(kind, entries[at:at + header[1]], header[5], f"{where}, page at {offset}")
            at += header[1]
    assert at == count == meta[5], where
    assert octets == meta[6], where
    assert offsets == {k: meta[i] for k, i in ((parquet_pages.PAGE_DATA, 9), (parquet_pages.PAGE_DICT, 11)) if i in meta}, where
    assert {(s[1], s[2]): s[3] for s in meta[13]} == seen and len(meta[13]) == len(seen), where
    assert sorted(meta[2]) == sorted({RLE} | {e for _, e in seen}), where
    return octets, meta[7]


def check_pages(path, schema, rows):
    file = parquet_pages.File(path)
    at, first = 4, 0
    for number, group in enumerate(file.meta[4]):
        part = rows[first:first + group[3]]
        first += group[3]
        assert group[5] == at and group[7] == number
        sizes = []
        for column, (kind, value_of) in zip(group[1], all_leaves(schema), strict=True):
            meta = column[3]
            assert meta.get(11, meta[9]) == at  # nothing between chunks
            sizes.append(check_chunk(file, meta, kind, [value_of(row) for row in part]))
            at += meta[7]
        assert (group[2], group[6]) == tuple(map(sum, zip(*sizes)))
    assert first == len(rows) == file.meta[3]


def check(path, schema, rows, codec):
    compare(pq.read_table(path, page_checksum_verification=True), schema, rows)
    check_statistics(path, schema, rows)
    check_pages(path, schema, rows)
    meta = pq.ParquetFile(path).metadata
    assert meta.metadata == {b"driver": b"random", b"empty": b""}
    return {e for g in range(meta.num_row_groups) for c in range(meta.num_columns)
            for e in meta.row_group(g).column(c).encodings if meta.row_group(g).column(c).compression == CODECS[codec]}


PAGES = [{}, {"page_bytes": 2000, "page_rows": 100}, {"page_rows": 7, "group_rows": 50}, {"group_bytes": 20000},
         {"page_rows": 5000, "group_rows": 9000}]


@pytest.mark.parametrize("fallback", ["delta", "plain"])
@pytest.mark.parametrize("codec", list(CODECS))
def test_pyarrow(tmp_path, codec, fallback):
    seen, groups, longest = set(), 0, 0
    for i, pages in enumerate(PAGES):
        for rows, is_flat in ((0, 0), (1, 1), (9, 0), (700, 0), (700, 1), (12000, 1) if i == 4 else (2000, 0)):
            seed = len(fallback) * 1000 + len(codec) * 100 + i * 10 + rows
            options = {"seed": seed, "rows": rows, "flat": is_flat, "wide": 1, "codec": codec, "fallback": fallback,
                       "huge": int(rows == 700 and is_flat), **pages}
            try:
                path, schema, truth = write(tmp_path, **options)
                seen |= check(path, schema, truth, codec)
                groups = max(groups, pq.ParquetFile(path).metadata.num_row_groups)
                longest = max([longest, *(len(v) // 2 for row in truth for v in row if isinstance(v, str))])
            except BaseException:
                print("options:", options)
                raise
    assert {"PLAIN", "RLE", "RLE_DICTIONARY"} <= seen
    assert groups > 30 and longest == 10 << 20
    deltas = {"DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY"}
    assert seen & deltas == (deltas if fallback == "delta" else set())


@pytest.mark.parametrize("codec", list(CODECS))
@pytest.mark.parametrize("reader", ["duckdb", "polars"])
def test_other_readers(tmp_path, reader, codec):
    for seed in range(1, 9):
        options = {"seed": seed + 10 * len(codec), "rows": 1500 if seed % 3 else 6000, "flat": seed % 2, "codec": codec,
                   "fallback": "plain" if seed % 4 == 0 else "delta", "page_rows": 700, "group_rows": 5000}
        path, schema, rows = write(tmp_path, **options)
        if reader == "duckdb":
            with duckdb.connect() as db:
                db.execute("SET TimeZone = 'UTC'")
                table = db.sql(f"SELECT * FROM read_parquet('{path}')").to_arrow_table()
        else:
            table = polars.read_parquet(path).to_arrow()
        try:
            compare(table, schema, rows, unique if reader == "polars" else list)
        except BaseException:
            print("options:", options)
            raise


def test_size(tmp_path):
    """Columns like those of flows take hardly more than what DuckDB makes of them."""
    path = tmp_path / "flows.parquet"
    for seed in range(1, 8):
        ours, _, rows = write(tmp_path, seed=seed, rows=30000, flat=1, codec="snappy")
        theirs = path.with_suffix(f".{seed}")
        with duckdb.connect() as db:
            db.execute("SET TimeZone = 'UTC'")
            db.execute(f"COPY (SELECT * FROM read_parquet('{ours}')) TO '{theirs}' (FORMAT parquet, COMPRESSION snappy)")
        assert len(rows) == 30000
        assert ours.stat().st_size <= 1.15 * theirs.stat().st_size
