"""Settings: a flag before the environment, that before the file, and that before the default."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import sdrbee
from sdrbee.cli import run
from sdrbee.config import config_path
from sdrbee.hub.local import models_folder


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the configuration file is looked for; there is none yet."""
    for name in ("SDRBEE_CONFIG", "SDRBEE_HOME", "XDG_DATA_HOME", "SDRBEE_SERVE_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = tmp_path / "config" / "sdrbee" / "config.toml"
    path.parent.mkdir(parents=True)
    assert config_path() == path
    return path


def settings(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["config", "show", "--json", *arguments]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_each_place_goes_before_the_next(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = settings(capsys)["port"]
    assert port == {"value": 8081, "origin": "default"}
    file.write_text("[serve]\nport = 9001\nmax-batch = 2\ndevice = ['cpu', 'cpu']\n")
    told = settings(capsys)
    assert told["port"] == {"value": 9001, "origin": f"file {file}"}
    assert told["max_batch"]["value"] == 2
    assert told["devices"]["value"] == ["cpu", "cpu"]
    monkeypatch.setenv("SDRBEE_SERVE_PORT", "9002")
    assert settings(capsys)["port"] == {
        "value": 9002,
        "origin": "environment SDRBEE_SERVE_PORT",
    }
    assert settings(capsys, "--port", "9003")["port"] == {"value": 9003, "origin": "flag"}


def test_it_is_told_as_a_table(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "show"]) == 0
    assert "default" not in capsys.readouterr().out
    assert run(["config", "show", "--origin"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["port", "8081", "default"] in rows


def test_the_store_s_folder_follows_the_file(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings(capsys)["models_folder"]["origin"] == "default"
    file.write_text('home = "/srv/pictures"')
    assert models_folder() == Path("/srv/pictures/models")
    assert settings(capsys)["models_folder"] == {
        "value": "/srv/pictures/models",
        "origin": f"file {file}",
    }
    monkeypatch.setenv("SDRBEE_HOME", "/elsewhere")
    assert models_folder() == Path("/elsewhere/models")
    assert settings(capsys)["models_folder"]["origin"] == "environment SDRBEE_HOME"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[serve\n", "expected TOML"),
        ("[serve]\nprot = 1\n", "did you mean serve.port?"),
        ("[serv]\nport = 1\n", "did you mean serve?"),
        ("serve = 5", "expected a table"),
        ("home = 5", "expected a text"),
        ("[serve]\nport = 'many'\n", "port"),
    ],
)
def test_what_is_wrong_in_the_file_is_told(
    file: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    file.write_text(text)
    assert run(["config", "show"]) == 2
    assert message in capsys.readouterr().err


def test_a_named_file_must_be_there(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDRBEE_CONFIG", str(file.parent / "other.toml"))
    with pytest.raises(sdrbee.InvalidRequest, match=r"there is no file .*other\.toml"):
        models_folder()
