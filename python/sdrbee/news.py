"""What the engine's threads tell event loops: they never wait for the interpreter, a loop does."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from weakref import WeakKeyDictionary

from sdrbee import _native


class _Loop:
    """The listeners of an event loop; for its thread alone. One descriptor tells of all of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._news = _native.News()
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Event] = {}
        loop.add_reader(self._news.fileno(), self._look)

    @contextmanager
    def listen(self, job: _native.Job) -> Iterator[asyncio.Event]:
        number, news = next(self._numbers), asyncio.Event()
        self._waiting[number] = news
        listening = job.listen(self._news, number)
        try:
            yield news
        finally:
            del self._waiting[number], listening

    def _look(self) -> None:
        for number in self._news.take():
            if number in self._waiting:
                self._waiting[number].set()


_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = WeakKeyDictionary()


def news_of(job: _native.Job) -> AbstractContextManager[asyncio.Event]:
    """An event that is set after each of the job's from now on, in the loop that runs."""
    loop = asyncio.get_running_loop()
    listeners = _loops.get(loop)
    if listeners is None:
        listeners = _loops[loop] = _Loop(loop)
    return listeners.listen(job)
