"""The pictures of A1111's img2img: source, mask, and what is below the mask."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

import sdrbee
from sdrbee.server.a1111_fields import Fields, wrong
from sdrbee.server.a1111_fill import fill
from sdrbee.server.errors import ApiError
from sdrbee.server.limits import Limits
from sdrbee.server.wire import read_operation

DEFAULT_MASK_BLUR = 4.0


def img2img_fields(body: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """The native fields of source and mask. Decodes and encodes: not for an event loop.

    Raises:
        ApiError: 422 that names the field.
    """
    images = body.get("init_images")
    if not isinstance(images, list) or len(images) != 1 or not isinstance(images[0], str):
        raise wrong("init_images", "a list with one picture in base64", images)
    strength = fields.number("denoising_strength")
    _check_resize_mode(fields, images[0])
    operation = {"operation": "image_transform", "init_image": images[0], "strength": strength}
    if fields.text("mask"):
        operation |= _inpaint(fields, images[0])
    return operation


def _inpaint(fields: Fields, image: str) -> dict[str, Any]:
    mask = _mask(fields.text("mask"), inverted=bool(fields.flag("inpainting_mask_invert")))
    operation = {
        "operation": "image_inpaint",
        "mask_image": encoded(mask),
        "mask_blur": _mask_blur(fields),
    }
    if fields.flag("inpaint_full_res") is not False:
        operation["inpaint_area"] = "masked"
        operation["mask_padding"] = fields.whole("inpaint_full_res_padding") or 0
    content = fields.whole("inpainting_fill") or 0
    if fields.number("denoising_strength") == 1:
        return operation  # begins with noise, whatever is below the mask
    if content not in (0, 1):
        raise wrong("inpainting_fill", "0 (fill) or 1 (original) at this strength", content)
    if content == 0:
        operation["init_image"] = encoded(_filled(image, mask))
    return operation


def _filled(image: str, mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    pixels = np.asarray(picture("init_images", image))
    rows, columns = (
        np.arange(side) * own // side
        for side, own in zip(pixels.shape[:2], mask.shape, strict=True)
    )
    return fill(pixels, mask[rows][:, columns] > 0)


def _check_resize_mode(fields: Fields, image: str) -> None:
    """Only stretching (0) is done; the other modes are the same where nothing is cut or filled."""
    mode, width, height = (fields.whole(name) for name in ("resize_mode", "width", "height"))
    if mode in (None, 0) or width is None or height is None:
        return
    source = picture("init_images", image)
    same_proportions = source.width * height == source.height * width
    same_size = (source.width, source.height) == (width, height)
    if not (same_size if mode == 3 else same_proportions and mode in (1, 2)):
        raise wrong("resize_mode", "0 (stretch) for a picture of other proportions", mode)


def _mask_blur(fields: Fields) -> float:
    both = [fields.number(name) for name in ("mask_blur_x", "mask_blur_y")]
    if both[0] != both[1]:
        raise wrong("mask_blur_x", "the same as mask_blur_y", both[0])
    blur = fields.number("mask_blur")
    return next((value for value in (blur, both[0]) if value is not None), DEFAULT_MASK_BLUR)


def _mask(text: str, *, inverted: bool) -> npt.NDArray[np.uint8]:
    """A1111's mask: white is repainted, cut to black and white; its transparency, if it has any."""
    pixels = np.asarray(picture("mask", text))
    channels = pixels.shape[2]
    if channels == 4 and pixels[..., 3].min() < 255:
        grey = pixels[..., 3]
    elif channels >= 3:
        # Pillow's weights of "L": ITU-R 601-2.
        red, green, blue = (pixels[..., i].astype(np.uint32) for i in range(3))
        grey = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    else:
        grey = pixels[..., 0]
    return np.where((grey > 128) != inverted, 255, 0).astype(np.uint8)


def encoded(pixels: npt.NDArray[np.uint8]) -> str:
    """Pixels as PNG in base64."""
    return base64.b64encode(sdrbee.Image(pixels).encode("png")).decode()


def picture(name: str, text: str) -> sdrbee.Image:
    """A picture in base64, decoded by the rules of the native wire."""
    operation = {"operation": "image_transform", "prompt": "", "init_image": text}
    try:
        decoded = read_operation(operation, Limits()).request().image
    except (ApiError, sdrbee.InvalidRequest) as error:
        text = str(error).partition("] ")[2] or str(error)
        raise ApiError(422, "invalid_field", f"[{name}] {text}", field=name) from None
    assert decoded is not None
    return decoded
