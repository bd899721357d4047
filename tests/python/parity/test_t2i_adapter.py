"""T2I-Adapters beside Stable Diffusion 1.5 and Stable Diffusion XL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parity.adapters import ADAPTED, adapter, compare_adapted, original_file
from parity.controls import controlnet, edges, saved, single_file
from parity.pair import PROMPT, SEED
from parity.pictures import HEIGHT, WIDTH
from parity.unet_families import OpenVariant, VariantPair

import sdrbee
from sdrbee.hub.local import LocalModels, StoredModel

SIZE = {"width": WIDTH, "height": HEIGHT}
Open = Callable[[str], VariantPair]
KINDS_OF_ADAPTERS = [("v1-5", "full_adapter"), ("v1-5", "light_adapter"), ("xl", "full_adapter_xl")]


@pytest.fixture(scope="module")
def open_adapted(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Open:
    pairs: dict[str, VariantPair] = {}

    def open_kind(kind: str) -> VariantPair:
        if kind not in pairs:
            folder = tmp_path_factory.mktemp("adapted") / kind
            device = pytestconfig.getoption("--parity-device")
            pairs[kind] = VariantPair(folder, ADAPTED[kind], device)
        return pairs[kind]

    return open_kind


@pytest.mark.parametrize(("kind", "adapter_type"), KINDS_OF_ADAPTERS)
@pytest.mark.parametrize("channels", [3, 1])
def test_adapters_equal_diffusers(
    open_adapted: Open,
    tmp_path: Path,
    kind: str,
    adapter_type: str,
    channels: int,
    record_parity: Callable[..., None],
) -> None:
    net = adapter(adapter_type, in_channels=channels)
    picture = edges()
    if channels == 1:
        picture = np.repeat(picture[:, :, :1], 3, axis=2)
    controls = [{"model": saved(net, tmp_path / "net"), "image": picture, "strength": 0.8}]
    difference = compare_adapted(open_adapted(kind), kind, [net], controls)
    record_parity(f"{kind}+{adapter_type}", "text_to_image", pixels=difference)


@pytest.mark.parametrize(("kind", "adapter_type"), KINDS_OF_ADAPTERS[::2])
def test_several_at_once(open_adapted: Open, tmp_path: Path, kind: str, adapter_type: str) -> None:
    nets = [adapter(adapter_type, seed) for seed in (3, 4)]
    controls = [
        {"model": saved(net, tmp_path / str(index)), "image": edges(index), "strength": strength}
        for index, (net, strength) in enumerate(zip(nets, (0.7, -0.4), strict=True))
    ]
    compare_adapted(open_adapted(kind), kind, nets, controls)


@pytest.mark.parametrize("factor", [0.5, 0.8])
def test_the_end_is_the_conditioning_factor(
    open_adapted: Open, tmp_path: Path, factor: float
) -> None:
    net = adapter("full_adapter_xl")
    control = {"model": saved(net, tmp_path / "net"), "image": edges(), "end": factor}
    compare_adapted(open_adapted("xl"), "xl", [net], [control], adapter_conditioning_factor=factor)


@pytest.mark.parametrize(("kind", "adapter_type"), KINDS_OF_ADAPTERS)
def test_files_of_both_namings_give_the_same_picture(
    open_adapted: Open, tmp_path: Path, kind: str, adapter_type: str
) -> None:
    model = open_adapted(kind).model
    net = adapter(adapter_type)
    places = [
        saved(net, tmp_path / "net"),
        single_file(net, tmp_path / "current.safetensors"),
        original_file(net, tmp_path / "original.safetensors"),
    ]
    pictures = [
        model.generate(
            PROMPT, steps=2, seed=SEED, controls=[{"model": place, "image": edges()}], **SIZE
        )
        for place in places
    ]
    assert bytes(pictures[0]) == bytes(pictures[1]) == bytes(pictures[2])
    assert bytes(model.generate(PROMPT, steps=2, seed=SEED, **SIZE)) != bytes(pictures[0])


def test_it_goes_with_a_controlnet_a_batch_and_a_checkpoint(
    open_adapted: Open, tmp_path: Path
) -> None:
    pair = open_adapted("v1-5")
    follows = {"model": saved(adapter("full_adapter"), tmp_path / "adapter"), "image": edges(1)}
    guides = {"model": saved(controlnet(pair), tmp_path / "net"), "image": edges(2)}

    def request(seed: int, *controls: dict[str, Any]) -> sdrbee.GenerationRequest:
        return sdrbee.GenerationRequest(
            prompt=PROMPT, seed=seed, steps=3, output="float", controls=controls, **SIZE
        )

    requests = [
        request(1, follows, guides),
        request(2, {**follows, "image": edges(3), "end": 0.5}, guides),
        request(3, follows, {**guides, "strength": 0.0}),
    ]
    alone = [pair.model.generate_batch([one])[0] for one in requests]
    for one, other in zip(alone, pair.model.generate_batch(requests), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert np.array_equal(pair.model.generate_batch([request(3, follows)])[0], alone[2])
    halfway = pair.model.begin(requests[1])
    pair.model.advance(halfway)
    resumed = pair.model.restore(pair.model.save(halfway))
    while not resumed.done:
        pair.model.advance(resumed)
    assert np.array_equal(pair.model.finish(resumed), alone[1])


def test_a_recipe_and_the_store_know_it(
    open_adapted: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = open_adapted("v1-5").model
    monkeypatch.setenv("SDRBEE_HOME", str(tmp_path / "home"))
    folder = saved(adapter("light_adapter"), tmp_path / "net")
    LocalModels().add(StoredModel("colours", str(folder), "hf:me/colours", kind="controlnet"))
    control = {"model": "colours", "image": edges()}
    made = model.generate(PROMPT, steps=1, seed=SEED, controls=[control], **SIZE)
    made.save(tmp_path / "out.png")
    again = sdrbee.replay(tmp_path / "out.png", model=model, controls=[edges()])
    assert bytes(again) == bytes(made)


def test_adapters_for_other_models_and_sizes_are_told(
    open_adapted: Open, open_variant: OpenVariant, tmp_path: Path
) -> None:
    def refused(kind: str, path: Path, pattern: str, **size: int) -> None:
        control = {"model": path, "image": edges()}
        with pytest.raises(sdrbee.InvalidRequest, match=pattern):
            open_adapted(kind).model.generate(PROMPT, steps=1, controls=[control], **SIZE | size)

    full, xl = adapter("full_adapter"), adapter("full_adapter_xl")
    other = "expected a T2I-Adapter for this model"
    refused("xl", saved(full, tmp_path / "full"), other + r".* cells of \[4, 4, 8\] pixels")
    refused("v1-5", saved(xl, tmp_path / "xl"), other)
    refused("xl", single_file(full, tmp_path / "full.safetensors"), other + ".* takes 12 values")
    refused("v1-5", single_file(xl, tmp_path / "xl.safetensors"), other)
    refused("xl", tmp_path / "xl", "sides are multiples of 4 but this one is of 30x24", width=30)
    control = {"model": tmp_path / "full", "image": edges(), "type": "canny"}
    with pytest.raises(sdrbee.InvalidRequest, match=r"leave `type` 'canny' out"):
        open_adapted("v1-5").model.generate(PROMPT, steps=1, controls=[control], **SIZE)
