"""How many pictures a second does an engine make that takes 1 to 8 of them through each step?"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import sdrbee
from bench.comparison import arguments, in_turn, value_row, write_values
from bench.engines import PROMPT

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


def _measure(model: str, size: int) -> float:
    with sdrbee.Engine(model, max_batch=size) as engine:
        engine.submit(PROMPT, steps=1).result()
        return pictures_per_second(engine, 2 * size)


def main() -> None:
    options = arguments(__doc__ or "", model="shapes")
    sdrbee.set_threads(options.threads)
    samples = in_turn(
        options.pairs, {size: partial(_measure, options.model, size) for size in _SIZES}
    )
    alone = samples[1]
    rows: list[dict[str, Any]] = []
    for size in _SIZES:
        ratios = [one / other for one, other in zip(samples[size], alone, strict=True)]
        rows.append(value_row(f"batch of {size}", "1/s", samples[size]))
        rows.append(value_row(f"batch of {size} / of 1", "", ratios))
    write_values(options.out, "batching", rows, model=options.model, threads=options.threads)


if __name__ == "__main__":
    main()
