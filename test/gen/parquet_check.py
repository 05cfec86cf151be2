# SPDX-License-Identifier: Apache-2.0
"""Parquet files of flows as DuckDB, pyarrow and polars see them, and what is wrong in them, cell by cell.

    lake = Lake(folder, run_words, truth(run_words))
    for reader in READERS:
        complaints = lake.check(reader(folder))

Each difference names the reader, the field, the flow, what is expected and what is there.  A column that is not null
anywhere must be in the truth or in RUN, where stands what holds for values that differ from run to run.
"""
import glob
import json
import os
import re

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet

import expect

GROUP = 24  # columns that are read at once, to bound memory; of structs all, for some readers read them whole
LAYERS = ("normalized", "enriched", "raw")
PARTS = ("event_type", "date", "hour")  # of the default pattern; the last two are in the path alone
SAMPLE = 5  # differences of a field that are named
SKEW_MESSAGES = 9


def files_of(root):
    return sorted(glob.glob(os.path.join(root, "**", "*.parquet"), recursive=True))


class Pyarrow:
    def __init__(self, root):
        self.data = pyarrow.dataset.dataset(root, format="parquet", partitioning="hive")

    def schema(self):
        return self.data.schema

    def read(self, paths):
        return self.data.to_table(columns={name: pc.field(*path) for name, path in paths.items()})

    def sums(self, paths):
        table = self.read(paths)
        made = table.group_by(list(PARTS)).aggregate([([], "count_all"), ("bytes", "sum"), ("packets", "sum")])
        return made.select([*PARTS, "count_all", "bytes_sum", "packets_sum"])


class Duckdb:
    def __init__(self, root):
        self.root = root
        self.base = duckdb.connect()
        self.base.execute("SET TimeZone = 'UTC'")

    def sql(self, what, behind=""):
        return self.base.sql(f"SELECT {what} FROM read_parquet('{self.root}/**/*.parquet', hive_partitioning = true) {behind}"
                             ).to_arrow_table()

    def schema(self):
        return self.sql("*", "LIMIT 0").schema

    @staticmethod
    def names(paths):
        return {name: ".".join(f'"{part}"' for part in path) for name, path in paths.items()}

    def read(self, paths):
        return self.sql(", ".join(f'{path} AS "{name}"' for name, path in self.names(paths).items()))

    def sums(self, paths):
        names = self.names(paths)
        parts = ", ".join(names[p] for p in PARTS)
        return self.sql(f"{parts}, count(*), sum({names['bytes']}), sum({names['packets']})", f"GROUP BY {parts}")


class Polars:
    def __init__(self, root):
        self.data = pl.scan_parquet(f"{root}/**/*.parquet", hive_partitioning=True)

    def schema(self):
        return self.data.head(0).collect().to_arrow().schema

    @staticmethod
    def columns(paths):
        for name, path in paths.items():
            column = pl.col(path[0])
            yield (column if len(path) == 1 else column.struct.field(path[1])).alias(name)

    def read(self, paths):
        return self.data.select(list(self.columns(paths))).collect().to_arrow()

    def sums(self, paths):
        made = self.data.select(list(self.columns(paths))).group_by(PARTS).agg(
            pl.len().alias("rows"), pl.col("bytes").sum(), pl.col("packets").sum())
        return made.select(*PARTS, "rows", "bytes", "packets").collect().to_arrow()


READERS = (Duckdb, Pyarrow, Polars)


def leaves(schema):
    """Path by name: columns at the top or in a layer; those of raw, whose names are others' too, as raw.name."""
    out = {}
    for field in schema:
        if field.name not in LAYERS:
            out[field.name] = (field.name,)
            continue
        prefix = "raw." if field.name == "raw" else ""
        out.update({prefix + child.name: (field.name, child.name) for child in field.type})
    return out


