# SPDX-License-Identifier: Apache-2.0
"""What the system tests share: service.py, and the totals that golden tests leave."""
import collections
import os

from service import (BUILD, PYTHON, ROOT, MockBroker, Registry, Sluiced, check, files_sink, folder, read_flows, sluicegen,  # noqa: F401
                     start, wait_for)


class Golden:
    """What was compared with tshark's reading, through both decoders."""

    def __init__(self):
        self.captures, self.flows = 0, 0
        self.count, self.clauses, self.silent = collections.Counter(), collections.Counter(), collections.Counter()

    def add(self, comparison, flows):
        self.captures += 1
        self.flows += flows
        self.count += comparison.count
        self.clauses += comparison.clauses
        self.silent += comparison.silent_leaves

    def lines(self):
        n = self.count
        yield (f"golden: {self.captures} captures through both decoders, {self.flows} flows; {n['field']} fields compared, "
               f"{n['field equal']} equal, {n['field explained']} explained")
        yield f"golden: {n['element']} elements compared, {n['element equal']} equal, {n['element explained']} explained"
        yield f"golden: {n['leaf']} of {n['leaf'] + sum(self.silent.values())} leaves; not: " + ", ".join(sorted(self.silent))
        for (name, clause), times in sorted(self.clauses.items()):
            yield f"golden: {name}: {times} times as {clause} wants it"


GOLDEN = Golden()


def golden_add(comparison, flows):
    """Adds a capture to the totals, and its fields to the list of proofs that scripts/field-coverage reads."""
    GOLDEN.add(comparison, flows)
    prove(comparison.proven, comparison.capture)


def prove(fields, proof):
    if "SLUICE_COVERAGE" in os.environ:
        with open(os.environ["SLUICE_COVERAGE"], "a", encoding="utf-8") as f:
            f.writelines(f"{name}\t{proof}\n" for name in sorted(fields))


def pytest_terminal_summary(terminalreporter):
    if GOLDEN.captures > 0:
        for line in GOLDEN.lines():
            terminalreporter.write_line(line)
