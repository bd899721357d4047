"""HTTP over raw sockets to an application that tells what reached it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import uvicorn

from sdrbee.server.limits import Limits
from sdrbee.server.protocol import Connections, LimitedProtocol

LIMITS = Limits()
GET = b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nhost: a\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"


@dataclass
class Echo:
    """An application that notes what it is asked and answers with the body's length."""

    port: int
    seen: list[tuple[str, str]]
    connections: Connections

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append((scope["method"], scope["path"]))
        body = b""
        while scope["path"] != "/unread":
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        answer = json.dumps({"length": len(body)}).encode()
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 20)

    def ask(self, *pieces: bytes, half_close: bool = False) -> list[tuple[int, bytes]]:
        """Sends the pieces and reads to the end: status and body of each answer."""
        with self.connect() as connection:
            for piece in pieces:
                connection.sendall(piece)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            return answers(read_all(connection))


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def answers(received: bytes) -> list[tuple[int, bytes]]:
    found = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        status = int(head.split(b" ")[1])
        if status == 100:
            continue
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(headers[b"content-length"])
        found.append((status, received[:length]))
        received = received[length:]
    return found


def run(limits: Limits, **options: Any) -> Iterator[Echo]:
    bound = socket.create_server(("127.0.0.1", 0))
    echo = Echo(bound.getsockname()[1], [], Connections(limits, **options))
    config = uvicorn.Config(
        echo,
        http=cast(type[asyncio.Protocol], partial(LimitedProtocol, connections=echo.connections)),
        ws="none",
        lifespan="off",
        log_config=None,
        proxy_headers=False,
        timeout_keep_alive=limits.idle_s,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        yield echo
    finally:
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()
    assert echo.connections.open == 0
