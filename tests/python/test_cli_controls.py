"""How a control network is written on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import sdrbee
from sdrbee._native import control_pictures
from sdrbee.cli import commands
from sdrbee.cli.options import CONTROL_OPTIONS, control
from sdrbee.requests import Control

EDGES = "edges.png"


@pytest.fixture(autouse=True)
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (EDGES, "a:b.png", "a,b.png"):
        Path(name).write_bytes(b"")


WRITTEN: dict[str, dict[str, Any]] = {
    "canny=edges.png": {"model": "canny", "image": EDGES},
    "canny=edges.png:0.9": {"model": "canny", "image": EDGES, "strength": 0.9},
    "canny=a:b.png": {"model": "canny", "image": "a:b.png"},
    "canny=a,b.png:-1": {"model": "canny", "image": "a,b.png", "strength": -1.0},
    "union=edges.png:0.9,type=canny": {
        "model": "union",
        "image": EDGES,
        "strength": 0.9,
        "type": "canny",
    },
    "./nets/u.safetensors=edges.png,start=0.1,end=0.8,type=depth,strength=2": {
        "model": "./nets/u.safetensors",
        "image": EDGES,
        "strength": 2.0,
        "start": 0.1,
        "end": 0.8,
        "type": "depth",
    },
    "canny=edges.png:0.9,mode=prompt,preprocessor=canny": {
        "model": "canny",
        "image": EDGES,
        "strength": 0.9,
        "mode": "prompt",
        "preprocessor": "canny",
    },
    "canny=edges.png,guess_mode=true": {"model": "canny", "image": EDGES, "guess_mode": True},
    "repaint,type=inpaint,end=0.5": {"model": "repaint", "type": "inpaint", "end": 0.5},
    "face=edges.png:0.5,image=a:b.png,end=0.9,image=edges.png": {
        "model": "face",
        "images": [EDGES, "a:b.png", EDGES],
        "strength": 0.5,
        "end": 0.9,
    },
    "face=edges.png,mask=a:b.png": {"model": "face", "image": EDGES, "mask": "a:b.png"},
    "face=edges.png,mask=a:b.png,image=edges.png,mask=edges.png": {
        "model": "face",
        "images": [EDGES, EDGES],
        "masks": ["a:b.png", EDGES],
    },
    "repaint=edges.png,type=inpaint": {"model": "repaint", "image": EDGES, "type": "inpaint"},
}


@pytest.mark.parametrize("text", WRITTEN)
def test_what_is_written_is_the_field_of_a_request(text: str) -> None:
    assert control(text) == WRITTEN[text]


REFUSED = {
    "canny": "is no NAME=PICTURE",
    "=edges.png": "is no NAME=PICTURE",
    "canny=": "is no NAME=PICTURE",
    "union,type=canny": "is no NAME=PICTURE",
    "canny=none.png": "there is no picture 'none.png'",
    "face=edges.png,mask=none.png": "there is no picture 'none.png'",
    "face=edges.png,image=": "there is no picture ''",
    "canny=edges.png,tpye=canny": "there is no picture 'edges.png,tpye=canny'",
    "canny=edges.png,start=soon": "'start=soon' is no value of a control's start",
    "canny=edges.png,guess_mode=perhaps": "'guess_mode=perhaps' is no value",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_control_is_told(text: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        control(text)
    assert REFUSED[text] in str(caught.value)


def test_all_fields_of_a_control_but_factors_by_block_can_be_written() -> None:
    lists = {several for _, several in control_pictures()}
    assert set(CONTROL_OPTIONS) == set(Control.__annotations__) - {"model", "blocks"} - lists


def test_the_command_hands_them_to_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def request(**fields: Any) -> None:
        asked.append(fields)
        raise sdrbee.InvalidRequest("seen")

    monkeypatch.setattr(sdrbee, "GenerationRequest", request)
    written = "union=edges.png:0.9,type=canny,end=0.8"
    CliRunner().invoke(commands, ["generate", "a star", "--control", written])
    assert [dict(given) for given in asked[0]["controls"]] == [
        {"model": "union", "image": EDGES, "strength": 0.9, "type": "canny", "end": 0.8}
    ]
