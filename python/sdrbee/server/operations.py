"""The operations of the wire as types, made from the request's one list of fields and the limits.

What msgspec reads requests with is also what the OpenAPI document shows.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Annotated, Any, Union

import msgspec
from msgspec import Meta

import sdrbee
from sdrbee._native import max_control_pictures
from sdrbee.server.limits import Limits

# Each operation's pictures: the request's field, its names on the wire (rbee's comes first), and
# whether it must be there.
Pictures = tuple[tuple[str, tuple[str, ...], bool], ...]
_OPTIONAL: Pictures = (("control_image", ("control_image",), False),)
OPERATIONS: dict[str, Pictures] = {
    "image_generation": _OPTIONAL,
    "image_transform": (("image", ("input_image", "init_image", "image"), True), *_OPTIONAL),
    "image_inpaint": (
        ("image", ("init_image", "input_image", "image"), True),
        ("mask", ("mask_image", "mask"), True),
        *_OPTIONAL,
    ),
}

# Fields of the request that the wire has under another name or not at all.
NOT_ON_THE_WIRE = ("count", "output", "embeddings_dir")

# Fields that a model must be able to, by the name of its capability.
FEATURES = {
    "loras": "lora",
    "controls": "controlnet",
    "ip_adapters": "controlnet",
    "embeddings": "embedding",
}

# Those of them that have pictures.
CONTROLS = ("controls", "ip_adapters")

PICTURE = "a PNG or JPEG picture in base64"
_PICTURE_SCHEMA = {"format": "byte"}

# Of a block; a bound of what is read, none of a model's.
_MOST_ATTENTIONS = 64

Part = Annotated[float, Meta(ge=0, le=1)]
Strength = Annotated[float, Meta(ge=-10, le=10, description="how strongly it is used")]
StoreName = Annotated[str, Meta(max_length=255, description="its name in the model store")]
Picture = Annotated[str, Meta(description=PICTURE, extra_json_schema=_PICTURE_SCHEMA)]


class Lora(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A LoRA and how much of it."""

    name: StoreName | None = None
    path: Annotated[StoreName, Meta(description="rbee's word for `name`")] | None = None
    strength: Strength = 1.0
    blocks: (
        Annotated[list[float], Meta(max_length=64, description="factors by block, as of A1111's")]
        | None
    ) = None


