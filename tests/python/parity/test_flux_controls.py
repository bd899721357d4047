"""ControlNets beside FLUX.1: InstantX', union and XLabs'."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from parity.controls import edges, saved, single_file
from parity.flow_controls import (
    FLUX_NETS,
    FLUX_SIZE,
    STEPS,
    UNION,
    XLABS,
    check_flux,
    flux_controlnet,
    flux_pair,
    xlabs_file,
)
from parity.flux_family import FluxPair
from parity.pair import NEGATIVE_PROMPT, PROMPT, SEED
from safetensors.torch import save_file

import sdrbee

SIZE = {"width": FLUX_SIZE[0], "height": FLUX_SIZE[1]}
SHOWN = edges(5, *FLUX_SIZE)
OpenFlux = Callable[[str], FluxPair]


@pytest.fixture(scope="module")
def open_flux(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> OpenFlux:
    """Opens a variant, once a module."""
    pairs: dict[str, FluxPair] = {}

    def open_kind(name: str) -> FluxPair:
        if name not in pairs:
            folder = tmp_path_factory.mktemp("flux_controls") / name
            pairs[name] = flux_pair(folder, name, pytestconfig.getoption("--parity-device"))
        return pairs[name]

    return open_kind


@pytest.fixture
def pair(open_flux: OpenFlux) -> FluxPair:
    return open_flux("flux-dev")


MODES = ["text_to_image", "image_to_image", "inpaint"]
CASES = [("instantx", mode) for mode in MODES] + [("xlabs", mode) for mode in MODES]
CASES += [(kind, "text_to_image") for kind in FLUX_NETS if kind not in ("instantx", "xlabs")]


@pytest.mark.parametrize(("kind", "mode"), CASES)
def test_a_controlled_mode_equals_diffusers(
    pair: FluxPair, tmp_path: Path, kind: str, mode: str, record_parity: Callable[..., None]
) -> None:
    net = flux_controlnet(**FLUX_NETS[kind])
    controls = [{"model": saved(net, tmp_path / "net"), "image": SHOWN, "strength": 0.8}]
    difference = check_flux(pair, mode, net, controls)
    record_parity(f"flux+controlnet {kind}", mode, pixels=difference)


SEVERAL: list[dict[str, Any]] = [
    {"strength": 0.7},
    {"strength": 1.3, "start": 0.3},
    {"strength": -0.5, "start": 0.25, "end": 0.8},
]


@pytest.mark.parametrize("mode", ["text_to_image", "image_to_image"])
def test_several_at_once_each_in_its_part_of_the_steps(
    pair: FluxPair, tmp_path: Path, mode: str
) -> None:
    nets = [flux_controlnet(seed) for seed in (3, 4, 6)]
    controls = [
        {"model": saved(net, tmp_path / str(i)), "image": edges(i, *FLUX_SIZE), **SEVERAL[i]}
        for i, net in enumerate(nets)
    ]
    theirs = {"control_mode": [None] * len(nets)}
    check_flux(pair, mode, nets, controls, theirs=theirs)


@pytest.mark.parametrize(("control_type", "index"), [("canny", 0), ("pose", 4), ("lq", 6)])
def test_a_network_of_several_types(
    pair: FluxPair, tmp_path: Path, control_type: str, index: int
) -> None:
    net = flux_controlnet(**UNION)
    control = {"model": saved(net, tmp_path / "net"), "image": SHOWN, "type": control_type}
    theirs = {"control_mode": index}
    check_flux(pair, "text_to_image", net, [control], theirs=theirs)


def test_one_network_follows_pictures_of_several_types_at_once(
    pair: FluxPair, tmp_path: Path
) -> None:
    net = flux_controlnet(**UNION)
    folder = saved(net, tmp_path / "net")
    controls = [
        {"model": folder, "image": edges(i, *FLUX_SIZE), "type": name, "strength": 0.6}
        for i, name in enumerate(("depth", "blur"))
    ]
    several = diffusers.FluxMultiControlNetModel([net])
    check_flux(pair, "text_to_image", several, controls, theirs={"control_mode": [2, 3]})


@pytest.mark.parametrize("kind", ["instantx", "xlabs"])
def test_true_guidance_takes_the_residuals_of_the_prompt(
    pair: FluxPair, tmp_path: Path, kind: str
) -> None:
    net = flux_controlnet(**FLUX_NETS[kind])
    controls = [{"model": saved(net, tmp_path / "net"), "image": SHOWN, "end": 0.8}]
    check_flux(
        pair,
        "text_to_image",
        net,
        controls,
        negative_prompt=NEGATIVE_PROMPT,
        ours={"true_guidance_scale": 2.5},
        theirs={"true_cfg_scale": 2.5},
    )


@pytest.mark.parametrize("guidance", [True, False])
def test_beside_schnell(open_flux: OpenFlux, tmp_path: Path, guidance: bool) -> None:
    """A network with guidance is given the usual one beside a model that takes none."""
    net = flux_controlnet(guidance_embeds=guidance)
    controls = [{"model": saved(net, tmp_path / "net"), "image": SHOWN}]
    theirs = {"guidance_scale": 3.5}
    check_flux(open_flux("flux-schnell"), "text_to_image", net, controls, theirs=theirs)


def picture(pair: FluxPair, path: Path, **options: Any) -> bytes:
    control = {"model": path, "image": SHOWN, "strength": 0.9, **options}
    return bytes(pair.model.generate(PROMPT, steps=2, seed=SEED, controls=[control], **SIZE))


@pytest.mark.parametrize("kind", [*FLUX_NETS, "union"])
def test_a_lone_file_gives_the_picture_of_its_folder(
    pair: FluxPair, tmp_path: Path, kind: str
) -> None:
    net = flux_controlnet(**(FLUX_NETS | {"union": UNION})[kind])
    options = {"type": "gray"} if kind == "union" else {}
    from_folder = picture(pair, saved(net, tmp_path / "net"), **options)
    lone = single_file(net, tmp_path / "net.safetensors")
    assert picture(pair, lone, **options) == from_folder
    if kind == "xlabs":
        assert picture(pair, xlabs_file(net, tmp_path / "xlabs.safetensors")) == from_folder
    assert picture(pair, lone, **options, end=0.0) != from_folder


def test_what_does_not_fit_is_told(pair: FluxPair, tmp_path: Path) -> None:
    def refused(path: Path, kind: type[Exception], pattern: str, **options: Any) -> None:
        with pytest.raises(kind, match=pattern):
            picture(pair, path, **options)

    wide = flux_controlnet(num_attention_heads=3)
    for path in (saved(wide, tmp_path / "wide"), single_file(wide, tmp_path / "wide.safetensors")):
        refused(path, sdrbee.InvalidRequest, r"of 32 channels .* is for .* of 48 channels")
    union = saved(flux_controlnet(**UNION), tmp_path / "union")
    refused(union, sdrbee.InvalidRequest, r"expected a `type` of 'canny', .* but got ''")
    refused(union, sdrbee.InvalidRequest, r"but got 'normal'", type="normal")
    plain = saved(flux_controlnet(), tmp_path / "plain")
    refused(plain, sdrbee.InvalidRequest, r"leave `type` 'canny' out", type="canny")
    state = flux_controlnet(**XLABS).state_dict()
    del state["input_hint_block.blocks.3.weight"]
    save_file(state, tmp_path / "less.safetensors")
    refused(tmp_path / "less.safetensors", sdrbee.CheckpointError, r"blocks\.3\.weight")
    hints = saved(flux_controlnet(**XLABS | {"patch_size": 1}), tmp_path / "hints")
    refused(hints, sdrbee.UnsupportedModel, "patch_size")


def test_a_variant_that_is_shown_other_pictures_takes_none(
    open_flux: OpenFlux, tmp_path: Path
) -> None:
    model = open_flux("flux-fill").model
    assert not model.info.capabilities.controlnet
    control = {"model": saved(flux_controlnet(), tmp_path / "net"), "image": SHOWN}
    mask = np.full(FLUX_SIZE[::-1], 255, np.uint8)
    with pytest.raises(sdrbee.InvalidRequest, match="takes no control networks"):
        model.generate(PROMPT, image=SHOWN, mask=mask, steps=1, controls=[control])


def test_pictures_share_their_steps_and_go_on_from_a_file(pair: FluxPair, tmp_path: Path) -> None:
    """Also with two rows each, and in a second pass, whose pictures are drawn anew."""
    model = pair.model
    folder = saved(flux_controlnet(), tmp_path / "net")

    def request(seed: int, **options: Any) -> sdrbee.GenerationRequest:
        fields: dict[str, Any] = {"steps": STEPS, "output": "latent", **SIZE}
        if "true_guidance_scale" in options:
            fields["true_guidance_scale"] = options.pop("true_guidance_scale")
            fields["negative_prompt"] = NEGATIVE_PROMPT
        if "hires_scale" in options:
            fields["hires_scale"] = options.pop("hires_scale")
        control = {"model": folder, "image": edges(seed, *FLUX_SIZE), **options}
        return sdrbee.GenerationRequest(prompt=PROMPT, seed=seed, controls=[control], **fields)

    requests = [
        request(1),
        request(2, strength=0.4, end=0.5, true_guidance_scale=2.0),
        request(3, strength=0.0),
        request(4, guess_mode=True, true_guidance_scale=2.0),
    ]
    for one, made in zip(requests, model.generate_batch(requests), strict=True):
        np.testing.assert_allclose(model.generate_batch([one])[0], made, atol=1e-4)
    second = request(5, hires_scale=2.0)
    whole = model.generate_batch([second])[0]
    halfway = model.begin(second)
    while not halfway.done:
        model.advance(halfway)
        halfway = model.restore(model.save(halfway))
    assert np.array_equal(model.finish(halfway), whole)


def test_networks_keep_to_the_memory_limit(pair: FluxPair, tmp_path: Path) -> None:
    path = single_file(flux_controlnet(**XLABS), tmp_path / "depths.safetensors")
    fields: dict[str, Any] = {"steps": 2, "seed": SEED, **SIZE}
    fields["controls"] = [{"model": path, "image": SHOWN}]
    free = pair.model.generate(PROMPT, **fields)
    largest = max(part.bytes for part in pair.model.memory.values())
    limited = sdrbee.load(pair.folder, device="cpu", dtype="fp32", memory_limit=largest)
    assert bytes(limited.generate(PROMPT, **fields)) == bytes(free)
    assert limited.memory["control depths.safetensors"].uses > 0


def test_unknown_tensors_are_told(pair: FluxPair, tmp_path: Path) -> None:
    save_file({"x": torch.zeros(2)}, tmp_path / "x.safetensors")
    with pytest.raises(sdrbee.UnsupportedModel, match="take its folder"):
        picture(pair, tmp_path / "x.safetensors")
