# SPDX-License-Identifier: Apache-2.0
"""Goal: data before its template is not lost: its flows are those that it would have given behind it, and what becomes of sets
whose template never comes is counted, and in the dead letters.

And templates outlive the service: a kill, a stop, another number of workers, and files that are not what they were.

Method: the same messages go to a running sluiced with the template first and with it last, by socket; fastavro reads the flows of
both and they are compared, record_id and all.
"""
import os
import struct
import sys
import time

import pytest

from conftest import ROOT, Sluiced, files_sink, read_flows, wait_for
from test_dead_letter import FIELDS, TIME_S, Exporter, data, dead_files, letters, record, template

sys.path.insert(0, os.path.join(ROOT, "test", "gen"))
from crc32c import crc32c  # noqa: E402


class V9Exporter(Exporter):
    """Its header has 20 octets, no length, and counts messages."""

    def send(self, *sets, records=0):
        message = struct.pack(">HHIIII", 9, records or 1, 1000000, TIME_S, self.sequence, self.domain) + b"".join(sets)
        self.sequence += 1
        self.socket.send(message)
        return message


def v9_template(*args):
    return b"\0\0" + template(*args)[2:]


KINDS = {"ipfix": (Exporter, template), "netflow9": (V9Exporter, v9_template)}


def told(flow):
    """What is the same however the message came; the gap is what its sequence number said."""
    n = flow["normalized"]
    return {**{k: v for k, v in n.items() if k not in ("ingest_time", "exporter_port")}, "id": bytes(flow["record_id"]), "raw": str(flow["raw"])}


@pytest.mark.parametrize("decoder", ["plan", "fixbuf"])
@pytest.mark.parametrize("kind", KINDS)
def test_same_flows(start, folder, kind, decoder):
    exporter, defining = KINDS[kind]
    s = start(Sluiced, files_sink(folder), ["workers=2", f"collector.decoder={decoder}", "normalizer.enrich=()"])
    flows = {}
    for is_late in (False, True):
        x = exporter(s.port)
        messages = [(data(300, record(n), record(n + 1)), data(301, record(n + 2))) for n in range(1, 61, 3)]
        definitions = defining(300, *FIELDS) + defining(301, *FIELDS)
        if not is_late:
            x.send(definitions, records=0)
            x.sequence = 0
        before_ms = time.time() * 1000
        for sets in messages:
            x.send(*sets, records=3)
        if is_late:
            assert wait_for(lambda: s.counter("data_sets_held_now") == 40)
            assert s.ledger()["data sets"]["right"]["held_now"] == 40
            after_ms = time.time() * 1000
            time.sleep(0.5)
            x.send(definitions)
        assert s.settle() == (120 if is_late else 60)
        s.drain()
        flows[is_late] = [f for f in read_flows(folder) if f["normalized"]["exporter_port"] == x.port]
    for f in flows[True]:
        at = f["normalized"]["ingest_time"]
        at_ms = at.timestamp() * 1000 if hasattr(at, "timestamp") else at
        assert before_ms - 10 <= at_ms <= after_ms + 10, "not the time of receipt"
    key = lambda f: f["id"]  # noqa: E731
    assert sorted(map(told, flows[True]), key=key) == sorted(map(told, flows[False]), key=key)
    lines = s.ledger()
    assert lines["data sets"]["right"]["held_then_decoded"] == 40
    assert s.counter("sequence_missed") == 0
    s.stop()


def test_in_vain(start, folder):
    """Each set that never was decoded is counted by its reason, and a dead letter."""
    s = start(Sluiced, files_sink(folder), ["workers=2", "collector.hold_s=2", dead_files(folder)])
    x = Exporter(s.port)
    early, late = data(300, record(1)), data(301, record(2))
    x.send(early, records=1)
    assert wait_for(lambda: s.counter("data_sets_held_now") == 1)
    s.ledger()
    assert wait_for(lambda: s.counter("data_sets_dropped", "expired") == 1)
    s.ledger()
    x.send(template(300, *FIELDS))
    x.send(late, records=1)
    assert wait_for(lambda: s.counter("data_sets_held_now") == 1)
    s.stop()
    assert {(bytes(l["octets"]), l["reason"]) for l in letters(folder)} == {(early, "data_sets_dropped/expired")}
    s = start(Sluiced, files_sink(folder), ["workers=2", "collector.hold_s=2", dead_files(folder)])
    lines = s.ledger()
    assert (lines["data sets"]["right"]["kept"], lines["data sets"]["left"]["restored"]) == (1, 1)
    assert wait_for(lambda: s.counter("data_sets_dropped", "expired") == 2)
    lines = s.ledger()
    assert lines["data sets"]["right"]["held_then_dropped"] == 2
    s.stop()
    assert {(bytes(l["octets"]), l["reason"]) for l in letters(folder)} == {
        (early, "data_sets_dropped/expired"), (late, "data_sets_dropped/expired")}


