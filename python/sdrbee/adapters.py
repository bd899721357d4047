"""LoRAs of a request: the forms in which they are given, and the files that their names mean."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, TypeAlias, TypedDict

from sdrbee._native import InvalidRequest
from sdrbee.hub.local import one_file
from sdrbee.model_files import LORA_FILE, adapter_file


class LoraFields(TypedDict, total=False):
    """A LoRA with all that can be said of it."""

    name: str
    """Built in or in the model store; with `path`, only what messages and recipes call it."""
    path: str | os.PathLike[str]
    strength: float
    """How much of it; 1.0 when absent. May be negative; 0 is as good as none."""
    blocks: Sequence[float]
    """Factors by block, as of A1111's extension lora-block-weight: 17, 26, or for XL 12, 20."""
    strict: bool
    """Whether keys that mean nothing in the model are an error (the default) or a warning."""
    sha256: str
    """Refuses another file than the one with this hash."""


LoraSource: TypeAlias = str | os.PathLike[str] | tuple[str | os.PathLike[str], float] | LoraFields

_DEFAULTS: dict[str, Any] = {"strength": 1.0, "blocks": [], "strict": True, "sha256": ""}
_EXPECTED = "a file or name, (file or name, strength), or a dict of name or path"


def read_loras(value: Any) -> list[dict[str, Any]]:
    """The LoRAs of a request, each with all its fields.

    Raises:
        TypeError: One is of none of the forms, or has a field that there isn't.
        InvalidRequest: No file and no LoRA of the model store is called so.
    """
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
        raise TypeError(f"[loras] expected a list of LoRAs but got {value!r}")
    return [_read(row) for row in value]


# https://github.com/AUTOMATIC1111/stable-diffusion-webui/blob/master/modules/extra_networks.py
_TAG = re.compile(r"<lora:([^>]+)>")


def take_lora_tags(prompt: str) -> tuple[str, list[dict[str, Any]]]:
    """The prompt without A1111's ``<lora:name:0.8>``, and the LoRAs that they name; with
    ``:lbw=1,0,...`` strengths by block.

    Raises:
        InvalidRequest: A tag says what isn't done here.

    Example:
        >>> from sdrbee.adapters import take_lora_tags
        >>> take_lora_tags("a cat <lora:ink:0.8>")
        ('a cat ', [{'name': 'ink', 'strength': 0.8}])
    """
    rows = [_read_tag(match[0], match[1].split(":")) for match in _TAG.finditer(prompt)]
    return _TAG.sub("", prompt), rows


def _read_tag(tag: str, parts: Sequence[str]) -> dict[str, Any]:
    name, *rest = parts
    row: dict[str, Any] = {"name": name, "strength": 1.0}
    try:
        for place, part in enumerate(rest):
            if part.startswith("lbw="):
                row["blocks"] = [float(one) for one in part.removeprefix("lbw=").split(",")]
            elif place == 0:
                row["strength"] = float(part)
            else:
                raise ValueError
    except ValueError:
        raise InvalidRequest(
            f"[prompt] expected <lora:name:strength>, or with :lbw= and numbers, but got {tag}"
        ) from None
    return row


def _read(row: Any) -> dict[str, Any]:
    if isinstance(row, (str, os.PathLike)):
        return _fields({"path": row}, by_name=True)
    if isinstance(row, (tuple, list)) and len(row) == 2:
        return _fields({"path": row[0], "strength": row[1]}, by_name=True)
    if not isinstance(row, Mapping):
        raise TypeError(f"[loras] expected {_EXPECTED} but got {row!r}")
    unknown = set(row) - set(LoraFields.__annotations__)
    if unknown or (not row.get("path") and not row.get("name")):
        raise TypeError(
            f"[loras] expected {_EXPECTED}, with any of {', '.join(_DEFAULTS)}, but got {row!r}"
        )
    return _fields(row, by_name=False)


def _fields(row: Mapping[str, Any], by_name: bool) -> dict[str, Any]:
    fields = {**_DEFAULTS, **row}
    for name, kind in (("strength", (int, float)), ("strict", bool), ("sha256", str)):
        value = fields[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and name == "strength"):
            raise TypeError(f"[loras] expected {name} to be a {_told(kind)} but got {value!r}")
    given = fields.get("path")
    if given and not isinstance(given, (str, os.PathLike)):
        raise TypeError(f"[loras] expected a path but got {given!r}")
    if given and (not by_name or Path(given).exists() or _looks_like_path(given)):
        path = one_file(Path(given), "loras", LORA_FILE)
    else:
        path = lora_file(os.fspath(given or fields["name"]))
    return {
        **fields,
        "name": fields.get("name") or (path.stem if given and Path(given).exists() else str(given)),
        "path": os.fspath(path),
        "strength": float(fields["strength"]),
        "blocks": [float(strength) for strength in fields["blocks"]],
    }


def _told(kind: Any) -> str:
    return "number" if isinstance(kind, tuple) else kind.__name__


def _looks_like_path(given: str | os.PathLike[str]) -> bool:
    """Whether the text can't be a name, so that what is missing is a file."""
    return not isinstance(given, str) or Path(given).suffix == ".safetensors"


def lora_file(name: str) -> Path:
    """The file of a built-in LoRA, or of one of the model store.

    Raises:
        InvalidRequest: There is none of that name, or it is not one file.
    """
    return adapter_file(name, "lora", "loras")


def find_moved_loras(uses: list[dict[str, Any]]) -> None:
    """Looks those of a recipe whose files aren't there up by name: pictures that a worker made tell
    no paths."""
    for use in uses:
        told = use.get("path", "")
        if not Path(told).is_file():
            # A file that was told and is nowhere is named by what opens it.
            with suppress(InvalidRequest) if told else nullcontext():
                use["path"] = os.fspath(lora_file(use["name"]))
