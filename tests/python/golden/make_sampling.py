"""Makes tests/cpp/golden/sampling*.json from diffusers' schedulers.

Run it from the repository root: ``python tests/python/golden/make_sampling.py [file ...]``, where a
file is table, variants, flow, masked, options or derived; none means all. A fake network
that is the same function in C++ stands for the model, so that a whole generation of every
scheduler fits into a few numbers: some of the final latents, and the next random number, which
tells how much noise was drawn. What diffusers lacks is derived here from its definition.

A group holds a scheduler configuration, the options that sdrbee gets, and runs:
``{"steps", "final", "next"}``, with ``"sigmas"`` and ``"timesteps"`` once for each grid.
"""

from __future__ import annotations

import inspect
import itertools
import json
import math
import sys
import types
import warnings
from collections.abc import Callable, Iterator
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
SPACINGS = ("linspace", "leading", "trailing")
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
BASE = BETAS | {"steps_offset": 1}
SCHEDULES: dict[str, dict[str, bool]] = {
    "normal": {},
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "beta": {"use_beta_sigmas": True},
}
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


def sweep(
    name: str,
    sampler: str,
    predictions: tuple[str, ...],
    schedules: dict[str, dict[str, bool]] | None = None,
    spacings: tuple[str, ...] = SPACINGS,
    **config: Any,
) -> Iterator[Group]:
    """Every schedule x prediction x spacing of a class at 2, 5 and 20 steps."""
    for schedule, flags in (schedules or SCHEDULES).items():
        for spacing in spacings:
            for prediction in predictions:
                choices: Json = {"prediction_type": prediction}
                if name not in ("LCMScheduler", "TCDScheduler"):
                    choices["timestep_spacing"] = spacing
                full = BASE | choices | flags | config
                group = Group({"_class_name": name} | full, {"sampler": sampler})
                if schedule == "normal" or flags:
                    group.options["schedule"] = schedule
                scheduler = scheduler_class(name)(**full)
                for steps in STEPS:
                    scheduler.set_timesteps(steps)
                    lists = prediction == predictions[0] and steps == 5
                    run(group, scheduler, steps, lists)
                yield group


def all_sweeps() -> Iterator[Group]:
    """The table of sampler x schedule x prediction x spacing."""
    normal = {"normal": {}}
    yield from sweep("EulerDiscreteScheduler", "euler", EPS_V_SAMPLE)
    yield from sweep("EulerAncestralDiscreteScheduler", "euler_ancestral", EPS_V, normal)
    yield from sweep("HeunDiscreteScheduler", "heun", EPS_V_SAMPLE)
    yield from sweep("KDPM2DiscreteScheduler", "dpm2", EPS_V)
    yield from sweep("KDPM2AncestralDiscreteScheduler", "dpm2_ancestral", EPS_V)
    yield from sweep("DPMSolverMultistepScheduler", "dpmpp_2m", EPS_V_SAMPLE)
    sde = {"algorithm_type": "sde-dpmsolver++"}
    yield from sweep("DPMSolverMultistepScheduler", "dpmpp_2m_sde", EPS_V_SAMPLE, **sde)
    yield from sweep("DPMSolverSDEScheduler", "dpmpp_sde", EPS_V)
    yield from sweep("LMSDiscreteScheduler", "lms", EPS_V_SAMPLE)
    yield from sweep("DDIMScheduler", "ddim", EPS_V_SAMPLE, normal, clip_sample=False)
    yield from sweep("DDPMScheduler", "ddpm", EPS_V_SAMPLE, normal, clip_sample=False)
    yield from sweep("PNDMScheduler", "pndm", EPS_V, normal, skip_prk_steps=True)
    yield from sweep("UniPCMultistepScheduler", "unipc", EPS_V_SAMPLE)
    yield from sweep("DEISMultistepScheduler", "deis", EPS_V_SAMPLE)
    # Five steps of beta turn last bits of fp32 into 1e-5 there, in diffusers too.
    schedules = {name: flags for name, flags in SCHEDULES.items() if name != "beta"}
    yield from sweep("SASolverScheduler", "sa_solver", EPS_V_SAMPLE, schedules)
    yield from sweep("LCMScheduler", "lcm", EPS_V_SAMPLE, normal, ("leading",))
    yield from sweep("TCDScheduler", "tcd", EPS_V_SAMPLE, normal, ("leading",))


