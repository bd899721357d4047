"""Pictures whose opposite edges fit together: shifting one is the same as shifting its noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import sdrbee

PROMPT = "a large red circle on a blue background"
Array = npt.NDArray[np.float32]
CELLS = 8  # a shift that all resolutions of the network can make


def noise() -> Array:
    return np.random.default_rng(4).standard_normal((4, 16, 16)).astype(np.float32)


def make(model: sdrbee.Model, latents: Array, tiling: str, output: str = "latent") -> Array:
    """Takes the latents as they are, so that the test chooses where the noise lies."""
    fields: dict[str, Any] = {"latents": latents, "denoising_start": 0.4, "sampler": "ddim"}
    made = model.generate(PROMPT, steps=5, tiling=tiling, output=output, **fields)
    return np.asarray(made)


def change(one: Array, other: Array) -> float:
    return float(np.linalg.norm(one - other) / np.linalg.norm(one))


@pytest.mark.parametrize(
    ("tiling", "axis", "follows"),
    [
        ("x", 2, True),
        ("x", 1, False),
        ("y", 1, True),
        ("y", 2, False),
        ("xy", 1, True),
        ("xy", 2, True),
        ("none", 1, False),
        ("none", 2, False),
    ],
)
def test_latents_follow_a_shift_along_the_tiled_axes(
    model: sdrbee.Model, tiling: str, axis: int, follows: bool
) -> None:
    straight = make(model, noise(), tiling)
    shifted = make(model, np.roll(noise(), CELLS, axis), tiling)
    difference = change(np.roll(straight, CELLS, axis), shifted)
    assert (difference < 1e-4) == follows, difference


def test_the_decoder_follows_too(model: sdrbee.Model) -> None:
    straight = make(model, noise(), "xy", "float")
    shifted = make(model, np.roll(noise(), CELLS, 2), "xy", "float")
    assert np.abs(np.roll(straight, 8 * CELLS, 1) - shifted).max() < 1e-4


def test_tiled_and_untiled_pictures_share_no_network_call(model: sdrbee.Model) -> None:
    def request(tiling: str) -> sdrbee.GenerationRequest:
        return sdrbee.GenerationRequest(
            prompt=PROMPT, steps=2, seed=1, tiling=tiling, output="latent"
        )

    plain, tiled = model.generate_batch([request("none"), request("xy")])
    assert change(plain, model.generate_batch([request("none")])[0]) < 1e-5
    assert change(tiled, model.generate_batch([request("xy")])[0]) < 1e-5
    assert change(plain, tiled) > 1e-3


def test_a_tiled_picture_repeats_bit_by_bit(model: sdrbee.Model, tmp_path: Path) -> None:
    picture = model.generate(PROMPT, steps=2, seed=3, tiling="x", hires_scale=1.25)
    picture.save(tmp_path / "out.png")
    assert bytes(sdrbee.replay(tmp_path / "out.png", model=model)) == bytes(picture)


def test_another_axis_is_refused(model: sdrbee.Model) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match="'none', 'x', 'y', 'xy'"):
        model.generate(PROMPT, tiling="z")
