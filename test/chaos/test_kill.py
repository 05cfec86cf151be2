# SPDX-License-Identifier: Apache-2.0
"""Goal: whatever ends the process, nothing that was durable is lost, and what is lost is counted.

Method: one service is killed again and again on the same state at 20 000 flows a second, at random moments: in the middle
of it, or just when it has taken the last datagram.  The exporter knows what it sent while a socket was there.  Of that,
only what was sent within the sync window before a kill may be missing, and by sink as many as `lost_unsynced` says; what
was not yet appended dies with the process, at most what the socket held and one batch.
SLUICE_CHAOS_KILLS is how often (20), SLUICE_CHAOS_SEED chooses the moments again.
"""
import contextlib
import os
import random
import time

import pytest

from lives import BATCH_FLOWS, SYNC_WINDOW_S, assert_none_missing, away
from oracle import RATE, ranges

KILLS = int(os.environ.get("SLUICE_CHAOS_KILLS", "20"))
MESSAGE_OCTETS, MESSAGE_FLOWS = 1464, 30


class Kill:
    """When, what waited in the kernel, and when the next life was there."""

    def __init__(self, lives):
        self.at, self.queue = lives.kill()
        self.gone = time.monotonic()
        time.sleep(random.uniform(0, 0.1))
        lives.start()
        self.ready = time.monotonic()

    def in_flight(self):
        """How many flows the process may have taken along that it had not appended."""
        return self.queue // MESSAGE_OCTETS * MESSAGE_FLOWS + BATCH_FLOWS + RATE // 100


def random_life(w):
    w.exporter.resume()
    time.sleep(random.choice((random.uniform(0.05, 0.5), random.uniform(0.5, 1.6))))


def judge(w, v, began, kills):
    """Only what came just before a kill is missing; returns how many records each kill took along."""
    explained, since, taken = set(), began, []
    for k in kills:
        missing = v.missing & w.exporter.numbers(since, k.at)
        late = w.exporter.numbers(k.at - SYNC_WINDOW_S, k.at)
        assert missing <= late, f"kill at {k.at}: durable ones are missing: {ranges(missing - late)}"
        taken.append(len(missing))
        explained |= missing | w.exporter.numbers(k.at, k.ready)  # no socket was there
        since = k.ready
    assert_none_missing(v, explained)
    return taken


def verdict_and_count(w, sink):
    """The end of a test: what came, and what the sink counts as lost in all lives."""
    w.lives.is_well()
    w.lives.drain()
    counted = w.lives.lost_unsynced(sink)
    assert w.exporter.rate_was() > RATE * 0.95
    w.lives.stop()
    return w.verdicts()[sink], counted


@pytest.mark.parametrize("sink", ["files", "bus"])
def test_kill_at_random_moments(world, sink):
    w = world(rate=RATE, with_kafka=sink == "bus", files=sink == "files")
    w.lives.start()
    began, kills = time.monotonic(), []
    for _ in range(KILLS):
        random_life(w)
        kills.append(Kill(w.lives))
    w.exporter.send_for(1)
    v, counted = verdict_and_count(w, sink)
    taken = judge(w, v, began, kills)
    print(f"{KILLS} kills, {w.exporter.rate_was():.0f} flows/s, missing by kill {taken}, counted {counted}")
    assert sum(taken) <= counted + sum(k.in_flight() for k in kills), f"{sum(taken)} missing, {counted} counted"
    if sink == "files":  # it waits for the log: nothing that was delivered can be lost
        gone = sum(len(w.exporter.numbers(k.at, k.gone)) for k in kills)
        assert counted <= sum(taken) + gone
        assert not v.doubles, f"{len(v.doubles)} delivered twice: {ranges(v.doubles)}"


@pytest.mark.parametrize("sink", ["files", "bus"])
def test_what_a_kill_takes_is_counted(world, sink):
    """Killed just when everything is appended and not all of it durable: to the record."""
    w = world(rate=RATE, with_kafka=sink == "bus", files=sink == "files")
    w.lives.start()
    began, kills = time.monotonic(), []
    for _ in range(max(4, KILLS // 4)):
        random_life(w)
        w.exporter.pause()
        w.lives.queue_empty()
        w.lives.service.ctl("ledger")  # is answered between two batches: all that came is appended
        kills.append(Kill(w.lives))
    v, counted = verdict_and_count(w, sink)
    taken = judge(w, v, began, kills)
    print(f"missing by kill {taken}, counted {counted}")
    # What Kafka had acknowledged may be lost in the log, and counted, and yet be delivered.
    if sink == "bus":
        assert sum(taken) <= counted
    else:
        assert sum(taken) == counted
        assert not v.doubles, f"{len(v.doubles)} delivered twice: {ranges(v.doubles)}"


@pytest.mark.parametrize("sink", ["files", "bus"])
def test_terminate_under_load(world, sink):
    """SIGTERM: what was sent before it is delivered, in this life or in the next one."""
    w = world(rate=RATE, with_kafka=sink == "bus", files=sink == "files")
    w.lives.start()
    between = set()
    for _ in range(3):
        w.exporter.resume()
        time.sleep(random.uniform(0.5, 1.5))
        at = w.lives.stop()
        w.lives.start()
        between |= w.exporter.numbers(at, time.monotonic())
    w.exporter.send_for(0.5)
    w.lives.drain()
    assert w.lives.lost_unsynced(sink) == 0 and w.lives.dropped + w.lives.drops() == 0
    w.lives.is_well()
    w.lives.stop()
    v = w.verdicts()[sink]
    assert_none_missing(v, between)
    assert not v.doubles


@pytest.mark.parametrize("sink", ["files", "bus"])
def test_durable_is_for_ever(world, sink):
    """What no sink had made safe, but the log had: a kill takes nothing of it, however often."""
    w = world(rate=RATE, with_kafka=sink == "bus", files=sink == "files", sink={"rotate_s": 3600})
    w.lives.start()
    with away(w.broker) if w.broker is not None else contextlib.nullcontext():
        for _ in range(3):
            w.exporter.send_for(0.7)
            w.lives.idle()
            time.sleep(2 * SYNC_WINDOW_S)
            w.lives.kill()
            w.lives.start()
        assert w.lives.lost_unsynced(sink) == 0
        assert w.lives.sink_lines()[sink]["right"]["pending"] == w.exporter.flows
    w.lives.drain()
    w.lives.stop()
    v = w.verdicts()[sink]
    assert_none_missing(v)
    assert not v.doubles
