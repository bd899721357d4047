"""Every mode of Stable Diffusion 3 and 3.5, their texts, and skip-layer guidance."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from parity.pair import NEGATIVE_PROMPT, PROMPT, SEED, compare
from parity.pictures import HEIGHT, WIDTH, half_mask, source
from parity.sd3 import KINDS, Sd3Pair

import sdrbee

OpenKind = Callable[[str], Sd3Pair]


@pytest.fixture(scope="session")
def open_kind(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> OpenKind:
    """Opens a kind, once a session."""
    pairs: dict[str, Sd3Pair] = {}

    def open_pair(name: str) -> Sd3Pair:
        if name not in pairs:
            folder = tmp_path_factory.mktemp("sd3") / "model"
            pairs[name] = Sd3Pair(folder, KINDS[name], pytestconfig.getoption("--parity-device"))
        return pairs[name]

    return open_pair


def check(pair: Sd3Pair, mode: str, steps: int, ours: dict[str, Any], **theirs: Any) -> float:
    """Compares picture and latents; `theirs` is what diffusers is asked in other words.

    Returns the largest difference of a pixel.
    """
    request: dict[str, Any] = {"seed": SEED, "width": WIDTH, "height": HEIGHT, "steps": steps}
    arguments: dict[str, Any] = {"width": WIDTH, "height": HEIGHT, "num_inference_steps": steps}
    if mode != "text_to_image":
        request |= {"image": source()}
        arguments |= {"image": PIL.Image.fromarray(source())}
    if mode == "inpaint":
        request |= {"mask": half_mask(), "keep_unmasked": False}
        arguments |= {"mask_image": PIL.Image.fromarray(half_mask())}
    fields = {"prompt": PROMPT, "max_sequence_length": 20} | ours
    expected = pair.reference(mode, SEED, **arguments | fields | theirs)
    made = [
        np.asarray(pair.model.generate(**request | fields, output=output))
        for output in ("float", "latent")
    ]
    difference = compare((made[0], made[1]), expected)
    assert difference.within_tolerance, difference
    return difference.pixels


# The rows of the family's table that kinds stand for.
VARIANTS = {
    "sd3": "sd3-medium",
    "sd3.5-medium": "sd3.5-medium",
    "sd3.5-large": "sd3.5-large",
}
ALL_MODES = [(name, mode) for name, kind in KINDS.items() for mode in kind.modes]
GUIDED = {"guidance_scale": 4.3, "negative_prompt": NEGATIVE_PROMPT}


@pytest.mark.parametrize(("name", "mode"), ALL_MODES)
def test_mode_equals_diffusers(
    open_kind: OpenKind, name: str, mode: str, record_parity: Callable[..., None]
) -> None:
    more = {} if mode == "text_to_image" else {"strength": 0.7}
    difference = check(open_kind(name), mode, 4, GUIDED | more)
    if name in VARIANTS:
        record_parity(VARIANTS[name], mode, pixels=difference)


@pytest.mark.parametrize(("name", "mode"), ALL_MODES)
def test_mode_without_guidance(
    open_kind: OpenKind, name: str, mode: str, record_parity: Callable[..., None]
) -> None:
    more = {} if mode == "text_to_image" else {"strength": 1.0}
    difference = check(open_kind(name), mode, 3, {"guidance_scale": 1.0} | more)
    if name == "sd3.5-large":  # whose turbo is the same network without guidance
        record_parity("sd3.5-large-turbo", mode, pixels=difference)


@pytest.mark.parametrize("mode", ["image_to_image", "inpaint"])
@pytest.mark.parametrize("strength", [0.26, 0.5, 0.9])
def test_strength_leaves_fractions_of_steps_as_diffusers(
    open_kind: OpenKind, mode: str, strength: float
) -> None:
    """Flow pipelines round the first step down, not the number of steps."""
    check(open_kind("sd3"), mode, 5, GUIDED | {"strength": strength})


TEXTS: dict[str, dict[str, Any]] = {
    "no negative prompt": {},
    "empty prompt": {"prompt": ""},
    "three prompts": {
        "prompt_2": "a green star",
        "prompt_3": "a yellow moon",
        "negative_prompt": "blurry",
        "negative_prompt_2": "grey",
        "negative_prompt_3": "noise",
    },
    "third prompt alone": {"prompt_3": "a yellow moon"},
    "skipped layer": {"clip_skip": 1, "negative_prompt": "blurry"},
    "long text for T5": {"prompt": "circle of light, " * 9, "max_sequence_length": 64},
    "cut text for T5": {"prompt": PROMPT, "max_sequence_length": 7},
}


@pytest.mark.parametrize("name", ["sd3", "without t5"])
@pytest.mark.parametrize("case", TEXTS)
@pytest.mark.filterwarnings("ignore:the prompt was cut")
def test_texts_equal_diffusers(open_kind: OpenKind, name: str, case: str) -> None:
    fields = TEXTS[case]
    if name == "without t5" and any(field.endswith("prompt_3") for field in fields):
        with pytest.raises(sdrbee.InvalidRequest, match=r"prompt_3\] .* third text encoder"):
            check(open_kind(name), "text_to_image", 2, {"guidance_scale": 6.0} | fields)
        return
    check(open_kind(name), "text_to_image", 2, {"guidance_scale": 6.0} | fields)


@pytest.mark.filterwarnings("ignore:the prompt was cut")
def test_a_prompt_beyond_the_window_is_cut_as_in_diffusers(open_kind: OpenKind) -> None:
    pair = open_kind("sd3")
    prompt = "circle, " * 60
    fields = {"prompt": prompt, "guidance_scale": 1.0, "max_sequence_length": 30}
    request = {"seed": SEED, "width": WIDTH, "height": HEIGHT, "steps": 2}
    cut = pair.model.generate(**fields, **request, long_prompt="truncate", output="latent")
    expected = pair.reference(
        "text_to_image", SEED, **fields, width=WIDTH, height=HEIGHT, num_inference_steps=2
    )[1]
    assert np.linalg.norm(cut - expected) <= 1e-4 * np.linalg.norm(expected)
    chunked = pair.model.generate(**fields, **request, output="latent")
    assert not np.array_equal(chunked, cut)


def test_a_cut_text_is_warned_of(open_kind: OpenKind) -> None:
    with pytest.warns(UserWarning, match=r"cut at 5 tokens for T5.*max_sequence_length"):
        open_kind("sd3").model.generate(PROMPT, steps=1, width=32, height=32, max_sequence_length=5)


@pytest.mark.parametrize("name", ["sd3", "sd3.5-medium"])
@pytest.mark.parametrize("steps", [2, 8])
def test_skip_layer_guidance_equals_diffusers(open_kind: OpenKind, name: str, steps: int) -> None:
    check(
        open_kind(name),
        "text_to_image",
        steps,
        GUIDED
        | {
            "skip_guidance_layers": [1, 2],
            "skip_layer_guidance_scale": 2.5,
            "skip_layer_guidance_start": 0.1,
            "skip_layer_guidance_stop": 0.7,
        },
    )


def test_skip_layer_guidance_has_diffusers_defaults(open_kind: OpenKind) -> None:
    check(open_kind("sd3.5-medium"), "text_to_image", 8, GUIDED | {"skip_guidance_layers": [1]})
    fields: dict[str, Any] = {"steps": 8, "seed": 1, "width": 32, "height": 32, "output": "latent"}
    model = open_kind("sd3.5-medium").model
    plain = model.generate(PROMPT, **fields)
    assert not np.array_equal(plain, model.generate(PROMPT, skip_guidance_layers=[1], **fields))
    # Without guidance there is nothing to skip layers of, as in diffusers.
    off = {"guidance_scale": 1.0}
    alone = model.generate(PROMPT, **off, **fields)
    skipping = model.generate(PROMPT, skip_guidance_layers=[1], **off, **fields)
    assert np.array_equal(alone, skipping)


def test_pictures_of_a_batch_are_those_of_single_runs(open_kind: OpenKind) -> None:
    """Skipped layers belong to each picture."""
    model = open_kind("sd3.5-medium").model
    first = sdrbee.GenerationRequest(
        prompt=PROMPT, seed=1, steps=4, width=32, height=32, output="latent"
    )
    other = first.replace(
        prompt="a star", seed=2, skip_guidance_layers=[0], skip_layer_guidance_stop=0.9
    )
    for alone, together in zip(
        [model.generate_batch([one])[0] for one in (first, other)],
        model.generate_batch([first, other]),
        strict=True,
    ):
        assert np.linalg.norm(alone - together) <= 1e-5 * np.linalg.norm(alone)


def test_a_saved_generation_goes_on_with_the_same_bits(open_kind: OpenKind) -> None:
    model = open_kind("sd3").model
    request = sdrbee.GenerationRequest(
        prompt=PROMPT,
        seed=SEED,
        steps=4,
        image=source(),
        mask=half_mask(),
        skip_guidance_layers=[1],
        skip_layer_guidance_stop=1.0,
        output="latent",
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


def test_stays_close_in_bf16(open_kind: OpenKind) -> None:
    pair = open_kind("sd3.5-medium")
    half = sdrbee.load(pair.folder, device="cpu", dtype="bf16")
    fields: dict[str, Any] = {"steps": 4, "seed": 1, "width": 32, "height": 32, "output": "latent"}
    expected = pair.model.generate(PROMPT, **fields)
    difference = np.linalg.norm(half.generate(PROMPT, **fields) - expected)
    assert difference <= 3e-2 * np.linalg.norm(expected)


def test_info_tells_what_the_family_can_do(open_kind: OpenKind) -> None:
    info = open_kind("sd3").model.info
    assert (info.family, info.variant) == ("sd3", "custom")
    assert info.capabilities.prompt_2
    assert info.capabilities.prompt_3
    assert info.max_sequence_length == 256
    assert info.skippable_layers == 3
    # Two latent cells a token and side, of two pixels each; positions for 12 tokens.
    assert (info.sizes.multiple, info.sizes.maximum) == (4, 48)
    assert info.default_size == (32, 32)
    assert not open_kind("native inpaint").model.info.capabilities.text_to_image


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "a layer beyond the last": (
        {"skip_guidance_layers": [3]},
        r"\[skip_guidance_layers\] expected 0 to 2 but got 3",
    ),
    "too long a sequence": (
        {"max_sequence_length": 513},
        r"\[max_sequence_length\] expected 1 to 512 but got 513",
    ),
    "a picture beyond the positions": ({"width": 52}, r"\[width\] .* to 48 but got 52"),
    "half a token": ({"width": 34}, r"\[width\] expected a multiple of 4"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_name_the_field(open_kind: OpenKind, case: str) -> None:
    fields, pattern = REFUSALS[case]
    with pytest.raises(sdrbee.InvalidRequest, match=pattern):
        open_kind("sd3").model.generate(PROMPT, steps=2, **fields)


def test_fields_of_sd3_are_refused_elsewhere(model: sdrbee.Model) -> None:
    for fields in (
        {"prompt_3": "x"},
        {"max_sequence_length": 77},
        {"skip_guidance_layers": [1]},
    ):
        with pytest.raises(sdrbee.InvalidRequest, match=next(iter(fields))):
            model.generate(PROMPT, steps=1, **fields)


MISFITS: dict[str, tuple[str, dict[str, Any], str]] = {
    "pooled text": (
        "text_encoder_2/config.json",
        {"projection_dim": 11},
        r"'pooled_projection_dim': expected 19, .* but got 20",
    ),
    "t5": ("text_encoder_3/config.json", {"d_model": 32}, r"'joint_attention_dim': expected 32"),
    "clip": (
        "text_encoder/config.json",
        {"hidden_size": 10},
        r"'joint_attention_dim': expected at least 26",
    ),
    "autoencoder": ("vae/config.json", {"latent_channels": 8}, r"'in_channels': expected 8"),
    "vocabulary": ("text_encoder_3/config.json", {"vocab_size": 100}, r"'vocab_size': expected at"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_parts_of_different_models_are_refused(
    open_kind: OpenKind, tmp_path: Path, case: str
) -> None:
    file, fields, pattern = MISFITS[case]
    folder = tmp_path / "model"
    shutil.copytree(open_kind("sd3").folder, folder)
    config = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(config | fields))
    with pytest.raises(sdrbee.CheckpointError, match=pattern):
        sdrbee.load(folder)
