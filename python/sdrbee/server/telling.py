"""Turns what an engine tells of a job into the events of the wire."""

from __future__ import annotations

import asyncio
import base64
import time
from concurrent.futures import Executor

import sdrbee
from sdrbee.server.errors import api_error
from sdrbee.server.record import Record

# A preview is sent at every fifth step and the last one, as rbee's worker does it.
PREVIEW_EVERY = 5


class Teller:
    """Follows jobs and tells their records. For the event loop's thread alone."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def follow(self, record: Record, job: sdrbee.Job) -> None:
        """Tells a job from now to its end."""
        try:
            waiting: sdrbee.JobEvent | None = None  # a step whose preview may follow
            async for event in job:
                if waiting is not None:
                    await self._tell_step(record, waiting, event)
                    waiting = None
                if event.kind == "step":
                    waiting = event
                else:
                    await self._tell(record, job, event)
        except Exception as error:  # a bug here must not leave readers without an end
            _fail(record, error)
        finally:
            record.job = None

    async def _tell_step(
        self, record: Record, step: sdrbee.JobEvent, following: sdrbee.JobEvent
    ) -> None:
        """A step is told as a preview or as progress, never both."""
        percent = None if not step.total else 100.0 * step.step / step.total
        progress = {
            "image_index": step.image_index,
            "step": step.step,
            "total": step.total,
            "percent": percent,
        }
        record.progress = progress
        shown = step.step % PREVIEW_EVERY == 1 or step.step == step.total
        if following.kind == "preview" and following.preview is not None and shown:
            picture = await self._encoded(following.preview)
            record.tell("preview", **progress, image=picture, format="png")
        else:
            record.tell("progress", **progress)

    async def _tell(self, record: Record, job: sdrbee.Job, event: sdrbee.JobEvent) -> None:
        if event.kind == "queued":
            record.position = event.position
            record.tell("queued", position=event.position)
        elif event.kind == "started":
            record.status, record.started = "running", time.time()
            record.tell("started")
        elif event.kind == "cancelled":
            record.tell("cancelled")
        elif event.kind in ("done", "failed"):
            try:
                await self._complete(record, job)
            except Exception as error:
                _fail(record, error)

    async def _complete(self, record: Record, job: sdrbee.Job) -> None:
        made = job.result()
        pictures = made if isinstance(made, list) else [made]
        images = [await self._encoded(picture) for picture in pictures]
        now = time.time()
        started = record.started or now
        record.result = {
            "format": "png",
            "seed": pictures[0].seed,
            "seeds": [picture.seed for picture in pictures],
            "width": pictures[0].width,
            "height": pictures[0].height,
            "timing": {"queued_s": started - record.created, "run_s": now - started},
        }
        record.tell("complete", image=images[0], images=images, **record.result)

    async def _encoded(self, picture: sdrbee.Image) -> str:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, _png_in_base64, picture)


def _png_in_base64(picture: sdrbee.Image) -> str:
    return base64.b64encode(picture.encode("png")).decode()


def _fail(record: Record, error: Exception) -> None:
    told = api_error(error)
    record.error = told.body["error"]
    record.tell("error", message=told.message, code=told.code)
