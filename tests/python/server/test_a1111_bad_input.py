"""What A1111's routes refuse, and in which words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from server.a1111_asking import PROMPT, ROUTE, encoded, half_white, post, source
from server.conftest import Served


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
        {"refiner_checkpoint": "x"},
        {"eta": 0.5, "sampler_name": "Euler a"},
        {"s_churn": 1, "s_tmin": 0.5, "sampler_name": "Euler"},
        {"enable_hr": True, "hr_upscaler": "R-ESRGAN 4x+"},
        {"enable_hr": True, "hr_prompt": "<lora:other:1> other"},
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
