"""Every mode of every variant of FLUX.1."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
from parity.flux_family import CELL, KINDS, FluxPair
from parity.pair import NEGATIVE_PROMPT, PROMPT, SEED, compare
from parity.pictures import half_mask, source

import sdrbee

WIDTH, HEIGHT = 48, 32
OpenFlux = Callable[[str], FluxPair]
Check = Callable[[str, str, dict[str, Any], dict[str, Any]], None]


@pytest.fixture(scope="session")
def open_flux(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> OpenFlux:
    """Opens a variant, once a session."""
    pairs: dict[str, FluxPair] = {}

    def open_kind(name: str) -> FluxPair:
        if name not in pairs:
            folder = tmp_path_factory.mktemp("flux") / name
            pairs[name] = FluxPair(folder, KINDS[name], pytestconfig.getoption("--parity-device"))
        return pairs[name]

    return open_kind


def picture(width: int = WIDTH, height: int = HEIGHT) -> npt.NDArray[np.uint8]:
    return source(width, height)


def mask() -> npt.NDArray[np.uint8]:
    return half_mask(WIDTH, HEIGHT)


@pytest.fixture
def check(open_flux: OpenFlux, record_parity: Callable[..., None]) -> Check:
    """Compares picture and latents of a mode, as asked in our words and in those of diffusers."""

    def compare_mode(name: str, mode: str, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
        pixels = largest_difference(open_flux(name), mode, ours, theirs)
        record_parity(name, mode, pixels=pixels)

    return compare_mode


def largest_difference(
    pair: FluxPair, mode: str, ours: dict[str, Any], theirs: dict[str, Any]
) -> float:
    request: dict[str, Any] = {"prompt": PROMPT, "seed": SEED, "steps": 4}
    request |= {"width": WIDTH, "height": HEIGHT} | ours
    arguments: dict[str, Any] = {"prompt": PROMPT, "num_inference_steps": 4} | theirs
    if mode == "inpaint":
        request |= {"image": picture(), "mask": mask(), "keep_unmasked": False}
        arguments |= {
            "image": PIL.Image.fromarray(picture()),
            "mask_image": PIL.Image.fromarray(mask()),
        }
    size = request["width"], request["height"]
    expected = pair.reference(mode, SEED, size, **arguments)
    made = [
        np.asarray(pair.model.generate(**request | {"output": output}))
        for output in ("float", "latent")
    ]
    difference = compare((made[0], made[1]), expected)
    assert difference.within_tolerance, difference
    return difference.pixels


# What a request asks for, in both programs' words.
FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "guidance": ({"guidance_scale": 2.5}, {"guidance_scale": 2.5}),
    "large": ({"width": 176, "height": 80}, {}),
    "second prompt": ({"prompt_2": "a green star"}, {"prompt_2": "a green star"}),
    "empty prompt": ({"prompt": ""}, {"prompt": ""}),
    "true guidance": (
        {"true_guidance_scale": 3.0, "negative_prompt": NEGATIVE_PROMPT},
        {"true_cfg_scale": 3.0, "negative_prompt": NEGATIVE_PROMPT},
    ),
    "true guidance with second prompts": (
        {"true_guidance_scale": 1.7, "negative_prompt": "", "negative_prompt_2": "blurry"},
        {"true_cfg_scale": 1.7, "negative_prompt": "", "negative_prompt_2": "blurry"},
    ),
    "true guidance without negative prompt": (
        {"true_guidance_scale": 3.0},
        {"true_cfg_scale": 3.0},
    ),
    "own noise levels": ({"sigmas": [0.9, 0.6, 0.2], "steps": None}, {"sigmas": [0.9, 0.6, 0.2]}),
    "one step": ({"steps": 1}, {"num_inference_steps": 1}),
    "many steps": ({"steps": 20}, {"num_inference_steps": 20}),
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("name", ["flux-dev", "flux-schnell"])
def test_text_to_image(open_flux: OpenFlux, check: Check, name: str, field: str) -> None:
    info = open_flux(name).model.info
    assert info.variant == name
    ours, theirs = FIELDS[field]
    usual = info.defaults["text_to_image"].guidance_scale
    check(name, "text_to_image", ours, {"guidance_scale": usual} | theirs)


@pytest.mark.parametrize("strength", [0.3, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("mode", ["image_to_image", "inpaint"])
@pytest.mark.parametrize("name", ["flux-dev", "flux-schnell"])
def test_from_a_picture(check: Check, name: str, mode: str, strength: float) -> None:
    """Of 4 steps, strengths 0.6 and 0.9 leave other counts by the rule of diffusion models."""
    ours: dict[str, Any] = {"strength": strength, "guidance_scale": 5.0}
    theirs = dict(ours)
    if mode == "image_to_image":
        ours["image"] = picture()
        theirs["image"] = PIL.Image.fromarray(picture())
    check(name, mode, ours, theirs)


@pytest.mark.parametrize("mode", ["image_to_image", "inpaint"])
def test_true_guidance_from_a_picture(check: Check, mode: str) -> None:
    ours: dict[str, Any] = {"true_guidance_scale": 2.0, "negative_prompt": NEGATIVE_PROMPT}
    theirs: dict[str, Any] = {"true_cfg_scale": 2.0, "negative_prompt": NEGATIVE_PROMPT}
    if mode == "image_to_image":
        ours["image"] = picture(100, 70)
        theirs["image"] = PIL.Image.fromarray(picture(100, 70))
    check("flux-dev", mode, ours, theirs)


@pytest.mark.parametrize("strength", [0.4, 0.8, 1.0])
def test_fill(open_flux: OpenFlux, check: Check, strength: float) -> None:
    assert open_flux("flux-fill").model.info.variant == "flux-fill"
    check("flux-fill", "inpaint", {"strength": strength}, {"strength": strength})


@pytest.mark.parametrize("shape", [(48, 32), (50, 90), (500, 100)])
def test_kontext_is_shown_a_picture(
    open_flux: OpenFlux, check: Check, shape: tuple[int, int]
) -> None:
    assert open_flux("flux-kontext").model.info.variant == "flux-kontext"
    image = picture(*shape)
    theirs = {"image": PIL.Image.fromarray(image), "max_area": WIDTH * HEIGHT}
    check("flux-kontext", "image_to_image", {"image": image}, theirs)


def test_kontext_with_true_guidance(check: Check) -> None:
    ours = {"true_guidance_scale": 2.0, "negative_prompt": NEGATIVE_PROMPT, "image": picture()}
    theirs = {"true_cfg_scale": 2.0, "negative_prompt": NEGATIVE_PROMPT}
    theirs |= {"image": PIL.Image.fromarray(picture()), "max_area": WIDTH * HEIGHT}
    check("flux-kontext", "image_to_image", ours, theirs)


def test_kontext_without_a_picture(check: Check) -> None:
    check("flux-kontext", "text_to_image", {}, {"max_area": WIDTH * HEIGHT})


def test_kontext_takes_its_size_from_the_picture(open_flux: OpenFlux) -> None:
    model = open_flux("flux-kontext").model
    latents = model.generate(PROMPT, image=picture(300, 200), steps=1, output="latent")
    assert latents.shape == (4, 832 // 8, 1248 // 8)


@pytest.mark.parametrize("shape", [(48, 32), (60, 60)])
def test_control(open_flux: OpenFlux, check: Check, shape: tuple[int, int]) -> None:
    assert open_flux("flux-canny").model.info.variant == "flux-canny"
    image = picture(*shape)
    theirs = {"control_image": PIL.Image.fromarray(image), "guidance_scale": 30.0}
    check("flux-canny", "text_to_image", {"control_image": image}, theirs)


@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("mode", ["image_to_image", "inpaint"])
def test_control_from_a_picture(check: Check, mode: str, strength: float) -> None:
    """The control image is drawn for before `image`, and after the masked picture."""
    control = picture()[::-1].copy()
    ours: dict[str, Any] = {"control_image": control, "strength": strength}
    theirs: dict[str, Any] = {"guidance_scale": 30.0, "strength": strength}
    theirs["control_image"] = PIL.Image.fromarray(control)
    if mode == "image_to_image":
        ours["image"] = picture(60, 60)
        theirs["image"] = PIL.Image.fromarray(picture(60, 60))
    check("flux-canny", mode, ours, theirs)


@pytest.mark.parametrize("fields", [{}, {"strength": 0.5}, {"true_guidance_scale": 2.0}])
def test_kontext_repaints_what_it_is_shown(check: Check, fields: dict[str, Any]) -> None:
    ours = {"negative_prompt": NEGATIVE_PROMPT} | fields
    theirs: dict[str, Any] = {"strength": fields.get("strength", 1.0), "_auto_resize": False}
    theirs["negative_prompt"] = NEGATIVE_PROMPT
    theirs["true_cfg_scale"] = fields.get("true_guidance_scale", 1.0)
    check("flux-kontext", "inpaint", ours, theirs)


def test_canny_and_depth_are_told_apart_by_an_option(
    open_flux: OpenFlux, record_parity: Callable[..., None]
) -> None:
    pair = open_flux("flux-canny")
    assert any("flux-canny from flux-depth" in text for text in pair.model.info.warnings)
    depth = sdrbee.load(pair.folder, device=pair.model.info.device, dtype="fp32", variant="depth")
    assert depth.info.variant == "flux-depth"
    assert depth.info.warnings == []
    assert depth.info.defaults["text_to_image"].guidance_scale == 10.0
    other = copy.copy(pair)
    other.model = depth
    for mode in other.pipelines:
        ours: dict[str, Any] = {"control_image": picture(), "guidance_scale": 10.0}
        theirs = ours | {"control_image": PIL.Image.fromarray(picture())}
        if mode == "image_to_image":
            ours["image"] = picture()[::-1].copy()
            theirs["image"] = PIL.Image.fromarray(ours["image"])
        pixels = largest_difference(other, mode, ours, theirs)
        record_parity("flux-depth", mode, pixels=pixels)


def test_kontext_may_be_named_where_the_folder_says_dev(open_flux: OpenFlux) -> None:
    model = sdrbee.load(open_flux("flux-dev").folder, variant="flux-kontext")
    assert model.info.capabilities.reference_image
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[variant\].* 16 'in_channels'.*'flux-fill'"):
        sdrbee.load(open_flux("flux-dev").folder, variant="fill")


OF_THE_CLASS = [
    (name, mode)
    for name in ("flux-dev", "flux-fill", "flux-kontext")
    for mode in KINDS[name].pipelines
]


@pytest.mark.parametrize(("name", "mode"), OF_THE_CLASS)
def test_defaults_are_those_of_the_pipeline(open_flux: OpenFlux, name: str, mode: str) -> None:
    pair = open_flux(name)
    ours = pair.model.info.defaults[mode]
    theirs = inspect.signature(pair.pipelines[mode].__call__).parameters
    assert ours.steps == theirs["num_inference_steps"].default
    assert ours.guidance_scale == theirs["guidance_scale"].default
    if "strength" in theirs:
        assert ours.strength == theirs["strength"].default


def test_a_second_pass_follows_the_control_image_at_its_own_size(open_flux: OpenFlux) -> None:
    model = open_flux("flux-canny").model
    fields = PICTURES["flux-canny"] | {"steps": 2, "hires_scale": 2.0, "output": "latent"}

    def make(**changes: Any) -> npt.NDArray[np.float32]:
        return np.asarray(model.generate(PROMPT, seed=SEED, **fields | changes))

    assert make().shape == (4, 2 * HEIGHT // CELL, 2 * WIDTH // CELL)
    assert not np.array_equal(make(), make(control_image=picture()[::-1].copy()))


PICTURES: dict[str, dict[str, Any]] = {
    "flux-dev": {"image": picture(), "mask": mask()},
    "flux-fill": {"image": picture(), "mask": mask()},
    "flux-kontext": {"image": picture(), "width": WIDTH, "height": HEIGHT},
    "flux-canny": {"control_image": picture(), "width": WIDTH, "height": HEIGHT},
}
RESUMED: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, fields) for name, fields in PICTURES.items()},
    "control image in two passes": (
        "flux-canny",
        PICTURES["flux-canny"] | {"image": picture(), "hires_scale": 2.0, "steps": 2},
    ),
    "kontext with a mask": ("flux-kontext", PICTURES["flux-kontext"] | {"mask": mask()}),
}


@pytest.mark.parametrize("case", RESUMED)
def test_a_saved_generation_goes_on_with_the_same_bits(open_flux: OpenFlux, case: str) -> None:
    name, fields = RESUMED[case]
    model = open_flux(name).model
    request = sdrbee.GenerationRequest(
        prompt=PROMPT, seed=SEED, output="latent", **{"steps": 3} | fields
    )
    whole = model.begin(request)
    while not whole.done:
        model.advance(whole)
    resumed = model.begin(request)
    while not resumed.done:
        resumed = model.restore(model.save(resumed))
        model.advance(resumed)
    assert np.array_equal(model.finish(whole), model.finish(resumed))


def test_a_picture_is_made_again_from_its_recipe(open_flux: OpenFlux, tmp_path: Any) -> None:
    model = open_flux("flux-canny").model
    made = model.generate(PROMPT, steps=2, seed=1, **PICTURES["flux-canny"])
    made.save(tmp_path / "picture.png")
    again = sdrbee.replay(tmp_path / "picture.png", control_image=picture(), model=model)
    assert bytes(again) == bytes(made)
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[control_image\].*SHA-256"):
        sdrbee.replay(tmp_path / "picture.png", model=model)


def test_pictures_of_a_batch_are_those_of_single_runs(open_flux: OpenFlux) -> None:
    """Also where one is guided twice and another is shown a picture of another size."""
    model = open_flux("flux-kontext").model
    first = sdrbee.GenerationRequest(
        prompt=PROMPT, seed=1, steps=2, output="latent", **PICTURES["flux-kontext"]
    )
    others = [
        first.replace(prompt="a star", seed=2, guidance_scale=7.0),
        first.replace(image=picture(30, 90), seed=3),
        first.replace(image=None, true_guidance_scale=2.0, negative_prompt="blurry"),
    ]
    requests = [first, *others]
    for alone, together in zip(
        [model.generate_batch([one])[0] for one in requests],
        model.generate_batch(requests),
        strict=True,
    ):
        assert np.linalg.norm(alone - together) <= 1e-5 * np.linalg.norm(alone)


REFUSALS: dict[str, tuple[str, dict[str, Any], str]] = {
    "no control image": ("flux-canny", {}, r"\[control_image\].*'flux-canny'.*give"),
    "a control image": ("flux-dev", {"control_image": picture()}, r"\[control_image\].*leave"),
    "fill without mask": ("flux-fill", {"image": picture()}, r"\[mask\]"),
    "strength of a reference": (
        "flux-kontext",
        {"image": picture(), "strength": 0.5},
        r"\[strength\].*'flux-kontext'",
    ),
    "true guidance without need": (
        "flux-fill",
        {"image": picture(), "mask": mask(), "true_guidance_scale": 2.0},
        r"\[true_guidance_scale\]",
    ),
    "half a token": ("flux-dev", {"width": 40}, r"\[width\] expected a multiple of 16 .* 48"),
    "skipped layers": ("flux-dev", {"clip_skip": 1}, r"\[clip_skip\] expected 0"),
    "edges that fit": ("flux-dev", {"tiling": "x"}, r"\[tiling\] this model's network"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_name_the_field(open_flux: OpenFlux, case: str) -> None:
    name, fields, pattern = REFUSALS[case]
    with pytest.raises(sdrbee.InvalidRequest, match=pattern):
        open_flux(name).model.generate(PROMPT, steps=2, **fields)
