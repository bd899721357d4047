"""Weights of FLUX's network under the names of Black Forest Labs' code."""

from __future__ import annotations

import re

import torch

State = dict[str, torch.Tensor]

_EDGES = {
    "x_embedder": "img_in",
    "context_embedder": "txt_in",
    "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
    "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
    "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "proj_out": "final_layer.linear",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
}
_DOUBLE = {
    "norm1.linear": "img_mod.lin",
    "norm1_context.linear": "txt_mod.lin",
    "attn.norm_q": "img_attn.norm.query_norm",
    "attn.norm_k": "img_attn.norm.key_norm",
    "attn.norm_added_q": "txt_attn.norm.query_norm",
    "attn.norm_added_k": "txt_attn.norm.key_norm",
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
    "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
    "attn.to_q": "img_attn.qkv",
    "attn.to_k": "img_attn.qkv",
    "attn.to_v": "img_attn.qkv",
    "attn.add_q_proj": "txt_attn.qkv",
    "attn.add_k_proj": "txt_attn.qkv",
    "attn.add_v_proj": "txt_attn.qkv",
}
_SINGLE = {
    "norm.linear": "modulation.lin",
    "attn.norm_q": "norm.query_norm",
    "attn.norm_k": "norm.key_norm",
    "proj_out": "linear2",
    "attn.to_q": "linear1",
    "attn.to_k": "linear1",
    "attn.to_v": "linear1",
    "proj_mlp": "linear1",
}
# The order in which layers lie in the one that they are parts of.
_PARTS = ["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"]
_PARTS += ["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"]


def _original_name(layer: str) -> str:
    block = re.fullmatch(r"(single_)?transformer_blocks\.(\d+)\.(.*)", layer)
    if not block:
        return _EDGES[layer]
    single, index, rest = block.groups()
    table, kind = (_SINGLE, "single") if single else (_DOUBLE, "double")
    return f"{kind}_blocks.{index}.{table[rest]}"


def _part(layer: str) -> int:
    rest = layer.split("blocks.")[-1].partition(".")[2]
    return _PARTS.index(rest) if rest in _PARTS else -1


def original_state(state: State) -> State:
    """A state of FluxTransformer2DModel as the original code would have saved it."""
    parts: dict[str, list[torch.Tensor]] = {}
    for name in sorted(state, key=lambda name: _part(name.rpartition(".")[0])):
        layer, _, kind = name.rpartition(".")
        original = _original_name(layer)
        kind = "scale" if original.endswith("_norm") else kind
        value = state[name]
        if layer == "norm_out.linear":
            scale, shift = value.chunk(2)
            value = torch.cat([shift, scale])
        parts.setdefault(f"{original}.{kind}", []).append(value)
    return {name: torch.cat(values) for name, values in parts.items()}
