# SPDX-License-Identifier: Apache-2.0
"""Goal: whatever the disk does, the service runs on, takes what comes, counts what it loses, and resumes by itself.

Method: the state folder is a small file system of its own in a mount namespace, which is filled to the last octet or
inode, or has its folders removed; or fault.so makes calls fail, write short or stand still.  Sinks
write elsewhere.  Then everything delivered is compared with everything sent.
"""
import os
import shutil
import time

import pytest

from fault import ALLOCATE, EIO, ENOSPC, EROFS, OPEN, RENAME, SYNC, WRITE, Fault
from lives import CURSOR_S, SYNC_WINDOW_S, Disk, assert_none_missing
from oracle import ranges

# A log that fits well, with frames in memory for a second or two.
SMALL = {"log.max_bytes": '"16M"', "log.memory_bytes": '"4M"', "log.min_free": '"0"'}


def end_counted(w, may_lose):
    """The end: new records come, the ledger balances, and what is missing is what was counted, exactly."""
    took_s = w.lives.flows_again(w.exporter)
    w.lives.is_well()
    w.lives.drain()
    dropped = w.lives.drops()
    losses = w.lives.sink_losses("files")
    w.lives.stop()
    v = w.verdicts()["files"]
    print(f"flows again after {took_s:.1f} s; dropped {dropped}, lost by the log {losses}")
    assert may_lose or dropped + losses == 0, f"dropped {dropped}, lost by the log {losses}"
    assert len(v.missing) == dropped + losses, f"{len(v.missing)} missing, {dropped} + {losses} counted: {ranges(v.missing)}"
    assert not v.doubles, f"delivered twice: {ranges(v.doubles)}"


def send_and_watch(w, seconds):
    """Flows are taken as they come, all the time: no worker waits for a disk."""
    w.exporter.resume()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began, sent = time.monotonic(), w.exporter.flows
        time.sleep(0.4)
        taken = w.lives.service.counter("flows")
        assert time.monotonic() - began < 5, "the control socket waits for the disk"
        assert taken >= w.started + sent - w.counted_from, f"{taken} taken, {sent} sent: the worker waits"
    w.exporter.pause()
    w.lives.idle()


@pytest.fixture
def faulty(world, folder):
    """A World under fault.so, running, with something already in its log."""
    fault = Fault(folder)

    def make(**options):
        w = world(within=fault.within(), options={**SMALL, **options})
        w.fault = fault
        begin(w)
        return w
    yield make
    fault.close()


def begin(w):
    w.lives.start()
    w.started = w.counted_from = 0
    w.exporter.send_for(1)
    w.lives.idle()
    w.started, w.counted_from = w.lives.service.counter("flows"), w.exporter.flows


@pytest.mark.parametrize("what", ["write fails", "sync fails", "open fails", "no room for a segment", "write has no room"])
def test_log_fails_for_a_while(faulty, what):
    """3 s without a disk: what came is in memory, and goes out when it is back; nothing is lost."""
    kinds, error = {"write fails": (WRITE, EIO), "sync fails": (SYNC, EIO), "open fails": (OPEN, EIO),
                    "no room for a segment": (ALLOCATE, ENOSPC), "write has no room": (WRITE, ENOSPC)}[what]
    w = faulty(**{"log.memory_bytes": '"32M"', "log.max_bytes": '"64M"'})
    with w.fault.during(kinds, "/state/log/", error=error) as rule:
        send_and_watch(w, 3)
        if kinds in (WRITE, SYNC):
            assert w.fault.calls(rule) > 0
    end_counted(w, may_lose=False)


def test_read_only(faulty):
    """As after an error of the file system itself: a mount that is written to cannot be made read-only by hand."""
    w = faulty(**{"log.memory_bytes": '"32M"', "log.max_bytes": '"64M"'})
    with w.fault.during(WRITE | SYNC | OPEN | ALLOCATE | RENAME, "/state/", error=EROFS) as rule:
        send_and_watch(w, 4)
        assert w.fault.calls(rule) > 0
    end_counted(w, may_lose=False)


def test_log_fails_for_long(faulty):
    """Until memory is full as well: then what came last is dropped, and counted."""
    w = faulty()
    with w.fault.during(WRITE | SYNC, "/state/log/", error=EIO):
        send_and_watch(w, 5)
    end_counted(w, may_lose=True)


@pytest.mark.parametrize("error", [EIO, 0], ids=["fails", "short"])
def test_one_call_in_a_few(faulty, error):
    """One write now and then fails or is done by half; after a failure it takes a second to the next try."""
    w = faulty(**{"log.memory_bytes": '"32M"', "log.max_bytes": '"64M"'})
    for first in range(1, 20, 3):
        with w.fault.during(WRITE, "/state/log/", error=error, short=error == 0, first=first, count=1):
            w.exporter.send_for(0.4)
    end_counted(w, may_lose=False)


def test_each_write_is_short(faulty):
    w = faulty()
    with w.fault.during(WRITE, "/state/log/", short=True) as rule:
        send_and_watch(w, 3)
        assert w.fault.calls(rule) > 10
    end_counted(w, may_lose=False)


