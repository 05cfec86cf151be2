# SPDX-License-Identifier: Apache-2.0
"""The footer and the page headers of a Parquet file, as they stand there: what the readers do not show of it.

Structures are dictionaries by the numbers of parquet.thrift; octets stay octets.
"""
import struct

PAGE_DATA, PAGE_DICT = 0, 2


def varint(octets, at):
    value = shift = 0
    while True:
        value |= (octets[at] & 0x7f) << shift
        shift, at = shift + 7, at + 1
        if octets[at - 1] < 0x80:
            return value, at


def signed(octets, at):
    value, at = varint(octets, at)
    return value >> 1 ^ -(value & 1), at


def list_of(octets, at):
    head, at = octets[at], at + 1
    count = head >> 4
    if count == 15:
        count, at = varint(octets, at)
    items = []
    for _ in range(count):
        item, at = value_of(octets, at, head & 15)
        items.append(item)
    return items, at


def value_of(octets, at, kind):
    """Thrift's compact protocol, as far as Parquet needs it."""
    if kind in (1, 2):
        return kind == 1, at
    if kind in (4, 5, 6):
        return signed(octets, at)
    if kind == 8:
        count, at = varint(octets, at)
        assert at + count <= len(octets)
        return bytes(octets[at:at + count]), at + count
    if kind == 9:
        return list_of(octets, at)
    assert kind == 12, kind
    return structure(octets, at)


def structure(octets, at):
    fields, last = {}, 0
    while octets[at] != 0:
        head, at = octets[at], at + 1
        if head >> 4:
            last += head >> 4
        else:
            last, at = signed(octets, at)
        assert last not in fields
        fields[last], at = value_of(octets, at, head & 15)
    return fields, at + 1


class File:
    def __init__(self, path):
        with open(path, "rb") as f:
            self.octets = memoryview(f.read())
        size, magic = struct.unpack("<I4s", self.octets[-8:])
        assert magic == bytes(self.octets[:4]) == b"PAR1"
        footer = self.octets[len(self.octets) - 8 - size:-8]
        self.meta, end = structure(footer, 0)
        assert end == size

    def pages(self, chunk):
        """(where it begins, header, octets of the header, body) of each page of a ColumnMetaData."""
        at = chunk.get(11, chunk[9])
        end = at + chunk[7]
        while at < end:
            head, body = structure(self.octets, at)
            assert body + head[3] <= end
            yield at, head, body - at, self.octets[body:body + head[3]]
            at = body + head[3]
