"""A log line for each request, but for those that come all the time."""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context

from sdrbee.server.http import Request, Response

log = logging.getLogger("sdrbee.server")

_ASKED_OFTEN = ("/health", "/ready", "/metrics")

# A full queue is told of once in so long: its clients try again and again.
_REFUSALS_S = 1.0

_TEXT = "%s %s %s %d in %.1f ms"


class AccessLog:
    """Logs requests. For the event loop's thread alone."""

    def __init__(self) -> None:
        self._refused = 0  # since the last line that told of one
        self._is_told = False

    def note(self, request: Request, answer: Response, seconds: float) -> None:
        """Logs a request; what supervisors ask all the time only when somebody looks for it, and of
        answers 429 one a second, and how many there were."""
        level = logging.INFO
        if answer.status == 429:
            level = self._level_of_refusal()
        elif request.path in _ASKED_OFTEN:
            level = logging.DEBUG
        if log.isEnabledFor(level):
            address = (request.scope.get("client") or ("-",))[0]
            who = f"{request.caller}@{address}" if request.caller else address
            log.log(level, _TEXT, who, request.method, request.path, answer.status, seconds * 1e3)

    def _level_of_refusal(self) -> int:
        if self._is_told:
            self._refused += 1
            return logging.DEBUG
        self._is_told = True
        asyncio.get_running_loop().call_later(
            _REFUSALS_S,
            self._tell_refusals,
            context=Context(),  # of no request
        )
        return logging.INFO

    def _tell_refusals(self) -> None:
        self._is_told = False
        if self._refused:
            log.info("%d more requests were answered with 429", self._refused)
            self._refused = 0
