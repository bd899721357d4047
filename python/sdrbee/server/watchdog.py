"""Ends the process when a model hangs, so that its supervisor starts it again."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

import sdrbee

log = logging.getLogger("sdrbee.server")

EXIT_HUNG = 70
DEFAULT_GRACE_S = 30.0
_POLL_S = 1.0


class Watchdog:
    """Looks whether a device still makes progress.

    A job past its deadline ends at the next step. A device where that does not happen hangs: it
    counts as unhealthy at once, and `watch` ends the process after a grace time.
    """

    def __init__(
        self,
        engine: sdrbee.Engine,
        *,
        grace_s: float = DEFAULT_GRACE_S,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        """Describes what is watched.

        Args:
            engine: Whose devices.
            grace_s: Seconds past a deadline after which the process ends.
            end: Ends it with an exit code; nothing that runs in Python can be waited for then.
        """
        self._engine = engine
        self._grace_s = grace_s
        self._end = end

    def unhealthy(self) -> str | None:
        """Which device hangs; None when none does."""
        overdue_s, number, model = self._worst()
        if overdue_s <= 0:
            return None
        return f"device {number} hangs: {model} has been past a deadline for {overdue_s:.1f} s"

    async def watch(self) -> None:
        """Looks about once a second, until the process ends."""
        while True:
            if self._worst()[0] > self._grace_s:
                log.critical("%s; ending the process", self.unhealthy())
                self._end(EXIT_HUNG)
                return
            await asyncio.sleep(min(_POLL_S, self._grace_s))

    def _worst(self) -> tuple[float, int, str | None]:
        workers = self._engine.status["workers"]
        return max((one["overdue"], number, one["model"]) for number, one in enumerate(workers))
