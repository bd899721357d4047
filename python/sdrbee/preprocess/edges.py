"""Edges and lines, white on black."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sdrbee.preprocess.opencv import opencv
from sdrbee.preprocess.pixels import Picture, blurred, grey

# What the lines of `lineart` are brought to, and how dark they have to be for that (of 255).
_LINE_LEVEL = 127.0
_LEAST_DARKNESS = 16.0


def canny(picture: Picture, *, low: float, high: float) -> Picture:
    """Canny 1986, doi:10.1109/TPAMI.1986.4767851, on the channel with the strongest gradient."""
    edges: Picture = opencv().Canny(picture, min(low, high), max(low, high))
    return edges


def softedge(picture: Picture, *, sigma: float, gain: float) -> Picture:
    """The gradient of the blurred picture: a step from black to white gives `gain` times 255."""
    cv2 = opencv()
    smooth = blurred(picture.astype(np.float32), sigma)
    # Sobel's weights sum to 8 a pixel; the blurred unit step's steepest slope is 1/(sqrt(2 pi) s).
    scale = gain * math.sqrt(2 * math.pi) * sigma / 8
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, dx, 1 - dx) for dx in (1, 0))
    strongest: npt.NDArray[np.float32] = np.hypot(across, down).max(axis=2)
    levels: Picture = np.clip(np.rint(strongest * scale), 0, 255).astype(np.uint8)
    return levels


def scribble(picture: Picture, *, sigma: float, threshold: float, width: int) -> Picture:
    """The edges of the blurred picture in thick strokes, as if drawn by hand."""
    cv2 = opencv()
    edges = canny(blurred(picture, sigma), low=threshold / 2, high=threshold)
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    strokes: Picture = cv2.dilate(edges, brush)
    return strokes


def lineart(picture: Picture, *, sigma: float, threshold: float) -> Picture:
    """Lines: what is darker than its surroundings. Their median comes to half of full white."""
    levels = grey(picture).astype(np.float32)
    darkness = np.maximum(blurred(levels, sigma) - levels, 0)
    lines = darkness[darkness > threshold]
    level = max(float(np.median(lines)) if lines.size else 0.0, _LEAST_DARKNESS)
    return np.clip(np.rint(darkness / level * _LINE_LEVEL), 0, 255).astype(np.uint8)
