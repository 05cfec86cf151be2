# SPDX-License-Identifier: Apache-2.0
"""
Goal: the checker of sluicegen runs can fail, and agrees with sluicegen about every value.
Method: synthetic Avro containers and JSON lines of a known run, with one record missing, doubled or
wrong, must be named; captures that sluicegen wrote, read by the small decoder below, must pass.
"""
import copy
import glob
import io
import ipaddress
import json
import os
import struct
import subprocess
import sys

import confluent_kafka
import fastavro
import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test", "gen"))
import check  # noqa: E402
import expect  # noqa: E402

FLOWS = 1300
TIME = 1700000000
STRINGS = {"source", "exporter_ip", "src_ip", "dst_ip", "protocol", "flow_id", "src_mac", "app_id",
           "app_name", "dns_query", "tls_sni", "http_host", "ja3_client", "user_name", "next_hop"}
FIELDS = sorted(STRINGS | {
    "observation_domain_id", "export_time", "event_time", "flow_start_time", "flow_end_time",
    "src_port", "dst_port", "protocol_number", "tcp_flags", "ip_tos", "bytes", "packets",
    "in_interface", "out_interface", "src_as_number", "dst_as_number", "src_prefix_len",
    "dst_prefix_len", "ip_version", "src_vlan", "client_latency_us", "server_latency_us",
    "tcp_retransmits_forward", "tcp_retransmits_reverse", "dns_rcode", "reverse_bytes",
    "reverse_packets", "post_bytes", "post_packets", "icmp_type", "icmp_code"})
TIMES = {"export_time", "event_time", "flow_start_time", "flow_end_time"}


def avro_type(name):
    if name in TIMES:
        return ["null", {"type": "long", "logicalType": "timestamp-millis"}]
    return ["null", "string" if name in STRINGS else "long"]


SCHEMA_JSON = {
    "type": "record", "name": "sluice.Flow", "fields": [
        {"name": "record_id", "type": "bytes"},
        {"name": "normalized", "type": {"type": "record", "name": "sluice.Normalized", "fields": [
            {"name": name, "type": avro_type(name), "default": None} for name in FIELDS]}},
        {"name": "enriched", "type": {"type": "record", "name": "sluice.Enriched", "fields": [
            {"name": "total_bytes", "type": ["null", "long"], "default": None}]}},
        {"name": "raw", "type": {"type": "record", "name": "sluice.Raw", "fields": [
            {"name": "protocol_version", "type": "int"},
            {"name": "template_id", "type": ["null", "int"], "default": None},
            {"name": "elements", "type": {"type": "map", "values": "string"}},
            {"name": "wire", "type": ["null", "bytes"], "default": None},
            {"name": "notes", "type": {"type": "array", "items": "string"}}]}}]}
SCHEMA = fastavro.parse_schema(SCHEMA_JSON)


def record_of(number, normalized, version, template_id):
    return {"record_id": struct.pack(">QQ", number + 1, 7), "normalized": normalized,
            "enriched": {"total_bytes": None},
            "raw": {"protocol_version": version, "template_id": template_id, "elements": {},
                    "wire": None, "notes": []}}


def delivered(protocol, template, exporters=4):
    run = expect.Run(protocol, template, FLOWS, exporters=exporters, time=TIME)
    records = []
    for n in range(FLOWS):
        e = run.expect(n)
        normalized = dict(e.normalized, export_time=(TIME + 60) * 1000)
        records.append(record_of(n, normalized, run.version, e.template_id))
    return records


def write(folder, records, form="avro"):
    half = len(records) // 2
    for name, part in (("a", records[:half]), ("b", records[half:])):
        path = folder / f"{name}.{form}"
        if form == "avro":
            with open(path, "wb") as f:
                fastavro.writer(f, SCHEMA, part, codec="deflate")
        else:
            with open(path, "w", encoding="utf-8") as f:
                for record in part:
                    record = dict(record, record_id=record["record_id"].hex())
                    f.write(json.dumps(record) + "\n")
    (folder / "c.avro.tmp").write_bytes(b"half a file")


