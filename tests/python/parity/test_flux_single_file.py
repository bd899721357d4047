"""FLUX.1 in single files under their original names, and in 8 bits."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.loaders import single_file_utils as oracle
from golden.flux_names import original_state
from golden.make_single_file import original_vae_name
from parity.flux_family import CELL, FluxPair, Kind
from parity.pair import PROMPT, SEED, compare
from safetensors.torch import load_file, save_file

import sdrbee

State = dict[str, torch.Tensor]
SIZE = (32, 48)
# Widths that tell the number of heads, as those of the published models do.
WIDE = Kind(
    transformer={
        "attention_head_dim": 128,
        "num_attention_heads": 1,
        "axes_dims_rope": [16, 56, 56],
        "joint_attention_dim": 64,
        "pooled_projection_dim": 64,
    },
    clip_width=64,
    t5={"d_model": 64, "d_kv": 64, "num_heads": 1},
    vae={"block_out_channels": [32] * 4, "norm_num_groups": 32},
)


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> FluxPair:
    """A folder whose components can all be told from their tensors."""
    folder = tmp_path_factory.mktemp("flux_single_file") / "folder"
    return FluxPair(folder, WIDE, pytestconfig.getoption("--parity-device"))


def network_of(folder: Path) -> State:
    return load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")


def other_parts(folder: Path) -> State:
    """Autoencoder and text encoders as ComfyUI's full checkpoints have them."""
    vae = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    state = {f"vae.{original_vae_name(name, levels=4)}": value for name, value in vae.items()}
    for part, prefix in (("text_encoder", "clip_l"), ("text_encoder_2", "t5xxl")):
        for name, value in load_file(folder / part / "model.safetensors").items():
            state[f"text_encoders.{prefix}.transformer.{name}"] = value
    return state


def write(pair: FluxPair, path: Path, network: State, parts: State, prefix: str = "") -> Path:
    state = {f"{prefix}{name}": value for name, value in original_state(network).items()} | parts
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    for tokenizer in ("tokenizer", "tokenizer_2"):
        shutil.copytree(pair.folder / tokenizer, path.parent / tokenizer)
    return path


def check(pair: FluxPair, model: sdrbee.Model, **more: Any) -> float:
    expected = pair.reference(
        "text_to_image", SEED, SIZE, prompt=PROMPT, num_inference_steps=3, **more
    )
    request: dict[str, Any] = {"seed": SEED, "steps": 3, "width": SIZE[0], "height": SIZE[1]}
    made = [
        np.asarray(model.generate(PROMPT, output=output, **request, **more))
        for output in ("float", "latent")
    ]
    difference = compare((made[0], made[1]), expected)
    assert difference.within_tolerance, difference
    return difference.pixels


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_full_checkpoint_makes_the_picture_of_its_folder(
    wide: FluxPair, tmp_path: Path, prefix: str, record_parity: Callable[..., None]
) -> None:
    parts = other_parts(wide.folder)
    path = write(wide, tmp_path / "m.safetensors", network_of(wide.folder), parts, prefix)
    model = sdrbee.load(path, dtype="float32")
    assert model.info.variant == "flux-dev"
    assert any("flux-kontext" in warning for warning in model.info.warnings)
    difference = check(wide, model)
    record_parity("flux-dev", "text_to_image", stored="single file", pixels=difference)


def test_without_guidance_embedding_it_is_schnell(wide: FluxPair, tmp_path: Path) -> None:
    network = {
        name: value
        for name, value in network_of(wide.folder).items()
        if "guidance_embedder" not in name
    }
    path = write(wide, tmp_path / "m.safetensors", network, other_parts(wide.folder))
    info = sdrbee.load(path, dtype="float32").info
    assert info.variant == "flux-schnell"
    assert info.defaults["text_to_image"].steps == 4


@pytest.mark.parametrize(
    ("channels", "variant"), [(2 * 4, "flux-canny"), (2 * 4 + CELL * CELL, "flux-fill")]
)
def test_input_channels_tell_the_variant(
    wide: FluxPair, tmp_path: Path, channels: int, variant: str
) -> None:
    network = network_of(wide.folder)
    network["x_embedder.weight"] = torch.zeros(128, 4 * channels)
    path = write(wide, tmp_path / "m.safetensors", network, other_parts(wide.folder))
    info = sdrbee.load(path, dtype="float32").info
    assert info.variant == variant
    assert ("flux-depth" in " ".join(info.warnings)) == (variant == "flux-canny")


