"""The modes of A1111's ControlNet extension, beside networks that do its sums in diffusers.

https://github.com/Mikubill/sd-webui-controlnet/blob/main/scripts/hook.py, `soft_injection` and
`cfg_injection`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from parity.adapters import ADAPTED, adapter, compare_adapted
from parity.controls import check_shared_steps, compare_controlled, controlnet, edges, saved
from parity.flow_controls import (
    FLUX_SIZE,
    flux_controlnet,
    flux_pair,
    sd3_controlnet,
    sd3_pair,
)
from parity.ip_adapters import ip_adapter, picture_encoder, with_encoder
from parity.pair import PROMPT, SEED
from parity.pictures import HEIGHT, WIDTH
from parity.unet_families import KINDS, OpenVariant, VariantPair

import sdrbee

SIZE = {"width": WIDTH, "height": HEIGHT}
SKIPS = {"v1-5": 12, "xl": 9}  # of the published models
FACTORS = [0.825 ** (12 - layer) for layer in range(13)]
FEATURE_FACTORS = [0.25, 0.62, 0.825, 1.0]

Open = Callable[[str], VariantPair]


@pytest.fixture(scope="module")
def open_deep(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Open:
    """Models with as many skip connections as the published ones."""
    kinds = {
        "v1-5": replace(KINDS["v1-5"], modes=("text_to_image",), unet={"layers_per_block": 5}),
        "xl": replace(ADAPTED["xl"], unet=ADAPTED["xl"].unet | {"layers_per_block": 2}),
    }
    pairs: dict[str, VariantPair] = {}

    def open_kind(kind: str) -> VariantPair:
        if kind not in pairs:
            folder = tmp_path_factory.mktemp("deep") / kind
            pairs[kind] = VariantPair(
                folder, kinds[kind], pytestconfig.getoption("--parity-device")
            )
        return pairs[kind]

    return open_kind


def soften(net: Any, skips: int) -> None:
    """Makes a ControlNet of diffusers do the extension's sums, in guess mode too."""
    forward = net.forward

    def soft(*args: Any, guess_mode: bool, return_dict: bool, **more: Any) -> Any:
        layers, middle = forward(*args, guess_mode=False, return_dict=False, **more)
        assert len(layers) == skips
        factors = FACTORS[: skips + 1]
        weakened = [one * factor for one, factor in zip(layers, factors, strict=False)]
        return weakened, middle * factors[-1]

    net.forward = soft


def soften_adapter(net: Any) -> None:
    forward = net.forward

    def soft(*args: Any) -> Any:
        features = forward(*args)
        return [
            feature * factor for feature, factor in zip(features, FEATURE_FACTORS, strict=False)
        ]

    net.forward = soft


@pytest.mark.parametrize("kind", SKIPS)
@pytest.mark.parametrize("mode", ["prompt", "control"])
def test_layers_give_way_as_in_the_extension(
    open_deep: Open,
    tmp_path: Path,
    kind: str,
    mode: str,
    record_parity: Callable[..., None],
) -> None:
    pair = open_deep(kind)
    net = controlnet(pair)
    control = {"model": saved(net, tmp_path / "net"), "image": edges(), "strength": 2.0}
    soften(net, SKIPS[kind])
    # Mode "control" is given to diffusers as guess mode, of which the pipeline's part stays: it
    # leaves the negative prompt's row alone.
    controls = [{**control, "mode": mode}]
    difference = compare_controlled(pair, kind, "text_to_image", net, controls)
    record_parity(f"{kind}+controlnet, mode {mode}", "text_to_image", pixels=difference)