def run_check(capsys, folder, protocol="ipfix", template="nprobe", *more, exporters=4):
    rc = check.main(["--protocol", protocol, "--template", template, "--flows", str(FLOWS),
                     "--exporters", str(exporters), "--time", str(TIME), "--files", str(folder),
                     "--json", *more])
    lines = capsys.readouterr().out.splitlines()
    return rc, lines[:-1], json.loads(lines[-1])


@pytest.mark.parametrize("form", ["avro", "jsonl"])
@pytest.mark.parametrize("protocol,template", [
    ("ipfix", "nprobe"), ("v9", "basic"), ("v5", "fixed")])
def test_whole_run_passes(tmp_path, capsys, protocol, template, form):
    write(tmp_path, delivered(protocol, template), form)
    rc, lines, totals = run_check(capsys, tmp_path, protocol, template)
    assert (rc, lines) == (0, [])
    assert totals == {"delivered": FLOWS, "missing": 0, "wrong": 0, "doubled": 0, "other": 0}


def change(field, value):
    def apply(records):
        records[1234]["normalized"][field] = value
    return apply


def drop(records):
    del records[17], records[1000]


def double(records):
    records.append(copy.deepcopy(records[42]))


def second_id(records):
    records.append(dict(copy.deepcopy(records[43]), record_id=bytes(range(16))))


def shared_id(records):
    records[5]["record_id"] = records[6]["record_id"]


def other_template(records):
    records[8]["raw"]["template_id"] = 999


def foreign_number(records):
    records[9]["normalized"]["flow_id"] = str(FLOWS + 1)


CASES = [  # name, what is done, what is named, totals
    ("missing", drop, ["missing number 17", "missing number 1001"], (2, 0, 0)),
    ("doubled", double, ["doubled number 42"], (0, 0, 1)),
    ("bytes", change("bytes", 1), ["wrong number 1234: bytes is 1, should be "], (0, 1, 0)),
    ("null", change("src_ip", None), ["wrong number 1234: src_ip is None"], (0, 1, 0)),
    ("not null", change("post_bytes", 5), ["wrong number 1234: post_bytes is 5"], (0, 1, 0)),
    ("text", change("app_name", "X"), ["wrong number 1234: app_name is 'X'"], (0, 1, 0)),
    ("time", change("flow_end_time", 5), ["wrong number 1234: flow_end_time is 5"], (0, 1, 0)),
    ("early", change("export_time", 5), ["wrong number 1234: export_time is 5"], (0, 1, 0)),
    ("exporter", change("exporter_ip", "192.0.2.1"), ["wrong number 1234: exporter_ip"], (0, 1, 0)),
    ("no number", change("flow_id", None), ["missing number 1234", "bears no number"], (1, 1, 0)),
    ("second id", second_id, ["wrong number 43: delivered twice"], (0, 1, 0)),
    ("shared id", shared_id, ["wrong 1 records share"], (0, 1, 0)),
    ("template", other_template, ["wrong number 8: raw.template_id is 999"], (0, 1, 0)),
    ("number", foreign_number, ["missing number 9", f"number {FLOWS + 1}: not of"], (1, 1, 0)),
]


@pytest.mark.parametrize("name,apply,named,totals", CASES, ids=[c[0] for c in CASES])
def test_each_fault_is_named(tmp_path, capsys, name, apply, named, totals):
    records = delivered("ipfix", "nprobe")
    apply(records)
    write(tmp_path, records)
    rc, lines, said = run_check(capsys, tmp_path)
    assert rc == 1
    for text in named:
        assert any(text in line for line in lines), (text, lines)
    assert (said["missing"], said["wrong"], said["doubled"]) == totals


def test_key_fields_only(tmp_path, capsys):
    records = delivered("ipfix", "nprobe")
    change("app_name", "X")(records)
    write(tmp_path, records)
    assert run_check(capsys, tmp_path, "ipfix", "nprobe", "--fields", "key")[0] == 0
    change("bytes", 1)(records)
    write(tmp_path, records)
    assert run_check(capsys, tmp_path, "ipfix", "nprobe", "--fields", "key")[0] == 1


