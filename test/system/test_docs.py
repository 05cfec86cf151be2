# SPDX-License-Identifier: Apache-2.0
"""Goal: the generated pages of doc/ say what the program says.

Method: each page as the built program prints it is compared with the one in doc/.
"""
import os
import subprocess

import pytest

from conftest import BUILD, ROOT


@pytest.mark.parametrize("page", ["fields", "options", "counters"])
def test_page_is_up_to_date(page):
    said = subprocess.run([os.path.join(BUILD, "sluiced"), "--print-doc", page], capture_output=True, text=True, timeout=60,
                          check=True).stdout
    with open(os.path.join(ROOT, "doc", page.upper() + ".md"), encoding="utf-8") as f:
        assert f.read() == said, f"doc/{page.upper()}.md is out of date: make doc"


def test_no_page_of_that_name():
    done = subprocess.run([os.path.join(BUILD, "sluiced"), "--print-doc", "feilds"], capture_output=True, timeout=60, check=False)
    assert done.returncode != 0 and not done.stdout