def variant(name: str, steps: tuple[int, ...] = (5, 20), **config: Any) -> Group:
    """A class with options of its own, by its defaults in sdrbee."""
    full = BASE | config
    group = Group({"_class_name": name} | full, {})
    for count in steps:
        scheduler = scheduler_class(name)(**full)
        scheduler.set_timesteps(count)
        run(group, scheduler, count, lists=count == steps[0])
    return group


def solver_variants() -> Iterator[Group]:
    """Options of the multistep solvers."""
    dpm = "DPMSolverMultistepScheduler"
    for algorithm in ("dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver"):
        end = {} if algorithm.endswith("++") else {"final_sigmas_type": "sigma_min"}
        for solver_type in ("midpoint", "heun"):
            chosen = {"algorithm_type": algorithm, "solver_type": solver_type}
            yield variant(dpm, **chosen, **end)
        if algorithm != "sde-dpmsolver":
            yield variant(dpm, algorithm_type=algorithm, solver_order=3, **end)
    yield variant(dpm, solver_order=1)
    yield variant(dpm, euler_at_final=True, final_sigmas_type="sigma_min")
    yield variant(dpm, lower_order_final=False, final_sigmas_type="sigma_min")
    yield variant(dpm, use_karras_sigmas=True, final_sigmas_type="sigma_min")
    yield variant(dpm, lambda_min_clipped=-1.5)
    yield variant(dpm, thresholding=True, sample_max_value=1.5)
    yield variant(dpm, beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1)
    yield variant(dpm, beta_schedule="squaredcos_cap_v2", use_karras_sigmas=True)
    unipc = "UniPCMultistepScheduler"
    for order in (1, 2, 3):
        for solver_type in ("bh1", "bh2"):
            # bh1 down to 0 is infinity times 0 in diffusers.
            end = "sigma_min" if solver_type == "bh1" else "zero"
            chosen = {"solver_type": solver_type, "final_sigmas_type": end}
            yield variant(unipc, solver_order=order, **chosen)
    noise_form = {"predict_x0": False, "final_sigmas_type": "sigma_min"}
    yield variant(unipc, **noise_form, prediction_type="v_prediction")
    yield variant(unipc, **noise_form, solver_order=3)
    yield variant(unipc, disable_corrector=[0, 2])
    yield variant(unipc, use_karras_sigmas=True, final_sigmas_type="sigma_min")
    yield variant(unipc, thresholding=True, sample_max_value=1.5)
    yield variant("DEISMultistepScheduler", solver_order=1)
    yield variant("DEISMultistepScheduler", solver_order=3)
    yield variant("DEISMultistepScheduler", solver_order=3, lower_order_final=False)
    for predictor, corrector in ((1, 1), (3, 1), (1, 3), (3, 4), (4, 4)):
        chosen = {"predictor_order": predictor, "corrector_order": corrector}
        yield variant("SASolverScheduler", **chosen)
    yield variant("SASolverScheduler", (2, 20), use_beta_sigmas=True)
    yield variant("SASolverScheduler", lower_order_final=False)
    yield variant("SASolverScheduler", thresholding=True, sample_max_value=1.5)


