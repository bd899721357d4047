"""Writes tests/cpp/golden/single_file_*.json: tensors of tiny models under their original names.

Each file lists the tensors of a checkpoint in the original Stable Diffusion naming and, for every
tensor that diffusers 0.42's own converter makes of it, the shape and a checksum. Values are a
function of the original name and the position, so that no weights need to be stored:
`fill(name)[i] = ((crc32(name) + 7919 * i) % 65521) / 65521`.

Run from the repository root: python tests/python/golden/make_single_file.py
"""

from __future__ import annotations

import json
import math
import re
import zlib
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as oracle
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

GOLDEN = Path("tests/cpp/golden")
State = dict[str, torch.Tensor]

RESNET = {
    "norm1.": "in_layers.0.",
    "conv1.": "in_layers.2.",
    "time_emb_proj.": "emb_layers.1.",
    "norm2.": "out_layers.0.",
    "conv2.": "out_layers.3.",
    "conv_shortcut.": "skip_connection.",
}
UNET_EDGES = {
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "add_embedding.linear_1.": "label_emb.0.0.",
    "add_embedding.linear_2.": "label_emb.0.2.",
    "conv_in.": "input_blocks.0.0.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
    "mid_block.resnets.0.": "middle_block.0.",
    "mid_block.attentions.0.": "middle_block.1.",
    "mid_block.resnets.1.": "middle_block.2.",
}
VAE_PARTS = {
    "mid_block.resnets.0.": "mid.block_1.",
    "mid_block.resnets.1.": "mid.block_2.",
    "mid_block.attentions.0.group_norm.": "mid.attn_1.norm.",
    "mid_block.attentions.0.to_q.": "mid.attn_1.q.",
    "mid_block.attentions.0.to_k.": "mid.attn_1.k.",
    "mid_block.attentions.0.to_v.": "mid.attn_1.v.",
    "mid_block.attentions.0.to_out.0.": "mid.attn_1.proj_out.",
    "conv_norm_out.": "norm_out.",
    "conv_shortcut.": "nin_shortcut.",
}
OPEN_CLIP = {
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.token_embedding.": "token_embedding.",
    "final_layer_norm.": "ln_final.",
    "encoder.layers.": "transformer.resblocks.",
    "layer_norm1.": "ln_1.",
    "layer_norm2.": "ln_2.",
    "mlp.fc1.": "mlp.c_fc.",
    "mlp.fc2.": "mlp.c_proj.",
    "self_attn.": "attn.",
}


def replace_all(name: str, table: dict[str, str]) -> str:
    for new, old in table.items():
        name = name.replace(new, old)
    return name


def original_unet_name(name: str, layers: int, attention_levels: list[bool]) -> str:
    """The name in the original code of a tensor of UNet2DConditionModel."""
    block = re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name)
    if block:
        side, level, kind, layer, rest = block.groups()
        index = int(level) * (layers + 1) + int(layer) + (1 if side == "down" else 0)
        prefix = "input_blocks" if side == "down" else "output_blocks"
        if kind == "downsamplers":
            index = (int(level) + 1) * (layers + 1)
            return f"{prefix}.{index}.0.op.{rest.removeprefix('conv.')}"
        if kind == "upsamplers":
            index = int(level) * (layers + 1) + layers
            slot = 2 if attention_levels[::-1][int(level)] else 1
            return f"{prefix}.{index}.{slot}.{rest}"
        if kind == "attentions":
            return f"{prefix}.{index}.1.{rest}"
        return f"{prefix}.{index}.0.{replace_all(rest, RESNET)}"
    if name.startswith("mid_block.resnets."):
        return replace_all(replace_all(name, UNET_EDGES), RESNET)
    for new, old in UNET_EDGES.items():
        if name.startswith(new):
            return old + name.removeprefix(new)
    raise ValueError(name)


def original_vae_name(name: str, levels: int) -> str:
    """The name in the original code of a tensor of AutoencoderKL."""
    name = replace_all(name, VAE_PARTS)
    name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    flip = lambda match: f"up.{levels - 1 - int(match[1])}."  # noqa: E731
    name = re.sub(r"up_blocks\.(\d+)\.", flip, name)
    return name.replace(".resnets.", ".block.").replace(".upsamplers.0.", ".upsample.")


