"""Scores the built-in model: how many held-out prompts become a picture that is fully right.

The judge has to prove itself first, on freshly drawn scenes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.shapes.draw import draw
from tools.shapes.judge import Verdict, judge
from tools.shapes.scenes import Scene, caption, held_out_scenes

BUILT_IN = Path(__file__).resolve().parents[2] / "python" / "sdrbee" / "data"

Picture = NDArray[np.uint8]
# Prompts and their seeds to pictures [128, 128, 3].
Engine = Callable[[list[str], list[int]], list[Picture]]
JUDGE_BAR = 0.98
ASPECTS = ("right", "shapes", "colours", "relation", "background", "sizes")


def sdrbee_engine(model: str, steps: int, guidance_scale: float | None) -> Engine:
    """Pictures through sdrbee itself; `model` is a name or a folder."""
    import sdrbee

    loaded = sdrbee.load(model)
    extra: dict[str, Any] = {} if guidance_scale is None else {"guidance_scale": guidance_scale}

    def render(prompts: list[str], seeds: list[int]) -> list[Picture]:
        return [
            np.asarray(loaded.generate(prompt, seed=seed, steps=steps, **extra))
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]

    return render


def diffusers_engine(model: str, steps: int, guidance_scale: float | None) -> Engine:
    """Pictures through diffusers in fp32, as a cross-check."""
    import torch
    from diffusers import StableDiffusionPipeline

    folder = folder_of(model)
    pipeline = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    if guidance_scale is None:
        defaults = json.loads((folder / "sdrbee.json").read_text())["defaults"]
        guidance_scale = defaults["guidance_scale"]

    def render(prompts: list[str], seeds: list[int]) -> list[Picture]:
        pictures = pipeline(
            prompts,
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="np",
        ).images
        return list(np.rint(pictures * 255).astype(np.uint8))

    return render


def prove_judge(count: int = 400, seed: int = 31) -> float:
    """The share of drawn scenes that the judge calls fully right, sizes included."""
    scenes = held_out_scenes(count // 2, count // 2, seed)
    verdicts = [judge(draw(scene), scene) for scene in scenes]
    return sum(v.right and v.sizes for v in verdicts) / count


def folder_of(model: str) -> Path:
    """The diffusers folder of a built-in model's name, or the folder itself."""
    return Path(model) if Path(model).is_dir() else BUILT_IN / model


