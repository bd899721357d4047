"""The jobs of a worker: which there are, whose they are, and how long they are kept."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor

import sdrbee
from sdrbee.server.errors import ApiError
from sdrbee.server.limits import Limits
from sdrbee.server.record import Record
from sdrbee.server.telling import Teller
from sdrbee.server.wire import Submission


class Book:
    """All jobs of a worker. For the event loop's thread alone."""

    def __init__(self, engine: sdrbee.Engine, limits: Limits, executor: Executor) -> None:
        self._engine = engine
        self._limits = limits
        self._executor = executor
        self._teller = Teller(executor)
        self._records: dict[str, Record] = {}
        self._expired: dict[str, float] = {}
        self._followers: set[asyncio.Task[None]] = set()

    async def submit(
        self,
        submission: Submission,
        model: str,
        caller: str,
        *,
        synchronous: bool = False,
        idempotency_key: str | None = None,
    ) -> Record:
        """Puts an operation into the engine's queue.

        Args:
            submission: The operation.
            model: The engine's name of its model.
            caller: Whose job it is.
            synchronous: Its client waits on the connection that it was sent by.
            idempotency_key: What its client calls it.

        Raises:
            InvalidRequest, QueueFull, Cancelled: As `Engine.submit`.
        """
        submission.check_features(model, self._engine.models[model])
        loop = asyncio.get_running_loop()
        request = await loop.run_in_executor(self._executor, submission.request)
        job = self._engine.submit(
            request, model=model, priority=submission.priority, deadline=submission.deadline_s
        )
        submission.pictures.clear()
        record = Record(
            submission, job, caller, model, synchronous=synchronous, idempotency_key=idempotency_key
        )
        self._records[record.job_id] = record
        task = asyncio.create_task(self._teller.follow(record, job))
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
