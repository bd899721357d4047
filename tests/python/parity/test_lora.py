"""LoRAs act as they do in diffusers with PEFT, and leave no trace."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parity.lora_files import (
    Layer,
    State,
    diffusers_old,
    diffusers_peft,
    dora,
    in_text_model,
    kohya,
    kohya_xl,
    layers,
    peft_metadata,
    write_lora,
)
from parity.pair import PROMPT, SEED
from parity.pictures import HEIGHT, WIDTH
from parity.unet_families import OpenVariant, VariantPair, asked, check
from safetensors.torch import save_file

import sdrbee

KINDS = ("v1-5", "xl")
STEPS = 2

Dialect = Callable[[Layer, int], State]


@contextmanager
def in_diffusers(pair: VariantPair, **files: tuple[Path, float]) -> Iterator[None]:
    """LoRAs in diffusers, by the names of their adapters."""
    pipeline = pair.pipelines["text_to_image"]
    for name, (file, _) in files.items():
        pipeline.load_lora_weights(file, adapter_name=name)
    pipeline.set_adapters([*files], [strength for _, strength in files.values()])
    try:
        yield
    finally:
        pipeline.unload_lora_weights()


def compare(pair: VariantPair, **files: tuple[Path, float]) -> None:
    """The same LoRAs in both programs give the same picture, another one than without them."""
    ours, theirs = asked(pair, STEPS, guidance_scale=4.0)
    loras = [*files.values()]
    with in_diffusers(pair, **files):
        check(pair, "text_to_image", ours | {"loras": loras}, theirs)
    assert np.abs(picture(pair.model, loras=loras) - picture(pair.model)).max() > 1e-3


def picture(model: sdrbee.Model, **fields: Any) -> np.ndarray[Any, Any]:
    request = {"steps": STEPS, "seed": SEED, "width": WIDTH, "height": HEIGHT, **fields}
    return np.asarray(model.generate(PROMPT, output="float", **request))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dialect", ["kohya", "diffusers_peft", "diffusers_old", "dora"])
def test_a_dialect_gives_the_picture_of_diffusers(
    open_variant: OpenVariant, tmp_path: Path, kind: str, dialect: str
) -> None:
    pair = open_variant(kind)
    write: dict[str, Dialect] = {
        "kohya": kohya_xl if kind == "xl" else kohya,
        "diffusers_peft": diffusers_peft,
        "diffusers_old": diffusers_old,
        "dora": dora,
    }
    pipeline = pair.pipelines["text_to_image"]
    convolutions = dialect in ("kohya", "diffusers_peft")
    file = write_lora(
        tmp_path / "lora.safetensors", pipeline, write[dialect], convolutions=convolutions
    )
    compare(pair, one=(file, 0.7))


def test_the_bits_do_not_depend_on_what_acted_before(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    pair = open_variant("v1-5")
    pipeline = pair.pipelines["text_to_image"]
    small, *large = [
        (write_lora(tmp_path / f"{i}.safetensors", pipeline, kohya, seed=i), 0.2) for i in range(10)
    ]
    sets: list[list[tuple[Path, float]]] = [[], [small], large, [small, *large]]
    # In models of their own, that have nothing else on them when their weights are read.
    fresh = [picture(sdrbee.load(pair.folder, dtype="float32"), loras=loras) for loras in sets]
    for before in range(len(sets)):
        for after in range(len(sets)):
            picture(pair.model, loras=sets[before])
            assert np.array_equal(picture(pair.model, loras=sets[after]), fresh[after])


@pytest.mark.parametrize("kind", KINDS)
def test_ranks_and_alphas_of_the_metadata(
    open_variant: OpenVariant, tmp_path: Path, kind: str
) -> None:
    pair = open_variant(kind)
    pipeline = pair.pipelines["text_to_image"]
    metadata = peft_metadata(pipeline)
    file = write_lora(
        tmp_path / "lora.safetensors",
        pipeline,
        diffusers_peft,
        convolutions=False,
        metadata=metadata,
    )
    compare(pair, one=(file, 0.5))


def test_several_loras_add_up(open_variant: OpenVariant, tmp_path: Path) -> None:
    pair = open_variant("v1-5")
    pipeline = pair.pipelines["text_to_image"]
    one = write_lora(tmp_path / "one.safetensors", pipeline, kohya, seed=1)
    other = write_lora(tmp_path / "other.safetensors", pipeline, diffusers_peft, seed=2)
    compare(pair, one=(one, 0.6), other=(other, -0.4))


# What diffusers can't load, as a file and as the difference that it stands for: fp64, by the rules
# of LyCORIS (https://github.com/KohakuBlueleaf/LyCORIS/tree/main/lycoris).
Written = Callable[[Layer, int], tuple[State, torch.Tensor]]


def numbers(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.6


def loha(layer: Layer, seed: int) -> tuple[State, torch.Tensor]:
    out, rest = layer.weight.shape[0], layer.weight[0].numel()
    w1a, w1b = numbers(seed, out, 4), numbers(seed + 1, 4, rest)
    w2a, w2b = numbers(seed + 2, out, 4), numbers(seed + 3, 4, rest)
    state = {"hada_w1_a": w1a, "hada_w1_b": w1b, "hada_w2_a": w2a, "hada_w2_b": w2b}
    delta = (w1a.double() @ w1b.double()) * (w2a.double() @ w2b.double()) * (2.0 / 4)
    return state | {"alpha": torch.tensor(2.0)}, delta


def loha_tucker(layer: Layer, seed: int) -> tuple[State, torch.Tensor]:
    if layer.weight.dim() == 2:
        return loha(layer, seed)
    out, into, *kernel = layer.weight.shape
    t1, t2 = numbers(seed, 4, 4, *kernel), numbers(seed + 1, 4, 4, *kernel)
    w1a, w1b = numbers(seed + 2, 4, out), numbers(seed + 3, 4, into)
    w2a, w2b = numbers(seed + 4, 4, out), numbers(seed + 5, 4, into)
    names = ("hada_t1", "hada_t2", "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
    state = dict(zip(names, (t1, t2, w1a, w1b, w2a, w2b), strict=True))
    rule = "ijkl,jr,ip->prkl"
    one = torch.einsum(rule, t1.double(), w1b.double(), w1a.double())
    two = torch.einsum(rule, t2.double(), w2b.double(), w2a.double())
    return state | {"alpha": torch.tensor(1.0)}, one * two / 4


def lokr(layer: Layer, seed: int) -> tuple[State, torch.Tensor]:
    """The first matrix whole, the second one in two factors."""
    out, into, *kernel = layer.weight.shape
    rest = math.prod(kernel)
    w1 = numbers(seed, 2, 2)
    w2a, w2b = numbers(seed + 1, out // 2, 3), numbers(seed + 2, 3, into // 2 * rest)
    w2 = (w2a.double() @ w2b.double()).reshape(out // 2, into // 2, *kernel)
    first = w1.double().reshape(2, 2, *(1 for _ in kernel))
    state = {"lokr_w1": w1, "lokr_w2_a": w2a, "lokr_w2_b": w2b, "alpha": torch.tensor(2.0)}
    return state, torch.kron(first, w2) * (2 / 3)


def lokr_whole(layer: Layer, seed: int) -> tuple[State, torch.Tensor]:
    """Both matrices whole: alpha has no meaning."""
    out, into, *kernel = layer.weight.shape
    w1 = numbers(seed, 2, 2)
    w2 = numbers(seed + 1, out // 2, into // 2, *kernel) / 2
    first = w1.double().reshape(2, 2, *(1 for _ in kernel))
    delta = torch.kron(first, w2.double())
    return {"lokr_w1": w1, "lokr_w2": w2, "alpha": torch.tensor(7.0)}, delta


def lokr_tucker(layer: Layer, seed: int) -> tuple[State, torch.Tensor]:
    if layer.weight.dim() == 2:
        return lokr(layer, seed)
    out, into, *kernel = layer.weight.shape
    w1a, w1b = numbers(seed, 2, 3), numbers(seed + 1, 3, 2)
    t2 = numbers(seed + 2, 3, 3, *kernel)
    w2a, w2b = numbers(seed + 3, 3, out // 2), numbers(seed + 4, 3, into // 2)
    w2 = torch.einsum("ijkl,ip,jr->prkl", t2.double(), w2a.double(), w2b.double())
    first = (w1a.double() @ w1b.double())[:, :, None, None]
    state = {"lokr_w1_a": w1a, "lokr_w1_b": w1b, "lokr_t2": t2}
    state |= {"lokr_w2_a": w2a, "lokr_w2_b": w2b, "alpha": torch.tensor(1.5)}
    return state, torch.kron(first, w2.contiguous()) * (1.5 / 3)


def locon_tucker(layer: Layer, seed: int) -> tuple[State, torch.Tensor]:
    out, into, *kernel = layer.weight.shape
    if not kernel:
        down, up = numbers(seed, 4, into), numbers(seed + 1, out, 4)
        state = {"lora_down.weight": down, "lora_up.weight": up}
        # A quarter: whole ones are so large that the network makes much of the last digits.
        return state | {"alpha": torch.tensor(1.0)}, up.double() @ down.double() / 4
    down, up = numbers(seed, 4, into, 1, 1), numbers(seed + 1, out, 4, 1, 1)
    mid = numbers(seed + 2, 4, 4, *kernel)
    delta = torch.einsum(
        "om,mnkl,ni->oikl", up[:, :, 0, 0].double(), mid.double(), down[:, :, 0, 0].double()
    )
    state = {"lora_down.weight": down, "lora_up.weight": up, "lora_mid.weight": mid}
    return state | {"alpha": torch.tensor(2.0)}, delta / 2


def full(layer: Layer, seed: int) -> tuple[State, torch.Tensor]:
    diff = numbers(seed, *layer.weight.shape)
    return {"diff": diff}, diff.double()


def dora_scale(layer: Layer, seed: int) -> tuple[State, torch.Tensor]:
    """Norms of outputs in one half of the layers, of inputs in the other."""
    weight = layer.weight.detach().double()
    state, delta = locon_tucker(layer, seed)
    kept = seed % 2
    others = [axis for axis in range(weight.dim()) if axis != kept]
    merged = weight + delta.reshape(weight.shape)
    norms = torch.linalg.vector_norm(merged, dim=others, keepdim=True)
    own = torch.linalg.vector_norm(weight, dim=others, keepdim=True)
    scale = (own * 1.3).float()
    return state | {"dora_scale": scale}, merged * (scale.double() / norms) - weight


WRITTEN: dict[str, Written] = {
    "loha": loha,
    "loha tucker": loha_tucker,
    "lokr": lokr,
    "lokr whole": lokr_whole,
    "lokr tucker": lokr_tucker,
    "locon tucker": locon_tucker,
    "full": full,
    "dora_scale": dora_scale,
}


def write_and_merge(
    path: Path, pipeline: Any, written: Written, strength: float
) -> dict[torch.nn.Parameter, torch.Tensor]:
    """Writes the file, and puts what it says into diffusers' weights; the weights before."""
    state: State = {}
    before: dict[torch.nn.Parameter, torch.Tensor] = {}
    prefix = {"unet": "lora_unet_", "text_encoder": "lora_te_", "text_encoder_2": "lora_te2_"}
    for index, layer in enumerate(layers(pipeline)):
        own, delta = written(layer, 10 * index + index % 2)
        name = prefix[layer.component] + in_text_model(layer).replace(".", "_")
        state |= {f"{name}.{role}": tensor.contiguous() for role, tensor in own.items()}
        weight = layer.weight
        before[weight] = weight.data
        merged = weight.data.double() + strength * delta.reshape(weight.shape)
        weight.data = merged.float()
    save_file(state, path)
    return before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", WRITTEN)
