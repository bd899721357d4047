"""Textual inversions of a request: the forms in which they are given, and the files that their
names mean."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypedDict

from sdrbee._native import InvalidRequest
from sdrbee.hub.local import LocalModels
from sdrbee.model_files import adapter_file

KIND = "embedding"
"""What the model store calls them."""


class EmbeddingFields(TypedDict, total=False):
    """A textual inversion with all that can be said of it."""

    name: str
    """Without `path`, its name in the model store."""
    token: str
    """The word that stands for it in prompts; its name when absent."""
    path: str | os.PathLike[str]
    sha256: str
    """Refuses another file than the one with this hash."""


EmbeddingSource = str | os.PathLike[str] | EmbeddingFields

_EXPECTED = "a file or name, or a dict of name or path"


def read_embeddings(value: Any) -> list[dict[str, str]]:
    """The textual inversions of a request, each with all its fields.

    Raises:
        TypeError: One is of none of the forms.
        InvalidRequest: No file and no textual inversion of the model store is called so.
    """
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
        raise TypeError(f"[embeddings] expected a list but got {value!r}")
    return [_read(row) for row in value]


def _read(row: Any) -> dict[str, str]:
    if isinstance(row, (str, os.PathLike)):
        given = Path(row)
        is_file = given.is_file() or not isinstance(row, str) or given.suffix == ".safetensors"
        file = given if is_file else embedding_file(str(row))
        return {"name": given.stem if is_file else str(row), "path": str(file), "sha256": ""}
    if not isinstance(row, Mapping) or set(row) - set(EmbeddingFields.__annotations__):
        raise TypeError(f"[embeddings] expected {_EXPECTED} but got {row!r}")
    for key in ("name", "token", "sha256"):
        if not isinstance(row.get(key, ""), str):
            raise TypeError(f"[embeddings] expected {key} to be a str but got {row[key]!r}")
    name, path = row.get("name", ""), row.get("path", "")
    if not isinstance(path, (str, os.PathLike)) or not (name or path):
        raise TypeError(f"[embeddings] expected {_EXPECTED} but got {row!r}")
    file = Path(path) if path else embedding_file(name)
    word = row.get("token", "") or name or file.stem
    return {"name": word, "path": str(file), "sha256": row.get("sha256", "")}


def find_moved(uses: list[dict[str, str]]) -> None:
    """Looks those of a recipe whose files aren't there up in the model store, by name: pictures
    that a worker made tell no paths."""
    for use in uses:
        if not Path(use.get("path", "")).is_file() and "name" in use:
            with suppress(InvalidRequest):
                use["path"] = str(embedding_file(use["name"]))


def stored_words() -> list[str]:
    """The names of those in the model store, without those of their publishers."""
    return sorted({name.rpartition("/")[2] for name in LocalModels().names(KIND)})


def embedding_file(name: str) -> Path:
    """The file of a textual inversion of the model store.

    Raises:
        InvalidRequest: There is none of that name, or it is not one file.
    """
    return adapter_file(name, KIND, "embeddings")