@pytest.mark.parametrize(
    ("kind", "adapter_type"), [("v1-5", "full_adapter"), ("xl", "full_adapter_xl")]
)
def test_features_of_an_adapter_give_way(
    tmp_path: Path,
    pytestconfig: pytest.Config,
    kind: str,
    adapter_type: str,
) -> None:
    pair = VariantPair(tmp_path / kind, ADAPTED[kind], pytestconfig.getoption("--parity-device"))
    net = adapter(adapter_type)
    control = {"model": saved(net, tmp_path / "net"), "image": edges(), "mode": "prompt"}
    soften_adapter(net)
    compare_adapted(pair, kind, [net], [control])


def test_pictures_of_several_modes_share_their_steps(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    """And one goes on from a file with the same bits."""
    model = open_variant("v1-5").model
    folder = saved(controlnet(open_variant("v1-5")), tmp_path / "net")

    def request(seed: int, **options: Any) -> sdrbee.GenerationRequest:
        control = {"model": folder, "image": edges(seed), **options}
        return sdrbee.GenerationRequest(
            prompt=PROMPT, seed=seed, steps=3, output="float", controls=[control], **SIZE
        )

    requests = [
        request(1, mode="prompt"),
        request(2, mode="control"),
        request(3, guess_mode=True),
        request(4, mode="balanced"),
    ]
    check_shared_steps(model, requests)


WORDS = {
    "balanced": "Balanced",
    "prompt": "My prompt is more important",
    "control": "ControlNet is more important",
}


@pytest.mark.parametrize("mode", WORDS)
def test_the_recipe_and_the_infotext_tell_the_mode(
    open_variant: OpenVariant, tmp_path: Path, mode: str
) -> None:
    pair = open_variant("v1-5")
    folder = saved(controlnet(pair), tmp_path / "net")
    control = {"model": folder, "image": edges(), "mode": mode}
    made = pair.model.generate(PROMPT, steps=2, seed=SEED, controls=[control], **SIZE)
    made.save(tmp_path / "out.png")
    text = PIL.Image.open(tmp_path / "out.png").text["parameters"]  # type: ignore[attr-defined]
    assert f', Control Mode: {WORDS[mode]}"' in text
    again = sdrbee.replay(tmp_path / "out.png", model=pair.model, controls=[edges()])
    assert bytes(again) == bytes(made)


def test_other_modes_are_refused(open_variant: OpenVariant, tmp_path: Path) -> None:
    pair = open_variant("v1-5")
    control = {"model": saved(controlnet(pair), tmp_path / "net"), "image": edges()}
    for options, told in (
        ({"mode": "soft"}, r"\[controls\[0\].mode\] expected one of 'balanced', 'prompt'"),
        ({"mode": "prompt", "guess_mode": True}, r"\[controls\[0\].guess_mode\] expected False"),
    ):
        with pytest.raises(sdrbee.InvalidRequest, match=told):
            pair.model.generate(PROMPT, steps=1, controls=[{**control, **options}], **SIZE)


def test_networks_without_layers_of_a_unet_have_no_modes(
    open_variant: OpenVariant, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    device = pytestconfig.getoption("--parity-device")
    unet = open_variant("v1-5")
    face = ip_adapter(unet, with_encoder(tmp_path, picture_encoder()) / "ip.safetensors", "base")
    sd3, flux = sd3_pair(tmp_path / "sd3", device), flux_pair(tmp_path / "flux", "flux-dev", device)
    asked: list[tuple[sdrbee.Model, Path, tuple[int, int]]] = [
        (unet.model, face, (WIDTH, HEIGHT)),
        (sd3.model, saved(sd3_controlnet(), tmp_path / "sd3net"), (WIDTH, HEIGHT)),
        (flux.model, saved(flux_controlnet(), tmp_path / "fluxnet"), FLUX_SIZE),
    ]
    for model, path, (width, height) in asked:
        shown = {"model": path, "image": edges(1, width, height), "mode": "prompt"}
        with pytest.raises(sdrbee.InvalidRequest, match=r"controls\[0\].mode\] .* this is none"):
            model.generate(PROMPT, steps=1, width=width, height=height, controls=[shown])
