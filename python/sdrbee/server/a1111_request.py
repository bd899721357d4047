"""Bodies of A1111's txt2img and img2img as operations of the native wire.

A1111's types are loose: numbers may be strings, whole numbers may be floats, null is the default,
and what it doesn't know is left alone. What would change the picture and isn't done here is
accepted while it is off and refused with 422 when it is on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sdrbee
from sdrbee.adapters import take_lora_tags
from sdrbee.server.a1111_controls import controls_of, is_controlnet
from sdrbee.server.a1111_fields import Fields, json_object, wrong
from sdrbee.server.a1111_names import sampler_fields
from sdrbee.server.a1111_pictures import img2img_fields
from sdrbee.server.a1111_words import words_in
from sdrbee.server.errors import ApiError
from sdrbee.server.limits import Limits
from sdrbee.server.wire import Submission, read_operation

# How this route has prompts read: the one place that says so.
PROMPT_SYNTAX = "a1111"

# Those of a second pass, in our words.
_HIRES_TEXTS = ("hires_prompt", "hires_negative_prompt")

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
    "hires_prompt": "hr_prompt",
    "hires_negative_prompt": "hr_negative_prompt",
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
        fields = Fields(json_object(values, name))
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
    body = json_object(body, "body")
    fields = Fields(body)
    operation = {"operation": "image_generation", **_hires(body, fields)}
    return _read(body, fields, operation, settings, limits)


def read_img2img(body: Any, settings: Settings, limits: Limits) -> Submission:
    """Reads a body of img2img. Decodes and encodes pictures: not for an event loop.

    Raises:
        ApiError: As `read_txt2img`, and 422 for a damaged mask.
    """
    body = json_object(body, "body")
    fields = Fields(body)
    return _read(body, fields, img2img_fields(body, fields), settings, limits)


def _read(
    body: Mapping[str, Any],
    fields: Fields,
    operation: dict[str, Any],
    settings: Settings,
    limits: Limits,
) -> Submission:
    settings = settings.updated(body.get("override_settings"))
    _refuse_what_is_on(body, fields)
    prompt, loras = _loras(fields.text("prompt"))
    texts = [prompt, fields.text("negative_prompt")]
    texts += [operation.get(name) or "" for name in _HIRES_TEXTS]
    operation = {
        "prompt": prompt,
        "loras": loras or None,
        # A1111 has no other none than the empty one, which it makes zeros for XL as we do none.
        "negative_prompt": fields.text("negative_prompt") or None,
        "prompt_syntax": PROMPT_SYNTAX,
        "embeddings": words_in(*texts) or None,
        "seed": _seed(fields),
        "n": _at_least_1(fields, "batch_size") * _at_least_1(fields, "n_iter"),
        "steps": fields.whole("steps"),
        "guidance_scale": fields.number("cfg_scale"),
        "width": fields.whole("width"),
        "height": fields.whole("height"),
        "clip_skip": _clip_skip(fields, settings),
        "tiling": "xy" if fields.flag("tiling") else None,
        "model": settings.model,
        "controls": controls_of(body, fields) or None,
        **_sampler(fields),
        **operation,
    }
    return read_operation(
        {name: value for name, value in operation.items() if value is not None}, limits
    )


def _loras(prompt: str) -> tuple[str, list[dict[str, Any]]]:
    """The prompt without `<lora:name:strength>`, and what these ask for."""
    try:
        return take_lora_tags(prompt)
    except sdrbee.InvalidRequest as error:
        raise ApiError(422, "invalid_field", str(error), field="prompt") from None


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
            not any(
                _is_on(script)
                for script_name, script in json_object(body.get(name), name).items()
                if not is_controlnet(script_name)
            )
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
        "hires_prompt": _hires_prompt(fields),
        "hires_negative_prompt": fields.text("hr_negative_prompt") or None,
    }


def _hires_prompt(fields: Fields) -> str | None:
    prompt, loras = _loras(fields.text("hr_prompt"))
    if prompt and loras != _loras(fields.text("prompt"))[1]:
        raise wrong("hr_prompt", "the LoRAs of the first pass", fields.text("hr_prompt"))
    return prompt or None


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
