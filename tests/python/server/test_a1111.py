"""A1111's dialect: its real Python client, the requests of others as recorded, and bad input."""

from __future__ import annotations

import base64
import io
import json
import threading
from typing import Any

import numpy as np
import PIL.Image
import pytest
import webuiapi
from server.conftest import Served

import sdrbee

PROMPT = "a red circle left of a blue square"
ROUTE = "/sdapi/v1/"


@pytest.fixture
def client(worker: Served) -> webuiapi.WebUIApi:
    return webuiapi.WebUIApi(host="127.0.0.1", port=worker.port, sampler="Euler a", steps=2)


def encoded(pixels: np.ndarray, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


def pixels_of(text: str) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(text, validate=True))))


def post(worker: Served, name: str, **body: Any) -> Any:
    answer = worker.ask("POST", ROUTE + name, body)
    assert answer.status == 200, answer.body
    return answer.json()


def source() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (128, 128, 3), np.uint8)


def half_white() -> np.ndarray:
    mask = np.zeros((128, 128), np.uint8)
    mask[:, 64:] = 255
    return mask


INPAINT = {
    "prompt": PROMPT,
    "steps": 2,
    "seed": 3,
    "denoising_strength": 1,
    "inpaint_full_res": False,
    "mask_blur": 0,
}


def test_txt2img_of_webuiapi(client: webuiapi.WebUIApi) -> None:
    result = client.txt2img(
        prompt=PROMPT, negative_prompt="grey", seed=7, cfg_scale=4, width=128, height=64
    )
    assert result.image.size == (128, 64)
    info = result.info
    assert (info["seed"], info["all_seeds"]) == (7, [7])
    assert (info["width"], info["height"], info["steps"], info["cfg_scale"]) == (128, 64, 2, 4)
    assert (info["sampler_name"], info["sd_model_name"]) == ("Euler a", "shapes")
    assert info["infotexts"] == [result.image.info["parameters"]]
    assert info["infotexts"][0].startswith(f"{PROMPT}\nNegative prompt: grey\nSteps: 2, ")
    assert result.parameters["prompt"] == PROMPT
    made = sdrbee.load("shapes").generate(
        PROMPT,
        negative_prompt="grey",
        seed=7,
        guidance_scale=4,
        width=128,
        height=64,
        steps=2,
        sampler="euler_ancestral",
    )
    assert np.array_equal(np.asarray(result.image), np.asarray(made))


def test_the_same_picture_as_by_the_native_route(worker: Served) -> None:
    ours = post(worker, "txt2img", prompt=PROMPT, seed=7, steps=3, sampler_index="DPM++ 2M Karras")
    job = worker.submit(PROMPT, seed=7, steps=3, sampler="dpmpp_2m", schedule="karras")
    native = worker.events(job)[-1]
    assert np.array_equal(pixels_of(ours["images"][0]), pixels_of(native["image"]))


def test_img2img_of_webuiapi(client: webuiapi.WebUIApi) -> None:
    result = client.img2img(
        images=[PIL.Image.fromarray(source())],
        prompt=PROMPT,
        seed=7,
        denoising_strength=0.5,
        steps=4,
        width=128,
        height=128,
    )
    made = sdrbee.load("shapes").generate(
        PROMPT,
        image=source(),
        strength=0.5,
        steps=4,
        seed=7,
        sampler="euler_ancestral",
        guidance_scale=7,
    )
    assert np.array_equal(np.asarray(result.image), np.asarray(made))
    assert result.parameters["init_images"] is None
    assert result.info["denoising_strength"] == 0.5


def test_inpainting_of_webuiapi_repaints_what_is_white(client: webuiapi.WebUIApi) -> None:
    for inverted in (0, 1):
        result = client.img2img(
            images=[PIL.Image.fromarray(source())],
            mask_image=PIL.Image.fromarray(half_white()),
            mask_blur=0,
            inpainting_mask_invert=inverted,
            inpainting_fill=1,
            prompt=PROMPT,
            width=128,
            height=128,
        )
        same = (np.asarray(result.image) == source()).all(axis=2)
        kept, repainted = (same[:, :64], same[:, 64:])[:: 1 - 2 * inverted]
        assert kept.all()
        assert not repainted.all()


