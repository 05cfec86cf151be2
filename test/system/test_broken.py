# SPDX-License-Identifier: Apache-2.0
"""Goal: `sluiced --check` says of each broken configuration, mapping, registry and table where it is wrong, in one line,
with the nearest name where a name is wrong, and exits 78; what is right passes, and prints so that it reads back.

Method: tables of texts; each goes into a file of a copy of what is shipped, and is checked, reloaded, or overridden.
"""
import os
import shutil
import signal
import subprocess

import pytest

from conftest import BUILD, ROOT, Sluiced, files_sink, wait_for

CONFIGURATIONS = [  # name, text, line, words that are said
    ("unknown option", 'stat = "run";', 1, ["unknown key `stat'", "`state'"]),
    ("unknown option of a group", "\n\ncollector: { domain_max = 5; };", 3, ["unknown key `domain_max'", "`domains_max'"]),
    ("unknown option of an entry", 'listen = (\n { transport = "udp"; prot = 2055; } );', 2, ["unknown key `prot'", "`port'"]),
    ("unknown option of a sink", 'sinks = ( { name = "f"; type = "file";\n rotate = 60; } );', 2, ["unknown key `rotate'", "`rotate_s'"]),
    ("unknown type of sink", 'sinks = ( { name = "f"; type = "kafak"; } );', 1, ["unknown type `kafak'", "`kafka'"]),
    ("unknown word", '\nnormalizer: { raw = "unpromotd"; };', 2, ["`raw'", "unpromotd", "`unpromoted'"]),
    ("unknown decoder", 'collector: { decoder = "fixbuff"; };', 1, ["`decoder'", "fixbuff", "`fixbuf'"]),
    ("unknown transport", 'listen = (\n { transport = "upd"; } );', 2, ["`transport'", "upd", "`udp'"]),
    ("unknown enricher", 'normalizer: {\n\n enrich = ( "netwrok" ); };', 3, ["unknown enricher `netwrok'", "`network'"]),
    ("unknown mapping of an exporter", 'exporters = (\n { address = "10.0.0.0/8"; mapping = "nprob"; } );', 2, ["unknown mapping `nprob'", "`nprobe'"]),
    ("unknown nDPI release of an exporter", 'exporters = (\n { address = "10.0.0.0/8"; ndpi = "2024-11"; } );', 2, ["unknown nDPI release `2024-11'", "`2024-10'"]),
    ("unknown nDPI release", 'normalizer: {\n enrich = ( "ndpi" );\n ndpi = { release = "2062"; };\n};', 3, ["unknown nDPI release `2062'", "`2026'"]),
    ("text for a number", '\nshutdown_s = "soon";', 2, ["`shutdown_s'", "soon"]),
    ("number for a switch", "listen = ( { v6only = 1; } );", 1, ["`v6only'", "true or false"]),
    ("out of range", "\nlisten = ( { port = 70000; } );", 2, ["`port'", "65535"]),
    ("no size", 'log: { max_bytes = "1 gig"; };', 1, ["`max_bytes'", "1 gig"]),
    ("number that wraps", "shutdown_s = 0xFFFFFFFF0;", 1, ["suffix L"]),
    ("no address", 'listen = ( { address = "10.0.0.256"; } );', 1, ["`10.0.0.256' is no address"]),
    ("no network", '\nexporters = ( { address = "10.0.0.0/33"; } );', 2, ["`10.0.0.0/33' is no address or network"]),
    ("neither auto nor a number", '\n\n\nworkers = "all";', 4, ["`workers'", "auto"]),
    ("group for a list", "\nsinks: { };", 2, ["`sinks'", "list"]),
    ("names twice", 'sinks = ( { name = "a"; type = "null"; },\n { name = "a"; type = "null"; } );', 2, ["two sinks are named `a'"]),
    ("names of files twice", 'sinks = ( { name = "a b"; type = "file"; },\n { name = "a_b"; type = "parquet"; } );', 2, ["`a b' and `a_b'", "files"]),
    ("sink without type", '\nsinks = ( { name = "a"; } );', 2, ["`type' is missing"]),
    ("codec of another format", 'sinks = ( { name = "a"; type = "file"; format = "json"; codec = "snappy"; } );', 1, ["sink a", "snappy"]),
    ("kafka without schema id", 'sinks = ( { name = "k"; type = "kafka"; topic = "flows"; brokers = "b:9092"; } );', 1, ["sink k", "`registry.url'"]),
    ("property that would lose records", 'sinks = ( { name = "k"; type = "kafka"; topic = "t"; brokers = "b:9092"; schema_id = 1;\n'
     ' properties = ( "acks=1" ); } );', 1, ["acks=1", "refused"]),
    ("sink that takes no dead letters", 'dead_letter: {\n sinks = ( { name = "d"; type = "null"; } ); };', 2, ["unknown type `null'", "`file'"]),
    ("name of the replay's reader", 'dead_letter: {\n sinks = ( { name = "replay"; type = "file"; } ); };', 2, ["`replay'"]),
    ("name of another sink", 'sinks = ( { name = "a"; type = "null"; } );\ndead_letter: {\n sinks = ( { name = "a"; type = "file"; } ); };', 3, ["two sinks are named `a'"]),
    ("syntax", "listen = (\n { port = 4739 }\n", 4, ["syntax"]),
    ("key twice", 'state = "a";\nstate = "b";', 2, ["duplicate"]),
]


