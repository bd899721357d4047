"""Versions of models at Civitai, by its HTTP interface."""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath
from urllib.parse import urljoin

import msgspec

from sdrbee.hub.download import check_weights, download, fetch_json
from sdrbee.hub.errors import NeedsKey, NotThere, PullError
from sdrbee.hub.local import LocalModels, StoredModel

ENDPOINT = "https://civitai.com"

# What Civitai calls the kinds of the store.
_KINDS = {
    "Checkpoint": "checkpoint",
    "LORA": "lora",
    "LoCon": "lora",
    "DoRA": "lora",
    "Controlnet": "controlnet",
    "TextualInversion": "embedding",
}


class _Hashes(msgspec.Struct):
    SHA256: str | None = None


class _File(msgspec.Struct):
    name: str
    downloadUrl: str | None = None
    type: str = "Model"
    primary: bool = False
    hashes: _Hashes = msgspec.field(default_factory=_Hashes)


class _Model(msgspec.Struct):
    name: str
    type: str


class _Version(msgspec.Struct):
    id: int
    name: str
    model: _Model
    files: list[_File]


def pull_version(number: int, store: LocalModels, *, progress: bool) -> StoredModel:
    """Downloads the weights of a version.

    Raises:
        PullError: There is no such version, a key is needed, or its files are none that are run.
    """
    endpoint = os.environ.get("SDRBEE_CIVITAI_ENDPOINT") or ENDPOINT
    key = os.environ.get("CIVITAI_API_TOKEN")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = f"{endpoint.rstrip('/')}/api/v1/model-versions/{number}"
    try:
        version = msgspec.json.decode(fetch_json(url, headers), type=_Version)
        kind = _kind(version)
        file = _weights(version)
        name = PurePosixPath(file.name.replace("\\", "/")).name
        target = store.files / "civitai" / str(number) / name
        if not target.exists():
            address = urljoin(url, file.downloadUrl or f"/api/download/models/{number}")
            download(address, target, sha256=file.hashes.SHA256, headers=headers, progress=progress)
    except NeedsKey as error:
        raise PullError(f"{error}; give a key of yours in CIVITAI_API_TOKEN") from None
    except NotThere:
        raise PullError(f"[pull] Civitai has no version {number}") from None
    except msgspec.MsgspecError as error:
        raise PullError(f"[pull] {url} answered otherwise than Civitai does: {error}") from None
    return StoredModel(
        name=f"civitai/{_slug(version.model.name)}-{_slug(version.name)}",
        path=str(target.relative_to(store.folder)),
        source=f"civitai:{number}",
        kind=kind,
        revision=str(version.id),
        bytes=target.stat().st_size,
        sha256={name: file.hashes.SHA256.lower()} if file.hashes.SHA256 else {},
    )


def _kind(version: _Version) -> str:
    if version.model.type not in _KINDS:
        raise PullError(
            f"[pull] expected one of {', '.join(_KINDS)} but version {version.id} of "
            f"{version.model.name!r} is a {version.model.type}"
        )
    return _KINDS[version.model.type]


def _weights(version: _Version) -> _File:
    """The file of weights, the primary one if there are several.

    Its hash is that of the network, not of what is beside it: training data, configurations.
    """
    models = sorted(
        (file for file in version.files if file.type in ("Model", "Pruned Model", "Negative")),
        key=lambda file: (not file.name.lower().endswith(".safetensors"), not file.primary),
    )
    if not models:
        raise PullError(f"[pull] version {version.id} of {version.model.name!r} has no weights")
    check_weights(models[0].name)
    return models[0]


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "unnamed"
