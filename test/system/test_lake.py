# SPDX-License-Identifier: Apache-2.0
"""Goal: what lies in Parquet files is what the exporters said and what the documentation says of it.  Three readers that
have nothing to do with each other see the same.

Method: a run of sluicegen is replayed into a Parquet sink; DuckDB, pyarrow and polars read the folder as a table with Hive
partitions.  Each value of each column is compared to the truth, recomputed from the flows' numbers and the documentation
(test/gen/truth.py); what differs from run to run has a rule of its own (test/gen/parquet_check.py).
"""
import functools
import os
import re
import sys

import pyarrow as pa
import pyarrow.parquet
import pytest

from conftest import ROOT, prove, sluicegen
from test_road import replay

sys.path.insert(0, os.path.join(ROOT, "test", "gen"))
import check as checker  # noqa: E402
import expect  # noqa: E402
import parquet_check as lakes  # noqa: E402
import truth as truths  # noqa: E402

ENRICHERS = '("network", "service", "community_id", "ndpi", "derived", "totals", "time")'
EVENING = 1790029800  # 2026-09-21 22:30 UTC: three hours of flows from here lie on both sides of midnight
HOURS_S = 10000
EXPORTERS = 4
WORDS = ("protocol", "template", "flows", "exporters", "seed", "time", "base", "first", "spread")  # as expect.Run takes them
# The 35 elements of sluicegen's template nprobe, by number (those of ntop as NetFlow v9 has them), and the field that each
# one is read into.
WIRE = {148: "flow_id", 8: "src_ip", 12: "dst_ip", 27: "src_ip", 28: "dst_ip", 60: "ip_version", 7: "src_port", 11: "dst_port",
        4: "protocol_number", 5: "ip_tos", 6: "tcp_flags", 1: "bytes", 2: "packets", 23: "reverse_bytes", 24: "reverse_packets",
        10: "in_interface", 14: "out_interface", 152: "flow_start_time", 153: "flow_end_time", 56: "src_mac", 58: "src_vlan",
        16: "src_as_number", 17: "dst_as_number", 57472 + 118: "app_id", 57472 + 119: "app_name",
        57472 + 123: "client_latency_us", 57472 + 124: "server_latency_us", 57472 + 109: "tcp_retransmits_forward",
        57472 + 110: "tcp_retransmits_reverse", 57472 + 208: "dns_rcode", 57472 + 205: "dns_query", 57472 + 188: "tls_sni",
        57472 + 187: "http_host", 57472 + 489: "ja3_client", 57472 + 121: "user_name"}


def sink(folder, **options):
    extra = "".join(f' {k} = "{v}";' for k, v in options.items())
    return f'({{ name = "lake"; type = "parquet"; path = "{folder}/lake";{extra} }})'


def delivered(said):
    """Flows that were read and that the sink delivered, by the ledger."""
    assert "balanced" in said
    return tuple(int(re.search(pattern, said, re.M).group(1)) for pattern in (
        r"^flows +flows (\d+) = appended \d+$", r"^sink lake +records \d+ = delivered (\d+)$"))


