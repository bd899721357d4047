"""The engine from Python: jobs, events, waiting, cancelling, asyncio, threads."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

import sdrbee

PROMPT = "a red circle left of a blue square"


@pytest.fixture(scope="module")
def engine() -> Iterator[sdrbee.Engine]:
    with sdrbee.Engine("shapes", dtype="fp32") as made:
        yield made


@pytest.fixture(scope="module")
def model() -> sdrbee.Model:
    return sdrbee.load("shapes", dtype="fp32")


def test_a_job_alone_gives_the_picture_of_generate(
    engine: sdrbee.Engine, model: sdrbee.Model
) -> None:
    image = engine.submit(PROMPT, steps=3, seed=5).result(60)
    assert bytes(image) == bytes(model.generate(PROMPT, steps=3, seed=5))
    assert image.recipe["batched"] is False


def test_requests_of_many_kinds_share_calls(engine: sdrbee.Engine, model: sdrbee.Model) -> None:
    requests = [
        sdrbee.GenerationRequest(
            prompt=f"a {colour} star", seed=seed, steps=steps, sampler=sampler, output="float"
        )
        for seed, (colour, steps, sampler) in enumerate(
            [("red", 4, "euler"), ("green", 6, "heun"), ("blue", 5, "dpmpp_2m")]
        )
    ]
    long = engine.submit(PROMPT, steps=60, seed=1)
    jobs = [engine.submit(request) for request in requests]
    for request, job in zip(requests, jobs, strict=True):
        alone = model.generate_batch([request])[0]
        assert np.abs(job.result(60) - alone).max() < 1e-3
    assert long.result(60).recipe["batched"] is True


def test_count_gives_a_list(engine: sdrbee.Engine) -> None:
    images = engine.submit(sdrbee.GenerationRequest(prompt=PROMPT, steps=2, seed=3, count=3))
    assert [image.seed for image in images.result(60)] == [3, 4, 5]


def test_events_in_their_order_for_any_reader(engine: sdrbee.Engine) -> None:
    job = engine.submit(PROMPT, steps=3, preview="fast")
    kinds = [event.kind for event in job]
    assert kinds[0] == "queued"
    assert kinds[-1] == "done"
    assert kinds.count("step") == 3
    assert "preview" in kinds
    late = list(job)
    assert [event.step for event in late if event.kind == "step"] == [1, 2, 3]
    previews = [event.preview for event in late if event.kind == "preview"]
    assert len(previews) == 1
    assert previews[0] is not None
    assert previews[0].width == 16


def test_asyncio_follows_many_jobs(engine: sdrbee.Engine) -> None:
    async def follow(job: sdrbee.Job) -> list[str]:
        return [event.kind async for event in job]

    async def main() -> None:
        jobs = [engine.submit(PROMPT, steps=2, seed=seed) for seed in range(8)]
        told = await asyncio.gather(*(follow(job) for job in jobs))
        assert all(kinds[-3:] == ["step", "step", "done"] for kinds in told)
        assert (await jobs[0]).seed == 0

    asyncio.run(main())


def test_cancel_while_it_runs(engine: sdrbee.Engine) -> None:
    job = engine.submit(PROMPT, steps=1000)
    for event in job:
        if event.kind == "step":
            job.cancel()
            break
    with pytest.raises(sdrbee.Cancelled):
        job.result(60)
    assert job.state == "cancelled"
    assert sum(event.kind == "step" for event in job) < 1000


def test_errors_are_typed(engine: sdrbee.Engine) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match="steps"):
        engine.submit(PROMPT, steps=0)
    with pytest.raises(sdrbee.InvalidRequest, match="model"):
        engine.submit(PROMPT, model="other")
    with pytest.raises(TypeError, match="seed"):
        engine.submit(sdrbee.GenerationRequest(prompt=PROMPT), seed=1)
    job = engine.submit(PROMPT, steps=1000, deadline=0.2)
    with pytest.raises(TimeoutError):
        job.result(0)
    with pytest.raises(sdrbee.DeadlineExceeded):
        job.result(60)
    with pytest.raises(sdrbee.CheckpointError):
        sdrbee.Engine("/no/such/model")


def test_the_queue_is_bounded() -> None:
    with sdrbee.Engine("shapes", queue_limit=1, max_batch=1) as small:
        running = small.submit(PROMPT, steps=1000)
        while running.state == "queued":
            time.sleep(0.001)
        waiting = small.submit(PROMPT)
        assert small.status["queued"] == 1
        with pytest.raises(sdrbee.QueueFull):
            small.submit(PROMPT)
    assert running.state == waiting.state == "cancelled"
    with pytest.raises(sdrbee.Cancelled):
        small.submit(PROMPT)


def test_several_models_and_devices() -> None:
    models = {"plain": "shapes", "filled": {"name": "shapes-inpaint", "dtype": "fp32"}}
    with sdrbee.Engine(models, devices=["cpu", "cpu"], dtype="fp32") as engine:
        assert {info.variant for info in engine.models.values()} == {
            sdrbee.load(name).info.variant for name in ("shapes", "shapes-inpaint")
        }
        jobs = [engine.submit(PROMPT, model="plain", steps=2, seed=seed) for seed in range(4)]
        mask = np.full((128, 128), 255, np.uint8)
        image = np.zeros((128, 128, 3), np.uint8)
        filled = engine.submit(PROMPT, model="filled", image=image, mask=mask, steps=2)
        assert filled.result(60).width == 128
        assert [job.result(60).seed for job in jobs] == [0, 1, 2, 3]


def test_submitting_from_many_threads(engine: sdrbee.Engine) -> None:
    seeds: list[int] = []

    def work(seed: int) -> None:
        seeds.append(engine.submit(PROMPT, steps=1, seed=seed).result(60).seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seeds) == list(range(24))


def test_an_open_engine_does_not_keep_the_process() -> None:
    program = f"""
import sdrbee
engine = sdrbee.Engine("shapes")
job = engine.submit({PROMPT!r}, steps=1000)
next(iter(job))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
