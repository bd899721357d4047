"""Bodies of A1111's txt2img and img2img as operations of the native wire.

A1111's types are loose: numbers may be strings, whole numbers may be floats, null is the default,
and what it doesn't know is left alone. What would change the picture and isn't done here is
accepted while it is off and refused with 422 when it is on.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import sdrbee
from sdrbee.server.a1111_names import sampler_fields
from sdrbee.server.errors import ApiError
from sdrbee.server.limits import Limits
from sdrbee.server.wire import Submission, read_operation

# How this route has prompts read: the one place that says so.
PROMPT_SYNTAX = "plain"

# A1111's defaults of fields that have no counterpart, or another default, in the native request.
DEFAULT_MASK_BLUR = 4.0
DEFAULT_HIRES_SCALE = 2.0

# The native names of fields, where errors of the request speak of them.
_A1111_NAMES = {
    "guidance_scale": "cfg_scale",
    "sampler": "sampler_name",
    "schedule": "scheduler",
    "n": "batch_size",
    "count": "batch_size",
    "strength": "denoising_strength",
    "init_image": "init_images",
    "input_image": "init_images",
    "image": "init_images",
    "mask_image": "mask",
    "mask_padding": "inpaint_full_res_padding",
    "inpaint_area": "inpaint_full_res",
    "hires_scale": "hr_scale",
    "hires_steps": "hr_second_pass_steps",
    "hires_denoising_strength": "denoising_strength",
    "hires_upscaler": "hr_upscaler",
    "clip_skip": "CLIP_stop_at_last_layers",
    "model": "sd_model_checkpoint",
}

_HIRES_UPSCALERS = {"Latent": "latent", "Lanczos": "lanczos"}
UPSCALERS = tuple(_HIRES_UPSCALERS)

_SAME = ("", "Use same sampler", "Use same scheduler", "Use same checkpoint")


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of a caller that act on its pictures."""

    model: str = ""
    clip_stop: int = 1

    def updated(self, values: Any, name: str = "override_settings") -> Settings:
        """With the options of a JSON object; those that aren't ours are left alone.

        Raises:
            ApiError: 422 for a wrong type, or an option that would change the picture and isn't
                done here.
        """
        fields = Fields(_object(values, name))
        if fields.text("sd_vae") not in ("", "None", "Automatic"):
            raise wrong("sd_vae", "Automatic: the model's own", values["sd_vae"])
        if fields.whole("eta_noise_seed_delta") not in (None, 0):
            raise wrong("eta_noise_seed_delta", "0", values["eta_noise_seed_delta"])
        stop = fields.whole("CLIP_stop_at_last_layers")
        if stop is not None and not 1 <= stop <= 12:
            raise wrong("CLIP_stop_at_last_layers", "1..12", stop)
        return replace(
            self,
            model=model_name(fields.text("sd_model_checkpoint")) or self.model,
            clip_stop=stop or self.clip_stop,
        )


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


def in_a1111_names(error: ApiError) -> ApiError:
    """An error of the native request, speaking of the fields that the client sent."""
    name = _A1111_NAMES.get(error.field or "")
    if name is not None:
        error.message = error.message.replace(f"[{error.field}]", f"[{name}]", 1)
        error.field = name
    return error


def model_name(title: str) -> str:
    """The model that a title names: "name.safetensors [0a1b2c3d4e]" is "name"."""
    name = title.strip()
    if name.endswith("]") and " [" in name:
        name = name[: name.rindex(" [")]
    return name.removesuffix(".safetensors")


def read_txt2img(body: Any, settings: Settings, limits: Limits) -> Submission:
    """Reads a body of txt2img.

    Raises:
        ApiError: 404 for an unknown sampler, 422 that names the field for all else.
    """
    body = _object(body, "body")
    fields = Fields(body)
    operation = {"operation": "image_generation", **_hires(body, fields)}
    return _read(body, fields, operation, settings, limits)


def read_img2img(body: Any, settings: Settings, limits: Limits) -> Submission:
    """Reads a body of img2img. Decodes and encodes pictures: not for an event loop.

    Raises:
        ApiError: As `read_txt2img`, and 422 for a damaged mask.
    """
    body = _object(body, "body")
    fields = Fields(body)
    return _read(body, fields, _img2img(body, fields), settings, limits)


