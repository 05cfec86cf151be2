#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Names each record of a sluicegen run that a collector lost, spoiled or delivered twice.

    check.py --run RESULT.json --files flows/
    check.py --protocol ipfix --template nprobe --flows 200000 --exporters 16 --time 1700000000 \\
             --topic flows --brokers 127.0.0.1:9092 --registry http://127.0.0.1:8081

RESULT.json is what `sluicegen --json` printed.  Exit status: 0 when nothing is missing, wrong or
doubled, 1 otherwise, 2 for wrong usage or unreadable input.
"""
import argparse
import io
import json
import os
import sys
import time
import urllib.request
from array import array

import fastavro
import fastavro.read

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import avro_fast  # noqa: E402
import expect  # noqa: E402

KEY_FIELDS = ("flow_id", "src_ip", "dst_ip", "src_port", "dst_port", "protocol_number", "bytes",
              "packets", "flow_start_time", "flow_end_time", "exporter_ip")

FIRST_WAIT_S = 120  # for a topic, and for its first message, when following

# Times are compared as the numbers they are in the file.
for logical in ("long-timestamp-millis", "long-timestamp-micros", "int-date"):
    fastavro.read.LOGICAL_READERS.pop(logical, None)


class Unreadable(Exception):
    pass


# --- input -------------------------------------------------------------------------------------

def wanted_fields(run):
    """Every normalized field that some record of the run is compared by."""
    names = {"flow_id", "source", "exporter_ip", "observation_domain_id", "export_time"}
    for n in range(run.first, run.first + 300):
        e = run.expect(n)
        names.update(e.normalized)
        names.update(field for field, _, _ in e.ranges)
        names.update(row[0] for row in e.either)
    return names


class Decoder:
    """Reads records of one writer's schema; the first ones by fastavro, too, to compare."""
    PROOF = 50

    def __init__(self, schema, names):
        self.schema = fastavro.parse_schema(schema, _write_hint=False)
        self.wanted = {"record_id": (), "normalized": names,
                       "raw": ("protocol_version", "template_id", "elements", "notes")}
        self.proofs = self.PROOF
        try:
            self.read = avro_fast.reader(schema, self.wanted)
        except avro_fast.Unsupported:
            self.read = self.read_slowly

    def read_slowly(self, octets, at):
        f = io.BytesIO(octets)
        f.seek(at)
        return fastavro.schemaless_reader(f, self.schema), f.tell()

    def prove(self, octets, at, record, end):
        self.proofs -= 1
        slow, slow_end = self.read_slowly(octets, at)
        same = slow_end == end and slow["record_id"] == record["record_id"] and all(
            slow[layer][name] == value
            for layer in ("normalized", "raw") for name, value in record[layer].items())
        if not same:
            raise Unreadable("the two Avro readers of this checker do not agree")

    def all(self, octets, count):
        at = 0
        for _ in range(count):
            record, end = self.read(octets, at)
            if self.proofs > 0:
                self.prove(octets, at, record, end)
            at = end
            yield record
        if at != len(octets):
            raise Unreadable(f"{len(octets) - at} octets follow the last record")


def files_under(root):
    if os.path.isfile(root):
        return [root]
    found = []
    for folder, _, names in os.walk(root):
        found += [os.path.join(folder, name) for name in names
                  if name.endswith((".avro", ".json", ".jsonl"))]
    return sorted(found)


def read_container(path, names):
    with open(path, "rb") as f:
        blocks = fastavro.block_reader(f)
        decoder = Decoder(json.loads(blocks.metadata["avro.schema"]), names)
        for block in blocks:
            yield from decoder.all(block.bytes_.read(), block.num_records)


def read_files(root, names):
    paths = files_under(root)
    if not paths:
        raise Unreadable(f"no .avro, .json or .jsonl file in {root}")
    for path in paths:
        try:
            if path.endswith(".avro"):
                yield from read_container(path, names)
                continue
            with open(path, encoding="utf-8") as f:
                for line in f:
                    yield json.loads(line)
        except (OSError, ValueError, EOFError, LookupError) as error:
            raise Unreadable(f"{path}: {error}") from error


