"""Command-line options of request fields, made from the one list in C++."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import click

import sdrbee
from sdrbee._native import control_pictures, overridable_components
from sdrbee.sizes import parse_bytes

Command = TypeVar("Command", bound=Callable[..., Any])
Number = TypeVar("Number", int, float)

# Fields that a command takes as an argument or that make sense in one mode only.
_OWN_PARAMETER = {"prompt"}
NEEDS_IMAGE = {"strength", "denoising_start"}
NEEDS_MASK = {"keep_unmasked", "inpaint_area", "mask_padding", "mask_blur", "outpaint"}
NEEDS_NO_IMAGE = {"hires_scale", "hires_steps", "hires_denoising_strength", "hires_upscaler"}


def numbers(text: str) -> list[float]:
    """Numbers with commas between them: ``14.6,3.2,0``."""
    return _listed(text, float, "numbers")


def integers(text: str) -> list[int]:
    """Whole numbers with commas between them: ``1024,768``."""
    return _listed(text, int, "whole numbers")


def _listed(text: str, kind: Callable[[str], Number], what: str) -> list[Number]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not a list of {what} with commas between them"
        ) from None


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


# The fields of a control that may stand behind its picture.
CONTROL_OPTIONS: dict[str, Callable[[str], Any]] = {
    "type": str,
    "strength": float,
    "start": float,
    "end": float,
    "guess_mode": _truth,
    "mode": str,
    "preprocessor": str,
    "image": str,
    "mask": str,
}


def control(text: str) -> dict[str, Any]:
    """A control network, the picture that it follows, its strength, and other fields of a control.

    ``canny=edges.png``, ``canny=edges.png:0.9``, ``union=edges.png:0.9,type=canny,end=0.8``; one
    of type "inpaint" needs no picture: ``repaint,type=inpaint``. Of an IP-Adapter further pictures
    and masks may follow: ``face=me.png:0.7,image=again.png,mask=left.png,mask=right.png``.
    """
    named, options = _split_options(text)
    more, masks = options.pop("image", []), options.pop("mask", [])
    model, separator, picture = named.partition("=")
    if model and not separator and options.get("type") == "inpaint":
        return {"model": model, **_listed_pictures({"image": more, "mask": masks}), **options}
    image, colon, strength = picture.rpartition(":")
    given: dict[str, Any] = {"model": model, "image": picture}
    if colon:
        with suppress(ValueError):  # a colon in the picture's name
            given = {"model": model, "image": image, "strength": float(strength)}
    if not separator or not model or not given["image"]:
        raise click.BadParameter(
            f"{text!r} is no NAME=PICTURE or NAME=PICTURE:STRENGTH, with one or several of "
            f"{', '.join(f',{name}=...' for name in CONTROL_OPTIONS)} behind it"
        )
    pictures = {"image": [given.pop("image"), *more], "mask": masks}
    for path in (path for paths in pictures.values() for path in paths):
        if not Path(path).is_file():
            raise click.BadParameter(f"there is no picture {path!r}")
    return given | _listed_pictures(pictures) | options


def _listed_pictures(pictures: dict[str, list[str]]) -> dict[str, Any]:
    """As fields of a control, which have one name for one and another for several."""
    fields: dict[str, Any] = {}
    for one, several in control_pictures():
        if len(pictures[one]) == 1:
            fields[one] = pictures[one][0]
        elif pictures[one]:
            fields[several] = pictures[one]
    return fields


def _split_options(text: str) -> tuple[str, dict[str, Any]]:
    """What stands before ``,name=value`` of known names, and these."""
    options: dict[str, Any] = {}
    while True:
        before, _, last = text.rpartition(",")
        name, _, value = last.partition("=")
        if not before or name not in CONTROL_OPTIONS:
            return text, options
        try:
            read = CONTROL_OPTIONS[name](value)
        except (KeyError, ValueError):
            raise click.BadParameter(f"{last!r} is no value of a control's {name}") from None
        if name in ("image", "mask"):
            options.setdefault(name, []).insert(0, read)
        else:
            options[name] = read
        text = before


def lora(text: str) -> tuple[str, float]:
    """A LoRA and its strength: ``ink:0.8``; 1 without a strength."""
    name, _, strength = text.rpartition(":")
    try:
        return (name, float(strength)) if name else (text, 1.0)
    except ValueError:
        return text, 1.0


def embedding(text: str) -> dict[str, str] | str:
    """A textual inversion and the word that stands for it: ``mascot=mascot.safetensors``."""
    word, separator, path = text.partition("=")
    return {"name": word, "path": path} if separator and word and path else text


def memory_size(text: str) -> int:
    """A size of memory: ``4GiB``."""
    try:
        return parse_bytes(text, "memory_limit")
    except sdrbee.InvalidRequest as error:
        raise click.BadParameter(str(error)) from None


_TYPES: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "list of int": integers,
    "list of float": numbers,
    "list of loras": lora,
    "list of embeddings": embedding,
}

# Options that may be given several times: what each takes, and what that is.
_REPEATABLE = {
    "list of loras": (
        "NAME[:STRENGTH]",
        "a LoRA's file, or its name in the model store, and how much of it",
    ),
    "list of embeddings": (
        "[WORD=]FILE",
        "a textual inversion's file, or its name in the model store",
    ),
}


def request_options(leave_out: Iterable[str] = ()) -> Callable[[Command], Command]:
    """Adds an option for every field of the request but those in `leave_out`."""
    left_out = {*_OWN_PARAMETER, *leave_out}
    fields = [field for field in sdrbee.request_fields() if field.name not in left_out]

    def decorate(command: Command) -> Command:
        for field in reversed(fields):
            command = _option(field)(command)
        return command

    return decorate


def given_fields(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were used, as fields of a request; the rest keeps its default in C++."""
    return {name: value for name, value in options.items() if value not in (None, ())}


