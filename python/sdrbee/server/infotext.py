"""The text that A1111 and others write into their pictures: read from files, and taken apart."""

from __future__ import annotations

import json
import re
import struct
import zlib

from sdrbee.server.errors import ApiError

# Longer texts are left out: a file of some kilobytes may hold gigabytes of them, compressed.
_MOST_TEXT_BYTES = 1 << 20

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"

# A1111's own rule, of modules/infotext_utils.py: "name: value", a value with commas in quotes.
_PARAMETER = re.compile(r'\s*(\w[\w \-/]{0,60}):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
_SIZE = re.compile(r"(\d+)x(\d+)")
_FEWEST_PARAMETERS = 3


def picture_texts(file: bytes) -> dict[str, str]:
    """The texts of a PNG by keyword; none for a JPEG.

    Raises:
        ApiError: 422 for what is neither.
    """
    if file.startswith(_JPEG):
        return {}
    if not file.startswith(_PNG):
        raise ApiError(
            422, "invalid_field", "[image] expected a PNG or JPEG picture in base64", field="image"
        )
    texts: dict[str, str] = {}
    place = len(_PNG)
    while place + 8 <= len(file):
        length, kind = struct.unpack_from(">I4s", file, place)
        payload = file[place + 8 : place + 8 + length]
        if kind == b"IEND":
            break
        keyword, text = _text_of(kind, payload)
        if keyword and text is not None:
            texts.setdefault(keyword, text)
        place += length + 12
    return texts


def _text_of(kind: bytes, payload: bytes) -> tuple[str, str | None]:
    """Keyword and text of a chunk; without a keyword where it holds none."""
    keyword, _, rest = payload.partition(b"\0")
    if kind == b"tEXt":
        return keyword.decode("latin-1"), rest.decode("latin-1")
    if kind == b"zTXt":
        plain = _inflated(rest[1:])
        return keyword.decode("latin-1"), None if plain is None else plain.decode("latin-1")
    if kind == b"iTXt" and len(rest) >= 2:
        text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
        unpacked = _inflated(text) if rest[0] else text
        name = keyword.decode("latin-1")
        return name, None if unpacked is None else unpacked.decode("utf-8", "replace")
    return "", None


def _inflated(packed: bytes) -> bytes | None:
    try:
        text = zlib.decompressobj().decompress(packed, _MOST_TEXT_BYTES + 1)
    except zlib.error:
        return None
    return text if len(text) <= _MOST_TEXT_BYTES else None


def parse_infotext(text: str) -> dict[str, str]:
    """Prompt, negative prompt and parameters; a size is two of them, "Size-1" and "Size-2"."""
    *lines, last = text.strip()[:_MOST_TEXT_BYTES].split("\n")
    parameters = _PARAMETER.findall(last)
    if len(parameters) < _FEWEST_PARAMETERS:
        lines.append(last)
        parameters = []
    prompts: dict[str, list[str]] = {"Prompt": [], "Negative prompt": []}
    current = "Prompt"
    for line in map(str.strip, lines):
        if line.startswith("Negative prompt:"):
            current, line = "Negative prompt", line.partition(":")[2].strip()
        prompts[current].append(line)
    found = {name: "\n".join(part).strip() for name, part in prompts.items()}
    for name, value in parameters:
        size = _SIZE.fullmatch(value)
        if size:
            found |= {f"{name}-1": size[1], f"{name}-2": size[2]}
        else:
            found[name] = _unquoted(value)
    return found


def _unquoted(value: str) -> str:
    if not (len(value) > 1 and value[0] == value[-1] == '"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value
