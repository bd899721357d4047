"""FLUX.2 klein and its base variant: from text, and with a reference picture."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers.loaders.single_file_utils as oracle
import numpy as np
import PIL.Image
import pytest
import torch
from golden.flux2_names import original_state
from golden.make_single_file import original_vae_name
from parity.flux2 import MAX_TOKENS, Flux2Pair
from parity.pair import PROMPT, SEED, compare
from parity.pictures import source
from parity.qwen import qwen_config
from safetensors.torch import load_file, save_file
from transformers import Qwen3Model

import sdrbee

WIDTH, HEIGHT = 48, 32
OpenPair = Callable[[str], Flux2Pair]
Check = Callable[[str, str, dict[str, Any], dict[str, Any]], None]
DISTILLED = {"flux2-klein": True, "flux2-klein-base": False}
LONG_PROMPT = ", ".join([PROMPT] * 6)


@pytest.fixture(scope="session")
def open_pair(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> OpenPair:
    """Opens a variant, once a session."""
    pairs: dict[str, Flux2Pair] = {}

    def open_kind(name: str) -> Flux2Pair:
        if name not in pairs:
            folder = tmp_path_factory.mktemp("flux2") / name
            device = pytestconfig.getoption("--parity-device")
            pairs[name] = Flux2Pair(folder, device, distilled=DISTILLED[name])
        return pairs[name]

    return open_kind


@pytest.fixture
def check(open_pair: OpenPair, record_parity: Callable[..., None]) -> Check:
    """Compares picture and latents of a mode, as asked in our words and in those of diffusers."""

    def compare_mode(name: str, mode: str, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
        pair = open_pair(name)
        usual = {"guidance_scale": pair.model.info.defaults[mode].guidance_scale}
        request: dict[str, Any] = {"prompt": PROMPT, "seed": SEED, "steps": 4}
        request |= {"max_sequence_length": MAX_TOKENS, "width": WIDTH, "height": HEIGHT} | ours
        arguments: dict[str, Any] = {"prompt": PROMPT, "num_inference_steps": 4} | usual | theirs
        size = {side: request[side] for side in ("width", "height")}
        expected = pair.reference(SEED, **size, **arguments)
        made = [
            np.asarray(pair.model.generate(**request | {"output": output}))
            for output in ("float", "latent")
        ]
        difference = compare((made[0], made[1]), expected)
        assert difference.within_tolerance, difference
        record_parity(name, mode, pixels=difference.pixels)

    return compare_mode


FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "guidance": ({"guidance_scale": 2.5}, {"guidance_scale": 2.5}),
    "no guidance": ({"guidance_scale": 1.0}, {"guidance_scale": 1.0}),
    "large": ({"width": 176, "height": 80}, {}),
    "cut prompt": ({"prompt": LONG_PROMPT}, {"prompt": LONG_PROMPT}),
    "empty prompt": ({"prompt": ""}, {"prompt": ""}),
    "one step": ({"steps": 1}, {"num_inference_steps": 1}),
    "many steps": ({"steps": 20}, {"num_inference_steps": 20}),
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("name", DISTILLED)
def test_text_to_image(open_pair: OpenPair, check: Check, name: str, field: str) -> None:
    assert open_pair(name).model.info.variant == name
    check(name, "text_to_image", *FIELDS[field])


# Sides that are no whole tokens are cut around the middle.
@pytest.mark.parametrize("shape", [(80, 64), (90, 75), (64, 200)])
@pytest.mark.parametrize("name", DISTILLED)
def test_a_picture_is_shown(check: Check, name: str, shape: tuple[int, int]) -> None:
    image = source(*shape)
    theirs = {"image": PIL.Image.fromarray(image)}
    check(name, "image_to_image", {"image": image}, theirs)


def test_the_picture_gives_its_size(check: Check) -> None:
    image = source(90, 75)
    ours = {"image": image, "width": None, "height": None, "steps": 1}
    theirs = {"image": PIL.Image.fromarray(image), "num_inference_steps": 1}
    check("flux2-klein", "image_to_image", ours, theirs)


def test_large_references_are_reduced(check: Check) -> None:
    """To an area of 1024 * 1024 pixels."""
    image = source(1300, 900)
    theirs = {"image": PIL.Image.fromarray(image), "num_inference_steps": 1}
    check("flux2-klein", "image_to_image", {"image": image, "steps": 1}, theirs)


def test_defaults_are_those_of_the_pipeline(open_pair: OpenPair) -> None:
    pair = open_pair("flux2-klein-base")
    ours = pair.model.info.defaults["text_to_image"]
    theirs = inspect.signature(pair.pipelines["all"].__call__).parameters
    assert ours.steps == theirs["num_inference_steps"].default
    assert ours.guidance_scale == theirs["guidance_scale"].default
    assert pair.model.info.max_sequence_length == theirs["max_sequence_length"].default
    assert open_pair("flux2-klein").model.info.defaults["text_to_image"].steps == 4


def test_the_distilled_one_is_not_guided(open_pair: OpenPair) -> None:
    can = open_pair("flux2-klein").model.info.capabilities
    assert not can.guidance
    assert not can.negative_prompt
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[mask\]"):
        open_pair("flux2-klein").model.generate(
            PROMPT, image=source(), mask=source()[..., 0], steps=1
        )


def test_a_text_encoder_with_few_layers_is_refused(open_pair: OpenPair, tmp_path: Any) -> None:
    Qwen3Model(qwen_config(num_hidden_layers=26)).save_pretrained(tmp_path)
    with pytest.raises(sdrbee.CheckpointError, match=r"'num_hidden_layers'.*at least 27.*got 26"):
        sdrbee.load(open_pair("flux2-klein").folder, text_encoder=tmp_path)


def network_of(pair: Flux2Pair) -> dict[str, Any]:
    return load_file(pair.folder / "transformer" / "diffusion_pytorch_model.safetensors")


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_single_file_makes_the_picture_of_its_folder(
    open_pair: OpenPair, tmp_path: Path, prefix: str, record_parity: Callable[..., None]
) -> None:
    pair = open_pair("flux2-klein-base")
    state = {prefix + name: value for name, value in original_state(network_of(pair)).items()}
    path = tmp_path / "m.safetensors"
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    shutil.copytree(pair.folder / "tokenizer", tmp_path / "tokenizer")
    with pytest.raises(sdrbee.CheckpointError, match=r"expected a component 'vae'.*vae="):
        sdrbee.load(path)
    parts = {name: pair.folder / name for name in ("vae", "text_encoder")}
    with pytest.warns(UserWarning, match="flux2-klein-base from flux2-klein"):
        model = sdrbee.load(path, dtype="float32", **parts)
    assert model.info.variant == "flux2-klein-base"
    request = {"prompt": PROMPT, "seed": 1, "steps": 2, "width": 48, "height": 32}
    pictures = [np.asarray(one.generate(output="float", **request)) for one in (model, pair.model)]
    difference = float(np.abs(pictures[0] - pictures[1]).max())
    assert difference == 0
    record_parity("flux2-klein-base", "text_to_image", stored="single file", pixels=difference)
    distilled = sdrbee.load(path, dtype="float32", variant="flux2-klein", **parts)
    assert distilled.info.defaults["text_to_image"].steps == 4


@pytest.mark.parametrize("original", [False, True])
def test_an_autoencoder_from_a_file(open_pair: OpenPair, tmp_path: Path, original: bool) -> None:
    """As flux2-vae.safetensors has it: 1x1 convolutions inside of encoder and decoder."""
    pair = open_pair("flux2-klein")
    state = load_file(pair.folder / "vae" / "diffusion_pytorch_model.safetensors")
    inside = {"quant_conv": "encoder.quant_conv", "post_quant_conv": "decoder.post_quant_conv"}
    if original:
        state = {
            f"{inside[name.split('.')[0]]}.{name.split('.')[1]}"
            if name.split(".")[0] in inside
            else name
            if name.startswith("bn.")
            else original_vae_name(name, levels=4): value
            for name, value in state.items()
        }
    path = tmp_path / "vae.safetensors"
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    model = sdrbee.load(pair.folder, dtype="float32", vae=path)
    request = {"prompt": PROMPT, "seed": 1, "steps": 1, "image": source(64, 80)}
    pictures = [np.asarray(one.generate(output="float", **request)) for one in (model, pair.model)]
    assert np.array_equal(*pictures)


def test_names_are_those_that_diffusers_converts(open_pair: OpenPair) -> None:
    state = network_of(open_pair("flux2-klein"))
    converted = oracle.convert_flux2_transformer_checkpoint_to_diffusers(original_state(state))
    assert converted.keys() == state.keys()
    assert all(torch.equal(converted[name], state[name]) for name in state)


def test_a_saved_generation_goes_on_with_the_same_bits(open_pair: OpenPair) -> None:
    model = open_pair("flux2-klein-base").model
    request = sdrbee.GenerationRequest(
        prompt=PROMPT, seed=SEED, steps=3, output="latent", image=source(64, 80)
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
