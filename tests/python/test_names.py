"""Which model a name means."""

from __future__ import annotations

import pytest

import sdrbee
from sdrbee.names import NamedModel, find_model

MODELS = [
    NamedModel("mine", "stable_diffusion", "v1-5"),
    NamedModel("Someone/Anime-XL", "sdxl", "xl"),
    NamedModel("Someone/Anime-XL@v0.9", "sdxl", "xl", ("v0.9", "0123456789abcdef")),
    NamedModel("black-forest-labs/FLUX.1-dev", "flux", "flux-dev", ("main", "fedcba9876543210")),
    NamedModel("shapes", "stable_diffusion", "custom"),
]


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("mine", "mine"),
        ("Mine", "mine"),
        ("someone/anime-xl", "Someone/Anime-XL"),
        ("anime-xl", "Someone/Anime-XL"),
        ("another/Anime-XL", "Someone/Anime-XL"),
        ("Someone/Anime-XL@v0.9", "Someone/Anime-XL@v0.9"),
        ("anime-xl@v0.9", "Someone/Anime-XL@v0.9"),
        ("anime-xl@0123456", "Someone/Anime-XL@v0.9"),
        ("flux-dev@fedcba98", "black-forest-labs/FLUX.1-dev"),
        ("FLUX.1-dev@main", "black-forest-labs/FLUX.1-dev"),
        ("flux1-dev", "black-forest-labs/FLUX.1-dev"),
        ("v1-5", "mine"),
        ("SD1.5", "mine"),
        ("1.5", "mine"),
        ("stable-diffusion-v1-5", "mine"),
        ("runwayml/stable-diffusion-v1-5", "mine"),
        ("stabilityai/stable-diffusion-xl-base-1.0", "Someone/Anime-XL"),
        ("xl", "Someone/Anime-XL"),
        ("sdxl", "Someone/Anime-XL"),
    ],
)
def test_a_model_by_all_that_it_is_called(wanted: str, name: str) -> None:
    assert find_model(wanted, MODELS) == name


@pytest.mark.parametrize(
    "wanted", ["v", "e", "turbo", "flux-dev@v2", "flux-dev@fedcba", "mine@main", "inpaint", "/", ""]
)
def test_others_are_not_found(wanted: str) -> None:
    with pytest.raises(sdrbee.ModelNotFound, match=r"^\[model\] "):
        find_model(wanted, MODELS)


def test_an_exact_name_wins_over_a_variants() -> None:
    models = [NamedModel("first", "sdxl", "xl"), NamedModel("xl", "sdxl", "turbo")]
    assert find_model("xl", models) == "xl"
    assert find_model("sdxl", models) == "first"


def test_near_names_are_told() -> None:
    with pytest.raises(sdrbee.ModelNotFound, match="did you mean 'Someone/Anime-XL'"):
        find_model("animexl", MODELS)
    with pytest.raises(sdrbee.ModelNotFound, match="did you mean 'mine'"):
        find_model("sd1.6", MODELS)
    with pytest.raises(sdrbee.ModelNotFound, match="expected one of 'mine'"):
        find_model("zebra", MODELS)
    many = [NamedModel(f"number-{i}") for i in range(12)]
    with pytest.raises(sdrbee.ModelNotFound, match="and 2 more"):
        find_model("zebra", many)


def test_an_engine_knows_its_models_by_them() -> None:
    with sdrbee.Engine({"z": "shapes", "a": "shapes-inpaint"}) as engine:
        assert list(engine.models) == ["z", "a"]
        assert engine.find_model() == "z"
        assert engine.submit("a star", model="someone/Z", steps=1).model == "z"
        with pytest.raises(sdrbee.ModelNotFound, match="'z', 'a'"):
            engine.submit("a star", model="zebra")


def test_not_finding_one_is_an_error_of_either_kind() -> None:
    assert issubclass(sdrbee.ModelNotFound, sdrbee.CheckpointError)
    assert issubclass(sdrbee.ModelNotFound, sdrbee.InvalidRequest)
