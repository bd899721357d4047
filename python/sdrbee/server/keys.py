"""API keys: where they come from, and a file of them that is read again on SIGHUP."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import sdrbee

log = logging.getLogger("sdrbee.server")

_SHORTEST = 16


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where a worker's keys are: a file, the variable SDRBEE_API_KEY, both, or nowhere."""

    file: Path | None = None
    single: str | None = None

    @classmethod
    def of(cls, file: Path | None) -> KeySource:
        """The file, and what the environment holds."""
        return cls(file, os.environ.get("SDRBEE_API_KEY") or None)

    def read(self) -> dict[str, str]:
        """The name of each key.

        Raises:
            InvalidRequest: The file has a bad line, or none.
            OSError: It can't be read.
        """
        keys = read_keys(self.file) if self.file else {}
        if self.file and not keys:
            raise sdrbee.InvalidRequest(f"[api_key_file] {self.file}: expected name:key lines")
        return {**keys, self.single: "default"} if self.single else keys

    async def follow(self, keys: dict[str, str]) -> None:
        """Puts the keys of the file into `keys` at each SIGHUP, without end. A file that can't be
        read or has no keys changes nothing: a mistake must neither lock out nor let in."""
        if self.file is None:
            return
        hung_up = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up.set)
        while True:
            await hung_up.wait()
            hung_up.clear()
            self._reread(keys)

    def _reread(self, keys: dict[str, str]) -> None:
        try:
            read = self.read()
        except (sdrbee.InvalidRequest, OSError) as error:
            log.error("the keys stay as they were: %s", error)
            return
        keys.clear()
        keys.update(read)
        log.info("%d keys were read from %s", len(read), self.file)


def read_keys(path: Path) -> dict[str, str]:
    """Keys of a file with one ``name:key`` a line; ``#`` begins a comment. Key to name.

    Raises:
        InvalidRequest: A line is neither, or a key is short or there twice.
        OSError: It can't be read.
    """
    keys: dict[str, str] = {}
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        text = line.split("#")[0].strip()
        if not text:
            continue
        name, separator, key = (part.strip() for part in text.partition(":"))
        if not (name and separator and _is_key(key) and key not in keys):
            raise sdrbee.InvalidRequest(
                f"[api_key_file] {path}, line {number}: expected name:key with a key of "
                f"{_SHORTEST} or more ASCII characters that is not there twice"
            )
        keys[key] = name
    return keys


def _is_key(text: str) -> bool:
    return len(text) >= _SHORTEST and text.isascii() and text.isprintable()
