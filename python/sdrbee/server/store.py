"""What a worker keeps of its jobs: one SQLite database, for the journal's thread alone."""

from __future__ import annotations

import logging
import sqlite3
import time
import zlib
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from sdrbee.server.answers import JobError
from sdrbee.server.wire import Submission

log = logging.getLogger("sdrbee.server")

SCHEMA_VERSION = 1

_SCHEMA = (
    "CREATE TABLE runs(run INTEGER PRIMARY KEY)",
    "CREATE TABLE jobs(number INTEGER PRIMARY KEY, job_id TEXT NOT NULL UNIQUE, "
    "status TEXT NOT NULL, accepted BLOB NOT NULL, told BLOB NOT NULL)",
    "CREATE TABLE pictures(job_id TEXT NOT NULL, image_index INTEGER NOT NULL, "
    "png BLOB NOT NULL, PRIMARY KEY(job_id, image_index))",
    "CREATE TABLE checkpoints(job_id TEXT PRIMARY KEY, saved BLOB NOT NULL)",
    "CREATE TABLE keys(caller TEXT NOT NULL, key TEXT NOT NULL, since REAL NOT NULL, "
    "used BLOB NOT NULL, PRIMARY KEY(caller, key))",
    "CREATE TABLE expired(job_id TEXT PRIMARY KEY, caller TEXT NOT NULL, since REAL NOT NULL)",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

_OPEN = "status IN ('queued', 'running')"

_WAL_BYTES = 64 << 20

# Pages that SQLite keeps in memory; jobs are read once, at the start.
_CACHE_KIB = 256


class Accepted(msgspec.Struct, frozen=True):
    """What a job is."""

    submission: Submission
    caller: str
    model: str
    created: float
    synchronous: bool
    idempotency_key: str | None


class Told(msgspec.Struct, frozen=True):
    """What has become of a job."""

    status: str
    started: float | None
    ended: float | None
    error: JobError | None
    cancel_asked: bool
    batched: bool
    crashes: int
    """Crashes of the worker while the job ran, since its newest checkpoint."""
    kept_bytes: int
    events: list[tuple[int, str, bytes]]
    """The events that are states: number, name, JSON without pictures."""


class KeptJob(msgspec.Struct, frozen=True):
    """A job of an earlier run."""

    job_id: str
    accepted: Accepted
    told: Told
    checkpoint: bytes | None


class Key(msgspec.Struct, frozen=True):
    """An Idempotency-Key that was used."""

    caller: str
    key: str
    digest: bytes
    job_id: str
    since: float


class Kept(msgspec.Struct, frozen=True):
    """All that earlier runs left."""

    run: int
    """How often the database was opened before."""
    jobs: list[KeptJob]
    """In the order in which they were accepted."""
    keys: list[Key]
    expired: list[tuple[str, str, float]]
    """Job, caller, and when it was dropped."""


class Damaged(Exception):
    """The database does not hold what was written."""


class Store:
    """Reads and writes the database at `path`; None keeps it in memory, where nothing needs to be
    opened."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    @property
    def durable(self) -> bool:
        return self._path is not None

    def open(self) -> Kept:
        """What is kept. A damaged database is set aside, and a new one takes its place.

        Raises:
            sqlite3.Error, OSError: The disk is full, read-only or broken.
        """
        try:
            return self._open()
        except (sqlite3.DatabaseError, Damaged, UnicodeError) as error:  # even of its messages
            self.close()
            if self._path is None or not self._is_damaged(error):
                raise
            log.error("%s", _set_aside(self._path, error))
            return self._open()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def begin(self, *, durable: bool) -> None:
        """Begins a transaction; a `durable` one survives the loss of power, others a crash."""
        connection = self._connection or self._connect()
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._execute("COMMIT")

    def rollback(self) -> None:
        """Undoes what was begun; a connection that can't is given up for a new one."""
        try:
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            if self.durable:
                self.close()

    def accept(self, job_id: str, accepted: Accepted, told: Told, digest: bytes | None) -> None:
        self._execute(
            "INSERT INTO jobs(job_id, status, accepted, told) VALUES(?, ?, ?, ?)",
            (job_id, told.status, _sealed(accepted), _sealed(told)),
        )
        if accepted.idempotency_key is not None:
            key = Key(
                accepted.caller, accepted.idempotency_key, digest or b"", job_id, accepted.created
            )
            self._execute(
                "INSERT OR REPLACE INTO keys VALUES(?, ?, ?, ?)",
                (key.caller, key.key, key.since, _sealed(key)),
            )

    def tell(self, job_id: str, told: Told) -> None:
        """Nothing changes for a job that has ended."""
        self._execute(
            f"UPDATE jobs SET status = ?, told = ? WHERE job_id = ? AND {_OPEN}",
            (told.status, _sealed(told), job_id),
        )

    def save(self, job_id: str, told: Told, checkpoint: bytes) -> None:
        self.tell(job_id, told)
        self._execute(
            "INSERT OR REPLACE INTO checkpoints "
            f"SELECT job_id, ? FROM jobs WHERE job_id = ? AND {_OPEN}",
            (_sealed(checkpoint), job_id),
        )

    def finish(
        self, job_id: str, accepted: Accepted, told: Told, pictures: Sequence[bytes]
    ) -> None:
        self.tell(job_id, told)
        self._execute("UPDATE jobs SET accepted = ? WHERE job_id = ?", (_sealed(accepted), job_id))
        self._execute("DELETE FROM checkpoints WHERE job_id = ?", (job_id,))
        for index, png in enumerate(pictures):
            self._execute(
                "INSERT OR REPLACE INTO pictures VALUES(?, ?, ?)", (job_id, index, _sealed(png))
            )

    def pictures(self, job_id: str) -> list[bytes]:
        """The results of a job; none when it is no longer kept."""
        connection = self._connection or self._connect()
        rows = connection.execute(
            "SELECT png FROM pictures WHERE job_id = ? ORDER BY image_index", (job_id,)
        )
        return [_opened(png, bytes) for (png,) in rows]

    def expire(self, jobs: Iterable[tuple[str, str]], now: float) -> None:
        """Drops ended jobs, but that there were such."""
        for job_id, caller in jobs:
            for table in ("jobs", "pictures", "checkpoints"):
                self._execute(f"DELETE FROM {table} WHERE job_id = ?", (job_id,))
            self._execute("INSERT OR REPLACE INTO expired VALUES(?, ?, ?)", (job_id, caller, now))

    def forget(self, *, expired_before: float, keys_before: float) -> None:
        """Drops what was kept of dropped jobs, and old keys."""
        self._execute("DELETE FROM expired WHERE since < ?", (expired_before,))
        self._execute("DELETE FROM keys WHERE since < ?", (keys_before,))

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        assert self._connection is not None
        return self._connection.execute(statement, values)

    def _connect(self) -> sqlite3.Connection:
        target = ":memory:" if self._path is None else self._path
        connection = sqlite3.connect(target, isolation_level=None, check_same_thread=False)
        self._connection = connection
        # No second process has it open (see StateDirectory), so no shared index is needed.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        if self._path is None:
            _make_tables(connection)
        return connection

    def _open(self) -> Kept:
        connection = self._connect()
        (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise Damaged(found)
        self.begin(durable=True)
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            _make_tables(connection)
        elif version != SCHEMA_VERSION:
            raise Damaged(f"expected version {SCHEMA_VERSION} of the tables but got {version}")
        kept = self._load()
        connection.execute("DELETE FROM runs")
        connection.execute("INSERT INTO runs VALUES(?)", (kept.run + 1,))
        self.commit()
        return kept

    def _load(self) -> Kept:
        run = self._execute("SELECT max(run) FROM runs").fetchone()[0] or 0
        jobs = self._execute(
            "SELECT job_id, status, accepted, told, saved "
            "FROM jobs LEFT JOIN checkpoints USING(job_id) ORDER BY number"
        )
        try:
            return Kept(
                run=run,
                jobs=[
                    KeptJob(
                        job_id,
                        _opened(accepted, Accepted),
                        _with_status(_opened(told, Told), status),
                        None if saved is None else _opened(saved, bytes),
                    )
                    for job_id, status, accepted, told, saved in jobs
                ],
                keys=sorted(
                    (_opened(used, Key) for (used,) in self._execute("SELECT used FROM keys")),
                    key=lambda key: key.since,
                ),
                expired=[
                    msgspec.convert(row, tuple[str, str, float])
                    for row in self._execute("SELECT * FROM expired ORDER BY since")
                ],
            )
        except (msgspec.MsgspecError, TypeError, ValueError) as error:
            raise Damaged(f"a row can't be read: {error}") from None

    def _is_damaged(self, error: Exception) -> bool:
        """Whether the file is at fault: then a new one beside it works."""
        if not isinstance(error, sqlite3.OperationalError):
            return True
        if "locked" in str(error):
            return False
        assert self._path is not None
        probe = self._path.with_name("probe.db")
        try:
            with closing(sqlite3.connect(probe, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("CREATE TABLE IF NOT EXISTS probe(value)")
                connection.execute("INSERT INTO probe VALUES(1)")
        except sqlite3.Error:
            return False
        finally:
            probe.unlink(missing_ok=True)
        return True


T = TypeVar("T")


def _sealed(value: Any) -> bytes:
    """A value with a checksum: SQLite has none of its own."""
    packed = value if isinstance(value, bytes) else msgspec.msgpack.encode(value)
    return zlib.crc32(packed).to_bytes(4, "big") + packed


def _opened(sealed: Any, kind: type[T]) -> T:
    if not isinstance(sealed, bytes) or len(sealed) < 4:
        raise Damaged(f"expected bytes but got {type(sealed).__name__}")
    packed = sealed[4:]
    if zlib.crc32(packed).to_bytes(4, "big") != sealed[:4]:
        raise Damaged("a row's checksum does not fit")
    return packed if kind is bytes else msgspec.msgpack.decode(packed, type=kind)  # type: ignore[return-value]


def _with_status(told: Told, status: object) -> Told:
    if told.status != status:
        raise Damaged(f"a job is {told.status} and {status!r}")
    return told


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in _SCHEMA:
        connection.execute(statement)


def _set_aside(path: Path, error: Exception) -> str:
    """Moves a database away. What is to be told of it."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    number = 0
    while True:
        aside = path.with_name(f"damaged-{stamp}-{number}")
        try:
            aside.mkdir(mode=0o700)
            break
        except FileExistsError:
            number += 1
    for part in path.parent.glob(f"{path.name}*"):
        part.rename(aside / part.name)
    return (
        f"the job database {path} is damaged ({error}); it was moved to {aside}, and the worker "
        "starts with an empty one"
    )
