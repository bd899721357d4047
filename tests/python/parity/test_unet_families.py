"""Every mode of every variant of Stable Diffusion and Stable Diffusion XL."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from parity.pair import NEGATIVE_PROMPT, PROMPT, SEED, compare
from parity.reference import DIFFUSION
from parity.test_modes import half_mask, source
from parity.unet_families import KINDS, VariantPair

import sdrbee

HEIGHT, WIDTH = source().shape[:2]
OpenVariant = Callable[[str], VariantPair]


@pytest.fixture(scope="session")
def open_variant(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> OpenVariant:
    """Opens a variant, once a session."""
    pairs: dict[str, VariantPair] = {}

    def open_kind(name: str) -> VariantPair:
        if name not in pairs:
            folder = tmp_path_factory.mktemp("variant") / name
            device = pytestconfig.getoption("--parity-device")
            pairs[name] = VariantPair(folder, KINDS[name], device)
        return pairs[name]

    return open_kind


def check(pair: VariantPair, mode: str, ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """Compares picture and latents; `ours` and `theirs` are what is asked of each side.

    Returns the largest difference of a pixel.
    """
    request: dict[str, Any] = {"seed": SEED, "width": WIDTH, "height": HEIGHT}
    arguments: dict[str, Any] = {}
    if mode != "text_to_image":
        request |= {"image": source()}
        arguments |= {"image": PIL.Image.fromarray(source())}
    if mode == "inpaint":
        request |= {"mask": half_mask(), "keep_unmasked": False}
        arguments |= {"mask_image": PIL.Image.fromarray(half_mask())}
    if mode != "image_to_image":
        arguments |= {"width": WIDTH, "height": HEIGHT}
    expected = pair.reference(mode, SEED, **arguments | theirs)
    made = [
        np.asarray(pair.model.generate(**{"prompt": PROMPT, "output": output} | request | ours))
        for output in ("float", "latent")
    ]
    difference = compare((made[0], made[1]), expected)
    assert difference.within_tolerance, difference
    return difference.pixels


def asked(pair: VariantPair, steps: int, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A request in our words and in those of diffusers; no `more` leaves the defaults."""
    ours: dict[str, Any] = {"steps": steps, **more}
    theirs: dict[str, Any] = {"prompt": PROMPT, "num_inference_steps": steps, **more}
    return ours, theirs


def with_negative(pair: VariantPair) -> dict[str, str]:
    """A consistency model has no negative prompt."""
    can = pair.model.info.capabilities.negative_prompt
    return {"negative_prompt": NEGATIVE_PROMPT} if can else {}


@contextmanager
def scheduler_of(sampler: str, *pipelines: Any) -> Iterator[dict[str, str]]:
    """Lets pipelines run another scheduler; gives the fields that ask us for the same."""
    own = [pipeline.scheduler for pipeline in pipelines]
    for pipeline in pipelines:
        config = pipeline.scheduler.config
        pipeline.scheduler = DIFFUSION[sampler].build(config, "normal", "epsilon", "leading")
    try:
        yield {"sampler": sampler, "spacing": "leading"}
    finally:
        for pipeline, scheduler in zip(pipelines, own, strict=True):
            pipeline.scheduler = scheduler


ALL_MODES = [(name, mode) for name, kind in KINDS.items() for mode in kind.modes]


@pytest.mark.parametrize(("name", "mode"), ALL_MODES)
def test_mode_equals_diffusers(
    open_variant: OpenVariant, name: str, mode: str, record_parity: Callable[..., None]
) -> None:
    pair = open_variant(name)
    assert pair.model.info.variant == name
    more: dict[str, Any] = {"guidance_scale": 4.3, **with_negative(pair)}
    if mode != "text_to_image":
        more["strength"] = 0.75
    difference = check(pair, mode, *asked(pair, 4, **more))
    record_parity(name, mode, pixels=difference)


@pytest.mark.parametrize(("name", "mode"), ALL_MODES)
def test_mode_without_guidance(open_variant: OpenVariant, name: str, mode: str) -> None:
    pair = open_variant(name)
    more: dict[str, Any] = {"guidance_scale": 0.0}
    if mode != "text_to_image":
        more["strength"] = 0.5
    check(pair, mode, *asked(pair, 4, **more))


@pytest.mark.parametrize(("name", "mode"), ALL_MODES)
def test_what_a_variant_cannot_do_is_refused(
    open_variant: OpenVariant, name: str, mode: str
) -> None:
    info = open_variant(name).model.info
    for other in ("text_to_image", "image_to_image", "inpaint"):
        assert getattr(info.capabilities, other) == (other in KINDS[name].modes)


