"""Jobs whose client waits for the pictures on the connection that asked for them.

What the routes of OpenAI's and A1111's dialects share. A handler reads its body into a `Submission`
and then::

    record = await submit(worker, request, submission)   # errors of the request: before acceptance
    pictures = await finished(request, record)           # errors of the job: after it
    ...                                                  # or, for a stream of events:
    return Response(200, frames(told(record)), "text/event-stream")

A client that leaves cancels its job, which ends within one step; with an ``Idempotency-Key`` the
job goes on, and the same request gets its pictures. An error after acceptance is an ApiError with
`accepted`, whose answer carries ``x-should-retry: false``: to send the request again would make
the pictures again.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from sdrbee.server.errors import error_of_code
from sdrbee.server.http import ClientGone, Request
from sdrbee.server.idempotency import checked_key
from sdrbee.server.models import resolve_model
from sdrbee.server.record import HEARTBEAT_S, Record
from sdrbee.server.wire import Submission

if TYPE_CHECKING:
    from sdrbee.server.app import Worker


@dataclass(frozen=True, slots=True)
class Pictures:
    """What a job made: PNG files and the seed of each, of one size in pixels."""

    files: list[bytes]
    seeds: list[int]
    width: int
    height: int
    timing: dict[str, float]
    """`queued_s` and `run_s`."""


async def submit(worker: Worker, request: Request, submission: Submission) -> Record:
    """Puts an operation into the queue.

    Raises:
        ApiError, InvalidRequest, QueueFull, Cancelled: As `resolve_model` and `Book.submit`.
    """
    model = resolve_model(submission.model, worker.engine.models)
    return await worker.book.submit(
        submission,
        model,
        request.caller,
        synchronous=True,
        idempotency_key=checked_key(request.header("idempotency-key")),
    )


async def finished(request: Request, record: Record) -> Pictures:
    """Waits for the end of a job; cancels it when its client leaves, or when the wait is cancelled.

    Raises:
        ApiError: The job failed, was cancelled by someone else, or goes on in the worker's next
            run.
        ClientGone: Nobody waits for the answer.
    """
    ending = asyncio.ensure_future(record.ending())
    gone = asyncio.ensure_future(request.disconnected())
    try:
        await asyncio.wait({ending, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not ending.done():
            raise ClientGone
        return pictures_of(ending.result())
    finally:
        gone.cancel()
        ending.cancel()
        _leave(record)


async def told(record: Record) -> AsyncGenerator[dict[str, Any] | None, None]:
    """The events of a job, each with its `type`, to the last one; None as a sign of life in
    between. Cancels the job when its reader goes away before its end.

    Raises:
        ApiError: The job goes on in the worker's next run.
    """
    try:
        async for event in record.follow(0, HEARTBEAT_S):
            if event is None:
                yield None
            elif event.data is not None:
                yield msgspec.json.decode(event.data)
        if record.ended is None:
            await record.ending()
    finally:
        _leave(record)


def _leave(record: Record) -> None:
    """Nothing is written down: a crash cancels such jobs by itself."""
    if record.idempotency_key is None:
        record.stop()


def pictures_of(event: dict[str, Any]) -> Pictures:
    """The pictures that the last event of a job holds.

    Raises:
        ApiError: It tells of a failure, or that the job was cancelled.
    """
    if event["type"] == "cancelled":
        raise error_of_code("cancelled", "the job was cancelled")
    if event["type"] == "error":
        raise error_of_code(event["code"], event["message"])
    return Pictures(
        files=[base64.b64decode(image) for image in event["images"]],
        seeds=event["seeds"],
        width=event["width"],
        height=event["height"],
        timing=event["timing"],
    )
