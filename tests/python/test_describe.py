"""What the headers of a model tell, without its weights."""

from __future__ import annotations

import ctypes
import json
import mmap
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from model_folder import SHAPES, folder_with

import sdrbee

UNET = SHAPES / "unet" / "diffusion_pytorch_model.safetensors"
LARGE = 12 * 10**9  # bytes
# Of a file's pages: its header, and what the system reads ahead.
FEW_BYTES = 32 << 20
CHILD = """
import json, sys, time
import sdrbee
def peak():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
sdrbee.describe("shapes")
before = peak()
started = time.perf_counter()
found = sdrbee.describe(sys.argv[1], **json.loads(sys.argv[2]))
print(json.dumps({"seconds": time.perf_counter() - started, "grown": peak() - before,
                  "family": found.family, "missing": found.missing,
                  "width": found.info and found.info.default_size[0],
                  "bytes": found.components["unet"].bytes}))
"""


def header_of(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header: dict[str, Any] = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    return header


def sparse_safetensors(target: Path) -> Path:
    """The built-in UNet's header with a tensor of 12 GB more, and no data at all."""
    header = header_of(UNET)
    end = max(entry["data_offsets"][1] for entry in header.values())
    header["more"] = {
        "dtype": "F32",
        "shape": [LARGE // 4],
        "data_offsets": [end, end + LARGE],
    }
    text = json.dumps(header).encode()
    target.write_bytes(struct.pack("<Q", len(text)) + text)
    with target.open("r+b") as stream:
        stream.truncate(8 + len(text) + end + LARGE)
    return target


def sparse_gguf(target: Path) -> Path:
    """The same as GGUF in Q8_0."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    shapes = {name: entry["shape"] for name, entry in header_of(UNET).items()}
    shapes["more"] = [LARGE // 34, 32]
    f32, q8_0, string = 0, 8, 8
    infos, offset = b"", 0
    for name, shape in shapes.items():
        quantised = name == "more"
        count = 1
        for extent in shape:
            count *= extent
        infos += text(name) + struct.pack("<I", len(shape))
        infos += struct.pack(f"<{len(shape)}Q", *reversed(shape))
        infos += struct.pack("<IQ", q8_0 if quantised else f32, offset)
        size = count // 32 * 34 if quantised else 4 * count
        offset += (size + 31) // 32 * 32
    entries = text("general.architecture") + struct.pack("<I", string) + text("sd1")
    content = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), 1) + entries + infos
    content += bytes(-len(content) % 32)
    target.write_bytes(content)
    with target.open("r+b") as stream:
        stream.truncate(len(content) + offset)
    return target


def resident_bytes(file: Path) -> int:
    """The bytes of a file that are in the system's memory."""
    with file.open("rb") as stream:
        size = file.stat().st_size
        pages = (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE
        flags = (ctypes.c_ubyte * pages)()
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, stream.fileno(), 0)
        try:
            assert libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), flags) == 0
        finally:
            libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))
        return bytes(flags).count(1) * mmap.PAGESIZE


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
@pytest.mark.parametrize("stored", ["folder", "file", "gguf"])
def test_files_of_12_gb_are_described_from_their_headers(tmp_path: Path, stored: str) -> None:
    components = {"vae": "shapes", "text_encoder": "shapes"}
    if stored == "folder":
        path, components = tmp_path / "model", {}
        folder_with(path, "model_index.json")
        weights = path / "unet" / UNET.name
        weights.unlink()
        sparse_safetensors(weights)
    elif stored == "file":
        path = weights = sparse_safetensors(tmp_path / "unet.safetensors")
    else:
        path = weights = sparse_gguf(tmp_path / "unet.gguf")
    assert weights.stat().st_size > LARGE - 64
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), json.dumps(components)],
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    print(f"{stored}: {told['seconds']:.3f} s")
    assert told["family"] == "stable_diffusion"
    assert told["missing"] == []
    assert told["bytes"] > LARGE - 64
    assert told["grown"] < FEW_BYTES
    assert resident_bytes(weights) < FEW_BYTES


def test_a_description_is_the_loaded_models_info(model: sdrbee.Model) -> None:
    described = sdrbee.describe("shapes", device="cpu", dtype="fp32")
    assert repr(described.info) == repr(model.info)
    assert described.pipeline_class == "StableDiffusionPipeline"
    assert set(described.components) == {"unet", "vae", "text_encoder"}
    unet = described.components["unet"]
    assert unet.class_name == "UNet2DConditionModel"
    assert sum(unet.types.values()) == unet.parameters
    assert unet.bytes < UNET.stat().st_size < unet.bytes + (1 << 17)


def test_a_denoiser_alone_is_described_with_what_it_lacks(tmp_path: Path) -> None:
    alone = tmp_path / "unet.safetensors"
    shutil.copy(UNET, alone)
    described = sdrbee.describe(alone)
    assert described.family == "stable_diffusion"
    assert described.info is None
    assert described.missing == ["vae", "text_encoder"]


def test_a_broken_model_is_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "text_encoder/config.json", hidden_size=4096)
    with pytest.raises(sdrbee.CheckpointError, match="cross_attention_dim"):
        sdrbee.describe(folder)
    with pytest.raises(sdrbee.InvalidRequest, match="variant"):
        sdrbee.describe("shapes", variant="flux-dev")


@pytest.fixture
def show(command: list[str]) -> Callable[..., Any]:
    def run(*arguments: str) -> Any:
        done = subprocess.run(
            [*command, "show", *arguments, "--json"], capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    return run


def test_show_tells_of_a_file_and_its_other_components(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    alone = tmp_path / "unet.safetensors"
    shutil.copy(UNET, alone)
    told = show(str(alone))
    assert told["missing"] == ["vae", "text_encoder"]
    assert told["stored"]["unet"]["class_name"] == "UNet2DConditionModel"
    whole = show(str(alone), "--vae", "shapes", "--text-encoder", "shapes")
    assert whole["missing"] == []
    assert whole["capabilities"]["guidance"]
