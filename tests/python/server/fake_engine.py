"""An engine whose pictures cost nothing: what the tests of jobs need of `sdrbee.Engine`."""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import sdrbee


def content_of(prompt: str, seed: int) -> bytes:
    """What the file of a picture holds."""
    return hashlib.sha256(f"{prompt} {seed}".encode()).digest()


class FakePicture:
    """Its file depends on the request only."""

    width = height = 64

    def __init__(self, request: Any, index: int) -> None:
        self.seed = request.seed + index
        self.recipe = {"batched": False}
        self._content = content_of(request.prompt, self.seed)

    def encode(self, kind: str, *, model: str) -> bytes:
        assert (kind, model) == ("png", "shapes")
        header = struct.pack(">I4s13xI", 13, b"IHDR", 0)
        content = struct.pack(">I4s", len(self._content), b"IDAT") + self._content + bytes(4)
        return b"\x89PNG\r\n\x1a\n" + header + content


class FakeJob:
    def __init__(self, request: Any, priority: int, resume: bytes | None) -> None:
        self.request = request
        self.priority = priority
        self.state = "queued"
        self.resumed_at = self.steps_taken = int(resume or b"0")
        self._events: list[Any] = []
        self._news = asyncio.Event()
        self.cancelled = False
        self.tell("queued", position=0)

    def tell(self, kind: str, **values: Any) -> None:
        shape = {"position": 0, "image_index": 0, "step": 0, "total": None, "preview": None}
        self._events.append(SimpleNamespace(kind=kind, **{**shape, **values}))
        if kind in ("started", "done", "failed", "cancelled"):
            self.state = {"started": "running"}.get(kind, kind)
        self._news.set()
        self._news = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[Any]:
        position = 0
        while True:
            news = self._news
            while position < len(self._events):
                yield self._events[position]
                position += 1
            if self.state in ("done", "failed", "cancelled"):
                return
            await news.wait()

    def cancel(self) -> None:
        self.cancelled = True
        if self.state == "queued":
            self.tell("cancelled")

    def checkpoint(self) -> bytes | None:
        return b"%d" % self.steps_taken if self.steps_taken else None

    def result(self) -> Any:
        if "fails" in self.request.prompt:
            raise sdrbee.OutOfMemory("[engine] there is none left")
        pictures = [FakePicture(self.request, index) for index in range(self.request.count)]
        return pictures[0] if len(pictures) == 1 else pictures


class FakeEngine:
    """Makes one job after the other; `crashing` prompts end the process at their third step."""

    def __init__(self, *, step_s: float = 0.0, queue_limit: int = 64, stop_at: int = -1) -> None:
        self.models = {"shapes": sdrbee.describe("shapes").info}
        self.status = {
            "queued": 0,
            "workers": [{"model": "shapes", "load_error": None, "jobs": [], "overdue": 0.0}],
        }
        self.submitted: list[FakeJob] = []
        self.steps: list[tuple[str, int]] = []
        self.stop_at = stop_at
        self.open_gate = asyncio.Event()
        self.open_gate.set()
        self._step_s = step_s
        self._queue_limit = queue_limit
        self._queue: list[FakeJob] = []
        self.asked = 0
        """How often `submit` was called."""
        self._running: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def _waiting(self) -> list[FakeJob]:
        return [job for job in self._queue if not job.cancelled]

    def check_room(self, count: int) -> None:
        assert count >= 1
        if len(self._waiting()) >= self._queue_limit:
            raise sdrbee.QueueFull("[queue] it is full")

    def submit(
        self,
        request: Any,
        *,
        priority: int,
        resume: bytes | None = None,
        **_others: Any,
    ) -> FakeJob:
        self.asked += 1
        waiting = self._waiting()
        self.check_room(request.count)
        filled = SimpleNamespace(
            prompt=request.prompt,
            seed=len(self.submitted) if request.seed is None else request.seed,
            steps=request.steps or 3,
            count=request.count,
        )
        if resume is not None and not resume.isdigit():
            raise sdrbee.CheckpointError("[resume] it is damaged")
        job = FakeJob(filled, priority, resume)
        self.submitted.append(job)
        self._queue = sorted([*waiting, job], key=lambda one: -one.priority)
        if self._running is None or self._running.done():
            self._loop = asyncio.get_running_loop()
            self._running = asyncio.create_task(self._run())
        return job

    def close(self, **_options: bool) -> None:
        """From any thread, as that of `sdrbee.Engine`."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cancel_all)

    def _cancel_all(self) -> None:
        for job in self.submitted:
            job.cancel()
        self.open_gate.set()

    async def _run(self) -> None:
        await asyncio.sleep(0)
        while self._queue:
            job = self._queue.pop(0)
            if job.state == "queued":
                await self._make(job)

    async def _make(self, job: FakeJob) -> None:
        job.tell("started")
        while job.steps_taken < job.request.steps:
            if job.steps_taken == self.stop_at:
                self.open_gate.clear()
            await self.open_gate.wait()
            await asyncio.sleep(self._step_s)
            if job.cancelled:
                return job.tell("cancelled")
            job.steps_taken += 1
            self.steps.append((job.request.prompt, job.steps_taken))
            job.tell("step", step=job.steps_taken, total=job.request.steps)
            job.tell("checkpoint")
        return job.tell("failed" if "fails" in job.request.prompt else "done")
