"""How long from the shell to the finished PNG with the built-in model, 20 steps?

``sdrbee generate`` against a script that does the same with diffusers from the same files, in its
fastest of the two dtypes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.comparison import SHAPES, arguments, environment, interleave, report
from bench.engines import PROMPT, fp16_variant

_STEPS = 20
_DIFFUSERS = """
import sys, torch
from diffusers import DiffusionPipeline
torch.set_num_threads({threads})
pipe = DiffusionPipeline.from_pretrained(
    sys.argv[1], torch_dtype=torch.{dtype}, safety_checker=None, variant={variant!r})
pipe.set_progress_bar_config(disable=True)
image = pipe({prompt!r}, num_inference_steps={steps}, width=128, height=128,
             generator=torch.Generator().manual_seed(7)).images[0]
image.save(sys.argv[2])
"""


def _run(command: list[str], threads: int, out: Path) -> float:
    out.unlink(missing_ok=True)
    started = time.perf_counter()
    subprocess.run(command, env=environment(threads), check=True, capture_output=True)
    seconds = time.perf_counter() - started
    if not out.exists():
        raise SystemExit(f"[cold_generate] {command[0]} wrote no {out}")
    return seconds


def main() -> None:
    options = arguments(__doc__ or "")
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out.png"
        ours = [sys.executable, "-m", "sdrbee", "generate", PROMPT, "--steps", str(_STEPS)]
        ours += ["--seed", "7", "-o", str(out)]
        scripts = {
            dtype: _DIFFUSERS.format(
                threads=options.threads,
                dtype=dtype,
                prompt=PROMPT,
                steps=_STEPS,
                variant=fp16_variant(str(SHAPES)),
            )
            for dtype in ("float32", "bfloat16")
        }
        commands = {
            dtype: [sys.executable, "-c", code, str(SHAPES), str(out)]
            for dtype, code in scripts.items()
        }
        seconds = {
            dtype: _run(command, options.threads, out) for dtype, command in commands.items()
        }
        seconds = {
            dtype: _run(command, options.threads, out) for dtype, command in commands.items()
        }
        fastest = min(seconds, key=lambda dtype: seconds[dtype])
        _run(ours, options.threads, out)
        pairs = interleave(
            options.pairs,
            lambda: _run(ours, options.threads, out),
            lambda: _run(commands[fastest], options.threads, out),
        )
    row = pairs.row(f"generate, built-in, {_STEPS} steps", 0.35)
    report(options.out, "cold_generate", [row], threads=options.threads, diffusers_dtype=fastest)


if __name__ == "__main__":
    main()