def test_masks_with_the_defaults_of_webuiapi(client: webuiapi.WebUIApi) -> None:
    """Only the masked part, with the colours around it below the mask."""
    red_and_blue = np.zeros((128, 128, 3), np.uint8)
    red_and_blue[:, :64, 0] = red_and_blue[:, 64:, 2] = 255
    reds = []
    for content in ({}, {"inpainting_fill": 1}):
        made = client.img2img(
            images=[PIL.Image.fromarray(red_and_blue)],
            mask_image=PIL.Image.fromarray(half_white()),
            prompt=PROMPT,
            seed=3,
            width=128,
            height=128,
            steps=4,
            denoising_strength=0.25,
            **content,
        )
        pixels = np.asarray(made.image).astype(int)
        assert np.abs(pixels - red_and_blue)[:, :32].max() <= 1
        reds.append((pixels[:, 96:, 0] - pixels[:, 96:, 2]).mean())
    assert reds[0] > reds[1] + 50, reds


def test_a_transparent_mask_repaints_what_is_opaque(worker: Served) -> None:
    mask = np.zeros((128, 128, 4), np.uint8)
    mask[..., 3] = half_white()
    pictures = [
        post(worker, "img2img", init_images=[encoded(source())], mask=text, **INPAINT)["images"]
        for text in (encoded(mask), "data:image/png;base64," + encoded(half_white()))
    ]
    assert pictures[0] == pictures[1]


def test_only_the_masked_part_at_its_own_size(worker: Served) -> None:
    mask = np.zeros((128, 128), np.uint8)
    mask[32:64, 32:64] = 255
    body = {**INPAINT, "inpaint_full_res": True, "inpaint_full_res_padding": "8"}
    answer = post(worker, "img2img", init_images=[encoded(source())], mask=encoded(mask), **body)
    made = sdrbee.load("shapes").generate(
        PROMPT,
        image=source(),
        mask=mask,
        inpaint_area="masked",
        mask_padding=8,
        strength=1.0,
        steps=2,
        seed=3,
    )
    assert np.array_equal(pixels_of(answer["images"][0]), np.asarray(made))


def test_batches_and_random_seeds(worker: Served) -> None:
    answer = post(worker, "txt2img", prompt=PROMPT, steps=1, seed=5, batch_size=2, n_iter="2")
    info = json.loads(answer["info"])
    assert info["all_seeds"] == [5, 6, 7, 8]
    assert len(answer["images"]) == len(info["infotexts"]) == 4
    random = post(worker, "txt2img", prompt=PROMPT, steps=1, seed=-1, send_images=False)
    assert random["images"] == []
    assert json.loads(random["info"])["seed"] >= 0


def test_loose_types_are_taken_as_a1111_takes_them(worker: Served) -> None:
    strict = {"prompt": PROMPT, "steps": 2, "seed": 4, "width": 128, "height": 128, "cfg_scale": 2}
    loose = {
        **{name: str(value) for name, value in strict.items()},
        "steps": 2.0,
        "seed": "4.0",
        "negative_prompt": None,
        "sampler_name": None,
        "scheduler": "automatic",
        "restore_faces": "false",
        "no_such_field": {"x": 1},
    }
    pictures = [post(worker, "txt2img", **body)["images"] for body in (strict, loose)]
    assert pictures[0] == pictures[1]


def test_a_second_pass_and_tiles_are_those_of_the_engine(worker: Served) -> None:
    body = {"prompt": PROMPT, "steps": 2, "seed": 4, "width": 64, "height": 64, "tiling": True}
    hires = {"enable_hr": True, "hr_upscaler": "Latent", "hr_second_pass_steps": 2}
    answer = post(worker, "txt2img", **body, **hires, hr_resize_x=128, denoising_strength=0.5)
    made = sdrbee.load("shapes").generate(
        PROMPT,
        steps=2,
        seed=4,
        width=64,
        height=64,
        tiling="xy",
        hires_scale=2.0,
        hires_steps=2,
        hires_denoising_strength=0.5,
    )
    assert np.array_equal(pixels_of(answer["images"][0]), np.asarray(made))


def test_clip_skip_counts_from_one(worker: Served) -> None:
    body = {"prompt": PROMPT, "steps": 2, "seed": 4}
    answer = post(worker, "txt2img", **body, override_settings={"CLIP_stop_at_last_layers": 2})
    assert json.loads(answer["info"])["clip_skip"] == 2
    job = worker.submit(PROMPT, steps=2, seed=4, clip_skip=1)
    native = worker.events(job)[-1]
    assert np.array_equal(pixels_of(answer["images"][0]), pixels_of(native["image"]))


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


def test_png_info_reads_its_own_and_a1111s(client: webuiapi.WebUIApi) -> None:
    made = client.txt2img(prompt=PROMPT, seed=7, width=128, height=128)
    answer = client.png_info(made.image)
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
    answer = client.png_info(picture)
    assert answer.info == theirs
    assert answer.parameters["Prompt"] == "a (red:1.2) star,\nin the sky"
    assert answer.parameters["Negative prompt"] == "blurry"
    assert answer.parameters["Lora hashes"] == "a: 1, b: 2"
    assert answer.parameters["Size-2"] == "768"


