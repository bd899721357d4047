"""Random LoRAs of tiny pipelines, as each program writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

State = dict[str, torch.Tensor]
RANK = 3
ALPHA = 2.0

# What is trained: attention and feed-forward everywhere, and convolutions.
_ATTENTION = re.compile(r"\.(to_[qkv]|to_out\.0|[qkv]_proj|out_proj)$")
_LINEAR = re.compile(r"\.(to_[qkv]|to_out\.0|[qkv]_proj|out_proj|net\.0\.proj|net\.2|fc[12])$")
_CONVOLUTION = re.compile(r"\.(conv1|conv2|conv_shortcut|time_emb_proj|conv|proj_in|proj_out)$")
COMPONENTS = ("unet", "text_encoder", "text_encoder_2")


@dataclass(frozen=True)
class Layer:
    """A layer of a pipeline that a LoRA changes."""

    component: str
    name: str
    weight: torch.nn.Parameter
    rank: int = RANK

    @property
    def is_attention(self) -> bool:
        return bool(_ATTENTION.search(self.name))


def layers(pipeline: Any, convolutions: bool = True) -> Iterator[Layer]:
    """The layers of a pipeline; each third has another rank."""
    count = 0
    for component in COMPONENTS:
        network = getattr(pipeline, component, None)
        for name, module in network.named_modules() if network is not None else ():
            if not isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)):
                continue
            if _LINEAR.search(name) or (convolutions and _CONVOLUTION.search(name)):
                count += 1
                plain = name.removeprefix("text_model.")
                yield Layer(component, plain, module.weight, RANK + (count % 3 == 0))


def factors(layer: Layer, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """down [rank, in, ...] and up [out, rank, ...], large enough to be seen."""
    random = torch.Generator().manual_seed(seed)
    out, into, *kernel = layer.weight.shape
    down = torch.randn(layer.rank, into, *kernel, generator=random)
    up = torch.randn(out, layer.rank, *(1 for _ in kernel), generator=random)
    size = down[0].numel() ** 0.5
    return down / size, up * 0.3


def in_text_model(layer: Layer) -> str:
    """The layer's name as files have it."""
    return layer.name if layer.component == "unet" else f"text_model.{layer.name}"


def kohya(layer: Layer, seed: int) -> State:
    prefix = {"unet": "lora_unet_", "text_encoder": "lora_te_", "text_encoder_2": "lora_te2_"}
    return _kohya(prefix[layer.component] + in_text_model(layer).replace(".", "_"), layer, seed)


def kohya_xl(layer: Layer, seed: int) -> State:
    """The blocks of the original code, as sd-scripts has them for XL."""
    prefix = {"unet": "lora_unet_", "text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}
    name = in_text_model(layer)
    if layer.component == "unet":
        name = original_name(name)
    return _kohya(prefix[layer.component] + name.replace(".", "_"), layer, seed)


def _kohya(name: str, layer: Layer, seed: int) -> State:
    down, up = factors(layer, seed)
    return {
        f"{name}.lora_down.weight": down,
        f"{name}.lora_up.weight": up,
        f"{name}.alpha": torch.tensor(ALPHA),
    }


_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def original_name(name: str, layers_per_block: int = 1) -> str:
    """A name of diffusers' UNet as the original code has it."""
    kind, *rest = name.split(".")
    per_block = layers_per_block + 1
    if kind == "mid_block":
        part, index, *inner = rest
        block = "middle_block." + ("1" if part == "attentions" else str(2 * int(index)))
    else:
        level, part, index, *inner = rest
        down = kind == "down_blocks"
        within = int(index) if part in ("resnets", "attentions") else layers_per_block
        number = int(level) * per_block + within + (1 if down else 0)
        block = f"{'input' if down else 'output'}_blocks.{number}"
        if part == "downsamplers":
            return f"{block}.0.op"
        if part == "upsamplers":
            return f"{block}.{2 if level == '0' else 1}.conv"
        block += ".1" if part == "attentions" else ".0"
    if part == "resnets":
        inner = [_RESNET[inner[0]], *inner[1:]]
    return ".".join([block, *inner])


def diffusers_peft(layer: Layer, seed: int) -> State:
    down, up = factors(layer, seed)
    name = f"{layer.component}.{in_text_model(layer)}"
    return {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}


def diffusers_old(layer: Layer, seed: int) -> State:
    """Attention processors, and the linear layers of text encoders."""
    down, up = factors(layer, seed)
    name = f"{layer.component}.{in_text_model(layer)}"
    if layer.component != "unet":
        ending = "lora_linear_layer"
    elif layer.is_attention:
        block, _, projection = name.removesuffix(".0").rpartition(".")
        name, ending = f"{block}.processor.{projection}", "_lora"
        return {f"{name}_lora.down.weight": down, f"{name}_lora.up.weight": up}
    else:
        ending = "lora"
    return {f"{name}.{ending}.down.weight": down, f"{name}.{ending}.up.weight": up}


def dora(layer: Layer, seed: int) -> State:
    """PEFT's magnitudes: the norms of the rows, each a little changed. Of the UNet alone: diffusers
    passes over those of text encoders."""
    if layer.component != "unet":
        return {}
    state = diffusers_peft(layer, seed)
    name = f"{layer.component}.{in_text_model(layer)}.lora_magnitude_vector"
    norms = layer.weight.detach().flatten(1).norm(dim=1)
    change = torch.rand(norms.shape, generator=torch.Generator().manual_seed(seed)) + 0.5
    magnitudes = norms * change
    is_convolution = layer.weight.dim() == 4
    return state | {name: magnitudes.reshape(1, -1, 1, 1) if is_convolution else magnitudes}


def peft_metadata(pipeline: Any) -> dict[str, str]:
    """PEFT's configuration as diffusers saves it."""
    told: dict[str, Any] = {}
    for component in COMPONENTS:
        chosen = [layer for layer in layers(pipeline, False) if layer.component == component]
        if not chosen:
            continue
        told |= {
            f"{component}.r": RANK,
            f"{component}.lora_alpha": 6,
            f"{component}.target_modules": sorted({layer.name for layer in chosen}),
            f"{component}.rank_pattern": {
                layer.name: layer.rank for layer in chosen if layer.rank != RANK
            },
            f"{component}.alpha_pattern": {chosen[0].name: 9, chosen[-1].name: 1},
        }
    return {"lora_adapter_metadata": json.dumps(told)}


def write_lora(
    path: Path,
    pipeline: Any,
    dialect: Callable[[Layer, int], State],
    *,
    seed: int = 0,
    convolutions: bool = True,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Writes a LoRA of all layers of a pipeline."""
    state: State = {}
    for index, layer in enumerate(layers(pipeline, convolutions)):
        state |= dialect(layer, 1000 * seed + index)
    save_file({name: t.contiguous() for name, t in state.items()}, path, metadata or {})
    return path
