"""Which models of an engine are in memory: budget, pins, idle time, swaps."""

from __future__ import annotations

import time

import psutil
import pytest

import sdrbee

PROMPT = "a red circle"
MODELS = {"a": "shapes", "b": "shapes", "c": "shapes"}


def loaded(engine: sdrbee.Engine) -> dict[str, int]:
    """The bytes of the models in the first worker's memory."""
    return {model["name"]: model["bytes"] for model in engine.status["workers"][0]["loaded"]}


@pytest.fixture(scope="module")
def whole() -> int:
    """What the built-in model takes when all of it is loaded."""
    model = sdrbee.load("shapes", dtype="fp32")
    return sum(part.bytes for part in model.memory.values())


def test_load_and_unload() -> None:
    with sdrbee.Engine(MODELS, dtype="fp32", devices=["cpu", "cpu"]) as engine:
        assert loaded(engine) == {}
        engine.load("b")
        assert list(loaded(engine)) == ["b"]
        assert [model["name"] for model in engine.status["workers"][1]["loaded"]] == ["b"]
        engine.unload("b")
        assert loaded(engine) == {}
        with pytest.raises(sdrbee.ModelNotFound):
            engine.load("other")
    with pytest.raises(sdrbee.Cancelled):
        engine.load("b")


def test_several_models_stay_within_the_budget(whole: int) -> None:
    budget = 2 * whole + 1000
    with sdrbee.Engine(MODELS, dtype="fp32", memory_budget=budget) as engine:
        for name in "abcab":
            engine.submit(PROMPT, model=name, steps=1).result(60)
            assert sum(loaded(engine).values()) <= budget
        assert list(loaded(engine)) == ["a", "b"]
        assert sum(loaded(engine).values()) > whole


def test_a_model_over_the_budget_takes_turns_with_itself(whole: int) -> None:
    unet = sdrbee.load("shapes", dtype="fp32").memory["unet"].bytes
    with sdrbee.Engine("shapes", dtype="fp32", memory_budget=unet + 1000) as engine:
        made = engine.submit(PROMPT, steps=2, seed=1).result(60)
        assert sum(loaded(engine).values()) <= unet + 1000
    assert bytes(made) == bytes(
        sdrbee.load("shapes", dtype="fp32").generate(PROMPT, steps=2, seed=1)
    )
    with sdrbee.Engine("shapes", dtype="fp32", memory_budget=1000) as engine:
        job = engine.submit(PROMPT, steps=1)
        with pytest.raises(sdrbee.InvalidRequest, match="memory_limit"):
            job.result(60)


def test_pinned_models_stay(whole: int) -> None:
    with sdrbee.Engine(MODELS, dtype="fp32", max_loaded_models=2) as engine:
        engine.pin("a")
        for name in "abc":
            engine.load(name)
        assert list(loaded(engine)) == ["a", "c"]
        engine.pin("a", False)
        for name in "bc":
            engine.load(name)
        assert list(loaded(engine)) == ["b", "c"]


def test_idle_models_are_let_go() -> None:
    with sdrbee.Engine("shapes", keep_alive="1ms") as engine:
        engine.submit(PROMPT, steps=1).result(60)
        while loaded(engine):
            time.sleep(0.005)
        assert engine.submit(PROMPT, steps=1, seed=2).result(60).seed == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("memory_budget", 0),
        ("memory_budget", "much"),
        ("max_loaded", 0),
        ("keep_alive", "soon"),
        ("keep_alive", 1e12),
    ],
)
def test_impossible_options_are_told(field: str, value: object) -> None:
    name = {"max_loaded": "max_loaded_models"}.get(field, field)
    with pytest.raises(sdrbee.InvalidRequest, match=rf"^\[{field}\]"):
        sdrbee.Engine("shapes", **{name: value})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300), ("1h30m", 5400), ("90", 90), (2.5, 2.5), ("250ms", 0.25), ("-1", None), (0, 0)],
)
def test_spans_of_time_as_ollama_has_them(text: object, seconds: float | None) -> None:
    from sdrbee.sizes import parse_seconds

    assert parse_seconds(text, "keep_alive") == seconds


def check_swaps(count: int) -> dict[str, object]:
    """Makes a picture with one model and then with another, which takes the first one's place, and
    so on; what the process holds in memory after the first of the swaps and at the end."""
    resident: list[int] = []
    with sdrbee.Engine(MODELS, dtype="fp32", max_loaded_models=1) as engine:
        for swap in range(count):
            engine.submit(PROMPT, model="ab"[swap % 2], steps=1, preview="none").result(60)
            assert list(loaded(engine)) == ["ab"[swap % 2]]
            resident.append(psutil.Process().memory_info().rss)
    early, late = resident[max(8, count // 10) - 1], resident[-1]
    growth = late / early - 1
    assert growth < 0.05, f"{early} bytes grew to {late}"
    return {"swaps": count, "early": early, "late": late, "growth": round(growth, 4)}


def test_swapping_does_not_grow() -> None:
    check_swaps(24)
