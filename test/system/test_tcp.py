# SPDX-License-Identifier: Apache-2.0
"""Goal: IPFIX over TCP loses, spoils and doubles nothing, whatever becomes of exporters, sinks and listeners; and who
means ill holds up nobody.

Method: sluicegen's flows through a real service and check.py; connections of the test's own for what no exporter does.
"""
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest

from conftest import BUILD, PYTHON, ROOT, Sluiced, files_sink, read_flows, wait_for

FLOWS = 200000
LISTEN = ('listen=({ transport = "tcp"; address = "127.0.0.1"; port = 0; }, '
          '{ transport = "udp"; address = "127.0.0.1"; port = 0; })')
QUICK = ('normalizer.enrich=()',)


def port_of(service, transport="tcp"):
    return next(row["port"] for row in service.ctl("status")["listen"] if row["transport"] == transport)


def generator(service, *words):
    return subprocess.Popen([os.path.join(BUILD, "sluicegen"), "-T", "tcp", "-d", f"127.0.0.1:{port_of(service)}", "--json",
                             "--time", "1780000000", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result_of(process, code=0):
    out, errors = process.communicate(timeout=300)
    assert process.returncode == code, errors
    return json.loads(out)


def check(folder, run):
    """What check.py says of the files, against a run that may be made of several."""
    path = os.path.join(folder, "run.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(run, f)
    done = subprocess.run([PYTHON, os.path.join(ROOT, "test/gen/check.py"), "--run", path, "--files", os.path.join(folder, "flows"),
                           "--fields", "key", "--json"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def closed(service, reason):
    return service.counter("connections_closed", reason)


@pytest.mark.parametrize("workers,words", [(1, ("-t", "basic", "-e", 1, "--message", 65535)), (3, ("-t", "basic", "-e", 16, "--cut", 997))])
def test_all_arrive(start, folder, workers, words):
    """None missing, wrong or doubled: largest messages of one exporter; messages cut anywhere of many, over workers."""
    service = start(Sluiced, files_sink(folder, codec="null", rotate_s=3600), (LISTEN, f"workers={workers}", *QUICK))
    run = result_of(generator(service, "-n", FLOWS, "-r", 0, *words))
    assert wait_for(lambda: service.counter("flows") == FLOWS, 60)
    assert wait_for(lambda: closed(service, "peer") == run["exporters"])
    service.drain()
    lines = service.ledger()
    assert lines["received units"]["left"]["stream"] == run["messages"] == lines["received units"]["right"]["messages"]
    assert lines["connections"]["left"]["connections"] == run["exporters"]
    assert service.counter("connections_now") == 0 and service.ctl("exporters")["exporters"] == []
    service.stop()
    check(folder, run)


def test_sink_stalls(start, folder):
    """While the sink stands still for 20 s exporters wait and nothing is dropped; then all goes on by itself, UDP undisturbed."""
    pipe = os.path.join(folder, "pipe")
    os.mkfifo(pipe)
    sinks = f'({{ name = "out"; type = "stdout"; }}, {files_sink(folder, codec="null", rotate_s=3600)[1:-1]})'
    with open(pipe, "wb", buffering=0, opener=lambda path, _: os.open(path, os.O_RDWR)):
        service = start(Sluiced, sinks, (LISTEN, "log.max_bytes=48M", "log.sync=off", *QUICK), within=(
            "sh", "-c", f'exec "$@" >{pipe}', "sh"))
        g = generator(service, "-n", FLOWS, "-r", 0, "-t", "basic")
        assert wait_for(lambda: service.ctl("log")["is_high"], 60), service.ctl("log")
        before = service.settle("flows", 1)
        time.sleep(20)
        # Nothing is read meanwhile, and the exporter is blocked.
        assert service.counter("flows") == before < FLOWS and g.poll() is None
        assert service.counter("flows_dropped") == 0 and service.counter("connections_now") == 1
        with open(pipe, "rb") as reader:
            sponge = subprocess.Popen(["cat"], stdin=reader, stdout=subprocess.DEVNULL)
        try:
            run = result_of(g)
            assert wait_for(lambda: service.counter("flows") == FLOWS, 60)
            service.drain()
            service.ledger()
            assert service.counter("flows_dropped") == 0
            service.stop()
        finally:
            sponge.kill()
            sponge.wait()
    check(folder, run)


def test_exporter_is_killed(start, folder):
    """What a killed exporter's machine had sent arrives, as far as messages are whole, and the next life sends the rest."""
    service = start(Sluiced, files_sink(folder, codec="null", rotate_s=3600), (LISTEN, "workers=2", *QUICK))
    first = generator(service, "-n", FLOWS, "-r", 50000, "-t", "basic", "--cut", 1001)
    assert wait_for(lambda: service.counter("flows") > FLOWS // 10)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert wait_for(lambda: service.counter("connections_now") == 0)
    arrived = service.counter("flows")
    assert FLOWS // 10 < arrived < FLOWS
    run = result_of(generator(service, "-n", FLOWS - arrived, "-f", arrived, "-r", 0, "-t", "basic"))
    assert wait_for(lambda: service.counter("flows") == FLOWS, 60)
    service.drain()
    lines = service.ledger()
    assert service.counter("sessions_closed") == service.counter("sessions_new") - len(service.ctl("exporters")["exporters"])
    assert lines["connections"]["right"]["closed"] >= 1 and service.counter("units_refused") == service.counter("units_refused", "incomplete") <= 1
    service.stop()
    check(folder, {**run, "first": 0, "flows": FLOWS})


@pytest.mark.skipif(shutil.which("softflowd") is None, reason="no softflowd")
def test_softflowd(start, folder):
    """A real exporter over TCP, of a capture."""
    service = start(Sluiced, files_sink(folder, codec="null", rotate_s=3600), (LISTEN,))
    capture = os.path.join(folder, "in.pcap")
    subprocess.run([os.path.join(BUILD, "sluicegen"), "-P", "v5", "-n", "900", "-e", "20", "-w", capture, "--time", "1780000000"], check=True,
                   capture_output=True)
    done = subprocess.run(["softflowd", "-d", "-v", "10", "-P", "tcp", "-r", capture, "-n", f"127.0.0.1:{port_of(service)}"],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert wait_for(lambda: closed(service, "peer") == 1)
    service.drain()
    service.ledger()
    service.stop()
    flows = read_flows(folder)
    assert len(flows) >= 20 and {f["normalized"]["source"] for f in flows} == {"ipfix"}
    assert service.log().count("stream.closed") == 0


# --- who means ill -------------------------------------------------------------------------------------------------

def message(*sets):
    body = b"".join(sets)
    return struct.pack(">HHIII", 10, 16 + len(body), int(time.time()), 0, 0) + body


TEMPLATE = struct.pack(">HHHHHH", 2, 12, 256, 1, 1, 4)
ONE = struct.pack(">HHI", 256, 8, 7)


def connect(service, address="127.0.0.1"):
    s = socket.create_connection(("127.0.0.1", port_of(service)), source_address=(address, 0))
    s.settimeout(10)
    return s


def is_ended(s):
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


def test_slow(start, folder):
    """One octet a second, a header alone, silence before and behind a message: each has its time, and its reason."""
    service = start(Sluiced, files_sink(folder), (LISTEN, "collector.stream_header_s=3", "collector.stream_message_s=2",
                                                  "collector.stream_idle_s=4"))
    silent, drip, header, idle = (connect(service) for _ in range(4))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.connect(("127.0.0.1", port_of(service, "udp")))
    header.sendall(message(TEMPLATE, ONE)[:16])
    idle.sendall(message(TEMPLATE, ONE))
    for n in range(7):
        try:
            drip.sendall(message(TEMPLATE)[n:n + 1])
        except (BrokenPipeError, ConnectionResetError):
            break
        udp.send(message(TEMPLATE, ONE))
        time.sleep(1)
    for s, reason in ((silent, "header_timeout"), (drip, "header_timeout"), (header, "message_timeout"), (idle, "idle")):
        assert is_ended(s), reason
        s.close()
    assert [closed(service, r) for r in ("header_timeout", "message_timeout", "idle")] == [2, 1, 1]
    assert service.counter("units_refused", "incomplete") == 2
    # UDP noticed nothing.
    assert service.counter("units_udp") >= 3 and service.counter("flows") == service.counter("units_udp") + 1
    service.ledger()
    udp.close()


def test_limits(start, folder):
    """Idle connections against the limits: those beyond are closed at once, and when some go others may come."""
    service = start(Sluiced, files_sink(folder), (LISTEN, "collector.streams_max=300", "collector.streams_address_max=100", "workers=2"))
    held = [connect(service, "127.0.2.1") for _ in range(100)]
    assert wait_for(lambda: service.counter("connections_now") == 100)
    beyond = [connect(service, "127.0.2.1") for _ in range(50)]
    assert all(is_ended(s) for s in beyond) and service.counter("connections_refused", "address_full") == 50
    held += [connect(service, f"127.0.3.{1 + n % 50}") for n in range(200)]
    assert wait_for(lambda: service.counter("connections_now") == 300)
    beyond += [connect(service, f"127.0.4.{1 + n % 50}") for n in range(100)]
    assert all(is_ended(s) for s in beyond[50:]) and service.counter("connections_refused", "full") == 100
    for s in held:
        s.close()
    assert wait_for(lambda: service.counter("connections_now") == 0)
    late = connect(service, "127.0.2.1")
    late.sendall(message(TEMPLATE, ONE))
    assert wait_for(lambda: service.counter("flows") == 1)
    service.ledger()
    for s in (late, *beyond):
        s.close()


def test_floods(start, folder):
    """Garbage, resets amid messages and connections by the thousand, while an exporter goes on: he loses nothing."""
    service = start(Sluiced, files_sink(folder, codec="null", rotate_s=3600), (LISTEN, "workers=2", "collector.streams_address_max=0", *QUICK))
    g = generator(service, "-n", 20000, "-r", 4000, "-t", "basic", "-b", "127.0.9.1")
    turns, port = 0, port_of(service)
    while g.poll() is None:
        s = socket.create_connection(("127.0.0.1", port))
        kind = turns % 4
        try:
            if kind == 0:
                s.sendall(os.urandom(1 + turns % 3000) + b"\xff")
            elif kind == 1:
                s.sendall(message(TEMPLATE, ONE)[:5 + turns % 20])
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif kind == 2:
                s.sendall(struct.pack(">HH", 10, 65535) + bytes(turns % 60000))
        except (BrokenPipeError, ConnectionResetError):
            pass
        s.close()
        turns += 1
    run = result_of(g)
    assert turns > 100 and wait_for(lambda: service.counter("flows") == 20000, 60)
    assert wait_for(lambda: service.counter("connections_now") == 0)
    assert service.counter("connections") == turns + 1 and service.counter("connections_refused") == 0
    assert turns // 4 - turns // 100 - 1 <= closed(service, "version") <= turns // 4 + 1
    service.drain()
    service.ledger()
    service.stop()
    check(folder, run)


@pytest.mark.parametrize("is_killed", [False, True])
def test_next_life(start, folder, is_killed):
    """Templates and sets of a connection are not the next life's, after a stop or a kill; those of UDP are."""
    service = start(Sluiced, files_sink(folder), (LISTEN,))
    stream = connect(service)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.connect(("127.0.0.1", port_of(service, "udp")))
    for send in (stream.sendall, udp.send):
        send(message(TEMPLATE, ONE))
    stream.sendall(message(struct.pack(">HHI", 300, 8, 9)))
    assert wait_for(lambda: service.counter("flows") == 2 and service.counter("data_sets_held_now") == 1)
    time.sleep(4)  # what is kept is on disk within 3 s
    if is_killed:
        service.kill()
    else:
        service.stop()
        assert is_ended(stream)
    stream.close()
    service = start(Sluiced, files_sink(folder), (LISTEN,))
    assert service.counter("templates_restored") == 1 and service.counter("data_sets_restored") == 0
    assert [r["port"] for r in service.ctl("exporters")["exporters"]] == [udp.getsockname()[1]]
    dropped = service.counter("data_sets_dropped", "stream_closed")
    assert dropped == 0 if is_killed else dropped == 1
    service.ledger()
    udp.close()


def test_strangers(start, folder):
    """collector.unknown = refuse holds for connections, also for those that were there before a reload."""
    conf = os.path.join(folder, "sluice.conf")

    def write(text):
        with open(os.path.join(ROOT, "etc/sluice.conf"), encoding="utf-8") as f:
            shipped = f.read()
        with open(conf, "w", encoding="utf-8") as f:
            f.write(shipped + text)

    write("")
    service = start(Sluiced, files_sink(folder), (LISTEN,), conf=conf)
    known, stranger = connect(service, "127.0.5.1"), connect(service, "127.0.5.2")
    for s in (known, stranger):
        s.sendall(message(TEMPLATE, ONE))
    assert wait_for(lambda: service.counter("flows") == 2)
    write('\nexporters = ( { address = "127.0.5.1"; } );\ncollector: { unknown = "refuse"; };\n')
    assert service.ctl("reload")["ok"]
    assert is_ended(stranger) and closed(service, "not_listed") == 1
    again = connect(service, "127.0.5.2")
    assert is_ended(again) and service.counter("connections_refused", "not_listed") == 1
    known.sendall(message(ONE))
    assert wait_for(lambda: service.counter("flows") == 3)
    for s in (known, stranger, again):
        s.close()


def test_reload_of_listeners(start, folder):
    """An entry that stays keeps its connections; one that goes takes its own along; one that comes is there."""
    conf = os.path.join(folder, "sluice.conf")
    with open(os.path.join(ROOT, "etc/sluice.conf"), encoding="utf-8") as f:
        shipped = f.read()
    with socket.socket() as a, socket.socket() as b, socket.socket() as c:
        for s in (a, b, c):
            s.bind(("127.0.0.1", 0))
        ports = [s.getsockname()[1] for s in (a, b, c)]

    def write(*entries):
        lines = ",".join(f'{{ transport = "tcp"; address = "127.0.0.1"; port = {p}; }}' for p in entries)
        with open(conf, "w", encoding="utf-8") as f:
            f.write(shipped[:shipped.index("listen =")] + f"listen = ( {lines} );" + shipped[shipped.index(");") + 2:])

    def to(port):
        s = socket.create_connection(("127.0.0.1", port))
        s.settimeout(10)
        s.sendall(message(TEMPLATE, ONE))
        return s

    write(*ports[:2])
    service = start(Sluiced, files_sink(folder), ("listen", "workers=2"), conf=conf)
    stays, goes = to(ports[0]), to(ports[1])
    assert wait_for(lambda: service.counter("flows") == 2)
    write(ports[0], ports[2])
    assert service.ctl("reload")["ok"]
    assert is_ended(goes) and closed(service, "listener_closed") == 1
    with pytest.raises(ConnectionRefusedError):
        to(ports[1])
    comes = to(ports[2])
    stays.sendall(message(ONE))
    assert wait_for(lambda: service.counter("flows") == 4)
    # A port that is taken: all stays as it is.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        write(ports[1], taken.getsockname()[1])
        answer = service.ctl("reload")
        assert not answer["ok"] and "in use" in answer["error"]
    for s in (stays, comes):
        s.sendall(message(ONE))
    assert wait_for(lambda: service.counter("flows") == 6) and service.counter("connections_now") == 2
    service.ledger()
    service.stop()
    assert is_ended(stays) and is_ended(comes)
    for s in (stays, goes, comes):
        s.close()
