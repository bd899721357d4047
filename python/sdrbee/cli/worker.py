"""``sd-worker-cpu``, ``-cuda``, ``-metal`` and ``-rocm``: `sdrbee serve` as rbee starts workers.

Two dialects of arguments are understood: that of rbee's own image worker, and that with which its
hive starts one. All other arguments are those of `sdrbee serve`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

import sdrbee

if TYPE_CHECKING:
    from sdrbee.server.announcer import Announcement

Command = TypeVar("Command", bound=Callable[..., Any])

# The device of each kind of worker, as sdrbee calls it; torch built for ROCm calls it cuda.
_DEVICES = {"cpu": "cpu", "cuda": "cuda", "metal": "mps", "rocm": "cuda"}


def announcement_options(command: Command) -> Command:
    """Options that say what the worker is called and who is told of it."""
    for option in reversed(
        (
            click.option(
                "--worker-id",
                envvar="WORKER_ID",
                callback=_checked_id,
                help="What the worker is called; by default sdrbee-PORT.",
            ),
            click.option(
                "--callback-url", envvar="CALLBACK_URL", help="Told once when the worker is ready."
            ),
            click.option(
                "--queen-url", envvar="QUEEN_URL", help="Told every 30 s that the worker lives."
            ),
        )
    ):
        command = option(command)
    return command


def _checked_id(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """A worker's id is the name of its folder, too."""
    if value is not None and not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}", value):
        raise click.BadParameter("expected 1 to 128 letters, digits, '-', '_' and '.'")
    return value


def announcement(options: dict[str, Any]) -> Announcement:
    """What `announcement_options` were given."""
    from sdrbee.server.announcer import Announcement
    from sdrbee.server.outgoing import Target

    targets: dict[str, Target | None] = {}
    for name in ("callback_url", "queen_url"):
        try:
            targets[name] = Target.of(options[name]) if options[name] else None
        except ValueError as error:
            raise click.BadParameter(f"{options[name]!r}: {error}", param_hint=name) from None
    return Announcement(options["worker_id"], targets["callback_url"], targets["queen_url"])


def worker_command(kind: str) -> click.Command:
    """The command of one kind of worker."""

    @click.command(
        name=f"sd-worker-{kind}",
        context_settings={
            "ignore_unknown_options": True,
            "allow_extra_args": True,
            "help_option_names": ["-h", "--help"],
        },
        epilog="All other options are those of `sdrbee serve`.",
    )
    @click.option(
        "--sd-version",
        "--version",
        envvar="SD_VERSION",
        help="An alias, a name of the model store.",
    )
    @click.option("--model", envvar="MODEL", help="The hive's word for --sd-version.")
    @click.option("--model-path", envvar="MODEL_PATH", help="Where its files are.")
    @click.option("--port", envvar="PORT", required=True, type=click.IntRange(0, 65535))
    @click.option(
        *(["--device"] if kind == "cpu" else [f"--{kind}-device", "--device"]),
        "index",
        envvar=["DEVICE"] if kind == "cpu" else [f"{kind.upper()}_DEVICE", "DEVICE"],
        default=0,
        type=click.IntRange(min=0),
        help="Which of the devices.",
    )
    @click.option("--use-f16", envvar="USE_F16", is_flag=True, help="Run in fp16.")
    @click.option(
        "--use-flash-attn",
        envvar="USE_FLASH_ATTN",
        is_flag=True,
        help="Attention is always fused here; this is only told.",
    )
    @click.argument("rest", nargs=-1, type=click.UNPROCESSED)
    def command(rest: tuple[str, ...], **options: Any) -> None:
        from sdrbee.cli.serve import serve

        device = _device(kind, options["index"])
        check_device(kind, device)
        if options["use_flash_attn"]:
            click.echo("--use-flash-attn: attention is always fused here", err=True)
        serve.main(
            args=[*_serve_arguments(device, options), *rest],
            prog_name=f"sd-worker-{kind}",
            standalone_mode=False,
        )

    return command


def _serve_arguments(device: str, options: dict[str, Any]) -> list[str]:
    """The same in the words of `sdrbee serve`."""
    name = options["sd_version"] or options["model"]
    path = options["model_path"] or name
    if path is None:
        raise click.UsageError("which model? give --sd-version NAME, or --model-path PATH")
    model = f"{name}={path}" if name else path
    dtype = ["--dtype", "fp16"] if options["use_f16"] else []
    return [model, "--port", str(options["port"]), "--device", device, *dtype]


def _device(kind: str, index: int) -> str:
    """The device by sdrbee's name."""
    return _DEVICES[kind] if kind in ("cpu", "metal") else f"{_DEVICES[kind]}:{index}"


def check_device(kind: str, device: str) -> None:
    """Raises ClickException when this machine has no such device."""
    torch = sdrbee.system_info().torch
    try:
        if kind == "rocm" and "rocm" not in torch:
            raise sdrbee.InvalidRequest(f"torch {torch} is not built for ROCm")
        sdrbee.Engine("shapes", devices=[device]).close()
    except sdrbee.InvalidRequest as error:
        raise click.ClickException(f"the {kind} device is not available: {error}") from None


def _main(kind: str) -> None:
    from sdrbee.cli import run

    sys.exit(run(sys.argv[1:], worker_command(kind), f"sd-worker-{kind}"))


def cpu() -> None:
    """Entry point of ``sd-worker-cpu``."""
    _main("cpu")


def cuda() -> None:
    """Entry point of ``sd-worker-cuda``."""
    _main("cuda")


def metal() -> None:
    """Entry point of ``sd-worker-metal``."""
    _main("metal")


def rocm() -> None:
    """Entry point of ``sd-worker-rocm``."""
    _main("rocm")
