"""Log lines, as text or JSON: one line for each message, whatever is in it."""

from __future__ import annotations

import logging
import re
import secrets
from contextvars import ContextVar
from datetime import datetime, timezone

import msgspec

FORMATS = ("text", "json")

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being answered."""

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
# What terminals act on and what begins a new line somewhere.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def request_id(given: str | None) -> str:
    """The id that a client gave its request, if it is harmless; else a new one."""
    return given if given and _SANE_ID.fullmatch(given) else secrets.token_hex(16)


def escape(text: str) -> str:
    r"""Text with control characters as ``\n``, ``\x1b``, ``\u2028``.

    Example:
        >>> from sdrbee.server.logs import escape
        >>> print(escape("a\nb\x1b[31m"))
        a\nb\x1b[31m
    """
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


class TextFormatter(logging.Formatter):
    """``2026-01-02 03:04:05,678 INFO [request id] message``; traces are indented below."""

    def format(self, record: logging.LogRecord) -> str:
        given = REQUEST_ID.get()
        about = f" [{given}]" if given else ""
        line = f"{self.formatTime(record)} {record.levelname}{about} {escape(record.getMessage())}"
        return "\n    ".join([line, *_trace(self, record)])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, request_id, trace."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": escape(record.getMessage()),
        }
        if given := REQUEST_ID.get():
            entry["request_id"] = given
        if trace := _trace(self, record):
            entry["trace"] = trace
        return msgspec.json.encode(entry).decode()


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    if not record.exc_info:
        return []
    return [escape(line) for line in formatter.formatException(record.exc_info).split("\n")]


def write_logs(form: str) -> None:
    """Writes what this process logs to stderr from now on; `form` is one of FORMATS."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