def zero_snr_and_betas() -> Iterator[Group]:
    """Zero terminal SNR, other betas, clipping and the ends of sigmas."""
    rescaled = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    rescaled |= {"timestep_spacing": "trailing"}
    for name in (
        "EulerDiscreteScheduler",
        "EulerAncestralDiscreteScheduler",
        "DDIMScheduler",
        "DDPMScheduler",
        "DPMSolverMultistepScheduler",
        "UniPCMultistepScheduler",
        "LCMScheduler",
        "TCDScheduler",
    ):
        yield variant(name, **rescaled)
    for betas in ("linear", "squaredcos_cap_v2"):
        yield variant("EulerDiscreteScheduler", beta_schedule=betas)
        yield variant("DDIMScheduler", beta_schedule=betas)
    yield variant("HeunDiscreteScheduler", beta_schedule="exp")
    yield variant("HeunDiscreteScheduler", clip_sample=True, clip_sample_range=0.8)
    yield variant("DDPMScheduler", beta_schedule="laplace")
    yield variant("DDPMScheduler", beta_schedule="sigmoid")
    trained = [float(f"{0.001 + 0.0001 * i:.6g}") for i in range(100)]
    yield variant("EulerDiscreteScheduler", trained_betas=trained, num_train_timesteps=100)
    yield variant("EulerDiscreteScheduler", final_sigmas_type="sigma_min")
    karras = {"use_karras_sigmas": True, "sigma_min": 0.05, "sigma_max": 12.0}
    yield variant("EulerDiscreteScheduler", **karras)
    yield variant("UniPCMultistepScheduler", **karras)
    for variance in ("fixed_small_log", "fixed_large"):
        yield variant("DDPMScheduler", variance_type=variance)
    yield variant("DDIMScheduler", set_alpha_to_one=False, clip_sample=False)
    yield variant("DDIMScheduler", thresholding=True, sample_max_value=1.5)
    yield variant("PNDMScheduler", skip_prk_steps=True, set_alpha_to_one=True)
    yield variant("LCMScheduler", original_inference_steps=40, timestep_scaling=5.0)
    yield variant("LCMScheduler", clip_sample=True)


def flow_groups() -> Iterator[Group]:
    """Flow models: the three flow-match classes and the solvers with flow sigmas."""
    euler = "FlowMatchEulerDiscreteScheduler"
    shifts: list[Json] = [{}, {"shift": 3.0}, {"shift": 3.0, "shift_terminal": 0.02}]
    for flags in SCHEDULES.values():
        for shift in shifts:
            yield flow(euler, **shift, **flags)
    yield flow("FlowMatchHeunDiscreteScheduler", shift=3.0)
    yield flow("FlowMatchHeunDiscreteScheduler", churn={"s_churn": 6.0, "s_noise": 1.1})
    yield flow("FlowMatchLCMScheduler", shift=3.0)
    yield flow("FlowMatchLCMScheduler", shift=2.0, use_beta_sigmas=True)
    yield flow(euler, shift=3.0, stochastic_sampling=True)
    for kind in ("exponential", "linear"):
        yield flow(euler, mu=0.9, use_dynamic_shifting=True, time_shift_type=kind)
        sigmas = [float(s) for s in np.linspace(1, 1 / 5, 5)]
        dynamic = {"use_dynamic_shifting": True, "time_shift_type": kind}
        yield flow(euler, sigmas=sigmas, mu=0.7, **dynamic)
    solver = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
    yield flow("SASolverScheduler", **solver)
    yield flow("SASolverScheduler", **solver, flow_shift=3.0)
    for name in ("DPMSolverMultistepScheduler", "DEISMultistepScheduler"):
        yield flow(name, **solver)
        yield flow(name, **solver, flow_shift=3.0)
        yield flow(name, **solver, use_dynamic_shifting=True, mu=0.8)
    yield flow("DPMSolverMultistepScheduler", **solver, algorithm_type="sde-dpmsolver++")
    yield flow("DPMSolverMultistepScheduler", **solver, final_sigmas_type="sigma_min")
    unipc = "UniPCMultistepScheduler"
    yield flow(unipc, **solver)
    yield flow(unipc, **solver, flow_shift=3.0, shift_terminal=0.02)
    yield flow(unipc, **solver, use_dynamic_shifting=True, mu=0.8)
    yield flow(unipc, **solver, use_karras_sigmas=True)
    yield flow(unipc, **solver, final_sigmas_type="sigma_min")


