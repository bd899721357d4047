"""Pictures in other formats than PNG: the mark of what made them goes along."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import PIL.Image
import pytest

import sdrbee
from sdrbee.server.encoding import Format
from sdrbee.server.pictures import encode_png

SOURCE = b"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


@pytest.fixture(scope="module")
def made() -> sdrbee.Image:
    return sdrbee.Image(np.full((16, 24, 3), 90, np.uint8))


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_jpeg_and_webp_say_what_made_them(made: sdrbee.Image, form: str) -> None:
    file = Format(form).encode(encode_png(made, "shapes"))
    with PIL.Image.open(io.BytesIO(file)) as picture:
        assert picture.format == form.upper()
        assert SOURCE in picture.info["xmp"]
        assert picture.size == (24, 16)
        assert picture.convert("RGB").getpixel((3, 3)) == pytest.approx((90, 90, 90), abs=3)
    if form == "jpeg":  # the mark comes behind JFIF's own segment, which has to be the first
        assert (file[2:4], file[6:10]) == (b"\xff\xe0", b"JFIF")
        assert sdrbee.Image(file).width == 24


@pytest.mark.parametrize("form", ["jpeg", "webp"])
@pytest.mark.parametrize(
    "bare",
    [lambda made: encode_png(made, "shapes", strip=True), lambda made: made.encode("png")],
    ids=["stripped", "on the way"],
)
def test_a_picture_without_the_mark_gets_none(
    made: sdrbee.Image, form: str, bare: Callable[[sdrbee.Image], bytes]
) -> None:
    assert SOURCE not in Format(form).encode(bare(made))
