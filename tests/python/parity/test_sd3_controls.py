"""ControlNets beside Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import PIL.Image
import pytest
import torch
from parity.controls import check_shared_steps, edges, saved, single_file
from parity.flow_controls import (
    REPAINTS,
    SD3_NETS,
    STEPS,
    Acting,
    acting_in,
    check_sd3,
    means_instead_of_draws,
    sd3_arguments,
    sd3_controlled,
    sd3_controlnet,
    sd3_pair,
    shown_latents,
    stability_file,
)
from parity.pair import PROMPT, SEED
from parity.pictures import HEIGHT, WIDTH, half_mask, source
from parity.sd3 import Sd3Pair
from safetensors.torch import save_file

import sdrbee

SIZE = {"width": WIDTH, "height": HEIGHT}
Refused = Callable[[Any, type[Exception], str], None]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Sd3Pair:
    folder = tmp_path_factory.mktemp("sd3_controls") / "model"
    return sd3_pair(folder, pytestconfig.getoption("--parity-device"))


@pytest.mark.parametrize("kind", SD3_NETS)
def test_a_controlled_picture_equals_diffusers(
    pair: Sd3Pair, tmp_path: Path, kind: str, record_parity: Callable[..., None]
) -> None:
    net = sd3_controlnet(**SD3_NETS[kind])
    controls = [{"model": saved(net, tmp_path / "net"), "image": edges(), "strength": 0.8}]
    pipeline = sd3_controlled(pair, net)
    difference = check_sd3(
        pair, "text_to_image", controls, pipeline, **sd3_arguments("text_to_image", controls)
    )
    record_parity(f"sd3+controlnet {kind}", "text_to_image", pixels=difference)


SEVERAL: list[dict[str, Any]] = [
    {"strength": 0.7},
    {"strength": 1.3, "start": 0.3},
    {"strength": -0.5, "start": 0.25, "end": 0.8},
]


def test_several_at_once_each_in_its_part_of_the_steps(pair: Sd3Pair, tmp_path: Path) -> None:
    nets = [sd3_controlnet(seed) for seed in (3, 4, 6)]
    controls = [
        {"model": saved(net, tmp_path / str(index)), "image": edges(index), **SEVERAL[index]}
        for index, net in enumerate(nets)
    ]
    pipeline = sd3_controlled(pair, nets)
    check_sd3(pair, "text_to_image", controls, pipeline, **sd3_arguments("", controls))


@pytest.mark.parametrize("mode", ["image_to_image", "inpaint"])
def test_from_a_picture(
    pair: Sd3Pair, tmp_path: Path, mode: str, record_parity: Callable[..., None]
) -> None:
    """diffusers has no such pipeline: its networks act inside its pipelines without them."""
    nets = [sd3_controlnet(), sd3_controlnet(4, force_zeros_for_pooled_projection=False)]
    controls: list[dict[str, Any]] = []
    acting = []
    for index, net in enumerate(nets):
        options = SEVERAL[index]
        controls.append(
            {"model": saved(net, tmp_path / str(index)), "image": edges(index), **options}
        )
        acting.append(Acting(net, shown_latents(pair, edges(index), shift=index == 1), **options))
    pipeline = pair.pipelines[mode]
    with acting_in(pipeline.transformer, acting, steps=3):
        difference = check_sd3(pair, mode, controls, pipeline)
    record_parity("sd3+controlnet", mode, pixels=difference)


@pytest.mark.parametrize("own_picture", [False, True])
def test_a_network_that_repaints(pair: Sd3Pair, tmp_path: Path, own_picture: bool) -> None:
    net = sd3_controlnet(**REPAINTS)
    control: dict[str, Any] = {"model": saved(net, tmp_path / "net"), "type": "inpaint"}
    if own_picture:
        control["image"] = edges()
    theirs = diffusers.StableDiffusion3ControlNetInpaintingPipeline.from_pipe(
        pair.pipelines["text_to_image"], controlnet=net
    )
    with torch.no_grad(), means_instead_of_draws():
        shown = theirs.prepare_image_with_mask(
            image=PIL.Image.fromarray(edges() if own_picture else source()),
            mask=PIL.Image.fromarray(half_mask()),
            batch_size=1,
            num_images_per_prompt=1,
            device="cpu",
            dtype=torch.float32,
            **SIZE,
        )
    pipeline = pair.pipelines["inpaint"]
    with acting_in(pipeline.transformer, [Acting(net, shown, 1.0)], steps=3):
        check_sd3(pair, "inpaint", [control], pipeline)


def picture(pair: Sd3Pair, path: Path) -> bytes:
    control = {"model": path, "image": edges(), "strength": 0.9}
    return bytes(pair.model.generate(PROMPT, steps=2, seed=SEED, controls=[control], **SIZE))


@pytest.mark.parametrize("kind", sorted({*SD3_NETS} - {"with pooled text and shift"}))
def test_a_lone_file_gives_the_picture_of_its_folder(
    pair: Sd3Pair, tmp_path: Path, kind: str
) -> None:
    net = sd3_controlnet(**SD3_NETS[kind])
    from_folder = picture(pair, saved(net, tmp_path / "net"))
    assert picture(pair, single_file(net, tmp_path / "net.safetensors")) == from_folder
    if kind == "stability":
        assert picture(pair, stability_file(net, tmp_path / "stability.safetensors")) == from_folder
    plain = bytes(pair.model.generate(PROMPT, steps=2, seed=SEED, **SIZE))
    assert plain != from_folder


@pytest.fixture
def refused(pair: Sd3Pair) -> Refused:
    def check(control: Any, kind: type[Exception], pattern: str) -> None:
        given = control if isinstance(control, dict) else {"model": control}
        with pytest.raises(kind, match=pattern):
            pair.model.generate(PROMPT, steps=1, controls=[{"image": edges(), **given}], **SIZE)

    return check


def test_networks_for_other_models_are_told(refused: Refused, tmp_path: Path) -> None:
    wide = sd3_controlnet(num_attention_heads=4, caption_projection_dim=32)
    for path in (saved(wide, tmp_path / "wide"), single_file(wide, tmp_path / "wide.safetensors")):
        refused(path, sdrbee.InvalidRequest, "of 16 channels.*is for .*of 32 channels")
    other_text = sd3_controlnet(joint_attention_dim=40)
    refused(
        saved(other_text, tmp_path / "text"),
        sdrbee.InvalidRequest,
        "with texts of 24, but .* with texts of 40",
    )


def test_types_are_told(refused: Refused, tmp_path: Path) -> None:
    plain = saved(sd3_controlnet(), tmp_path / "plain")
    refused({"model": plain, "type": "canny"}, sdrbee.InvalidRequest, "leave `type` 'canny' out")
    repaints = saved(sd3_controlnet(**REPAINTS), tmp_path / "repaints")
    refused(repaints, sdrbee.InvalidRequest, r"repaints; expected `type` 'inpaint'")


def test_damaged_files_are_told(refused: Refused, tmp_path: Path) -> None:
    net = sd3_controlnet()
    whole = single_file(net, tmp_path / "whole.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(whole.read_bytes()[:-9])
    refused(tmp_path / "cut.safetensors", sdrbee.CheckpointError, "cut.safetensors")
    state = net.state_dict()
    del state["controlnet_blocks.1.bias"]
    save_file(state, tmp_path / "less.safetensors")
    refused(tmp_path / "less.safetensors", sdrbee.CheckpointError, r"controlnet_blocks\.1\.bias")
    unknown = {"weights.0": torch.zeros(3)}
    save_file(unknown, tmp_path / "unknown.safetensors")
    refused(tmp_path / "unknown.safetensors", sdrbee.UnsupportedModel, "take its folder")
    two = saved(sd3_controlnet(extra_conditioning_channels=2), tmp_path / "two")
    refused(two, sdrbee.UnsupportedModel, "extra_conditioning_channels")


def test_a_picture_that_is_too_large_is_told(pair: Sd3Pair, tmp_path: Path) -> None:
    folder = saved(sd3_controlnet(pos_embed_max_size=6), tmp_path / "net")
    control = {"model": folder, "image": edges()}
    with pytest.raises(sdrbee.InvalidRequest, match=r"at most 24 pixels on a side .* 32x24"):
        pair.model.generate(PROMPT, steps=1, controls=[control], **SIZE)


def test_pictures_share_their_steps_and_go_on_from_a_file(pair: Sd3Pair, tmp_path: Path) -> None:
    model = pair.model
    folder = saved(sd3_controlnet(), tmp_path / "net")

    def request(seed: int, **options: Any) -> sdrbee.GenerationRequest:
        control = {"model": folder, "image": edges(seed), **options}
        return sdrbee.GenerationRequest(
            prompt=PROMPT, seed=seed, steps=STEPS, output="latent", controls=[control], **SIZE
        )

    requests = [request(1), request(2, strength=0.4, end=0.5), request(3, strength=0.0)]
    requests.append(request(4, guess_mode=True))
    check_shared_steps(model, requests)


def test_networks_keep_to_the_memory_limit(pair: Sd3Pair, tmp_path: Path) -> None:
    stability = sd3_controlnet(**SD3_NETS["stability"])
    path = single_file(stability, tmp_path / "depths.safetensors")
    control = {"model": path, "image": edges()}
    fields: dict[str, Any] = {"steps": 2, "seed": SEED, "controls": [control], **SIZE}
    free = pair.model.generate(PROMPT, **fields)
    largest = max(part.bytes for part in pair.model.memory.values())
    limited = sdrbee.load(pair.folder, device="cpu", dtype="fp32", memory_limit=largest)
    assert bytes(limited.generate(PROMPT, **fields)) == bytes(free)
    assert limited.memory["control depths.safetensors"].uses > 0
