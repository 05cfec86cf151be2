# SPDX-License-Identifier: Apache-2.0
"""A: message framing."""
import socket
import struct
import subprocess
import time

from marks import not_applicable
from service import BUILD, ROOT, wait_for
from wire import FLOW, VARIABLE, a_set, data, define, flow, ipfix, template, templates


def is_transport(name):
    """Is the transport one that `listen` takes?"""
    done = subprocess.run([f"{BUILD}/sluiced", "-c", "etc/sluice.conf", "-o", f'listen=({{ transport = "{name}"; port = 0; }})', "--check"],
                          capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    return done.returncode == 0


def test_001_version(item):
    """M 7011 3.1, 9.1: a version that is not 10 (nor one of NetFlow's that are read) is dropped, counted, and harms nothing"""
    p = item.peer()
    good = ipfix(define(256, FLOW), data(256, flow(1)))
    for version in (0, 8, 11, 0xFFFF):
        p.send(struct.pack(">H", version) + good[2:])
    p.send(bytes.fromhex("d14a7be07705a0c16d1f3f7c9b0a11e4"))
    assert item.counted("messages_malformed", "version") == 4 and item.counted("messages_malformed", "netflow8") == 1
    assert item.counted("messages_malformed") == 5 and item.counted("messages_read") == 0
    p.send(good)
    assert item.octets() == [1]


def test_002_shorter_than_header(item):
    """M 7011 9.1: datagrams of 0, 1 and 15 octets are dropped and counted"""
    p = item.peer()
    good = ipfix(define(256, FLOW), data(256, flow(1)))
    p.send(b"", good[:1], good[:15])
    assert item.counted("messages_malformed", "short") == 3
    assert item.octets() == []


def test_003_length_beyond_datagram(item):
    """M 7011 9.1: a header length larger than the datagram: the message is dropped"""
    p = item.peer()
    body = define(256, FLOW)
    p.send(ipfix(body, b"\0" * (60 - 16 - len(body)), length=100))
    assert item.counted("messages_malformed", "length") == 1
    p.send(ipfix(data(256, flow(1))))
    assert item.octets() == [] and item.without_template() == 1


def test_004_trailing_octets(item):
    """G: octets behind the header's length are counted, and not read"""
    p = item.peer()
    good = ipfix(define(256, FLOW), data(256, flow(1)))
    p.send(good + data(256, flow(2)) + b"\0" * 40)
    assert item.octets() == [1]
    assert item.counted("trailing_octets") == len(data(256, flow(2))) + 40 and item.counted("messages_malformed") == 0


def test_005_set_length_below_4(item):
    """M 7011 9.1: a set length of 0, 1 or 3 drops the whole message, and the loop ends"""
    p = item.peer()
    for length in (0, 1, 3):
        p.send(ipfix(define(256, FLOW), data(256, flow(1)), a_set(256, b"", length=length)))
    assert item.counted("messages_malformed", "set_length") == 3
    assert item.octets() == [] and item.counted("templates_new") == 0


def test_006_set_beyond_message(item):
    """M 7011 9.1: a set longer than the rest of its message drops the message"""
    p = item.peer()
    before = define(256, FLOW) + data(256, flow(1))
    p.send(ipfix(before, a_set(256, b"\0" * (100 - 16 - len(before) - 4), length=0xFFFF)))
    assert item.counted("messages_malformed", "set_length") == 1
    assert item.octets() == [] and item.counted("templates_new") == 0


def test_007_largest_message(item):
    """M 7011 10: the largest message is read whole: 65507 octets over UDP"""
    p = item.peer()
    room = 65507 - 16 - len(define(256, FLOW)) - 4
    count = room // len(flow(0))
    message = ipfix(define(256, FLOW), data(256, *[flow(n) for n in range(count)], tail=b"\0" * (room % len(flow(0)))))
    assert len(message) == 65507
    p.send(message)
    assert item.octets() == list(range(count))


def test_007_largest_message_tcp(item):
    """M 7011 10: messages up to 65535 octets over TCP"""
    p = item.stream()
    head = define(256, FLOW)
    records = (65535 - 16 - len(head) - 4) // 17
    body = data(256, *[flow(n) for n in range(records)])
    filler = a_set(255, b"\0" * (65535 - 16 - len(head) - len(body) - 4)) if 65535 - 16 - len(head) - len(body) >= 4 else b""
    message = ipfix(head, body, filler)
    assert len(message) > 65535 - 4
    p.send(message)
    assert item.octets() == list(range(records)) and item.counted("messages_malformed") == 0


def test_008_header_only(item):
    """G: a message of a header only is sound, and has no record"""
    p = item.peer()
    p.send(ipfix())
    assert item.counted("messages_ipfix") == 1 and item.counted("messages_malformed") == 0
    assert item.octets() == [] and p.row()["messages"] == 1


def test_009_reserved_sets(item):
    """G 7011 3.3.2: sets 0, 1 and 4 to 255 are skipped and counted; those behind them are read"""
    p = item.peer()
    v9_sets = a_set(0, template(300, FLOW)) + a_set(1, b"\1\x2d\0\4\0\4\0\1\0\4\0\1\0\4")
    p.send(ipfix(v9_sets, a_set(4, b"\1\2\3\4"), a_set(255, b""), define(256, FLOW), data(256, flow(1)), data(300, flow(2))))
    assert item.octets() == [1]
    assert item.counted("sets_skipped") == 4 and item.without_template() == 1


def test_010_padding(item):
    """M 7011 3.3.1, 9: padding shorter than a record is accepted in data sets and template sets"""
    p = item.peer()
    for n in (1, 2, 3):
        p.send(ipfix(templates(template(256, FLOW), tail=b"\0" * n), data(256, flow(n), flow(10 + n), tail=b"\0" * n)))
    assert item.octets() == [1, 2, 3, 11, 12, 13]
    assert item.counted("templates_refused") == 0 and item.counted("data_sets_refused") == 0


def test_011_padding_not_zero(item):
    """M 7011 9.1: padding that is not zero is not malformed"""
    p = item.peer()
    for n in (1, 2, 3):
        p.send(ipfix(templates(template(256, FLOW), tail=b"\xff" * n), data(256, flow(n), flow(10 + n), tail=b"\xff" * n)))
    assert item.octets() == [1, 2, 3, 11, 12, 13]
    assert item.counted("templates_refused") == 0 and item.counted("data_sets_refused") == 0


def test_012_records_of_no_octets(item):
    """G: a template whose records may be empty does not loop: of one octet at least they are read, else it is refused"""
    p = item.peer()
    p.send(ipfix(define(256, [(82, VARIABLE)]), data(256, b"\0" * 100)))
    p.send(ipfix(define(257, [(1, 0)]), data(257, b"\0" * 100)))
    assert item.counted("records_flow") == 100 and item.counted("templates_refused", "empty") == 1
    assert item.without_template() == 1
    p.send(ipfix(define(258, FLOW), data(258, flow(1))))
    assert 1 in [f["normalized"]["bytes"] for f in item.flows()]


def test_013_tcp_framing(item):
    """G 7011 10.4: partial reads, and several messages in a segment, over TCP"""
    p = item.stream()
    p.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    whole = ipfix(define(256, FLOW), data(256, flow(1000)))
    for n in range(len(whole)):
        p.octets(whole[n:n + 1], n == 0)
        time.sleep(0.001)
    p.send(*[ipfix(data(256, flow(n)), seq=n + 1) for n in range(50)])
    assert item.octets() == [*range(50), 1000] and item.counted("units_stream") == 51
    assert item.counted("sequence_missed") == 0 and p.row()["transport"] == "tcp"


def test_014_tcp_abnormal_close(item):
    """M 7011 10.4: after an abnormal close the collector listens on, and takes the same peer again"""
    p = item.stream(address="127.100.14.1")
    p.send(ipfix(define(256, FLOW), data(256, flow(1))))
    p.octets(ipfix(data(256, flow(2)))[:20], 0)
    assert item.octets() == [1]
    time.sleep(0.2)
    p.reset()
    assert wait_for(lambda: item.counted("connections_closed", "reset") == 1)
    assert item.counted("units_refused", "incomplete") == 1
    item.sent += 1  # it counts as a message
    again = item.stream(address="127.100.14.1", port=p.port)
    again.send(ipfix(define(256, FLOW), data(256, flow(3))))
    assert item.octets() == [1, 3] and again.row()["messages"] == 1


def test_015_tcp_malformed_peer(item):
    """S 7011 9.1: a TCP peer whose messages are all malformed is closed"""
    bad, good = item.stream(), item.stream()
    good.send(ipfix(define(256, FLOW)))
    bad.send(*[ipfix(a_set(256, b"", length=3)) for _ in range(9)], ipfix())
    bad.send(*[ipfix(a_set(256, b"", length=3)) for _ in range(9)])
    good.send(ipfix(data(256, flow(1))))
    assert item.octets() == [1] and item.counted("connections_closed", "malformed") == 0
    # What came in one piece with the tenth is counted too, sound or not.
    bad.send(ipfix(a_set(256, b"", length=3)), ipfix(), *[ipfix(a_set(256, b"", length=3)) for _ in range(3)])
    assert bad.is_closed() and item.counted("connections_closed", "malformed") == 1
    good.send(ipfix(data(256, flow(2))))
    assert item.octets() == [1, 2] and item.counted("messages_malformed") == 22


def test_015_malformed_peer_udp(item):
    """S 7011 9.1: malformed messages of one UDP source do not touch another, nor its own session: a source can be forged"""
    bad, good = item.peer(), item.peer()
    for p in (bad, good):
        p.send(ipfix(define(256, FLOW)))
    for n in range(10):
        bad.send(ipfix(a_set(256, b"", length=n % 4)))
        good.send(ipfix(data(256, flow(n))))
    bad.send(ipfix(data(256, flow(100))))
    assert item.counted("messages_malformed") == 10
    assert item.octets() == [*range(10), 100] and bad.row()["malformed"] == 10


def test_016_resynchronise_stream(item):
    """G 7011 9.1: a stream is resynchronised only where configured, which it cannot be here: it is closed"""
    p = item.stream()
    p.send(ipfix(define(256, FLOW), data(256, flow(1))))
    p.octets(b"garbage" + ipfix(data(256, flow(2))), 1)
    assert p.is_closed() and item.counted("connections_closed", "version") == 1
    assert item.octets() == [1] and item.counted("units_refused", "desynchronised") == 1
    q = item.stream()
    q.octets(ipfix(length=15), 1)
    assert q.is_closed() and item.counted("connections_closed", "length") == 1


def test_016_resynchronise_file():
    """G 7011 9.1: a file is resynchronised only where configured"""
    not_applicable("RFC 5655 wants a file read on from the next sound message, said and counted: item 101")
