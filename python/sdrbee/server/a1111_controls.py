"""Units of A1111's ControlNet extension, and what its clients ask beside them.

https://github.com/Mikubill/sd-webui-controlnet/wiki/API
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

import sdrbee
from sdrbee._native import follows_types
from sdrbee.model_files import adapter_names, adapter_path
from sdrbee.server.a1111_fields import Fields, json_object, wrong
from sdrbee.server.a1111_modules import (
    NONE,
    control_type,
    has_mode,
    is_fitted,
    is_none,
    module_details,
    module_names,
    prepared,
    recorded_name,
)
from sdrbee.server.a1111_pictures import encoded, picture
from sdrbee.server.a1111_schema import A1111Error
from sdrbee.server.http import Request, Response, Router, json_response
from sdrbee.server.openapi import Endpoint

if TYPE_CHECKING:
    from sdrbee.server.app import Worker

PREFIX = "/controlnet/"
VERSION = 3  # of the extension's routes


class Detect(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What /controlnet/detect reads."""

    controlnet_module: str = NONE
    controlnet_input_images: list[str] | None = None
    controlnet_images: list[str] | None = None
    controlnet_processor_res: float | None = None
    controlnet_threshold_a: float | None = None
    controlnet_threshold_b: float | None = None


_RESIZE_MODES = ("Just Resize", "Crop and Resize", "Resize and Fill")
_OLD_RESIZE_MODES = {
    "Resize and Fill": "Resize and Fill",
    "Inner Fit (Scale to Fit)": "Crop and Resize",
    "Scale to Fit (Inner Fit)": "Crop and Resize",
    "Outer Fit (Shrink to Fit)": "Resize and Fill",
    "Envelope (Outer Fit)": "Resize and Fill",
}
_DETECT: dict[str, Any] = {"body": Detect, "errors": (413, 415, 422, 503)}
# The modes of a control by the extension's names, in the order of its numbers.
_CONTROL_MODES = {
    "Balanced": "balanced",
    "My prompt is more important": "prompt",
    "ControlNet is more important": "control",
}
# What a picture shows, for union ControlNets: the extension's names, and the types of a control.
_UNION_TYPES = {
    "Unknown": None,
    "OpenPose": "openpose",
    "Depth": "depth",
    "Soft Edge": "softedge",
    "Hard Edge": "canny",
    "Normal Map": "normal",
    "Segmentation": "segment",
    "Tile": "tile",
    "Inpaint": "repaint",
}


def is_controlnet(script: str) -> bool:
    """Whether a script of `alwayson_scripts` is the extension."""
    return script.lower() == "controlnet"


def controls_of(body: Mapping[str, Any], fields: Fields) -> list[dict[str, Any]]:
    """The native `controls` of a body's units. Decodes and encodes: not for an event loop.

    Raises:
        ApiError: 422 that names the field.
    """
    scripts = json_object(body.get("alwayson_scripts"), "alwayson_scripts")
    controls = []
    for name, script in scripts.items():
        if not is_controlnet(name):
            continue
        units = script.get("args") if isinstance(script, dict) else script
        if units is not None and not isinstance(units, list):
            raise wrong(f"alwayson_scripts.{name}.args", "a list of units", units)
        for index, unit in enumerate(units or []):
            place = f"alwayson_scripts.{name}.args[{index}]"
            unit = json_object(unit, place)
            if Fields(unit).flag("enabled") is not False:
                controls.append(_control(unit, place, body, fields))
    return controls


def _control(
    unit: Mapping[str, Any], place: str, body: Mapping[str, Any], fields: Fields
) -> dict[str, Any]:
    of_unit = Fields(unit)
    if unit.get("mask"):
        raise wrong(f"{place}.mask", "none: a unit acts on all of the picture", "a mask")
    if of_unit.text("hr_option") not in ("", "Both"):
        raise wrong(f"{place}.hr_option", "'Both'", unit["hr_option"])
    name = _model(of_unit, place)
    given = {
        "name": name,
        "image": _image(unit, place, body, fields),
        "strength": of_unit.number("weight"),
        "start": of_unit.number("guidance_start"),
        "end": of_unit.number("guidance_end"),
        "type": _type(of_unit, name, place),
        "mode": _mode(unit, place),
        "preprocessor": recorded_name(of_unit.text("module")),
    }
    return {name: value for name, value in given.items() if value is not None}


def _mode(unit: Mapping[str, Any], place: str) -> str | None:
    """A control's mode; none for an IP-Adapter, where the extension's have no effect."""
    mode = _choice(unit, "control_mode", place, tuple(_CONTROL_MODES))
    if not has_mode(Fields(unit).text("module")):
        return None
    if mode == 0 and Fields(unit).flag("guess_mode"):
        mode = 2  # what older clients call it
    return list(_CONTROL_MODES.values())[mode]


def _type(unit: Fields, name: str, place: str) -> str | None:
    """A control's type; as in the extension, the unit's is for networks of several types alone."""
    told = unit.text("union_control_type") or "Unknown"
    if told not in _UNION_TYPES:
        raise wrong(f"{place}.union_control_type", f"one of {', '.join(_UNION_TYPES)}", told)
    if _UNION_TYPES[told] and _follows_types(name):
        return _UNION_TYPES[told]
    return control_type(unit.text("module"))


def _follows_types(name: str) -> bool:
    try:
        return follows_types(str(adapter_path(name, "controlnet")))
    except sdrbee.Error:
        return False  # what is wrong with it is told when it is opened for the picture


def _model(unit: Fields, place: str) -> str:
    """The name in the store: "canny [d14c016b]" is "canny"."""
    name = unit.text("model").strip()
    if name.endswith("]") and " [" in name:
        name = name[: name.rindex(" [")]
    if name in ("", "None"):
        raise wrong(f"{place}.model", "one of /controlnet/model_list", name)
    return name