def flow(
    name: str,
    mu: float | None = None,
    sigmas: list[float] | None = None,
    churn: Json | None = None,
    **config: Any,
) -> Group:
    """A flow scheduler at its steps, or at own sigmas."""
    options: Json = {}
    arguments: Json = {}
    if mu is not None:
        options["mu"] = arguments["mu"] = mu
    if sigmas is not None:
        options["sigmas"] = arguments["sigmas"] = sigmas
    group = Group({"_class_name": name} | config, options | (churn or {}))
    for count in (len(sigmas),) if sigmas else STEPS:
        scheduler = scheduler_class(name)(**config)
        if sigmas is None:
            arguments["num_inference_steps"] = count
        scheduler.set_timesteps(**arguments)
        run(group, scheduler, count, lists=count == 5, **(churn or {}))
    return group


def masked_groups() -> Iterator[Group]:
    """Image-to-image and masked inpainting, with the blend after every scheduler step."""
    names = {
        "EulerDiscreteScheduler": {},
        "EulerAncestralDiscreteScheduler": {},
        "HeunDiscreteScheduler": {"use_karras_sigmas": True},
        "KDPM2DiscreteScheduler": {},
        "KDPM2AncestralDiscreteScheduler": {},
        "DPMSolverMultistepScheduler": {"use_karras_sigmas": True},
        "DPMSolverSDEScheduler": {},
        "LMSDiscreteScheduler": {},
        "DDIMScheduler": {"clip_sample": False},
        "DDPMScheduler": {"clip_sample": False},
        "PNDMScheduler": {"skip_prk_steps": True},
        "UniPCMultistepScheduler": {},
        "DEISMultistepScheduler": {},
        "SASolverScheduler": {},
        "LCMScheduler": {},
        "TCDScheduler": {},
    }
    for name, flags in names.items():
        full = BASE | flags
        group = Group({"_class_name": name} | full, {})
        for steps, strength, inpaint in ((10, 0.6, False), (10, 0.95, True), (6, None, True)):
            scheduler = scheduler_class(name)(**full)
            scheduler.set_timesteps(steps)
            extra = {"strength": strength, "inpaint": inpaint}
            run(group, scheduler, steps, False, extra, **extra)
        yield group


def option_groups() -> Iterator[Group]:
    """Options of a single step or of the grid: eta, churn, own sigmas, distilled strength."""
    for name in ("DDIMScheduler", "TCDScheduler"):
        for eta in (0.3, 1.0):
            full = BASE | ({"clip_sample": False} if name == "DDIMScheduler" else {})
            group = Group({"_class_name": name} | full, {"eta": eta})
            for steps in (4, 20):
                scheduler = scheduler_class(name)(**full)
                scheduler.set_timesteps(steps)
                run(group, scheduler, steps, False, eta=eta)
            yield group
    group = Group({"_class_name": "SASolverScheduler"} | BASE, {"eta": 0.0})
    for steps in (4, 20):
        scheduler = scheduler_class("SASolverScheduler")(**BASE, tau_func=lambda _timestep: 0.0)
        scheduler.set_timesteps(steps)
        run(group, scheduler, steps, False)
    yield group
    for prediction in EPS_V:
        full = BASE | {"prediction_type": prediction}
        churn = {"s_churn": 4.0, "s_noise": 1.05}
        group = Group({"_class_name": "EulerDiscreteScheduler"} | full, churn)
        scheduler = scheduler_class("EulerDiscreteScheduler")(**full)
        scheduler.set_timesteps(8)
        run(group, scheduler, 8, False, **churn)
        yield group
    sigmas = [14.0, 6.0, 2.5, 1.0, 0.4, 0.1, 0.0]
    group = Group({"_class_name": "EulerDiscreteScheduler"} | BASE, {"sigmas": sigmas})
    scheduler = scheduler_class("EulerDiscreteScheduler")(**BASE)
    scheduler.set_timesteps(sigmas=sigmas)
    run(group, scheduler, 6, True)
    yield group
    for name in ("LCMScheduler", "TCDScheduler"):
        group = Group({"_class_name": name} | BASE, {"distilled_strength": 0.5})
        scheduler = scheduler_class(name)(**BASE)
        scheduler.set_timesteps(4, strength=0.5)
        run(group, scheduler, 4, True)
        yield group


