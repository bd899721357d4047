"""The preprocessors by the names and numbers of A1111's ControlNet extension."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import sdrbee
from sdrbee.preprocess import PreprocessorMissing, Setting, own_preprocessors, preprocess
from sdrbee.preprocess.finding import RESOLUTION, preprocessor_names
from sdrbee.preprocess.opencv import has_opencv
from sdrbee.preprocess.pixels import Picture
from sdrbee.server.a1111_fields import wrong
from sdrbee.server.errors import ApiError

NONE = "none"


@dataclass(frozen=True, slots=True)
class Module:
    """A preprocessor as the extension knows it."""

    preprocessor: str
    sliders: tuple[str, ...] = ()
    """The settings that `threshold_a` and `threshold_b` are; the others keep their defaults."""
    has_resolution: bool = True
    is_fitted: bool = True
    """Whether the picture is brought to the proportions of the one that is made."""
    has_mode: bool = True
    """Whether the extension's `control_mode` has an effect."""
    control_type: str | None = None
    """The `type` of a control whose unit names it."""


# An IP-Adapter has its picture encoder with it, so there is nothing to prepare.
_ENCODED = Module("passthrough", has_resolution=False, is_fitted=False, has_mode=False)

# Only where the extension's module does the same has it the extension's longer name.
_OWN = {
    NONE: Module("passthrough", has_resolution=False),
    "invert": Module("invert", has_resolution=False),
    "canny": Module("canny", ("low", "high")),
    "softedge": Module("softedge"),
    "scribble": Module("scribble"),
    "lineart_standard": Module("lineart"),
    "blur_gaussian": Module("blur", ("sigma",)),
    "tile_resample": Module("tile", ("factor",), has_resolution=False),
    "normal": Module("normal", ("background",)),
    "inpaint_only": Module(
        "passthrough", has_resolution=False, is_fitted=False, control_type="inpaint"
    ),
    "ip-adapter-auto": _ENCODED,
    "ip-adapter_clip_sd15": _ENCODED,
    "ip-adapter_clip_sdxl": _ENCODED,
    "ip-adapter_clip_sdxl_plus_vith": _ENCODED,
}


def module_names() -> list[str]:
    """What a unit's `module` may be: all that can be used here."""
    taken = {module.preprocessor for module in _OWN.values()}
    own = [name for name, module in _OWN.items() if _is_usable(module.preprocessor)]
    return [*own, *(name for name in preprocessor_names() if name not in taken)]


def _is_usable(preprocessor: str) -> bool:
    return has_opencv() or not own_preprocessors()[preprocessor].needs_opencv


def module_details() -> dict[str, Any]:
    """The sliders of each module, as the extension tells them."""
    return {
        name: {
            "model_free": False,
            "sliders": [
                {
                    "name": one.name,
                    "value": one.default,
                    "min": one.least,
                    "max": one.most,
                    "step": 1 if one.is_whole else 0.01,
                }
                for one in _sliders(_module(name))
            ],
        }
        for name in module_names()
    }


def is_none(name: str) -> bool:
    """Whether the picture stays as it is."""
    return name.lower() in ("", NONE)


def recorded_name(name: str) -> str | None:
    """What an infotext calls the module; none where the picture stays as it is."""
    return None if is_none(name) else name.lower()


def is_fitted(name: str) -> bool:
    """Whether the module's picture is brought to the proportions of the one that is made."""
    return _module(name.lower()).is_fitted


def has_mode(name: str) -> bool:
    """Whether a unit that names the module has a mode."""
    return _module(name.lower()).has_mode


def control_type(name: str) -> str | None:
    """The `type` of a control whose unit names the module."""
    return _module(name.lower()).control_type


def prepared(
    name: str, image: sdrbee.Image, numbers: Mapping[str, float | None], place: str
) -> Picture:
    """The picture through a module.

    Args:
        name: Of the module, in upper or lower case.
        image: The picture.
        numbers: `resolution`, `threshold_a` and `threshold_b`. As in the extension, what is absent
            or out of range is the default.
        place: The field that holds the module's name.

    Raises:
        ApiError: 422: there is no such module, or it can't be used.
    """
    module = _module(name.lower())
    given = {
        setting.name: _in_range(setting, numbers.get(f"threshold_{letter}"))
        for setting, letter in zip(_settings(module), "ab", strict=False)
    }
    side = int(_in_range(RESOLUTION, numbers.get("resolution"))) if module.has_resolution else None
    try:
        return np.asarray(preprocess(module.preprocessor, image, resolution=side, **given))
    except (PreprocessorMissing, sdrbee.PluginError) as error:
        raise ApiError(422, "invalid_field", f"[{place}] {error}", field=place) from None
    except sdrbee.InvalidRequest as error:
        if name.lower() in module_names():
            raise
        raise wrong(place, f"one of {', '.join(module_names())}", name) from error


def _module(name: str) -> Module:
    return _OWN.get(name) or Module(name)


def _settings(module: Module) -> list[Setting]:
    """What the thresholds set."""
    one = own_preprocessors().get(module.preprocessor)
    by_name = {} if one is None else {setting.name: setting for setting in one.settings}
    return [by_name[slider] for slider in module.sliders]


def _sliders(module: Module) -> list[Setting]:
    return [*([RESOLUTION] if module.has_resolution else []), *_settings(module)]


def _in_range(setting: Setting, value: float | None) -> float:
    if value is None or not setting.least <= value <= setting.most:
        return setting.default
    return value
