"""Every mode of every variant of Stable Diffusion and Stable Diffusion XL."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from parity.pair import PROMPT, SEED
from parity.pictures import half_mask, source
from parity.unet_families import KINDS, OpenVariant, asked, check, scheduler_of, with_negative

import sdrbee

ALL_MODES = [(name, mode) for name, kind in KINDS.items() for mode in kind.modes]


@pytest.mark.parametrize(("name", "mode"), ALL_MODES)
def test_mode_equals_diffusers(
    open_variant: OpenVariant, name: str, mode: str, record_parity: Callable[..., None]
) -> None:
    pair = open_variant(name)
    assert pair.model.info.variant == name
    more: dict[str, Any] = {"guidance_scale": 4.3, **with_negative(pair)}
    if mode != "text_to_image":
        more["strength"] = 0.75
    difference = check(pair, mode, *asked(pair, 4, **more))
    record_parity(name, mode, pixels=difference)


@pytest.mark.parametrize(("name", "mode"), ALL_MODES)
def test_mode_without_guidance(open_variant: OpenVariant, name: str, mode: str) -> None:
    pair = open_variant(name)
    more: dict[str, Any] = {"guidance_scale": 0.0}
    if mode != "text_to_image":
        more["strength"] = 0.5
    check(pair, mode, *asked(pair, 4, **more))


@pytest.mark.parametrize(("name", "mode"), ALL_MODES)
def test_what_a_variant_cannot_do_is_refused(
    open_variant: OpenVariant, name: str, mode: str
) -> None:
    info = open_variant(name).model.info
    for other in ("text_to_image", "image_to_image", "inpaint"):
        assert getattr(info.capabilities, other) == (other in KINDS[name].modes)


@pytest.mark.parametrize("strength", [0.3, 1.0])
@pytest.mark.parametrize("name", ["v1-5-inpaint", "v2-inpaint", "xl-inpaint", "xl"])
def test_inpainting_at_other_strengths(
    open_variant: OpenVariant, name: str, strength: float
) -> None:
    pair = open_variant(name)
    more = {"guidance_scale": 4.3, "strength": strength}
    check(pair, "inpaint", *asked(pair, 4, **more))


@pytest.mark.parametrize("sampler", ["euler_ancestral", "heun", "dpmpp_2m", "ddim"])
def test_native_inpainting_with_other_samplers(open_variant: OpenVariant, sampler: str) -> None:
    pair = open_variant("v1-5-inpaint")
    with scheduler_of(sampler, pair.pipelines["inpaint"]) as fields:
        ours, theirs = asked(pair, 5, guidance_scale=4.3, strength=0.8)
        check(pair, "inpaint", ours | fields, theirs)


@pytest.mark.parametrize("strength", [0.2, 0.8, 1.0])
def test_strength_of_a_consistency_model(open_variant: OpenVariant, strength: float) -> None:
    """All steps are taken, over a part of the distilled timesteps."""
    pair = open_variant("v1-5-lcm")
    check(pair, "image_to_image", *asked(pair, 4, guidance_scale=7.3, strength=strength))


# Of the others a model card, and not the pipeline's class, gives the defaults.
OF_THE_CLASS = [
    (name, mode)
    for name, mode in ALL_MODES
    if name not in ("sd-turbo", "turbo", "xl-lightning", "xl-lcm")
    and (name, mode) != ("v1-5-lcm", "inpaint")
]


@pytest.mark.parametrize(("name", "mode"), OF_THE_CLASS)
def test_defaults_are_those_of_the_pipeline(
    open_variant: OpenVariant, name: str, mode: str
) -> None:
    pair = open_variant(name)
    ours = pair.model.info.defaults[mode]
    theirs = inspect.signature(pair.pipelines[mode].__call__).parameters
    assert ours.steps == theirs["num_inference_steps"].default
    assert ours.guidance_scale == theirs["guidance_scale"].default
    if mode != "text_to_image":
        assert ours.strength == theirs["strength"].default


@pytest.mark.parametrize("name", ["xl-inpaint", "v1-5-lcm", "xl"])
def test_a_saved_generation_goes_on_with_the_same_bits(
    open_variant: OpenVariant, name: str
) -> None:
    pair = open_variant(name)
    fields: dict[str, Any] = {"image": source(), "mask": half_mask(), "output": "latent"}
    request = sdrbee.GenerationRequest(prompt=PROMPT, seed=SEED, steps=4, **fields)
    whole = pair.model.begin(request)
    while not whole.done:
        pair.model.advance(whole)
    halfway = pair.model.begin(request)
    pair.model.advance(halfway)
    resumed = pair.model.restore(pair.model.save(halfway))
    while not resumed.done:
        pair.model.advance(resumed)
    assert np.array_equal(pair.model.finish(whole), pair.model.finish(resumed))


REFUSALS: dict[str, tuple[str, dict[str, Any], str]] = {
    "text to image with a refiner": ("xl-refiner", {}, r"\[image\].*give `image`$"),
    "text to image with an inpaint network": (
        "xl-inpaint",
        {},
        r"\[image\].*`image` and `mask`",
    ),
    "image to image with an inpaint network": ("v1-5-inpaint", {"image": source()}, r"\[mask\]"),
    "second prompt without second encoder": ("v1-5", {"prompt_2": "x"}, r"\[prompt_2\]"),
    "sizes where none are told": ("v1-5", {"target_size": (8, 8)}, r"\[target_size\]"),
    "one number": ("xl", {"crop": (8,)}, r"\[crop\] expected 2 numbers but got 1"),
    "a negative crop": ("xl", {"crop": (-1, 0)}, r"\[crop\] expected 0 to .* but got -1"),
    "strength of a take-over": (
        "xl",
        {"image": source(), "strength": 0.5, "denoising_start": 0.5},
        r"\[strength\]",
    ),
    "a take-over of nothing": ("xl", {"denoising_start": 0.5}, r"\[denoising_start\]"),
    "an end before the start": (
        "xl",
        {"image": source(), "denoising_start": 0.5, "denoising_end": 0.2},
        r"\[denoising_end\] expected 0.5 to 1",
    ),
    "no step left": ("xl", {"denoising_end": 0.0}, r"\[denoising_end\] leaves none of the 2"),
    "latents of another size": (
        "xl",
        {"latents": np.zeros((3, 8, 8), np.float32)},
        r"\[latents\] expected an array \[4, height, width\] but got \[3, 8, 8\]",
    ),
    "whole numbers as latents": ("xl", {"latents": np.zeros((4, 8, 8), int)}, r"\[latents\]"),
    "latents that are no numbers": (
        "xl",
        {"latents": np.full((4, 8, 8), np.nan)},
        r"\[latents\] expected finite",
    ),
    "two sources": (
        "xl",
        {"latents": np.zeros((4, 8, 8)), "image": source()},
        r"\[latents\] .*two sources",
    ),
    "all layers skipped": ("xl", {"clip_skip": 5}, r"\[clip_skip\] expected 0 to 2"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_name_the_field(open_variant: OpenVariant, case: str) -> None:
    name, fields, pattern = REFUSALS[case]
    with pytest.raises(sdrbee.InvalidRequest, match=pattern):
        open_variant(name).model.generate(PROMPT, steps=2, **fields)
