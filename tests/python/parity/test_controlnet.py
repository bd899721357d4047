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
    controlnet,
    edges,
    original_file,
    randomise,
    saved,
    single_file,
    theirs_with,
    union,
)
from parity.pair import NEGATIVE_PROMPT, PROMPT, SEED
from parity.pictures import HEIGHT, WIDTH, half_mask, source
from parity.unet_families import OpenVariant, VariantPair, check
from safetensors.torch import save_file

import sdrbee
from sdrbee.hub.local import LocalModels, StoredModel

STEPS = 4
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


def compare(
    pair: VariantPair,
    kind: str,
    mode: str,
    nets: Any,
    controls: list[dict[str, Any]],
    **more: Any,
) -> float:
    """Both sides with the same ControlNets; `more` goes to both."""
    images = [np.asarray(control["image"]) for control in controls]
    one = len(controls) == 1
    scales = [control.get("strength", 1.0) for control in controls]
    theirs: dict[str, Any] = {
        "controlnet_conditioning_scale": scales[0] if one else scales,
        "control_guidance_start": [control.get("start", 0.0) for control in controls],
        "control_guidance_end": [control.get("end", 1.0) for control in controls],
        "guess_mode": any(control.get("guess_mode", False) for control in controls),
    }
    given: dict[str, Any] = {"guidance_scale": 4.3, "negative_prompt": NEGATIVE_PROMPT}
    if mode != "text_to_image":
        given["strength"] = 0.75
    given |= more
    pipeline, shown = theirs_with(pair, kind, mode, nets, images[0] if one else images)
    own = pair.pipelines[mode]
    pair.pipelines[mode] = pipeline
    try:
        return check(
            pair,
            mode,
            {"steps": STEPS, "controls": controls, **given},
            {"prompt": PROMPT, "num_inference_steps": STEPS, **theirs, **shown, **given},
        )
    finally:
        pair.pipelines[mode] = own


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
    difference = compare(pair, kind, mode, net, controls)
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
    compare(pair, kind, "text_to_image", nets, controls)
    compare(pair, kind, "image_to_image", nets, controls)


@pytest.mark.parametrize("kind", ["v1-5", "xl"])
@pytest.mark.parametrize("guidance_scale", [0.0, 4.3])
def test_guess_mode(
    open_variant: OpenVariant, tmp_path: Path, kind: str, guidance_scale: float
) -> None:
    pair = open_variant(kind)
    net = controlnet(pair)
    control = {"model": saved(net, tmp_path / "net"), "image": edges(), "guess_mode": True}
    compare(pair, kind, "text_to_image", net, [control], guidance_scale=guidance_scale)


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
    compare(pair, "v1-5", "text_to_image", net, [control])


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
    compare(pair, "xl", "text_to_image", net, [{"model": path, "image": edges()}])


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
    own = pair.pipelines["text_to_image"]
    pair.pipelines["text_to_image"] = pipeline
    try:
        control = {"image": edges(), "strength": 0.8, "type": control_type}
        check(
            pair,
            "text_to_image",
            {
                "steps": STEPS,
                "controls": [{"model": saved(net, tmp_path / "net"), **control}],
                **given,
            },
            {"prompt": PROMPT, "num_inference_steps": STEPS, **theirs, **given},
        )
    finally:
        pair.pipelines["text_to_image"] = own


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


@pytest.mark.parametrize("kind", ["v1-5", "v2-1", "xl"])
@pytest.mark.parametrize("prefix", ["", "control_model."])
def test_files_of_both_namings_give_the_same_picture(
    open_variant: OpenVariant, tmp_path: Path, kind: str, prefix: str
) -> None:
    pair = open_variant(kind)
    net = controlnet(pair)
    places = [
        saved(net, tmp_path / "net"),
        single_file(net, tmp_path / "current.safetensors"),
        original_file(net, tmp_path / "original.safetensors", prefix),
    ]
    pictures = [
        pair.model.generate(
            PROMPT, steps=2, seed=SEED, controls=[{"model": place, "image": edges()}], **SIZE
        )
        for place in places
    ]
    assert bytes(pictures[0]) == bytes(pictures[1]) == bytes(pictures[2])
    plain = pair.model.generate(PROMPT, steps=2, seed=SEED, **SIZE)
    assert bytes(plain) != bytes(pictures[0])


