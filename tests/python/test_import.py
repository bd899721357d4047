"""`import sdrbee` loads libtorch but never Python's torch, in every order and layout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sdrbee import _native, _torch_runtime


def run_python(
    code: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment,
    )


def test_import_leaves_torch_numpy_and_click_alone() -> None:
    done = run_python(
        "import sys, sdrbee\n"
        "heavy = ('torch', 'numpy', 'click', 'tqdm', 'PIL')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("order", ["torch, sdrbee", "sdrbee, torch"])
def test_torch_and_sdrbee_share_a_process(order: str) -> None:
    done = run_python(
        f"import {order}\n"
        "layer = torch.nn.Linear(3, 1)\n"
        "layer(torch.ones(2, 3)).sum().backward()\n"
        "try: sdrbee.load('/nowhere/at/all')\n"
        "except sdrbee.CheckpointError: print(layer.bias.grad.item())"
    )
    assert done.stdout.strip() == "2.0", done.stderr


def test_other_torch_release_is_an_import_error_with_the_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").touch()
    (tmp_path / "torch-1.13.0.dist-info").mkdir()
    monkeypatch.setattr(_torch_runtime, "_find_package", lambda: tmp_path / "torch")
    with pytest.raises(ImportError, match=r"got torch 1\.13\.0 .*pip install torch=="):
        _torch_runtime.load()


def test_missing_torch_is_an_import_error_with_the_pip_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_torch_runtime.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ImportError, match=r"torch is not installed .*pip install torch=="):
        _torch_runtime.load()


def test_damaged_torch_is_an_import_error_that_names_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch" / "lib").mkdir(parents=True)
    (tmp_path / "torch" / "version.py").write_text(
        f"__version__ = '{_torch_runtime.TORCH_VERSION}+cpu'\n"
    )
    monkeypatch.setattr(_torch_runtime, "_find_package", lambda: tmp_path / "torch")
    with pytest.raises(ImportError, match=r"can't load .*c10"):
        _torch_runtime.load()


@pytest.mark.skipif(shutil.which("readelf") is None, reason="needs readelf")
def test_extension_records_no_library_search_path() -> None:
    done = subprocess.run(
        ["readelf", "--dynamic", _native.__file__], capture_output=True, text=True, check=True
    )
    assert "libtorch_cpu.so" in done.stdout
    assert not re.search(r"R(UN)?PATH", done.stdout)


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "2000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "0")],
)
def test_threads_wait_briefly_on_few_cores_unless_told_otherwise(
    given: dict[str, str], expected: str
) -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); import sdrbee"
    left = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = run_python(code, {**left, **given, "OMP_DISPLAY_ENV": "VERBOSE"})
    assert f"GOMP_SPINCOUNT = '{expected}'" in done.stderr
