"""Commands that tell something: show, list, samplers, doctor."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

import sdrbee
from sdrbee.cli.options import component_options, given_components, json_option
from sdrbee.cli.output import plain, print_json, print_table
from sdrbee.hub.local import KINDS, LocalModels, StoredModel
from sdrbee.model_files import adapter_path, builtin_adapters, model_path
from sdrbee.plugins import plugin_names
from sdrbee.sizes import size_text


@click.command()
@click.argument("what")
@component_options
@click.option("--variant", help="which variant of its family the model is")
@json_option
def show(what: str, as_json: bool, variant: str | None, **options: Any) -> None:
    """Show what a model is and can do, or the recipe inside a PNG file.

    WHAT is a model's name, a diffusers folder, a .safetensors, .gguf or .png file. Models are not
    loaded: their headers tell.
    """
    if Path(what).suffix.lower() == ".png":
        value = sdrbee.Image(what).recipe
        if value is None:
            raise sdrbee.InvalidRequest(f"[show] {what} has no recipe of sdrbee inside")
    else:
        value = _described(sdrbee.describe(what, variant=variant, **given_components(options)))
    if as_json:
        print_json(value)
    else:
        print_table(_lines(value))


@click.command("list")
@click.option("--families", is_flag=True, help="model families and their variants instead")
@json_option
def list_models(families: bool, as_json: bool) -> None:
    """List the models of the local store, the built-in ones and the plug-ins."""
    if not families:
        models = _known_models()
        if as_json:
            print_json({"models": models})
        else:
            print_table([("NAME", "KIND", "VARIANT", "SIZE", "PULLED"), *map(_model_row, models)])
        return
    if as_json:
        print_json({"families": sdrbee.families()})
        return
    rows = [
        (family.id, variant.id, variant.description, variant.aliases)
        for family in sdrbee.families()
        for variant in family.variants
    ]
    print_table([("FAMILY", "VARIANT", "WHAT", "ALSO CALLED"), *rows])


@click.command()
@json_option
def samplers(as_json: bool) -> None:
    """List samplers and schedules."""
    if as_json:
        print_json({"samplers": sdrbee.samplers(), "schedules": sdrbee.schedules()})
        return
    columns = ("SAMPLER", "WHAT", "ORDER", "EVALUATIONS A STEP", "PAPER", "ALIASES", "SCHEDULES")
    rows = [
        (
            row.name,
            row.description,
            str(row.order),
            str(row.evaluations),
            row.paper,
            ", ".join(row.aliases),
            ", ".join(row.schedules),
        )
        for row in sdrbee.samplers()
    ]
    print_table([columns, *rows])
    click.echo("\nThe first schedule of a sampler is its default.\n")
    print_table(
        [
            ("SCHEDULE", "WHAT", "PAPER"),
            *((row.name, row.description, row.paper) for row in sdrbee.schedules()),
        ]
    )


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check the installation and say what it runs on."""
    report: dict[str, Any] = plain(sdrbee.system_info())
    report["models"] = sdrbee.builtin_models()
    report["families"] = [family.id for family in sdrbee.families()]
    problems = _problems(report)
    report["problems"] = problems
    if as_json:
        print_json(report)
    else:
        print_table(_lines(report))
    if problems:
        raise sdrbee.Error("; ".join(problems))


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option
def rm(names: tuple[str, ...], as_json: bool) -> None:
    """Remove models from the local store, with their files.

    Files in the cache that huggingface_hub shares with other programs stay there.
    """
    store = LocalModels()
    models = [store.find(name) for name in names]
    for model in models:
        store.remove(model)
    if as_json:
        print_json({"removed": [asdict(model) for model in models]})
        return
    for model in models:
        path = store.path_of(model)
        kept = f"; its files stay in {path}" if path.exists() else ""
        click.echo(f"removed {model.name}{kept}", err=True)


COMMANDS = (show, list_models, rm, samplers, doctor)


def _known_models() -> list[dict[str, Any]]:
    """The models of the local store, the latest first, the built-in ones, the plug-ins."""
    store = LocalModels()
    rows = [
        {**asdict(model), "name": name, "path": str(store.path_of(model))}
        for name, model in store.named().items()
    ]
    for name in sdrbee.builtin_models():
        described = sdrbee.describe(name)
        variant = described.info.variant if described.info else ""
        rows.append(_builtin_row(name, model_path(name), family=described.family, variant=variant))
    for kind in KINDS:
        for name in builtin_adapters(kind):
            rows.append(_builtin_row(name, adapter_path(name, kind), kind=kind))
    rows += [_plugin_row(name) for name in plugin_names()]
    return rows


def _builtin_row(
    name: str, path: Path, kind: str = "checkpoint", family: str = "", variant: str = ""
) -> dict[str, Any]:
    built_in = StoredModel(
        name=name,
        path=str(path),
        source="built in",
        kind=kind,
        family=family,
        variant=variant,
        bytes=sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
    )
    return asdict(built_in)


def _plugin_row(name: str) -> dict[str, Any]:
    info = sdrbee.describe(name).info
    plugin = StoredModel(
        name=name,
        path="",
        source="plug-in",
        kind="plugin",
        family=info.family if info else name,
        variant=info.variant if info else "",
    )
    return asdict(plugin)


def _model_row(model: dict[str, Any]) -> tuple[str, ...]:
    return (
        model["name"],
        model["kind"],
        model["variant"] or "unknown",
        size_text(model["bytes"]),
        model["pulled"][:10] or model["source"],
    )


def _described(model: sdrbee.ModelDescription) -> dict[str, Any]:
    """The model's info, as far as it is known, and how its components are stored."""
    known: dict[str, Any] = {"family": model.family} if model.info is None else plain(model.info)
    stored = plain(model.components)
    return {
        **known,
        "pipeline_class": model.pipeline_class,
        "stored": stored,
        "missing": model.missing,
    }


def _problems(report: dict[str, Any]) -> list[str]:
    """What is wrong with the installation: a picture of one step must come out."""
    if not report["models"]:
        return ["the built-in model is missing; install sdrbee again"]
    try:
        sdrbee.load(report["models"][0]).generate("a red circle", steps=1, seed=0)
    except sdrbee.Error as error:
        return [f"a test picture could not be made: {error}"]
    return []


def _lines(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested dicts as (dotted name, value) rows."""
    rows: list[tuple[str, str]] = []
    for name, item in value.items():
        if isinstance(item, dict):
            rows += _lines(item, f"{prefix}{name}.")
        elif isinstance(item, list):
            rows.append((prefix + name, ", ".join(str(part) for part in item) or "none"))
        else:
            rows.append((prefix + name, "none" if item is None else str(item)))
    return rows
