"""How long does the autoencoder take from latents to a 512x512 picture?

Timed as the end of a generation of one step: decoding, scaling and rounding.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from bench.comparison import Worker, arguments, interleave, report

_SIZE = 512


def _decode(worker: Worker, save: Path | None = None) -> float:
    worker.call("begin", steps=1, size=_SIZE, output="image")
    worker.call("step")
    return float(worker.call("finish", save=save)["seconds"])


def main() -> None:
    options = arguments(__doc__ or "", model=None, dtype="bf16")
    with (
        Worker("sdrbee", options.model, options.dtype, options.threads) as ours,
        Worker("diffusers", options.model, options.dtype, options.threads) as theirs,
        tempfile.TemporaryDirectory() as folder,
    ):
        places = Path(folder) / "ours.npy", Path(folder) / "theirs.npy"
        for worker, place in zip((ours, theirs), places, strict=True):
            worker.call("load")
            _decode(worker, place)
        levels = np.load(places[0]).astype(int) - np.load(places[1]).reshape(_SIZE, _SIZE, 3)
        difference = float(np.abs(levels).mean())
        print(f"parity: pictures differ by {difference:.2f} of 255 levels on average")
        if not difference < 2.0:
            raise SystemExit(f"[parity] expected less than 2 levels but got {difference}")
        pairs = interleave(options.pairs, lambda: _decode(ours), lambda: _decode(theirs))
        row = pairs.row(f"VAE decode 512x512, {options.dtype}", 0.9)
        report(
            options.out,
            "vae_decode",
            [row],
            threads=options.threads,
            mean_level_difference=difference,
        )


if __name__ == "__main__":
    main()
