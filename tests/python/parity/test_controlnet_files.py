"""Where ControlNets come from: folders, files of all namings, and the local store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from parity.controls import controlnet, edges, original_file, saved, single_file
from parity.pair import PROMPT, SEED
from parity.pictures import HEIGHT, WIDTH
from parity.unet_families import OpenVariant
from safetensors.torch import save_file

import sdrbee
from sdrbee.hub.local import LocalModels, StoredModel

SIZE = {"width": WIDTH, "height": HEIGHT}


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