def test_a_form_of_lycoris_is_what_its_formula_says(
    open_variant: OpenVariant, tmp_path: Path, kind: str, form: str
) -> None:
    pair = open_variant(kind)
    file = tmp_path / "lora.safetensors"
    ours, theirs = asked(pair, STEPS, guidance_scale=4.0)
    pipeline = pair.pipelines["text_to_image"]
    before = write_and_merge(file, pipeline, WRITTEN[form], 0.3)
    try:
        check(pair, "text_to_image", ours | {"loras": [(file, 0.3)]}, theirs)
    finally:
        for weight, values in before.items():
            weight.data = values
    assert np.abs(picture(pair.model, loras=[(file, 0.3)]) - picture(pair.model)).max() > 1e-3


def test_norms_and_biases(open_variant: OpenVariant, tmp_path: Path) -> None:
    pair = open_variant("v1-5")
    file = tmp_path / "norms.safetensors"
    network = pair.pipelines["text_to_image"].unet
    modules = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, (torch.nn.GroupNorm, torch.nn.LayerNorm, torch.nn.Conv2d))
    }
    state: State = {}
    before = []
    for index, (name, module) in enumerate(modules.items()):
        flat = f"lora_unet_{name.replace('.', '_')}"
        bias = numbers(index, *module.bias.shape) * 0.2
        changes = [(module.bias, bias)]
        if isinstance(module, torch.nn.Conv2d):
            state[f"{flat}.diff_b"] = bias
        else:
            weight = numbers(index + 1, *module.weight.shape) * 0.2
            changes.append((module.weight, weight))
            state |= {f"{flat}.w_norm": weight, f"{flat}.b_norm": bias}
        before += [(parameter, parameter.data) for parameter, _ in changes]
        for parameter, change in changes:
            parameter.data = parameter.data + 0.5 * change
    save_file(state, file)
    ours, theirs = asked(pair, STEPS, guidance_scale=4.0)
    plain = picture(pair.model)
    try:
        check(pair, "text_to_image", ours | {"loras": [(file, 0.5)]}, theirs)
    finally:
        for parameter, values in before:
            parameter.data = values
    np.testing.assert_array_equal(picture(pair.model), plain)


