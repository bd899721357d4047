"""How much memory does a quantised model take while it samples, in parts of its file?

A Stable Diffusion XL UNet of full size with random blocks is written as GGUF, with small text
encoders and autoencoder beside it. A fresh process notes its memory after the import, loads the
model and takes two steps at 256x256; the growth of its peak is divided by the file's size.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.comparison import arguments, environment, machine
from bench.random_gguf import write_random

LIMIT = 1.3
_UNET = {
    "sample_size": 128,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (320, 640, 1280),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "transformer_layers_per_block": (1, 2, 10),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
_SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "timestep_spacing": "leading",
}
_CHILD = """
import json, sys, time
import sdrbee
def memory(field):
    line = next(l for l in open("/proc/self/status") if l.startswith(field))
    return int(line.split()[1]) * 1024
folder, file, dtype, threads = sys.argv[1:]
sdrbee.set_threads(int(threads))
idle = memory("VmRSS:")
started = time.perf_counter()
model = sdrbee.load(folder, transformer=file, device="cpu", dtype=dtype)
loaded = time.perf_counter() - started
times = [time.perf_counter()]
model.generate("a", steps=2, seed=0, width=256, height=256, guidance_scale=1, output="latent",
               on_step=lambda *_: times.append(time.perf_counter()))
print(json.dumps({"idle": idle, "peak": memory("VmHWM:"), "load_seconds": loaded,
                  "step_seconds": times[-1] - times[-2]}))
"""


def _text_model(kind: str, width: int) -> Any:
    import transformers

    config = transformers.CLIPTextConfig(
        hidden_size=width,
        intermediate_size=width,
        num_hidden_layers=2,
        num_attention_heads=width // 64,
        projection_dim=1280,
        vocab_size=49408,
    )
    return getattr(transformers, kind)(config).half()


def _write_folder(folder: Path) -> None:
    """Everything but the UNet's weights."""
    import diffusers
    import transformers

    import sdrbee

    tokenizer = transformers.CLIPTokenizer.from_pretrained(
        Path(sdrbee.__file__).parent / "data" / "shapes" / "tokenizer"
    )
    with __import__("torch").device("meta"):
        unet = diffusers.UNet2DConditionModel(**_UNET)
    pipeline = diffusers.StableDiffusionXLPipeline(
        vae=diffusers.AutoencoderKL(
            block_out_channels=[32] * 4,
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
        ),
        unet=None,
        text_encoder=_text_model("CLIPTextModel", 768),
        text_encoder_2=_text_model("CLIPTextModelWithProjection", 1280),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        scheduler=diffusers.EulerDiscreteScheduler(**_SCHEDULER),
    )
    pipeline.save_pretrained(folder)
    index = json.loads((folder / "model_index.json").read_text())
    index["unet"] = ["diffusers", "UNet2DConditionModel"]
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "unet").mkdir(exist_ok=True)
    unet.save_config(folder / "unet")


def _shapes() -> dict[str, tuple[int, ...]]:
    import diffusers
    import torch

    with torch.device("meta"):
        network = diffusers.UNet2DConditionModel(**_UNET)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _measure(folder: Path, file: Path, dtype: str, threads: int) -> dict[str, Any]:
    command = [sys.executable, "-c", _CHILD, str(folder), str(file), dtype, str(threads)]
    done = subprocess.run(
        command, env=environment(threads), capture_output=True, text=True, check=True
    )
    measured: dict[str, Any] = json.loads(done.stdout)
    measured["file"] = file.stat().st_size
    measured["growth"] = (measured["peak"] - measured["idle"]) / measured["file"]
    return {"dtype": dtype, "type": file.stem, **measured}


def main() -> None:
    cache = Path.home() / ".cache" / "sdrbee" / "bench"
    options = arguments(__doc__ or "", dir=str(cache), type="q4_0")
    folder = Path(options.dir) / "sdxl_shell"
    file = Path(options.dir) / f"{options.type}.gguf"
    if not (folder / "unet" / "config.json").exists():
        _write_folder(folder)
    if not file.exists():
        write_random(file, "sdxl", _shapes(), options.type)
    rows = [_measure(folder, file, dtype, options.threads) for dtype in ("fp32", "bf16")]
    for row in rows:
        print(
            f"{row['type']} in {row['dtype']}: file {row['file'] / 2**30:.2f} GiB, growth "
            f"{row['growth']:.3f} of it (limit {LIMIT}), step {row['step_seconds']:.1f} s, "
            f"load {row['load_seconds']:.1f} s"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(), "threads": options.threads, "limit": LIMIT, "rows": rows}
    (options.out / "gguf_memory.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
