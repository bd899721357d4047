"""Folders that are the built-in model but for one configuration."""

from __future__ import annotations

import json
from pathlib import Path

import sdrbee

SHAPES = Path(sdrbee.__file__).parent / "data" / "shapes"


def folder_with(folder: Path, file: str, **fields: object) -> Path:
    """The built-in model with other values in one of its configurations."""
    for path in SHAPES.rglob("*"):
        target = folder / path.relative_to(SHAPES)
        if path.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
    changed = json.loads((SHAPES / file).read_text()) | fields
    (folder / file).unlink()
    (folder / file).write_text(json.dumps(changed))
    return folder
