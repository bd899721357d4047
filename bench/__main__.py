"""All benchmarks, one after the other: ``python -m bench``; each also runs alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.comparison import CACHE, ROOT, arguments

_FULL_SIZE = ("unet_step", "vae_decode", "load", "memory", "lora")
_BUILT_IN = ("import_time", "cold_generate", "batching", "serving", "serving_baseline")


def _run(module: str, *options: str) -> None:
    print(f"== {module}", flush=True)
    subprocess.run([sys.executable, "-m", f"bench.{module}", *options], cwd=ROOT, check=True)


def main() -> None:
    options = arguments(__doc__ or "", dir=str(CACHE))
    model = Path(options.dir) / "stable_diffusion_1_5_random"
    if not (model / "model_index.json").exists():
        _run("make_checkpoint", "--dir", str(model))
    shared = ["--pairs", str(options.pairs), "--threads", str(options.threads)]
    shared += ["--out", str(options.out.resolve())]
    for module in _BUILT_IN:
        _run(module, *shared)
    for module in _FULL_SIZE:
        _run(module, "--model", str(model), *shared)


if __name__ == "__main__":
    main()