def switched_groups() -> Iterator[Group]:
    """Another sampler on a model folder's configuration: OtherScheduler.from_config(config)."""
    folders: list[Json] = [
        # runwayml/stable-diffusion-v1-5, scheduler/scheduler_config.json
        {
            "_class_name": "PNDMScheduler",
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "beta_start": 0.00085,
            "clip_sample": False,
            "num_train_timesteps": 1000,
            "set_alpha_to_one": False,
            "skip_prk_steps": True,
            "steps_offset": 1,
            "trained_betas": None,
        },
        {
            "_class_name": "DPMSolverMultistepScheduler",
            "use_karras_sigmas": True,
            "solver_order": 3,
            "timestep_spacing": "trailing",
            "beta_start": 0.001,
            "algorithm_type": "dpmsolver++",
        },
    ]
    targets = {
        "euler": "EulerDiscreteScheduler",
        "euler_ancestral": "EulerAncestralDiscreteScheduler",
        "heun": "HeunDiscreteScheduler",
        "dpm2": "KDPM2DiscreteScheduler",
        "lms": "LMSDiscreteScheduler",
        "ddim": "DDIMScheduler",
        "ddpm": "DDPMScheduler",
        "unipc": "UniPCMultistepScheduler",
        "deis": "DEISMultistepScheduler",
        "lcm": "LCMScheduler",
        "tcd": "TCDScheduler",
    }
    for config in folders:
        original = scheduler_class(config["_class_name"]).from_config(config)
        for sampler, name in targets.items():
            group = Group(config, {"sampler": sampler})
            scheduler = scheduler_class(name).from_config(original.config)
            scheduler.set_timesteps(5)
            run(group, scheduler, 5, True)
            yield group


