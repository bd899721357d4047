"""The names of FLUX.2's network in its original checkpoints."""

from __future__ import annotations

import re

import torch

State = dict[str, torch.Tensor]

_RENAMES = {
    "x_embedder.": "img_in.",
    "context_embedder.": "txt_in.",
    "time_guidance_embed.timestep_embedder.linear_1.": "time_in.in_layer.",
    "time_guidance_embed.timestep_embedder.linear_2.": "time_in.out_layer.",
    "modulation_img.linear.": "modulation_img.lin.",
    "modulation_txt.linear.": "modulation_txt.lin.",
    "stream_modulation.linear.": "stream_modulation.lin.",
    "proj_out.": "final_layer.linear.",
    "norm_out.linear.": "final_layer.adaLN_modulation.1.",
    "single_transformer_blocks.": "single_blocks.",
    "transformer_blocks.": "double_blocks.",
    ".attn.to_qkv_mlp_proj.": ".linear1.",
    ".attn.to_out.0.": ".img_attn.proj.",
    ".attn.to_add_out.": ".txt_attn.proj.",
    ".attn.to_out.": ".linear2.",
    ".attn.norm_added_q.weight": ".txt_attn.norm.query_norm.scale",
    ".attn.norm_added_k.weight": ".txt_attn.norm.key_norm.scale",
    ".ff.linear_in.": ".img_mlp.0.",
    ".ff.linear_out.": ".img_mlp.2.",
    ".ff_context.linear_in.": ".txt_mlp.0.",
    ".ff_context.linear_out.": ".txt_mlp.2.",
}
_FUSED = {"img_attn": ("to_q", "to_k", "to_v"), "txt_attn": tuple(f"add_{x}_proj" for x in "qkv")}


def original_state(state: State) -> State:
    """Tensors of diffusers under their original names."""
    original: State = {}
    for name, value in state.items():
        if name.startswith("norm_out."):
            value = torch.cat(value.chunk(2)[::-1])  # the original has the shift first
        renamed = name
        for ours, theirs in _RENAMES.items():
            renamed = renamed.replace(ours, theirs)
        norm = "norm" if renamed.startswith("single_blocks.") else "img_attn.norm"
        for ours, theirs in (("norm_q", "query_norm"), ("norm_k", "key_norm")):
            renamed = renamed.replace(f".attn.{ours}.weight", f".{norm}.{theirs}.scale")
        if not re.search(r"\.attn\.(to_[qkv]|add_[qkv]_proj)\.", renamed):
            original[renamed] = value
            continue
        for fused, parts in _FUSED.items():
            if f".attn.{parts[0]}." in name:
                rows = [state[name.replace(parts[0], part)] for part in parts]
                original[renamed.replace(f"attn.{parts[0]}", f"{fused}.qkv")] = torch.cat(rows)
    return original