@pytest.mark.parametrize("strength", [0.3, 1.0])
@pytest.mark.parametrize("name", ["v1-5-inpaint", "v2-inpaint", "xl-inpaint", "xl"])
def test_inpainting_at_other_strengths(
    open_variant: OpenVariant, name: str, strength: float
) -> None:
    pair = open_variant(name)
    more = {"guidance_scale": 4.3, "strength": strength}
    check(pair, "inpaint", *asked(pair, 4, **more))


@pytest.mark.parametrize("sampler", ["euler_ancestral", "heun", "dpmpp_2m", "ddim"])
def test_native_inpainting_with_other_samplers(open_variant: OpenVariant, sampler: str) -> None:
    pair = open_variant("v1-5-inpaint")
    with scheduler_of(sampler, pair.pipelines["inpaint"]) as fields:
        ours, theirs = asked(pair, 5, guidance_scale=4.3, strength=0.8)
        check(pair, "inpaint", ours | fields, theirs)


@pytest.mark.parametrize("strength", [0.2, 0.8, 1.0])
def test_strength_of_a_consistency_model(open_variant: OpenVariant, strength: float) -> None:
    """All steps are taken, over a part of the distilled timesteps."""
    pair = open_variant("v1-5-lcm")
    check(pair, "image_to_image", *asked(pair, 4, guidance_scale=7.3, strength=strength))


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "dpmpp_2m", "ddim"])
@pytest.mark.parametrize("share", [0.45, 0.8])
def test_base_hands_over_to_the_refiner(
    open_variant: OpenVariant, sampler: str, share: float
) -> None:
    base, refiner = open_variant("xl"), open_variant("xl-refiner")
    shared = {"guidance_scale": 4.3, "negative_prompt": NEGATIVE_PROMPT}
    pipelines = base.pipelines["text_to_image"], refiner.pipelines["image_to_image"]
    with scheduler_of(sampler, *pipelines) as fields:
        ours, theirs = asked(base, 7, denoising_end=share, **shared)
        check(base, "text_to_image", ours | fields, theirs)
        latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
        ours, theirs = asked(refiner, 7, denoising_start=share, **shared)
        ours |= {"image": None, "latents": latents[0].numpy(), "width": None, "height": None}
        check(refiner, "image_to_image", ours | fields, theirs | {"image": latents})


@pytest.mark.parametrize("name", ["xl", "xl-inpaint", "xl-refiner"])
def test_part_of_the_steps_of_an_inpainting(open_variant: OpenVariant, name: str) -> None:
    part = {"denoising_start": 0.3, "denoising_end": 0.8}
    pair = open_variant(name)
    check(pair, "inpaint", *asked(pair, 8, guidance_scale=4.3, **part))


def test_image_to_image_takes_over_a_picture(open_variant: OpenVariant) -> None:
    pair = open_variant("xl-refiner")
    check(pair, "image_to_image", *asked(pair, 6, guidance_scale=4.3, denoising_start=0.6))


def test_latents_with_noise(open_variant: OpenVariant) -> None:
    pair = open_variant("xl")
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    ours, theirs = asked(pair, 5, guidance_scale=4.3, strength=0.7)
    ours |= {"image": None, "latents": latents[0].numpy(), "width": None, "height": None}
    check(pair, "image_to_image", ours, theirs | {"image": latents})


def test_a_picture_from_latents_is_made_again_from_its_recipe(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    base, refiner = open_variant("xl").model, open_variant("xl-refiner").model
    fields: dict[str, Any] = {"steps": 5, "seed": 1, "width": 16, "height": 16}
    latents = base.generate(PROMPT, output="latent", denoising_end=0.6, **fields)
    rest: dict[str, Any] = {"latents": latents, "denoising_start": 0.6, "steps": 5, "seed": 1}
    picture = refiner.generate(PROMPT, **rest)
    picture.save(tmp_path / "picture.png")
    again = sdrbee.replay(tmp_path / "picture.png", latents=latents, model=refiner)
    assert bytes(again) == bytes(picture)
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[latents\].*SHA-256"):
        sdrbee.replay(tmp_path / "picture.png", model=refiner)
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[latents\].*SHA-256"):
        sdrbee.replay(tmp_path / "picture.png", latents=latents + 1, model=refiner)


# What XL's texts and sizes do, in both programs' words.
XL_FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no negative prompt": ({}, {}),
    "empty negative prompt": ({"negative_prompt": ""}, {"negative_prompt": ""}),
    "empty prompt": ({"prompt": ""}, {"prompt": ""}),
    "second prompts": (
        {"prompt_2": "a green star", "negative_prompt": "blurry", "negative_prompt_2": "grey"},
        {"prompt_2": "a green star", "negative_prompt": "blurry", "negative_prompt_2": "grey"},
    ),
    "second prompt alone": ({"prompt_2": "a green star"}, {"prompt_2": "a green star"}),
    "skipped layer": (
        {"clip_skip": 1, "negative_prompt": "blurry"},
        {"clip_skip": 1, "negative_prompt": "blurry"},
    ),
    "rescaled guidance": ({"guidance_rescale": 0.7}, {"guidance_rescale": 0.7}),
    "sizes": (
        {"original_size": (640, 480), "target_size": (512, 300), "crop": (20, 10)},
        # diffusers has height before width and top before left.
        {
            "original_size": (480, 640),
            "target_size": (300, 512),
            "crops_coords_top_left": (10, 20),
            "negative_original_size": (480, 640),
            "negative_target_size": (300, 512),
            "negative_crops_coords_top_left": (10, 20),
        },
    ),
    "truncated": (
        {"prompt": "circle, " * 60, "long_prompt": "truncate"},
        {"prompt": "circle, " * 60},
    ),
}