def _read(
    body: Mapping[str, Any],
    fields: Fields,
    operation: dict[str, Any],
    settings: Settings,
    limits: Limits,
) -> Submission:
    settings = settings.updated(body.get("override_settings"))
    _refuse_what_is_on(body, fields)
    operation = {
        "prompt": fields.text("prompt"),
        # A1111 has no other none than the empty one, which it makes zeros for XL as we do none.
        "negative_prompt": fields.text("negative_prompt") or None,
        "prompt_syntax": PROMPT_SYNTAX,
        "seed": _seed(fields),
        "n": _at_least_1(fields, "batch_size") * _at_least_1(fields, "n_iter"),
        "steps": fields.whole("steps"),
        "guidance_scale": fields.number("cfg_scale"),
        "width": fields.whole("width"),
        "height": fields.whole("height"),
        "clip_skip": _clip_skip(fields, settings),
        "tiling": "xy" if fields.flag("tiling") else None,
        "model": settings.model,
        **_sampler(fields),
        **operation,
    }
    return read_operation(
        {name: value for name, value in operation.items() if value is not None}, limits
    )


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(name, "a JSON object", value)
    return value


def _refuse_what_is_on(body: Mapping[str, Any], fields: Fields) -> None:
    off: dict[str, Callable[[str], bool]] = {
        "restore_faces": lambda name: not fields.flag(name),
        "subseed_strength": lambda name: not fields.number(name),
        "seed_resize_from_h": lambda name: (fields.number(name) or 0) <= 0,
        "seed_resize_from_w": lambda name: (fields.number(name) or 0) <= 0,
        "s_min_uncond": lambda name: not fields.number(name),
        "initial_noise_multiplier": lambda name: fields.number(name) in (None, 1),
        "refiner_checkpoint": lambda name: fields.text(name) in ("", "None"),
        "script_name": lambda name: fields.text(name) in ("", "None"),
        "styles": lambda name: not body.get(name),
        "alwayson_scripts": lambda name: (
            not any(map(_is_on, _object(body.get(name), name).values()))
        ),
    }
    for name, is_off in off.items():
        if not is_off(name):
            raise ApiError(
                422,
                "unsupported_field",
                f"[{name}] expected it to be off: this worker doesn't do it",
                field=name,
            )


def _is_on(script: Any) -> bool:
    """Whether a script's arguments switch it on; scripts are off by a first argument of false."""
    arguments = script.get("args") if isinstance(script, dict) else script
    if isinstance(arguments, list):
        return any(
            item.get("enabled") is not False if isinstance(item, dict) else bool(item)
            for item in arguments[:1]
        )
    return bool(arguments)


def _seed(fields: Fields) -> int | None:
    seed = fields.whole("seed")
    if seed is not None and seed < -1:
        raise wrong("seed", "-1 for a random one, or 0..2^64-1", seed)
    return None if seed == -1 else seed


def _at_least_1(fields: Fields, name: str) -> int:
    value = fields.whole(name)
    if value is not None and value < 1:
        raise wrong(name, "1 or more", value)
    return value or 1


def _clip_skip(fields: Fields, settings: Settings) -> int:
    """A1111 counts the layer it stops at from 1 at the end, we count layers that are left out.
    SillyTavern sends it beside the options too."""
    stop = fields.whole("clip_skip") if settings.clip_stop == 1 else None
    if stop is not None and not 0 <= stop <= 12:
        raise wrong("clip_skip", "1..12", stop)
    return max(stop or settings.clip_stop, 1) - 1


def _sampler(fields: Fields) -> dict[str, Any]:
    named = fields.text("sampler_name") or fields.text("sampler_index")
    chosen: dict[str, Any] = dict(sampler_fields(named, fields.text("scheduler")))
    table = {sampler.name: sampler for sampler in sdrbee.samplers()}
    sampler = table.get(chosen.get("sampler", ""))
    eta, churn, noise = (fields.number(name) for name in ("eta", "s_churn", "s_noise"))
    if eta is not None and sampler is not None and sampler.uses_eta:
        chosen["eta"] = eta
    elif eta not in (None, 0, 1):  # 1 and 0: what these samplers do in A1111, too
        raise wrong("eta", "none, 0 or 1 with this sampler", eta)
    if churn:
        chosen["s_churn"] = churn
        for name in ("s_tmin", "s_tmax"):
            if fields.number(name):
                raise wrong(name, "0: extra noise in all steps", fields.number(name))
    if noise not in (None, 1):
        chosen["s_noise"] = noise
    return chosen


