"""Textual inversions against diffusers' load_textual_inversion, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parity.pictures import HEIGHT, WIDTH
from parity.unet_families import KINDS, VariantPair, check
from safetensors.torch import save_file

import sdrbee
from sdrbee.hub.local import LocalModels, StoredModel

STEPS = 4
WIDTHS = {"v1-5": 768, "v2-1-base": 1024, "xl": 8}
OpenFresh = Callable[[str], VariantPair]


@pytest.fixture(scope="module")
def open_fresh(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> OpenFresh:
    """Opens a variant of our own: diffusers' tokenizers are changed by loading."""
    pairs: dict[str, VariantPair] = {}

    def open_kind(name: str) -> VariantPair:
        if name not in pairs:
            folder = tmp_path_factory.mktemp("words") / name
            pairs[name] = VariantPair(
                folder, KINDS[name], pytestconfig.getoption("--parity-device")
            )
        return pairs[name]

    return open_kind


def vectors(count: int, width: int, seed: int = 5) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) * 0.1


def saved(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    save_file(tensors, path)
    return path


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", ["v1-5", "v2-1-base"])
def test_a_learned_word_is_that_of_diffusers(
    open_fresh: OpenFresh, tmp_path: Path, name: str, count: int
) -> None:
    pair = open_fresh(name)
    word, learned = f"<mascot-{count}>", vectors(count, WIDTHS[name])
    pipeline = pair.pipelines["text_to_image"]
    pipeline.load_textual_inversion({word: learned if count > 1 else learned[0]}, token=word)
    key = "emb_params" if count > 1 else word
    file = saved(tmp_path / "mascot.safetensors", {key: learned if count > 1 else learned[0]})
    prompt = f"a red circle {word}, a {word} square"
    ours = {"prompt": prompt, "steps": STEPS, "embeddings": [{"name": word, "path": file}]}
    check(pair, "text_to_image", ours, {"prompt": prompt, "num_inference_steps": STEPS})


def test_a_learned_word_of_xl_has_vectors_for_both_encoders(
    open_fresh: OpenFresh, tmp_path: Path
) -> None:
    pair = open_fresh("xl")
    learned = {"clip_l": vectors(2, 8), "clip_g": vectors(2, 16)}
    file = saved(tmp_path / "mascot.safetensors", learned)
    pipeline = pair.pipelines["text_to_image"]
    for key, part in (("clip_l", ""), ("clip_g", "_2")):
        pipeline.load_textual_inversion(
            learned[key],
            token="<mascot>",
            text_encoder=getattr(pipeline, f"text_encoder{part}"),
            tokenizer=getattr(pipeline, f"tokenizer{part}"),
        )
    # Old configurations have the pooled text at the token of the highest id, which for diffusers
    # is the new one then; it should be the end of the text.
    for module in pipeline.text_encoder_2.modules():
        if hasattr(module, "eos_token_id"):
            module.eos_token_id = pipeline.tokenizer_2.eos_token_id
    ours = {"prompt": "a <mascot> square", "steps": STEPS, "embeddings": [_named(file)]}
    theirs = {"prompt": "a <mascot> square", "num_inference_steps": STEPS}
    check(pair, "text_to_image", ours, theirs)


def _named(file: Path, word: str = "<mascot>") -> dict[str, Any]:
    return {"name": word, "path": file}


def picture(pair: VariantPair, prompt: str, **fields: Any) -> np.ndarray[Any, Any]:
    request = {"steps": 2, "seed": 3, "width": WIDTH, "height": HEIGHT, **fields}
    return np.asarray(pair.model.generate(prompt, output="float", **request))


def test_words_are_found_by_name(open_fresh: OpenFresh, tmp_path: Path) -> None:
    pair = open_fresh("v1-5")
    file = saved(tmp_path / "mascot.safetensors", {"emb_params": vectors(2, 768)})
    other = saved(tmp_path / "mascot-2.safetensors", {"emb_params": vectors(2, 768, seed=6)})
    plain = picture(pair, "a mascot")
    named = picture(pair, "a mascot", embeddings=[file])
    assert not np.allclose(plain, named)
    assert np.array_equal(picture(pair, "a MASCOT", embeddings=[_named(file, "Mascot")]), named)
    assert np.array_equal(picture(pair, "a mascot", embeddings_dir=str(tmp_path)), named)
    both = picture(pair, "a mascot-2", embeddings=[file, other])
    assert np.array_equal(both, picture(pair, "a mascot-2", embeddings=[other]))
    inside = picture(pair, "many mascots")
    assert np.array_equal(picture(pair, "many mascots", embeddings=[file]), inside)
    weighed = picture(pair, "a (mascot:1.5)", embeddings=[file], prompt_syntax="a1111")
    assert not np.allclose(weighed, named)


def test_a_word_of_the_store_is_found(
    open_fresh: OpenFresh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDRBEE_HOME", str(tmp_path))
    file = saved(tmp_path / "mascot.safetensors", {"emb_params": vectors(1, 768)})
    LocalModels().add(StoredModel("me/mascot", str(file), "hf:me/mascot", "embedding"))
    pair = open_fresh("v1-5")
    by_file = picture(pair, "a mascot", embeddings=[file])
    assert np.array_equal(picture(pair, "a mascot", embeddings=[_token("mascot")]), by_file)
    assert np.array_equal(picture(pair, "a cat", embeddings=[_token("cat")]), by_file)
    with pytest.raises(sdrbee.InvalidRequest, match=r"^\[embeddings\] .*'absent'"):
        picture(pair, "a cat", embeddings=["absent"])


def _token(token: str) -> dict[str, str]:
    return {"name": "mascot", "token": token}


def test_a_long_word_stays_in_one_row(open_fresh: OpenFresh, tmp_path: Path) -> None:
    pair = open_fresh("v1-5")
    file = saved(tmp_path / "mascot.safetensors", {"emb_params": vectors(40, 768)})
    prompt = "a red circle " * 20 + "mascot"
    broken = "a red circle " * 20 + "BREAK mascot"
    fields: dict[str, Any] = {"embeddings": [file], "prompt_syntax": "a1111"}
    assert np.array_equal(picture(pair, prompt, **fields), picture(pair, broken, **fields))


def test_a_replay_refuses_another_file(open_fresh: OpenFresh, tmp_path: Path) -> None:
    pair = open_fresh("v1-5")
    file = saved(tmp_path / "mascot.safetensors", {"emb_params": vectors(1, 768)})
    request = {"steps": 2, "seed": 3, "width": WIDTH, "height": HEIGHT, "embeddings": [file]}
    made = pair.model.generate("a mascot", **request)
    made.save(tmp_path / "out.png")
    assert bytes(sdrbee.replay(tmp_path / "out.png", model=pair.model)) == bytes(made)
    assert made.recipe is not None
    told = made.recipe["request"]["embeddings"][0]
    assert (told["name"], len(told["sha256"])) == ("mascot", 64)
    saved(file, {"emb_params": vectors(1, 768, seed=6)})
    with pytest.raises(sdrbee.InvalidRequest, match=rf"\[embeddings\].*{told['sha256']}"):
        sdrbee.replay(tmp_path / "out.png", model=pair.model)


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"emb_params": vectors(1, 1024)}, r"Stable Diffusion 2\.x.*width 768.*width 1024"),
        ({"clip_l": vectors(1, 768), "clip_g": vectors(1, 1280)}, "is for SDXL"),
        ({"a": vectors(1, 768), "b": vectors(1, 768)}, "no textual inversion.*2 tensors"),
        ({"emb_params": vectors(76, 768)}, r"1 to 75 vectors.*\[76, 768\]"),
        ({"emb_params": torch.zeros(1, 768, dtype=torch.int64)}, "vectors"),
        ({"emb_params": torch.full((1, 768), float("nan"))}, "NaN"),
        ({"emb_params": torch.zeros(1, 1, 768)}, "vectors"),
        ({"emb_params": torch.zeros(0, 768)}, "vectors"),
    ],
)
def test_a_wrong_file_is_told(
    open_fresh: OpenFresh, tmp_path: Path, tensors: dict[str, torch.Tensor], told: str
) -> None:
    file = saved(tmp_path / "mascot.safetensors", tensors)
    with pytest.raises(sdrbee.InvalidRequest, match=told):
        picture(open_fresh("v1-5"), "a mascot", embeddings=[file])


