"""What the OpenAPI document tells of OpenAI's Images API."""

from __future__ import annotations

from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta

from sdrbee.server.encoding import formats
from sdrbee.server.limits import Limits
from sdrbee.server.openai_errors import OpenaiError
from sdrbee.server.openapi import Endpoint
from sdrbee.server.operations import operation_types

_ERRORS = (404, 410, 413, 415, 429, 500, 503, 504, 507)

CONTENT = Endpoint(
    "A picture by its URL",
    content_type="image/*",
    query={
        "variant": "which of the job's pictures, from 0 on",
        "output_format": ", ".join(formats()),
        "output_compression": "the quality of jpeg and webp, 1 to 100",
    },
    errors=(404, 410),
    error=OpenaiError,
)


class OpenaiLora(msgspec.Struct, rename={"name": "id", "strength": "scale"}):
    """A LoRA by its name in the model store, and how much of it."""

    name: str
    strength: float = 1.0


class OpenaiImages(msgspec.Struct):
    """The pictures of a request without `stream`."""

    created: int
    data: list[dict[str, Any]]
    background: str
    output_format: str
    size: str
    usage: dict[str, Any]


def endpoints(limits: Limits) -> tuple[Endpoint, Endpoint]:
    """Generations and edits, under these limits."""
    fields = _fields(limits)
    generation = msgspec.defstruct("ImagesGeneration", fields, kw_only=True)
    uploads: list[Any] = [
        ("image", _file("the picture, PNG or JPEG")),
        ("mask", _file("a PNG, transparent where the picture is repainted") | None, None),
    ]
    edit = msgspec.defstruct("ImagesEdit", [*uploads, *fields], kw_only=True)
    shown = {"Idempotency-Key": "the same again gives the same pictures, for a day"}
    return (
        Endpoint(
            "Pictures from a prompt, as OpenAI's Images API has it",
            OpenaiImages,
            body=generation,
            headers=shown,
            errors=_ERRORS,
            error=OpenaiError,
        ),
        Endpoint(
            "A picture changed, or repainted where it is transparent",
            OpenaiImages,
            body=edit,
            body_content_type="multipart/form-data",
            headers=shown,
            errors=_ERRORS,
            error=OpenaiError,
        ),
    )


def _fields(limits: Limits) -> list[Any]:
    """Those of the API, and the native ones beside them."""
    own: dict[str, Any] = {
        "size": _told(str, "WIDTHxHEIGHT, or auto"),
        "quality": _told(str, "low, high, hd, xhigh, max: a share of the model's steps"),
        "response_format": _told(str, "b64_json or url"),
        "output_format": _told(str, ", ".join(formats())),
        "output_compression": _told(int, "the quality of jpeg and webp", ge=0, le=100),
        "stream": _told(bool, "server-sent events instead of one answer"),
        "partial_images": _told(int, "pictures on the way, in a stream", ge=0, le=3),
        "num_inference_steps": _told(int, "another name of `steps`", ge=1, le=limits.steps),
        "true_cfg_scale": _told(float, "another name of `true_guidance_scale`"),
        "scheduler": _told(str, "a sampler or a schedule"),
        **{
            name: _told(str, "without effect")
            for name in ("background", "moderation", "style", "user", "input_fidelity")
        },
    }
    native = {
        row.name: row.type
        for row in msgspec.structs.fields(operation_types(limits)["image_generation"])
        if row.name not in own
    }
    prompt, _ = get_args(native.pop("prompt"))  # not null here
    native["loras"] = list[OpenaiLora] | None
    return [
        ("prompt", prompt),
        *((name, kind | None, None) for name, kind in own.items()),
        *((name, kind, None) for name, kind in native.items()),
    ]


def _file(text: str) -> Any:
    return Annotated[str, Meta(description=text, extra_json_schema={"format": "binary"})]


def _told(kind: Any, text: str, **bounds: Any) -> Any:
    return Annotated[kind, Meta(description=text, **bounds)]
