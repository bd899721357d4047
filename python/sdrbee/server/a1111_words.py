"""Textual inversions of the model store, which A1111's clients use by their names in prompts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sdrbee.embeddings import embedding_file, stored_words

_MOST_HEADER_BYTES = 1 << 20


def words_in(*texts: str) -> list[dict[str, str]]:
    """Those whose names stand in the texts, in the form of the native wire."""
    return [{"name": word} for word in stored_words() if any(_stands(word, one) for one in texts)]


def word_items() -> dict[str, Any]:
    """The answer to GET embeddings."""
    loaded: dict[str, Any] = {}
    skipped: dict[str, Any] = {}
    for word in stored_words():
        shape = _shape(embedding_file(word))
        told = {
            "step": None,
            "sd_checkpoint": None,
            "sd_checkpoint_name": None,
            "shape": shape[-1] if shape else -1,
            "vectors": shape[0] if len(shape) == 2 else len(shape),
        }
        (loaded if shape else skipped)[word] = told
    return {"loaded": loaded, "skipped": skipped}


def _stands(word: str, text: str) -> bool:
    """As the engine finds words: in any case, not inside of a longer one of letters and digits."""
    before = r"(?<![^\W_])" if word[:1].isalnum() else ""
    behind = r"(?![^\W_])" if word[-1:].isalnum() else ""
    return bool(re.search(before + re.escape(word) + behind, text, re.IGNORECASE))


def _shape(file: Path) -> list[int]:
    """Of the first tensor; empty where the file can't be read."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(min(length, _MOST_HEADER_BYTES)))
        shapes = [row["shape"] for name, row in header.items() if name != "__metadata__"]
        return [int(extent) for extent in shapes[0]]
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError):
        return []