def journal(line, epoch, *batches):
    """A file as the service writes it: daemon/journal.h."""
    text = line + epoch
    crc = crc32c(text)
    text += struct.pack(">I", crc)
    for body in batches:
        crc = crc32c(struct.pack(">I", len(body)) + body, crc)
        text += struct.pack(">II", len(body), crc) + body
    return text


def crash(s):
    """SIGKILL, when what was new 3 s ago must be on disk."""
    time.sleep(3)
    s.kill()


@pytest.mark.parametrize("kind", KINDS)
def test_templates_survive_a_kill(start, folder, kind):
    """Data alone is decoded by the next life, and by one with another number of workers, options data too."""
    exporter, defining = KINDS[kind]
    s = start(Sluiced, files_sink(folder), ["workers=2"])
    sources = [exporter(s.port, domain=n) for n in range(10)]
    for x in sources:
        x.send(defining(300, *FIELDS) + defining(301, *FIELDS, (57590, 2) if kind == "netflow9" else (2, 8)))
    sources[0].send(defining(302, *FIELDS))
    assert s.settle("templates_new") == 21
    crash(s)
    for life, workers in ((1, 2), (2, 3), (3, 1)):
        s = start(Sluiced, files_sink(folder), [f"workers={workers}", f'listen=({{ transport = "udp"; address = "127.0.0.1"; port = {s.port}; }})'])
        assert s.counter("templates_restored") == 21
        for x in sources:
            x.send(data(300, record(10 * life), record(10 * life + 1)), records=2)
            x.send(data(301, record(10 * life + 2) + bytes(2 if kind == "netflow9" else 8)), records=1)
        assert s.settle() == 30
        assert s.counter("data_sets_held_now") == 0
        lines = s.ledger()
        assert lines["data sets"]["right"]["decoded"] == 20
        for x in sources:
            x.send(defining(300, *FIELDS))
        assert s.settle("templates_refreshed") == 10 and s.counter("templates_changed") == 0
        s.drain()
        s.kill()
    assert len(read_flows(folder)) == 90


def test_held_over_a_stop(start, folder):
    """Sets that wait at a stop wait on, and are decoded by the next life as if there had been none."""
    s = start(Sluiced, files_sink(folder), ["workers=2"])
    x = Exporter(s.port)
    first_ms = time.time() * 1000
    x.send(template(301, *FIELDS))
    x.send(data(300, record(1), record(2)), data(301, record(3)), records=3)
    assert wait_for(lambda: s.counter("data_sets_held_now") == 1)
    last_ms = time.time() * 1000
    s.stop()
    s = start(Sluiced, files_sink(folder), ["workers=3", f'listen=({{ transport = "udp"; address = "127.0.0.1"; port = {s.port}; }})'])
    assert s.counter("data_sets_held_now") == 1
    x.send(template(300, *FIELDS))
    assert s.settle() == 3  # counters go on
    lines = s.ledger()
    assert (lines["data sets"]["right"]["held_then_decoded"], lines["data sets"]["right"]["kept"]) == (1, 1)
    assert wait_for(lambda: not os.path.exists(os.path.join(folder, "state", "held")))
    s.drain()
    flows = read_flows(folder)
    assert len(flows) == 3 == len({bytes(f["record_id"]) for f in flows})
    for f in flows:
        at = f["normalized"]["ingest_time"]
        at_ms = at.timestamp() * 1000 if hasattr(at, "timestamp") else at
        assert first_ms - 10 <= at_ms <= last_ms + 10
    s.stop()


def listen(s):
    return f'listen=({{ transport = "udp"; address = "127.0.0.1"; port = {s.port}; }})'


