"""LoRAs of FLUX.1 and Stable Diffusion 3 act as they do in diffusers with PEFT."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from golden.flux_names import original_state
from parity.flow import HEIGHT, STRENGTH, WIDTH, Flow
from parity.flow_loras import (
    FLUX_DIALECTS,
    SD3_DIALECTS,
    Factors,
    State,
    bare,
    clip_states,
    factors,
    in_a_form,
    kohya,
    save,
    t5_states,
    xlabs,
)
from parity.flux_family import KINDS as FLUX_KINDS
from parity.flux_family import FluxPair
from parity.pair import SEED
from parity.quantised import meant, weights, write
from parity.sd3 import KINDS as SD3_KINDS
from parity.sd3 import Sd3Pair
from parity.test_flux_single_file import WIDE
from parity.test_lora import WRITTEN, numbers

import sdrbee

_TWO = {"num_layers": 2, "num_single_layers": 2}


def flux_flow(pair: FluxPair) -> Flow:
    return Flow(pair, partial(pair.reference, "text_to_image", SEED, (WIDTH, HEIGHT)))


def sd3_flow(pair: Sd3Pair) -> Flow:
    return Flow(pair, partial(pair.reference, "text_to_image", SEED, width=WIDTH, height=HEIGHT))


OpenFlow = Callable[[str], Flow]


@pytest.fixture(scope="module")
def open_flow(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> OpenFlow:
    """Opens a model, once a module."""
    device = pytestconfig.getoption("--parity-device")

    @cache
    def open_kind(name: str) -> Flow:
        folder = tmp_path_factory.mktemp("flow") / name
        if name in FLUX_KINDS:
            kind = FLUX_KINDS[name]
            two = replace(kind, transformer=kind.transformer | _TWO)
            return flux_flow(FluxPair(folder, two, device))
        return sd3_flow(Sd3Pair(folder, SD3_KINDS[name], device))

    return open_kind


def is_covered(one: Factors, dialect: str) -> bool:
    return dialect != "xlabs" or bool(xlabs(one))


def without_feed_forward(state: State) -> State:
    """XLabs' files leave what single blocks compute beside attention as it is."""
    return {name: value for name, value in state.items() if ".proj_mlp." not in name}


@pytest.mark.parametrize("dialect", FLUX_DIALECTS)
def test_a_dialect_of_flux(open_flow: OpenFlow, tmp_path: Path, dialect: str) -> None:
    """Also where the file has one layer for several of the model."""
    flow = open_flow("flux-dev")
    state: State = {}
    like: State = {}
    for one in factors(flow.pipeline.transformer):
        if is_covered(one, dialect):
            state |= FLUX_DIALECTS[dialect](one)
            like |= one.peft()
    like = without_feed_forward(like) if dialect == "xlabs" else like
    flow.check_file(save(state, tmp_path / "lora.safetensors"), like)


@pytest.mark.parametrize("dialect", SD3_DIALECTS)
@pytest.mark.parametrize("kind", ["sd3", "sd3.5-medium"])
def test_a_dialect_of_sd3(open_flow: OpenFlow, tmp_path: Path, kind: str, dialect: str) -> None:
    flow = open_flow(kind)
    state: State = {}
    like: State = {}
    for one in factors(flow.pipeline.transformer):
        state |= SD3_DIALECTS[dialect](one)
        like |= one.peft()
    flow.check_file(save(state, tmp_path / "lora.safetensors"), like)


@pytest.mark.parametrize("dialect", ["kohya", "xlabs"])
def test_diffusers_reads_the_same_file(open_flow: OpenFlow, tmp_path: Path, dialect: str) -> None:
    """Of kohya's the blocks, but for what diffusers expects to have FLUX's published widths: it
    takes no alpha of the last layer, and leaves the embedders as they are."""
    flow = open_flow("flux-dev")
    state: State = {}
    for one in factors(flow.pipeline.transformer):
        if "blocks." in one.original.name and (
            dialect == "xlabs" or not one.original.name.endswith("linear1")
        ):
            state |= FLUX_DIALECTS[dialect](one)
    file = save(state, tmp_path / "lora.safetensors")
    flow.check_file(file, file)


def test_several_add_up(open_flow: OpenFlow, tmp_path: Path) -> None:
    flow = open_flow("flux-dev")
    made = []
    for index, (dialect, strength) in enumerate(((kohya, 0.6), (bare, -0.4))):
        state: State = {}
        like: State = {}
        for one in factors(flow.pipeline.transformer, seed=index):
            state |= dialect(one)
            like |= one.peft()
        made.append((save(state, tmp_path / f"{index}.safetensors"), strength, like))
    try:
        for index, (_, _, like) in enumerate(made):
            flow.pipeline.load_lora_weights(like, adapter_name=f"a{index}")
        flow.pipeline.set_adapters(["a0", "a1"], [strength for _, strength, _ in made])
        loras = [(file, strength) for file, strength, _ in made]
        flow.check(flow.ours(loras=loras), flow.theirs())
    finally:
        flow.pipeline.unload_lora_weights()


