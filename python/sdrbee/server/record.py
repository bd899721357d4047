"""One job of a worker and what is told of it, for any number of readers, also after its end."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
import uuid
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from msgspec import structs

import sdrbee
from sdrbee.server.answers import JobDescription, JobError, JobProgress, JobResult
from sdrbee.server.errors import ApiError
from sdrbee.server.journal import Journal
from sdrbee.server.store import Accepted, KeptJob, Told
from sdrbee.server.wire import Submission

log = logging.getLogger("sdrbee.server")

# Seconds without an event after which the reader of a stream gets a sign of life.
HEARTBEAT_S = 15.0

TERMINAL = {"complete": "done", "error": "failed", "cancelled": "cancelled"}

STATUSES = ("queued", "running", *TERMINAL.values())

# Events that are states: they are written down, and no later one takes their place.
_STATES = ("queued", "started", *TERMINAL)

# Those of which only the latest counts, of each picture by itself.
_LATEST_COUNTS = ("queued", "preview")


@dataclass(slots=True)
class WireEvent:
    """A named event; `data` is None once a later one of its kind has taken its place, and until
    somebody wants it where it takes work."""

    number: int
    name: str
    image_index: int | None
    data: bytes | None
    work: Callable[[], Awaitable[bytes]] | None = field(default=None, compare=False)
    work_bytes: int = field(default=0, compare=False)
    _working: asyncio.Future[None] | None = field(default=None, compare=False)

    @property
    def held_bytes(self) -> int:
        """What it takes in memory."""
        return self.work_bytes if self.work is not None else len(self.data or b"")

    async def make(self) -> None:
        """Makes `data`, once for all who want it."""
        if self.work is not None:
            self._working = self._working or asyncio.ensure_future(self._make(self.work))
            await asyncio.shield(self._working)

    def outdate(self) -> None:
        """A later event has taken its place."""
        self.data = self.work = None

    async def _make(self, work: Callable[[], Awaitable[bytes]]) -> None:
        data = None
        try:
            data = await work()
        except Exception:
            log.exception("event %d can't be shown", self.number)
        if self.work is not None:
            self.data, self.work = data, None


@dataclass(slots=True)
class Record:
    """A job and what is told of it. For the event loop's thread alone."""

    submission: Submission
    job: sdrbee.Job | None
    """The engine's job, until its end."""
    caller: str
    model: str
    journal: Journal
    synchronous: bool = False
    """Whether its client waits on the connection that it was sent by."""
    idempotency_key: str | None = None
    first_number: int = 1
    """The least number of the events of this run of the worker."""
    job_id: str = field(default_factory=lambda: f"job-{uuid.uuid4()}")
    created: float = field(default_factory=time.time)
    status: str = "queued"
    position: int | None = None
    progress: JobProgress | None = None
    error: JobError | None = None
    started: float | None = None
    ended: float | None = None
    cancel_asked: bool = False
    suspended: bool = False
    """Whether it goes on in the next run of the worker, not in this one."""
    batched: bool = False
    """Whether a picture shared a step with another."""
    crashes: int = 0
    kept_bytes: int = 0
    log: list[WireEvent] = field(default_factory=list)
    readers: set[asyncio.Event] = field(default_factory=set)
    pictures: list[bytes] | None = None
    """The results as PNG, until the journal has them."""
    _saving: Future[None] | None = None
    _latest: dict[tuple[str, int | None], WireEvent] = field(default_factory=dict)

    @classmethod
    def kept(cls, kept: KeptJob, journal: Journal, first_number: int) -> Record:
        """A job of an earlier run."""
        accepted, told = kept.accepted, kept.told
        return cls(
            submission=accepted.submission,
            job=None,
            caller=accepted.caller,
            model=accepted.model,
            journal=journal,
            synchronous=accepted.synchronous,
            idempotency_key=accepted.idempotency_key,
            first_number=first_number,
            job_id=kept.job_id,
            created=accepted.created,
            status=told.status,
            error=told.error,
            started=told.started,
            ended=told.ended,
            cancel_asked=told.cancel_asked,
            batched=told.batched,
            crashes=told.crashes,
            kept_bytes=told.kept_bytes,
            log=[WireEvent(number, name, None, data) for number, name, data in told.events],
        )

    def accepted(self) -> Accepted:
        """What the journal writes down of it once."""
        return Accepted(
            submission=self.submission,
            caller=self.caller,
            model=self.model,
            created=self.created,
            synchronous=self.synchronous,
            idempotency_key=self.idempotency_key,
        )

    def told(self) -> Told:
        """What the journal writes down of it at each change."""
        return Told(
            status=self.status,
            started=self.started,
            ended=self.ended,
            error=self.error,
            cancel_asked=self.cancel_asked,
            batched=self.batched,
            crashes=self.crashes,
            kept_bytes=self.kept_bytes,
            events=[
                (event.number, event.name, event.data)
                for event in self.log
                if event.name in _STATES and event.data is not None
            ],
        )

    def tell(
        self,
        name: str,
        *,
        work: Callable[[], Awaitable[bytes]] | None = None,
        work_bytes: int = 0,
        **values: Any,
    ) -> None:
        """Adds an event that is not an end; a preview and a position in the queue take the place of
        the one before. With `work`, which holds `work_bytes` of memory, it is made when somebody
        wants it; `values` say what it is about.
        """
        event = self._event(name, values.get("image_index"), values)
        if work is not None:
            event.data, event.work, event.work_bytes = None, work, work_bytes
        if name in _LATEST_COUNTS:
            earlier = self._latest.get((name, event.image_index))
            if earlier is not None:
                earlier.outdate()
            self._latest[name, event.image_index] = event
        self.log.append(event)
        if name == "started":  # until then the next run has nothing to know
            self.journal.note(self.job_id, self.told())
        self._wake()

    async def end(self, name: str, pictures: Sequence[bytes] = (), **values: Any) -> None:
        """Adds the last event, once the journal has it and the results, PNG in bytes.

        When the journal can't be written, readers get them all the same, and `store` is to be
        tried again.
        """
        for event in self.log:
            if event.name == "progress":
                event.outdate()
        last = self._event(name, None, values)
        self.kept_bytes = sum(map(len, pictures)) + sum(event.held_bytes for event in self.log)
        told = self.told()
        told = structs.replace(
            told,
            status=TERMINAL[name],
            ended=time.time(),
            events=[*told.events, (last.number, last.name, last.data or b"")],
        )
        self.submission.pictures.clear()
        self.pictures = list(pictures)
        try:
            await self.store(told)
        finally:
            self.log = [event for event in self.log if event.data or event.work]
            self.log.append(last)
            self.status, self.ended, self.job = told.status, told.ended, None
            self._wake()

    def save(self, checkpoint: bytes) -> None:
        """Writes down how far it is. Left out while the one before is being written, and without a
        journal that outlives the process."""
        if self.journal.durable and (self._saving is None or self._saving.done()):
            self.crashes = 0
            self._saving = self.journal.save(self.job_id, self.told(), checkpoint)

    async def store(self, told: Told | None = None) -> None:
        """Writes the end and the results down. Raises StorageError."""
        await self.journal.finish(
            self.job_id, self.accepted(), told or self.told(), self.pictures or ()
        )
        self.pictures = None

    def stop(self) -> None:
        """Has the engine end it within one step; nothing when it has ended. `Book.cancel` does this
        and sees to it that it is cancelled after a crash, too."""
        if self.job is not None:
            self.job.cancel()

    def suspend(self) -> None:
        """Leaves it to the next run of the worker; its readers are sent away."""
        self.suspended, self.status = True, "queued"
        self._wake()

    def describe(self) -> JobDescription:
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
            "batched": self.batched,
            "error": self.error,
            "request": self.submission.summary,
            "result": self.result,
        }

    @property
    def result(self) -> JobResult | None:
        """What `complete` says beside the pictures."""
        if self.status != "done":
            return None
        return msgspec.json.decode(self.log[-1].data or b"{}", type=JobResult)

    async def images(self) -> list[bytes]:
        """The results as PNG. Raises ApiError 410 when they are no longer kept."""
        pictures = self.pictures
        if pictures is None:
            pictures = await self.journal.pictures(self.job_id)
        if not pictures:
            raise ApiError(410, "expired", f"the pictures of {self.job_id} are no longer kept")
        return pictures

    async def ending(self) -> dict[str, Any]:
        """Waits for the end; the values of the last event, with its `type`.

        Raises:
            ApiError: 503 when the worker ends before the job.
        """
        last: bytes | None = None
        async for event in self.follow(0, None):
            last = event.data if event is not None else last
        if last is None or self.ended is None:
            raise ApiError(503, "shutting_down", "the worker is shutting down", retry_after_s=5)
        ending: dict[str, Any] = msgspec.json.decode(last)
        return ending

    async def follow(
        self, after: int, heartbeat_s: float | None
    ) -> AsyncIterator[WireEvent | None]:
        """Events behind number `after`, until the end; None whenever `heartbeat_s` pass without
        one."""
        news = asyncio.Event()
        self.readers.add(news)
        try:
            while True:
                news.clear()
                leave = self.suspended or self.ended is not None
                for event in self.log[bisect_right(self.log, after, key=_number) :]:
                    after = event.number
                    if event.work is not None:
                        await event.make()
                    if event.name == "complete":
                        yield await self._with_pictures(event)
                    elif event.data is not None:
                        yield event
                if leave:
                    return
                if not await _comes(news, heartbeat_s):
                    yield None
        finally:
            self.readers.discard(news)

    async def _with_pictures(self, event: WireEvent) -> WireEvent:
        pictures = await self.images()
        return replace(event, data=await asyncio.to_thread(_joined, event.data or b"", pictures))

    def _event(self, name: str, index: int | None, values: dict[str, Any]) -> WireEvent:
        number = max(self.first_number, self.log[-1].number + 1 if self.log else 1)
        return WireEvent(number, name, index, msgspec.json.encode({"type": name, **values}))

    def _wake(self) -> None:
        for reader in self.readers:
            reader.set()


async def _comes(news: asyncio.Event, within_s: float | None) -> bool:
    """Waits for `news`; False after `within_s` seconds without. `asyncio.wait_for` makes a task
    each time, which costs as much as telling what is new."""
    if within_s is None:
        return await news.wait()
    late = False

    def give_up() -> None:
        nonlocal late
        late = not news.is_set()
        news.set()

    timer = asyncio.get_running_loop().call_later(within_s, give_up)
    try:
        await news.wait()
    finally:
        timer.cancel()
    return not late


def _number(event: WireEvent) -> int:
    return event.number


def _joined(values: bytes, pictures: Sequence[bytes]) -> bytes:
    """An event of JSON with its pictures in base64."""
    images = [base64.b64encode(picture).decode() for picture in pictures]
    return msgspec.json.encode(
        {**msgspec.json.decode(values), "image": images[0], "images": images}
    )