@pytest.mark.parametrize("kinds", [WRITE | SYNC | RENAME | OPEN], ids=["any call"])
def test_cursors_fail(faulty, kinds):
    """Sinks go on; after a kill they deliver nothing twice that a manifest covers, and lose nothing."""
    w = faulty()
    with w.fault.during(kinds, "/cursors", error=EIO):
        send_and_watch(w, 3)
    end_counted(w, may_lose=False)


@pytest.mark.parametrize("kinds", [SYNC, WRITE], ids=["sync", "write"])
def test_disk_stands_still(faulty, kinds):
    """5 s in one call: workers and control socket do not notice."""
    w = faulty(**{"log.memory_bytes": '"32M"', "log.max_bytes": '"64M"'})
    rule = w.fault.arm(kinds, "/state/log/", delay_s=5, count=1)
    send_and_watch(w, 6)
    assert w.fault.calls(rule) > 0
    w.fault.disarm(rule)
    end_counted(w, may_lose=False)


def test_sinks_disk_fails(faulty):
    """The other disk, where the files go: the log keeps everything meanwhile."""
    w = faulty(**{"log.max_bytes": '"64M"'})
    with w.fault.during(WRITE | SYNC | OPEN | RENAME, "/flows/", error=EIO):
        send_and_watch(w, 3)
    end_counted(w, may_lose=False)


@pytest.mark.parametrize("kinds", [WRITE, SYNC, OPEN, RENAME], ids=["write", "sync", "open", "rename"])
def test_killed_while_the_disk_fails(faulty, kinds):
    """What was durable before is delivered after; what never could be is counted."""
    w = faulty(**{"log.memory_bytes": '"32M"', "log.max_bytes": '"64M"'})
    time.sleep(2 * SYNC_WINDOW_S)
    safe = w.exporter.numbers()
    rule = w.fault.arm(kinds, "/state/", error=EIO)
    send_and_watch(w, 1.5)
    w.lives.kill()
    w.fault.disarm(rule)
    w.lives.start()
    w.lives.flows_again(w.exporter)
    w.lives.drain()
    lost = w.lives.lost_unsynced("files")
    w.lives.stop()
    v = w.verdicts()["files"]
    assert not v.missing & safe, f"durable ones are missing: {ranges(v.missing & safe)}"
    assert len(v.missing) == lost, f"{len(v.missing)} missing, {lost} counted"
    assert not v.doubles


# A file system of its own.

@pytest.fixture
def small_disk(world, folder):
    disks = []

    def make(mount="size=48M", **options):
        disk = Disk(os.path.join(folder, "state"), mount)
        disks.append(disk)
        w = world(within=disk.within(), options={**SMALL, **options})
        w.disk = disk
        begin(w)
        return w
    yield make
    for disk in disks:
        disk.close()


@pytest.mark.parametrize("min_free", ["0", "8M"])
def test_disk_is_full(small_disk, min_free):
    w = small_disk(**{"log.min_free": f'"{min_free}"'})
    w.disk.fill()
    send_and_watch(w, 4)
    w.disk.free()
    end_counted(w, may_lose=True)


def test_disk_fills_up_again_and_again(small_disk):
    """Full at any moment: in the middle of a frame, at a new segment, at a cursor."""
    w = small_disk(**{"log.memory_bytes": '"16M"'})
    for _ in range(6):
        w.exporter.resume()
        w.disk.fill()
        time.sleep(0.5)
        w.disk.free()
        time.sleep(0.3)
    w.exporter.pause()
    end_counted(w, may_lose=True)


def test_disk_is_full_and_the_service_killed(small_disk):
    w = small_disk()
    time.sleep(2 * SYNC_WINDOW_S)
    safe = w.exporter.numbers()
    w.disk.fill()
    w.exporter.send_for(1)
    w.lives.queue_empty()
    w.lives.kill()
    w.lives.start()  # with the disk full
    w.exporter.send_for(1)
    w.disk.free()
    w.lives.flows_again(w.exporter)
    w.lives.drain()
    w.lives.stop()
    v = w.verdicts()["files"]
    assert not v.missing & safe and not v.doubles


def test_no_inodes(small_disk):
    w = small_disk("size=48M,nr_inodes=40")
    w.disk.use_inodes()
    send_and_watch(w, 4)
    w.disk.free()
    end_counted(w, may_lose=True)


@pytest.mark.parametrize("what", ["log", "log/0", "log/cursors"])
def test_folder_removed(small_disk, what):
    """By hand, while it runs: what was in it and in no memory may be lost, and is counted."""
    w = small_disk(**{"log.memory_bytes": '"32M"', "log.max_bytes": '"64M"'})
    path = w.disk.path(what)
    assert os.path.isdir(path), os.listdir(w.disk.path(""))
    shutil.rmtree(path)
    send_and_watch(w, 3)
    w.lives.flows_again(w.exporter)
    # A folder that is back holds for the next life.
    w.lives.drain()
    time.sleep(CURSOR_S)
    w.lives.kill()
    w.lives.start()
    w.lives.flows_again(w.exporter)
    w.lives.drain()
    losses, dropped = w.lives.sink_losses("files"), w.lives.drops()
    w.lives.stop()
    v = w.verdicts()["files"]
    assert len(v.missing) <= losses + dropped
    assert not v.doubles
    if what == "log/cursors":
        assert_none_missing(v)
