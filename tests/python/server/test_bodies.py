"""Limits of bodies: each, and all together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from sdrbee.server.bodies import Bodies
from sdrbee.server.errors import ApiError
from sdrbee.server.http import ClientGone, Request
from sdrbee.server.limits import Limits

LIMITS = Limits(body_bytes=100, bodies_in_flight_bytes=250)


def request(*messages: Mapping[str, Any], length: int | None = None) -> Request:
    left = list(messages)

    async def receive() -> Mapping[str, Any]:
        await asyncio.sleep(0)  # others have their turn between two pieces
        return left.pop(0)

    told = [] if length is None else [(b"content-length", b"%d" % length)]
    return Request({"headers": told, "method": "POST"}, receive)


def piece(size: int, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": b"x" * size, "more_body": more}


def test_a_body_is_limited_whether_it_tells_its_length_or_not() -> None:
    bodies = Bodies(LIMITS)
    assert asyncio.run(bodies.read(request(piece(60), piece(40, False)))) == b"x" * 100
    for large in (request(length=101), request(piece(60), piece(41, False))):
        with pytest.raises(ApiError) as told:
            asyncio.run(bodies.read(large))
        assert told.value.status == 413


def test_all_bodies_together_are_limited_and_given_back() -> None:
    bodies = Bodies(LIMITS)

    async def read(count: int) -> list[Any]:
        requests = [request(piece(90), piece(0), piece(0, False)) for _ in range(count)]
        return await asyncio.gather(*map(bodies.read, requests), return_exceptions=True)

    assert asyncio.run(read(2)) == [b"x" * 90] * 2
    refused = [one for one in asyncio.run(read(3)) if isinstance(one, ApiError)]
    assert [(error.status, error.retry_after_s) for error in refused] == [(503, 1)]
    with pytest.raises(ClientGone):
        asyncio.run(bodies.read(request(piece(90), {"type": "http.disconnect"})))
    assert asyncio.run(read(2)) == [b"x" * 90] * 2
