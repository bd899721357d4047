"""The tables of samplers and schedules, and samplers that find their steps on the way."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

import sdrbee

PROMPT = "a large red circle on a blue background"


def test_every_sampler_names_paper_order_and_evaluations() -> None:
    for row in sdrbee.samplers():
        assert re.search(r"arXiv:\d{4}\.\d{5}", row.paper), row.name
        assert 1 <= row.order <= 4
        assert 1 <= row.evaluations <= 3
        assert 0 <= row.default_eta <= 1
    assert all(row.paper for row in sdrbee.schedules())


def test_the_command_prints_the_table(command: list[str]) -> None:
    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*command, "samplers", *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout

    lines = run().splitlines()
    for row in sdrbee.samplers():
        line = next(line for line in lines if line.split()[:1] == [row.name])
        assert row.paper in line
        assert all(alias in line for alias in row.aliases)
    report = json.loads(run("--json"))
    adaptive = next(row for row in report["samplers"] if row["name"] == "dpm_adaptive")
    assert (adaptive["order"], adaptive["evaluations"]) == (3, 3)
    assert {"align_your_steps", "gits"} <= {row["name"] for row in report["schedules"]}


def test_nobody_knows_how_many_steps_dpm_adaptive_takes(model: sdrbee.Model) -> None:
    seen: list[tuple[int, int | None]] = []

    def on_step(step: int, total: int | None, preview: object) -> None:
        seen.append((step, total))

    picture = model.generate(PROMPT, seed=7, sampler="dpm_adaptive", on_step=on_step)
    assert picture.width == 128
    assert [step for step, _ in seen] == list(range(1, len(seen) + 1))
    assert {total for _, total in seen} == {None}
    assert len(seen) > 5


def test_dpm_adaptive_goes_on_bit_by_bit_after_every_step(model: sdrbee.Model) -> None:
    request = sdrbee.GenerationRequest(
        prompt=PROMPT, seed=7, sampler="dpm_adaptive", eta=0.5, output="latent"
    )
    whole = model.begin(request)
    pieces = model.begin(request)
    assert whole.total is None
    while not whole.done:
        model.advance(whole)
        pieces = model.restore(model.save(pieces))
        model.advance(pieces)
        assert pieces.done == whole.done
    np.testing.assert_array_equal(model.finish(whole), model.finish(pieces))


def test_dpm_adaptive_in_every_mode_and_beside_others(model: sdrbee.Model) -> None:
    source = np.full((128, 128, 3), (40, 75, 210), np.uint8)
    mask = np.zeros((128, 128), np.uint8)
    mask[:, 64:] = 255
    adaptive = sdrbee.GenerationRequest(
        prompt=PROMPT, sampler="dpm_adaptive", image=source, mask=mask, strength=0.5, seed=1
    )
    made = model.generate_batch([adaptive, adaptive.replace(sampler="ddim", steps=3)])[0]
    np.testing.assert_array_equal(np.asarray(made)[:, :64], source[:, :64])
    with pytest.raises(sdrbee.InvalidRequest, match="denoising_end"):
        model.generate(PROMPT, sampler="dpm_adaptive", denoising_end=0.5)


def test_own_sigmas_are_counted_and_replayed(model: sdrbee.Model, tmp_path: Path) -> None:
    sigmas = [14.6, 5.0, 1.2, 0.3, 0.0]
    picture = model.generate(PROMPT, sigmas=sigmas, sampler="euler", seed=2)
    assert picture.recipe is not None
    assert picture.recipe["request"]["steps"] == 4
    picture.save(tmp_path / "out.png")
    assert bytes(sdrbee.replay(tmp_path / "out.png", model=model)) == bytes(picture)
    assert bytes(model.generate(PROMPT, sigmas=sigmas, sampler="euler", seed=2, steps=4)) == bytes(
        picture
    )
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[steps\] expected 4"):
        model.generate(PROMPT, sigmas=sigmas, sampler="euler", steps=5)


def test_cfg_pp_needs_little_guidance(model: sdrbee.Model) -> None:
    fields = {"sampler": "euler_cfg_pp", "steps": 4, "seed": 2, "output": "latent"}
    unguided = model.generate(PROMPT, guidance_scale=1.0, **fields)
    euler = model.generate(PROMPT, guidance_scale=1.0, **fields | {"sampler": "euler"})
    assert np.linalg.norm(unguided - euler) / np.linalg.norm(euler) < 1e-4
    guided = model.generate(PROMPT, guidance_scale=1.5, **fields)
    assert not np.allclose(guided, unguided)