def fill(name: str, shape: list[int]) -> torch.Tensor:
    index = torch.arange(math.prod(shape), dtype=torch.int64)
    values = (zlib.crc32(name.encode()) + 7919 * index) % 65521
    return (values.to(torch.float32) / 65521).reshape(shape)


def checksum(tensor: torch.Tensor) -> float:
    """Mean of value times position, so that a transposed tensor has another one."""
    flat = tensor.reshape(-1).to(torch.float64)
    return float((flat * torch.arange(1, flat.numel() + 1)).mean())


def original_unet(unet: UNet2DConditionModel, prefix: str) -> State:
    attention = ["CrossAttn" in kind for kind in unet.config.down_block_types]
    layers = unet.config.layers_per_block
    names = {n: original_unet_name(n, layers, attention) for n in unet.state_dict()}
    return {
        prefix + names[n]: fill(prefix + names[n], list(t.shape))
        for n, t in unet.state_dict().items()
    }


def original_vae(vae: AutoencoderKL, prefix: str) -> State:
    state: State = {}
    for name, tensor in vae.state_dict().items():
        original = prefix + original_vae_name(name, len(vae.config.block_out_channels))
        shape = list(tensor.shape)
        if ".mid.attn_1." in original and len(shape) == 2:
            shape += [1, 1]
        state[original] = fill(original, shape)
    return state


def flat_clip_state(model: torch.nn.Module) -> State:
    return {n.removeprefix("text_model."): t for n, t in model.state_dict().items()}


def original_open_clip(model: torch.nn.Module, prefix: str) -> State:
    state: State = {}
    for name, tensor in flat_clip_state(model).items():
        if any(part in name for part in ("k_proj.", "v_proj.")):
            continue
        shape = list(tensor.shape)
        original = replace_all(name, OPEN_CLIP)
        if "q_proj." in original:
            original = original.replace("q_proj.", "in_proj_")
            shape[0] *= 3
        if name == "text_projection.weight":
            original, shape = "text_projection", shape[::-1]
        state[prefix + original] = fill(prefix + original, shape)
    return state


def converted_open_clip(model: torch.nn.Module, state: State, prefix: str) -> State:
    converted = oracle.convert_open_clip_checkpoint(model, state, prefix=prefix)
    return {n.removeprefix("text_model."): t for n, t in converted.items()}


def write(name: str, original: State, parts: dict[str, tuple[State, torch.nn.Module]]) -> None:
    golden: dict[str, Any] = {"original": {n: list(t.shape) for n, t in original.items()}}
    for part, (converted, model) in parts.items():
        expected = flat_clip_state(model)
        assert converted.keys() == expected.keys(), (part, converted.keys() ^ expected.keys())
        assert all(converted[n].shape == expected[n].shape for n in expected), part
        config = json.loads(model.config.to_json_string()) if "text" in part else dict(model.config)
        golden[part] = {
            "config": {k: config[k] for k in CONFIG_KEYS[part.split("_")[0]] if k in config},
            "tensors": {n: [list(t.shape), checksum(t)] for n, t in sorted(converted.items())},
        }
    path = GOLDEN / f"single_file_{name}.json"
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


CONFIG_KEYS = {
    "unet": (
        "in_channels",
        "out_channels",
        "down_block_types",
        "up_block_types",
        "block_out_channels",
        "layers_per_block",
        "attention_head_dim",
        "cross_attention_dim",
        "use_linear_projection",
        "transformer_layers_per_block",
        "addition_embed_type",
        "addition_time_embed_dim",
        "projection_class_embeddings_input_dim",
        "norm_num_groups",
    ),
    "vae": (
        "in_channels",
        "out_channels",
        "latent_channels",
        "down_block_types",
        "up_block_types",
        "block_out_channels",
        "layers_per_block",
        "norm_num_groups",
        "scaling_factor",
    ),
    "text": (
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "vocab_size",
        "max_position_embeddings",
        "hidden_act",
        "projection_dim",
    ),
}


def tiny_vae(scaling_factor: float) -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        block_out_channels=[32, 64],
        layers_per_block=2,
        latent_channels=4,
        scaling_factor=scaling_factor,
    )


def tiny_clip_config(hidden: int, act: str) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=60,
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        projection_dim=hidden // 2,
        num_hidden_layers=2,
        num_attention_heads=hidden // 64,
        hidden_act=act,
    )


