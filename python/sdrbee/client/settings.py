"""What both clients know of their worker, and how they ask it and read its answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

import sdrbee
from sdrbee.client.errors import WorkerError, answer_error
from sdrbee.client.following import Following

# The largest event of a stream: ten large pictures in base64.
EVENT_BYTES = 1 << 30

# A worker says something every 15 seconds.
_STREAM_TIMEOUT = httpx2.Timeout(30.0, read=60.0)


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

    def stream(self, following: Following) -> dict[str, Any]:
        """The request for a job's events, as arguments of httpx2's `stream`."""
        return {
            "method": "GET",
            "url": following.path,
            "headers": following.headers,
            "timeout": _STREAM_TIMEOUT,
        }

    def checked(self, answer: httpx2.Response) -> httpx2.Response:
        """The answer, where it is a success; raises what it tells of otherwise."""
        if answer.is_success:
            return answer
        raise answer_error(answer.status_code, answer.content)

    def unreachable(self, error: httpx2.HTTPError) -> WorkerError:
        """The error of a request without an answer."""
        return WorkerError(f"{self.url}: {error}")

    def job_id(self, answer: httpx2.Response) -> str:
        """What a worker calls the job that it has taken."""
        try:
            return str(answer.json()["job_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise WorkerError(f"{self.url} is no worker: it named no job") from error


def results(images: list[sdrbee.Image], fields: Mapping[str, Any]) -> Any:
    """What `generate` returns: one picture, or a list where `count` was given."""
    return images if fields.get("count") is not None else images[0]
