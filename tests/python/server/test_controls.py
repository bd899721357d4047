"""ControlNets over HTTP: named in the worker's store, by all routes that have them."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
import torch
import webuiapi
from parity.controls import randomise
from parity.ip_adapters import adapter_for, picture_encoder, with_encoder
from server.a1111_asking import PROMPT, edges, encoded
from server.conftest import Served, serve

import sdrbee
from sdrbee.hub.local import LocalModels, StoredModel
from sdrbee.model_files import BUILTIN_FOLDER
from sdrbee.preprocess import preprocess
from sdrbee.server import a1111_modules
from sdrbee.server.a1111_modules import module_details, module_names, prepared
from sdrbee.server.errors import ApiError


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a random ControlNet for the built-in model, "canny"."""
    home: Path = tmp_path_factory.mktemp("home")
    torch.manual_seed(3)
    unet = diffusers.UNet2DConditionModel.from_pretrained(BUILTIN_FOLDER / "shapes" / "unet")
    net = diffusers.ControlNetModel.from_unet(unet, load_weights_from_unet=False)
    randomise(net, 3).save_pretrained(home / "net")  # type: ignore[operator]
    store = LocalModels(home / "models")
    store.add(StoredModel("canny", str(home / "net"), "hf:me/canny", kind="controlnet"))
    face = home / "face"
    with_encoder(face, picture_encoder())
    adapter_for(unet, face / "ip.safetensors", "base")
    store.add(StoredModel("face", str(face), "hf:me/face", kind="controlnet"))
    store.add(StoredModel("lines", str(home / "net"), "hf:me/lines", kind="lora"))
    return home


@pytest.fixture(scope="module")
def worker(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serve(tmp_path_factory.mktemp("worker"), "shapes", SDRBEE_HOME=str(home))


def expected(home: Path, ip_adapters: Any = None, **control: Any) -> npt.NDArray[np.uint8]:
    control = {"model": home / "net", "image": edges(), **control}
    image = sdrbee.load("shapes").generate(
        PROMPT, steps=2, seed=7, controls=[control], ip_adapters=ip_adapters
    )
    return np.asarray(image)


def made_by(worker: Served, **fields: Any) -> npt.NDArray[np.uint8]:
    job = worker.submit(PROMPT, steps=2, seed=7, **fields)
    end = worker.events(job)[-1]
    assert end["type"] == "complete", end
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(end["image"]))))


def test_a_control_is_found_by_its_name_in_the_store(worker: Served, home: Path) -> None:
    options = {"strength": 0.8, "end": 0.5, "mode": "prompt"}
    made = made_by(worker, controls=[{"name": "canny", "image": encoded(edges()), **options}])
    assert np.array_equal(made, expected(home, **options))
    assert not np.array_equal(made, made_by(worker))


def test_an_ip_adapter_is_asked_for_beside_a_control(worker: Served, home: Path) -> None:
    asked = {"image": encoded(edges()), "strength": 0.8}
    made = made_by(
        worker,
        controls=[{"name": "canny", **asked}],
        ip_adapters=[{"name": "face", **asked, "end": 0.5}],
    )
    adapter = {"model": home / "face", "image": edges(), "strength": 0.8, "end": 0.5}
    assert np.array_equal(made, expected(home, strength=0.8, ip_adapters=[adapter]))
    assert not np.array_equal(made, expected(home, strength=0.8))


def test_an_ip_adapter_has_pictures_masks_and_blocks(worker: Served, home: Path) -> None:
    pictures = [edges(), edges(64, 80)]
    masks = [np.uint8(np.tri(128) * 255), np.uint8(np.tri(128).T * 255)]
    asked = {"strength": 0.8, "blocks": {"up": 1.0, "mid": [0.5]}}
    coded = {"images": [*map(encoded, pictures)], "masks": [*map(encoded, masks)]}
    job = worker.submit(PROMPT, steps=2, seed=7, ip_adapters=[{"name": "face", **coded, **asked}])
    end = worker.events(job)[-1]
    assert end["type"] == "complete", end
    made = np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(end["image"]))))
    adapter = {"model": home / "face", "images": pictures, "masks": masks, **asked}
    alike = sdrbee.load("shapes").generate(PROMPT, steps=2, seed=7, ip_adapters=[adapter])
    assert np.array_equal(made, np.asarray(alike))
    told = worker.ask("GET", f"/v1/jobs/{job}").json()["request"]
    assert told["ip_adapters"] == [{"name": "face", "start": 0.0, "end": 1.0, **asked}]


