"""What does a LoRA cost: its first use, going from one to another, and a step with it?

The first use in diffusers is `load_lora_weights` and `set_adapters`; here it happens at the next
use of each component, so it is what a picture of one step at 64x64 takes longer than without. The
LoRAs are random, of the UNet's transformers alone or of its convolutions, too; fp16, in kohya's
names.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from bench.comparison import Pairs, Worker, arguments, report, value_row, write_values

KINDS = {
    "rank 16, transformers": (16, False, 0.15),
    "rank 64 with convolutions": (64, True, 0.8),
}
_SMALL = {"steps": 1, "size": 64, "output": "latent"}


def write_lora(model: Path, path: Path, rank: int, convolutions: bool) -> str:
    """A random LoRA of the linear layers in the transformers, or of these and all convolutions."""
    state: dict[str, torch.Tensor] = {}
    for file in sorted(model.glob("unet/*.safetensors")):
        for name, weight in load_file(file).items():
            is_transformer = ".attentions." in name and ".norm" not in name
            if not name.endswith(".weight") or weight.dim() not in (2, 4):
                continue
            if not (is_transformer or (convolutions and weight.dim() == 4)):
                continue
            layer = "lora_unet_" + name.removesuffix(".weight").replace(".", "_")
            out, into, *kernel = weight.shape
            down = torch.randn(rank, into, *kernel, dtype=torch.float16) * 0.01
            up = torch.randn(out, rank, *(1 for _ in kernel), dtype=torch.float16) * 0.01
            state[f"{layer}.lora_down.weight"], state[f"{layer}.lora_up.weight"] = down, up
            state[f"{layer}.alpha"] = torch.tensor(float(rank), dtype=torch.float16)
    save_file(state, path)
    return str(path)


def _picture(worker: Worker, loras: list[str]) -> float:
    begun = worker.seconds("begin", **_SMALL, loras=loras)
    return begun + worker.seconds("step")


def _ours(model: str, dtype: str, threads: int, files: list[str]) -> tuple[float, list[float]]:
    """Seconds of the first use of a LoRA, and of each later change between the two."""
    with Worker("sdrbee", model, dtype, threads) as worker:
        worker.call("load")
        worker.call("warm_up")
        _picture(worker, [])
        plain = statistics.median(_picture(worker, []) for _ in range(5))
        first = _picture(worker, files[:1]) - plain
        _picture(worker, files[1:])
        changes = [_picture(worker, [files[i % 2]]) - plain for i in range(6)]
        return first, changes


def _theirs(model: str, dtype: str, threads: int, file: str) -> float:
    with Worker("diffusers", model, dtype, threads) as worker:
        worker.call("load")
        return worker.seconds("apply", file=file)


def _step_ratio(model: str, dtype: str, threads: int, file: str, count: int) -> list[float]:
    """A step at 512x512 with the LoRA by one without, of one process in turns."""
    ratios = []
    with Worker("sdrbee", model, dtype, threads) as worker:
        worker.call("load")
        for _ in range(count + 1):
            seconds = []
            for loras in ([], [file]):
                worker.call("begin", steps=2, size=512, output="latent", loras=loras)
                worker.call("step")  # changes the weights
                seconds.append(worker.seconds("step"))
            ratios.append(seconds[1] / seconds[0])
    return ratios[1:]


def main() -> None:
    options = arguments(__doc__ or "", model=None, dtype="bf16")
    rows, values = [], []
    given = (options.model, options.dtype, options.threads)
    with tempfile.TemporaryDirectory() as folder:
        for name, (rank, convolutions, bar) in KINDS.items():
            files = [
                write_lora(
                    Path(options.model), Path(folder) / f"{rank}{i}.safetensors", rank, convolutions
                )
                for i in range(2)
            ]
            first, changes = Pairs([], []), []
            for _ in range(options.pairs):
                seconds, between = _ours(*given, files)
                first.sdrbee.append(seconds)
                first.diffusers.append(_theirs(*given, files[0]))
                changes += between
            rows.append(first.row(f"first use, {name}", 0.5))
            values.append(value_row(f"another one, {name}", "s", changes, at_most=bar))
            ratios = _step_ratio(*given, files[0], options.pairs)
            values.append(value_row(f"step, {name}", "", ratios, at_most=1.05))
    report(options.out, "lora", rows, threads=options.threads)
    write_values(options.out, "lora_changes", values, threads=options.threads)


if __name__ == "__main__":
    main()
