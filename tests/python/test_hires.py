"""A second pass at a larger size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import sdrbee

PROMPT = "a large red circle on a blue background"
FIELDS: dict[str, Any] = {"steps": 4, "seed": 7, "hires_scale": 1.5, "hires_steps": 2}

# A red square on the right of a blue ground.
SOURCE = np.full((128, 128, 3), (40, 75, 210), np.uint8)
SOURCE[32:96, 64:] = (220, 40, 40)


def small(picture: Any, side: int = 16) -> npt.NDArray[np.float64]:
    """A picture in side x side patches."""
    pixels = np.asarray(picture).astype(float)
    patch = pixels.shape[0] // side
    return pixels.reshape(side, patch, side, patch, 3).mean(axis=(1, 3))


@pytest.mark.parametrize("upscaler", ["latent", "lanczos"])
def test_the_picture_is_larger_and_shows_the_same(model: sdrbee.Model, upscaler: str) -> None:
    first = model.generate(PROMPT, steps=4, seed=7)
    made = model.generate(PROMPT, **FIELDS, hires_upscaler=upscaler, hires_denoising_strength=0.3)
    assert (made.width, made.height) == (192, 192)
    assert np.corrcoef(small(made).ravel(), small(first).ravel())[0, 1] > 0.8


@pytest.mark.parametrize("upscaler", ["latent", "lanczos"])
def test_a_picture_is_gone_over_twice(model: sdrbee.Model, upscaler: str) -> None:
    fields = FIELDS | {"hires_upscaler": upscaler, "image": SOURCE, "hires_denoising_strength": 0.2}
    made = model.generate(PROMPT, strength=0.3, **fields)
    assert (made.width, made.height) == (192, 192)
    assert np.corrcoef(small(made).ravel(), small(SOURCE).ravel())[0, 1] > 0.8
    free = model.generate(PROMPT, strength=1.0, **fields)
    assert np.corrcoef(small(free).ravel(), small(SOURCE).ravel())[0, 1] < 0.7


def test_latents_are_gone_over_twice(model: sdrbee.Model) -> None:
    """As the picture is that they are of: both begin with what the first pass makes of it."""
    latents = np.asarray(model.generate(PROMPT, steps=4, seed=3, output="latent"))
    fields = FIELDS | {"latents": latents, "strength": 0.5}
    first = model.generate(PROMPT, **fields | {"hires_scale": None, "hires_steps": None})
    made = model.generate(PROMPT, **fields, hires_denoising_strength=0.1)
    assert np.corrcoef(small(made).ravel(), small(first).ravel())[0, 1] > 0.9


def test_the_second_pass_may_have_prompts_of_its_own(model: sdrbee.Model) -> None:
    fields = FIELDS | {"negative_prompt": "dull", "hires_denoising_strength": 0.9}
    same = np.asarray(model.generate(PROMPT, **fields))
    given = model.generate(PROMPT, **fields, hires_prompt=PROMPT, hires_negative_prompt="dull")
    assert np.array_equal(np.asarray(given), same)
    for own in ({"hires_prompt": "a blue star"}, {"hires_negative_prompt": "red"}):
        made = model.generate(PROMPT, **fields, **own)
        assert not np.array_equal(np.asarray(made), same)
        with pytest.raises(sdrbee.InvalidRequest, match=rf"^\[{next(iter(own))}\] .*hires_scale"):
            model.generate(PROMPT, **own)
    with pytest.raises(
        sdrbee.InvalidRequest, match=r"^\[hires_prompt\] expected at most 77 tokens"
    ):
        model.generate(PROMPT, **fields, hires_prompt="a star, " * 40, long_prompt="error")


def test_both_passes_count_as_steps(model: sdrbee.Model) -> None:
    seen: list[tuple[int, int | None]] = []

    def on_step(step: int, total: int | None, preview: object) -> None:
        seen.append((step, total))

    model.generate(PROMPT, **FIELDS, on_step=on_step)
    assert seen == [(step, 6) for step in range(1, 7)]


def test_the_second_pass_takes_as_many_steps_as_the_first_unless_told(
    model: sdrbee.Model,
) -> None:
    request = sdrbee.GenerationRequest(prompt=PROMPT, steps=3, hires_scale=2.0)
    assert model.begin(request).total == 6


def test_more_strength_changes_more(model: sdrbee.Model) -> None:
    def distance(strength: float) -> float:
        first = np.asarray(model.generate(PROMPT, steps=6, seed=7, output="latent"))
        made = model.generate(
            PROMPT,
            steps=6,
            seed=7,
            hires_scale=2.0,
            hires_denoising_strength=strength,
            output="latent",
        )
        return float(np.linalg.norm(np.asarray(made)[:, ::2, ::2] - first))

    assert distance(0.2) < distance(0.9)


@pytest.mark.parametrize("image", [None, SOURCE])
@pytest.mark.parametrize("upscaler", ["latent", "lanczos"])
def test_both_passes_repeat_bit_by_bit(
    model: sdrbee.Model, tmp_path: Path, upscaler: str, image: npt.NDArray[np.uint8] | None
) -> None:
    fields = FIELDS | {"hires_upscaler": upscaler, "sampler": "euler_ancestral", "image": image}
    picture = model.generate(PROMPT, **fields)
    picture.save(tmp_path / "out.png")
    assert bytes(sdrbee.replay(tmp_path / "out.png", model=model, image=image)) == bytes(picture)
    generation = model.begin(sdrbee.GenerationRequest(prompt=PROMPT, **fields))
    while not generation.done:
        generation = model.restore(model.save(generation))
        model.advance(generation)
    assert bytes(model.finish(generation)) == bytes(picture)


def test_passes_of_different_sizes_go_together(model: sdrbee.Model) -> None:
    hires = sdrbee.GenerationRequest(prompt=PROMPT, **FIELDS, output="latent")
    plain = hires.replace(hires_scale=None, hires_steps=None, steps=7)
    together = model.generate_batch([hires, plain])
    for request, batched in zip((hires, plain), together, strict=True):
        alone = model.generate_batch([request])[0]
        assert np.linalg.norm(batched - alone) / np.linalg.norm(alone) < 1e-5


def test_own_steps_of_samplers_work_in_both_passes(model: sdrbee.Model) -> None:
    for sampler in ("dpm_fast", "restart", "dpmpp_2m"):
        made = model.generate(
            PROMPT, steps=4, seed=1, hires_scale=1.5, sampler=sampler, output="float"
        )
        assert np.isfinite(made).all()
        assert np.asarray(made).shape == (192, 192, 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hires_scale": 0.5}, r"\[hires_scale\]"),
        ({"hires_scale": 8.0, "width": 4096, "height": 4096}, "at most"),
        ({"hires_steps": 3}, "without hires_scale"),
        ({"hires_scale": 2.0, "outpaint": [8, 0, 0, 0], "image": SOURCE}, "`outpaint`"),
        (
            {"hires_scale": 2.0, "image": SOURCE, "mask": SOURCE[..., 0]},
            r"\[hires_scale\].*`mask`",
        ),
        ({"hires_scale": 2.0, "sigmas": [9.0, 3.0, 0.0]}, "`sigmas`"),
        ({"hires_scale": 2.0, "hires_upscaler": "nearest"}, "'latent', 'lanczos'"),
        ({"hires_scale": 2.0, "hires_denoising_strength": 1.5}, "hires_denoising_strength"),
        ({"hires_scale": 2.0, "denoising_end": 0.5}, "`denoising_end`"),
    ],
)
def test_impossible_requests_are_refused(
    model: sdrbee.Model, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match=message):
        model.generate(PROMPT, **fields)
