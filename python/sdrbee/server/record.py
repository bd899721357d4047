"""One job of a worker and what is told of it, for any number of readers, also after its end."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

import sdrbee
from sdrbee.server.wire import Submission

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
    synchronous: bool = False
    """Whether its client waits on the connection that it was sent by."""
    idempotency_key: str | None = None
    job_id: str = field(default_factory=lambda: f"job-{uuid.uuid4()}")
    created: float = field(default_factory=time.time)
    status: str = "queued"
    position: int | None = None
    progress: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    """What `complete` says beside the pictures."""
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
            "request": self.submission.summary,
            "result": self.result,
        }

    async def ending(self) -> dict[str, Any]:
        """Waits for the end; the values of the last event, with its `type`."""
        last: bytes | None = None
        async for event in self.follow(0, None):
            last = event.data if event is not None else last
        ending: dict[str, Any] = msgspec.json.decode(last or b"{}")
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
