"""Requests with ControlNets: batches, checkpoints, recipes, and values that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from parity.controls import controlnet, edges, randomise, saved
from parity.pair import PROMPT, SEED
from parity.pictures import HEIGHT, WIDTH, half_mask, source
from parity.unet_families import OpenVariant

import sdrbee

SIZE = {"width": WIDTH, "height": HEIGHT}


def test_a_second_pass_follows_the_picture_at_its_own_size(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    pair = open_variant("v1-5")
    folder = saved(controlnet(pair), tmp_path / "net")

    def make(strength: float) -> Any:
        control = {"model": folder, "image": edges(), "strength": strength}
        return pair.model.generate(
            PROMPT, steps=2, seed=SEED, hires_scale=2.0, controls=[control], **SIZE
        )

    assert (make(1.0).width, make(1.0).height) == (2 * WIDTH, 2 * HEIGHT)
    assert bytes(make(1.0)) != bytes(make(0.5))


def test_pictures_with_equal_networks_share_their_steps(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    """Also where one of them acts in no step, or on the prompt's row alone."""
    model = open_variant("v1-5").model
    folder = saved(controlnet(open_variant("v1-5")), tmp_path / "net")

    def request(seed: int, **options: Any) -> sdrbee.GenerationRequest:
        control = {"model": folder, "image": edges(seed), **options}
        fields: dict[str, Any] = {"steps": 3, "output": "float", **SIZE}
        return sdrbee.GenerationRequest(prompt=PROMPT, seed=seed, controls=[control], **fields)

    requests = [
        request(1),
        request(2, strength=0.4, end=0.5),
        request(3, strength=0.0),
        request(4, guess_mode=True),
        sdrbee.GenerationRequest(prompt=PROMPT, seed=5, steps=3, output="float", **SIZE),
    ]
    together = model.generate_batch(requests)
    for one, picture in zip(requests, together, strict=True):
        np.testing.assert_allclose(model.generate_batch([one])[0], picture, atol=1e-4)
    plain = requests[2].replace(controls=None)
    np.testing.assert_array_equal(
        model.generate_batch([plain])[0], model.generate_batch([requests[2]])[0]
    )