def test_other_runs_are_left_aside(tmp_path, capsys):
    records = delivered("ipfix", "nprobe") + delivered("v9", "nprobe")
    write(tmp_path, records)
    rc, lines, totals = run_check(capsys, tmp_path)
    assert (rc, totals["other"], totals["delivered"]) == (0, FLOWS, FLOWS)


def test_nothing_to_read_is_an_error(tmp_path, capsys):
    assert check.main(["--protocol", "v5", "--flows", "1", "--time", "1700000000", "--files",
                       str(tmp_path)]) == 2


# --- topics --------------------------------------------------------------------------------------

@pytest.fixture
def brokers(tmp_path_factory):
    built = os.path.join(ROOT, os.environ.get("BUILD", "build"), "mock_broker")
    if not os.path.exists(built):
        built = str(tmp_path_factory.mktemp("broker") / "mock_broker")
        source = os.path.join(ROOT, "test", "system", "mock_broker.c")
        subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-O1", f"-I{ROOT}", "-o", built,
                        source, "-lrdkafka"], check=True)
    broker = subprocess.Popen([built, "-t", "flows:3"], stdin=subprocess.PIPE, text=True,
                              stdout=subprocess.PIPE)
    yield broker.stdout.readline().split()[1]
    broker.communicate("quit\n", timeout=20)


def produce(brokers, records):
    producer = confluent_kafka.Producer({"bootstrap.servers": brokers})
    for i, record in enumerate(records):
        value = io.BytesIO(b"\0" + struct.pack(">I", 7))
        value.seek(5)
        fastavro.schemaless_writer(value, SCHEMA, record)
        producer.produce("flows", value.getvalue(), key=str(i % 16))
    assert producer.flush(30) == 0


@pytest.mark.parametrize("follow", [[], ["--follow", "2"]])
def test_topic_is_read_whole(tmp_path, capsys, brokers, follow):
    schema = tmp_path / "schema.avsc"
    schema.write_text(json.dumps(SCHEMA_JSON))
    records = delivered("v9", "nprobe")
    double(records)
    produce(brokers, records)
    rc = check.main(["--protocol", "v9", "--flows", str(FLOWS), "--exporters", "4", "--time",
                     str(TIME), "--topic", "flows", "--brokers", brokers, "--schema", str(schema),
                     *follow])
    lines = capsys.readouterr().out.splitlines()
    assert rc == 1
    assert lines[0].startswith("doubled number 42")
    assert lines[1:] == [f"delivered={FLOWS + 1} missing=0 wrong=0 doubled=1 other=0"]


# --- sluicegen's own captures --------------------------------------------------------------------

def number(octets):
    return int.from_bytes(octets, "big")


def address(octets):
    return str(ipaddress.ip_address(octets)) if any(octets) else None


def text(octets):
    return octets.rstrip(b"\0").decode() or None


ELEMENTS = {  # (enterprise, id): field, reader
    (0, 148): ("flow_id", lambda o: str(number(o))), (0, 8): ("src_ip", address),
    (0, 12): ("dst_ip", address), (0, 27): ("src_ip", address), (0, 28): ("dst_ip", address),
    (0, 60): ("ip_version", number), (0, 7): ("src_port", number), (0, 11): ("dst_port", number),
    (0, 4): ("protocol_number", number), (0, 5): ("ip_tos", number), (0, 6): ("tcp_flags", number),
    (0, 1): ("bytes", number), (0, 2): ("packets", number), (0, 23): ("reverse_bytes", number),
    (0, 24): ("reverse_packets", number), (0, 10): ("in_interface", number),
    (0, 14): ("out_interface", number), (0, 152): ("flow_start_time", number),
    (0, 153): ("flow_end_time", number), (0, 22): ("flow_start_time", number),
    (0, 21): ("flow_end_time", number), (0, 56): ("src_mac", lambda o: o.hex(":")),
    (0, 58): ("src_vlan", number), (0, 16): ("src_as_number", number),
    (0, 17): ("dst_as_number", number), (0, 9): ("src_prefix_len", number),
    (0, 13): ("dst_prefix_len", number), (0, 29): ("src_prefix_len", number),
    (0, 30): ("dst_prefix_len", number), (35632, 118): ("app_id", lambda o: str(number(o))),
    (35632, 119): ("app_name", text), (35632, 121): ("user_name", text),
    (35632, 123): ("client_latency_us", lambda o: number(o) * 1000),
    (35632, 124): ("server_latency_us", lambda o: number(o) * 1000),
    (35632, 109): ("tcp_retransmits_forward", number),
    (35632, 110): ("tcp_retransmits_reverse", number), (35632, 208): ("dns_rcode", number),
    (35632, 205): ("dns_query", text), (35632, 188): ("tls_sni", text),
    (35632, 187): ("http_host", text), (35632, 489): ("ja3_client", text),
}


