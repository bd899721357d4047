"""ControlNets for the tiny flow models, as diffusers makes and stores them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import PIL.Image
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from golden.flux_names import original_state
from golden.make_networks import randomise
from parity.controls import using
from parity.family_pair import FamilyPair
from parity.flux_family import KINDS, FluxPair
from parity.flux_family import TRANSFORMER as FLUX_TRANSFORMER
from parity.pair import NEGATIVE_PROMPT, PROMPT, SEED, compare
from parity.pictures import HEIGHT, WIDTH, half_mask, source
from parity.sd3 import TRANSFORMER, V35, Kind, Sd3Pair
from safetensors.torch import save_file

STEPS = 4
LAYERS = 5  # of the transformers, so that a ControlNet's blocks stand for several of theirs

# By how the published networks differ; see their config.json.
SD3_NETS: dict[str, dict[str, Any]] = {
    "instantx": {},
    "as deep as the model": {"num_layers": LAYERS},
    "with norms and dual attention": V35 | {"dual_attention_layers": [0], "num_layers": 4},
    "with pooled text and shift": {"force_zeros_for_pooled_projection": False},
    "without positions": {"pos_embed_type": None},
    "stability": {
        "joint_attention_dim": None,
        "use_pos_embed": False,
        "pos_embed_type": None,
        "pos_embed_max_size": None,
        "caption_projection_dim": 2048,
        "force_zeros_for_pooled_projection": False,
    },
}
REPAINTS = {"extra_conditioning_channels": 1}


def sd3_pair(folder: Path, device: str) -> Sd3Pair:
    return Sd3Pair(folder, Kind({"num_layers": LAYERS}), device)


def sd3_controlnet(seed: int = 3, **options: Any) -> Any:
    """A random ControlNet beside the model of sd3_pair."""
    net = diffusers.SD3ControlNetModel(**TRANSFORMER | {"num_layers": 2} | options)
    randomise(net, seed)
    return net


def stability_file(net: Any, path: Path) -> Path:
    """A network without text in the naming of stable-diffusion-3.5-controlnets."""
    tensors = {name: value.contiguous() for name, value in net.state_dict().items()}
    for index in range(len(net.transformer_blocks)):
        block = f"transformer_blocks.{index}."
        for kind in ("weight", "bias"):
            parts = [tensors.pop(f"{block}attn.to_{part}.{kind}") for part in "qkv"]
            tensors[f"{block}attn.qkv.{kind}"] = torch.cat(parts)
            for new, old in {
                "attn.to_out.0": "attn.proj",
                "ff.net.0.proj": "mlp.fc1",
                "ff.net.2": "mlp.fc2",
                "norm1.linear": "adaLN_modulation.1",
            }.items():
                tensors[f"{block}{old}.{kind}"] = tensors.pop(f"{block}{new}.{kind}")
    save_file(tensors, path)
    return path


@contextmanager
def means_instead_of_draws() -> Iterator[None]:
    """SD3's pipelines draw the control latents from torch's global generator; we take the mean."""
    drawn = DiagonalGaussianDistribution.sample

    def sample(self: Any, generator: Any = None) -> torch.Tensor:
        return self.mode() if generator is None else drawn(self, generator)

    DiagonalGaussianDistribution.sample = sample
    try:
        yield
    finally:
        DiagonalGaussianDistribution.sample = drawn


def sd3_arguments(mode: str, controls: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What diffusers' pipeline of a mode is given."""
    one = len(controls) == 1
    shown = [PIL.Image.fromarray(np.asarray(control["image"])) for control in controls]
    scales = [control.get("strength", 1.0) for control in controls]
    return {
        "control_image": shown[0] if one else shown,
        "controlnet_conditioning_scale": scales[0] if one else scales,
        "control_guidance_start": [control.get("start", 0.0) for control in controls],
        "control_guidance_end": [control.get("end", 1.0) for control in controls],
    }