def test_capabilities_list_them(worker: Served) -> None:
    told = worker.ask("GET", "/v1/capabilities").json()
    assert told["models"]["shapes"]["controls"] == ["shapes-control", "canny", "face"]
    assert told["models"]["shapes"]["loras"] == ["shapes-outline", "lines"]
    assert told["features"]["controls"] is True


def test_the_built_in_ones_have_names_here(worker: Served) -> None:
    control = {"name": "shapes-control", "image": encoded(edges())}
    lora = {"name": "shapes-outline", "strength": 0.7}
    expected = sdrbee.load("shapes").generate(
        PROMPT,
        steps=2,
        seed=7,
        controls=[{"model": "shapes-control", "image": edges()}],
        loras=[("shapes-outline", 0.7)],
    )
    assert np.array_equal(made_by(worker, controls=[control], loras=[lora]), np.asarray(expected))


def test_a_tag_of_a1111_names_the_built_in_lora(client: webuiapi.WebUIApi) -> None:
    asked: dict[str, Any] = {"seed": 7, "width": 128, "height": 128, "cfg_scale": 3}
    made, plain = (
        np.asarray(client.txt2img(prompt=prompt, **asked).image)
        for prompt in (f"{PROMPT} <lora:shapes-outline:0.7>", PROMPT)
    )
    assert not np.array_equal(made, plain)
    assert [row["name"] for row in client.get_loras()] == ["shapes-outline", "lines"]


@pytest.mark.parametrize("name", ["lines", "cannot", "..", "net"])
def test_other_names_are_refused(worker: Served, name: str) -> None:
    control = {"name": name, "image": encoded(edges())}
    body = {"operation": "image_generation", "prompt": PROMPT, "controls": [control]}
    answer = worker.ask("POST", "/v1/jobs", body)
    assert answer.status == 422, answer.body
    assert answer.json()["error"]["field"] == "controls[0].name"


def test_paths_are_no_names(worker: Served, home: Path) -> None:
    control = {"name": str(home / "net"), "image": encoded(edges())}
    body = {"operation": "image_generation", "prompt": PROMPT, "controls": [control]}
    answer = worker.ask("POST", "/v1/jobs", body)
    assert (answer.status, answer.json()["error"]["field"]) == (422, "controls[0].name")


def test_the_clients_send_pictures_and_names(worker: Served, home: Path) -> None:
    with sdrbee.Client(f"http://127.0.0.1:{worker.port}") as client:
        control = {"model": "canny", "image": edges()}
        made = client.generate(PROMPT, steps=2, seed=7, controls=[control])
    assert np.array_equal(np.asarray(made), expected(home))


@pytest.fixture
def client(worker: Served) -> webuiapi.WebUIApi:
    return webuiapi.WebUIApi(host="127.0.0.1", port=worker.port, sampler="Euler", steps=2)


def test_units_of_webuiapi(client: webuiapi.WebUIApi, home: Path) -> None:
    unit = webuiapi.ControlNetUnit(
        image=PIL.Image.fromarray(edges()),
        model="canny [0123abcd]",
        weight=0.8,
        guidance_start=0.0,
        guidance_end=0.5,
    )
    off = webuiapi.ControlNetUnit(enabled=False)
    asked: dict[str, Any] = {"prompt": PROMPT, "seed": 7, "width": 128, "height": 128}
    asked |= {"cfg_scale": 3, "sampler_name": "Euler", "scheduler": "normal"}
    # webuiapi keeps the units of a call in its default argument, for all calls after it.
    made = client.txt2img(controlnet_units=[unit, off], alwayson_scripts={}, **asked)
    plain = client.txt2img(alwayson_scripts={}, **asked)
    assert not np.array_equal(np.asarray(made.image), np.asarray(plain.image))
    assert 'ControlNet 0: "Module: none, Model: net, Weight: 0.8' in made.info["infotexts"][0]
    told = client.png_info(made.image)
    assert told.parameters["ControlNet 0"].startswith("Module: none, Model: net, Weight: 0.8")
    again = client.img2img(
        images=[PIL.Image.fromarray(edges())],
        denoising_strength=1,
        controlnet_units=[webuiapi.ControlNetUnit(model="canny")],
        alwayson_scripts={},
        **asked,
    )
    assert again.image.size == (128, 128)


