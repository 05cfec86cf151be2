# SPDX-License-Identifier: Apache-2.0
"""Goal: whatever ends the process, nothing that was durable is lost, and what is lost is counted.

Method: one service is killed again and again on the same state at 20 000 flows a second, at random moments: in the middle
of it, or just when it has taken the last datagram.  The exporter knows what it sent while a socket was there.  Of that,
only what was sent within the sync window before a kill may be missing, and by sink as many as it counts as lost: as
`lost_unsynced`, or, where the next life was killed before it had made anything durable, as `corrupt` by the one after.  What
was not yet appended dies with the process, at most what the socket held and one batch.  Among the flows comes what nobody
can decode: of the dead letters the same must be true.
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
BAD_EVERY = 10  # messages of flows


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

    def bad_in_flight(self):
        return self.in_flight() // MESSAGE_FLOWS // BAD_EVERY + 1


def killed_world(world, kind, **options):
    return world(rate=RATE, with_kafka=kind == "bus", files=kind == "files", bad_every=BAD_EVERY, **options)


def random_life(w):
    w.exporter.resume()
    time.sleep(random.choice((random.uniform(0.05, 0.5), random.uniform(0.5, 1.6))))


def judge(v, numbers, began, kills):
    """Only what came just before a kill is missing; returns how many records or letters each kill took along.  numbers():
    what was sent from one moment to another."""
    explained, since, taken = set(), began, []
    for k in kills:
        missing = v.missing & numbers(since, k.at)
        late = numbers(k.at - SYNC_WINDOW_S, k.at)
        assert missing <= late, f"kill at {k.at}: durable ones are missing: {ranges(missing - late)}"
        taken.append(len(missing))
        explained |= missing | numbers(k.at, k.ready)  # no socket was there
        since = k.ready
    assert_none_missing(v, explained)
    return taken


def verdict_and_count(w, sink):
    """The end of a test: what came, and what the sink and that of dead letters count as lost in all lives."""
    w.lives.is_well()
    w.lives.drain()
    counted, letters_counted = w.lives.sink_losses(sink), w.lives.letters_lost()
    assert w.exporter.rate_was() > RATE / 2, "too slow a machine to prove anything"
    w.lives.stop()
    v = w.verdicts()[sink]
    # Their file waits for their log: nothing that it has can be lost.
    assert not w.undecoded.doubles, f"two letters of one: {ranges(w.undecoded.doubles)}"
    print(f"undecodable: sent {len(w.undecoded.sent)}, without a letter {len(w.undecoded.missing)}, counted {letters_counted}")
    return v, counted, letters_counted


def end_whole(w, sink, but=frozenset(), bad_but=frozenset()):
    """The end of a test in which nothing may be lost but what was sent while no socket was there."""
    v, counted, letters_counted = verdict_and_count(w, sink)
    assert counted == 0 and letters_counted == 0
    assert_none_missing(v, but)
    assert_none_missing(w.undecoded, bad_but)
    assert not v.doubles


@pytest.mark.parametrize("sink", ["files", "bus"])
def test_kill_at_random_moments(world, sink):
    w = killed_world(world, sink)
    w.lives.start()
    began, kills = time.monotonic(), []
    for _ in range(KILLS):
        random_life(w)
        kills.append(Kill(w.lives))
    w.exporter.send_for(1)
    v, counted, letters_counted = verdict_and_count(w, sink)
    taken = judge(v, w.exporter.numbers, began, kills)
    letters_taken = judge(w.undecoded, w.exporter.bad_numbers, began, kills)
    print(f"{KILLS} kills, {w.exporter.rate_was():.0f} flows/s, missing by kill {taken}, counted {counted}; "
          f"letters by kill {letters_taken}, counted {letters_counted}")
    assert sum(taken) <= counted + sum(k.in_flight() for k in kills), f"{sum(taken)} missing, {counted} counted"
    assert sum(letters_taken) <= letters_counted + sum(k.bad_in_flight() for k in kills)
    assert letters_counted <= sum(letters_taken) + sum(len(w.exporter.bad_numbers(k.at, k.gone)) for k in kills)
    if sink == "files":  # it waits for the log: nothing that was delivered can be lost
        gone = sum(len(w.exporter.numbers(k.at, k.gone)) for k in kills)
        assert counted <= sum(taken) + gone
        assert not v.doubles, f"{len(v.doubles)} delivered twice: {ranges(v.doubles)}"


@pytest.mark.parametrize("sink", ["files", "bus"])
def test_what_a_kill_takes_is_counted(world, sink):
    """Killed just when everything is appended and not all of it durable: to the record."""
    w = killed_world(world, sink)
    w.lives.start()
    began, kills = time.monotonic(), []
    for _ in range(max(4, KILLS // 4)):
        random_life(w)
        w.exporter.pause()
        w.lives.queue_empty()
        w.lives.service.ctl("ledger")  # is answered between two batches: all that came is appended
        kills.append(Kill(w.lives))
    v, counted, letters_counted = verdict_and_count(w, sink)
    taken = judge(v, w.exporter.numbers, began, kills)
    letters_taken = judge(w.undecoded, w.exporter.bad_numbers, began, kills)
    print(f"missing by kill {taken}, counted {counted}; letters by kill {letters_taken}, counted {letters_counted}")
    assert sum(letters_taken) == letters_counted
    # What Kafka had acknowledged may be lost in the log, and counted, and yet be delivered.
    if sink == "bus":
        assert sum(taken) <= counted
    else:
        assert sum(taken) == counted
        assert not v.doubles, f"{len(v.doubles)} delivered twice: {ranges(v.doubles)}"


@pytest.mark.parametrize("sink", ["files", "bus"])
def test_killed_before_anything_is_durable(world, sink):
    """A new log that knows of none of its first records: its sinks must miss them all the same."""
    w = killed_world(world, sink)
    w.lives.start()
    began = time.monotonic()
    w.exporter.send_for(0.04)
    w.lives.queue_empty()
    w.lives.service.ctl("ledger")
    kill = Kill(w.lives)
    w.exporter.send_for(0.5)
    v, counted, letters_counted = verdict_and_count(w, sink)
    assert sum(judge(w.undecoded, w.exporter.bad_numbers, began, [kill])) == letters_counted
    taken = sum(judge(v, w.exporter.numbers, began, [kill]))
    assert taken <= counted if sink == "bus" else taken == counted


@pytest.mark.parametrize("sink", ["files", "bus"])
def test_terminate_under_load(world, sink):
    """SIGTERM: what was sent before it is delivered, in this life or in the next one."""
    w = killed_world(world, sink)
    w.lives.start()
    between, bad_between = set(), set()
    for _ in range(3):
        w.exporter.resume()
        time.sleep(random.uniform(0.5, 1.5))
        at = w.lives.stop()
        w.lives.start()
        ready = time.monotonic()
        between |= w.exporter.numbers(at, ready)
        bad_between |= w.exporter.bad_numbers(at, ready)
    w.exporter.send_for(0.5)
    assert w.lives.dropped + w.lives.drops() == 0
    end_whole(w, sink, between, bad_between)


@pytest.mark.parametrize("sink", ["files", "bus"])
def test_durable_is_for_ever(world, sink):
    """What no sink had made safe, but the log had: a kill takes nothing of it, however often."""
    w = killed_world(world, sink, sink={"rotate_s": 3600})
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
    end_whole(w, sink)
