"""Builds the model's small CLIP vocabulary: byte-pair merges learned from its own captions."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from torch import Tensor
from transformers import CLIPTokenizer

from tools.shapes.scenes import caption, sample_scene

START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
MAX_TOKENS = 77


def byte_characters() -> list[str]:
    """The printable stand-ins of the 256 bytes in CLIP's order: printable bytes first."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(b) for b in kept] + [chr(256 + i) for i in range(256 - len(kept))]


def _merge(symbols: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    merged: list[str] = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return tuple(merged)


def learn_merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """Merges the most frequent pair (ties in alphabetical order) until each word is one token."""
    counts = Counter(words)
    split = {word: (*word[:-1], word[-1] + WORD_END) for word in counts}
    merges: list[tuple[str, str]] = []
    while any(len(symbols) > 1 for symbols in split.values()):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, symbols in split.items():
            for pair in itertools.pairwise(symbols):
                pairs[pair] += counts[word]
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        split = {word: _merge(symbols, best) for word, symbols in split.items()}
    return merges


def build_tokenizer(captions: int = 4000, seed: int = 5) -> CLIPTokenizer:
    """A CLIP tokenizer whose every caption word is one token; any other text still has tokens."""
    rng = np.random.default_rng(seed)
    words: list[str] = []
    for i in range(captions):
        words += caption(sample_scene(rng, 1 + i % 2), rng).split()
    merges = learn_merges(words)
    characters = byte_characters()
    tokens = [*characters, *(c + WORD_END for c in characters), *("".join(m) for m in merges)]
    vocabulary = {token: i for i, token in enumerate([*tokens, START, END])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)


def save_tokenizer(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Writes `tokenizer.json` and the older `vocab.json` and `merges.txt` side by side."""
    tokenizer.save_pretrained(folder)
    tokenizer.backend_tokenizer.model.save(str(folder))


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Token ids [N, 77], padded with the end token."""
    ids: Tensor = tokenizer(
        captions, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt"
    ).input_ids
    return ids
