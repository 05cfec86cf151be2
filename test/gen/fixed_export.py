#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sends NetFlow v1, v5 or v7 as a switch does: records of fixed layout, each field with values of its whole range.

usage: test/gen/fixed_export.py 1|5|7 PORT    twelve messages to 127.0.0.1
"""
import random
import socket
import struct
import sys

BOOT_S, RECORDS_MAX = 1700000000, {1: 24, 5: 30, 7: 27}
COMMON = ">IIIHHIIIIHH"  # addresses, next hop, interfaces, packets, octets, first, last, ports


def record(version, dice, uptime):
    last = uptime - dice.randrange(60000)
    first = last - dice.choice((0, 1, dice.randrange(60000)))
    protocol = dice.choice((1, 6, 6, 17, 17, 47, 50))
    ports = {1: (0, dice.choice((0x0800, 0x0000, 0x0303)))}.get(protocol, (dice.randrange(1024, 65536), dice.choice((53, 80, 443))))
    addresses = [0xC0000200 | dice.randrange(256), 0xCB007100 | dice.randrange(256), dice.choice((0, 0xC6336401))]
    common = struct.pack(COMMON, *addresses, dice.randrange(65536), dice.randrange(65536), dice.choice((1, dice.getrandbits(32))),
                         dice.choice((40, dice.getrandbits(32))), first, last, *ports)
    tos, flags = dice.randrange(256), dice.randrange(256) if protocol == 6 else 0
    if version == 1:
        return common + struct.pack(">HBBB7x", 0, protocol, tos, flags)
    systems = (dice.randrange(65536), dice.randrange(65536), dice.randrange(33), dice.randrange(33))
    if version == 5:
        return common + struct.pack(">BBBBHHBBH", 0, flags, protocol, tos, *systems, 0)
    return common + struct.pack(">BBBBHHBBHI", dice.choice((0, 1)), flags, protocol, tos, *systems, dice.choice((0, 2)), 0x0A000000 | dice.randrange(1 << 24))


def messages(version):
    dice = random.Random(version)
    sequence = 0
    for number in range(12):
        uptime = 3600000 + number * 10007
        count = RECORDS_MAX[version] if number == 0 else dice.randrange(1, RECORDS_MAX[version] + 1)
        head = struct.pack(">HHIII", version, count, uptime, BOOT_S + uptime // 1000, uptime % 1000 * 1000000)
        if version == 5:
            head += struct.pack(">IBBH", sequence, 1, 7, 0x4000 | 100)
        elif version == 7:
            head += struct.pack(">II", sequence, 0)
        yield head + b"".join(record(version, dice, uptime) for _ in range(count))
        sequence += count


def main():
    version, port = int(sys.argv[1]), int(sys.argv[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for message in messages(version):
            s.sendto(message, ("127.0.0.1", port))


if __name__ == "__main__":
    main()
