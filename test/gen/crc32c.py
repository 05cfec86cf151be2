# SPDX-License-Identifier: Apache-2.0
"""CRC-32C (RFC 3720, appendix B.4), bit by bit: the checksum of log and manifests, told again without our C."""


def crc32c(octets, before=0):
    crc = before ^ 0xFFFFFFFF
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF
