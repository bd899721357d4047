"""What the commands write: JSON, tables, the progress bar, picture files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import click

import sdrbee


def print_json(value: Any) -> None:
    """Prints a value as JSON on stdout."""
    click.echo(json.dumps(plain(value), ensure_ascii=False, indent=2))


def plain(value: Any) -> Any:
    """A bound value (with `_fields`) as dicts, lists and numbers."""
    if hasattr(value, "_fields"):
        return {name: plain(getattr(value, name)) for name in value._fields}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def print_table(rows: Iterable[Sequence[str]]) -> None:
    """Prints rows in aligned columns."""
    table = [list(row) for row in rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


class Progress:
    """A bar on stderr over the steps of all pictures, and a preview file while they are made."""

    def __init__(self, pictures: int, quiet: bool, preview_file: Path | None) -> None:
        self._pictures = pictures
        self._quiet = quiet
        self._preview_file = preview_file
        self._bar: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._preview_file is not None:
            self._preview_file.unlink(missing_ok=True)

    def __call__(self, _step: int, total: int | None, preview: sdrbee.Image | None) -> None:
        if self._preview_file is not None and preview is not None:
            preview.save(self._preview_file)
        if self._quiet:
            return
        if self._bar is None:
            from tqdm import tqdm

            whole = None if total is None else total * self._pictures
            self._bar = tqdm(total=whole, unit="step", leave=True)
        self._bar.update()


def numbered(path: Path, index: int, count: int) -> Path:
    """The file of picture `index` of `count`: ``out.png``, or ``out-1.png``, ``out-2.png``, ..."""
    return path if count == 1 else path.with_stem(f"{path.stem}-{index + 1}")


def check_writable(path: Path) -> None:
    """Raises a usage error now when the file can't be written at the end."""
    folder = path.parent
    if not folder.is_dir():
        raise click.UsageError(f"the folder of {path} does not exist: {folder.resolve()}")
    if path.is_dir():
        raise click.UsageError(f"{path} is a folder; give the name of a file")


def write_result(result: Any, path: Path) -> Path:
    """Writes a picture as it is, an array as .npy; returns where it went."""
    if isinstance(result, sdrbee.Image):
        result.save(path)
        return path
    import numpy as np

    path = path.with_suffix(".npy")
    np.save(path, result)
    return path
