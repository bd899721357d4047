"""Packs the trained ControlNet or LoRA into files that the package ships (fp16, safetensors)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from peft import get_peft_model_state_dict

from tools.shapes.run import CHECKPOINT, Run
from tools.shapes.train_control import build_control
from tools.shapes.train_lora import RANK, build_lora
from tools.shapes.workers import Workers


def write_control(work: Path, model: Path, out: Path) -> None:
    """Writes a folder that `ControlNetModel.from_pretrained` opens."""
    unet = UNet2DConditionModel.from_pretrained(model / "unet", torch_dtype=torch.float32)
    run = Run(Workers(), build_control(unet))
    run.resume(work / CHECKPOINT)
    run.average.to(torch.float16).save_pretrained(out)
    values = json.loads((out / "config.json").read_text())
    values.pop("_name_or_path", None)
    (out / "config.json").write_text(json.dumps(values, indent=2) + "\n")


def write_lora(work: Path, model: Path, out: Path) -> None:
    """Writes a folder that `load_lora_weights` opens; alpha is the rank, so that none is told."""
    run = Run(Workers(), build_lora(model))
    run.resume(work / CHECKPOINT)
    layers = get_peft_model_state_dict(run.average)
    halves = {name: weight.half().contiguous() for name, weight in layers.items()}
    assert all(RANK in weight.shape[:2] for weight in halves.values())
    StableDiffusionPipeline.save_lora_weights(out, unet_lora_layers=halves)


WRITERS = {"control": write_control, "lora": write_lora}


def main() -> None:
    """Writes an adapter's folder from a training checkpoint."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("kind", choices=WRITERS)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--model", type=Path, required=True, help="folder of the built-in model")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    WRITERS[options.kind](options.work, options.model, options.out)
    for weights in options.out.glob("*.safetensors"):
        weights.chmod(0o644)
        print(f"wrote {weights}, {weights.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
