# SPDX-License-Identifier: Apache-2.0
"""E: sequence numbers, loss, time."""
import random
import time

from wire import FLOW, data, define, flow, ipfix, now, options, sflow, v5, v5_record, v9, v9_define

def account(peer, domain=0):
    """Missed, late, late or double, restarts."""
    row = peer.row(domain)
    return row["missed"], row["late"], row["out_of_order"] + row.get("duplicated", 0), row["restarts"]


def play(item, numbers, message, first):
    """What the session's account says after messages with these sequence numbers."""
    p = item.peer()
    p.send(first)
    for n in numbers:
        p.send(message(n))
    return account(p)


def ipfix_of(records):
    return lambda n: ipfix(data(256, *[flow(i) for i in range(records)]), seq=n)


def test_072_ipfix_counts_records(item):
    """S 7011 3.1, 9: IPFIX counts data records modulo 2^32: gaps, doubles, late ones, the wrap, a restart"""
    first, message = ipfix(define(256, FLOW), seq=100), ipfix_of(2)
    assert play(item, (100, 102, 104), message, first) == (0, 0, 0, 0)
    assert play(item, (100, 107, 109), message, first) == (5, 0, 0, 0)
    assert play(item, (100, 102, 102, 104), message, first) == (0, 0, 1, 0)
    assert play(item, (100, 104, 102, 106), message, first) == (2, 2, 1, 0)
    assert play(item, (100, 104, 106, 102, 108), message, first) == (2, 2, 1, 0)
    wrap = ipfix(define(256, FLOW), seq=0xFFFFFFFE)
    assert play(item, (0xFFFFFFFE, 0, 2), message, wrap) == (0, 0, 0, 0)
    assert play(item, (0xFFFFFFFE, 3), message, wrap) == (3, 0, 0, 0)
    assert play(item, (100, 102, 0, 2, 4), message, first) == (0, 0, 0, 1)


def test_072_v9_counts_messages(item):
    """S 3954 5.1: NetFlow v9 counts messages, whatever they hold"""
    def message(n):
        return v9(data(256, flow(1), flow(2)), count=2, seq=n)

    first = v9(v9_define(256, FLOW), seq=100)
    assert play(item, (101, 102, 103), message, first) == (0, 0, 0, 0)
    assert play(item, (101, 105, 106), message, first) == (3, 0, 0, 0)
    assert play(item, (101, 101, 102), message, first) == (0, 0, 1, 0)
    assert play(item, (102, 101, 103), message, first) == (1, 1, 1, 0)
    assert play(item, (0, 1), message, v9(v9_define(256, FLOW), seq=0xFFFFFFFF)) == (0, 0, 0, 0)


def test_072_v5_counts_flows(item):
    """S: NetFlow v5 counts flows"""
    def message(n):
        return v5(v5_record(1), v5_record(2), v5_record(3), seq=n)

    assert play(item, (103, 106), message, message(100)) == (0, 0, 0, 0)
    assert play(item, (110, 113), message, message(100)) == (7, 0, 0, 0)
    assert play(item, (106, 103, 109), message, message(100)) == (3, 3, 1, 0)
    assert play(item, (1,), message, message(0xFFFFFFFE)) == (0, 0, 0, 0)


def test_072_sflow_counts_datagrams(item):
    """S: sFlow counts datagrams"""
    p = item.peer()
    p.send(sflow(seq=1), sflow(seq=5))
    assert item.counted("sequence_missed") == 3


def test_073_exporter_restart(item):
    """G: an exporter that starts anew, its sequence and uptime small, is no gap of 4 thousand millions"""
    p = item.peer()
    p.send(v9(v9_define(256, FLOW), seq=3000000000, uptime=86400000), v9(data(256, flow(1)), seq=3000000001, uptime=86401000))
    p.send(v9(v9_define(256, FLOW), seq=1, uptime=2000), v9(data(256, flow(2)), seq=2, uptime=3000))
    assert account(p) == (0, 0, 0, 1) and item.octets() == [1, 2]
    q = item.peer()
    q.send(ipfix(define(256, FLOW), seq=3000000000), ipfix(data(256, flow(3)), seq=3000000000))
    q.send(ipfix(define(256, FLOW), seq=0), ipfix(data(256, flow(4)), seq=0))
    assert account(q) == (0, 0, 0, 1)


def test_074_options_data_counts(item):
    """G 7011 3.1: options data records count for IPFIX's sequence number, template records do not"""
    p = item.peer()
    said = data(300, b"\0" * 12, b"\0" * 12)
    p.send(ipfix(define(256, FLOW), options(300, [(149, 4)], [(41, 8)]), seq=10))
    p.send(ipfix(said, seq=10), ipfix(data(256, flow(1)), seq=12), ipfix(said, seq=13), ipfix(data(256, flow(2)), seq=15))
    assert account(p) == (0, 0, 0, 0)
    p.send(ipfix(data(256, flow(3)), seq=18))
    assert account(p) == (2, 0, 0, 0)


def gaps(seed):
    """4000 messages of one record; before 1000 of them, by no rule, some are missing: how many in all."""
    draw, missed, messages = random.Random(seed), 0, [ipfix(define(256, FLOW), seq=0)]
    holes = set(draw.sample(range(4000), 1000))
    for n in range(4000):
        missed += draw.randrange(1, 50) if n in holes else 0
        messages.append(ipfix(data(256, flow(n)), seq=missed + n))
    return messages, missed


def test_075_metric(item):
    """S 7011 9: messages out of sequence are counted, and told for each session"""
    p = item.peer()
    messages, missed = gaps(75)
    p.send(*messages)
    assert item.counted("sequence_missed") == missed and account(p) == (missed, 0, 0, 0)


def test_075_log(item):
    """S 7011 9: messages out of sequence are logged, not more often than once a second"""
    p = item.peer()
    time.sleep(1.1)  # the line of this second may have been another item's
    before, begin = len(item.service.log()), time.monotonic()
    p.send(*gaps(76)[0])
    item.settle()
    lines = [line for line in item.service.log()[before:].splitlines() if ("sequence" in line or "gap" in line) and "sluiced.health" not in line]
    assert 1 <= len(lines) <= time.monotonic() - begin + 2


def test_076_clock_skew(item):
    """S 7011 5.2: an export time 5 s in the future is no skew worth a flag, one a day off is"""
    near, far, wrapped = item.peer(), item.peer(), item.peer()
    for p, at in ((near, now() + 5), (far, now() + 86400), (wrapped, 0xFFFFFFFF)):
        p.send(ipfix(define(256, FLOW), data(256, flow(1)), at=at))
    flags = {f["normalized"]["exporter_ip"]: (f["enriched"]["clock_skew_flag"], f["normalized"]["export_time"]) for f in item.flows()}
    assert flags[near.address][0] is False and flags[far.address][0] is True
    # The largest export time is in 2106: it is not before 1970.
    assert flags[wrapped.address] == (True, 0xFFFFFFFF * 1000)
