"""Where models and adapters are: built-in names, paths as users write them, and what is loaded
with models."""

from __future__ import annotations

import os
from pathlib import Path

from sdrbee import _native
from sdrbee.hub.local import LocalModels, one_file
from sdrbee.names import ModelNotFound, NamedModel, not_found
from sdrbee.sizes import parse_bytes
from sdrbee.vocabulary import vocabulary_candidates

BUILTIN_FOLDER = Path(__file__).parent / "data"

# What diffusers calls the one file of a LoRA's folder.
LORA_FILE = "pytorch_lora_weights.safetensors"

# By kind the file that a built-in adapter's folder has.
_ADAPTER_FILES = {"lora": LORA_FILE, "controlnet": "config.json"}


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


def builtin_adapters(kind: str) -> list[str]:
    """The names of the adapters of a kind ("lora", "controlnet") that come with the package."""
    file = _ADAPTER_FILES.get(kind)
    return sorted(path.parent.name for path in BUILTIN_FOLDER.glob(f"*/{file}")) if file else []


def adapter_names(kind: str) -> list[str]:
    """The names of all adapters of a kind: the built-in ones, then those of the local store."""
    return [*dict.fromkeys([*builtin_adapters(kind), *LocalModels().names(kind)])]


def adapter_path(name: str, kind: str) -> Path:
    """Where the adapter of a built-in name, or of one in the local store, is.

    Raises:
        ModelNotFound: There is none.
    """
    if name in builtin_adapters(kind):
        return BUILTIN_FOLDER / name
    store = LocalModels()
    try:
        return store.path_of(store.find(name, kind)).resolve()
    except ModelNotFound:
        raise not_found(name, [NamedModel(one) for one in adapter_names(kind)]) from None


def adapter_file(name: str, kind: str, field: str) -> Path:
    """The safetensors file of an adapter that is one file, by its name.

    Raises:
        InvalidRequest: There is no such adapter, or it is not one file; the message names `field`.
    """
    try:
        path = adapter_path(name, kind)
    except ModelNotFound as error:
        told = str(error).removeprefix("[model] ")
        raise _native.InvalidRequest(
            f"[{field}] {told} (of kind {kind} in the model store)"
        ) from None
    return one_file(path, field, _ADAPTER_FILES.get(kind, ""))


def control_path(name: str) -> str:
    """The absolute path of a control network: of a path as users write it, or of a name.

    Raises:
        ModelNotFound: It is neither.
    """
    path = Path(name).expanduser()
    if is_moved(path) and path.name in builtin_adapters("controlnet"):
        name = path.name
    elif path.exists() or _is_path(name):
        return str(path.resolve())
    return str(adapter_path(name, "controlnet"))


def is_moved(path: Path) -> bool:
    """Whether it may be something built in of a package that is elsewhere now."""
    return path.is_absolute() and not path.exists() and path.parent.name == BUILTIN_FOLDER.name


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