@pytest.mark.parametrize("prefix", ["lora_te_", "lora_te1_"])
def test_text_encoder_of_flux(open_flow: OpenFlow, tmp_path: Path, prefix: str) -> None:
    flow = open_flow("flux-dev")
    state, like = clip_states(flow.pipeline.text_encoder, "text_encoder", prefix, seed=1)
    for one in factors(flow.pipeline.transformer):
        state |= kohya(one)
        like |= one.peft()
    flow.check_file(save(state, tmp_path / "lora.safetensors"), like)


def test_text_encoders_of_sd3(open_flow: OpenFlow, tmp_path: Path) -> None:
    flow = open_flow("sd3.5-medium")
    state: State = {}
    like: State = {}
    for number, component in ((1, "text_encoder"), (2, "text_encoder_2")):
        network = getattr(flow.pipeline, component)
        file, peft = clip_states(network, component, f"lora_te{number}_", seed=number)
        state |= file
        like |= peft
    flow.check_file(save(state, tmp_path / "lora.safetensors"), like)


@pytest.mark.parametrize(("kind", "encoder"), [("flux-dev", "_2"), ("sd3", "_3")])
@pytest.mark.parametrize("prefix", ["lora_te3_", "diffusers"])
def test_t5(open_flow: OpenFlow, tmp_path: Path, kind: str, encoder: str, prefix: str) -> None:
    """Which diffusers leaves out; the prompt is read again for it."""
    flow = open_flow(kind)
    network = getattr(flow.pipeline, f"text_encoder{encoder}")
    before = f"text_encoder{encoder}." if prefix == "diffusers" else prefix
    state, changes = t5_states(network, before, seed=4)
    file = save(state, tmp_path / "lora.safetensors")
    flow.check_changes(file, network, changes)
    flow.is_seen(file)


@pytest.mark.parametrize("form", ["loha", "lokr", "lokr whole", "full", "dora_scale"])
@pytest.mark.parametrize("kind", ["flux-dev", "sd3.5-medium"])
def test_a_form_of_lycoris(open_flow: OpenFlow, tmp_path: Path, kind: str, form: str) -> None:
    """Of the original layers: each of the model's has its own rows of the difference."""
    flow = open_flow(kind)
    transformer = flow.pipeline.transformer
    state, changes = in_a_form(transformer, WRITTEN[form])
    flow.check_changes(save(state, tmp_path / "lora.safetensors"), transformer, changes, 0.1)


def test_norms_of_inputs_of_a_joined_layer_are_refused(open_flow: OpenFlow, tmp_path: Path) -> None:
    flow = open_flow("flux-dev")
    (one,) = [one for one in factors(flow.pipeline.transformer) if "0.linear1" in one.original.name]
    state = kohya(one)
    state["lora_unet_single_blocks_0_linear1.dora_scale"] = torch.ones(1, one.down.shape[1])
    file = save(state, tmp_path / "lora.safetensors")
    with pytest.raises(sdrbee.CheckpointError, match=r"linear1\.dora_scale.* 4 layers"):
        flow.ours(loras=[file])


def control_lora(transformer: Any) -> tuple[State, State]:
    """Black Forest Labs' form with biases and norms, and that of diffusers."""
    state: State = {}
    like: State = {}
    for index, one in enumerate(factors(transformer)):
        bias = numbers(index, one.original.height) * 0.2
        state |= bare(one) | {f"{one.original.name}.lora_B.bias": bias}
        like |= one.peft()
        for layer, rows in one.original.parts(bias).items():
            like[f"transformer.{layer}.lora_B.bias"] = rows
    norms = {
        name: value + numbers(index, *value.shape) * 0.3
        for index, (name, value) in enumerate(transformer.state_dict().items())
        if "norm_q" in name or "norm_k" in name or "norm_added" in name
    }
    like |= {f"transformer.{name}": value for name, value in norms.items()}
    return state | original_state(norms), like


