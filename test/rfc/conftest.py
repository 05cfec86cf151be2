# SPDX-License-Identifier: Apache-2.0
"""One sluiced for all items, which tell their flows apart by source address; and the table of what became of each item.

A test function test_NNN_... is item NNN of the list of behaviours; its docstring begins with the level (M: MUST, S: SHOULD,
Y: MAY, G: good practice), then the clause and the behaviour. not_yet() marks what this version does not do, with the reason:
the test runs, and says so when it begins to pass. not_applicable() ends a test whose item is not ours to fulfil.
"""
import contextlib
import glob
import os
import re
import shutil
import socket
import struct
import sys
import tempfile

import fastavro
import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, os.pardir, "system")]

from service import Sluiced, files_sink, folder, forget_ends, start, wait_for  # noqa: E402,F401


class Peer:
    """An exporter: one socket on an address of its own."""

    def __init__(self, item, address, port):
        self.item, self.address = item, address
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.socket.bind((address, port))
        self.port = self.socket.getsockname()[1]

    def send(self, *messages):
        for m in messages:
            self.socket.sendto(m, ("127.0.0.1", self.item.service.port))
            self.item.sent += 1
            # No more at once than any receive buffer holds.
            self.item.unsettled += 768 + len(m)
            if self.item.unsettled > 100000:
                self.item.settle()

    def row(self, domain=0):
        """What `sluicectl exporters` says of the observation domain."""
        self.item.settle()
        rows = [r for r in self.item.service.ctl("exporters")["exporters"]
                if (r["exporter"], r["port"], r["domain"]) == (self.address, self.port, domain)]
        assert len(rows) < 2, rows
        return rows[0] if rows else None


class Stream(Peer):
    """An exporter with a TCP connection from an address of its own."""

    def __init__(self, item, address, port):  # pylint: disable=super-init-not-called
        self.item, self.address = item, address
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, port))
        self.socket.connect(("127.0.0.1", item.tcp_port()))
        self.port = self.socket.getsockname()[1]

    def send(self, *messages):
        self.octets(b"".join(messages), len(messages))

    def octets(self, octets, messages):
        """Octets as they are, in one write, with which so many messages begin."""
        self.socket.sendall(octets)
        self.item.sent += messages
        self.item.unsettled += 1

    def close(self):
        """In order; what was sent is read before the session ends."""
        before = self.item.counters()["connections_closed", ""]
        self.item.settle()
        self.socket.close()
        assert wait_for(lambda: self.item.counters()["connections_closed", ""] > before)

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def is_closed(self):
        """Does the service close it?"""
        self.socket.settimeout(10)
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


class Item:
    """What a test sends, and what came of it: flows and counters since it began."""

    def __init__(self, service, number, stack):
        self.service, self.number, self.stack = service, number, stack
        self.peers, self.sent, self.unsettled = [], 0, 0
        self.folder, self.read = service.folder, {}
        self.before = self.counters()

    def peer(self, port=0, address=None):
        address = address or f"127.{100 + self.number // 100}.{self.number % 100}.{len(self.peers) + 1}"
        p = Peer(self, address, port)
        self.stack.callback(p.socket.close)
        self.peers.append(p)
        return p

    def tcp_port(self):
        return next(row["port"] for row in self.service.ctl("status")["listen"] if row["transport"] == "tcp")

    def stream(self, port=0, address=None):
        address = address or f"127.{100 + self.number // 100}.{self.number % 100}.{len(self.peers) + 1}"
        p = Stream(self, address, port)
        self.stack.callback(p.socket.close)
        self.peers.append(p)
        return p

    def counters(self):
        sums = {}
        for c in self.service.ctl("counters")["counters"]:
            sums[c["name"], c["reason"] or ""] = sums.get((c["name"], c["reason"] or ""), 0) + c["value"]
            if c["reason"]:
                sums[c["name"], ""] = sums.get((c["name"], ""), 0) + c["value"]
        return sums

    def counted(self, name, reason=""):
        """What was added to the counter since the test began; of all its reasons together when none is said."""
        self.settle()
        now = self.counters()
        assert (name, reason) in now, (name, reason)
        return now[name, reason] - self.before.get((name, reason), 0)

    def without_template(self):
        """Data sets whose template was not known: refused at once, or held, whatever became of them since."""
        return (self.counted("data_sets_refused", "no_template") + self.counted("data_sets_held_now") +
                self.counted("data_sets_held_decoded") + self.counted("data_sets_dropped"))

    def settle(self):
        """Waits until the service has looked at all that was sent; then every account must hold."""
        if self.unsettled == 0:
            return

        def looked_at():
            now = self.counters()
            since = {k: now[k, ""] - self.before.get((k, ""), 0)
                     for k in ("units_udp", "units_stream", "messages", "units_refused")}
            return since["units_udp"] + since["units_stream"] >= self.sent and since["messages"] + since["units_refused"] >= self.sent

        assert wait_for(looked_at, every=0.005), f"{self.sent} sent: the service did not see all of them"
        self.service.ledger()
        self.unsettled = 0

    def flows(self):
        """Flow events of this item's peers so far, in the order in which they were sent, by domain and peer."""
        self.settle()
        self.service.drain()
        for path in sorted(glob.glob(os.path.join(self.folder, "flows", "**", "*.avro"), recursive=True)):
            if path not in self.read:
                with open(path, "rb") as f:
                    self.read[path] = list(fastavro.reader(f))
        # What other items left is not read again.
        addresses = {p.address for p in self.peers}
        return [f for path in sorted(self.read) for f in self.read[path] if f["normalized"]["exporter_ip"] in addresses]

    def octets(self):
        """The field `bytes` of its flows: tests tell their records apart by it."""
        return sorted(f["normalized"]["bytes"] for f in self.flows())

    def one(self):
        flows = self.flows()
        assert len(flows) == 1, flows
        return flows[0]

    def alive(self):
        assert self.service.process.poll() is None, self.service.log()
        return True


