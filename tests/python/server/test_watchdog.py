"""A model that hangs: the worker says so, and ends for its supervisor."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from server.conftest import Served, serve

import sdrbee
from sdrbee.server.app import Worker
from sdrbee.server.watchdog import EXIT_HUNG, Watchdog
from sdrbee.testing import MockModel


def test_a_hanging_device_is_unhealthy_and_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(MockModel, "hang_ends", threading.Event())
    with sdrbee.Engine({"mock": "mock"}, devices=["cpu", "cpu"]) as engine, ExitStack() as stack:
        stack.callback(MockModel.hang_ends.set)  # the engine could not be closed otherwise
        ended: list[int] = []
        watchdog = Watchdog(engine, grace_s=0.05, end=ended.append)
        worker = Worker(engine, watchdog=watchdog)
        engine.submit("good").result(60)
        assert worker.not_ready() is None
        hanging = engine.submit("!hang", deadline=0.1)
        asyncio.run(asyncio.wait_for(watchdog.watch(), 60))
        assert ended == [EXIT_HUNG]
        assert "hangs: mock" in str(worker.not_ready())
        engine.submit("good").result(60)  # on the other device
        MockModel.hang_ends.set()
        with pytest.raises(sdrbee.DeadlineExceeded):
            hanging.result(60)
        assert worker.not_ready() is None


def test_the_worker_ends_with_an_exit_code_of_its_own(tmp_path: Path) -> None:
    running = serve(tmp_path, "mock", "--hang-grace", "0.2")
    worker: Served = next(running)
    worker.submit("!hang", deadline_s=0.1)
    assert worker.process.wait(60) == EXIT_HUNG
    assert "mock has been past a deadline" in (tmp_path / "worker.log").read_text()
    with pytest.raises(AssertionError):  # it did not end by the signal that is sent to it now
        next(running)
