"""What a job's stream says, without the network: events, results, and where to go on reading."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

import sdrbee
from sdrbee.client.errors import WorkerError, answer_error, told_error

if TYPE_CHECKING:
    import httpx2

# Answers to a reader that comes back after which it may come back once more.
_FOR_A_WHILE = (429, 500, 502, 503, 504)

_NUMBER = re.compile(r"[0-9]{1,18}")

_KINDS = {"progress": "step", "complete": "done", "error": "failed"}


@dataclass(frozen=True, slots=True)
class RemoteEvent:
    """Something that happened to a job of a worker."""

    kind: str
    """queued, started, step, preview (a step with a picture), done, failed or cancelled."""
    position: int | None = None
    """Of a queued job."""
    image_index: int = 0
    step: int | None = None
    total: int | None = None
    preview: sdrbee.Image | None = None


class Following:
    """The state of a reader; feed it what the stream brings.

    Streams of rbee's own worker have neither ids nor a second reader, and end without a word.
    """

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.path = f"/v1/jobs/{job_id}/stream"
        self.last_id = ""
        self._newest = -1
        self.read_any = False
        self.ended = False
        self.failures = 0
        self.result: dict[str, Any] = {}
        self.error: Exception | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Of the request for the stream: from where on."""
        told = {"last-event-id": self.last_id} if self.last_id else {}
        return {"accept": "text/event-stream", **told}

    def feed(self, event: httpx2.ServerSentEvent) -> RemoteEvent | None:
        """Reads an event; None for one that only programs of rbee need, or that was there
        before."""
        self.read_any = True
        if _NUMBER.fullmatch(event.id) and not self._is_news(event):
            return None
        if event.event == "message":
            self._end_by(event.data)
            return None
        try:
            values = msgspec.json.decode(event.data)
            return self._read(str(values["type"]), values)
        except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            raise WorkerError(f"the worker's event can't be read: {error}") from error

    def _is_news(self, event: httpx2.ServerSentEvent) -> bool:
        """Ids only grow. An event without one has that of the event before it."""
        number = int(event.id)
        if number > self._newest:
            self._newest, self.last_id, self.failures = number, event.id, 0
            return True
        return event.event == "message"

    def missed(self, error: Exception | None, wait_s: float) -> float:
        """How long to wait before the stream is asked for again, after it broke off.

        Raises:
            WorkerError: It can't be asked for again, or did not come back for `wait_s`.
        """
        if self.read_any and not self.last_id:
            raise WorkerError("the stream broke off, and this worker can't repeat it") from error
        self.failures += 1
        delay: float = min(5.0, 0.1 * 2**self.failures)
        if 2 * delay > wait_s and self.failures > 3:
            raise WorkerError(f"the worker can't be reached any more: {error}") from error
        return delay

    def refused(self, status: int, body: bytes) -> Exception:
        """The error of an answer in a stream's place. Raises it when it is final."""
        error = answer_error(status, body)
        if status not in _FOR_A_WHILE or not self.last_id:
            raise error
        return error

    def images(self) -> list[sdrbee.Image]:
        """The results. Raises what the job ended with."""
        if self.error is not None:
            raise self.error
        texts = self.result.get("images") or [self.result.get("image")]
        if not isinstance(texts, list):
            raise WorkerError("the worker's pictures can't be read: they are no list")
        return [_picture(text) for text in texts]

    def _read(self, name: str, values: dict[str, Any]) -> RemoteEvent:
        kind = _KINDS.get(name, name)
        if kind == "done":
            self.result = values
        elif kind == "failed":
            self.error = told_error(str(values["message"]), values.get("code"))
        elif kind == "cancelled":
            self.error = sdrbee.Cancelled("the job was cancelled")
        self.ended = self.ended or kind in ("done", "failed", "cancelled")
        return RemoteEvent(
            kind,
            position=values.get("position"),
            image_index=values.get("image_index") or 0,
            step=values.get("step"),
            total=values.get("total"),
            preview=_picture(values["image"]) if kind == "preview" else None,
        )

    def _end_by(self, marker: str) -> None:
        """The markers that end a stream without a named event."""
        if marker.startswith("[ERROR]") and not self.ended:
            self.error = WorkerError(marker.removeprefix("[ERROR]").strip())
        elif marker == "[CANCELLED]" and not self.ended:
            self.error = sdrbee.Cancelled("the job was cancelled")
        self.ended = self.ended or self.error is not None


def _picture(text: Any) -> sdrbee.Image:
    try:
        return sdrbee.Image(base64.b64decode(text, validate=True))
    except (ValueError, TypeError) as error:  # InvalidRequest is a ValueError
        raise WorkerError(f"the worker's picture can't be read: {error}") from error
