#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A schema registry for tests: the part of the Confluent API that a producer uses, over real HTTP.

    registry_double.py [--port 0] [--prefix /path] [--user NAME:PASSWORD] [--token TOKEN]

Prints "port N" when it listens on 127.0.0.1.  Beside the API it answers to tests:

    PUT    /_mode       {"mode": "ok"}    how API requests are answered from now on (see MODES);
                                          "subject" limits it to one subject, "count" to so many requests
    GET    /_requests                     what was asked: method, path, content type, authorization, body
    DELETE /_requests                     forget that
    DELETE /_schemas                      forget all schemas, as a registry that lost its store

Schemas are the same when their JSON is, whatever its spacing and order of keys; GET gives that canonical
form.  Ids are not dense, every schema is compatible with every other.
"""

import argparse
import base64
import json
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
SLOW_S = 20
HUGE_BYTES = 3 << 20

# mode: (status, body) where the answer is fixed; the others are handled in API.misbehave.
FIXED = {
    "409": (409, {"error_code": 409, "message": 'Incompatible schema: field "x" has no default'}),
    "422": (422, {"error_code": 42201, "message": "Invalid Avro schema"}),
    "400": (400, {"error_code": 400, "message": "Bad request"}),
    "401": (401, {"error_code": 40101, "message": "Unauthorized"}),
    "403": (403, {"error_code": 40301, "message": "Forbidden"}),
    "429": (429, {"error_code": 42901, "message": "Too many requests"}),
    "gateway": (404, {"message": "no Route matched\nwith those values"}),
    "500": (500, {"error_code": 50001, "message": "Error in the backend data store"}),
    "503": (503, {"error_code": 50003, "message": "No master"}),
    "badid": (200, {"id": -5}),
    "textid": (200, {"id": "7"}),
    "noid": (200, {}),
}
MODES = ["ok", "slow", "trickle", "garbage", "redirect", "down", "huge", *FIXED]


class Store:
    """Subjects, schemas and what was asked; one lock around all."""

    def __init__(self):
        self.lock = threading.Lock()
        self.requests = []
        self.mode = {"mode": "ok"}
        self.next_id = 7
        self.clear()

    def clear(self):
        self.ids = {}
        self.subjects = {}

    def register(self, subject, text):
        canonical = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
        if canonical not in self.ids:
            self.ids[canonical] = self.next_id
            self.next_id += 3
        versions = self.subjects.setdefault(subject, [])
        if canonical not in versions:
            versions.append(canonical)
        return self.ids[canonical]

    def take_mode(self, subject):
        """The mode for one request, counting down."""
        mode = self.mode
        if mode.get("subject") not in (None, subject):
            return "ok"
        if "count" in mode:
            if mode["count"] <= 0:
                return "ok"
            mode["count"] -= 1
        return mode["mode"]


class API(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store = Store()
    prefix = ""
    authorization = None

    def log_message(self, *args):
        pass

    def answer(self, status, value, content_type=CONTENT_TYPE, headers=()):
        octets = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(octets)))
        for name, text in headers:
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(octets)

    def read_body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def misbehave(self, mode):
        """True when the mode gave the answer."""
        if mode in FIXED:
            self.answer(*FIXED[mode])
        elif mode == "slow":
            time.sleep(SLOW_S)
            self.close_connection = True
        elif mode == "trickle":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            for _ in range(SLOW_S * 10):
                self.wfile.write(b" ")
                time.sleep(0.1)
            self.close_connection = True
        elif mode == "garbage":
            self.answer(200, b"<html>It works!</html>", "text/html")
        elif mode == "redirect":
            self.answer(302, {}, headers=[("Location", "/elsewhere/subjects/x/versions")])
        elif mode == "huge":
            self.answer(200, b'{"id": 3, "pad": "' + b"x" * HUGE_BYTES + b'"}')
        elif mode == "down":
            self.close_connection = True
        return mode != "ok"

    def control(self, body):
        store = self.store
        path = self.path
        if self.command == "PUT" and path == "/_mode":
            mode = json.loads(body)
            if mode.get("mode") not in MODES:
                return self.answer(400, {"message": "no such mode"})
            store.mode = mode
            return self.answer(200, mode)
        if self.command == "GET" and path == "/_requests":
            return self.answer(200, store.requests)
        if self.command == "DELETE" and path == "/_requests":
            store.requests = []
            return self.answer(200, {})
        if self.command == "DELETE" and path == "/_schemas":
            store.clear()
            return self.answer(200, {})
        return self.answer(404, {"message": "no such control"})

    def serve(self):
        body = self.read_body()
        if self.path.startswith("/_"):
            with self.store.lock:
                return self.control(body)
        path = urllib.parse.urlsplit(self.path).path
        inside = path[len(self.prefix) :] if path.startswith(self.prefix + "/") else None
        parts = [urllib.parse.unquote(p) for p in (inside or "").split("/")[1:]]
        with self.store.lock:
            self.store.requests.append(
                {
                    "method": self.command,
                    "path": self.path,
                    "content_type": self.headers.get("Content-Type"),
                    "authorization": self.headers.get("Authorization"),
                    "body": body.decode("utf-8", "replace"),
                }
            )
            mode = self.store.take_mode(parts[1] if len(parts) > 1 else None)
        if self.misbehave(mode):
            return None
        if inside is None:
            return self.answer(404, {"error_code": 404, "message": "HTTP 404 Not Found"})
        if self.authorization and self.headers.get("Authorization") != self.authorization:
            return self.answer(*FIXED["401"])
        with self.store.lock:
            return self.api(parts, body)

    def api(self, parts, body):
        store = self.store
        if self.command == "POST" and len(parts) in (2, 3) and parts[0] == "subjects":
            if len(parts) == 3 and parts[2] != "versions":
                return self.answer(404, {"error_code": 404, "message": "HTTP 404 Not Found"})
            return self.post_schema(parts[1], len(parts) == 3, body)
        if self.command == "GET" and parts[:2] == ["schemas", "ids"] and len(parts) == 3:
            for text, number in store.ids.items():
                if str(number) == parts[2]:
                    return self.answer(200, {"schema": text})
            return self.answer(404, {"error_code": 40403, "message": "Schema not found"})
        if self.command == "GET" and parts == ["subjects"]:
            return self.answer(200, sorted(store.subjects))
        if self.command == "GET" and len(parts) == 4 and parts[0] == "subjects":
            return self.get_version(parts[1], parts[3])
        if self.command == "GET" and parts == ["config"]:
            return self.answer(200, {"compatibilityLevel": "NONE"})
        if self.command == "POST" and parts and parts[0] == "compatibility":
            return self.answer(200, {"is_compatible": True})
        return self.answer(404, {"error_code": 404, "message": "HTTP 404 Not Found"})

    def post_schema(self, subject, is_register, body):
        store = self.store
        try:
            text = json.loads(body)["schema"]
            canonical = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
        except (ValueError, KeyError, TypeError):
            return self.answer(*FIXED["422"])
        if is_register:
            return self.answer(200, {"id": store.register(subject, text)})
        if subject not in store.subjects:
            return self.answer(404, {"error_code": 40401, "message": f"Subject '{subject}' not found."})
        if canonical not in store.subjects[subject]:
            return self.answer(404, {"error_code": 40403, "message": "Schema not found"})
        return self.answer(
            200,
            {
                "subject": subject,
                "version": store.subjects[subject].index(canonical) + 1,
                "id": store.ids[canonical],
                "schema": canonical,
            },
        )

    def get_version(self, subject, which):
        versions = self.store.subjects.get(subject)
        if not versions:
            return self.answer(404, {"error_code": 40401, "message": f"Subject '{subject}' not found."})
        number = len(versions) if which == "latest" else int(which) if which.isdigit() else 0
        if not 1 <= number <= len(versions):
            return self.answer(404, {"error_code": 40402, "message": "Version not found"})
        text = versions[number - 1]
        return self.answer(
            200, {"subject": subject, "version": number, "id": self.store.ids[text], "schema": text}
        )

    do_GET = do_POST = do_PUT = do_DELETE = serve


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that hangs up is one of the tests."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--prefix", default="")
    parser.add_argument("--user", help="NAME:PASSWORD that requests must carry")
    parser.add_argument("--token", help="bearer token that requests must carry")
    args = parser.parse_args()
    API.prefix = args.prefix.rstrip("/")
    if args.user:
        API.authorization = "Basic " + base64.b64encode(args.user.encode()).decode()
    if args.token:
        API.authorization = "Bearer " + args.token
    server = Server(("127.0.0.1", args.port), API)
    print("port", server.server_address[1], flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
