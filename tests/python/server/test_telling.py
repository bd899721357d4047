"""What is told of a job costs nothing that nobody asks for."""

from __future__ import annotations

import asyncio

import msgspec

from sdrbee.server.journal import Journal
from sdrbee.server.record import Record
from sdrbee.server.wire import Submission


class Previews:
    """Makes events, and counts them."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def tell(self, record: Record, step: int) -> None:
        async def work() -> bytes:
            self.begun.append(step)
            await self.gate.wait()
            return msgspec.json.encode({"type": "preview", "step": step})

        record.tell("preview", work=work, image_index=0)


def _record() -> Record:
    return Record(Submission("image_generation", {}, {}), None, "", "shapes", Journal())


async def _steps(record: Record, count: int) -> list[int]:
    """Of the first `count` previews that a reader gets."""
    seen: list[int] = []
    async for event in record.follow(0, None):
        assert event is not None
        assert event.data is not None
        seen.append(msgspec.json.decode(event.data)["step"])
        if len(seen) == count:
            break
    return seen


def test_previews_are_made_for_readers_and_once_for_all_of_them() -> None:
    async def main() -> None:
        record, previews = _record(), Previews()
        for step in (1, 6, 11):
            previews.tell(record, step)
        assert previews.begun == []
        assert await asyncio.gather(*(_steps(record, 1) for _ in range(5))) == [[11]] * 5
        assert previews.begun == [11]

    asyncio.run(main())


def test_a_preview_whose_time_has_passed_is_not_told() -> None:
    async def main() -> None:
        record, previews = _record(), Previews()
        previews.gate.clear()
        previews.tell(record, 1)
        reader = asyncio.create_task(_steps(record, 1))
        while not previews.begun:
            await asyncio.sleep(0)
        previews.tell(record, 6)
        previews.gate.set()
        assert await reader == [6]

    asyncio.run(main())


def test_the_last_preview_is_kept_with_the_end() -> None:
    async def main() -> None:
        record, previews = _record(), Previews()
        previews.tell(record, 1)
        previews.tell(record, 6)
        await record.end("cancelled")
        assert previews.begun == []
        told = [event.name async for event in record.follow(0, None) if event is not None]
        assert told == ["preview", "cancelled"]
        assert previews.begun == [6]
        await record.journal.close()

    asyncio.run(main())


def test_of_positions_the_latest_is_told() -> None:
    async def main() -> None:
        record = _record()
        for position in (3, 2, 1):
            record.tell("queued", position=position)
        record.tell("started")
        await record.end("cancelled")
        told = [event.data async for event in record.follow(0, None) if event is not None]
        assert [msgspec.json.decode(data or b"") for data in told] == [
            {"type": "queued", "position": 1},
            {"type": "started"},
            {"type": "cancelled"},
        ]
        await record.journal.close()

    asyncio.run(main())
