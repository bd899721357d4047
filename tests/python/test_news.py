"""Listening from event loops: the engine's threads must neither wait nor be forgotten."""

from __future__ import annotations

import asyncio
from pathlib import Path

import sdrbee


async def _kinds(job: sdrbee.Job) -> list[str]:
    return [event.kind async for event in job]


def test_many_readers_of_many_jobs_hear_each_end() -> None:
    async def main(engine: sdrbee.Engine) -> None:
        jobs = [engine.submit("a", steps=2, seed=seed) for seed in range(6)]
        readers = [_kinds(job) for job in jobs for _ in range(5)]
        for kinds in await asyncio.wait_for(asyncio.gather(*readers), 60):
            assert kinds[-4:] == ["started", "step", "step", "done"]

    with sdrbee.Engine("mock") as engine:
        for _ in range(3):  # each in a loop of its own
            asyncio.run(main(engine))


def test_a_loop_that_is_gone_leaves_no_descriptors() -> None:
    def open_files() -> int:
        return len(list(Path("/dev/fd").iterdir()))

    with sdrbee.Engine("mock") as engine:
        job = engine.submit("a", steps=1)
        asyncio.run(_kinds(job))
        before = open_files()
        for _ in range(20):
            asyncio.run(_kinds(job))
        assert open_files() <= before + 4  # of loops that are not collected yet
