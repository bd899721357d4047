"""One model, opened by diffusers and by sdrbee, and the comparison of what both make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from parity.reference import Pixels, Reference

import sdrbee

PROMPT = "a red circle left of a blue square, masterpiece"
NEGATIVE_PROMPT = "blurry, worst quality"
SEED = 7

# Both in fp32; the sampler's arithmetic and the network's order of summation differ.
FLOAT_TOLERANCE = 1e-4  # maximum absolute difference of pixels in 0..1
LATENT_TOLERANCE = 1e-4  # relative L2


@dataclass(frozen=True)
class Difference:
    """How far both sides are apart."""

    pixels: float
    latents: float

    @property
    def within_tolerance(self) -> bool:
        return self.pixels <= FLOAT_TOLERANCE and self.latents <= LATENT_TOLERANCE


def compare(ours: tuple[Pixels, Pixels], theirs: tuple[Pixels, Pixels]) -> Difference:
    """Compares pictures and latents of both sides."""
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.shape == other.shape
        assert mine.dtype == other.dtype == np.float32
        assert np.isfinite(other).all()
    error = float(np.linalg.norm(ours[1] - theirs[1]) / np.linalg.norm(theirs[1]))
    return Difference(pixels=float(np.abs(ours[0] - theirs[0]).max()), latents=error)


class Pair:
    """One model, opened by diffusers and by sdrbee."""

    def __init__(self, folder: Path, device: str) -> None:
        self.folder = folder
        self.reference = Reference(folder, PROMPT, NEGATIVE_PROMPT, SEED)
        self.model = sdrbee.load(folder, device=device, dtype="float32")

    def generate(self, **fields: Any) -> tuple[Pixels, Pixels]:
        """sdrbee's picture and latents."""
        request = {"prompt": PROMPT, "negative_prompt": NEGATIVE_PROMPT, "seed": SEED, **fields}
        picture = self.model.generate(output="float", **request)
        latents = self.model.generate(output="latent", **request)
        return np.asarray(picture), np.asarray(latents)

    def compare(self, ours: tuple[Pixels, Pixels], theirs: tuple[Pixels, Pixels]) -> Difference:
        return compare(ours, theirs)
