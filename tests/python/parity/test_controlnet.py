"""ControlNets beside Stable Diffusion and Stable Diffusion XL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import PIL.Image
import pytest
import torch
from parity.controls import (
    STEPS,
    compare_controlled,
    controlnet,
    edges,
    saved,
    single_file,
    theirs_with,
    union,
    using,
)
from parity.flow_controls import UNION, flux_controlnet
from parity.pair import NEGATIVE_PROMPT, PROMPT, SEED
from parity.pictures import HEIGHT, WIDTH
from parity.unet_families import OpenVariant, check

import sdrbee
from sdrbee._native import follows_types

SIZE = {"width": WIDTH, "height": HEIGHT}
MODES = [
    ("v1-5", "text_to_image"),
    ("v1-5", "image_to_image"),
    ("v1-5", "inpaint"),
    ("v1-5-inpaint", "inpaint"),
    ("v2-1", "text_to_image"),
    ("xl", "text_to_image"),
    ("xl", "image_to_image"),
    ("xl", "inpaint"),
]


@pytest.mark.parametrize(("kind", "mode"), MODES)
def test_a_controlled_mode_equals_diffusers(
    open_variant: OpenVariant,
    tmp_path: Path,
    kind: str,
    mode: str,
    record_parity: Callable[..., None],
) -> None:
    pair = open_variant(kind)
    net = controlnet(pair)
    controls = [{"model": saved(net, tmp_path / "net"), "image": edges(), "strength": 0.8}]
    difference = compare_controlled(pair, kind, mode, net, controls)
    record_parity(f"{kind}+controlnet", mode, pixels=difference)


@pytest.mark.parametrize("kind", ["v2-1", "xl"])
def test_several_at_once_each_in_its_part_of_the_steps(
    open_variant: OpenVariant, tmp_path: Path, kind: str
) -> None:
    pair = open_variant(kind)
    nets = [controlnet(pair, seed) for seed in (3, 4, 6)]
    controls = [
        {"model": saved(net, tmp_path / str(index)), "image": edges(index), **options}
        for index, (net, options) in enumerate(
            zip(
                nets,
                [
                    {"strength": 0.7},
                    {"strength": 1.3, "start": 0.3},
                    {"strength": -0.5, "start": 0.25, "end": 0.8},
                ],
                strict=True,
            )
        )
    ]
    compare_controlled(pair, kind, "text_to_image", nets, controls)
    compare_controlled(pair, kind, "image_to_image", nets, controls)


@pytest.mark.parametrize("kind", ["v1-5", "xl"])
@pytest.mark.parametrize("guidance_scale", [0.0, 4.3])
def test_guess_mode(
    open_variant: OpenVariant, tmp_path: Path, kind: str, guidance_scale: float
) -> None:
    pair = open_variant(kind)
    net = controlnet(pair)
    control = {"model": saved(net, tmp_path / "net"), "image": edges(), "guess_mode": True}
    compare_controlled(pair, kind, "text_to_image", net, [control], guidance_scale=guidance_scale)


@pytest.mark.parametrize(
    "options",
    [{"controlnet_conditioning_channel_order": "bgr"}, {"global_pool_conditions": True}],
    ids=lambda options: next(iter(options)),
)
def test_options_of_a_network(
    open_variant: OpenVariant, tmp_path: Path, options: dict[str, Any]
) -> None:
    pair = open_variant("v1-5")
    net = controlnet(pair, **options)
    control = {"model": saved(net, tmp_path / "net"), "image": edges()}
    compare_controlled(pair, "v1-5", "text_to_image", net, [control])


SMALL = {
    "no attention": {
        "down_block_types": ("DownBlock2D", "DownBlock2D"),
        "mid_block_type": "UNetMidBlock2D",
    },
    "few layers": {"transformer_layers_per_block": (1, 1)},
}


@pytest.mark.parametrize("options", SMALL)
@pytest.mark.parametrize("stored", ["folder", "file"])
def test_small_networks_beside_xl(
    open_variant: OpenVariant, tmp_path: Path, options: str, stored: str
) -> None:
    pair = open_variant("xl")
    net = controlnet(pair, **SMALL[options])
    path = (
        saved(net, tmp_path / "net")
        if stored == "folder"
        else single_file(net, tmp_path / "net.safetensors")
    )
    compare_controlled(pair, "xl", "text_to_image", net, [{"model": path, "image": edges()}])


@pytest.mark.parametrize(("control_type", "index"), [("canny", 3), ("openpose", 0)])
def test_a_network_of_several_types(
    open_variant: OpenVariant, tmp_path: Path, control_type: str, index: int
) -> None:
    pair = open_variant("xl")
    net = union(pair)
    pipeline = diffusers.StableDiffusionXLControlNetUnionPipeline.from_pipe(
        pair.pipelines["text_to_image"], controlnet=net
    )
    pipeline.set_progress_bar_config(disable=True)
    given = {"guidance_scale": 4.3, "negative_prompt": NEGATIVE_PROMPT}
    theirs = {
        "control_image": [PIL.Image.fromarray(edges())],
        "control_mode": [index],
        "controlnet_conditioning_scale": 0.8,
    }
    control = {"image": edges(), "strength": 0.8, "type": control_type}
    controls = [{"model": saved(net, tmp_path / "net"), **control}]
    with using(pair, "text_to_image", pipeline):
        check(
            pair,
            "text_to_image",
            {"steps": STEPS, "controls": controls, **given},
            {"prompt": PROMPT, "num_inference_steps": STEPS, **theirs, **given},
        )


def test_a_network_of_several_types_is_told_by_its_tensors(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    pair = open_variant("xl")
    several, one = union(pair), controlnet(pair)
    flux = {name: flux_controlnet(**options) for name, options in (("modes", UNION), ("plain", {}))}
    followed = {
        path.name
        for path in (
            saved(several, tmp_path / "folder"),
            single_file(several, tmp_path / "file.safetensors"),
            saved(flux["modes"], tmp_path / "flux"),
            single_file(flux["modes"], tmp_path / "flux.safetensors"),
            saved(one, tmp_path / "one"),
            single_file(one, tmp_path / "one.safetensors"),
            saved(flux["plain"], tmp_path / "plain"),
        )
        if follows_types(str(path))
    }
    assert followed == {"folder", "file.safetensors", "flux", "flux.safetensors"}


def test_a_type_is_asked_for_where_there_are_several(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    pair = open_variant("xl")
    several = {"model": saved(union(pair), tmp_path / "union"), "image": edges()}
    one = {"model": saved(controlnet(pair), tmp_path / "one"), "image": edges()}
    for control, pattern in (
        (several, r"expected a `type` of 'openpose', .*'segment' but got ''"),
        ({**several, "type": "tile"}, r"but got 'tile'"),
        ({**one, "type": "canny"}, r"leave `type` 'canny' out"),
    ):
        with pytest.raises(sdrbee.InvalidRequest, match=pattern):
            pair.model.generate(PROMPT, steps=1, controls=[control], **SIZE)


def test_a_picture_of_another_size_is_stretched_as_diffusers_does(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    pair = open_variant("v1-5")
    net = controlnet(pair)
    folder = saved(net, tmp_path / "net")
    for size in ((64, 48), (19, 41)):
        control = {"model": folder, "image": edges(8, *size)}
        compare_controlled(pair, "v1-5", "text_to_image", net, [control])
    with pytest.warns(UserWarning, match=r"\[controls\[0\].image\] 19x41 was stretched to 32x24"):
        pair.model.generate(PROMPT, steps=1, controls=[control], **SIZE)


def test_the_masked_part_alone_follows_its_part_of_the_picture(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    pair = open_variant("v1-5")
    net = controlnet(pair)
    picture, control = edges(1, 76, 60), edges(2, 76, 60)
    mask = np.zeros((60, 76), dtype=np.uint8)
    mask[20:39, 41:60] = 255
    shared: dict[str, Any] = {"width": WIDTH, "height": WIDTH, "strength": 0.75}
    shared |= {"guidance_scale": 4.3, "negative_prompt": NEGATIVE_PROMPT}
    pipeline, shown = theirs_with(pair, "v1-5", "inpaint", net, control)
    theirs = pipeline(
        PROMPT,
        image=PIL.Image.fromarray(picture),
        mask_image=PIL.Image.fromarray(mask),
        padding_mask_crop=6,
        controlnet_conditioning_scale=1.0,
        num_inference_steps=STEPS,
        generator=torch.Generator("cpu").manual_seed(SEED),
        **shown,
        **shared,
    ).images[0]
    ours = pair.model.generate(
        PROMPT,
        image=picture,
        mask=mask,
        inpaint_area="masked",
        mask_padding=6,
        steps=STEPS,
        seed=SEED,
        controls=[{"model": saved(net, tmp_path / "net"), "image": control}],
        **shared,
    )
    difference = np.abs(np.asarray(ours).astype(int) - np.asarray(theirs).astype(int))
    assert difference.max() <= 1
