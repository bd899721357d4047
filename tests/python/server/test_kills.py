"""Workers that are killed, ended and starved, as processes."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from pathlib import Path

import pytest
from server.kills import Kills, ask, stream
from server.nursery import Child, Nursery

from sdrbee.server.state_directory import StateDirectory


def start(nursery: Nursery, folder: Path, step_s: float = 0.0) -> Child:
    log = folder / "worker.log"
    log.write_text("")
    return nursery.start(folder / "state", step_s, log)


def submit(port: int, prompt: str = "a", **fields: object) -> tuple[int, dict[str, str]]:
    return ask(
        port, "POST", "/v1/jobs", {"operation": "image_generation", "prompt": prompt} | fields
    )


def test_killed_at_random_no_job_is_lost_and_none_ends_twice(tmp_path: Path) -> None:
    counts = Kills(tmp_path, seed=1).run(20)
    assert counts["accepted"] > 20


def test_sigterm_lets_the_running_job_end_and_the_next_process_makes_the_others(
    tmp_path: Path,
) -> None:
    with Nursery() as nursery:
        first = start(nursery, tmp_path, step_s=0.02)
        port = first.port()
        jobs = [submit(port, f"job {index}", steps=20)[1]["job_id"] for index in range(3)]
        while ask(port, "GET", f"/v1/jobs/{jobs[0]}")[1]["status"] == "queued":
            pass
        first.signal(signal.SIGTERM)
        while ask(port, "GET", "/ready")[0] == 200:
            pass
        status, answer = submit(port)
        assert (status, answer["error"]["code"]) == (503, "draining")
        assert stream(port, jobs[0])[-1][1]["type"] == "complete"
        assert first.wait() == 0
        second = start(nursery, tmp_path)
        port = second.port()
        ended = [ask(port, "GET", f"/v1/jobs/{job}")[1]["ended"] for job in jobs]
        assert ended[0] is not None
        assert [stream(port, job)[-1][1]["type"] for job in jobs] == ["complete"] * 3
        assert ask(port, "GET", f"/v1/jobs/{jobs[0]}")[1]["ended"] == ended[0]
        second.signal(signal.SIGTERM)
        assert second.wait() == 0


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with Nursery() as nursery:
        first = start(nursery, tmp_path, step_s=0.05)
        port = first.port()
        job = submit(port, steps=1000)[1]["job_id"]
        first.signal(signal.SIGTERM)
        while ask(port, "GET", "/ready")[0] == 200:
            pass
        first.signal(signal.SIGTERM)
        assert first.wait() == 0
        second = start(nursery, tmp_path)
        assert stream(second.port(), job)[-1][1]["type"] == "complete"
        second.signal(signal.SIGTERM)
        assert second.wait() == 0


def test_a_second_worker_on_the_directory_is_refused(tmp_path: Path, command: list[str]) -> None:
    directory = StateDirectory(tmp_path)
    done = subprocess.run(
        [*command, "serve", "--port", "0", "--state-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    directory.close()
    assert done.returncode == 1
    assert f"another worker (process {os.getpid()}) runs on {tmp_path}" in done.stderr


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of others are Linux's")
def test_a_full_disk_is_507_until_there_is_space(tmp_path: Path) -> None:
    with Nursery() as nursery:
        first = start(nursery, tmp_path)
        port = first.port()
        before = submit(port)[1]["job_id"]
        assert stream(port, before)[-1][1]["type"] == "complete"
        limits = resource.prlimit(first.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(first.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
        status, answer = submit(port)
        assert (status, answer["error"]["code"]) == (507, "insufficient_storage")
        assert ask(port, "GET", "/health")[0] == 200
        assert stream(port, before)[-1][1]["type"] == "complete"
        resource.prlimit(first.pid, resource.RLIMIT_FSIZE, limits)
        status, answer = submit(port)
        assert status == 200
        assert stream(port, answer["job_id"])[-1][1]["type"] == "complete"
        assert len(ask(port, "GET", "/v1/jobs")[1]["jobs"]) == 2
        first.signal(signal.SIGTERM)
        assert first.wait() == 0
