"""Making pictures from Python."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import sdrbee

PROMPT = "a red circle left of a blue square"


def same(left: sdrbee.Image, right: sdrbee.Image) -> bool:
    return bytes(memoryview(left)) == bytes(memoryview(right))


def test_same_request_gives_the_same_picture_with_another_between(model: sdrbee.Model) -> None:
    first = model.generate(PROMPT, steps=3, seed=5)
    model.generate("a green star", steps=2, seed=6, sampler="euler_ancestral")
    assert same(first, model.generate(PROMPT, steps=3, seed=5))
    assert not same(first, model.generate(PROMPT, steps=3, seed=6))


def test_count_gives_a_list_whose_pictures_equal_single_runs(model: sdrbee.Model) -> None:
    images = model.generate(PROMPT, steps=2, seed=5, count=3)
    assert [image.seed for image in images] == [5, 6, 7]
    assert same(images[2], model.generate(PROMPT, steps=2, seed=7))


def test_a_seed_is_chosen_and_told(model: sdrbee.Model) -> None:
    first, second = (model.generate(PROMPT, steps=1) for _ in range(2))
    assert first.seed is not None
    assert first.seed != second.seed
    assert same(first, model.generate(PROMPT, steps=1, seed=first.seed))


def test_float_and_latent_outputs_are_arrays(model: sdrbee.Model) -> None:
    image = model.generate(PROMPT, steps=2, seed=5)
    values = model.generate(PROMPT, steps=2, seed=5, output="float")
    latents = model.generate(PROMPT, steps=2, seed=5, output="latent")
    assert values.dtype == latents.dtype == np.float32
    assert values.shape == (image.height, image.width, 3)
    assert values.min() >= 0
    assert values.max() <= 1
    np.testing.assert_array_equal(np.round(values * 255), np.asarray(image))
    info = model.info
    assert latents.shape == (
        info.latent_channels,
        image.height // info.latent_downscale,
        image.width // info.latent_downscale,
    )


def test_observer_hears_every_step(model: sdrbee.Model) -> None:
    heard: list[tuple[int, int, object]] = []
    model.generate(PROMPT, steps=3, on_step=lambda *event: heard.append(event))
    assert heard == [(1, 3, None), (2, 3, None), (3, 3, None)]


def test_fast_preview_has_one_pixel_a_latent_cell(model: sdrbee.Model) -> None:
    previews: list[sdrbee.Image | None] = []
    image = model.generate(
        PROMPT, steps=2, preview="fast", on_step=lambda _s, _t, preview: previews.append(preview)
    )
    downscale = model.info.latent_downscale
    assert all(
        preview is not None and preview.width == image.width // downscale for preview in previews
    )


def test_an_exception_of_the_observer_comes_out_and_the_model_goes_on(
    model: sdrbee.Model,
) -> None:
    def refuse(step: int, _total: int | None, _preview: object) -> None:
        if step == 2:
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        model.generate(PROMPT, steps=50, on_step=refuse)
    assert model.generate(PROMPT, steps=1).width == 128


def test_cancel_from_another_thread_ends_within_a_step(model: sdrbee.Model) -> None:
    token = sdrbee.CancelToken()
    steps: list[int] = []

    def cancel_at_two(step: int, _total: int | None, _preview: object) -> None:
        steps.append(step)
        if step == 2:
            thread = threading.Thread(target=token.cancel)
            thread.start()
            thread.join()

    with pytest.raises(sdrbee.Cancelled):
        model.generate(PROMPT, steps=1000, on_step=cancel_at_two, cancel=token)
    assert steps == [1, 2]


def test_a_callback_that_calls_its_own_model_is_told_so(model: sdrbee.Model) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match="busy"):
        model.generate(PROMPT, steps=1, on_step=lambda *_: model.generate(PROMPT, steps=1))


def test_two_threads_share_a_model(model: sdrbee.Model) -> None:
    expected = [model.generate(PROMPT, steps=2, seed=seed) for seed in range(3)]
    made: dict[int, sdrbee.Image] = {}

    def work(seed: int) -> None:
        made[seed] = model.generate(PROMPT, steps=2, seed=seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(made[seed], expected[seed]) for seed in range(3))


def test_other_threads_run_while_a_picture_is_made(model: sdrbee.Model) -> None:
    ticks: list[float] = []
    done = threading.Event()

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.002)

    thread = threading.Thread(target=tick)
    thread.start()
    model.generate(PROMPT, steps=10)
    done.set()
    thread.join()
    assert len(ticks) > 10


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_interrupt_ends_within_a_step() -> None:
    code = (
        "import sdrbee, sys\n"
        "model = sdrbee.load('shapes')\n"
        "def told(step, total, preview):\n"
        "    print(step, flush=True)\n"
        "try: model.generate('a star', steps=1000, on_step=told)\n"
        "except KeyboardInterrupt: print('interrupted', flush=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    rest, _ = process.communicate(timeout=60)
    assert rest.endswith("interrupted\n")
    assert time.monotonic() - started < 10


def test_batch_takes_different_requests(model: sdrbee.Model) -> None:
    requests = [
        sdrbee.GenerationRequest(prompt="a red star", steps=3, seed=1),
        sdrbee.GenerationRequest(prompt="a blue ring", steps=2, seed=2, sampler="heun"),
        sdrbee.GenerationRequest(prompt="", steps=2, seed=3, count=2),
    ]
    assert [image.seed for image in model.generate_batch(requests)] == [1, 2, 3, 4]


def test_empty_batch_is_an_empty_list(model: sdrbee.Model) -> None:
    assert model.generate_batch([]) == []


def test_saved_generation_goes_on_identically(model: sdrbee.Model) -> None:
    request = sdrbee.GenerationRequest(
        prompt=PROMPT, steps=4, seed=9, sampler="dpmpp_2m_sde", exact=True
    )
    expected = model.generate_batch([request])[0]
    generation = model.begin(request)
    while not generation.done:
        model.advance(generation)
        generation = model.restore(model.save(generation))
    assert same(model.finish(generation), expected)


def test_damaged_save_is_refused(model: sdrbee.Model) -> None:
    saved = model.save(model.begin(sdrbee.GenerationRequest(prompt=PROMPT, steps=2)))
    for damaged in (b"", saved[: len(saved) // 2], b"x" + saved[1:]):
        with pytest.raises(sdrbee.CheckpointError):
            model.restore(damaged)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"steps": 0}, r"steps.*0"),
        ({"steps": 10_001}, r"steps.*10001"),
        ({"width": 0}, r"width.*0"),
        ({"height": -8}, r"height.*-8"),
        ({"width": 130}, r"width.*130.*(128|136)"),
        ({"guidance_scale": float("nan")}, r"guidance_scale.*nan"),
        ({"sampler": "euler_a2"}, r"euler_a2.*euler_ancestral"),
        ({"schedule": "karas"}, r"karas.*karras"),
        ({"count": 0}, r"count.*0"),
        ({"output": "tensor"}, r"output.*tensor"),
        ({"preview": "always"}, r"preview.*always"),
        ({"strength": 1.5, "image": np.zeros((128, 128, 3), np.uint8)}, r"strength.*1\.5"),
        ({"strength": 0.001, "image": np.zeros((128, 128, 3), np.uint8)}, r"strength"),
        ({"mask": np.zeros((128, 128), np.uint8)}, r"mask.*image"),
        (
            {
                "image": np.zeros((128, 128, 3), np.uint8),
                "mask": np.zeros((64, 128), np.uint8),
            },
            r"mask.*128x64.*128x128|mask.*128x128.*128x64",
        ),
    ],
    ids=str,
)
def test_impossible_requests_name_the_culprit(
    model: sdrbee.Model, fields: dict[str, object], named: str
) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match=named):
        model.generate_batch([sdrbee.GenerationRequest(prompt=PROMPT, **fields)])  # type: ignore[arg-type]


def test_long_prompt_is_cut_with_a_warning(model: sdrbee.Model) -> None:
    long_prompt = "a red circle, " * 60
    with pytest.warns(UserWarning, match=r"truncat|cut"):
        model.generate(long_prompt, steps=1, long_prompt="truncate")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.generate(long_prompt, steps=1)


def test_out_of_memory_is_an_error_and_small_jobs_go_on() -> None:
    resource = pytest.importorskip("resource")
    code = (
        "import resource, sdrbee\n"
        "model = sdrbee.load('shapes')\n"
        "model.generate('a star', steps=1, seed=1)\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20), -1))\n"
        "try: model.generate('a star', steps=1, width=4096, height=4096)\n"
        "except sdrbee.OutOfMemory as error: print('OutOfMemory', isinstance(error, MemoryError))\n"
        "print(model.generate('a star', steps=1, seed=1).width)"
    )
    if not Path("/proc/self/statm").exists() or resource is None:
        pytest.skip("needs Linux")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.split() == ["OutOfMemory", "True", "128"], done.stderr


def test_info_tells_what_the_model_is(model: sdrbee.Model) -> None:
    info = model.info
    assert info.family == "stable_diffusion"
    assert info.default_size == (128, 128)
    assert info.sizes.multiple == 8
    assert set(info.defaults) == {"text_to_image", "image_to_image", "inpaint"}
    assert info.capabilities.guidance
    assert "shapes" in info.source
    assert model.generate("", seed=1, steps=1).width == info.default_size[0]


def test_image_to_image_and_inpainting_start_from_pictures(model: sdrbee.Model) -> None:
    source = model.generate("a red circle on a white background", steps=8, seed=3)
    changed = model.generate("a blue circle", image=source, strength=0.5, steps=4, seed=4)
    assert (changed.width, changed.height) == (source.width, source.height)
    mask = np.zeros((128, 128), np.uint8)
    mask[:, 64:] = 255
    filled = np.asarray(model.generate("a star", image=source, mask=mask, steps=4, seed=4))
    np.testing.assert_array_equal(filled[:, :64], np.asarray(source)[:, :64])
    assert np.any(filled[:, 64:] != np.asarray(source)[:, 64:])
