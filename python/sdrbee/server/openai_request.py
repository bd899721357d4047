"""Requests of OpenAI's Images API as operations of the native wire.

Fields of the API become native ones; every native field may stand beside them by its own name, and
those of other servers with this API by the names that they gave them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np

import sdrbee
from sdrbee.server.encoding import Format
from sdrbee.server.errors import ApiError, api_error
from sdrbee.server.limits import Limits
from sdrbee.server.models import resolve_model
from sdrbee.server.multipart import Form
from sdrbee.server.wire import Submission, read_operation

# Native fields by the names that vLLM-omni and SGLang gave them on this route.
_OTHER_NAMES = {"num_inference_steps": "steps", "true_cfg_scale": "true_guidance_scale"}

# How many of the model's own number of steps a quality takes; what isn't here takes all.
_STEPS_OF_QUALITY = {"low": 0.5, "high": 1.5, "hd": 1.5, "xhigh": 2.0, "max": 2.0}

# What the API adds to the native fields, by the type of its values.
_KINDS: dict[str, str] = {
    "prompt": "str",
    "model": "str",
    "n": "int",
    "size": "str",
    "quality": "str",
    "response_format": "str",
    "output_format": "str",
    "output_compression": "int",
    "background": "str",
    "moderation": "str",
    "style": "str",
    "user": "str",
    "input_fidelity": "str",
    "stream": "bool",
    "partial_images": "int",
    "scheduler": "str",
    "num_inference_steps": "int",
    "true_cfg_scale": "float",
    "priority": "int",
    "deadline_s": "float",
    "loras": "list",
    "controls": "list",
    "ip_adapters": "list",
    "embeddings": "list",
}
_TYPES: dict[str, tuple[type, str]] = {
    "str": (str, "text"),
    "int": (int, "a whole number"),
    "bool": (bool, "true or false"),
}
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class ImagesRequest:
    """What a client of the Images API asked for."""

    submission: Submission
    format: Format
    as_url: bool
    stream: bool
    partial_images: int
    """How many pictures on the way a stream has at most."""
    quality: str
    background: str
    names: dict[str, str] = field(default_factory=dict)
    """Native fields by the names that the client gave them."""

    @contextmanager
    def naming_its_fields(self) -> Iterator[None]:
        """Errors about native fields are told about the client's own."""
        with _naming(self.names):
            yield


def read_generation(
    values: Any, models: Mapping[str, sdrbee.ModelInfo], limits: Limits
) -> ImagesRequest:
    """Reads the JSON of POST /v1/images/generations. Not for an event loop.

    Raises:
        ApiError, InvalidRequest: A field is wrong, or there is no such model.
    """
    if not isinstance(values, dict):
        raise ApiError(422, "invalid_field", "expected a JSON object")
    return _read(values, "text_to_image", models, limits)


def read_edit(form: Form, models: Mapping[str, sdrbee.ModelInfo], limits: Limits) -> ImagesRequest:
    """Reads the form of POST /v1/images/edits. Decodes its pictures: not for an event loop.

    Raises:
        ApiError, InvalidRequest: A field or a picture is wrong, or there is no such model.
    """
    pictures = _pictures(form)
    mode = "inpaint" if "mask" in pictures else "image_to_image"
    asked = _read(_values(form), mode, models, limits)
    operation = "image_inpaint" if "mask" in pictures else "image_transform"
    submission = replace(
        asked.submission,
        operation=operation,
        pictures={**asked.submission.pictures, **pictures},
        summary={**asked.submission.summary, "operation": operation},
    )
    return replace(asked, submission=submission)


def _read(
    values: Mapping[str, Any],
    mode: str,
    models: Mapping[str, sdrbee.ModelInfo],
    limits: Limits,
) -> ImagesRequest:
    given = {name: value for name, value in values.items() if value is not None}
    for name, kind in _KINDS.items():
        _check_type(name, kind, given)
    if "prompt" not in given:
        raise _wrong("prompt", "text", None)
    stream = given.get("stream", False)
    partial_images = given.get("partial_images", 0)
    if not 0 <= partial_images <= 3:
        raise _wrong("partial_images", "0..3", partial_images)
    native, names = _native_fields(given)
    if not (stream and partial_images):
        native.setdefault("preview", "none")
    with _naming(names):
        model = resolve_model(native.get("model", ""), models)
        if native.keys().isdisjoint(("steps", "sigmas")):
            share = _STEPS_OF_QUALITY.get(given.get("quality", ""))
            if share is not None and mode in models[model].defaults:
                native["steps"] = max(1, round(models[model].defaults[mode].steps * share))
        submission = read_operation({**native, "operation": "image_generation"}, limits)
    return ImagesRequest(
        submission=submission,
        format=_format(given),
        as_url=_as_url(given, limits),
        partial_images=partial_images,
        stream=stream,
        quality=given.get("quality", "auto"),
        background=given.get("background", "auto"),
        names=names,
    )


