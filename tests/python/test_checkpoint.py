"""Jobs that go on from a checkpoint, also in another process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdrbee

PROMPT = "a red circle left of a blue square"


@pytest.fixture(scope="module")
def engine() -> Iterator[sdrbee.Engine]:
    with sdrbee.Engine("shapes", dtype="fp32", checkpoint_interval=0) as made:
        yield made


def interrupted(engine: sdrbee.Engine, after: int, **fields: Any) -> bytes:
    """A checkpoint of a job after that many steps, or some more: the engine does not wait."""
    job = engine.submit(PROMPT, **fields)
    step = 0
    for event in job:
        step = max(step, event.step)
        if event.kind == "checkpoint" and step >= after:
            break
    kept = job.checkpoint()
    job.cancel()
    assert kept is not None
    return kept


def noisy_picture() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(3).integers(0, 255, (128, 128, 3), np.uint8)


@pytest.mark.parametrize(
    "fields",
    [
        {"sampler": "dpmpp_2m_sde"},
        {"exact": True, "guidance_scale": 3.0, "preview": "fast"},
        {"image": noisy_picture(), "strength": 0.9},
        {"hires_scale": 1.5, "hires_steps": 8},
        {"negative_prompt": "[star|ring]", "prompt_syntax": "a1111"},
    ],
    ids=["random sampler", "exact", "from a picture", "two passes", "changing prompt"],
)
def test_a_resumed_job_gives_the_identical_picture(
    engine: sdrbee.Engine, fields: dict[str, Any]
) -> None:
    fields = {"steps": 12, "seed": 5, **fields}
    whole = engine.submit(PROMPT, **fields).result(60)
    kept = interrupted(engine, 5, **fields)
    job = engine.submit(PROMPT, resume=kept, **fields)
    image = job.result(60)
    assert bytes(image) == bytes(whole)
    assert image.recipe == whole.recipe
    assert all(event.step > 5 for event in job if event.kind == "step")


def test_another_process_goes_on(engine: sdrbee.Engine, tmp_path: Path) -> None:
    whole = engine.submit(PROMPT, steps=8, seed=5).result(60)
    kept, made = tmp_path / "kept", tmp_path / "made.png"
    kept.write_bytes(interrupted(engine, 3, steps=8, seed=5))
    program = f"""
import sdrbee
from pathlib import Path
with sdrbee.Engine("shapes", dtype="fp32") as engine:
    kept = Path({str(kept)!r}).read_bytes()
    engine.submit({PROMPT!r}, steps=8, resume=kept).result().save({str(made)!r})
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    assert made.read_bytes() == whole.encode("png")


def test_all_pictures_of_a_job_go_on(engine: sdrbee.Engine) -> None:
    whole = engine.submit(
        sdrbee.GenerationRequest(prompt=PROMPT, count=3, steps=8, seed=5, exact=True)
    ).result(60)
    request = sdrbee.GenerationRequest(prompt=PROMPT, count=3, steps=8, seed=5, exact=True)
    job = engine.submit(request)
    for event in job:
        if (event.kind, event.image_index, event.step) == ("step", 1, 4):
            job.cancel()
    resumed = engine.submit(request, resume=job.checkpoint())
    assert [bytes(image) for image in resumed.result(60)] == [bytes(image) for image in whole]


def test_closing_takes_a_last_checkpoint() -> None:
    engine = sdrbee.Engine("shapes", dtype="fp32")
    job = engine.submit(PROMPT, steps=1000, seed=5)
    next(event for event in job if event.kind == "step")
    assert job.checkpoint() is None
    engine.close(checkpoint=True)
    assert job.state == "cancelled"
    kinds = [event.kind for event in job]
    assert kinds[-2:] == ["checkpoint", "cancelled"]
    assert job.checkpoint()


def test_foreign_and_damaged_bytes_are_refused(engine: sdrbee.Engine) -> None:
    kept = interrupted(engine, 3, steps=500, seed=5)
    for fields in ({"steps": 501, "seed": 5}, {"steps": 500, "seed": 6}):
        with pytest.raises(sdrbee.CheckpointError, match="request"):
            engine.submit(PROMPT, resume=kept, **fields)
    damaged = [b"", b"x" * 500, kept[:-1], kept[:80], kept[:-1] + bytes([kept[-1] ^ 1])]
    for one in damaged:
        with pytest.raises(sdrbee.CheckpointError):
            engine.submit(PROMPT, resume=one, steps=500, seed=5)


def test_another_picture_is_another_request(engine: sdrbee.Engine) -> None:
    fields: dict[str, Any] = {"steps": 500, "seed": 5, "image": noisy_picture()}
    kept = interrupted(engine, 3, **fields)
    with pytest.raises(sdrbee.CheckpointError, match="inputs"):
        engine.submit(PROMPT, resume=kept, **{**fields, "image": noisy_picture() // 2})


def test_a_checkpoint_holds_no_weights(engine: sdrbee.Engine) -> None:
    assert len(interrupted(engine, 3, steps=500, seed=5)) < 64 * 1024
