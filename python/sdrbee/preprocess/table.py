"""The preprocessors that come with sdrbee, with their settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sdrbee._native import InvalidRequest
from sdrbee.preprocess import edges, normals, tones
from sdrbee.preprocess.opencv import PreprocessorMissing
from sdrbee.preprocess.pixels import Picture

__all__ = [
    "ELSEWHERE",
    "Preprocessor",
    "PreprocessorMissing",
    "Setting",
    "own_preprocessors",
]


@dataclass(frozen=True, slots=True)
class Setting:
    """A number that a preprocessor takes."""

    name: str
    default: float
    least: float
    most: float
    doc: str

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers are taken."""
        return isinstance(self.default, int)

    def checked(self, value: Any) -> float:
        """The value as a number.

        Raises:
            InvalidRequest: It is no number, or too small or too large.
        """
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        is_right = is_number and math.isfinite(value) and self.least <= value <= self.most
        if not is_right or (self.is_whole and value != int(value)):
            kind = "a whole number" if self.is_whole else "a number"
            raise InvalidRequest(
                f"[{self.name}] expected {kind} from {self.least:g} to {self.most:g} "
                f"but got {value!r}"
            )
        return int(value) if self.is_whole else float(value)


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """What makes a control image of a picture."""

    name: str
    doc: str
    function: Callable[..., Picture]
    """[height, width, 3] to [height, width] or [height, width, 3]; takes the settings by name."""
    settings: tuple[Setting, ...] = ()
    needs_opencv: bool = True

    def settings_of(self, given: Mapping[str, Any]) -> dict[str, float]:
        """All settings, by default those of the table.

        Raises:
            InvalidRequest: One is unknown or out of range.
        """
        for name in given:
            if all(name != setting.name for setting in self.settings):
                known = ", ".join(setting.name for setting in self.settings) or "none"
                raise InvalidRequest(
                    f"[{name}] expected a setting of {self.name!r} ({known}) but got {name!r}"
                )
        return {
            setting.name: setting.checked(given.get(setting.name, setting.default))
            for setting in self.settings
        }


# Those whose networks sdrbee does not bring: packages may, by the entry points of `finding.GROUP`.
ELSEWHERE = {
    "depth": "how far away things are (white is near)",
    "openpose": "the joints of persons",
}

_OWN = (
    Preprocessor(
        "canny",
        "thin edges",
        edges.canny,
        (
            Setting("low", 100.0, 0, 1000, "gradients below are no edges"),
            Setting("high", 200.0, 0, 1000, "gradients above are edges"),
        ),
    ),
    Preprocessor(
        "softedge",
        "edges as strong as they are in the picture",
        edges.softedge,
        (
            Setting("sigma", 1.5, 0.3, 50, "deviation of the blur, in pixels"),
            Setting("gain", 2.0, 0.1, 20, "how bright a step from black to white is"),
        ),
    ),
    Preprocessor(
        "scribble",
        "few edges in thick strokes",
        edges.scribble,
        (
            Setting("sigma", 2.0, 0.3, 50, "deviation of the blur, in pixels"),
            Setting("threshold", 100.0, 0, 1000, "gradients above are edges"),
            Setting("width", 5, 1, 99, "of the strokes, in pixels"),
        ),
    ),
    Preprocessor(
        "lineart",
        "dark lines of a drawing",
        edges.lineart,
        (
            Setting("sigma", 6.0, 0.3, 50, "deviation of the blur, in pixels"),
            Setting("threshold", 8.0, 0, 255, "how much darker a line is than its surroundings"),
        ),
    ),
    Preprocessor(
        "blur",
        "the picture blurred",
        tones.blur,
        (Setting("sigma", 9.0, 0.3, 100, "deviation of the blur, in pixels"),),
    ),
    Preprocessor(
        "tile",
        "the picture reduced",
        tones.tile,
        (Setting("factor", 1.0, 1, 64, "by how much each side is shortened"),),
    ),
    Preprocessor(
        "normal",
        "normals of a depth picture in which white is near",
        normals.normal,
        (
            Setting("flatness", 2 * math.pi, 0.1, 100, "how little slopes count"),
            Setting("background", 0.4, 0, 1, "what is farther than this share is flat"),
        ),
    ),
    Preprocessor("invert", "black for white", tones.invert, needs_opencv=False),
    Preprocessor("passthrough", "the picture as it is", tones.passthrough, needs_opencv=False),
)


def own_preprocessors() -> dict[str, Preprocessor]:
    """Those that come with sdrbee, by name."""
    return {one.name: one for one in _OWN}
