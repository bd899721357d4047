"""Loads the libtorch of the installed ``torch`` package without importing that package.

The extension needs ``libc10`` and ``libtorch_cpu``, which lie inside the Python package
``torch``. Importing the package takes over a second and hundreds of megabytes that sdrbee has no
use for, so only the two libraries are loaded. A later or earlier ``import torch`` shares them.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import sys
from pathlib import Path

from sdrbee._built_with import TORCH_VERSION

# How often a waiting thread of OpenMP looks before it sleeps, and on machines of which size.
_SPINS = 2_000
_FEW_CORES = 8


def load() -> None:
    """Loads libc10 and libtorch_cpu into the process.

    Raises:
        ImportError: torch is not installed, is of another release than sdrbee was built with, or
            its libraries can't be loaded. The message gives the pip line that puts it right.
    """
    package = _find_package()
    version = _installed_version(package)
    if version.split("+")[0] != TORCH_VERSION:
        raise ImportError(
            f"[sdrbee] expected torch {TORCH_VERSION}, which sdrbee was built with, but got torch "
            f"{version} in {package}. {_pip_line()}"
        )
    # Large pages for large tensors: a quarter of the page faults when loading.
    # libc10 reads this once.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    _wait_briefly()
    for name in ("c10", "torch_cpu"):
        library = package / "lib" / _file_name(name)
        try:
            ctypes.CDLL(str(library))
        except OSError as error:
            raise ImportError(f"[sdrbee] can't load {library}: {error}. {_pip_line()}") from error


def _wait_briefly() -> None:
    """Lets threads that wait for others of their team sleep early.

    OpenMP's threads spin for milliseconds by default. Where another process wants the same few
    cores, they spin away the time of the very thread that they wait for: the built-in model takes
    twice as long beside one busy process and twenty times beside ten, against no measurable gain
    alone. With many cores, waking them all would cost more. libgomp reads this once.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys() and _cores() <= _FEW_CORES:
        os.environ["GOMP_SPINCOUNT"] = str(_SPINS)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _find_package() -> Path:
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"[sdrbee] torch is not installed for {sys.executable}. {_pip_line()}")
    return Path(next(iter(spec.submodule_search_locations)))


def _installed_version(package: Path) -> str:
    """The release, from the metadata folder's name: importlib.metadata takes 50 ms to import."""
    folders = [path.name for path in package.parent.glob("torch-*.dist-info")]
    if len(folders) == 1:
        return folders[0].removeprefix("torch-").removesuffix(".dist-info")
    found = re.search(r"__version__ = '([^']+)'", (package / "version.py").read_text())
    return found[1] if found else "of unknown version"


def _file_name(name: str) -> str:
    return f"lib{name}.dylib" if sys.platform == "darwin" else f"lib{name}.so"


def _pip_line() -> str:
    return f"Run: {sys.executable} -m pip install torch=={TORCH_VERSION}"
