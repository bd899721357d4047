"""Runs a worker under uvicorn."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Iterable, Mapping
from functools import partial
from typing import cast

import uvicorn

import sdrbee
from sdrbee.server.announcer import Announcement, announce
from sdrbee.server.app import Worker
from sdrbee.server.guard import Guard, is_loopback
from sdrbee.server.limits import Limits
from sdrbee.server.protocol import Connections, LimitedProtocol

log = logging.getLogger("sdrbee.server")


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

    Raises:
        InvalidRequest: Others than this machine could ask without a key.
        OSError: The port is taken, or there is no such address.
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
    worker = Worker(engine, limits=Limits(queue=queue), guard=guard)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    connections = Connections(worker.limits, per_address=bool(keys))
    bound = _bind(host, port)
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
    )
    # uvicorn raises the signal that ended it once more; SIGTERM is how supervisors end a worker.
    signal.signal(signal.SIGTERM, lambda *_: None)
    uvicorn.Server(config).run(sockets=[bound])


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
