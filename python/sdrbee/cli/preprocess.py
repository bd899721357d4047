"""The command that makes control images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sdrbee.cli.options import json_option
from sdrbee.cli.output import check_writable, print_json, print_table
from sdrbee.preprocess import Preprocessor, preprocess, preprocessor_names
from sdrbee.preprocess.finding import RESOLUTION
from sdrbee.preprocess.table import own_preprocessors

_OWN = own_preprocessors()
_SETTINGS = sorted({setting.name for one in _OWN.values() for setting in one.settings})


def _settings_option(name: str) -> Any:
    """An option for a setting, whose help says which preprocessors have it."""
    told = [
        f"{one.name}: {setting.doc} [{setting.least:g} to {setting.most:g}, "
        f"default {setting.default:g}]"
        for one in _OWN.values()
        for setting in one.settings
        if setting.name == name
    ]
    return click.option(f"--{name}", type=float, help="; ".join(told))


def _list_them(as_json: bool) -> None:
    names = preprocessor_names()
    if as_json:
        print_json({"preprocessors": [_told(name, _OWN.get(name)) for name in names]})
    else:
        print_table([(name, _OWN[name].doc if name in _OWN else "a package's") for name in names])


def _told(name: str, one: Preprocessor | None) -> dict[str, Any]:
    settings = () if one is None else one.settings
    return {
        "name": name,
        "settings": {
            s.name: {"default": s.default, "least": s.least, "most": s.most} for s in settings
        },
    }


def _with_settings(command: Any) -> Any:
    for name in reversed(_SETTINGS):
        command = _settings_option(name)(command)
    return command


@click.command(name="preprocess")
@click.argument("name", required=False)
@click.argument(
    "picture", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "-o",
    "--out",
    default="control.png",
    show_default=True,
    type=click.Path(path_type=Path),
    help="file to write",
)
@click.option(
    f"--{RESOLUTION.name}",
    type=int,
    help=f"{RESOLUTION.doc}, {RESOLUTION.least} to {RESOLUTION.most}; default: as it is",
)
@_with_settings
@click.option("--list", "only_list", is_flag=True, help="show the preprocessors that there are")
@json_option
def make(
    name: str | None,
    picture: Path | None,
    out: Path,
    resolution: int | None,
    only_list: bool,
    as_json: bool,
    **settings: float | None,
) -> None:
    """Make a control image of PICTURE with the preprocessor NAME."""
    if only_list:
        _list_them(as_json)
        return
    if name is None or picture is None:
        raise click.UsageError("give NAME and PICTURE; --list shows the names")
    check_writable(out)
    given = {key: value for key, value in settings.items() if value is not None}
    made = preprocess(name, picture, resolution=resolution, **given)
    made.save(out)
    if as_json:
        told = {"file": str(out), "width": made.width, "height": made.height}
        print_json({"preprocessor": name, **told})
        return
    click.echo(f"wrote {out}: {made.width}x{made.height}", err=True)


COMMANDS = (make,)
