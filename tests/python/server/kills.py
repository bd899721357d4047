"""Random kills of a worker: what was accepted ends exactly once."""

from __future__ import annotations

import base64
import http.client
import json
import random
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.fake_engine import content_of
from server.nursery import Child, Nursery


@dataclass
class Asked:
    """What a client knows of a job."""

    prompt: str
    seed: int
    key: str | None
    job_id: str | None = None
    ended: float | None = None
    last_event: int = 0


@dataclass
class Kills:
    """Kills workers on one state directory, `count` times."""

    folder: Path
    seed: int
    asked: list[Asked] = field(default_factory=list)

    def run(self, count: int) -> dict[str, int]:
        """Raises AssertionError, with the seed, where a job is lost or ends twice."""
        random_ = random.Random(self.seed)
        with Nursery() as nursery:
            for number in range(count):
                child = self._start(nursery, 0.004)
                at_start = random_.random() < 0.3
                killer = threading.Timer(random_.uniform(0, 0.2), child.signal, (signal.SIGKILL,))
                if at_start:
                    killer.start()
                with suppress(OSError, http.client.HTTPException):  # killed in the middle of it
                    self._be_a_client(child.port(), random_, number, killer)
                killer.join()
                assert child.wait() == -signal.SIGKILL, self._log().read_text()
            child = self._start(nursery, 0.0)
            self._check(child.port())
            child.signal(signal.SIGTERM)
            assert child.wait() == 0, self._log().read_text()
        accepted = [one for one in self.asked if one.job_id]
        return {"kills": count, "accepted": len(accepted), "sent": len(self.asked)}

    def _log(self) -> Path:
        return self.folder / "worker.log"

    def _start(self, nursery: Nursery, step_s: float) -> Child:
        self._log().write_text("")
        return nursery.start(self.folder / "state", step_s, self._log())

    def _be_a_client(
        self, port: int, random_: random.Random, number: int, killer: threading.Timer
    ) -> None:
        """Sends what had no answer again where it has a key, sends new ones, looks at old ones."""
        for one in [one for one in self.asked if one.key and not one.job_id]:
            self._send(port, one)
        for index in range(random_.randrange(1, 5)):
            key = f"key {number} {index}" if random_.random() < 0.5 else None
            one = Asked(f"job {number} {index}", random_.randrange(1 << 32), key)
            self.asked.append(one)
            self._send(port, one)
            if not killer.is_alive() and not killer.finished.is_set():
                killer.start()
        while True:  # until the kill
            self._look(port, random_.choice(self.asked))

    def _send(self, port: int, one: Asked) -> None:
        body = {"operation": "image_generation", "prompt": one.prompt, "seed": one.seed}
        headers = {"idempotency-key": one.key} if one.key else {}
        status, answer = ask(port, "POST", "/v1/jobs", body, headers)
        if status == 200:
            one.job_id = answer["job_id"]
        else:
            assert status in (429, 503), (self.seed, status, answer)

    def _look(self, port: int, one: Asked) -> None:
        if one.job_id is None:
            return
        status, answer = ask(port, "GET", f"/v1/jobs/{one.job_id}")
        assert status == 200 or answer["error"]["code"] == "starting", (self.seed, one, answer)
        if status == 200 and answer["ended"] is not None:
            assert one.ended in (None, answer["ended"]), (self.seed, one, answer)
            one.ended = answer["ended"]

    def _check(self, port: int) -> None:
        for one in self.asked:
            if one.job_id is None and one.key:
                self._send(port, one)
        for one in self.asked:
            if one.job_id is None:
                continue
            events = stream(port, one.job_id)
            numbers = [number for number, _ in events]
            assert numbers == sorted(set(numbers)), (self.seed, one, numbers)
            names = [values["type"] for _, values in events]
            assert [name for name in names if name in ("complete", "error", "cancelled")] == [
                "complete"
            ], (self.seed, one, names)
            made = base64.b64decode(events[-1][1]["image"])
            assert content_of(one.prompt, one.seed) in made
            self._look(port, one)
        _, listed = ask(port, "GET", "/v1/jobs")
        prompts = [job["request"]["prompt"] for job in listed["jobs"]]
        assert len(prompts) == len(set(prompts)), (self.seed, "a job is there twice")
        accepted = {one.prompt for one in self.asked if one.job_id}
        assert accepted <= set(prompts), (self.seed, accepted - set(prompts))


def ask(
    port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Status and JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        sent = None if body is None else json.dumps(body)
        connection.request(method, path, sent, headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def stream(port: int, job_id: str) -> list[tuple[int, dict[str, Any]]]:
    """The named events of a job, to its end, with their numbers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", f"/v1/jobs/{job_id}/stream")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    events = []
    for frame in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in frame.splitlines() if ": " in line)
        if "id" in lines:
            events.append((int(lines["id"]), json.loads(lines["data"])))
    return events
