"""Values of JSON bodies with the types that A1111 makes of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sdrbee.server.errors import ApiError


class Fields:
    """A JSON object's values by type, with A1111's coercions. Each method gives None, or "" for
    texts, where a field is absent or null, and raises ApiError 422 for another type."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body

    def text(self, name: str) -> str:
        value = self._body.get(name)
        if value is not None and not isinstance(value, str):
            raise wrong(name, "a string", value)
        return value or ""

    def number(self, name: str) -> float | None:
        value = _number(self._body.get(name), name)
        try:
            return None if value is None else float(value)
        except OverflowError:
            raise wrong(name, "a smaller number", value) from None

    def whole(self, name: str) -> int | None:
        value = _number(self._body.get(name), name)
        if value is not None and value != int(value):
            raise wrong(name, "a whole number", value)
        return None if value is None else int(value)

    def flag(self, name: str) -> bool | None:
        value = self._body.get(name)
        if isinstance(value, str) and value.strip().lower() in _FLAGS:
            return _FLAGS[value.strip().lower()]
        if value is None or isinstance(value, bool):
            return value
        if value in (0, 1):
            return bool(value)
        raise wrong(name, "true or false", value)


_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def _number(value: Any, name: str) -> int | float | None:
    if isinstance(value, str):
        try:
            value = int(value) if value.strip().lstrip("+-").isdigit() else float(value)
        except ValueError:
            raise wrong(name, "a number", value) from None
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise wrong(name, "a number", value)


def wrong(name: str, expected: str, value: Any) -> ApiError:
    """The error of a field."""
    shown = repr(value[:60] if isinstance(value, (str, list)) else value)
    text = f"[{name}] expected {expected} but got {shown[:80]}"
    return ApiError(422, "invalid_field", text, field=name)


def json_object(value: Any, name: str) -> Mapping[str, Any]:
    """A JSON object; an empty one for null. Raises ApiError 422 for what isn't one."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(name, "a JSON object", value)
    return value