class Schemas:
    """Decoders by schema id: schemas from a file (for any id) or a registry."""

    def __init__(self, path, registry, names):
        self.path = path
        self.registry = registry
        self.names = names
        self.decoders = {}

    def text(self, schema_id):
        if self.path:
            with open(self.path, encoding="utf-8") as f:
                return f.read()
        url = f"{self.registry.rstrip('/')}/schemas/ids/{schema_id}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["schema"]

    def decode(self, message):
        """Confluent wire format: a zero octet, the schema id, the record."""
        if message is None or len(message) < 5 or message[0] != 0:
            raise Unreadable("a message is not in the Confluent wire format")
        schema_id = int.from_bytes(message[1:5], "big")
        decoder = self.decoders.get(schema_id)
        if decoder is None:
            schema = json.loads(self.text(schema_id))
            decoder = self.decoders[schema_id] = Decoder(schema, self.names)
        return list(decoder.all(message[5:], 1))[0]


def partitions_of(consumer, topic, wait_s):
    """The partitions of a topic, which may still have to appear."""
    deadline = time.monotonic() + wait_s
    while True:
        meta = consumer.list_topics(topic, timeout=15).topics.get(topic)
        if meta is not None and meta.error is None and meta.partitions:
            return sorted(meta.partitions)
        if time.monotonic() > deadline:
            raise Unreadable(f"topic {topic}: {meta.error if meta else 'no such topic'}")
        time.sleep(0.2)


def messages_of(consumer, topic, first_wait_s, quiet_s):
    """Messages until none comes for quiet_s; the first may take first_wait_s."""
    deadline = time.monotonic() + first_wait_s
    while time.monotonic() < deadline:
        messages = consumer.consume(1000, timeout=0.1)
        for message in messages:
            if message.error():
                raise Unreadable(f"topic {topic}: {message.error()}")
            yield message
        if messages:
            deadline = time.monotonic() + quiet_s


def read_topic(topic, brokers, schemas, follow_s):
    """All that is in the topic at this moment; with follow_s all that comes, until a pause so long.

    Following takes messages from the broker as fast as they come and keeps them in memory, so that
    a broker which keeps little (a mock one) does not drop what is not yet checked.
    """
    import confluent_kafka as kafka

    consumer = kafka.Consumer({
        "bootstrap.servers": brokers, "group.id": f"sluicegen-check-{os.getpid()}",
        "enable.auto.commit": False, "auto.offset.reset": "earliest",
        "queued.min.messages": 10000000, "queued.max.messages.kbytes": 1048576,
        "fetch.wait.max.ms": 10, "fetch.message.max.bytes": 8388608})
    try:
        end = {}
        start = []
        for number in partitions_of(consumer, topic, FIRST_WAIT_S if follow_s else 0):
            partition = kafka.TopicPartition(topic, number)
            low, high = consumer.get_watermark_offsets(partition, timeout=15)
            if follow_s or high > low:
                end[number] = high
                start.append(kafka.TopicPartition(topic, number, low))
        consumer.assign(start)
        if follow_s:
            print(f"following {topic}", file=sys.stderr, flush=True)
            for message in messages_of(consumer, topic, FIRST_WAIT_S, follow_s):
                yield schemas.decode(message.value())
            return
        for message in messages_of(consumer, topic, 15, 15) if end else ():
            yield schemas.decode(message.value())
            if message.offset() + 1 >= end.get(message.partition(), 1 << 62):
                del end[message.partition()]
                if not end:
                    return
        if end:
            raise Unreadable(f"topic {topic}: no message for 15 s, {sorted(end)} left")
    finally:
        consumer.close()


# --- comparison --------------------------------------------------------------------------------