def plain(column):
    """One array, of one of few types: integers of 64 bits, doubles, booleans, text, octets; times are milliseconds."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if pa.types.is_timestamp(kind):
        return array.cast(pa.timestamp("ms", kind.tz)).cast(pa.int64())
    if pa.types.is_date(kind):
        return array.cast(pa.date32()).cast(pa.int32()).cast(pa.int64())
    if pa.types.is_integer(kind):
        return array.cast(pa.int64())
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return array.cast(pa.string())
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return array.cast(pa.binary())
    return array


def different(expected, got):
    """A mask of rows."""
    nulls = pc.xor(pc.is_null(expected), pc.is_null(got))
    return pc.or_(nulls, pc.fill_null(pc.not_equal(expected, got), False)).to_numpy(zero_copy_only=False)


class Lake:
    def __init__(self, run_words, truth):
        self.run = expect.Run(*run_words)
        self.truth = {name: plain(array) for name, array in truth.items()}
        self.flows = np.arange(self.run.first, self.run.first + self.run.flows)
        self.complaints, self.reader, self.paths = [], None, {}

    def say(self, text):
        self.complaints.append(f"{type(self.reader).__name__}: {text}")

    def say_rows(self, name, mask, expected, got):
        """expected: an array, or a text that holds for every row."""
        rows = np.flatnonzero(mask)
        for row in rows[:SAMPLE].tolist():
            want = expected if isinstance(expected, str) else repr(expected[row].as_py())
            self.say(f"{name} of flow {self.flows[row]}: expected {want}, got {got[row].as_py()!r}")
        if len(rows) > SAMPLE:
            self.say(f"{name}: {len(rows)} flows differ")

    def check(self, reader):
        """Complaints about all that this reader sees."""
        self.complaints, self.reader = [], reader
        self.paths = leaves(reader.schema())
        group = len(self.paths) if ("normalized", "bytes") in self.paths.values() else GROUP
        # What tells a row's number is read with each group: the order of rows is nobody's promise.
        key = ("src_ip", "dst_ip") if self.run.template == "fixed" else ("flow_id",)
        names = sorted(self.truth)
        for missing in set(names) - set(self.paths):
            self.say(f"{missing}: no such column")
        names = [name for name in names if name in self.paths]
        for at in range(0, len(names), group):
            table = self.ordered(names[at:at + group], key)
            if table is None:
                return self.complaints
            for name in names[at:at + group]:
                self.say_rows(name, different(self.truth[name], table[name]), self.truth[name], table[name])
        self.check_run(key)
        self.check_raw(key)
        self.check_nulls(group)
        return self.complaints

    def ordered(self, names, key):
        """Columns in the order of the flows' numbers; None when these are not all there, once each."""
        table = self.reader.read({name: self.paths[name] for name in {*names, *key}})
        table = {name: plain(table[name]) for name in table.column_names}
        numbers = self.numbers(table)
        order = np.argsort(numbers, kind="stable")
        if not np.array_equal(numbers[order], self.flows):
            missing, foreign = np.setdiff1d(self.flows, numbers), np.setdiff1d(numbers, self.flows)
            self.say(f"{len(numbers)} rows of {len(self.flows)} flows; missing {missing[:SAMPLE]}, foreign {foreign[:SAMPLE]}")
            return None
        return {name: array.take(pa.array(order)) for name, array in table.items()}

    def numbers(self, table):
        if self.run.template != "fixed":
            return table["flow_id"].cast(pa.int64()).to_numpy()
        pairs = zip(table["src_ip"].to_pylist(), table["dst_ip"].to_pylist())
        return np.array([self.run.number_of_v5({"src_ip": src, "dst_ip": dst}) for src, dst in pairs])

    def check_nulls(self, group):
        """Whatever nobody expects is null in every row."""
        names = sorted(set(self.paths) - set(self.truth) - set(RUN) - set(RAW) - set(PARTS))
        for at in range(0, len(names), group):
            table = self.reader.read({name: self.paths[name] for name in names[at:at + group]})
            for name in table.column_names:
                some = len(table) - table[name].null_count
                if some:
                    self.say(f"{name}: {some} values that nothing expects, as {pc.drop_null(table[name])[0].as_py()!r}")

    def check_raw(self, key):
        """Every element of these templates has a field: raw holds its own four and nothing else."""
        r = self.ordered(RAW, key)
        version, template = self.run.version, self.run.expect(self.run.first).template_id
        for name, value in (("raw.protocol_version", version), ("raw.template_id", template)):
            expected = pa.array([value], pa.int64()).take(pa.array(np.zeros(len(self.flows), np.int64)))
            self.say_rows(name, different(expected, plain(r[name].cast(pa.int64()))), expected, r[name])
        if r["raw.wire"].null_count != len(self.flows):
            self.say("raw.wire: there, and raw is `unpromoted'")
        entries = lengths(r["raw.elements"])
        self.say_rows("raw.elements", entries != 0, "none", r["raw.elements"])
        notes = [] if self.run.protocol == "v5" else ["sampling_unknown"]
        odd = lengths(r["raw.notes"]) != len(notes)
        self.say_rows("raw.notes", odd, repr(notes), r["raw.notes"])
        if set(pc.unique(r["raw.notes"].flatten()).to_pylist()) != set(notes):
            self.say(f"raw.notes: {pc.unique(r['raw.notes'].flatten())}, expected {notes}")

    def check_run(self, key):
        r = self.ordered([*RUN, "event_time", "flow_end_time", "exporter_ip"], key)
        for name, check in RUN.items():
            mask, expected = check(self, r)
            self.say_rows(name, mask, expected, r[name])