def _option(field: Any) -> Callable[[Command], Command]:
    name = field.name.replace("_", "-")
    shown = "" if field.optional or field.default in ("", []) else f"  [default: {field.default}]"
    if field.type == "bool":
        return click.option(f"--{name}/--no-{name}", default=None, help=field.doc + shown)
    if field.type in _REPEATABLE:
        shape, described = _REPEATABLE[field.type]
        return click.option(
            f"--{name.removesuffix('s')}",
            f"--{name}",
            field.name,
            type=_TYPES[field.type],
            multiple=True,
            metavar=shape,
            callback=lambda _context, _option, given: list(given) or None,
            help=f"{described}; repeatable",
        )
    return click.option(f"--{name}", type=_TYPES[field.type], default=None, help=field.doc + shown)


def given_components(options: dict[str, Any]) -> dict[str, Any]:
    """Takes the components from other places out of `options`, as arguments of sdrbee.load."""
    return {name: options.pop(name) for name in overridable_components()}


def component_options(command: Command) -> Command:
    """Options for components from other places."""
    for name in reversed(overridable_components()):
        command = click.option(
            f"--{name.replace('_', '-')}",
            type=click.Path(path_type=Path),
            help=f"the model's {name} from another folder or file",
        )(command)
    return command


def common_options(command: Command) -> Command:
    """Options of every command that loads a model."""
    for option in reversed(
        (
            click.option(
                "-m",
                "--model",
                default="shapes",
                show_default=True,
                help="built-in name, diffusers folder, .safetensors or .gguf file",
            ),
            component_options,
            click.option("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps"),
            click.option("--dtype", default="auto", help="auto, fp32, bf16 or fp16"),
            click.option("--variant", help="which variant of its family the model is"),
            click.option(
                "--memory-limit",
                type=memory_size,
                help="what the weights may take in memory, as 4GiB; parts are loaded in turn",
            ),
            click.option("--threads", type=click.IntRange(min=1), help="CPU threads"),
        )
    ):
        command = option(command)
    return command


def json_option(command: Command) -> Command:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="print JSON on stdout")(command)
