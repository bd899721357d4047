"""The command that shows settings, and what makes them of the configuration file."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Any

import click
from click.core import ParameterSource

import sdrbee
from sdrbee.cli.options import json_option
from sdrbee.cli.output import plain, print_json, print_table
from sdrbee.cli.serve import serve
from sdrbee.config import config_path, read_config
from sdrbee.hub.local import models_folder

# Commands that take their settings from the file, each from the table of its name.
_CONFIGURED = (serve,)


def file_settings() -> dict[str, Any]:
    """The configuration file as click's defaults.

    Raises:
        InvalidRequest: It has a key that means nothing.
    """
    told = read_config()
    tables = {str(command.name): _keys(command) for command in _CONFIGURED}
    settings: dict[str, Any] = {}
    for key, value in told.items():
        if key in tables:
            settings[key] = _table(key, value, tables[key])
        elif key != "home":
            raise _unknown(key, ("home", *tables))
        elif not isinstance(value, str):
            raise sdrbee.InvalidRequest(f"[{config_path()}] home: expected a text, got {value!r}")
    return settings


def _keys(command: click.Command) -> dict[str, str]:
    """The names of a command's parameters as they may be written, and as click has them."""
    return {
        written: str(parameter.name)
        for parameter in command.params
        if parameter.expose_value and parameter.name
        for written in (parameter.name, *(_bare(option) for option in parameter.opts))
    }


def _bare(option: str) -> str:
    return option.lstrip("-").replace("-", "_")


def _table(name: str, table: Any, keys: Mapping[str, str]) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise sdrbee.InvalidRequest(f"[{config_path()}] expected a table [{name}], got {table!r}")
    for key in table:
        if key.replace("-", "_") not in keys:
            raise _unknown(f"{name}.{key}", [f"{name}.{known}" for known in keys])
    return {keys[key.replace("-", "_")]: value for key, value in table.items()}


def _unknown(key: str, known: Any) -> sdrbee.InvalidRequest:
    nearest = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(known)}"
    return sdrbee.InvalidRequest(f"[{config_path()}] nothing is called {key}; {hint}")


@click.group()
def config() -> None:
    """Show settings and where they come from."""


@config.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, metavar="[SERVE ARGUMENTS]...", type=click.UNPROCESSED)
@click.option("--origin", is_flag=True, help="where each setting comes from, too")
@json_option
@click.pass_context
def show(ctx: click.Context, arguments: tuple[str, ...], origin: bool, as_json: bool) -> None:
    """Show the settings of `sdrbee serve`, with ARGUMENTS as it would be given them.

    A flag goes before the environment, that before the configuration file, and that before the
    default.
    """
    defaults = (ctx.find_root().default_map or {}).get("serve")
    told = serve.make_context("serve", list(arguments), default_map=defaults)
    home = read_config().get("home")
    rows = [("models_folder", str(models_folder()), _origin_of_home(home))]
    for parameter in serve.params:
        if parameter.expose_value and parameter.name:
            rows.append(_setting(told, parameter))
    if as_json:
        print_json({name: {"value": value, "origin": where} for name, value, where in rows})
        return
    shown = [(name, _text(value), where) for name, value, where in rows]
    print_table(shown if origin else [row[:2] for row in shown])


COMMANDS = (config,)


def _setting(told: click.Context, parameter: click.Parameter) -> tuple[str, Any, str]:
    name = str(parameter.name)
    source = told.get_parameter_source(name)
    if source is ParameterSource.COMMANDLINE:
        where = "flag"
    elif source is ParameterSource.ENVIRONMENT:
        where = f"environment {_variable(told, parameter)}"
    elif source is ParameterSource.DEFAULT_MAP:
        where = f"file {config_path()}"
    else:
        where = "default"
    return name, plain(told.params[name]), where


def _variable(told: click.Context, parameter: click.Parameter) -> str:
    if isinstance(parameter.envvar, str):
        return parameter.envvar
    return f"{told.auto_envvar_prefix}_{parameter.name}".upper()


def _origin_of_home(home: str | None) -> str:
    if os.environ.get("SDRBEE_HOME"):
        return "environment SDRBEE_HOME"
    if home:
        return f"file {config_path()}"
    return "environment XDG_DATA_HOME" if os.environ.get("XDG_DATA_HOME") else "default"


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
