"""Where a worker listens, by which names, to whom, and under which certificate."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import ssl
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvicorn

import sdrbee
from sdrbee.server.app import Worker
from sdrbee.server.guard import Guard, is_loopback
from sdrbee.server.keys import KeySource
from sdrbee.server.limits import Limits
from sdrbee.server.protocol import Connections, LimitedProtocol

log = logging.getLogger("sdrbee.server")


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files: a chain of certificates, and the private key when it isn't in the same file."""

    chain: Path
    key: Path | None = None

    def check(self) -> None:
        """Raises InvalidRequest when the files are no pair."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.chain, self.key)
        except (ssl.SSLError, OSError) as error:
            raise sdrbee.InvalidRequest(f"[tls_cert] {self.chain}: {error}") from None


@dataclass(frozen=True, slots=True)
class Front:
    """The outside of a worker."""

    host: str
    """The address to listen on. Any but loopback needs keys."""
    port: int
    """0 chooses one."""
    keys: KeySource = field(default_factory=KeySource)
    hosts: tuple[str, ...] = ()
    """Names under which the worker may be asked, beside loopback's and `host`."""
    origins: tuple[str, ...] = ()
    """Origins of web pages that may ask."""
    proxies: tuple[str, ...] = ()
    """Addresses whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    certificate: Certificate | None = None

    @property
    def scheme(self) -> str:
        return "https" if self.certificate else "http"

    def guard(self) -> Guard:
        """Who may ask.

        Raises:
            InvalidRequest: Others than this machine could ask without a key, or the keys or the
                certificate are damaged.
        """
        keys = self.keys.read()
        if not keys and not is_loopback(self.host):
            raise sdrbee.InvalidRequest(
                f"[host] {self.host} can be reached from other machines: give keys by "
                "--api-key-file or SDRBEE_API_KEY, or listen on 127.0.0.1"
            )
        if self.certificate:
            self.certificate.check()
        return Guard(
            keys=keys,
            hosts=Guard().hosts | {self.host.lower(), *(name.lower() for name in self.hosts)},
            origins=frozenset(origin.lower() for origin in self.origins),
        )

    def bind(self) -> socket.socket:
        """A socket that listens. Raises OSError when the port is taken or no such address is
        here."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((self.host, self.port))
            bound.listen(2048)
        except OSError:
            bound.close()
            raise
        return bound

    def config(self, worker: Worker, **others: Any) -> uvicorn.Config:
        """How uvicorn runs the worker."""
        _allow_files(worker.limits)
        connections = Connections(
            worker.limits, per_address=bool(worker.guard.keys), proxies=frozenset(self.proxies)
        )
        return uvicorn.Config(
            worker,
            http=cast(type[asyncio.Protocol], partial(LimitedProtocol, connections=connections)),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(self.proxies),
            forwarded_allow_ips=list(self.proxies),
            timeout_keep_alive=worker.limits.idle_s,
            ssl_certfile=self.certificate.chain if self.certificate else None,
            ssl_keyfile=self.certificate.key if self.certificate else None,
            **others,
        )


def _allow_files(limits: Limits) -> None:
    """Raises how many files may be open, so that the limit of connections is the one that counts:
    without a file, accepting itself fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * limits.connections + 1_024
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
