"""Single files of Z-Image in the original naming, whole and in parts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers.loaders.single_file_utils as oracle
import numpy as np
import pytest
import torch
from golden.make_single_file import original_vae_name
from golden.z_image_names import original_state
from parity.pair import PROMPT, SEED, compare
from parity.qwen import QWEN_VOCABULARY
from parity.z_image import TRANSFORMER, VAE, ZImagePair
from safetensors.torch import load_file, save_file

import sdrbee

State = dict[str, torch.Tensor]
SIZE = {"width": 48, "height": 32}


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> ZImagePair:
    """A folder whose components can all be told from their tensors."""
    return ZImagePair(
        tmp_path_factory.mktemp("z_image_single_file") / "folder",
        pytestconfig.getoption("--parity-device"),
        shift=6.0,
        transformer=TRANSFORMER
        | {"dim": 128, "n_heads": 1, "n_layers": 1, "axes_dims": [32, 48, 48]},
        vae=VAE | {"block_out_channels": [32] * 4, "norm_num_groups": 32},
    )


def network_of(folder: Path) -> State:
    return load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")


def vae_of(folder: Path) -> State:
    vae = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    return {original_vae_name(name, levels=4): value for name, value in vae.items()}


def text_of(folder: Path) -> State:
    """As qwen_3_4b.safetensors is."""
    return {
        name if name.startswith("model.") else f"model.{name}": value
        for name, value in load_file(folder / "text_encoder" / "model.safetensors").items()
    }


def save(path: Path, state: State) -> Path:
    path.parent.mkdir(exist_ok=True)
    save_file({name: value.contiguous().clone() for name, value in state.items()}, path)
    return path


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


def check(pair: ZImagePair, model: sdrbee.Model, **more: Any) -> float:
    expected = pair.reference(
        "text_to_image", SEED, **SIZE, prompt=PROMPT, num_inference_steps=3, **more
    )
    request: dict[str, Any] = {"seed": SEED, "steps": 3} | SIZE
    made = [
        np.asarray(model.generate(PROMPT, output=output, **request, **more))
        for output in ("float", "latent")
    ]
    difference = compare((made[0], made[1]), expected)
    assert difference.within_tolerance, difference
    return difference.pixels


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_full_checkpoint_makes_the_picture_of_its_folder(
    wide: ZImagePair, tmp_path: Path, prefix: str, record_parity: Callable[..., None]
) -> None:
    state = prefixed(original_state(network_of(wide.folder)), prefix)
    state |= prefixed(vae_of(wide.folder), "vae.")
    state |= prefixed(text_of(wide.folder), "text_encoders.qwen3_4b.transformer.")
    path = save(tmp_path / "m.safetensors", state)
    shutil.copytree(wide.folder / "tokenizer", tmp_path / "tokenizer")
    model = sdrbee.load(path, dtype="float32")
    assert model.info.variant == "z-image"
    assert any("z-image-turbo" in warning for warning in model.info.warnings)
    difference = check(wide, model, guidance_scale=3.0)
    record_parity("z-image", "text_to_image", stored="single file", pixels=difference)


def test_split_files_and_the_distilled_variant(
    wide: ZImagePair,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_parity: Callable[..., None],
) -> None:
    """The variant brings its shift along."""
    monkeypatch.setenv("SDRBEE_QWEN_VOCABULARY", str(QWEN_VOCABULARY))
    path = save(tmp_path / "network/n.safetensors", original_state(network_of(wide.folder)))
    parts = {
        "vae": save(tmp_path / "vae/ae.safetensors", vae_of(wide.folder)),
        "text_encoder": save(tmp_path / "text/qwen.safetensors", text_of(wide.folder)),
    }
    with pytest.raises(sdrbee.CheckpointError, match=r"expected a component 'vae'.*vae="):
        sdrbee.load(path)
    model = sdrbee.load(path, dtype="float32", variant="z-image-turbo", **parts)
    assert model.info.variant == "z-image-turbo"
    assert model.info.warnings == []
    pipeline = wide.pipelines["text_to_image"]
    monkeypatch.setattr(pipeline, "scheduler", type(pipeline.scheduler).from_config({"shift": 3.0}))
    difference = check(wide, model, guidance_scale=0.0)
    for variant in ("z-image-turbo", "z-image"):
        record_parity(variant, "text_to_image", stored="split files", pixels=difference)


def test_a_text_encoder_of_another_network_is_refused(wide: ZImagePair, tmp_path: Path) -> None:
    state = text_of(wide.folder)
    # All that has the network's width on its last side, and the layers that give it out.
    narrow = {
        name: value[..., :8] if value.shape[-1] == 16 else value for name, value in state.items()
    }
    for name in state:
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            narrow[name] = narrow[name][:8]
    path = save(tmp_path / "qwen.safetensors", narrow)
    with pytest.raises(sdrbee.CheckpointError, match=r"'cap_feat_dim': expected 8.*got 16"):
        sdrbee.load(wide.folder, text_encoder=path)


def test_names_are_those_that_diffusers_converts(wide: ZImagePair) -> None:
    state = network_of(wide.folder)
    converted = oracle.convert_z_image_transformer_checkpoint_to_diffusers(original_state(state))
    assert converted.keys() == state.keys()
    assert all(torch.equal(converted[name], state[name]) for name in state)
