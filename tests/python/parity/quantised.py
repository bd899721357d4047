"""GGUF files as other programs write them, and the values that they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

State = dict[str, torch.Tensor]

KINDS = ["F32", "F16", "BF16", "Q8_0", "Q4_0"]
# Kernels whose rows are no whole blocks are stored in rows of 256 values beside their own shape:
# https://github.com/city96/ComfyUI-GGUF, tools/convert.py (REARRANGE_THRESHOLD). In the original
# naming, and in diffusers'.
REARRANGED = ("x_embedder.proj.weight", "pos_embed.proj.weight")
# llama.cpp's quantiser leaves these alone (llama_model_quantize_impl).
KEPT = ("attn_rel_b.weight", "relative_attention_bias.weight")


def _kind(name: str) -> gguf.GGMLQuantizationType:
    kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType[name]
    return kind


def _rows(name: str, value: torch.Tensor, kind: str) -> Any:
    """The matrix that is stored in `kind`; nothing for what keeps its floats."""
    values = value.detach().float().numpy()
    if values.ndim < 2 or name.endswith(KEPT):
        return None
    blocks = gguf.GGML_QUANT_SIZES[_kind(kind)][0]
    if blocks > 1 and name in REARRANGED:
        return values.reshape(-1, 256)
    return values if values.shape[-1] % blocks == 0 else None


def meant(state: State, kind: str) -> State:
    """The values that a file of that kind stands for."""
    result: State = {}
    for name, value in state.items():
        rows = _rows(name, value, kind)
        if rows is None:
            result[name] = value
            continue
        stored = gguf.quants.quantize(rows, _kind(kind))
        back = gguf.quants.dequantize(stored, _kind(kind))
        result[name] = torch.from_numpy(np.ascontiguousarray(back)).reshape(value.shape)
    return result


def write(path: Path, state: State, kind: str, architecture: str) -> Path:
    """Writes the state by the package `gguf`: matrices in `kind`, the rest in F32."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for name, value in state.items():
        rows = _rows(name, value, kind)
        if rows is None:
            writer.add_tensor(name, value.detach().float().contiguous().numpy())
            continue
        if rows.shape != tuple(value.shape):
            writer.add_array(f"comfy.gguf.orig_shape.{name}", [int(size) for size in value.shape])
        stored = np.ascontiguousarray(gguf.quants.quantize(rows, _kind(kind)))
        writer.add_tensor(name, stored, raw_dtype=_kind(kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def values(path: Path) -> State:
    """What a GGUF file stands for, by the package `gguf`."""
    state: State = {}
    reader = gguf.GGUFReader(path)
    for tensor in reader.tensors:
        back = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        own = reader.get_field(f"comfy.gguf.orig_shape.{tensor.name}")
        shape = own.contents() if own else [int(size) for size in reversed(tensor.shape)]
        state[tensor.name] = torch.from_numpy(np.array(back)).reshape(shape)
    return state


def llama_t5(encoder: Any) -> State:
    """The weights of a T5EncoderModel under llama.cpp's names."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5ENCODER, encoder.config.num_layers)
    state: State = {}
    for name, value in encoder.state_dict().items():
        if name == "encoder.embed_tokens.weight":  # the shared table again
            continue
        other = names.get_name(name, try_suffixes=(".weight",))
        assert other is not None
        state[other] = value
    return state


@contextmanager
def weights(module: Any, state: State) -> Iterator[None]:
    """The module with other weights for a while."""
    own = {name: value.clone() for name, value in module.state_dict().items()}
    module.load_state_dict(state)
    try:
        yield
    finally:
        module.load_state_dict(own)
