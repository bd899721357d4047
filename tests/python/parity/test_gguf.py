"""FLUX.1, Stable Diffusion 3 and T5 in GGUF give the pictures of what their blocks stand for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden.flux_names import original_state
from golden.sd3_names import original_transformer
from parity.flux_family import FluxPair
from parity.pair import PROMPT, SEED, compare
from parity.quantised import KINDS, llama_t5, meant, values, weights, write
from parity.sd3 import Sd3Pair
from parity.test_flux_single_file import SIZE, WIDE
from parity.test_sd3_single_file import FIELDS
from parity.test_sd3_single_file import KINDS as SD3_KINDS
from safetensors.torch import save_file

import sdrbee

State = dict[str, torch.Tensor]
# Rows of whole blocks, wherever a model has a matrix.
T5 = {"d_kv": 8, "num_heads": 4, "d_ff": 64}
FLUX_KIND = replace(WIDE, t5=T5 | {"d_model": 64})
SD3_KIND = replace(
    SD3_KINDS["sd3.5"],
    transformer=SD3_KINDS["sd3.5"].transformer | {"joint_attention_dim": 224},
    t5=True,
    t5_sizes=T5,
)
STEPS = 2
SD3_FIELDS = {"width": FIELDS["width"], "height": FIELDS["height"]}


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> FluxPair:
    folder = tmp_path_factory.mktemp("flux_gguf") / "folder"
    return FluxPair(folder, FLUX_KIND, pytestconfig.getoption("--parity-device"))


@pytest.fixture(scope="module")
def sd3(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Sd3Pair:
    folder = tmp_path_factory.mktemp("sd3_gguf") / "folder"
    return Sd3Pair(folder, SD3_KIND, pytestconfig.getoption("--parity-device"))


def pictures(model: sdrbee.Model, **size: int) -> tuple[Any, Any]:
    request: dict[str, Any] = {"seed": SEED, "steps": STEPS, **size}
    made = [
        np.asarray(model.generate(PROMPT, output=output, **request))
        for output in ("float", "latent")
    ]
    return made[0], made[1]


def load(path: Path, **components: Path) -> sdrbee.Model:
    return sdrbee.load(path, dtype="float32", **components)


def beside(path: Path, folder: Path, *names: str) -> None:
    for name in names:
        shutil.copytree(folder / name, path / name)


def draw_flux(model: sdrbee.Model) -> tuple[Any, Any]:
    return pictures(model, width=SIZE[0], height=SIZE[1])


def draw_sd3(model: sdrbee.Model) -> tuple[Any, Any]:
    return pictures(model, **SD3_FIELDS)


@pytest.mark.parametrize("kind", KINDS)
def test_flux_and_its_t5(
    flux: FluxPair, tmp_path: Path, kind: str, record_parity: Callable[..., None]
) -> None:
    pipeline = flux.pipelines["text_to_image"]
    network = original_state(pipeline.transformer.state_dict())
    file = write(tmp_path / "flux.gguf", network, kind, "flux")
    t5 = write(tmp_path / "t5.gguf", llama_t5(pipeline.text_encoder_2), kind, "t5encoder")
    with ExitStack() as stack:
        for part in (pipeline.transformer, pipeline.text_encoder_2):
            stack.enter_context(weights(part, meant(part.state_dict(), kind)))
        expected = flux.reference(
            "text_to_image", SEED, SIZE, prompt=PROMPT, num_inference_steps=STEPS
        )
    beside(tmp_path, flux.folder, "tokenizer", "tokenizer_2")
    folder = flux.folder
    model = load(file, vae=folder, text_encoder=folder, text_encoder_2=t5)
    assert model.info.variant == "flux-dev"
    made = draw_flux(model)
    difference = compare(made, expected)
    assert difference.within_tolerance, difference
    record_parity("flux-dev", "text_to_image", stored="GGUF", pixels=difference.pixels)
    replaced = draw_flux(load(folder, transformer=file, text_encoder_2=t5))
    assert np.array_equal(replaced[0], made[0])


@pytest.mark.parametrize("kind", KINDS)
def test_sd3_and_its_t5(
    sd3: Sd3Pair, tmp_path: Path, kind: str, record_parity: Callable[..., None]
) -> None:
    pipeline = sd3.pipelines["text_to_image"]
    network = original_transformer(pipeline.transformer)
    file = write(tmp_path / "sd3.gguf", network, kind, "sd3")
    t5 = write(tmp_path / "t5.gguf", llama_t5(pipeline.text_encoder_3), kind, "t5")
    with ExitStack() as stack:
        for part in (pipeline.transformer, pipeline.text_encoder_3):
            stack.enter_context(weights(part, meant(part.state_dict(), kind)))
        expected = sd3.reference(
            "text_to_image", SEED, prompt=PROMPT, num_inference_steps=STEPS, **SD3_FIELDS
        )
    beside(tmp_path, sd3.folder, "tokenizer", "tokenizer_3")
    folder = sd3.folder
    others = {"vae": folder, "text_encoder": folder, "text_encoder_2": folder}
    model = load(file, **others, text_encoder_3=t5)
    assert model.info.capabilities.prompt_3
    made = draw_sd3(model)
    difference = compare(made, expected)
    assert difference.within_tolerance, difference
    record_parity("sd3.5-medium", "text_to_image", stored="GGUF", pixels=difference.pixels)
    replaced = draw_sd3(load(folder, transformer=file, text_encoder_3=t5))
    assert np.array_equal(replaced[0], made[0])


def test_positions_without_their_leading_one(sd3: Sd3Pair, tmp_path: Path) -> None:
    """As tools on ggml leave them, which knows no leading extents of 1."""
    network = original_transformer(sd3.pipelines["text_to_image"].transformer)
    whole = write(tmp_path / "whole.gguf", network, "Q8_0", "sd3")
    network["pos_embed"] = network["pos_embed"][0]
    squeezed = write(tmp_path / "squeezed.gguf", network, "Q8_0", "sd3")
    made = [draw_sd3(load(sd3.folder, transformer=file))[1] for file in (whole, squeezed)]
    assert np.array_equal(made[0], made[1])


@pytest.mark.parametrize("kind", ["q8_0", "q4_0", "bf16"])
@pytest.mark.parametrize("names", ["original", "current"])
def test_networks_that_convert_wrote(
    flux: FluxPair, sd3: Sd3Pair, tmp_path: Path, kind: str, names: str
) -> None:
    """From a file in the original naming, and from a component's folder."""
    drawn: list[tuple[FluxPair | Sd3Pair, State, Callable[[sdrbee.Model], Any]]] = [
        (flux, original_state(flux.pipelines["text_to_image"].transformer.state_dict()), draw_flux),
        (sd3, original_transformer(sd3.pipelines["text_to_image"].transformer), draw_sd3),
    ]
    for pair, original, draw in drawn:
        source = pair.folder / "transformer"
        if names == "original":
            source = tmp_path / "source.safetensors"
            save_file({name: value.contiguous() for name, value in original.items()}, source)
        file = tmp_path / "network.gguf"
        done = sdrbee.convert(source, file, type=kind)
        assert done.tensors[kind.upper()] > 10
        back = tmp_path / "back.safetensors"
        save_file(values(file), back)
        made = [draw(load(pair.folder, transformer=path)) for path in (file, back)]
        assert compare(made[0], made[1]).within_tolerance


