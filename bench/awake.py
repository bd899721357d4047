"""Processors that don't sleep, as under the kernel's ``idle=poll``.

A virtual processor that sleeps gives its place to other machines, and waits for it when it is
woken: a server and its client, which wake each other thousands of times a second, then measure the
neighbours. Loops of the scheduler's idle class keep the place and take nothing from anyone here.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

_LOOP = ["sh", "-c", "while :; do :; done"]


@contextmanager
def awake(wanted: bool) -> Iterator[None]:
    """Keeps all processors awake meanwhile, where that is wanted. Linux only."""
    loops = []
    for processor in sorted(os.sched_getaffinity(0)) if wanted else ():
        loop = subprocess.Popen(_LOOP)
        os.sched_setaffinity(loop.pid, {processor})
        os.sched_setscheduler(loop.pid, os.SCHED_IDLE, os.sched_param(0))
        loops.append(loop)
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
