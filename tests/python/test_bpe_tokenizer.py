"""Qwen's tokenizer against transformers and tokenizers, live, on many texts."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from golden.clip_tokenizer_texts import texts
from golden.make_bpe_tokenizer import MARKS, PATTERN_TEXTS, train
from transformers import Qwen2Tokenizer, logging

from sdrbee._native import BpeTokenizer, CheckpointError, UnsupportedModel

logging.set_verbosity_error()  # texts longer than the window are on purpose

SPACES = [
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "\u00a0",
    "\u2028",
    "'",
    "'s",
    "'LL",
    "1",
    "!",
    "a",
    "\u00e9",
]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocabulary trained now: vocab.json, merges.txt and tokenizer_config.json."""
    folder = tmp_path_factory.mktemp("qwen")
    train(folder, merge_count=600)
    return folder


def mixed(count: int, seed: int) -> list[str]:
    """What lies between words, in disorder, with marks."""
    rng = random.Random(seed)
    pieces = [*SPACES, *SPACES, *MARKS]
    return ["".join(rng.choices(pieces, k=rng.randint(1, 25))) for _ in range(count)]


def check(ours: BpeTokenizer, theirs: Callable[[str], list[int]], seed: int, count: int) -> None:
    wrong = []
    for text in [*texts(count, seed), *mixed(count // 2, seed), *PATTERN_TEXTS]:
        if ours.encode(text) != theirs(text):
            wrong.append((text, ours.encode(text), theirs(text)))
    assert not wrong, f"{len(wrong)} texts, the first: {wrong[0]}"


def encode_with(tokenizer: Any) -> Callable[[str], list[int]]:
    return lambda text: tokenizer(text).input_ids


def test_vocab_and_merges_equal_transformers(small: Path) -> None:
    theirs = Qwen2Tokenizer.from_pretrained(small)
    ours = BpeTokenizer(small)
    assert ours.pad == theirs.pad_token_id
    check(ours, encode_with(theirs), seed=1, count=2000)


def test_tokenizer_json_alone(small: Path, tmp_path: Path) -> None:
    Qwen2Tokenizer.from_pretrained(small).save_pretrained(tmp_path)
    assert not (tmp_path / "vocab.json").exists()
    theirs = Qwen2Tokenizer.from_pretrained(tmp_path)
    check(BpeTokenizer(tmp_path), encode_with(theirs), seed=2, count=700)
    (tmp_path / "tokenizer_config.json").unlink()
    backend = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    ours = BpeTokenizer(tmp_path / "tokenizer.json")
    check(ours, lambda text: backend.encode(text).ids, seed=3, count=700)


def test_a_vocabulary_that_lacks_bytes(tmp_path: Path) -> None:
    """They are left out before the others are merged."""
    train(tmp_path, merge_count=300, missing={"%", "\u0120", "i"})
    check(
        BpeTokenizer(tmp_path),
        encode_with(Qwen2Tokenizer.from_pretrained(tmp_path)),
        seed=4,
        count=500,
    )


def test_decodes_to_the_text(small: Path) -> None:
    ours = BpeTokenizer(small)
    theirs = Qwen2Tokenizer.from_pretrained(small)
    for text in texts(300, 5):
        ids = ours.encode(text)
        assert ours.decode(ids) == theirs.decode(ids)
    assert ours.decode([-1, 10**9]) == ""


def test_ill_formed_text_counts_as_replacement_characters(small: Path) -> None:
    ours = BpeTokenizer(small)
    assert ours.encode(b"a \xff\xc3( b") == ours.encode("a \ufffd\ufffd( b")


def test_a_hostile_text_takes_no_quadratic_time(small: Path) -> None:
    ours = BpeTokenizer(small)
    start = time.perf_counter()
    for text in ["ab" * 100_000, " " * 200_000, "\n a" * 50_000, "'" * 200_000, "<|im_" * 50_000]:
        assert len(ours.encode(text)) > 1000
    assert time.perf_counter() - start < 10


def test_other_kinds_of_tokenizers_are_refused(small: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json or vocab\.json"):
        BpeTokenizer(tmp_path)
    Qwen2Tokenizer.from_pretrained(small).save_pretrained(tmp_path)
    file = tmp_path / "tokenizer.json"
    saved = file.read_text()

    def refused(change: Callable[[Any], object], match: str) -> None:
        tokenizer = json.loads(saved)
        change(tokenizer)
        file.write_text(json.dumps(tokenizer))
        with pytest.raises(UnsupportedModel, match=match):
            BpeTokenizer(tmp_path)

    refused(lambda it: it["model"].update(type="Unigram"), r"'model.type'.*Unigram")
    refused(lambda it: it["model"].update(end_of_word_suffix="</w>"), r"end_of_word_suffix.*</w>")
    refused(lambda it: it["model"].update(byte_fallback=True), "byte_fallback")
    refused(lambda it: it.update(normalizer={"type": "NFKC"}), r"'normalizer'.*NFKC")
    refused(lambda it: it.update(pre_tokenizer={"type": "ByteLevel"}), r"'pre_tokenizer'")
    refused(lambda it: it["pre_tokenizer"]["pretokenizers"][0].update(pattern={"Regex": "x"}), "x")
    file.write_text(saved)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["padding_side"] = "left"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModel, match=r"padding_side.*left"):
        BpeTokenizer(tmp_path)
