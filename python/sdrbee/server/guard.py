"""Who may ask: API keys, Host and Origin. Decided on the raw request, before any route."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from sdrbee.server.errors import ApiError
from sdrbee.server.http import Request

# Answered without a key: what supervisors and browsers ask first, and the files of the page.
OPEN_PATHS = ("/", "/health", "/ready")
OPEN_FOLDER = "/page/"

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Guard:
    """Checks requests. Without keys every caller is let in, which only loopback may be."""

    keys: dict[str, str] = field(default_factory=dict)
    """The name of each key; may change while the worker runs."""
    hosts: frozenset[str] = frozenset(_LOOPBACK_NAMES)
    """Names under which the worker may be asked, in lower case."""
    origins: frozenset[str] = frozenset()
    """Origins of web pages, beside the worker's own."""

    def check(self, request: Request) -> str:
        """The caller's name. Raises ApiError 401 or 403."""
        host = self._check_host(request)
        self._check_origin(request, host)
        if not self.keys or is_open(request.path):
            return ""
        return self._check_key(request)

    def _check_host(self, request: Request) -> str:
        host = request.header("host") or ""
        parts = _HOST.fullmatch(host)
        if parts is None or parts["name"].strip("[]").lower() not in self.hosts:
            raise ApiError(403, "wrong_host", f"this worker is not called {host!r}")
        return host.lower()

    def _check_origin(self, request: Request, host: str) -> None:
        origin = request.header("origin")
        if origin is None or origin.lower() in self.origins:
            return
        try:
            parts = urlsplit(origin.lower())
            own = parts.scheme in ("http", "https") and parts.netloc == host and not parts.path
        except ValueError:
            own = False
        if not own:
            raise ApiError(403, "wrong_origin", f"pages of {origin!r} may not ask this worker")

    def _check_key(self, request: Request) -> str:
        given = _given_key(request)
        if given is None:
            raise ApiError(401, "no_key", "expected an API key: Authorization: Bearer KEY")
        caller = None
        for key, name in self.keys.items():  # all of them: the time tells nothing
            if hmac.compare_digest(key.encode(), given.encode("utf-8", "surrogateescape")):
                caller = name
        if caller is None:
            raise ApiError(401, "bad_key", "the API key is not one of this worker's")
        return caller


def is_open(path: str) -> bool:
    """Whether it is answered without a key."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)


def _given_key(request: Request) -> str | None:
    own = request.header("x-api-key")
    if own is not None:
        return own
    scheme, _, value = (request.header("authorization") or "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            pair = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return ""
        return pair.partition(":")[2]
    return None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that is bound to `host`."""
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
