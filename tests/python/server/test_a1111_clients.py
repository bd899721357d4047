"""A1111's lists and settings: its real Python client, and the requests of others as recorded."""

from __future__ import annotations

import json

import PIL.Image
import webuiapi
from server.a1111_asking import PROMPT, ROUTE, pixels_of, post, source
from server.conftest import Served

from sdrbee.model_files import builtin_adapters


def test_open_webui(worker: Served) -> None:
    options = worker.ask("GET", ROUTE + "options").json()
    assert options["sd_model_checkpoint"] == "shapes"
    models = worker.ask("GET", ROUTE + "sd-models").json()
    assert [model["model_name"] for model in models] == ["shapes", "shapes-inpaint"]
    assert not any("/" in str(value) for model in models for value in model.values())
    try:
        post(worker, "options", **{**options, "sd_model_checkpoint": models[1]["title"]})
        now = worker.ask("GET", ROUTE + "options").json()
        assert now["sd_model_checkpoint"] == "shapes-inpaint"
    finally:
        post(worker, "options", **options)
    body = {"prompt": PROMPT, "batch_size": 1, "width": 128, "height": 128, "steps": 2}
    answer = post(worker, "txt2img", **body, negative_prompt="grey")
    assert pixels_of(answer["images"][0]).shape == (128, 128, 3)
    assert json.loads(answer["info"])["sd_model_name"] == "shapes"


def test_silly_tavern(worker: Served) -> None:
    def names(route: str, key: str = "name") -> list[str]:
        return [item[key] for item in worker.ask("GET", ROUTE + route).json()]

    assert {"Euler a", "DPM++ 2M", "DDIM", "UniPC"} <= set(names("samplers"))
    assert {"automatic", "karras", "sgm_uniform"} <= set(names("schedulers"))
    assert names("upscalers") == ["None", "Lanczos"]
    assert names("latent-upscale-modes") == ["Latent"]
    assert names("sd-vae", "model_name") == []
    assert worker.ask("GET", ROUTE + "progress").json()["progress"] == 0
    answer = post(
        worker,
        "txt2img",
        prompt=PROMPT,
        negative_prompt="",
        sampler_name="DPM++ 2M",
        scheduler="Karras",
        steps=2,
        cfg_scale=7,
        width=128,
        height=128,
        restore_faces=False,
        enable_hr=False,
        hr_upscaler="Latent",
        hr_scale=2,
        denoising_strength=0.7,
        hr_second_pass_steps=0,
        seed=-1,
        override_settings={"CLIP_stop_at_last_layers": 1},
        override_settings_restore_afterwards=True,
        clip_skip=1,
        save_images=True,
        send_images=True,
        do_not_save_grid=False,
        do_not_save_samples=False,
    )
    assert pixels_of(answer["images"][0]).shape == (128, 128, 3)


def test_libre_chat(worker: Served) -> None:
    body = {"negative_prompt": "grey", "cfg_scale": 4.5, "steps": 22, "width": 64, "height": 64}
    answer = post(worker, "txt2img", prompt=PROMPT, **body)
    info = json.loads(answer["info"])
    assert PROMPT in info["infotexts"][0]
    assert (info["width"], info["height"]) == (64, 64)
    assert isinstance(info["seed"], int)
    assert pixels_of(answer["images"][0]).shape == (64, 64, 3)


def test_png_info_reads_its_own_and_a1111s(webui: webuiapi.WebUIApi) -> None:
    made = webui.txt2img(prompt=PROMPT, seed=7, width=128, height=128)
    answer = webui.png_info(made.image)
    assert answer.info == made.info["infotexts"][0]
    assert answer.parameters["Prompt"] == PROMPT
    assert (answer.parameters["Seed"], answer.parameters["Size-1"]) == ("7", "128")
    assert "sdrbee" in answer.json["items"]

    theirs = (
        "a (red:1.2) star,\nin the sky\nNegative prompt: blurry\nSteps: 20, Sampler: DPM++ 2M, "
        'Schedule type: Karras, CFG scale: 7, Seed: 965400086, Size: 512x768, Lora hashes: "a: 1, '
        'b: 2", Version: v1.10.1'
    )
    picture = PIL.Image.fromarray(source())
    picture.info["parameters"] = theirs
    answer = webui.png_info(picture)
    assert answer.info == theirs
    assert answer.parameters["Prompt"] == "a (red:1.2) star,\nin the sky"
    assert answer.parameters["Negative prompt"] == "blurry"
    assert answer.parameters["Lora hashes"] == "a: 1, b: 2"
    assert answer.parameters["Size-2"] == "768"


def test_what_else_webuiapi_asks(webui: webuiapi.WebUIApi) -> None:
    assert webui.get_scripts() == {"txt2img": [], "img2img": []}
    assert webui.get_embeddings() == {"loaded": {}, "skipped": {}}
    assert [row["name"] for row in webui.get_loras()] == builtin_adapters("lora")
    assert webui.get_cmd_flags()["api"] is True
    assert webui.get_memory()["ram"]["total"] > 0
    assert webui.refresh_checkpoints() is None
    assert webui.util_get_current_model() == "shapes"
    assert "Euler a" in webui.util_get_sampler_names()
    webui.util_set_model("shapes")
    webui.util_wait_for_ready()


def test_models_are_unloaded_and_loaded(worker: Served) -> None:
    post(worker, "reload-checkpoint")
    assert worker.ask("GET", "/v1/models/shapes").json()["loaded"]
    post(worker, "unload-checkpoint")
    assert not worker.ask("GET", "/v1/models/shapes").json()["loaded"]
    post(worker, "txt2img", prompt=PROMPT, steps=1, send_images=False)
    assert worker.ask("GET", "/v1/models/shapes").json()["loaded"]


def test_every_listed_name_is_taken(worker: Served) -> None:
    from sdrbee.server.a1111_names import sampler_fields

    for sampler in worker.ask("GET", ROUTE + "samplers").json():
        assert sampler_fields(sampler["name"], "")["sampler"] == sampler["aliases"][0]
    for schedule in worker.ask("GET", ROUTE + "schedulers").json():
        for name in (schedule["name"], schedule["label"]):
            assert bool(sampler_fields("", name)) == (schedule["name"] != "automatic")
    combined = sampler_fields("DPM++ 2M SDE Exponential", "karras")
    assert combined == {"sampler": "dpmpp_2m_sde", "schedule": "exponential"}
    assert sampler_fields("k_euler_a", "Automatic") == {"sampler": "euler_ancestral"}
