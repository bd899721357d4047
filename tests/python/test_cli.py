"""The command line: files, JSON, messages and exit codes, as a user meets them."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import sdrbee
from sdrbee.model_files import builtin_adapters

Run = Callable[..., subprocess.CompletedProcess[str]]
PICTURE = ["a red circle", "--steps", "2", "--seed", "7"]


@pytest.fixture
def run(command: list[str], tmp_path: Path) -> Run:
    """Runs the command in an empty folder."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=300,
            check=False,
        )

    return call


def test_generate_writes_the_picture_and_says_where(run: Run, tmp_path: Path) -> None:
    done = run("generate", *PICTURE)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "2/2" in done.stderr
    assert "wrote out.png" in done.stderr
    assert sdrbee.Image(tmp_path / "out.png").seed == 7


def test_json_is_all_of_stdout(run: Run, tmp_path: Path) -> None:
    done = run("generate", *PICTURE, "--count", "2", "--json", "--quiet", "-o", "two.png")
    report = json.loads(done.stdout)
    assert [image["file"] for image in report["images"]] == ["two-1.png", "two-2.png"]
    assert [image["seed"] for image in report["images"]] == [7, 8]
    assert report["images"][0]["recipe"]["request"]["steps"] == 2
    assert all((tmp_path / image["file"]).exists() for image in report["images"])


def test_inpaint_wants_something_to_paint(run: Run) -> None:
    run("generate", *PICTURE)
    done = run("inpaint", "a star", "-i", "out.png")
    assert done.returncode == 2
    assert "--outpaint" in done.stderr


def test_every_request_field_is_an_option(run: Run) -> None:
    text = run("inpaint", "--help").stdout + run("generate", "--help").stdout
    for field in sdrbee.request_fields():
        assert field.name == "prompt" or f"--{field.name.replace('_', '-')}" in text


def test_command_line_and_python_make_the_same_picture(run: Run, tmp_path: Path) -> None:
    options = ["--sampler", "heun", "--guidance-scale", "3.5", "--no-exact", "--dtype", "fp32"]
    run("generate", *PICTURE, *options)
    model = sdrbee.load("shapes", dtype="fp32")
    image = model.generate(
        "a red circle", steps=2, seed=7, sampler="heun", guidance_scale=3.5, exact=False
    )
    np.testing.assert_array_equal(np.asarray(image), sdrbee.Image(tmp_path / "out.png"))


def test_prompts_may_have_marks_and_learned_words(run: Run, tmp_path: Path) -> None:
    save_file({"emb_params": torch.full((1, 128), 0.1)}, tmp_path / "blob.safetensors")
    marked = ["generate", "a (blob:1.2) circle", "--prompt-syntax", "a1111", *PICTURE[1:]]
    named = run(*marked, "--embedding", "blob=blob.safetensors", "--json")
    recipe = json.loads(named.stdout)["images"][0]["recipe"]
    assert recipe["request"]["embeddings"][0]["name"] == "blob"
    first = np.asarray(sdrbee.Image(tmp_path / "out.png"))
    run(*marked, "--embeddings-dir", ".")
    np.testing.assert_array_equal(sdrbee.Image(tmp_path / "out.png"), first)
    run(*marked)
    assert not np.array_equal(sdrbee.Image(tmp_path / "out.png"), first)


def test_transform_and_inpaint_start_from_files(run: Run, tmp_path: Path) -> None:
    run("generate", *PICTURE)
    mask = np.zeros((128, 128, 3), np.uint8)
    mask[:, 64:] = 255
    sdrbee.Image(mask).save(tmp_path / "mask.png")
    changed = run(
        "transform", "a star", "-i", "out.png", "--strength", "0.5", "--steps", "4", "-o", "b.png"
    )
    filled = run(
        "inpaint", "a star", "-i", "out.png", "--mask", "mask.png", "--steps", "4", "-o", "c.png"
    )
    assert (changed.returncode, filled.returncode) == (0, 0), changed.stderr + filled.stderr
    source, result = (np.asarray(sdrbee.Image(tmp_path / name)) for name in ("out.png", "c.png"))
    np.testing.assert_array_equal(result[:, :64], source[:, :64])


