"""The error tree of C++, seen from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

import sdrbee


@pytest.mark.parametrize(
    "name",
    [
        "InvalidRequest",
        "CheckpointError",
        "UnsupportedModel",
        "OutOfMemory",
        "Cancelled",
        "QueueFull",
        "InternalError",
    ],
)
def test_every_error_is_an_sdrbee_error(name: str) -> None:
    error = getattr(sdrbee, name)
    assert issubclass(error, sdrbee.Error)
    assert error.__module__ == "sdrbee"


def test_errors_are_what_python_users_catch() -> None:
    assert issubclass(sdrbee.InvalidRequest, ValueError)
    assert issubclass(sdrbee.OutOfMemory, MemoryError)


def test_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(sdrbee.CheckpointError, match=r"no-such-model"):
        sdrbee.load(tmp_path / "no-such-model")


def test_misspelt_builtin_name_gets_a_suggestion() -> None:
    with pytest.raises(sdrbee.CheckpointError, match=r"did you mean 'shapes'"):
        sdrbee.load("shape")


def test_folder_without_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(sdrbee.CheckpointError, match=r"model_index\.json"):
        sdrbee.load(tmp_path)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cpu:x"])
def test_unknown_device_is_named(device: str) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match=device):
        sdrbee.load("shapes", device=device)


def test_unknown_dtype_lists_the_known_ones() -> None:
    with pytest.raises(sdrbee.InvalidRequest, match=r"bf16"):
        sdrbee.load("shapes", dtype="int3")


def test_threads_below_one_are_refused() -> None:
    with pytest.raises(sdrbee.InvalidRequest, match=r"\[threads\].*0"):
        sdrbee.set_threads(0)
