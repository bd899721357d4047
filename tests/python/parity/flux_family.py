"""Tiny random models of every variant of FLUX.1, and their pipelines in diffusers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch
from parity.family_pair import FamilyPair
from parity.reference import VOCABULARY, Pixels
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

T5_VOCABULARY = VOCABULARY.parent / "unigram_tokenizer"
LATENT_CHANNELS = 4
CELL = 8  # pixels on a side of a latent cell

PLAIN = {
    "text_to_image": "FluxPipeline",
    "image_to_image": "FluxImg2ImgPipeline",
    "inpaint": "FluxInpaintPipeline",
}
TRANSFORMER: dict[str, Any] = {
    "in_channels": 4 * LATENT_CHANNELS,
    "num_layers": 1,
    "num_single_layers": 1,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 32,
    "pooled_projection_dim": 8,
    "axes_dims_rope": [4, 4, 8],
    "guidance_embeds": True,
}
_VAE = {
    "block_out_channels": [4, 4, 4, 8],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "latent_channels": LATENT_CHANNELS,
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "mid_block_add_attention": False,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
}
_T5 = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 37,
    "num_layers": 2,
    "num_heads": 4,
    "vocab_size": 200,
    "feed_forward_proj": "gated-gelu",
}
_DYNAMIC = {"shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}


@dataclass(frozen=True)
class Kind:
    """One variant: what differs from flux-dev."""

    pipelines: dict[str, str] = field(default_factory=lambda: PLAIN)
    transformer: dict[str, Any] = field(default_factory=dict)
    scheduler: dict[str, Any] = field(default_factory=lambda: _DYNAMIC)
    vae: dict[str, Any] = field(default_factory=dict)
    t5: dict[str, Any] = field(default_factory=dict)
    clip_width: int = 8
    max_sequence_length: int = 512

    def write(self, folder: Path) -> None:
        """Saves a random pipeline of this kind."""
        torch.manual_seed(0)
        pipeline = getattr(diffusers, next(iter(self.pipelines.values())))(
            transformer=diffusers.FluxTransformer2DModel(**TRANSFORMER | self.transformer),
            vae=diffusers.AutoencoderKL(**_VAE | self.vae),
            text_encoder=CLIPTextModel(_clip_config(self.clip_width)).eval(),
            tokenizer=CLIPTokenizer.from_pretrained(VOCABULARY),
            text_encoder_2=T5EncoderModel(T5Config(**_T5 | self.t5)).eval(),
            tokenizer_2=T5TokenizerFast.from_pretrained(T5_VOCABULARY),
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**self.scheduler),
        )
        pipeline.save_pretrained(folder)


def _clip_config(width: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
        hidden_size=width,
        intermediate_size=16,
        num_attention_heads=max(1, width // 64),
        num_hidden_layers=3,
        vocab_size=1000,
    )


KINDS = {
    "flux-dev": Kind(),
    "flux-schnell": Kind(
        transformer={"guidance_embeds": False},
        scheduler={"shift": 1.0},
        max_sequence_length=256,
    ),
    "flux-fill": Kind(
        pipelines={"inpaint": "FluxFillPipeline"},
        transformer={
            "in_channels": 4 * (2 * LATENT_CHANNELS + CELL * CELL),
            "out_channels": 4 * LATENT_CHANNELS,
        },
    ),
    "flux-kontext": Kind(
        pipelines={
            "text_to_image": "FluxKontextPipeline",
            "image_to_image": "FluxKontextPipeline",
            "inpaint": "FluxKontextInpaintPipeline",
        }
    ),
    "flux-canny": Kind(
        pipelines={
            "text_to_image": "FluxControlPipeline",
            "image_to_image": "FluxControlImg2ImgPipeline",
            "inpaint": "FluxControlInpaintPipeline",
        },
        transformer={"in_channels": 8 * LATENT_CHANNELS, "out_channels": 4 * LATENT_CHANNELS},
    ),
}


class FluxPair(FamilyPair):
    """One variant, opened by diffusers in all its modes and by sdrbee."""

    def __init__(self, folder: Path, kind: Kind, device: str) -> None:
        self.kind = kind
        kind.write(folder)
        super().__init__(folder, device, kind.pipelines)

    def reference(
        self, mode: str, seed: int, size: tuple[int, int], **arguments: Any
    ) -> tuple[Pixels, Pixels]:
        """diffusers' picture [H, W, 3] in 0..1 and final latents [C, h, w]."""
        width, height = size
        arguments |= {"width": width, "height": height}
        arguments |= {"max_sequence_length": self.kind.max_sequence_length}
        packed = self.final_latents(mode, seed, **arguments)
        latents = self.pipelines[mode]._unpack_latents(packed, height, width, CELL)
        return self.decode(latents), latents[0].numpy()
