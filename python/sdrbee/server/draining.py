"""How a worker ends: running jobs first, when the supervisor lets it."""

from __future__ import annotations

import asyncio
import logging
import signal
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from socket import socket

    from sdrbee.server.book import Book

log = logging.getLogger("sdrbee.server")


class DrainingServer(uvicorn.Server):
    """On SIGTERM or SIGINT goes on answering while running jobs end, for at most `timeout_s`; a
    second signal ends that at once."""

    def __init__(self, config: uvicorn.Config, book: Book, timeout_s: float) -> None:
        super().__init__(config)
        self._book = book
        self._timeout_s = timeout_s
        self._hurry = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signals: list[int] = []
        self._draining: asyncio.Task[None] | None = None

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return signal.SIGINT in self._signals

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Called by the signal's handler."""
        self._signals.append(sig)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._heed_signals)

    async def startup(self, sockets: list[socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._heed_signals()

    def _heed_signals(self) -> None:
        if self._signals and self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        if len(self._signals) > 1:
            self._hurry.set()

    async def _drain(self) -> None:
        log.info("ending: running jobs have %g s", self._timeout_s)
        try:
            await self._book.drain(self._timeout_s, self._hurry)
        finally:
            self.should_exit = True
