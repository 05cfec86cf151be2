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
    """When, what waited in the kernel, when the next life was there; how many records that one found lost."""

    def __init__(self, w, is_quiet):
        self.is_quiet, self.lost = is_quiet, None
        self.at, self.queue = w.lives.kill()
        self.gone = time.monotonic()
        time.sleep(random.uniform(0, 0.1))
        w.lives.start()
        self.ready = time.monotonic()

    def in_flight(self):
        """How many flows the process may have taken along that it had not appended."""
        return 0 if self.is_quiet else self.queue // MESSAGE_OCTETS * MESSAGE_FLOWS + BATCH_FLOWS + RATE // 100


def kill_once(w):
    is_quiet = random.random() < 0.4
    w.exporter.resume()
    time.sleep(random.choice((random.uniform(0.05, 0.5), random.uniform(0.5, 1.6))))
    if is_quiet:
        w.exporter.pause()
        w.lives.queue_empty()
        w.lives.service.ctl("ledger")  # is answered between two batches: all that came is appended
    end_life(w)
    w.kills.append(Kill(w, is_quiet))


def end_life(w):
    """What this life found lost when it opened the log; asked late, when its sinks have met it."""
    if w.kills:
        w.kills[-1].lost = w.lives.lost_at_start()


def judge(w, sink, v):
    """Each kill's own loss, and that there is no other."""
    explained, since = set(), w.began
    for k in w.kills:
        alive = w.exporter.numbers(since, k.at)
        missing, lost = v.missing & alive, k.lost
        print(f"{'quiet' if k.is_quiet else 'loaded'} life of {k.at - since:.2f} s: {len(missing)} missing, {lost} found lost")
        late = w.exporter.numbers(k.at - SYNC_WINDOW_S, k.at)
        assert missing <= late, f"kill at {k.at}: durable ones are missing: {ranges(missing - late)}"
        assert len(missing) <= lost + k.in_flight(), f"{len(missing)} missing, {lost} counted, {k.in_flight()} in flight"
        # A file waits for the log: what it delivered was durable.  Kafka's broker has what it has.
        if sink == "files":
            gone = len(v.missing & w.exporter.numbers(since, k.gone))
            assert gone >= lost, f"{lost} counted as lost, but only {gone} are missing"
        explained |= missing | w.exporter.numbers(k.at, k.ready)  # no socket was there
        since = k.ready
    assert_none_missing(v, explained)


@pytest.mark.parametrize("sink", ["files", "bus"])
def test_kill_at_random_moments(world, sink):
    w = world(rate=RATE, with_kafka=sink == "bus", files=sink == "files")
    w.kills = []
    w.lives.start()
    w.began = time.monotonic()
    for _ in range(KILLS):
        kill_once(w)
    w.exporter.send_for(1)
    w.lives.is_well()
    w.lives.drain()
    end_life(w)
    found, counted = sum(k.lost for k in w.kills), w.lives.lost_unsynced(sink)
    print(f"{KILLS} kills, {w.exporter.rate_was():.0f} flows/s, lost {found}, as the sink counts {counted}")
    assert w.exporter.rate_was() > RATE * 0.95
    w.lives.stop()
    v = w.verdicts()[sink]
    judge(w, sink, v)
    assert counted == found
    if sink == "files":
        assert not v.doubles, f"delivered twice: {ranges(v.doubles)}"


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
