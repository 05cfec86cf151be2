# SPDX-License-Identifier: Apache-2.0
"""One service for all classes of vectors, one of its own for each flood, and the table of what became of them."""
import os
import shutil
import sys
import tempfile

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, os.pardir, "system"), os.path.join(HERE, os.pardir, "rfc")]

from rig import Rig, good_options  # noqa: E402
from service import Sluiced, files_sink, forget_ends  # noqa: E402

ROWS = []


def serve(path, workers, *settings, pattern):
    sink = files_sink(path, pattern=pattern, codec="null", fsync=False, rotate_s=3600)
    return Sluiced(path, sink, [f"workers={workers}", good_options(workers), *settings])


@pytest.fixture(scope="session")
def run_service():
    """Starts a service with good exporters around it; ends both."""
    made = []

    def run(workers=2, *settings, pattern="%{exporter}"):
        path = tempfile.mkdtemp(prefix="sluice-hostile-")
        service = serve(path, workers, *settings, pattern=pattern)
        made.append((path, service))
        rig = Rig(service, workers)
        made[-1] += (rig,)
        return rig

    yield run
    for path, service, *rig in made:
        for r in rig:
            r.close()
        service.kill()
        forget_ends(path)
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def shared(run_service):
    rig = run_service(2)
    yield rig
    rig.close()
    rig.service.stop()


@pytest.fixture
def flooded(run_service):
    """A service of the test's own; it must end well."""
    rigs = []

    def run(workers=2, *settings, pattern="%{exporter}"):
        rigs.append(run_service(workers, *settings, pattern=pattern))
        return rigs[-1]

    yield run
    for rig in rigs:
        rig.close()
        rig.service.stop()


@pytest.fixture
def row():
    """Adds a line to the table: class, messages sent, what they were counted under, worst CPU of one, drops of the kernel."""
    return lambda *words: ROWS.append(words)


def pytest_terminal_summary(terminalreporter):
    if not ROWS:
        return
    line = terminalreporter.write_line
    line(f"{'class':35} {'messages':>8} {'worst us':>8} {'drops':>6} {'MiB':>5} ledger  counted under")
    for name, messages, worst_us, drops, rss_mib, reasons in ROWS:
        worst = "-" if worst_us is None else f"{worst_us:.0f}"
        line(f"{name:35} {messages:8} {worst:>8} {drops:6} {rss_mib:5} equal   {reasons}")
