"""Ended jobs: how long they are kept."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

from sdrbee.server.limits import Limits
from sdrbee.server.record import Record


class Shelf:
    """Ended jobs in the order of their ends. The oldest go by age, by number, and when all results
    together are too large; that they were there is known for as long again."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._ended: deque[Record] = deque()
        self._kept_bytes = 0
        self._expired: dict[str, tuple[str, float]] = {}  # the oldest first

    def put(self, record: Record) -> None:
        """Keeps a job that has ended."""
        self._ended.append(record)
        self._kept_bytes += record.kept_bytes

    def put_expired(self, jobs: Iterable[tuple[str, str, float]]) -> None:
        """Jobs that were dropped: id, caller, and when."""
        self._expired.update({job_id: (caller, since) for job_id, caller, since in jobs})

    def had(self, job_id: str, caller: str) -> bool:
        """Whether a caller's job was dropped."""
        return job_id in self._expired and self._expired[job_id][0] == caller

    def take_old(self) -> list[Record]:
        """The jobs that are no longer kept."""
        now, gone = time.time(), []
        while self._ended and self._is_too_much(now - (self._ended[0].ended or now)):
            record = self._ended.popleft()
            self._kept_bytes -= record.kept_bytes
            self._expired[record.job_id] = (record.caller, now)
            gone.append(record)
        while self._expired:
            job_id, (_, since) = next(iter(self._expired.items()))
            if since >= now - self._limits.kept_jobs_s:
                break
            del self._expired[job_id]
        return gone

    def _is_too_much(self, age_s: float) -> bool:
        limits = self._limits
        return (
            age_s > limits.kept_jobs_s
            or len(self._ended) > limits.kept_jobs
            or self._kept_bytes > limits.kept_pictures_bytes
        )