def _choice(unit: Mapping[str, Any], name: str, place: str, choices: tuple[str, ...]) -> int:
    """A choice by its words or its number; 0 when absent."""
    value = unit.get(name)
    if value is None or value == "":
        return 0
    if isinstance(value, str) and value in choices:
        return choices.index(value)
    if value in range(len(choices)) and not isinstance(value, bool):
        return int(value)
    raise wrong(f"{place}.{name}", f"one of {', '.join(choices)}", value)


def _image(unit: Mapping[str, Any], place: str, body: Mapping[str, Any], fields: Fields) -> str:
    """What the network follows: prepared by `module`, then cut or filled to the proportions."""
    image = _given_image(unit, place, body)
    resize = unit.get("resize_mode")
    if isinstance(resize, str):
        resize = _OLD_RESIZE_MODES.get(resize, resize)
    mode = _choice({"resize_mode": resize}, "resize_mode", place, _RESIZE_MODES)
    size = (fields.whole("width") or 0, fields.whole("height") or 0)
    of_unit = Fields(unit)
    module = of_unit.text("module")
    fits = mode != 0 and all(size) and is_fitted(module)
    if is_none(module) and not fits:
        return image
    given = picture(f"{place}.image", image)
    pixels = np.asarray(given)
    if not is_none(module):
        numbers = {name: of_unit.number(name) for name in ("threshold_a", "threshold_b")}
        numbers["resolution"] = _resolution(of_unit, pixels, mode, size)
        pixels = prepared(module, given, numbers, f"{place}.module")
    if fits:
        pixels = (_cropped if mode == 1 else _filled)(pixels, size[0] / size[1])
    return encoded(pixels)


def _given_image(unit: Mapping[str, Any], place: str, body: Mapping[str, Any]) -> str:
    image = unit.get("image") or unit.get("input_image")
    if isinstance(image, dict):
        image = image.get("image")
    if not image and isinstance(body.get("init_images"), list):
        image = body["init_images"][0]  # as the extension does in img2img
    if not image or not isinstance(image, str):
        raise wrong(f"{place}.image", "a picture in base64", image)
    return image


def _resolution(
    unit: Fields, pixels: npt.NDArray[np.uint8], mode: int, size: tuple[int, int]
) -> float | None:
    """The shorter side for a preprocessor: `processor_res`, or what the picture made needs."""
    width, height = size
    if not unit.flag("pixel_perfect") or not all(size):
        return unit.number("processor_res")
    rows, columns = pixels.shape[:2]
    scale = (min if mode == 2 else max)(width / columns, height / rows)
    return float(round(min(rows, columns) * scale))


def _cropped(pixels: npt.NDArray[np.uint8], proportions: float) -> npt.NDArray[np.uint8]:
    """The middle of a picture, of these proportions."""
    height, width = pixels.shape[:2]
    rows = min(height, max(1, round(width / proportions)))
    columns = min(width, max(1, round(height * proportions)))
    top, left = (height - rows) // 2, (width - columns) // 2
    return np.ascontiguousarray(pixels[top : top + rows, left : left + columns])


def _filled(pixels: npt.NDArray[np.uint8], proportions: float) -> npt.NDArray[np.uint8]:
    """The picture in the middle of one of these proportions, between bars of its edges' colour."""
    height, width = pixels.shape[:2]
    rows = max(height, round(width / proportions))
    columns = max(width, round(height * proportions))
    edges = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    whole = np.empty((rows, columns, pixels.shape[2]), np.uint8)
    whole[:] = np.median(edges, axis=0).astype(np.uint8)
    top, left = (rows - height) // 2, (columns - width) // 2
    whole[top : top + height, left : left + width] = pixels
    return whole


def _detected(body: Mapping[str, Any]) -> list[str]:
    """The pictures of a body through its preprocessor, in base64. Not for an event loop."""
    fields = Fields(body)
    images = body.get("controlnet_input_images", body.get("controlnet_images"))
    if not isinstance(images, list) or not images:
        raise wrong("controlnet_input_images", "a list of pictures in base64", images)
    numbers = {
        "resolution": fields.number("controlnet_processor_res"),
        "threshold_a": fields.number("controlnet_threshold_a"),
        "threshold_b": fields.number("controlnet_threshold_b"),
    }
    module = fields.text("controlnet_module") or NONE
    given = (picture("controlnet_input_images", one) for one in images)
    return [encoded(prepared(module, one, numbers, "controlnet_module")) for one in given]


def add_routes(router: Router, worker: Worker) -> None:
    """What the extension's clients ask."""

    async def version(_request: Request) -> Response:
        return json_response(200, {"version": VERSION})

    async def model_list(_request: Request) -> Response:
        names = await asyncio.to_thread(adapter_names, "controlnet")
        return json_response(200, {"model_list": names})

    async def module_list(_request: Request) -> Response:
        return json_response(
            200, {"module_list": module_names(), "module_detail": module_details()}
        )

    async def detect(request: Request) -> Response:
        body = json_object(await worker.bodies.read_json(request), "body")
        pictures = await worker.in_thread(lambda: _detected(body))
        return json_response(200, {"images": pictures, "info": "Success"})

    for method, name, handler, summary, more in (
        ("GET", "version", version, "The version of A1111's ControlNet routes", {}),
        ("GET", "model_list", model_list, "The built-in ControlNets and those of the store", {}),
        ("GET", "module_list", module_list, "The preprocessors", {}),
        ("POST", "detect", detect, "Pictures through a preprocessor", _DETECT),
    ):
        endpoint = Endpoint(summary, dict[str, Any], error=A1111Error, **more)
        router.add(method, PREFIX + name, handler, endpoint)
