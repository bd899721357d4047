"""Runs a worker under uvicorn."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import cast

import uvicorn

import sdrbee
from sdrbee.server.announcer import Announcement, announce
from sdrbee.server.app import Worker
from sdrbee.server.draining import DrainingServer
from sdrbee.server.guard import Guard, is_loopback
from sdrbee.server.journal import Journal
from sdrbee.server.limits import Limits
from sdrbee.server.protocol import Connections, LimitedProtocol
from sdrbee.server.state_directory import StateDirectory

log = logging.getLogger("sdrbee.server")

# How long clients may take to read their last answers after that.
_LAST_ANSWERS_S = 5


def serve_http(
    engine: sdrbee.Engine,
    *,
    host: str,
    port: int,
    keys: Mapping[str, str],
    hosts: Iterable[str] = (),
    origins: Iterable[str] = (),
    queue: int = 64,
    announcement: Announcement | None = None,
    state: Path | None = None,
    drain_timeout_s: float,
) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
        engine: What makes the pictures; closed at the end.
        host: The address to listen on. Any but loopback needs keys.
        port: The port; 0 chooses one.
        keys: API keys and the names of who holds them.
        hosts: Names under which the worker may be asked, beside loopback's and `host`.
        origins: Origins of web pages that may ask.
        queue: The engine's `queue_limit`, which is published.
        announcement: What it is called, and who is told that it is there.
        state: A directory in which jobs outlive the process; None: they end with it.
        drain_timeout_s: How long running jobs may go on after the first signal; what is left then
            goes on in the next process.

    Raises:
        InvalidRequest: Others than this machine could ask without a key.
        OSError: The port or `state` is taken, or there is no such address.
        KeyboardInterrupt: SIGINT ended it.
    """
    if not keys and not is_loopback(host):
        raise sdrbee.InvalidRequest(
            f"[host] {host} can be reached from other machines: give keys by --api-key-file or "
            "SDRBEE_API_KEY, or listen on 127.0.0.1"
        )
    guard = Guard(
        keys=dict(keys),
        hosts=Guard().hosts | {host.lower(), *(name.lower() for name in hosts)},
        origins=frozenset(origin.lower() for origin in origins),
    )
    directory = None if state is None else StateDirectory(state)
    journal = Journal(None if directory is None else directory.database)
    worker = Worker(engine, limits=Limits(queue=queue), guard=guard, journal=journal)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    connections = Connections(worker.limits, per_address=bool(keys))
    bound = _bind(host, port)
    log.info("jobs are kept in %s", "memory only" if state is None else state)
    announce(worker, announcement or Announcement(), host, bound.getsockname()[1])
    log.info("listening on http://%s:%d", host, bound.getsockname()[1])
    config = uvicorn.Config(
        worker,
        http=cast(type[asyncio.Protocol], partial(LimitedProtocol, connections=connections)),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=worker.limits.idle_s,
        timeout_graceful_shutdown=_LAST_ANSWERS_S,
    )
    server = DrainingServer(config, worker.book, drain_timeout_s)
    server.run(sockets=[bound])
    if directory is not None:
        directory.close()
    if server.interrupted:
        raise KeyboardInterrupt


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(2048)
    except OSError:
        bound.close()
        raise
    return bound
