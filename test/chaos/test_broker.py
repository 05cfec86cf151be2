# SPDX-License-Identifier: Apache-2.0
"""Goal: whatever a broker does, nothing is lost but what the full log counts, and new records flow when it is back.

Method: librdkafka's mock cluster stands still, goes away, is slow and answers with each error, with a file sink beside it,
which must not notice.  Everything delivered is compared with everything sent.
"""
import time

import pytest

from fault import SYNC, Fault
from lives import MODEST, RECOVERY_S, assert_none_missing, away, frozen
from oracle import RATE
from refuser import PRODUCE, Refuser
from service import wait_for

RETRIABLE = {"leader_not_available": 5, "not_leader": 6, "timed_out": 7, "network": 13, "coordinator_load": 14,
             "not_enough_replicas": 19, "not_enough_after_append": 20, "storage": 56, "unknown_topic": 3,
             "topic_not_authorized": 29}
FATAL = {"out_of_order": 45, "invalid_epoch": 47, "unknown_producer": 59, "fenced": 90, "cluster_not_authorized": 31}


def end_whole(w, doubles=False):
    """The end of a test in which nothing at all may be lost."""
    w.lives.is_well()
    lines = w.lives.drain()
    assert w.lives.drops() == 0
    assert all(w.lives.sink_losses(sink) == 0 for sink in lines), lines
    w.lives.stop()
    for sink, v in w.verdicts().items():
        assert_none_missing(v)
        assert not v.doubles or (doubles and sink == "bus"), f"{sink}: {len(v.doubles)} doubled"


def files_go_on(w, seconds):
    """The other sink does not notice."""
    before = w.lives.delivered()["files"]
    w.exporter.resume()
    time.sleep(seconds)
    assert w.lives.delivered()["files"] > before + MODEST * (seconds - 2.5), "the file sink waits for the broker"


@pytest.mark.parametrize("fault", [frozen, away], ids=["frozen", "away"])
def test_broker_is_gone(world, fault):
    w = world(with_kafka=True)
    w.lives.start()
    w.exporter.send_for(1)
    with fault(w.broker):
        files_go_on(w, 6)
    print(f"flows again after {w.lives.flows_again(w.exporter):.1f} s")
    end_whole(w, doubles=True)


def test_broker_is_slow(world):
    w = world(with_kafka=True, rate=RATE)
    w.lives.start()
    w.broker.say("rtt 0 700")
    w.exporter.send_for(3)
    w.broker.say("rtt 0 0")
    w.lives.flows_again(w.exporter)
    end_whole(w, doubles=True)


@pytest.mark.parametrize("errors", [RETRIABLE, FATAL], ids=["retriable", "fatal"])
def test_broker_answers_errors(world, errors):
    w = world(with_kafka=True)
    w.lives.start()
    for name, code in errors.items():
        w.broker.say(f"errors {PRODUCE} {code} 3")
        w.exporter.send_for(0.4)
        w.broker.say(f"clear {PRODUCE}")
        assert wait_for(lambda: w.lives.sink_lines()["bus"]["right"]["pending"] < 10000, RECOVERY_S, 0.1), name
    w.lives.flows_again(w.exporter)
    end_whole(w, doubles=True)


@pytest.mark.parametrize("code", [10, 87], ids=["too large", "invalid record"])
def test_batch_is_rejected(world, code):
    """A batch that the broker refuses for good is sent again in pieces: nothing of it is bad, so nothing is lost."""
    w = world(with_kafka=True)
    w.lives.start()
    w.exporter.send_for(0.5)
    w.broker.say(f"errors {PRODUCE} {code} 1")
    w.exporter.send_for(0.5)
    w.lives.flows_again(w.exporter)
    end_whole(w, doubles=True)


def source_of(number):
    """The source address of flow `number` as Avro has it: no other flow's is the same (gen_value.h)."""
    text = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}".encode()
    return bytes([2 * len(text)]) + text