@pytest.mark.parametrize("naming", ["original", "diffusers"])
def test_a_control_lora(open_flow: OpenFlow, tmp_path: Path, naming: str) -> None:
    """Its norms take the place of the model's."""
    flow = open_flow("flux-canny")
    state, like = control_lora(flow.pipeline.transformer)
    file = save(state if naming == "original" else like, tmp_path / "lora.safetensors")
    control = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    fields: dict[str, Any] = {"control_image": control, "guidance_scale": 4.0}
    plain = flow.ours(**fields)
    with flow.lora(like, 1.0):
        made = flow.ours(loras=[file], **fields)
        flow.check(
            made, flow.theirs(control_image=PIL.Image.fromarray(control), guidance_scale=4.0)
        )
    np.testing.assert_array_equal(flow.ours(**fields)[1], plain[1])
    assert np.abs(made[0] - plain[0]).max() > 1e-3


def _picture(pixels: Any) -> Any:
    return PIL.Image.fromarray(pixels)


def test_a_control_lora_needs_a_model_with_a_control_image(
    open_flow: OpenFlow, tmp_path: Path
) -> None:
    state, _ = control_lora(open_flow("flux-canny").pipeline.transformer)
    file = save(state, tmp_path / "lora.safetensors")
    flow = open_flow("flux-dev")
    plain = flow.ours()
    with pytest.raises(
        sdrbee.CheckpointError, match=r"'img_in\.lora_A\.weight': expected 16 input.*control image"
    ):
        flow.ours(loras=[file])
    np.testing.assert_array_equal(flow.ours()[1], plain[1])


FOREIGN: dict[str, tuple[str, str, tuple[int, int], str]] = {
    "sd1": ("flux-dev", "lora_unet_mid_block_x_attn2_to_k", (768, 64), r"Diffusion 1\.x"),
    "xl": ("sd3", "lora_unet_mid_block_x_attn2_to_k", (2048, 64), "XL"),
    "sd3": ("flux-dev", "lora_unet_joint_blocks_0_x_block_attn_qkv", (16, 48), "Diffusion 3"),
    "flux": ("sd3", "lora_unet_single_blocks_0_linear1", (16, 112), "FLUX"),
    "flux2": ("flux-dev", "x.0.attn.to_qkv_mlp_proj", (16, 16), r"FLUX\.2"),
    "more blocks": ("flux-dev", "lora_unet_double_blocks_18_img_mod_lin", (32, 192), "FLUX"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_lora_of_another_model_is_told_so(open_flow: OpenFlow, tmp_path: Path, case: str) -> None:
    kind, name, (into, out), base = FOREIGN[case]
    state = {
        f"{name}.lora_down.weight": torch.ones(2, into),
        f"{name}.lora_up.weight": torch.ones(out, 2),
    }
    file = save(state, tmp_path / "other.safetensors")
    with pytest.raises(sdrbee.CheckpointError, match=rf"(?s)made for [^\n]*{base}.*{name}"):
        open_flow(kind).ours(loras=[file])


def test_a_model_is_no_lora(open_flow: OpenFlow, tmp_path: Path) -> None:
    state = open_flow("flux-dev").pipeline.transformer.state_dict()
    file = save(state, tmp_path / "whole.safetensors")
    with pytest.raises(sdrbee.CheckpointError, match="expected a LoRA"):
        open_flow("flux-dev").ours(loras=[file])


@pytest.mark.parametrize("stored", ["Q8_0", "Q4_0", "fp8"])
def test_quantised_weights(tmp_path: Path, pytestconfig: pytest.Config, stored: str) -> None:
    """The difference is added to what the stored numbers stand for."""
    two = replace(WIDE, transformer=WIDE.transformer | _TWO)
    device = pytestconfig.getoption("--parity-device")
    flow = flux_flow(FluxPair(tmp_path / "folder", two, device))
    transformer = flow.pipeline.transformer
    network = original_state(transformer.state_dict())
    if stored == "fp8":
        eight = {
            name: value.to(torch.float8_e4m3fn) if value.dim() == 2 else value
            for name, value in network.items()
        }
        file = save(eight, tmp_path / "flux.safetensors")
        values = {
            name: value.to(torch.float8_e4m3fn).float() if value.dim() == 2 else value
            for name, value in transformer.state_dict().items()
        }
    else:
        file = write(tmp_path / "flux.gguf", network, stored, "flux")
        values = meant(transformer.state_dict(), stored)
    model = sdrbee.load(flow.pair.folder, transformer=file, dtype="float32")
    state: State = {}
    like: State = {}
    for one in factors(transformer):
        state |= kohya(one)
        like |= one.peft()
    lora = save(state, tmp_path / "lora.safetensors")
    plain = flow.ours(model)
    with ExitStack() as stack:
        stack.enter_context(weights(transformer, values))
        stack.enter_context(flow.lora(like))
        flow.check(flow.ours(model, loras=[(lora, STRENGTH)]), flow.theirs())
    np.testing.assert_array_equal(flow.ours(model)[1], plain[1])
