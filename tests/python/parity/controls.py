"""ControlNets for the tiny models, as diffusers makes and stores them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import numpy.typing as npt
import PIL.Image
import torch
from golden.make_single_file import original_unet_name
from parity.family_pair import FamilyPair
from parity.pair import NEGATIVE_PROMPT, PROMPT
from parity.pictures import HEIGHT, WIDTH
from parity.unet_families import VariantPair, check
from safetensors.torch import save_file

import sdrbee

STEPS = 4
# The tiny autoencoders halve a picture once.
IMAGE_WIDTHS = (8, 16)

PIPELINES = {
    "v": {
        "text_to_image": "StableDiffusionControlNetPipeline",
        "image_to_image": "StableDiffusionControlNetImg2ImgPipeline",
        "inpaint": "StableDiffusionControlNetInpaintPipeline",
    },
    "xl": {
        "text_to_image": "StableDiffusionXLControlNetPipeline",
        "image_to_image": "StableDiffusionXLControlNetImg2ImgPipeline",
        "inpaint": "StableDiffusionXLControlNetInpaintPipeline",
    },
}


def pipelines_of(kind: str) -> dict[str, str]:
    """diffusers' classes for a variant with ControlNets, by mode."""
    return PIPELINES["xl" if kind.startswith("xl") else "v"]


def edges(seed: int = 5, width: int = WIDTH, height: int = HEIGHT) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def randomise(net: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Fresh weights for the convolutions that begin as zeros, so that they have an effect."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if not parameter.abs().sum():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
            elif name.startswith("controlnet_cond"):
                parameter.mul_(3)
    return net.eval()


def controlnet(pair: VariantPair, seed: int = 3, **options: Any) -> Any:
    """A random ControlNet beside the pair's UNet; `options` replace parts of its configuration."""
    torch.manual_seed(seed)
    unet = next(iter(pair.pipelines.values())).unet
    base = diffusers.ControlNetModel.from_unet(
        unet, conditioning_embedding_out_channels=IMAGE_WIDTHS, load_weights_from_unet=False
    )
    config = dict(base.config) | {"in_channels": unet.config.out_channels} | options
    return randomise(diffusers.ControlNetModel.from_config(config), seed)


def union(pair: VariantPair, seed: int = 3) -> Any:
    """A random ControlNet of six types beside the pair's XL UNet."""
    torch.manual_seed(seed)
    unet = pair.pipelines["text_to_image"].unet
    config = {
        name: unet.config[name]
        for name in (
            "in_channels",
            "down_block_types",
            "block_out_channels",
            "layers_per_block",
            "norm_num_groups",
            "cross_attention_dim",
            "transformer_layers_per_block",
            "attention_head_dim",
            "use_linear_projection",
            "addition_embed_type",
            "addition_time_embed_dim",
            "projection_class_embeddings_input_dim",
        )
    }
    width = unet.config.block_out_channels[0]
    net = diffusers.ControlNetUnionModel(
        **config,
        conditioning_embedding_out_channels=IMAGE_WIDTHS,
        num_control_type=6,
        num_trans_channel=width,
        num_trans_head=2,
        num_trans_layer=1,
        num_proj_channel=width,
    )
    return randomise(net, seed)


def saved(net: Any, folder: Path) -> Path:
    net.save_pretrained(folder)
    return folder


def single_file(net: Any, path: Path, prefix: str = "") -> Path:
    """A file in the naming of diffusers."""
    tensors = {prefix + name: value.contiguous() for name, value in net.state_dict().items()}
    save_file(tensors, path)
    return path


def original_file(net: Any, path: Path, prefix: str = "control_model.") -> Path:
    """A file in the naming of https://github.com/lllyasviel/ControlNet."""
    layers = net.config.layers_per_block
    attention = [kind.startswith("CrossAttn") for kind in net.config.down_block_types]
    tensors = {}
    for name, value in net.state_dict().items():
        tensors[prefix + _original_name(name, layers, attention)] = value.contiguous()
    save_file(tensors, path)
    return path


def _original_name(name: str, layers: int, attention: list[bool]) -> str:
    part, _, rest = name.partition(".")
    if part == "controlnet_cond_embedding":
        place, _, rest = rest.partition(".")
        if place == "blocks":
            index, _, rest = rest.partition(".")
            return f"input_hint_block.{2 * int(index) + 2}.{rest}"
        return f"input_hint_block.{0 if place == 'conv_in' else 14}.{rest}"
    if part == "controlnet_down_blocks":
        index, _, rest = rest.partition(".")
        return f"zero_convs.{index}.0.{rest}"
    if part == "controlnet_mid_block":
        return f"middle_block_out.0.{rest}"
    return str(original_unet_name(name, layers, attention))


def theirs_with(
    pair: VariantPair, kind: str, mode: str, nets: Any, images: Any, **more: Any
) -> tuple[Any, dict[str, Any]]:
    """diffusers' pipeline with ControlNets, and its arguments for their pictures."""
    pipeline = getattr(diffusers, pipelines_of(kind)[mode]).from_pipe(
        pair.pipelines[mode], controlnet=nets
    )
    pipeline.set_progress_bar_config(disable=True)
    several = isinstance(images, list)
    pictures = [PIL.Image.fromarray(one) for one in (images if several else [images])]
    shown = pictures if several else pictures[0]
    field = "image" if mode == "text_to_image" else "control_image"
    return pipeline, {field: shown, **more}


@contextmanager
def using(pair: VariantPair | FamilyPair, mode: str, pipeline: Any) -> Iterator[None]:
    """Lets another pipeline of diffusers make the pictures to compare with."""
    own = pair.pipelines[mode]
    pair.pipelines[mode] = pipeline
    try:
        yield
    finally:
        pair.pipelines[mode] = own


def compare_controlled(
    pair: VariantPair,
    kind: str,
    mode: str,
    nets: Any,
    controls: list[dict[str, Any]],
    **more: Any,
) -> float:
    """Both sides with the same ControlNets; `more` goes to both."""
    images = [np.asarray(control["image"]) for control in controls]
    one = len(controls) == 1
    scales = [control.get("strength", 1.0) for control in controls]
    theirs: dict[str, Any] = {
        "controlnet_conditioning_scale": scales[0] if one else scales,
        "control_guidance_start": [control.get("start", 0.0) for control in controls],
        "control_guidance_end": [control.get("end", 1.0) for control in controls],
        "guess_mode": any(
            control.get("guess_mode", False) or control.get("mode") == "control"
            for control in controls
        ),
    }
    given: dict[str, Any] = {"guidance_scale": 4.3, "negative_prompt": NEGATIVE_PROMPT}
    if mode != "text_to_image":
        given["strength"] = 0.75
    given |= more
    pipeline, shown = theirs_with(pair, kind, mode, nets, images[0] if one else images)
    with using(pair, mode, pipeline):
        return check(
            pair,
            mode,
            {"steps": STEPS, "controls": controls, **given},
            {"prompt": PROMPT, "num_inference_steps": STEPS, **theirs, **shown, **given},
        )


def check_shared_steps(model: sdrbee.Model, requests: list[sdrbee.GenerationRequest]) -> None:
    """Pictures together are those alone, and the second goes on from a file with the same bits."""
    for one, made in zip(requests, model.generate_batch(requests), strict=True):
        np.testing.assert_allclose(model.generate_batch([one])[0], made, atol=1e-4)
    halfway = model.begin(requests[1])
    model.advance(halfway)
    resumed = model.restore(model.save(halfway))
    while not resumed.done:
        model.advance(resumed)
    assert np.array_equal(model.finish(resumed), model.generate_batch([requests[1]])[0])