def plain_mac(octets):
    return octets.hex(":")


def signed(octets):
    return str(int.from_bytes(octets, "big", signed=True))


def decimal(octets):
    return str(number(octets))


def hexadecimal(octets):
    return octets.hex() or None


def real(octets):
    return repr(struct.unpack(">f" if len(octets) == 4 else ">d", octets)[0])


def ntp_ns(octets):
    seconds, fraction = struct.unpack(">II", octets)
    return (seconds - 2208988800) * 1000000000 + (fraction * 1000000000 >> 32)


def least_of_long(octets):
    return min(number(octets), 2 ** 63 - 1)


RICH = {  # the same for the rich templates; a name with a colon is a key of raw.elements
    85: ("bytes_total", least_of_long), 86: ("packets_total", number),
    154: ("flow_start_ns", ntp_ns), 155: ("flow_end_ns", ntp_ns), 156: ("flow_start_ns", ntp_ns),
    157: ("flow_end_ns", ntp_ns), 136: ("flow_end_reason", number),
    61: ("flow_direction", lambda o: ("ingress", "egress")[o[0]]),
    81: (":postSourceMacAddress", plain_mac), 80: ("dst_mac", plain_mac),
    57: (":postDestinationMacAddress", plain_mac), 59: ("dst_vlan", number),
    243: (":dot1qVlanId", decimal), 70: ("mpls_labels", number), 71: ("mpls_labels", number),
    72: ("mpls_labels", number), 47: (":mplsTopLabelIPv4Address", address),
    140: (":mplsTopLabelIPv6Address", address), 15: ("next_hop", address),
    62: ("next_hop", address), 18: ("bgp_next_hop", address), 63: ("bgp_next_hop", address),
    128: ("dst_next_as", number), 129: ("src_prev_as", number), 225: ("nat_src_ip", address),
    226: ("nat_dst_ip", address), 281: ("nat_src_ip", address), 282: ("nat_dst_ip", address),
    227: ("nat_src_port", number), 228: ("nat_dst_port", number), 230: ("nat_event", number),
    361: ("nat_port_range_start", number), 362: ("nat_port_range_end", number),
    233: ("firewall_event", number), 320: (":absoluteError", real), 321: (":relativeError", real),
    276: (":dataRecordsReliability", lambda o: {1: "true", 2: "false"}[o[0]]),
    322: (":observationTimeSeconds", decimal), 323: (":observationTimeMilliseconds", decimal),
    324: (":observationTimeMicroseconds", hexadecimal),
    325: (":observationTimeNanoseconds", hexadecimal), 434: (":mibObjectValueInteger", signed),
    52: ("ip_ttl_min", number), 53: ("ip_ttl_max", number), 25: ("packet_size_min", number),
    26: ("packet_size_max", number), 54: ("ip_fragment_id", number),
    88: ("ip_fragment_offset", number), 176: ("icmp_type", number), 177: ("icmp_code", number),
    178: ("icmp_type", number), 179: ("icmp_code", number), 195: ("ip_dscp", number),
    31: ("ipv6_flow_label", number), 234: ("ingress_vrf", number), 235: ("egress_vrf", number),
    239: ("biflow_direction", number), 89: ("forwarding_status", number),
    138: ("observation_point_id", number), 19: (":postMCastPacketDeltaCount", decimal),
    132: ("dropped_bytes", number), 133: ("dropped_packets", number), 3: ("flow_count", number),
    94: (":applicationDescription", text), 95: ("app_id", lambda o: f"{o[0]}:{number(o[1:])}"),
    96: ("app_name", text), 371: ("user_name", text), 82: (":interfaceName", text),
    313: (":ipHeaderPacketSection", hexadecimal), 32000: (":e0id32000", hexadecimal),
    45678: (":v9.45678", hexadecimal),
}
ELEMENTS.update({(0, element): row for element, row in RICH.items()})
ELEMENTS.update({(29305, 1): ("reverse_bytes", number), (29305, 2): ("reverse_packets", number),
                 (32473, 77): (":e32473id77", hexadecimal)})


