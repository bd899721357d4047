"""The few pieces of HTTP that an ASGI application needs: requests, answers, routes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from sdrbee.server.errors import ApiError
from sdrbee.server.openapi import DescribedRoute, Endpoint

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


# In every answer that has none of its own: nothing is guessed, kept, run or framed by a browser.
SAFE_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
}


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


@dataclass(slots=True)
class Request:
    """One request. `caller` is the name of its API key, "" where none is needed."""

    scope: Scope
    receive: Receive
    path_values: dict[str, str] = field(default_factory=dict)
    caller: str = ""
    request_id: str = ""

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        """As it was sent: nothing that is escaped in it means a path."""
        return str(self.scope["raw_path"].decode("latin-1"))

    @property
    def query(self) -> dict[str, str]:
        """The last value of each name."""
        return dict(parse_qsl(self.scope["query_string"].decode("latin-1")))

    def header(self, name: str) -> str | None:
        """The value of a header that may be there once. Throws ApiError when it is there twice."""
        key = name.lower().encode()
        values = [value for header, value in self.scope["headers"] if header == key]
        if len(values) > 1:
            raise ApiError(400, "bad_request", f"the header {name} is there {len(values)} times")
        return values[0].decode("latin-1") if values else None

    async def disconnected(self) -> None:
        """Returns when the client has closed the connection. Only after the body was read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer, or one that comes in pieces."""

    status: int
    body: bytes | AsyncGenerator[bytes, None] = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def json_response(status: int, value: Any, *headers: tuple[str, str]) -> Response:
    return Response(status, msgspec.json.encode(value), "application/json", headers)


ErrorForm = Callable[[ApiError], tuple[int, Any]]


def native_error(error: ApiError) -> tuple[int, Any]:
    """The status and JSON of an error in the native form."""
    return error.status, error.body


def error_response(error: ApiError, form: ErrorForm = native_error) -> Response:
    headers = []
    if error.retry_after_s is not None:
        headers.append(("retry-after", str(min(120, max(1, error.retry_after_s)))))
    if error.accepted:
        headers.append(("x-should-retry", "false"))
    status, body = form(error)
    return json_response(status, body, *headers)


Handler = Callable[[Request], Awaitable[Response]]


class Router:
    """Handlers by method and path; ``{name}`` in a path matches one piece of it, ``{name*}`` one or
    more."""

    def __init__(self) -> None:
        self._fixed: dict[str, dict[str, Handler]] = {}  # paths without a "{", by method
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []
        self.paths: list[tuple[str, str]] = []
        """Methods and paths of all routes."""
        self.described: list[DescribedRoute] = []
        """The routes of the OpenAPI document."""
        self._error_forms: list[tuple[str, ErrorForm]] = []

    def add_error_form(self, prefix: str, form: ErrorForm) -> None:
        """How errors below a path look, those of its guard and of unknown paths too."""
        self._error_forms.append((prefix, form))

    def error_form(self, path: str) -> ErrorForm:
        """The form of a path's errors: the native one unless its dialect has its own."""
        forms = (form for prefix, form in self._error_forms if path.startswith(prefix))
        return next(forms, native_error)

    def add(
        self, method: str, path: str, handler: Handler, endpoint: Endpoint | None = None
    ) -> None:
        """Adds a route; with `endpoint` it is in the OpenAPI document."""
        self.paths.append((method, path))
        if endpoint is not None:
            self.described.append(DescribedRoute(method, path, endpoint))
        if "{" not in path:
            self._fixed.setdefault(path, {})[method] = handler
            return
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)
        pattern = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.+)", pattern)
        self._routes.append((method, re.compile(pattern), handler))

    async def answer(self, request: Request) -> Response:
        """The answer of the route; 404 for unknown paths, 405 for other methods."""
        path, wanted = request.path, "GET" if request.method == "HEAD" else request.method
        fixed = self._fixed.get(path, {})
        if wanted in fixed:
            return await fixed[wanted](request)
        allowed = [*fixed]
        for method, pattern, handler in self._routes:
            found = pattern.fullmatch(path)
            if found is None:
                continue
            if method in (wanted, request.method):
                request.path_values = {
                    name: unquote(value) for name, value in found.groupdict().items()
                }
                return await handler(request)
            allowed.append(method)
        if allowed:
            text = f"{request.path} takes {', '.join(allowed)}, not {request.method}"
            status, body = self.error_form(request.path)(ApiError(405, "wrong_method", text))
            return json_response(status, body, ("allow", ", ".join(allowed)))
        raise ApiError(404, "no_such_route", f"there is no {request.path} here")


async def send_response(response: Response, request: Request, send: Send) -> None:
    """Sends an answer; of one to HEAD the headers only. One in pieces ends when its reader goes."""
    headers = {
        b"content-type": response.content_type.encode("latin-1"),
        b"x-request-id": request.request_id.encode(),
        **SAFE_HEADERS,
    }
    for name, value in response.headers:
        headers[name.encode("latin-1")] = value.encode("latin-1")
    head, body = request.method == "HEAD", response.body
    if isinstance(body, bytes):
        headers[b"content-length"] = b"%d" % len(body)
    start = {"type": "http.response.start", "status": response.status}
    await send({**start, "headers": [*headers.items()]})
    if isinstance(body, bytes):
        await send({"type": "http.response.body", "body": b"" if head else body})
        return
    # The head goes out now: the first piece may be a while in coming.
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    if not head:
        await _send_until_gone(body, request, send)
    await send({"type": "http.response.body", "body": b""})


async def _send_until_gone(
    pieces: AsyncGenerator[bytes, None], request: Request, send: Send
) -> None:
    sending = asyncio.ensure_future(_send_pieces(pieces, send))
    gone = asyncio.ensure_future(request.disconnected())
    try:
        await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            await sending
    finally:
        gone.cancel()
        sending.cancel()
        await asyncio.wait({sending})  # it must not run when it is closed
        await pieces.aclose()


async def _send_pieces(pieces: AsyncGenerator[bytes, None], send: Send) -> None:
    async for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
