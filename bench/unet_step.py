"""How long is one step with classifier-free guidance of Stable Diffusion 1.5 at 512x512?

Both engines make one long picture; a step of one and a step of the other alternate.
"""

from __future__ import annotations

from bench.comparison import Worker, arguments, check_parity, interleave, report

_SIZE = 512
_BARS = {"bf16": 0.9, "fp32": 0.9}


def main() -> None:
    options = arguments(__doc__ or "", model=None, dtypes="bf16,fp32")
    with Worker("diffusers", options.model, "fp32", options.threads) as reference:
        reference.call("load")
        expected = reference.latents(steps=2, size=_SIZE)
    rows, parity = [], {}
    for dtype in options.dtypes.split(","):
        with (
            Worker("sdrbee", options.model, dtype, options.threads) as ours,
            Worker("diffusers", options.model, dtype, options.threads) as theirs,
        ):
            for worker in (ours, theirs):
                worker.call("load")
            parity[dtype] = check_parity(ours.latents(steps=2, size=_SIZE), expected, dtype)
            for worker in (ours, theirs):
                worker.call("begin", steps=options.pairs + 3, size=_SIZE, output="latent")
                for _ in range(2):  # the first encodes the prompt, both warm caches
                    worker.call("step")
            pairs = interleave(
                options.pairs, lambda: ours.seconds("step"), lambda: theirs.seconds("step")
            )
            for worker in (ours, theirs):
                worker.call("step")
                worker.call("finish")
            rows.append(pairs.row(f"CFG step 512x512, {dtype}", _BARS[dtype]))
            report(options.out, "unet_step", rows, threads=options.threads, parity=parity)


if __name__ == "__main__":
    main()