def _hires(body: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    if not fields.flag("enable_hr"):
        return {}
    for name in ("hr_checkpoint_name", "hr_sampler_name", "hr_scheduler"):
        if fields.text(name) not in _SAME:
            raise wrong(name, "the same as in the first pass", body[name])
    for name in ("hr_prompt", "hr_negative_prompt"):
        if fields.text(name) not in ("", fields.text(name.removeprefix("hr_"))):
            raise wrong(name, "the same as in the first pass", body[name])
    for name in ("firstphase_width", "firstphase_height"):
        if fields.whole(name):
            raise wrong(name, "0; width and height are those of the first pass", body[name])
    upscaler = fields.text("hr_upscaler") or UPSCALERS[0]
    if upscaler not in _HIRES_UPSCALERS:
        raise wrong("hr_upscaler", f"one of {', '.join(UPSCALERS)}", upscaler)
    return {
        "hires_scale": _hires_scale(fields),
        "hires_upscaler": _HIRES_UPSCALERS[upscaler],
        "hires_steps": fields.whole("hr_second_pass_steps") or None,
        "hires_denoising_strength": fields.number("denoising_strength"),
    }


def _hires_scale(fields: Fields) -> float:
    wanted = [fields.whole(name) or 0 for name in ("hr_resize_x", "hr_resize_y")]
    if not any(wanted):
        return fields.number("hr_scale") or DEFAULT_HIRES_SCALE
    size = [fields.whole(name) or 0 for name in ("width", "height")]
    if not all(size):
        raise wrong("hr_resize_x", "width and height beside it", wanted[0])
    scales = {want / side for want, side in zip(wanted, size, strict=True) if want}
    if len(scales) != 1:
        raise wrong("hr_resize_x", "the proportions of width and height", wanted[0])
    return scales.pop()


def _img2img(body: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    images = body.get("init_images")
    if not isinstance(images, list) or len(images) != 1 or not isinstance(images[0], str):
        raise wrong("init_images", "a list with one picture in base64", images)
    strength = fields.number("denoising_strength")
    _check_resize_mode(fields, images[0])
    operation = {"operation": "image_transform", "init_image": images[0], "strength": strength}
    mask = fields.text("mask")
    if mask:
        operation |= {
            "operation": "image_inpaint",
            "mask_image": _mask(mask, inverted=bool(fields.flag("inpainting_mask_invert"))),
            "mask_blur": _mask_blur(fields),
        }
        if fields.flag("inpaint_full_res") is not False:
            operation["inpaint_area"] = "masked"
            operation["mask_padding"] = fields.whole("inpaint_full_res_padding") or 0
        fill = fields.whole("inpainting_fill")
        if fill not in (None, 1) and strength != 1:
            raise wrong("inpainting_fill", "1, the original, unless all is repainted", fill)
    return operation


def _check_resize_mode(fields: Fields, image: str) -> None:
    """Only stretching (0) is done; the other modes are the same where nothing is cut or filled."""
    mode, width, height = (fields.whole(name) for name in ("resize_mode", "width", "height"))
    if mode in (None, 0) or width is None or height is None:
        return
    picture = _picture("init_images", image)
    same_proportions = picture.width * height == picture.height * width
    same_size = (picture.width, picture.height) == (width, height)
    if not (same_size if mode == 3 else same_proportions and mode in (1, 2)):
        raise wrong("resize_mode", "0 (stretch) for a picture of other proportions", mode)


def _mask_blur(fields: Fields) -> float:
    both = [fields.number(name) for name in ("mask_blur_x", "mask_blur_y")]
    if both[0] != both[1]:
        raise wrong("mask_blur_x", "the same as mask_blur_y", both[0])
    blur = fields.number("mask_blur")
    return next((value for value in (blur, both[0]) if value is not None), DEFAULT_MASK_BLUR)


def _mask(text: str, *, inverted: bool) -> str:
    """A1111's mask: white is repainted, cut to black and white; its transparency, if it has any."""
    pixels = np.asarray(_picture("mask", text))
    channels = pixels.shape[2]
    if channels == 4 and pixels[..., 3].min() < 255:
        grey = pixels[..., 3]
    elif channels >= 3:
        # Pillow's weights of "L": ITU-R 601-2.
        red, green, blue = (pixels[..., i].astype(np.uint32) for i in range(3))
        grey = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    else:
        grey = pixels[..., 0]
    cut = np.where((grey > 128) != inverted, 255, 0).astype(np.uint8)
    return base64.b64encode(sdrbee.Image(cut).encode("png")).decode()


def _picture(name: str, text: str) -> sdrbee.Image:
    """A picture in base64, decoded by the rules of the native wire."""
    operation = {"operation": "image_transform", "prompt": "", "init_image": text}
    try:
        picture = read_operation(operation, Limits()).request().image
    except (ApiError, sdrbee.InvalidRequest) as error:
        text = str(error).partition("] ")[2] or str(error)
        raise ApiError(422, "invalid_field", f"[{name}] {text}", field=name) from None
    assert picture is not None
    return picture
