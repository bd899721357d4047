"""Random LoRAs of transformers over text and picture, as each program writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from golden.flux_names import original_state as flux_original
from golden.sd3_names import original_transformer
from safetensors.torch import save_file

State = dict[str, torch.Tensor]
RANK = 3
ALPHA = 2.0

# What is trained of the text encoders.
_CLIP = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
_T5 = ("q", "k", "v", "o", "wi_0", "wi_1", "wo")


def original_names(transformer: Any, state: State) -> State:
    """A state of the transformer under the names of its original code."""
    if type(transformer).__name__ == "FluxTransformer2DModel":
        return flux_original(state)
    like = SimpleNamespace(state_dict=lambda: state, config=transformer.config)
    return original_transformer(like)


def linears(network: Any, endings: tuple[str, ...] = ()) -> dict[str, torch.nn.Linear]:
    """The linear layers of a network, those with one of the last names where any are given."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear)
        and (not endings or name.rpartition(".")[2] in endings)
    }


@dataclass(frozen=True)
class Original:
    """A layer of the original code: which rows of which layers of diffusers it is made of."""

    name: str
    rows: dict[str, tuple[torch.Tensor, torch.Tensor]]  # of the layer, and of the whole

    @property
    def height(self) -> int:
        return sum(len(own) for own, _ in self.rows.values())

    def whole(self, parts: State) -> torch.Tensor:
        """The rows of all layers as the original code has them."""
        first = next(iter(parts[layer] for layer in self.rows))
        joined = first.new_zeros(self.height, *first.shape[1:])
        for layer, (own, there) in self.rows.items():
            joined[there] = parts[layer][own]
        return joined

    def parts(self, whole: torch.Tensor) -> State:
        """The rows of each layer of diffusers."""
        parts: State = {}
        for layer, (own, there) in self.rows.items():
            parts[layer] = torch.empty_like(whole[: len(own)])
            parts[layer][own] = whole[there]
        return parts


def originals(transformer: Any) -> list[Original]:
    """All linear layers of the original code, found by where the rows of each layer go."""
    layers = linears(transformer)
    marks: State = {}
    begins: dict[str, int] = {}
    count = 0
    for name, module in layers.items():
        begins[name] = count
        count += module.out_features
        marks[f"{name}.weight"] = torch.arange(begins[name], count)
    found = []
    for name, rows in original_names(transformer, marks).items():
        own: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        for layer, begin in begins.items():
            there = ((rows >= begin) & (rows < begin + layers[layer].out_features)).nonzero()[:, 0]
            if len(there):
                own[layer] = rows[there] - begin, there
        found.append(Original(name.removesuffix(".weight"), own))
    return found


@dataclass(frozen=True)
class Factors:
    """A random change of a layer of the original code, alpha not counted."""

    original: Original
    down: torch.Tensor
    up: torch.Tensor

    def peft(self) -> State:
        """diffusers' layers, each with the same first factor, scaled by alpha / rank."""
        state: State = {}
        for layer, up in self.original.parts(self.up).items():
            state[f"transformer.{layer}.lora_A.weight"] = self.down
            state[f"transformer.{layer}.lora_B.weight"] = up * (ALPHA / RANK)
        return state


def factors(transformer: Any, seed: int = 0) -> Iterator[Factors]:
    """Of all linear layers, large enough to be seen."""
    layers = linears(transformer)
    for index, original in enumerate(originals(transformer)):
        random = torch.Generator().manual_seed(1000 * seed + index)
        into = layers[next(iter(original.rows))].in_features
        down = torch.randn(RANK, into, generator=random) / into**0.5
        yield Factors(original, down, torch.randn(original.height, RANK, generator=random) * 0.3)


def _pair(name: str, one: Factors, first: str, second: str, scale: float = 1.0) -> State:
    return {f"{name}.{first}.weight": one.down, f"{name}.{second}.weight": one.up * scale}


def kohya(one: Factors) -> State:
    name = "lora_unet_" + one.original.name.replace(".", "_")
    return _pair(name, one, "lora_down", "lora_up") | {f"{name}.alpha": torch.tensor(ALPHA)}


