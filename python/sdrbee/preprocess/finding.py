"""Preprocessors by name: those of the table, and those that installed packages offer."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import metadata
from os import PathLike
from typing import Any

import numpy as np

from sdrbee._native import Error, Image, InvalidRequest, PluginError
from sdrbee.preprocess.opencv import PreprocessorMissing
from sdrbee.preprocess.pixels import Picture, rgb, with_shorter_side
from sdrbee.preprocess.table import ELSEWHERE, Setting, own_preprocessors

# Packages offer preprocessors by entry points of this group: name = "module:function".
GROUP = "sdrbee.preprocessors"

RESOLUTION = Setting("resolution", 512, 16, 2048, "pixels of the shorter side")


def preprocessor_names() -> list[str]:
    """The names of all that can be used: sdrbee's own, then those of installed packages."""
    own = own_preprocessors()
    offered = {point.name for point in metadata.entry_points(group=GROUP)}
    return [*own, *sorted(offered - own.keys())]


def preprocess(
    name: str,
    image: Image | Picture | str | PathLike[str],
    *,
    resolution: int | None = None,
    **settings: Any,
) -> Image:
    """A control image of a picture.

    Args:
        name: One of `preprocessor_names()`.
        image: A picture, an array [height, width, channels], or a PNG or JPEG file.
        resolution: Pixels of the shorter side that the picture is brought to first; its own size
            by default.
        settings: Of the preprocessor; see `own_preprocessors()`.

    Returns:
        An RGB picture.

    Raises:
        InvalidRequest: There is no such preprocessor or setting, or a value is out of range.
        PreprocessorMissing: It needs a package that isn't installed.
        PluginError: A package's preprocessor failed.

    Example:
        >>> import numpy as np
        >>> from sdrbee.preprocess import preprocess
        >>> picture = np.zeros((64, 64, 3), np.uint8)
        >>> picture[16:48, 16:48] = 255
        >>> edges = preprocess("canny", picture, low=50)
        >>> edges.width, int(np.asarray(edges).max())
        (64, 255)
    """
    one = own_preprocessors().get(name)
    # Before the picture is looked at: what is wrong with the call is told at once.
    values = dict(settings) if one is None else one.settings_of(settings)
    function = _offered(name) if one is None else one.function
    side = None if resolution is None else int(RESOLUTION.checked(resolution))
    picture = rgb(image if isinstance(image, Image) else Image(image))
    if side is not None:
        picture = with_shorter_side(picture, side)
    made = function(picture, **values) if one else _by_plugin(name, function, picture, values)
    if made.ndim == 2:
        made = made[..., None]
    return Image(np.ascontiguousarray(np.broadcast_to(made, (*made.shape[:2], 3))))


def _offered(name: str) -> Any:
    for point in metadata.entry_points(group=GROUP, name=name):
        try:
            return point.load()
        except Exception as error:
            raise PluginError(f"[preprocess] {name!r} cannot be imported: {error}") from error
    known = preprocessor_names()
    if name in ELSEWHERE:
        raise PreprocessorMissing(
            f"[preprocess] expected an installed preprocessor but got {name!r} "
            f"({ELSEWHERE[name]}), which needs a network of its own: install a package that offers "
            f"it, or register a function under the entry point group {GROUP!r} "
            f"(docs/preprocessors.md); here are {', '.join(known)}"
        )
    near = difflib.get_close_matches(name, [*known, *ELSEWHERE], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InvalidRequest(f"[preprocess] expected one of {', '.join(known)} but got {name!r}{hint}")


def _by_plugin(name: str, function: Any, picture: Picture, values: Mapping[str, Any]) -> Picture:
    """What a package's preprocessor gives, looked at: it is not ours."""
    try:
        made = np.asarray(function(picture, **values))
    except Error:
        raise
    except Exception as error:
        raise PluginError(f"[preprocess] {name!r} failed: {error!r}") from error
    is_picture = made.ndim == 2 or (made.ndim == 3 and made.shape[2] in (1, 3))
    if made.dtype != np.uint8 or not is_picture or 0 in made.shape:
        raise PluginError(
            f"[preprocess] expected a uint8 array [height, width] or [height, width, 3] of "
            f"{name!r} but got {made.dtype} {list(made.shape)}"
        )
    return made
