"""Operations as the wire has them: one JSON object to one request of the engine."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sdrbee
from sdrbee.server.errors import ApiError
from sdrbee.server.limits import Limits

# Each operation's pictures: the request's field, its names on the wire (rbee's comes first), and
# whether it must be there.
_Pictures = tuple[tuple[str, tuple[str, ...], bool], ...]
_OPTIONAL: _Pictures = (("control_image", ("control_image",), False),)
OPERATIONS: dict[str, _Pictures] = {
    "image_generation": _OPTIONAL,
    "image_transform": (("image", ("input_image", "init_image", "image"), True), *_OPTIONAL),
    "image_inpaint": (
        ("image", ("init_image", "input_image", "image"), True),
        ("mask", ("mask_image", "mask"), True),
        *_OPTIONAL,
    ),
}

# Fields of the request that the wire has under another name or not at all.
_NOT_ON_THE_WIRE = ("count", "output")

DEFAULT_PREVIEW = "fast"


@dataclass(frozen=True, slots=True)
class Submission:
    """An operation that has been read; its pictures are still as they came."""

    operation: str
    fields: dict[str, Any]
    pictures: dict[str, bytes]
    model: str = ""
    priority: int = 0
    deadline_s: float | None = None
    summary: dict[str, Any] = field(default_factory=dict)
    """What the operation said, without its pictures."""

    def request(self) -> sdrbee.GenerationRequest:
        """The engine's request. Decodes the pictures: not for an event loop.

        Raises:
            InvalidRequest: A picture is damaged, of an unknown format or too large.
        """
        pictures: dict[str, Any] = {
            name: _decode(name, data) for name, data in self.pictures.items()
        }
        return sdrbee.GenerationRequest(**self.fields, **pictures)


def read_operation(body: Any, limits: Limits) -> Submission:
    """Reads the body of POST /v1/jobs; unknown fields are left alone, null is the default.

    Raises:
        ApiError: 422 that names the field.
    """
    if not isinstance(body, dict):
        raise ApiError(422, "invalid_field", "expected a JSON object")
    operation = body.get("operation")
    if not isinstance(operation, str) or operation not in OPERATIONS:
        known = ", ".join(OPERATIONS)
        raise _wrong("operation", f"one of {known}", operation)
    fields = _request_fields(body)
    fields["count"] = _count(body, limits)
    fields["preview"] = fields.get("preview", DEFAULT_PREVIEW)
    _check_limits(fields, limits)
    return Submission(
        operation=operation,
        fields=fields,
        pictures=_pictures(body, OPERATIONS[operation]),
        model=_typed(body, "model", "str") or "",
        priority=_typed(body, "priority", "int") or 0,
        deadline_s=_deadline(body, limits),
        summary={"operation": operation, **fields},
    )


def _request_fields(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that every request has, as the body gives them."""
    fields: dict[str, Any] = {}
    for row in sdrbee.request_fields():
        if row.name not in _NOT_ON_THE_WIRE:
            value = _typed(body, row.name, row.type)
            if value is not None:
                fields[row.name] = value
    return fields


def _typed(body: Mapping[str, Any], name: str, kind: str) -> Any:
    """The value of a field of one of the types of `sdrbee.request_fields`; None where it's absent
    or null."""
    value = body.get(name)
    if value is not None and not _is_of(kind, value):
        raise _wrong(name, kind, value)
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


_TESTS: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int": _is_whole,
    "float": _is_number,
    "list of int": lambda value: isinstance(value, list) and all(map(_is_whole, value)),
    "list of float": lambda value: isinstance(value, list) and all(map(_is_number, value)),
}


def _is_of(kind: str, value: Any) -> bool:
    return _TESTS[kind](value)


def _wrong(name: str, expected: str, value: Any) -> ApiError:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return ApiError(
        422, "invalid_field", f"[{name}] expected {expected} but got {shown}", field=name
    )


def _count(body: Mapping[str, Any], limits: Limits) -> int:
    count = _typed(body, "n", "int")
    if count is None:
        return 1
    if not 1 <= count <= limits.images_per_job:
        raise _wrong("n", f"1..{limits.images_per_job}", count)
    return int(count)


def _deadline(body: Mapping[str, Any], limits: Limits) -> float:
    deadline = _typed(body, "deadline_s", "float")
    if deadline is None:
        return limits.deadline_s
    if not 0 < deadline <= limits.deadline_s:
        raise _wrong("deadline_s", f"more than 0 and at most {limits.deadline_s}", deadline)
    return float(deadline)


def _check_limits(fields: Mapping[str, Any], limits: Limits) -> None:
    for name, value in fields.items():
        if isinstance(value, str) and len(value) > limits.prompt_characters:
            raise _wrong(name, f"at most {limits.prompt_characters} characters", value)
    if fields.get("steps", 0) > limits.steps:
        raise _wrong("steps", f"1..{limits.steps}", fields["steps"])
    if len(fields.get("sigmas", ())) > limits.steps:
        raise _wrong("sigmas", f"at most {limits.steps} values", "more")
    for name in ("width", "height"):
        side = fields.get(name, limits.smallest_side)
        if not limits.smallest_side <= side <= limits.largest_side:
            raise _wrong(name, f"{limits.smallest_side}..{limits.largest_side}", side)
    if fields.get("width", 0) * fields.get("height", 0) > limits.pixels:
        size = f"{fields['width']}x{fields['height']}"
        raise _wrong("width", f"at most {limits.pixels} pixels in all", size)


def _pictures(body: Mapping[str, Any], wanted: _Pictures) -> dict[str, bytes]:
    pictures = {}
    for field_name, names, required in wanted:
        given = [name for name in names if body.get(name) is not None]
        if given:
            pictures[field_name] = _from_base64(given[0], body[given[0]])
        elif required:
            raise _wrong(names[0], "a PNG or JPEG picture in base64", None)
    return pictures


def _from_base64(name: str, value: Any) -> bytes:
    """The bytes of a picture in base64, with or without a data URL's prefix."""
    if not isinstance(value, str):
        raise _wrong(name, "a PNG or JPEG picture in base64", value)
    text = value.partition(",")[2] if value[:5].lower() == "data:" else value
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _wrong(name, "a PNG or JPEG picture in base64", value) from None


def _decode(name: str, data: bytes) -> sdrbee.Image:
    try:
        return sdrbee.Image(data)
    except sdrbee.InvalidRequest as error:
        text = str(error).partition("] ")[2] or str(error)
        raise sdrbee.InvalidRequest(f"[{name}] {text}") from None
