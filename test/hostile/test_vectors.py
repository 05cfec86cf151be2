# SPDX-License-Identifier: Apache-2.0
"""Goal: no message that anybody can make stops the service, costs others a flow, goes uncounted, or takes more than 5 ms of CPU.

Method: classes of messages (vectors.py), each from several sources, to a service that four good exporters send to all the time;
then each message alone, with the CPU time of the worker threads read before and after.
"""
import pytest
import vectors
from rig import reasons_of, udp

SOURCES = 3
COST_US_MAX = 5000  # of CPU for any one message
COST_MAX = 2  # times that of a message full of flows, where the machine takes too long for all messages
MEASURED_MAX = 120  # messages of a class that are measured one by one
RSS_MIB_MAX = 128 + 64 + 64 + 64  # log.memory_bytes, the sink's memory_bytes, hold_bytes, and all else


def measured(messages):
    return messages[::len(messages) // MEASURED_MAX + 1]


def costs_us(rig, messages):
    """What the worst costs, and what it may: again before it is believed that it is too much, beside a message that is known,
    since who shares the core and its caches makes the same work take more of it."""
    cost = rig.cost_us(measured(messages))
    if cost <= COST_US_MAX:
        return cost, COST_US_MAX
    cost, known = (rig.cost_us(some, repeats=9, of=min) for some in (measured(messages), vectors.largest_flows()))
    return cost, max(COST_US_MAX, COST_MAX * known)


@pytest.mark.parametrize("vector", vectors.ALL, ids=lambda v: v.name)
def test_vectors(shared, row, vector):
    before = shared.snapshot()
    sent = shared.attack(vector.messages, SOURCES)
    shared.settle()
    grown = shared.snapshot() - before
    assert grown["units_udp", ""] == sent
    for key, count in vector.counted.items():
        assert grown[key] == SOURCES * count, (key, grown)
    worst, allowed = costs_us(shared, vector.messages)
    drops = shared.settle()
    assert drops == 0
    rss = shared.rss_kib() // 1024
    row(vector.name, sent, worst, drops, rss, reasons_of(grown))
    assert worst <= allowed
    assert rss <= RSS_MIB_MAX


def test_spoofed(shared, row):
    """In the name of the good exporters, from their own ports: what cannot be told from them must not cost them a flow."""
    before, sent = shared.snapshot(), 0
    for e in shared.good.exporters:
        spoof = udp(e.address, e.port, shared=True)
        for m in vectors.spoofs(e.version):
            shared.send(spoof, m)
            sent += 1
        spoof.close()
    grown = shared.snapshot() - before
    assert grown["units_udp", ""] == sent
    # v9's reboot takes its templates: flows wait for the next definition.
    shared.wait_refresh()
    drops = shared.settle()
    row("spoofed, of good exporters", sent, None, drops, shared.rss_kib() // 1024, reasons_of(shared.snapshot() - before))
