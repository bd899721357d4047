"""Packs trained parts into the diffusers folder that the package ships (fp16, safetensors)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionInpaintPipeline, StableDiffusionPipeline
from transformers import CLIPTextModel

from tools.shapes.run import CHECKPOINT, Run
from tools.shapes.scenes import PICTURE_SIZE
from tools.shapes.tokenizer import build_tokenizer, save_tokenizer
from tools.shapes.train_unet import LATENT_CHANNELS, build_scheduler, build_unet
from tools.shapes.workers import Workers

DEFAULTS = {"steps": 20, "guidance_scale": 3.0, "width": PICTURE_SIZE, "height": PICTURE_SIZE}


def assemble(checkpoint: Path, vae: Path, text: Path) -> StableDiffusionPipeline:
    """The pipeline with the averaged weights of a checkpoint, in fp32."""
    channels = torch.load(checkpoint, weights_only=True)["average"]["conv_in.weight"].shape[1]
    run = Run(Workers(), build_unet(channels - LATENT_CHANNELS))
    run.resume(checkpoint)
    inpaint = channels > LATENT_CHANNELS
    pipeline_class = StableDiffusionInpaintPipeline if inpaint else StableDiffusionPipeline
    return pipeline_class(
        vae=AutoencoderKL.from_pretrained(vae),
        text_encoder=CLIPTextModel.from_pretrained(text),
        tokenizer=build_tokenizer(),
        unet=run.average,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def write(pipeline: StableDiffusionPipeline, out: Path, guidance_scale: float) -> None:
    """Writes the folder; files that export does not make (the model card) stay as they are."""
    pipeline.to(torch.float16).save_pretrained(out, safe_serialization=True)
    save_tokenizer(pipeline.tokenizer, out / "tokenizer")
    for weights in out.rglob("*.safetensors"):
        weights.chmod(0o644)
    for config in out.glob("*/config.json"):
        values = json.loads(config.read_text())
        values.pop("_name_or_path", None)
        config.write_text(json.dumps(values, indent=2) + "\n")
    defaults = {**DEFAULTS, "guidance_scale": guidance_scale}
    (out / "sdrbee.json").write_text(json.dumps({"defaults": defaults}, indent=2) + "\n")


def main() -> None:
    """Writes the model folder from a training checkpoint."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--vae", type=Path, required=True, help="folder of the trained VAE")
    parser.add_argument("--text", type=Path, required=True, help="folder of the text encoder")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--guidance-scale", type=float, default=DEFAULTS["guidance_scale"])
    options = parser.parse_args()
    pipeline = assemble(options.work / CHECKPOINT, options.vae, options.text)
    write(pipeline, options.out, options.guidance_scale)
    size = sum(file.stat().st_size for file in options.out.rglob("*") if file.is_file())
    print(f"wrote {options.out}, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
