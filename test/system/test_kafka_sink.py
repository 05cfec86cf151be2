# SPDX-License-Identifier: Apache-2.0
"""The kafka sink through outages, refusals, codecs and a registry that is away: test_kafka's long part."""
import os
import re
import subprocess

import pytest

from conftest import BUILD, ROOT

PROGRAM = os.path.join(BUILD, "test", "test_kafka")
TESTS = [
    "delivers",
    "every_codec",
    "no_key_and_event_time",
    "ingest_time",
    "broker_goes_away",
    "broker_away_at_start",
    "broker_freezes",
    "partition_without_leader",
    "topic_missing",
    "refused_once",
    "refused_always",
    "too_large",
    "fatal_error",
    "flushes",
    "registry_first",
]


@pytest.mark.parametrize("name", TESTS)
def test_kafka_sink(name):
    done = subprocess.run([PROGRAM, name], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    said = done.stdout + done.stderr
    passed = re.search(r"^\[  PASSED  \] (\d+) test", said, re.M)
    assert done.returncode == 0 and passed and passed.group(1) == "1", said


def test_none_is_left_out():
    with open(os.path.join(ROOT, "test", "unit", "test_kafka.c"), encoding="utf-8") as source:
        assert sorted(set(re.findall(r"cmocka_unit_test\((\w+)\)", source.read()))) == sorted(TESTS)
