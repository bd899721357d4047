"""Requests as a worker reads them: one flat JSON object."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sdrbee
from sdrbee._native import control_pictures
from sdrbee.rbee import Operation
from sdrbee.server.operations import CONTROLS, OPERATIONS

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_PICTURES = ("image", "mask", "control_image")
_KINDS = (("mask", "image_inpaint"), ("image", "image_transform"))
# Workers of rbee want both fields, and read neither.
_RBEE = {"hive_id": "localhost", "model": ""}


def operation(prompt: str, fields: Mapping[str, Any]) -> Operation:
    """What POST /v1/jobs takes.

    Args:
        prompt: What to see.
        fields: Other fields of a request; pictures as `sdrbee.Image` takes them; `count` is `n`.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    kinds = [kind for picture, kind in _KINDS if picture in given]
    kind = kinds[0] if kinds else "image_generation"
    names = {field: wire[0] for field, wire, _ in OPERATIONS[kind]}
    body: dict[str, Any] = {"operation": kind, **_RBEE, "prompt": prompt}
    for name, value in given.items():
        if name in _PICTURES:
            body[names.get(name, name)] = encoded(value)
        elif name in CONTROLS:
            body[name] = [_control(control) for control in value]
        else:
            body["n" if name == "count" else name] = value
    return Operation(body)


def _control(control: Mapping[str, Any]) -> dict[str, Any]:
    """A control by its name in the worker's store."""
    fields = {name: value for name, value in control.items() if name != "model"}
    for one, several in control_pictures():
        if one in fields:
            fields[one] = encoded(fields[one])
        if several in fields:
            fields[several] = [encoded(picture) for picture in fields[several]]
    return {"name": control["model"], **fields}


def encoded(picture: Any) -> str:
    """A picture in base64: files and bytes of PNG and JPEG as they are, all else as PNG."""
    if isinstance(picture, (str, os.PathLike)):
        picture = Path(picture).read_bytes()
    if isinstance(picture, bytes) and picture.startswith((_PNG, _JPEG)):
        return base64.b64encode(picture).decode()
    image = picture if isinstance(picture, sdrbee.Image) else sdrbee.Image(picture)
    return base64.b64encode(image.encode("png")).decode()
