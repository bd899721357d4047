"""Jobs that outlive their worker: accepted once written down, ended once, restarted in order."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from server.fake_engine import FakeEngine

import sdrbee
from sdrbee.server.book import Book
from sdrbee.server.errors import ApiError
from sdrbee.server.journal import Journal, StorageError
from sdrbee.server.limits import Limits
from sdrbee.server.metrics import Metrics
from sdrbee.server.record import Record
from sdrbee.server.store import Store
from sdrbee.server.submitting import MOST_CRASHES
from sdrbee.server.wire import Submission


def submission(prompt: str, **values: Any) -> Submission:
    fields = {"prompt": prompt, "count": values.pop("count", 1), "steps": values.pop("steps", 3)}
    return Submission("image_generation", fields, {}, "", **values)


class Opened:
    """A book on a database, and the engine that works for it."""

    def __init__(self, path: Path | None, limits: Limits, engine: Any, **options: Any) -> None:
        self.engine: Any = engine or FakeEngine(**options)
        self.executor = ThreadPoolExecutor(1)
        self.journal = Journal(path)
        self.book = Book(self.engine, limits, self.executor, self.journal, Metrics(self.engine))

    async def submit(self, prompt: str, caller: str = "", **values: Any) -> Record:
        options = {
            name: values.pop(name) for name in ("synchronous", "idempotency_key") if name in values
        }
        return await self.book.submit(submission(prompt, **values), "shapes", caller, **options)

    async def crash(self) -> None:
        """Ends without writing anything more, as a killed process does."""
        self.journal._store.commit = lambda: (_ for _ in ()).throw(OSError("killed"))  # type: ignore[method-assign]
        with suppress(ApiError):
            await self.book.close()


@asynccontextmanager
async def opened(
    path: Path | None,
    limits: Limits | None = None,
    *,
    wait_s: float = 60.0,
    engine: Any = None,
    **options: Any,
) -> Any:
    """A book that is open; `options` are those of `FakeEngine`."""
    one = Opened(path, limits or Limits(), engine, **options)
    await one.book.open(wait_s)
    try:
        yield one
    finally:
        await one.book.close()
        one.executor.shutdown()


def run(test: Callable[[Path], Any]) -> Callable[..., None]:
    """Makes a test of a coroutine that takes the path of a database."""

    def wrapped(tmp_path: Path) -> None:
        asyncio.run(asyncio.wait_for(test(tmp_path / "jobs.db"), 60))

    wrapped.__name__ = test.__name__
    return wrapped


async def names(record: Record, after: int = 0) -> list[str]:
    return [event.name async for event in record.follow(after, None) if event is not None]


async def started(record: Record) -> None:
    """Returns once it runs, and the journal knows."""
    async for _ in record.follow(0, None):
        if record.status == "running":
            break
    await record.journal.tell(record.job_id, record.told())


@run
async def test_results_outlive_the_worker(path: Path) -> None:
    async with opened(path) as first:
        record = await first.submit("a star", "ann", count=2)
        told = [event async for event in record.follow(0, None)]
        ending = await record.ending()
        failed = await first.submit("fails")
        await failed.ending()
    async with opened(path) as second:
        again = second.book.find(record.job_id, "ann")
        assert again.describe() == {**record.describe(), "progress": None}
        assert await again.ending() == ending
        assert len(ending["images"]) == 2
        kept = [event async for event in again.follow(0, None)]
        assert kept == [event for event in told if event.name in ("queued", "started", "complete")]
        assert await names(again, after=kept[0].number) == ["started", "complete"]
        assert second.engine.submitted == []
        assert [one.job_id for one in second.book.list("ann", "done")] == [record.job_id]
        other = second.book.find(failed.job_id, "")
        assert other.error == failed.error
        assert other.error["code"] == "out_of_memory"


@run
async def test_jobs_that_had_not_ended_begin_again_in_their_order(path: Path) -> None:
    async with opened(path) as first:
        first.engine.open_gate.clear()
        records = [await first.submit(f"job {index}") for index in range(4)]
        urgent = await first.submit("urgent", priority=5, deadline_s=500.0)
        await started(records[0])
        before = {record.job_id: record.log[-1].number for record in records}
        await first.crash()
    async with opened(path) as second:
        again = [second.book.find(record.job_id, "") for record in (*records, urgent)]
        endings = [await record.ending() for record in again]
        assert {ending["type"] for ending in endings} == {"complete"}
        assert [ending["seed"] for ending in endings] == [
            record.submission.fields["seed"] for record in (*records, urgent)
        ]
        submitted = [(job.request.prompt, job.priority) for job in second.engine.submitted]
        assert submitted == [("job 0", 0), ("job 1", 0), ("job 2", 0), ("job 3", 0), ("urgent", 5)]
        for record in again[:-1]:
            new = [e async for e in record.follow(before[record.job_id], None) if e is not None]
            assert new[0].name == "queued"
            assert [event.name for event in new].count("complete") == 1
            numbers = [event.number for event in record.log]
            assert numbers == sorted(set(numbers))
    async with opened(path) as third:
        assert len(third.book.list("", "done")) == 5
        assert third.engine.submitted == []


@run
async def test_what_is_left_of_a_deadline_and_none(path: Path) -> None:
    async with opened(path) as first:
        first.engine.open_gate.clear()
        late = await first.submit("late", deadline_s=0.001)
        await first.submit("in time", deadline_s=500.0)
        await first.crash()
    async with opened(path) as second:
        ending = await second.book.find(late.job_id, "").ending()
        assert (ending["type"], ending["code"]) == ("error", "deadline_exceeded")
        assert len(second.engine.submitted) == 1


@run
async def test_synchronous_jobs_end_cancelled_but_for_those_with_a_key(path: Path) -> None:
    async with opened(path) as first:
        first.engine.open_gate.clear()
        without = await first.submit("a", synchronous=True)
        key = await first.submit("b", synchronous=True, idempotency_key="k")
        await first.crash()
    async with opened(path) as second:
        assert (await second.book.find(without.job_id, "").ending())["type"] == "cancelled"
        assert (await second.book.find(key.job_id, "").ending())["type"] == "complete"


@run
async def test_a_cancelled_job_does_not_begin_again(path: Path) -> None:
    async with opened(path) as first:
        first.engine.open_gate.clear()
        running = await first.submit("running")
        await started(running)
        assert await first.book.cancel(running) == "cancelled"
        await first.crash()
    async with opened(path) as second:
        again = second.book.find(running.job_id, "")
        assert (await again.ending())["type"] == "cancelled"
        assert await second.book.cancel(again) == "cancelled"
        assert second.engine.submitted == []


@run
async def test_a_job_at_which_the_worker_crashes_again_and_again_fails(path: Path) -> None:
    for _ in range(MOST_CRASHES):
        async with opened(path, stop_at=0) as one:
            records = one.book.list("", None) or [await one.submit("crashing")]
            await started(records[0])
            await one.crash()
    async with opened(path) as last:
        record = last.book.list("", None)[0]
        ending = await record.ending()
        assert (ending["type"], ending["code"]) == ("error", "worker_crashed")
        assert last.engine.submitted == []


@run
async def test_more_jobs_than_the_queue_has_places_wait_for_them(path: Path) -> None:
    async with opened(path) as first:
        first.engine.open_gate.clear()
        for index in range(6):
            await first.submit(f"job {index}")
        await first.crash()
    async with opened(path, queue_limit=2) as second:
        for record in second.book.list("", None):
            assert (await record.ending())["type"] == "complete"
        assert second.book.refusal is None


@run
async def test_a_key_means_its_job_also_after_a_restart(path: Path) -> None:
    async with opened(path) as first:
        same = [first.submit("a", "ann", idempotency_key="k") for _ in range(3)]
        jobs = {record.job_id for record in await asyncio.gather(*same)}
        assert len(jobs) == 1
        other = await first.submit("a", "bob", idempotency_key="k")
        assert other.job_id not in jobs
        with pytest.raises(ApiError) as told:
            await first.submit("b", "ann", idempotency_key="k")
        assert (told.value.status, told.value.code) == (422, "idempotency_key_reused")
        first.engine._queue_limit = 0
        with pytest.raises(sdrbee.QueueFull):
            await first.submit("c", idempotency_key="refused")
        first.engine._queue_limit = 9
        await (await first.submit("c", idempotency_key="refused")).ending()
    async with opened(path) as second:
        assert {(await second.submit("a", "ann", idempotency_key="k")).job_id} == jobs
        with pytest.raises(ApiError, match="another request"):
            await second.submit("b", "ann", idempotency_key="k")


@run
async def test_dropped_jobs_are_told_from_unknown_ones(path: Path) -> None:
    async with opened(path, Limits(kept_jobs=2)) as first:
        records = [
            await first.submit(f"{index}", "ann", idempotency_key=f"{index}") for index in range(3)
        ]
        for record in records:
            await record.ending()
        with pytest.raises(ApiError) as told:
            await first.submit("0", "ann", idempotency_key="0")
        assert told.value.status == 410
    async with opened(path, Limits(kept_jobs=2)) as second:
        for caller, status in (("ann", 410), ("bob", 404)):
            with pytest.raises(ApiError) as told:
                second.book.find(records[0].job_id, caller)
            assert told.value.status == status
        assert second.book.find(records[1].job_id, "ann").ended
        assert [len(await record.images()) for record in second.book.list("ann", None)] == [1, 1]
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM pictures").fetchone() == (2,)


@run
async def test_what_can_not_be_written_is_refused_until_it_can(path: Path) -> None:
    async with opened(path) as one:
        full = True

        def commit() -> None:
            if full:
                raise sqlite3.OperationalError("database or disk is full")
            Store.commit(one.journal._store)

        one.journal._store.commit = commit
        with pytest.raises(StorageError) as told:
            await one.submit("a", idempotency_key="k")
        assert (told.value.status, told.value.retry_after_s) == (507, 5)
        assert one.book.list("", None) == []
        assert one.engine.submitted[0].cancelled
        full = False
        record = await one.submit("a", idempotency_key="k")
        assert (await record.ending())["type"] == "complete"


@run
async def test_an_end_that_can_not_be_written_is_told_and_written_later(path: Path) -> None:
    async with opened(path) as one:
        one.engine.open_gate.clear()
        record = await one.submit("a")
        full = True

        def finish(*values: Any) -> None:
            if full:
                raise sqlite3.OperationalError("database or disk is full")
            Store.finish(one.journal._store, *values)

        one.journal._store.finish = finish
        one.engine.open_gate.set()
        ending = await record.ending()
        assert ending["type"] == "complete"
        assert record.pictures
        full = False
        while record.pictures:
            await asyncio.sleep(0.01)
        assert await record.ending() == ending
        await one.crash()
    async with opened(path) as second:
        assert await second.book.find(record.job_id, "").ending() == ending


@run
async def test_draining_ends_what_runs_and_leaves_what_waits(path: Path) -> None:
    async with opened(path) as first:
        first.engine.open_gate.clear()
        running, waiting = await first.submit("running"), await first.submit("waiting")
        await started(running)
        drained = asyncio.ensure_future(first.book.drain(60, asyncio.Event()))
        assert "complete" not in await names(waiting)
        with pytest.raises(ApiError) as told:
            await first.submit("new")
        assert (told.value.status, told.value.retry_after_s) == (503, 5)
        first.engine.open_gate.set()
        await drained
        assert running.status == "done"
    async with opened(path) as second:
        assert (await second.book.find(waiting.job_id, "").ending())["type"] == "complete"
        assert second.book.find(waiting.job_id, "").crashes == 0


@run
async def test_draining_in_a_hurry_leaves_what_runs(path: Path) -> None:
    hurry = asyncio.Event()
    hurry.set()
    async with opened(path) as first:
        first.engine.open_gate.clear()
        running = await first.submit("running")
        await started(running)
        await first.book.drain(60, hurry)
    async with opened(path) as second:
        again = second.book.find(running.job_id, "")
        assert again.crashes == 0
        assert (await again.ending())["type"] == "complete"


@run
async def test_without_a_journal_jobs_end_with_the_worker(path: Path) -> None:
    async with opened(None) as one:
        done = await one.submit("a")
        assert (await done.ending())["type"] == "complete"
        one.engine.open_gate.clear()
        running = await one.submit("b")
        reader = asyncio.ensure_future(running.ending())
        await started(running)
        await one.book.close()
        assert (await reader)["type"] == "cancelled"
    assert not path.exists()


@run
async def test_a_full_queue_refuses_what_is_known_to_fit_without_checking_it_again(
    path: Path,
) -> None:
    async with opened(path, queue_limit=0) as first:
        for prompt in ("a star", "another star", "a third"):
            with pytest.raises(sdrbee.QueueFull):
                await first.submit(prompt)
        assert first.engine.asked == 1
        with pytest.raises(sdrbee.QueueFull):  # others are checked before they are told
            await first.submit("a star", steps=4)
        with pytest.raises(sdrbee.QueueFull):
            await first.submit("a star", priority=1)
        assert first.engine.asked == 3
        first.engine._queue_limit = 9
        await first.submit("a star")
        assert first.engine.asked == 4
