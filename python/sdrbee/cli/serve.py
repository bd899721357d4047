"""``sdrbee serve``: the worker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

import sdrbee
from sdrbee.cli.front import front, front_options
from sdrbee.cli.webhooks import webhook_options, webhook_policy
from sdrbee.cli.worker import announcement, announcement_options
from sdrbee.engine import DEFAULT_MAX_LOADED_MODELS
from sdrbee.hub.local import LocalModels
from sdrbee.model_files import model_path
from sdrbee.model_origin import is_plugin
from sdrbee.plugins import plugin_names
from sdrbee.server.priority import DEFAULT_NICENESS, in_nice_threads

# How often running jobs are written down.
_CHECKPOINT_S = 1.0


def _models(names: tuple[str, ...]) -> dict[str, str]:
    """Models by the name that requests use: ``NAME=PATH``, or a path whose last part is it."""
    if not names:
        return _all_models()
    models: dict[str, str] = {}
    for text in names:
        name, separator, path = text.partition("=")
        name, path = (name, path) if separator else (Path(text).name, text)
        if not name or not path:
            raise click.BadParameter(f"expected MODEL or NAME=MODEL but got {text!r}")
        if name in models:
            raise click.BadParameter(f"two models are called {name!r}; write NAME=PATH")
        models[name] = path
    return models


def _all_models() -> dict[str, str]:
    """Those of the local store, the latest pulled first, and the built-in ones. One that cannot be
    run is left out, so that the others can."""
    store = LocalModels()
    named: dict[str, str | Path] = {
        **{name: store.path_of(model) for name, model in store.named("checkpoint").items()},
        **{name: model_path(name) for name in sdrbee.builtin_models()},
        **{name: name for name in plugin_names()},
    }
    models: dict[str, str] = {}
    for name, path in named.items():
        try:
            missing = sdrbee.describe(path).missing
        except sdrbee.Error as error:
            click.echo(f"warning: {name} is left out: {error}", err=True)
            continue
        if missing:
            click.echo(f"warning: {name} is left out: it lacks {', '.join(missing)}", err=True)
        else:
            models[name] = str(path)
    return models


def _state(arguments: Mapping[str, Any]) -> Path | None:
    """The directory of the job database; a port that the system chooses is no name for one."""
    from sdrbee.server.state_directory import default_state_path

    if arguments["no_journal"]:
        return None
    if arguments["state_dir"]:
        return Path(arguments["state_dir"])
    name = arguments["worker_id"] or arguments["port"]
    return default_state_path(str(name)) if name else None


@click.command(context_settings={"auto_envvar_prefix": "SDRBEE_SERVE"})
@click.argument("models", nargs=-1, metavar="[NAME=]MODEL...")
@click.option("--device", "devices", multiple=True, help="A worker for each; may be repeated.")
@click.option("--dtype", default="auto", show_default=True, help="auto, fp32, bf16 or fp16.")
@click.option(
    "--queue",
    default=64,
    show_default=True,
    type=click.IntRange(min=1),
    help="Pictures that may wait.",
)
@click.option(
    "--max-batch",
    default=8,
    show_default=True,
    type=click.IntRange(min=1),
    help="Pictures made together.",
)
@click.option(
    "--nice",
    default=DEFAULT_NICENESS,
    show_default=True,
    type=click.IntRange(0, 19),
    help="How far computing gives way to answering and to other programs; not with plug-ins.",
)
@click.option(
    "--memory-budget",
    envvar="SDRBEE_MEMORY_BUDGET",
    help="What the weights of all models in memory may take: 8GiB; by default any amount.",
)
@click.option(
    "--max-loaded-models",
    envvar="SDRBEE_MAX_LOADED_MODELS",
    default=DEFAULT_MAX_LOADED_MODELS,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many models stay in memory.",
)
@click.option(
    "--keep-alive",
    envvar="SDRBEE_KEEP_ALIVE",
    help="How long a model that is not used stays in memory: 5m; by default for ever.",
)
@front_options
@announcement_options
@webhook_options
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where jobs outlive the process; by default $XDG_STATE_HOME/sdrbee/WORKER_ID or PORT.",
)
@click.option("--no-journal", is_flag=True, help="Keep jobs in memory only.")
@click.option(
    "--drain-timeout",
    default=30.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Seconds that running jobs have to end after SIGTERM.",
)
@click.option(
    "--strip-metadata",
    is_flag=True,
    help="Pictures leave without their recipe and the mark that a model made them.",
)
@click.option(
    "--hang-grace",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds past a job's deadline after which a hanging model ends the process.",
)
def serve(models: tuple[str, ...], **arguments: Any) -> None:
    """Serve image generation over HTTP: the models that are named, or all of `sdrbee list` and
    those that are pulled meanwhile.

    Requests go to POST /v1/jobs, their progress, previews and pictures come from the stream that
    it names. Settings may stand in the environment (SDRBEE_SERVE_PORT for --port) or in the
    configuration file, too: sdrbee config show --origin.
    """
    from sdrbee.server.run import serve_http
    from sdrbee.server.watchdog import DEFAULT_GRACE_S

    outside = front(arguments)
    webhooks = webhook_policy(arguments)
    outside.guard()  # before a model is looked at
    served = _models(models)
    # A thread that gives way while it holds the interpreter holds up all answers.
    niceness = 0 if any(map(is_plugin, served.values())) else arguments["nice"]
    engine = in_nice_threads(
        lambda: sdrbee.Engine(
            served,
            devices=arguments["devices"] or ("auto",),
            dtype=arguments["dtype"],
            queue_limit=arguments["queue"],
            max_batch=arguments["max_batch"],
            preload=True,
            memory_budget=arguments["memory_budget"],
            max_loaded_models=arguments["max_loaded_models"],
            keep_alive=arguments["keep_alive"],
            checkpoint_interval=_CHECKPOINT_S,
        ),
        niceness,
    )
    serve_http(
        engine,
        outside,
        queue=arguments["queue"],
        announcement=announcement(arguments),
        webhooks=webhooks,
        state=_state(arguments),
        drain_timeout_s=arguments["drain_timeout"],
        log_format=arguments["log_format"],
        strip_metadata=arguments["strip_metadata"],
        hang_grace_s=arguments["hang_grace"] or DEFAULT_GRACE_S,
        follow=None if models else LocalModels(),
    )


COMMANDS = (serve,)