def test_what_webuiapi_asks_of_the_extension(client: webuiapi.WebUIApi) -> None:
    assert client.controlnet_version() == 3
    assert client.controlnet_model_list() == ["shapes-control", "canny", "face"]
    modules = client.controlnet_module_list()
    assert modules[0] == "none"
    assert {"canny", "softedge", "lineart_standard", "tile_resample", "invert"} <= {*modules}
    found = client.controlnet_detect(images=[PIL.Image.fromarray(edges())], module="none")
    assert np.array_equal(np.asarray(found.image), edges())


def test_modules_that_need_opencv_are_listed_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(a1111_modules, "has_opencv", lambda: False)
    assert {*module_names()}.isdisjoint({"canny", "softedge", "tile_resample", "normal"})
    assert module_names()[:2] == ["none", "invert"] == [*module_details()][:2]
    monkeypatch.setitem(sys.modules, "cv2", None)  # as if it weren't installed
    picture = sdrbee.Image(edges(16, 16))
    for name in module_names()[:2]:
        assert prepared(name, picture, {}, "module").shape == (16, 16, 3)
    with pytest.raises(ApiError, match=r"sdrbee\[control\]"):
        prepared("canny", picture, {}, "module")


def test_detect_runs_a_preprocessor(client: webuiapi.WebUIApi) -> None:
    source = edges(40, 30)
    found = client.controlnet_detect(
        images=[PIL.Image.fromarray(source)],
        module="canny",
        processor_res=60,
        threshold_a=50,
        threshold_b=150,
    )
    expected = preprocess("canny", source, resolution=60, low=50, high=150)
    assert np.array_equal(np.asarray(found.image), np.asarray(expected))


def test_a_unit_prepares_its_picture(client: webuiapi.WebUIApi) -> None:
    source = edges(32, 32)
    ready = np.asarray(preprocess("canny", source, resolution=128, low=64, high=64))
    asked: dict[str, Any] = {"prompt": PROMPT, "seed": 7, "width": 128, "height": 128}

    def made(picture: npt.NDArray[np.uint8], **fields: Any) -> npt.NDArray[np.uint8]:
        unit = webuiapi.ControlNetUnit(image=PIL.Image.fromarray(picture), model="canny", **fields)
        made = client.txt2img(controlnet_units=[unit], alwayson_scripts={}, **asked)
        return np.asarray(made.image)

    expected = made(ready)
    assert np.array_equal(made(source, module="Canny", processor_res=128), expected)
    assert np.array_equal(made(source, module="canny", pixel_perfect=True), expected)
    assert not np.array_equal(made(source), expected)


def test_the_infotext_names_the_preprocessor(client: webuiapi.WebUIApi) -> None:
    """In the way of https://github.com/Mikubill/sd-webui-controlnet, `ControlNetUnit.serialize`:
    its `parse` splits at commas and then at colons."""
    unit = webuiapi.ControlNetUnit(
        image=PIL.Image.fromarray(edges(32, 32)),
        module="Canny",
        model="canny",
        weight=0.5,
        control_mode=1,
    )
    asked: dict[str, Any] = {"seed": 7, "width": 128, "height": 128}
    made = client.txt2img(prompt=PROMPT, controlnet_units=[unit], alwayson_scripts={}, **asked)
    told = client.png_info(made.image).parameters["ControlNet 0"]
    assert dict(part.strip().split(": ") for part in told.split(",")) == {
        "Module": "canny",
        "Model": "net",
        "Weight": "0.5",
        "Guidance Start": "0",
        "Guidance End": "1",
        "Control Mode": "My prompt is more important",
    }


def test_a_unit_may_be_an_ip_adapter(client: webuiapi.WebUIApi, home: Path) -> None:
    """Its picture is seen as it is, whatever the proportions and the mode of resizing."""
    picture = edges(96, 64)
    unit = webuiapi.ControlNetUnit(
        image=PIL.Image.fromarray(picture),
        module="ip-adapter_clip_sd15",
        model="face",
        weight=0.8,
        resize_mode="Resize and Fill",
        control_mode=1,  # of no effect, as in the extension
    )
    made = client.txt2img(
        prompt=PROMPT,
        seed=7,
        width=128,
        height=128,
        cfg_scale=3,
        sampler_name="Euler",
        scheduler="normal",
        controlnet_units=[unit],
        alwayson_scripts={},
    )
    expected = sdrbee.load("shapes").generate(
        PROMPT,
        steps=2,
        seed=7,
        width=128,
        height=128,
        guidance_scale=3.0,
        negative_prompt="",
        sampler="euler",
        schedule="normal",
        prompt_syntax="a1111",
        ip_adapters=[{"model": home / "face", "image": picture, "strength": 0.8}],
    )
    assert np.array_equal(np.asarray(made.image), np.asarray(expected))


