"""Runs a worker under uvicorn."""

from __future__ import annotations

import gc
import logging
import sys
from functools import partial
from pathlib import Path

import sdrbee
from sdrbee.hub.local import LocalModels
from sdrbee.server.announcer import Announcement, announce
from sdrbee.server.app import Worker
from sdrbee.server.draining import DrainingServer
from sdrbee.server.front import Front
from sdrbee.server.journal import Journal
from sdrbee.server.limits import Limits
from sdrbee.server.logs import write_logs
from sdrbee.server.pulled import Pulled
from sdrbee.server.state_directory import StateDirectory
from sdrbee.server.watchdog import DEFAULT_GRACE_S, Watchdog
from sdrbee.server.webhooks import Policy, Webhooks

log = logging.getLogger("sdrbee.server")

# How long a thread of Python keeps the interpreter while others wait for it: with 5 ms, as Python
# has it, a plug-in's network or an encoder holds up each answer by as much.
_SWITCH_S = 0.0001

# New objects after which Python looks for cycles among them; 700, its own choice, is that of half a
# dozen requests.
_COLLECT_AFTER = 10_000

# How long clients may take to read their last answers after that.
_LAST_ANSWERS_S = 5


def serve_http(
    engine: sdrbee.Engine,
    front: Front,
    *,
    queue: int = 64,
    announcement: Announcement | None = None,
    webhooks: Policy | None = None,
    state: Path | None = None,
    drain_timeout_s: float,
    log_format: str = "text",
    strip_metadata: bool = False,
    hang_grace_s: float = DEFAULT_GRACE_S,
    follow: LocalModels | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
        engine: What makes the pictures; closed at the end.
        front: Where it listens and to whom.
        queue: The engine's `queue_limit`, which is published.
        announcement: What it is called, and who is told that it is there.
        webhooks: How webhooks are sent; None: not at all.
        state: A directory in which jobs outlive the process; None: they end with it.
        drain_timeout_s: How long running jobs may go on after the first signal; what is left then
            goes on in the next process.
        log_format: ``text`` or ``json``.
        strip_metadata: Pictures leave without their recipe and the mark of their origin.
        hang_grace_s: How long a device may hang past a deadline before the process ends.
        follow: A store; models that are pulled into it from now on are served, too.

    Raises:
        InvalidRequest: Others than this machine could ask without a key.
        OSError: The port or `state` is taken, or there is no such address.
        KeyboardInterrupt: SIGINT ended it.
    """
    write_logs(log_format)
    sys.setswitchinterval(_SWITCH_S)
    guard = front.guard()
    directory = None if state is None else StateDirectory(state)
    journal = Journal(None if directory is None else directory.database)
    worker = Worker(
        engine,
        limits=Limits(queue=queue),
        guard=guard,
        journal=journal,
        strip_metadata=strip_metadata,
        watchdog=Watchdog(engine, grace_s=hang_grace_s),
    )
    worker.book.webhooks = Webhooks(webhooks)
    if follow is not None:
        worker.pulled = Pulled(engine, follow)
    worker.companions.append(partial(front.keys.follow, worker.guard.keys))
    bound = front.bind()
    port = bound.getsockname()[1]
    log.info("models: %s", ", ".join(engine.models))
    log.info("jobs are kept in %s", "memory only" if state is None else state)
    announce(worker, announcement or Announcement(), front.scheme, front.host, port)
    log.info("listening on %s://%s:%d", front.scheme, front.host, port)
    config = front.config(worker, timeout_graceful_shutdown=_LAST_ANSWERS_S)
    server = DrainingServer(config, worker.book, drain_timeout_s)
    gc.collect()
    gc.freeze()  # what is there now stays: looking through it again and again stops all answers
    gc.set_threshold(_COLLECT_AFTER)
    server.run(sockets=[bound])
    if directory is not None:
        directory.close()
    if server.interrupted:
        raise KeyboardInterrupt
