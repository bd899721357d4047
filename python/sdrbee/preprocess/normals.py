"""Directions of surfaces."""

from __future__ import annotations

import numpy as np

from sdrbee.preprocess.opencv import opencv
from sdrbee.preprocess.pixels import Picture, grey


def normal(picture: Picture, *, flatness: float, background: float) -> Picture:
    """Normals of a depth picture in which white is near.

    Red grows where the surface comes nearer to the right, green where it does downwards, blue where
    it faces the viewer: as the ControlNet "normal" of Stable Diffusion 1.5 was shown them
    (https://huggingface.co/lllyasviel/sd-controlnet-normal). What is farther away than `background`
    counts as flat.
    """
    cv2 = opencv()
    depth = grey(picture).astype(np.float32)
    span = float(np.ptp(depth))
    depth = (depth - depth.min()) / (span if span else 1.0)
    across, down = (cv2.Sobel(depth, cv2.CV_32F, dx, 1 - dx, ksize=3) for dx in (1, 0))
    is_flat = depth < background
    across[is_flat] = 0
    down[is_flat] = 0
    directions = np.stack([across, down, np.full_like(depth, flatness)], axis=2)
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    return np.clip(np.rint(directions * 127.5 + 127.5), 0, 255).astype(np.uint8)
