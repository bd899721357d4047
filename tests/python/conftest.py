"""Fixtures that several test files share."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

import sdrbee

ROOT = Path(__file__).resolve().parents[2]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--parity-device", default="cpu", help="device of sdrbee in the parity tests, e.g. cuda"
    )
    parser.addoption(
        "--screenshots", metavar="FOLDER", help="where the tests of the page put its screenshots"
    )
    parser.addoption(
        "--parity-full", action="store_true", help="all 2,244 cases of the sampler grid"
    )


def pytest_configure() -> None:
    # Models and settings of whoever runs the tests have no part in them.
    for name in ("SDRBEE_HOME", "XDG_CONFIG_HOME"):
        os.environ[name] = tempfile.mkdtemp(prefix="sdrbee-")
    # A script's background jobs start with Ctrl-C ignored, and so would all processes of the tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def model() -> sdrbee.Model:
    """The built-in model in fp32 on the CPU."""
    return sdrbee.load("shapes", device="cpu", dtype="fp32")


@pytest.fixture(scope="session")
def command() -> list[str]:
    """The command `sdrbee`, run by this interpreter."""
    return [sys.executable, "-m", "sdrbee"]


@pytest.fixture
def record_parity(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Notes for docs/compatibility.md how far a picture is from diffusers'."""

    def record(variant: str, mode: str, *, stored: str = "folder", pixels: float) -> None:
        row = {"variant": variant, "mode": mode, "stored": stored, "pixels": pixels}
        record_property("parity", json.dumps(row))

    return record
