"""Errors of a worker as the exceptions that the engine itself would raise."""

from __future__ import annotations

from typing import Any

import msgspec

import sdrbee
from sdrbee.server.errors import class_of_code


class WorkerError(sdrbee.Error):
    """A worker can't be reached, or answers what no engine would say.

    Attributes:
        status: Of its HTTP answer; None when there was none.
        code: What programs may read; None where the worker told none.
    """

    def __init__(self, message: str, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def answer_error(status: int, body: bytes) -> Exception:
    """The error of an answer: ours in JSON, or that of rbee's own worker in plain text."""
    try:
        told = msgspec.json.decode(body)["error"]
        return told_error(str(told["message"]), told.get("code"), status)
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        text = body[:1000].decode("utf-8", "replace").strip()
        return WorkerError(f"the worker answered {status}: {text}", status)


def told_error(message: str, code: Any, status: int | None = None) -> Exception:
    """The engine's exception of a code; WorkerError for those that have none."""
    kind = class_of_code(code)
    return WorkerError(message, status, code) if kind is None else kind(message)
