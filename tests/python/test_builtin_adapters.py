"""The ControlNet and the LoRA that come with the package: found by name, obeyed, and small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch

pytest.importorskip("scipy", reason="the judges of tools/shapes need scipy")
pytest.importorskip("cv2", reason="edges need OpenCV")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import sdrbee
from sdrbee.adapters import find_moved_loras, lora_file
from sdrbee.model_files import BUILTIN_FOLDER, adapter_names, builtin_adapters, control_path
from tools.shapes import score_control, score_lora
from tools.shapes.draw import draw
from tools.shapes.judge import judge
from tools.shapes.scenes import Scene, Thing, held_out_scenes
from tools.shapes.style import draw_outlined, outline_colour, outlined_shares

CONTROL, LORA = "shapes-control", "shapes-outline"
PROMPT = "a red circle left of a blue square"
MOST_BYTES = 8_000_000
PAIR = Scene(
    (
        Thing("circle", "red", "medium", 34.0, 60.0, 20.0),
        Thing("square", "blue", "medium", 94.0, 66.0, 20.0),
    ),
    ("white",),
    "left of",
)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return held_out_scenes(2, 2, seed=41)


def test_their_names_are_known() -> None:
    assert builtin_adapters("controlnet") == [CONTROL]
    assert builtin_adapters("lora") == [LORA]
    assert builtin_adapters("embedding") == []
    assert adapter_names("lora")[0] == LORA
    with pytest.raises(sdrbee.InvalidRequest, match=rf"\[loras\] .*did you mean '{LORA}'"):
        lora_file("shapes-outlines")
    with pytest.raises(sdrbee.ModelNotFound, match=f"did you mean '{CONTROL}'"):
        control_path("shapes-controls")


def test_they_are_small() -> None:
    files = [f for name in (CONTROL, LORA) for f in (BUILTIN_FOLDER / name).rglob("*")]
    assert 0 < sum(file.stat().st_size for file in files) <= MOST_BYTES


def test_pictures_follow_the_edges(scenes: list[Scene]) -> None:
    pictures = score_control.render("shapes", CONTROL, scenes, steps=20)
    row = score_control.overlaps_row(pictures, scenes)
    assert row["mean"] >= score_control.BAR, row
    verdicts = [judge(p, s) for p, s in zip(pictures, scenes, strict=True)]
    assert all(v.colours and v.background for v in verdicts)
    unled = score_control.render("shapes", "", scenes, steps=20)
    assert score_control.overlaps_row(unled, scenes)["mean"] < row["mean"]


def test_the_overlap_of_drawn_scenes() -> None:
    assert score_control.overlap(draw(PAIR), PAIR) > 0.95
    beside = Scene((PAIR.things[0],), PAIR.background)
    share = score_control.filled(beside).sum() / score_control.filled(PAIR).sum()
    assert score_control.overlap(draw(beside), PAIR) == pytest.approx(share, abs=0.03)
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert score_control.overlap(noise, PAIR) == 0


def test_the_lora_draws_outlines_and_nothing_at_strength_0(scenes: list[Scene]) -> None:
    lined = score_lora.render("shapes", [(LORA, 1.0)], scenes, steps=20)
    assert score_lora.outlined(lined, scenes) >= 0.75
    plain = score_lora.render("shapes", [], scenes, steps=20)
    assert score_lora.outlined(plain, scenes) == 0
    assert np.array_equal(score_lora.render("shapes", [(LORA, 0.0)], scenes, steps=20), plain)


def test_the_judge_of_outlines() -> None:
    assert outline_colour(PAIR) == "black"
    dark = Scene(PAIR.things, ("black",), "left of")
    assert outline_colour(dark) == "white"
    for scene in (PAIR, dark):
        assert min(outlined_shares(draw_outlined(scene), scene)) > 0.95
        assert max(outlined_shares(draw(scene), scene)) < 0.1
    alone = Scene(PAIR.things[:1], PAIR.background)
    picture = draw_outlined(PAIR)
    picture[:, :64] = draw(PAIR)[:, :64]  # one of two
    assert score_lora.outlined([picture], [PAIR]) == 0
    assert score_lora.outlined([draw_outlined(alone)], [PAIR]) == 0


def test_diffusers_opens_both(model: sdrbee.Model) -> None:
    """And makes the same picture of them."""
    network = diffusers.ControlNetModel.from_pretrained(
        BUILTIN_FOLDER / CONTROL, torch_dtype=torch.float32
    )
    pipeline = diffusers.StableDiffusionControlNetPipeline.from_pretrained(
        BUILTIN_FOLDER / "shapes", controlnet=network, torch_dtype=torch.float32
    )
    pipeline.load_lora_weights(BUILTIN_FOLDER / LORA)
    pipeline.set_progress_bar_config(disable=True)
    edges = score_control.edges_of(PAIR)
    theirs = pipeline(
        PROMPT,
        image=torch.tensor(edges).permute(2, 0, 1)[None] / 255,
        generator=torch.Generator().manual_seed(7),
        num_inference_steps=3,
        guidance_scale=3.0,
        output_type="np",
    ).images[0]
    ours = model.generate(
        PROMPT,
        seed=7,
        steps=3,
        guidance_scale=3.0,
        controls=[{"model": CONTROL, "image": edges}],
        loras=[LORA],
        output="float",
    )
    np.testing.assert_allclose(np.asarray(ours), theirs, atol=1e-4)


def test_the_command_line_takes_the_names(tmp_path: Path, command: list[str]) -> None:
    sdrbee.Image(draw(PAIR)).save(tmp_path / "scene.png")

    def run(*arguments: str) -> None:
        subprocess.run([*command, *arguments], cwd=tmp_path, check=True, timeout=120)

    run("preprocess", "canny", "scene.png", "-o", "edges.png")
    asked = ("--control", f"{CONTROL}=edges.png:0.9", "--lora", f"{LORA}:0.8")
    run("generate", PROMPT, "--steps", "2", "--seed", "5", *asked, "-o", "made.png")
    control = {"model": CONTROL, "image": score_control.edges_of(PAIR), "strength": 0.9}
    expected = sdrbee.load("shapes").generate(
        PROMPT, steps=2, seed=5, controls=[control], loras=[(LORA, 0.8)]
    )
    assert bytes(sdrbee.Image(tmp_path / "made.png")) == bytes(expected)


def test_a_recipe_finds_them_where_the_package_is_now(tmp_path: Path) -> None:
    there = Path("/elsewhere/sdrbee/data")
    assert Path(control_path(str(there / CONTROL))) == BUILTIN_FOLDER / CONTROL
    uses = [{"name": LORA, "path": str(there / LORA / lora_file(LORA).name)}]
    find_moved_loras(uses)
    assert Path(uses[0]["path"]) == lora_file(LORA)
    control = {"model": CONTROL, "image": score_control.edges_of(PAIR)}
    made = sdrbee.load("shapes").generate(PROMPT, steps=1, seed=3, controls=[control], loras=[LORA])
    made.save(tmp_path / "made.png")
    again = sdrbee.replay(tmp_path / "made.png", controls=[control["image"]])
    assert bytes(again) == bytes(made)
