"""The diffusers side of the parity tests: tiny pipelines and the schedulers behind our names."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import numpy.typing as npt
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

diffusers.utils.logging.set_verbosity_error()
diffusers.utils.logging.disable_progress_bar()

VOCABULARY = Path(__file__).parents[2] / "cpp" / "golden" / "clip_tokenizer"

# The tiny models of diffusers' own pipeline tests (tests/pipelines/stable_diffusion).
_UNET = {
    "block_out_channels": (4, 8),
    "layers_per_block": 1,
    "sample_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 8,
    "norm_num_groups": 2,
}
_SD2_UNET = {
    **_UNET,
    "block_out_channels": (8, 16),
    "layers_per_block": 2,
    "attention_head_dim": (2, 4),
    "use_linear_projection": True,
}
_VAE = {
    "block_out_channels": [4, 8],
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"],
    "latent_channels": 4,
    "norm_num_groups": 2,
}
_TEXT = {
    "bos_token_id": 0,
    "eos_token_id": 2,
    "hidden_size": 8,
    "intermediate_size": 16,
    "layer_norm_eps": 1e-05,
    "num_attention_heads": 2,
    "num_hidden_layers": 3,
    "pad_token_id": 1,
    "vocab_size": 1000,
}
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}

Pixels = npt.NDArray[np.float32]


def write_pipeline(folder: Path, kind: str) -> None:
    """Writes a tiny random pipeline: `kind` is "sd1" or "sd2"."""
    unet = _UNET if kind == "sd1" else _SD2_UNET
    text = _TEXT if kind == "sd1" else {**_TEXT, "hidden_act": "gelu"}
    torch.manual_seed(0)
    pipeline = StableDiffusionPipeline(
        unet=UNet2DConditionModel(**unet),
        vae=AutoencoderKL(**_VAE),
        text_encoder=CLIPTextModel(CLIPTextConfig(**text)).eval(),
        tokenizer=CLIPTokenizer.from_pretrained(VOCABULARY),
        scheduler=DDIMScheduler(**NOISE, clip_sample=False, set_alpha_to_one=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)


@dataclass(frozen=True)
class Sampler:
    """What diffusers has behind one of our sampler names."""

    scheduler: str
    schedules: tuple[str, ...] = ("normal", "karras", "exponential", "beta")
    predictions: tuple[str, ...] = ("epsilon", "v_prediction", "sample")
    spacings: tuple[str | None, ...] = ("leading", "linspace", "trailing")
    options: dict[str, Any] = field(default_factory=dict)

    def build(self, config: Any, schedule: str, prediction: str, spacing: str | None) -> Any:
        """The scheduler as a user of diffusers would make it from a pipeline's own."""
        options: dict[str, Any] = dict(self.options)
        if schedule != "normal":
            options[f"use_{schedule}_sigmas"] = True
        if spacing is not None:
            options["timestep_spacing"] = spacing
        if prediction == "flow_prediction" and not self.scheduler.startswith("FlowMatch"):
            options["use_flow_sigmas"] = True
        if not self.scheduler.startswith("FlowMatch"):
            options["prediction_type"] = prediction
        scheduler = getattr(diffusers, self.scheduler).from_config(config, **options)
        if self.scheduler.startswith("FlowMatch"):
            # Flow pipelines do without these two; Stable Diffusion's asks for them.
            scheduler.init_noise_sigma = 1.0
            scheduler.add_noise = lambda x, noise, t: scheduler.scale_noise(x, t, noise)
        return scheduler


_SDE = {"algorithm_type": "sde-dpmsolver++"}
_E_V = ("epsilon", "v_prediction")

# dpmpp_sde is missing because diffusers draws its noise with torchsde, which can't repeat a step.
DIFFUSION = {
    "euler": Sampler("EulerDiscreteScheduler"),
    "euler_ancestral": Sampler(
        "EulerAncestralDiscreteScheduler", schedules=("normal",), predictions=_E_V
    ),
    "heun": Sampler("HeunDiscreteScheduler", predictions=_E_V),
    "dpm2": Sampler("KDPM2DiscreteScheduler", predictions=_E_V),
    "dpm2_ancestral": Sampler("KDPM2AncestralDiscreteScheduler", predictions=_E_V),
    "dpmpp_2m": Sampler("DPMSolverMultistepScheduler"),
    "dpmpp_2m_sde": Sampler("DPMSolverMultistepScheduler", options=_SDE),
    "lms": Sampler("LMSDiscreteScheduler"),
    "ddim": Sampler("DDIMScheduler", schedules=("normal",)),
    "ddpm": Sampler("DDPMScheduler", schedules=("normal",)),
    "pndm": Sampler(
        "PNDMScheduler",
        schedules=("normal",),
        predictions=_E_V,
        options={"skip_prk_steps": True},
    ),
    "unipc": Sampler("UniPCMultistepScheduler"),
    "deis": Sampler("DEISMultistepScheduler"),
    "sa_solver": Sampler("SASolverScheduler"),
    "lcm": Sampler("LCMScheduler", schedules=("normal",), spacings=(None,)),
    "tcd": Sampler("TCDScheduler", schedules=("normal",), spacings=(None,)),
}