def forget_marks(folder):
    """What a restart of the machine does to shared memory."""
    st = os.stat(os.path.join(folder, "state"))
    os.unlink(f"/dev/shm/sluice-held-{st.st_dev:x}-{st.st_ino:x}")


@pytest.mark.parametrize("kind", KINDS)
def test_held_over_a_kill(start, folder, kind):
    """Sets that waited at a kill wait on, with another number of workers too; those that were decoded never come again."""
    exporter, defining = KINDS[kind]
    state = os.path.join(folder, "state")
    s = start(Sluiced, files_sink(folder), ["workers=2"])
    sources = [exporter(s.port, domain=n) for n in range(8)]
    for n, x in enumerate(sources):
        x.send(data(300, record(4 * n), record(4 * n + 1)), data(301, record(4 * n + 2)), records=3)
        x.send(data(301, record(4 * n + 3)), records=1)
    assert wait_for(lambda: s.counter("data_sets_held_now") == 24)
    crash(s)
    s = start(Sluiced, files_sink(folder), ["workers=3", listen(s)])
    assert (s.counter("data_sets_restored"), s.counter("data_sets_held_now")) == (24, 24)
    s.ledger()
    for x in sources:
        x.send(defining(300, *FIELDS))
    assert s.settle() == 16
    # A kill at once: the file may say that they wait.
    s.drain()
    s.kill()
    s = start(Sluiced, files_sink(folder), ["workers=1", listen(s)])
    assert (s.counter("data_sets_restored"), s.counter("data_sets_held_now")) == (16, 16)
    os.mkdir(os.path.join(state, "held.tmp"))  # from here on it does
    for x in sources:
        x.send(defining(301, *FIELDS))
    assert s.settle() == 16
    lines = s.ledger()
    assert lines["data sets"]["right"]["held_then_decoded"] == 16
    assert wait_for(lambda: "keeper.not_saved file=held" in s.log())
    s.drain()
    s.kill()
    os.rmdir(os.path.join(state, "held.tmp"))
    s = start(Sluiced, files_sink(folder), ["workers=2", listen(s)])
    assert (s.counter("data_sets_restored"), s.counter("data_sets_held_now")) == (0, 0)
    s.ledger()
    s.drain()
    s.stop()
    flows = read_flows(folder)
    assert len(flows) == 32 == len({bytes(f["record_id"]) for f in flows})


def test_held_over_a_crash(start, folder):
    """Without marks, as after a loss of power: the template on disk says which sets had been decoded, and they are counted."""
    state = os.path.join(folder, "state")
    s = start(Sluiced, files_sink(folder), ["workers=2"])
    x = Exporter(s.port)
    x.send(data(300, record(1)), data(301, record(2)), records=2)
    assert wait_for(lambda: s.counter("data_sets_held_now") == 2)
    assert wait_for(lambda: os.path.exists(os.path.join(state, "held")))
    with open(os.path.join(state, "held"), "rb") as f:
        waiting = f.read()
    x.send(template(300, *FIELDS))
    assert s.settle() == 1
    s.drain()
    crash(s)
    with open(os.path.join(state, "held"), "wb") as f:
        f.write(waiting)
    forget_marks(folder)
    s = start(Sluiced, files_sink(folder), ["workers=2", listen(s)])
    lines = s.ledger()
    assert (lines["data sets"]["left"]["restored"], s.counter("data_sets_dropped", "decoded_before")) == (2, 1)
    x.send(template(301, *FIELDS))
    assert s.settle() == 1
    s.ledger()
    s.drain()
    s.stop()
    assert len(read_flows(folder)) == 2


