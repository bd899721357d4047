"""The names of Z-Image's network in its original checkpoints."""

from __future__ import annotations

import torch

State = dict[str, torch.Tensor]

_RENAMES = {
    "all_x_embedder.2-1.": "x_embedder.",
    "all_final_layer.2-1.": "final_layer.",
    ".attention.to_out.0.": ".attention.out.",
    ".attention.norm_q.": ".attention.q_norm.",
    ".attention.norm_k.": ".attention.k_norm.",
}


def original_state(state: State) -> State:
    """Tensors of diffusers under their original names."""
    original: State = {}
    for name, value in state.items():
        for ours, theirs in _RENAMES.items():
            name = name.replace(ours, theirs)
        if ".attention.to_q." in name:
            parts = [state[name.replace(".to_q.", f".to_{part}.")] for part in "qkv"]
            original[name.replace(".to_q.", ".qkv.")] = torch.cat(parts)
        elif ".attention.to_k." not in name and ".attention.to_v." not in name:
            original[name] = value
    original["norm_final.weight"] = torch.ones(3)  # which no one calls
    return original
