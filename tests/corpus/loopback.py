"""A web server on loopback that breaks connections, knows ranges or not, and changes its files."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """What the server does; ``requests`` are the Range headers it was sent."""

    data: bytes
    ranges: bool = True
    etag: str = '"one"'
    breaks: int = 0
    """How many connections it closes early, each after ``until`` bytes of that answer."""

    until: int = 1000
    errors: int = 0
    """How many requests it answers with 503 first."""

    location: str = ""
    requests: list[str | None] = field(default_factory=list)


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    """The address of the server's one file."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            behaviour.requests.append(self.headers.get("Range"))
            if behaviour.errors:
                behaviour.errors -= 1
                self.send_error(503)
                return
            if behaviour.location:
                self.send_response(302)
                self.send_header("Location", behaviour.location)
                self.end_headers()
                return
            if self.path.endswith("missing"):
                self.send_error(404)
                return
            self.answer(self.start())

        def start(self) -> int:
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
            same = self.headers.get("If-Range") in (None, behaviour.etag)
            return int(wanted[1]) if wanted and same and behaviour.ranges else 0

        def answer(self, start: int) -> None:
            size = len(behaviour.data)
            if start > size or (start == size and start):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{size}")
                self.end_headers()
                return
            body = behaviour.data[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            self.send_header("Content-Length", str(len(body)))
            if behaviour.etag:
                self.send_header("ETag", behaviour.etag)
            self.end_headers()
            if behaviour.breaks:
                behaviour.breaks -= 1
                body = body[: behaviour.until]
                self.close_connection = True
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/text.txt"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
