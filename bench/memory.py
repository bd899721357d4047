"""What is the peak resident memory of a process that loads the model and makes a 512x512 picture?

The peak does not depend on the number of steps, so two are taken. Each sample is a fresh process.
"""

from __future__ import annotations

from bench.comparison import Worker, arguments, interleave, report


def _peak(engine: str, model: str, dtype: str, threads: int) -> float:
    with Worker(engine, model, dtype, threads) as worker:
        worker.call("load")
        worker.call("begin", steps=2, size=512, output="image")
        worker.call("step")
        worker.call("step")
        return float(worker.call("finish")["peak_mib"])


def main() -> None:
    options = arguments(__doc__ or "", model=None, dtype="bf16")
    fixed = (options.model, options.dtype, options.threads)
    pairs = interleave(
        options.pairs, lambda: _peak("sdrbee", *fixed), lambda: _peak("diffusers", *fixed)
    )
    row = pairs.row(f"peak memory 512x512, {options.dtype}", 0.7, "MiB")
    report(options.out, "memory", [row], threads=options.threads)


if __name__ == "__main__":
    main()