def sd3_controlled(pair: FamilyPair, nets: Any) -> Any:
    """diffusers' pipeline with ControlNets, which makes pictures from a text alone."""
    pipeline = diffusers.StableDiffusion3ControlNetPipeline.from_pipe(
        pair.pipelines["text_to_image"], controlnet=nets
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@dataclass
class Acting:
    """A ControlNet that acts inside a transformer of diffusers."""

    net: Any
    shown: torch.Tensor
    strength: float
    start: float = 0.0
    end: float = 1.0

    def residuals(self, step: float, share: float, **inputs: Any) -> list[torch.Tensor]:
        rows = inputs["hidden_states"].shape[0]
        acts = step >= self.start and step + share <= self.end
        text = inputs["encoder_hidden_states"]
        config = self.net.config
        pooled = inputs["pooled_projections"]
        if config.force_zeros_for_pooled_projection or config.extra_conditioning_channels:
            pooled = torch.zeros_like(pooled)
        samples: list[torch.Tensor] = self.net(
            hidden_states=inputs["hidden_states"],
            timestep=inputs["timestep"],
            encoder_hidden_states=None if config.joint_attention_dim is None else text,
            pooled_projections=pooled,
            controlnet_cond=self.shown.expand(rows, -1, -1, -1),
            conditioning_scale=self.strength * acts,
            return_dict=False,
        )[0]
        return samples


@contextmanager
def acting_in(transformer: Any, nets: Sequence[Acting], steps: int) -> Iterator[None]:
    """For the modes for which diffusers has no pipeline with ControlNets."""
    plain: Callable[..., Any] = transformer.forward
    calls = 0

    def forward(**inputs: Any) -> Any:
        nonlocal calls
        samples = [net.residuals(calls / steps, 1 / steps, **inputs) for net in nets]
        calls += 1
        summed = [sum(parts[1:], parts[0]) for parts in zip(*samples, strict=True)]
        return plain(**inputs, block_controlnet_hidden_states=summed)

    transformer.forward = forward
    try:
        yield
    finally:
        del transformer.forward


def shown_latents(pair: FamilyPair, picture: Any, *, shift: bool) -> torch.Tensor:
    """The mean of the latents of a control image."""
    pipeline = pair.pipelines["text_to_image"]
    pixels = pipeline.image_processor.preprocess(
        PIL.Image.fromarray(picture), height=HEIGHT, width=WIDTH
    )
    latents = pipeline.vae.encode(pixels.to(pipeline.vae.device)).latent_dist.mode()
    vae = pipeline.vae.config
    shifted: torch.Tensor = (latents - (vae.shift_factor if shift else 0)) * vae.scaling_factor
    return shifted


GUIDED = {"guidance_scale": 4.3, "negative_prompt": NEGATIVE_PROMPT}


def check_sd3(
    pair: Sd3Pair, mode: str, controls: list[dict[str, Any]], pipeline: Any, **more: Any
) -> float:
    """Compares picture and latents; `more` goes to diffusers alone.

    Returns the largest difference of a pixel.
    """
    size = {"width": WIDTH, "height": HEIGHT}
    shared: dict[str, Any] = {"prompt": PROMPT, "max_sequence_length": 20, **GUIDED, **size}
    request: dict[str, Any] = {"seed": SEED, "steps": STEPS, "controls": controls, **shared}
    arguments: dict[str, Any] = {"num_inference_steps": STEPS, **shared, **more}
    if mode != "text_to_image":
        request |= {"image": source(), "strength": 0.75}
        arguments |= {"image": PIL.Image.fromarray(source()), "strength": 0.75}
    if mode == "inpaint":
        request |= {"mask": half_mask(), "keep_unmasked": False}
        arguments |= {"mask_image": PIL.Image.fromarray(half_mask())}
    with torch.no_grad(), means_instead_of_draws():
        latents = pipeline(
            **arguments,
            generator=torch.Generator("cpu").manual_seed(SEED),
            output_type="latent",
            return_dict=False,
        )[0]
    expected = pair.decode(latents), latents[0].numpy()
    made = [
        np.asarray(pair.model.generate(**request, output=output)) for output in ("float", "latent")
    ]
    difference = compare((made[0], made[1]), expected)
    assert difference.within_tolerance, difference
    return difference.pixels


FLUX_SIZE = (48, 32)
FLUX_LAYERS = {"num_layers": LAYERS, "num_single_layers": 4}
FLUX_PIPELINES = {
    "text_to_image": "FluxControlNetPipeline",
    "image_to_image": "FluxControlNetImg2ImgPipeline",
    "inpaint": "FluxControlNetInpaintPipeline",
}
XLABS = {
    "conditioning_embedding_channels": FLUX_TRANSFORMER["in_channels"] // 4,
    "patch_size": 2,
    "num_single_layers": 0,
}
FLUX_NETS: dict[str, dict[str, Any]] = {
    "instantx": {},
    "without single blocks": {"num_single_layers": 0},
    "as deep as the model": FLUX_LAYERS,
    "without guidance": {"guidance_embeds": False},
    "xlabs": XLABS,
}
UNION = {"num_mode": 10}


def flux_pair(folder: Path, kind: str, device: str) -> FluxPair:
    plain = KINDS[kind]
    return FluxPair(folder, replace(plain, transformer=plain.transformer | FLUX_LAYERS), device)


def flux_controlnet(seed: int = 3, **options: Any) -> Any:
    """A random ControlNet beside the model of flux_pair."""
    own = {"num_layers": 2, "num_single_layers": 3}
    net = diffusers.FluxControlNetModel(**FLUX_TRANSFORMER | own | options)
    randomise(net, seed)
    return net


def xlabs_file(net: Any, path: Path) -> Path:
    """A network in the naming of https://github.com/XLabs-AI/x-flux."""
    trunk, tensors = {}, {}
    for name, value in net.state_dict().items():
        layer, _, kind = name.rpartition(".")
        if layer.startswith("input_hint_block."):
            place = layer.removeprefix("input_hint_block.")
            last = 2 * (len(net.input_hint_block.blocks) + 1)
            index = {"conv_in": 0, "conv_out": last}.get(place)
            if index is None:
                index = 2 * (int(place.removeprefix("blocks.")) + 1)
            tensors[f"input_hint_block.{index}.{kind}"] = value.contiguous()
        elif layer == "controlnet_x_embedder":
            tensors[f"pos_embed_input.{kind}"] = value.contiguous()
        elif layer.startswith("controlnet_blocks."):
            tensors[name] = value.contiguous()
        else:
            trunk[name] = value
    save_file(tensors | original_state(trunk), path)
    return path


def flux_controlled(pair: FluxPair, mode: str, nets: Any) -> Any:
    """diffusers' pipeline with ControlNets."""
    pipeline = getattr(diffusers, FLUX_PIPELINES[mode]).from_pipe(
        pair.pipelines[mode], controlnet=nets
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def check_flux(
    pair: FluxPair, mode: str, nets: Any, controls: list[dict[str, Any]], **more: Any
) -> float:
    """Compares picture and latents; `more` goes to both, "theirs" in it to diffusers alone.

    Returns the largest difference of a pixel.
    """
    width, height = FLUX_SIZE
    theirs: dict[str, Any] = more.pop("theirs", {}) | sd3_arguments(mode, controls)
    ours: dict[str, Any] = more.pop("ours", {})
    if pair.kind.transformer.get("guidance_embeds", True):
        more.setdefault("guidance_scale", 3.0)
    request: dict[str, Any] = {"prompt": PROMPT, "seed": SEED, "steps": STEPS, "controls": controls}
    request |= {"width": width, "height": height} | more | ours
    arguments: dict[str, Any] = {"prompt": PROMPT, "num_inference_steps": STEPS} | more | theirs
    if mode != "text_to_image":
        request |= {"image": source(*FLUX_SIZE), "strength": 0.75}
        arguments |= {"image": PIL.Image.fromarray(source(*FLUX_SIZE)), "strength": 0.75}
    if mode == "inpaint":
        request |= {"mask": half_mask(*FLUX_SIZE), "keep_unmasked": False}
        arguments |= {"mask_image": PIL.Image.fromarray(half_mask(*FLUX_SIZE))}
    with using(pair, mode, flux_controlled(pair, mode, nets)):
        expected = pair.reference(mode, SEED, FLUX_SIZE, **arguments)
    made = [
        np.asarray(pair.model.generate(**request, output=output)) for output in ("float", "latent")
    ]
    difference = compare((made[0], made[1]), expected)
    assert difference.within_tolerance, difference
    return difference.pixels