def lengths(lists):
    """Of lists or maps, -1 for null."""
    offsets = np.asarray(lists.offsets)
    return np.where(np.asarray(lists.is_valid()), offsets[1:] - offsets[:-1], -1)


def records(reader, names):
    """Rows in the shape of Avro's records, times as numbers, with these fields of normalized and all of raw."""
    paths = {name: path for name, path in leaves(reader.schema()).items() if name in names or name in RAW or name == "record_id"}
    table = reader.read(paths)
    columns = {name: plain(table[name]).to_pylist() for name in paths}
    for row in zip(*columns.values()):
        record = {"raw": {}, "normalized": {}}
        for name, value in zip(columns, row):
            if name.startswith("raw."):
                record["raw"][name[4:]] = value
            else:
                record["normalized"][name] = value
        record["record_id"] = record["normalized"].pop("record_id")
        # Arrow has maps as pairs, Polars as lists of structs.
        record["raw"]["elements"] = dict(pair.values() if isinstance(pair, dict) else pair for pair in record["raw"]["elements"])
        yield record


# --- what holds for values that differ from run to run -----------------------------------------
# Each gives a mask of rows that are wrong and what is expected.

def record_id(lake, r):
    names = r["record_id"]
    mask = pc.fill_null(pc.not_equal(pc.binary_length(names), 16), True).to_numpy(zero_copy_only=False)
    order = np.asarray(pc.sort_indices(names))
    in_order = names.take(pa.array(order))
    again = pc.equal(in_order[1:], in_order[:-1]).to_numpy(zero_copy_only=False)
    mask = mask.copy()
    mask[order[1:][again]] = True
    return mask, "16 octets that no other flow has"


def moments(lake):
    run = lake.run
    return run.base_ms + lake.flows * run.spread // 1000


def values(r, name):
    """Numbers; a null is a number that nothing expects."""
    return pc.fill_null(r[name], -(1 << 62)).to_numpy(zero_copy_only=False)


def messages(lake, r):
    """For each flow its message, in each exporter's order; first[i] is the row of the first flow of message i."""
    exporter = lake.flows % lake.run.exporters
    sequence = values(r, "export_sequence")
    pairs = exporter * (1 << 40) + sequence
    _, first, message = np.unique(pairs, return_index=True, return_inverse=True)
    return message, first


def export_sequence(lake, r):
    """v5 and IPFIX count flows, so a message's number is the place of its first flow in the exporter's row; v9 counts messages."""
    message, first = messages(lake, r)
    sequence, place = values(r, "export_sequence"), lake.flows // lake.run.exporters
    if lake.run.protocol != "v9":
        return sequence != place[first][message], "the place of the message's first flow"
    mask = np.zeros(len(sequence), bool)
    for exporter in range(lake.run.exporters):
        rows = np.flatnonzero(lake.flows % lake.run.exporters == exporter)
        step = np.diff(sequence[rows], prepend=0)
        mask[rows] = (step < 0) | (step > 1)
    return mask, "as the one before it, or one more"


def sent_at(lake, r):
    """When each flow's message was sent, by the capture: at the moment of its last flow."""
    message, first = messages(lake, r)
    last = np.zeros(len(first), np.int64)
    np.maximum.at(last, message, moments(lake))
    return last[message]


def export_time(lake, r):
    unit_ms = 1 if lake.run.protocol == "v5" else 1000  # only v5's header says more than seconds
    return values(r, "export_time") != sent_at(lake, r) // unit_ms * unit_ms, "the message's moment as its header says it"


def ingest_time(lake, r):
    return values(r, "ingest_time") != sent_at(lake, r), "the moment of the message in the capture"


def exporter_port(lake, r):
    got = values(r, "exporter_port")
    own = got[:lake.run.exporters][lake.flows % lake.run.exporters]
    return (got != own) | (got < 1024) | (got > 65535), "one port of each exporter"


def sequence_gap(lake, r):
    message, _ = messages(lake, r)
    firsts = np.zeros(len(message), bool)
    for exporter in range(lake.run.exporters):
        rows = lake.flows % lake.run.exporters == exporter
        firsts |= rows & (message == message[rows].min())
    expected = pc.if_else(pa.array(firsts), pa.scalar(None, pa.int64()), pa.scalar(0, pa.int64()))
    return different(expected, r["sequence_gap"]), "0, and null in the exporter's first message"


def difference_of(name, later, earlier):
    def check(lake, r):
        expected = pc.subtract(r[later], r[earlier])
        return different(expected, r[name]), f"{later} less {earlier}"
    return check


