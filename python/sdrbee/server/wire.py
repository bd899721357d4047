"""Operations as the wire has them: one JSON object to one request of the engine."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

import sdrbee
from sdrbee._native import control_pictures
from sdrbee.model_files import adapter_path
from sdrbee.server.errors import ApiError
from sdrbee.server.limits import Limits
from sdrbee.server.operations import (
    CONTROLS,
    FEATURES,
    NOT_ON_THE_WIRE,
    OPERATIONS,
    PICTURE,
    Control,
    IpAdapter,
    Pictures,
    any_operation,
    has_feature,
    unusable_number,
)

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
    webhook_url: str | None = None
    """Where its end is told."""
    picture_names: Mapping[str, str] = field(default_factory=dict)
    """The wire's name of each picture, where it isn't the request's."""
    limits: Limits = Limits()  # noqa: RUF009

    def request(self) -> sdrbee.GenerationRequest:
        """The engine's request. Decodes the pictures: not for an event loop.

        Raises:
            InvalidRequest: A picture is damaged, of an unknown format or too large, or the one to
                be made is.
        """
        pictures: dict[str, Any] = {
            name: _decode(self.picture_names.get(name, name), data)
            for name, data in self.pictures.items()
        }
        fields = dict(self.fields)
        for name in CONTROLS:
            if name in fields:
                fields[name] = [
                    _control(f"{name}[{index}]", control)
                    for index, control in enumerate(fields[name])
                ]
        request = sdrbee.GenerationRequest(**fields, **pictures)
        _check_size(request, self.limits)
        return request

    def check_features(self, model: str, info: sdrbee.ModelInfo) -> None:
        """Raises ApiError 422 that names the field when the model cannot do what is asked."""
        for name in FEATURES:
            if self.fields.get(name) and not has_feature(info, name):
                raise ApiError(
                    422,
                    "unsupported_field",
                    f"[{name}] expected none: the model {model!r} doesn't take them "
                    "(/v1/capabilities tells what each model does)",
                    field=name,
                )


def read_operation(body: Any, limits: Limits) -> Submission:
    """Reads the body of POST /v1/jobs; unknown fields are left alone, null is the default.

    Decodes base64: not for an event loop when the body is large.

    Raises:
        ApiError: 422 that names the field.
    """
    if not isinstance(body, dict):
        raise ApiError(422, "invalid_field", "expected a JSON object")
    operation = body.get("operation")
    if not isinstance(operation, str) or operation not in OPERATIONS:
        raise _wrong("operation", f"one of {', '.join(OPERATIONS)}", operation)
    try:
        read = msgspec.convert(body, any_operation(limits))
    except msgspec.ValidationError as error:
        raise _told(error, body) from None
    given = _given(read)
    bad = unusable_number(given)
    if bad is not None:
        raise _wrong(bad, "finite numbers, whole ones of 64 bits", given[bad])
    fields = _request_fields(given)
    pictures, names = _pictures(given, OPERATIONS[operation])
    return Submission(
        operation=operation,
        fields=fields,
        pictures=pictures,
        model=given.get("model", ""),
        priority=given.get("priority", 0),
        deadline_s=float(given.get("deadline_s", limits.deadline_s)),
        summary={"operation": operation, **_without_pictures(fields)},
        webhook_url=given.get("webhook_url"),
        picture_names=names,
        limits=limits,
    )


def _given(read: msgspec.Struct) -> dict[str, Any]:
    """The fields that are there."""
    values = msgspec.structs.asdict(read)
    return {name: value for name, value in values.items() if value is not None}


# The names that the wire's fields share with the engine's request.
_REQUEST_FIELDS = {row.name for row in sdrbee.request_fields()} - {*NOT_ON_THE_WIRE, *FEATURES}


def _request_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the engine's request."""
    fields = {name: value for name, value in given.items() if name in _REQUEST_FIELDS}
    fields["count"] = given.get("n", 1)
    fields["preview"] = fields.get("preview", DEFAULT_PREVIEW)
    for name in FEATURES:
        if given.get(name):
            fields[name] = [
                _adapter(f"{name}[{index}]", row) for index, row in enumerate(given[name])
            ]
    return fields


def _adapter(place: str, row: msgspec.Struct) -> dict[str, Any]:
    """An adapter by its name in the model store: no path, whatever rbee calls it."""
    values = _given(row)
    key = "name" if "name" in values else "path" if "path" in values else None
    if key is None:
        raise _wrong(f"{place}.name", "a name in the model store", None)
    name = values.pop(key)
    if not name.strip(".") or any(letter in name for letter in "/\\:\0"):
        raise _wrong(f"{place}.{key}", "a name in the model store, not a path", name)
    if (isinstance(row, Control) and not row.type and row.image is None) or (
        isinstance(row, IpAdapter) and row.image is None and row.images is None
    ):
        raise _wrong(f"{place}.image", PICTURE, None)
    return {"name": name, **_each_picture(place, values, _from_base64)}


