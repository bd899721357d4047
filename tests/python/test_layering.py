"""Includes go from right to left in the order of the layers, never up and never to a sibling."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "cpp" / "sdrbee"

# From the lowest to the highest; layers in one row are siblings. "models" are the interfaces that
# every family sees, "registry" is the one file that sees every family.
ORDER = [
    ["core"],
    ["io"],
    ["nn"],
    ["text", "vae", "sampling", "lora"],
    ["models"],
    ["models/common"],
    ["control"],
    ["models/<family>"],
    ["registry"],
    ["accel"],
    ["generation"],
    ["engine"],
]
RANK = {layer: rank for rank, row in enumerate(ORDER) for layer in row}


def layer_of(path: str) -> str:
    """The layer of a file, given its path below cpp/sdrbee; families keep their own name."""
    parts = path.split("/")
    if parts[0] != "models":
        return parts[0]
    if len(parts) == 2:
        return "registry" if parts[1] == "registry.cpp" else "models"
    return "/".join(parts[:2])


def rank_of(layer: str) -> int:
    is_family = layer.startswith("models/") and layer != "models/common"
    return RANK["models/<family>" if is_family else layer]


def violation(file: str, included: str) -> str | None:
    """What is wrong when `file` includes `included`, both below cpp/sdrbee."""
    if included == "precompiled.h" or file == "precompiled.h":
        return None
    own, other = layer_of(file), layer_of(included)
    if own == other or rank_of(other) < rank_of(own):
        return None
    direction = "its sibling" if rank_of(other) == rank_of(own) else "the higher layer"
    return f"{file} of layer {own} includes {included} of {direction} {other}"


def includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M)


def source_files() -> list[Path]:
    return sorted(path for path in SOURCES.rglob("*") if path.suffix in {".h", ".cpp"})


def test_every_folder_is_a_known_layer() -> None:
    unknown = {
        layer_of(path.relative_to(SOURCES).as_posix())
        for path in source_files()
        if path.parent != SOURCES
    } - {*RANK}
    assert all(layer.startswith("models/") for layer in unknown), unknown


def test_no_file_includes_upwards_or_sideways() -> None:
    found = [
        problem
        for path in source_files()
        for name in includes(path)
        if name.startswith("sdrbee/")
        and (
            problem := violation(path.relative_to(SOURCES).as_posix(), name.removeprefix("sdrbee/"))
        )
    ]
    assert not found, "\n".join(found)


def test_our_headers_are_included_by_their_full_path() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in source_files()
        for name in includes(path)
        if not name.startswith("sdrbee/")
    ]
    assert not found, "\n".join(found)


def test_no_file_of_the_library_includes_bindings() -> None:
    found = [path for path in source_files() if "pybind11" in path.read_text()]
    assert not found


@pytest.mark.parametrize(
    ("file", "included"),
    [
        ("io/a.cpp", "nn/b.h"),
        ("text/a.cpp", "vae/b.h"),
        ("sampling/a.h", "generation/b.h"),
        ("models/sdxl/a.cpp", "models/flux/b.h"),
        ("models/common/a.cpp", "models/sdxl/b.h"),
        ("models/image_model.h", "models/sdxl/b.h"),
    ],
)
def test_the_check_sees_a_wrong_edge(file: str, included: str) -> None:
    assert violation(file, included) is not None


@pytest.mark.parametrize(
    ("file", "included"),
    [
        ("nn/a.cpp", "core/b.h"),
        ("models/registry.cpp", "models/sdxl/b.h"),
        ("models/sdxl/a.cpp", "models/registry.h"),
        ("generation/a.cpp", "sampling/b.h"),
    ],
)
def test_the_check_lets_a_right_edge_pass(file: str, included: str) -> None:
    assert violation(file, included) is None
