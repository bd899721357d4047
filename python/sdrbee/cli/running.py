"""Commands that ask a running worker: ps, stop."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

import click

import sdrbee
from sdrbee.cli.front import DEFAULT_PORT
from sdrbee.cli.options import json_option
from sdrbee.cli.output import print_json, print_table
from sdrbee.sizes import size_text

_TIMEOUT_S = 30.0

_url_option = click.option(
    "--url",
    envvar="SDRBEE_URL",
    default=f"http://127.0.0.1:{DEFAULT_PORT}",
    show_default=True,
    help="the worker; SDRBEE_API_KEY holds the key where it wants one",
)


@click.command()
@_url_option
@json_option
def ps(url: str, as_json: bool) -> None:
    """List the models that a running worker has in memory."""
    models = [model for model in _ask(url, "GET", "/v1/models")["data"] if model["loaded"]]
    if as_json:
        print_json({"models": models})
        return
    print_table([("NAME", "VARIANT", "SIZE", "STATE"), *map(_row, models)])


@click.command()
@click.argument("name")
@_url_option
@json_option
def stop(name: str, url: str, as_json: bool) -> None:
    """Let a running worker take the model NAME out of memory, once no picture is made with it."""
    model = _ask(url, "POST", f"/v1/models/{quote(name, safe='')}/unload")
    if as_json:
        print_json(model)
    else:
        state = "goes when its pictures are made" if model["loaded"] else "is no longer in memory"
        click.echo(f"{model['id']} {state}", err=True)


COMMANDS = (ps, stop)


def _row(model: dict[str, Any]) -> tuple[str, ...]:
    pinned = ", pinned" if model["pinned"] else ""
    state = "in use" if model["in_use"] else f"idle for {model['idle_s']:.0f} s"
    return model["id"], model["variant"], size_text(model["bytes"]), state + pinned


def _ask(url: str, method: str, path: str) -> Any:
    """What the worker answers. Raises sdrbee.Error with what is wrong."""
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter(f"{url!r} is no address of a worker", param_hint="--url")
    key = os.environ.get("SDRBEE_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(url.rstrip("/") + path, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise _told(error) from None
    except (OSError, ValueError) as error:
        raise sdrbee.Error(f"[url] no worker answers at {url}: {error}") from None


def _told(error: urllib.error.HTTPError) -> sdrbee.Error:
    try:
        told = json.load(error)["error"]
        text = str(told["message"])
        kind = sdrbee.ModelNotFound if told["code"] == "model_not_found" else sdrbee.Error
        return kind(text)
    except (ValueError, KeyError, TypeError):
        return sdrbee.Error(f"[url] the worker answered with status {error.code}")
