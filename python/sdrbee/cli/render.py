"""Commands that make pictures: generate, transform, inpaint, replay."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

import sdrbee
from sdrbee._native import overridable_components
from sdrbee.cli.options import (
    NEEDS_IMAGE,
    NEEDS_MASK,
    NEEDS_NO_IMAGE,
    common_options,
    control,
    given_components,
    given_fields,
    json_option,
    request_options,
)
from sdrbee.cli.output import Progress, check_writable, numbered, print_json, write_result

if TYPE_CHECKING:
    from sdrbee.client import RemoteEvent

# Options that a worker has for itself.
_ONLY_HERE = (
    *("device", "dtype", "variant", "memory_limit", "threads", "output"),
    *overridable_components(),
)

_SOURCE_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_out_option = click.option(
    "-o",
    "--out",
    default="out.png",
    show_default=True,
    type=click.Path(path_type=Path),
    help="file to write; several pictures get -1, -2, ... before the ending",
)
_quiet_option = click.option("-q", "--quiet", is_flag=True, help="no progress bar")
_image_option = click.option(
    "-i", "--image", required=True, type=_SOURCE_FILE, help="picture to start from"
)
_control_option = click.option(
    "--control-image", type=_SOURCE_FILE, help="edges or depths for models that follow them"
)

_controls_option = click.option(
    "--control",
    "controls",
    type=control,
    multiple=True,
    metavar="NAME=PICTURE[:STRENGTH][,type=TYPE,start=0.1,...]",
    help="a ControlNet by name or path, the picture that it follows, its strength, and what else "
    "a control has: canny=edges.png:0.9 or union=edges.png:0.9,type=canny,end=0.8; one that "
    "repaints needs no picture: repaint,type=inpaint; may be given several times",
)

_ip_adapters_option = click.option(
    "--ip-adapter",
    "ip_adapters",
    type=control,
    multiple=True,
    metavar="NAME=PICTURE[:STRENGTH][,image=PICTURE,mask=PICTURE,start=0.1,...]",
    help="an IP-Adapter by name or path, the picture that it draws from, its strength, further "
    "pictures, masks that are white where each acts, and when: face=me.png:0.7 or "
    "face=me.png:0.7,image=again.png,end=0.5; may be given several times",
)

_url_option = click.option(
    "--url",
    help="a worker that makes it, http://HOST:PORT; SDRBEE_API_KEY is its key",
)


@click.command()
@click.argument("prompt")
@_control_option
@_controls_option
@_ip_adapters_option
@_out_option
@_url_option
@common_options
@request_options(leave_out=NEEDS_IMAGE | NEEDS_MASK)
@_quiet_option
@json_option
def generate(prompt: str, **options: Any) -> None:
    """Make a picture from PROMPT."""
    _render(prompt, **options)


@click.command()
@click.argument("prompt")
@_image_option
@_controls_option
@_ip_adapters_option
@_out_option
@_url_option
@common_options
@request_options(leave_out=NEEDS_MASK | NEEDS_NO_IMAGE)
@_quiet_option
@json_option
def transform(prompt: str, **options: Any) -> None:
    """Change the picture --image towards PROMPT."""
    _render(prompt, **options)


@click.command()
@click.argument("prompt")
@_image_option
@click.option("--mask", type=_SOURCE_FILE, help="white is repainted, black is kept")
@_controls_option
@_ip_adapters_option
@_out_option
@_url_option
@common_options
@request_options(leave_out=NEEDS_NO_IMAGE)
@_quiet_option
@json_option
def inpaint(prompt: str, **options: Any) -> None:
    """Repaint the part of --image that --mask shows in white, or --outpaint beyond its edges."""
    if options["mask"] is None and options["outpaint"] is None:
        raise click.UsageError("give --mask, --outpaint, or both")
    _render(prompt, **options)


@click.command()
@click.argument("file", type=_SOURCE_FILE)
@click.option("-i", "--image", type=_SOURCE_FILE, help="the picture that it was made from")
@click.option("--mask", type=_SOURCE_FILE, help="the mask that it was made with")
@click.option("--control-image", type=_SOURCE_FILE, help="the control image it was made with")
@click.option(
    "--control",
    "controls",
    type=_SOURCE_FILE,
    multiple=True,
    help="the picture that a ControlNet followed; as many as there were, in their order, masks "
    "behind the pictures of their control",
)
@click.option("-m", "--model", help="the model, where it isn't where the recipe says")
@_out_option
@json_option
def replay(file: Path, out: Path, as_json: bool, **inputs: Any) -> None:
    """Make the picture in FILE again from the recipe inside it, bit by bit."""
    check_writable(out)
    started = time.perf_counter()
    made = sdrbee.replay(file, **inputs)
    _report([write_result(made, out)], [made], time.perf_counter() - started, as_json)


COMMANDS = (generate, transform, inpaint, replay)


def _render(
    prompt: str,
    *,
    out: Path,
    model: str,
    device: str,
    dtype: str,
    variant: str | None,
    memory_limit: int | None,
    threads: int | None,
    quiet: bool,
    as_json: bool,
    url: str | None,
    **options: Any,
) -> None:
    check_writable(out)
    started = time.perf_counter()
    components = given_components(options)
    if url is not None:
        made = _ask_worker(prompt, url, out, quiet, given_fields(options))
        _write(out, made, started, as_json)
        return
    request = sdrbee.GenerationRequest(prompt=prompt, **given_fields(options))
    if threads is not None:
        sdrbee.set_threads(threads)
    loaded = sdrbee.load(
        model,
        device=device,
        dtype=dtype,
        variant=variant,
        memory_limit=memory_limit,
        **components,
    )
    preview_file = None if request.preview == "none" else out.with_stem(f"{out.stem}.preview")
    with Progress(request.count, quiet, preview_file) as progress:
        made = loaded.generate_batch([request], on_step=progress)
    _write(out, made, started, as_json)


def _ask_worker(
    prompt: str, url: str, out: Path, quiet: bool, fields: dict[str, Any]
) -> list[sdrbee.Image]:
    """The pictures of a worker; the job is cancelled when this is interrupted."""
    ctx = click.get_current_context()
    for name in _ONLY_HERE:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} does not go with --url")
    if ctx.get_parameter_source("model") is ParameterSource.COMMANDLINE:
        fields["model"] = ctx.params["model"]
    fields.setdefault("count", 1)
    preview_file = None
    if fields.get("preview", "none") != "none":
        preview_file = out.with_stem(f"{out.stem}.preview")
    with (
        sdrbee.Client(url, api_key=os.environ.get("SDRBEE_API_KEY")) as client,
        Progress(fields["count"], quiet, preview_file) as progress,
    ):

        def show(event: RemoteEvent) -> None:
            if event.kind in ("step", "preview"):
                progress(event.step or 0, event.total, event.preview)

        made: list[sdrbee.Image] = client.generate(prompt, on_event=show, **fields)
        return made


def _write(out: Path, made: list[Any], started: float, as_json: bool) -> None:
    files = [
        write_result(picture, numbered(out, index, len(made))) for index, picture in enumerate(made)
    ]
    _report(files, made, time.perf_counter() - started, as_json)


def _report(files: list[Path], made: list[Any], seconds: float, as_json: bool) -> None:
    if not as_json:
        for file in files:
            click.echo(f"wrote {file}", err=True)
        return
    images = [
        {
            "file": str(file),
            "seed": getattr(picture, "seed", None),
            "recipe": getattr(picture, "recipe", None),
        }
        for file, picture in zip(files, made, strict=True)
    ]
    print_json({"images": images, "seconds": round(seconds, 3)})