class Control(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A ControlNet or T2I-Adapter, its picture, and the part of the steps in which it works."""

    name: StoreName
    image: Annotated[Picture, Meta(description="may be absent for type 'inpaint'")] | None = None
    strength: Strength = 1.0
    start: Part = 0.0
    end: Part = 1.0
    guess_mode: Annotated[bool, Meta(description="acts on the prompt alone")] = False
    type: Annotated[str, Meta(description="of the picture, for nets of several types")] = ""
    mode: Annotated[str, Meta(description="'balanced', 'prompt' or 'control'")] = "balanced"
    preprocessor: Annotated[str, Meta(description="what made the picture")] = ""


_Pictures = Annotated[list[Picture], Meta(min_length=1, max_length=max_control_pictures())]
_Factors = Strength | Annotated[list[Strength], Meta(min_length=1, max_length=_MOST_ATTENTIONS)]


class IpAdapter(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An IP-Adapter, its pictures, and where and in which part of the steps they act."""

    name: StoreName
    image: Annotated[Picture, Meta(description="or `images`")] | None = None
    images: Annotated[_Pictures, Meta(description="several in the place of `image`")] | None = None
    mask: Annotated[Picture, Meta(description="where `image` acts is white")] | None = None
    masks: Annotated[_Pictures, Meta(description="the same for each of `images`")] | None = None
    strength: Strength = 1.0
    start: Part = 0.0
    end: Part = 1.0
    blocks: (
        Annotated[
            dict[str, _Factors | dict[str, _Factors]],
            Meta(
                description="factors of `strength` by block, 0 where there is none, as "
                '{"down": {"block_2": [0, 1]}, "mid": 0.5, "up": 1}',
                max_length=3,
            ),
        ]
        | None
    ) = None


class Embedding(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A textual inversion and the word that stands for it in the prompt."""

    name: StoreName
    token: str | None = None


_ADAPTERS: dict[str, type[msgspec.Struct]] = {
    "loras": Lora,
    "controls": Control,
    "ip_adapters": IpAdapter,
    "embeddings": Embedding,
}
_SCALARS: dict[str, Any] = {
    "str": str,
    "bool": bool,
    "int": int,
    "float": float,
    "list of int": list[int],
    "list of float": list[float],
}

# Of rbee's queen and hive; a worker that is asked directly has no use for them.
_LEFT_ALONE = {"hive_id": "the hive that rbee's scheduler chose", "worker_id": "likewise"}


@functools.cache
def operation_types(limits: Limits) -> dict[str, type[msgspec.Struct]]:
    """The type of each operation's JSON object, under these limits."""
    return {name: _operation_type(name, limits) for name in OPERATIONS}


@functools.cache
def any_operation(limits: Limits) -> Any:
    """All of them as one type, which `operation` tells apart."""
    return Union[tuple(operation_types(limits).values())]  # noqa: UP007


def _operation_type(operation: str, limits: Limits) -> type[msgspec.Struct]:
    types = {
        **_own_fields(limits),
        **{
            row.name: _request_field(row, limits)
            for row in sdrbee.request_fields()
            if row.name not in _ADAPTERS
        },
    }
    for name in NOT_ON_THE_WIRE:
        del types[name]
    for field_name, names, _ in OPERATIONS[operation]:
        for name in names:
            shown = "" if name == names[0] else f"; another name of `{names[0]}`"
            types[name] = Annotated[
                str,
                Meta(
                    description=f"{_PICTURES[field_name]}: {PICTURE}{shown}",
                    extra_json_schema=_PICTURE_SCHEMA,
                ),
            ]
    return msgspec.defstruct(
        "".join(part.capitalize() for part in operation.split("_")),
        [(name, kind | None, None) for name, kind in types.items()],
        tag=operation,
        tag_field="operation",
        kw_only=True,
    )


_PICTURES = {
    "image": "what is changed",
    "mask": "where it is repainted: white",
    "control_image": "what the control follows",
}


def _own_fields(limits: Limits) -> dict[str, Any]:
    """The fields that are the worker's, not the picture's."""
    most = limits.images_per_job
    shortest, longest = limits.shortest_deadline_s, limits.deadline_s
    return {
        "model": _described(str, "by a name of /v1/capabilities, an alias or a Hugging Face id"),
        "n": _described(int, "pictures, with the seeds `seed` + i; 1 when absent", ge=1, le=most),
        "priority": _described(int, "-1000..1000; higher ones go first; 0 when absent"),
        "deadline_s": _described(
            float,
            f"seconds until it must be done; {longest:g} when absent",
            ge=shortest,
            le=longest,
        ),
        "webhook_url": _described(str, "where its end is told, if the worker allows webhooks"),
        **{
            name: _described(list[kind], kind.__doc__, max_length=limits.adapters)  # type: ignore[valid-type]
            for name, kind in _ADAPTERS.items()
        },
        **{name: _described(str, text) for name, text in _LEFT_ALONE.items()},
    }


def _request_field(row: Any, limits: Limits) -> Any:
    """The type of a field of `sdrbee.request_fields`, with the worker's limits."""
    bounds: dict[str, Any] = {}
    if row.name in ("steps", "hires_steps"):
        bounds = {"ge": 1, "le": limits.steps}
    elif row.name in ("width", "height"):
        bounds = {"ge": limits.smallest_side, "le": limits.largest_side}
    elif row.name in ("guidance_scale", "true_guidance_scale"):
        bounds = {"ge": -limits.guidance_scale, "le": limits.guidance_scale}
    elif row.type == "str":
        bounds = {"max_length": limits.prompt_characters}
    elif row.type.startswith("list"):
        bounds = {"max_length": limits.steps}
    return _described(_SCALARS[row.type], row.doc, **bounds)


def _described(kind: Any, text: str | None, **bounds: Any) -> Any:
    return Annotated[kind, Meta(description=text, **bounds)]


def has_feature(info: sdrbee.ModelInfo, name: str) -> bool:
    """Whether a model takes a field of `FEATURES`."""
    return bool(getattr(info.capabilities, FEATURES[name], False))


def unusable_number(values: Mapping[str, Any]) -> str | None:
    """The name of the first number, alone or in a list, that is NaN, infinite, or whole and beyond
    64 bits: neither the engine nor the journal holds such."""
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, float) and not math.isfinite(one):
                return name
            if isinstance(one, int) and not -(1 << 63) <= one < 1 << 64:
                return name
    return None
