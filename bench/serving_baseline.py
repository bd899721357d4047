"""Pictures a second over HTTP, against diffusers behind the same uvicorn in about 60 lines.

Eight clients ask at the same time, for 20 steps of the built-in model. The baseline runs in the
faster of its two dtypes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from bench.comparison import ROOT, arguments, interleave, report
from bench.serving_worker import PROMPT, ServedProcess, Worker

_STEPS = 20
_CLIENTS = 8
_PICTURES = 16


def _seconds(make: Callable[[int], object]) -> float:
    """How long `_CLIENTS` take for `_PICTURES` together."""
    began = time.perf_counter()
    with ThreadPoolExecutor(_CLIENTS) as clients:
        list(clients.map(make, range(_PICTURES)))
    return time.perf_counter() - began


def _baseline(model: str, dtype: str, threads: int) -> ServedProcess:
    command = [sys.executable, "-m", "bench.baseline_server", model, dtype, str(threads)]
    return ServedProcess(command, threads)


def _ask_baseline(server: ServedProcess, seed: int) -> None:
    status, answer = server.ask("POST", "/", {"prompt": PROMPT, "steps": _STEPS, "seed": seed})
    if status != 200 or "image" not in answer:
        raise SystemExit(f"[baseline] expected a picture but got {status}")


def _fastest_dtype(model: str, threads: int) -> str:
    seconds = {}
    for dtype in ("float32", "bfloat16"):
        with _baseline(model, dtype, threads) as server:
            _ask_baseline(server, 0)
            began = time.perf_counter()
            _ask_baseline(server, 1)
            seconds[dtype] = time.perf_counter() - began
    return min(seconds, key=lambda dtype: seconds[dtype])


def main() -> None:
    options = arguments(__doc__ or "")
    folder = str(ROOT / "python" / "sdrbee" / "data" / "shapes")
    dtype = _fastest_dtype(folder, options.threads)
    with (
        Worker("shapes", options.threads) as worker,
        _baseline(folder, dtype, options.threads) as server,
    ):

        def ours() -> float:
            return _seconds(lambda seed: worker.picture(steps=_STEPS, seed=seed)) / _PICTURES

        def theirs() -> float:
            return _seconds(lambda seed: _ask_baseline(server, seed)) / _PICTURES

        ours(), theirs()
        pairs = interleave(options.pairs, ours, theirs)
    row = pairs.row(f"a picture of {_STEPS} steps, {_CLIENTS} clients", None)
    report(options.out, "serving_baseline", [row], threads=options.threads, diffusers_dtype=dtype)


if __name__ == "__main__":
    main()
