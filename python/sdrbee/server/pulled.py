"""Models that are pulled into the local store while a worker runs."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import sdrbee
from sdrbee.hub.local import LocalModels

log = logging.getLogger("sdrbee.server")


class Pulled:
    """Adds to an engine what comes into the local store. For the event loop's thread alone."""

    def __init__(self, engine: sdrbee.Engine, store: LocalModels) -> None:
        """What is in the store now is not looked at."""
        self._engine = engine
        self._store = store
        self._seen = _stamp(store.index)
        self._looking = asyncio.Lock()

    async def look(self) -> None:
        """Returns once the engine has all that is in the store; at once when nothing has come."""
        if _stamp(self._store.index) == self._seen:
            return
        async with self._looking:
            stamp = _stamp(self._store.index)
            if stamp != self._seen:
                await asyncio.to_thread(self._add_new)
                self._seen = stamp

    def _add_new(self) -> None:
        try:
            rows = self._store.all("checkpoint")
        except sdrbee.CheckpointError as error:
            log.warning("%s", error)
            return
        for row in rows:
            models = self._engine.models
            path = str(self._store.path_of(row))
            if any(info.source == path for info in models.values()):
                continue
            name = next((one for one in row.full_names if one not in models), None)
            try:
                if name is not None:
                    self._engine.add(name, path)
                    log.info("model %s was pulled and can be asked for", name)
            except sdrbee.Error as error:
                log.warning("%s is left out: %s", name, error)


def _stamp(index: Path) -> tuple[int, int, int]:
    """Another one after each change of a file that is replaced as a whole."""
    try:
        found = index.stat()
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_mtime_ns, found.st_size
