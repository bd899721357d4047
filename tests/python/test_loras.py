"""LoRAs of a request: how they are given, what is refused, and what a recipe says of them."""

from __future__ import annotations

import hashlib
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from model_folder import SHAPES
from safetensors.numpy import load_file, save_file

import sdrbee
from sdrbee.adapters import take_lora_tags
from sdrbee.hub.local import LocalModels, StoredModel

Tensors = dict[str, npt.NDArray[np.float32]]
FIELDS: dict[str, Any] = {"steps": 2, "seed": 5}


def lora(seed: int = 0) -> Tensors:
    """A LoRA of the built-in model's cross-attention."""
    random = np.random.default_rng(seed)
    tensors: Tensors = {}
    for name, weight in load_file(next(SHAPES.glob("unet/*.safetensors"))).items():
        if "attn2.to_" not in name or not name.endswith("weight"):
            continue
        layer = f"unet.{name.removesuffix('.weight')}"
        for key, shape in (("A", (4, weight.shape[1])), ("B", (weight.shape[0], 4))):
            values = random.standard_normal(shape).astype(np.float32) * 0.2
            tensors[f"{layer}.lora_{key}.weight"] = values
    return tensors


@pytest.fixture(scope="module")
def model() -> sdrbee.Model:
    return sdrbee.load("shapes", dtype="fp32")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_file(lora(), tmp_path / "ink.safetensors")
    return tmp_path / "ink.safetensors"


def made(model: sdrbee.Model, **fields: Any) -> bytes:
    return bytes(model.generate("a red star", **{**FIELDS, **fields}))


def test_the_forms_of_a_lora_mean_the_same(model: sdrbee.Model, file: Path) -> None:
    plain = made(model)
    expected = made(model, loras=[(file, 0.5)])
    assert expected != plain
    for form in ((str(file), 0.5), {"path": file, "strength": 0.5, "name": "ink"}):
        assert made(model, loras=[form]) == expected
    assert made(model, loras=[file]) == made(model, loras=[str(file)]) != expected
    assert made(model, loras=[(file, 0.0)]) == made(model, loras=[]) == plain


