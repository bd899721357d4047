"""Textual inversions of the model store in A1111's prompts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sdrbee.hub.local import LocalModels, StoredModel
from sdrbee.server.a1111_request import Settings, read_txt2img
from sdrbee.server.a1111_words import word_items, words_in
from sdrbee.server.limits import Limits


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDRBEE_HOME", str(tmp_path))
    for name, shape in (("mascot", (2, 768)), ("<pose>", (768,))):
        file = tmp_path / f"{name.strip('<>')}.safetensors"
        save_file({"emb_params": torch.zeros(shape)}, file)
        LocalModels().add(StoredModel(f"me/{name}", str(file), f"hf:me/{name}", "embedding"))
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\xff" * 20)
    LocalModels().add(StoredModel("me/broken", str(broken), "hf:me/broken", "embedding"))


def test_words_are_found_by_name() -> None:
    assert words_in("a Mascot in a<pose>!", "") == [{"name": "<pose>"}, {"name": "mascot"}]
    assert words_in("many mascots, mascot2", "pose") == []
    assert words_in("a cat", "(mascot:1.2)") == [{"name": "mascot"}]


def test_the_list_tells_their_shape() -> None:
    told = word_items()
    assert {name: (row["shape"], row["vectors"]) for name, row in told["loaded"].items()} == {
        "mascot": (768, 2),
        "<pose>": (768, 1),
    }
    assert list(told["skipped"]) == ["broken"]


def test_a_request_has_the_words_of_its_prompts(tmp_path: Path) -> None:
    read = read_txt2img({"prompt": "a mascot", "steps": 2}, Settings(model="a"), Limits())
    assert read.fields["prompt_syntax"] == "a1111"
    embeddings = read.request().embeddings
    assert [(row["name"], row["path"]) for row in embeddings] == [
        ("mascot", str(tmp_path / "mascot.safetensors"))
    ]
    plain = read_txt2img({"prompt": "a cat"}, Settings(model="a"), Limits())
    assert "embeddings" not in plain.fields
