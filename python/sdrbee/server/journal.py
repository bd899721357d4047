"""The journal: jobs are written down on a thread of its own, several in one transaction."""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sdrbee.server.errors import ApiError
from sdrbee.server.store import Accepted, Damaged, Kept, Store, Told

log = logging.getLogger("sdrbee.server")

# How many writes share a transaction, and how many that are waited for may be under way.
_GROUP = 64
_UNDER_WAY = 256

T = TypeVar("T")


class StorageError(ApiError):
    """The journal can't be written: 507."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(
            507,
            "insufficient_storage",
            f"the worker can't write its job database ({reason}); try again later",
            retry_after_s=5,
        )


@dataclass(slots=True)
class _Task:
    work: Callable[[Store], Any]
    durable: bool
    transaction: bool = True
    outcome: Any = None
    done: Future[Any] = field(default_factory=Future)


class Journal:
    """Keeps jobs in a database at `path`, or in memory. Its methods return at once or are awaited;
    what they write is written in the order of the calls."""

    def __init__(self, path: Path | None = None) -> None:
        self._store = Store(path)
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._slots = asyncio.Semaphore(_UNDER_WAY)
        self._thread: threading.Thread | None = None

    @property
    def durable(self) -> bool:
        """Whether jobs outlive the process."""
        return self._store.durable

    async def open(self) -> Kept:
        """What earlier runs left. Raises StorageError; may be called again then."""
        kept: Kept = await self._do(_Task(Store.open, durable=True, transaction=False))
        return kept

    async def close(self) -> None:
        """Writes what was asked for and ends the thread."""
        if self._thread is not None:
            self._tasks.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    async def accept(
        self, job_id: str, accepted: Accepted, told: Told, digest: bytes | None
    ) -> None:
        """Writes a new job down for good. Raises StorageError."""
        await self._do(
            _Task(lambda store: store.accept(job_id, accepted, told, digest), durable=True)
        )

    async def finish(
        self, job_id: str, accepted: Accepted, told: Told, pictures: Sequence[bytes]
    ) -> None:
        """Writes a job's end down, for good where the next run would not come to the same end by
        itself. Raises StorageError."""
        ends_so_anyway = told.cancel_asked and told.status == "cancelled"
        await self._do(
            _Task(
                lambda store: store.finish(job_id, accepted, told, pictures),
                durable=not ends_so_anyway,
            )
        )

    async def tell(self, job_id: str, told: Told) -> None:
        """Writes down for good what became of a job. Raises StorageError."""
        await self._do(_Task(lambda store: store.tell(job_id, told), durable=True))

    def note(self, job_id: str, told: Told) -> None:
        """As `tell`, without waiting; it is left out when it can't be written."""
        self._put(_Task(lambda store: store.tell(job_id, told), durable=False))

    def save(self, job_id: str, told: Told, checkpoint: bytes) -> Future[None]:
        """Writes down how far a job is, without waiting; left out when it can't be written."""
        return self._put(_Task(lambda store: store.save(job_id, told, checkpoint), durable=False))

    async def pictures(self, job_id: str) -> list[bytes]:
        """The results of a job, as PNG; none when it is no longer kept. Raises StorageError."""
        pictures: list[bytes] = await self._do(
            _Task(lambda store: store.pictures(job_id), durable=False, transaction=False)
        )
        return pictures

    def expire(
        self,
        jobs: Iterable[tuple[str, str]],
        now: float,
        *,
        expired_before: float,
        keys_before: float,
    ) -> None:
        """Drops jobs (id and caller), and what is known of jobs and keys of long ago."""

        def work(store: Store) -> None:
            store.expire(jobs, now)
            store.forget(expired_before=expired_before, keys_before=keys_before)

        self._put(_Task(work, durable=False))

    def _put(self, task: _Task) -> Future[None]:
        task.done.add_done_callback(_log_failure)
        self._enqueue(task)
        return task.done

    def _enqueue(self, task: _Task) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
            self._thread.start()
        self._tasks.put(task)

    async def _do(self, task: _Task) -> Any:
        async with self._slots:
            self._enqueue(task)
            try:
                return await asyncio.wrap_future(task.done)
            except (sqlite3.Error, OSError, Damaged) as error:
                raise StorageError(error) from error

    def _run(self) -> None:
        open_ = True
        while open_:
            tasks = [self._tasks.get()]
            while tasks[-1] is not None and len(tasks) < _GROUP and not self._tasks.empty():
                tasks.append(self._tasks.get())
            open_ = tasks[-1] is not None
            self._perform([task for task in tasks if task is not None])
        self._store.close()

    def _perform(self, tasks: list[_Task]) -> None:
        group: list[_Task] = []
        for task in tasks:
            if task.transaction:
                group.append(task)
                continue
            self._commit(group)
            group = []
            try:
                task.outcome = task.work(self._store)
                _succeed(task)
            except Exception as error:
                _fail(task, error)
        self._commit(group)

    def _commit(self, group: list[_Task]) -> None:
        """All in one transaction; when that fails, each in one of its own."""
        if not group:
            return
        try:
            self._store.begin(durable=any(task.durable for task in group))
            for task in group:
                task.outcome = task.work(self._store)
            self._store.commit()
        except Exception as error:
            self._store.rollback()
            if len(group) == 1:
                _fail(group[0], error)
                return
            for task in group:
                self._commit([task])
            return
        for task in group:
            _succeed(task)


def _succeed(task: _Task) -> None:
    if task.done.set_running_or_notify_cancel():
        task.done.set_result(task.outcome)


def _fail(task: _Task, error: Exception) -> None:
    if task.done.set_running_or_notify_cancel():
        task.done.set_exception(error)


def _log_failure(done: Future[Any]) -> None:
    error = done.exception()
    if error is not None:
        log.warning("the job database was not written: %s", error)