def test_a_name_is_of_the_model_store(
    model: sdrbee.Model, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDRBEE_HOME", str(tmp_path))
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[loras\] expected .* but got 'style'"):
        made(model, loras=["style"])
    LocalModels().add(StoredModel(name="me/style", path=str(file), source="hf:me", kind="lora"))
    assert made(model, loras=[("style", 0.5)]) == made(model, loras=[(file, 0.5)])
    assert made(model, loras=[{"name": "style"}]) == made(model, loras=[file])
    with pytest.raises(
        sdrbee.InvalidRequest, match=r"\[loras\] .* got 'stile'; did you mean 'me/style'"
    ):
        made(model, loras=["stile"])
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[loras\]"):
        made(model, loras=[{"name": str(file)}])


@pytest.mark.parametrize(
    "wrong",
    ["ink", 5, {"name": "a"}, [5], [("a", "b")], [("a", True)], [{}], [{"name": "a", "x": 1}]],
    ids=repr,
)
def test_other_forms_are_type_errors(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"\[loras\] expected "):
        sdrbee.GenerationRequest(loras=wrong)


@pytest.mark.parametrize("strength", [math.nan, math.inf, -math.inf])
def test_a_strength_is_finite(model: sdrbee.Model, file: Path, strength: float) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[loras\].*strength of 'ink'"):
        made(model, loras=[(file, strength)])


def test_there_is_a_limit(model: sdrbee.Model, file: Path) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[loras\] expected at most 32 but got 33"):
        made(model, loras=[file] * 33)


def test_block_lists_have_a_length(model: sdrbee.Model, file: Path) -> None:
    plain, whole = made(model), made(model, loras=[file])
    assert made(model, loras=[{"path": file, "blocks": [1.0] * 26}]) == whole
    assert made(model, loras=[{"path": file, "blocks": [0.0] * 26}]) == plain
    only_middle = [0.0] * 13 + [1.0] + [0.0] * 12
    assert made(model, loras=[{"path": file, "blocks": only_middle}]) not in (plain, whole)
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[loras\] 'ink'.*blocks.*got 3"):
        made(model, loras=[{"path": file, "blocks": [1, 1, 1]}])


def test_keys_that_mean_nothing_are_listed(model: sdrbee.Model, tmp_path: Path) -> None:
    plain = made(model)
    tensors = lora() | {
        "unet.nowhere.to_k.lora_A.weight": np.ones((4, 8), np.float32),
        "unet.nowhere.to_k.lora_B.weight": np.ones((8, 4), np.float32),
        "strange": np.ones(3, np.float32),
    }
    save_file(tensors, tmp_path / "more.safetensors")
    path = tmp_path / "more.safetensors"
    with pytest.raises(sdrbee.CheckpointError, match=r"(?s)3 tensors.*strange.*nowhere") as error:
        made(model, loras=[path])
    assert "looks made for" not in str(error.value)
    assert made(model) == plain
    save_file(lora(), tmp_path / "ink.safetensors")
    expected = made(model, loras=[tmp_path / "ink.safetensors"])
    assert made(model, loras=[{"path": path, "strict": False}]) == expected


@pytest.mark.parametrize(
    ("key", "width", "base"),
    [
        ("lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k", 768, r"1\.x"),
        ("lora_unet_middle_block_1_transformer_blocks_0_attn2_to_k", 2048, "XL"),
        ("transformer.single_transformer_blocks.0.attn.to_q", 3072, "FLUX"),
    ],
)
def test_a_lora_of_another_model_is_told_so(
    model: sdrbee.Model, tmp_path: Path, key: str, width: int, base: str
) -> None:
    path = tmp_path / "other.safetensors"
    down, up = ("lora_A", "lora_B") if "." in key else ("lora_down", "lora_up")
    tensors = {
        f"{key}.{down}.weight": np.ones((2, width), np.float32),
        f"{key}.{up}.weight": np.ones((64, 2), np.float32),
    }
    save_file(tensors, path)
    with pytest.raises(sdrbee.CheckpointError, match=base):
        made(model, loras=[path])


def test_damaged_files_are_refused(model: sdrbee.Model, file: Path, tmp_path: Path) -> None:
    plain = made(model)
    bytes_of = file.read_bytes()
    for name, content in {
        "empty": b"",
        "cut": bytes_of[: len(bytes_of) // 2],
        "noise": bytes(range(256)) * 40,
        "none": None,
    }.items():
        path = tmp_path / f"{name}.safetensors"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises((sdrbee.CheckpointError, sdrbee.UnsupportedModel), match=name):
            made(model, loras=[path])
    save_file({"conv.weight": np.ones((2, 2), np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(sdrbee.CheckpointError, match="expected a LoRA"):
        made(model, loras=[tmp_path / "model.safetensors"])
    assert made(model) == plain


def test_a_recipe_knows_the_file(model: sdrbee.Model, file: Path, tmp_path: Path) -> None:
    image = model.generate("a red star", **FIELDS, loras=[(file, 0.5)])
    image.save(tmp_path / "picture.png")
    assert bytes(sdrbee.replay(tmp_path / "picture.png", model=model)) == bytes(image)
    save_file(lora(seed=1), file)
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[loras\] 'ink'.*SHA-256"):
        sdrbee.replay(tmp_path / "picture.png", model=model)


def test_a_request_leaves_the_weights_as_they_were(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(SHAPES, folder)

    def hashes() -> dict[Path, str]:
        return {
            path: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*.safetensors"))
        }

    before = hashes()
    model = sdrbee.load(folder, dtype="fp32")
    plain = hashlib.sha256(made(model)).hexdigest()
    made(model, loras=[(file, 0.7)])
    assert hashlib.sha256(made(model)).hexdigest() == plain
    assert hashes() == before


def test_an_engine_takes_turns_with_sets(file: Path, tmp_path: Path) -> None:
    save_file(lora(seed=1), tmp_path / "other.safetensors")
    sets: list[list[Any]] = [[], [file], [tmp_path / "other.safetensors"], [(file, 0.5)], []]
    requests = [
        sdrbee.GenerationRequest(prompt="a red star", **FIELDS, exact=True, loras=loras)
        for loras in sets
    ]
    alone = sdrbee.load("shapes", dtype="fp32")
    expected = [bytes(alone.generate_batch([request])[0]) for request in requests]
    with sdrbee.Engine("shapes", dtype="fp32") as engine:
        jobs = [engine.submit(request) for request in requests]
        assert [bytes(job.result()) for job in jobs] == expected
    assert len(set(expected)) == 4


def test_tags_of_a_prompt() -> None:
    assert take_lora_tags("a <b> cat") == ("a <b> cat", [])
    text, rows = take_lora_tags("<lora:a>x<lora:b c:-0.5> <lora:d:1:lbw=1,0>")
    assert text == "x "
    assert rows == [
        {"name": "a", "strength": 1.0},
        {"name": "b c", "strength": -0.5},
        {"name": "d", "strength": 1.0, "blocks": [1.0, 0.0]},
    ]
    for wrong in ("<lora:a:x>", "<lora:a:1:0.5>", "<lora:a:1:lbw=x>"):
        with pytest.raises(sdrbee.InvalidRequest, match=r"\[prompt\]"):
            take_lora_tags(wrong)
