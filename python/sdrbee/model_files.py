"""Where models are: built-in names, paths as users write them, and what is loaded with them."""

from __future__ import annotations

import os
from pathlib import Path

from sdrbee import _native
from sdrbee.sizes import parse_bytes
from sdrbee.vocabulary import vocabulary_candidates

BUILTIN_FOLDER = Path(__file__).parent / "data"


def builtin_models() -> list[str]:
    """The names of the models that come with the package.

    Example:
        >>> import sdrbee
        >>> sdrbee.builtin_models()
        ['shapes', 'shapes-inpaint']
    """
    return sorted(path.parent.name for path in BUILTIN_FOLDER.glob("*/model_index.json"))


def model_path(name: str) -> Path:
    """The path of a built-in name or of a path as users write it."""
    if name in builtin_models():
        return BUILTIN_FOLDER / name
    path = Path(name).expanduser()
    if path.exists() or os.sep in name:
        return path
    import difflib

    nearest = difflib.get_close_matches(name, builtin_models(), n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"built in: {builtin_models()}"
    raise _native.CheckpointError(
        f"[load] expected a built-in model, a folder, a .safetensors or a .gguf file but got "
        f"{name!r}; {hint}"
    )


def model_files(
    name: str | os.PathLike[str],
    *,
    dtype: str = "auto",
    variant: str | None = None,
    prediction: str | None = None,
    memory_limit: int | str | None = None,
    prompt_cache: int | str | None = None,
    **components: str | os.PathLike[str] | None,
) -> _native.ModelFiles:
    """The arguments of `load`, with paths and sizes as numbers, and where vocabularies may be."""
    path = model_path(os.fspath(name))
    places = {
        part: model_path(os.fspath(place))
        for part, place in components.items()
        if place is not None
    }
    vocabularies = vocabulary_candidates(path, list(places.values()))
    return _native.ModelFiles(
        str(path),
        dtype,
        variant or "",
        prediction or "",
        {part: str(place) for part, place in places.items()},
        [str(place) for place in vocabularies],
        None if memory_limit is None else parse_bytes(memory_limit, "memory_limit"),
        None if prompt_cache is None else parse_bytes(prompt_cache, "prompt_cache"),
    )
