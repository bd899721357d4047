"""Where models are: built-in names, paths as users write them, and what is loaded with them."""

from __future__ import annotations

import os
from pathlib import Path

from sdrbee import _native
from sdrbee.hub.local import LocalModels
from sdrbee.names import ModelNotFound, NamedModel, not_found
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
    """The path of a built-in name, of a path as users write it, or of a model in the local store.

    Raises:
        ModelNotFound: It is none of these.
        CheckpointError: It is a path where nothing is.
    """
    if name in builtin_models():
        return BUILTIN_FOLDER / name
    path = Path(name).expanduser()
    if path.exists():
        return path
    store = LocalModels()
    try:
        return store.path_of(store.find(name))
    except ModelNotFound:
        if _is_path(name):
            return path  # what is wrong with it is told where it is opened
    known = [NamedModel(one) for one in (*builtin_models(), *store.names())]
    raise not_found(name, known, "a folder, a .safetensors or a .gguf file will do, too")


def control_path(name: str) -> str:
    """The absolute path of a control network: of a path as users write it, or of a name in the
    local store.

    Raises:
        ModelNotFound: It is neither.
    """
    path = Path(name).expanduser()
    if path.exists() or _is_path(name):
        return str(path.resolve())
    return str(stored_control(name))


def stored_control(name: str) -> Path:
    """Where the control network of that name is in the local store.

    Raises:
        ModelNotFound: There is none.
    """
    store = LocalModels()
    return store.path_of(store.find(name, "controlnet")).resolve()


def _is_path(name: str) -> bool:
    """Whether it can hardly be a name: ``owner/name`` may be one, ``./a`` and ``a/b/c`` are not."""
    return (
        name.startswith((".", "~", os.sep))
        or name.count(os.sep) > 1
        or Path(name).suffix in (".safetensors", ".gguf")
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
