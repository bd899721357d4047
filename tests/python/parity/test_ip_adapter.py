"""IP-Adapters beside Stable Diffusion 1.5 and Stable Diffusion XL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parity.controls import controlnet, edges, saved
from parity.ip_adapters import compare_prompted, ip_adapter, picture_encoder, with_encoder
from parity.pair import PROMPT, SEED
from parity.pictures import HEIGHT, WIDTH
from parity.unet_families import OpenVariant
from safetensors.torch import load_file, save_file

import sdrbee
from sdrbee.hub.local import LocalModels, StoredModel

SIZE = {"width": WIDTH, "height": HEIGHT}
MODES = ["text_to_image", "image_to_image", "inpaint"]


def described(path: Path, **options: Any) -> dict[str, Any]:
    return {"model": path, "image": edges(7, 61, 43), **options}


@pytest.mark.parametrize("variant", ["base", "plus"])
@pytest.mark.parametrize("kind", ["v1-5", "xl"])
def test_a_picture_as_a_prompt_equals_diffusers(
    open_variant: OpenVariant,
    tmp_path: Path,
    kind: str,
    variant: str,
    record_parity: Callable[..., None],
) -> None:
    pair = open_variant(kind)
    encoder = picture_encoder()
    path = ip_adapter(pair, with_encoder(tmp_path, encoder) / "ip.safetensors", variant)
    adapter = described(path, strength=0.7)
    for guidance_scale in (4.3, 1.0):
        difference = compare_prompted(
            pair, kind, "text_to_image", encoder, [adapter], guidance_scale=guidance_scale
        )
    record_parity(f"{kind}+ip-adapter-{variant}", "text_to_image", pixels=difference)


@pytest.mark.parametrize("mode", MODES[1:])
@pytest.mark.parametrize("kind", ["v1-5", "xl"])
def test_it_goes_with_a_source_and_a_mask(
    open_variant: OpenVariant, tmp_path: Path, kind: str, mode: str
) -> None:
    pair = open_variant(kind)
    encoder = picture_encoder()
    path = ip_adapter(pair, with_encoder(tmp_path, encoder) / "ip.safetensors", "base")
    compare_prompted(pair, kind, mode, encoder, [described(path)])


def test_several_at_once(open_variant: OpenVariant, tmp_path: Path) -> None:
    pair = open_variant("v1-5")
    encoder = picture_encoder()
    folder = with_encoder(tmp_path, encoder)
    base = described(ip_adapter(pair, folder / "base.safetensors", "base"), strength=0.6)
    plus = described(ip_adapter(pair, folder / "plus.safetensors", "plus", seed=8), strength=1.2)
    compare_prompted(
        pair, "v1-5", "text_to_image", encoder, [base, {**plus, "image": edges(9, 32, 50)}]
    )


def test_it_joins_controls_in_batches_and_checkpoints(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    pair = open_variant("xl")
    folder = with_encoder(tmp_path, picture_encoder())
    path = ip_adapter(pair, folder / "ip.safetensors", "base")
    guides = {"model": saved(controlnet(pair), tmp_path / "net"), "image": edges(2)}

    def request(seed: int, **options: Any) -> sdrbee.GenerationRequest:
        return sdrbee.GenerationRequest(
            ip_adapters=[described(path, **options)],
            controls=[guides],
            prompt=PROMPT,
            seed=seed,
            steps=3,
            output="float",
            **SIZE,
        )

    requests = [request(1), request(2, strength=0.5, end=0.5), request(3, strength=0.0)]
    alone = [pair.model.generate_batch([one])[0] for one in requests]
    for one, other in zip(alone, pair.model.generate_batch(requests), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    plain = requests[2].replace(controls=[guides])
    assert [control["model"] for control in requests[0].controls][1] == str(path.resolve())
    assert np.array_equal(pair.model.generate_batch([plain])[0], alone[2])
    assert not np.array_equal(pair.model.generate_batch([plain.replace(seed=1)])[0], alone[0])
    halfway = pair.model.begin(requests[1])
    pair.model.advance(halfway)
    resumed = pair.model.restore(pair.model.save(halfway))
    while not resumed.done:
        pair.model.advance(resumed)
    assert np.array_equal(pair.model.finish(resumed), alone[1])


def test_a_recipe_repeats_it_and_refuses_another_encoder(
    open_variant: OpenVariant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = open_variant("v1-5")
    monkeypatch.setenv("SDRBEE_HOME", str(tmp_path / "home"))
    folder = tmp_path / "face"
    with_encoder(folder, picture_encoder())
    ip_adapter(pair, folder / "ip.safetensors", "plus")
    LocalModels().add(StoredModel("face", str(folder), "hf:me/face", kind="controlnet"))
    adapter = {"model": "face", "image": edges(), "strength": 0.5}
    made = pair.model.generate(PROMPT, steps=1, seed=SEED, ip_adapters=[adapter], **SIZE)
    made.save(tmp_path / "out.png")
    again = sdrbee.replay(tmp_path / "out.png", model=pair.model, controls=[edges()])
    assert bytes(again) == bytes(made)
    with_encoder(folder, picture_encoder(seed=4))
    other = sdrbee.load(pair.folder, device="cpu", dtype="fp32")
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[recipe controls/0\] expected"):
        sdrbee.replay(tmp_path / "out.png", model=other, controls=[edges()])


def test_what_does_not_fit_is_told(open_variant: OpenVariant, tmp_path: Path) -> None:
    pair = open_variant("v1-5")

    def refused(path: Path, kind: type[Exception], pattern: str) -> None:
        with pytest.raises(kind, match=pattern):
            pair.model.generate(PROMPT, steps=1, ip_adapters=[described(path)], **SIZE)

    path = ip_adapter(pair, tmp_path / "ip.safetensors", "base")
    refused(path, sdrbee.CheckpointError, "gives 12 channels in a folder 'image_encoder' beside it")
    with_encoder(tmp_path, picture_encoder(projected=20))
    refused(path, sdrbee.CheckpointError, r"'.*image_encoder' gives 20")
    with_encoder(tmp_path, picture_encoder())
    refused(
        ip_adapter(open_variant("xl"), tmp_path / "xl.safetensors", "base"),
        sdrbee.InvalidRequest,
        "is an IP-Adapter for another kind of model",
    )
    tensors = load_file(path)
    face = {name.replace(".proj.", ".proj.0."): value for name, value in tensors.items()}
    save_file(face, tmp_path / "face.safetensors")
    refused(tmp_path / "face.safetensors", sdrbee.UnsupportedModel, "face models aren't supported")
    del tensors["ip_adapter.3.to_v_ip.weight"]
    save_file(tensors, tmp_path / "less.safetensors")
    refused(tmp_path / "less.safetensors", sdrbee.CheckpointError, r"ip_adapter.3.to_v_ip.weight")
    torch.save(tensors, tmp_path / "ip.bin")
    refused(tmp_path / "ip.bin", sdrbee.UnsupportedModel, r"ip\.safetensors")
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[ip_adapters\[0\].image\] is missing"):
        sdrbee.GenerationRequest(prompt="x", ip_adapters=[{"model": path}])
