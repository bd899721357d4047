"""Stable Diffusion 3 and 3.5 as single files give the pictures of the diffusers folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.loaders import single_file_utils as oracle
from golden import make_single_file as naming
from golden.sd3_names import original_transformer
from parity.pair import PROMPT
from parity.sd3 import V35, Kind
from safetensors.torch import save_file

import sdrbee

# Sizes that no tensor tells: heads of 64 channels, norms of 32 groups.
HEADS = {
    "attention_head_dim": 64,
    "num_attention_heads": 1,
    "caption_projection_dim": 64,
    "joint_attention_dim": 200,
    "sample_size": 128,
}
VAE = {
    "block_out_channels": [32, 64],
    "norm_num_groups": 32,
    "layers_per_block": 1,
    "sample_size": 1024,
}
KINDS = {
    "sd3": Kind(HEADS, VAE, clip=(64, 128), t5=False),
    "sd3.5": Kind(
        HEADS
        | V35
        | {"dual_attention_layers": [0, 1], "attention_head_dim": 32}
        | {"num_attention_heads": 2},
        VAE,
        clip=(64, 128),
        t5=False,
    ),
}
FIELDS: dict[str, Any] = {"steps": 2, "seed": 1, "width": 24, "height": 16, "output": "latent"}
State = dict[str, torch.Tensor]
Folder = tuple[Path, Any]


@pytest.fixture(scope="module")
def open_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Folder]:
    """The folder of a kind, and its pipeline."""
    folders: dict[str, Folder] = {}

    def open_kind(name: str) -> Folder:
        if name not in folders:
            folder = tmp_path_factory.mktemp("sd3") / "model"
            KINDS[name].write(folder)
            pipeline = diffusers.StableDiffusion3Pipeline.from_pretrained(
                folder, text_encoder_3=None, tokenizer_3=None
            )
            folders[name] = folder, pipeline
        return folders[name]

    return open_kind


def original_state(pipeline: Any) -> State:
    """All parts as files with everything in them have them."""
    state = {
        f"model.diffusion_model.{name}": value
        for name, value in original_transformer(pipeline.transformer).items()
    }
    for name, value in pipeline.vae.state_dict().items():
        original = naming.original_vae_name(name, len(VAE["block_out_channels"]))
        kernel = ".mid.attn_1." in original and value.dim() == 2
        state[f"first_stage_model.{original}"] = value[..., None, None] if kernel else value
    for part, encoder in (("clip_l", pipeline.text_encoder), ("clip_g", pipeline.text_encoder_2)):
        for name, value in encoder.state_dict().items():
            whole = name if name.startswith("text_") else f"text_model.{name}"
            state[f"text_encoders.{part}.transformer.{whole}"] = value
    return {name: value.contiguous().clone() for name, value in state.items()}


def write(path: Path, state: State, folder: Path) -> Path:
    """The file with its tokenizer beside it."""
    save_file(state, path)
    (path.parent / "tokenizer").symlink_to(folder / "tokenizer")
    return path


@pytest.mark.parametrize("name", KINDS)
def test_names_are_those_that_diffusers_converts(
    open_folder: Callable[[str], Folder], name: str
) -> None:
    """The oracle of golden/sd3_names.py."""
    transformer = open_folder(name)[1].transformer
    converted = oracle.convert_sd3_transformer_checkpoint_to_diffusers(
        original_transformer(transformer)
    )
    own = transformer.state_dict()
    assert converted.keys() == own.keys()
    assert all(torch.equal(converted[key], own[key]) for key in own)


@pytest.mark.parametrize("name", KINDS)
def test_single_file_equals_folder(
    open_folder: Callable[[str], Folder],
    tmp_path: Path,
    name: str,
    record_parity: Callable[..., None],
) -> None:
    folder, pipeline = open_folder(name)
    path = write(tmp_path / "model.safetensors", original_state(pipeline), folder)
    single = sdrbee.load(path, device="cpu", dtype="fp32")
    whole = sdrbee.load(folder, device="cpu", dtype="fp32")
    assert single.info.family == "sd3"
    # T5 is listed and absent, which SD 3 allows.
    described = sdrbee.describe(path, device="cpu", dtype="fp32")
    assert repr(described.info) == repr(single.info)
    assert described.missing == []
    assert single.info.defaults == whole.info.defaults
    assert single.info.default_size == whole.info.default_size
    assert np.array_equal(single.generate(PROMPT, **FIELDS), whole.generate(PROMPT, **FIELDS))
    picture = FIELDS | {"output": "float"}
    assert np.array_equal(single.generate(PROMPT, **picture), whole.generate(PROMPT, **picture))
    variant = {"sd3": "sd3-medium", "sd3.5": "sd3.5-medium"}[name]
    record_parity(variant, "text_to_image", stored="single file", pixels=0.0)


def test_single_file_with_t5(open_folder: Callable[[str], Folder], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    transformer = HEADS | {"joint_attention_dim": 200}
    replace(KINDS["sd3"], transformer=transformer, t5=True).write(folder)
    pipeline = diffusers.StableDiffusion3Pipeline.from_pretrained(folder)
    state = original_state(pipeline)
    for name, value in pipeline.text_encoder_3.state_dict().items():
        if name != "encoder.embed_tokens.weight":
            state[f"text_encoders.t5xxl.transformer.{name}"] = value.contiguous().clone()
    path = write(tmp_path / "model.safetensors", state, folder)
    (tmp_path / "tokenizer_3").symlink_to(folder / "tokenizer_3")
    single = sdrbee.load(path, device="cpu", dtype="fp32")
    whole = sdrbee.load(folder, device="cpu", dtype="fp32")
    assert single.info.capabilities.prompt_3
    fields = FIELDS | {"max_sequence_length": 12, "prompt_3": "a red circle"}
    expected = whole.generate(PROMPT, **fields)
    assert np.array_equal(single.generate(PROMPT, **fields), expected)
    least = max(part.bytes for part in whole.memory.values())
    tight = sdrbee.load(folder, device="cpu", dtype="fp32", memory_limit=least)
    assert np.array_equal(
        tight.generate(PROMPT, negative_prompt="a star", **fields),
        whole.generate(PROMPT, negative_prompt="a star", **fields),
    )
    assert sum(part.bytes for part in tight.memory.values() if part.loaded) <= least
    # Both prompts go through one encoder after the other.
    encoders = [part for name, part in tight.memory.items() if name.startswith("text_encoder")]
    assert [(part.loads, part.uses) for part in encoders] == [(1, 2)] * 3


def test_scales_of_8_bit_files_are_applied(
    open_folder: Callable[[str], Folder], tmp_path: Path
) -> None:
    folder, pipeline = open_folder("sd3")
    state = original_state(pipeline)
    scaled = [
        "model.diffusion_model.joint_blocks.1.x_block.attn.qkv",
        "text_encoders.clip_g.transformer.text_model.encoder.layers.0.mlp.fc1",
    ]
    for name in scaled:
        state[f"{name}.weight"] = state[f"{name}.weight"] / 4
        state[f"{name}.scale_weight"] = torch.tensor(4.0)
    state["model.diffusion_model.scaled_fp8"] = torch.zeros(2)
    path = write(tmp_path / "model.safetensors", state, folder)
    single = sdrbee.load(path, device="cpu", dtype="fp32")
    whole = sdrbee.load(folder, device="cpu", dtype="fp32")
    assert np.array_equal(single.generate(PROMPT, **FIELDS), whole.generate(PROMPT, **FIELDS))


def test_a_file_without_text_encoders_names_what_is_missing(
    open_folder: Callable[[str], Folder], tmp_path: Path
) -> None:
    state = {
        name: value
        for name, value in original_state(open_folder("sd3")[1]).items()
        if not name.startswith("text_encoders.")
    }
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(sdrbee.CheckpointError, match=r"model\.safetensors.*'text_encoder', 'text_"):
        sdrbee.load(tmp_path / "model.safetensors")
    described = sdrbee.describe(tmp_path / "model.safetensors")
    assert described.missing == ["text_encoder", "text_encoder_2"]
    network = {name.removeprefix("model.diffusion_model."): state[name] for name in state}
    save_file(
        {name: value for name, value in network.items() if not name.startswith("first_stage")},
        tmp_path / "network.safetensors",
    )
    with pytest.raises(sdrbee.CheckpointError, match=r"network\.safetensors.*'vae'"):
        sdrbee.load(tmp_path / "network.safetensors")


def test_a_damaged_network_names_the_tensor(
    open_folder: Callable[[str], Folder], tmp_path: Path
) -> None:
    folder, pipeline = open_folder("sd3")
    for name, pattern in (
        ("pos_embed", r"missing tensor .*pos_embed"),
        ("joint_blocks.1.x_block.attn.proj.weight", r"missing tensor .*to_out\.0\.weight"),
    ):
        state = original_state(pipeline)
        del state[f"model.diffusion_model.{name}"]
        place = tmp_path / name
        place.mkdir()
        path = write(place / "model.safetensors", state, folder)
        with pytest.raises(sdrbee.CheckpointError, match=pattern):
            sdrbee.load(path)


def test_a_network_of_another_shape_names_the_tensor(
    open_folder: Callable[[str], Folder], tmp_path: Path
) -> None:
    shapes = {
        "pos_embed": ((1, 143, 64), r"expected positions of a square but got 143"),
        "x_embedder.proj.weight": ((65, 16, 2, 2), r"expected rows for whole heads of 64"),
        "context_embedder.weight": ((64,), r"unexpected shape \[64\]"),
    }
    for name, (shape, pattern) in shapes.items():
        state = original_state(open_folder("sd3")[1])
        state[f"model.diffusion_model.{name}"] = torch.zeros(shape)
        save_file(state, tmp_path / f"{name}.safetensors")
        with pytest.raises(sdrbee.CheckpointError, match=pattern):
            sdrbee.load(tmp_path / f"{name}.safetensors")
