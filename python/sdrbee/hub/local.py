"""The local store: a folder of model files, and an index that gives them names."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec

from sdrbee._native import CheckpointError, InvalidRequest, ModelInfo
from sdrbee.config import read_config
from sdrbee.names import NamedModel, find_model

# What a stored file is for. Pictures are made with checkpoints; the others go with one.
KINDS = ("checkpoint", "lora", "controlnet", "embedding")

_INDEX = "index.json"
_FILES = "files"


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A row of the index."""

    name: str
    """What it is called; several rows may be versions of one name."""
    path: str
    """Its folder or file: below the store's folder, or absolute in another program's cache."""
    source: str
    """Where it came from, as `sdrbee pull` takes it."""
    kind: str = "checkpoint"
    revision: str = ""
    """A branch, a tag, or a version's number."""
    commit: str = ""
    family: str = ""
    variant: str = ""
    bytes: int = 0
    sha256: dict[str, str] = field(default_factory=dict)
    """Of each file, where its publisher tells it."""
    pulled: str = ""
    """When, as ISO 8601 in UTC."""

    @property
    def full_names(self) -> tuple[str, ...]:
        """What it may be called among the versions of its name, the shortest first."""
        states = (state for state in (self.revision, self.commit) if state)
        return self.name, *(f"{self.name}@{state}" for state in states)

    def is_same_version(self, other: StoredModel) -> bool:
        """Whether the two rows are one version of one model."""
        return (self.name, self.revision, self.commit) == (other.name, other.revision, other.commit)


def models_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """The store's folder: the one given, else ``$SDRBEE_HOME/models``, else ``models`` in the
    ``home`` of the configuration file, else ``$XDG_DATA_HOME/sdrbee/models``, else
    ``~/.local/share/sdrbee/models``."""
    if folder is not None:
        return Path(folder).expanduser()
    home = os.environ.get("SDRBEE_HOME") or read_config().get("home")
    if home:
        return Path(home).expanduser() / "models"
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "sdrbee" / "models"


class LocalModels:
    """The local store. Safe from several processes: the index is changed under a lock.

    Example:
        >>> from sdrbee.hub.local import LocalModels, StoredModel
        >>> store = LocalModels("models")
        >>> store.add(StoredModel(name="mine", path="files/mine", source="hf:me/mine"))
        >>> store.names()
        ['mine']
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = models_folder(folder)

    @property
    def files(self) -> Path:
        """Where downloaded files are."""
        return self.folder / _FILES

    @property
    def index(self) -> Path:
        """The file of its rows, which each change replaces."""
        return self.folder / _INDEX

    def all(self, kind: str | None = None) -> list[StoredModel]:
        """All models of a kind, the latest pulled first.

        Raises:
            CheckpointError: The index is damaged.
        """
        models = sorted(self._read(), key=lambda model: model.pulled, reverse=True)
        return [model for model in models if kind in (None, model.kind)]

    def named(self, kind: str | None = None) -> dict[str, StoredModel]:
        """All models of a kind by full name: of several versions of a name the latest has the bare
        one, the others end in ``@revision``, or ``@commit`` where that is taken."""
        result: dict[str, StoredModel] = {}
        for model in self.all(kind):
            for name in model.full_names:
                if name not in result:
                    result[name] = model
                    break
        return result

    def names(self, kind: str | None = None) -> list[str]:
        """The full names."""
        return [*self.named(kind)]

    def find(self, name: str, kind: str | None = None) -> StoredModel:
        """The model that a name means; see `sdrbee.names.find_model`.

        Raises:
            ModelNotFound: There is none.
        """
        named = self.named(kind)
        for model in named.values():
            if name == model.source:
                return model
        known = [
            NamedModel(full, model.family, model.variant, (model.revision, model.commit))
            for full, model in named.items()
        ]
        return named[find_model(name, known)]

    def path_of(self, model: StoredModel) -> Path:
        """Where its files are."""
        return self.folder / model.path

    def add(self, model: StoredModel) -> None:
        """Puts a row into the index, in the place of the same version's."""
        with self._locked() as models:
            models[:] = [one for one in models if not one.is_same_version(model)] + [model]

    def remove(self, model: StoredModel) -> None:
        """Takes a row out of the index, and the files away that lie in the store's folder."""
        with self._locked() as models:
            models[:] = [one for one in models if not one.is_same_version(model)]
            still_used = any(one.path == model.path for one in models)
        path = self.path_of(model)
        if still_used or not path.resolve().is_relative_to(self.files.resolve()):
            return
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
            if path.parent != self.files and not any(path.parent.iterdir()):
                path.parent.rmdir()

    @contextmanager
    def _locked(self) -> Iterator[list[StoredModel]]:
        """The rows, which are written again at the end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{_INDEX}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            models = self._read()
            yield models
            written = self.folder / f"{_INDEX}.new"
            rows = {"version": 1, "models": [asdict(model) for model in models]}
            written.write_bytes(msgspec.json.format(msgspec.json.encode(rows)))
            written.replace(self.index)

    def _read(self) -> list[StoredModel]:
        try:
            rows = msgspec.json.decode(self.index.read_bytes(), type=_Index).models
            return [_row(row) for row in rows]
        except FileNotFoundError:
            return []
        except (msgspec.MsgspecError, TypeError) as error:
            raise CheckpointError(
                f"[{self.index}] expected the index of the local store but got {error}; move it "
                "away and pull the models again"
            ) from None


def one_file(path: Path, field: str, usual: str = "") -> Path:
    """A file itself; of a folder the file called `usual`, else its one safetensors file. Raises
    InvalidRequest naming `field` where there isn't one."""
    if not path.is_dir():
        return path
    if usual and (path / usual).is_file():
        return path / usual
    files = sorted(path.glob("*.safetensors"))
    if len(files) != 1:
        raise InvalidRequest(
            f"[{field}] expected a folder with one .safetensors file but {path} has {len(files)}"
        )
    return files[0]


def named_models(infos: Mapping[str, ModelInfo], wanted: str) -> list[NamedModel]:
    """The models of an engine as `find_model` takes them. What their versions are called is looked
    up in the store where `wanted` asks for one."""
    store = LocalModels()
    versions = {str(store.path_of(row)): row for row in store.all()} if "@" in wanted else {}
    named = []
    for name, info in infos.items():
        row = versions.get(info.source)
        revisions = () if row is None else (row.revision, row.commit)
        named.append(NamedModel(name, info.family, info.variant, revisions))
    return named


class _Index(msgspec.Struct):
    models: list[dict[str, Any]]


def _row(row: dict[str, Any]) -> StoredModel:
    """A row of the index; columns of a later release are left alone."""
    known = {column.name for column in fields(StoredModel)}
    return StoredModel(**{name: value for name, value in row.items() if name in known})
