"""Where the vocabulary of a model that carries none may be found.

Single-file checkpoints hold weights only. The tokenizer's vocabulary is then looked for, in this
order:

1. beside the model file, or in a folder ``tokenizer`` there;
2. in the file or folder that the environment variable ``SDRBEE_CLIP_VOCABULARY`` names;
3. in the Hugging Face cache, where other programs have put a model with the same vocabulary;
4. in an installed Python package that ships it (``open_clip_torch`` or ``clip-anytorch``).

Nothing is downloaded, and no package is imported.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from sdrbee._native import CheckpointError

ENVIRONMENT_VARIABLE = "SDRBEE_CLIP_VOCABULARY"

# All Stable Diffusion models share CLIP's vocabulary; these are the repositories most often cached.
_REPOSITORIES = (
    "openai/clip-vit-large-patch14",
    "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "runwayml/stable-diffusion-v1-5",
    "stabilityai/stable-diffusion-xl-base-1.0",
    "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
)
_PACKAGES = ("open_clip", "clip")


def clip_vocabulary_candidates(model: Path) -> list[Path]:
    """Lists the places that may hold CLIP's vocabulary, the preferred first.

    Args:
        model: The model file or folder.

    Returns:
        Folders and files; those from the cache and from packages exist, the others may not.

    Raises:
        CheckpointError: ``SDRBEE_CLIP_VOCABULARY`` names a path that doesn't exist.
    """
    beside = model.parent if model.is_file() else model
    return [beside, *_configured(), *_cached(), *_packaged()]


def _configured() -> list[Path]:
    value = os.environ.get(ENVIRONMENT_VARIABLE)
    if not value:
        return []
    path = Path(value).expanduser()
    if not path.exists():
        raise CheckpointError(
            f"[{ENVIRONMENT_VARIABLE}] expected a file or folder with CLIP's vocabulary but "
            f"{path} doesn't exist"
        )
    return [path]


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
