"""Preprocessors: what they make of pictures whose edges, blurs and slopes are known."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
from click.testing import CliRunner
from scipy import ndimage

import sdrbee
from sdrbee.cli import commands, run
from sdrbee.preprocess import (
    PreprocessorMissing,
    own_preprocessors,
    preprocess,
    preprocessor_names,
)

Picture = npt.NDArray[np.uint8]


def square(background: int = 0, inside: int = 255) -> Picture:
    """A square whose sides are at 16 and 48."""
    picture = np.full((64, 64, 3), background, np.uint8)
    picture[16:48, 16:48] = inside
    return picture


def made(name: str, picture: Any = None, **settings: Any) -> Picture:
    image = preprocess(name, square() if picture is None else picture, **settings)
    assert image.channels == 3
    return np.asarray(image)


def distance_to_outline() -> npt.NDArray[np.float64]:
    inside = square()[..., 0] > 0
    within = ndimage.distance_transform_edt(inside)
    return np.minimum(np.where(inside, within, 99), 99) + np.where(
        inside, 0, ndimage.distance_transform_edt(~inside) - 99
    )


@pytest.mark.parametrize("name", [*own_preprocessors()])
def test_each_makes_an_rgb_picture_of_any(name: str) -> None:
    for picture in (np.zeros((5, 9, 1), np.uint8), np.full((9, 5, 4), 200, np.uint8), square()):
        assert preprocess(name, picture).channels == 3
    assert made(name, resolution=32).shape == (32, 32, 3)


def test_canny_draws_the_outline_and_nothing_else() -> None:
    edges = made("canny")[..., 0] > 0
    distance = distance_to_outline()
    assert distance[edges].max() <= 2
    assert edges.sum() == pytest.approx(4 * 32, abs=12)


def test_the_thresholds_of_canny_decide_what_is_an_edge() -> None:
    faint = square(100, 120)  # Sobel's gradient of a step of 20 is 80
    assert not made("canny", faint).any()
    assert made("canny", faint, low=30, high=60).any()
    assert not made("canny", faint, low=120, high=90).any()  # the larger one is the upper


def test_canny_sees_edges_that_grey_levels_do_not_show() -> None:
    picture = np.full((64, 64, 3), (255, 0, 0), np.uint8)
    picture[:, 32:] = (0, 130, 0)  # of the same luminance
    assert made("canny", picture).any()


def test_softedge_is_as_strong_as_the_step() -> None:
    whole = made("softedge", gain=1)[32, :, 0].astype(int)
    half = made("softedge", square(0, 128), gain=1)[32, :, 0].astype(int)
    # The gradient of a blurred step, sampled half a pixel beside its edge.
    assert whole.max() == pytest.approx(255 * np.exp(-1 / 18), abs=14)
    assert half.max() == pytest.approx(whole.max() / 2, abs=3)
    assert whole[32] == 0
    assert whole[0] == 0


def test_scribble_has_strokes_of_the_width() -> None:
    thin, thick = (made("scribble", width=width)[..., 0] > 0 for width in (1, 7))
    assert thin.any()
    assert np.array_equal(np.unique(made("scribble")), [0, 255])
    # Across the left side: one pixel becomes seven.
    assert (thin[32, :32].sum(), thick[32, :32].sum()) == (1, 7)


def test_lineart_takes_dark_lines_and_leaves_areas() -> None:
    picture = np.full((64, 64, 3), 255, np.uint8)
    picture[30:33] = 40
    lines = made("lineart", picture)[..., 0]
    assert lines[31].min() > 100
    assert lines[:20].max() == 0
    assert not made("lineart", np.full((32, 32, 3), 77, np.uint8)).any()


def test_blur_is_the_gaussian() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    expected = ndimage.gaussian_filter(noise.astype(float), (3, 3, 0), mode="mirror", truncate=3)
    assert np.abs(made("blur", noise, sigma=3).astype(float) - expected).max() <= 2


def test_tile_reduces_by_the_mean() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    means = noise.reshape(10, 4, 15, 4, 3).mean(axis=(1, 3))
    assert np.abs(made("tile", noise, factor=4) - means).max() <= 1


def test_normals_follow_the_slope_of_the_depth() -> None:
    columns = np.linspace(128, 255, 64, dtype=np.float32).astype(np.uint8)
    nearer_to_the_right = np.broadcast_to(columns[None, :, None], (64, 64, 3))
    normals = made("normal", nearer_to_the_right, flatness=0.5, background=0)
    assert (normals[8:-8, 8:-8, 0] > 128).all()
    assert (normals[8:-8, 8:-8, 1] == 128).all()
    turned = made("normal", nearer_to_the_right.transpose(1, 0, 2), flatness=0.5, background=0)
    assert np.array_equal(turned[..., 1], normals[..., 0].T)
    lengths = np.linalg.norm(normals / 127.5 - 1, axis=2)
    assert lengths == pytest.approx(1, abs=0.02)
    flat = made("normal", nearer_to_the_right, flatness=0.5, background=1)
    assert (flat[:, :-2] == (128, 128, 255)).all()


def test_invert_and_passthrough() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    assert np.array_equal(made("passthrough", noise), noise)
    assert np.array_equal(made("invert", noise), 255 - noise)


def test_what_is_transparent_is_white() -> None:
    picture = np.zeros((4, 4, 4), np.uint8)
    picture[..., 3] = [0, 51, 204, 255]
    assert made("passthrough", picture)[0, :, 0].tolist() == [255, 204, 51, 0]


def test_the_resolution_is_the_shorter_side() -> None:
    assert made("canny", np.zeros((30, 60, 3), np.uint8), resolution=90).shape == (90, 180, 3)
    with pytest.raises(sdrbee.InvalidRequest, match="resolution"):
        preprocess("canny", np.zeros((1, 600, 3), np.uint8), resolution=512)


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("cannny", {}, "did you mean 'canny'"),
        ("canny", {"sigma": 1}, "low, high"),
        ("canny", {"low": float("nan")}, "from 0 to 1000"),
        ("canny", {"low": "50"}, "from 0 to 1000"),
        ("blur", {"sigma": 1e9}, "from 0.3 to 100"),
        ("scribble", {"width": 2.5}, "whole number"),
        ("invert", {"low": 1}, "none"),
        ("canny", {"resolution": 5}, "from 16 to 2048"),
        ("", {}, "expected one of canny"),
    ],
)
def test_wrong_arguments_are_told(name: str, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match=told):
        preprocess(name, square(), **settings)


@pytest.mark.parametrize("name", ["depth", "openpose"])
def test_what_needs_a_network_says_how_to_get_it(name: str) -> None:
    with pytest.raises(PreprocessorMissing, match=r"sdrbee\.preprocessors"):
        preprocess(name, square())


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(PreprocessorMissing, match=r"sdrbee\[control\]"):
        preprocess("canny", square())
    assert np.array_equal(made("invert"), 255 - square())


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that offers preprocessors, good ones and bad."""
    (tmp_path / "their_preprocessors.py").write_text(
        "import numpy as np\n"
        "def depth(picture, *, level=1):\n"
        "    return np.full(picture.shape[:2], level, np.uint8)\n"
        "def fails(picture):\n    raise ValueError('no network')\n"
        "def floats(picture):\n    return picture / 255\n"
    )
    folder = tmp_path / "theirs-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    names = {"depth": "depth", "fails": "fails", "floats": "floats", "gone": "gone"}
    points = "".join(f"{name} = their_preprocessors:{what}\n" for name, what in names.items())
    (folder / "entry_points.txt").write_text(f"[sdrbee.preprocessors]\n{points}")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("package")
