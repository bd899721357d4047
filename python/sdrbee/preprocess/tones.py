"""Preprocessors that leave a picture a picture."""

from __future__ import annotations

from sdrbee.preprocess.opencv import opencv
from sdrbee.preprocess.pixels import Picture, blurred


def blur(picture: Picture, *, sigma: float) -> Picture:
    """Through a Gaussian, for networks that sharpen."""
    return blurred(picture, sigma)


def tile(picture: Picture, *, factor: float) -> Picture:
    """Reduced by a factor, for networks that put details back."""
    height, width = picture.shape[:2]
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    cv2 = opencv()
    reduced: Picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return reduced


def invert(picture: Picture) -> Picture:
    """Black for white: what makes edges of a drawing on white paper."""
    return 255 - picture


def passthrough(picture: Picture) -> Picture:
    """The picture as it is, for control images that are ready."""
    return picture
