"""Writes tests/cpp/golden/pictures.json: encoded and resized pictures as Pillow makes them.

Sources are a function of position, so that the C++ test can make them too:
`pixel(x, y, c) = (37 * x + 91 * y + 53 * c + x * y * (c + 3)) % 256`.

Run from the repository root: python tests/python/golden/make_pictures.py
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

RESIZES = [
    (17, 11, 40, 23, 3),
    (17, 11, 9, 5, 3),
    (40, 24, 40, 7, 1),
    (64, 3, 5, 3, 3),
    (13, 9, 26, 4, 4),
    (30, 30, 1, 1, 3),
]
# Of each pass: the first column and row, and the steps to the next ones (PNG specification, 8.2).
ADAM7 = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]


def source(width: int, height: int, channels: int) -> Image.Image:
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(channels), indexing="ij")
    pixels = ((37 * x + 91 * y + 53 * c + x * y * (c + 3)) % 256).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)


def resized(width: int, height: int, to_width: int, to_height: int, channels: int) -> Any:
    picture = source(width, height, channels)
    result = picture.resize((to_width, to_height), Image.Resampling.LANCZOS)
    return {
        "from": [width, height],
        "to": [to_width, to_height],
        "channels": channels,
        "pixels": result.tobytes().hex(),
    }


def encoded(name: str, picture: Image.Image, tolerance: int = 0, **options: Any) -> Any:
    stream = io.BytesIO()
    picture.save(stream, **options)
    return decoded(name, stream.getvalue(), tolerance)


def decoded(name: str, file: bytes, tolerance: int = 0) -> Any:
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(file)))
    has_alpha = "A" in upright.mode or "transparency" in upright.info
    mode = "RGBA" if has_alpha else "L" if upright.mode in ("1", "L", "I;16") else "RGB"
    if upright.mode == "I;16":
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    return {
        "name": name,
        "file": file.hex(),
        "size": list(upright.size),
        "channels": {"L": 1, "RGB": 3, "RGBA": 4}[mode],
        "tolerance": tolerance,
        "pixels": upright.convert(mode).tobytes().hex(),
    }


def exif(orientation: int, big_endian: bool = False) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    block.endian = ">" if big_endian else "<"
    return block.tobytes()


def interlaced(picture: Image.Image) -> bytes:
    """A PNG file in the seven passes of Adam7, which Pillow reads but doesn't write."""
    pixels = np.asarray(picture)
    rows = b""
    for x, y, across, down in ADAM7:
        for row in pixels[y::down, x::across]:
            rows += b"\0" + row.tobytes() if row.size else b""
    height, width, channels = pixels.shape
    kind = {3: 2, 4: 6}[channels]
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 1)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    file = b"\x89PNG\r\n\x1a\n"
    for name, content in chunks:
        checked = name + content
        file += struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))
    return file


def smooth(width: int, height: int) -> Image.Image:
    """A picture that JPEG keeps well."""
    y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return Image.fromarray(np.stack([4 * x, 5 * y, 2 * (x + y)], -1).astype(np.uint8))


def pictures() -> list[Any]:
    rgb = source(7, 5, 3)
    palette = rgb.quantize(5)
    grey_alpha = Image.merge("LA", (source(7, 5, 1), source(7, 5, 1).rotate(180)))
    deep = Image.fromarray(np.arange(35, dtype=np.uint16).reshape(5, 7) * np.uint16(1873))
    cases = [
        encoded("rgb", rgb, format="PNG"),
        encoded("rgba", source(7, 5, 4), format="PNG"),
        encoded("grey", source(7, 5, 1), format="PNG"),
        encoded("one bit", source(7, 5, 1).convert("1"), format="PNG"),
        encoded("palette", palette, format="PNG"),
        encoded("palette with alpha", palette, format="PNG", transparency=2),
        encoded("grey with alpha", grey_alpha, format="PNG"),
        encoded("16 bits", deep, format="PNG"),
        encoded("png orientation", rgb, format="PNG", exif=exif(6)),
        decoded("interlaced", interlaced(rgb)),
        decoded("interlaced and larger than a block", interlaced(source(21, 13, 4))),
    ]
    for orientation in range(1, 9):
        options = {"format": "JPEG", "quality": 95, "subsampling": 0}
        block = exif(orientation, big_endian=orientation % 2 == 0)
        name = f"jpeg orientation {orientation}"
        cases.append(encoded(name, smooth(20, 12), 6, exif=block, **options))
    grey = smooth(20, 12).convert("L")
    cases.append(encoded("grey jpeg", grey, 4, format="JPEG", quality=95))
    progressive = {"format": "JPEG", "quality": 95, "progressive": True, "subsampling": 0}
    cases.append(encoded("progressive jpeg", smooth(20, 12), 6, **progressive))
    return cases


def texts() -> Any:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a café\nSteps: 20")
    info.add_text("zipped", "long " * 50, zip=True)
    info.add_itxt("Description", "猫 and a heart ♥", lang="en", tkey="beschreibung")
    info.add_itxt("zipped itxt", "ü" * 100, zip=True)
    stream = io.BytesIO()
    source(2, 2, 3).save(stream, format="PNG", pnginfo=info)
    stream.seek(0)
    read = {name: str(text) for name, text in Image.open(stream).text.items()}
    return {"file": stream.getvalue().hex(), "texts": read}


if __name__ == "__main__":
    golden = {
        "resized": [resized(*case) for case in RESIZES],
        "decoded": pictures(),
        "texts": texts(),
    }
    path = Path("tests/cpp/golden/pictures.json")
    path.write_text(json.dumps(golden, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
