"""The names that Stability AI's code gives to the weights of Stable Diffusion 3."""

from __future__ import annotations

import re
from typing import Any

import torch

State = dict[str, torch.Tensor]

EDGES = {
    "pos_embed.pos_embed": "pos_embed",
    "pos_embed.proj.": "x_embedder.proj.",
    "time_text_embed.timestep_embedder.linear_1.": "t_embedder.mlp.0.",
    "time_text_embed.timestep_embedder.linear_2.": "t_embedder.mlp.2.",
    "time_text_embed.text_embedder.linear_1.": "y_embedder.mlp.0.",
    "time_text_embed.text_embedder.linear_2.": "y_embedder.mlp.2.",
    "norm_out.linear.": "final_layer.adaLN_modulation.1.",
    "proj_out.": "final_layer.linear.",
}
BLOCK = {
    "norm1.linear.": "x_block.adaLN_modulation.1.",
    "norm1_context.linear.": "context_block.adaLN_modulation.1.",
    "attn.norm_q.": "x_block.attn.ln_q.",
    "attn.norm_k.": "x_block.attn.ln_k.",
    "attn.norm_added_q.": "context_block.attn.ln_q.",
    "attn.norm_added_k.": "context_block.attn.ln_k.",
    "attn.to_out.0.": "x_block.attn.proj.",
    "attn.to_add_out.": "context_block.attn.proj.",
    "attn2.norm_q.": "x_block.attn2.ln_q.",
    "attn2.norm_k.": "x_block.attn2.ln_k.",
    "attn2.to_out.0.": "x_block.attn2.proj.",
    "ff.net.0.proj.": "x_block.mlp.fc1.",
    "ff.net.2.": "x_block.mlp.fc2.",
    "ff_context.net.0.proj.": "context_block.mlp.fc1.",
    "ff_context.net.2.": "context_block.mlp.fc2.",
}
JOINED = {
    "x_block.attn.qkv.": ["attn.to_q.", "attn.to_k.", "attn.to_v."],
    "x_block.attn2.qkv.": ["attn2.to_q.", "attn2.to_k.", "attn2.to_v."],
    "context_block.attn.qkv.": ["attn.add_q_proj.", "attn.add_k_proj.", "attn.add_v_proj."],
}


def _renamed(name: str, names: dict[str, str]) -> str:
    for new, old in names.items():
        if name.startswith(new):
            return old + name.removeprefix(new)
    return name


def _swapped(value: torch.Tensor) -> torch.Tensor:
    first, second = value.chunk(2)
    return torch.cat([second, first])


def original_transformer(transformer: Any) -> State:
    """The state of an SD3Transformer2DModel under the original names, without prefix."""
    last = transformer.config.num_layers - 1
    state: State = {}
    for name, value in transformer.state_dict().items():
        block = re.fullmatch(r"transformer_blocks\.(\d+)\.(.+)", name)
        if block is None:
            swaps = name.startswith("norm_out.")
            state[_renamed(name, EDGES)] = _swapped(value) if swaps else value
            continue
        number, rest = int(block[1]), block[2]
        if any(rest.startswith(part) for parts in JOINED.values() for part in parts):
            continue
        swaps = number == last and rest.startswith("norm1_context.")
        state[f"joint_blocks.{number}.{_renamed(rest, BLOCK)}"] = (
            _swapped(value) if swaps else value
        )
    own = transformer.state_dict()
    for number in range(last + 1):
        for joined, parts in JOINED.items():
            for kind in ("weight", "bias"):
                names = [f"transformer_blocks.{number}.{part}{kind}" for part in parts]
                if names[0] in own:
                    name = f"joint_blocks.{number}.{joined}{kind}"
                    state[name] = torch.cat([own[part] for part in names])
    return state
