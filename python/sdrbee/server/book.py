"""The jobs of a worker: which there are, whose they are, and how they outlive it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import sdrbee
from sdrbee.server.errors import ApiError
from sdrbee.server.fit import Fit
from sdrbee.server.idempotency import Keys, digest_of
from sdrbee.server.journal import Journal, StorageError
from sdrbee.server.limits import Limits
from sdrbee.server.metrics import Metrics
from sdrbee.server.operations import FEATURES
from sdrbee.server.record import Record
from sdrbee.server.shelf import Shelf
from sdrbee.server.store import Kept, Key
from sdrbee.server.submitting import check_crashes, engine_job, submit_again
from sdrbee.server.tasks import begin, end_all
from sdrbee.server.telling import Teller
from sdrbee.server.webhooks import Webhooks
from sdrbee.server.wire import Submission

log = logging.getLogger("sdrbee.server")

# More events than a job has in one run of the worker, so that their numbers only grow.
_NUMBERS_OF_A_RUN = 1 << 20

# How long to wait before the journal is tried again.
_RETRY_S = 1.0

_STARTING = ApiError(503, "starting", "the jobs of the last run are being read", retry_after_s=1)


class Book:
    """All jobs of a worker. For the event loop's thread alone.

    A job is there once the journal has it, and has ended once the journal has its end.
    """

    def __init__(
        self,
        engine: sdrbee.Engine,
        limits: Limits,
        executor: Executor,
        journal: Journal,
        metrics: Metrics,
        *,
        strip_metadata: bool = False,
    ) -> None:
        self._engine = engine
        self._limits = limits
        self._executor = executor
        self._journal = journal
        self._teller = Teller(engine, executor, metrics, strip_metadata)
        self._metrics = metrics
        self._accepting: Counter[str] = Counter()
        self._fit = Fit()
        self._first_number = 1
        self._records: dict[str, Record] = {}
        self._shelf = Shelf(limits)
        self._keys = Keys(limits.idempotency_s)
        self._followers: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._unstored: list[Record] = []
        self._is_open = not journal.durable
        self.webhooks = Webhooks()
        """Tells of the ends of jobs; replaced before the start where they are allowed."""
        self.refusal: ApiError | None = None if self._is_open else _STARTING
        """Why no job is taken at the moment."""

    async def open(self, wait_s: float) -> None:
        """Opens the journal and goes on with the jobs of earlier runs; in the background after
        `wait_s`."""
        if self._journal.durable:
            await asyncio.wait({begin(self._open(), self._tasks)}, timeout=wait_s)

    async def submit(
        self,
        submission: Submission,
        model: str,
        caller: str,
        *,
        synchronous: bool = False,
        idempotency_key: str | None = None,
    ) -> Record:
        """Puts an operation into the engine's queue and writes it down.

        Args:
            submission: The operation.
            model: The engine's name of its model.
            caller: Whose job it is.
            synchronous: Its client waits on the connection that it was sent by; without a key the
                job is cancelled when the worker ends.
            idempotency_key: When the caller has a job under this key, that one is the answer.

        Raises:
            InvalidRequest, QueueFull, Cancelled: As `Engine.submit`.
            ApiError: 429 when the caller's API key has its share of the queue, 422 for a key of
                another operation, 410 for one of a job that is no longer
                kept, 503 while the worker starts or ends, 507 when it can't be written down.
        """
        make = partial(
            Record,
            submission,
            None,
            caller,
            model,
            self._journal,
            synchronous=synchronous,
            idempotency_key=idempotency_key,
            first_number=self._first_number,
        )
        if idempotency_key is None:
            with self._share(caller):
                return await self._accept(submission, model, make, None)
        digest = await asyncio.to_thread(digest_of, submission, model)
        async with self._keys.use(caller, idempotency_key, digest) as job_id:
            if job_id is not None:
                return self.find(job_id, caller)
            with self._share(caller):
                record = await self._accept(submission, model, make, digest)
            self._keys.put([Key(caller, idempotency_key, digest, record.job_id, record.created)])
            return record

    def find(self, job_id: str, caller: str) -> Record:
        """A job of this caller. Raises ApiError 404, and 410 once it is no longer kept."""
        self._forget_old()
        record = self._records.get(job_id)
        if record is not None and record.caller == caller:
            return record
        if not self._is_open:
            raise _STARTING
        if self._shelf.had(job_id, caller):
            raise ApiError(410, "expired", f"the job {job_id} has ended and is no longer kept")
        raise ApiError(404, "job_not_found", f"there is no job {job_id}")

    def list(self, caller: str, status: str | None) -> list[Record]:
        """The caller's jobs, the newest first."""
        self._forget_old()
        own = [record for record in self._records.values() if record.caller == caller]
        return [record for record in reversed(own) if status in (None, record.status)]

    async def cancel(self, record: Record) -> str:
        """Ends a job within one step, also when the worker crashes now. The status that it has or
        is about to have."""
        if record.ended is not None:
            return record.status
        record.stop()
        if record.job is not None and record.job.state in ("done", "failed"):
            return record.job.state
        record.cancel_asked = True
        try:
            await self._journal.tell(record.job_id, record.told())
        except StorageError as error:
            log.warning("%s", error)
        return "cancelled"

    async def drain(self, timeout_s: float, hurry: asyncio.Event) -> None:
        """Takes no new jobs, leaves waiting ones to the next run, and lets running ones end until
        `timeout_s` have passed or `hurry` is set; then it leaves these, too, so that who waits for
        one is told."""
        self.refusal = ApiError(503, "draining", "the worker is ending", retry_after_s=5)
        await end_all(self._tasks)
        for record in self._open_records():
            if record.status == "queued":
                await self._leave(record)
                record.stop()
        hurried = asyncio.create_task(_set(hurry))
        end = time.monotonic() + timeout_s
        while self._followers and not hurry.is_set() and time.monotonic() < end:
            await asyncio.wait(
                {hurried, *self._followers},
                timeout=end - time.monotonic(),
                return_when=asyncio.FIRST_COMPLETED,
            )
        hurried.cancel()
        for record in self._open_records():
            await self._leave(record)

    async def close(self) -> None:
        """Leaves all jobs that have not ended to the next run; closes the engine and the
        journal."""
        self.refusal = ApiError(503, "shutting_down", "the worker is ending", retry_after_s=5)
        await end_all(self._tasks)
        running = [record for record in self._open_records() if record.status == "running"]
        for record in self._open_records():
            await self._leave(record)
        await asyncio.to_thread(self._engine.close, checkpoint=self._journal.durable)
        await asyncio.gather(*self._followers, return_exceptions=True)
        for record in running:
            checkpoint = record.job and record.job.checkpoint()
            if record.suspended and checkpoint:
                record.save(checkpoint)
        await self.webhooks.close()
        with suppress(StorageError):
            for record in self._unstored:
                await record.store()
        await self._journal.close()

    def _open_records(self) -> Sequence[Record]:
        return [record for record in self._records.values() if record.ended is None]

    @contextmanager
    def _share(self, caller: str) -> Iterator[None]:
        """While a job is being accepted. Raises ApiError 429 when its key has its share of the
        queue already."""
        if not caller:  # only one caller, who may have all of the queue
            yield
            return
        most = self._limits.jobs_per_key
        jobs = sum(record.caller == caller for record in self._open_records())
        if jobs + self._accepting[caller] >= most:
            text = f"this API key has {most} jobs already; wait for one to end"
            raise ApiError(429, "too_many_jobs", text, retry_after_s=1)
        self._accepting[caller] += 1
        try:
            yield
        finally:
            self._accepting[caller] -= 1

    async def _accept(
        self, submission: Submission, model: str, make: Callable[[], Record], digest: bytes | None
    ) -> Record:
        if self.refusal is not None:
            raise self.refusal
        self.webhooks.check(submission.webhook_url)
        submission.check_features(model, self._engine.models[model])
        request = await self._request(submission)
        if self._fit.has(submission, model):
            self._engine.check_room(request.count)
        record = make()
        try:
            job = engine_job(self._engine, request, record, deadline_s=submission.deadline_s)
        except sdrbee.QueueFull:  # only what fits is told so
            self._fit.add(submission, model)
            raise
        record.job = job
        # Were it chosen anew, a job that begins again after a crash would be another picture.
        submission.fields["seed"] = job.request.seed
        try:
            await self._journal.accept(record.job_id, record.accepted(), record.told(), digest)
        except BaseException:
            job.cancel()
            raise
        self._records[record.job_id] = record
        self._begin_following(record, job)
        self._forget_old()
        return record

    async def _request(self, submission: Submission) -> sdrbee.GenerationRequest:
        """The engine's request; in a thread where there are pictures to decode or names to look up
        in the model store."""
        if not submission.pictures and not any(map(submission.fields.get, FEATURES)):
            return submission.request()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, submission.request)

    def _begin_following(self, record: Record, job: sdrbee.Job) -> None:
        begin(self._ended(record, self._teller.follow(record, job)), self._followers)

    async def _ended(self, record: Record, ending: Coroutine[Any, Any, None]) -> None:
        """Waits for what ends a job, and until the journal has it."""
        try:
            await ending
        except StorageError as error:
            log.warning("the end of %s is not written down yet: %s", record.job_id, error)
            self._unstored.append(record)
            if len(self._unstored) == 1:
                begin(self._store_later(), self._tasks)
        if record.ended is not None:
            self._shelf.put(record)
            seconds = record.ended - record.created
            self._metrics.job_ended(record.submission.operation, record.status, seconds)
            self.webhooks.ended(record)

    async def _store_later(self) -> None:
        while self._unstored:
            await asyncio.sleep(_RETRY_S)
            with suppress(StorageError):
                await self._unstored[0].store()
                self._unstored.pop(0)

    async def _open(self) -> None:
        kept = await self._open_journal()
        self._first_number = 1 + kept.run * _NUMBERS_OF_A_RUN
        self._keys.put(kept.keys)
        self._shelf.put_expired(kept.expired)
        for job in kept.jobs:
            self._records[job.job_id] = Record.kept(job, self._journal, self._first_number)
        waiting = [
            (self._records[job.job_id], job.checkpoint)
            for job in kept.jobs
            if job.told.ended is None
        ]
        for record in sorted(self._records.values(), key=lambda one: one.ended or 0.0):
            if record.ended is not None:
                self._shelf.put(record)
                self.webhooks.ended(record)
        self._is_open = True
        for record, checkpoint in waiting:
            await self._resume(record, checkpoint)
        self.refusal = None

    async def _open_journal(self) -> Kept:
        told = False
        while True:
            try:
                return await self._journal.open()
            except StorageError as error:
                self.refusal = error
                if not told:
                    log.error("%s", error)
                told = True
            await asyncio.sleep(_RETRY_S)

    async def _resume(self, record: Record, checkpoint: bytes | None) -> None:
        """Puts a job of an earlier run into the engine's queue again, where it still has a
        chance."""
        if record.status == "running":
            record.crashes += 1
        record.status = "queued"
        try:
            if record.cancel_asked or (record.synchronous and record.idempotency_key is None):
                return await self._ended(record, record.end("cancelled"))
            check_crashes(record)
            request = await self._request(record.submission)
            record.job = await submit_again(self._engine, request, record, checkpoint)
        except Exception as error:
            return await self._ended(record, self._teller.fail(record, error))
        if record.job is None:
            return await self._ended(record, record.end("cancelled"))
        return self._begin_following(record, record.job)

    async def _leave(self, record: Record) -> None:
        """Leaves a job to the next run of the worker; where there is none, it is cancelled."""
        if not self._journal.durable or (record.synchronous and record.idempotency_key is None):
            await self.cancel(record)
            return
        record.suspend()
        self._journal.note(record.job_id, record.told())

    def _forget_old(self) -> None:
        gone = self._shelf.take_old()
        for record in gone:
            del self._records[record.job_id]
        if gone:
            now = time.time()
            self._journal.expire(
                [(record.job_id, record.caller) for record in gone],
                now,
                expired_before=now - self._limits.kept_jobs_s,
                keys_before=now - self._limits.idempotency_s,
            )


async def _set(event: asyncio.Event) -> None:
    await event.wait()
