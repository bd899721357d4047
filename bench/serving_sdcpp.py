"""Pictures a minute over HTTP, against diffusers and stable-diffusion.cpp behind the same uvicorn.

A Stable Diffusion 1.5 of full size (`bench.make_checkpoint`), since stable-diffusion.cpp knows
fixed architectures only: 128x128, four steps of Euler with guidance, two clients. Each baseline
runs with the fastest of the settings named here, and has to make the same picture first.

stable-diffusion.cpp's Python package is for this benchmark only. pip compiles it, which takes a
quarter of an hour on one core: ``pip install stable-diffusion-cpp-python==0.4.7 uvicorn`` into this
environment or into another one, whose interpreter ``--python`` names. Its threads wait for each
other after every operation: where other programs want the cores too, its figures mean nothing.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.comparison import CACHE, ROOT, arguments, write_values
from bench.serving_baseline import DIFFUSERS_DTYPES, Baseline, Setting, compare

_NEEDED = ("stable_diffusion_cpp", "uvicorn")


_CHECK = """
import importlib.util, sys
sys.exit(any(importlib.util.find_spec(name) is None for name in sys.argv[1:]))
"""


def _check_installed(python: str) -> None:
    if subprocess.run([python, "-c", _CHECK, *_NEEDED], check=False).returncode != 0:
        raise SystemExit(
            f"[serving_sdcpp] expected {' and '.join(_NEEDED)} in {python}: "
            "pip install stable-diffusion-cpp-python==0.4.7 uvicorn, or name another --python"
        )


def _model() -> Path:
    folder = CACHE / "stable_diffusion_1_5_random"
    if not (folder / "model_index.json").exists():
        command = [sys.executable, "-m", "bench.make_checkpoint", "--dir", str(folder)]
        subprocess.run(command, cwd=ROOT, check=True)
    return folder


def main() -> None:
    options = arguments(__doc__ or "", pairs=5, model="", python=sys.executable)
    _check_installed(options.python)
    model = options.model or str(_model())
    setting = Setting(
        model, size=128, steps=4, clients=2, count=2, worker_fields={"sampler": "euler"}
    )
    baselines = [
        Baseline("diffusers", [{"dtype": dtype, "euler": True} for dtype in DIFFUSERS_DTYPES]),
        Baseline(
            "stable-diffusion.cpp",
            [{"wtype": "f16"}, {"wtype": "bf16"}],
            options.python,
        ),
    ]
    rows, details = compare(setting, baselines, options.pairs, options.threads)
    write_values(options.out, "serving_sdcpp", rows, threads=options.threads, **details)


if __name__ == "__main__":
    main()
