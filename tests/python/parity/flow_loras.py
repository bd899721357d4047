"""Random LoRAs of transformers over text and picture, as each program writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from golden.flux2_names import original_state as flux2_original
from golden.flux_names import original_state as flux_original
from golden.sd3_names import original_transformer
from golden.z_image_names import original_state as z_image_original
from parity.lora_files import Layer
from safetensors.torch import save_file

State = dict[str, torch.Tensor]
RANK = 3
ALPHA = 2.0

# What is trained of the text encoders.
_CLIP = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
_QWEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_T5 = ("q", "k", "v", "o", "wi_0", "wi_1", "wo")


def _z_image_original(state: State) -> State:
    """Without the norm that no one calls."""
    return {
        name: value
        for name, value in z_image_original(state).items()
        if not name.startswith("norm_final.")
    }


# By diffusers' classes.
_ORIGINAL: dict[str, Callable[[State], State]] = {
    "FluxTransformer2DModel": flux_original,
    "Flux2Transformer2DModel": flux2_original,
    "ZImageTransformer2DModel": _z_image_original,
}


def original_names(transformer: Any, state: State) -> State:
    """A state of the transformer under the names of its original code."""
    if original := _ORIGINAL.get(type(transformer).__name__):
        return original(state)
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
        return by_layer(self, "transformer.")


def factors(transformer: Any, seed: int = 0) -> Iterator[Factors]:
    """Of all linear layers, large enough to be seen."""
    layers = linears(transformer)
    for index, original in enumerate(originals(transformer)):
        random = torch.Generator().manual_seed(1000 * seed + index)
        into = layers[next(iter(original.rows))].in_features
        down = torch.randn(RANK, into, generator=random) / into**0.5
        yield Factors(original, down, torch.randn(original.height, RANK, generator=random) * 0.3)


def by_layer(
    one: Factors, prefix: str, first: str = "lora_A", second: str = "lora_B", *, alpha: bool = False
) -> State:
    """diffusers' layers behind a prefix, with underscores where the prefix ends in one."""
    state: State = {}
    for layer, up in one.original.parts(one.up).items():
        name = prefix + (layer.replace(".", "_") if prefix.endswith("_") else layer)
        state[f"{name}.{first}.weight"] = one.down
        state[f"{name}.{second}.weight"] = up if alpha else up * (ALPHA / RANK)
        if alpha:
            state[f"{name}.alpha"] = torch.tensor(ALPHA)
    return state


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


# diffusers' layers in kohya's form, with and without underscores.
_kohya_by_layer = partial(by_layer, first="lora_down", second="lora_up", alpha=True)


def flat_peft(one: Factors) -> State:
    return _kohya_by_layer(one, "lora_transformer_")


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
Written = Callable[[Layer, int], tuple[State, torch.Tensor]]
FLUX_DIALECTS: dict[str, Dialect] = {
    "kohya": kohya,
    "comfy": comfy,
    "fal": fal,
    "bare": bare,
    "peft": peft,
    "flat peft": flat_peft,
    "xlabs": xlabs,
}
_NAMED_TWICE = ("attention.qkv", "attention.out", "attn.qkv")


def ai_toolkit(one: Factors) -> State:
    return by_layer(one, "diffusion_model.")


def flat(one: Factors) -> State:
    return _kohya_by_layer(one, "lora_unet_")


def named_twice(one: Factors) -> State:
    """Attention under the original names once more, as some trainers write it."""
    again = kohya(one) if one.original.name.endswith(_NAMED_TWICE) else {}
    return flat(one) | again


def cut_short(one: Factors) -> State:
    return {
        name.replace(".transformer_blocks.", ".sformer_blocks."): value
        for name, value in ai_toolkit(one).items()
    }


# Of families with a Qwen3 text encoder.
QWEN_DIALECTS: dict[str, Dialect] = {
    "kohya": kohya,
    "kohya of diffusers": flat,
    "comfy": comfy,
    "fal": fal,
    "bare": bare,
    "peft": peft,
    "flat peft": flat_peft,
    "ai-toolkit": ai_toolkit,
    "ai-toolkit with alphas": partial(by_layer, prefix="diffusion_model.", alpha=True),
    "down and up": partial(_kohya_by_layer, prefix="diffusion_model."),
    "adapter": partial(
        by_layer, prefix="diffusion_model.", first="lora_A.default", second="lora_B.default"
    ),
    "lycoris": partial(_kohya_by_layer, prefix="lycoris_"),
    "named twice": named_twice,
    "cut short": cut_short,
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


def qwen_states(network: Any, prefix: str, seed: int) -> tuple[State, State]:
    """A LoRA of a Qwen3 encoder behind a prefix, and the differences that it stands for."""
    file: State = {}
    changes: State = {}
    for layer, down, up in text_factors(network, _QWEN, seed):
        name = prefix + layer.removeprefix("model.")
        file |= {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
        changes[f"{layer}.weight"] = up.double() @ down.double()
    return file, changes


def in_a_form(transformer: Any, written: Written) -> tuple[State, State]:
    """A file of LyCORIS for all original layers, and the differences of diffusers' layers."""
    own = {name: module.weight.detach() for name, module in linears(transformer).items()}
    state: State = {}
    changes: State = {}
    for index, original in enumerate(originals(transformer)):
        layer = Layer("transformer", original.name, torch.nn.Parameter(original.whole(own)))
        roles, delta = written(layer, 2 * index)  # even: norms of outputs
        name = "lora_unet_" + original.name.replace(".", "_")
        state |= {f"{name}.{role}": value for role, value in roles.items()}
        for part, rows in original.parts(delta.reshape(layer.weight.shape)).items():
            changes[f"{part}.weight"] = rows
    return state, changes


def save(state: State, path: Path) -> Path:
    save_file({name: value.contiguous().clone() for name, value in state.items()}, path)
    return path
