# SPDX-License-Identifier: Apache-2.0
"""Goal: the machine around the service may change: its clock, its memory, how many workers there are.

Method: fault.so moves the clock a year while the service runs and between two lives; a limit on memory holds while no
sink takes anything; a life has two workers, the next one, the next three, killed or stopped in between.
"""
import time

import pytest

from fault import Fault
from lives import SYNC_WINDOW_S, assert_none_missing, away
from oracle import RATE, ranges

YEAR_S = 365 * 86400


@pytest.mark.parametrize("sink", ["files", "bus"])
def test_clock_jumps(world, folder, sink):
    fault = Fault(folder)
    w = world(within=fault.within(), with_kafka=sink == "bus", files=sink == "files")
    w.lives.start()
    for offset_s in (YEAR_S, -YEAR_S, 0):
        w.exporter.send_for(1)
        fault.clock(offset_s)  # while it runs
        w.lives.flows_again(w.exporter)
        w.lives.idle()
        time.sleep(2 * SYNC_WINDOW_S)
        w.lives.kill()
        w.lives.start()
        w.lives.flows_again(w.exporter)
        w.lives.idle()
        w.lives.stop()
        fault.clock(-offset_s)  # while nobody runs
        w.lives.start()
        w.lives.flows_again(w.exporter)
    w.lives.is_well()
    w.lives.drain()
    assert w.lives.sink_losses(sink) == 0 and w.lives.drops() == 0
    w.lives.stop()
    v = w.verdicts()[sink]
    assert_none_missing(v)
    assert sink == "bus" or not v.doubles


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_worker_count_changes(world, how):
    """Logs of workers that are no more are drained; a new worker's log begins above what there was."""
    w = world(sink={"rotate_s": 3600}, exporters=12)
    for workers in (2, 1, 3, 2):
        w.lives.start(workers=workers)
        w.exporter.send_for(0.7)
        w.lives.idle()
        time.sleep(2 * SYNC_WINDOW_S)
        if how == "kill":
            w.lives.kill()
        else:
            w.lives.stop()
    w.lives.start(workers=1)
    w.lives.drain()
    assert w.lives.lost_unsynced("files") == 0
    assert w.lives.sink_lines()["files"]["left"]["records"] == w.exporter.flows
    w.lives.stop()
    v = w.verdicts()["files"]
    assert_none_missing(v)
    assert not v.doubles


def vm_size(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmSize"))


def test_memory_limit(world):
    """No sink takes anything, and memory ends before the log is full: it is counted, and nobody dies."""
    w = world(with_kafka=True, rate=RATE, files=False, options={"log.max_bytes": '"256M"', "log.memory_bytes": '"256M"'})
    w.lives.start()
    w.exporter.send_for(0.5)
    w.lives.drain()
    limit = vm_size(w.lives.service.process.pid) + (24 << 20)
    w.lives.stop()
    w.lives.start(within=["prlimit", f"--as={limit}"])
    with away(w.broker):
        w.exporter.send_for(4)
        w.lives.idle()
        assert w.lives.service.process.poll() is None, w.lives.service.log()
    w.lives.flows_again(w.exporter)
    w.lives.drain()
    dropped, lost = w.lives.drops(), w.lives.sink_losses("bus")
    print(f"limit {limit >> 20} MiB: dropped {dropped}, lost {lost}")
    w.lives.stop()
    v = w.verdicts()["bus"]
    assert len(v.missing) == dropped + lost, f"{len(v.missing)} missing, {dropped} + {lost} counted: {ranges(v.missing)}"
