"""What all benchmarks share: workers, interleaved pairs, tables, JSON with the machine."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SHAPES = ROOT / "python" / "sdrbee" / "data" / "shapes"  # the built-in model
CACHE = Path.home() / ".cache" / "sdrbee" / "bench"  # models that benchmarks make
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16")
_Name = TypeVar("_Name")


@dataclass(frozen=True, slots=True)
class Pairs:
    """Seconds (or MiB) of both engines, measured in turn."""

    sdrbee: list[float]
    diffusers: list[float]

    @property
    def ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in zip(self.sdrbee, self.diffusers, strict=True)]

    def row(self, what: str, bar: float | None, unit: str = "s") -> dict[str, Any]:
        """A line of the table: medians of both, and of the pairwise ratios with their range."""
        return {
            "what": what,
            "unit": unit,
            "sdrbee": statistics.median(self.sdrbee),
            "diffusers": statistics.median(self.diffusers),
            "ratio": statistics.median(self.ratios),
            "ratio_min": min(self.ratios),
            "ratio_max": max(self.ratios),
            "pairs": len(self.ratios),
            "bar": bar,
            "samples": {"sdrbee": self.sdrbee, "diffusers": self.diffusers},
        }


def interleave(count: int, ours: Callable[[], float], theirs: Callable[[], float]) -> Pairs:
    """Measures both `count` times in turn; who goes first alternates too."""
    return Pairs(**in_turn(count, {"sdrbee": ours, "diffusers": theirs}))


def in_turn(count: int, measures: Mapping[_Name, Callable[[], float]]) -> dict[_Name, list[float]]:
    """Measures everything `count` times in turn, each time in the opposite order."""
    samples: dict[_Name, list[float]] = {name: [] for name in measures}
    for i in range(count):
        for name in list(measures)[:: 1 if i % 2 == 0 else -1]:
            samples[name].append(measures[name]())
    return samples


def in_fresh_process(code: str, *parameters: object, threads: int) -> dict[str, Any]:
    """What Python code prints as JSON, run by an interpreter of its own with `parameters`."""
    command = [sys.executable, "-c", code, *map(str, parameters)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(threads), stdout=subprocess.PIPE, text=True, check=True
    )
    made: dict[str, Any] = json.loads(done.stdout)
    return made


class Worker:
    """A process that runs one engine; see `bench.engines`."""

    def __init__(self, engine: str, model: str, dtype: str, threads: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.engines", engine, model, dtype, str(threads)],
            cwd=ROOT,
            env=environment(threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._receive()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"worker ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def call(self, name: str, *, save: Path | None = None, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        call: dict[str, Any] = {"do": name, "with": arguments}
        if save is not None:
            call["save"] = str(save)
        print(json.dumps(call), file=self._process.stdin, flush=True)
        return self._receive()

    def seconds(self, name: str, **arguments: Any) -> float:
        return float(self.call(name, **arguments)["seconds"])

    def latents(self, steps: int, size: int) -> np.ndarray:
        """The latents after `steps` steps from the seed that all benchmarks use."""
        self.call("begin", steps=steps, size=size, output="latent")
        for _ in range(steps):
            self.call("step")
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "made.npy"
            self.call("finish", save=place)
            return np.load(place)


def environment(threads: int) -> dict[str, str]:
    """This process's environment with the thread count for OpenMP."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}


def relative_l2(actual: np.ndarray, expected: np.ndarray) -> float:
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


def check_parity(ours: np.ndarray, reference: np.ndarray, dtype: str) -> float:
    """The relative L2 distance from diffusers in fp32; no timing counts without it.

    Raises:
        SystemExit: It is 1e-4 or more for fp32, 2e-2 or more for bf16.
    """
    limit = {"fp32": 1e-4, "bf16": 2e-2}[dtype]
    distance = relative_l2(ours, reference)
    print(f"parity: {dtype} is {distance:.1e} (relative L2) from diffusers fp32")
    if not distance < limit:
        raise SystemExit(f"[parity] expected less than {limit} but got {distance}")
    return distance


def arguments(description: str, *, pairs: int = 7, **options: Any) -> argparse.Namespace:
    """The command line of a benchmark: pairs, threads, and the given options."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--pairs", type=int, default=pairs)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "runs", help="folder of the JSON")
    for name, default in options.items():
        parser.add_argument(f"--{name}", default=default, required=default is None)
    return parser.parse_args()


def machine() -> dict[str, Any]:
    """The processor with the instruction sets that matter, memory, versions and date."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    pairs = (line.partition(":") for line in info.split("\n\n")[0].splitlines())
    fields = {key.strip(): value.strip() for key, _, value in pairs}
    flags = set(fields.get("flags", "").split())
    packages = ("sdrbee", "torch", "diffusers", "transformers", "numpy")
    return {
        "cpu": f"{fields.get('model name', platform.processor())}, family "
        f"{fields.get('cpu family', '?')} model {fields.get('model', '?')}",
        "cores": os.cpu_count(),
        "load_average": list(os.getloadavg()),  # above this process's threads: others took part
        "isa": [flag for flag in _FLAGS if flag in flags],
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes"),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def report(out: Path, name: str, rows: Sequence[dict[str, Any]], **details: Any) -> None:
    """Prints the table and writes `<name>.json` into the folder `out`."""
    print(f"\n{'':34} {'sdrbee':>10} {'diffusers':>10} {'ratio':>7} {'min':>6} {'max':>6}    bar")
    for row in rows:
        unit, bar = row["unit"], "" if row["bar"] is None else row["bar"]
        print(
            f"{row['what']:34} {row['sdrbee']:8.3g} {unit} {row['diffusers']:8.3g} {unit} "
            f"{row['ratio']:7.3f} {row['ratio_min']:6.3f} {row['ratio_max']:6.3f} {bar:>6}"
        )
    _write(out, name, rows, details)


def value_row(
    what: str,
    unit: str,
    samples: Sequence[float],
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    **details: Any,
) -> dict[str, Any]:
    """A line about one thing alone: median and range of its runs, and the bar it has to keep."""
    return {
        "what": what,
        "unit": unit,
        "median": statistics.median(samples),
        "min": min(samples),
        "max": max(samples),
        "at_most": at_most,
        "at_least": at_least,
        **details,
        "samples": list(samples),
    }


def write_values(out: Path, name: str, rows: Sequence[dict[str, Any]], **details: Any) -> None:
    """Prints lines of `value_row` and writes `<name>.json` into the folder `out`."""
    for row in rows:
        bars = [f"{bar} {row[bar]}" for bar in ("at_most", "at_least") if row[bar] is not None]
        spread = f"({row['min']:.4g} to {row['max']:.4g})" if len(row["samples"]) > 1 else ""
        print(f"{row['what']:44} {row['median']:9.4g} {row['unit']:5} {spread} {' '.join(bars)}")
    _write(out, name, rows, details)


def _write(
    out: Path, name: str, rows: Sequence[dict[str, Any]], details: Mapping[str, Any]
) -> None:
    """The JSON of every benchmark: the machine, what was set, the lines with all samples."""
    out.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(), **details, "rows": list(rows)}
    (out / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