def promote(line):
    return 'mapping: {\n  name = "zz";\n  when = { format = "ipfix"; template = 999; };\n  promote = (\n    ' + line + "\n  );\n};\n"


MAPPINGS = [
    ("unknown element", promote('{ element = "octetDeltaCuont"; field = "bytes"; }'), 5, ["unknown element `octetDeltaCuont'", "`octetDeltaCount'"]),
    ("unknown element of a vendor", promote('{ element = "ntop.DNS_QUERRY"; field = "dns_query"; }'), 5, ["`ntop.DNS_QUERY'"]),
    ("name with a line's end", promote('{ element = "octet\\nDeltaCount"; field = "bytes"; }'), 5, ["`octet?DeltaCount'", "`octetDeltaCount'"]),
    ("unknown field", promote('{ element = "octetDeltaCount"; field = "byts"; }'), 5, ["unknown field `byts'", "`bytes'"]),
    ("enriched field", promote('{ element = "octetDeltaCount"; field = "total_bytes"; }'), 5, ["enriched field `total_bytes'"]),
    ("unknown conversion", promote('{ element = "octetDeltaCount"; field = "bytes"; as = "unix_mss"; }'), 5, ["`unix_mss'", "`unix_ms'"]),
    ("unknown table", promote('{ element = "protocolIdentifier"; field = "protocol"; as = "table:ip_protocol"; }'), 5, ["`ip_protocol'"]),
    ("nDPI's conversion into another field", promote('{ element = "octetDeltaCount"; field = "app_name"; as = "ndpi"; }'), 5, ["does not fit field app_name"]),
    ("conversion that does not fit", promote('{ element = "interfaceName"; field = "bytes"; }'), 5, ["does not fit field bytes"]),
    ("unknown key of a line", promote('{ elemnt = "octetDeltaCount"; field = "bytes"; }'), 5, ["unknown key `elemnt'", "`element'"]),
    ("unknown key of when", 'mapping: {\n  name = "zz";\n  when = { exporter_ip = "1"; };\n};', 3, ["unknown key `exporter_ip'"]),
    ("unknown format", 'mapping: { name = "zz";\n when = { format = "ipfx"; }; };', 2, ["unknown format `ipfx'", "`ipfix'"]),
    ("no name", "\nmapping: { promote = ( ); };", 2, ["missing key `name'"]),
    ("name of another mapping", 'mapping: { name = "nprobe"; when = { pen = 1; }; };', 1, ["`nprobe'"]),
    ("static of an unknown field", 'mapping: { name = "zz";\n static = ( { field = "event_typ"; value = "x"; } ); };', 2, ["`event_typ'", "`event_type'"]),
    ("syntax", "mapping: {\n name = zz;\n};", 2, ["syntax"]),
]

