"""Every sampler, schedule, prediction and spacing that diffusers has, from prompt to picture."""

from __future__ import annotations

import pytest
from parity.pair import Pair
from parity.reference import Case, grid, quick

# Not square, so that width and height can't be swapped unnoticed.
SIZE = {"width": 32, "height": 24}
GRID = grid()


def failures(pair: Pair, cases: list[Case]) -> list[str]:
    found: list[str] = []
    for case in cases:
        theirs = pair.reference.run(
            "text_to_image",
            case.scheduler(pair.reference.config),
            num_inference_steps=case.steps,
            guidance_scale=case.guidance_scale,
            **SIZE,
        )
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


def test_the_grid_is_complete() -> None:
    """Guards against a grid that shrinks unnoticed."""
    assert len({key[0] for key in GRID}) == 15
    assert sum(len(cases) for cases in GRID.values()) == 2022