def test_a_word_for_sd1_is_refused_by_xl(open_fresh: OpenFresh, tmp_path: Path) -> None:
    file = saved(tmp_path / "mascot.safetensors", {"emb_params": vectors(1, 768)})
    with pytest.raises(sdrbee.InvalidRequest, match=r"Stable Diffusion 1\.x.*'clip_l'"):
        picture(open_fresh("xl"), "a mascot", embeddings=[file])


def test_damaged_files_and_pickles_are_refused(open_fresh: OpenFresh, tmp_path: Path) -> None:
    pair = open_fresh("v1-5")
    header = json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode()
    damaged = tmp_path / "damaged.safetensors"
    for content in (b"", b"\xff" * 40, len(header).to_bytes(8, "little") + header):
        damaged.write_bytes(content)
        with pytest.raises(sdrbee.CheckpointError, match=r"damaged\.safetensors"):
            picture(pair, "a damaged", embeddings=[damaged])
    pickled = tmp_path / "mascot.pt"
    torch.save({"string_to_param": {"*": vectors(1, 768)}}, pickled)
    with pytest.raises(sdrbee.UnsupportedModel, match="safetensors"):
        picture(pair, "a mascot", embeddings=[pickled])
    with pytest.raises(sdrbee.CheckpointError, match="absent"):
        picture(pair, "a mascot", embeddings=[tmp_path / "absent.safetensors"])
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[embeddings_dir\].*absent"):
        picture(pair, "a mascot", embeddings_dir=str(tmp_path / "absent"))


@pytest.mark.parametrize("value", ["mascot", [5], [{"word": "a"}], [{}], [{"name": 5}]])
def test_a_wrong_form_is_told(value: Any) -> None:
    with pytest.raises(TypeError, match=r"\[embeddings\]"):
        sdrbee.GenerationRequest(prompt="a", embeddings=value)
