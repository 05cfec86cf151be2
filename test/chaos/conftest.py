# SPDX-License-Identifier: Apache-2.0
"""What the chaos tests share: service.py of the system tests, oracle.py, letters.py, lives.py, fault.py, refuser.py."""
import contextlib
import os
import random
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, os.pardir, "system")]

from lives import SEED, World  # noqa: E402
from service import folder  # noqa: E402,F401


@pytest.fixture
def world(folder):  # noqa: F811
    """Makes a World; all that it started is ended with the test."""
    random.seed(SEED)
    with contextlib.ExitStack() as stack:
        yield lambda **kwargs: World(stack, folder, **kwargs)
