"""The masked content "fill" against what A1111 does with Pillow."""

from __future__ import annotations

import numpy as np
import PIL.Image
import PIL.ImageFilter
import PIL.ImageOps
import pytest

from sdrbee.server.a1111_fill import fill


def filled_by_pillow(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What `modules/masking.py` of A1111 computes."""
    image = PIL.Image.fromarray(pixels).convert("RGBA").convert("RGBa")
    masked = PIL.Image.new("RGBa", image.size)
    masked.paste(image, mask=PIL.ImageOps.invert(PIL.Image.fromarray(mask)))
    made = PIL.Image.new("RGBA", image.size)
    for radius, repeats in [(256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1)]:
        blurred = masked.filter(PIL.ImageFilter.GaussianBlur(radius)).convert("RGBA")
        for _ in range(repeats):
            made.alpha_composite(blurred)
    return np.asarray(made.convert("RGB"))


@pytest.mark.parametrize("size", [(64, 96), (97, 33)], ids=str)
def test_fills_as_pillow_does(size: tuple[int, int]) -> None:
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([rows * 2, columns * 2, 255 - rows], axis=2).astype(np.uint8)
    mask = np.zeros(size, np.uint8)
    mask[height // 4 : height // 2, width // 3 :] = 255
    made = fill(pixels, mask > 0)
    difference = made.astype(int) - filled_by_pillow(pixels, mask)
    # Pillow rounds to 8 bits after each layer.
    assert np.abs(difference).max() <= 4
    assert np.abs(difference).mean() < 0.5
    assert np.abs(made.astype(int) - pixels)[mask == 0].max() <= 1


def test_nothing_kept_is_black_and_other_channels_stay() -> None:
    pixels = np.full((8, 8, 4), 200, np.uint8)
    made = fill(pixels, np.ones((8, 8), bool))
    assert (made[..., :3] == 0).all()
    assert (made[..., 3] == 200).all()
