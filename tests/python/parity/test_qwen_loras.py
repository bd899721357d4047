"""LoRAs of Z-Image and FLUX.2 act as they do in diffusers with PEFT."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any

import golden.flux2_names
import golden.z_image_names
import numpy as np
import pytest
import torch
from parity.flow import HEIGHT, STRENGTH, WIDTH, Flow
from parity.flow_loras import (
    QWEN_DIALECTS,
    State,
    factors,
    in_a_form,
    linears,
    qwen_states,
    save,
)
from parity.flux2 import MAX_TOKENS, Flux2Pair
from parity.lora_files import Layer
from parity.pair import SEED
from parity.quantised import meant, weights, write
from parity.test_lora import WRITTEN
from parity.z_image import SHIFTS, TRANSFORMER, ZImagePair

import sdrbee

# Even sides, which LoKr divides.
_EVEN = {"dim": 48, "axes_dims": [8, 8, 8]}
# What a file of the network alone tells, and as wide as blocks of numbers are long.
_WIDE = {"dim": 384, "n_heads": 3, "n_layers": 1, "axes_dims": [32, 48, 48]}


def z_image(folder: Path, device: str, kind: str = "z-image", **transformer: Any) -> Flow:
    network = TRANSFORMER | _EVEN | transformer
    pair = ZImagePair(folder, device, shift=SHIFTS[kind], transformer=network)
    usual = {"guidance_scale": pair.model.info.defaults["text_to_image"].guidance_scale}
    size = {"width": WIDTH, "height": HEIGHT}
    return Flow(pair, partial(pair.reference, "text_to_image", SEED, **size, **usual))


def flux2(folder: Path, device: str, kind: str = "flux2-klein") -> Flow:
    pair = Flux2Pair(folder, device, distilled=kind == "flux2-klein")
    usual = {"guidance_scale": pair.model.info.defaults["text_to_image"].guidance_scale}
    reference = partial(pair.reference, SEED, width=WIDTH, height=HEIGHT, **usual)
    return Flow(pair, reference, mode="all", max_sequence_length=MAX_TOKENS)


OPENERS: dict[str, Callable[..., Flow]] = {
    "z-image": z_image,
    "z-image-turbo": z_image,
    "flux2-klein": flux2,
    "flux2-klein-base": flux2,
}
FAMILIES = ("z-image", "flux2-klein")
OpenFlow = Callable[[str], Flow]


@pytest.fixture(scope="module")
def open_flow(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> OpenFlow:
    """Opens a model, once a module."""
    device = pytestconfig.getoption("--parity-device")
    return cache(lambda name: OPENERS[name](tmp_path_factory.mktemp("flow") / name, device, name))


def written(flow: Flow, dialect: str, wanted: Callable[[str], bool] = bool) -> tuple[State, State]:
    """A file of the layers whose original name is wanted, and the same in diffusers' form."""
    state: State = {}
    like: State = {}
    for one in factors(flow.pipeline.transformer):
        if wanted(one.original.name):
            state |= QWEN_DIALECTS[dialect](one)
            like |= one.peft()
    return state, like


@pytest.mark.parametrize(
    ("kind", "dialect"),
    [
        (kind, dialect)
        for kind in FAMILIES
        for dialect in QWEN_DIALECTS
        if kind == "flux2-klein" or dialect != "cut short"
    ],
)
def test_a_dialect(open_flow: OpenFlow, tmp_path: Path, kind: str, dialect: str) -> None:
    """Of all layers, also where the file has one layer for several of the model."""
    flow = open_flow(kind)
    state, like = written(flow, dialect)
    flow.check_file(save(state, tmp_path / "lora.safetensors"), like)


@pytest.mark.parametrize("kind", ["z-image-turbo", "flux2-klein-base"])
def test_a_variant(open_flow: OpenFlow, tmp_path: Path, kind: str) -> None:
    flow = open_flow(kind)
    assert flow.model.info.capabilities.lora
    state, like = written(flow, "kohya")
    flow.check_file(save(state, tmp_path / "lora.safetensors"), like)


def in_block(name: str) -> bool:
    return name.startswith(("layers.", "noise_ref", "context_ref", "double_blocks.", "single_bl"))


def without_modulation(name: str) -> bool:
    return "odulation" not in name


def not_last(name: str) -> bool:
    return not name.startswith("final_layer.adaLN")


