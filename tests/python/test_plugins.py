"""Models in Python: they are found by name, and what they do wrong stays theirs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import sdrbee
from sdrbee import plugins
from sdrbee.cli.inspect import list_models
from sdrbee.testing import MockModel


@pytest.fixture(scope="module")
def engine() -> Iterator[sdrbee.Engine]:
    with sdrbee.Engine({"mock": "mock", "shapes": "shapes"}) as made:
        yield made


def test_pictures_show_one_colour_that_follows_from_the_seed(engine: sdrbee.Engine) -> None:
    colours = set()
    for seed in range(4):
        one = np.asarray(engine.submit("a", seed=seed).result(60))
        again = np.asarray(engine.submit("b", seed=seed, steps=7, sampler="dpmpp_2m").result(60))
        assert one.shape == (64, 64, 3)
        assert int(np.ptp(one.astype(int), axis=(0, 1)).max()) <= 1
        assert np.abs(one.astype(int) - again).max() <= 2
        colours.add(tuple(one[0, 0]))
    assert len(colours) == 4


def test_loads_by_name_and_by_class() -> None:
    model = sdrbee.load("mock")
    assert (model.info.family, model.info.variant) == ("mock", "1")
    by_class = sdrbee.load(MockModel, options={"step_ms": 0.1})
    assert bytes(by_class.generate("a", seed=3)) == bytes(model.generate("a", seed=3))
    assert sdrbee.describe("mock").family == "mock"


class Half(sdrbee.plugins.ImageModel):
    """Lacks `decode`."""

    id = "half"

    def encode(self, _prompt: plugins.Prompt) -> Any:
        return np.zeros((1, 1), np.float32)

    def denoise(self, latents: Any, _timesteps: Any, _context: Any) -> Any:
        return latents


class TextOnly(Half):
    """Says that it can start from pictures, and can't."""

    capabilities = ("text_to_image", "image_to_image")
    default_size = (64, 64)

    def decode(self, latents: Any) -> Any:
        return np.zeros((len(latents), 3, 64, 64), np.float32)


def test_a_class_that_lacks_a_method_is_not_loaded() -> None:
    with pytest.raises(sdrbee.Error, match=r"abstract.*decode"):
        sdrbee.load(Half)


def test_starting_from_a_picture_without_the_method_for_it_is_refused() -> None:
    model = sdrbee.load(TextOnly)
    assert model.generate("a", steps=1).width == 64
    with pytest.raises(sdrbee.PluginError, match=r"UnsupportedModel.* leave image_to_image"):
        model.generate("a", steps=2, image=np.zeros((64, 64, 3), np.uint8))


def test_starts_from_pictures(engine: sdrbee.Engine) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, 32:] = 255
    mask = np.zeros((64, 64), np.uint8)
    mask[:32] = 255
    image = np.asarray(engine.submit("a", seed=1, image=picture, mask=mask).result(60))
    np.testing.assert_array_equal(image[40:], picture[40:])
    assert engine.submit("a", seed=1, image=picture, strength=0.5).result(60).width == 64


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("!raise", r"\[mock.denoise\] RuntimeError: the prompt asked for it"),
        ("!nan", "NaN"),
        ("!shape", r"expected the shape \[2, 4, 8, 8\] but got \[2, 1, 8, 8\]"),
    ],
)
def test_a_fault_fails_its_own_job(engine: sdrbee.Engine, word: str, message: str) -> None:
    jobs = [engine.submit(text, seed=1) for text in ("good", f"bad {word}", "good too")]
    with pytest.raises(sdrbee.PluginError, match=message):
        jobs[1].result(60)
    assert bytes(jobs[0].result(60)) == bytes(jobs[2].result(60))


