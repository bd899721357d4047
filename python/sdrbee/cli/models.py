"""The command that pulls models into the local store."""

from __future__ import annotations

from dataclasses import asdict

import click

import sdrbee
from sdrbee.cli.options import json_option
from sdrbee.cli.output import print_json
from sdrbee.hub.local import KINDS, LocalModels
from sdrbee.sizes import size_text


@click.command()
@click.argument("source")
@click.option("--as", "name", metavar="NAME", help="what to call it; default: as its publisher")
@click.option("--kind", type=click.Choice(KINDS), help="what a single file is for")
@click.option("-q", "--quiet", is_flag=True, help="no progress bar")
@json_option
def pull(source: str, name: str | None, kind: str | None, quiet: bool, as_json: bool) -> None:
    """Download a model and give it a name in the local store.

    SOURCE is owner/name (a repository of Hugging Face), hf:owner/name/file.safetensors (one of its
    files), both with @revision where another than main is wanted, or civitai:123 (a version at
    Civitai). A pull that was interrupted goes on where it ended. HF_TOKEN and CIVITAI_API_TOKEN
    hold keys; HF_HUB_OFFLINE=1 takes only what is there already.
    """
    model = sdrbee.pull(source, name=name, kind=kind, progress=not quiet)
    store = LocalModels()
    if as_json:
        print_json(asdict(model))
        return
    click.echo(f"pulled {model.name}: {size_text(model.bytes)} in {store.path_of(model)}", err=True)
    if model.kind == "checkpoint" and not model.family:
        click.echo(
            f"warning: this release cannot run it alone: sdrbee show {model.name} says why",
            err=True,
        )


COMMANDS = (pull,)
