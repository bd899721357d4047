"""Makes tests/cpp/golden/masking.json: what Pillow and diffusers make of masks.

Run it from the repository root: ``python tests/python/golden/make_masking.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from diffusers.image_processor import VaeImageProcessor
from make_pictures import source
from PIL import Image, ImageFilter

# width, height, channels, radius
BLURS = [(9, 7, 1, 0.5), (23, 17, 1, 4.0), (16, 12, 3, 2.3), (5, 40, 1, 9.0), (31, 3, 1, 0.2)]
# mask's size, masked box, padding, processed size
CROPS = [
    ((100, 80), (30, 20, 50, 40), 0, (64, 64)),
    ((100, 80), (30, 20, 50, 40), 16, (64, 64)),
    ((100, 80), (0, 0, 10, 70), 5, (128, 64)),
    ((100, 80), (90, 70, 100, 80), 32, (64, 128)),
    ((33, 200), (1, 3, 30, 9), 4, (96, 64)),
    ((64, 64), (0, 0, 64, 64), 32, (64, 40)),
]
# picture's size, processed size, channels
FITS = [
    ((40, 30), (24, 24), 3),
    ((30, 41), (25, 24), 3),
    ((17, 9), (32, 8), 3),
    ((20, 20), (8, 8), 1),
]


def pixels(image: Image.Image) -> str:
    return np.asarray(image).tobytes().hex()


def blurred(width: int, height: int, channels: int, radius: float) -> dict[str, Any]:
    picture = source(width, height, channels).filter(ImageFilter.GaussianBlur(radius))
    return {
        "size": [width, height],
        "channels": channels,
        "radius": radius,
        "pixels": pixels(picture),
    }


def cropped(
    size: tuple[int, int], box: tuple[int, int, int, int], padding: int, to: tuple[int, int]
) -> dict[str, Any]:
    mask = Image.new("L", size)
    mask.paste(1, box)
    area = VaeImageProcessor.get_crop_region(mask, *to, pad=padding)
    return {"size": size, "box": box, "padding": padding, "to": to, "area": area}


def fitted(size: tuple[int, int], to: tuple[int, int], channels: int) -> dict[str, Any]:
    processor = VaeImageProcessor()
    picture = processor.resize(source(*size, channels), *reversed(to), resize_mode="fill")
    if channels == 1:
        picture = picture.convert("L")
    return {"size": size, "to": to, "channels": channels, "pixels": pixels(picture)}


if __name__ == "__main__":
    golden = {
        "blurred": [blurred(*case) for case in BLURS],
        "cropped": [cropped(*case) for case in CROPS],
        "fitted": [fitted(*case) for case in FITS],
    }
    path = Path("tests/cpp/golden/masking.json")
    path.write_text(json.dumps(golden, indent=0) + "\n", encoding="utf-8")