# What diffusers reads of a dialect: it knows fewer layers in some, and leaves the halves of
# FLUX.2's last modulation as the original code has them, the wrong way around.
READ: dict[tuple[str, str], Callable[[str], bool]] = {
    ("z-image", "kohya"): in_block,
    ("z-image", "kohya of diffusers"): bool,
    ("z-image", "ai-toolkit"): bool,
    ("z-image", "ai-toolkit with alphas"): bool,
    ("z-image", "down and up"): bool,
    ("z-image", "adapter"): bool,
    ("z-image", "named twice"): bool,
    ("flux2-klein", "kohya"): without_modulation,
    ("flux2-klein", "comfy"): not_last,
    ("flux2-klein", "fal"): not_last,
    ("flux2-klein", "ai-toolkit"): in_block,
    ("flux2-klein", "cut short"): in_block,
}


@pytest.mark.parametrize(("kind", "dialect"), READ)
def test_diffusers_reads_the_same_file(
    open_flow: OpenFlow, tmp_path: Path, kind: str, dialect: str
) -> None:
    flow = open_flow(kind)
    file = save(written(flow, dialect, READ[kind, dialect])[0], tmp_path / "lora.safetensors")
    flow.check_file(file, file)


@pytest.mark.parametrize("kind", FAMILIES)
def test_strength_0_is_as_good_as_none(open_flow: OpenFlow, tmp_path: Path, kind: str) -> None:
    flow = open_flow(kind)
    file = save(written(flow, "kohya")[0], tmp_path / "lora.safetensors")
    for none, plain in zip(flow.ours(loras=[(file, 0.0)]), flow.ours(), strict=True):
        np.testing.assert_array_equal(none, plain)


@pytest.mark.parametrize("prefix", ["text_encoder.", "text_encoders.qwen3_4b.transformer.model."])
@pytest.mark.parametrize("kind", FAMILIES)
def test_text_encoder(open_flow: OpenFlow, tmp_path: Path, kind: str, prefix: str) -> None:
    """Which diffusers leaves out; the prompt is read again for it."""
    flow = open_flow(kind)
    network = flow.pipeline.text_encoder
    state, changes = qwen_states(network, prefix, seed=4)
    file = save(state, tmp_path / "lora.safetensors")
    flow.check_changes(file, network, changes, 0.3)
    flow.is_seen(file)


@pytest.mark.parametrize("form", ["loha", "lokr", "lokr whole", "full", "dora_scale"])
@pytest.mark.parametrize("kind", FAMILIES)
def test_a_form_of_lycoris(open_flow: OpenFlow, tmp_path: Path, kind: str, form: str) -> None:
    """Of the original layers: each of the model's has its own rows of the difference."""
    flow = open_flow(kind)
    transformer = flow.pipeline.transformer
    state, changes = in_a_form(transformer, WRITTEN[form])
    flow.check_changes(save(state, tmp_path / "lora.safetensors"), transformer, changes, 0.1)


# Kronecker products as diffusers reads them, by what stands before names of its layers.
LOKR = (("z-image", "diffusion_model."), ("flux2-klein", "lycoris_"), ("flux2-klein", ""))


@pytest.mark.parametrize("form", ["lokr", "lokr whole"])
@pytest.mark.parametrize(("kind", "prefix"), LOKR)
def test_diffusers_reads_the_same_lokr(
    open_flow: OpenFlow, tmp_path: Path, kind: str, prefix: str, form: str
) -> None:
    flow = open_flow(kind)
    state: State = {}
    for index, (name, module) in enumerate(linears(flow.pipeline.transformer).items()):
        if "blocks." in name or "layers." in name:
            flat = name.replace(".", "_") if prefix.endswith("_") else name
            roles, _ = WRITTEN[form](Layer("transformer", name, module.weight), index)
            state |= {f"{prefix}{flat}.{role}": value for role, value in roles.items()}
    file = save(state, tmp_path / "lora.safetensors")
    with flow.lora(file, 0.1):
        flow.check(flow.ours(loras=[(file, 0.1)]), flow.theirs())
    flow.is_seen(file)


