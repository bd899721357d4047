"""Webhooks: the end of a job is told to the URL that its request names.

Off unless allowed. Signed as https://www.standardwebhooks.com has it: ``webhook-id``,
``webhook-timestamp``, and ``webhook-signature: v1,`` with the HMAC-SHA256 of id, time and body with
dots between them, in base64. Told at least once: an id that comes twice is the same event.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import ipaddress
import logging
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

import sdrbee
from sdrbee.server.errors import ApiError
from sdrbee.server.journal import StorageError
from sdrbee.server.outgoing import Letter, Target, post
from sdrbee.server.record import Record
from sdrbee.server.tasks import begin, end_all

log = logging.getLogger("sdrbee.server")

_THREADS = 4
_TIMEOUT_S = 10.0
# The waits between tries: together as long as an ended job is kept.
_BACK_OFF_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0)
_SHORTEST_SECRET = 16

# What one address family hides in the other: the inner address is not seen by `is_global`.
_TRANSLATED = tuple(
    ipaddress.ip_network(network) for network in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")
)


@dataclass(frozen=True, slots=True)
class Policy:
    """Under which conditions webhooks are sent."""

    secret: bytes
    allow_private: bool = False
    """Also to this machine and to private networks."""
    back_off_s: tuple[float, ...] = _BACK_OFF_S


def read_secret(text: str) -> bytes:
    """A secret as users write it: text, or ``whsec_`` and base64.

    Raises:
        InvalidRequest: It is short, or no base64.
    """
    encoded = text.strip().removeprefix("whsec_")
    try:
        secret = base64.b64decode(encoded, validate=True) if encoded != text.strip() else b""
    except binascii.Error:
        raise sdrbee.InvalidRequest("[webhook_secret] expected base64 behind whsec_") from None
    secret = secret or text.strip().encode()
    if len(secret) < _SHORTEST_SECRET:
        raise sdrbee.InvalidRequest(
            f"[webhook_secret] expected {_SHORTEST_SECRET} or more bytes but got {len(secret)}"
        )
    return secret


def read_secret_file(path: Path) -> bytes:
    """The secret in a file. Raises InvalidRequest as `read_secret`, OSError."""
    return read_secret(path.read_text())


class Webhooks:
    """Tells of jobs that have ended. For the event loop's thread alone."""

    def __init__(self, policy: Policy | None = None) -> None:
        """Without a policy, no webhook is taken."""
        self._policy = policy
        self._tasks: set[asyncio.Task[None]] = set()
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="webhook")

    @property
    def allowed(self) -> bool:
        """Whether webhooks are taken."""
        return self._policy is not None

    def check(self, url: str | None) -> None:
        """Raises ApiError 422 for a URL that nothing is sent to. What its host's name resolves to
        is looked at when it is sent."""
        if url is None:
            return
        try:
            if self._policy is None:
                raise ValueError("this worker sends none; it would with --allow-webhooks")
            target = Target.of(url)
            if _is_address(target.host):
                _check_address(target.host, self._policy.allow_private)
        except ValueError as error:
            text = f"[webhook_url] {error}"
            raise ApiError(422, "invalid_field", text, field="webhook_url") from None

    def ended(self, record: Record) -> None:
        """Tells of a job that has ended, if its request asks for it and it isn't told yet."""
        if self._policy is None or record.submission.webhook_url is None:
            return
        begin(self._deliver(self._policy, record), self._tasks)

    async def close(self) -> None:
        """Leaves what isn't told to the next run of the worker."""
        await end_all(self._tasks)
        self._executor.shutdown(wait=False)

    async def _deliver(self, policy: Policy, record: Record) -> None:
        url = record.submission.webhook_url or ""
        loop = asyncio.get_running_loop()
        body = _body(record)
        for wait_s in (*policy.back_off_s, None):
            try:
                status = await loop.run_in_executor(
                    self._executor, _send, policy, url, _event_id(record), body
                )
            except (OSError, ValueError) as error:
                problem = str(error)
            else:
                if 200 <= status < 300:
                    break
                problem = f"HTTP {status}"
            log.warning("the webhook of %s was not delivered: %r", record.job_id, problem)
            if wait_s is not None:
                await asyncio.sleep(wait_s)
        # The journal forgets the URL: the next run has nothing to tell.
        record.submission = replace(record.submission, webhook_url=None)
        try:
            await record.store()
        except StorageError as error:
            log.warning("the webhook of %s may come again: %s", record.job_id, error)


def signature(secret: bytes, event_id: str, timestamp: int, body: bytes) -> str:
    """What ``webhook-signature`` holds."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()


def _event_id(record: Record) -> str:
    return f"{record.job_id}.{record.status}"


def _body(record: Record) -> bytes:
    event = {
        "id": _event_id(record),
        "type": f"job.{record.status}",
        "timestamp": record.ended,
        "data": record.describe(),
    }
    return msgspec.json.encode(event)


def _send(policy: Policy, url: str, event_id: str, body: bytes) -> int:
    """Raises OSError, and ValueError where nothing may be sent to."""
    target = Target.of(url)
    timestamp = int(time.time())
    headers = {
        "user-agent": f"sdrbee/{sdrbee.__version__}",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(policy.secret, event_id, timestamp, body),
    }
    address = _resolved(target, policy.allow_private)
    return post(Letter(target, body, headers), timeout_s=_TIMEOUT_S, address=address)


def _resolved(target: Target, allow_private: bool) -> str:
    """An address of the host; none is taken when one of them is not allowed."""
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        _check_address(address, allow_private)
    return addresses[0]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _check_address(text: str, allow_private: bool) -> None:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    public = address.is_global and not any(
        address in network for network in _TRANSLATED if network.version == address.version
    )
    if address.is_multicast or address.is_unspecified or not (public or allow_private):
        raise ValueError(f"expected a public address but got {address}")
