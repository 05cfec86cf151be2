# SPDX-License-Identifier: Apache-2.0
"""A broker that refuses batches for what is in them: stands before the mock, which refuses only by number.

It is the address that producers are told.  One request at a time goes on to the mock, so that the error which the mock is
asked for hits that request and no other.
"""
import contextlib
import socket
import struct
import threading

PRODUCE = 0  # the API


def read_unit(peer):
    """A request or an answer with its length in front; None at the end."""
    unit = b""
    while len(unit) < 4 or len(unit) < 4 + struct.unpack_from(">I", unit)[0]:
        wanted = 4 if len(unit) < 4 else 4 + struct.unpack_from(">I", unit)[0]
        octets = peer.recv(wanted - len(unit))
        if not octets:
            return None
        unit += octets
    return unit


class Refuser:
    def __init__(self, broker, culprits, code):
        """Batches with one of these octets in them are answered with that error."""
        self.broker, self.culprits, self.code, self.refused = broker, culprits, code, 0
        host, port = broker.bootstrap.split(":")
        self.real = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        ours = self.listener.getsockname()[1]
        self.bootstrap = f"127.0.0.1:{ours}"
        # What the mock says of itself in its metadata, and what is told instead.
        self.its, self.ours = host.encode() + struct.pack(">i", int(port)), host.encode() + struct.pack(">i", ours)
        self.lock = threading.Lock()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                client = self.listener.accept()[0]
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with contextlib.suppress(OSError), client, socket.create_connection(self.real) as server:
            while (request := read_unit(client)) is not None:
                with self.lock:
                    if struct.unpack_from(">H", request, 4)[0] == PRODUCE and any(c in request for c in self.culprits):
                        self.broker.say(f"errors {PRODUCE} {self.code} 1")
                        self.refused += 1
                    server.sendall(request)
                    answer = read_unit(server)
                if answer is None:
                    return
                client.sendall(answer.replace(self.its, self.ours))

    def close(self):
        self.listener.close()
