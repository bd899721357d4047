"""T2I-Adapters for tiny models with three resolutions, as diffusers makes and stores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import PIL.Image
import torch
from parity.controls import STEPS, using
from parity.pair import NEGATIVE_PROMPT, PROMPT
from parity.unet_families import KINDS, VariantPair, check
from safetensors.torch import save_file

_THREE: dict[str, Any] = {
    "block_out_channels": (8, 16, 16),
    "attention_head_dim": (2, 4, 4),
}
# The places of attention are those of the published models.
ADAPTED = {
    "v1-5": replace(
        KINDS["v1-5"],
        modes=("text_to_image",),
        unet=_THREE
        | {
            "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        },
    ),
    "xl": replace(
        KINDS["xl"],
        modes=("text_to_image",),
        unet=_THREE
        | {
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": (1, 1, 2),
        },
    ),
}
# The tiny autoencoders halve a picture once.
TYPES: dict[str, dict[str, Any]] = {
    "full_adapter": {"channels": [8, 16, 16], "downscale_factor": 2},
    "light_adapter": {"channels": [8, 16], "downscale_factor": 2, "num_res_blocks": 3},
    "full_adapter_xl": {"channels": [8, 16, 16, 16], "downscale_factor": 4},
}
PIPELINES = {
    "v1-5": "StableDiffusionAdapterPipeline",
    "xl": "StableDiffusionXLAdapterPipeline",
}


def adapter(adapter_type: str, seed: int = 3, **options: Any) -> Any:
    """A random T2I-Adapter."""
    torch.manual_seed(seed)
    net = diffusers.T2IAdapter(adapter_type=adapter_type, **TYPES[adapter_type] | options)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(3)
    return net.eval()


def original_file(net: Any, path: Path) -> Path:
    """A file in the naming of https://github.com/TencentARC/T2I-Adapter."""
    tensors = {}
    for name, value in net.state_dict().items():
        name = name.removeprefix("adapter.")
        if name.startswith("body.") and net.config.adapter_type == "light_adapter":
            name = name.replace(".resnets.", ".body.")
        elif name.startswith("body."):
            _, feature, part, rest = name.split(".", 3)
            index = int(feature) * net.config.num_res_blocks
            if part == "resnets":
                number, _, rest = rest.partition(".")
                name = f"body.{index + int(number)}.{rest}"
            else:
                name = f"body.{index}.{part}.{rest}"
        tensors[name] = value.contiguous()
    save_file(tensors, path)
    return path


def compare_adapted(
    pair: VariantPair,
    kind: str,
    nets: Sequence[Any],
    controls: list[dict[str, Any]],
    **theirs: Any,
) -> float:
    """Both sides with the same T2I-Adapters; returns the largest difference of a pixel."""
    one = len(nets) == 1
    pictures = [
        PIL.Image.fromarray(control["image"]).convert("L" if net.config.in_channels == 1 else "RGB")
        for net, control in zip(nets, controls, strict=True)
    ]
    scales = [control.get("strength", 1.0) for control in controls]
    pipeline = getattr(diffusers, PIPELINES[kind]).from_pipe(
        pair.pipelines["text_to_image"],
        adapter=nets[0] if one else diffusers.MultiAdapter(list(nets)),
    )
    pipeline.set_progress_bar_config(disable=True)
    given: dict[str, Any] = {"guidance_scale": 4.3, "negative_prompt": NEGATIVE_PROMPT}
    shown = {
        "image": pictures[0] if one else pictures,
        "adapter_conditioning_scale": scales[0] if one else scales,
    }
    with using(pair, "text_to_image", pipeline):
        return check(
            pair,
            "text_to_image",
            {"steps": STEPS, "controls": controls, **given},
            {"prompt": PROMPT, "num_inference_steps": STEPS, **shown, **given, **theirs},
        )
