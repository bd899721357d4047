"""A request on its way through an engine."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any, Literal

from sdrbee import _native
from sdrbee._native import GenerationRequest, JobEvent
from sdrbee.news import news_of

JobState = Literal["queued", "running", "done", "failed", "cancelled"]

# How long a wait goes on before Python looks for signals: Ctrl-C must end it.
SIGNAL_SECONDS = 0.1


def wait_in_slices(wait: Callable[[float], bool], timeout: float | None) -> bool:
    """Whether what `wait` waits for, in seconds, has come before `timeout`, if there is one."""
    end = None if timeout is None else time.monotonic() + timeout
    while not wait(_slice_until(end)):
        if end is not None and time.monotonic() >= end:
            return False
    return True


def _slice_until(end: float | None) -> float:
    return SIGNAL_SECONDS if end is None else min(SIGNAL_SECONDS, max(0.0, end - time.monotonic()))


class Job:
    """A request on its way through an engine; get one from `Engine.submit`.

    Iterating gives its events until its end, also when it has ended already, and to any number
    of readers: ``for event in job``, ``async for event in job``. ``await job`` gives the result.

    Example:
        >>> import sdrbee
        >>> with sdrbee.Engine("shapes") as engine:
        ...     job = engine.submit("a red star", steps=2, seed=7)
        ...     [event.kind for event in job if event.kind != "queued"]
        ['started', 'step', 'step', 'done']
    """

    __slots__ = ("__weakref__", "_job")

    def __init__(self, job: _native.Job) -> None:
        self._job = job

    @property
    def id(self) -> int:
        """A number that no other job of the engine has."""
        return self._job.id

    @property
    def request(self) -> GenerationRequest:
        """The request with every default filled in."""
        return self._job.request

    @property
    def model(self) -> str:
        """The name of its model in the engine."""
        return self._job.model

    @property
    def state(self) -> JobState:
        """What has become of it so far."""
        return self._job.state

    def __repr__(self) -> str:
        return f"<sdrbee.Job {self.id} {self.state}>"

    def cancel(self) -> None:
        """Ends it: at once in the queue, within one step when it runs. Nothing after its end."""
        self._job.cancel()

    def checkpoint(self) -> bytes | None:
        """What ``Engine.submit(..., resume=...)`` takes to go on from here, in this process or
        another one of the same build on the same machine; None before the first one.

        An event of the kind "checkpoint" tells of each new one; of those only the latest stays. It
        holds the progress of all pictures of the job, but neither weights nor the request's own
        pictures, so keep the request beside it. It can be asked for after the end, too.
        """
        return self._job.checkpoint()

    def result(self, timeout: float | None = None) -> Any:
        """Waits for the pictures.

        Args:
            timeout: The longest wait, in seconds; None: as long as it takes.

        Returns:
            What `Model.generate` returns: one picture, or a list where the request's `count` is
            above 1.

        Raises:
            TimeoutError: The job had not ended after `timeout`; it goes on.
            Cancelled: It was cancelled, or the engine was closed.
            DeadlineExceeded: It was not done at its deadline.
            Error: What else it failed with.
        """
        if not wait_in_slices(self._job.wait, timeout):
            raise TimeoutError(f"job {self.id} is still {self.state} after {timeout} s")
        return self._pictures()

    def _pictures(self) -> Any:
        pictures = self._job.pictures()
        return pictures[0] if self.request.count == 1 else pictures

    def __iter__(self) -> Iterator[JobEvent]:
        cursor = 0
        while True:
            ended = self._job.ended
            events, cursor = self._job.events(cursor, SIGNAL_SECONDS)
            yield from events
            if ended and not events:
                return

    async def __aiter__(self) -> AsyncIterator[JobEvent]:
        cursor = 0
        with news_of(self._job) as news:
            while True:
                news.clear()
                ended = self._job.ended
                events, cursor = self._job.events(cursor, 0.0)
                for event in events:
                    yield event
                if ended and not events:
                    return
                if not events:
                    await news.wait()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        async for _ in self:
            pass
        return self._pictures()
