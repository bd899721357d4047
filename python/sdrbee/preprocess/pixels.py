"""Pictures as arrays: what preprocessors take and give."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sdrbee._native import Image, InvalidRequest
from sdrbee.preprocess.opencv import opencv

Picture = npt.NDArray[np.uint8]

# Of a picture that is brought to another size; what is decoded has the decoder's own limits.
LONGEST_SIDE = 8192


def rgb(image: Image) -> Picture:
    """[height, width, 3]; what is transparent is laid on white."""
    pixels: Picture = np.asarray(image)
    channels = pixels.shape[2]
    if channels in (2, 4):
        opacity = pixels[..., -1:].astype(np.float32) / 255
        pixels = np.rint(255 + opacity * (pixels[..., :-1] - np.float32(255))).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def grey(picture: Picture) -> Picture:
    """[height, width], by the weights of ITU-R 601-2."""
    cv2 = opencv()
    levels: Picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return levels


def blurred(pixels: npt.NDArray[Any], sigma: float) -> npt.NDArray[Any]:
    """Through a Gaussian of this deviation, in pixels."""
    result: npt.NDArray[Any] = opencv().GaussianBlur(pixels, (0, 0), sigma)
    return result


def with_shorter_side(picture: Picture, side: int) -> Picture:
    """The picture in the size whose shorter side has so many pixels.

    Raises:
        InvalidRequest: The longer side would be longer than pictures may be.
    """
    height, width = picture.shape[:2]
    scale = side / min(height, width)
    if scale == 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if max(size) > LONGEST_SIDE:
        raise InvalidRequest(
            f"[resolution] expected sides of at most {LONGEST_SIDE} pixels but got "
            f"{size[0]}x{size[1]}: the picture is {width}x{height}; give a smaller resolution"
        )
    cv2 = opencv()
    result: Picture = cv2.resize(
        picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LANCZOS4
    )
    return result
