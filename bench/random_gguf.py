"""GGUF files of a network's shapes with random blocks: for memory and speed values don't matter."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

# Small enough that activations stay finite through any number of layers.
_SCALE = np.frombuffer(np.float16(0.002).tobytes(), np.uint8)
_POOL_BLOCKS = 1 << 20
_BAR = 30


class Bar:
    """Bytes written so far: drawn anew on a terminal, elsewhere a line every tenth."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._done, self._drawn = 0, -1
        self._started = time.perf_counter()

    def advance(self, count: int) -> None:
        self._done += count
        steps = _BAR if sys.stdout.isatty() else 10
        drawn = steps * self._done // self._total
        if drawn == self._drawn:
            return
        self._drawn = drawn
        bar = "#" * (_BAR * self._done // self._total)
        seconds = time.perf_counter() - self._started
        last = self._done >= self._total
        print(
            f"{self._what} [{bar:<{_BAR}}] {self._done / 2**30:.2f} of "
            f"{self._total / 2**30:.2f} GiB, {seconds:.0f} s",
            end="\n" if last or not sys.stdout.isatty() else "\r",
            flush=True,
        )


def write_random(
    file: Path, architecture: str, shapes: Mapping[str, tuple[int, ...]], kind: str
) -> None:
    """Matrices and kernels as blocks of `kind` ("q4_0", "q8_0"), vectors as floats.

    Norms are ones, biases zeros. A file that is there stays; one that wasn't finished has another
    name.
    """
    import gguf

    if file.exists():
        print(f"{file.name}: there already")
        return
    quantisation = gguf.GGMLQuantizationType[kind.upper()]
    elements, size = gguf.GGML_QUANT_SIZES[quantisation]
    pool = np.random.default_rng(0).integers(0, 256, (_POOL_BLOCKS, size), dtype=np.uint8)
    pool[:, :2] = _SCALE
    blocks = {
        name: math.prod(shape) // elements
        for name, shape in shapes.items()
        if len(shape) > 1 and math.prod(shape[1:]) % elements == 0
    }
    part = file.with_suffix(".part")
    writer = gguf.GGUFWriter(part, architecture)
    for name, shape in shapes.items():
        if name not in blocks:
            writer.add_tensor_info(name, shape, np.dtype(np.float32), 4 * math.prod(shape))
            continue
        if len(shape) == 4:
            writer.add_array(f"comfy.gguf.orig_shape.{name}", [int(extent) for extent in shape])
        stored = (shape[0], blocks[name] // shape[0] * size)
        writer.add_tensor_info(
            name, stored, np.dtype(np.uint8), math.prod(stored), raw_dtype=quantisation
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    bar = Bar(f"writing {file.name}", sum(blocks.values()) * size)
    for name, shape in shapes.items():
        if name in blocks:
            values = np.resize(pool, (blocks[name], size))  # the same blocks again and again
            bar.advance(values.nbytes)
        else:
            values = np.full(shape, "norm" in name and name.endswith("weight"), np.float32)
        writer.write_tensor_data(values)
    writer.close()
    part.rename(file)