def comfy(one: Factors) -> State:
    return _pair(f"diffusion_model.{one.original.name}", one, "lora_A", "lora_B", ALPHA / RANK)


def fal(one: Factors) -> State:
    return _pair(f"base_model.model.{one.original.name}", one, "lora_A", "lora_B", ALPHA / RANK)


def bare(one: Factors) -> State:
    return _pair(one.original.name, one, "lora_A", "lora_B", ALPHA / RANK)


def peft(one: Factors) -> State:
    return one.peft()


def flat_peft(one: Factors) -> State:
    """diffusers' layers in kohya's form."""
    state: State = {}
    for layer, up in one.original.parts(one.up).items():
        name = "lora_transformer_" + layer.replace(".", "_")
        state |= {f"{name}.lora_down.weight": one.down, f"{name}.lora_up.weight": up}
        state[f"{name}.alpha"] = torch.tensor(ALPHA)
    return state


# What XLabs' processors change, by the end of the original layer's name.
_XLABS = {
    "img_attn.qkv": "processor.qkv_lora1",
    "img_attn.proj": "processor.proj_lora1",
    "txt_attn.qkv": "processor.qkv_lora2",
    "txt_attn.proj": "processor.proj_lora2",
    "linear1": "processor.qkv_lora",
    "linear2": "processor.proj_lora",
}


def xlabs(one: Factors) -> State:
    """Attention alone: of the layer that single blocks have for all, queries, keys and values."""
    block, rest = ".".join(one.original.name.split(".")[:2]), one.original.name.split(".", 2)[-1]
    if rest not in _XLABS:
        return {}
    up = one.up * (ALPHA / RANK)
    if rest == "linear1":
        up = up[: 3 * len(up) // 7]
    name = f"{block}.{_XLABS[rest]}"
    return {f"{name}.down.weight": one.down, f"{name}.up.weight": up}


Dialect = Callable[[Factors], State]
FLUX_DIALECTS: dict[str, Dialect] = {
    "kohya": kohya,
    "comfy": comfy,
    "fal": fal,
    "bare": bare,
    "peft": peft,
    "flat peft": flat_peft,
    "xlabs": xlabs,
}
SD3_DIALECTS: dict[str, Dialect] = {"kohya": kohya, "comfy": comfy, "peft": peft}


def text_factors(
    network: Any, endings: tuple[str, ...], seed: int
) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    for index, (name, module) in enumerate(linears(network, endings).items()):
        random = torch.Generator().manual_seed(1000 * seed + index)
        down = torch.randn(RANK, module.in_features, generator=random) / module.in_features**0.5
        yield name, down, torch.randn(module.out_features, RANK, generator=random) * 0.3


def clip_states(network: Any, component: str, prefix: str, seed: int) -> tuple[State, State]:
    """A LoRA of a CLIP text encoder in kohya's form, and in that of diffusers."""
    file: State = {}
    peft_state: State = {}
    for layer, down, up in text_factors(network, _CLIP, seed):
        name = "text_model." + layer.removeprefix("text_model.")
        flat = prefix + name.replace(".", "_")
        file |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up}
        file[f"{flat}.alpha"] = torch.tensor(ALPHA)
        peft_state[f"{component}.{name}.lora_A.weight"] = down
        peft_state[f"{component}.{name}.lora_B.weight"] = up * (ALPHA / RANK)
    return file, peft_state


def t5_states(network: Any, prefix: str, seed: int) -> tuple[State, State]:
    """A LoRA of a T5 encoder in kohya's form, and the differences that it stands for."""
    file: State = {}
    changes: State = {}
    for layer, down, up in text_factors(network, _T5, seed):
        flat = prefix + layer.replace(".", "_")
        file |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up}
        file[f"{flat}.alpha"] = torch.tensor(ALPHA)
        changes[f"{layer}.weight"] = up.double() @ down.double() * (ALPHA / RANK)
    return file, changes


def save(state: State, path: Path) -> Path:
    save_file({name: value.contiguous().clone() for name, value in state.items()}, path)
    return path
