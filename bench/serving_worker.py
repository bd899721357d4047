"""A worker in a process of its own, and the few requests that the benchmarks of serving send it."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.comparison import ROOT, environment
from bench.engines import PROMPT
from bench.resident import memory_bytes

_READY_S = 300.0
_NICENESS = 19  # of the threads that compute: under load answers come first


class ServedProcess:
    """A server that tells "listening on http://host:port" on stderr; ended by SIGTERM."""

    def __init__(self, command: list[str], threads: int) -> None:
        self._folder = tempfile.TemporaryDirectory()
        log = Path(self._folder.name) / "log"
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment(threads), stderr=output
            )
        self.port = self._wait_for_port(log)

    def _wait_for_port(self, log: Path) -> int:
        end = time.monotonic() + _READY_S
        while time.monotonic() < end and self.process.poll() is None:
            found = re.search(r"listening on http://[^ ]+:(\d+)", log.read_text())
            if found:
                return int(found.group(1))
            time.sleep(0.05)
        raise SystemExit(f"[serving] the server did not come up: {log.read_text()}")

    def __enter__(self) -> ServedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._folder.cleanup()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            sent = None if body is None else json.dumps(body).encode()
            connection.request(method, path, sent, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def resident_mib(self) -> float:
        return memory_bytes(process=self.process.pid) / 2**20


class Worker(ServedProcess):
    """``sdrbee serve``, once a picture can be made; "mock" is that of `bench.served_mock`."""

    def __init__(self, model: str, threads: int, *options: str, nice: int = _NICENESS) -> None:
        self._state = tempfile.TemporaryDirectory()
        command = [sys.executable, "-m", "sdrbee", "serve", model, "--port", "0", *options]
        command += ["--nice", str(nice), "--state-dir", self._state.name]
        if model == "mock":
            command = [sys.executable, "-m", "bench.served_mock", self._state.name]
        super().__init__(command, threads)
        while self.ask("GET", "/ready")[0] != 200:
            time.sleep(0.05)
        self.picture(steps=1)  # reads all weights

    def submit(self, **fields: Any) -> str:
        """The id of a new job; waits where the queue is full."""
        operation = {"operation": "image_generation", "prompt": PROMPT, **fields}
        while True:
            status, answer = self.ask("POST", "/v1/jobs", operation)
            if status == 200:
                return str(answer["job_id"])
            if status != 429:
                raise SystemExit(f"[serving] expected 200 or 429 but got {status}: {answer}")
            time.sleep(0.02)

    def events(self, job_id: str) -> Iterator[tuple[float, dict[str, Any]]]:
        """The events of a job as they come, each with its time."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            connection.request("GET", f"/v1/jobs/{job_id}/stream")
            answer = connection.getresponse()
            while line := answer.readline():
                if line.startswith(b"data: {"):
                    yield time.perf_counter(), json.loads(line[6:])
        finally:
            connection.close()

    def picture(self, **fields: Any) -> dict[str, Any]:
        """Makes a picture; the last event."""
        *_, (_, last) = self.events(self.submit(**fields))
        if last["type"] != "complete":
            raise SystemExit(f"[serving] expected a picture but got {last}")
        return last
