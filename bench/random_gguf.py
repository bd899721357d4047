"""GGUF files of a network's shapes with random blocks: for memory and speed values don't matter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

# Small enough that activations stay finite through any number of layers.
_SCALE = np.frombuffer(np.float16(0.002).tobytes(), np.uint8)


def write_random(
    file: Path, architecture: str, shapes: Mapping[str, tuple[int, ...]], kind: str
) -> None:
    """Matrices and kernels as blocks of `kind` ("q4_0", "q8_0"), vectors as floats.

    Norms are ones, biases zeros.
    """
    import gguf

    quantisation = gguf.GGMLQuantizationType[kind.upper()]
    elements, size = gguf.GGML_QUANT_SIZES[quantisation]
    writer = gguf.GGUFWriter(file, architecture, use_temp_file=True)
    rng = np.random.default_rng(0)
    for name, shape in shapes.items():
        count = int(np.prod(shape))
        if len(shape) == 1 or count // shape[0] % elements:
            values = np.full(shape, float("norm" in name and name.endswith("weight")), np.float32)
            writer.add_tensor(name, values)
            continue
        blocks = rng.integers(0, 256, (count // elements, size), dtype=np.uint8)
        blocks[:, :2] = _SCALE
        if len(shape) == 4:
            writer.add_array(f"comfy.gguf.orig_shape.{name}", [int(extent) for extent in shape])
        writer.add_tensor(name, blocks.reshape(shape[0], -1), raw_dtype=quantisation)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