def convert_common(state: State, unet: Any, vae: Any) -> dict[str, tuple[State, Any]]:
    return {
        "unet": (oracle.convert_ldm_unet_checkpoint(state, dict(unet.config)), unet),
        "vae": (oracle.convert_ldm_vae_checkpoint(state, dict(vae.config)), vae),
    }


def make_v1() -> None:
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64, 64),
        layers_per_block=2,
        cross_attention_dim=64,
        attention_head_dim=[8, 8, 8],
        transformer_layers_per_block=[1, 1, 1],
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    )
    vae = tiny_vae(0.18215)
    text = CLIPTextModel(tiny_clip_config(64, "quick_gelu"))
    state = original_unet(unet, "model.diffusion_model.")
    state |= original_vae(vae, "first_stage_model.")
    prefix = "cond_stage_model.transformer.text_model."
    clip = {prefix + n: fill(prefix + n, list(t.shape)) for n, t in flat_clip_state(text).items()}
    state |= clip
    converted = {
        n.removeprefix("text_model."): t
        for n, t in oracle.convert_ldm_clip_checkpoint(clip).items()
    }
    write("v1", state, convert_common(state, unet, vae) | {"text_encoder": (converted, text)})


def make_v2() -> None:
    unet = UNet2DConditionModel(
        in_channels=9,
        block_out_channels=(64, 128),
        layers_per_block=1,
        cross_attention_dim=64,
        attention_head_dim=[1, 2],
        transformer_layers_per_block=[1, 1],
        use_linear_projection=True,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    vae = tiny_vae(0.18215)
    text = CLIPTextModel(tiny_clip_config(64, "gelu"))
    state = original_unet(unet, "model.diffusion_model.")
    state |= original_vae(vae, "first_stage_model.")
    prefix = "cond_stage_model.model."
    state |= original_open_clip(text, prefix)
    converted = converted_open_clip(text, state, prefix)
    state[prefix + "text_projection"] = fill(prefix + "text_projection", [64, 64])
    write("v2", state, convert_common(state, unet, vae) | {"text_encoder": (converted, text)})


def make_xl() -> None:
    unet = UNet2DConditionModel(
        block_out_channels=(64, 128, 128),
        layers_per_block=1,
        cross_attention_dim=192,
        attention_head_dim=[1, 2, 2],
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=1600,
        transformer_layers_per_block=[1, 1, 2],
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    )
    vae = tiny_vae(0.13025)
    text = CLIPTextModel(tiny_clip_config(64, "quick_gelu"))
    text_2 = CLIPTextModelWithProjection(tiny_clip_config(128, "gelu"))
    state = original_unet(unet, "model.diffusion_model.")
    state |= original_vae(vae, "first_stage_model.")
    clip_prefix = "conditioner.embedders.0.transformer.text_model."
    clip = {
        clip_prefix + n: fill(clip_prefix + n, list(t.shape))
        for n, t in flat_clip_state(text).items()
    }
    state |= clip
    prefix = "conditioner.embedders.1.model."
    state |= original_open_clip(text_2, prefix)
    converted = {
        n.removeprefix("text_model."): t
        for n, t in oracle.convert_ldm_clip_checkpoint(clip).items()
    }
    parts = convert_common(state, unet, vae) | {
        "text_encoder": (converted, text),
        "text_encoder_2": (converted_open_clip(text_2, state, prefix), text_2),
    }
    write("xl", state, parts)


def make_xl_refiner() -> None:
    unet = UNet2DConditionModel(
        block_out_channels=(64, 128, 128),
        layers_per_block=1,
        cross_attention_dim=128,
        attention_head_dim=[1, 2, 2],
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=5 * 256 + 64,
        transformer_layers_per_block=[1, 2, 2],
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    )
    vae = tiny_vae(0.13025)
    text_2 = CLIPTextModelWithProjection(tiny_clip_config(128, "gelu"))
    state = original_unet(unet, "model.diffusion_model.")
    state |= original_vae(vae, "first_stage_model.")
    prefix = "conditioner.embedders.0.model."
    state |= original_open_clip(text_2, prefix)
    parts = convert_common(state, unet, vae) | {
        "text_encoder_2": (converted_open_clip(text_2, state, prefix), text_2),
    }
    write("xl_refiner", state, parts)


if __name__ == "__main__":
    make_v1()
    make_v2()
    make_xl()
    make_xl_refiner()
