"""A worker whose model waits instead of computing: what is left is what serving costs.

``sdrbee.testing.MockModel`` with steps of as many milliseconds as a fast GPU needs. Without them it
makes a thousand pictures a second, and what is measured is how fast they are written down.
"""

from __future__ import annotations

import sys
from pathlib import Path

import sdrbee
from sdrbee.server.front import Front
from sdrbee.server.run import serve_http

MODELS = {"mock": {"name": "mock", "options": {"step_ms": 5.0}}}


def main() -> None:
    engine = sdrbee.Engine(MODELS, preload=True, checkpoint_interval=1.0)
    serve_http(engine, Front("127.0.0.1", 0), state=Path(sys.argv[1]), drain_timeout_s=30.0)


if __name__ == "__main__":
    main()
