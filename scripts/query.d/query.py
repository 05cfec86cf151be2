#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What scripts/query does: DuckDB over a folder of flow files, with a view `flows`.

The view has one column for each field of normalized and enriched, whichever layout a file has, `record_id`, `raw`, and the
folders' partitions.  The fields of the enrichers `time` and `totals` are computed where they are null, by the rules of
normalizer/enrich_time.c and enrich_totals.c.  The macro scaled(count, sampling_rate) multiplies a sampled counter.

A question is a file NAME.sql beside this one, or in a folder of $SLUICE_QUERIES (default /etc/sluice/query.d), which goes
first; its first comment says what it answers.  getvariable('n') in it is what -n says.
"""
import argparse
import csv
import datetime
import decimal
import difflib
import functools
import json
import math
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# `make install` writes both for the places where it puts them.
ME = "scripts/query"
FLOWS = os.path.join(os.path.dirname(os.path.dirname(HERE)), "flows")
TRIES = 5           # when files go while they are read
TABLE_ROWS = 10000  # a table is made whole, since it has columns
CELL = 64
BATCH = 5000

MACROS = """
CREATE OR REPLACE TEMP MACRO scaled(v, rate) AS v::HUGEINT * greatest(coalesce(rate, 1), 1)::HUGEINT;
CREATE OR REPLACE TEMP MACRO sluice_total(a, b) AS CASE WHEN a IS NULL AND b IS NULL THEN NULL
    WHEN coalesce(a, 0)::HUGEINT + coalesce(b, 0)::HUGEINT BETWEEN -9223372036854775808::HUGEINT AND 9223372036854775807::HUGEINT
    THEN (coalesce(a, 0)::HUGEINT + coalesce(b, 0)::HUGEINT)::BIGINT ELSE 9223372036854775807::BIGINT END;
