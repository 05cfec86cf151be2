# SPDX-License-Identifier: Apache-2.0
"""Goal: what the enrichers network and time say of real flows is what the addresses and the clock say.

Method: captures of all kinds are replayed with both enrichers, and an entry of `exporters`.  From the
normalized layer alone, Python's calendar and address arithmetic work out what the fields must be.
"""
import ipaddress
import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest

import conftest
from conftest import BUILD, ROOT

sys.path.insert(0, os.path.join(ROOT, "test", "gen"))
from truth import PRIVATE, SCOPES  # noqa: E402

CAPTURES = ["softflowd_v5", "softflowd_v9", "softflowd_ipfix_biflow", "pmacctd_ipfix_rich", "sluicegen_v5", "sluicegen_ipfix_rich",
            "sluicegen_v9_nprobe"]
DIRECTIONS = {(True, False): "outbound", (False, True): "inbound", (True, True): "internal", (False, False): "external"}


def scope_of(text):
    address = ipaddress.ip_address(text)
    return next(scope for net, scope in SCOPES if net.version == address.version and address in net)


def of_network(n):
    out = {"exporter_name": "edge", "exporter_site": "brno"}
    for side in ("src", "dst"):
        out[f"{side}_ip_scope"] = scope_of(n[f"{side}_ip"])
        out[f"{side}_ip_is_private"] = out[f"{side}_ip_scope"] in PRIVATE
    out["direction"] = DIRECTIONS[out["src_ip_is_private"], out["dst_ip_is_private"]]
    return out


def of_time(n):
    t = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=n["event_time"])
    return {"event_year": t.year, "event_month": t.month, "event_day": t.day, "event_hour": t.hour,
            "event_weekday": t.isoweekday() % 7, "event_date": (t.date() - datetime(1970, 1, 1).date()).days}


@pytest.mark.parametrize("capture", CAPTURES)
def test_capture(tmp_path, capture):
    done = subprocess.run([os.path.join(BUILD, "sluiced"), "-o", 'sinks=({ name = "out"; type = "stdout"; })',
                           "-o", 'exporters=({ address = "192.0.2.0/24"; name = "edge"; site = "brno"; })',
                           "-o", 'normalizer.enrich=("network", "time")', "-o", f"state={tmp_path}",
                           "--replay", os.path.join(ROOT, "test", "corpus", capture + ".pcap")],
                          capture_output=True, text=True, cwd=ROOT, timeout=120, check=True)
    flows = [json.loads(line) for line in done.stdout.splitlines()]
    assert flows
    for i, flow in enumerate(flows):
        want = {**of_network(flow["normalized"]), **of_time(flow["normalized"])}
        got = {k: flow["enriched"].get(k) for k in want}
        assert got == want, f"flow {i}"
    conftest.prove(want, capture)
