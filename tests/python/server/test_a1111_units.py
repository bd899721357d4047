"""Units of A1111's ControlNet extension as controls of a request."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import save_file
from server.a1111_asking import edges, encoded

from sdrbee.hub.local import LocalModels, StoredModel
from sdrbee.server.a1111_controls import controls_of
from sdrbee.server.a1111_fields import Fields

MODES = {
    "numbers": [{"control_mode": 0}, {"control_mode": 1}, {"control_mode": 2}],
    "names": [
        {"control_mode": "Balanced"},
        {"control_mode": "My prompt is more important"},
        {"control_mode": "ControlNet is more important"},
    ],
    "older clients": [{}, {"control_mode": "My prompt is more important"}, {"guess_mode": True}],
}


@pytest.mark.parametrize("case", MODES)
def test_a_units_mode_is_that_of_a_control(case: str) -> None:
    modes = []
    for fields in MODES[case]:
        unit = {"model": "canny", "image": encoded(edges(8, 8)), **fields}
        body = {"alwayson_scripts": {"controlnet": {"args": [unit]}}}
        (control,) = controls_of(body, Fields(body))
        modes.append(control["mode"])
    assert modes == ["balanced", "prompt", "control"]


TYPES = {
    "OpenPose": "openpose",
    "Depth": "depth",
    "Soft Edge": "softedge",
    "Hard Edge": "canny",
    "Normal Map": "normal",
    "Segmentation": "segment",
    "Tile": "tile",
    "Inpaint": "repaint",
    "Unknown": None,
    None: None,
}


def test_a_units_type_is_for_networks_of_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDRBEE_HOME", str(tmp_path))
    tensors = {"controlnet_cond_embedding.conv_in.weight": torch.zeros(1)}
    store = LocalModels()
    for name, more in (("one", {}), ("union", {"task_embedding": torch.zeros(6, 1)})):
        file = tmp_path / f"{name}.safetensors"
        save_file(tensors | more, file)
        store.add(StoredModel(name, str(file), f"hf:me/{name}", kind="controlnet"))

    def type_of(name: str, told: str | None) -> Any:
        unit = {"model": name, "image": encoded(edges(8, 8)), "union_control_type": told}
        body = {"alwayson_scripts": {"controlnet": {"args": [unit]}}}
        (control,) = controls_of(body, Fields(body))
        return control.get("type")

    assert {told: type_of("union", told) for told in TYPES} == TYPES
    assert {type_of(name, told) for name in ("one", "unknown") for told in TYPES} == {None}


def test_a_unit_may_repaint_the_source() -> None:
    unit = {"model": "canny", "module": "inpaint_only", "resize_mode": 1}
    body = {"init_images": [encoded(edges())], "width": 64, "height": 128}
    body |= {"alwayson_scripts": {"controlnet": {"args": [unit]}}}
    (control,) = controls_of(body, Fields(body))
    assert (control["name"], control["type"]) == ("canny", "inpaint")
    shown = PIL.Image.open(io.BytesIO(base64.b64decode(control["image"])))
    assert np.array_equal(np.asarray(shown), edges())
