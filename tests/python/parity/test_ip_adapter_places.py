"""Several pictures for one IP-Adapter, masks of where they act, and strengths by block."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from parity.controls import controlnet, edges, saved
from parity.ip_adapters import compare_prompted, ip_adapter, picture_encoder, with_encoder
from parity.pair import PROMPT, SEED
from parity.pictures import HEIGHT, WIDTH
from parity.unet_families import OpenVariant

import sdrbee
from sdrbee._native import max_control_pictures
from sdrbee.hub.local import LocalModels, StoredModel

SIZE = {"width": WIDTH, "height": HEIGHT}
TWO = [edges(7, 61, 43), edges(9, 32, 50)]
KINDS = pytest.mark.parametrize("kind", ["v1-5", "xl"])
VARIANTS = pytest.mark.parametrize("variant", ["base", "plus"])
# A side of one attention and a block of two; the middle has none.
STYLE = {"down": 0.6, "up": {"block_0": [0.0, 1.4]}}


def grey(seed: int, width: int = WIDTH, height: int = HEIGHT) -> npt.NDArray[np.uint8]:
    """A mask of smooth shapes, so that it survives being resized."""
    rows, columns = np.mgrid[0:height, 0:width]
    waves = np.sin(rows / 4 + seed) + np.cos(columns / 5 - seed)
    levels: npt.NDArray[np.uint8] = np.uint8(127 + 60 * waves)
    return levels


MASKS = [grey(1), grey(2, 40, 17)]
pytestmark = pytest.mark.filterwarnings("ignore:.*was stretched to")


@pytest.mark.parametrize("masks", [[], MASKS], ids=["images", "masks"])
@VARIANTS
@KINDS
def test_several_pictures_and_where_they_act_equal_diffusers(
    open_variant: OpenVariant,
    tmp_path: Path,
    kind: str,
    variant: str,
    masks: list[npt.NDArray[np.uint8]],
    record_parity: Callable[..., None],
) -> None:
    pair = open_variant(kind)
    encoder = picture_encoder()
    path = ip_adapter(pair, with_encoder(tmp_path, encoder) / "ip.safetensors", variant)
    adapter = {"model": path, "images": TWO, "strength": 0.8}
    if masks:
        adapter["masks"] = masks
    difference = compare_prompted(pair, kind, "text_to_image", encoder, [adapter])
    name = f"{kind}+ip-adapter-{variant}-{'masks' if masks else 'images'}"
    record_parity(name, "text_to_image", pixels=difference)


def test_a_mask_of_other_proportions_is_told(open_variant: OpenVariant, tmp_path: Path) -> None:
    pair = open_variant("v1-5")
    folder = with_encoder(tmp_path, picture_encoder())
    path = ip_adapter(pair, folder / "ip.safetensors", "base")
    adapter = {"model": path, "images": TWO, "masks": MASKS}
    told = r"\[controls\[0\].masks\[1\]\] 40x17 was stretched to 32x24"
    with pytest.warns(UserWarning, match=told):
        pair.model.generate(PROMPT, steps=1, ip_adapters=[adapter], **SIZE)


@pytest.mark.parametrize("mode", ["image_to_image", "inpaint"])
def test_one_of_several_adapters_may_have_a_mask(
    open_variant: OpenVariant, tmp_path: Path, mode: str
) -> None:
    pair = open_variant("v1-5")
    encoder = picture_encoder()
    folder = with_encoder(tmp_path, encoder)
    base = ip_adapter(pair, folder / "base.safetensors", "base")
    plus = ip_adapter(pair, folder / "plus.safetensors", "plus", seed=8)
    adapters = [
        {"model": base, "image": TWO[0], "mask": MASKS[0], "strength": 0.6},
        {"model": plus, "images": TWO},
    ]
    compare_prompted(pair, "v1-5", mode, encoder, adapters)


@pytest.mark.parametrize("blocks", [STYLE, {"mid": [0.7], "up": 1.0}, {"up": [1.0, -0.5]}])
@KINDS
def test_strengths_by_block_equal_diffusers(
    open_variant: OpenVariant,
    tmp_path: Path,
    kind: str,
    blocks: Any,
    record_parity: Callable[..., None],
) -> None:
    pair = open_variant(kind)
    encoder = picture_encoder()
    path = ip_adapter(pair, with_encoder(tmp_path, encoder) / "ip.safetensors", "base")
    adapter = {"model": path, "image": TWO[0], "strength": 0.8, "blocks": blocks}
    difference = compare_prompted(pair, kind, "text_to_image", encoder, [adapter])
    record_parity(f"{kind}+ip-adapter-blocks", "text_to_image", pixels=difference)


def test_each_picture_has_a_strength_of_its_own_where_each_is_an_adapter(
    open_variant: OpenVariant, tmp_path: Path
) -> None:
    pair = open_variant("v1-5")
    folder = with_encoder(tmp_path, picture_encoder())
    path = ip_adapter(pair, folder / "ip.safetensors", "base")

    def made(*adapters: dict[str, Any]) -> Any:
        return np.asarray(
            pair.model.generate(
                PROMPT,
                seed=SEED,
                steps=2,
                output="float",
                ip_adapters=[{"model": path, **adapter} for adapter in adapters],
                **SIZE,
            )
        )

    apart = [{"image": one, "mask": mask} for one, mask in zip(TWO, MASKS, strict=True)]
    together = made({"images": TWO, "masks": MASKS, "strength": 0.5})
    np.testing.assert_allclose(
        made(*({**one, "strength": 0.5} for one in apart)), together, atol=1e-5
    )
    assert np.abs(made(apart[0], {**apart[1], "strength": 0.5}) - together).max() > 1e-3


def test_batches_and_checkpoints_keep_them(open_variant: OpenVariant, tmp_path: Path) -> None:
    pair = open_variant("xl")
    folder = with_encoder(tmp_path, picture_encoder())
    path = ip_adapter(pair, folder / "ip.safetensors", "base")

    def request(seed: int, **options: Any) -> sdrbee.GenerationRequest:
        return sdrbee.GenerationRequest(
            ip_adapters=[{"model": path, **options}],
            prompt=PROMPT,
            seed=seed,
            steps=3,
            output="float",
            **SIZE,
        )

    requests = [
        request(1, images=TWO, masks=MASKS, blocks=STYLE),
        request(2, images=TWO[::-1], masks=MASKS, end=0.5),
        request(3, images=TWO),
        request(4, image=TWO[0], blocks={"mid": 1.0}),
        request(5, image=TWO[1]),
    ]
    alone = [pair.model.generate_batch([one])[0] for one in requests]
    for one, other in zip(alone, pair.model.generate_batch(requests), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    for one, picture in zip(requests, alone, strict=True):
        halfway = pair.model.begin(one)
        pair.model.advance(halfway)
        resumed = pair.model.restore(pair.model.save(halfway))
        while not resumed.done:
            pair.model.advance(resumed)
        assert np.array_equal(pair.model.finish(resumed), picture)
        assert one.replace(controls=one.controls) == one


def test_a_recipe_wants_the_same_pictures_and_masks(
    open_variant: OpenVariant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = open_variant("v1-5")
    monkeypatch.setenv("SDRBEE_HOME", str(tmp_path / "home"))
    folder = tmp_path / "face"
    with_encoder(folder, picture_encoder())
    ip_adapter(pair, folder / "ip.safetensors", "base")
    LocalModels().add(StoredModel("face", str(folder), "hf:me/face", kind="controlnet"))
    adapter = {"model": "face", "images": TWO, "masks": MASKS, "blocks": STYLE}
    single = {"model": "face", "image": edges(), "strength": 0.5}
    made = pair.model.generate(PROMPT, steps=1, seed=SEED, ip_adapters=[adapter, single], **SIZE)
    made.save(tmp_path / "out.png")

    def replayed(*controls: Any) -> bytes:
        return bytes(sdrbee.replay(tmp_path / "out.png", model=pair.model, controls=controls))

    assert replayed(*TWO, *MASKS, edges()) == bytes(made)
    assert replayed(adapter, edges()) == bytes(made)
    assert replayed(adapter, single) == bytes(made)
    for controls, told in (
        ((*TWO, *MASKS), r"\[controls\] the recipe used 5 pictures but got 4"),
        ((*TWO[::-1], *MASKS, edges()), r"\[controls\[0\].images\[0\]\] expected the picture"),
        ((*TWO, *MASKS[::-1], edges()), r"\[controls\[0\].masks\[0\]\] expected the picture"),
        ((*TWO, *MASKS, edges(1)), r"\[controls\[1\].image\] expected the picture"),
    ):
        with pytest.raises(sdrbee.InvalidRequest, match=told):
            replayed(*controls)


BAD_PICTURES: list[tuple[dict[str, Any], str]] = [
    ({}, r"ip_adapters\[0\].image\] is missing"),
    ({"images": []}, r"ip_adapters\[0\].image\] is missing"),
    ({"image": TWO[0], "images": TWO}, r"images\] expected `image` or `images` but got both"),
    ({"images": [TWO[0], b"no"]}, r"\[ip_adapters\[0\].images\[1\]"),
    ({"images": [TWO[0]] * (max_control_pictures() + 1)}, r"images\] expected at most 16 pictures"),
    ({"images": TWO, "mask": MASKS[0]}, r"masks\] expected one for each picture, 2, but got 1"),
    ({"image": TWO[0], "blocks": {}}, r"blocks\] expected factors by block but got none"),
    ({"image": TWO[0], "blocks": {"up": []}}, r"blocks.up\] expected numbers but got none"),
    ({"image": TWO[0], "blocks": {"up": float("nan")}}, r"blocks.up\] expected -10 to 10"),
    (
        {"image": TWO[0], "blocks": {"down": {"block_0": 1.0}}},
        r"that have attentions, down.block_1, mid, up.block_0, but got 'down.block_0'",
    ),
    ({"image": TWO[0], "blocks": {"left": 1.0}}, r"but got 'left'"),
    (
        {"image": TWO[0], "blocks": {"up": {"block_0": [1.0, 0.0, 1.0]}}},
        r"expected 1 or 2 factors in `blocks` for 'up.block_0' but 'up.block_0' has 3",
    ),
]


@pytest.mark.parametrize(("fields", "told"), BAD_PICTURES)
def test_what_is_wrong_is_told(
    open_variant: OpenVariant, tmp_path: Path, fields: dict[str, Any], told: str
) -> None:
    pair = open_variant("v1-5")
    folder = with_encoder(tmp_path, picture_encoder())
    path = ip_adapter(pair, folder / "ip.safetensors", "base")
    with pytest.raises(sdrbee.InvalidRequest, match=told):
        pair.model.generate(PROMPT, steps=1, ip_adapters=[{"model": path, **fields}], **SIZE)


@pytest.mark.parametrize(
    "fields", [{"images": 5}, {"images": "a.png"}, {"blocks": [1.0]}, {"blocks": {"up": "1"}}]
)
def test_values_of_other_types_are_named(tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=rf"\[ip_adapters\[0\].{next(iter(fields))}"):
        sdrbee.GenerationRequest(prompt="x", ip_adapters=[{"model": tmp_path, **fields}])


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"images": TWO}, r"\[controls\[0\]\] expected one picture and no mask but got 2 and 0"),
        ({"image": TWO[0], "mask": MASKS[0]}, "but got 1 and 1: these are for IP-Adapters"),
        ({"image": TWO[0], "blocks": STYLE}, "`blocks` are for IP-Adapters"),
    ],
)
def test_a_controlnet_takes_none_of_them(
    open_variant: OpenVariant, tmp_path: Path, fields: dict[str, Any], told: str
) -> None:
    pair = open_variant("v1-5")
    net = saved(controlnet(pair), tmp_path / "net")
    with pytest.raises(sdrbee.InvalidRequest, match=told):
        pair.model.generate(PROMPT, steps=1, controls=[{"model": net, **fields}], **SIZE)
