"""Answers come before pictures: threads that compute give way to those that answer."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

Made = TypeVar("Made")

# A processor that nobody else wants is still all theirs.
DEFAULT_NICENESS = 5


def in_nice_threads(make: Callable[[], Made], niceness: int = DEFAULT_NICENESS) -> Made:
    """What `make` returns or raises; the threads that it starts give way to all others, the more
    the higher `niceness` (0..19) is.

    On Linux a thread's niceness is its own, and that of the threads it starts. Elsewhere niceness
    is the process's, and `make` is only called.
    """
    if sys.platform != "linux" or niceness == 0:
        return make()
    made: list[Made] = []
    failed: list[BaseException] = []

    def run() -> None:
        own = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), own + niceness)
        try:
            made.append(make())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="nice")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]
