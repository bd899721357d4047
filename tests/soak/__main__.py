"""The tests that take long, with all their counts: ``python -m tests.soak [--only NAME]``.

Each part is a function that takes a folder for its files and a count, raises when something is
wrong, and returns figures. A part is one line in `PARTS`; a smaller count of it runs in pytest.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "python"))

Part = Callable[[Path, int], dict[str, object]]


def kills(folder: Path, count: int) -> dict[str, object]:
    """kill -9 of the worker at random moments."""
    from server.kills import Kills

    return dict(Kills(folder, seed=2).run(count))


def corruptions(folder: Path, count: int) -> dict[str, object]:
    """Faults in the bytes of the job database."""
    from server.test_store import check_corruptions

    logging.getLogger("sdrbee.server").disabled = True  # each would be told

    return {"corruptions": count, "set_aside": check_corruptions(folder, seed=6, count=count)}


def http(folder: Path, count: int) -> dict[str, object]:
    """Changed bytes of HTTP requests."""
    from server.raw_http import LIMITS, run
    from server.test_protocol import send_changed

    [statuses] = [send_changed(echo, seed=7, count=count) for echo in run(LIMITS)]
    return {"connections": count, "answers": {str(one): statuses[one] for one in sorted(statuses)}}


def swaps(_folder: Path, count: int) -> dict[str, object]:
    """Models that take each other's place in memory."""
    from test_engine_memory import check_swaps

    return check_swaps(count)


def generated(_folder: Path, count: int) -> dict[str, object]:
    """Requests made from the OpenAPI document."""
    from server.generated import answer_generated

    return {"requests": count, **answer_generated(count, seed=11)}


PARTS: dict[str, tuple[Part, int]] = {
    "kills": (kills, 200),
    "corruptions": (corruptions, 10_000),
    "generated": (generated, 20_000),
    "http": (http, 20_000),
    "swaps": (swaps, 200),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="may be repeated")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "soak.json")
    arguments = parser.parse_args()
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    for name in arguments.only or PARTS:
        part, count = PARTS[name]
        start = time.monotonic()
        print(f"{name}: {count} ...", flush=True)
        with tempfile.TemporaryDirectory(prefix=f"soak-{name}-") as folder:
            figures = part(Path(folder), count)
        results[name] = {**figures, "seconds": round(time.monotonic() - start, 1)}
        print(f"{name}: {results[name]}", flush=True)
        arguments.out.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