CREATE OR REPLACE TEMP MACRO sluice_ratio(a, b) AS CASE WHEN b > 0 THEN a::DOUBLE / b END;
"""

# Inputs of what is computed, with their types where no file has them.
INPUTS = {"bytes": "BIGINT", "reverse_bytes": "BIGINT", "packets": "BIGINT", "reverse_packets": "BIGINT", "duration_us": "BIGINT",
          "flow_start_time": "TIMESTAMPTZ", "flow_end_time": "TIMESTAMPTZ", "event_time": "TIMESTAMPTZ", "src_ip": "VARCHAR", "dst_ip": "VARCHAR"}

# normalizer/enrich_derived.h: derived_duration(), a flow counts as a millisecond at least; enrich_time.c: days from year -6061 to 9999.
STEPS = {
    "sluice_ms": "CASE WHEN flow_end_time IS NOT NULL AND flow_start_time IS NOT NULL THEN "
                 "CASE WHEN flow_end_time >= flow_start_time THEN epoch_ms(flow_end_time) - epoch_ms(flow_start_time) END "
                 "ELSE duration_us // 1000 END",
    "sluice_bytes": "sluice_total(bytes, reverse_bytes)",
    "sluice_packets": "sluice_total(packets, reverse_packets)",
    "sluice_time": "CASE WHEN epoch_ms(event_time) // 86400000 BETWEEN -2932895 AND 2932896 THEN event_time AT TIME ZONE 'UTC' END",
}
SECONDS = "((CASE WHEN sluice_ms = 0 THEN 1 ELSE sluice_ms END)::DOUBLE / 1000::DOUBLE)"
IS_EVEN = "(bytes IS NULL) = (packets IS NULL) AND (reverse_bytes IS NULL) = (reverse_packets IS NULL)"
COMPUTED = {
    "total_bytes": "sluice_bytes",
    "total_packets": "sluice_packets",
    "bytes_per_second": f"sluice_ratio(sluice_bytes, {SECONDS})",
    "packets_per_second": f"sluice_ratio(sluice_packets, {SECONDS})",
    "bytes_per_packet": f"CASE WHEN {IS_EVEN} THEN sluice_ratio(sluice_bytes, sluice_packets::DOUBLE) END",
    "byte_ratio": "sluice_ratio(reverse_bytes, bytes::DOUBLE)",
    "ip_family": "CASE WHEN contains(coalesce(src_ip, dst_ip), ':') THEN 'ipv6' WHEN coalesce(src_ip, dst_ip) IS NOT NULL THEN 'ipv4' END",
    "event_hour": "hour(sluice_time)::INTEGER",
    "event_year": "year(sluice_time)::INTEGER",
    "event_month": "month(sluice_time)::INTEGER",
    "event_day": "day(sluice_time)::INTEGER",
    "event_weekday": "dayofweek(sluice_time)::INTEGER",
    "event_date": "sluice_time::DATE",
}


class Trouble(Exception):
    """What the user is told, in one line."""


def quote(text, mark="'"):
    return mark + text.replace(mark, mark * 2) + mark


def name(column):
    return quote(column, '"')


# ---- files ----

def find_files(folder):
    """Complete files only: one that is being written begins with a dot and ends in .tmp, and a manifest is hidden too."""
    files = []
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        files += [os.path.join(path, n) for n in sorted(names) if n.endswith(".parquet") and not n.startswith(".")]
    return files


def check_folder(folder):
    if not os.path.isdir(folder):
        raise Trouble(f"{folder}: no such folder; say -d DIR, the `path' of the sink")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise Trouble(f"{folder}: may not be read")


def glob_of(path):
    """DuckDB takes each path for a pattern."""
    return quote("".join(f"[{c}]" if c in "[*?" else c for c in path))


def partitions(folder, path):
    return [p.split("=", 1)[0] for p in os.path.relpath(path, folder).split(os.sep)[:-1] if "=" in p]


# ---- the view ----

class Lake:
    """A connection with the view `flows` over what is in the folder now."""

    def __init__(self, duckdb, folder, since=None, until=None):
        self.duckdb, self.folder, self.since, self.until = duckdb, os.path.abspath(folder), since, until
        self.files = None
        self.con = duckdb.connect()
        # Each statement looks at the ends of all files several times.
        self.con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false; SET parquet_metadata_cache = true")
        self.con.execute(MACROS)

    def refresh(self):
        """Looks for files; the view is over those that are there now."""
        check_folder(self.folder)
        self.take(find_files(self.folder))

    def take(self, files):
        if not files:
            raise Trouble(f"{self.folder}: no flow files yet; the first appears when the sink completes it (rotate_s), or with `sluicectl drain'")
        if files != self.files:
            self.files = files
            self.con.execute(self.view_sql(files))

    def scan_sql(self, files):
        """And the keys of folders: all files must have the same ones."""
        keys = {tuple(partitions(self.folder, f)) for f in files}
        keys = keys.pop() if len(keys) == 1 else ()
        return (f"read_parquet([{', '.join(map(glob_of, files))}], union_by_name = true, hive_partitioning = {'true' if keys else 'false'})", keys)

    def view_sql(self, files):
        scan, keys = self.scan_sql(files)
        rows = self.con.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()
        types = {row[0]: row[1] for row in rows}
        columns = {c: [name(c)] for c in types if c not in ("normalized", "enriched", "raw", *keys)}
        for layer in ("normalized", "enriched"):
            if types.get(layer, "").startswith("STRUCT"):
                for field, *_ in self.con.execute(f"DESCRIBE SELECT unnest(NULL::{types[layer]})").fetchall():
                    columns.setdefault(field, []).append(f"{layer}.{name(field)}")
        columns.update((c, [name(c)]) for c in ("raw", *keys) if c in types)
        exprs = {c: e[0] if len(e) == 1 else f"coalesce({', '.join(e)})" for c, e in columns.items()}
        base = [f"{e} AS {name(c)}" for c, e in exprs.items()]
        base += [f"NULL::{kind} AS {name(c)}" for c, kind in INPUTS.items() if c not in exprs]
        steps = [f"{e} AS {c}" for c, e in STEPS.items()]
        last = [f"coalesce({name(c)}, {COMPUTED[c]}) AS {name(c)}" if c in COMPUTED else name(c) for c in exprs]
        last += [f"{e} AS {name(c)}" for c, e in COMPUTED.items() if c not in exprs]
        last += [name(c) for c in INPUTS if c not in exprs]
        return (f"CREATE OR REPLACE TEMP VIEW flows AS SELECT {', '.join(last)} FROM (SELECT *, {', '.join(steps)} FROM "
                f"(SELECT {', '.join(base)} FROM {scan}){self.when(exprs)})")

    def when(self, columns):
        if "event_time" not in columns:
            return ""
        bounds = [f"event_time {op} TIMESTAMPTZ {quote(t.isoformat())}" for op, t in ((">=", self.since), ("<", self.until)) if t is not None]
        return f" WHERE {' AND '.join(bounds)}" if bounds else ""

    def again(self, work):
        """Does work() anew, without them, when it failed because retention took files that were listed."""
        look = self.refresh
        for left in range(TRIES, 0, -1):
            try:
                look()
                return work()
            except self.duckdb.Error as e:
                there = [f for f in self.files or [] if os.path.exists(f)]
                if left == 1 or there == self.files:
                    self.files = None
                    raise Trouble(self.explain(e)) from e
                look = functools.partial(self.take, there)
        raise AssertionError

    def explain(self, e):
        text = str(e).strip()
        if re.search(r"too small to be a Parquet|magic bytes|footer", text):
            return f"{text.splitlines()[0]}\nno complete Parquet file: not one of ours, or damaged; take it away"
        return text

    def statements(self, sql):
        try:
            return self.con.extract_statements(sql)
        except self.duckdb.Error as e:
            raise Trouble(str(e).strip()) from e

    def run(self, statement, style):
        """Column names and an iterator over batches of rows; None when the statement has no result."""
        text = statement.query.strip().rstrip(";")
        kinds = self.duckdb.StatementType
        if statement.type == kinds.SELECT:
            return self.again(lambda: self.select(text, style))
        return self.again(lambda: self.other(text, statement.type in (kinds.EXPLAIN, kinds.PRAGMA)))

    def select(self, text, style):
        try:
            described = self.con.execute(f"DESCRIBE {text}").fetchall()
        except self.duckdb.Error:
            # SHOW and its kin; what is wrong is said when it runs.
            return self.other(text, True)
        columns, types = [row[0] for row in described], [row[1] for row in described]
        if any("WITH TIME ZONE" in t for t in types):
            outer = ", ".join(time_sql(f"c{i}", t, style) for i, t in enumerate(types))
            text = f"SELECT {outer} FROM ({text}\n) AS q({', '.join(f'c{i}' for i in range(len(types)))})"
        self.con.execute(text)
        return columns, self.batches()

    def other(self, text, is_shown):
        self.con.execute(text)
        columns = [d[0] for d in self.con.description or []]
        return (columns, self.batches()) if is_shown and columns else None

    def batches(self):
        """The first batch is here before anything is said, so that a file that went is read again without harm."""
        first = self.con.fetchmany(BATCH)

        def rest():
            rows = first
            while rows:
                yield rows
                rows = self.con.fetchmany(BATCH) if len(rows) == BATCH else []
        return rest()


def time_sql(column, kind, style):
    """Times become text here: Python's module has none for time zones without another package."""
    if kind == "TIMESTAMP WITH TIME ZONE":
        form = "%Y-%m-%d %H:%M:%S.%g" if style == "table" else "%Y-%m-%dT%H:%M:%S.%gZ"
        return f"strftime({column} AT TIME ZONE 'UTC', '{form}')"
    return f"{column}::VARCHAR" if "WITH TIME ZONE" in kind else column


