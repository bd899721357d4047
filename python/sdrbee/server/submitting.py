"""Jobs go into the engine's queue: new ones, and those of an earlier run of the worker."""

from __future__ import annotations

import asyncio
import logging
import time

import sdrbee
from sdrbee.server.errors import ApiError
from sdrbee.server.record import Record

log = logging.getLogger("sdrbee.server")

# Steps from one preview to the next; the last step has one, too: as in rbee's worker.
PREVIEW_EVERY = 5

# A job that runs at so many crashes of the worker, without coming further, is their cause.
MOST_CRASHES = 5

# How long to wait before the engine's full queue is tried again.
_QUEUE_RETRY_S = 0.05


def engine_job(
    engine: sdrbee.Engine,
    request: sdrbee.GenerationRequest,
    record: Record,
    *,
    deadline_s: float | None,
    resume: bytes | None = None,
) -> sdrbee.Job:
    """Puts a record's request into the engine's queue. Raises as `Engine.submit`."""
    return engine.submit(
        request,
        model=record.model,
        priority=record.submission.priority,
        deadline=deadline_s,
        preview_every=PREVIEW_EVERY,
        resume=resume,
    )


async def submit_again(
    engine: sdrbee.Engine,
    request: sdrbee.GenerationRequest,
    record: Record,
    checkpoint: bytes | None,
) -> sdrbee.Job | None:
    """Waits for a place in the queue, from the checkpoint on where there is a good one; None when
    the job was cancelled before it had a place.

    Raises:
        DeadlineExceeded: Its time is over.
        Error: As `Engine.submit`.
    """
    while not record.cancel_asked:
        left_s = _seconds_left(record)
        try:
            return engine_job(engine, request, record, deadline_s=left_s, resume=checkpoint)
        except sdrbee.QueueFull:
            await asyncio.sleep(_QUEUE_RETRY_S)
        except sdrbee.CheckpointError as error:
            if checkpoint is None:
                raise
            log.warning("%s begins again: %s", record.job_id, error)
            checkpoint = None
    return None


def check_crashes(record: Record) -> None:
    """Raises ApiError for a job that the worker crashed at too often."""
    if record.crashes >= MOST_CRASHES:
        raise ApiError(
            500,
            "worker_crashed",
            f"the worker crashed {record.crashes} times while it made this picture",
        )


def _seconds_left(record: Record) -> float | None:
    deadline_s = record.submission.deadline_s
    if deadline_s is None:
        return None
    left_s = record.created + deadline_s - time.time()
    if left_s <= 0:
        raise sdrbee.DeadlineExceeded("[deadline] it passed while the worker was down")
    return left_s
