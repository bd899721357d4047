"""What the documentation shows works: docstrings, README, documents, examples."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import sdrbee

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
MODULES = [
    "sdrbee",
    "sdrbee.model",
    "sdrbee.replaying",
    "sdrbee.model_files",
    "sdrbee.names",
    "sdrbee.hub.local",
    "sdrbee.hub.pulling",
    "sdrbee.conversion",
    "sdrbee.engine",
    "sdrbee.job",
    "sdrbee.plugins",
    "sdrbee.preprocess.finding",
    "sdrbee.testing",
    "sdrbee.server.app",
    "sdrbee._native",
]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


@pytest.mark.parametrize("name", [name for name in sdrbee.__all__ if name != "__version__"])
def test_every_public_name_is_documented(name: str) -> None:
    value = getattr(sdrbee, name)
    assert value.__doc__
    if isinstance(value, type):
        for member, item in vars(value).items():
            if not member.startswith("_") and callable(item):
                assert item.__doc__, f"{name}.{member}"


def fenced(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(), re.M | re.S)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_python_blocks_run(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in fenced(document, "python"):
        exec(compile(block, str(document), "exec"), names)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_sdrbee_command_lines_run(document: Path, command: list[str], tmp_path: Path) -> None:
    for block in fenced(document, "console"):
        for line in re.findall(r"^\$ sdrbee (.*)$", block, re.M):
            done = subprocess.run(
                [*command, *shlex.split(line, comments=True)],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode == 0, f"{line}: {done.stderr}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_inside_the_repository_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text())
    targets += re.findall(r'src="([^"]+)"', document.read_text())
    missing = [
        target
        for target in targets
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert not missing


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(example: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(example)],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert any(tmp_path.iterdir())


def test_compatibility_lists_every_variant() -> None:
    listed = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    variants = [variant.id for family in sdrbee.families() for variant in family.variants]
    missing = [name for name in variants if name != "custom" and f"| {name} |" not in listed]
    assert not missing, "run python -m tools.compatibility"
