"""How many pictures a second does an engine make that takes 1 to 8 of them through each step?"""

from __future__ import annotations

import time
from typing import Any

import sdrbee
from bench.comparison import arguments, value_row, write_values
from bench.serving_worker import PROMPT

_STEPS = 20
_SIZES = range(1, 9)


def pictures_per_second(engine: sdrbee.Engine, count: int) -> float:
    """Of `count` requests that wait at the same time, each with a prompt and seed of its own."""
    began = time.perf_counter()
    jobs = [
        engine.submit(f"{PROMPT}, number {index}", steps=_STEPS, seed=index)
        for index in range(count)
    ]
    for job in jobs:
        job.result()
    return count / (time.perf_counter() - began)


def main() -> None:
    options = arguments(__doc__ or "", model="shapes")
    sdrbee.set_threads(options.threads)
    samples: dict[int, list[float]] = {size: [] for size in _SIZES}
    for run in range(options.pairs):
        for size in _SIZES if run % 2 == 0 else reversed(_SIZES):
            with sdrbee.Engine(options.model, max_batch=size) as engine:
                engine.submit(PROMPT, steps=1).result()
                samples[size].append(pictures_per_second(engine, 2 * size))
    alone = samples[1]
    rows: list[dict[str, Any]] = []
    for size in _SIZES:
        ratios = [one / other for one, other in zip(samples[size], alone, strict=True)]
        rows.append(value_row(f"batch of {size}", "1/s", samples[size]))
        rows.append(value_row(f"batch of {size} / of 1", "", ratios))
    write_values(options.out, "batching", rows, model=options.model, threads=options.threads)


if __name__ == "__main__":
    main()
