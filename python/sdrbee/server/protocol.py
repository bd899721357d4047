"""HTTP/1.1 connections with limits: uvicorn's h11 protocol with deadlines, sizes and counts.

h11 parses; what is malformed, too large or too slow is answered with 400, 408, 414, 431 or 503 and
the connection is closed, so that nothing of it can be taken for another request.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

import h11
import msgspec
from uvicorn.protocols.http.flow_control import CLOSE_HEADER, FlowControl
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from sdrbee.server.errors import ApiError
from sdrbee.server.http import SAFE_HEADERS
from sdrbee.server.limits import Limits
from sdrbee.server.logs import request_id

# Errors of ours only: a line for each bad request would let anyone fill the log.
_log = logging.getLogger("sdrbee.server.connections")
_log.setLevel(logging.ERROR)

# What h11 reads as one line or two, and others the other way.
_ODD_LINES = re.compile(rb"(?<!\r)\n|\n[ \t]")

# A body in chunks may have this many, and more only if they are this large on average: each costs
# the event loop some microseconds, however small it is.
_FREE_CHUNKS = 1_000
_CHUNK_BYTES = 256

# How long a closed connection is still read, without effect, so that its client gets the answer and
# not a reset.
_LINGER_S = 2.0


@dataclass(slots=True)
class Connections:
    """What all connections of a worker share: the limits, and how many there are."""

    limits: Limits
    per_address: bool = True
    """Whether one address may have no more than its share; not where only loopback may ask."""
    proxies: frozenset[str] = frozenset()
    """Addresses that may have any number, since many clients are behind them."""
    open: int = 0
    by_address: Counter[str] = field(default_factory=Counter)

    def add(self, address: str) -> str | None:
        """Counts a connection. Returns why it must go again, if so."""
        self.open += 1
        self.by_address[address] += 1
        if self.open > self.limits.connections:
            return "too many connections"
        limited = self.per_address and address not in self.proxies
        if limited and self.by_address[address] > self.limits.connections_per_address:
            return "too many connections from this address"
        return None

    def remove(self, address: str) -> None:
        """Counts one less."""
        self.open -= 1
        self.by_address[address] -= 1
        if self.by_address[address] <= 0:
            del self.by_address[address]


class _Parser(h11.Connection):
    """h11, stricter: what it lets through and this worker doesn't is an error like its own."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(h11.SERVER, limits.header_bytes)
        self._limits = limits
        self._chunks = 0
        self._chunked_bytes = 0
        self.fault: h11.RemoteProtocolError | None = None

    def next_event(self) -> Any:
        before = self.trailing_data[0] if self.their_state is h11.IDLE else b""
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                head = before[: len(before) - len(self.trailing_data[0])]
                self._check(event, head)
            elif isinstance(event, h11.Data):
                self._check_chunk(event)
        except h11.RemoteProtocolError as error:
            self.fault = error
            raise
        return event

    def send(self, event: Any) -> Any:
        """As h11's; an answer before the end of the request says that the connection closes."""
        if isinstance(event, h11.Response) and self.their_state is h11.SEND_BODY:
            headers = [*event.headers.raw_items(), CLOSE_HEADER]
            event = h11.Response(
                status_code=event.status_code, headers=headers, reason=event.reason
            )
        return super().send(event)

    def _check(self, request: h11.Request, head: bytes) -> None:
        self._chunks = self._chunked_bytes = 0
        line, _, fields = head.partition(b"\r\n")
        if len(line) + 2 > self._limits.request_line_bytes:
            raise h11.RemoteProtocolError("the request line is too long", 414)
        headers = request.headers.raw_items()
        if len(fields) > self._limits.header_bytes or len(headers) > self._limits.header_fields:
            raise h11.RemoteProtocolError("the header is too large", 431)
        if _ODD_LINES.search(head):
            raise h11.RemoteProtocolError("a line of the header is folded or ends without CR")
        if not request.target.startswith(b"/"):
            raise h11.RemoteProtocolError("the target is not a path")
        names = {name.lower() for name, _ in headers}
        if {b"content-length", b"transfer-encoding"} <= names:
            raise h11.RemoteProtocolError("two lengths of one body")
        if b"transfer-encoding" in names and request.http_version < b"1.1":
            raise h11.RemoteProtocolError("chunks came with HTTP/1.1")

    def _check_chunk(self, piece: h11.Data) -> None:
        self._chunks += piece.chunk_start
        self._chunked_bytes += len(piece.data)
        excess = self._chunks - _FREE_CHUNKS
        if excess > 0 and self._chunked_bytes < excess * _CHUNK_BYTES:
            raise h11.RemoteProtocolError("the chunks are too small")