# Files of other families: a layer, its inputs and outputs, and what the message says of it.
FOREIGN: dict[str, tuple[str, str, tuple[int, int], str]] = {
    "xl": ("z-image", "lora_unet_mid_block_x_attn2_to_k", (2048, 64), "XL"),
    "sd3": ("flux2-klein", "lora_unet_joint_blocks_0_x_block_attn_qkv", (16, 48), "Diffusion 3"),
    "flux": ("z-image", "lora_unet_single_blocks_0_linear1", (16, 112), r"FLUX\.1"),
    "flux2": ("z-image", "lora_unet_single_blocks_0_linear1", (16, 144), r"FLUX\.2"),
    "flux modulation": ("flux2-klein", "double_blocks.0.img_mod.lin", (32, 192), r"FLUX\.1"),
    "flux2 of diffusers": ("z-image", "transformer_blocks.0.ff.linear_in", (9, 9), r"FLUX\.2"),
    "z-image": ("flux2-klein", "diffusion_model.layers.0.attention.to_q", (48, 48), "Z-Image"),
    "z-image, kohya": ("flux2-klein", "lora_unet_layers_0_feed_forward_w1", (9, 9), "Z-Image"),
    "more blocks": ("flux2-klein", "lora_unet_double_blocks_7_img_mlp_0", (32, 192), r"FLUX\.2"),
}


def one_layer(path: Path, name: str, into: int, out: int) -> Path:
    down, up = torch.ones(2, into), torch.ones(out, 2)
    return save({f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}, path)


@pytest.mark.parametrize("case", FOREIGN)
def test_a_lora_of_another_model_is_told_so(open_flow: OpenFlow, tmp_path: Path, case: str) -> None:
    """With the keys that mean nothing here."""
    kind, name, sides, base = FOREIGN[case]
    file = one_layer(tmp_path / "other.safetensors", name, *sides)
    with pytest.raises(sdrbee.CheckpointError, match=rf"(?s)made for [^\n]*{base}.*{name}"):
        open_flow(kind).ours(loras=[file])


def test_layers_of_flux_1_are_too_narrow(open_flow: OpenFlow, tmp_path: Path) -> None:
    """Both FLUX call them alike."""
    flow = open_flow("flux2-klein")
    plain = flow.ours()
    file = one_layer(tmp_path / "other.safetensors", "lora_unet_single_blocks_0_linear1", 32, 224)
    with pytest.raises(sdrbee.CheckpointError, match=r"linear1\.lora_up.*made for FLUX\.1"):
        flow.ours(loras=[file])
    np.testing.assert_array_equal(flow.ours()[1], plain[1])


def quantised(flow: Flow, path: Path, stored: str) -> tuple[Path, State]:
    """A file of the network, and the numbers that it stands for."""
    state = flow.pipeline.transformer.state_dict()
    family = golden.z_image_names if "layers.0.attention.to_q.weight" in state else None
    original = (family or golden.flux2_names).original_state
    if stored != "fp8":
        file = write(path / "network.gguf", original(state), stored, "flux")
        return file, meant(state, stored)
    eight = {
        name: value.to(torch.float8_e4m3fn) if value.dim() == 2 and len(value) > 1 else value
        for name, value in state.items()
    }
    file = save(original(eight), path / "network.safetensors")
    return file, {name: value.float() for name, value in eight.items()}


@pytest.mark.parametrize("stored", ["Q8_0", "Q4_0", "fp8"])
@pytest.mark.parametrize("kind", FAMILIES)
def test_quantised_weights(
    tmp_path: Path, pytestconfig: pytest.Config, kind: str, stored: str
) -> None:
    """The difference is added to what the stored numbers stand for."""
    device = pytestconfig.getoption("--parity-device")
    wide = _WIDE if kind == "z-image" else {}
    flow = OPENERS[kind](tmp_path / "folder", device, kind, **wide)
    transformer = flow.pipeline.transformer
    file, values = quantised(flow, tmp_path, stored)
    model = sdrbee.load(flow.pair.folder, transformer=file, dtype="float32")
    state, like = written(flow, "kohya")
    lora = save(state, tmp_path / "lora.safetensors")
    plain = flow.ours(model)
    with ExitStack() as stack:
        stack.enter_context(weights(transformer, values))
        stack.enter_context(flow.lora(like))
        flow.check(flow.ours(model, loras=[(lora, STRENGTH)]), flow.theirs())
    np.testing.assert_array_equal(flow.ours(model)[1], plain[1])
