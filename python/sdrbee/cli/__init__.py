"""The command ``sdrbee``: JSON on stdout with ``--json``, bars and messages on stderr.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

import click

import sdrbee
from sdrbee.cli import config, convert, inspect, models, preprocess, render, running, serve
from sdrbee.cli.output import print_json

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


class Commands(click.Group):
    """A group that suggests the nearest command."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            import difflib

            nearest = difflib.get_close_matches(args[0], self.commands)
            hint = f"Did you mean {' or '.join(nearest)}?" if nearest else "See sdrbee --help."
            raise click.UsageError(f"No such command {args[0]!r}. {hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(sdrbee.__version__, prog_name="sdrbee")
def commands() -> None:
    """Make pictures from text with diffusion models."""


for one in (
    *render.COMMANDS,
    *inspect.COMMANDS,
    *models.COMMANDS,
    *convert.COMMANDS,
    *preprocess.COMMANDS,
    *serve.COMMANDS,
    *running.COMMANDS,
    *config.COMMANDS,
):
    commands.add_command(one)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script."""
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: list[str], command: click.Command = commands, name: str = "sdrbee") -> int:
    """Runs one command line and returns its exit code; errors are told, not raised."""
    as_json = "--json" in arguments
    warnings.showwarning = _show_warning
    try:
        command.main(
            args=arguments,
            prog_name=name,
            standalone_mode=False,
            default_map=config.file_settings(),
        )
    except click.UsageError as error:
        if error.ctx is not None and not as_json:
            click.echo(error.ctx.get_usage(), err=True)
        return _fail(error, error.format_message(), USAGE, as_json)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except sdrbee.ModelNotFound as error:
        return _fail(error, str(error), FAILED, as_json)
    except sdrbee.InvalidRequest as error:
        return _fail(error, str(error), USAGE, as_json)
    except BrokenPipeError:
        sys.stderr.close()  # Python would complain about the closed pipe once more at its end.
        return FAILED
    except (sdrbee.Error, click.ClickException, OSError, MemoryError) as error:
        return _fail(error, str(error), FAILED, as_json)
    return OK


def _fail(error: Exception, text: str, code: int, as_json: bool) -> int:
    if as_json:
        print_json({"error": {"type": type(error).__name__, "message": text}})
    click.echo(f"error: {text}", err=True)
    return code


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    click.echo(f"warning: {message}", err=True)
