"""A1111's pictures: those of its real Python client, and the same as the engine makes."""

from __future__ import annotations

import json

import numpy as np
import PIL.Image
import webuiapi
from server.a1111_asking import PROMPT, encoded, half_white, pixels_of, post, source
from server.conftest import Served

import sdrbee

INPAINT = {
    "prompt": PROMPT,
    "steps": 2,
    "seed": 3,
    "denoising_strength": 1,
    "inpaint_full_res": False,
    "mask_blur": 0,
}


def test_txt2img_of_webuiapi(webui: webuiapi.WebUIApi) -> None:
    result = webui.txt2img(
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


def test_prompts_have_a1111s_marks(worker: Served) -> None:
    fields = {"seed": 7, "steps": 2}
    ours = post(worker, "txt2img", prompt="a (red:1.5) circle", sampler_name="Euler", **fields)
    wanted = {**fields, "sampler": "euler", "prompt_syntax": "a1111"}
    native = worker.events(worker.submit("a (red:1.5) circle", **wanted))[-1]
    plain = worker.events(worker.submit("a red circle", **wanted))[-1]
    assert np.array_equal(pixels_of(ours["images"][0]), pixels_of(native["image"]))
    assert not np.array_equal(pixels_of(native["image"]), pixels_of(plain["image"]))


def test_img2img_of_webuiapi(webui: webuiapi.WebUIApi) -> None:
    result = webui.img2img(
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


def test_inpainting_of_webuiapi_repaints_what_is_white(webui: webuiapi.WebUIApi) -> None:
    for inverted in (0, 1):
        result = webui.img2img(
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


def test_masks_with_the_defaults_of_webuiapi(webui: webuiapi.WebUIApi) -> None:
    """Only the masked part, with the colours around it below the mask."""
    red_and_blue = np.zeros((128, 128, 3), np.uint8)
    red_and_blue[:, :64, 0] = red_and_blue[:, 64:, 2] = 255
    reds = []
    for content in ({}, {"inpainting_fill": 1}):
        made = webui.img2img(
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
    hires |= {"hr_prompt": "a blue star", "hr_negative_prompt": "dull"}
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
        hires_prompt="a blue star",
        hires_negative_prompt="dull",
    )
    assert np.array_equal(pixels_of(answer["images"][0]), np.asarray(made))


def test_clip_skip_counts_from_one(worker: Served) -> None:
    body = {"prompt": PROMPT, "steps": 2, "seed": 4}
    answer = post(worker, "txt2img", **body, override_settings={"CLIP_stop_at_last_layers": 2})
    assert json.loads(answer["info"])["clip_skip"] == 2
    job = worker.submit(PROMPT, steps=2, seed=4, clip_skip=1)
    native = worker.events(job)[-1]
    assert np.array_equal(pixels_of(answer["images"][0]), pixels_of(native["image"]))