LISTEN = ('listen=({ transport = "udp"; address = "127.0.0.1"; port = 0; }, '
          '{ transport = "tcp"; address = "127.0.0.1"; port = 0; })')


@pytest.fixture(scope="session")
def shared():
    path = tempfile.mkdtemp(prefix="sluice-rfc-")
    service = Sluiced(path, files_sink(path, codec="null", rotate_s=3600), options=(LISTEN,))
    yield service
    code = service.process.poll()
    with contextlib.suppress(AssertionError):
        service.stop()
    service.kill()
    forget_ends(path)
    shutil.rmtree(path, ignore_errors=True)
    assert code is None, f"sluiced ended on its own: {code}"


def number_of(name):
    found = re.match(r"test_(\d{3})_", name)
    return int(found[1]) if found else None


@pytest.fixture
def item(request, shared):
    """The item of the test's number, at the service that all share."""
    with contextlib.ExitStack() as stack:
        made = Item(shared, number_of(request.node.name), stack)
        made.read = dict.fromkeys(glob.glob(os.path.join(shared.folder, "flows", "**", "*.avro"), recursive=True), ())
        yield made
        made.alive()


@pytest.fixture
def own(request, start, folder):  # noqa: F811
    """Starts a service of the test's own, with options: an Item at it."""
    with contextlib.ExitStack() as stack:
        def run(*settings):
            service = start(Sluiced, files_sink(folder, codec="null", rotate_s=3600), options=(LISTEN, *settings))
            return Item(service, number_of(request.node.name), stack)
        yield run


# --- the table -----------------------------------------------------------------------------------------------------

class Row:
    """What is known of an item: all of its tests together."""

    RANK = ("passed", "n.a.", "not yet", "failed")

    def __init__(self):
        self.level, self.said = "", {}

    def add(self, state, reason=""):
        self.said.setdefault(state, reason)

    def state(self):
        """The worst of its tests; what else became of it stands in text()."""
        return max(self.said, key=self.RANK.index)

    def text(self):
        state = self.state()
        reason = self.said[state] + ("; the rest passed" if state != "passed" and "passed" in self.said else "")
        return f"{self.level} {state}" + (f" ({reason})" if reason else "")


ROWS = {}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    number = number_of(item.name)
    if number is None or (report.when != "call" and report.passed):
        return
    row = ROWS.setdefault(number, Row())
    row.level = (item.function.__doc__ or "?").split()[0].rstrip(":")
    if report.skipped and hasattr(report, "wasxfail"):
        row.add("not yet", report.wasxfail.removeprefix("reason: "))
    elif report.skipped:
        row.add("n.a.", report.longrepr[2].removeprefix("Skipped: "))
    elif report.failed:
        row.add("failed", str(report.longrepr).strip().splitlines()[-1][:120])
    elif getattr(report, "wasxfail", None):
        row.add("passed", "the mark not_yet can go")
    else:
        row.add("passed")


def pytest_terminal_summary(terminalreporter):
    if not ROWS:
        return
    line = terminalreporter.write_line
    for number, row in sorted(ROWS.items()):
        line(f"{number:3} {row.text()}")
    for state in Row.RANK:
        line(f"rfc: {sum(r.state() == state for r in ROWS.values())} {state}")
