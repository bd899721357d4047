"""A prompt that a model must not cut is refused when it is submitted, by every family."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parity import flux2, flux_family, sd3, unet_families, z_image

import sdrbee

LONG = "red " * 600  # longer than any of these encoders takes

# How a tiny model is written, its encoder that sees too much, and further fields of the request.
FAMILIES: dict[str, tuple[Callable[[Path], None] | None, str, dict[str, Any]]] = {
    "stable_diffusion": (None, "CLIP", {}),
    "sdxl": (unet_families.KINDS["xl"].write, "CLIP", {}),
    "sd3": (sd3.KINDS["sd3"].write, "CLIP", {}),
    "flux": (flux_family.KINDS["flux-dev"].write, "T5", {"true_guidance_scale": 2.0}),
    "flux2": (lambda folder: flux2.write(folder, distilled=False), "Qwen3", {}),
    "z_image": (
        lambda folder: z_image.write(folder, 6.0, z_image.TRANSFORMER, z_image.VAE),
        "Qwen3",
        {},
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_that_is_too_long_is_never_queued(family: str, tmp_path: Path) -> None:
    write, encoder, fields = FAMILIES[family]
    if write is not None:
        write(tmp_path / "model")
    model = "shapes" if write is None else tmp_path / "model"
    words: dict[str, Any] = {
        "prompt": "red",
        "negative_prompt": "red",
        "guidance_scale": 4.0,
        "width": 32,
        "height": 32,
    }
    with sdrbee.Engine(model) as engine:
        engine.load()
        for field in ("prompt", "negative_prompt"):
            request = sdrbee.GenerationRequest(**{**words, **fields, field: LONG})
            pattern = (
                rf"^\[{field}\] expected at most \d+ tokens for {encoder} but got \d{{3,4}}, .*red"
            )
            with pytest.raises(sdrbee.InvalidRequest, match=pattern) as told:
                engine.submit(request.replace(long_prompt="error"))
            assert re.search(r"'[red ]{90,100}\.\.\. and \d+ more bytes'", str(told.value))
        assert engine.status["queued"] == 0
        job = engine.submit(sdrbee.GenerationRequest(**words, **fields, long_prompt="error"))
        job.cancel()


def test_the_field_that_holds_the_text_is_named(tmp_path: Path) -> None:
    sd3.KINDS["sd3"].write(tmp_path / "model")
    with sdrbee.Engine(tmp_path / "model") as engine:
        engine.load()
        fields: dict[str, Any] = {"max_sequence_length": 6, "long_prompt": "error"}
        for field in ("prompt_2", "prompt_3", "negative_prompt_3"):
            encoder = "CLIP" if field == "prompt_2" else "T5"
            with pytest.raises(sdrbee.InvalidRequest, match=rf"^\[{field}\] .* for {encoder}"):
                engine.submit("red", negative_prompt="red", **fields, **{field: LONG})


def test_a_model_that_is_not_loaded_counts_when_it_is() -> None:
    with sdrbee.Engine("shapes") as engine:
        job = engine.submit(LONG, steps=1, long_prompt="error")
        with pytest.raises(sdrbee.InvalidRequest, match=r"^\[prompt\] expected at most 77 tokens"):
            job.result()
        with pytest.raises(sdrbee.InvalidRequest, match=r"^\[prompt\] "):
            engine.submit(LONG, steps=1, long_prompt="error")
        engine.unload()
        assert is_queued_soon(engine, LONG), "nothing is left that counts"


def is_queued_soon(engine: sdrbee.Engine, prompt: str) -> bool:
    """True once a prompt is taken: a model goes when the job before has let go of it."""
    for _ in range(500):
        with contextlib.suppress(sdrbee.InvalidRequest):
            engine.submit(prompt, steps=1, long_prompt="error").cancel()
            return True
        time.sleep(0.02)
    return False