@pytest.mark.parametrize("kind", ["q8_0", "q4_0"])
def test_a_t5_that_convert_wrote(flux: FluxPair, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "t5.gguf"
    sdrbee.convert(flux.folder / "text_encoder_2", file, type=kind)
    back = tmp_path / "t5.safetensors"
    save_file(values(file), back)
    made = [draw_flux(load(flux.folder, text_encoder_2=path)) for path in (file, back)]
    assert compare(made[0], made[1]).within_tolerance


@pytest.mark.parametrize("family", ["flux", "sd3"])
def test_a_whole_folder_that_convert_wrote(
    request: pytest.FixtureRequest, tmp_path: Path, family: str
) -> None:
    """The picture of its own values, each component read back by the package `gguf`."""
    pair: FluxPair | Sd3Pair = request.getfixturevalue(family)
    draw = draw_flux if family == "flux" else draw_sd3
    made = tmp_path / "small"
    done = sdrbee.convert(pair.folder, made, type="q8_0")
    assert done.tensors["Q8_0"] > 20
    back = shutil.copytree(made, tmp_path / "back")
    files = sorted(back.rglob("*.gguf"))
    assert len(files) == (3 if family == "flux" else 4)
    for file in files:
        save_file(values(file), file.with_suffix(".safetensors"))
        file.unlink()
    assert compare(draw(load(made)), draw(load(back))).within_tolerance


def test_a_whole_t5_lends_its_encoder(flux: FluxPair, tmp_path: Path) -> None:
    """llama.cpp converts T5 with its decoder, too."""
    state = llama_t5(flux.pipelines["text_to_image"].text_encoder_2)
    encoder = write(tmp_path / "encoder.gguf", state, "Q8_0", "t5encoder")
    state["dec.blk.0.cross_attn_q.weight"] = torch.zeros(32, 64)
    state["dec.output_norm.weight"] = torch.zeros(64)
    state["output.weight"] = torch.zeros(200, 64)
    whole = write(tmp_path / "whole.gguf", state, "Q8_0", "t5")
    made = [draw_flux(load(flux.folder, text_encoder_2=file))[1] for file in (encoder, whole)]
    assert np.array_equal(made[0], made[1])


def test_a_t5_without_gates_is_told(flux: FluxPair, tmp_path: Path) -> None:
    """T5 1.0 has other feed-forward layers than the 1.1 of these models."""
    state = llama_t5(flux.pipelines["text_to_image"].text_encoder_2)
    plain = {name: value for name, value in state.items() if "ffn_gate" not in name}
    file = write(tmp_path / "t5.gguf", plain, "Q8_0", "t5encoder")
    with pytest.raises(sdrbee.UnsupportedModel, match=r"only gated-gelu \(T5 1\.1\) is supported"):
        load(flux.folder, text_encoder_2=file)