def test_nothing_is_left_of_a_lora(open_variant: OpenVariant, tmp_path: Path) -> None:
    pair = open_variant("v1-5")
    pipeline = pair.pipelines["text_to_image"]
    one = write_lora(tmp_path / "one.safetensors", pipeline, kohya, seed=1)
    other = write_lora(tmp_path / "other.safetensors", pipeline, diffusers_peft, seed=2)
    fresh = sdrbee.load(pair.folder, dtype="float32")
    plain = picture(fresh)
    alone = {
        file: picture(sdrbee.load(pair.folder, dtype="float32"), loras=[file])
        for file in (one, other)
    }
    for loras in ([one], [other], [(one, 0.5), (other, -1.0)], [one], [], [other]):
        made = picture(fresh, loras=loras)
        if len(loras) == 1:
            np.testing.assert_array_equal(made, alone[loras[0]])  # type: ignore[index]
        np.testing.assert_array_equal(picture(fresh), plain)
    np.testing.assert_array_equal(picture(fresh, loras=[(one, 0.0)]), plain)
    assert fresh.memory["unet"].loads == 1


def test_the_memory_tells_what_is_kept_for_other_loras(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    pair = open_variant("v1-5")
    file = write_lora(tmp_path / "one.safetensors", pair.pipelines["text_to_image"], kohya)
    model = sdrbee.load(pair.folder, dtype="float32")
    picture(model)
    assert {part.kept_bytes for part in model.memory.values()} == {0}
    weights = model.memory["unet"].bytes
    picture(model, loras=[file])
    assert model.memory["unet"].kept_bytes == 0  # made in the memory of the model's own weights
    for loras in ([], [file], []):
        picture(model, loras=loras)
        assert 0 < model.memory["unet"].kept_bytes < weights
    assert model.memory["unet"].bytes == weights
    others = [part for name, part in model.memory.items() if name.startswith("vae")]
    assert {part.kept_bytes for part in others} == {0}


def test_loras_of_a_batch_are_each_ones_own(open_variant: OpenVariant, tmp_path: Path) -> None:
    pair = open_variant("v1-5")
    file = write_lora(
        tmp_path / "one.safetensors", pair.pipelines["text_to_image"], kohya, convolutions=False
    )
    fields: dict[str, Any] = {"prompt": PROMPT, "steps": STEPS, "seed": SEED, "output": "latent"}
    size = {"width": WIDTH, "height": HEIGHT}
    requests = [
        sdrbee.GenerationRequest(**fields, **size, loras=loras)
        for loras in ([], [(file, 1.0)], [(file, 0.5)], [])
    ]
    together = pair.model.generate_batch(requests)
    for request, made in zip(requests, together, strict=True):
        alone = pair.model.generate_batch([request])[0]
        np.testing.assert_allclose(made, alone, rtol=0, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-3
