"""What the scripts that make tests/cpp/golden/sampling*.json share.

A fake network that is the same function in C++ stands for the model, so that a whole generation of
every scheduler fits into a few numbers: some of the final latents, and the next random number,
which tells how much noise was drawn.

A group holds a scheduler configuration, the options that sdrbee gets, and runs:
``{"steps", "final", "next"}``, with ``"sigmas"`` and ``"timesteps"`` once for each grid.
"""

from __future__ import annotations

import inspect
import json
import math
import sys
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch

PINNED = {"diffusers": "0.42.1", "torch": "2.13.0"}
FOLDER = Path(__file__).parents[2] / "cpp" / "golden"
SHAPE = (1, 4, 4, 4)
KEPT = slice(0, 64, 9)
STEPS = (2, 5, 20)
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
BASE = BETAS | {"steps_offset": 1}
EPS_V = ("epsilon", "v_prediction")
EPS_V_SAMPLE = (*EPS_V, "sample")
Json = dict[str, Any]


def scheduler_class(name: str) -> Any:
    """The class of a name; the SDE scheduler's Brownian tree is replaced by given noise."""
    if name != "DPMSolverSDEScheduler":
        return getattr(diffusers, name)
    sys.modules.setdefault("torchsde", types.ModuleType("torchsde"))
    from diffusers.schedulers import scheduling_dpmsolver_sde

    return scheduling_dpmsolver_sde.DPMSolverSDEScheduler


def network(x: torch.Tensor, timestep: float | torch.Tensor) -> torch.Tensor:
    """The fake model, in fp32 as in tests/cpp/sampling/golden_test.cpp."""
    shift = float(np.float32(float(timestep)) * np.float32(0.0005))
    channels = torch.arange(4, dtype=torch.float32).reshape(1, 4, 1, 1) * 0.1
    return torch.tanh(x * 0.7 + shift + channels)


def mixed(seed: int, index: int) -> int:
    """The seed of NoiseSource::normal_at: SplitMix64 over seed and index."""
    mask = (1 << 64) - 1

    def mix(value: int) -> int:
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
        return value ^ (value >> 31)

    return mix((mix(seed) + 0x9E3779B97F4A7C15 * (index + 1)) & mask)


class GivenPath:
    """The increments of dpmpp_sde's noise: step k uses the numbers 2k and 2k + 1 of the seed."""

    def __init__(self, seed: int, first_step: int) -> None:
        self.seed, self.call = seed, 2 * first_step
        self.middle = 0.0
        self.first = torch.empty(0)

    def __call__(self, sigma: torch.Tensor, to: torch.Tensor) -> torch.Tensor:
        drawn = torch.randn(
            SHAPE, generator=torch.Generator().manual_seed(mixed(self.seed, self.call))
        )
        self.call += 1
        if self.call % 2 == 1:
            self.first, self.middle = drawn, float(to)
            return drawn
        whole = float(sigma) - float(to)
        shares = (float(sigma) - self.middle) / whole, (self.middle - float(to)) / whole
        return self.first * math.sqrt(shares[0]) + drawn * math.sqrt(shares[1])


@dataclass
class Group:
    """Runs that share a configuration."""

    config: Json
    options: Json
    runs: list[Json] = field(default_factory=list)

    def add(self, **run: Any) -> None:
        self.runs.append(run)

    def json(self) -> Json:
        return {"config": self.config, "options": self.options, "runs": self.runs}


def rounded(values: Any, digits: int = 8) -> list[float]:
    """Numbers short enough to commit; 8 digits hold fp32."""
    return [float(f"{float(value):.{digits}g}") for value in values]


