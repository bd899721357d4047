"""Every kind of control network beside every family: the wrong ones are told whose they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parity.controls import controlnet, edges, saved, single_file
from parity.flow_controls import (
    XLABS,
    flux_controlnet,
    flux_pair,
    sd3_controlnet,
    sd3_pair,
    xlabs_file,
)
from parity.pair import PROMPT
from parity.unet_families import OpenVariant

import sdrbee

UNETS = r"for Stable Diffusion 1\.x, 2\.x or XL"
SD3 = r"for Stable Diffusion 3 and 3\.5"
FLUX = r"for FLUX\.1"
OpenModel = Callable[[str], sdrbee.Model]


@pytest.fixture(scope="module")
def open_model(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config, open_variant: OpenVariant
) -> OpenModel:
    """Opens a model of a family, once."""
    device = pytestconfig.getoption("--parity-device")
    models: dict[str, sdrbee.Model] = {}

    def make(family: str) -> sdrbee.Model:
        folder = tmp_path_factory.mktemp("families") / family
        if family == "sd3":
            return sd3_pair(folder, device).model
        if family == "flux":
            return flux_pair(folder, "flux-dev", device).model
        return open_variant("v1-5").model

    def open_family(family: str) -> sdrbee.Model:
        if family not in models:
            models[family] = make(family)
        return models[family]

    return open_family


@pytest.fixture
def nets(tmp_path: Path, open_variant: OpenVariant) -> dict[str, tuple[list[Path], str]]:
    """Networks by the family that they are for, as folders and files, and what is said of them."""
    made: dict[str, tuple[Any, str]] = {
        "unet": (controlnet(open_variant("v1-5")), UNETS),
        "sd3": (sd3_controlnet(), SD3),
        "flux": (flux_controlnet(**XLABS), FLUX),
    }
    places = {
        name: (
            [saved(net, tmp_path / name), single_file(net, tmp_path / f"{name}.safetensors")],
            told,
        )
        for name, (net, told) in made.items()
    }
    places["flux"][0].append(xlabs_file(made["flux"][0], tmp_path / "xlabs.safetensors"))
    return places


@pytest.mark.parametrize("family", ["unet", "sd3", "flux"])
def test_a_network_of_another_family_is_told(
    open_model: OpenModel, nets: dict[str, tuple[list[Path], str]], family: str
) -> None:
    model = open_model(family)
    for name, (paths, told) in nets.items():
        for path in paths:
            fields: dict[str, Any] = {"steps": 1, "width": 48, "height": 32}
            fields["controls"] = [{"model": path, "image": edges(5, 48, 32)}]
            if name == family:
                model.generate(PROMPT, **fields)
                continue
            with pytest.raises(sdrbee.InvalidRequest, match=rf"but '.*{path.name}' is .* {told}"):
                model.generate(PROMPT, **fields)
