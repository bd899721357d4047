"""Errors as OpenAI's clients read them."""

from __future__ import annotations

from typing import Any

from sdrbee.server.errors import ApiError

_TYPE_OF_STATUS = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}


def openai_error(error: ApiError) -> tuple[int, dict[str, Any]]:
    """The status and JSON of an error; fields that are wrong are status 400 there."""
    status = 400 if error.status == 422 else error.status
    usual = "invalid_request_error" if status < 500 else "server_error"
    return status, {
        "error": {
            "message": error.message,
            "type": _TYPE_OF_STATUS.get(status, usual),
            "param": error.field,
            "code": error.code,
        }
    }