def generate(
    scheduler: Any,
    strength: float | None = None,
    inpaint: bool = False,
    **step_options: Any,
) -> tuple[torch.Tensor, torch.Generator]:
    """The denoising loop of diffusers' Stable Diffusion pipelines on the fake network."""
    generator = torch.Generator().manual_seed(7)
    timesteps, order = scheduler.timesteps, scheduler.order
    clean = network(torch.linspace(-2, 2, 64).reshape(SHAPE), 100)
    noise = torch.randn(SHAPE, generator=generator)
    mask = (torch.arange(64).reshape(SHAPE) % 3 == 0).float()
    first = 0
    if hasattr(scheduler, "set_begin_index"):
        # Without it a class looks its first timestep up and takes the second one of equal ones.
        scheduler.set_begin_index(0)
    latents = noise * getattr(scheduler, "init_noise_sigma", 1.0)
    if strength is not None:
        count = scheduler.num_inference_steps
        first = max(count - min(int(count * strength), count), 0)
        timesteps = timesteps[first * order :]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first * order)
        noised = getattr(scheduler, "add_noise", None) or scheduler.scale_noise
        latents = noised(clean, noise, timesteps[:1])
    if hasattr(scheduler, "noise_sampler"):
        scheduler.noise_sampler = GivenPath(7, first)
    for i, t in enumerate(timesteps):
        scaled = latents
        if hasattr(scheduler, "scale_model_input"):
            scaled = scheduler.scale_model_input(latents, t)
        latents = scheduler.step(network(scaled, t), t, latents, **step_options).prev_sample
        if inpaint:
            kept = clean
            if i + 1 < len(timesteps):
                kept = scheduler.add_noise(clean, noise, timesteps[i + 1 : i + 2])
            latents = (1 - mask) * kept + mask * latents
    return latents, generator


def accepts(scheduler: Any, name: str) -> bool:
    return name in inspect.signature(scheduler.step).parameters


def run(
    group: Group, scheduler: Any, steps: int, lists: bool, extra: Json | None = None, **options: Any
) -> None:
    """Runs a scheduler whose timesteps are set and adds what came out."""
    if isinstance(scheduler, diffusers.SASolverScheduler):
        # Its coefficients are differences of large numbers, which fp32 doesn't hold.
        scheduler.sigmas = scheduler.sigmas.double()
    arguments = dict(options)
    if accepts(scheduler, "generator"):
        generator = torch.Generator().manual_seed(7)
        torch.randn(SHAPE, generator=generator)
        arguments["generator"] = generator
    if accepts(scheduler, "eta"):
        arguments.setdefault("eta", 0.0)  # what the pipelines pass, whatever the class says
    final, first = generate(scheduler, **arguments)
    record: Json = {"steps": steps} | (extra or {})
    record["final"] = rounded(final.flatten()[KEPT])
    record["next"] = rounded(torch.randn(1, generator=arguments.get("generator", first)))[0]
    if lists:
        record["timesteps"] = rounded(scheduler.timesteps, 6)
        if len(getattr(scheduler, "sigmas", ())):
            record["sigmas"] = rounded(scheduler.sigmas, 7)
    group.runs.append(record)


def write(name: str, groups: Iterator[Group]) -> None:
    """One line for each group, so that a change shows in a diff."""
    lines = []
    for group in groups:
        lines.append(json.dumps(group.json(), separators=(",", ":")))
        if "NaN" in lines[-1] or "Infinity" in lines[-1]:
            raise SystemExit(f"{name}: a reference is not finite: {lines[-1]}")
    text = '{"groups":[\n' + ",\n".join(lines) + "\n]}\n"
    (FOLDER / name).write_text(text)
    sys.stdout.write(f"{name}: {len(lines)} groups, {len(text)} bytes\n")


def prepare() -> None:
    """Checks the versions that the files come from, and silences warnings."""
    for package, pinned in PINNED.items():
        if version(package).split("+")[0] != pinned:
            raise SystemExit(f"{package} {pinned} is needed but {version(package)} is installed")
    warnings.simplefilter("ignore")
    diffusers.utils.logging.set_verbosity_error()
    torch.set_grad_enabled(False)
