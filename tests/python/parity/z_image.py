"""Tiny random models of Z-Image, and their pipelines in diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
from parity.family_pair import LatentPair
from parity.qwen import qwen_config, qwen_tokenizer, randomise_small
from transformers import Qwen3Model

PIPELINES = {
    "text_to_image": "ZImagePipeline",
    "image_to_image": "ZImageImg2ImgPipeline",
    "inpaint": "ZImageInpaintPipeline",
}
SHIFTS = {"z-image": 6.0, "z-image-turbo": 3.0}
TRANSFORMER: dict[str, Any] = {
    "in_channels": 4,
    "dim": 32,
    "n_layers": 2,
    "n_refiner_layers": 1,
    "n_heads": 2,
    "n_kv_heads": 2,
    "cap_feat_dim": 16,
    "axes_dims": [8, 4, 4],
    "axes_lens": [600, 32, 32],
}
VAE: dict[str, Any] = {
    "block_out_channels": [4, 4, 4, 8],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "latent_channels": 4,
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "mid_block_add_attention": False,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
}


def write(
    folder: Path, shift: float, transformer: dict[str, Any], vae: dict[str, Any], **text: Any
) -> None:
    """Saves a random pipeline."""
    torch.manual_seed(0)
    network = diffusers.ZImageTransformer2DModel(**transformer)
    randomise_small(network)
    diffusers.ZImagePipeline(
        transformer=network,
        vae=diffusers.AutoencoderKL(**vae),
        text_encoder=Qwen3Model(qwen_config(**text)).eval(),
        tokenizer=qwen_tokenizer(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=shift),
    ).save_pretrained(folder)


class ZImagePair(LatentPair):
    """One variant, opened by diffusers in all its modes and by sdrbee."""

    def __init__(
        self,
        folder: Path,
        device: str,
        *,
        shift: float,
        transformer: dict[str, Any] = TRANSFORMER,
        vae: dict[str, Any] = VAE,
        **text: Any,
    ) -> None:
        write(folder, shift, transformer, vae, **text)
        super().__init__(folder, device, PIPELINES)