class TrainedModel:
    """A discrete model as k-diffusion and ComfyUI see it: sigmas, and timesteps in log sigma."""

    def __init__(self) -> None:
        betas = torch.linspace(BETAS["beta_start"] ** 0.5, BETAS["beta_end"] ** 0.5, 1000) ** 2
        products = torch.cumprod(1 - betas, 0)
        self.sigmas = ((1 - products) / products).sqrt().double().numpy()
        self.logs = np.log(self.sigmas)

    def timestep(self, sigma: float) -> float:
        return float(np.interp(math.log(sigma), self.logs, np.arange(1000)))

    def sigma(self, timestep: float) -> float:
        return math.exp(float(np.interp(timestep, np.arange(1000), self.logs)))

    def denoised(self, x: torch.Tensor, sigma: float, prediction: str) -> torch.Tensor:
        raw = network(x / math.sqrt(sigma**2 + 1), self.timestep(sigma))
        if prediction == "epsilon":
            return x - sigma * raw
        if prediction == "sample":
            return raw
        return x / (sigma**2 + 1) - raw * sigma / math.sqrt(sigma**2 + 1)

    def schedule(self, name: str, steps: int) -> list[float]:
        """ComfyUI's definitions (comfy/samplers.py)."""
        low, high = float(self.sigmas[0]), float(self.sigmas[-1])
        if name == "simple":
            chosen = [float(self.sigmas[-(1 + int(i * 1000 / steps))]) for i in range(steps)]
        elif name == "sgm_uniform":
            chosen = [self.sigma(t) for t in np.linspace(999, 0, steps + 1)[:-1]]
        elif name == "ddim_uniform":
            chosen = [float(s) for s in self.sigmas[1 :: max(1000 // steps, 1)][::-1]]
        else:
            shares = np.linspace(0, 1, steps) if steps > 1 else np.zeros(1)
            angles = shares * math.atan(low) + (1 - shares) * math.atan(high)
            chosen = [float(s) for s in np.tan(angles)]
        return [*chosen, 0.0]


def ancestral_2s(
    model: TrainedModel, sigmas: list[float], prediction: str, eta: float, s_noise: float
) -> tuple[torch.Tensor, torch.Generator]:
    """DPM-Solver++(2S) with ancestral noise (k-diffusion's sample_dpmpp_2s_ancestral), fp64."""
    generator = torch.Generator().manual_seed(7)
    x = (torch.randn(SHAPE, generator=generator) * max(sigmas)).double()
    for sigma, following in itertools.pairwise(sigmas):
        variance = following**2 * (sigma**2 - following**2) / sigma**2
        up = min(following, eta * math.sqrt(variance))
        down = math.sqrt(following**2 - up**2)
        clean = model.denoised(x.float(), sigma, prediction).double()
        if down == 0:
            x = x + (x - clean) / sigma * (down - sigma)
            continue
        middle = math.sqrt(sigma * down)
        half = (middle / sigma) * x + (1 - middle / sigma) * clean
        clean = model.denoised(half.float(), middle, prediction).double()
        x = (down / sigma) * x + (1 - down / sigma) * clean
        x = x + torch.randn(SHAPE, generator=generator).double() * s_noise * up
    return x, generator


def derived_groups() -> Iterator[Group]:
    """What diffusers has no class for."""
    model = TrainedModel()
    euler = {"_class_name": "EulerDiscreteScheduler"} | BASE
    for schedule in ("simple", "sgm_uniform", "ddim_uniform", "kl_optimal"):
        group = Group(euler, {"sampler": "euler", "schedule": schedule})
        for steps in (1, 2, 5, 7, 20):
            sigmas = model.schedule(schedule, steps)
            scheduler = diffusers.EulerDiscreteScheduler(**BASE)
            scheduler.set_timesteps(sigmas=sigmas)
            run(group, scheduler, steps, True)
        yield group
        group = Group(euler, {"sampler": "dpmpp_2s_ancestral", "schedule": schedule})
        for steps in STEPS:
            final, generator = ancestral_2s(model, model.schedule(schedule, steps), "epsilon", 1, 1)
            following = rounded(torch.randn(1, generator=generator))[0]
            group.add(steps=steps, final=rounded(final.flatten()[KEPT]), next=following)
        yield group
    for prediction in EPS_V_SAMPLE:
        for eta, s_noise in ((1.0, 1.0), (0.4, 1.1)):
            options = {"sampler": "dpmpp_2s_ancestral", "eta": eta, "s_noise": s_noise}
            config = euler | {"prediction_type": prediction, "use_karras_sigmas": True}
            group = Group(config, options)
            for steps in STEPS:
                scheduler = diffusers.EulerDiscreteScheduler(**BASE, use_karras_sigmas=True)
                scheduler.set_timesteps(steps)
                sigmas = [float(sigma) for sigma in scheduler.sigmas]
                final, generator = ancestral_2s(model, sigmas, prediction, eta, s_noise)
                following = rounded(torch.randn(1, generator=generator))[0]
                group.add(steps=steps, final=rounded(final.flatten()[KEPT]), next=following)
            yield group


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


FILES: dict[str, tuple[Callable[[], Iterator[Group]], ...]] = {
    "table": (all_sweeps,),
    "variants": (solver_variants, zero_snr_and_betas),
    "flow": (flow_groups,),
    "masked": (masked_groups,),
    "options": (option_groups, switched_groups),
    "derived": (derived_groups,),
}


def main() -> None:
    for package, pinned in PINNED.items():
        if version(package).split("+")[0] != pinned:
            raise SystemExit(f"{package} {pinned} is needed but {version(package)} is installed")
    warnings.simplefilter("ignore")
    diffusers.utils.logging.set_verbosity_error()
    torch.set_grad_enabled(False)
    for name in sys.argv[1:] or FILES:
        write(f"sampling_{name}.json", itertools.chain(*(groups() for groups in FILES[name])))


if __name__ == "__main__":
    main()