def differences(e, record, run, names):
    """Texts of what is wrong in a record, first the fields, then what belongs in raw."""
    normalized, raw = record["normalized"], record["raw"]
    elements = raw.get("elements") or {}
    found = [f"{field} is {normalized.get(field)!r}, should be {value!r}"
             for field, value in e.normalized.items()
             if field in names and normalized.get(field) != value]
    for field, least, greatest in e.ranges:
        value = normalized.get(field)
        if not isinstance(value, int) or not least <= value <= greatest:
            found.append(f"{field} is {value!r}, should be {least} to {greatest}")
    for key, wanted in e.elements.items():
        text = elements.get(key)
        if text is None or not (wanted(text) if callable(wanted) else text == wanted):
            should = "another number" if callable(wanted) else repr(wanted)
            found.append(f"raw.elements[{key}] is {text!r}, should be {should}")
    for field, value, key, text in e.either:
        if normalized.get(field) != value and elements.get(key) != text:
            found.append(f"{field} is {normalized.get(field)!r} and raw.elements[{key}] is "
                         f"{elements.get(key)!r}, one should be {value!r}")
    for field, value in (("protocol_version", run.version), ("template_id", e.template_id)):
        if raw.get(field) != value:
            found.append(f"raw.{field} is {raw.get(field)!r}, should be {value!r}")
    return found


