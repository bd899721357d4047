"""Jobs that go on from a checkpoint in the next run of the worker."""

from __future__ import annotations

import base64
from pathlib import Path

from server.test_book import opened, run, started

import sdrbee
from sdrbee.server.pictures import encode_png
from sdrbee.server.record import Record
from sdrbee.server.submitting import MOST_CRASHES
from sdrbee.server.wire import Submission


async def steps_told(record: Record, least: int) -> int:
    """Waits for a step of this run; which it was."""
    async for event in record.follow(record.first_number, None):
        if event is not None and event.name == "progress" and record.progress["step"] >= least:
            return int(record.progress["step"])
    raise AssertionError("it ended before that")


@run
async def test_a_job_goes_on_from_its_checkpoint(path: Path) -> None:
    async with opened(path, stop_at=2) as first:
        record = await first.submit("a", steps=5)
        await steps_told(record, 2)
        await started(record)
        await first.crash()
    async with opened(path) as second:
        assert second.engine.submitted[0].resumed_at == 2
        again = second.book.find(record.job_id, "")
        assert (await again.ending())["type"] == "complete"
        assert [step for _, step in second.engine.steps] == [3, 4, 5]


@run
async def test_what_runs_at_the_end_of_the_worker_has_a_last_checkpoint(path: Path) -> None:
    async with opened(path, stop_at=2) as first:
        record = await first.submit("a", steps=5)
        await steps_told(record, 2)
        await first.book.close()
    async with opened(path) as second:
        assert second.engine.submitted[0].resumed_at == 2
        assert (await second.book.find(record.job_id, "").ending())["type"] == "complete"


@run
async def test_a_checkpoint_that_does_not_fit_is_left_aside(path: Path) -> None:
    async with opened(path, stop_at=2) as first:
        record = await first.submit("a", steps=5)
        await steps_told(record, 2)
        await started(record)
        record.save(b"of another build")
        await started(record)
        await first.crash()
    async with opened(path) as second:
        assert second.engine.submitted[0].resumed_at == 0
        assert (await second.book.find(record.job_id, "").ending())["type"] == "complete"


@run
async def test_a_job_that_comes_further_may_see_any_number_of_crashes(path: Path) -> None:
    for step in range(1, MOST_CRASHES + 3):
        async with opened(path, stop_at=step) as one:
            records = one.book.list("", None) or [await one.submit("a", steps=20)]
            await steps_told(records[0], step)
            await started(records[0])
            assert records[0].crashes == 0
            await one.crash()
    async with opened(path) as last:
        assert (await last.book.list("", None)[0].ending())["type"] == "complete"


@run
async def test_a_resumed_picture_has_the_bits_of_one_made_at_once(path: Path) -> None:
    fields = {"prompt": "a red star", "count": 1, "steps": 40, "width": 64, "height": 64}
    submission = Submission("image_generation", {**fields, "exact": True, "seed": 5}, {}, "")
    async with opened(path, engine=sdrbee.Engine(checkpoint_interval=0)) as first:
        record = await first.book.submit(submission, "shapes", "")
        await steps_told(record, 2)
        await started(record)
        assert record.ended is None
        await first.crash()
    async with opened(path, engine=sdrbee.Engine(checkpoint_interval=0)) as second:
        again = second.book.find(record.job_id, "")
        assert await steps_told(again, 0) > 2
        ending = await again.ending()
        assert (ending["batched"], again.batched) == (False, False)
    with sdrbee.Engine() as third:
        straight = third.submit(submission.request()).result()
    assert base64.b64decode(ending["image"]) == encode_png(straight, "shapes")