def test_what_else_webuiapi_asks(client: webuiapi.WebUIApi) -> None:
    assert client.get_scripts() == {"txt2img": [], "img2img": []}
    assert client.get_embeddings() == {"loaded": {}, "skipped": {}}
    assert client.get_loras() == []
    assert client.get_cmd_flags()["api"] is True
    assert client.get_memory()["ram"]["total"] > 0
    assert client.refresh_checkpoints() is None
    assert client.util_get_current_model() == "shapes"
    assert "Euler a" in client.util_get_sampler_names()
    client.util_set_model("shapes")
    client.util_wait_for_ready()


def test_models_are_unloaded_and_loaded(worker: Served) -> None:
    post(worker, "reload-checkpoint")
    assert worker.ask("GET", "/v1/models/shapes").json()["loaded"]
    post(worker, "unload-checkpoint")
    assert not worker.ask("GET", "/v1/models/shapes").json()["loaded"]
    post(worker, "txt2img", prompt=PROMPT, steps=1, send_images=False)
    assert worker.ask("GET", "/v1/models/shapes").json()["loaded"]


def test_the_same_key_gives_the_same_pictures_and_no_second_job(worker: Served) -> None:
    before = len(worker.ask("GET", "/v1/jobs").json()["jobs"])
    body = {"prompt": PROMPT, "steps": 2}  # without a seed: made again, it would be another picture
    answers = [
        worker.ask("POST", ROUTE + "txt2img", body, idempotency_key="a1111-once") for _ in range(2)
    ]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].json()["images"] == answers[1].json()["images"]
    assert len(worker.ask("GET", "/v1/jobs").json()["jobs"]) == before + 1
    other = worker.ask(
        "POST", ROUTE + "txt2img", {**body, "steps": 3}, idempotency_key="a1111-once"
    )
    assert (other.status, other.json()["error"]) == (422, "idempotency_key_reused")


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


def until_a_preview(worker: Served, making: threading.Thread) -> dict[str, Any]:
    """How far the request is at its first preview, which comes before its end."""
    while making.is_alive():
        answer = worker.ask("GET", ROUTE + "progress")
        assert answer.status == 200, answer.body
        progress: dict[str, Any] = answer.json()
        if progress["current_image"]:
            return progress
    raise AssertionError("the request ended before a preview was told of")


@pytest.mark.parametrize("how", ["interrupt", "skip"])
def test_progress_with_a_picture_and_the_end_of_it(
    worker: Served, client: webuiapi.WebUIApi, how: str
) -> None:
    results = []
    thread = threading.Thread(
        target=lambda: results.append(
            client.txt2img(prompt=PROMPT, steps=1000, width=128, height=128)
        ),
        daemon=True,
    )
    thread.start()
    progress = until_a_preview(worker, thread)
    assert 0 < progress["progress"] < 1
    assert progress["state"]["job_count"] == 1
    assert progress["state"]["sampling_steps"] == 1000
    assert pixels_of(progress["current_image"]).shape[2] == 3
    hidden = worker.ask("GET", ROUTE + "progress?skip_current_image=true").json()
    assert hidden["current_image"] is None
    assert getattr(client, how)() in ({}, None)
    thread.join(60)
    assert results[0].images == []
    assert results[0].info["infotexts"] == []
    assert worker.ask("GET", ROUTE + "progress").json()["state"]["job_count"] == 0


def refused(worker: Served, status: int, route: str = "txt2img", **body: Any) -> dict[str, Any]:
    answer = worker.ask("POST", ROUTE + route, {"prompt": PROMPT, "steps": 1, **body})
    assert answer.status == status, (body, answer.body)
    told: dict[str, Any] = answer.json()
    assert set(told) == {"error", "detail", "body", "errors"}
    return told


@pytest.mark.parametrize(
    "field",
    [
        {"restore_faces": True},
        {"subseed_strength": 0.1},
        {"seed_resize_from_h": 64},
        {"styles": ["x"]},
        {"script_name": "X/Y/Z plot"},
        {"alwayson_scripts": {"ADetailer": {"args": [True]}}},
        {"alwayson_scripts": {"ControlNet": {"args": [{"image": "", "model": "x"}]}}},
        {"refiner_checkpoint": "x"},
        {"eta": 0.5, "sampler_name": "Euler a"},
        {"s_churn": 1, "s_tmin": 0.5, "sampler_name": "Euler"},
        {"enable_hr": True, "hr_upscaler": "R-ESRGAN 4x+"},
        {"enable_hr": True, "hr_prompt": "other"},
        {"enable_hr": True, "hr_sampler_name": "Heun"},
        {"enable_hr": True, "hr_resize_x": 128, "hr_resize_y": 64, "width": 64, "height": 64},
        {"override_settings": {"sd_vae": "other"}},
    ],
    ids=str,
)
def test_what_is_not_done_is_refused_when_it_is_on(worker: Served, field: dict[str, Any]) -> None:
    told = refused(worker, 422, **field)
    inner = [name for value in field.values() if isinstance(value, dict) for name in value]
    assert any(f"[{name}]" in told["detail"] for name in (*field, *inner)), told


