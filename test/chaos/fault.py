# SPDX-License-Identifier: Apache-2.0
"""The page that fault.so reads: arms and disarms its rules while the service runs."""
import contextlib
import errno
import mmap
import os
import struct

from service import BUILD

LIBRARY = os.path.join(BUILD, "fault.so")
WRITE, SYNC, OPEN, ALLOCATE, RENAME = 1, 2, 4, 8, 16
RULES, RULE, RULE_BYTES, RULES_AT, CALLS_AT = 8, "=IIIIIII", 96, 8, 28
PATH_BYTES = 64


class Fault:
    def __init__(self, folder):
        self.path = os.path.join(folder, "fault.page")
        with open(self.path, "wb") as f:
            f.write(bytes(4096))
        self.file = open(self.path, "r+b")
        self.page = mmap.mmap(self.file.fileno(), 4096)
        self.armed = set()

    def within(self):
        """Goes before the service's command."""
        return ["env", f"LD_PRELOAD={LIBRARY}", f"SLUICE_FAULT={self.path}"]

    def close(self):
        self.page.close()
        self.file.close()

    def arm(self, kinds, path, error=0, short=False, first=1, count=0, delay_s=0.0):
        """Returns the rule's number."""
        assert len(path.encode()) < PATH_BYTES
        number = min(set(range(RULES)) - self.armed)
        at = RULES_AT + number * RULE_BYTES
        rule = struct.pack(RULE, 0, kinds, error, short, first, count, int(delay_s * 1000))
        self.page[at:at + RULE_BYTES] = rule + struct.pack("=I", 0) + path.encode().ljust(PATH_BYTES, b"\0")
        self.page[at:at + 4] = struct.pack("=I", 1)
        self.armed.add(number)
        return number

    def calls(self, number):
        at = RULES_AT + number * RULE_BYTES + CALLS_AT
        return struct.unpack("=I", self.page[at:at + 4])[0]

    def disarm(self, number):
        at = RULES_AT + number * RULE_BYTES
        self.page[at:at + 4] = bytes(4)
        self.armed.discard(number)

    @contextlib.contextmanager
    def during(self, kinds, path, **what):
        number = self.arm(kinds, path, **what)
        try:
            yield number
        finally:
            self.disarm(number)

    def clock(self, offset_s):
        self.page[0:8] = struct.pack("=q", offset_s)


EIO, ENOSPC, EROFS = errno.EIO, errno.ENOSPC, errno.EROFS
