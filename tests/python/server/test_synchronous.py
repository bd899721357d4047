"""Jobs whose client waits: what it gets, and what happens when it leaves."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

import numpy as np
import PIL.Image
import pytest

import sdrbee
from sdrbee.server.app import Worker
from sdrbee.server.errors import ApiError, api_error
from sdrbee.server.http import ClientGone, Request, Response, error_response, send_response
from sdrbee.server.synchronous import finished, pictures_of, submit, told
from sdrbee.server.wire import Submission, read_operation

PROMPT = "a red circle left of a blue square"


class Client:
    """A connection whose request has been read, and that closes when told to."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()
        self.request = Request(
            {"type": "http", "method": "POST", "path": "/", "headers": []}, self._receive
        )

    async def _receive(self) -> Mapping[str, Any]:
        await self.leaves.wait()
        return {"type": "http.disconnect"}


def operation(worker: Worker, **fields: Any) -> Submission:
    body = {"operation": "image_generation", "prompt": PROMPT, **fields}
    return read_operation(body, worker.limits)


def run(scenario: Callable[[Worker], Awaitable[None]]) -> None:
    async def whole() -> None:
        with sdrbee.Engine("shapes") as engine:
            await scenario(Worker(engine))

    asyncio.run(whole())


def test_the_pictures_come_when_they_are_done() -> None:
    async def scenario(worker: Worker) -> None:
        client = Client()
        record = await submit(
            worker, client.request, operation(worker, steps=2, seed=7, n=2, exact=True)
        )
        made = await finished(client.request, record)
        assert (made.seeds, made.width, made.height) == ([7, 8], 128, 128)
        expected = sdrbee.load("shapes").generate(PROMPT, steps=2, seed=8)
        shown = PIL.Image.open(io.BytesIO(made.files[1]))
        assert np.array_equal(np.asarray(shown), np.asarray(expected))

    run(scenario)


def test_a_client_that_leaves_ends_its_job() -> None:
    async def scenario(worker: Worker) -> None:
        client = Client()
        record = await submit(worker, client.request, operation(worker, steps=1000))
        wait = asyncio.ensure_future(finished(client.request, record))
        async for event in record.follow(0, 60):
            if event is not None and event.name == "preview":
                client.leaves.set()
        with pytest.raises(ClientGone):
            await wait
        assert record.status == "cancelled"
        assert record.progress is not None
        assert record.progress["step"] < 1000

    run(scenario)


def test_a_reader_that_closes_the_stream_ends_its_job() -> None:
    async def scenario(worker: Worker) -> None:
        record = await submit(worker, Client().request, operation(worker, steps=1000))
        events = told(record)
        async for event in events:
            if event is not None and event["type"] == "preview":
                break
        await events.aclose()
        names = [event.name async for event in record.follow(0, 60) if event is not None]
        assert names[-1] == "cancelled"

    run(scenario)


def test_a_job_that_someone_else_cancels_is_an_error_that_is_not_tried_again() -> None:
    async def scenario(worker: Worker) -> None:
        client = Client()
        record = await submit(worker, client.request, operation(worker, steps=1000))
        assert record.job is not None
        record.job.cancel()
        with pytest.raises(ApiError) as caught:
            await finished(client.request, record)
        answer = error_response(caught.value)
        assert answer.status == 503
        assert ("x-should-retry", "false") in answer.headers
        assert caught.value.code == "cancelled"

    run(scenario)


def test_the_error_of_a_job_keeps_its_status() -> None:
    with pytest.raises(ApiError) as caught:
        pictures_of({"type": "error", "code": "deadline_exceeded", "message": "too late"})
    assert (caught.value.status, caught.value.accepted) == (504, True)


def test_nothing_is_accepted_for_a_model_that_is_not_there() -> None:
    async def scenario(worker: Worker) -> None:
        with pytest.raises(sdrbee.InvalidRequest) as caught:
            await submit(worker, Client().request, operation(worker, model="other"))
        error = api_error(caught.value)
        assert (error.status, error.code, error.accepted) == (404, "model_not_found", False)

    run(scenario)


def test_a_stream_that_waits_is_closed_when_its_reader_leaves() -> None:
    closed = []

    async def pieces() -> AsyncGenerator[bytes, None]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    async def scenario() -> None:
        client = Client()

        async def send(message: Mapping[str, Any]) -> None:
            if message.get("body") == b"first":
                client.leaves.set()

        await send_response(Response(200, pieces()), client.request, send)

    asyncio.run(scenario())
    assert closed == [True]