REGISTRIES = [
    ("not XML", "elements/zz.xml", "<registry>\n <record>\n</registry>\n", ["zz.xml:3"]),
    ("table of a wrong shape", "tables/ip_protocols.tsv", "6\ttcp\nseventeen\tudp\n", ["ip_protocols.tsv:2"]),
    ("number twice in a table", "tables/ip_protocols.tsv", "6\ttcp\n17\tudp\n6\ttcp\n", ["ip_protocols.tsv:3", "number 6", "line 1"]),
    ("row without a name", "tables/ip_protocols.tsv", "# numbers\n6\t\n", ["ip_protocols.tsv:2", "no name"]),
    ("risk above the last bit", "tables/ndpi/2026/risks.tsv", "64\tOne more\n", ["2026/risks.tsv:1", "bit `64'", "63"]),
    ("risk twice", "tables/ndpi/2026/risks.tsv", "1\ta\n2\tb\n1\tc\n", ["2026/risks.tsv:3", "another line"]),
    ("risk without a name", "tables/ndpi/2026/risks.tsv", "# bit\n1\n", ["2026/risks.tsv:2", "a tab and a name"]),
    ("severity that is none", "tables/ndpi/2024-10/risks.tsv", "1\ta\tA\thihg\t10\t5\t5\n", ["2024-10/risks.tsv:1", "`hihg'", "`high'"]),
    ("score that is no number", "tables/ndpi/2024-10/risks.tsv", "1\ta\tA\thigh\tten\t5\t5\n", ["2024-10/risks.tsv:1", "score `ten'"]),
    ("score without its parts", "tables/ndpi/2024-10/risks.tsv", "1\ta\tA\thigh\t10\n", ["2024-10/risks.tsv:1", "score `'"]),
    ("parts that are not the score", "tables/ndpi/2026/risks.tsv", "1\ta\tA\thigh\t10\t5\t6\n", ["2026/risks.tsv:1", "do not make the score"]),
    ("category that is none", "tables/ndpi/2026/protocols.tsv", "7\tHTTP\tHTTP\ttcp\ty\tSafe\tWbe\n", ["protocols.tsv:1", "`Wbe'", "`Web'"]),
    ("application twice", "tables/ndpi/2026/protocols.tsv", "7\tHTTP\n\n7\tDNS\n", ["protocols.tsv:3", "another line"]),
    ("application above 16 bits", "tables/ndpi/2026/protocols.tsv", "65536\tHTTP\n", ["protocols.tsv:1", "`65536'"]),
    ("confidence without a name", "tables/ndpi/2026/confidence.tsv", "0\t\n", ["confidence.tsv:1", "no name"]),
]


def run_check(*words, cwd=ROOT, user=()):
    done = subprocess.run([*user, os.path.join(BUILD, "sluiced"), *words, "--check"], capture_output=True, text=True, timeout=60, cwd=cwd,
                          check=False)
    return done.returncode, done.stdout, done.stderr


def assert_refused(answer, place, words):
    code, out, err = answer
    assert code == 78 and out == "", answer
    assert err.startswith("sluiced: ") and err.count("\n") == 1 and place in err, err
    for word in words:
        assert word in err, f"{word} is not in {err}"


@pytest.mark.parametrize("text,line,words", [c[1:] for c in CONFIGURATIONS], ids=[c[0] for c in CONFIGURATIONS])
def test_configuration(folder, text, line, words):
    path = f"{folder}/broken.conf"
    with open(path, "w", encoding="utf-8") as f:
        f.write(text + "\n")
    assert_refused(run_check("-c", path, "-o", f"control.socket={folder}/s"), f"{path}:{line}:", words)
    assert os.listdir(folder) == ["broken.conf"]


def with_templates(folder):
    shutil.copytree(os.path.join(ROOT, "templates"), f"{folder}/templates", dirs_exist_ok=True)
    return [w for kind in ("elements", "mappings", "tables") for w in ("-o", f"normalizer.{kind}={folder}/templates/{kind}")]


@pytest.mark.parametrize("text,line,words", [m[1:] for m in MAPPINGS], ids=[m[0] for m in MAPPINGS])
def test_mapping(folder, text, line, words):
    options = with_templates(folder)
    assert run_check(*options)[0] == 0
    path = f"{folder}/templates/mappings/zz.conf"
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    assert_refused(run_check(*options), f"{path}:{line}:", words)


@pytest.mark.parametrize("name,text,words", [r[1:] for r in REGISTRIES], ids=[r[0] for r in REGISTRIES])
def test_registry(folder, name, text, words):
    options = with_templates(folder)
    with open(f"{folder}/templates/{name}", "w", encoding="utf-8") as f:
        f.write(text)
    assert_refused(run_check(*options), os.path.basename(name), words)


