"""Tiny random models of every variant of the UNet families, and their pipelines in diffusers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import PIL.Image
import torch
from parity.family_pair import LatentPair
from parity.pair import NEGATIVE_PROMPT, PROMPT, SEED, compare
from parity.pictures import HEIGHT, WIDTH, half_mask, source
from parity.reference import DIFFUSION, NOISE, VOCABULARY
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

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
    model = kind(config).eval()
    # As trained: states of mean 0 would give emphasis, which keeps the mean, nothing to keep.
    torch.nn.init.uniform_(getattr(model, "text_model", model).final_layer_norm.bias, 0.0, 0.2)
    return model


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


class VariantPair(LatentPair):
    """One variant, opened by diffusers in all its modes and by sdrbee."""

    def __init__(self, folder: Path, kind: Kind, device: str) -> None:
        kind.write(folder)
        # Stable Diffusion's pipelines warn about a missing safety checker otherwise.
        extra = {} if kind.pipelines is XL else {"safety_checker": None}
        super().__init__(folder, device, {m: kind.pipelines[m] for m in kind.modes}, **extra)


OpenVariant = Callable[[str], VariantPair]


def check(pair: VariantPair, mode: str, ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """Compares picture and latents; `ours` and `theirs` are what is asked of each side.

    Returns the largest difference of a pixel.
    """
    request: dict[str, Any] = {"seed": SEED, "width": WIDTH, "height": HEIGHT}
    arguments: dict[str, Any] = {}
    if mode != "text_to_image":
        request |= {"image": source()}
        arguments |= {"image": PIL.Image.fromarray(source())}
    if mode == "inpaint":
        request |= {"mask": half_mask(), "keep_unmasked": False}
        arguments |= {"mask_image": PIL.Image.fromarray(half_mask())}
    if mode != "image_to_image":
        arguments |= {"width": WIDTH, "height": HEIGHT}
    expected = pair.reference(mode, SEED, **arguments | theirs)
    made = [
        np.asarray(pair.model.generate(**{"prompt": PROMPT, "output": output} | request | ours))
        for output in ("float", "latent")
    ]
    difference = compare((made[0], made[1]), expected)
    assert difference.within_tolerance, difference
    return difference.pixels


def asked(pair: VariantPair, steps: int, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A request in our words and in those of diffusers; no `more` leaves the defaults."""
    ours: dict[str, Any] = {"steps": steps, **more}
    theirs: dict[str, Any] = {"prompt": PROMPT, "num_inference_steps": steps, **more}
    return ours, theirs


def with_negative(pair: VariantPair) -> dict[str, str]:
    """A consistency model has no negative prompt."""
    can = pair.model.info.capabilities.negative_prompt
    return {"negative_prompt": NEGATIVE_PROMPT} if can else {}


@contextmanager
def scheduler_of(sampler: str, *pipelines: Any) -> Iterator[dict[str, str]]:
    """Lets pipelines run another scheduler; gives the fields that ask us for the same."""
    own = [pipeline.scheduler for pipeline in pipelines]
    for pipeline in pipelines:
        config = pipeline.scheduler.config
        pipeline.scheduler = DIFFUSION[sampler].build(config, "normal", "epsilon", "leading")
    try:
        yield {"sampler": sampler, "spacing": "leading"}
    finally:
        for pipeline, scheduler in zip(pipelines, own, strict=True):
            pipeline.scheduler = scheduler
