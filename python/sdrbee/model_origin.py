"""Which model a name means for `load`, `describe` and engines: files, or a plug-in."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from sdrbee import _native
from sdrbee.model_files import builtin_models, model_files
from sdrbee.plugins import ImageModel, find_plugin, plugin_of

ModelName: TypeAlias = str | os.PathLike[str] | type[ImageModel]
ModelOrigin: TypeAlias = _native.ModelFiles | _native.Plugin


def model_origin(
    name: ModelName, *, options: Mapping[str, Any] | None = None, **files: Any
) -> ModelOrigin:
    """The model of that name: built in, a plug-in, or files.

    Args:
        name: What `sdrbee.load` takes.
        options: Arguments of a plug-in's class.
        **files: Arguments of `model_files`, of which plug-ins take none but `dtype`, which they
            choose for themselves.

    Raises:
        InvalidRequest: An argument has no effect on a model of this kind.
        CheckpointError: There is no such model.
    """
    if isinstance(name, type):
        return _plugin(name.id, lambda: name, options, files)
    name = os.fspath(name)
    find = _plugin_called(name)
    if find is not None:
        return _plugin(name, find, options, files)
    if options is not None:
        raise _native.InvalidRequest(f"[options] {name!r} is no plug-in, which alone takes options")
    return model_files(name, **files)


def is_plugin(name: ModelName) -> bool:
    """Whether a name means a plug-in."""
    return isinstance(name, type) or _plugin_called(os.fspath(name)) is not None


def _plugin_called(name: str) -> Callable[[], Any] | None:
    return None if name in builtin_models() or os.sep in name else find_plugin(name)


def _plugin(
    name: str,
    find: Callable[[], Any],
    options: Mapping[str, Any] | None,
    files: Mapping[str, Any],
) -> _native.Plugin:
    given = [part for part, value in files.items() if value is not None and part != "dtype"]
    if given:
        raise _native.InvalidRequest(
            f"[{given[0]}] {name!r} is a plug-in: give its arguments as options={{...}}"
        )
    return plugin_of(name, find, dict(options or {}))
