"""Makes the golden files of Stable Diffusion 3's network from diffusers.

Run it from the repository root: ``PYTHONPATH=tests/python python -m golden.make_sd3``. The files
are as those of make_networks.py.
"""

from __future__ import annotations

import torch
from diffusers import SD3Transformer2DModel
from golden.make_networks import check_versions, normal, randomise, save

SHAPE = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 12,
    "caption_projection_dim": 16,
    "pooled_projection_dim": 10,
    "pos_embed_max_size": 8,
}
CASES: dict[str, tuple[dict[str, object], tuple[int, int]]] = {
    "sd3_medium": ({}, (8, 12)),
    "sd3_5_medium": (
        {"qk_norm": "rms_norm", "dual_attention_layers": [0, 2], "num_layers": 4},
        (10, 6),
    ),
    "sd3_5_large": ({"qk_norm": "rms_norm"}, (16, 16)),
    "sd3_patches": (
        {"patch_size": 1, "out_channels": 6, "pos_embed_max_size": 9, "num_layers": 1},
        (9, 5),
    ),
}
SKIPPED = [1, 2]


def make(case: str, options: dict[str, object], size: tuple[int, int]) -> None:
    """Two pictures at timesteps of their own, and the same with blocks left out."""
    config = SHAPE | options
    model = SD3Transformer2DModel(**config)
    randomise(model, seed=21)
    model.pos_embed.pos_embed = model.pos_embed.pos_embed.half().float()
    inputs = {
        "latents": normal((2, 4, *size), seed=22),
        "timesteps": torch.tensor([1000.0, 12.5]),
        "context": normal((2, 7, 12), seed=23),
        "pooled": normal((2, 10), seed=24),
    }
    arguments = {
        "hidden_states": inputs["latents"],
        "timestep": inputs["timesteps"],
        "encoder_hidden_states": inputs["context"],
        "pooled_projections": inputs["pooled"],
    }
    outputs = {"prediction": model(**arguments).sample}
    if config["num_layers"] == 4:
        outputs["skipped"] = model(**arguments, skip_layers=SKIPPED).sample
    save(case, model, config, inputs, outputs)


@torch.no_grad()
def main() -> None:
    """Writes all files."""
    check_versions()
    torch.set_num_threads(1)
    for case, (options, size) in CASES.items():
        make(case, options, size)


if __name__ == "__main__":
    main()
