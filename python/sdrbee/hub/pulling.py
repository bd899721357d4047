"""Pulling: from a name that says where a model is published to one in the local store."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import datetime, timezone

from sdrbee import _native
from sdrbee.hub.errors import PullError
from sdrbee.hub.local import KINDS, LocalModels, StoredModel
from sdrbee.model_files import model_files

DEFAULT_REVISION = "main"

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*")
_OFFLINE = ("1", "on", "yes", "true")


def pull(
    source: str,
    *,
    name: str | None = None,
    kind: str | None = None,
    store: LocalModels | None = None,
    progress: bool = False,
) -> StoredModel:
    """Downloads a model and gives it a name in the local store.

    Args:
        source: ``owner/name`` or ``hf:owner/name``, a repository of Hugging Face;
            ``hf:owner/name/file.safetensors``, one of its files; ``civitai:123``, a version at
            Civitai. ``@revision`` may follow those of Hugging Face.
        name: What to call it; by default what its publisher calls it.
        kind: What a single file is for: "checkpoint" (the default), "lora", "controlnet" or
            "embedding". Of Civitai's it is known.
        store: The store; by default the user's.
        progress: Shows bars on stderr.

    Returns:
        The store's row.

    Raises:
        PullError: It could not be had; what is there already is gone on with at the next try.
        InvalidRequest: An argument is none of these.
    """
    if name is not None and _NAME.fullmatch(name) is None:
        raise _native.InvalidRequest(
            f"[name] expected letters, digits, '-', '_', '.' and '/' but got {name!r}"
        )
    if kind is not None and kind not in KINDS:
        raise _native.InvalidRequest(f"[kind] expected one of {', '.join(KINDS)} but got {kind!r}")
    store = store or LocalModels()
    model = _pulled(source, store, progress)
    model = replace(
        model,
        name=name or model.name,
        kind=kind or model.kind,
        pulled=datetime.now(timezone.utc).isoformat(timespec="microseconds"),
    )
    model = _described(model, store)
    store.add(model)
    return model


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE says to leave the network alone; it counts for all that is pulled."""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in _OFFLINE


def _pulled(source: str, store: LocalModels, progress: bool) -> StoredModel:
    place, separator, rest = source.partition(":")
    if separator and place == "civitai" and rest.isdigit() and len(rest) < 19:
        if is_offline():
            return _kept(source, store)

        # Clients of HTTP take long to import, and only this needs them.
        from sdrbee.hub.civitai import pull_version

        return pull_version(int(rest), store, progress=progress)
    if separator and place != "hf":
        raise _not_a_source(source)
    where, _, revision = (rest if separator else source).partition("@")
    parts = where.split("/")
    if len(parts) < 2 or not all(parts) or ".." in parts:
        raise _not_a_source(source)

    from sdrbee.hub.huggingface import pull_file, pull_repository

    repository, file = "/".join(parts[:2]), "/".join(parts[2:])
    revision = revision or DEFAULT_REVISION
    if file:
        return pull_file(repository, file, revision, progress=progress)
    return pull_repository(repository, revision, progress=progress)


def _kept(source: str, store: LocalModels) -> StoredModel:
    """The row of an earlier pull."""
    for model in store.all():
        if model.source == source and store.path_of(model).exists():
            return model
    raise PullError(f"[pull] HF_HUB_OFFLINE is set, and {source} was not pulled before")


def _not_a_source(source: str) -> _native.InvalidRequest:
    return _native.InvalidRequest(
        "[source] expected owner/name, hf:owner/name, hf:owner/name/file.safetensors or "
        f"civitai:123 but got {source!r}"
    )


def _described(model: StoredModel, store: LocalModels) -> StoredModel:
    """With family and variant, where this build runs the model."""
    if model.kind != "checkpoint":
        return model
    try:
        told = _native.describe(model_files(store.path_of(model)), "cpu")
    except (_native.CheckpointError, _native.UnsupportedModel):
        return model
    return replace(
        model, family=told.family, variant="" if told.info is None else told.info.variant
    )
