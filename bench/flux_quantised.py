"""Does FLUX.1 of full size run in 24 GiB: transformer in Q4_0, T5-XXL in Q8_0, one 256x256 picture?

Both files hold random blocks. A fresh process loads the model, encodes a prompt, takes one step
and decodes; another one does it under ``memory_limit``, which lets T5 go before the step. Needs
12 GB of disk in ``--dir``; what is there already is used again, and ``--keep no`` deletes it.
"""

from __future__ import annotations

import json
import shutil
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
# Prints a line of JSON after every phase.
_CHILD = """
import json, resource, sys, time
import numpy as np
import sdrbee
def memory(field):
    line = next(l for l in open("/proc/self/status") if l.startswith(field))
    return int(line.split()[1]) * 1024
def clocks():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime
def phase(name, run):
    wall, cpu = clocks()
    result = run()
    row = {"phase": name, "seconds": clocks()[0] - wall, "cpu_seconds": clocks()[1] - cpu,
           "memory": memory("VmRSS:"), "peak": memory("VmHWM:")}
    print(json.dumps(row), flush=True)
    return result
folder, transformer, t5, dtype, threads, limit, steps, size = sys.argv[1:]
sdrbee.set_threads(int(threads))
phase("idle", lambda: None)
model = phase("load", lambda: sdrbee.load(
    folder, transformer=transformer, text_encoder_2=t5, device="cpu", dtype=dtype,
    memory_limit=None if limit == "None" else limit))
request = sdrbee.GenerationRequest(prompt="a red circle", steps=int(steps), seed=0,
                                   width=int(size), height=int(size))
generation = phase("encode", lambda: model.begin(request))
for i in range(int(steps)):
    phase("step" if i == 0 else "next step", lambda: model.advance(generation))
    if i == 0:
        loaded = model.memory["text_encoder_2"].loaded
image = phase("decode", lambda: model.finish(generation))
pixels = np.asarray(image)
print(json.dumps({"t5_in_memory": loaded, "levels": len(np.unique(pixels))}))
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
            block_out_channels=[128, 256, 512, 512],
            layers_per_block=2,
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            latent_channels=16,
            scaling_factor=0.3611,
            shift_factor=0.1159,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ).to(torch.bfloat16),
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


def _prepare(folder: Path) -> dict[str, Path]:
    """Model folder and files, where they aren't there already; an interrupted run goes on."""
    shell = folder / "flux"
    if not shell.exists():
        print("writing the model's folder", flush=True)
        part = folder / "flux.part"
        shutil.rmtree(part, ignore_errors=True)
        _write_folder(part)
        part.rename(shell)
    files = {
        "flux": (folder / "flux-q4_0.gguf", "q4_0"),
        "t5encoder": (folder / "t5xxl-q8_0.gguf", "q8_0"),
    }
    for architecture, (file, kind) in files.items():
        write_random(file, architecture, _shapes(architecture), kind)
    return {"shell": shell, **{name: file for name, (file, _) in files.items()}}


def _measure(files: dict[str, Path], limit: str | None, options: Any) -> dict[str, Any]:
    """One process from loading to pixels; prints each phase as it ends."""
    command = [sys.executable, "-c", _CHILD, *(str(path) for path in files.values())]
    command += [options.dtype, str(options.threads), str(limit), options.steps, options.size]
    row: dict[str, Any] = {"memory_limit": limit, "phases": []}
    print(f"memory_limit {limit}:")
    with subprocess.Popen(
        command, env=environment(options.threads), stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            part = json.loads(line)
            if "phase" not in part:
                row |= part
                continue
            row["phases"].append(part)
            print(
                f"  {part['phase']:10} {part['seconds']:7.1f} s (of processors "
                f"{part['cpu_seconds']:7.1f} s), memory {part['memory'] / 2**30:.2f} GiB, "
                f"peak {part['peak'] / 2**30:.2f} GiB",
                flush=True,
            )
    if child.returncode:
        raise SystemExit(f"the process ended with {child.returncode}")
    idle = row["phases"][0]["memory"]
    size = sum(file.stat().st_size for name, file in files.items() if name != "shell")
    row["peak"] = row["phases"][-1]["peak"]
    row["growth"] = (row["peak"] - idle) / size
    return row


def main() -> None:
    cache = Path.home() / ".cache" / "sdrbee" / "bench"
    options = arguments(
        __doc__ or "", dir=str(cache), dtype="bf16", steps="1", size="256", keep="yes"
    )
    Path(options.dir).mkdir(parents=True, exist_ok=True)
    files = _prepare(Path(options.dir))
    sizes = {name: file.stat().st_size for name, file in files.items() if name != "shell"}
    print(f"files {sum(sizes.values()) / 2**30:.2f} GiB; the peak may be {LIMIT_GIB:.0f} GiB")
    rows = []
    for limit in _MEMORY_LIMITS:
        rows.append(_measure(files, limit, options))
        # After every row, so that an interrupted run keeps what it has.
        options.out.mkdir(parents=True, exist_ok=True)
        content = {"machine": machine(), "threads": options.threads, "dtype": options.dtype}
        content |= {"size": options.size, "files": sizes, "limit": LIMIT_GIB * 2**30, "rows": rows}
        (options.out / "flux_quantised.json").write_text(json.dumps(content, indent=1) + "\n")
        print(f"  growth over the idle process {rows[-1]['growth']:.2f} of the files")
    if options.keep == "no":
        for name, file in files.items():
            shutil.rmtree(file) if name == "shell" else file.unlink()


if __name__ == "__main__":
    main()