class _Transport:
    """What uvicorn closes: the client is left a moment to read the answer."""

    def __init__(self, transport: asyncio.Transport, protocol: LimitedProtocol) -> None:
        self._transport = transport
        self._protocol = protocol

    def close(self) -> None:
        self._protocol.close()

    def is_closing(self) -> bool:
        return self._protocol.closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class LimitedProtocol(H11Protocol):
    """A connection. For `uvicorn.Config.http`, with `connections` bound by functools.partial."""

    def __init__(self, *arguments: Any, connections: Connections, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = _log
        self._shared = connections
        self._limits = connections.limits
        self.conn: _Parser = _Parser(self._limits)
        self._worker, self.app = self.app, self._answer
        self._socket: asyncio.Transport
        self._address = ""
        self.closing = False
        self._phase: object = None  # what the client has to send in time: IDLE, SEND_BODY, None
        self._timer: asyncio.TimerHandle | None = None
        self._heard = 0  # bytes of what is awaited

    # What asyncio calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._socket = transport
        self.transport = cast(asyncio.Transport, _Transport(transport, self))
        self.flow = FlowControl(self.transport)
        self._address = self.client[0] if self.client else ""
        refusal = self._shared.add(self._address)
        if refusal is None:
            self._watch()
        else:
            self._refuse(503, refusal)
            self._socket.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.remove(self._address)
        self._stop_timer()
        self.closing = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        self._heard += len(data)
        super().data_received(data)
        self._watch()

    def eof_received(self) -> None:
        """A client that stops in the middle of a request is told; asyncio closes afterwards."""
        if not self.closing and self.conn.their_state is h11.SEND_BODY:
            self._refuse(400, "the request ended before its body")
        elif not self.closing and self.conn.their_state is h11.IDLE and self._heard:
            self._refuse(400, "the request ended before its header")

    # What uvicorn calls.

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._heard = len(self.conn.trailing_data[0])  # of the next request
        if self._heard or self.conn.their_state is not h11.IDLE:
            self._watch()

    def send_400_response(self, msg: str) -> None:
        fault = self.conn.fault
        status = fault.error_status_hint if fault else 400
        # Codings that h11 doesn't know (501) are attempts to hide a body's length.
        self._refuse(status if status in (414, 431) else 400, str(fault or msg))

    def shutdown(self) -> None:
        if self.closing:
            self._socket.close()
        else:
            super().shutdown()

    def _should_upgrade(self) -> bool:
        return False

    # What the application calls.

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        start: dict[str, Any] | None = None

        async def send_whole(message: dict[str, Any]) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            head, start = start, None
            if head is not None and self._is_whole(scope, head, message):
                self._write(head, message["body"])
                return
            if head is not None:
                await send(head)
            await send(message)

        await self._worker(scope, receive, send_whole)

    def _is_whole(self, scope: Any, head: dict[str, Any], message: dict[str, Any]) -> bool:
        """Whether this is all of an answer, and there is nothing to wait for or to leave out."""
        return (
            not message.get("more_body", False)
            and [name for name, _ in head["headers"][-1:]] == [b"content-length"]
            and scope["method"] != "HEAD"
            and CLOSE_HEADER not in scope["headers"]
            and not (self.flow.write_paused or self.cycle.disconnected)
        )

    def _write(self, head: dict[str, Any], body: bytes) -> None:
        """A whole answer, in one system call. h11 is told what it needs to know of it: checking and
        writing each of our own headers took it longer than the worker takes for most answers."""
        cycle, headers = self.cycle, head["headers"]
        others = b"".join([b"%b: %b\r\n" % header for header in headers[:-1]])
        if others.count(b"\n") != len(headers) - 1 or others.count(b"\r") != len(headers) - 1:
            raise ValueError("a header has more than one line")
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        status = head["status"]
        response = h11.Response(
            status_code=status, headers=headers[-1:], reason=STATUS_PHRASES[status]
        )
        first = self.conn.send(response)
        written = [first[:-2], others, b"\r\n", self.conn.send(h11.Data(data=body))]
        self.conn.send(h11.EndOfMessage())
        self.transport.write(b"".join(written))
        cycle.message_event.set()
        if self.conn.our_state is h11.MUST_CLOSE or not cycle.keep_alive:
            self.conn.send(h11.ConnectionClosed())
            self.transport.close()
        cycle.on_response()

    # Deadlines.

    def _watch(self) -> None:
        """Arms the deadline of what the client has to send next."""
        state = None if self.closing else self.conn.their_state
        phase = state if state in (h11.IDLE, h11.SEND_BODY) else None
        if phase is self._phase and self._timer is not None:
            return
        self._stop_timer()
        self._phase = phase
        if phase is h11.IDLE:
            self._timer = self.loop.call_later(self._limits.header_s, self._header_is_late)
        elif phase is h11.SEND_BODY:
            self._heard = 0
            self._timer = self.loop.call_later(self._limits.body_grace_s, self._check_pace)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _header_is_late(self) -> None:
        if self._heard:
            self._refuse(408, "the header did not come in time")
        else:
            self.close()

    def _check_pace(self) -> None:
        """A body must keep its pace in each window, unless it waits for us."""
        needed = self._limits.body_bytes_per_s * self._limits.body_grace_s
        if self._heard < needed and not self.flow.read_paused:
            self._refuse(408, "the body comes too slowly")
            return
        self._heard = 0
        self._timer = self.loop.call_later(self._limits.body_grace_s, self._check_pace)

    # Ends.

    def _refuse(self, status: int, message: str) -> None:
        """Answers instead of the application, unless that has begun to, and closes."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = msgspec.json.encode(ApiError(status, "bad_request", message).body)
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
                (b"x-request-id", request_id(None).encode()),
                *SAFE_HEADERS.items(),
            ]
            if self.conn.their_state is not h11.SEND_BODY:
                headers.append(CLOSE_HEADER)
            reason = STATUS_PHRASES[status]
            answer = h11.Response(status_code=status, headers=headers, reason=reason)
            for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
                self._socket.write(self.conn.send(event))
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._drain()

    def close(self) -> None:
        """Closes, once what the client is still sending has been read."""
        if self.conn.their_state in (h11.SEND_BODY, h11.ERROR):
            self._drain()
        else:
            self.closing = True
            self._stop_timer()
            self._socket.close()

    def _drain(self) -> None:
        """Closes; what comes for a moment is read without effect: closing a socket with unread
        bytes resets the connection, and the client would lose its answer."""
        if self.closing:
            return
        self.closing = True
        self._stop_timer()
        if self._socket.can_write_eof():
            self._socket.write_eof()
        self._socket.resume_reading()
        self._timer = self.loop.call_later(_LINGER_S, self._socket.close)