def test_full_pool_over_a_kill(start, folder):
    """All that may wait is on disk 3 s later, in a file that is no longer than it must be, and is appended to."""
    def size():
        return os.path.getsize(os.path.join(folder, "state", "held"))

    s = start(Sluiced, files_sink(folder), ["workers=2", "collector.hold_s=600", "collector.hold_bytes=128M"])
    sources = [Exporter(s.port, domain=n) for n in range(16)]
    for x in sources:
        x.send(template(301, *FIELDS))
    octets = data(300, *[record(n) for n in range(60)])
    for n in range(1500):
        for x in sources:
            x.send(octets, records=60)
        if n % 20 == 0:
            assert wait_for(lambda: s.counter("data_sets_held_now") == 16 * (n + 1))  # noqa: B023
    assert wait_for(lambda: s.counter("data_sets_held_now") == 24000)
    time.sleep(3)
    before = size()
    assert 24000 * len(octets) < before < 2 * 24000 * (len(octets) + 200) + (8 << 20)
    sources[0].send(octets, records=60)
    assert wait_for(lambda: size() != before, seconds=3)
    assert 0 < size() - before < 2 * len(octets)
    s.kill()
    s = start(Sluiced, files_sink(folder), ["workers=3", "collector.hold_s=600", "collector.hold_bytes=192M", listen(s)])
    assert (s.counter("data_sets_restored"), s.counter("data_sets_held_now")) == (24001, 24001)
    sources[0].send(template(300, *FIELDS))
    assert s.settle() == 60 * 1501
    lines = s.ledger()
    assert lines["data sets"]["right"]["held_then_decoded"] == 1501
    s.stop()


OPTIONS = {  # id -> scope and what is said of it
    400: ((10, 4), (82, 8)), 401: ((48, 1), (50, 4), (49, 1)), 402: ((95, 4), (96, 8), (372, 8)), 403: ((234, 4), (236, 8))}
SPEAKING = FIELDS + ((10, 4), (48, 1), (95, 4), (234, 4))


def options_template(number):
    fields = OPTIONS[number]
    body = struct.pack(">HHH", number, len(fields), 1) + b"".join(struct.pack(">HH", *f) for f in fields)
    return struct.pack(">HH", 3, 4 + len(body)) + body


def options_data(n, name):
    return (data(400, struct.pack(">I8s", n, name)) + data(401, struct.pack(">BIB", n, 1000 + n, 2)) +
            data(402, struct.pack(">I8s8s", 13 << 24 | n, b"app-%d" % n, b"cat-%d" % n)) + data(403, struct.pack(">I8s", n, b"vrf-%d" % n)))


def speaking_record(n):
    return record(n) + struct.pack(">IBII", n, n, 13 << 24 | n, n)


def test_options_over_a_kill(start, folder):
    """What options data said before a kill, the flows of the next lives take up; the last that was said holds."""
    s = start(Sluiced, files_sink(folder), ["workers=2", "normalizer.enrich=()"])
    sources = [Exporter(s.port, domain=n) for n in range(1, 9)]
    for n, x in enumerate(sources, 1):
        x.send(*map(options_template, OPTIONS), template(300, *SPEAKING))
        x.send(options_data(n, b"old"), records=4)
        x.send(options_data(n, b"eth%d" % n), records=4)
    assert s.settle("records_options") == 64
    crash(s)
    for life, workers in ((1, 3), (2, 1)):
        s = start(Sluiced, files_sink(folder), [f"workers={workers}", "normalizer.enrich=()", listen(s)])
        assert (s.counter("joins_restored"), s.counter("state_entries_refused")) == (32, 0)
        for n, x in enumerate(sources, 1):
            x.send(data(300, speaking_record(n)), records=1)
        assert s.settle() == 8
        s.ledger()
        s.drain()
        s.kill()
    flows = read_flows(folder)
    assert len(flows) == 16
    for f in flows:
        got = f["normalized"]
        n = got["in_interface"]
        assert got["in_interface_name"] == f"eth{n}" and got["sampling_rate"] == 1000 + n and got["sampling_algorithm"] == 2
        assert (got["app_name"], got["app_category"], got["ingress_vrf_name"]) == (f"app-{n}", f"cat-{n}", f"vrf-{n}")


