"""Bodies of requests: read with limits on each and on all together, then as JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from sdrbee.server.errors import ApiError
from sdrbee.server.http import ClientGone, Request
from sdrbee.server.limits import Limits


class Bodies:
    """Reads bodies; `bodies_in_flight_bytes` bounds those that are being read together."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._in_flight = 0

    async def read(self, request: Request) -> bytes:
        """The body. Raises ApiError 413 when it is too large, 503 when all together are."""
        told = request.header("content-length")
        if told is not None and told.isdigit() and int(told) > self._limits.body_bytes:
            raise self._too_large()
        pieces: list[bytes] = []
        held = 0
        try:
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                piece = message.get("body", b"")
                held += len(piece)
                self._in_flight += len(piece)
                if held > self._limits.body_bytes:
                    raise self._too_large()
                if self._in_flight > self._limits.bodies_in_flight_bytes:
                    raise ApiError(
                        503,
                        "busy",
                        "too many large requests at once; try again later",
                        retry_after_s=1,
                    )
                pieces.append(piece)
                if not message.get("more_body", False):
                    return b"".join(pieces)
        finally:
            self._in_flight -= held

    async def read_json(self, request: Request) -> Any:
        """The body as JSON. Raises ApiError 400 for what isn't, 415 for another content type."""
        kind = (request.header("content-type") or "").split(";")[0].strip().lower()
        if kind not in ("application/json", ""):
            text = f"expected the header content-type: application/json but got {kind}"
            raise ApiError(415, "wrong_content_type", text)
        return parse_json(await self.read(request), self._limits.json_depth)

    def _too_large(self) -> ApiError:
        most = self._limits.body_bytes
        return ApiError(413, "too_large", f"expected a body of at most {most} bytes")


def parse_json(body: bytes, depth: int) -> Any:
    """Strict JSON: UTF-8, no NaN, at most `depth` levels. Raises ApiError 400."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, "bad_json", f"the body is not JSON: {error}") from None
    if _is_deeper(value, depth):
        raise ApiError(400, "bad_json", f"expected at most {depth} levels of JSON")
    return value


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
