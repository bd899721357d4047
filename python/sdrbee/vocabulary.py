"""Where the vocabulary of a model that carries none may be found.

Single-file checkpoints hold weights only. The tokenizer's vocabulary is then looked for, in this
order:

1. beside the model file and the files of its components, or in a folder ``tokenizer`` there
   (CLIP's and Qwen's), ``tokenizer_3`` or ``tokenizer_2`` (T5's);
2. in the files or folders that the environment variables ``SDRBEE_CLIP_VOCABULARY``,
   ``SDRBEE_T5_VOCABULARY`` and ``SDRBEE_QWEN_VOCABULARY`` name;
3. in the Hugging Face cache, where other programs have put a model with the same vocabulary;
4. in an installed Python package that ships CLIP's (``open_clip_torch`` or ``clip-anytorch``).

Nothing is downloaded, and no package is imported.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path

from sdrbee._native import CheckpointError

ENVIRONMENT_VARIABLES = (
    "SDRBEE_CLIP_VOCABULARY",
    "SDRBEE_T5_VOCABULARY",
    "SDRBEE_QWEN_VOCABULARY",
)

# All models share CLIP's, T5's and Qwen's; these are the repositories most often cached.
_REPOSITORIES = (
    "openai/clip-vit-large-patch14",
    "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "runwayml/stable-diffusion-v1-5",
    "stabilityai/stable-diffusion-xl-base-1.0",
    "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
    "stabilityai/stable-diffusion-3.5-large",
    "stabilityai/stable-diffusion-3.5-medium",
    "stabilityai/stable-diffusion-3-medium-diffusers",
    "black-forest-labs/FLUX.1-dev",
    "black-forest-labs/FLUX.1-schnell",
    "google/t5-v1_1-xxl",
    "Qwen/Qwen3-4B",
    "Tongyi-MAI/Z-Image-Turbo",
    "black-forest-labs/FLUX.2-klein-4B",
)
_PACKAGES = ("open_clip", "clip")


def vocabulary_candidates(model: Path, components: Iterable[Path] = ()) -> list[Path]:
    """Lists the places that may hold a vocabulary of CLIP, T5 or Qwen, the preferred first.

    Args:
        model: The model file or folder.
        components: The files or folders of components that are not the model's own.

    Returns:
        Folders and files; those from the cache and from packages exist, the others may not.

    Raises:
        CheckpointError: One of the variables names a path that doesn't exist.
    """
    beside = [model.parent if model.is_file() else model]
    for component in components:
        beside += [component, component.parent] if component.is_dir() else [component.parent]
    return [*beside, *_configured(), *_cached(), *_packaged()]


def _configured() -> list[Path]:
    places: list[Path] = []
    for variable in ENVIRONMENT_VARIABLES:
        value = os.environ.get(variable)
        if not value:
            continue
        places.append(Path(value).expanduser())
        if not places[-1].exists():
            raise CheckpointError(
                f"[{variable}] expected a file or folder with a vocabulary but "
                f"{places[-1]} doesn't exist"
            )
    return places


def _cached() -> list[Path]:
    hub = _hub_cache()
    found: list[Path] = []
    for repository in _REPOSITORIES:
        folder = hub / f"models--{repository.replace('/', '--')}"
        snapshots = sorted(folder.glob("snapshots/*"))
        main = folder / "refs" / "main"
        if main.is_file():
            current = folder / "snapshots" / main.read_text(encoding="utf-8").strip()
            snapshots.sort(key=lambda snapshot: snapshot != current)
        found += snapshots
    return found


def _hub_cache() -> Path:
    """The folder that huggingface_hub uses, by its own rules."""
    for variable, tail in (
        ("HF_HUB_CACHE", "."),
        ("HF_HOME", "hub"),
        ("XDG_CACHE_HOME", "huggingface/hub"),
    ):
        value = os.environ.get(variable)
        if value:
            return Path(value).expanduser() / tail
    return Path("~/.cache/huggingface/hub").expanduser()


def _packaged() -> list[Path]:
    found: list[Path] = []
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            file = Path(folder) / "bpe_simple_vocab_16e6.txt.gz"
            if file.is_file():
                found.append(file)
    return found
