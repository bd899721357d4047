"""A1111's masked content "fill": the masked part of a picture gets the colours around it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]

# Blurs laid over each other, the widest lowest: standard deviation in pixels, and how often.
# https://github.com/AUTOMATIC1111/stable-diffusion-webui, modules/masking.py
_BLURS = ((256.0, 1), (64.0, 1), (16.0, 2), (4.0, 4), (2.0, 2), (0.0, 1))

# How Pillow, which A1111 uses, makes a Gaussian blur of box blurs.
_BOXES = 3


def fill(pixels: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """The picture with what is masked painted over.

    Args:
        pixels: [height, width, channels]; a fourth channel stays as it is.
        mask: [height, width], of the same size: what to paint over.

    Returns:
        A new picture of the same shape; what isn't masked is the same to rounding.
    """
    kept = np.where(mask, 0, 255).astype(np.float32)
    opacities = [(_gaussian(kept, sigma), repeats) for sigma, repeats in _BLURS]
    over = _laid_over(opacities, opacities)
    made = pixels.copy()
    for channel in range(min(pixels.shape[2], 3)):
        colour = np.where(mask, 0, pixels[..., channel]).astype(np.float32)
        layers = [(_gaussian(colour, sigma), repeats) for sigma, repeats in _BLURS]
        lit = _laid_over(layers, opacities)
        plain = np.divide(lit, over, out=np.zeros_like(lit), where=over > 0)
        made[..., channel] = np.clip(np.rint(255 * plain), 0, 255).astype(np.uint8)
    return made


def _laid_over(layers: list[tuple[Plane, int]], opacities: list[tuple[Plane, int]]) -> Plane:
    """Layers over each other, the first lowest, in colours that are multiplied by the opacity."""
    result = np.zeros_like(layers[0][0])
    for (layer, repeats), (opacity, _) in zip(layers, opacities, strict=True):
        for _ in range(repeats):
            result = layer + result * (1 - opacity * np.float32(1 / 255))
    return result


def _gaussian(plane: Plane, sigma: float) -> Plane:
    """A Gaussian blur of levels 0..255, as Pillow's."""
    if sigma == 0:
        return plane
    radius = _box_radius(sigma)
    for _ in range(_BOXES):
        plane = _box(plane, radius)
    plane = np.ascontiguousarray(plane.T)
    for _ in range(_BOXES):
        plane = _box(plane, radius)
    return np.ascontiguousarray(plane.T)


def _box_radius(sigma: float) -> float:
    """Of boxes that together have this standard deviation: Gwosdek et al. 2011, extended box."""
    variance = sigma * sigma / _BOXES
    whole = math.floor((math.sqrt(12 * variance + 1) - 1) / 2)
    part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance)
    return whole + part / (6 * (variance - (whole + 1) ** 2))


def _box(plane: Plane, radius: float) -> Plane:
    """The mean over 2 * radius + 1 pixels of each row, whose ends go on; in whole levels."""
    whole = int(radius)
    width = plane.shape[1]
    padded = np.pad(plane, ((0, 0), (whole + 1, whole + 1)), mode="edge")
    sums = np.cumsum(padded, axis=1, dtype=np.float32)  # exact: of whole levels, below 2^24
    mean: Plane = sums[:, 2 * whole + 1 : 2 * whole + 1 + width] - sums[:, :width]
    ends = padded[:, :width] + padded[:, 2 * whole + 2 : 2 * whole + 2 + width]
    mean += np.float32(radius - whole) * ends
    mean *= np.float32(1 / (2 * radius + 1))
    mean += np.float32(0.5)
    return np.floor(mean, out=mean)