def put(values, elements, element, octets):
    """One element into its field, or into raw where it has none or its field is taken."""
    name, reader = ELEMENTS[element]
    value = reader(octets)
    if name == "mpls_labels":
        values.setdefault(name, []).append(value >> 4)
    elif name.startswith(":") and value is not None:
        key = name[1:]
        elements[key + "#2" if key in elements else key] = value
    elif name == "in_interface" and name in values:
        elements["ingressInterface#2"] = str(value)
    elif not name.startswith(":"):
        values[name] = values.get(name) if value is None else value
    if name == "bytes_total" and value != number(octets):
        elements["octetTotalCount"] = decimal(octets)
    if name in ("flow_start_ns", "flow_end_ns"):
        values[name.replace("_ns", "_time")] = value // 1000000


def frames(path):
    with open(path, "rb") as f:
        octets = f.read()
    at = 24
    while at < len(octets):
        count = struct.unpack_from("<8xI", octets, at)[0]
        frame = octets[at + 16:at + 16 + count]
        yield str(ipaddress.ip_address(frame[26:30])), frame[42:]
        at += 16 + count


def read_templates(body, is_v9, templates):
    at = 0
    while at + 4 <= len(body):
        template_id, count = struct.unpack_from(">HH", body, at)
        at += 4
        fields = []
        for _ in range(count):
            element, length = struct.unpack_from(">HH", body, at)
            at += 4
            enterprise = 0
            if is_v9 and element >= 57472:
                enterprise, element = 35632, element - 57472
            elif not is_v9 and element >= 32768:
                enterprise, element = number(body[at:at + 4]), element - 32768
                at += 4
            fields.append(((enterprise, element), length))
        templates[template_id] = fields


def read_records(body, fields):
    at = 0
    least = sum(1 if length == 65535 else length for _, length in fields)
    while at + least <= len(body):
        values, elements = {}, {}
        for element, length in fields:
            if length == 65535:
                length = body[at]
                at += 1
                if length == 255:
                    length = number(body[at:at + 2])
                    at += 2
            put(values, elements, element, body[at:at + length])
            at += length
        yield values, elements


def v5_records(message):
    count, uptime, seconds, nanoseconds, _, engine = struct.unpack_from(">2xHIIIIH", message)
    now = seconds * 1000 + nanoseconds // 1000000
    for at in range(24, 24 + 48 * count, 48):
        v = struct.unpack_from(">4s4s4sHHIIIIHHxBBBHHBBxx", message, at)
        names = ("src_ip", "dst_ip", "next_hop", "in_interface", "out_interface", "packets",
                 "bytes", "flow_start_time", "flow_end_time", "src_port", "dst_port", "tcp_flags",
                 "protocol_number", "ip_tos", "src_as_number", "dst_as_number", "src_prefix_len",
                 "dst_prefix_len")
        values = dict(zip(names, v))
        for name in ("src_ip", "dst_ip", "next_hop"):
            values[name] = address(values[name])
        for name in ("flow_start_time", "flow_end_time"):
            values[name] += now - uptime
        if values["protocol_number"] == 1:
            values["icmp_type"], values["icmp_code"] = divmod(values["dst_port"], 256)
        yield dict(values, export_time=now, observation_domain_id=engine), {}, None


