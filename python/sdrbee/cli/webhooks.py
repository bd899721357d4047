"""The options of ``sdrbee serve`` for webhooks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sdrbee.server.webhooks import Policy

Command = TypeVar("Command", bound=Callable[..., Any])

_SECRET_VARIABLE = "SDRBEE_WEBHOOK_SECRET"


def webhook_options(command: Command) -> Command:
    """Options that allow webhooks."""
    for option in reversed(
        (
            click.option(
                "--allow-webhooks",
                is_flag=True,
                help="Tell the end of a job to the `webhook_url` of its request.",
            ),
            click.option(
                "--webhook-secret-file",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help=f"What webhooks are signed with; or {_SECRET_VARIABLE}.",
            ),
            click.option(
                "--allow-private-webhooks",
                is_flag=True,
                help="Also to this machine and private networks.",
            ),
        )
    ):
        command = option(command)
    return command


def webhook_policy(options: Mapping[str, Any]) -> Policy | None:
    """What `webhook_options` were given; None: no webhooks."""
    from sdrbee.server.webhooks import Policy, read_secret, read_secret_file

    if not options["allow_webhooks"]:
        return None
    file, variable = options["webhook_secret_file"], os.environ.get(_SECRET_VARIABLE)
    if file is None and not variable:
        raise click.UsageError(
            f"--allow-webhooks needs a secret: --webhook-secret-file, or {_SECRET_VARIABLE}"
        )
    secret = read_secret_file(file) if file is not None else read_secret(variable or "")
    return Policy(secret, options["allow_private_webhooks"])
