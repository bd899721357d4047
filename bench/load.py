"""How long from a path (fp16 files, warm page cache) to a model with all its weights in memory?

Each sample is a fresh process; imports are done before the clock starts. The second row adds a
picture of one step at 64x64, so that nothing that was put off escapes the clock.
"""

from __future__ import annotations

from bench.comparison import Pairs, Worker, arguments, report


def _load(engine: str, model: str, dtype: str, threads: int) -> tuple[float, float]:
    with Worker(engine, model, dtype, threads) as worker:
        load = worker.seconds("load") + worker.seconds("warm_up")
        first = worker.seconds("begin", steps=1, size=64, output="image")
        return load, load + first + worker.seconds("step") + worker.seconds("finish")


def main() -> None:
    options = arguments(__doc__ or "", model=None, dtype="bf16")
    load, first = Pairs([], []), Pairs([], [])
    for i in range(options.pairs + 1):
        engines = ("sdrbee", "diffusers") if i % 2 == 0 else ("diffusers", "sdrbee")
        for engine in engines:
            seconds = _load(engine, options.model, options.dtype, options.threads)
            if i == 0:  # reads the files into the page cache
                continue
            for pairs, value in zip((load, first), seconds, strict=True):
                getattr(pairs, engine).append(value)
    rows = [
        load.row(f"load, {options.dtype}", 0.5),
        first.row("load and a 64x64 picture of 1 step", bar=None),
    ]
    report(options.out, "load", rows, threads=options.threads)


if __name__ == "__main__":
    main()