def templated_records(message, templates):
    is_v9 = message[1] == 9
    if is_v9:
        uptime, seconds, _, domain = struct.unpack_from(">IIII", message, 4)
    else:
        seconds, _, domain = struct.unpack_from(">III", message, 4)
    at = 20 if is_v9 else 16
    while at < len(message):
        set_id, length = struct.unpack_from(">HH", message, at)
        body = message[at + 4:at + length]
        at += length
        if set_id in (0, 2):
            read_templates(body, is_v9, templates)
            continue
        for values, elements in read_records(body, templates[set_id]):
            if is_v9 and "flow_end_ns" not in values:
                for name in ("flow_start_time", "flow_end_time"):
                    values[name] += seconds * 1000 - uptime
            values.update(export_time=seconds * 1000, observation_domain_id=domain)
            yield values, elements, set_id


def records_of_capture(path):
    templates = {}
    source = {5: "netflow5", 9: "netflow9", 10: "ipfix"}
    protocols = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp"}
    for exporter, message in frames(path):
        version = message[1]
        found = (v5_records(message) if version == 5
                 else templated_records(message, templates.setdefault(exporter, {})))
        for values, elements, template_id in found:
            values.update(source=source[version], exporter_ip=exporter,
                          event_time=values["flow_end_time"],
                          protocol=protocols[values["protocol_number"]])
            yield values, version, template_id, elements


@pytest.fixture(scope="session")
def sluicegen(tmp_path_factory):
    built = os.path.join(ROOT, os.environ.get("BUILD", "build"), "sluicegen")
    if os.path.exists(built):
        return built
    path = str(tmp_path_factory.mktemp("gen") / "sluicegen")
    sources = sorted(glob.glob(os.path.join(ROOT, "test", "gen", "*.c")))
    subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-O1", f"-I{ROOT}", "-o", path, *sources],
                   check=True)
    return path


@pytest.mark.parametrize("protocol,template", [
    ("v5", "fixed"), ("v9", "basic"), ("v9", "nprobe"), ("v9", "rich"), ("ipfix", "basic"),
    ("ipfix", "nprobe"), ("ipfix", "rich")])
def test_sluicegen_and_checker_agree(tmp_path, capsys, sluicegen, protocol, template):
    capture = str(tmp_path / "flows.pcap")
    said = subprocess.run(
        [sluicegen, "-P", protocol, "-t", "basic" if template == "fixed" else template, "-n",
         str(FLOWS), "-e", "300", "-b", "127.0.1.250", "-w", capture, "--time", str(TIME),
         "--json"],
        check=True, capture_output=True, text=True).stdout
    (tmp_path / "run.json").write_text(said)
    records = []
    for i, (values, version, template_id, elements) in enumerate(records_of_capture(capture)):
        records.append(record_of(i, values, version, template_id))
        records[-1]["raw"]["elements"] = elements
    assert len(records) == FLOWS == json.loads(said)["flows"]
    folder = tmp_path / "flows"
    folder.mkdir()
    write(folder, records, "jsonl" if template == "rich" else "avro")
    rc = check.main(["--run", str(tmp_path / "run.json"), "--files", str(folder)])
    assert rc == 0, capsys.readouterr().out


def test_sluicegen_is_the_same_again(tmp_path, sluicegen):
    captures = []
    for name in ("a", "b"):
        path = tmp_path / name
        subprocess.run([sluicegen, "-t", "rich", "-n", "500", "-w", str(path), "--time", str(TIME)],
                       check=True, capture_output=True)
        captures.append(path.read_bytes())
    assert captures[0] == captures[1]


@pytest.mark.parametrize("arguments,says", [
    (["-T", "tls"], "not built"), (["-T", "tcp", "-P", "v9"], "is for ipfix"), (["--cut", "5"], "are for -T tcp"), (["-T", "sctp"], "not built"), (["-P", "v8"], "not known"),
    (["-n", "x"], "not a number"), (["-b", "::1"], "not an IPv4 address"),
    (["more"], "not an option")])
def test_sluicegen_refuses(sluicegen, arguments, says):
    done = subprocess.run([sluicegen, *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert says in done.stderr
