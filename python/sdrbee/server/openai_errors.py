"""Errors as OpenAI's clients read them."""

from __future__ import annotations

import msgspec

from sdrbee.server.errors import ApiError

_TYPE_OF_STATUS = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}


class OpenaiErrorDetail(msgspec.Struct):
    """What went wrong, as OpenAI's clients read it."""

    message: str
    type: str
    param: str | None
    code: str


class OpenaiError(msgspec.Struct):
    """An answer other than success, of the routes of OpenAI's API."""

    error: OpenaiErrorDetail


class ErrorDetailForAll(OpenaiErrorDetail):
    """The same, with the native name of `param` beside it."""

    field: str | None


class ErrorForAll(msgspec.Struct):
    """An answer other than success, of routes that both kinds of clients ask."""

    error: ErrorDetailForAll


def openai_error(error: ApiError) -> tuple[int, OpenaiError]:
    """The status and JSON of an error; fields that are wrong are status 400 there."""
    status = 400 if error.status == 422 else error.status
    usual = "invalid_request_error" if status < 500 else "server_error"
    kind = _TYPE_OF_STATUS.get(status, usual)
    return status, OpenaiError(OpenaiErrorDetail(error.message, kind, error.field, error.code))


def error_for_all(error: ApiError) -> tuple[int, ErrorForAll]:
    """The native form with what OpenAI's clients read beside it: for routes of both."""
    told = openai_error(error)[1].error
    detail = ErrorDetailForAll(told.message, told.type, told.param, told.code, error.field)
    return error.status, ErrorForAll(detail)