@pytest.mark.parametrize("field", XL_FIELDS)
@pytest.mark.filterwarnings("ignore:the prompt was cut")
def test_text_to_image_field_of_xl(open_variant: OpenVariant, field: str) -> None:
    pair = open_variant("xl")
    ours, theirs = asked(pair, 3, guidance_scale=6.0)
    check(pair, "text_to_image", ours | XL_FIELDS[field][0], theirs | XL_FIELDS[field][1])


@pytest.mark.parametrize("field", ["no negative prompt", "second prompts", "sizes"])
@pytest.mark.parametrize("mode", ["image_to_image", "inpaint"])
def test_field_of_xl_with_a_picture(open_variant: OpenVariant, mode: str, field: str) -> None:
    pair = open_variant("xl")
    ours, theirs = asked(pair, 3, guidance_scale=6.0, strength=0.8)
    check(pair, mode, ours | XL_FIELDS[field][0], theirs | XL_FIELDS[field][1])


# Of the others a model card, and not the pipeline's class, gives the defaults.
OF_THE_CLASS = [
    (name, mode)
    for name, mode in ALL_MODES
    if name not in ("sd-turbo", "turbo", "xl-lightning", "xl-lcm")
    and (name, mode) != ("v1-5-lcm", "inpaint")
]


@pytest.mark.parametrize(("name", "mode"), OF_THE_CLASS)
def test_defaults_are_those_of_the_pipeline(
    open_variant: OpenVariant, name: str, mode: str
) -> None:
    pair = open_variant(name)
    ours = pair.model.info.defaults[mode]
    theirs = inspect.signature(pair.pipelines[mode].__call__).parameters
    assert ours.steps == theirs["num_inference_steps"].default
    assert ours.guidance_scale == theirs["guidance_scale"].default
    if mode != "text_to_image":
        assert ours.strength == theirs["strength"].default


def test_chunked_prompt_of_xl_equals_its_truncation_where_it_fits(
    open_variant: OpenVariant,
) -> None:
    model = open_variant("xl").model
    fields: dict[str, Any] = {"steps": 2, "seed": 1, "width": 16, "height": 16}
    chunked = model.generate(PROMPT, output="latent", **fields)
    cut = model.generate(PROMPT, output="latent", long_prompt="truncate", **fields)
    assert np.array_equal(chunked, cut)
    long = model.generate(PROMPT + ", circle" * 80, output="latent", **fields)
    assert np.isfinite(long).all()
    assert not np.array_equal(long, chunked)


@pytest.mark.parametrize("name", ["xl-inpaint", "v1-5-lcm", "xl"])
def test_a_saved_generation_goes_on_with_the_same_bits(
    open_variant: OpenVariant, name: str
) -> None:
    pair = open_variant(name)
    fields: dict[str, Any] = {"image": source(), "mask": half_mask(), "output": "latent"}
    request = sdrbee.GenerationRequest(prompt=PROMPT, seed=SEED, steps=4, **fields)
    whole = pair.model.begin(request)
    while not whole.done:
        pair.model.advance(whole)
    halfway = pair.model.begin(request)
    pair.model.advance(halfway)
    resumed = pair.model.restore(pair.model.save(halfway))
    while not resumed.done:
        pair.model.advance(resumed)
    assert np.array_equal(pair.model.finish(whole), pair.model.finish(resumed))