def test_announced_over_a_kill(start, folder):
    """Elements that exporters announced before a kill have their names in the next lives; one whose name was another's has none again."""
    s = start(Sluiced, files_sink(folder), ["workers=2"])
    sources = [Exporter(s.port, domain=n) for n in range(1, 5)]
    body = struct.pack(">HHHHHHHHHHH", 400, 4, 2, 346, 4, 303, 2, 339, 1, 341, 8)
    elements = struct.pack(">HHHHIHHIHH", 300, 3, 0x8000 | 90, 2, 32473, 0x8000 | 77, 2, 32473, 1, 4)
    for n, x in enumerate(sources, 1):
        x.send(struct.pack(">HH", 3, 4 + len(body)) + body, struct.pack(">HH", 2, 4 + len(elements)) + elements)
        x.send(data(400, *[struct.pack(">IHB8s", 32473, number, 2, b"depth%d" % n) for number in (90, 77)]), records=2)
    assert s.settle("records_options") == 8
    crash(s)
    for workers in (3, 1):
        s = start(Sluiced, files_sink(folder), [f"workers={workers}", listen(s)])
        assert (s.counter("announcements_restored"), s.counter("state_entries_refused")) == (8, 0)
        for n, x in enumerate(sources, 1):
            x.send(data(300, struct.pack(">HHI", 300 + n, 7, n)), records=1)
        assert s.settle() == 4
        s.ledger()
        s.drain()
        s.kill()
    flows = read_flows(folder)
    assert len(flows) == 8
    for f in flows:
        n = f["normalized"]["bytes"]
        assert f["raw"]["elements"] == {f"depth{n}": str(300 + n), "e32473id77": "7"}


@pytest.mark.parametrize("name", ["options", "held"])
def test_other_broken_files(start, folder, name):
    """Options data and sets of a file that is cut or changed are not used from there on; the file is put aside and counted."""
    path = os.path.join(folder, "state", name)
    s = start(Sluiced, files_sink(folder))
    x = Exporter(s.port)
    x.send(options_template(400), data(300, record(1)), data(301, record(2)), records=2)
    x.send(data(400, struct.pack(">I8s", 7, b"eth7"), struct.pack(">I8s", 8, b"eth8")), records=2)
    assert wait_for(lambda: os.path.exists(path))
    crash(s)
    with open(path, "rb") as f:
        whole = f.read()
    line = whole.index(b"\n") + 1
    body = whole[line + 20:]
    first = body[:4 + struct.unpack(">I", body[:4])[0]]
    for octets, taken, refused, is_aside in (
            (whole[:-1], 0, 0, True), (os.urandom(200), 0, 0, True), (whole[:60] + bytes((whole[60] ^ 1,)) + whole[61:], 0, 0, True),
            (journal(whole[:line], bytes(8), first, body)[:-1], 1, 0, True), (journal(whole[:line], bytes(8), body, first), 2, 0, False),
            (journal(whole[:line], bytes(8), first, first[:-1] + b"!"), 0, 1, False), (journal(whole[:line], bytes(8), first[:-5]), 0, 1, False),
            (journal(whole[:line], bytes(8), body, struct.pack(">I", 3) + b"abc"), 2, 1, False)):
        with open(path, "wb") as f:
            f.write(octets)
        s = start(Sluiced, files_sink(folder))
        counts = [s.counter(c) for c in ("joins_restored" if name == "options" else "data_sets_held_now", "state_entries_refused", "state_files_set_aside")]
        s.ledger()
        s.kill()
        if octets[:-1].endswith(first[:-1]) and refused == 1 and name == "held":
            continue  # any last octet of a set is one
        assert counts == [taken, refused, int(is_aside)]


def test_disk_that_fails(start, folder):
    """What cannot be written is tried again; a set that cannot be kept is given up, and said."""
    state = os.path.join(folder, "state")
    s = start(Sluiced, files_sink(folder), ["workers=1", dead_files(folder)])
    for name in ("templates.tmp", "held.tmp"):
        os.mkdir(os.path.join(state, name))
    x = Exporter(s.port)
    x.send(template(300, *FIELDS))
    assert wait_for(lambda: "keeper.not_saved file=templates" in s.log())
    assert not os.path.exists(os.path.join(state, "templates"))
    os.rmdir(os.path.join(state, "templates.tmp"))
    assert wait_for(lambda: os.path.exists(os.path.join(state, "templates")))
    early = data(301, record(1))
    x.send(early, records=1)
    assert wait_for(lambda: s.counter("data_sets_held_now") == 1)
    s.stop()
    assert "keeper.not_saved file=held" in s.log()
    assert [(bytes(l["octets"]), l["reason"]) for l in letters(folder)] == [(early, "data_sets_dropped/shutdown")]


