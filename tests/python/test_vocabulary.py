"""The order in which a vocabulary is looked for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sdrbee import CheckpointError, vocabulary


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without cache, configuration or packages; returns a model file in it."""
    for variable in (
        "HF_HUB_CACHE",
        "HF_HOME",
        "XDG_CACHE_HOME",
        *vocabulary.ENVIRONMENT_VARIABLES,
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(vocabulary, "_PACKAGES", ())
    model = tmp_path / "models" / "model.safetensors"
    model.parent.mkdir()
    model.touch()
    return model


def test_looks_beside_the_model_first(bare: Path) -> None:
    assert vocabulary.vocabulary_candidates(bare) == [bare.parent]
    assert vocabulary.vocabulary_candidates(bare.parent) == [bare.parent]


def test_order_of_the_places(bare: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    configured = tmp_path / "vocabulary"
    configured.mkdir()
    monkeypatch.setenv("SDRBEE_CLIP_VOCABULARY", str(configured))
    t5 = tmp_path / "spiece.model"
    t5.touch()
    monkeypatch.setenv("SDRBEE_T5_VOCABULARY", str(t5))
    repository = tmp_path / ".cache/huggingface/hub/models--openai--clip-vit-large-patch14"
    for commit in ("aaa", "bbb"):
        (repository / "snapshots" / commit).mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("bbb")
    package = tmp_path / "site" / "open_clip"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    (package / "bpe_simple_vocab_16e6.txt.gz").touch()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(vocabulary, "_PACKAGES", ("open_clip", "no_such_package"))
    assert vocabulary.vocabulary_candidates(bare) == [
        bare.parent,
        configured,
        t5,
        repository / "snapshots" / "bbb",
        repository / "snapshots" / "aaa",
        package / "bpe_simple_vocab_16e6.txt.gz",
    ]
    assert "open_clip" not in sys.modules


@pytest.mark.parametrize(
    ("variable", "tail"),
    [("HF_HUB_CACHE", ""), ("HF_HOME", "hub"), ("XDG_CACHE_HOME", "huggingface/hub")],
)
def test_cache_follows_the_hubs_variables(
    bare: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, tail: str
) -> None:
    snapshot = tmp_path / "c" / tail / "models--openai--clip-vit-large-patch14/snapshots/a"
    snapshot.mkdir(parents=True)
    monkeypatch.setenv(variable, str(tmp_path / "c"))
    assert vocabulary.vocabulary_candidates(bare) == [bare.parent, snapshot]


def test_a_configured_path_must_exist(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDRBEE_CLIP_VOCABULARY", "/no/such/vocabulary")
    with pytest.raises(CheckpointError, match=r"SDRBEE_CLIP_VOCABULARY.*/no/such/vocabulary"):
        vocabulary.vocabulary_candidates(bare)
