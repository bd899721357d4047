"""Sizes of memory and spans of time as people write them."""

from __future__ import annotations

import re

from sdrbee._native import InvalidRequest

_UNITS = {
    "": 1,
    "b": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", 1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", 1)},
}


def parse_bytes(size: int | str, name: str) -> int:
    """The bytes of a number of bytes or of a text like "4GiB", "500 MB", "1.5gib".

    Raises:
        InvalidRequest: It is neither, or negative; the message names the argument.
    """
    text = str(size).strip().lower()
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text)
    if match is None or match[2] not in _UNITS:
        raise InvalidRequest(
            f"[{name}] expected a number of bytes or a text like '4GiB' but got {size!r}"
        )
    return int(float(match[1]) * _UNITS[match[2]])


def size_text(size: int) -> str:
    """A number of bytes as people read it: "1.5 GB"."""
    for power, unit in ((3, "GB"), (2, "MB"), (1, "kB")):
        if size >= 1000**power:
            return f"{size / 1000**power:.1f} {unit}"
    return f"{size} B"


_SECONDS = {"": 1.0, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_seconds(span: float | str, name: str) -> float | None:
    """The seconds of a number, or of a text like "300", "5m" or "1h30m"; None: a negative one,
    which means for ever.

    Raises:
        InvalidRequest: It is neither; the message names the argument.
    """
    text = str(span).strip().lower()
    parts = re.findall(r"(\d+(?:\.\d*)?)(ms|s|m|h|)", text)
    if not parts or "".join(map("".join, parts)) != text.removeprefix("-"):
        raise InvalidRequest(
            f"[{name}] expected a number of seconds or a text like '5m' but got {span!r}"
        )
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return None if text.startswith("-") else seconds
