"""Every sampler, schedule, prediction and spacing that diffusers has, from prompt to picture."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from parity.pair import FLOAT_TOLERANCE, LATENT_TOLERANCE, Difference, Pair
from parity.reference import Case, Pixels, grid, quick

# Not square, so that width and height can't be swapped unnoticed.
SIZE = {"width": 32, "height": 24}
GRID = grid()
# LMS extrapolates with large coefficients; over 20 steps with guidance 6 they turn the last bit of
# the network's output into more than the tolerance (test_where_the_last_bit_decides).
BEYOND_FP32 = Case("lms", "exponential", "sample", "linspace", 6.0, 20)


def run_reference(pair: Pair, case: Case) -> tuple[Pixels, Pixels]:
    return pair.reference.run(
        "text_to_image",
        case.scheduler(pair.reference.config),
        num_inference_steps=case.steps,
        guidance_scale=case.guidance_scale,
        **SIZE,
    )


def failures(pair: Pair, cases: list[Case]) -> list[str]:
    found: list[str] = []
    for case in cases:
        if case == BEYOND_FP32:
            continue
        theirs = run_reference(pair, case)
        difference = pair.compare(pair.generate(**case.fields(), **SIZE), theirs)
        if not difference.within_tolerance:
            found.append(f"{case}: {difference}")
    return found


@pytest.mark.parametrize("key", GRID, ids="-".join)
def test_equals_diffusers(
    sd1: Pair, pytestconfig: pytest.Config, key: tuple[str, str, str]
) -> None:
    cases = GRID[key] if pytestconfig.getoption("--parity-full") else quick(key, GRID[key])
    found = failures(sd1, cases)
    assert not found, f"{len(found)} of {len(cases)} cases:\n" + "\n".join(found)


def test_where_the_last_bit_decides(sd1: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers is as far from itself, when last bits change, as we are from it."""
    theirs = run_reference(sd1, BEYOND_FP32)
    unet, generator = sd1.reference.text_to_image.unet, torch.Generator().manual_seed(0)
    forward = unet.forward

    def forward_with_other_last_bits(*args: Any, **options: Any) -> tuple[torch.Tensor]:
        made = forward(*args, **options)[0]
        sign = torch.rand(made.shape, generator=generator) * 2 - 1
        return (made * (1 + sign * torch.finfo(made.dtype).eps),)

    monkeypatch.setattr(unet, "forward", forward_with_other_last_bits)
    own = [sd1.compare(run_reference(sd1, BEYOND_FP32), theirs) for _ in range(3)]
    strays = Difference(max(d.pixels for d in own), max(d.latents for d in own))
    assert strays.pixels > FLOAT_TOLERANCE, "the case can go back into the grid"
    ours = sd1.compare(sd1.generate(**BEYOND_FP32.fields(), **SIZE), theirs)
    assert ours.latents <= LATENT_TOLERANCE
    assert ours.pixels <= 2 * strays.pixels


def test_the_grid_is_complete() -> None:
    """Guards against a grid that shrinks unnoticed."""
    assert len({key[0] for key in GRID}) == 16
    assert sum(len(cases) for cases in GRID.values()) == 2244