class Check:
    def __init__(self, run, names, limit=20):
        self.run = run
        self.names = names
        self.is_whole = names is None
        self.limit = limit
        self.seen = array("Q", bytes(8 * run.flows))  # first octets of the record_id, 0: not seen
        self.delivered = 0
        self.other = 0
        self.wrong = 0
        self.doubled = 0
        self.lines = []
        self.counts = {"wrong": 0, "doubled": 0, "missing": 0}

    def say(self, kind, text):
        self.counts[kind] += 1
        if self.counts[kind] <= self.limit:
            self.lines.append(f"{kind} {text}")

    def is_ours(self, normalized):
        run = self.run
        if normalized.get("source") != run.source:
            return False
        ip, domain = normalized.get("exporter_ip"), normalized.get("observation_domain_id")
        # Only what says twice that it is of another run is of another run.
        if ip in run.exporter_set:
            return run.protocol == "v5" or domain is None or self.is_near(domain)
        return isinstance(domain, int) and run.protocol != "v5" and self.is_near(domain)

    def is_near(self, domain):
        return self.run.domain <= domain < self.run.domain + self.run.exporters

    def add(self, record):
        normalized = record["normalized"]
        run = self.run
        if not self.is_ours(normalized):
            self.other += 1
            return
        self.delivered += 1
        try:
            n = run.number_of(normalized)
        except (TypeError, ValueError, KeyError):
            self.wrong += 1
            self.say("wrong", f"record {self.text_of(record)}: it bears no number")
            return
        index = n - run.first
        if not 0 <= index < run.flows:
            self.wrong += 1
            self.say("wrong", f"number {n}: not of this run")
            return
        self.mark(n, index, record)
        self.compare(n, record, normalized)

    @staticmethod
    def text_of(record):
        name = record.get("record_id")
        return name.hex() if isinstance(name, bytes) else str(name)

    def mark(self, n, index, record):
        name = record.get("record_id")
        octets = name if isinstance(name, bytes) else str(name).encode()
        short = octets[:8] if isinstance(name, bytes) else bytes.fromhex(octets[:16].decode())
        key = int.from_bytes(short, "big") or 1
        if self.seen[index] == 0:
            self.seen[index] = key
        elif self.seen[index] == key:
            self.doubled += 1
            self.say("doubled", f"number {n}: record_id {self.text_of(record)} again")
        else:
            self.wrong += 1
            self.say("wrong", f"number {n}: delivered twice under two record_ids, the second "
                              f"{self.text_of(record)}")

    def compare(self, n, record, normalized):
        run = self.run
        e = run.expect(n)
        moment_s = (run.base_ms + n * run.spread // 1000) // 1000
        exported = normalized.get("export_time")
        late = exported is None or exported // 1000 < moment_s
        raw = record["raw"]
        if self.is_whole and not e.elements and not late:
            if (e.normalized.items() <= normalized.items() and raw["template_id"] == e.template_id
                    and raw["protocol_version"] == run.version):
                return
        names = self.names if self.names is not None else e.normalized
        if not self.is_whole:
            if all(normalized.get(f) == v for f, v in e.normalized.items() if f in names):
                return
            e.ranges, e.elements, e.either = (), {}, ()
        found = differences(e, record, run, names)
        if late and self.is_whole:
            found.append(f"export_time is {exported!r}, should be {moment_s * 1000} or later")
        if found:
            self.wrong += 1
            self.say("wrong", f"number {n}: " + "; ".join(found[:20]))

    def finish(self):
        """Names what never came; returns the totals."""
        for index, key in enumerate(self.seen):
            if key == 0:
                self.say("missing", f"number {self.run.first + index}")
        ids = sorted(key for key in self.seen if key)
        same = sum(1 for a, b in zip(ids, ids[1:]) if a == b)
        if same:
            self.wrong += same
            self.say("wrong", f"{same} records share their record_id with one of another number")
        return {"delivered": self.delivered, "missing": self.counts["missing"],
                "wrong": self.wrong, "doubled": self.doubled, "other": self.other}


# --- command line ------------------------------------------------------------------------------

def options(argv):
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("--run", help="what sluicegen --json printed; its values are the defaults")
    p.add_argument("--protocol", choices=("v5", "v9", "ipfix"))
    p.add_argument("--template", choices=("basic", "nprobe", "rich", "fixed"))
    p.add_argument("--base")
    for name in ("flows", "exporters", "seed", "time", "first", "spread", "domain"):
        p.add_argument(f"--{name}", type=int)
    p.add_argument("--files", help="a file, or a directory tree of .avro, .json and .jsonl")
    p.add_argument("--topic")
    p.add_argument("--brokers", default="127.0.0.1:9092")
    p.add_argument("--schema", help="the writer's schema of the topic, a file")
    p.add_argument("--registry", help="URL of the schema registry of the topic")
    p.add_argument("--follow", type=float, metavar="S", default=0,
                   help="read on as messages come, until none comes for S seconds")
    p.add_argument("--fields", choices=("key", "all"), default="all")
    p.add_argument("--limit", type=int, default=20, help="how many of each kind are named")
    p.add_argument("--json", action="store_true", help="totals as JSON")
    o = p.parse_args(argv)
    if (o.files is None) == (o.topic is None):
        p.error("one of --files and --topic is needed")
    if o.topic is not None and (o.schema is None) == (o.registry is None):
        p.error("--topic needs one of --schema and --registry")
    return p, o


def run_of(p, o):
    values = {"template": "nprobe", "exporters": 1, "seed": 1, "base": "127.0.1.1", "first": 0,
              "spread": 2, "domain": None}
    if o.run:
        with open(o.run, encoding="utf-8") as f:
            said = json.load(f)
        values.update({k: said[k] for k in ("protocol", "template", "flows", "exporters", "seed",
                                            "time", "base", "first", "spread", "domain")})
    for name in ("protocol", "template", "flows", "exporters", "seed", "time", "base", "first",
                 "spread", "domain"):
        if getattr(o, name) is not None:
            values[name] = getattr(o, name)
    for name in ("protocol", "flows", "time"):
        if name not in values:
            p.error(f"--{name} or --run is needed")
    return expect.Run(**values)


def main(argv=None):
    p, o = options(argv)
    try:
        run = run_of(p, o)
        names = None if o.fields == "all" else frozenset(KEY_FIELDS)
        read = wanted_fields(run) if names is None else set(KEY_FIELDS) | {
            "source", "observation_domain_id", "export_time"}
        if o.files is not None:
            records = read_files(o.files, read)
        else:
            records = read_topic(o.topic, o.brokers, Schemas(o.schema, o.registry, read),
                                 o.follow)
        check = Check(run, names, o.limit)
        add = check.add
        for record in records:
            add(record)
    except (Unreadable, OSError) as error:
        print(f"check.py: {error}", file=sys.stderr)
        return 2
    totals = check.finish()
    for line in check.lines:
        print(line)
    if o.json:
        print(json.dumps(totals))
    else:
        print(" ".join(f"{name}={value}" for name, value in totals.items()))
    return 0 if totals["missing"] == totals["wrong"] == totals["doubled"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