# ---- output ----

def plain(value):
    """As JSON has it."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


def text_of(value):
    value = plain(value)
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def shown(value):
    """For a terminal: what others sent must not steer it."""
    if isinstance(value, float):
        text = f"{value:.3f}" if abs(value) < 1e15 else f"{value:g}"
    else:
        text = text_of(value)
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return text if len(text) <= CELL else text[:CELL - 1] + "…"


def write_table(columns, batches, out):
    rows, is_cut = [], False
    for batch in batches:
        rows += batch
        if len(rows) > TABLE_ROWS:
            is_cut, rows = True, rows[:TABLE_ROWS]
            break
    is_number = [any(r[i] is not None for r in rows) and all(r[i] is None or isinstance(r[i], (int, float, decimal.Decimal)) for r in rows)
                 for i in range(len(columns))]
    cells = [[shown(v) for v in r] for r in rows]
    widths = [max([len(c)] + [len(r[i]) for r in cells]) for i, c in enumerate(columns)]
    for row in [columns, ["-" * w for w in widths], *cells]:
        line = "  ".join(v.rjust(w) if is_number[i] else v.ljust(w) for i, (v, w) in enumerate(zip(row, widths)))
        print(line.rstrip(), file=out)
    print(f"({len(rows)} row{'' if len(rows) == 1 else 's'})", file=out)
    if is_cut:
        print(f"query: only the first {TABLE_ROWS} rows; --csv and --json have all of them, and LIMIT fewer", file=sys.stderr)


def write_plan(_, batches, out):
    """EXPLAIN's picture stays as it is."""
    for batch in batches:
        for row in batch:
            print(row[-1], file=out)