def clock_skew_ms(lake, r):
    """The median of the last nine messages; of an even number, anything between the two in the middle."""
    message, first = messages(lake, r)
    skews = (values(r, "export_time") - values(r, "ingest_time"))[first]
    exporter = (lake.flows % lake.run.exporters)[first]
    low, high = np.zeros(len(first), np.int64), np.zeros(len(first), np.int64)
    for k in range(lake.run.exporters):
        rows = np.flatnonzero(exporter == k)
        for i, row in enumerate(rows):
            last = sorted(skews[rows[max(0, i + 1 - SKEW_MESSAGES):i + 1]])
            low[row], high[row] = last[(len(last) - 1) // 2], last[len(last) // 2]
    got = values(r, "clock_skew_ms")
    return (got < low[message]) | (got > high[message]), "the median of the last nine messages' skews"


def clock_skew_flag(lake, r):
    skew, ahead = values(r, "clock_skew_ms"), values(r, "flow_end_time") - values(r, "ingest_time")
    expected = pa.array((np.abs(skew) > 60000) | (ahead > 60000))
    return different(expected, r["clock_skew_flag"]), "true where the skew is more than a minute"


RUN = {"record_id": record_id, "export_sequence": export_sequence, "export_time": export_time, "ingest_time": ingest_time,
       "exporter_port": exporter_port, "sequence_gap": sequence_gap, "clock_skew_ms": clock_skew_ms,
       "clock_skew_flag": clock_skew_flag,
       "ingest_latency_ms": difference_of("ingest_latency_ms", "ingest_time", "event_time"),
       "export_delay_ms": difference_of("export_delay_ms", "export_time", "flow_end_time")}
RAW = ("raw.protocol_version", "raw.template_id", "raw.elements", "raw.wire", "raw.notes")


# --- partitions --------------------------------------------------------------------------------

def hour_key(kind, date, hour):
    return str(kind), str(date)[:10], int(hour)


def sums_of_truth(truth):
    """(rows, octets, packets) by (event_type, date, hour), UTC."""
    moment = truth["event_time"].cast(pa.timestamp("ms"))
    table = pa.table({"event_type": truth["event_type"], "date": pc.strftime(moment, "%Y-%m-%d"), "hour": truth["event_hour"],
                      "bytes": truth["bytes"], "packets": truth["packets"]})
    made = table.group_by(list(PARTS)).aggregate([([], "count_all"), ("bytes", "sum"), ("packets", "sum")])
    return by_key(made.select([*PARTS, "count_all", "bytes_sum", "packets_sum"]))


def by_key(table):
    columns = [table.column(i).to_pylist() for i in range(table.num_columns)]
    return {hour_key(*row[:3]): tuple(int(v) for v in row[3:]) for row in zip(*columns)}


def sums_of_reader(reader):
    paths = leaves(reader.schema())
    return by_key(reader.sums({name: paths[name] for name in (*PARTS, "bytes", "packets")}))


def sums_of_folders(root):
    """What lies in each folder, file by file, whatever the rows themselves say."""
    out = {}
    for path in files_of(root):
        kind, date, hour = os.path.relpath(os.path.dirname(path), root).split(os.sep)
        key = hour_key(kind, date.removeprefix("date="), hour.removeprefix("hour="))
        with pyarrow.parquet.ParquetFile(path) as f:
            where = leaves(f.schema_arrow)
            table = f.read(columns=[".".join(where[name]) for name in ("bytes", "packets")])
            rows = f.metadata.num_rows
        table = table if "normalized" not in table.column_names else pa.Table.from_batches(
            [b for b in table.flatten().rename_columns(["bytes", "packets"]).to_batches()])
        sums = (rows, *(pc.sum(table[name]).as_py() for name in ("bytes", "packets")))
        out[key] = tuple(a + b for a, b in zip(out.get(key, (0, 0, 0)), sums))
    return out


# --- what a file says of itself ----------------------------------------------------------------

def check_footers(root, layout):
    """Complaints about the key-value metadata of each file, and about its name."""
    found = []
    for path in files_of(root):
        with pyarrow.parquet.ParquetFile(path) as f:
            said = {key.decode(): value.decode() for key, value in (f.metadata.metadata or {}).items()}
            rows = f.metadata.num_rows
        schema = json.loads(said.get("sluice.schema", "{}"))
        if (schema.get("namespace"), schema.get("name")) != ("sluice", "Flow"):
            found.append(f"{path}: sluice.schema is {schema.get('namespace')}.{schema.get('name')}")
        if (said.get("sluice.records"), said.get("sluice.layout")) != (str(rows), layout):
            found.append(f"{path}: {rows} rows, {layout}; sluice.records {said.get('sluice.records')}, {said.get('sluice.layout')}")
        if not re.fullmatch(r"\d+:\d+-\d+(,\d+:\d+-\d+)*", said.get("sluice.lsn", "")):
            found.append(f"{path}: sluice.lsn is {said.get('sluice.lsn')!r}")
    return found
