"""What does a LoRA cost: its first use, a step with it, and going from one to another?

The first use in diffusers is `load_lora_weights` and `set_adapters`; here it happens at the next
use of each component, so it is what a picture of one step at 64x64 takes longer than without. From
then on diffusers computes the LoRA beside each layer at every step. The LoRAs are random, of the
UNet's transformers alone or of its convolutions, too; fp16, in kohya's names. With `--xl` also of a
Stable Diffusion XL, where going from one to another has no bar.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from bench.comparison import Pairs, Worker, arguments, in_turn, report, value_row, write_values


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of LoRA, and the seconds that going from one to another may take."""

    name: str
    rank: int
    convolutions: bool
    change_at_most: float


KINDS = (
    Kind("rank 16, transformers", 16, False, 0.15),
    Kind("rank 64 with convolutions", 64, True, 0.8),
)
_FIRST_USE_AT_MOST = 0.5
_STEP_AT_MOST = 1.05
_SMALL = {"steps": 1, "size": 64, "output": "latent"}


def write_lora(model: Path, path: Path, kind: Kind) -> str:
    """A random LoRA of the linear layers in the transformers, or of these and all convolutions."""
    state: dict[str, torch.Tensor] = {}
    (weights,) = sorted(model.glob("unet/*.safetensors"))
    with safe_open(weights, "pt") as file:
        for name in file.keys():  # noqa: SIM118 - no mapping
            out, *into = file.get_slice(name).get_shape()
            is_transformer = ".attentions." in name and ".norm" not in name
            is_convolution = len(into) == 3
            if not name.endswith(".weight") or len(into) not in (1, 3):
                continue
            if not (is_transformer or (kind.convolutions and is_convolution)):
                continue
            layer = "lora_unet_" + name.removesuffix(".weight").replace(".", "_")
            kernel = (1, 1) if is_convolution else ()
            state[f"{layer}.lora_down.weight"] = _random(kind.rank, *into)
            state[f"{layer}.lora_up.weight"] = _random(out, kind.rank, *kernel)
            state[f"{layer}.alpha"] = torch.tensor(float(kind.rank), dtype=torch.float16)
    save_file(state, path)
    return str(path)


def _random(*shape: int) -> torch.Tensor:
    return (torch.rand(*shape) * 0.02 - 0.01).half()


def _second_step(worker: Worker, **arguments: Any) -> float:
    """Seconds of a step at 512x512 that nothing is prepared in."""
    worker.call("begin", steps=2, size=512, output="latent", **arguments)
    worker.call("step")
    seconds = worker.seconds("step")
    worker.call("finish")
    return seconds


def _picture(worker: Worker, loras: Sequence[str]) -> float:
    begun = worker.seconds("begin", **_SMALL, loras=[*loras])
    return begun + worker.seconds("step")


class Bench:
    """The measurements of one model."""

    def __init__(self, model: str, dtype: str, threads: int, pairs: int) -> None:
        self._model = model
        self._how = (dtype, threads)
        self._pairs = pairs

    def _worker(self, engine: str) -> Worker:
        return Worker(engine, self._model, *self._how)

    def first_use(self, file: str) -> Pairs:
        """Seconds in fresh processes, which have no LoRA yet."""

        def ours() -> float:
            with self._worker("sdrbee") as worker:
                worker.call("load")
                worker.call("warm_up")
                plain = statistics.median(_picture(worker, []) for _ in range(5))
                return _picture(worker, [file]) - plain

        def theirs() -> float:
            with self._worker("diffusers") as worker:
                worker.call("load")
                return worker.seconds("apply", file=file)

        return Pairs(**in_turn(self._pairs, {"sdrbee": ours, "diffusers": theirs}))

    def changes(self, files: Sequence[str], count: int = 8) -> list[float]:
        """Seconds that going from one to the other takes, when both have acted before."""
        with self._worker("sdrbee") as worker:
            worker.call("load")
            plain = [_picture(worker, []) for _ in range(6)][1:]
            for file in files:
                _picture(worker, [file])
            seconds = [_picture(worker, [files[i % 2]]) for i in range(count)]
        return [one - statistics.median(plain) for one in seconds]

    def steps(self, file: str) -> Pairs:
        """Seconds of a step with the LoRA in both engines."""
        with self._worker("sdrbee") as ours, self._worker("diffusers") as theirs:
            for worker in (ours, theirs):
                worker.call("load")
            theirs.call("apply", file=file)
            measures = {
                "sdrbee": lambda: _second_step(ours, loras=[file]),
                "diffusers": lambda: _second_step(theirs),
            }
            in_turn(1, measures)  # the first time of anything takes longer
            return Pairs(**in_turn(self._pairs, measures))

    def step_ratios(self, file: str) -> list[float]:
        """A step at 512x512 with the LoRA by one without, of one process in turn."""
        with self._worker("sdrbee") as worker:
            worker.call("load")

            _second_step(worker)
            seconds = in_turn(
                self._pairs,
                {
                    "with": lambda: _second_step(worker, loras=[file]),
                    "plain": lambda: _second_step(worker),
                },
            )
        return [one / two for one, two in zip(seconds["with"], seconds["plain"], strict=True)]


def measure(
    name: str, bench: Bench, model: Path, has_bar: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows beside diffusers, and those of values alone."""
    rows, values = [], []
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            files = [
                write_lora(model, Path(folder) / f"{kind.rank}{i}.safetensors", kind)
                for i in range(2)
            ]
            first = bench.first_use(files[0])
            rows.append(first.row(f"{name}: first use, {kind.name}", _FIRST_USE_AT_MOST))
            steps = bench.steps(files[0])
            rows.append(steps.row(f"{name}: step with it, {kind.name}", None))
            bar = kind.change_at_most if has_bar else None
            changes = bench.changes(files)
            values.append(value_row(f"{name}: change, {kind.name}", "s", changes, at_most=bar))
            ratios = bench.step_ratios(files[0])
            values.append(
                value_row(f"{name}: step, {kind.name}", "", ratios, at_most=_STEP_AT_MOST)
            )
    return rows, values


def main() -> None:
    options = arguments(__doc__ or "", pairs=5, model=None, xl="", dtype="bf16")
    rows, values = [], []
    for name, folder in (("SD 1.5", options.model), ("SDXL", options.xl)):
        if not folder:
            continue
        bench = Bench(folder, options.dtype, options.threads, options.pairs)
        own_rows, own_values = measure(name, bench, Path(folder), name == "SD 1.5")
        rows += own_rows
        values += own_values
    report(options.out, "lora", rows, threads=options.threads, dtype=options.dtype)
    write_values(options.out, "lora_changes", values, threads=options.threads, dtype=options.dtype)


if __name__ == "__main__":
    main()
