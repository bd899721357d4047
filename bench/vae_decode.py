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


def _check_parity(ours: np.ndarray, theirs: np.ndarray, fp32: np.ndarray) -> dict[str, float]:
    """Mean distances from diffusers in fp32, in grey levels; no timing counts without parity.

    Raises:
        SystemExit: sdrbee is over a fifth farther away than diffusers in the same dtype.
    """
    pictures = {"sdrbee": ours, "diffusers": theirs}
    reference = fp32.reshape(_SIZE, _SIZE, 3).astype(int)
    levels = {
        name: float(np.abs(picture.reshape(_SIZE, _SIZE, 3) - reference).mean())
        for name, picture in pictures.items()
    }
    print(f"parity: grey levels from diffusers fp32, on average: {levels}")
    if not levels["sdrbee"] <= 1.2 * levels["diffusers"]:
        raise SystemExit(f"[parity] expected at most 1.2 of diffusers' but got {levels}")
    return levels


def main() -> None:
    options = arguments(__doc__ or "", model=None, dtype="bf16")
    with (
        Worker("sdrbee", options.model, options.dtype, options.threads) as ours,
        Worker("diffusers", options.model, options.dtype, options.threads) as theirs,
        tempfile.TemporaryDirectory() as folder,
    ):
        places = Path(folder) / "ours.npy", Path(folder) / "theirs.npy"
        reference = Path(folder) / "fp32.npy"
        with Worker("diffusers", options.model, "fp32", options.threads) as fp32:
            fp32.call("load")
            _decode(fp32, reference)
        for worker, place in zip((ours, theirs), places, strict=True):
            worker.call("load")
            _decode(worker, place)
        parity = _check_parity(*(np.load(place) for place in (*places, reference)))
        pairs = interleave(options.pairs, lambda: _decode(ours), lambda: _decode(theirs))
        row = pairs.row(f"VAE decode 512x512, {options.dtype}", 0.9)
        report(
            options.out,
            "vae_decode",
            [row],
            threads=options.threads,
            parity=parity,
        )


if __name__ == "__main__":
    main()
