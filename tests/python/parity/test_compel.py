"""Prompts in compel's syntax against the compel package, through diffusers' pipelines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compel import Compel, CompelForSD, CompelForSDXL
from parity import flux_family, sd3
from parity.pictures import HEIGHT, WIDTH
from parity.unet_families import OpenVariant, VariantPair, check

import sdrbee

STEPS = 2
NEGATIVE = "blurry- (bad art)1.2"
SENTENCE = "a red circle left of a very small blue square in front of a (green star)0.6 ring"

CASES = {
    "no marks": "a red circle",
    "signs": "a red++ circle left of a blue- square---",
    "brackets": "a (red circle)1.4 left of ((a blue)0.7 square)0.8 and a (star)0",
    "nested": "(a red (circle)+ left of)++ a .attend(1.3) square",
    "escapes": r"a \(red\) (circle)1.3",
    "open bracket": "a red (circle left) of (a square",
    "sentences": f"{SENTENCE}. {SENTENCE}, {SENTENCE}. {SENTENCE}. {SENTENCE}. {SENTENCE}",
    "phrases": f"{SENTENCE}, {SENTENCE}; {SENTENCE} {SENTENCE} {SENTENCE} {SENTENCE}",
    "words": f"({SENTENCE} {SENTENCE} {SENTENCE} {SENTENCE} {SENTENCE})0.8 and (a star)1.3",
    "and": '("a red+ circle", "a (blue square)0.5", star).and()',
    "blend": '("a red+ circle", "a (blue square)0.5").blend(0.7, 0.4)',
    "blend of lengths": f'("a red circle", "{SENTENCE * 5}").blend(1, -0.4, no_normalize)',
}


@pytest.fixture(autouse=True)
def quietly() -> Iterator[None]:
    """compel encodes with gradients, which pipelines don't take."""
    with torch.no_grad():
        yield


def theirs(pair: VariantPair, prompt: str, negative: str) -> dict[str, Any]:
    """Arguments of the pipeline."""
    pipeline = pair.pipelines["text_to_image"]
    xl = hasattr(pipeline, "text_encoder_2")
    made = (CompelForSDXL if xl else CompelForSD)(pipeline)(prompt, negative_prompt=negative)
    arguments = {"prompt_embeds": made.embeds, "negative_prompt_embeds": made.negative_embeds}
    if xl:
        arguments["pooled_prompt_embeds"] = made.pooled_embeds
        arguments["negative_pooled_prompt_embeds"] = made.negative_pooled_embeds
    return arguments | {"num_inference_steps": STEPS}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["v1-5", "xl"])
def test_the_numbers_are_those_of_compel(open_variant: OpenVariant, name: str, case: str) -> None:
    pair = open_variant(name)
    prompt = CASES[case]
    ours = {"prompt": prompt, "negative_prompt": NEGATIVE, "prompt_syntax": "compel"}
    check(pair, "text_to_image", ours | {"steps": STEPS}, theirs(pair, prompt, NEGATIVE))


# compel 2.5.1 can't weigh texts that follow each other where a pooled text is wanted, as in XL.
WEIGHED_TEXTS = '("a red+ circle", "a (blue square)0.5", star).and(1, 0.6, 1.2)'


@pytest.mark.parametrize(("name", "prompt"), [("v1-5", WEIGHED_TEXTS), ("v2-1", CASES["brackets"])])
def test_one_encoder_is_as_in_compel(open_variant: OpenVariant, name: str, prompt: str) -> None:
    pair = open_variant(name)
    ours = {"prompt": prompt, "negative_prompt": NEGATIVE, "prompt_syntax": "compel"}
    check(pair, "text_to_image", ours | {"steps": STEPS}, theirs(pair, prompt, NEGATIVE))


def test_a_long_prompt_may_be_cut(open_variant: OpenVariant) -> None:
    pair = open_variant("v1-5")
    pipeline = pair.pipelines["text_to_image"]
    compel = Compel(pipeline.tokenizer, pipeline.text_encoder)
    prompt = f"{SENTENCE} {SENTENCE} {SENTENCE} {SENTENCE} {SENTENCE} (a star)1.9"
    ours = {"prompt": prompt, "negative_prompt": NEGATIVE, "prompt_syntax": "compel"}
    embeds = {"prompt_embeds": compel(prompt), "negative_prompt_embeds": compel(NEGATIVE)}
    check(
        pair,
        "text_to_image",
        ours | {"steps": STEPS, "long_prompt": "truncate"},
        embeds | {"num_inference_steps": STEPS},
    )


def picture(model: sdrbee.Model, prompt: str, **fields: Any) -> np.ndarray[Any, Any]:
    request = {"steps": 2, "seed": 3, "width": WIDTH, "height": HEIGHT, **fields}
    return np.asarray(model.generate(prompt, output="float", **request))


def test_a_word_that_is_weighed_is_not_taken_for_the_same_without(
    open_variant: OpenVariant,
) -> None:
    """What tokens see is part of what encoded prompts are known by."""
    model = open_variant("v1-5").model
    made = [
        picture(model, f"a red{mark} circle", prompt_syntax="compel") for mark in ("", "-", "+")
    ]
    again = [
        picture(model, f"a red{mark} circle", prompt_syntax="compel") for mark in ("", "-", "+")
    ]
    assert all(np.array_equal(one, other) for one, other in zip(made, again, strict=True))
    assert not np.array_equal(made[0], made[1])
    assert np.array_equal(made[0], picture(model, "a red circle"))


@pytest.mark.parametrize("prompt", ["(a:.)", "((((", '"a', "))))", "\\", "+", "()", '""', ""])
def test_unbalanced_marks_make_a_picture(open_variant: OpenVariant, prompt: str) -> None:
    model = open_variant("v1-5").model
    assert np.isfinite(picture(model, prompt, prompt_syntax="compel")).all()


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a cat.swap(dog)", r"\[prompt\] \.swap\(\)"),
        ("(a, b).blend(1)", r"\[prompt\] \.blend\(\).*2.*1"),
        (" ".join(f"a{'-' * (1 + i % 2)}" for i in range(65)), r"at most 64 pieces"),
    ],
)
def test_what_it_cannot_do_is_told(open_variant: OpenVariant, prompt: str, told: str) -> None:
    model = open_variant("v1-5").model
    with pytest.raises(sdrbee.InvalidRequest, match=told):
        picture(model, prompt, prompt_syntax="compel")


@pytest.mark.parametrize("write", [sd3.KINDS["sd3"].write, flux_family.KINDS["flux-dev"].write])
def test_other_models_refuse_it(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path / "model")
    with sdrbee.Engine(tmp_path / "model") as engine:
        engine.load()
        request = sdrbee.GenerationRequest(
            prompt="a red+ circle", prompt_syntax="compel", width=32, height=32
        )
        with pytest.raises(sdrbee.InvalidRequest, match=r"\[prompt_syntax\] 'compel'"):
            engine.submit(request)
