"""Tiny random models of every variant of the UNet families, and their pipelines in diffusers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch
from parity.reference import NOISE, VOCABULARY, Pixels
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

import sdrbee

MODES = ("text_to_image", "image_to_image", "inpaint")
STABLE_DIFFUSION = {
    "text_to_image": "StableDiffusionPipeline",
    "image_to_image": "StableDiffusionImg2ImgPipeline",
    "inpaint": "StableDiffusionInpaintPipeline",
}
CONSISTENCY = STABLE_DIFFUSION | {
    "text_to_image": "LatentConsistencyModelPipeline",
    "image_to_image": "LatentConsistencyModelImg2ImgPipeline",
}
XL = {
    "text_to_image": "StableDiffusionXLPipeline",
    "image_to_image": "StableDiffusionXLImg2ImgPipeline",
    "inpaint": "StableDiffusionXLInpaintPipeline",
}

_BLOCKS = {
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "sample_size": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (8, 16),
    "attention_head_dim": (2, 4),
}
_VAE = {
    "block_out_channels": [4, 8],
    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"],
    "latent_channels": 4,
    "norm_num_groups": 2,
}
_LEADING = NOISE | {"steps_offset": 1, "timestep_spacing": "leading"}
_TRAILING = NOISE | {"timestep_spacing": "trailing"}
_EULER = ("EulerDiscreteScheduler", _LEADING)
_PNDM = ("PNDMScheduler", NOISE | {"skip_prk_steps": True, "steps_offset": 1})
_DDIM = ("DDIMScheduler", NOISE | {"clip_sample": False, "steps_offset": 1})
_LCM = ("LCMScheduler", NOISE)


@dataclass(frozen=True)
class Kind:
    """One variant: what differs from the others of its family."""

    pipelines: dict[str, str]
    scheduler: tuple[str, dict[str, Any]]
    width: int  # channels of the (first) text encoder
    modes: tuple[str, ...] = MODES
    unet: dict[str, Any] = field(default_factory=dict)
    flags: dict[str, Any] = field(default_factory=dict)
    hidden_act: str = "quick_gelu"

    @property
    def has_two_encoders(self) -> bool:
        return self.pipelines is XL and self.width > 0

    def write(self, folder: Path) -> None:
        """Saves a random pipeline of this kind."""
        torch.manual_seed(0)
        name, options = self.scheduler
        parts: dict[str, Any] = {
            "vae": diffusers.AutoencoderKL(**_VAE),
            "scheduler": getattr(diffusers, name)(**options),
        }
        parts |= self._xl_parts() if self.pipelines is XL else self._one_encoder()
        pipeline = getattr(diffusers, self.pipelines[self.modes[0]])
        pipeline(**parts, **self.flags).save_pretrained(folder)

    def _one_encoder(self) -> dict[str, Any]:
        unet = _BLOCKS | {"cross_attention_dim": self.width} | self.unet
        return {
            "unet": diffusers.UNet2DConditionModel(**unet),
            "text_encoder": _text_model(CLIPTextModel, self.width, self.hidden_act),
            "tokenizer": CLIPTokenizer.from_pretrained(VOCABULARY),
            "safety_checker": None,
            "feature_extractor": None,
            "requires_safety_checker": False,
        }

    def _xl_parts(self) -> dict[str, Any]:
        ids = 5 if self.flags.get("requires_aesthetics_score") else 6
        unet = _BLOCKS | {
            "cross_attention_dim": self.width + 16,
            "use_linear_projection": True,
            "transformer_layers_per_block": (1, 2),
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 8 * ids + 12,
        }
        first = _text_model(CLIPTextModel, self.width, "quick_gelu") if self.width else None
        tokenizer = CLIPTokenizer.from_pretrained(VOCABULARY)
        padded = CLIPTokenizer.from_pretrained(VOCABULARY, pad_token="!")
        return {
            "unet": diffusers.UNet2DConditionModel(**unet | self.unet),
            "text_encoder": first,
            "tokenizer": tokenizer if self.width else None,
            "text_encoder_2": _text_model(CLIPTextModelWithProjection, 16, "gelu"),
            "tokenizer_2": padded,
        }


def _text_model(kind: Any, width: int, hidden_act: str) -> Any:
    config = CLIPTextConfig(
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
        hidden_size=width,
        intermediate_size=16,
        num_attention_heads=2,
        num_hidden_layers=3,
        projection_dim=12,
        vocab_size=1000,
        hidden_act=hidden_act,
    )
    return kind(config).eval()


_INPAINT_ONLY = {"modes": ("inpaint",), "unet": {"in_channels": 9}}
_V2 = {"width": 1024, "hidden_act": "gelu"}
_LINEAR = {"use_linear_projection": True}
KINDS = {
    "v1-5": Kind(STABLE_DIFFUSION, _PNDM, 768),
    "v1-5-inpaint": Kind(STABLE_DIFFUSION, _PNDM, 768, **_INPAINT_ONLY),
    "v1-5-lcm": Kind(CONSISTENCY, _LCM, 768, unet={"time_cond_proj_dim": 16}),
    "v2-1-base": Kind(STABLE_DIFFUSION, _PNDM, unet=_LINEAR, **_V2),
    "v2-1": Kind(
        STABLE_DIFFUSION,
        (_DDIM[0], _DDIM[1] | {"prediction_type": "v_prediction"}),
        unet=_LINEAR,
        **_V2,
    ),
    "v2-inpaint": Kind(
        STABLE_DIFFUSION, _PNDM, modes=("inpaint",), unet=_LINEAR | {"in_channels": 9}, **_V2
    ),
    "sd-turbo": Kind(STABLE_DIFFUSION, (_EULER[0], _TRAILING), unet=_LINEAR, **_V2),
    "xl": Kind(XL, _EULER, 8),
    "turbo": Kind(XL, ("EulerAncestralDiscreteScheduler", _TRAILING), 8),
    "xl-lightning": Kind(XL, (_EULER[0], _TRAILING), 8),
    "xl-inpaint": Kind(XL, _EULER, 8, **_INPAINT_ONLY),
    "xl-lcm": Kind(XL, _LCM, 8, unet={"time_cond_proj_dim": 16}),
    "xl-refiner": Kind(
        XL,
        _EULER,
        0,
        modes=("image_to_image", "inpaint"),
        flags={"requires_aesthetics_score": True, "force_zeros_for_empty_prompt": False},
    ),
}


class VariantPair:
    """One variant, opened by diffusers in all its modes and by sdrbee."""

    def __init__(self, folder: Path, kind: Kind, device: str) -> None:
        self.kind = kind
        self.folder = folder
        kind.write(folder)
        self.model = sdrbee.load(folder, device=device, dtype="float32")
        # Stable Diffusion's pipelines warn about a missing safety checker otherwise.
        extra = {} if kind.pipelines is XL else {"safety_checker": None}
        self.pipelines = {
            mode: getattr(diffusers, kind.pipelines[mode]).from_pretrained(folder, **extra)
            for mode in kind.modes
        }
        for pipeline in self.pipelines.values():
            pipeline.set_progress_bar_config(disable=True)

    def reference(self, mode: str, seed: int, **arguments: Any) -> tuple[Pixels, Pixels]:
        """diffusers' picture [H, W, 3] in 0..1 and final latents [C, h, w]."""
        pipeline = self.pipelines[mode]
        latents = pipeline(
            **arguments,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="latent",
            return_dict=False,
        )[0]
        return self.decode(latents), latents[0].numpy()

    def decode(self, latents: torch.Tensor) -> Pixels:
        """diffusers' picture [H, W, 3] in 0..1 of latents [1, C, h, w]."""
        pipeline = next(iter(self.pipelines.values()))
        with torch.no_grad():
            scaled = latents / pipeline.vae.config.scaling_factor
            picture = pipeline.vae.decode(scaled, return_dict=False)[0]
        pixels: Pixels = pipeline.image_processor.postprocess(picture, output_type="np")
        return pixels[0]
