"""T5's tokenizer against transformers, tokenizers and sentencepiece, live, on many texts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import tokenizers
from golden.clip_tokenizer_texts import texts
from golden.make_unigram_tokenizer import train
from transformers import T5Tokenizer, logging

from sdrbee._native import CheckpointError, UnigramTokenizer, UnsupportedModel

logging.set_verbosity_error()  # texts longer than the window are on purpose

SPECIAL = ["</s>", "a</s>b", "<pad><unk>", "x <extra_id_0> y<extra_id_2>z", "<extra_id_77>", "</S>"]
METASPACES = ["\u2581", "a\u2581b", " \u2581\u2581c \u2581", "\u2581 \u2581"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Folders with a spiece.model trained now, by training options."""
    folders: dict[str, Path] = {}

    def folder_of(**options: Any) -> Path:
        key = json.dumps(options)
        if key not in folders:
            folders[key] = tmp_path_factory.mktemp("unigram")
            train(folders[key], **options)
        return folders[key]

    return folder_of


def check(
    ours: UnigramTokenizer, theirs: Callable[[str], list[int]], seed: int, extra: list[str]
) -> None:
    wrong = []
    for text in [*texts(1500, seed), *extra]:
        if ours.encode(text) != theirs(text):
            wrong.append((text, ours.encode(text), theirs(text)))
    assert not wrong, f"{len(wrong)} texts, the first: {wrong[0]}"


def encode_with(tokenizer: Any) -> Callable[[str], list[int]]:
    return lambda text: tokenizer(text, add_special_tokens=False).input_ids


@pytest.mark.parametrize("rule", ["nmt_nfkc", "nmt_nfkc_cf", "identity"])
def test_piece_model_equals_transformers(trained: Callable[..., Path], rule: str) -> None:
    folder = trained(normalization_rule_name=rule)
    theirs = T5Tokenizer.from_pretrained(folder)
    ours = UnigramTokenizer(folder)
    assert (ours.eos, ours.pad) == (theirs.eos_token_id, theirs.pad_token_id)
    check(ours, encode_with(theirs), 1, SPECIAL + METASPACES)


def test_tokenizer_json_alone(trained: Callable[..., Path], tmp_path: Path) -> None:
    T5Tokenizer.from_pretrained(trained(normalization_rule_name="nmt_nfkc")).save_pretrained(
        tmp_path
    )
    assert not (tmp_path / "spiece.model").exists()
    theirs = T5Tokenizer.from_pretrained(tmp_path)
    check(UnigramTokenizer(tmp_path), encode_with(theirs), 2, SPECIAL + METASPACES)
    backend = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    check(
        UnigramTokenizer(tmp_path / "tokenizer.json"),
        lambda text: backend.encode(text, add_special_tokens=False).ids,
        3,
        SPECIAL,
    )


def test_tokenizer_json_of_older_transformers(trained: Callable[..., Path], tmp_path: Path) -> None:
    """The steps that the files published with SD3 and FLUX have: no split at white space."""
    T5Tokenizer.from_pretrained(trained(normalization_rule_name="nmt_nfkc")).save_pretrained(
        tmp_path
    )
    file = tmp_path / "tokenizer.json"
    saved = json.loads(file.read_text())
    metaspace = {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True}
    saved["pre_tokenizer"] = metaspace | {"prepend_scheme": "always"}
    strip = {"type": "Strip", "strip_left": False, "strip_right": True}
    replace = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}
    saved["normalizer"] = {
        "type": "Sequence",
        "normalizers": [saved["normalizer"], strip, replace],
    }
    file.write_text(json.dumps(saved))
    theirs = T5Tokenizer.from_pretrained(tmp_path)
    check(UnigramTokenizer(tmp_path), encode_with(theirs), 4, SPECIAL)


@pytest.mark.parametrize("byte_fallback", [False, True])
def test_piece_model_equals_sentencepiece(
    trained: Callable[..., Path], byte_fallback: bool
) -> None:
    size = 260 + (256 if byte_fallback else 0)
    folder = trained(
        normalization_rule_name="identity", byte_fallback=byte_fallback, vocab_size=size
    )
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    ours = UnigramTokenizer(folder)
    # sentencepiece parts words at U+0020 only, and knows no special tokens in texts.
    kept = [text for text in texts(1500, 5) if not {c for c in text if c.isspace()} - {" "}]
    wrong = [text for text in kept if ours.encode(text) != theirs.encode(text)]
    assert not wrong, wrong[0]
    assert byte_fallback == (2 not in ours.encode("\U0001f600"))


def test_byte_fallback_in_tokenizer_json(trained: Callable[..., Path], tmp_path: Path) -> None:
    T5Tokenizer.from_pretrained(
        trained(normalization_rule_name="identity", byte_fallback=True, vocab_size=516)
    ).save_pretrained(tmp_path)
    file = tmp_path / "tokenizer.json"
    saved = json.loads(file.read_text())
    saved["model"]["byte_fallback"] = True
    file.write_text(json.dumps(saved))
    backend = tokenizers.Tokenizer.from_file(str(file))
    ours = UnigramTokenizer(tmp_path)
    check(ours, lambda text: backend.encode(text, add_special_tokens=False).ids, 6, SPECIAL)


def test_rows_equal_transformers(trained: Callable[..., Path]) -> None:
    folder = trained(normalization_rule_name="nmt_nfkc")
    theirs = T5Tokenizer.from_pretrained(folder)
    ours = UnigramTokenizer(folder)
    for text in ["", "a cat", "a red circle, " * 15, "<extra_id_1>"]:
        for length in [1, 2, 7, 77, 256]:
            row = theirs(text, padding="max_length", max_length=length, truncation=True).input_ids
            assert ours.row(text, length) == row


def test_decodes_to_the_words(trained: Callable[..., Path]) -> None:
    ours = UnigramTokenizer(trained(normalization_rule_name="nmt_nfkc"))
    text = "masterpiece of a red circle, cinematic lighting"
    assert ours.decode(ours.encode(text)) == text
    assert ours.decode([-1, 10**9]) == ""


def test_ill_formed_text_counts_as_replacement_characters(trained: Callable[..., Path]) -> None:
    ours = UnigramTokenizer(trained(normalization_rule_name="nmt_nfkc"))
    assert ours.encode(b"a \xff\xc3( b") == ours.encode("a \ufffd\ufffd( b")
    assert ours.encode("a \ud800 b") == ours.encode("a ? b")


def test_a_hostile_word_takes_no_quadratic_time(trained: Callable[..., Path]) -> None:
    ours = UnigramTokenizer(trained(normalization_rule_name="identity"))
    start = time.perf_counter()
    assert len(ours.encode("ab" * 100_000)) > 10_000
    assert len(ours.encode("\u2581" * 100_000)) == 100_000
    assert time.perf_counter() - start < 5


def test_a_missing_vocabulary_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json or spiece\.model"):
        UnigramTokenizer(tmp_path)


def test_another_kind_of_tokenizer_is_refused(trained: Callable[..., Path], tmp_path: Path) -> None:
    folder = trained(model_type="bpe", normalization_rule_name="identity", vocab_size=150)
    with pytest.raises(UnsupportedModel, match=r"model_type.*got 2"):
        UnigramTokenizer(folder)
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "BPE", "vocab": {}}}')
    with pytest.raises(UnsupportedModel, match=r"'model.type'.*Unigram.*\"BPE\""):
        UnigramTokenizer(tmp_path)