class Broken(plugins.ImageModel):
    """Fails in the function whose name is its option."""

    id = "broken"
    default_size = (16, 16)

    def __init__(self, where: str = "", error: BaseException | None = None) -> None:
        self._where = where
        self._error = error or ValueError("on purpose")
        self._check("init")

    def _check(self, function: str) -> None:
        if function == self._where:
            raise self._error

    def encode(self, _prompt: plugins.Prompt) -> Any:
        self._check("encode")
        return np.zeros((1, 1), np.float32)

    def denoise(self, latents: Any, _timesteps: Any, _context: Any) -> Any:
        self._check("denoise")
        return "no array" if self._where == "type" else latents

    def decode(self, latents: Any) -> Any:
        self._check("decode")
        return np.zeros((len(latents), 3, 16, 16))


@pytest.mark.parametrize("where", ["init", "encode", "denoise", "decode", "type"])
def test_wherever_it_raises_others_work(where: str) -> None:
    models = {"bad": {"name": Broken, "options": {"where": where}}, "mock": "mock"}
    with sdrbee.Engine(models) as engine:
        with pytest.raises(sdrbee.PluginError, match=r"on purpose|expected a float array"):
            engine.submit("a", model="bad", steps=1).result(60)
        assert engine.submit("a", model="mock", steps=1).result(60).width == 64


def test_leaving_the_process_is_a_fault_too_and_a_bad_request_stays_one() -> None:
    errors = {SystemExit(3): sdrbee.PluginError, sdrbee.InvalidRequest("no"): sdrbee.InvalidRequest}
    for error, expected in errors.items():
        model = sdrbee.load(Broken, options={"where": "encode", "error": error})
        with pytest.raises(expected):
            model.generate("a")


def test_one_that_cannot_be_imported_fails_its_jobs_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lame.py").write_text("import no_such_module\n")
    (tmp_path / "fine.py").write_text(
        "from sdrbee.testing import MockModel\nclass Fine(MockModel):\n    id = 'fine'\n"
    )
    package = tmp_path / "third_party-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1\n")
    (package / "entry_points.txt").write_text(
        "[sdrbee.models]\nlame = lame:Lame\nfine = fine:Fine\nodd = fine:np\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert metadata.entry_points(group=plugins.GROUP, name="lame")
    assert {"lame", "fine"} <= set(plugins.plugin_names())
    listed = json.loads(CliRunner().invoke(list_models, ["--json"]).stdout)["models"]
    assert ("fine", "1") in [(model["family"], model["variant"]) for model in listed]
    with sdrbee.Engine({name: name for name in ("lame", "fine", "odd")}) as engine:
        jobs = [engine.submit("a", model=name) for name in ("lame", "fine", "odd")]
        with pytest.raises(sdrbee.PluginError, match="No module named 'no_such_module'"):
            jobs[0].result(60)
        with pytest.raises(sdrbee.PluginError):
            jobs[2].result(60)
        assert jobs[1].result(60).recipe["model"]["family"] == "fine"
    with pytest.raises(sdrbee.PluginError, match="no_such_module"):
        sdrbee.load("lame")


def test_arguments_that_have_no_effect_are_refused() -> None:
    with pytest.raises(sdrbee.InvalidRequest, match="vae"):
        sdrbee.load("mock", vae="shapes")
    with pytest.raises(sdrbee.InvalidRequest, match="options"):
        sdrbee.load("shapes", options={"step_ms": 1})
    with pytest.raises(sdrbee.PluginError, match="typo"):
        sdrbee.load("mock", options={"typo": 1})


def test_requests_are_checked_against_what_it_says(engine: sdrbee.Engine) -> None:
    for fields in ({"width": 12}, {"prompt_2": "x"}, {"sampler": "ddim", "schedule": "karras"}):
        with pytest.raises(sdrbee.InvalidRequest):
            engine.submit("a", model="mock", **fields)


def test_a_hang_shows_as_overdue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MockModel, "hang_ends", threading.Event())
    with sdrbee.Engine({"mock": "mock"}) as engine, ExitStack() as stack:
        stack.callback(MockModel.hang_ends.set)  # the engine could not be closed otherwise
        job = engine.submit("!hang", deadline=0.05)
        while engine.status["workers"][0]["overdue"] == 0:
            time.sleep(0.01)
        assert job.state == "running"
        MockModel.hang_ends.set()
        with pytest.raises(sdrbee.DeadlineExceeded):
            job.result(60)