def test_units_in_all_modes(client: webuiapi.WebUIApi, home: Path) -> None:
    pictures = []
    for number, mode in enumerate(("balanced", "prompt", "control")):
        unit = webuiapi.ControlNetUnit(
            image=PIL.Image.fromarray(edges()), model="canny", control_mode=number
        )
        asked: dict[str, Any] = {"prompt": PROMPT, "seed": 7, "width": 128, "height": 128}
        asked |= {"cfg_scale": 3, "sampler_name": "Euler", "scheduler": "normal"}
        made = client.txt2img(controlnet_units=[unit], alwayson_scripts={}, **asked)
        control = {"model": home / "net", "image": edges(), "mode": mode}
        own = sdrbee.load("shapes").generate(
            PROMPT,
            steps=2,
            seed=7,
            guidance_scale=3.0,
            negative_prompt="",
            sampler="euler",
            schedule="normal",
            prompt_syntax="a1111",
            controls=[control],
        )
        assert np.array_equal(np.asarray(made.image), np.asarray(own)), mode
        pictures.append(np.asarray(own).tobytes())
    assert len({*pictures}) == 3


def test_a_unit_that_repaints_needs_a_mask(worker: Served) -> None:
    unit = {"model": "canny", "module": "inpaint_only", "image": encoded(edges())}
    body = {"prompt": PROMPT, "alwayson_scripts": {"controlnet": {"args": [unit]}}}
    answer = worker.ask("POST", "/sdapi/v1/txt2img", body)
    assert answer.status == 422, answer.body
    assert "mask" in answer.json()["detail"]


@pytest.mark.parametrize(("module", "told"), [("depth", "sdrbee.preprocessors"), ("no", "canny")])
def test_detect_says_what_is_missing(worker: Served, module: str, told: str) -> None:
    body = {"controlnet_module": module, "controlnet_input_images": [encoded(edges())]}
    answer = worker.ask("POST", "/controlnet/detect", body)
    assert answer.status == 422, answer.body
    assert told in answer.json()["detail"]


UNITS: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown preprocessor": ({"module": "cannot"}, "module"),
    "a preprocessor of a package": ({"module": "openpose"}, "module"),
    "no model": ({"model": "None"}, "model"),
    "no picture": ({"image": ""}, "image"),
    "an unknown mode": ({"control_mode": "Loud"}, "control_mode"),
    "an unknown type": ({"union_control_type": "canny"}, "union_control_type"),
    "a mask": ({"mask": "aaaa"}, "mask"),
    "one pass only": ({"hr_option": "Low res only"}, "hr_option"),
}


@pytest.mark.parametrize("case", UNITS)
def test_units_that_cannot_be_done_are_refused(worker: Served, case: str) -> None:
    fields, named = UNITS[case]
    unit = {"model": "canny", "image": encoded(edges()), **fields}
    body = {"prompt": PROMPT, "alwayson_scripts": {"controlnet": {"args": [unit]}}}
    answer = worker.ask("POST", "/sdapi/v1/txt2img", body)
    assert answer.status == 422, answer.body
    assert f"args[0].{named}]" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("mode", "width", "height"),
    [("Crop and Resize", 64, 128), ("Resize and Fill", 128, 64), (0, 64, 64)],
)
def test_pictures_of_other_proportions(
    worker: Served, mode: str | int, width: int, height: int
) -> None:
    unit = {"model": "canny", "image": encoded(edges()), "resize_mode": mode}
    scripts = {"ControlNet": {"args": [unit]}}
    body = {"prompt": PROMPT, "steps": 1, "width": width, "height": height}
    answer = worker.ask("POST", "/sdapi/v1/txt2img", {**body, "alwayson_scripts": scripts})
    assert answer.status == 200, answer.body
