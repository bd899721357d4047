"""A worker as users run it: the command, in a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Served:
    """A running worker and how to ask it."""

    def __init__(self, process: subprocess.Popen[str], port: int, log: Path) -> None:
        self.log = log
        self.process = process
        self.port = port
        self.headers: dict[str, str] = {}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = None
        if body is not None:
            given.setdefault("content-type", "application/json")
            sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, path, sent, {**self.headers, **given})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def submit(self, prompt: str, **fields: Any) -> str:
        operation = {"operation": "image_generation", "hive_id": "localhost", "prompt": prompt}
        answer = self.ask("POST", "/v1/jobs", {**operation, **fields})
        assert answer.status == 200, answer.body
        job_id: str = answer.json()["job_id"]
        assert answer.json()["sse_url"] == f"/v1/jobs/{job_id}/stream"
        return job_id

    def events(self, job_id: str, **headers: str) -> list[dict[str, Any]]:
        """All events of a job, to its end; each with its id."""
        answer = self.ask("GET", f"/v1/jobs/{job_id}/stream", **headers)
        assert answer.status == 200, answer.body
        assert answer.headers["content-type"] == "text/event-stream"
        events = []
        for frame in answer.body.decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in frame.splitlines() if ": " in line)
            if "event" in lines:
                data = json.loads(lines["data"])
                assert data["type"] == lines["event"]
                events.append({"id": int(lines["id"]), **data})
        return events


def serve(tmp_path: Path, *arguments: str, **environment: str) -> Iterator[Served]:
    """Starts ``sdrbee serve``, and ends it with SIGTERM."""
    # Not nice: tests share the machine with other programs.
    command = [sys.executable, "-m", "sdrbee", "serve", "--port", "0", "--nice", "0", *arguments]
    yield from started(tmp_path, command, **environment)


def started(tmp_path: Path, command: list[str], **environment: str) -> Iterator[Served]:
    """Starts a worker by any command, and ends it with SIGTERM."""
    log = tmp_path / "worker.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            stderr=output,
            text=True,
            env={**os.environ, **environment},
        )
    try:
        yield Served(process, port_of(process, log), log)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
    assert code == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def port_of(process: subprocess.Popen[str], log: Path) -> int:
    """The port that a worker listens on, once it says so in its log."""
    import time

    for _ in range(600):
        found = re.search(r"listening on https?://[^ :]+:(\d+)", log.read_text())
        if found:
            return int(found.group(1))
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise TimeoutError(log.read_text())


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serve(tmp_path_factory.mktemp("worker"), "shapes", "shapes-inpaint")


@pytest.fixture
def webui(worker: Served) -> Any:
    """A1111's real Python client, asking the worker."""
    import webuiapi

    return webuiapi.WebUIApi(host="127.0.0.1", port=worker.port, sampler="Euler a", steps=2)


@pytest.fixture(scope="module")
def browser() -> Any:
    """A real Chromium. Of a module: while Playwright runs, asyncio can't."""
    from playwright.sync_api import expect, sync_playwright
    from server.browsing import ARGUMENTS, CHROMIUM, PATIENCE_MS

    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def many_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A worker with a key for each test of the page."""
    from server.browsing import key_of

    folder = tmp_path_factory.mktemp("page")
    keys = folder / "keys"
    keys.write_text("\n".join(f"user{i}:{key_of(i)}" for i in range(40)))
    yield from serve(folder, "shapes", "shapes-inpaint", "--api-key-file", str(keys))


@pytest.fixture
def opened(browser: Any, many_users: Served) -> Any:
    """Opens the page as one of the users."""
    from server.browsing import Opened, key_of

    pages: list[Opened] = []

    def make(*, user: int, **options: Any) -> Opened:
        pages.append(Opened(browser, many_users, key_of(user), **options))
        return pages[-1]

    yield make
    for page in pages:
        page.close()


@pytest.fixture(autouse=True, scope="session")
def _state_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No worker of the tests touches the user's state."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
