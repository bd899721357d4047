"""What a worker tells rbee's hive and queen by itself: that it is ready, and that it lives."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec

from sdrbee.server.identity import Identity
from sdrbee.server.outgoing import Letter, Target, post

if TYPE_CHECKING:
    from sdrbee.server.app import Worker

log = logging.getLogger("sdrbee.server")

_HEARTBEAT_PATH = "/v1/worker-heartbeat"
_TIMEOUT_S = 5.0
# How often is looked whether the model is loaded.
_LOOK_S = 0.1
# The waits before the callback is tried again.
_RETRIES_S = (1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a worker is called, and who is told of it."""

    worker_id: str | None = None
    callback: Target | None = None
    queen: Target | None = None


def announce(worker: Worker, announcement: Announcement, scheme: str, host: str, port: int) -> None:
    """Gives a worker that listens on `host` its identity, and an announcer beside its requests."""
    name = "localhost" if _is_anywhere(host) else f"[{host}]" if ":" in host else host
    worker.identity = Identity(
        announcement.worker_id or f"sdrbee-{port}", f"{scheme}://{name}:{port}", port
    )
    announcer = Announcer(worker, announcement.callback, announcement.queen)
    worker.companions.append(announcer.run)


def _is_anywhere(host: str) -> bool:
    """Whether it is no address that one could connect to from elsewhere."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_unspecified or address.is_loopback


@dataclass(frozen=True, slots=True)
class Announcer:
    """Tells others of a worker; what they answer, or whether they do, never ends it."""

    worker: Worker
    callback: Target | None = None
    """The hive's, once when a picture can be made."""
    queen: Target | None = None
    """Where heartbeats go to; the path is the contract's."""
    heartbeat_s: float = 30.0
    retries_s: tuple[float, ...] = _RETRIES_S

    async def run(self) -> None:
        """Until it is cancelled."""
        await asyncio.gather(self._tell_ready(), self._beat())

    async def _tell_ready(self) -> None:
        if self.callback is None:
            return
        while self.worker.not_ready() is not None:
            await asyncio.sleep(_LOOK_S)
        worker = self.worker
        body = await worker.in_thread(worker.identity.ready, worker.engine)
        for wait_s in (*self.retries_s, None):
            told = await self._post(self.callback, body)
            if told is None:
                return
            log.warning("the ready callback to %s failed: %s", self.callback.host, told)
            if wait_s is not None:
                await asyncio.sleep(wait_s)

    async def _beat(self) -> None:
        if self.queen is None:
            return
        target = Target(self.queen.scheme, self.queen.host, self.queen.port, _HEARTBEAT_PATH)
        while True:
            told = await self._post(target, self._heartbeat())
            if told is not None:
                log.debug("the heartbeat to %s failed: %s", target.host, told)
            await asyncio.sleep(self.heartbeat_s)

    def _heartbeat(self) -> dict[str, Any]:
        now = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
        return {"worker": self.worker.info(), "timestamp": now}

    async def _post(self, target: Target, body: dict[str, Any]) -> str | None:
        """Why it failed; None when it didn't."""
        letter = Letter(target, msgspec.json.encode(body))
        try:
            status = await asyncio.to_thread(post, letter, timeout_s=_TIMEOUT_S)
        except OSError as error:
            return str(error)
        return None if 200 <= status < 300 else f"HTTP {status}"
