"""The jobs of a worker: what happened to each, for any number of readers, also after its end."""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import msgspec

import sdrbee
from sdrbee.server.errors import ApiError, api_error
from sdrbee.server.limits import Limits
from sdrbee.server.wire import Submission

# A preview is sent at every fifth step and the last one, as rbee's worker does it.
PREVIEW_EVERY = 5

TERMINAL = {"complete": "done", "error": "failed", "cancelled": "cancelled"}


@dataclass(slots=True)
class WireEvent:
    """A named event; `data` is None once a later one of its kind has taken its place."""

    number: int
    name: str
    image_index: int | None
    data: bytes | None


@dataclass(slots=True)
class Record:
    """A job and what is told of it. For the event loop's thread alone."""

    submission: Submission
    job: sdrbee.Job | None
    """The engine's job, until its end."""
    caller: str
    model: str
    job_id: str = field(default_factory=lambda: f"job-{uuid.uuid4()}")
    created: float = field(default_factory=time.time)
    status: str = "queued"
    position: int | None = None
    progress: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    started: float | None = None
    ended: float | None = None
    kept_bytes: int = 0
    log: list[WireEvent] = field(default_factory=list)
    readers: set[asyncio.Event] = field(default_factory=set)

    def tell(self, name: str, **values: Any) -> None:
        """Adds an event; a preview takes the place of the one before it."""
        index = values.get("image_index")
        if name == "preview":
            self._forget("preview", index)
        data = msgspec.json.encode({"type": name, **values})
        self.log.append(WireEvent(len(self.log) + 1, name, index, data))
        if name in TERMINAL:
            self.status = TERMINAL[name]
            self.ended = time.time()
            for image_index in range(self.submission.fields["count"]):
                self._forget("progress", image_index)
            self.kept_bytes = sum(len(event.data or b"") for event in self.log)
        for reader in self.readers:
            reader.set()

    def _forget(self, name: str, image_index: int | None) -> None:
        for event in self.log:
            if (event.name, event.image_index) == (name, image_index):
                event.data = None

    def describe(self) -> dict[str, Any]:
        """What GET /v1/jobs/{id} answers."""
        return {
            "job_id": self.job_id,
            "status": self.status,
            "operation": self.submission.operation,
            "model": self.model,
            "created": self.created,
            "started": self.started,
            "ended": self.ended,
            "position": self.position if self.status == "queued" else None,
            "progress": self.progress,
            "error": self.error,
        }

    async def follow(self, after: int, heartbeat_s: float) -> AsyncIterator[WireEvent | None]:
        """Events behind number `after`, until the end; None whenever `heartbeat_s` pass without
        one."""
        news = asyncio.Event()
        self.readers.add(news)
        try:
            while True:
                news.clear()
                for event in self.log[after:]:
                    after = event.number
                    if event.data is not None:
                        yield event
                if self.ended is not None and after >= len(self.log):
                    return
                try:
                    await asyncio.wait_for(news.wait(), heartbeat_s)
                except asyncio.TimeoutError:
                    yield None
        finally:
            self.readers.discard(news)


class Book:
    """All jobs of a worker. For the event loop's thread alone."""

    def __init__(self, engine: sdrbee.Engine, limits: Limits, executor: Executor) -> None:
        self._engine = engine
        self._limits = limits
        self._executor = executor
        self._records: dict[str, Record] = {}
        self._expired: dict[str, float] = {}
        self._followers: set[asyncio.Task[None]] = set()

    async def submit(self, submission: Submission, model: str, caller: str) -> Record:
        """Puts an operation into the engine's queue.

        Raises:
            InvalidRequest, QueueFull, Cancelled: As `Engine.submit`.
        """
        loop = asyncio.get_running_loop()
        request = await loop.run_in_executor(self._executor, submission.request)
        job = self._engine.submit(
            request, model=model, priority=submission.priority, deadline=submission.deadline_s
        )
        submission.pictures.clear()
        record = Record(submission, job, caller, model)
        self._records[record.job_id] = record
        task = asyncio.create_task(self._follow(record, job))
        self._followers.add(task)
        task.add_done_callback(self._followers.discard)
        self._forget_old()
        return record

    def find(self, job_id: str, caller: str) -> Record:
        """A job of this caller. Raises ApiError 404, and 410 once it is no longer kept."""
        self._forget_old()
        record = self._records.get(job_id)
        if record is not None and record.caller == caller:
            return record
        if job_id in self._expired:
            raise ApiError(410, "expired", f"the job {job_id} has ended and is no longer kept")
        raise ApiError(404, "job_not_found", f"there is no job {job_id}")

    def list(self, caller: str, status: str | None) -> list[Record]:
        """The caller's jobs, the newest first."""
        self._forget_old()
        own = [record for record in self._records.values() if record.caller == caller]
        return [record for record in reversed(own) if status in (None, record.status)]

    async def _follow(self, record: Record, job: sdrbee.Job) -> None:
        """Turns the engine's events into those of the wire."""
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
        record.tell(
            "complete",
            image=images[0],
            format="png",
            images=images,
            seed=pictures[0].seed,
            seeds=[picture.seed for picture in pictures],
            width=pictures[0].width,
            height=pictures[0].height,
            timing={"queued_s": started - record.created, "run_s": now - started},
        )

    async def _encoded(self, picture: sdrbee.Image) -> str:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, _png_in_base64, picture)

    def _forget_old(self) -> None:
        """Ended jobs go by age, and the oldest when all results together are too large."""
        now, kept = time.time(), 0
        for record in sorted(self._records.values(), key=lambda one: one.ended or now)[::-1]:
            if record.ended is None:
                continue
            kept += record.kept_bytes
            if (
                now - record.ended > self._limits.kept_jobs_s
                or kept > self._limits.kept_pictures_bytes
            ):
                del self._records[record.job_id]
                self._expired[record.job_id] = now
        for job_id, when in list(self._expired.items()):
            if now - when > self._limits.kept_jobs_s:
                del self._expired[job_id]


def _png_in_base64(picture: sdrbee.Image) -> str:
    return base64.b64encode(picture.encode("png")).decode()


def _fail(record: Record, error: Exception) -> None:
    told = api_error(error)
    record.error = told.body["error"]
    record.tell("error", message=told.message, code=told.code)