@pytest.mark.parametrize("is_on", [True, False])
def test_template_from_port(start, folder, is_on):
    """Templates from one port, data from another: its flows say so."""
    s = start(Sluiced, files_sink(folder), ["workers=2", "collector.hold_s=4", f"collector.template_from_port={str(is_on).lower()}"])
    x, y = Exporter(s.port), Exporter(s.port)
    x.send(template(300, *FIELDS))
    y.send(data(300, record(1), record(2)), records=2)
    assert wait_for(lambda: s.counter("data_sets_held_now") == 1)
    assert wait_for(lambda: s.counter("data_sets_held_now") == 0)
    assert (s.counter("templates_from_port"), s.counter("data_sets_held_decoded"), s.counter("data_sets_dropped", "expired")) == (
        (1, 1, 0) if is_on else (0, 0, 1))
    s.ledger()
    s.drain()
    flows = read_flows(folder)
    assert len(flows) == (2 if is_on else 0)
    for f in flows:
        assert "template_from_port" in f["raw"]["notes"] and f["normalized"]["exporter_port"] == y.port
    s.stop()


def test_broken_files(start, folder):
    """What is cut, changed or nonsense is set aside, and the service starts; what a newer one wrote is left alone."""
    path = os.path.join(folder, "state", "templates")
    s = start(Sluiced, files_sink(folder))
    x = Exporter(s.port)
    x.send(template(300, *FIELDS))
    assert s.settle("templates_new") == 1
    s.stop()
    with open(path, "rb") as f:
        whole = f.read()
    line = len(b"sluice templates 2\n")
    head, body = whole[:line + 12], whole[line + 20:]
    assert head == journal(b"sluice templates 2\n", whole[line:line + 8])[:line + 12] and whole == journal(b"sluice templates 2\n", whole[line:line + 8], body)
    for wrong in (b"", b"\0", whole[:-1], whole[:30] + b"!" + whole[31:], os.urandom(100), b"sluice templates x\n" + whole[19:],
                  b"sluice templates 1\n" + whole[19:], head):
        with open(path, "wb") as f:
            f.write(wrong)
        s = start(Sluiced, files_sink(folder))
        assert s.counter("templates_restored") == 0
        assert "keeper.set_aside" in s.log() and s.counter("state_files_set_aside") == 1
        s.kill()
        with open(path + ".bad", "rb") as f:
            assert f.read() == wrong
    # Sound by its CRC, and yet not to be believed.
    for wrong in (struct.pack(">I", 1 << 31) + body[4:], body[:4] + b"\7" + body[5:], body[:-2] + b"\0\0\0", body * 3,
                  struct.pack(">I", 20) + bytes(20) + body):
        with open(path, "wb") as f:
            f.write(journal(b"sluice templates 2\n", bytes(8), wrong))
        s = start(Sluiced, files_sink(folder))
        assert s.counter("templates_restored") <= 1
        assert wrong == body * 3 or s.counter("state_entries_refused") == 1
        s.kill()
    # What stands before the broken end is used.
    with open(path, "wb") as f:
        f.write(journal(b"sluice templates 2\n", bytes(8), body, body)[:-1])
    s = start(Sluiced, files_sink(folder))
    assert (s.counter("templates_restored"), s.counter("state_files_set_aside"), s.counter("state_entries_refused")) == (1, 1, 0)
    s.kill()
    with open(path, "wb") as f:
        f.write(b"sluice templates 3\n" + whole[19:])
    with pytest.raises(AssertionError, match="of a newer sluiced"):
        start(Sluiced, files_sink(folder))
    with open(path, "rb") as f:
        assert f.read().startswith(b"sluice templates 3\n")


def test_flood(start, folder):
    """Who makes up domains takes no room from an exporter that has shown a template."""
    s = start(Sluiced, files_sink(folder), ["workers=1", "collector.hold_bytes=256K", "dead_letter.rate=0"])
    x = Exporter(s.port)
    x.send(template(301, *FIELDS))
    s.settle("messages")
    for n in range(20):
        x.send(data(300, record(n)), records=1)
    strangers = [Exporter(s.port, domain=1000 + n) for n in range(200)]
    for n in range(2000):
        strangers[n % 200].send(data(300, record(n % 250)), records=1)
        if n % 100 == 0:
            s.counter("messages")
    s.settle("messages")
    assert s.counter("data_sets_dropped", "full") > 0
    x.send(template(300, *FIELDS))
    assert s.settle() == 20
    s.ledger()
    s.stop()