def test_what_is_not_done_is_taken_when_it_is_off(worker: Served) -> None:
    off = {
        "restore_faces": False,
        "subseed": 12,
        "subseed_strength": 0.0,
        "seed_resize_from_h": -1,
        "styles": [],
        "script_name": "None",
        "script_args": [],
        "alwayson_scripts": {"ADetailer": {"args": [False]}, "ControlNet": {"args": []}},
        "enable_hr": False,
        "hr_upscaler": "R-ESRGAN 4x+",
        "eta": 1.0,
        "s_tmax": 0,
        "s_noise": 1,
        "override_settings": {"sd_vae": "Automatic", "unknown": 1},
    }
    post(worker, "txt2img", prompt=PROMPT, steps=1, **off)


WRONG = [{"a": 1}, [1], "x", True, float("1e999"), -7, "nan", "9" * 5000, 10**400]


@pytest.mark.parametrize(
    "field", ["steps", "width", "height", "cfg_scale", "seed", "batch_size", "n_iter"]
)
def test_bad_numbers_name_their_field(worker: Served, field: str) -> None:
    for value in WRONG:
        if (field, value) == ("cfg_scale", -7):
            continue
        body = json.dumps({"prompt": "a", "steps": 1, field: value}).encode()
        answer = worker.ask("POST", ROUTE + "txt2img", body.replace(b"Infinity", b"1e999"))
        assert answer.status in (400, 422), (field, value, answer.body)
        if answer.status == 422:
            named = "batch_size" if field == "n_iter" else field
            assert f"[{named}]" in answer.json()["detail"] or field in answer.json()["detail"]


@pytest.mark.parametrize(
    ("route", "status", "body"),
    [
        ("txt2img", 404, {"sampler_name": "No such"}),
        ("txt2img", 404, {"override_settings": {"sd_model_checkpoint": "no such"}}),
        ("txt2img", 422, {"scheduler": "no such"}),
        ("txt2img", 422, {"prompt": 5}),
        ("txt2img", 422, {"cfg_scale": 1e300}),
        ("txt2img", 422, {"override_settings": [1]}),
        ("txt2img", 422, {"alwayson_scripts": "x"}),
        ("txt2img", 422, {"override_settings": {"CLIP_stop_at_last_layers": 13}}),
        ("img2img", 422, {}),
        ("img2img", 422, {"init_images": []}),
        ("img2img", 422, {"init_images": [None]}),
        ("img2img", 422, {"init_images": ["http://127.0.0.1/x.png"]}),
        ("img2img", 422, {"init_images": ["AAAA"]}),
        ("img2img", 422, {"init_images": [encoded(source())[:200]]}),
        ("img2img", 422, {"init_images": [encoded(source())], "mask": "AAAA"}),
        ("img2img", 422, {"init_images": [encoded(source())], "denoising_strength": 2}),
        ("img2img", 422, {"init_images": [encoded(source())] * 2}),
        (
            "img2img",
            422,
            {"init_images": [encoded(source())], "resize_mode": 1, "width": 128, "height": 64},
        ),
        (
            "img2img",
            422,
            {
                "init_images": [encoded(source())],
                "mask": encoded(half_white()),
                "inpainting_fill": 2,
            },
        ),
        ("png-info", 422, {"image": "AAAA"}),
        ("png-info", 422, {}),
        ("options", 404, {"sd_model_checkpoint": "no such"}),
    ],
    ids=lambda value: str(value)[:60],
)
def test_bad_input_is_told(worker: Served, route: str, status: int, body: dict[str, Any]) -> None:
    told = refused(worker, status, route, **body)
    assert "/work" not in told["detail"]
    assert not told["detail"].startswith(("[image]", "[mask_image]", "[strength]")) or (
        route == "png-info"
    )


def test_errors_outside_of_the_routes_have_the_same_form(worker: Served) -> None:
    answer = worker.ask("GET", ROUTE + "no-such")
    assert (answer.status, answer.json()["error"]) == (404, "no_such_route")
    assert worker.ask("POST", ROUTE + "txt2img", b"{").json()["error"] == "bad_json"
    assert worker.ask("POST", ROUTE + "txt2img", b"[1]").status == 422
