"""Weights in prompts against a derivation with transformers: rows and weights written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from parity.pictures import HEIGHT, WIDTH
from parity.unet_families import OpenVariant, VariantPair, check

import sdrbee

STEPS = 4
Row = list[tuple[str, float]]
"""Pieces of one row of tokens and the weight of each."""

LONG = ", ".join(["a red circle left of a blue square"] * 12)

# Prompt and what it comes to.
CASES: dict[str, tuple[str, list[Row]]] = {
    "no marks": ("a red circle", [[("a red circle", 1.0)]]),
    "brackets": (
        "a (red) [circle] left of ((a (blue:1.3) square))",
        [
            [
                ("a ", 1.0),
                ("red", 1.1),
                (" ", 1.0),
                ("circle", 1 / 1.1),
                (" left of ", 1.0),
                ("a ", 1.1 * 1.1),
                ("blue", 1.1 * 1.1 * 1.3),
                (" square", 1.1 * 1.1),
            ]
        ],
    ),
    "escapes": (
        r"a \(red\) (circle\::0.4)",
        [[("a (red) ", 1.0), ("circle:", 0.4)]],
    ),
    "open bracket": ("a red (circle", [[("a red ", 1.0), ("circle", 1.1)]]),
    "negative weight": ("a (red:-1) circle", [[("a ", 1.0), ("red", -1.0), (" circle", 1.0)]]),
    "break": (
        "a red circle BREAK a (blue:1.4) square",
        [[("a red circle", 1.0)], [("a ", 1.0), ("blue", 1.4), (" square", 1.0)]],
    ),
}


def rows_of(tokenizer: Any, rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and weights [rows, 77]."""
    all_ids, all_weights = [], []
    for row in rows:
        ids, weights = [tokenizer.bos_token_id], [1.0]
        for text, weight in row:
            own = tokenizer(text, add_special_tokens=False)["input_ids"]
            ids += own
            weights += [weight] * len(own)
        ids.append(tokenizer.eos_token_id)
        ids += [tokenizer.pad_token_id] * (77 - len(ids))
        all_ids.append(ids)
        all_weights.append(weights + [1.0] * (77 - len(weights)))
    return torch.tensor(all_ids), torch.tensor(all_weights)


def emphasised(states: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """A1111's emphasis, in float64 and row by row."""
    rows = []
    for state, weight in zip(states.double(), weights.double(), strict=True):
        weighted = state * weight[:, None]
        rows.append(weighted * (state.mean() / weighted.mean()))
    return torch.cat(rows)[None].float()


@torch.no_grad()
def embeds(pair: VariantPair, rows: list[Row], count: int) -> dict[str, torch.Tensor]:
    """The conditioning of these rows, filled up to `count` rows."""
    pipeline = pair.pipelines["text_to_image"]
    rows = rows + [[]] * (count - len(rows))
    if not hasattr(pipeline, "text_encoder_2"):
        ids, weights = rows_of(pipeline.tokenizer, rows)
        return {"embeds": emphasised(pipeline.text_encoder(ids)[0], weights)}
    states = []
    for part in ("", "_2"):
        ids, weights = rows_of(getattr(pipeline, f"tokenizer{part}"), rows)
        output = getattr(pipeline, f"text_encoder{part}")(ids, output_hidden_states=True)
        states.append(emphasised(output.hidden_states[-2], weights))
        pooled = output[0][:1]
    return {"embeds": torch.cat(states, -1), "pooled": pooled}


def theirs(pair: VariantPair, rows: list[Row], negative: list[Row]) -> dict[str, Any]:
    """Arguments of the pipeline."""
    count = max(len(rows), len(negative))
    arguments: dict[str, Any] = {"num_inference_steps": STEPS}
    for prefix, own in (("", rows), ("negative_", negative)):
        made = embeds(pair, own, count)
        arguments[f"{prefix}prompt_embeds"] = made["embeds"]
        if "pooled" in made:
            arguments[f"{prefix}pooled_prompt_embeds"] = made["pooled"]
    return arguments


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["v1-5", "xl"])
def test_weights_are_those_of_a1111(open_variant: OpenVariant, name: str, case: str) -> None:
    pair = open_variant(name)
    prompt, rows = CASES[case]
    ours = {
        "prompt": prompt,
        "negative_prompt": "(blurry:1.2)",
        "steps": STEPS,
        "prompt_syntax": "a1111",
    }
    negative = [[("blurry", 1.2)]]
    check(pair, "text_to_image", ours, theirs(pair, rows, negative))


def picture(pair: VariantPair, prompt: str, **fields: Any) -> np.ndarray[Any, Any]:
    request = {"steps": STEPS, "seed": 3, "width": WIDTH, "height": HEIGHT, **fields}
    return np.asarray(pair.model.generate(prompt, output="float", **request))


def test_marks_are_text_unless_they_are_asked_for(open_variant: OpenVariant) -> None:
    pair = open_variant("v1-5")
    plain = picture(pair, "a (red:1.3) circle")
    assert np.array_equal(plain, picture(pair, "a (red:1.3) circle", prompt_syntax="plain"))
    assert not np.array_equal(plain, picture(pair, "a (red:1.3) circle", prompt_syntax="a1111"))
    assert np.array_equal(
        picture(pair, "a red circle"), picture(pair, "a red circle", prompt_syntax="a1111")
    )


def test_weights_go_with_a_prompt_of_several_rows(open_variant: OpenVariant) -> None:
    pair = open_variant("v1-5")
    plain = picture(pair, LONG)
    assert np.array_equal(plain, picture(pair, LONG, prompt_syntax="a1111"))
    assert not np.allclose(plain, picture(pair, f"{LONG} (green:1.9)", prompt_syntax="a1111"))


@pytest.mark.parametrize("prompt", ["(a:.)", "((((", "[a:b:", "))))", "\\", ":", "(:1)", ""])
def test_unbalanced_marks_make_a_picture(open_variant: OpenVariant, prompt: str) -> None:
    assert np.isfinite(picture(open_variant("v1-5"), prompt, prompt_syntax="a1111")).all()


def test_an_unknown_syntax_is_told() -> None:
    model = sdrbee.load("shapes")
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[prompt_syntax\].*'a1111'.*'midjourney'"):
        model.generate("a", prompt_syntax="midjourney")
