"""Tiny random models of Stable Diffusion 3 and 3.5, and their pipelines in diffusers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
from golden.make_networks import randomise
from golden.make_unigram_tokenizer import train
from parity.family_pair import LatentPair
from parity.reference import VOCABULARY
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

PIPELINES = {
    "text_to_image": "StableDiffusion3Pipeline",
    "image_to_image": "StableDiffusion3Img2ImgPipeline",
    "inpaint": "StableDiffusion3InpaintPipeline",
}
CELLS = 16  # the inpaint pipeline knows 16 and 33 input channels only

TRANSFORMER = {
    "sample_size": 16,
    "patch_size": 2,
    "in_channels": CELLS,
    "out_channels": CELLS,
    "num_layers": 3,
    "attention_head_dim": 8,
    "num_attention_heads": 2,
    "joint_attention_dim": 24,
    "caption_projection_dim": 16,
    "pooled_projection_dim": 20,
    "pos_embed_max_size": 12,
}
VAE = {
    "block_out_channels": [4, 8],
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "latent_channels": CELLS,
    "norm_num_groups": 2,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "scaling_factor": 1.5305,
    "shift_factor": 0.0609,
}
V35 = {"qk_norm": "rms_norm"}


@dataclass(frozen=True)
class Kind:
    """One architecture: what differs from SD3's."""

    transformer: dict[str, Any] = field(default_factory=dict)
    vae: dict[str, Any] = field(default_factory=dict)
    scheduler: dict[str, Any] = field(default_factory=lambda: {"shift": 3.0})
    clip: tuple[int, int] = (8, 16)  # widths of the text encoders
    projections: tuple[int, int] = (8, 12)
    t5: bool = True
    t5_sizes: dict[str, Any] = field(default_factory=dict)
    modes: tuple[str, ...] = tuple(PIPELINES)

    def write(self, folder: Path) -> None:
        """Saves a random pipeline of this kind."""
        transformer = diffusers.SD3Transformer2DModel(**TRANSFORMER | self.transformer)
        randomise(transformer, seed=31)
        vae = diffusers.AutoencoderKL(**VAE | self.vae)
        randomise(vae, seed=32)
        tokenizer = CLIPTokenizer.from_pretrained(VOCABULARY)
        pipeline = diffusers.StableDiffusion3Pipeline(
            transformer=transformer,
            vae=vae,
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**self.scheduler),
            text_encoder=clip(self.clip[0], self.projections[0], "quick_gelu"),
            tokenizer=tokenizer,
            text_encoder_2=clip(self.clip[1], self.projections[1], "gelu"),
            tokenizer_2=CLIPTokenizer.from_pretrained(VOCABULARY, pad_token="!"),
            text_encoder_3=self._t5(transformer.config.joint_attention_dim),
            tokenizer_3=t5_tokenizer(folder.parent / "t5_tokenizer") if self.t5 else None,
        )
        pipeline.save_pretrained(folder)

    def _t5(self, width: int) -> Any:
        return t5(width, **self.t5_sizes) if self.t5 else None


def clip(width: int, projection: int, hidden_act: str) -> Any:
    config = CLIPTextConfig(
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
        hidden_size=width,
        intermediate_size=16,
        num_attention_heads=2 if width < 64 else width // 64,
        num_hidden_layers=3,
        projection_dim=projection,
        vocab_size=1000,
        hidden_act=hidden_act,
    )
    model = CLIPTextModelWithProjection(config)
    randomise(model, seed=33 + width)
    return model


def t5(width: int, **sizes: Any) -> Any:
    config = {"d_kv": 8, "d_ff": 20, "num_layers": 2, "num_heads": 3} | sizes
    model = T5EncoderModel(
        T5Config(vocab_size=400, d_model=width, feed_forward_proj="gated-gelu", **config)
    )
    randomise(model, seed=34)
    return model


def t5_tokenizer(folder: Path) -> Any:
    """A tokenizer that is trained now, with 20 extra ids."""
    if not folder.exists():
        train(folder, normalization_rule_name="nmt_nfkc", vocab_size=220)
        config = {"tokenizer_class": "T5Tokenizer", "extra_ids": 20}
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return T5Tokenizer.from_pretrained(folder)


KINDS = {
    "sd3": Kind(),
    "sd3.5-medium": Kind(V35 | {"dual_attention_layers": [0, 1]}),
    "sd3.5-large": Kind(V35),
    "without t5": Kind(t5=False),
    "dynamic shift": Kind(
        scheduler={"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}
    ),
    "native inpaint": Kind({"in_channels": 2 * CELLS + 1}, modes=("inpaint",)),
}


class Sd3Pair(LatentPair):
    """One model, opened by diffusers in all its modes and by sdrbee."""

    def __init__(self, folder: Path, kind: Kind, device: str) -> None:
        kind.write(folder)
        absent = {} if kind.t5 else {"text_encoder_3": None, "tokenizer_3": None}
        super().__init__(folder, device, {mode: PIPELINES[mode] for mode in kind.modes}, **absent)
