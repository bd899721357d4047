"""Cancels a long generation from another thread."""

from __future__ import annotations

import threading
from pathlib import Path

import sdrbee

model = sdrbee.load("shapes")
token = sdrbee.CancelToken()
timer = threading.Timer(1.0, token.cancel)
timer.start()
try:
    model.generate("a star", steps=1000, cancel=token)
except sdrbee.Cancelled as error:
    Path("cancelled.txt").write_text(f"{error}\n")
    print(error)