@pytest.mark.parametrize("code", [10, 87], ids=["too large", "invalid record"])
def test_record_in_a_batch_is_rejected(world, code):
    """The broker refuses whatever batch has one of three records in it: those are dead letters, and no other is."""
    culprits = {700, 2000, 2001}
    w = world(with_kafka=True, kafka={"codec": '"none"'}, through=lambda b: Refuser(b, [source_of(n) for n in culprits], code))
    w.lives.start()
    w.exporter.send_for(1)
    w.lives.flows_again(w.exporter)
    w.lives.is_well()
    lines = w.lives.drain()
    assert lines["bus"]["right"]["dead_letter"] == len(culprits) and lines["files"]["right"]["dead_letter"] == 0
    assert w.lives.drops() == 0 and all(w.lives.sink_losses(sink) == 0 for sink in lines)
    w.lives.stop()
    v = w.verdicts()
    assert w.between.refused > len(culprits), "no batch had others beside the culprits: nothing was proved"
    assert v["bus"].buried == culprits, f"in the dead letters: {v['bus'].buried}"
    assert_none_missing(v["bus"])
    assert_none_missing(v["files"])
    assert not v["bus"].doubles and not v["files"].doubles and not v["files"].buried


@pytest.mark.parametrize("policy", ["block", "evict_oldest"])
def test_broker_away_longer_than_the_log_holds(world, policy):
    # What the producer has in its hands is not the log's to evict.
    w = world(with_kafka=True, kafka={"max_in_flight": 2000},
              options={"log.max_bytes": '"8M"', "log.memory_bytes": '"4M"', "log.policy": f'"{policy}"'})
    w.lives.start()
    w.exporter.send_for(0.5)
    with away(w.broker):
        w.exporter.send_for(7)
        w.lives.idle()
    w.lives.flows_again(w.exporter)
    w.lives.is_well()
    lines = w.lives.drain()
    dropped, evicted, losses = w.lives.drops(), lines["bus"]["right"]["evicted"], w.lives.sink_losses("bus")
    assert dropped == w.lives.service.counter("flows_dropped", "log_full")
    print(f"dropped {dropped}; {lines}")
    w.lives.stop()
    v = w.verdicts()
    assert len(v["bus"].missing) == dropped + losses, f"missing {len(v['bus'].missing)}, counted {dropped} + {losses}"
    assert losses == evicted, f"{losses - evicted} records that made room are counted under another reason: {lines['bus']['right']}"
    assert len(v["files"].missing) == dropped + lines["files"]["right"]["evicted"]
    if policy == "block":
        assert dropped > 5000 and evicted == 0
    else:
        assert dropped == 0 and evicted > 5000
    assert not v["files"].doubles


def test_acknowledged_beyond_what_was_synced(world, folder):
    """Kafka has records that the log loses: the next life must not take their numbers for new ones, and skip those."""
    fault = Fault(folder)
    w = world(with_kafka=True, rate=RATE, files=False, within=fault.within())
    w.lives.start()
    w.exporter.send_for(0.5)
    w.lives.drain()
    for _ in range(3):
        before = w.lives.delivered()["bus"]
        rule = fault.arm(SYNC, "/state/log/", delay_s=30)
        w.exporter.send_for(0.7)
        assert wait_for(lambda: w.lives.delivered()["bus"] > before + 5000, 10), "the broker did not acknowledge in time"
        w.lives.kill()
        fault.disarm(rule)
        w.lives.start()
        ready = time.monotonic()
        w.exporter.send_for(0.5)
        w.lives.drain()
    lost = w.lives.lost_unsynced("bus")
    w.lives.stop()
    v = w.verdicts()["bus"]
    assert lost > 15000, "the syncs were not slow: nothing was proved"
    assert not v.missing & w.exporter.numbers(ready), "new records were skipped"
    # Everything that is missing was lost unsynced: nothing else was in flight when the exporter had been quiet.
    assert len(v.missing) <= lost