class Filled:
    """A run of sluicegen in a folder of Parquet files."""

    def __init__(self, folder, protocol, flows, template="nprobe", settings=(), **options):
        spread = min(1000000, HOURS_S * 1000000 // flows)  # microseconds
        capture = f"{folder}/run.pcap"
        words = () if protocol == "v5" else ("-t", template)
        made = sluicegen("-P", protocol, *words, "-n", flows, "-r", 0, "-e", EXPORTERS, "--time", EVENING, "--spread", spread,
                         "-w", capture)
        said = replay(folder, capture, sinks=sink(folder, **options), options=[f"normalizer.enrich={ENRICHERS}", *settings])
        os.unlink(capture)
        assert delivered(said) == (flows, flows)
        self.root, self.layout = f"{folder}/lake", options.get("layout", "flat")
        self.words = tuple(made[k] for k in WORDS)

    @functools.cached_property
    def truth(self):
        return truths.truth(self.words)

    def readers(self):
        return [kind(self.root) for kind in lakes.READERS]


def compare(filled):
    wire = truths.prove(filled.truth, filled.words)
    check = lakes.Lake(filled.words, filled.truth)
    for reader in filled.readers():
        complaints = check.check(reader)
        assert not complaints, "\n".join(complaints)
    sums = lakes.sums_of_truth(filled.truth)
    assert len({(date, hour) for _, date, hour in sums}) == 4
    for reader in filled.readers():
        assert lakes.sums_of_reader(reader) == sums, type(reader).__name__
    assert lakes.sums_of_folders(filled.root) == sums
    assert not lakes.check_footers(filled.root, filled.layout)
    prove(set(filled.truth) | set(lakes.RUN) - {"record_id"}, f"lake {filled.words[0]}")
    return wire


def test_million(folder):
    """The layout, codec and pattern of paths that are the defaults."""
    filled = Filled(folder, "ipfix", 1000000)
    wire = compare(filled)
    assert len(WIRE) == 35 and set(WIRE.values()) <= wire
    # sluicegen's user is always empty: null, which the comparison wants of every column without a truth.
    assert set(WIRE.values()) - set(filled.truth) == {"user_name"}


WAYS = [{"layout": "nested"}, {"codec": "snappy"}, {"codec": "zstd"}, {"codec": "none", "encoding": "plain"},
        {"layout": "nested", "codec": "zstd"}, {"layout": "nested", "encoding": "plain"}]


@pytest.mark.parametrize("options", WAYS, ids=lambda options: " ".join(options.values()))
def test_ways_to_write(folder, options):
    compare(Filled(folder, "ipfix", 20000, **options))


@pytest.mark.parametrize("protocol", ["v5", "v9"])
@pytest.mark.parametrize("layout", ["flat", "nested"])
def test_protocols(folder, protocol, layout):
    compare(Filled(folder, protocol, 20000, layout=layout))


@pytest.mark.parametrize("protocol", ["v9", "ipfix"])
@pytest.mark.parametrize("layout", ["flat", "nested"])
def test_maps_and_lists(folder, protocol, layout):
    """The template rich: elements that no field takes, repeated ones, lists of labels, texts of all lengths; and the octets."""
    filled = Filled(folder, protocol, 3000, "rich", ['normalizer.raw="wire"'], layout=layout)
    run, wires = expect.Run(*filled.words), []
    names = checker.wanted_fields(run)
    for reader in filled.readers():
        check, wire = checker.Check(run, None), {}
        for record in lakes.records(reader, names):
            check.add(record)
            wire[record["normalized"]["flow_id"]] = record["raw"]["wire"]
        totals = check.finish()
        assert (totals["delivered"], totals["missing"], totals["wrong"], totals["doubled"]) == (3000, 0, 0, 0), check.lines
        wires.append(wire)
    assert wires[0] == wires[1] == wires[2]
    # flowId, 8 octets, is the template's first element.
    assert all(wire[:8] == int(flow).to_bytes(8, "big") for flow, wire in wires[0].items())


def other(value, kind):
    """Another value of an Arrow type."""
    if pa.types.is_list(kind):
        return ["odd"] if pa.types.is_string(kind.value_type) else [1]
    if pa.types.is_map(kind):
        return [("odd", "1")]
    if pa.types.is_string(kind):
        return (value or "") + "x"
    if pa.types.is_boolean(kind):
        return not value
    return b"short" if pa.types.is_binary(kind) else (value or 0) + 1


class Spoilt:
    """A reader that sees one value of each of some columns wrong: of the flow in row `row` of the files."""

    def __init__(self, reader, names, row):
        self.reader, self.names, self.row, self.flow = reader, names, row, None
        self.schema = reader.schema

    def read(self, paths):
        table = self.reader.read(paths)
        if "flow_id" in paths:
            self.flow = table["flow_id"][self.row].as_py()
        for i, name in enumerate(table.column_names):
            if name in self.names:
                column = table[name].combine_chunks()
                table = table.set_column(i, table.schema.field(i), self.spoil(column))
        return table

    def spoil(self, column):
        kind = column.type
        number = {8: pa.int64(), 4: pa.int32()}[kind.byte_width] if pa.types.is_temporal(kind) else kind
        cell = column.slice(self.row, 1)
        cell = pa.array([other(cell.cast(number)[0].as_py(), number)], number).cast(kind)
        return pa.chunked_array([column.slice(0, self.row), cell, column.slice(self.row + 1)], kind)


def test_one_value_is_found(folder):
    """The comparison itself: one wrong value of any column is named, and none of another."""
    filled = Filled(folder, "ipfix", 2000)
    reader = lakes.Pyarrow(filled.root)
    check = lakes.Lake(filled.words, filled.truth)
    names = set(lakes.leaves(reader.schema())) - {"flow_id", *lakes.PARTS[1:]}
    assert len(names) > 260
    alone = {*lakes.RUN, "event_time", "flow_end_time", "event_type"}  # rules look at several columns
    spoilt = Spoilt(reader, names - alone, 777)
    found = check.check(spoilt)
    assert {c.split()[1].rstrip(":") for c in found} == names - alone
    assert len(found) == len(names - alone)
    assert {c.split()[4].rstrip(":") for c in found if " of flow " in c} == {spoilt.flow}
    for name in sorted(alone):
        assert any(c.startswith(f"Spoilt: {name} of flow") for c in check.check(Spoilt(reader, {name}, 777))), name


def test_one_row_is_found(folder):
    """A row that is missing, and one that is there twice."""
    filled = Filled(folder, "ipfix", 2000)
    path = max(lakes.files_of(filled.root), key=os.path.getsize)
    table = pa.parquet.ParquetFile(path).read()
    twice = pa.concat_tables([table, table.slice(0, 1)])
    for rows, said in ((table.slice(1), "1999 rows of 2000 flows"), (twice, "2001 rows of 2000 flows")):
        pa.parquet.write_table(rows, path)
        for reader in filled.readers():
            [complaint] = lakes.Lake(filled.words, filled.truth).check(reader)
            assert said in complaint
            assert lakes.sums_of_reader(reader) != lakes.sums_of_truth(filled.truth)
