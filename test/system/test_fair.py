# SPDX-License-Identifier: Apache-2.0
"""Goal: strangers and floods cost the listed exporters nothing; what sequence numbers say is what happened, however the exporter counts.

Method: IPFIX written here, sent from several loopback addresses to a running service; `sluicectl exporters`, counters,
ledger and the flow events say what came of it.
"""
import socket
import struct
import time

from conftest import Sluiced, files_sink, read_flows

FIELDS = ((8, 4), (1, 4))
REPORTED = ((8, 4), (130, 4), (1, 4))


def template(fields, number=256):
    body = struct.pack(">HH", number, len(fields)) + b"".join(struct.pack(">HH", *f) for f in fields)
    return struct.pack(">HH", 2, 4 + len(body)) + body


def data(*records, number=256):
    body = b"".join(records)
    return struct.pack(">HH", number, 4 + len(body)) + body


def record(octets):
    return bytes((10, 0, 0, 1)) + struct.pack(">I", octets)


class Exporter:
    def __init__(self, port, address, domain=1):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.socket.connect(("127.0.0.1", port))
        self.domain, self.sequence = domain, 0

    def send(self, *sets, add=0):
        body = b"".join(sets)
        message = struct.pack(">HHIII", 10, 16 + len(body), int(time.time()), self.sequence, self.domain) + body
        self.sequence += add
        self.socket.send(message)
        return message


def test_strangers_are_refused(start, folder):
    s = start(Sluiced, files_sink(folder), ['collector.unknown="refuse"', 'exporters=({ address = "127.0.0.2"; domain = 1; })'])
    good, stranger, domain = Exporter(s.port, "127.0.0.2"), Exporter(s.port, "127.0.0.3"), Exporter(s.port, "127.0.0.2", 2)
    for x in (good, stranger, domain):
        x.send(template(FIELDS), data(record(7)), add=1)
        for n in range(20):
            x.send(data(record(n)), add=1)
    stranger.socket.send(b"\0\1 nothing that anybody reads")
    assert s.settle("units_udp") == 64
    assert (s.counter("units_refused", "not_listed"), s.counter("messages"), s.counter("sessions_new")) == (43, 21, 1)
    assert s.counter("messages_malformed") == s.counter("data_sets_refused") == 0
    assert [(x["exporter"], x["domain"], x["flows"]) for x in s.ctl("exporters")["exporters"]] == [("127.0.0.2", 1, 21)]
    s.ledger()
    s.drain()
    assert len(list(read_flows(folder))) == 21


def test_rates(start, folder):
    s = start(Sluiced, files_sink(folder), ["workers=1", "collector.unknown_rate=20",
                                            'exporters=({ address = "127.0.0.2"; }, { address = "127.0.0.3"; rate = 50; })'])
    good, limited, strangers = Exporter(s.port, "127.0.0.2"), Exporter(s.port, "127.0.0.3"), [
        Exporter(s.port, f"127.0.1.{n}") for n in range(1, 11)]
    began = time.monotonic()
    for x in (good, limited, *strangers):
        x.send(template(FIELDS))
    for _ in range(100):
        for x in (good, limited, *strangers):
            x.send(data(record(1)), add=1)
    sent = 101 * 12
    assert s.settle("units_udp") == sent
    seconds = time.monotonic() - began
    by = {x["exporter"]: x["flows"] for x in s.ctl("exporters")["exporters"]}
    assert by["127.0.0.2"] == 100
    assert 49 <= by["127.0.0.3"] + 1 <= 50 + 50 * seconds
    assert 10 <= sum(f for e, f in by.items() if e.startswith("127.0.1.")) <= 20 + 20 * seconds
    assert s.counter("units_refused", "rate") + s.counter("messages") == sent
    s.ledger()


def test_accounts(start, folder):
    """One that counts right, with a gap and a copy; one that counts messages, and loses one."""
    s = start(Sluiced, files_sink(folder), ["workers=1", "normalizer.enrich=(\"derived\")"])
    right, wrong = Exporter(s.port, "127.0.0.2"), Exporter(s.port, "127.0.0.3")
    right.send(template(FIELDS))
    wrong.send(template(FIELDS))
    for n in range(40):
        records = [record(1000 + n)] * (1 + n % 4)
        message = right.send(data(*records), add=len(records))
        if n == 10:
            right.socket.send(message)
        if n == 20:
            right.sequence += 3
        wrong.send(data(*records), add=1)
    wrong.sequence += 1
    wrong.send(data(record(2000)), add=1)
    assert s.settle("messages") == 84
    by = {x["exporter"]: x for x in s.ctl("exporters")["exporters"]}
    x = by["127.0.0.2"]
    assert (x["missed"], x["lost"], x["duplicated"], x["out_of_order"], x["restarts"], x["anomaly"]) == (3, 3, 1, 0, 0, "")
    x = by["127.0.0.3"]
    assert (x["lost"], x["anomaly"]) == (1, "counts messages")
    assert s.counter("sequence_rules") == 1
    assert s.counter("sequence_missed") - s.counter("sequence_late") == 4
    s.ledger()
    s.drain()
    gaps = {(f["normalized"]["exporter_ip"], f["normalized"]["bytes"]): f["enriched"]["sequence_gap"] for f in read_flows(folder)}
    assert gaps["127.0.0.2", 1021] == 3 and gaps["127.0.0.2", 1020] == 0 and gaps["127.0.0.2", 1022] == 0
    assert gaps["127.0.0.3", 2000] == 1 and gaps["127.0.0.3", 1039] == 0


def test_reported_address(start, folder):
    s = start(Sluiced, files_sink(folder), ['exporters=({ address = "127.0.0.2"; trust_reported = true; })'])
    for address in ("127.0.0.2", "127.0.0.3"):
        x = Exporter(s.port, address)
        x.send(template(REPORTED), data(bytes((10, 0, 0, 1, 192, 0, 2, 99, 0, 0, 0, 7))), template(FIELDS, 257), data(record(8), number=257))
    s.settle("messages")
    s.drain()
    found = sorted((f["normalized"]["bytes"], f["normalized"]["exporter_ip"], f["normalized"]["exporter_reported_ip"]) for f in read_flows(folder))
    assert found == [(7, "127.0.0.3", "192.0.2.99"), (7, "192.0.2.99", "192.0.2.99"), (8, "127.0.0.2", None), (8, "127.0.0.3", None)]
