"""The pictures that parity tests start from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 32, 24


def source(width: int = WIDTH, height: int = HEIGHT) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def half_mask(width: int = WIDTH, height: int = HEIGHT) -> npt.NDArray[np.uint8]:
    """White, which repaints, on the right; a border that doesn't fall on a latent's edge."""
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[3:, 13:] = 255
    return mask
