"""What both clients know of their worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2

from sdrbee.client.errors import WorkerError

# The largest event of a stream: ten large pictures in base64.
EVENT_BYTES = 1 << 30

# A worker says something every 15 seconds.
STREAM_TIMEOUT = httpx2.Timeout(30.0, read=60.0)


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the worker is, and how patient its client is."""

    url: str
    api_key: str | None
    timeout_s: float
    reconnect_s: float

    def arguments(self, verify: Any) -> dict[str, Any]:
        """Those of httpx2's clients."""
        headers = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        return {
            "base_url": self.url,
            "headers": headers,
            "timeout": self.timeout_s,
            "verify": verify,
            "follow_redirects": False,
        }

    def job_id(self, answer: httpx2.Response) -> str:
        """What a worker calls the job that it has taken."""
        try:
            return str(answer.json()["job_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise WorkerError(f"{self.url} is no worker: it named no job") from error
