"""OpenCV, which only preprocessors need: it comes with the extra ``control``."""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType

from sdrbee._native import UnsupportedModel


class PreprocessorMissing(UnsupportedModel):
    """A preprocessor needs a package that isn't installed; the message says which."""


def has_opencv() -> bool:
    """Whether it is installed."""
    return find_spec("cv2") is not None


def opencv() -> ModuleType:
    """The module cv2.

    Raises:
        PreprocessorMissing: It isn't installed.
    """
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise PreprocessorMissing(
            f"[preprocess] expected OpenCV but got {error}; pip install 'sdrbee[control]'"
        ) from None
    module: ModuleType = cv2
    return module
