"""Fixtures that several test files share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import sdrbee

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def model() -> sdrbee.Model:
    """The built-in model in fp32 on the CPU."""
    return sdrbee.load("shapes", device="cpu", dtype="fp32")


@pytest.fixture(scope="session")
def command() -> list[str]:
    """The command `sdrbee`, run by this interpreter."""
    return [sys.executable, "-m", "sdrbee"]