def through_vae(model: str, pictures: list[Picture]) -> list[Picture]:
    """Pictures [128, 128, 3] after they went through a model's autoencoder."""
    import torch
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(folder_of(model) / "vae", torch_dtype=torch.float32)
    results: list[Picture] = []
    for start in range(0, len(pictures), 20):
        pixels = torch.from_numpy(np.stack(pictures[start : start + 20])).permute(0, 3, 1, 2)
        with torch.no_grad():
            latents = vae.encode(pixels / 127.5 - 1).latent_dist.mean
            decoded = vae.decode(latents).sample.clamp(-1, 1)
        results += [*((decoded + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()]
    return results


def prove_judge_on_vae(model: str, count: int = 400, seed: int = 31) -> float:
    """The same share after the scenes went through the model's autoencoder."""
    scenes = held_out_scenes(count // 2, count // 2, seed)
    pictures = through_vae(model, [draw(scene) for scene in scenes])
    return sum(judge(p, s).right for p, s in zip(pictures, scenes, strict=True)) / count


def render_all(engine: Engine, scenes: list[Scene], batch: int) -> list[Picture]:
    """One picture a scene; the seed of a picture is its number."""
    pictures: list[Picture] = []
    for start in range(0, len(scenes), batch):
        part = scenes[start : start + batch]
        seeds = list(range(start, start + len(part)))
        pictures += engine([caption(scene) for scene in part], seeds)
        print(f"\r{len(pictures)}/{len(scenes)}", end="", flush=True)
    print()
    return pictures


def in_batches(model: Any, requests: list[Any], count: int = 10) -> list[Picture]:
    """The pictures of requests to a model of sdrbee, so many of which share their network calls."""
    pictures: list[Picture] = []
    for start in range(0, len(requests), count):
        made = model.generate_batch(requests[start : start + count])
        pictures += [np.asarray(picture) for picture in made]
        print(f"\r{len(pictures)}/{len(requests)}", end="", flush=True)
    print()
    return pictures


def shares(verdicts: list[Verdict]) -> dict[str, float]:
    """For each aspect the share of verdicts that have it."""
    count = max(len(verdicts), 1)
    return {name: sum(getattr(v, name) for v in verdicts) / count for name in ASPECTS}


def print_table(rows: dict[str, dict[str, float]]) -> None:
    """One row a group of prompts, in percent."""
    print(f"{'prompts':<14}" + "".join(f"{name:>12}" for name in ASPECTS))
    for group, row in rows.items():
        print(f"{group:<14}" + "".join(f"{100 * row[name]:>11.1f}%" for name in ASPECTS))


def save_sheet(path: Path, pictures: list[Picture], columns: int = 10) -> None:
    """Writes pictures as one image, row by row."""
    from PIL import Image

    rows = [
        pictures[i : i + columns] for i in range(0, len(pictures) // columns * columns, columns)
    ]
    Image.fromarray(np.concatenate([np.concatenate(row, axis=1) for row in rows])).save(path)


def require_judge() -> float:
    """The judge's share on drawn scenes; ends the program when that is below JUDGE_BAR."""
    drawn = prove_judge()
    print(f"judge on drawn scenes: {drawn:.1%} right (at least {JUDGE_BAR:.0%} needed)")
    if drawn < JUDGE_BAR:
        raise SystemExit("the judge may not judge")
    return drawn


def write_json(path: Path, result: dict[str, Any]) -> None:
    """Writes a result, with the folders to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")


def score(options: argparse.Namespace) -> dict[str, Any]:
    """Renders and judges the held-out prompts; returns everything that the JSON keeps."""
    drawn = require_judge()
    make = sdrbee_engine if options.engine == "sdrbee" else diffusers_engine
    engine = make(options.model, options.steps, options.guidance_scale)
    scenes = held_out_scenes(options.singles, options.pairs)
    start = time.time()
    pictures = render_all(engine, scenes, options.batch)
    seconds = time.time() - start
    verdicts = [judge(picture, scene) for picture, scene in zip(pictures, scenes, strict=True)]
    rows = {
        "single-object": shares(verdicts[: options.singles]),
        "two-object": shares(verdicts[options.singles :]),
    }
    print_table(rows)
    if options.sheet:
        save_sheet(options.sheet, pictures)
    through: dict[str, float] = {}
    if options.check_vae:
        through["judge_through_vae"] = prove_judge_on_vae(options.model)
        print(f"drawn scenes through the VAE: {through['judge_through_vae']:.1%} right")
    wrong = [caption(s) for s, v in zip(scenes, verdicts, strict=True) if not v.right]
    return {
        "engine": options.engine,
        "model": options.model,
        "date": time.strftime("%Y-%m-%d"),
        "steps": options.steps,
        "guidance_scale": options.guidance_scale,
        "prompts": {"single-object": options.singles, "two-object": options.pairs},
        "judge_on_drawn_scenes": drawn,
        "shares": rows,
        "seconds_per_picture": round(seconds / len(scenes), 3),
        "wrong": wrong,
        **through,
    }


def options_of_score(description: str | None, model: str, count: int) -> argparse.ArgumentParser:
    """The options that all scores have; `count` is that of the scenes of either kind."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", default=model, help="name or folder")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--singles", type=int, default=count, help="scenes with one thing")
    parser.add_argument("--pairs", type=int, default=count, help="scenes with two")
    parser.add_argument("--sheet", type=Path, help="also write the pictures as one")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser


def run_score(
    parser: argparse.ArgumentParser, score: Callable[[argparse.Namespace], dict[str, Any]]
) -> None:
    """Scores by the command line; what comes out of it is written where that says so."""
    options = parser.parse_args()
    result = score(options)
    if options.out:
        write_json(options.out, result)


def main() -> None:
    """Scores a model on held-out prompts, prints a table and writes it as JSON."""
    parser = options_of_score(main.__doc__, "shapes", 250)
    parser.add_argument("--engine", choices=("sdrbee", "diffusers"), default="sdrbee")
    parser.add_argument("--guidance-scale", type=float, help="default: the model's own")
    parser.add_argument("--batch", type=int, default=10, help="prompts handed over at once")
    parser.add_argument("--check-vae", action="store_true", help="also judge through the VAE")
    run_score(parser, score)


if __name__ == "__main__":
    main()
