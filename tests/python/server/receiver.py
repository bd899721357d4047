"""A small HTTP server that notes what it is sent: the hive, the queen, a webhook's receiver."""

from __future__ import annotations

import http.server
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """`answers` are the statuses of the first requests; all further ones get 200."""

    port: int = 0
    answers: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    """Of its answers."""
    received: queue.Queue[Received] = field(default_factory=queue.Queue)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def next(self) -> Received:
        return self.received.get(timeout=60)


@contextmanager
def receiving(*answers: int, **headers: str) -> Iterator[Receiver]:
    """A receiver on a port of its own."""
    receiver = Receiver(answers=list(answers), headers=headers)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = receiver.answers.pop(0) if receiver.answers else 200
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()
            receiver.received.put(Received(self.path, dict(self.headers.items()), body))

        def do_GET(self) -> None:
            receiver.received.put(Received(f"GET {self.path}", dict(self.headers.items()), b""))
            self.send_error(405)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