def _each_picture(
    place: str, control: Mapping[str, Any], change: Callable[[str, Any], Any]
) -> dict[str, Any]:
    """A control with what `change` makes of the place and value of each of its pictures."""
    values = dict(control)
    for one, several in control_pictures():
        if one in values:
            values[one] = change(f"{place}.{one}", values[one])
        if several in values:
            values[several] = [
                change(f"{place}.{several}[{index}]", picture)
                for index, picture in enumerate(values[several])
            ]
    return values


def _control(place: str, control: Mapping[str, Any]) -> dict[str, Any]:
    """A control as the engine's request has it: its files are found by its name."""
    fields = {name: value for name, value in control.items() if name != "name"}
    try:
        fields["model"] = adapter_path(control["name"], "controlnet")
    except sdrbee.ModelNotFound as error:
        raise _wrong(
            f"{place}.name", "a ControlNet's name in the model store", control["name"]
        ) from error
    return _each_picture(place, fields, _decode)


_PICTURE_NAMES = {name for names in control_pictures() for name in names}


def _without_pictures(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: [{key: one[key] for key in one if key not in _PICTURE_NAMES} for one in value]
        if name in FEATURES
        else value
        for name, value in fields.items()
    }


def _check_size(request: sdrbee.GenerationRequest, limits: Limits) -> None:
    """Bounds the picture that is made, whatever its size comes from."""
    source = request.image
    width = request.width or (source.width if source else 0)
    height = request.height or (source.height if source else 0)
    if len(request.outpaint) == 4:
        left, top, right, bottom = request.outpaint
        width, height = width + left + right, height + top + bottom
    scale = request.hires_scale or 1.0
    if not width * scale * height * scale <= limits.pixels:
        size = f"{width * scale:.0f}x{height * scale:.0f}"
        raise _wrong("width", f"at most {limits.pixels} pixels in all", size)


def _pictures(
    given: Mapping[str, Any], wanted: Pictures
) -> tuple[dict[str, bytes], dict[str, str]]:
    pictures, wire_names = {}, {}
    for field_name, names, required in wanted:
        there = [name for name in names if name in given]
        if there:
            pictures[field_name] = _from_base64(there[0], given[there[0]])
            wire_names[field_name] = there[0]
        elif required:
            raise _wrong(names[0], PICTURE, None)
    return pictures, wire_names


def _from_base64(name: str, value: str) -> bytes:
    """The bytes of a picture in base64, with or without a data URL's prefix."""
    text = value.partition(",")[2] if value[:5].lower() == "data:" else value
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if not decoded:
        raise _wrong(name, PICTURE, value)
    return decoded


def _decode(name: str, data: bytes) -> sdrbee.Image:
    try:
        return sdrbee.Image(data)
    except sdrbee.InvalidRequest as error:
        text = str(error).rpartition(" bytes] ")[2]  # its own words are "[[image] 40 bytes] ..."
        raise sdrbee.InvalidRequest(f"[{name}] {text}") from None


def _wrong(name: str, expected: str, value: Any) -> ApiError:
    shown = _shown(value)
    return ApiError(
        422, "invalid_field", f"[{name}] expected {expected} but got {shown}", field=name
    )


def _shown(value: Any) -> str:
    """A value as messages show it; a long one by its beginning."""
    if isinstance(value, (str, list)):
        value = value[:60]
    shown = "null" if value is None else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


_MESSAGE = re.compile(r"(?P<what>.*?)( - at `\$\.?(?P<path>[^`]*)`)?", re.S)
_EXPECTED = re.compile(r"Expected (?P<what>.*?)(, got .*)?", re.S)
_MISSING = re.compile(r"Object missing required field `(?P<name>\w+)`")
_PIECE = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def _told(error: msgspec.ValidationError, body: Any) -> ApiError:
    """What msgspec found, in the form of all errors."""
    message = _MESSAGE.fullmatch(str(error))
    what, path = (message["what"], message["path"] or "") if message else (str(error), "")
    missing = _MISSING.fullmatch(what)
    if missing:
        name = f"{path}.{missing['name']}".lstrip(".")
        return ApiError(422, "invalid_field", f"[{name}] expected it to be there", field=name)
    expected = _EXPECTED.fullmatch(what)
    text = (expected["what"] if expected else what).replace(" | null", "").replace("`", "")
    return _wrong(path, text, _at(body, path))


def _at(body: Any, path: str) -> Any:
    for name, index in _PIECE.findall(path):
        body = body.get(name) if isinstance(body, dict) else body[int(index)]
    return body
