"""What the OpenAPI document tells of A1111's routes."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from sdrbee.server.errors import ApiError
from sdrbee.server.openapi import Endpoint
from sdrbee.server.operations import PICTURE


class A1111Error(msgspec.Struct):
    """An answer other than success, as A1111's clients read it."""

    error: str
    detail: str
    body: str
    errors: str


def a1111_error(error: ApiError) -> tuple[int, A1111Error]:
    """The status and JSON of an error."""
    return error.status, A1111Error(error.code, error.message, "", error.message)


# A1111's types are loose: numbers and flags may be strings, null is the default.
Number = Annotated[float | str | None, Meta(description="a number; a string of one will do")]
Whole = Annotated[int | float | str | None, Meta(description="a whole number, likewise")]
Flag = Annotated[bool | int | str | None, Meta(description="true or false")]
Text = str | None
Object = dict[str, Any] | None

_TXT2IMG: dict[str, Any] = {
    "prompt": Text,
    "negative_prompt": Text,
    "seed": Whole,
    "steps": Whole,
    "cfg_scale": Number,
    "width": Whole,
    "height": Whole,
    "batch_size": Whole,
    "n_iter": Whole,
    "sampler_name": Text,
    "sampler_index": Text,
    "scheduler": Text,
    "eta": Number,
    "s_churn": Number,
    "s_tmin": Number,
    "s_tmax": Number,
    "s_noise": Number,
    "clip_skip": Whole,
    "tiling": Flag,
    "override_settings": Object,
    "send_images": Flag,
    "include_init_images": Flag,
}
_HIRES: dict[str, Any] = {
    "enable_hr": Flag,
    "hr_scale": Number,
    "hr_upscaler": Text,
    "hr_second_pass_steps": Whole,
    "hr_resize_x": Whole,
    "hr_resize_y": Whole,
    "denoising_strength": Number,
    "hr_checkpoint_name": Text,
    "hr_sampler_name": Text,
    "hr_scheduler": Text,
    "hr_prompt": Text,
    "hr_negative_prompt": Text,
    "firstphase_width": Whole,
    "firstphase_height": Whole,
}
# Accepted when they are off.
_OFF: dict[str, Any] = {
    "restore_faces": Flag,
    "subseed_strength": Number,
    "seed_resize_from_h": Number,
    "seed_resize_from_w": Number,
    "s_min_uncond": Number,
    "initial_noise_multiplier": Number,
    "refiner_checkpoint": Text,
    "script_name": Text,
    "styles": list[str] | None,
    "alwayson_scripts": Object,
}
_IMG2IMG: dict[str, Any] = {
    "denoising_strength": Number,
    "mask": Annotated[str | None, Meta(description=f"{PICTURE}: white is repainted")],
    "mask_blur": Number,
    "mask_blur_x": Number,
    "mask_blur_y": Number,
    "inpainting_fill": Whole,
    "inpaint_full_res": Flag,
    "inpaint_full_res_padding": Whole,
    "inpainting_mask_invert": Flag,
    "resize_mode": Whole,
}


def _body(name: str, required: dict[str, Any], fields: dict[str, Any]) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        name,
        [*required.items(), *((field, kind, None) for field, kind in fields.items())],
        kw_only=True,
    )


_PICTURES = Annotated[list[str], Meta(min_length=1, max_length=1, description=PICTURE)]
Txt2img = _body("A1111Txt2img", {}, {**_TXT2IMG, **_HIRES, **_OFF})
Img2img = _body("A1111Img2img", {"init_images": _PICTURES}, {**_TXT2IMG, **_OFF, **_IMG2IMG})
PngInfo = _body("A1111PngInfo", {"image": Annotated[str, Meta(description=PICTURE)]}, {})
Options = _body(
    "A1111Options",
    {},
    {
        "sd_model_checkpoint": Text,
        "CLIP_stop_at_last_layers": Whole,
        "sd_vae": Text,
        "eta_noise_seed_delta": Whole,
    },
)


class A1111Images(msgspec.Struct):
    """The pictures of a request, as PNG in base64."""

    images: list[str]
    parameters: dict[str, Any]
    info: Annotated[str, Meta(description="JSON: seeds, size, infotexts, ...")]


class A1111Progress(msgspec.Struct):
    """How far the caller's oldest request is."""

    progress: float
    eta_relative: float
    state: dict[str, Any]
    current_image: str | None
    textinfo: str | None


class A1111PictureTexts(msgspec.Struct):
    """What is written in a picture's file."""

    info: str
    items: dict[str, str]
    parameters: dict[str, str]


class A1111CurrentOptions(msgspec.Struct):
    """The caller's options."""

    sd_model_checkpoint: str
    sd_checkpoint_hash: str
    sd_vae: str
    CLIP_stop_at_last_layers: int
    eta_noise_seed_delta: int
    samples_format: str


_Rows = list[dict[str, Any]]
_KEY = {"Idempotency-Key": "the same again gives the same pictures, for a day"}
_MADE = (404, 410, 413, 415, 422, 429, 500, 503, 504, 507)
_READ = (404, 413, 415, 422, 503)
_LOADED = (500, 503)


def _told(summary: str, answer: Any = None, **more: Any) -> Endpoint:
    return Endpoint(summary, answer, error=A1111Error, **more)


ENDPOINTS: dict[tuple[str, str], Endpoint] = {
    ("POST", "txt2img"): _told(
        "Pictures from a prompt, as A1111 has it",
        A1111Images,
        body=Txt2img,
        headers=_KEY,
        errors=_MADE,
    ),
    ("POST", "img2img"): _told(
        "A picture changed, or repainted where the mask is white",
        A1111Images,
        body=Img2img,
        headers=_KEY,
        errors=_MADE,
    ),
    ("GET", "progress"): _told(
        "How far the caller's oldest request is",
        A1111Progress,
        query={"skip_current_image": "true: without the picture so far"},
        errors=(422,),
    ),
    ("POST", "interrupt"): _told("Ends the caller's oldest request", dict[str, Any]),
    ("POST", "skip"): _told("The same", None),
    ("POST", "png-info"): _told(
        "The texts of a picture", A1111PictureTexts, body=PngInfo, errors=_READ
    ),
    ("GET", "options"): _told("The caller's options", A1111CurrentOptions, errors=(404,)),
    ("POST", "options"): _told("Changes them", None, body=Options, errors=_READ),
    ("GET", "sd-models"): _told("The models", _Rows),
    ("GET", "loras"): _told("The built-in LoRAs and those of the model store", _Rows),
    ("POST", "refresh-checkpoints"): _told("Looks for new models", None),
    ("POST", "unload-checkpoint"): _told(
        "Lets the caller's model go", dict[str, Any], errors=(404, *_LOADED)
    ),
    ("POST", "reload-checkpoint"): _told(
        "Loads the caller's model", dict[str, Any], errors=(404, *_LOADED)
    ),
    ("GET", "embeddings"): _told("Textual inversions of the store", dict[str, Any]),
    ("GET", "memory"): _told("Memory of the machine", dict[str, Any]),
}


def fixed(name: str, value: Any) -> Endpoint:
    """A list that is the same at all times."""
    kind = _Rows if isinstance(value, list) else dict[str, Any]
    return _told(f"A1111's {name}", kind)