def test_replay_writes_the_same_picture(run: Run, tmp_path: Path) -> None:
    run("generate", *PICTURE)
    done = run("replay", "out.png", "-o", "again.png")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "out.png").read_bytes()


def test_latents_go_into_an_array_file(run: Run, tmp_path: Path) -> None:
    done = run("generate", *PICTURE, "--output", "latent", "--json")
    assert json.loads(done.stdout)["images"][0]["file"] == "out.npy"
    assert np.load(tmp_path / "out.npy").dtype == np.float32


def test_preview_file_is_gone_when_the_picture_is_there(run: Run, tmp_path: Path) -> None:
    run("generate", *PICTURE, "--preview", "fast")
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generat", "x"], "Did you mean generate"),
        (["generate"], "Missing argument 'PROMPT'"),
        (["generate", "x", "--step", "2"], "--steps"),
        (["generate", "x", "--steps", "two"], "two"),
        (["generate", "x", "--steps", "0"], "steps"),
        (["generate", "x", "--sampler", "eulr"], "euler"),
        (["generate", "x", "--sigmas", "3;2"], "3;2"),
        (["generate", "x", "-o", "absent/out.png"], "absent"),
        (["transform", "x", "-i", "absent.png"], "absent.png"),
        (["generate", "x", "--device", "gpu"], "gpu"),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2_and_says_what_is_wrong(
    run: Run, arguments: list[str], message: str
) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_failure_exits_with_1_and_names_the_culprit(run: Run) -> None:
    done = run("generate", "x", "--model", "shape")
    assert done.returncode == 1
    assert "did you mean 'shapes'" in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_are_json_too(run: Run) -> None:
    done = run("generate", "x", "--steps", "0", "--json")
    assert json.loads(done.stdout)["error"]["type"] == "InvalidRequest"


def test_interrupt_exits_with_130_and_leaves_no_file(command: list[str], tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*command, "generate", "a star", "--steps", "1000"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "/1000" not in process.stderr.read(64):
        assert process.poll() is None
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - started < 10
    assert "Traceback" not in rest
    assert not list(tmp_path.iterdir())


def test_samplers_lists_the_tables(run: Run) -> None:
    report = json.loads(run("samplers", "--json").stdout)
    assert {row["name"] for row in report["samplers"]} == {row.name for row in sdrbee.samplers()}
    text = run("samplers").stdout
    assert "euler_ancestral" in text
    assert "karras" in text


def test_list_prints_models_and_variants(run: Run) -> None:
    listed = json.loads(run("list", "--json").stdout)["models"]
    assert [model["name"] for model in listed] == [
        *sdrbee.builtin_models(), *builtin_adapters("lora"), *builtin_adapters("controlnet"),
    ]  # fmt: skip
    assert [model["kind"] for model in listed[-2:]] == ["lora", "controlnet"]
    assert {"family", "variant", "bytes", "path", "source"} <= set(listed[0])
    report = json.loads(run("list", "--families", "--json").stdout)
    assert [row["id"] for row in report["families"]] == [row.id for row in sdrbee.families()]
    text = run("list", "--families").stdout
    for family in sdrbee.families():
        for variant in family.variants:
            assert variant.description in text


def test_show_tells_about_models_and_pictures(run: Run) -> None:
    run("generate", *PICTURE)
    assert json.loads(run("show", "shapes", "--json").stdout)["family"] == "stable_diffusion"
    assert json.loads(run("show", "out.png", "--json").stdout)["request"]["seed"] == 7
    assert "request.prompt" in run("show", "out.png").stdout


def test_doctor_finds_a_working_installation(run: Run) -> None:
    done = run("doctor", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert report["problems"] == []
    assert "shapes" in report["models"]


def test_help_and_version_exit_with_0(run: Run) -> None:
    for arguments in (["--help"], ["-h"], ["generate", "--help"], ["--version"]):
        assert run(*arguments).returncode == 0
    assert sdrbee.__version__ in run("--version").stdout
