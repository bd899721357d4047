"""How much memory does a quantised model take while it samples, in parts of its file?

A Stable Diffusion XL UNet of full size with random blocks is written as GGUF, with small text
encoders and autoencoder beside it. A fresh process notes its memory after the import, loads the
model and takes two steps at 256x256; the growth of its peak is divided by the file's size.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.comparison import CACHE, arguments, in_fresh_process, value_row, write_values
from bench.random_gguf import write_random

_LIMIT = 1.3
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
from bench.resident import memory_bytes
folder, file, dtype, threads = sys.argv[1:]
sdrbee.set_threads(int(threads))
idle = memory_bytes()
started = time.perf_counter()
model = sdrbee.load(folder, transformer=file, device="cpu", dtype=dtype)
loaded = time.perf_counter() - started
times = [time.perf_counter()]
model.generate("a", steps=2, seed=0, width=256, height=256, guidance_scale=1, output="latent",
               on_step=lambda *_: times.append(time.perf_counter()))
print(json.dumps({"idle": idle, "peak": memory_bytes("VmHWM"), "load_seconds": loaded,
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
    import torch
    import transformers

    import sdrbee

    tokenizer = transformers.CLIPTokenizer.from_pretrained(
        Path(sdrbee.__file__).parent / "data" / "shapes" / "tokenizer"
    )
    with torch.device("meta"):
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
    measured = in_fresh_process(_CHILD, folder, file, dtype, threads, threads=threads)
    size = file.stat().st_size
    growth = (measured["peak"] - measured["idle"]) / size
    return value_row(
        f"growth, {file.stem} in {dtype}", "files", [growth], at_most=_LIMIT, file=size, **measured
    )


def main() -> None:
    options = arguments(__doc__ or "", dir=str(CACHE), type="q4_0")
    folder = Path(options.dir) / "sdxl_shell"
    file = Path(options.dir) / f"{options.type}.gguf"
    if not (folder / "unet" / "config.json").exists():
        _write_folder(folder)
    if not file.exists():
        write_random(file, "sdxl", _shapes(), options.type)
    rows = [_measure(folder, file, dtype, options.threads) for dtype in ("fp32", "bf16")]
    write_values(options.out, "gguf_memory", rows, threads=options.threads)


if __name__ == "__main__":
    main()
