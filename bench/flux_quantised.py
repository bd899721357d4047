"""Does FLUX.1 of full size run in 24 GiB: transformer in Q4_0, T5-XXL in Q8_0, one 256x256 step?

Both files hold random blocks. A fresh process loads the model, encodes a prompt and takes one step;
another one does it under ``memory_limit``, which lets T5 go before the step. Needs 13 GB of disk in
``--dir``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.comparison import arguments, environment, machine
from bench.random_gguf import write_random

LIMIT_GIB = 24.0
_MEMORY_LIMITS = (None, "7GiB")
_T5 = {
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "vocab_size": 32128,
    "feed_forward_proj": "gated-gelu",
}
_CHILD = """
import json, sys, time
import numpy as np
import sdrbee
def memory(field):
    line = next(l for l in open("/proc/self/status") if l.startswith(field))
    return int(line.split()[1]) * 1024
folder, transformer, t5, dtype, threads, limit = sys.argv[1:]
sdrbee.set_threads(int(threads))
started = time.perf_counter()
model = sdrbee.load(folder, transformer=transformer, text_encoder_2=t5, device="cpu", dtype=dtype,
                    memory_limit=None if limit == "None" else limit)
loaded = time.perf_counter()
generation = model.begin(
    sdrbee.GenerationRequest(prompt="a red circle", steps=1, seed=0, width=256, height=256,
                             output="latent")
)
encoded = time.perf_counter()
encoded_memory = memory("VmRSS:")
model.advance(generation)
stepped = time.perf_counter()
row = {"load_seconds": loaded - started, "encode_seconds": encoded - loaded,
       "step_seconds": stepped - encoded, "peak": memory("VmHWM:"),
       "after_encoding": encoded_memory, "after_step": memory("VmRSS:"),
       "t5_in_memory": model.memory["text_encoder_2"].loaded}
row["finite"] = bool(np.isfinite(model.finish(generation)).all())
print(json.dumps(row))
"""


def _write_folder(folder: Path) -> None:
    """A model folder with everything but the weights of transformer and T5."""
    import diffusers
    import torch
    import transformers

    import sdrbee

    letters = [(chr(code), -3.0) for code in range(33, 127)]
    t5_tokenizer = transformers.T5Tokenizer(
        vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0), *letters],
        extra_ids=0,
    )
    clip_tokenizer = transformers.CLIPTokenizer.from_pretrained(
        Path(sdrbee.__file__).parent / "data" / "shapes" / "tokenizer"
    )
    clip = transformers.CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=2, vocab_size=49408
    )
    pipeline = diffusers.FluxPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=diffusers.AutoencoderKL(
            block_out_channels=[32] * 4,
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            latent_channels=16,
            scaling_factor=0.3611,
            shift_factor=0.1159,
        ),
        text_encoder=transformers.CLIPTextModel(clip).half(),
        tokenizer=clip_tokenizer,
        text_encoder_2=None,
        tokenizer_2=t5_tokenizer,
        transformer=None,
    )
    pipeline.save_pretrained(folder)
    index = json.loads((folder / "model_index.json").read_text())
    index["transformer"] = ["diffusers", "FluxTransformer2DModel"]
    index["text_encoder_2"] = ["transformers", "T5EncoderModel"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with torch.device("meta"):
        network = diffusers.FluxTransformer2DModel(guidance_embeds=True)
    for part, config in (
        ("transformer", network),
        ("text_encoder_2", transformers.T5Config(**_T5)),
    ):
        (folder / part).mkdir(exist_ok=True)
        save = getattr(config, "save_config", None) or config.save_pretrained
        save(folder / part)


def _shapes(kind: str) -> dict[str, tuple[int, ...]]:
    import diffusers
    import torch
    import transformers

    with torch.device("meta"):
        network: Any = (
            diffusers.FluxTransformer2DModel(guidance_embeds=True)
            if kind == "flux"
            else transformers.T5EncoderModel(transformers.T5Config(**_T5))
        )
    tied = "encoder.embed_tokens.weight"  # the same tensor as "shared.weight"
    return {name: tuple(t.shape) for name, t in network.state_dict().items() if name != tied}


def main() -> None:
    cache = Path.home() / ".cache" / "sdrbee" / "bench"
    options = arguments(__doc__ or "", dir=str(cache), dtype="bf16")
    folder = Path(options.dir) / "flux_shell"
    files = {
        "flux": (Path(options.dir) / "flux-q4_0.gguf", "q4_0"),
        "t5encoder": (Path(options.dir) / "t5xxl-q8_0.gguf", "q8_0"),
    }
    if not (folder / "transformer").exists():
        _write_folder(folder)
    for architecture, (file, kind) in files.items():
        if not file.exists():
            write_random(file, architecture, _shapes(architecture), kind)
    sizes = {file.stem: file.stat().st_size for file, _ in files.values()}
    print(f"files {sum(sizes.values()) / 2**30:.2f} GiB; the peak may be {LIMIT_GIB:.0f} GiB")
    rows = []
    for limit in _MEMORY_LIMITS:
        command = [sys.executable, "-c", _CHILD, str(folder)]
        command += [str(file) for file, _ in files.values()]
        command += [options.dtype, str(options.threads), str(limit)]
        done = subprocess.run(
            command,
            env=environment(options.threads),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        row = {"memory_limit": limit, **json.loads(done.stdout)}
        rows.append(row)
        print(
            f"memory_limit {limit}: peak {row['peak'] / 2**30:.2f} GiB, after the step "
            f"{row['after_step'] / 2**30:.2f} GiB; load {row['load_seconds']:.1f} s, prompt "
            f"{row['encode_seconds']:.1f} s, step {row['step_seconds']:.1f} s"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(), "threads": options.threads, "files": sizes, "rows": rows}
    (options.out / "flux_quantised.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
