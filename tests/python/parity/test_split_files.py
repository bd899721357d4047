"""Every part of FLUX.1 and Stable Diffusion 3 in a file of its own, as ComfyUI has them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden.flux_names import original_state as original_flux
from golden.make_single_file import original_vae_name
from golden.sd3_names import original_transformer
from parity.flux_family import FluxPair
from parity.pair import PROMPT, SEED, compare
from parity.sd3 import Sd3Pair
from parity.test_flux_single_file import SIZE, WIDE
from parity.test_sd3_single_file import HEADS
from parity.test_sd3_single_file import KINDS as SD3_KINDS
from safetensors.torch import load_file, save_file

import sdrbee

State = dict[str, torch.Tensor]
STEPS = 2
SD3_KIND = replace(
    SD3_KINDS["sd3"],
    transformer=HEADS | {"pooled_projection_dim": 64 + 12},
    projections=(64, 12),
    t5=True,
)
SD3_SIZE = {"width": 24, "height": 16}
FLUX_SIZE = {"width": SIZE[0], "height": SIZE[1]}


def save(path: Path, state: State, tensors: State | None = None) -> Path:
    whole = state | (tensors or {})
    save_file({name: value.detach().contiguous().clone() for name, value in whole.items()}, path)
    return path


def original_vae(vae: Any) -> State:
    levels = len(vae.config.block_out_channels)
    state: State = {}
    for name, value in vae.state_dict().items():
        original = original_vae_name(name, levels)
        kernel = ".mid.attn_1." in original and value.dim() == 2
        state[original] = value[..., None, None] if kernel else value
    return state


def clip_file(path: Path, encoder: Any, *, projected: bool = True) -> Path:
    """As clip_l.safetensors and clip_g.safetensors are: with the rests of a training program."""
    state = {
        name if name.startswith("text_") else f"text_model.{name}": value
        for name, value in encoder.state_dict().items()
        if projected or name != "text_projection.weight"
    }
    return save(path, state, {"logit_scale": torch.tensor(4.6)})


def scale_down(state: State) -> tuple[State, State]:
    """Matrices of blocks in 8 bits with their scales, and the values that all stand for."""
    stored: State = {"scaled_fp8": torch.zeros(2).to(torch.float8_e4m3fn)}
    meant: State = {}
    for name, value in state.items():
        stored[name] = meant[name] = value
        if value.dim() != 2 or "block" not in name or "relative" in name:
            continue
        factor = value.abs().max() / 448
        stored[name] = (value / factor).to(torch.float8_e4m3fn)
        stored[name.removesuffix("weight") + "scale_weight"] = factor
        meant[name] = stored[name].float() * factor
    return stored, meant


def pictures(model: sdrbee.Model, **size: int) -> tuple[Any, Any]:
    request: dict[str, Any] = {"seed": SEED, "steps": STEPS, **size}
    made = [
        np.asarray(model.generate(PROMPT, output=output, **request))
        for output in ("float", "latent")
    ]
    return made[0], made[1]


@pytest.fixture(scope="module")
def sd3(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Sd3Pair:
    folder = tmp_path_factory.mktemp("sd3_split") / "folder"
    pair = Sd3Pair(folder, SD3_KIND, pytestconfig.getoption("--parity-device"))
    # What it is where a file lacks it.
    encoder = pair.pipelines["text_to_image"].text_encoder
    encoder.text_projection.weight.data = torch.eye(64)
    encoder.save_pretrained(folder / "text_encoder")
    return pair


@pytest.fixture(scope="module")
def sd3_files(sd3: Sd3Pair, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sd3_files")
    pipeline = sd3.pipelines["text_to_image"]
    shutil.copytree(sd3.folder / "tokenizer", root / "tokenizer")
    shutil.copytree(sd3.folder / "tokenizer_3", root / "tokenizer_3")
    return {
        "transformer": save(root / "sd3.safetensors", original_transformer(pipeline.transformer)),
        "vae": save(root / "sd3_vae.safetensors", original_vae(pipeline.vae)),
        "text_encoder": clip_file(
            root / "clip_l.safetensors", pipeline.text_encoder, projected=False
        ),
        "text_encoder_2": clip_file(root / "clip_g.safetensors", pipeline.text_encoder_2),
        "text_encoder_3": save(root / "t5.safetensors", pipeline.text_encoder_3.state_dict()),
    }


def load(files: dict[str, Path], **others: Path) -> sdrbee.Model:
    parts = {**files, **others}
    return sdrbee.load(parts.pop("transformer"), dtype="float32", **parts)


@pytest.mark.parametrize("t5", [True, False])
def test_stable_diffusion_3(
    sd3: Sd3Pair, sd3_files: dict[str, Path], t5: bool, record_parity: Callable[..., None]
) -> None:
    pipeline = sd3.pipelines["text_to_image"]
    files = dict(sd3_files)
    encoder = pipeline.text_encoder_3
    if not t5:
        del files["text_encoder_3"]
        pipeline.text_encoder_3 = None
    try:
        expected = sd3.reference(
            "text_to_image", SEED, prompt=PROMPT, num_inference_steps=STEPS, **SD3_SIZE
        )
    finally:
        pipeline.text_encoder_3 = encoder
    model = load(files)
    assert model.info.family == "sd3"
    assert model.info.capabilities.prompt_3 == t5
    difference = compare(pictures(model, **SD3_SIZE), expected)
    assert difference.within_tolerance, difference
    record_parity("sd3-medium", "text_to_image", stored="split files", pixels=difference.pixels)


@pytest.mark.parametrize(
    "part", ["transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"]
)
def test_each_part_of_stable_diffusion_3_in_a_folder(
    sd3: Sd3Pair, sd3_files: dict[str, Path], tmp_path: Path, part: str
) -> None:
    """The file replaces a component of other weights."""
    folder = shutil.copytree(sd3.folder, tmp_path / "model")
    expected = pictures(sdrbee.load(folder, dtype="float32"), **SD3_SIZE)
    weights = next((folder / part).glob("*.safetensors"))
    other = {name: value * 1.5 for name, value in load_file(weights).items()}
    save(weights, other)
    changed = pictures(sdrbee.load(folder, dtype="float32"), **SD3_SIZE)
    assert not np.array_equal(changed[0], expected[0])
    made = pictures(sdrbee.load(folder, dtype="float32", **{part: sd3_files[part]}), **SD3_SIZE)
    assert compare(made, expected).within_tolerance


@pytest.mark.parametrize("scaled", [False, True])
def test_flux(
    tmp_path: Path,
    pytestconfig: pytest.Config,
    scaled: bool,
    record_parity: Callable[..., None],
) -> None:
    pair = FluxPair(tmp_path / "folder", WIDE, pytestconfig.getoption("--parity-device"))
    pipeline = pair.pipelines["text_to_image"]
    t5 = pipeline.text_encoder_2
    stored, meant = scale_down(t5.state_dict())
    network = original_flux(pipeline.transformer.state_dict())
    files = {
        "transformer": save(tmp_path / "flux1-dev.safetensors", network),
        "vae": save(tmp_path / "ae.safetensors", original_vae(pipeline.vae)),
        "text_encoder": clip_file(tmp_path / "clip_l.safetensors", pipeline.text_encoder),
        # As t5xxl_fp16.safetensors, or as t5xxl_fp8_e4m3fn_scaled.safetensors.
        "text_encoder_2": save(tmp_path / "t5.safetensors", stored if scaled else t5.state_dict()),
    }
    for name in ("tokenizer", "tokenizer_2"):
        shutil.copytree(pair.folder / name, tmp_path / name)
    if scaled:
        t5.load_state_dict(meant)
    expected = pair.reference("text_to_image", SEED, SIZE, prompt=PROMPT, num_inference_steps=STEPS)
    difference = compare(pictures(load(files), **FLUX_SIZE), expected)
    assert difference.within_tolerance, difference
    record_parity("flux-dev", "text_to_image", stored="split files", pixels=difference.pixels)


def test_a_projection_that_is_needed_is_asked_for(
    sd3: Sd3Pair, sd3_files: dict[str, Path], tmp_path: Path
) -> None:
    encoder = sd3.pipelines["text_to_image"].text_encoder_2
    bare = clip_file(tmp_path / "clip_g.safetensors", encoder, projected=False)
    with pytest.raises(sdrbee.CheckpointError, match=r"pooled_projection_dim|text_projection"):
        load(sd3_files, text_encoder_2=bare)
