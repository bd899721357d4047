"""Idempotency-Key: a request that is sent again is answered by the job of the first time."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import msgspec

from sdrbee.server.errors import ApiError
from sdrbee.server.store import Key
from sdrbee.server.wire import Submission

_LONGEST_KEY = 255

# Fields of submissions that say nothing of what is asked for.
_NOT_ASKED = ("limits", "picture_names", "summary")


class Keys:
    """The keys of the callers. For the event loop's thread alone."""

    def __init__(self, kept_s: float) -> None:
        self._kept_s = kept_s
        self._keys: dict[tuple[str, str], Key] = {}  # the oldest first
        self._in_use: dict[tuple[str, str], asyncio.Future[None]] = {}

    def put(self, keys: Iterable[Key]) -> None:
        self._keys.update({(key.caller, key.key): key for key in keys})

    @asynccontextmanager
    async def use(self, caller: str, key: str, digest: bytes) -> AsyncIterator[str | None]:
        """The job of a key; None for a new one, which is to be `put` within. One at a time.

        Raises:
            ApiError: 422 when the key was used for a request of another digest.
        """
        name = (caller, key)
        while name in self._in_use:
            await asyncio.wait({self._in_use[name]})
        self._in_use[name] = asyncio.get_running_loop().create_future()
        try:
            self._forget_old()
            used = self._keys.get(name)
            if used is not None and used.digest != digest:
                raise ApiError(
                    422,
                    "idempotency_key_reused",
                    f"[idempotency_key] {key!r} was used for another request",
                    field="idempotency_key",
                )
            yield None if used is None else used.job_id
        finally:
            self._in_use.pop(name).set_result(None)

    def _forget_old(self) -> None:
        oldest = time.time() - self._kept_s
        while self._keys:
            name, key = next(iter(self._keys.items()))
            if key.since >= oldest:
                return
            del self._keys[name]


def checked_key(key: str | None) -> str | None:
    """The value of the header. Raises ApiError 400 for one that is empty, long or not ASCII."""
    if key is not None and not (0 < len(key) <= _LONGEST_KEY and key.isascii()):
        raise ApiError(
            400,
            "bad_request",
            f"Idempotency-Key: expected 1..{_LONGEST_KEY} ASCII characters",
            field="idempotency_key",
        )
    return key


def digest_of(submission: Submission, model: str) -> bytes:
    """What two requests have in common when they ask for the same."""
    told = {
        name: getattr(submission, name)
        for name in submission.__dataclass_fields__
        if name not in _NOT_ASKED
    }
    told["pictures"] = {
        name: hashlib.sha256(picture).digest() for name, picture in submission.pictures.items()
    }
    return hashlib.sha256(msgspec.msgpack.encode([told, model], order="deterministic")).digest()
