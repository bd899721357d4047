"""How long does ``import sdrbee`` take, against ``import torch``, each in a fresh process?"""

from __future__ import annotations

import subprocess
import sys

from bench.comparison import arguments, environment, interleave, report


def _import(module: str, threads: int) -> float:
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    return float(
        subprocess.run(
            [sys.executable, "-c", code],
            env=environment(threads),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )


def main() -> None:
    options = arguments(__doc__ or "")
    _import("sdrbee", options.threads), _import("torch", options.threads)  # warm the page cache
    pairs = interleave(
        options.pairs,
        lambda: _import("sdrbee", options.threads),
        lambda: _import("torch", options.threads),
    )
    row = pairs.row("import sdrbee (against torch)", 0.35)
    report(options.out, "import_time", [row], threads=options.threads)


if __name__ == "__main__":
    main()
