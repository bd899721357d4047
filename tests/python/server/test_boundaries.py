"""The worker dies at each statement to its database: nothing accepted is lost or ends twice."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from server.test_book import opened, submission

from sdrbee.server.errors import ApiError

connect = sqlite3.connect


@dataclass
class Death:
    """Ends all statements at number `at`, and keeps the files as they are then."""

    path: Path
    at: int
    count: int = 0
    seen: dict[str, str | None] = field(default_factory=dict)
    """What clients know: accepted jobs, and the ends that they were told."""

    def statement(self) -> None:
        if self.count == self.at:
            shutil.copytree(self.path.parent, self.path.parent.with_name("dead"))
        self.count += 1
        if self.count > self.at:
            raise sqlite3.OperationalError("killed")

    @property
    def is_dead(self) -> bool:
        return self.count > self.at


class Mortal(sqlite3.Connection):
    death: Death

    def execute(self, *statement: Any) -> sqlite3.Cursor:
        self.death.statement()
        return super().execute(*statement)


async def live(death: Death) -> None:
    """Jobs of all kinds, until the death."""
    async with opened(death.path, wait_s=0.0) as one:
        while one.book.refusal is not None:
            if death.is_dead:
                return
            await asyncio.sleep(0)

        async def ask(prompt: str, **values: Any) -> None:
            record = await one.book.submit(submission(prompt), "shapes", "", **values)
            if not death.is_dead:  # else nobody was there to read the answer
                death.seen[record.job_id] = None
            if prompt == "cancelled":
                status = await one.book.cancel(record)
                if status == "cancelled" and not death.is_dead:
                    death.seen[record.job_id] = "cancelled"
            ending = await record.ending()
            if not death.is_dead:
                death.seen[record.job_id] = ending["type"]

        with suppress(ApiError):
            await asyncio.gather(ask("a"), ask("b", idempotency_key="k"))
            await ask("fails")
            await ask("cancelled")


async def check(path: Path, seen: dict[str, str | None]) -> None:
    async with opened(path) as one:
        records = {record.job_id: record for record in one.book.list("", None)}
        assert set(seen) <= set(records)
        for job_id, record in records.items():
            told = seen.get(job_id)
            assert told is None or record.ended is not None or told == "cancelled"
            ending = await record.ending()
            prompt = record.submission.fields["prompt"]
            expected = {"fails": "error", "cancelled": "cancelled"}.get(prompt, "complete")
            assert ending["type"] == (told or ending["type"])
            assert ending["type"] in (expected, "complete"), (prompt, ending)
        again = await one.book.submit(submission("b"), "shapes", "", idempotency_key="k")
        assert not records or again.job_id in records or len(records) < 3
        prompts = [record.submission.fields["prompt"] for record in one.book.list("", None)]
        assert len(prompts) == len(set(prompts))


def die_at(folder: Path, at: int) -> bool:
    """Whether the jobs ended before that statement."""
    death = Death(folder / f"{at}" / "alive" / "jobs.db", at)
    death.path.parent.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        kind = type("MortalOnce", (Mortal,), {"death": death})
        patch.setattr(sqlite3, "connect", partial(connect, factory=kind))
        asyncio.run(asyncio.wait_for(live(death), 60))
    if death.is_dead:
        asyncio.run(asyncio.wait_for(check(folder / f"{at}" / "dead" / "jobs.db", death.seen), 60))
    return not death.is_dead


def test_a_death_at_each_statement(tmp_path: Path) -> None:
    at = 0
    while not die_at(tmp_path, at):
        at += 1
    assert at > 40
