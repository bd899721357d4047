"""Computing threads give way to those that answer."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from sdrbee.server.priority import in_nice_threads


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="niceness of threads is Linux's")
def test_threads_that_are_started_are_nice() -> None:
    seen: list[int] = []

    def make() -> str:
        thread = threading.Thread(target=lambda: seen.append(niceness()))
        thread.start()
        thread.join()
        return "made"

    own = niceness()
    assert in_nice_threads(make) == "made"
    assert seen[0] > own
    assert niceness() == own


def test_errors_come_back() -> None:
    with pytest.raises(ZeroDivisionError):
        in_nice_threads(lambda: 1 / 0)
