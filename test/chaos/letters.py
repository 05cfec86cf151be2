# SPDX-License-Identifier: Apache-2.0
"""Dead letters of the chaos tests: what nobody can decode, and what is read of it and of refused records in the end.

undecodable(n) is a datagram that no service can decode, told from all others by its number.  Letters reads what the file
sink of dead letters completed in all lives: each letter is either one of those, octet by octet and under the reason that it
must have, or a record that a sink refused.
"""
import collections
import os
import struct

import fastavro

from service import container_of

NO_TEMPLATE, NO_VERSION, REFUSED = "data_sets_refused/no_template", "messages_malformed/version", "sink_dead_letter/refused"
TIME_S = 1767593600
IPFIX_HEAD = 16


def undecodable(number):
    """An IPFIX data set without a template; each fourth is a message of a version that there is not."""
    said = struct.pack(">I", number) * 8
    if number % 4 == 3:
        return struct.pack(">H", 99) + said
    return struct.pack(">HHIIIHH", 10, IPFIX_HEAD + 4 + len(said), TIME_S, 0, 9, 300, 4 + len(said)) + said


def as_letter(number):
    """Kind, reason and octets that its letter must have."""
    octets = undecodable(number)
    return ("message", NO_VERSION, octets) if number % 4 == 3 else ("set", NO_TEMPLATE, octets[IPFIX_HEAD:])


class Undecoded:
    """missing: numbers that were sent and are in no letter.  doubles: numbers that are in two."""

    def __init__(self, sent, found):
        strangers = found.keys() - {as_letter(n) for n in sent}
        assert not strangers, f"letters that nobody sent: {list(strangers)[:5]}"
        self.sent = sent
        self.missing = {n for n in sent if as_letter(n) not in found}
        self.doubles = [n for n in sent if found[as_letter(n)] > 1]


class Letters:
    def __init__(self, paths):
        self.count, self.found, self.refused = 0, collections.Counter(), collections.defaultdict(list)
        for path in paths:
            with open(path, "rb") as f:
                for letter in fastavro.reader(f):
                    self.add(letter)

    def add(self, letter):
        self.count += 1
        if letter["kind"] == "record":
            assert letter["reason"] == REFUSED and letter["error"], letter
            self.refused[letter["sink"]].append(letter["octets"])
        else:
            self.found[letter["kind"], letter["reason"], letter["octets"]] += 1

    def records_as_file(self, sink, schema, path):
        """The records that the sink refused, as a container."""
        container_of([bytes(5) + octets for octets in self.refused[sink]], schema, os.path.join(path, f"{sink}.avro"))
        return os.path.join(path, f"{sink}.avro")
