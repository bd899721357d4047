"""Where a worker keeps its state, and the lock that makes it the only one there."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from urllib.parse import quote


class StateError(OSError):
    """The directory can't be used."""


class StateInUse(StateError):
    """Another process has it."""


class StateDirectory:
    """A directory that only this user can read and only this process uses, until it ends."""

    def __init__(self, path: Path) -> None:
        """Makes and locks it.

        Raises:
            StateInUse: Another worker runs on it.
            StateError: It can't be made or written.
        """
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(0o700)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(
                f"[state_dir] {path} can't be used: {error.strerror}; give another --state-dir, "
                "or --no-journal"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._lock)
            raise StateInUse(
                f"[state_dir] another worker (process {holder}) runs on {path}: give this one "
                "another --state-dir or --port"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, b"%d\n" % os.getpid(), 0)

    @property
    def database(self) -> Path:
        """The file of the job database."""
        return self.path / "jobs.db"

    def close(self) -> None:
        """Lets others have it."""
        os.close(self._lock)


def default_state_path(name: str) -> Path:
    """``$XDG_STATE_HOME/sdrbee/<name>``, by default below ``~/.local/state``; `name` is a worker's
    id or port."""
    told = os.environ.get("XDG_STATE_HOME", "")
    # Relative paths are not valid there, says the XDG base directory specification.
    home = Path(told) if told.startswith("/") else Path.home() / ".local" / "state"
    part = quote(name, safe="")
    return home / "sdrbee" / (f"%2E{part[1:]}" if part.startswith(".") else part)
