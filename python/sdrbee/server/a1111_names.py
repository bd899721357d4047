"""Samplers and schedules by the names that AUTOMATIC1111's clients know them by."""

from __future__ import annotations

import re
from typing import Any

import sdrbee
from sdrbee._native import Sampler
from sdrbee.server.errors import ApiError

# What A1111 calls our samplers, where it isn't our own name. Order and aliases are those of
# `sdrbee.samplers()`.
# https://github.com/AUTOMATIC1111/stable-diffusion-webui, modules/sd_samplers_*.py
_SAMPLERS = {
    "euler": "Euler",
    "euler_ancestral": "Euler a",
    "heun": "Heun",
    "dpm2": "DPM2",
    "dpm2_ancestral": "DPM2 a",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_3m_sde": "DPM++ 3M SDE",
    "dpmpp_sde": "DPM++ SDE",
    "dpmpp_2s_ancestral": "DPM++ 2S a",
    "lms": "LMS",
    "euler_cfg_pp": "Euler CFG++",
    "euler_ancestral_cfg_pp": "Euler a CFG++",
    "restart": "Restart",
    "dpm_fast": "DPM fast",
    "dpm_adaptive": "DPM adaptive",
    "ddim": "DDIM",
    "ddpm": "DDPM",
    "pndm": "PLMS",
    "unipc": "UniPC",
    "deis": "DEIS",
    "lcm": "LCM",
    "tcd": "TCD",
}

# Name and label in A1111, where they aren't our name and that name in title case.
_SCHEDULES = {
    "ddim_uniform": ("ddim", "DDIM"),
    "sgm_uniform": ("sgm_uniform", "SGM Uniform"),
    "kl_optimal": ("kl_optimal", "KL Optimal"),
    "gits": ("gits", "GITS"),
}

AUTOMATIC = "automatic"

# A1111's "Uniform": k-diffusion's even timesteps, both ends included.
_UNIFORM = {"schedule": "normal", "spacing": "linspace"}


def sampler_fields(sampler: str, scheduler: str) -> dict[str, str]:
    """The request's `sampler`, `schedule` and `spacing` for a sampler and a scheduler; either may
    be empty or "automatic", which are the model's own.

    A schedule at the end of the sampler's name ("DPM++ 2M Karras") goes before `scheduler`, as in
    A1111.

    Raises:
        ApiError: 404 for an unknown sampler, 422 for an unknown scheduler.
    """
    fields = _schedule_fields(scheduler)
    if _key(sampler) in ("", AUTOMATIC):
        return fields
    found = _sampler_of(sampler)
    if found is None:
        words = sampler.split()
        for begin in range(len(words) - 1, 0, -1):
            found = _sampler_of(" ".join(words[:begin]))
            named = _schedule_of(" ".join(words[begin:]))
            if found is not None and named is not None:
                return {"sampler": found.name, **named}
        raise ApiError(
            404,
            "sampler_not_found",
            f"Sampler not found: {sampler[:60]!r}; /sdapi/v1/samplers lists them",
            field="sampler_name",
        )
    return {"sampler": found.name, **fields}


def sampler_label(name: str) -> str:
    """A1111's name of one of our samplers."""
    return _SAMPLERS.get(name, name)


def schedule_label(name: str) -> str:
    """A1111's label of one of our schedules."""
    return _SCHEDULES.get(name, (name, name.replace("_", " ").title()))[1]


def sampler_items() -> list[dict[str, Any]]:
    """What GET samplers lists."""
    return [
        {
            "name": sampler_label(sampler.name),
            "aliases": [sampler.name, *sampler.aliases],
            "options": {"second_order": "True"} if sampler.evaluations == 2 else {},
        }
        for sampler in sdrbee.samplers()
    ]


def schedule_items() -> list[dict[str, Any]]:
    """What GET schedulers lists."""
    own = [
        (_SCHEDULES.get(row.name, (row.name, ""))[0], schedule_label(row.name))
        for row in sdrbee.schedules()
    ]
    return [
        {
            "name": name,
            "label": label,
            "aliases": None,
            "default_rho": -1,
            "need_inner_model": False,
        }
        for name, label in ((AUTOMATIC, "Automatic"), ("uniform", "Uniform"), *own)
    ]


def _sampler_of(text: str) -> Sampler | None:
    key = _key(text)
    for sampler in sdrbee.samplers():
        names = (sampler.name, sampler_label(sampler.name), *sampler.aliases)
        if key in map(_key, names) or key.removeprefix("k") in map(_key, names):
            return sampler
    return None


def _schedule_fields(text: str) -> dict[str, str]:
    if _key(text) in ("", AUTOMATIC):
        return {}
    found = _schedule_of(text)
    if found is None:
        raise ApiError(
            422,
            "invalid_field",
            f"[scheduler] expected one of /sdapi/v1/schedulers but got {text[:60]!r}",
            field="scheduler",
        )
    return found


def _schedule_of(text: str) -> dict[str, str] | None:
    key = _key(text)
    if key == "uniform":
        return dict(_UNIFORM)
    for schedule in sdrbee.schedules():
        names = (schedule.name, *_SCHEDULES.get(schedule.name, ()))
        if key in map(_key, names):
            return {"schedule": schedule.name}
    return None


def _key(text: str) -> str:
    """A name as it is compared: "DPM++ 2S a" is "dpmpp_2s_a"."""
    return re.sub(r"[^a-z0-9]", "", text.lower().replace("+", "p"))
