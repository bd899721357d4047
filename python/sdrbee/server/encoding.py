"""The formats in which pictures leave: PNG and JPEG always, WebP where Pillow is installed."""

from __future__ import annotations

import importlib.util
import io
from dataclasses import dataclass

import sdrbee
from sdrbee.server.errors import ApiError
from sdrbee.server.pictures import XMP, is_marked, marked_jpeg

_CONTENT_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}

DEFAULT_QUALITY = 92


def formats() -> list[str]:
    """The formats that work here."""
    has_pillow = importlib.util.find_spec("PIL") is not None
    return [name for name in _CONTENT_TYPES if name != "webp" or has_pillow]


@dataclass(frozen=True, slots=True)
class Format:
    """A format, and the quality 1..100 of those that lose some."""

    name: str = "png"
    quality: int = DEFAULT_QUALITY

    def __post_init__(self) -> None:
        """Raises ApiError 422 for a format that does not work here."""
        if self.name not in formats():
            hint = "; install sdrbee[webp] for webp" if self.name == "webp" else ""
            raise ApiError(
                422,
                "invalid_field",
                f"[output_format] expected {', '.join(formats())} but got {self.name!r:.60}{hint}",
                field="output_format",
            )

    @property
    def content_type(self) -> str:
        return _CONTENT_TYPES[self.name]

    def encode(self, png: bytes) -> bytes:
        """A PNG file of our own in this format, marked as it is. Not for an event loop."""
        if self.name == "png":
            return png
        picture, marked = sdrbee.Image(png), is_marked(png)
        if self.name == "jpeg":
            jpeg = picture.encode("jpeg", quality=self.quality)
            return marked_jpeg(jpeg) if marked else jpeg
        file = io.BytesIO()
        mark = {"xmp": XMP.encode()} if marked else {}
        picture.to_pil().save(file, "WEBP", quality=self.quality, **mark)
        return file.getvalue()
