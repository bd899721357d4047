"""Every mode of Z-Image and its distilled variant."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import pytest
from parity.pair import NEGATIVE_PROMPT, PROMPT, SEED, compare
from parity.pictures import half_mask, source
from parity.z_image import SHIFTS, ZImagePair

import sdrbee

WIDTH, HEIGHT = 48, 32
OpenPair = Callable[[str], ZImagePair]
Check = Callable[[str, str, dict[str, Any], dict[str, Any]], None]
# Longer than the negative prompt by more tokens than either is filled up with.
LONG_PROMPT = ", ".join([PROMPT] * 4)


@pytest.fixture(scope="session")
def open_pair(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> OpenPair:
    """Opens a variant, once a session."""
    pairs: dict[str, ZImagePair] = {}

    def open_kind(name: str) -> ZImagePair:
        if name not in pairs:
            folder = tmp_path_factory.mktemp("z_image") / name
            device = pytestconfig.getoption("--parity-device")
            pairs[name] = ZImagePair(folder, device, shift=SHIFTS[name])
        return pairs[name]

    return open_kind


@pytest.fixture
def check(open_pair: OpenPair, record_parity: Callable[..., None]) -> Check:
    """Compares picture and latents of a mode, as asked in our words and in those of diffusers."""

    def compare_mode(name: str, mode: str, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
        pixels = largest_difference(open_pair(name), mode, ours, theirs)
        record_parity(name, mode, pixels=pixels)

    return compare_mode


def largest_difference(
    pair: ZImagePair, mode: str, ours: dict[str, Any], theirs: dict[str, Any]
) -> float:
    usual = {"guidance_scale": pair.model.info.defaults[mode].guidance_scale}
    request: dict[str, Any] = {"prompt": PROMPT, "seed": SEED, "steps": 4}
    request |= {"width": WIDTH, "height": HEIGHT} | ours
    arguments: dict[str, Any] = {"prompt": PROMPT, "num_inference_steps": 4} | usual | theirs
    if mode == "image_to_image":
        request["image"] = source(WIDTH, HEIGHT)
        arguments["image"] = PIL.Image.fromarray(source(WIDTH, HEIGHT))
    if mode == "inpaint":
        request |= {
            "image": source(WIDTH, HEIGHT),
            "mask": half_mask(WIDTH, HEIGHT),
            "keep_unmasked": False,
        }
        arguments |= {
            "image": PIL.Image.fromarray(source(WIDTH, HEIGHT)),
            "mask_image": PIL.Image.fromarray(half_mask(WIDTH, HEIGHT)),
        }
    size = {side: request[side] for side in ("width", "height")}
    expected = pair.reference(mode, SEED, **size, **arguments)
    made = [
        np.asarray(pair.model.generate(**request | {"output": output}))
        for output in ("float", "latent")
    ]
    difference = compare((made[0], made[1]), expected)
    assert difference.within_tolerance, difference
    return difference.pixels


# What a request asks for, in both programs' words.
FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "negative prompt": ({"negative_prompt": NEGATIVE_PROMPT}, {"negative_prompt": NEGATIVE_PROMPT}),
    "a scale below one": ({"guidance_scale": 0.7}, {"guidance_scale": 0.7}),
    "no guidance": ({"guidance_scale": 0.0}, {"guidance_scale": 0.0}),
    "large": ({"width": 176, "height": 80}, {}),
    "long prompt": (
        {"prompt": LONG_PROMPT, "guidance_scale": 2.0},
        {"prompt": LONG_PROMPT, "guidance_scale": 2.0},
    ),
    "cut prompt": (
        {"prompt": LONG_PROMPT, "max_sequence_length": 40},
        {"prompt": LONG_PROMPT, "max_sequence_length": 40},
    ),
    "empty prompt": ({"prompt": ""}, {"prompt": ""}),
    "own noise levels": ({"sigmas": [0.9, 0.6, 0.2], "steps": None}, {"sigmas": [0.9, 0.6, 0.2]}),
    "one step": ({"steps": 1}, {"num_inference_steps": 1}),
    "many steps": ({"steps": 20}, {"num_inference_steps": 20}),
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("name", SHIFTS)
def test_text_to_image(open_pair: OpenPair, check: Check, name: str, field: str) -> None:
    assert open_pair(name).model.info.variant == name
    check(name, "text_to_image", *FIELDS[field])


@pytest.mark.parametrize("strength", [0.3, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("mode", ["image_to_image", "inpaint"])
@pytest.mark.parametrize("name", SHIFTS)
def test_from_a_picture(check: Check, name: str, mode: str, strength: float) -> None:
    check(name, mode, {"strength": strength}, {"strength": strength})


@pytest.mark.parametrize("mode", ["text_to_image", "image_to_image", "inpaint"])
def test_defaults_are_those_of_the_pipeline(open_pair: OpenPair, mode: str) -> None:
    pair = open_pair("z-image")
    ours = pair.model.info.defaults[mode]
    theirs = inspect.signature(pair.pipelines[mode].__call__).parameters
    assert ours.steps == theirs["num_inference_steps"].default
    assert ours.guidance_scale == theirs["guidance_scale"].default
    if "strength" in theirs:
        assert ours.strength == theirs["strength"].default
    turbo = open_pair("z-image-turbo").model.info.defaults[mode]
    assert (turbo.steps, turbo.guidance_scale) == (8, 0.0)


def test_a_cut_prompt_is_told_of(open_pair: OpenPair) -> None:
    model = open_pair("z-image").model
    with pytest.warns(UserWarning, match="cut at 40 tokens for Qwen3"):
        model.generate(LONG_PROMPT, max_sequence_length=40, steps=1, width=32, height=32)
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[prompt\].*40 tokens for Qwen3"):
        model.generate(
            LONG_PROMPT, max_sequence_length=40, steps=1, width=32, height=32, long_prompt="error"
        )


def test_limits_are_those_of_the_positions(open_pair: OpenPair) -> None:
    info = open_pair("z-image").model.info
    assert info.sizes.maximum == 32 * 16
    assert info.max_sequence_length == 512
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[clip_skip\] expected 0"):
        open_pair("z-image").model.generate(PROMPT, clip_skip=1, steps=1, width=32, height=32)


def test_a_saved_generation_goes_on_with_the_same_bits(open_pair: OpenPair) -> None:
    model = open_pair("z-image").model
    request = sdrbee.GenerationRequest(
        prompt=LONG_PROMPT,
        seed=SEED,
        steps=3,
        output="latent",
        image=source(WIDTH, HEIGHT),
        mask=half_mask(WIDTH, HEIGHT),
    )
    whole = model.begin(request)
    while not whole.done:
        model.advance(whole)
    halfway = model.begin(request)
    model.advance(halfway)
    resumed = model.restore(model.save(halfway))
    while not resumed.done:
        model.advance(resumed)
    assert np.array_equal(model.finish(whole), model.finish(resumed))


def test_pictures_of_a_batch_are_those_of_single_runs(open_pair: OpenPair) -> None:
    """Also where texts have different lengths and one of them isn't guided."""
    model = open_pair("z-image").model
    first = sdrbee.GenerationRequest(
        prompt=PROMPT, seed=1, steps=2, width=WIDTH, height=HEIGHT, output="latent"
    )
    others = [
        first.replace(prompt="a star", seed=2),
        first.replace(prompt=LONG_PROMPT, seed=3),
        first.replace(guidance_scale=0.0),
    ]
    requests = [first, *others]
    for alone, together in zip(
        [model.generate_batch([one])[0] for one in requests],
        model.generate_batch(requests),
        strict=True,
    ):
        assert np.linalg.norm(alone - together) <= 1e-5 * np.linalg.norm(alone)
