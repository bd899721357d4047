"""Makes the golden files of the GGUF tests from the Python package gguf.

Run it from the repository root: ``pip install gguf==0.19.0`` and
``python tests/python/golden/make_gguf.py``.

- ``tests/cpp/golden/gguf_types.gguf``: a tensor ``w.<type>`` of each type, quantised ones of random
  blocks with finite scales; tensors in another shape than their own; metadata of every type.
- ``tests/cpp/golden/gguf.safetensors``: ``dequantised.<name>``, what gguf makes of these tensors;
  ``values``, and ``quantised.<type>``, the blocks that gguf makes of them.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from numpy.typing import NDArray
from safetensors.numpy import save_file

PINNED = {"gguf": "0.19.0"}
FOLDER = Path(__file__).parents[2] / "cpp" / "golden"

# Where a block holds its scales in half precision.
SCALES = {
    Type.Q4_0: [0],
    Type.Q4_1: [0, 2],
    Type.Q5_0: [0],
    Type.Q5_1: [0, 2],
    Type.Q8_0: [0],
    Type.Q2_K: [80, 82],
    Type.Q3_K: [108],
    Type.Q4_K: [0, 2],
    Type.Q5_K: [0, 2],
    Type.Q6_K: [208],
    Type.IQ4_NL: [0],
    Type.IQ4_XS: [0],
}
QUANTISED = [Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0]

Arrays = dict[str, NDArray[np.generic]]


def finite_halves(random: np.random.Generator, count: int) -> NDArray[np.uint8]:
    """Halves of any bits but infinities and NaNs: subnormal and negative ones among them."""
    bits = random.integers(0, 1 << 16, 4 * count, dtype=np.uint16)
    finite = bits[np.isfinite(bits.view(np.float16))][:count]
    return finite.reshape(count, 1).view(np.uint8)


def random_blocks(random: np.random.Generator, kind: Type, count: int) -> NDArray[np.uint8]:
    blocks = random.integers(0, 256, (count, gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
    for offset in SCALES[kind]:
        blocks[:, offset : offset + 2] = finite_halves(random, count)
    return blocks


def add_metadata(writer: gguf.GGUFWriter) -> None:
    writer.add_uint8("test.uint8", 200)
    writer.add_int8("test.int8", -100)
    writer.add_uint16("test.uint16", 60000)
    writer.add_int16("test.int16", -30000)
    writer.add_uint32("test.uint32", 4000000000)
    writer.add_int32("test.int32", -2000000000)
    writer.add_float32("test.float32", 0.1)
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", "größer als 日本")
    writer.add_uint64("test.uint64", 1 << 63)
    writer.add_int64("test.int64", -(1 << 62))
    writer.add_float64("test.float64", 0.1)
    writer.add_array("test.numbers", [1, -2, 3])
    writer.add_array("test.flags", [True, False, True])
    writer.add_array("test.texts", ["a", "", "ü"])


def add_tensors(writer: gguf.GGUFWriter, random: np.random.Generator) -> Arrays:
    """Adds them and returns what gguf reads of them."""
    values: Arrays = {}
    plain = random.standard_normal((3, 5)).astype(np.float32)
    for kind in (Type.F32, Type.F16, Type.BF16):
        stored = gguf.quants.quantize(plain, kind)
        # The writer takes the shape of bytes for quantised types, and counts BF16 among them.
        writer.add_tensor(f"w.{kind.name}", stored, raw_dtype=kind if kind == Type.BF16 else None)
        values[f"w.{kind.name}"] = gguf.quants.dequantize(stored, kind).reshape(plain.shape)
    for kind in SCALES:
        rows, columns = (2, 1) if gguf.GGML_QUANT_SIZES[kind][0] == 256 else (3, 2)
        blocks = random_blocks(random, kind, rows * columns).reshape(rows, -1)
        writer.add_tensor(f"w.{kind.name}", blocks, raw_dtype=kind)
        values[f"w.{kind.name}"] = gguf.quants.dequantize(blocks, kind)
    # Convolutions of a network, whose rows are no whole blocks.
    blocks = random_blocks(random, Type.Q8_0, 9)
    writer.add_tensor("conv.weight", blocks, raw_dtype=Type.Q8_0)
    writer.add_array("comfy.gguf.orig_shape.conv.weight", [8, 4, 3, 3])
    values["conv.weight"] = gguf.quants.dequantize(blocks, Type.Q8_0).reshape(8, 4, 3, 3)
    return values


def rows_to_quantise(random: np.random.Generator) -> NDArray[np.float32]:
    """Blocks of ordinary weights, and the ones at which quantisers differ."""
    rows = random.standard_normal((14, 64)).astype(np.float32)
    rows[1] *= 1e-6
    rows[2] *= 1e4
    rows[3] = 0
    rows[4] = 0.75
    rows[5] = -0.75
    rows[6] = (
        np.arange(64) % 17 - 8
    )  # the largest magnitude with both signs, codes without rounding
    rows[7] = (np.arange(64) % 32 - 15.5) / 4  # ties
    rows[8, :32] = np.abs(rows[8, :32])
    rows[9] = 0
    rows[9, 40] = 3  # one value in a block
    rows[10] = np.where(np.arange(64) % 2, 127, 63.5)  # ties of Q8_0
    rows[11] *= 1e-9  # scales that are subnormal or zero as a half
    rows[12] = random.integers(-8, 8, 64)
    return rows


def main() -> None:
    for package, expected in PINNED.items():
        if version(package) != expected:
            sys.exit(f"expected {package} {expected} but got {version(package)}")
    random = np.random.default_rng(7)
    writer = gguf.GGUFWriter(FOLDER / "gguf_types.gguf", "test")
    add_metadata(writer)
    values = add_tensors(writer, random)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    golden: Arrays = {f"dequantised.{name}": array for name, array in values.items()}
    golden["values"] = rows_to_quantise(random)
    for kind in QUANTISED:
        golden[f"quantised.{kind.name}"] = gguf.quants.quantize(golden["values"], kind)
    save_file(golden, FOLDER / "gguf.safetensors")


if __name__ == "__main__":
    main()