@pytest.mark.parametrize("scale", [None, "scale_weight", "weight_scale"])
def test_weights_in_8_bits(wide: FluxPair, tmp_path: Path, scale: str | None) -> None:
    """The same picture as from a file with the values that they stand for."""
    parts = other_parts(wide.folder)
    original = original_state(network_of(wide.folder))
    stored: State = {}
    meant: State = {}
    for name, value in original.items():
        if value.dim() != 2:
            stored[name] = meant[name] = value
            continue
        factor = value.abs().max() / 448 if scale else torch.tensor(1.0)
        stored[name] = (value / factor).to(torch.float8_e4m3fn)
        meant[name] = stored[name].float() * factor
        if scale:
            stored[name.removesuffix("weight") + scale] = factor
    if scale == "scale_weight":
        stored["scaled_fp8"] = torch.zeros(2).to(torch.float8_e4m3fn)
    latents = []
    for folder, state in (("stored", stored), ("meant", meant)):
        (tmp_path / folder).mkdir()
        for tokenizer in ("tokenizer", "tokenizer_2"):
            shutil.copytree(wide.folder / tokenizer, tmp_path / folder / tokenizer)
        path = tmp_path / folder / "m.safetensors"
        everything = state | parts
        save_file({name: value.contiguous() for name, value in everything.items()}, path)
        model = sdrbee.load(path, dtype="float32")
        request: dict[str, Any] = {"seed": 1, "steps": 2, "width": 32, "height": 32}
        latents.append(model.generate(PROMPT, output="latent", **request))
    assert np.array_equal(latents[0], latents[1])


def test_a_network_alone_is_completed_by_other_files(wide: FluxPair, tmp_path: Path) -> None:
    """As the publisher has them: the network and `ae.safetensors`, both in the original naming."""
    path = write(wide, tmp_path / "m.safetensors", network_of(wide.folder), {})
    ae = {
        name.removeprefix("vae."): value.contiguous()
        for name, value in other_parts(wide.folder).items()
        if name.startswith("vae.")
    }
    save_file(ae, tmp_path / "ae.safetensors")
    encoders = {name: wide.folder / name for name in ("text_encoder", "text_encoder_2")}
    model = sdrbee.load(path, dtype="float32", vae=tmp_path / "ae.safetensors", **encoders)
    check(wide, model)


def test_a_network_alone_names_what_is_missing(wide: FluxPair, tmp_path: Path) -> None:
    path = write(wide, tmp_path / "m.safetensors", network_of(wide.folder), {})
    with pytest.raises(sdrbee.CheckpointError, match=r"expected a component 'vae'.*vae="):
        sdrbee.load(path)


@pytest.mark.parametrize(
    ("tensor", "name"),
    [
        ("double_stream_modulation_img.lin.weight", "FLUX.2"),
        ("distilled_guidance_layer.in_proj.bias", "Chroma"),
    ],
)
def test_relatives_are_refused(wide: FluxPair, tmp_path: Path, tensor: str, name: str) -> None:
    state = original_state(network_of(wide.folder)) | {tensor: torch.zeros(2, 2)}
    save_file(state, tmp_path / "m.safetensors")
    with pytest.raises(sdrbee.UnsupportedModel, match=name):
        sdrbee.load(tmp_path / "m.safetensors")


def test_names_are_those_that_diffusers_converts() -> None:
    """Rows are whole, as diffusers' converter knows one width only; columns are not."""
    width, inner = 3072, 12288
    layers = {
        "transformer_blocks.0.attn.to_q": width,
        "transformer_blocks.0.attn.to_k": width,
        "transformer_blocks.0.attn.to_v": width,
        "transformer_blocks.0.attn.add_q_proj": width,
        "transformer_blocks.0.attn.add_k_proj": width,
        "transformer_blocks.0.attn.add_v_proj": width,
        "transformer_blocks.0.attn.to_out.0": width,
        "transformer_blocks.0.attn.to_add_out": width,
        "transformer_blocks.0.ff.net.0.proj": inner,
        "transformer_blocks.0.ff.net.2": width,
        "transformer_blocks.0.ff_context.net.0.proj": inner,
        "transformer_blocks.0.ff_context.net.2": width,
        "transformer_blocks.0.norm1.linear": 6 * width,
        "transformer_blocks.0.norm1_context.linear": 6 * width,
        "single_transformer_blocks.0.attn.to_q": width,
        "single_transformer_blocks.0.attn.to_k": width,
        "single_transformer_blocks.0.attn.to_v": width,
        "single_transformer_blocks.0.proj_mlp": inner,
        "single_transformer_blocks.0.proj_out": width,
        "single_transformer_blocks.0.norm.linear": 3 * width,
        "x_embedder": width,
        "context_embedder": width,
        "norm_out.linear": 2 * width,
        "proj_out": 64,
    }
    for embedder in ("timestep", "text", "guidance"):
        for layer in (1, 2):
            layers[f"time_text_embed.{embedder}_embedder.linear_{layer}"] = width
    generator = torch.Generator().manual_seed(0)
    state: State = {}
    for name, rows in layers.items():
        state[f"{name}.weight"] = torch.rand(rows, 1, generator=generator)
        state[f"{name}.bias"] = torch.rand(rows, generator=generator)
    for norm in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
        state[f"transformer_blocks.0.attn.{norm}.weight"] = torch.rand(128, generator=generator)
    for norm in ("norm_q", "norm_k"):
        name = f"single_transformer_blocks.0.attn.{norm}.weight"
        state[name] = torch.rand(128, generator=generator)
    converted = oracle.convert_flux_transformer_checkpoint_to_diffusers(original_state(state))
    assert converted.keys() == state.keys()
    assert all(torch.equal(converted[name], state[name]) for name in state)