def _flow(scheduler: str, *schedules: str, **options: Any) -> Sampler:
    return Sampler(scheduler, schedules or ("normal",), ("flow_prediction",), (None,), options)


_ALL = ("normal", "karras", "exponential", "beta")
FLOW = {
    "euler": _flow("FlowMatchEulerDiscreteScheduler", *_ALL),
    "heun": _flow("FlowMatchHeunDiscreteScheduler"),
    "lcm": _flow("FlowMatchLCMScheduler", *_ALL),
    "dpmpp_2m": _flow("DPMSolverMultistepScheduler"),
    "dpmpp_2m_sde": _flow("DPMSolverMultistepScheduler", **_SDE),
    "unipc": _flow("UniPCMultistepScheduler"),
    "deis": _flow("DEISMultistepScheduler"),
    "sa_solver": _flow("SASolverScheduler"),
}


@dataclass(frozen=True)
class Case:
    """One point of the sampler grid."""

    sampler: str
    schedule: str
    prediction: str
    spacing: str | None
    guidance_scale: float
    steps: int

    @property
    def reference(self) -> Sampler:
        return (FLOW if self.prediction == "flow_prediction" else DIFFUSION)[self.sampler]

    def scheduler(self, config: Any) -> Any:
        return self.reference.build(config, self.schedule, self.prediction, self.spacing)

    def fields(self) -> dict[str, Any]:
        """The choices as fields of our request."""
        chosen = {
            "sampler": self.sampler,
            "schedule": self.schedule,
            "prediction": self.prediction,
            "guidance_scale": self.guidance_scale,
            "steps": self.steps,
        }
        return chosen if self.spacing is None else {**chosen, "spacing": self.spacing}


def grid() -> dict[tuple[str, str, str], list[Case]]:
    """All cases that diffusers has, by sampler, schedule and prediction."""
    cases: dict[tuple[str, str, str], list[Case]] = {}
    for name, sampler in _rows():
        for schedule in sampler.schedules:
            for prediction in sampler.predictions:
                cases[name, schedule, prediction] = [
                    Case(name, schedule, prediction, spacing, guidance, count)
                    for spacing in sampler.spacings
                    for guidance in (1.0, 6.0)
                    for count in (2, 5, 20)
                ]
    return cases


def quick(key: tuple[str, str, str], cases: list[Case]) -> list[Case]:
    """Leaves most of the long runs out: with 20 steps one case a key, in turns over spacings."""
    long = [case for case in cases if case.steps == 20]
    chosen = long[sum(map(len, key)) % len(long)]
    return [case for case in cases if case.steps < 20 or case == chosen]


def _rows() -> Iterator[tuple[str, Sampler]]:
    yield from DIFFUSION.items()
    yield from FLOW.items()


class Reference:
    """A pipeline of diffusers in its three modes, with prompts encoded once."""

    def __init__(self, folder: Path, prompt: str, negative_prompt: str, seed: int) -> None:
        self.text_to_image = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
        self.image_to_image = StableDiffusionImg2ImgPipeline(**self.text_to_image.components)
        self.inpaint = StableDiffusionInpaintPipeline(**self.text_to_image.components)
        for pipeline in (self.text_to_image, self.image_to_image, self.inpaint):
            pipeline.set_progress_bar_config(disable=True)
        self.config = self.text_to_image.scheduler.config
        # Not to be made again from `config`: that forgets what the pipeline put right in it.
        self.scheduler = copy.deepcopy(self.text_to_image.scheduler)
        self.seed = seed
        with torch.no_grad():
            positive, negative = self.text_to_image.encode_prompt(
                prompt, "cpu", 1, True, negative_prompt
            )
        self._prompts = {"prompt_embeds": positive, "negative_prompt_embeds": negative}

    def run(self, mode: str, scheduler: Any, **arguments: Any) -> tuple[Pixels, Pixels]:
        """The picture [H, W, 3] in 0..1 and the final latents [C, h, w]."""
        pipeline = getattr(self, mode)
        pipeline.scheduler = scheduler
        prompts = self._prompts
        if arguments.get("guidance_scale", 7.5) <= 1:
            prompts = {"prompt_embeds": prompts["prompt_embeds"]}
        latents = pipeline(
            **prompts,
            **arguments,
            generator=torch.Generator("cpu").manual_seed(self.seed),
            output_type="latent",
            return_dict=False,
        )[0]
        return self.decode(latents), latents[0].numpy()

    def decode(self, latents: torch.Tensor) -> Pixels:
        return decoded(self.text_to_image, latents)


def decoded(pipeline: Any, latents: torch.Tensor) -> Pixels:
    """A pipeline's picture [H, W, 3] in 0..1 of latents [1, C, h, w]."""
    config = pipeline.vae.config
    with torch.no_grad():
        scaled = latents / config.scaling_factor + (config.shift_factor or 0)
        picture = pipeline.vae.decode(scaled, return_dict=False)[0]
    pixels: Pixels = pipeline.image_processor.postprocess(picture, output_type="np")
    return pixels[0]