def test_a_picture_of_another_size_is_stretched_as_diffusers_does(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    pair = open_variant("v1-5")
    net = controlnet(pair)
    folder = saved(net, tmp_path / "net")
    for size in ((64, 48), (19, 41)):
        control = {"model": folder, "image": edges(8, *size)}
        compare(pair, "v1-5", "text_to_image", net, [control])
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
    control = {"model": folder, "image": edges(), "strength": 0.6}
    made = pair.model.generate(PROMPT, steps=2, seed=SEED, controls=[control], **SIZE)
    made.save(tmp_path / "out.png")
    assert 'ControlNet 0: "Module: none, Model: net, Weight: 0.6' in parameters(
        tmp_path / "out.png"
    )
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


def test_a_network_is_found_by_its_name_in_the_store(
    open_variant: OpenVariant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = open_variant("v1-5")
    monkeypatch.setenv("SDRBEE_HOME", str(tmp_path / "home"))
    folder = saved(controlnet(pair), tmp_path / "net")
    LocalModels().add(StoredModel("canny", str(folder), "hf:me/canny", kind="controlnet"))
    by_name, by_path = (
        pair.model.generate(
            PROMPT, steps=1, seed=SEED, controls=[{"model": name, "image": edges()}], **SIZE
        )
        for name in ("canny", folder)
    )
    assert bytes(by_name) == bytes(by_path)
    with pytest.raises(sdrbee.ModelNotFound, match=r"'cany'; did you mean 'canny'"):
        sdrbee.GenerationRequest(prompt="x", controls=[{"model": "cany", "image": edges()}])


def test_networks_keep_to_the_memory_limit(open_variant: OpenVariant, tmp_path: Path) -> None:
    pair = open_variant("v1-5")
    net = controlnet(pair)
    control = {"model": single_file(net, tmp_path / "edges.safetensors"), "image": edges()}
    fields: dict[str, Any] = {"steps": 2, "seed": SEED, "controls": [control], **SIZE}
    free = pair.model.generate(PROMPT, **fields)
    largest = max(part.bytes for part in pair.model.memory.values())
    limited = sdrbee.load(pair.folder, device="cpu", dtype="fp32", memory_limit=largest)
    assert bytes(limited.generate(PROMPT, **fields)) == bytes(free)
    assert limited.memory["control edges.safetensors"].uses > 0


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
        r"\[controls\[0\]\] has no 'weight'; it takes image, model, strength",
    )
    refused({"model": tmp_path / "none", "image": edges()}, sdrbee.CheckpointError, "nothing at")
    many = [{"model": tmp_path, "image": edges()}] * 9
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[controls\] expected at most 8 but got 9"):
        model.generate(PROMPT, steps=1, controls=many)


def test_other_files_and_networks_for_other_models_are_told(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    pair, other = open_variant("v1-5"), open_variant("v2-1")
    model = pair.model

    def refused(path: Path, kind: type[Exception], pattern: str) -> None:
        with pytest.raises(kind, match=pattern):
            model.generate(PROMPT, steps=1, controls=[{"model": path, "image": edges()}], **SIZE)

    for path in (
        saved(controlnet(other), tmp_path / "other"),
        single_file(controlnet(other), tmp_path / "other.safetensors"),
    ):
        refused(path, sdrbee.InvalidRequest, r"for Stable Diffusion 1.x .* is for .* 2.x")
    xl = saved(controlnet(open_variant("xl")), tmp_path / "xl")
    refused(xl, sdrbee.InvalidRequest, r"is for Stable Diffusion XL")
    refused(
        single_file(pair.pipelines["text_to_image"].vae, tmp_path / "vae.safetensors"),
        sdrbee.UnsupportedModel,
        "expected a ControlNet",
    )
    refused(pair.folder / "unet", sdrbee.UnsupportedModel, "got a UNet2DConditionModel")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(single_file(controlnet(pair), tmp_path / "whole.safetensors").read_bytes()[:-9])
    refused(cut, sdrbee.CheckpointError, "cut.safetensors")
    state = controlnet(pair).state_dict()
    del state["controlnet_mid_block.bias"]
    save_file(state, tmp_path / "less.safetensors")
    refused(tmp_path / "less.safetensors", sdrbee.CheckpointError, "controlnet_mid_block.bias")


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
