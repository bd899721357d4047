"""Image-to-image and masked inpainting: the order of the noise draws, and the blending."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from parity.pair import NEGATIVE_PROMPT, PROMPT, SEED, Pair
from parity.pictures import HEIGHT, WIDTH, half_mask, source
from parity.reference import Case

# One of each kind of step: deterministic, ancestral, two evaluations, multistep, stochastic
# multistep, own grid, repeated timestep, noise after all steps but the last.
SAMPLERS = [
    "euler",
    "euler_ancestral",
    "heun",
    "dpm2",
    "dpm2_ancestral",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "lms",
    "ddim",
    "ddpm",
    "pndm",
    "unipc",
    "deis",
    "sa_solver",
    "lcm",
    "tcd",
]


def case(sampler: str, guidance_scale: float = 6.0, steps: int = 6) -> Case:
    spacing = None if sampler in ("lcm", "tcd") else "leading"
    return Case(sampler, "normal", "epsilon", spacing, guidance_scale, steps)


def difference_of(pair: Pair, mode: str, chosen: Case, strength: float, **extra: Any) -> Any:
    arguments: dict[str, Any] = {"image": PIL.Image.fromarray(source())}
    fields: dict[str, Any] = {"image": source()}
    if mode == "inpaint":
        arguments |= {"mask_image": PIL.Image.fromarray(half_mask())}
        arguments |= {"width": WIDTH, "height": HEIGHT}
        fields |= {"mask": half_mask(), "keep_unmasked": False}
    theirs = pair.reference.run(
        mode,
        chosen.scheduler(pair.reference.config),
        num_inference_steps=chosen.steps,
        guidance_scale=chosen.guidance_scale,
        strength=strength,
        **arguments,
        **extra,
    )
    ours = pair.generate(**chosen.fields(), strength=strength, **fields, **extra)
    return pair.compare(ours, theirs)


@pytest.mark.parametrize("strength", [0.3, 0.75, 1.0])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_image_to_image_equals_diffusers(sd1: Pair, sampler: str, strength: float) -> None:
    difference = difference_of(sd1, "image_to_image", case(sampler), strength)
    assert difference.within_tolerance, difference


@pytest.mark.parametrize("strength", [0.4, 0.75, 1.0])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_inpainting_equals_diffusers(sd1: Pair, sampler: str, strength: float) -> None:
    difference = difference_of(sd1, "inpaint", case(sampler), strength)
    assert difference.within_tolerance, difference


@pytest.mark.parametrize("padding", [0, 6])
def test_the_masked_part_alone_equals_diffusers(sd1: Pair, padding: int) -> None:
    """`padding_mask_crop`: cut out, enlarged, repainted, put back; 8-bit pictures on both sides."""
    picture = np.random.default_rng(3).integers(0, 256, (60, 76, 3), dtype=np.uint8)
    mask = np.zeros((60, 76), dtype=np.uint8)
    mask[20:39, 41:60] = 255
    chosen = case("euler")
    latents_of = sd1.reference.inpaint
    latents_of.scheduler = chosen.scheduler(sd1.reference.config)
    theirs = latents_of(
        prompt=PROMPT,
        negative_prompt=NEGATIVE_PROMPT,
        image=PIL.Image.fromarray(picture),
        mask_image=PIL.Image.fromarray(mask),
        width=WIDTH,
        height=WIDTH,
        strength=0.75,
        padding_mask_crop=padding,
        num_inference_steps=chosen.steps,
        guidance_scale=chosen.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(SEED),
    ).images[0]
    ours = sd1.model.generate(
        PROMPT,
        negative_prompt=NEGATIVE_PROMPT,
        image=picture,
        mask=mask,
        width=WIDTH,
        height=WIDTH,
        strength=0.75,
        inpaint_area="masked",
        mask_padding=padding,
        seed=SEED,
        **chosen.fields(),
    )
    difference = np.abs(np.asarray(ours).astype(int) - np.asarray(theirs).astype(int))
    assert difference.max() <= 1
    np.testing.assert_array_equal(np.asarray(ours)[mask == 0], picture[mask == 0])


@pytest.mark.parametrize("mode", ["image_to_image", "inpaint"])
@pytest.mark.parametrize("steps", [2, 5, 20])
@pytest.mark.parametrize("guidance_scale", [1.0, 6.0])
def test_modes_with_and_without_guidance(
    sd1: Pair, mode: str, steps: int, guidance_scale: float
) -> None:
    chosen = case("euler_ancestral", guidance_scale, steps)
    difference = difference_of(sd1, mode, chosen, strength=0.6)
    assert difference.within_tolerance, difference


@pytest.mark.parametrize("eta", [0.5, 1.0])
@pytest.mark.parametrize("mode", ["image_to_image", "inpaint"])
def test_modes_with_noise_in_ddim(sd1: Pair, mode: str, eta: float) -> None:
    difference = difference_of(sd1, mode, case("ddim"), strength=0.75, eta=eta)
    assert difference.within_tolerance, difference
