"""Turns what an engine tells of a job into the events of the wire."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any

import msgspec

import sdrbee
from sdrbee.server.answers import JobError, JobProgress
from sdrbee.server.errors import api_error
from sdrbee.server.journal import StorageError
from sdrbee.server.metrics import Metrics
from sdrbee.server.models import without_paths
from sdrbee.server.pictures import encode_png
from sdrbee.server.record import Record


class Teller:
    """Follows jobs and tells their records. For the event loop's thread alone."""

    def __init__(
        self, engine: sdrbee.Engine, executor: Executor, metrics: Metrics, strip_metadata: bool
    ) -> None:
        self._engine = engine
        self._executor = executor
        self._metrics = metrics
        self._encode_result = partial(encode_png, strip=strip_metadata)

    async def follow(self, record: Record, job: sdrbee.Job) -> None:
        """Tells a job from now to its end, or until its record is suspended.

        Raises:
            StorageError: The end was told, but the journal does not have it.
        """
        try:
            waiting: sdrbee.JobEvent | None = None  # a step whose preview may follow
            stepped: dict[int, float] = {}  # when each picture had its last step
            async for event in job:
                if record.suspended:
                    return
                if waiting is not None:
                    self._tell_step(record, waiting, event)
                    waiting = None
                if event.kind == "step":
                    waiting = event
                    self._count_step(stepped, event.image_index)
                else:
                    await self._tell(record, job, event)
        except StorageError:
            raise
        except Exception as error:  # a bug here must not leave readers without an end
            await self.fail(record, error)

    def _count_step(self, stepped: dict[int, float], image_index: int) -> None:
        now = time.monotonic()
        if image_index in stepped:
            self._metrics.stepped(now - stepped[image_index])
        stepped[image_index] = now

    def _tell_step(self, record: Record, step: sdrbee.JobEvent, following: sdrbee.JobEvent) -> None:
        """A step is told as a preview or as progress, never both."""
        percent = None if not step.total else 100.0 * step.step / step.total
        progress: JobProgress = {
            "image_index": step.image_index,
            "step": step.step,
            "total": step.total,
            "percent": percent,
        }
        record.progress = progress
        if following.kind == "preview" and following.preview is not None:
            shown = following.preview
            record.tell(
                "preview",
                work=partial(self._in_thread, _preview, shown, progress),
                work_bytes=3 * shown.width * shown.height,
                image_index=step.image_index,
            )
        else:
            record.tell("progress", **progress)

    async def _tell(self, record: Record, job: sdrbee.Job, event: sdrbee.JobEvent) -> None:
        if event.kind == "queued":
            record.position = event.position
            record.tell("queued", position=event.position)
        elif event.kind == "started":
            record.status, record.started = "running", time.time()
            record.tell("started")
        elif event.kind == "checkpoint":
            record.save(job.checkpoint() or b"")
        elif event.kind == "cancelled":
            await record.end("cancelled")
        elif event.kind in ("done", "failed"):
            await self._end(record, job)

    async def _end(self, record: Record, job: sdrbee.Job) -> None:
        try:
            made = job.result()
            pictures = made if isinstance(made, list) else [made]
            images = [
                await self._in_thread(self._encode_result, picture, record.model)
                for picture in pictures
            ]
            values = _values(record, pictures)
        except Exception as error:
            await self.fail(record, error)
        else:
            await record.end("complete", images, **values)

    async def fail(self, record: Record, error: Exception) -> None:
        """Ends a job with an error. Raises StorageError, as `Record.end`."""
        told = api_error(error)
        told.message = without_paths(told.message, self._engine.models)
        record.error = JobError(code=told.code, message=told.message, field=told.field)
        await record.end("error", message=told.message, code=told.code)

    async def _in_thread(self, function: Callable[..., bytes], *arguments: Any) -> bytes:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, function, *arguments)


def _preview(picture: sdrbee.Image, progress: JobProgress) -> bytes:
    """The event that shows a picture on its way."""
    image = base64.b64encode(picture.encode("png")).decode()
    return msgspec.json.encode({"type": "preview", **progress, "image": image, "format": "png"})


def _values(record: Record, pictures: list[sdrbee.Image]) -> dict[str, Any]:
    """What the last event says of results, without them."""
    now = time.time()
    started = record.started or now
    record.batched = any((picture.recipe or {}).get("batched", False) for picture in pictures)
    return {
        "format": "png",
        "seed": pictures[0].seed,
        "seeds": [picture.seed for picture in pictures],
        "width": pictures[0].width,
        "height": pictures[0].height,
        "batched": record.batched,
        "timing": {"queued_s": started - record.created, "run_s": now - started},
    }
