"""The job database: what faults of the disk and of its content do."""

from __future__ import annotations

import logging
import random
import sqlite3
from pathlib import Path

import pytest

from sdrbee.server.state_directory import (
    StateDirectory,
    StateError,
    StateInUse,
    default_state_path,
)
from sdrbee.server.store import Accepted, Kept, Store, Told
from sdrbee.server.wire import Submission


def accepted(prompt: str) -> Accepted:
    submission = Submission("image_transform", {"prompt": prompt, "count": 1}, {"image": b"png"})
    return Accepted(submission, "ann", "shapes", 1.5, False, f"key of {prompt}")


def told(status: str) -> Told:
    ended = 2.5 if status == "done" else None
    return Told(status, None, ended, None, False, False, 0, 3, [(1, "queued", b"{}")])


def write(path: Path, jobs: int = 3) -> Kept:
    """A database of some jobs; what it holds."""
    store = Store(path)
    store.open()
    store.begin(durable=True)
    for index in range(jobs):
        store.accept(f"job-{index}", accepted(f"{index}"), told("queued"), b"digest")
        store.save(f"job-{index}", told("running"), bytes(range(256)) * 8)
    store.finish("job-0", accepted("0"), told("done"), [b"picture" * 900])
    store.expire([("job-1", "ann")], 5.0)
    store.commit()
    store.close()
    return read(path)


def read(path: Path) -> Kept:
    store = Store(path)
    try:
        return store.open()
    finally:
        store.close()


def test_all_is_read_as_it_was_written(tmp_path: Path) -> None:
    kept = write(tmp_path / "jobs.db")
    assert [job.job_id for job in kept.jobs] == ["job-0", "job-2"]
    assert kept.jobs[0].accepted == accepted("0")
    assert kept.jobs[0].told == told("done")
    assert [job.checkpoint for job in kept.jobs] == [None, bytes(range(256)) * 8]
    assert [key.key for key in kept.keys] == ["key of 0", "key of 1", "key of 2"]
    assert kept.expired == [("job-1", "ann", 5.0)]
    assert read(tmp_path / "jobs.db").run == kept.run + 1


def test_an_ended_job_stays_as_it_ended(tmp_path: Path) -> None:
    store = Store(tmp_path / "jobs.db")
    store.open()
    store.begin(durable=True)
    store.accept("job", accepted("a"), told("queued"), b"digest")
    store.finish("job", accepted("a"), told("done"), [b"png"])
    store.tell("job", told("running"))
    store.save("job", told("running"), b"late")
    store.finish("job", accepted("a"), told("done"), [b"png"])
    store.commit()
    assert store.pictures("job") == [b"png"]
    store.close()
    job = read(tmp_path / "jobs.db").jobs[0]
    assert (job.told.status, job.checkpoint) == ("done", None)


def corrupted(content: bytes, random_: random.Random) -> bytes:
    """A file after a fault of its disk."""
    pieces = bytearray(content)
    match random_.randrange(4):
        case 0:
            del pieces[random_.randrange(1, len(pieces)) :]
        case 1:
            start = random_.randrange(len(pieces))
            pieces[start : start + random_.randrange(1, 4096)] = bytes(512)
        case 2:
            for _ in range(random_.randrange(1, 20)):
                pieces[random_.randrange(len(pieces))] ^= 1 << random_.randrange(8)
        case 3:
            start = random_.randrange(100)  # the header
            pieces[start] = random_.randrange(256)
    return bytes(pieces)


def check_corruptions(folder: Path, seed: int, count: int) -> int:
    """Opens `count` corrupted databases; each holds what was written or is set aside. How many
    were."""
    path = folder / "jobs.db"
    written = write(path)
    content = path.read_bytes()
    random_ = random.Random(seed)
    aside = 0
    for index in range(count):
        path.write_bytes(corrupted(content, random_))
        kept = read(path)
        folders = list(folder.glob("damaged-*"))
        if folders:
            assert kept == Kept(0, [], [], []), (seed, index)
            assert (folders[0] / "jobs.db").exists()
            aside += 1
            for one in folders:
                for part in one.iterdir():
                    part.unlink()
                one.rmdir()
        else:
            assert (kept.jobs, kept.keys) == (written.jobs, written.keys), (seed, index)
    return aside


def test_a_corrupted_database_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        aside = check_corruptions(tmp_path, seed=5, count=60)
    assert aside > 20
    assert "it was moved to" in caplog.text


def test_a_full_disk_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = write(tmp_path / "jobs.db")

    def connect(*_arguments: object, **_options: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect)
        with pytest.raises(sqlite3.OperationalError):
            read(tmp_path / "jobs.db")
    assert read(tmp_path / "jobs.db").jobs == written.jobs


def test_a_directory_has_one_worker(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state"
    first = StateDirectory(path)
    assert path.stat().st_mode & 0o777 == 0o700
    with pytest.raises(StateInUse, match="another worker"):
        StateDirectory(path)
    first.close()
    StateDirectory(path).close()


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StateError, match=r"file/below can't be used: .*--state-dir"):
        StateDirectory(tmp_path / "file" / "below")


def test_names_of_state_directories(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_state_path("8081") == tmp_path / "sdrbee" / "8081"
    assert default_state_path("../../etc").parent == tmp_path / "sdrbee"
    assert default_state_path("..").parent == tmp_path / "sdrbee"
    assert default_state_path("..").name != ".."
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert default_state_path("a") == Path.home() / ".local" / "state" / "sdrbee" / "a"
