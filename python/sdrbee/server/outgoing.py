"""The few requests that a worker sends: small JSON bodies, one answer's status, bounded time."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads."""

    scheme: str
    host: str
    port: int
    path: str
    """With the query."""

    @staticmethod
    def of(url: str) -> Target:
        """Reads a URL.

        Raises:
            ValueError: It isn't one of HTTP, or has a user or a password in it.
        """
        if not url.isascii() or any(letter <= " " for letter in url) or len(url) > 2048:
            raise ValueError("expected an ASCII URL without spaces of at most 2048 characters")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected http://HOST or https://HOST")
        if parts.username is not None or parts.password is not None:
            raise ValueError("expected no user or password in the URL")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        query = f"?{parts.query}" if parts.query else ""
        return Target(parts.scheme, parts.hostname, port, (parts.path or "/") + query)


@dataclass(frozen=True, slots=True)
class Letter:
    """A POST request."""

    target: Target
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def post(letter: Letter, *, timeout_s: float, address: str | None = None) -> int:
    """Sends it and returns the answer's status; redirects are not followed, no body is read.

    Args:
        letter: What is sent.
        timeout_s: For all of it, however slowly the other side answers.
        address: The IP address to connect to, whatever the host's name resolves to now.

    Raises:
        OSError: It could not be sent, or no answer came in time.
    """
    target = letter.target
    raw = socket.create_connection((address or target.host, target.port), timeout_s)
    # The socket's own time-out begins anew with every byte.
    late = threading.Event()
    watch = threading.Timer(timeout_s, _shut, (raw, late))
    watch.daemon = True
    watch.start()
    connection = http.client.HTTPConnection(target.host, target.port)
    try:
        if target.scheme == "https":
            context = ssl.create_default_context()
            connection.sock = context.wrap_socket(raw, server_hostname=target.host)
        else:
            connection.sock = raw
        headers = {"content-type": "application/json", "connection": "close", **letter.headers}
        connection.request("POST", target.path, letter.body, headers)
        status = connection.getresponse().status
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP answer: {error or type(error).__name__}") from None
    else:
        if late.is_set():  # a header that was cut off reads like a whole one
            raise TimeoutError(f"no whole answer in {timeout_s} s")
        return status
    finally:
        watch.cancel()
        connection.close()
        raw.close()


def _shut(raw: socket.socket, late: threading.Event) -> None:
    late.set()
    try:
        raw.shutdown(socket.SHUT_RDWR)
    except OSError:
        raw.close()
