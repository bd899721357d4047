"""Tiny pipelines, written once a session, and the comparison of both sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sdrbee
import torch
from parity.reference import Pixels, Reference, write_pipeline

PROMPT = "a red circle left of a blue square, masterpiece"
NEGATIVE_PROMPT = "blurry, worst quality"
SEED = 7

# Both in fp32; the sampler's arithmetic and the network's order of summation differ.
FLOAT_TOLERANCE = 1e-4  # maximum absolute difference of pixels in 0..1
LATENT_TOLERANCE = 1e-4  # relative L2


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--parity-device", default="cpu", help="device of sdrbee in the parity tests, e.g. cuda"
    )
    parser.addoption(
        "--parity-full", action="store_true", help="all 2,022 cases of the sampler grid"
    )


@dataclass(frozen=True)
class Difference:
    """How far both sides are apart."""

    pixels: float
    latents: float

    @property
    def within_tolerance(self) -> bool:
        return self.pixels <= FLOAT_TOLERANCE and self.latents <= LATENT_TOLERANCE


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
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.shape == other.shape
            assert mine.dtype == other.dtype == np.float32
            assert np.isfinite(other).all()
        error = float(np.linalg.norm(ours[1] - theirs[1]) / np.linalg.norm(theirs[1]))
        return Difference(pixels=float(np.abs(ours[0] - theirs[0]).max()), latents=error)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny networks lose time when they are shared out."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def open_pair(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Callable[[str], Pair]:
    """Opens a kind of tiny pipeline ("sd1" or "sd2"), once a session."""
    pairs: dict[str, Pair] = {}

    def open_kind(kind: str) -> Pair:
        if kind not in pairs:
            folder = tmp_path_factory.mktemp("parity") / kind
            write_pipeline(folder, kind)
            pairs[kind] = Pair(folder, pytestconfig.getoption("--parity-device"))
        return pairs[kind]

    return open_kind


@pytest.fixture(scope="session")
def sd1(open_pair: Callable[[str], Pair]) -> Pair:
    return open_pair("sd1")


@pytest.fixture(scope="session")
def sd2(open_pair: Callable[[str], Pair]) -> Pair:
    return open_pair("sd2")
