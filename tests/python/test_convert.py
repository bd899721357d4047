"""Conversion of weights: equal to the gguf package, and loaded again."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_folder import SHAPES

import sdrbee

gguf = pytest.importorskip("gguf")
safetensors_numpy = pytest.importorskip("safetensors.numpy")

UNET = SHAPES / "unet" / "diffusion_pytorch_model.safetensors"


def read_gguf(path: Path) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


def picture(**components: Path) -> Any:
    model = sdrbee.load("shapes", device="cpu", dtype="fp32", **components)
    return model.generate("a red circle", steps=2, seed=1, output="float")


@pytest.mark.parametrize("name", ["q8_0", "Q4_0", "q4_1", "q5_0", "q5_1"])
def test_blocks_equal_those_of_the_gguf_package(tmp_path: Path, name: str) -> None:
    target = tmp_path / "unet.gguf"
    done = sdrbee.convert(UNET, target, type=name)
    assert done.bytes == target.stat().st_size
    assert done.files == (target,)
    stored = safetensors_numpy.load_file(UNET)
    written = read_gguf(target)
    assert written.keys() == stored.keys()
    kind = gguf.GGMLQuantizationType[name.upper()]
    count = 0
    for key, tensor in written.items():
        values = stored[key].astype(np.float32)
        if tensor.tensor_type != kind:
            continue
        count += 1
        rows = values.reshape(-1, 32)
        assert np.array_equal(tensor.data.reshape(-1), gguf.quants.quantize(rows, kind).reshape(-1))
    assert count == done.tensors[name.upper()] > 50


def test_norms_biases_and_small_tensors_keep_their_floats(tmp_path: Path) -> None:
    target = tmp_path / "unet.gguf"
    sdrbee.convert(UNET, target, type="q8_0")
    for name, tensor in read_gguf(target).items():
        plain = tensor.tensor_type.name in ("F32", "F16", "BF16")
        small = tensor.n_elements < 1024
        assert plain == (small or name.endswith(".bias") or "norm" in name or "conv_in" in name)


def test_long_vectors_keep_their_floats_too(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((77, 2048), dtype=np.float32)
    source = tmp_path / "clip.safetensors"
    safetensors_numpy.save_file(clip_text(values), source)
    sdrbee.convert(source, tmp_path / "clip.gguf", type="q8_0")
    kinds = {
        name: tensor.tensor_type.name for name, tensor in read_gguf(tmp_path / "clip.gguf").items()
    }
    assert kinds["encoder.layers.0.layer_norm1.weight"] == "F32"
    assert kinds["encoder.layers.0.mlp.fc1.weight"] == "Q8_0"
    done = sdrbee.convert(source, tmp_path / "fp8.safetensors", type="fp8")
    assert done.tensors == {"F8_E4M3": 4, "F32": 1}


def test_values_beyond_fp8_become_its_largest(tmp_path: Path) -> None:
    values = np.linspace(-1000, 1000, 77 * 64, dtype=np.float32).reshape(77, 64)
    safetensors_numpy.save_file(clip_text(values), tmp_path / "clip.safetensors")
    sdrbee.convert(tmp_path / "clip.safetensors", tmp_path / "fp8.safetensors", type="fp8")
    sdrbee.convert(tmp_path / "fp8.safetensors", tmp_path / "back.safetensors", type="f32")
    back = safetensors_numpy.load_file(tmp_path / "back.safetensors")
    weight = back["encoder.layers.0.mlp.fc1.weight"]
    assert weight.min() == -448
    assert weight.max() == 448


def test_rules_win_in_their_order(tmp_path: Path) -> None:
    target = tmp_path / "unet.gguf"
    rules = {"*.attn2.to_k.weight": "q4_0", "*.attn2.*.weight": "bf16"}
    sdrbee.convert(UNET, target, type="q8_0", rules=rules)
    kinds = {name: tensor.tensor_type.name for name, tensor in read_gguf(target).items()}
    attention = "mid_block.attentions.0.transformer_blocks.0."
    assert kinds[attention + "attn2.to_k.weight"] == "Q4_0"
    assert kinds[attention + "attn2.to_v.weight"] == "BF16"
    assert kinds[attention + "attn1.to_v.weight"] == "Q8_0"


# The root mean square error of normally distributed weights after the package's dequantisation, as
# a part of theirs: what quantise.h says.
@pytest.mark.parametrize(("name", "bound"), [("Q4_K", 0.073), ("Q6_K", 0.018)])
def test_the_error_of_k_types_is_small(tmp_path: Path, name: str, bound: float) -> None:
    values = np.random.default_rng(0).standard_normal((512, 512), dtype=np.float32)
    weights = {"text_model." + key: value for key, value in clip_text(values).items()}
    source = tmp_path / "clip.safetensors"
    safetensors_numpy.save_file(weights, source)
    sdrbee.convert(source, tmp_path / "clip.gguf", type=name)
    tensor = read_gguf(tmp_path / "clip.gguf")["text_model.encoder.layers.0.mlp.fc1.weight"]
    assert tensor.tensor_type.name == name
    back = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(values.shape)
    assert np.sqrt(np.mean((back - values) ** 2)) < bound


def clip_text(matrix: Any) -> dict[str, Any]:
    """What a CLIP text encoder is known by, with `matrix` as one of its weights."""
    return {
        "embeddings.token_embedding.weight": matrix[:64],
        "embeddings.position_embedding.weight": matrix[:77],
        "encoder.layers.0.self_attn.q_proj.weight": matrix,
        "encoder.layers.0.layer_norm1.weight": matrix[0],
        "encoder.layers.0.mlp.fc1.weight": matrix,
    }


@pytest.mark.parametrize(
    ("name", "ending", "bound"),
    [
        ("f32", ".gguf", 0),
        ("q8_0", ".gguf", 0.02),
        ("q6_k", ".gguf", 0.03),
        ("q4_k", ".gguf", 0.3),
        ("bf16", ".safetensors", 0.05),
        ("fp8", ".safetensors", 0.4),
    ],
)
def test_a_converted_component_loads_again(
    tmp_path: Path, name: str, ending: str, bound: float
) -> None:
    target = tmp_path / f"unet{ending}"
    sdrbee.convert(SHAPES / "unet", target, type=name)
    assert np.abs(picture(transformer=target) - picture()).mean() <= bound


def test_gguf_becomes_safetensors_and_keeps_its_header(tmp_path: Path) -> None:
    source = tmp_path / "first.gguf"
    sdrbee.convert(UNET, source, type="q8_0")
    again = tmp_path / "again.gguf"
    sdrbee.convert(source, again)
    assert again.read_bytes() == source.read_bytes()
    sdrbee.convert(source, tmp_path / "back.safetensors", type="f32")
    expected = picture(transformer=tmp_path / "back.safetensors")
    got = picture(transformer=source)
    assert np.abs(got - expected).max() < 1e-5
    architecture = gguf.GGUFReader(source).get_field("general.architecture")
    assert architecture.contents() == "sd1"


def test_a_models_folder_becomes_a_folder(tmp_path: Path) -> None:
    done = sdrbee.convert("shapes", tmp_path / "small", type="q8_0")
    names = {str(file.relative_to(tmp_path / "small")) for file in done.files}
    assert names == {
        "unet/diffusion_pytorch_model.gguf",
        "text_encoder/model.gguf",
        "vae/diffusion_pytorch_model.safetensors",
    }
    model = sdrbee.load(tmp_path / "small", device="cpu", dtype="fp32")
    got = model.generate("a red circle", steps=2, seed=1, output="float")
    assert np.abs(got - picture()).mean() < 0.02
    with pytest.raises(sdrbee.InvalidRequest, match="exists"):
        sdrbee.convert("shapes", tmp_path / "small")


def test_an_interrupted_conversion_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, _total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    for target in ("unet.gguf", "unet.safetensors"):
        with pytest.raises(KeyboardInterrupt):
            sdrbee.convert(UNET, tmp_path / target, on_tensor=stop)
    with pytest.raises(KeyboardInterrupt):
        sdrbee.convert("shapes", tmp_path / "model", on_tensor=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "options", "pattern"),
    [
        ("x.bin", {}, r"\[target\] expected a .safetensors or .gguf file"),
        ("x.gguf", {"type": "fp8"}, r"\[type\] expected one of f32 .*q8_0.* but got 'fp8'"),
        ("x.safetensors", {"type": "q8_0"}, r"\[type\] expected one of f32 f16 bf16 fp8 "),
        ("x.gguf", {"rules": {"*.bias": "q3"}}, r"\[type\].*'q3'"),
        ("x.gguf", {"rules": {"conv_in.weight": "q8_0"}}, r"\[rule conv_in.weight\] tensor"),
    ],
)
def test_what_can_not_be_done_is_named(
    tmp_path: Path, target: str, options: dict[str, Any], pattern: str
) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match=pattern):
        sdrbee.convert(UNET, tmp_path / target, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_not_converted_onto_itself(tmp_path: Path) -> None:
    source = tmp_path / "a.gguf"
    sdrbee.convert(UNET, source)
    content = source.read_bytes()
    (tmp_path / "b.gguf").symlink_to(source)
    for target in (source, tmp_path / "b.gguf"):
        with pytest.raises(sdrbee.InvalidRequest, match="is the file to convert"):
            sdrbee.convert(source, target, type="q8_0")
    assert source.read_bytes() == content


def test_bad_sources_are_refused(tmp_path: Path) -> None:
    good = tmp_path / "good.gguf"
    sdrbee.convert(UNET, good, type="q8_0")
    content = good.read_bytes()
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(content[:-8])
    with pytest.raises(sdrbee.CheckpointError, match=r"bad\.gguf"):
        sdrbee.convert(bad, tmp_path / "out.gguf")
    rng = np.random.default_rng(0)
    for position in rng.integers(0, 4096, 40):
        flipped = bytearray(content)
        flipped[position] ^= 1 << int(rng.integers(0, 8))
        bad.write_bytes(flipped)
        # Some flips make another valid file; none may bring anything but a typed refusal.
        with contextlib.suppress(sdrbee.CheckpointError, sdrbee.UnsupportedModel):
            sdrbee.load("shapes", device="cpu", dtype="fp32", transformer=bad)


def test_the_command_reports_what_it_wrote(tmp_path: Path, command: list[str]) -> None:
    target = tmp_path / "unet.gguf"
    line = [*command, "convert", str(UNET), "-o", str(target), "--type", "q8_0"]
    line += ["--rule", "*.attn2.*.weight=q4_0", "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert report["files"] == [str(target)]
    assert report["bytes"] == target.stat().st_size
    assert report["tensors"]["Q4_0"] > 0
    assert "tensor" in done.stderr  # the bar
    wrong = subprocess.run(
        [*line[:-3], "--rule", "q4_0", "-q"], capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
    assert "PATTERN=TYPE" in wrong.stderr