def test_packages_offer_preprocessors() -> None:
    assert {"depth", "fails"} <= {*preprocessor_names()}
    assert (made("depth", level=9) == 9).all()
    for name, told in (("fails", "no network"), ("floats", "uint8"), ("gone", "imported")):
        with pytest.raises(sdrbee.PluginError, match=told):
            preprocess(name, square())
    with pytest.raises(sdrbee.PluginError, match="loudness"):
        preprocess("depth", square(), loudness=1)


def test_the_command_writes_a_picture(tmp_path: Path) -> None:
    source, out = tmp_path / "in.png", tmp_path / "edges.png"
    PIL.Image.fromarray(square(100, 120)).save(source)
    arguments = ["preprocess", "canny", str(source), "-o", str(out), "--low", "30", "--high", "60"]
    told = CliRunner().invoke(commands, [*arguments, "--resolution", "32", "--json"])
    assert json.loads(told.stdout) == {
        "preprocessor": "canny",
        "file": str(out),
        "width": 32,
        "height": 32,
    }
    expected = made("canny", square(100, 120), resolution=32, low=30, high=60)
    assert np.array_equal(np.asarray(PIL.Image.open(out)), expected)


def test_the_command_lists_what_there_is() -> None:
    told = json.loads(CliRunner().invoke(commands, ["preprocess", "--list", "--json"]).stdout)
    assert [one["name"] for one in told["preprocessors"]] == preprocessor_names()
    assert told["preprocessors"][0]["settings"]["low"]["default"] == 100


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["canny"], 2, "PICTURE"),
        (["canny", "no.png"], 2, "no.png"),
        (["cannny", "in.png"], 2, "did you mean"),
        (["canny", "in.png", "--sigma", "2"], 2, "low, high"),
        (["canny", "in.png", "--low", "much"], 2, "much"),
        (["openpose", "in.png"], 1, "sdrbee.preprocessors"),
        (["canny", "broken.png"], 2, "broken.png"),
        (["canny", "in.png", "-o", "no/such/folder.png"], 2, "folder"),
    ],
)
def test_the_command_tells_what_is_wrong(
    arguments: list[str],
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    PIL.Image.fromarray(square()).save("in.png")
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    assert run(["preprocess", *arguments]) == code
    assert told in capsys.readouterr().err
