"""A picture carries its recipe and can be made again from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from model_folder import SHAPES, folder_with

import sdrbee
from sdrbee.hub.local import LocalModels, StoredModel


@pytest.fixture
def source() -> sdrbee.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    return sdrbee.Image(pixels)


def pixels(image: sdrbee.Image) -> bytes:
    return bytes(memoryview(image))


def test_replay_loads_the_model_and_repeats_the_picture(
    model: sdrbee.Model, tmp_path: Path
) -> None:
    image = model.generate("a pink heart", steps=3, seed=21, sampler="dpmpp_sde", preview="none")
    image.save(tmp_path / "out.png")
    assert pixels(sdrbee.replay(tmp_path / "out.png")) == pixels(image)


def test_replay_takes_a_loaded_model(model: sdrbee.Model, tmp_path: Path) -> None:
    image = model.generate("a pink heart", steps=2)
    image.save(tmp_path / "out.png")
    again = sdrbee.replay(tmp_path / "out.png", model=model)
    assert pixels(again) == pixels(image)
    assert again.recipe == image.recipe


def test_a_recipe_that_names_its_model_is_replayed_from_the_store(
    model: sdrbee.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDRBEE_HOME", str(tmp_path / "home"))
    image = model.generate("a ring", steps=1, seed=3)
    for name in ("shapes", "someone/rings"):
        (tmp_path / "out.png").write_bytes(image.encode("png", model=name))
        assert (sdrbee.Image(tmp_path / "out.png").recipe or {})["model"]["source"] == name
        if name != "shapes":
            with pytest.raises(sdrbee.ModelNotFound, match=r"\[replay\].*SHA-256.*`model`"):
                sdrbee.replay(tmp_path / "out.png")
            row = StoredModel(name=name, path=str(SHAPES), source=f"hf:{name}")
            LocalModels().add(row)
        assert pixels(sdrbee.replay(tmp_path / "out.png")) == pixels(image)


def test_a_named_model_takes_the_place_of_the_recipes(model: sdrbee.Model, tmp_path: Path) -> None:
    image = model.generate("a ring", steps=1, seed=3)
    (tmp_path / "out.png").write_bytes(image.encode("png", model="long gone"))
    assert pixels(sdrbee.replay(tmp_path / "out.png", model="shapes")) == pixels(image)
    with pytest.raises(sdrbee.ModelNotFound, match=r"expected one of|did you mean"):
        sdrbee.replay(tmp_path / "out.png", model="shape5")


def test_files_of_other_components_are_named_without_their_folders(tmp_path: Path) -> None:
    mixed = sdrbee.load("shapes", device="cpu", dtype="fp32", vae=SHAPES)
    image = mixed.generate("a ring", steps=1)
    assert (image.recipe or {})["model"]["components"] == {"vae": str(SHAPES)}
    (tmp_path / "out.png").write_bytes(image.encode("png", model="mixed"))
    recipe = sdrbee.Image(tmp_path / "out.png").recipe or {}
    assert recipe["model"]["components"] == {"vae": SHAPES.name}


def test_one_picture_of_several_is_repeated_alone(model: sdrbee.Model, tmp_path: Path) -> None:
    images = model.generate("a ring", steps=2, seed=4, count=3)
    images[1].save(tmp_path / "out.png")
    assert pixels(sdrbee.replay(tmp_path / "out.png", model=model)) == pixels(images[1])


def test_inputs_must_be_given_again_and_be_the_same(
    model: sdrbee.Model, source: sdrbee.Image, tmp_path: Path
) -> None:
    file = tmp_path / "out.png"
    mask = np.zeros((128, 128), np.uint8)
    mask[32:96, 32:96] = 255
    image = model.generate("a ring", image=source, mask=mask, steps=3, seed=4)
    image.save(file)
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[image\]"):
        sdrbee.replay(file, model=model)
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[mask\]"):
        sdrbee.replay(file, image=source, model=model)
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[mask\].*SHA-256"):
        sdrbee.replay(file, image=source, mask=255 - mask, model=model)
    again = sdrbee.replay(file, image=source, mask=mask, model=model)
    assert pixels(again) == pixels(image)


def test_another_dtype_is_refused(model: sdrbee.Model, tmp_path: Path) -> None:
    model.generate("a ring", steps=1).save(tmp_path / "out.png")
    other = sdrbee.load("shapes", device="cpu", dtype="bf16")
    with pytest.raises(sdrbee.InvalidRequest, match=r"dtype.*fp32.*bf16"):
        sdrbee.replay(tmp_path / "out.png", model=other)


def test_another_model_is_refused(model: sdrbee.Model, tmp_path: Path) -> None:
    model.generate("a ring", steps=1).save(tmp_path / "out.png")
    folder = folder_with(tmp_path / "model", "unet/config.json", _changed=True)
    other = sdrbee.load(folder, device="cpu", dtype="fp32")
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[recipe model/sha256\] expected"):
        sdrbee.replay(tmp_path / "out.png", model=other)


def test_a_file_without_recipe_is_refused(source: sdrbee.Image, tmp_path: Path) -> None:
    source.save(tmp_path / "plain.png")
    with pytest.raises(sdrbee.InvalidRequest, match=r"plain\.png"):
        sdrbee.replay(tmp_path / "plain.png")
