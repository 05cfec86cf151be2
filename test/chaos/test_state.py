# SPDX-License-Identifier: Apache-2.0
"""Goal: a log that somebody or something tampered with between two lives costs exactly what it says, and nobody dies.

Method: a service with several segments that no sink had made safe is killed, one segment or cursor is spoiled as a whole,
and it starts again.  The unit tests do the same octet by octet.  What is missing must be what is counted, to the record.
"""
import glob
import os
import shutil
import struct
import time

import pytest

from lives import SYNC_WINDOW_S, assert_none_missing
from oracle import RATE, ranges
from service import sluicegen

SEGMENTED = {"log.max_bytes": '"32M"', "log.memory_bytes": '"16M"', "log.min_free": '"0"'}


def segments(w, worker=0):
    return sorted(glob.glob(os.path.join(w.folder, "state", "log", str(worker), "*.seg")))


def swapped(w):
    a, b = segments(w)[1:3]
    os.rename(a, a + ".x")
    os.rename(b, a)
    os.rename(a + ".x", b)


def doubled(w):
    a = segments(w)[1]
    number = int(os.path.basename(a).split(".")[0])
    shutil.copy(a, os.path.join(os.path.dirname(a), f"{number + 1:020}.seg"))


def doubled_at_the_end(w):
    a, last = segments(w)[1], segments(w)[-1]
    number = int(os.path.basename(last).split(".")[0])
    shutil.copy(a, os.path.join(os.path.dirname(a), f"{number + 1000000:020}.seg"))


def foreign(w):
    os.replace(w.foreign, segments(w)[1])


def empty(w):
    os.truncate(segments(w)[1], 0)


def last_is_empty(w):
    os.truncate(segments(w)[-1], 0)


def zeros(w, name=None, first=0.0, end=1.0):
    name = name or segments(w)[1]
    size = os.path.getsize(name)
    with open(name, "r+b") as f:
        f.seek(int(size * first))
        f.write(bytes(int(size * end) - int(size * first)))


def half_is_zeros(w):
    zeros(w, first=0.3, end=0.6)


def removed(w):
    os.unlink(segments(w)[1])


def oldest_is_removed(w):
    os.unlink(segments(w)[0])


def cut(w):
    name = segments(w)[1]
    os.truncate(name, os.path.getsize(name) // 2 + 13)


def cursor(w):
    return os.path.join(w.folder, "state", "log", "cursors", "files")


def cursor_removed(w):
    os.unlink(cursor(w))


def cursor_is_empty(w):
    os.truncate(cursor(w), 0)


def cursor_is_zeros(w):
    zeros(w, cursor(w))


def slot_is_zeros(w, is_newer):
    """Two slots of 64 KiB; the newer one has the higher number behind its version and checksum."""
    with open(cursor(w), "rb") as f:
        octets = f.read()
    numbers = [struct.unpack_from("<Q", octets, slot * 65536 + 16)[0] for slot in (0, 1)]
    assert numbers[0] != numbers[1]
    is_second = (numbers[1] > numbers[0]) == is_newer
    zeros(w, cursor(w), 0.6 if is_second else 0.0, 1.0 if is_second else 0.4)


def newer_slot_is_zeros(w):
    slot_is_zeros(w, True)


def older_slot_is_zeros(w):
    slot_is_zeros(w, False)


def spare_is_rubbish(w):
    path = os.path.join(w.folder, "state", "log", "0", "spare")
    with open(path, "wb") as f:
        f.write(os.urandom(300000))


def foreign_segment(w):
    """Out of the log of a service that is no more."""
    w.lives.start()
    sluicegen("-P", "ipfix", "-n", 20000, "-r", 20000, "-d", f"127.0.0.1:{w.lives.port}")
    w.lives.idle()
    time.sleep(2 * SYNC_WINDOW_S)
    w.lives.kill()
    w.foreign = os.path.join(w.folder, "foreign")
    shutil.copy(segments(w)[0], w.foreign)
    shutil.rmtree(os.path.join(w.folder, "state"))
    shutil.rmtree(w.lives.flows_dir, ignore_errors=True)


def spoilt_and_started(world, spoil, rotate_s):
    """Fills some segments, kills, spoils, starts again; everything is drained."""
    w = world(rate=RATE, sink={"rotate_s": rotate_s}, options=SEGMENTED)
    if spoil is foreign:
        foreign_segment(w)
    w.lives.start()
    w.exporter.send_for(1)
    w.lives.idle()
    time.sleep(2 * SYNC_WINDOW_S)
    if rotate_s == 1:  # some is delivered, some is not
        w.exporter.send_for(0.3)
        time.sleep(0.3)
    w.lives.kill()
    assert len(segments(w)) >= (1 if rotate_s == 1 else 4), segments(w)
    spoil(w)
    w.lives.start()
    w.exporter.send_for(0.3)
    return w


@pytest.mark.parametrize("spoil", [swapped, doubled, doubled_at_the_end, foreign, empty, last_is_empty, zeros, half_is_zeros, cut,
                                   removed, oldest_is_removed, spare_is_rubbish], ids=lambda f: f.__name__)
def test_segment(world, spoil):
    w = spoilt_and_started(world, spoil, 3600)
    w.lives.drain()
    lost, dropped = w.lives.sink_losses("files"), w.lives.drops()
    w.lives.stop()
    v = w.verdicts()["files"]
    print(f"lost {lost}, dropped {dropped}")
    assert dropped == 0
    assert len(v.missing) == lost, f"{len(v.missing)} missing, {lost} counted: {ranges(v.missing)}"
    assert not v.doubles, f"delivered twice: {ranges(v.doubles)}"
    if spoil in (doubled, doubled_at_the_end, spare_is_rubbish):
        assert lost == 0, "a copy costs nothing"
    # Only what stood in that file: at most two of them, and not what came afterwards.
    assert lost <= len(w.exporter.numbers()) * 2 // 3


@pytest.mark.parametrize("spoil", [cursor_removed, cursor_is_empty, cursor_is_zeros, newer_slot_is_zeros, older_slot_is_zeros],
                         ids=lambda f: f.__name__)
def test_cursor(world, spoil):
    """Without a cursor a sink begins with the oldest record there is: it may deliver twice, but leaves nothing out."""
    w = spoilt_and_started(world, spoil, 1)
    w.lives.drain()
    assert w.lives.sink_losses("files") == 0 and w.lives.drops() == 0
    w.lives.stop()
    assert_none_missing(w.verdicts()["files"])
