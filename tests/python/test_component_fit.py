"""Folders whose components are not of one model are refused at load, by field and file."""

from __future__ import annotations

from pathlib import Path

import pytest
from model_folder import folder_with

import sdrbee


@pytest.mark.parametrize(
    ("file", "fields", "named"),
    [
        (
            "text_encoder/config.json",
            {"hidden_size": 192},
            r"unet/config.json\] 'cross_attention_dim': expected 192, "
            r"the 'hidden_size' of \S*text_encoder/config.json, but got 128",
        ),
        (
            "unet/config.json",
            {"cross_attention_dim": [128, 128, 96]},
            r"unet/config.json\] 'cross_attention_dim': expected 128, .* but got 96",
        ),
        (
            "vae/config.json",
            {"latent_channels": 16},
            r"unet/config.json\] 'in_channels': expected 16, "
            r"the 'latent_channels' of \S*vae/config.json, but got 4",
        ),
        (
            "unet/config.json",
            {"out_channels": 8},
            r"unet/config.json\] 'out_channels': expected 4, .*vae/config.json, but got 8",
        ),
        (
            "vae/config.json",
            {"in_channels": 1},
            r"vae/config.json\] 'in_channels': expected 3, red, green and blue, but got 1",
        ),
        (
            "text_encoder/config.json",
            {"vocab_size": 64},
            r"text_encoder/config.json\] 'vocab_size': expected at least \d+, .* but got 64",
        ),
        (
            "text_encoder/config.json",
            {"max_position_embeddings": 32},
            r"'max_position_embeddings': expected at least 77, .* but got 32",
        ),
        (
            "model_index.json",
            {"text_encoder": ["transformers", "T5EncoderModel"]},
            r"'text_encoder': expected class CLIPTextModel but got T5EncoderModel",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_misfit_is_named(
    tmp_path: Path, file: str, fields: dict[str, object], named: str
) -> None:
    with pytest.raises(sdrbee.CheckpointError, match=named):
        sdrbee.load(folder_with(tmp_path / "model", file, **fields))


def test_an_unknown_scheduler_is_named_and_a_sampler_helps(tmp_path: Path) -> None:
    index = "model_index.json"
    folder = folder_with(tmp_path / "model", index, scheduler=["diffusers", "OtherScheduler"])
    model = sdrbee.load(folder)
    with pytest.raises(sdrbee.UnsupportedModel, match=r"'OtherScheduler'.*choose a sampler.*euler"):
        model.generate("a star", steps=1)
    assert model.generate("a star", steps=1, sampler="euler").width == 128
