"""Repositories and files of Hugging Face, through `huggingface_hub` and into its cache."""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import huggingface_hub
from huggingface_hub import errors
from tqdm import tqdm

from sdrbee.hub.download import WEIGHT_SUFFIXES, check_weights, hash_of
from sdrbee.hub.errors import PullError
from sdrbee.hub.local import StoredModel

_WEIGHTS = re.compile(
    r"(?P<stem>model|diffusion_pytorch_model)(?P<fp16>\.fp16)?(-\d+-of-\d+)?\.safetensors"
)
_INDEX = re.compile(
    r"(?P<stem>model|diffusion_pytorch_model)\.safetensors\.index(?P<fp16>\.fp16)?\.json"
)
_TEXTS = (".json", ".txt", ".model")

# Looks at finished pictures; no part of making one.
_UNUSED = ("safety_checker",)


def pull_repository(repository: str, revision: str, *, progress: bool) -> StoredModel:
    """Downloads what a model in the layout of diffusers consists of.

    Raises:
        PullError: There is no such repository, it needs a token, or holds no such model.
    """
    with _told(repository):
        info = _info(repository, revision)
        if info is None:
            return _cached(repository, revision)
        names = [file.rfilename for file in info.siblings or []]
        if "model_index.json" not in names:
            raise PullError(_no_folder(repository, names))
        index = _fetch(repository, "model_index.json", revision, progress)
        chosen = choose_files(names, json.loads(index.read_text(encoding="utf-8")))
        for name in chosen:
            _fetch(repository, name, revision, progress)
        hashes = _check(info, index.parent, chosen)
    return StoredModel(
        name=repository,
        path=str(index.parent),
        source=f"hf:{repository}",
        revision=revision,
        commit=info.sha or "",
        bytes=sum((index.parent / name).stat().st_size for name in chosen),
        sha256=hashes,
    )


def pull_file(repository: str, file: str, revision: str, *, progress: bool) -> StoredModel:
    """Downloads one file of weights.

    Raises:
        PullError: There is no such file, it needs a token, or is none of weights.
    """
    check_weights(file)
    with _told(repository):
        info = _info(repository, revision)
        path = _fetch(repository, file, revision, progress, local=info is None)
        hashes = {} if info is None else _check(info, _root(path, file), [file])
    return StoredModel(
        name=f"{repository}/{PurePosixPath(file).stem}",
        path=str(path),
        source=f"hf:{repository}/{file}",
        revision=revision,
        commit=_root(path, file).name,
        bytes=path.stat().st_size,
        sha256=hashes,
    )


def choose_files(names: Sequence[str], index: dict[str, Any]) -> list[str]:
    """The files of a repository that a model needs: configurations, vocabularies, and of each
    component one set of weights, in full precision where there is a choice.

    Raises:
        PullError: A component has its weights as pickles alone.
    """
    chosen = ["model_index.json"]
    for part, kind in index.items():
        if not isinstance(kind, list) or None in kind or part in _UNUSED:
            continue
        below = [name for name in names if name.startswith(f"{part}/") and name.count("/") == 1]
        weights = _one_precision([name for name in below if _matches(_WEIGHTS, name)])
        indices = _one_precision([name for name in below if _matches(_INDEX, name)])
        texts = [n for n in below if n.endswith(_TEXTS) and ".index." not in n]
        pickles = [name for name in below if name.endswith((".bin", ".ckpt", ".pt"))]
        if pickles and not weights:
            check_weights(pickles[0])
        chosen += [*texts, *indices, *weights]
    return chosen


def _matches(pattern: re.Pattern[str], name: str) -> bool:
    return pattern.fullmatch(PurePosixPath(name).name) is not None


def _one_precision(names: list[str]) -> list[str]:
    full = [name for name in names if ".fp16" not in name]
    return full or names


def _info(repository: str, revision: str) -> huggingface_hub.ModelInfo | None:
    """What the repository holds; None where there is no network to be used."""
    try:
        return huggingface_hub.HfApi().model_info(
            repository, revision=revision, files_metadata=True
        )
    except errors.OfflineModeIsEnabled:
        return None