def _native_fields(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The native fields, and the client's names of those that have another one."""
    native = dict(given)
    names: dict[str, str] = {}
    for other, own in _OTHER_NAMES.items():
        if other in native:
            value = native.pop(other)
            if own not in given:
                native[own], names[own] = value, other
    size = native.pop("size", "auto")
    if size not in ("auto", ""):
        parts = _SIZE.fullmatch(size)
        if parts is None:
            raise _wrong("size", "WIDTHxHEIGHT, such as 512x512, or auto", size)
        for own, side in zip(("width", "height"), parts.groups(), strict=True):
            if own not in given:
                native[own], names[own] = int(side), "size"
    if "scheduler" in native:
        own = _kind_of_scheduler(native["scheduler"])
        value = native.pop("scheduler")
        if own not in given:
            native[own], names[own] = value, "scheduler"
    if "loras" in native:
        native["loras"] = [_lora(row) for row in native["loras"]]
    return native, names


def _kind_of_scheduler(name: str) -> str:
    """What other programs call a scheduler is a sampler here, or a schedule."""
    samplers = [sampler.name for sampler in sdrbee.samplers()]
    schedules = [schedule.name for schedule in sdrbee.schedules()]
    if name in samplers:
        return "sampler"
    if name in schedules:
        return "schedule"
    raise _wrong("scheduler", f"one of {', '.join([*samplers, *schedules])}", name)


def _lora(row: Any) -> Any:
    """`{id, scale}` as the native route has it."""
    if not isinstance(row, dict):
        return row
    other = {"id": "name", "scale": "strength"}
    return {other.get(name, name): value for name, value in row.items()}


def _format(given: Mapping[str, Any]) -> Format:
    compression = given.get("output_compression")
    if compression is None:
        return Format(given.get("output_format", "png"))
    if not 0 <= compression <= 100:
        raise _wrong("output_compression", "0..100", compression)
    return Format(given.get("output_format", "png"), max(1, compression))


def _as_url(given: Mapping[str, Any], limits: Limits) -> bool:
    wanted: str = given.get("response_format", "b64_json")
    if wanted not in ("url", "b64_json"):
        raise _wrong("response_format", "b64_json or url", wanted)
    if wanted == "url" and limits.kept_jobs_s <= 0:
        raise _wrong("response_format", "b64_json: this worker keeps no results", wanted)
    return wanted == "url"


def _check_type(name: str, kind: str, given: Mapping[str, Any]) -> None:
    """Types of what isn't read natively by the same name."""
    value = given.get(name)
    if value is None or kind == "float":
        return
    expected, told = _TYPES.get(kind, (list, "a list"))
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is int):
        raise _wrong(name, told, value)


def _values(form: Form) -> dict[str, Any]:
    """The texts of a form as the JSON values that they stand for."""
    kinds = {**{row.name: row.type for row in sdrbee.request_fields()}, **_KINDS}
    values: dict[str, Any] = {}
    for name, texts in form.texts.items():
        if name.endswith("[]"):
            own = name[:-2]
            item_kind = kinds.get(own, "").removeprefix("list of ")
            values[own] = [_value(item_kind, text) for text in texts]
        elif len(texts) > 1:
            raise _wrong(name, "one value", texts)
        elif texts[0] or kinds.get(name) == "str":
            values[name] = _value(kinds.get(name, "str"), texts[0])
    return values


def _value(kind: str, text: str) -> Any:
    """A text of a form; where it isn't of its field's kind it stays a text, which is refused."""
    if kind == "str":
        return text
    try:
        value = msgspec.json.decode(text.strip().lower() if kind == "bool" else text)
    except (msgspec.DecodeError, RecursionError):
        return text
    return text if value is None else value


def _pictures(form: Form) -> dict[str, bytes]:
    """The pictures of an edit, with the mask that they make: white where they are transparent."""
    images = form.files.get("image", []) + form.files.get("image[]", [])
    masks = form.files.get("mask", [])
    if not images:
        raise _wrong("image", "a PNG or JPEG file", None)
    if len(images) > 1:
        text = f"[image] expected one picture, which the edit starts from, but got {len(images)}"
        raise ApiError(422, "unsupported_field", text, field="image")
    if len(masks) > 1:
        raise _wrong("mask", "one PNG file", f"{len(masks)} of them")
    image = _decoded("image", images[0])
    pictures = {"image": images[0]}
    if masks:
        mask = _decoded("mask", masks[0])
        if mask.channels != 4:
            raise _wrong("mask", "a PNG with transparency, which marks what is edited", "none")
        if (mask.width, mask.height) != (image.width, image.height):
            raise _wrong("mask", f"the image's size, {image.width}x{image.height}", _size_of(mask))
        pictures["mask"] = _mask_of(mask)
    elif image.channels == 4 and np.asarray(image)[..., 3].min() < 255:
        pictures["mask"] = _mask_of(image)
    if "control_image" in form.files:
        pictures["control_image"] = form.files["control_image"][-1]
    return pictures


def _mask_of(picture: sdrbee.Image) -> bytes:
    """White where the picture is transparent."""
    return sdrbee.Image(255 - np.asarray(picture)[..., 3]).encode("png")


def _decoded(name: str, file: bytes) -> sdrbee.Image:
    try:
        return sdrbee.Image(file)
    except sdrbee.InvalidRequest as error:
        why = str(error).rpartition("] ")[2]  # its own words are "[[image] 40 bytes] ..."
        raise ApiError(422, "invalid_field", f"[{name}] {why}", field=name) from None


def _size_of(picture: sdrbee.Image) -> str:
    return f"{picture.width}x{picture.height}"


def _wrong(name: str, expected: str, value: Any) -> ApiError:
    shown = "null" if value is None else repr(value[:60] if isinstance(value, str) else value)
    shown = shown if len(shown) <= 62 else f"{shown[:57]}..."
    return ApiError(
        422, "invalid_field", f"[{name}] expected {expected} but got {shown}", field=name
    )


@contextmanager
def _naming(names: Mapping[str, str]) -> Iterator[None]:
    """Errors about fields are told by these names."""
    try:
        yield
    except (ApiError, sdrbee.Error, TypeError) as error:
        told = api_error(error)
        own = names.get(told.field or "")
        if own is None:
            raise
        raise ApiError(
            told.status,
            told.code,
            told.message.replace(f"[{told.field}]", f"[{own}]", 1),
            field=own,
            retry_after_s=told.retry_after_s,
            accepted=told.accepted,
        ) from None
