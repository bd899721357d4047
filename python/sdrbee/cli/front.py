"""Options of where a worker listens, to whom, and how it writes its log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sdrbee.server.front import Front

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_PORT = 8081

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def front_options(command: Command) -> Command:
    """The options of `front`, and ``--log-format``."""
    for option in reversed(
        (
            click.option(
                "--host", default="127.0.0.1", show_default=True, help="Address to listen on."
            ),
            click.option(
                "--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(0, 65535)
            ),
            click.option(
                "--api-key-file",
                type=_FILE,
                help="Keys, one name:key a line, read again on SIGHUP; SDRBEE_API_KEY holds a "
                "single one.",
            ),
            click.option(
                "--allowed-host",
                multiple=True,
                help="A further name that this worker is asked by.",
            ),
            click.option("--allow-origin", multiple=True, help="A web page's origin that may ask."),
            click.option(
                "--trusted-proxy",
                multiple=True,
                help="An address whose X-Forwarded-For and -Proto are believed.",
            ),
            click.option("--tls-cert", type=_FILE, help="A certificate chain in PEM: https."),
            click.option("--tls-key", type=_FILE, help="Its private key, if it is not in there."),
            click.option(
                "--log-format",
                type=click.Choice(("text", "json")),
                default="text",
                show_default=True,
            ),
        )
    ):
        command = option(command)
    return command


def front(options: dict[str, Any]) -> Front:
    """What `front_options` were given."""
    from sdrbee.server.front import Certificate, Front
    from sdrbee.server.keys import KeySource

    if options["tls_key"] and not options["tls_cert"]:
        raise click.UsageError("--tls-key needs --tls-cert")
    chain = options["tls_cert"]
    return Front(
        host=options["host"],
        port=options["port"],
        keys=KeySource.of(options["api_key_file"]),
        hosts=options["allowed_host"],
        origins=options["allow_origin"],
        proxies=options["trusted_proxy"],
        certificate=Certificate(chain, options["tls_key"]) if chain else None,
    )