def _fetch(repository: str, file: str, revision: str, progress: bool, local: bool = False) -> Path:
    return Path(
        huggingface_hub.hf_hub_download(
            repository,
            file,
            revision=revision,
            local_files_only=local,
            tqdm_class=tqdm if progress else _NoBar,
        )
    )


def _cached(repository: str, revision: str) -> StoredModel:
    folder = Path(
        huggingface_hub.snapshot_download(repository, revision=revision, local_files_only=True)
    )
    files = [file for file in folder.rglob("*") if file.is_file()]
    return StoredModel(
        name=repository,
        path=str(folder),
        source=f"hf:{repository}",
        revision=revision,
        commit=folder.name,
        bytes=sum(file.stat().st_size for file in files),
    )


def _root(path: Path, file: str) -> Path:
    """The folder of the snapshot that a file lies in."""
    return path.parents[len(PurePosixPath(file).parts) - 1]


def _check(info: huggingface_hub.ModelInfo, folder: Path, names: Sequence[str]) -> dict[str, str]:
    """The hashes of the large files, compared with what was told of all; a file that differs is
    taken out of the cache."""
    if info.sha and folder.name != info.sha:
        raise PullError(f"[pull] {info.id} has changed meanwhile; pull again")
    hashes: dict[str, str] = {}
    for file in info.siblings or []:
        path = folder / file.rfilename
        if file.rfilename not in names:
            continue
        if file.lfs is not None:
            hashes[file.rfilename] = file.lfs.sha256
            right = hash_of(path) == file.lfs.sha256
        else:
            right = file.blob_id is None or _blob_id(path) == file.blob_id
        if not right:
            path.resolve().unlink()
            path.unlink(missing_ok=True)
            raise PullError(
                f"[pull] {file.rfilename} is not what {info.id} says it is: it was damaged on its "
                "way; pull again"
            )
    return hashes


def _blob_id(path: Path) -> str:
    """The name that git has for the contents of a file."""
    contents = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(contents) + contents).hexdigest()


def _no_folder(repository: str, names: Sequence[str]) -> str:
    weights = [name for name in names if name.endswith(WEIGHT_SUFFIXES)]
    text = f"[pull] {repository} has no model_index.json, so it is no model in diffusers' layout"
    if weights:
        return f"{text}; pull one of its files: hf:{repository}/" + f", hf:{repository}/".join(
            weights[:5]
        )
    return f"{text}, and no .safetensors or .gguf file"


@contextmanager
def _told(repository: str) -> Iterator[None]:
    """Errors of the library as ours."""
    page = f"https://huggingface.co/{repository}"
    try:
        yield
    except errors.GatedRepoError:
        raise PullError(
            f"[pull] {repository} wants its terms accepted: do so at {page}, and give your token "
            "in HF_TOKEN"
        ) from None
    except errors.RepositoryNotFoundError:
        raise PullError(
            f"[pull] there is no repository {repository}, or it is private and HF_TOKEN must hold "
            "a token that may read it"
        ) from None
    except errors.RevisionNotFoundError:
        raise PullError(f"[pull] {repository} has no such revision") from None
    except errors.LocalEntryNotFoundError:
        raise PullError(
            f"[pull] {repository} cannot be reached, or HF_HUB_OFFLINE says not to, and the cache "
            "does not hold it"
        ) from None
    except errors.EntryNotFoundError as error:
        raise PullError(f"[pull] {repository} has no such file: {_first_line(error)}") from None
    except (errors.HFValidationError, errors.HfHubHTTPError) as error:
        raise PullError(f"[pull] {repository}: {_first_line(error)}") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise PullError(
                f"[pull] the disk is full while {repository} is pulled; make room and pull again: "
                "it goes on from there"
            ) from None
        raise PullError(f"[pull] {repository}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


class _NoBar(tqdm):  # type: ignore[misc]
    """A bar that is not shown."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{**options, "disable": True})
