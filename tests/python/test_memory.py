"""Components are in memory while they are needed, and prompts are encoded once."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from model_folder import folder_with

import sdrbee
from sdrbee.sizes import parse_bytes

PARTS = {"text_encoder", "unet", "vae.encoder", "vae.decoder"}
PROMPT = "a red circle left of a blue square"


def load(**options: int | str | None) -> sdrbee.Model:
    return sdrbee.load("shapes", device="cpu", dtype="fp32", **options)  # type: ignore[arg-type]


def loaded(model: sdrbee.Model) -> set[str]:
    return {name for name, part in model.memory.items() if part.loaded}


def least_limit(model: sdrbee.Model) -> int:
    return max(part.bytes for part in model.memory.values())


def make(model: sdrbee.Model, prompt: str = PROMPT, **fields: object) -> bytes:
    made = model.generate(prompt, steps=2, seed=5, **fields)  # type: ignore[call-overload]
    return bytes(memoryview(made))


def test_weights_are_read_when_their_component_runs() -> None:
    model = load()
    assert set(model.memory) == PARTS
    assert loaded(model) == set()
    generation = model.begin(sdrbee.GenerationRequest(prompt=PROMPT, steps=1, seed=5))
    assert loaded(model) == {"text_encoder"}
    model.advance(generation)
    assert loaded(model) == {"text_encoder", "unet"}
    model.finish(generation)
    assert loaded(model) == PARTS - {"vae.encoder"}
    assert all(part.loads <= 1 for part in model.memory.values())


def test_warm_up_reads_all() -> None:
    model = load()
    model.warm_up()
    assert loaded(model) == PARTS
    assert {part.uses for part in model.memory.values()} == {0}
    make(model)
    assert {part.loads for part in model.memory.values()} == {1}


def test_bytes_are_those_of_the_weights(model: sdrbee.Model) -> None:
    parts = sdrbee.describe("shapes").components
    memory = model.memory
    assert memory["unet"].bytes == 4 * parts["unet"].parameters
    both = memory["vae.encoder"].bytes + memory["vae.decoder"].bytes
    assert both == 4 * parts["vae"].parameters
    # The tables of tokens and positions stay in the file.
    assert memory["text_encoder"].bytes < 4 * parts["text_encoder"].parameters


def test_a_limit_changes_what_is_in_memory_and_no_bit(model: sdrbee.Model) -> None:
    source = model.generate("a blue ring", steps=2, seed=1)
    whole = load(prompt_cache=0)
    least = load(memory_limit=least_limit(whole), prompt_cache=0)
    mask = np.zeros((128, 128), np.uint8)
    mask[:, 64:] = 255
    requests: list[dict[str, object]] = [
        {},
        {"image": source, "strength": 0.5},
        {"image": source, "mask": mask},
        {"preview": "full", "on_step": lambda *_: None},
    ]
    for fields in requests:
        assert make(least, **fields) == make(whole, **fields)
        held = sum(part.bytes for part in least.memory.values() if part.loaded)
        assert held <= least_limit(whole)
    assert loaded(whole) == PARTS
    assert least.memory["unet"].loads >= len(requests)
    assert whole.memory["unet"].loads == 1


def test_components_are_released_phase_by_phase() -> None:
    model = load(memory_limit=least_limit(load()))
    seen: list[set[str]] = []
    generation = model.begin(sdrbee.GenerationRequest(prompt=PROMPT, steps=1, seed=5))
    seen.append(loaded(model))
    model.advance(generation)
    seen.append(loaded(model))
    model.finish(generation)
    seen.append(loaded(model))
    assert [len(parts) for parts in seen] == [1, 1, 1]
    assert seen == [{"text_encoder"}, {"unet"}, {"vae.decoder"}]


def test_a_limit_below_the_largest_component_is_refused_with_the_least_one() -> None:
    least = least_limit(load())
    with pytest.raises(sdrbee.InvalidRequest, match=rf"memory_limit.*{least} bytes.*unet"):
        load(memory_limit=least - 1)
    assert load(memory_limit=least).memory["unet"].bytes == least


def test_a_prompt_is_encoded_once() -> None:
    model = load()
    first = make(model, negative_prompt="a star")
    assert model.memory["text_encoder"].uses == 2
    assert make(model, negative_prompt="a star") == first
    assert model.memory["text_encoder"].uses == 2
    make(model, negative_prompt="a ring")
    assert model.memory["text_encoder"].uses == 3
    make(model, clip_skip=1)
    assert model.memory["text_encoder"].uses == 5  # the prompt with a layer less, and "" against it


def test_a_known_prompt_does_not_load_the_text_encoder() -> None:
    model = load(memory_limit=least_limit(load()))
    make(model)
    assert not model.memory["text_encoder"].loaded
    loads = model.memory["text_encoder"].loads
    make(model)
    assert model.memory["text_encoder"].loads == loads


def test_the_cache_changes_no_bit_alone_and_in_batches() -> None:
    cached, plain = load(), load(prompt_cache=0)
    requests = [
        sdrbee.GenerationRequest(prompt=prompt, steps=2, seed=seed, exact=True)
        for seed, prompt in enumerate([PROMPT, "a green star", PROMPT, "a star, " * 40])
    ]
    expected = [bytes(memoryview(plain.generate_batch([one])[0])) for one in requests]
    for _ in range(2):
        made = cached.generate_batch(requests)
        assert [bytes(memoryview(picture)) for picture in made] == expected
    assert plain.memory["text_encoder"].uses == 8
    assert cached.memory["text_encoder"].uses == 5  # three prompts, "" in one row and in many


def test_a_failed_request_leaves_the_model_usable() -> None:
    model = load(memory_limit=least_limit(load()))
    expected = make(model)
    with pytest.raises(LookupError):
        model.generate(PROMPT, steps=2, seed=5, on_step=_fail)
    assert make(model) == expected


def _fail(*_: object) -> None:
    raise LookupError


def test_states_can_be_asked_for_while_a_picture_is_made() -> None:
    model = load()
    seen: list[bool] = []
    model.generate(PROMPT, steps=1, on_step=lambda *_: seen.append(model.memory["unet"].loaded))
    assert seen == [True]


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GiB", 4 << 30), ("1.5 gib", 3 << 29), ("500MB", 500_000_000), (123, 123), ("77", 77)],
)
def test_sizes_are_read_as_people_write_them(text: int | str, size: int) -> None:
    assert parse_bytes(text, "memory_limit") == size


@pytest.mark.parametrize("text", ["", "4GiBi", "-1", "GiB", "1,5GiB", -5])
def test_other_sizes_are_refused(text: int | str) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match=r"memory_limit.*4GiB"):
        load(memory_limit=text)


def test_the_command_line_takes_a_limit(command: list[str], tmp_path: Path) -> None:
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        arguments = ["generate", PROMPT, "--steps", "1", "--seed", "5", *options]
        return subprocess.run(
            [*command, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    assert run("--memory-limit", "1GiB").returncode == 0
    refused = run("--memory-limit", "1MiB")
    assert refused.returncode == 2
    assert "unet" in refused.stderr
    assert run("--memory-limit", "much").returncode == 2


def large_text_encoder(folder: Path) -> Path:
    """The built-in model with a text encoder of zeros that is 300 times as wide inside."""
    wide = 36864
    folder_with(folder, "text_encoder/config.json", intermediate_size=wide)
    file = folder / "text_encoder" / "model.safetensors"
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    end = 0
    for entry in header.values():
        entry["shape"] = [wide if extent == 512 else extent for extent in entry["shape"]]
        begin, end = end, end + 2 * math.prod(entry["shape"])
        entry["data_offsets"] = [begin, end]
    text = json.dumps(header).encode()
    file.unlink()
    file.write_bytes(struct.pack("<Q", len(text)) + text)
    with file.open("r+b") as stream:
        stream.truncate(8 + len(text) + end)
    return folder


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
def test_released_weights_leave_the_process(tmp_path: Path) -> None:
    """A text encoder of 100 MB is gone while the denoiser runs."""
    code = (
        "import sys, sdrbee\n"
        "def resident():\n"
        "    pages = int(open('/proc/self/statm').read().split()[1])\n"
        "    return pages * 4096\n"
        "model = sdrbee.load(sys.argv[1], device='cpu', dtype='fp32', memory_limit=sys.argv[2])\n"
        "generation = model.begin(sdrbee.GenerationRequest(prompt='a', steps=1, seed=1))\n"
        "assert model.memory['text_encoder'].loaded\n"
        "before = resident()\n"
        "model.advance(generation)\n"
        "assert not model.memory['text_encoder'].loaded\n"
        "print(before - resident())"
    )
    folder = large_text_encoder(tmp_path)
    size = sdrbee.load(folder, device="cpu", dtype="fp32").memory["text_encoder"].bytes
    assert size > 100 << 20
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(size)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) > size // 2
