"""Converting the weights of models to other number formats."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sdrbee import _native
from sdrbee._native import CheckpointError, InvalidRequest
from sdrbee.model_files import model_path

OnTensor = Callable[[int, int], object]

_WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt", ".ckpt", ".index.json")
# Pictures show every error of the autoencoder, which is small beside the other components.
_KEPT = "vae"


@dataclass(frozen=True, slots=True)
class Conversion:
    """What `sdrbee.convert` wrote.

    Attributes:
        files: The files, or the one file.
        tensors: How many tensors there are of each type.
        bytes: The length of all files.
    """

    files: tuple[Path, ...]
    tensors: dict[str, int]
    bytes: int


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    type: str | None = None,
    rules: Mapping[str, str] | None = None,
    on_tensor: OnTensor | None = None,
) -> Conversion:
    """Writes a model's weights in another number format, to safetensors or GGUF.

    Args:
        source: A file, the index of its shards, a component's folder, or a model: its folder, or
            a built-in name.
        target: A ``.safetensors`` or ``.gguf`` file that is replaced when it is there; for a
            model's folder a new folder, in which the autoencoder keeps its numbers unless a rule
            says otherwise.
        type: "f32", "f16" and "bf16" for both, "fp8" (E4M3) for safetensors, "q8_0", "q6_k",
            "q5_1", "q5_0", "q4_k", "q4_1" and "q4_0" for GGUF; by default as stored. fp8 and
            quantised types are given to matrices and kernels of 1024 values and more whose rows
            are whole blocks; norms, biases and the rest keep their floats.
        rules: Types by patterns of tensors' names ("*.attn2.*"); the first that matches wins over
            `type`.
        on_tensor: Called as ``on_tensor(done, total)`` after every tensor of a file.

    Raises:
        InvalidRequest: The target or a type is unknown, or a rule can't be obeyed.
        CheckpointError: The source is damaged or incomplete.
        UnsupportedModel: The source is no model or component.

    Example:
        >>> import sdrbee
        >>> done = sdrbee.convert("shapes", "small", type="q8_0")
        >>> sdrbee.load("./small").info.family
        'stable_diffusion'
    """
    path = model_path(os.fspath(source))
    chosen = list((rules or {}).items())
    if (path / "model_index.json").is_file():
        return _convert_folder(path, Path(target), type or "", chosen, on_tensor)
    report = _native.convert(path, target, type or "", chosen, on_tensor)
    return Conversion((Path(target),), dict(report.tensors), report.bytes)


def _convert_folder(
    source: Path, target: Path, type: str, rules: list[tuple[str, str]], on_tensor: OnTensor | None
) -> Conversion:
    if target.exists():
        raise InvalidRequest(f"[target] expected the name of a new folder but {target} exists")
    if not target.parent.is_dir():
        raise InvalidRequest(f"[target] the folder of {target} does not exist")
    quantised = type and type.lower() not in _native.conversion_types("model.safetensors")
    tensors: Counter[str] = Counter()
    files: list[Path] = []
    # The folder gets its name when it is whole.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
        made = Path(scratch) / target.name
        shutil.copytree(source, made, ignore=_ignore_weights)
        for part in sorted(made.iterdir()):
            stem = _stem(source / part.name)
            if stem is None:
                continue
            own = "" if part.name == _KEPT and quantised else type
            ending = ".gguf" if quantised and part.name != _KEPT else ".safetensors"
            file = part / (stem + ending)
            report = _native.convert(source / part.name, file, own, rules, on_tensor)
            tensors.update(report.tensors)
            files.append(target / part.name / file.name)
        made.rename(target)
    if not files:
        raise CheckpointError(f"[{source}] the model has no weights")
    return Conversion(tuple(files), dict(tensors), sum(file.stat().st_size for file in files))


def _ignore_weights(_folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name.endswith(_WEIGHTS)}


def _stem(component: Path) -> str | None:
    """The name that the weights of a component have; nothing for one without weights."""
    if not (component / "config.json").is_file():
        return None
    transformers = any(component.glob("model*")) or any(component.glob("pytorch_model*"))
    return "model" if transformers else "diffusion_pytorch_model"