def write_csv(columns, batches, out):
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for batch in batches:
        writer.writerows([text_of(v) for v in row] for row in batch)


def write_json(columns, batches, out):
    out.write("[")
    separator = "\n"
    for batch in batches:
        for row in batch:
            out.write(separator + json.dumps(dict(zip(columns, map(plain, row))), ensure_ascii=False))
            separator = ",\n"
    out.write("\n]\n")


WRITERS = {"table": write_table, "csv": write_csv, "json": write_json}


def answer(lake, sql, style, out=sys.stdout):
    for statement in lake.statements(sql):
        result = lake.run(statement, style)
        if result is None:
            continue
        try:
            is_plan = style == "table" and statement.type == lake.duckdb.StatementType.EXPLAIN
            (write_plan if is_plan else WRITERS[style])(*result, out)
        except lake.duckdb.Error as e:
            raise Trouble(f"{lake.explain(e)}\nthe rows above are not all: ask again") from e


# ---- questions ----

def question_folders():
    return [f for f in os.environ.get("SLUICE_QUERIES", "/etc/sluice/query.d").split(":") if f] + [HERE]


def find_questions():
    """Name: path; the first folder that has a name wins."""
    found = {}
    for folder in question_folders():
        for file in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            if file.endswith(".sql") and not file.startswith("."):
                found.setdefault(file[:-4], os.path.join(folder, file))
    return dict(sorted(found.items()))


def read_question(path):
    try:
        with open(path, encoding="utf-8") as f:
            return f.read()
    except (OSError, ValueError) as e:
        raise Trouble(f"{path}: {e}") from e


def describe(path):
    for line in read_question(path).splitlines():
        if not line.startswith("--"):
            break
        if "SPDX" not in line:
            return line.lstrip("- ")
    return ""


def list_questions():
    questions = find_questions()
    width = max(map(len, questions), default=0)
    for title, path in questions.items():
        print(f"{title:<{width}}  {describe(path)}")


def sql_of(words):
    """SQL, or the SQL of a question's name."""
    if not re.fullmatch(r"[\w-]+", words):
        return words
    questions = find_questions()
    if words in questions:
        return read_question(questions[words])
    near = difflib.get_close_matches(words, questions, 1)
    raise Trouble(f"no question `{words}'{f', but {near[0]}' if near else ''}; `{ME} list' names them, and SQL has more than one word")


# ---- the prompt ----

HELP = """SQL ends with ;   a question is asked by its name alone   \\n 20 rows of a question's answer
\\list questions   \\columns of flows   \\table \\csv \\json output   \\q ends"""


def read_statement():
    """A line that begins with a backslash or is one word, or SQL to its semicolon; None at the end."""
    lines = []
    while True:
        try:
            line = input("flows> " if not lines else "   ... ")
        except EOFError:
            print()
            return None
        lines.append(line)
        text = "\n".join(lines).strip()
        if len(lines) == 1 and (not text or text.startswith("\\") or re.fullmatch(r"[\w-]+;?", text)):
            return text.rstrip(";")
        if text.endswith(";"):
            return text


