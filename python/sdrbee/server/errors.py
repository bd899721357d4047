"""Errors of the wire: a status, a code that programs read, and the field at fault."""

from __future__ import annotations

import re
from typing import Any

import sdrbee

# The class of an engine's error: status and code. Subclasses come before their bases.
_OF_SDRBEE: list[tuple[type[Exception], int, str]] = [
    (sdrbee.ModelNotFound, 404, "model_not_found"),
    (sdrbee.InvalidRequest, 422, "invalid_field"),
    (sdrbee.QueueFull, 429, "queue_full"),
    (sdrbee.Cancelled, 503, "shutting_down"),
    (sdrbee.OutOfMemory, 500, "out_of_memory"),
    (sdrbee.UnsupportedModel, 422, "unsupported_model"),
    (sdrbee.CheckpointError, 500, "model_damaged"),
    (sdrbee.DeadlineExceeded, 504, "deadline_exceeded"),
    (sdrbee.PluginError, 500, "plugin_error"),
    (sdrbee.Error, 500, "internal_error"),
]

# The statuses of codes that a job may end with; what isn't here is 500.
_STATUS_OF_CODE = {code: status for _, status, code in _OF_SDRBEE} | {"cancelled": 503}

# "[field] expected ...": how every message of the engine begins.
_FIELD = re.compile(r"^\[([a-z0-9_.]+)\] ")


class ApiError(Exception):
    """An answer other than success."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        retry_after_s: int | None = None,
        accepted: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s
        self.accepted = accepted
        """Whether a job was accepted: then its client should not send the request again."""

    @property
    def body(self) -> dict[str, Any]:
        """The native form of the answer."""
        return {"error": {"code": self.code, "message": self.message, "field": self.field}}


def api_error(error: BaseException) -> ApiError:
    """Any error as the wire tells it. What isn't ours is told without its text."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, TypeError):  # a field of the wrong type
        return ApiError(422, "invalid_field", str(error), field=_field_of(str(error)))
    for kind, status, code in _OF_SDRBEE:
        if isinstance(error, kind):
            text = str(error)
            retry = 1 if status in (429, 503) else None
            return ApiError(status, code, text, field=_field_of(text), retry_after_s=retry)
    return ApiError(500, "internal_error", "an internal error; the worker's log has its trace")


def error_of_code(code: str, message: str) -> ApiError:
    """The error that a job ended with, told by its code."""
    status = _STATUS_OF_CODE.get(code, 500)
    return ApiError(status, code, message, field=_field_of(message), accepted=True)


def class_of_code(code: object) -> type[Exception] | None:
    """The engine's exception behind a code of the wire, if there is one."""
    return next((kind for kind, _, own in _OF_SDRBEE if own == code), None)


def _field_of(text: str) -> str | None:
    found = _FIELD.match(text)
    return found.group(1) if found else None
