"""What Stable Diffusion XL has beside its modes: two models, texts, sizes, and its parts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parity.pair import NEGATIVE_PROMPT, PROMPT
from parity.pictures import half_mask, source
from parity.unet_families import OpenVariant, asked, check, scheduler_of

import sdrbee


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
