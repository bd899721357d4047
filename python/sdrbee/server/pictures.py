"""Pictures as they leave the worker: PNG with its recipe and the mark of what made it, or bare; the
mark in JPEG."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import sdrbee

# IPTC's term for pictures of a trained model, where XMP has it.
# https://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    "Iptc4xmpExt:DigitalSourceType="
    '"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    "</rdf:RDF></x:xmpmeta>"
)
# Keyword, no compression, no language, no translation: https://www.w3.org/TR/png-3/#11iTXt
_XMP_TEXT = b"XML:com.adobe.xmp\0\0\0\0\0" + XMP.encode()

# Adobe's XMP Specification Part 3, 1.1.3: a segment APP1 that begins with this name.
_XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0" + XMP.encode()

_SIGNATURE_BYTES = 8
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")


def encode_png(picture: sdrbee.Image, model: str, *, strip: bool = False) -> bytes:
    """A result as PNG: the recipe and XMP's DigitalSourceType in it, or no text at all. The recipe
    calls the model `model`: where its files are is nobody else's business."""
    png = picture.encode("png", model=model)
    header, *others = _chunks(png)
    kept = others if not strip else [chunk for chunk in others if chunk[4:8] not in _TEXTS]
    mark = [] if strip else [_chunk(b"iTXt", _XMP_TEXT)]
    return b"".join([png[:_SIGNATURE_BYTES], header, *mark, *kept])


def is_marked(png: bytes) -> bool:
    """Whether a PNG of our own says what made it."""
    return any(chunk[4:8] == b"iTXt" and chunk[8:-4] == _XMP_TEXT for chunk in _chunks(png))


def marked_jpeg(jpeg: bytes) -> bytes:
    """A JPEG of our own with the mark, behind the segment of JFIF, which has to be the first."""
    start, (length,) = 2, struct.unpack_from(">H", jpeg, 4)
    end = start + 2 + length
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(_XMP_IN_JPEG)) + _XMP_IN_JPEG
    return jpeg[:end] + segment + jpeg[end:]


def _chunks(png: bytes) -> Iterator[bytes]:
    """Whole chunks of a PNG of our own."""
    start = _SIGNATURE_BYTES
    while start < len(png):
        (length,) = struct.unpack_from(">I", png, start)
        end = start + 12 + length
        yield png[start:end]
        start = end


def _chunk(kind: bytes, payload: bytes) -> bytes:
    checked = kind + payload
    return struct.pack(">I", len(payload)) + checked + struct.pack(">I", zlib.crc32(checked))
