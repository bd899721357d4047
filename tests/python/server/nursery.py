"""Workers that start at once and can be killed: a process that has imported everything forks them.

As a program it reads lines ``STATE STEP_SECONDS LOG`` and starts a worker of `FakeEngine` for each.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

PYTHON_TESTS = Path(__file__).resolve().parents[1]


class Nursery:
    """Starts workers, one at a time."""

    def __init__(self) -> None:
        self._child: Child | None = None

    def __enter__(self) -> Nursery:
        path = os.pathsep.join([str(PYTHON_TESTS), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "server.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._child is not None and self._child.exit_code is None:
            self._child.signal(signal.SIGKILL)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def start(self, state: Path, step_s: float, log: Path) -> Child:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{state} {step_s} {log}\n")
        self._process.stdin.flush()
        self._child = Child(int(self._read()), log, self)
        return self._child

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


class Child:
    """A worker of a nursery; `port` is known once it listens."""

    def __init__(self, pid: int, log: Path, nursery: Nursery) -> None:
        self.pid = pid
        self._log = log
        self._nursery = nursery
        self.killed = False
        self.exit_code: int | None = None

    def port(self) -> int:
        while not self.killed:
            ended = not Path(f"/proc/{self.pid}").exists()
            found = re.search(r"listening on http://[^ ]+:(\d+)", self._log.read_text())
            if found:
                return int(found.group(1))
            assert not ended or self.killed, self._log.read_text()
            time.sleep(0.005)
        raise ConnectionError("it was killed before it listened")

    def signal(self, number: int) -> None:
        self.killed = number == signal.SIGKILL
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self) -> int:
        """The exit code, or the negative number of the signal that ended it."""
        if self.exit_code is None:
            self.exit_code = int(self._nursery._read())
        return self.exit_code


def _serve(state: str, step_s: str, log: str) -> None:
    from server.fake_engine import FakeEngine

    from sdrbee.server.front import Front
    from sdrbee.server.run import serve_http

    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(output, 2)
    engine: Any = FakeEngine(step_s=float(step_s))
    serve_http(engine, Front("127.0.0.1", 0), state=Path(state), drain_timeout_s=30.0)


def main() -> None:
    import server.fake_engine  # noqa: F401

    import sdrbee.server.run  # noqa: F401
    from sdrbee.server.limits import Limits
    from sdrbee.server.wire import read_operation

    # Makes the types of requests, which would take long in each worker.
    read_operation({"operation": "image_generation", "prompt": "a"}, Limits())

    signal.signal(signal.SIGINT, signal.default_int_handler)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                _serve(*line.split())
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
