"""Of the log: what comes by the thousand must not fill it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from sdrbee.server import access_log
from sdrbee.server.access_log import AccessLog
from sdrbee.server.http import Request, Response


async def _no_body() -> dict[str, object]:
    return {"type": "http.disconnect"}


def _request(path: str) -> Request:
    scope = {"method": "POST", "raw_path": path.encode(), "headers": [], "client": ("1.2.3.4", 5)}
    return Request(scope, _no_body)


def test_refusals_share_a_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_log, "_REFUSALS_S", 0.0)
    caplog.set_level(logging.INFO, logger="sdrbee.server")
    notes = AccessLog()

    async def refuse(count: int) -> None:
        for _ in range(count):
            notes.note(_request("/v1/jobs"), Response(429), 0.001)
        notes.note(_request("/v1/jobs"), Response(200), 0.001)
        await asyncio.sleep(0.01)

    asyncio.run(refuse(1_000))
    line = "1.2.3.4 POST /v1/jobs %d in 1.0 ms"
    assert caplog.messages == [line % 429, line % 200, "999 more requests were answered with 429"]
    caplog.clear()
    asyncio.run(refuse(1))
    assert caplog.messages == [line % 429, line % 200]