def command(lake, text, style):
    """Style of output from here on, or None: the end."""
    word, _, value = text[1:].partition(" ")
    if word in ("q", "quit", "exit"):
        return None
    if word in WRITERS:
        return word
    if word == "n" and value.isdigit():
        lake.con.execute(f"SET VARIABLE n = {int(value)}")
    elif word == "list":
        list_questions()
    elif word == "columns":
        answer(lake, "SELECT column_name, column_type FROM (DESCRIBE flows)", style)
    else:
        print(HELP)
    return style


def prompt(lake, style):
    try:
        import readline  # noqa: F401  (lines can be edited)
    except ImportError:
        pass
    print(f"{len(lake.files)} files in {lake.folder}; \\? helps")
    while style is not None:
        try:
            text = read_statement()
            if text is None:
                return
            if text.startswith("\\"):
                style = command(lake, text, style)
            elif text:
                answer(lake, sql_of(text), style)
        except Trouble as e:
            print(e, file=sys.stderr)
        except KeyboardInterrupt:
            print("^C", file=sys.stderr)


# ---- main ----

def time_of(text):
    """UTC: 2026-03-04, 2026-03-04T10:15[:39[.870]][Z|+01:00], or 90s, 30m, 6h, 2d, 1w ago."""
    ago = re.fullmatch(r"(\d{1,9})([smhdw])", text)
    try:
        if ago:
            unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}[ago[2]]
            return datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(**{unit: int(ago[1])})
        at = datetime.datetime.fromisoformat(text)
        return at if at.tzinfo else at.replace(tzinfo=datetime.timezone.utc)
    except (ValueError, OverflowError) as e:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; {time_of.__doc__}") from e


def count_of(text):
    if not text.isdigit() or not 1 <= int(text) <= 10 ** 9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rows")
    return int(text)


def read_arguments(words):
    p = argparse.ArgumentParser(prog=ME, description="SQL on the view `flows' over the Parquet files of a folder, or a question that has a name.",
                                epilog="Without SQL: a prompt, or what standard input says. " + ME + " list names the questions.")
    p.add_argument("-d", metavar="DIR", default=FLOWS, help="the sink's `path' (default: " + FLOWS.replace("%", "%%") + ")")
    p.add_argument("-n", metavar="N", type=count_of, default=10, help="rows of a question's answer (default 10)")
    p.add_argument("--since", metavar="TIME", type=time_of, help="flows whose event_time is not before; " + time_of.__doc__)
    p.add_argument("--until", metavar="TIME", type=time_of, help="and those before")
    style = p.add_mutually_exclusive_group()
    style.add_argument("--csv", dest="style", action="store_const", const="csv", help="comma separated, times in ISO 8601")
    style.add_argument("--json", dest="style", action="store_const", const="json", help="an array of objects")
    p.add_argument("words", metavar="SQL | QUESTION", nargs="?")
    a = p.parse_args(words)
    a.style = a.style or "table"
    return a


def import_duckdb():
    try:
        import duckdb
    except ImportError as e:
        raise Trouble(f"Python has no module duckdb ({e}); `scripts/setup query' of the sources installs it into .venv, elsewhere pip does") from e
    return duckdb


def main(words):
    a = read_arguments(words)
    if a.words == "list":
        list_questions()
        return
    sql = None if a.words is None else sql_of(a.words)
    is_prompt = sql is None and sys.stdin.isatty()
    check_folder(a.d)
    lake = Lake(import_duckdb(), a.d, a.since, a.until)
    lake.con.execute(f"SET VARIABLE n = {a.n}")
    lake.again(lambda: None)
    if is_prompt:
        prompt(lake, a.style)
    else:
        answer(lake, sys.stdin.read() if sql is None else sql, a.style)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
        sys.stdout.flush()
    except Trouble as e:
        print(f"query: {e}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except KeyboardInterrupt:
        sys.exit(130)
