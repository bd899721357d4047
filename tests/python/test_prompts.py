"""Prompts that change from step to step, and prompts of several parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import sdrbee
from sdrbee.plugins import Prompt
from sdrbee.testing import MockModel

Pixels = npt.NDArray[np.float32]
SMALL: dict[str, Any] = {"width": 64, "height": 64, "steps": 6, "seed": 3, "output": "latent"}


@pytest.fixture(scope="module")
def model() -> sdrbee.Model:
    return sdrbee.load("shapes", dtype="fp32")


def latents(model: sdrbee.Model, prompt: str, **fields: Any) -> Pixels:
    request = {**SMALL, "prompt_syntax": "a1111", **fields}
    return np.asarray(model.generate(prompt, **request))


def relative(ours: Pixels, other: Pixels) -> float:
    return float(np.linalg.norm(ours - other) / np.linalg.norm(other))


def test_a_prompt_that_never_changes_is_the_plain_one(model: sdrbee.Model) -> None:
    plain = latents(model, "a red circle", prompt_syntax="plain")
    for prompt in ("[a blue star:a red circle:0]", "[a red circle:a blue star:6]"):
        assert np.array_equal(latents(model, prompt), plain)


class Recorder(MockModel):
    """Tells which texts each call of the network was given."""

    id = "recorder"

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.calls: list[list[str]] = []

    def encode(self, prompt: Prompt) -> npt.NDArray[np.float32]:
        self.texts.append(prompt.text or "-")
        return np.full((4, 1), 100.0 + len(self.texts), np.float32)

    def denoise(
        self, latents: Pixels, timesteps: Pixels, context: Pixels
    ) -> npt.NDArray[np.float32]:
        self.calls.append([self.texts[int(row) - 101] for row in context[:, 0, 0]])
        return super().denoise(latents, timesteps, context)


def calls(prompt: str, **fields: Any) -> list[list[str]]:
    """The texts of each step, the negative one first."""
    recorders: list[Recorder] = []

    class Mine(Recorder):
        def __init__(self) -> None:
            super().__init__()
            recorders.append(self)

    request = {"seed": 1, "prompt_syntax": "a1111", "output": "latent", **fields}
    sdrbee.load(Mine).generate(prompt, **request)
    return recorders[-1].calls


def positive(prompt: str, **fields: Any) -> list[str]:
    return [texts[-1] for texts in calls(prompt, **fields)]


def test_each_step_has_its_own_text() -> None:
    """A1111 counts steps from 0 and texts until a step, so the first text has one step more."""
    assert positive("[a:b:2]", steps=5) == ["a", "a", "a", "b", "b"]
    assert positive("[a:b:0.5]", steps=8) == ["a"] * 5 + ["b"] * 3
    assert positive("[a|b|c]", steps=6) == ["a", "a", "b", "c", "a", "b"]
    assert positive("[a:b:0]", steps=2) == ["b", "b"]
    assert positive("[a:b:0.5]", steps=4, prompt_syntax="plain") == ["[a:b:0.5]"] * 4


def test_the_negative_prompt_changes_too() -> None:
    made = calls("c", negative_prompt="[a:b:1]", steps=4)
    assert made == [["a", "c"], ["a", "c"], ["b", "c"], ["b", "c"]]


def test_parts_are_rows_of_each_step() -> None:
    made = calls("[a:b:1] AND c :0.5", negative_prompt="n", steps=3)
    assert made == [["n", "a", " c"], ["n", "a", " c"], ["n", "b", " c"]]
    # A weight needs the negative prompt, whatever the scale.
    assert calls("c :0.5", guidance_scale=1.0, steps=1) == [["-", "c"]]
    assert calls("c", guidance_scale=1.0, steps=1) == [["c"]]


def test_the_second_pass_counts_on() -> None:
    passes: dict[str, Any] = {"steps": 4, "hires_scale": 1.5, "hires_steps": 4}
    assert positive("[a:b:2]", **passes) == ["a", "a", "a", "b"] + ["b"] * 4
    assert positive("[a:b:6]", **passes) == ["a"] * 4 + ["a", "a", "a", "b"]
    assert positive("[a:b:1.25]", **passes) == ["a"] * 4 + ["a", "a", "b", "b"]
    assert positive("[a|b]", **passes) == ["a", "a", "b", "a"] * 2


def request(prompt: str, **fields: Any) -> sdrbee.GenerationRequest:
    return sdrbee.GenerationRequest(prompt=prompt, **{**SMALL, "prompt_syntax": "a1111", **fields})


@pytest.mark.parametrize(
    "prompt", ["[a red circle|a blue star]", "[a|a red] star :1.5 AND a ring :0.5"]
)
def test_a_restored_picture_goes_on_the_same(model: sdrbee.Model, prompt: str) -> None:
    whole = latents(model, prompt, hires_scale=1.5, hires_steps=4)
    generation = model.begin(request(prompt, hires_scale=1.5, hires_steps=4))
    while not generation.done:
        generation = model.restore(model.save(generation))
        model.advance(generation)
    assert np.array_equal(np.asarray(model.finish(generation)), whole)


def test_prompts_that_change_share_steps(model: sdrbee.Model) -> None:
    prompts = ["[a red circle:a blue star:0.5]", "a green ring", "a ring AND a star", "[a|b] ring"]
    together = model.generate_batch([request(prompt) for prompt in prompts])
    for prompt, made in zip(prompts, together, strict=True):
        assert relative(np.asarray(made), latents(model, prompt)) < 1e-4


def test_parts_are_weighed_against_the_negative_prompt(model: sdrbee.Model) -> None:
    one = latents(model, "a red circle", guidance_scale=4.0)
    assert relative(latents(model, "a red circle :2", guidance_scale=2.0), one) < 1e-5
    halves = "a red circle :0.5 AND a red circle :0.5"
    assert relative(latents(model, halves, guidance_scale=4.0), one) < 1e-4
    without = latents(model, "a red circle AND a blue star :0", guidance_scale=4.0)
    assert relative(without, one) < 1e-4
    both = latents(model, "a red circle AND a blue star", guidance_scale=4.0)
    assert relative(both, one) > 1e-2


def test_parts_are_composed_where_guidance_is_off(model: sdrbee.Model) -> None:
    one = latents(model, "a red circle", guidance_scale=1.0)
    halves = "a red circle :0.5 AND a red circle :0.5"
    assert relative(latents(model, halves, guidance_scale=1.0), one) < 1e-4
    late: dict[str, Any] = {"guidance_scale": 4.0, "guidance_end": 0.5}
    assert relative(latents(model, halves, **late), latents(model, "a red circle", **late)) < 1e-4


def test_too_many_parts_or_texts_are_refused(model: sdrbee.Model) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[prompt\].*16 parts"):
        latents(model, " AND ".join("a" * 17))
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[prompt\].*256 different texts"):
        latents(model, "[a|b|c|d|e|f|g] [a|b|c|d|e|f|g|h|i|j|k] [a|b|c|d|e]", steps=1000)
