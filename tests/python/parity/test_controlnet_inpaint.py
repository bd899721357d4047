"""ControlNets that repaint: shown the source with -1 where the mask is white."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from parity.controls import STEPS, controlnet, edges, saved, theirs_with, using
from parity.pair import NEGATIVE_PROMPT, PROMPT, SEED
from parity.pictures import HEIGHT, WIDTH, half_mask, source
from parity.unet_families import OpenVariant, check

import sdrbee

SIZE = {"width": WIDTH, "height": HEIGHT}


def inpaint_condition(image: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]) -> torch.Tensor:
    """What the documentation of diffusers prepares for control_v11p_sd15_inpaint."""
    values = image.astype(np.float32) / 255.0
    values[mask / 255.0 > 0.5] = -1.0
    return torch.from_numpy(values[None].transpose(0, 3, 1, 2))


@pytest.mark.parametrize("kind", ["v1-5", "v1-5-inpaint", "v2-1", "xl"])
@pytest.mark.parametrize("own_picture", [False, True])
def test_masked_pixels_are_left_out(
    open_variant: OpenVariant, tmp_path: Path, kind: str, own_picture: bool
) -> None:
    pair = open_variant(kind)
    net = controlnet(pair)
    pipeline, _ = theirs_with(pair, kind, "inpaint", net, edges())
    shown = edges() if own_picture else source()
    control: dict[str, Any] = {"model": saved(net, tmp_path / "net"), "type": "inpaint"}
    if own_picture:
        control["image"] = shown
    given: dict[str, Any] = {"guidance_scale": 4.3, "negative_prompt": NEGATIVE_PROMPT}
    given["strength"] = 0.75
    theirs = {
        "num_inference_steps": STEPS,
        "control_image": inpaint_condition(shown, half_mask()),
        "controlnet_conditioning_scale": 1.0,  # that of Stable Diffusion's is 0.5 there
    }
    with using(pair, "inpaint", pipeline):
        check(
            pair,
            "inpaint",
            {"steps": STEPS, "controls": [control], **given},
            {"prompt": PROMPT, **theirs, **given},
        )


def test_the_enlarged_picture_is_shown_with_its_margins_left_out(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    """As when margins and mask are made by hand."""
    pair = open_variant("v1-5")
    control = {"model": saved(controlnet(pair), tmp_path / "net"), "type": "inpaint"}
    fields: dict[str, Any] = {"steps": 2, "seed": SEED, "controls": [control]}
    fields["keep_unmasked"] = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # its proportions are those of the source: no warning
        enlarged = pair.model.generate(PROMPT, image=source(), outpaint=(4, 0, 4, 8), **fields)
    canvas = np.pad(source(), ((0, 8), (4, 4), (0, 0)), mode="edge")
    mask = np.full(canvas.shape[:2], 255, np.uint8)
    mask[:HEIGHT, 4 : 4 + WIDTH] = 0
    by_hand = pair.model.generate(PROMPT, image=canvas, mask=mask, **fields)
    assert bytes(enlarged) == bytes(by_hand)


def test_a_recipe_repeats_it_from_the_source_alone(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    pair = open_variant("v1-5")
    control = {"model": saved(controlnet(pair), tmp_path / "net"), "type": "inpaint"}
    given: dict[str, Any] = {"image": source(), "mask": half_mask()}
    made = pair.model.generate(PROMPT, steps=2, seed=SEED, controls=[control], **given)
    made.save(tmp_path / "out.png")
    again = sdrbee.replay(tmp_path / "out.png", model=pair.model, controls=[source()], **given)
    assert bytes(again) == bytes(made)


def test_it_needs_a_mask(open_variant: OpenVariant, tmp_path: Path) -> None:
    pair = open_variant("v1-5")
    control = {"model": saved(controlnet(pair), tmp_path / "net"), "type": "inpaint"}
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[controls\[0\].type\] 'inpaint' .* `mask`"):
        pair.model.generate(PROMPT, steps=1, controls=[control], **SIZE)