def test_pictures_of_a_batch_are_those_of_single_runs(open_variant: OpenVariant) -> None:
    """Framing, guidance and masks belong to each picture."""
    model = open_variant("xl-inpaint").model
    first = sdrbee.GenerationRequest(
        prompt=PROMPT, seed=1, steps=3, image=source(), mask=half_mask(), output="latent"
    )
    other = first.replace(prompt="a star", seed=2, crop=(9, 5), mask=255 - half_mask())
    for alone, together in zip(
        [model.generate_batch([one])[0] for one in (first, other)],
        model.generate_batch([first, other]),
        strict=True,
    ):
        assert np.linalg.norm(alone - together) <= 1e-5 * np.linalg.norm(alone)


@pytest.mark.parametrize("force_upcast", [True, False])
def test_an_autoencoder_that_overflows_in_fp16_runs_in_fp32(
    open_variant: OpenVariant, tmp_path: Path, force_upcast: bool
) -> None:
    pair = open_variant("xl")
    folder = tmp_path / "model"
    shutil.copytree(pair.folder, folder)
    config = json.loads((folder / "vae" / "config.json").read_text())
    config["force_upcast"] = force_upcast
    (folder / "vae" / "config.json").write_text(json.dumps(config))
    model = sdrbee.load(folder, device="cpu", dtype="fp16")
    fields: dict[str, Any] = {"steps": 2, "seed": 1, "width": 32, "height": 32}
    latents = torch.from_numpy(model.generate(PROMPT, output="latent", **fields))[None]
    picture = model.generate(PROMPT, output="float", **fields)
    difference = float(np.abs(picture - pair.decode(latents)).max())
    assert (difference < 1e-5) == force_upcast, difference


def test_parts_of_different_xl_models_are_refused(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    """The refiner's flag in the folder of a base model, and its text encoder."""
    folder = tmp_path / "model"
    shutil.copytree(open_variant("xl").folder, folder)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(
        json.dumps(index | {"requires_aesthetics_score": True})
    )
    with pytest.raises(sdrbee.CheckpointError, match=r"expected 52 .5 time ids.* but got 60"):
        sdrbee.load(folder)
    index["text_encoder"] = [None, None]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(sdrbee.CheckpointError, match=r"'cross_attention_dim': expected 16"):
        sdrbee.load(folder)


REFUSALS: dict[str, tuple[str, dict[str, Any], str]] = {
    "text to image with a refiner": ("xl-refiner", {}, r"\[image\].*give `image`$"),
    "text to image with an inpaint network": (
        "xl-inpaint",
        {},
        r"\[image\].*`image` and `mask`",
    ),
    "image to image with an inpaint network": ("v1-5-inpaint", {"image": source()}, r"\[mask\]"),
    "second prompt without second encoder": ("v1-5", {"prompt_2": "x"}, r"\[prompt_2\]"),
    "sizes where none are told": ("v1-5", {"target_size": (8, 8)}, r"\[target_size\]"),
    "one number": ("xl", {"crop": (8,)}, r"\[crop\] expected 2 numbers but got 1"),
    "a negative crop": ("xl", {"crop": (-1, 0)}, r"\[crop\] expected 0 to .* but got -1"),
    "strength of a take-over": (
        "xl",
        {"image": source(), "strength": 0.5, "denoising_start": 0.5},
        r"\[strength\]",
    ),
    "a take-over of nothing": ("xl", {"denoising_start": 0.5}, r"\[denoising_start\]"),
    "an end before the start": (
        "xl",
        {"image": source(), "denoising_start": 0.5, "denoising_end": 0.2},
        r"\[denoising_end\] expected 0.5 to 1",
    ),
    "no step left": ("xl", {"denoising_end": 0.0}, r"\[denoising_end\] leaves none of the 2"),
    "latents of another size": (
        "xl",
        {"latents": np.zeros((3, 8, 8), np.float32)},
        r"\[latents\] expected an array \[4, height, width\] but got \[3, 8, 8\]",
    ),
    "whole numbers as latents": ("xl", {"latents": np.zeros((4, 8, 8), int)}, r"\[latents\]"),
    "latents that are no numbers": (
        "xl",
        {"latents": np.full((4, 8, 8), np.nan)},
        r"\[latents\] expected finite",
    ),
    "two sources": (
        "xl",
        {"latents": np.zeros((4, 8, 8)), "image": source()},
        r"\[latents\] .*two sources",
    ),
    "all layers skipped": ("xl", {"clip_skip": 5}, r"\[clip_skip\] expected 0 to 2"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_name_the_field(open_variant: OpenVariant, case: str) -> None:
    name, fields, pattern = REFUSALS[case]
    with pytest.raises(sdrbee.InvalidRequest, match=pattern):
        open_variant(name).model.generate(PROMPT, steps=2, **fields)