@pytest.mark.parametrize("word,said", [("log.max_byte=2G", "`max_bytes'"), ("log.max_bytes=2 gigs", "2 gigs"), ("shutdown_s", "KEY=VALUE"),
                                       ("listen.7.port=1", "no such place"), ("workers=0", "auto")])
def test_override(word, said):
    code, out, err = run_check("-c", "etc/sluice.conf", "-o", word)
    assert code == 78 and out == "" and "-o" in err and said in err, err


def test_files_that_cannot_be_read(folder):
    code, _, err = run_check("-c", f"{folder}/none.conf")
    assert code == 78 and f"{folder}/none.conf" in err and "No such file" in err
    with open(f"{folder}/closed.conf", "w", encoding="utf-8") as f:
        f.write('@include "none.conf"\n')
    code, _, err = run_check("-c", f"{folder}/closed.conf")
    assert code == 78 and f"{folder}/closed.conf:1" in err
    os.chmod(f"{folder}/closed.conf", 0)
    user = ["setpriv", "--reuid=65534", "--clear-groups"] if os.getuid() == 0 else []
    os.chmod(folder, 0o755)
    code, _, err = run_check("-c", f"{folder}/closed.conf", user=user)
    assert code == 77 and "Permission denied" in err


@pytest.mark.parametrize("name", ["mappings", "elements", "tables", "mappings/nprobe.conf", "elements/ntop.xml", "tables/ip_protocols.tsv"])
def test_templates_that_may_not_be_read(folder, name):
    options = with_templates(folder)
    os.chmod(folder, 0o755)
    os.chmod(f"{folder}/templates/{name}", 0)
    user = ["setpriv", "--reuid=65534", "--clear-groups"] if os.getuid() == 0 else []
    code, out, err = run_check(*options, user=user)
    os.chmod(f"{folder}/templates/{name}", 0o755)
    assert code == 77 and out == "" and name in err and "Permission denied" in err, err


def test_what_is_right_passes(folder):
    code, out, err = run_check("-c", "etc/sluice.conf")
    assert code == 0 and out.startswith("ok: ") and err == ""
    printed = subprocess.run([os.path.join(BUILD, "sluiced"), "-c", "etc/sluice.conf", "--print-config"], capture_output=True, text=True,
                             check=True, cwd=ROOT).stdout
    with open(f"{folder}/printed.conf", "w", encoding="utf-8") as f:
        f.write(printed)
    again = subprocess.run([os.path.join(BUILD, "sluiced"), "-c", f"{folder}/printed.conf", "--print-config"], capture_output=True,
                           text=True, check=True, cwd=ROOT).stdout
    assert again == printed and "max_bytes" in printed


def test_a_broken_reload_changes_nothing(start, folder):
    conf = f"{folder}/sluice.conf"
    with open(conf, "w", encoding="utf-8") as f:
        f.write("shutdown_s = 7;\n")
    s = start(Sluiced, files_sink(folder), conf=conf)
    for _, text, line, words in CONFIGURATIONS:
        if text.startswith(("listen", "sinks", "workers", "\nlisten", "\nsinks", "\n\n\nworkers", "stat")):
            continue  # overridden here by what the test starts with
        with open(conf, "w", encoding="utf-8") as f:
            f.write(text + "\n")
        answer = s.ctl("reload")
        assert not answer["ok"] and f"{conf}:{line}:" in answer["error"], answer
        assert all(word in answer["error"] for word in words), answer
    assert s.ctl("status")["generation"] == 1
    assert "reload.refused" in s.log()
    refused = s.log().count("reload.refused")
    with open(conf, "w", encoding="utf-8") as f:
        f.write("\nshutdown = 8;\n")
    s.process.send_signal(signal.SIGHUP)
    assert wait_for(lambda: s.log().count("reload.refused") > refused)
    said = s.log().splitlines()[-1]
    assert f"{conf}:2: unknown key `shutdown'" in said and "`shutdown_s'" in said, said
    assert s.ctl("status")["generation"] == 1
    with open(conf, "w", encoding="utf-8") as f:
        f.write("shutdown_s = 8;\n")
    answer = s.ctl("reload")
    assert answer["ok"] and answer["changed"] == ["shutdown_s"]
    s.process.send_signal(signal.SIGHUP)
    assert wait_for(lambda: s.ctl("status")["generation"] == 3)
    s.stop()
