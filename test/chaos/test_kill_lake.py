# SPDX-License-Identifier: Apache-2.0
"""Goal: a folder of Parquet files holds each record once, whatever ends the process that writes it.

Method: as test_kill.py, with a Parquet sink that has many files open in partitions and completes them together, once a
second.  In the end no temporary file and no manifest is left, pyarrow reads every file, and the rows are compared to what
the exporter sent.
"""
import contextlib
import os
import random
import time

import pytest

from lives import SEED, SYNC_WINDOW_S, World, assert_none_missing
from oracle import RATE, ranges, verdict
from service import folder  # noqa: F401
from test_kill import BAD_EVERY, KILLS, Kill, judge, random_life, verdict_and_count

PARTITIONS = "%{event_type}/from=%{exporter}/date=%Y-%m-%d/hour=%H/minute=%M"
EXPORTERS = 16  # as many partitions at least


class LakeWorld(World):
    def __init__(self, stack, folder, **options):  # noqa: F811
        super().__init__(stack, folder, files=False, rate=RATE, exporters=EXPORTERS, bad_every=BAD_EVERY,
                         flows_dir=os.path.join(folder, "lake"))
        extra = "".join(f" {k} = {v};" for k, v in {"rotate_s": 1, **options}.items())
        self.lives.sinks = (f'({{ name = "lake"; type = "parquet"; path = "{self.lives.flows_dir}"; '
                            f'pattern = "{PARTITIONS}";{extra} }})')

    def verdicts(self):
        run = self.exporter.run_words()
        v = verdict(run, self.exporter.numbers(), self.lives.flows_dir)
        self.read_letters(run, {"lake": v})
        print(f"lake: delivered {v.delivered}, missing {len(v.missing)}, doubled {len(v.doubles)}")
        return {"lake": v}


@pytest.fixture
def world(folder):  # noqa: F811
    random.seed(SEED)
    with contextlib.ExitStack() as stack:
        yield lambda **options: LakeWorld(stack, folder, **options)


def assert_complete(w):
    """Nothing but whole files in partitions."""
    found = [os.path.join(top, name) for top, _, names in os.walk(w.lives.flows_dir) for name in names]
    assert found and not [path for path in found if not path.endswith(".parquet")]
    below = {os.path.relpath(os.path.dirname(path), w.lives.flows_dir) for path in found}
    assert len(below) >= EXPORTERS
    assert len({part.split(os.sep)[1] for part in below}) == EXPORTERS


@pytest.mark.parametrize("rotation", [{}, {"rotate_records": 4000}], ids=["each second", "all the time"])
def test_kill_at_random_moments(world, rotation):
    w = world(**rotation)
    w.lives.start()
    began, kills = time.monotonic(), []
    for _ in range(KILLS):
        random_life(w)
        kills.append(Kill(w.lives))
    w.exporter.send_for(1)
    service = w.lives.service
    v, counted, letters_counted = verdict_and_count(w, "lake")
    assert_complete(w)
    taken = judge(v, w.exporter.numbers, began, kills)
    letters_taken = judge(w.undecoded, w.exporter.bad_numbers, began, kills)
    found = {what: service.log().count(f"sink.{what} ") for what in ("removed_unfinished", "manifest_finished")}
    print(f"{KILLS} kills, {w.exporter.rate_was():.0f} flows/s, missing by kill {taken}, counted {counted}, {found}")
    # Did the kills come when they could do harm?
    assert found["removed_unfinished"] and (found["manifest_finished"] or not rotation)
    assert not v.doubles, f"{len(v.doubles)} delivered twice: {ranges(v.doubles)}"
    assert sum(taken) <= counted + sum(k.in_flight() for k in kills), f"{sum(taken)} missing, {counted} counted"
    assert sum(letters_taken) <= letters_counted + sum(k.bad_in_flight() for k in kills)
    # It waits for the log: nothing that was delivered can be lost.
    assert counted <= sum(taken) + sum(len(w.exporter.numbers(k.at, k.gone)) for k in kills)


def test_durable_is_for_ever(world):
    """Files that were open and half written again and again, and never completed: the log has it all."""
    w = world(rotate_s=3600)
    w.lives.start()
    for _ in range(3):
        w.exporter.send_for(0.7)
        w.lives.idle()
        time.sleep(2 * SYNC_WINDOW_S)
        w.lives.kill()
        w.lives.start()
    assert w.lives.sink_lines()["lake"]["right"]["pending"] == w.exporter.flows
    w.lives.drain()
    assert w.lives.lost_unsynced("lake") == 0
    w.lives.stop()
    v = w.verdicts()["lake"]
    assert_none_missing(v)
    assert not v.doubles
    assert_complete(w)
