"""The command that converts weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import sdrbee
from sdrbee._native import conversion_types
from sdrbee.cli.options import json_option
from sdrbee.cli.output import print_json

_TYPES = dict.fromkeys([*conversion_types("x.safetensors"), *conversion_types("x.gguf")])


@click.command()
@click.argument("source")
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help=".safetensors or .gguf file, or a new folder for a model's folder",
)
@click.option("--type", "number_type", help=f"one of {', '.join(_TYPES)}; default: as stored")
@click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="PATTERN=TYPE",
    help="type of the tensors whose names match; may be given several times, the first wins",
)
@click.option("-q", "--quiet", is_flag=True, help="no progress bar")
@json_option
def convert(
    source: str,
    out: Path,
    number_type: str | None,
    rules: tuple[str, ...],
    quiet: bool,
    as_json: bool,
) -> None:
    """Write the weights of SOURCE in another number format.

    SOURCE is a .safetensors or .gguf file, the index of shards, a component's folder, or a model.
    Norms, biases, small tensors and those whose rows are no whole blocks keep their floats.
    """
    with _Bar(quiet) as bar:
        done = sdrbee.convert(
            source, out, type=number_type, rules=dict(map(_rule, rules)), on_tensor=bar
        )
    if as_json:
        print_json(
            {
                "files": [str(file) for file in done.files],
                "bytes": done.bytes,
                "tensors": done.tensors,
            }
        )
        return
    listed = ", ".join(f"{count} {name}" for name, count in done.tensors.items())
    click.echo(f"wrote {out}: {done.bytes / 1e6:.1f} MB, {listed}", err=True)


COMMANDS = (convert,)


def _rule(text: str) -> tuple[str, str]:
    pattern, separator, name = text.rpartition("=")
    if not separator or not pattern:
        raise click.BadParameter(f"{text!r} is not PATTERN=TYPE", param_hint="--rule")
    return pattern, name


class _Bar:
    """A bar on stderr over the tensors of each file."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = None

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int) -> None:
        if self._quiet:
            return
        if self._bar is None or done == 1:
            from tqdm import tqdm

            self.__exit__()
            self._bar = tqdm(total=total, unit="tensor")
        self._bar.update()
