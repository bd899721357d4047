"""Writes docs/compatibility.md from the tests that ran.

    pytest tests/python --junitxml=tests.xml
    python -m tools.compatibility tests.xml

Tests that compare pictures record a property "parity": variant, mode, how the model was stored, and
the largest difference of a pixel in 0..1. The columns on other programs are what their
documentation and sources say.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from xml.etree import ElementTree

import sdrbee

OUT = Path(__file__).resolve().parents[1] / "docs" / "compatibility.md"
MODES = ("text_to_image", "image_to_image", "inpaint")
STORED = ("folder", "single file", "split files", "GGUF")


@dataclass(frozen=True)
class Peers:
    """The modes of a variant that other programs run, as letters of t(ext), i(mage), m(ask)."""

    diffusers: str
    stable_diffusion_cpp: str
    rbee: str


# diffusers 0.42: its pipelines. stable-diffusion.cpp of 2026-08: its README and sources. rbee's
# sd-worker: its code; what it lists it loads, but its pictures were never right.
PEERS = {
    "v1-5": Peers("tim", "tim", "ti"),
    "v1-5-inpaint": Peers("m", "m", "m"),
    "v1-5-lcm": Peers("ti", "", ""),
    "v2-1": Peers("tim", "tim", "ti"),
    "v2-1-base": Peers("tim", "tim", ""),
    "v2-inpaint": Peers("m", "m", "m"),
    "sd-turbo": Peers("tim", "tim", ""),
    "xl": Peers("tim", "tim", "ti"),
    "xl-inpaint": Peers("m", "m", "m"),
    "turbo": Peers("tim", "tim", "ti"),
    "xl-lightning": Peers("tim", "tim", ""),
    "xl-lcm": Peers("ti", "", ""),
    "xl-refiner": Peers("im", "", ""),
    "sd3-medium": Peers("tim", "tim", ""),
    "sd3.5-medium": Peers("tim", "tim", ""),
    "sd3.5-large": Peers("tim", "tim", ""),
    "sd3.5-large-turbo": Peers("tim", "tim", ""),
    "flux-dev": Peers("tim", "tim", "t"),
    "flux-schnell": Peers("tim", "tim", "t"),
    "flux-fill": Peers("m", "m", ""),
    "flux-kontext": Peers("tim", "ti", ""),
    "flux-canny": Peers("tim", "t", ""),
    "flux-depth": Peers("tim", "t", ""),
    "flux2-klein": Peers("tim", "ti", ""),
    "flux2-klein-base": Peers("tim", "ti", ""),
    "z-image": Peers("tim", "tim", ""),
    "z-image-turbo": Peers("tim", "tim", ""),
}

Figures = dict[tuple[str, str, str], float]


def read_figures(reports: list[Path]) -> Figures:
    """The largest difference of each variant, mode and way of storing."""
    figures: defaultdict[tuple[str, str, str], float] = defaultdict(float)
    for case in chain(*(ElementTree.parse(path).iter("testcase") for path in reports)):
        passed = case.find("failure") is None and case.find("error") is None
        for found in case.iter("property"):
            if found.get("name") == "parity" and passed:
                row = json.loads(found.get("value") or "")
                key = (row["variant"], row["mode"], row["stored"])
                figures[key] = max(figures[key], row["pixels"])
    return dict(figures)


def _mark(modes: str, mode: str) -> str:
    letter = {"text_to_image": "t", "image_to_image": "i", "inpaint": "m"}[mode]
    return "yes" if letter in modes else "-"


def _figure(figure: float | None) -> str:
    if figure is None:
        return "-"
    return "same" if figure == 0 else f"{figure:.0e}"


def _row(variant: str, mode: str, figures: Figures) -> str:
    cells = [f"{variant} | {mode.replace('_', ' ')}"]
    for stored in STORED:
        cells.append(_figure(figures.get((variant, mode, stored))))
    peers = PEERS[variant]
    cells += [_mark(m, mode) for m in (peers.diffusers, peers.stable_diffusion_cpp, peers.rbee)]
    return f"| {' | '.join(cells)} |"


def render(figures: Figures) -> str:
    """The whole page."""
    lines = [
        "# Compatibility",
        "",
        "Made by `python -m tools.compatibility` from the tests that ran; do not edit by hand.",
        "",
        "Each figure is the largest difference of any pixel (0..1) between sdrbee and diffusers "
        f"{_version('diffusers')}, fp32, same seed, on small random models of the variant's "
        "architecture; the tests fail above 1e-4. Files are compared with a folder of the weights "
        'that they stand for ("same": bit-identical pictures). "-": there is no such test or mode.',
        "",
        "The last three columns say whether a program runs the mode, by its documentation and "
        "sources: stable-diffusion.cpp of August 2026; rbee's sd-worker lists what it loads, "
        "though its pictures did not come out right.",
        "",
        f"| variant | mode | {' | '.join(STORED)} | diffusers | stable-diffusion.cpp | rbee |",
        "|" + "---|" * (5 + len(STORED)),
    ]
    for family in sdrbee.families():
        for variant in family.variants:
            if variant.id not in PEERS:
                continue
            modes = [m for m in MODES if any((variant.id, m, s) in figures for s in STORED)]
            lines += [_row(variant.id, mode, figures) for mode in modes]
    lines += ["", f"Last run: {time.strftime('%Y-%m-%d')}."]
    return "\n".join(lines) + "\n"


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def main() -> None:
    """Writes the page."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("reports", type=Path, nargs="+", help="JUnit XML of the tests")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    options.out.write_text(render(read_figures(options.reports)), encoding="utf-8")


if __name__ == "__main__":
    main()