def test_a_saved_generation_goes_on_with_the_same_bits(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    model = open_variant("xl").model
    folder = saved(controlnet(open_variant("xl")), tmp_path / "net")
    control = {"model": folder, "image": edges(), "start": 0.3, "strength": 0.9}
    request = sdrbee.GenerationRequest(
        prompt=PROMPT, seed=SEED, steps=4, output="latent", controls=[control], **SIZE
    )
    whole = model.generate_batch([request])[0]
    halfway = model.begin(request)
    model.advance(halfway)
    resumed = model.restore(model.save(halfway))
    while not resumed.done:
        model.advance(resumed)
    assert np.array_equal(model.finish(resumed), whole)


def test_a_recipe_repeats_it_and_refuses_another_picture_or_network(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    pair = open_variant("v1-5")
    net = controlnet(pair)
    folder = saved(net, tmp_path / "net")
    control = {"model": folder, "image": edges(), "strength": 0.6, "preprocessor": "lineart"}
    made = pair.model.generate(PROMPT, steps=2, seed=SEED, controls=[control], **SIZE)
    made.save(tmp_path / "out.png")
    assert 'ControlNet 0: "Module: lineart, Model: net, Weight: 0.6' in parameters(
        tmp_path / "out.png"
    )
    unnamed = pair.model.generate(
        PROMPT, steps=2, seed=SEED, controls=[{**control, "preprocessor": ""}], **SIZE
    )
    unnamed.save(tmp_path / "unnamed.png")
    assert 'ControlNet 0: "Module: none, Model: net' in parameters(tmp_path / "unnamed.png")
    assert bytes(unnamed) == bytes(made)
    again = sdrbee.replay(tmp_path / "out.png", model=pair.model, controls=[edges()])
    assert bytes(again) == bytes(made)
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[controls\] the recipe used 1 pictures"):
        sdrbee.replay(tmp_path / "out.png", model=pair.model)
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[controls\[0\].image\].*SHA-256"):
        sdrbee.replay(tmp_path / "out.png", model=pair.model, controls=[edges(9)])
    saved(randomise(controlnet(pair, seed=8), 8), folder)
    other = sdrbee.load(pair.folder, device="cpu", dtype="fp32")
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[recipe controls/0\] expected"):
        sdrbee.replay(tmp_path / "out.png", model=other, controls=[edges()])


def parameters(path: Path) -> str:
    return str(PIL.Image.open(path).text["parameters"])  # type: ignore[attr-defined]


def test_a_request_gives_its_controls_back(tmp_path: Path) -> None:
    control = {"model": tmp_path, "image": edges(), "strength": 0.5, "end": 0.75}
    request = sdrbee.GenerationRequest(prompt="x", controls=[control])
    (told,) = request.controls
    assert told["model"] == str(tmp_path.resolve())
    assert (told["strength"], told["start"], told["end"], told["guess_mode"]) == (
        0.5,
        0,
        0.75,
        False,
    )
    assert np.array_equal(told["image"], edges())
    assert sdrbee.GenerationRequest(prompt="x", controls=request.controls) == request
    assert request.replace(controls=None).controls == []
    assert "controls=<1>" in repr(request)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "NaN": ({"strength": float("nan")}, r"\[controls\[0\].strength\] expected -10 to 10"),
    "a strength beyond limits": ({"strength": 11.0}, r"\[controls\[0\].strength\]"),
    "a late start": ({"start": 1.5}, r"\[controls\[0\].start\] expected 0 to 1 but got 1.5"),
    "an end before the start": ({"start": 0.5, "end": 0.4}, r"\[controls\[0\].end\] expected 0.5"),
    "a name with commas": (
        {"preprocessor": "canny, Model: other"},
        r"\[controls\[0\].preprocessor\] expected a name .* but got 'canny, Model: other'",
    ),
    "a name with quotes": ({"preprocessor": 'canny"'}, r"\[controls\[0\].preprocessor\]"),
    "a name of two lines": ({"preprocessor": "a\nb"}, r"\[controls\[0\].preprocessor\]"),
    "a long name": ({"preprocessor": 65 * "a"}, r"name of up to 64 letters.* but got 'a{64}'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_values_are_refused_by_the_fields_name(
    open_variant: OpenVariant, tmp_path: Path, case: str
) -> None:
    fields, pattern = BAD[case]
    with pytest.raises(sdrbee.InvalidRequest, match=pattern):
        open_variant("v1-5").model.generate(
            PROMPT, steps=1, controls=[{"model": tmp_path, "image": edges(), **fields}]
        )


def test_what_is_no_control_is_refused(open_variant: OpenVariant, tmp_path: Path) -> None:
    model = open_variant("v1-5").model

    def refused(control: Any, kind: type[Exception], pattern: str) -> None:
        with pytest.raises(kind, match=pattern):
            model.generate(PROMPT, steps=1, controls=[control], **SIZE)

    refused({"model": tmp_path}, sdrbee.InvalidRequest, r"\[controls\[0\].image\] is missing")
    refused({"image": edges()}, sdrbee.InvalidRequest, r"\[controls\[0\].model\] is missing")
    refused("canny", TypeError, r"\[controls\[0\]\] expected a dict")
    refused(
        {"model": tmp_path, "image": edges(), "weight": 1.0},
        TypeError,
        r"\[controls\[0\]\] has no 'weight'; it takes image, images, mask, masks, model, strength",
    )
    refused({"model": tmp_path / "none", "image": edges()}, sdrbee.CheckpointError, "nothing at")
    many = [{"model": tmp_path, "image": edges()}] * 9
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[controls\] expected at most 8 but got 9"):
        model.generate(PROMPT, steps=1, controls=many)


def test_a_native_inpainting_picture_keeps_its_source(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    pair = open_variant("v1-5-inpaint")
    folder = saved(controlnet(pair), tmp_path / "net")
    made = pair.model.generate(
        PROMPT,
        image=source(),
        mask=half_mask(),
        steps=2,
        controls=[{"model": folder, "image": edges()}],
    )
    assert np.array_equal(np.asarray(made)[half_mask() == 0], source()[half_mask() == 0])
