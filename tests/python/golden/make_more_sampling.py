"""Makes tests/cpp/golden/sampling_more.json: samplers and schedules that diffusers lacks.

Run it from the repository root: ``python tests/python/golden/make_more_sampling.py``. Three
samplers are those of k-diffusion itself (``pip install --no-deps k-diffusion==0.1.1.post1``), ipndm
is diffusers' IPNDMScheduler on given noise levels; the others are written down here from their
papers, in fp64. The fake network and the form of the file are those of make_sampling.py.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
import sys
import types
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from typing import Any

import diffusers
import numpy as np
import torch
from make_sampling import (
    BASE,
    KEPT,
    SHAPE,
    STEPS,
    Group,
    Json,
    TrainedModel,
    network,
    rounded,
    write,
)
from numpy.polynomial import Polynomial
from scipy.integrate import quad

EULER: Json = {"_class_name": "EulerDiscreteScheduler"} | BASE
FLOW: Json = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 1.0}
K_DIFFUSION = "0.1.1.post1"
Sample = Callable[["Problem", list[float]], torch.Tensor]


def k_diffusion() -> Any:
    """k_diffusion/sampling.py alone: the package would import what the samplers don't need."""
    wheel = distribution("k-diffusion")
    if wheel.version != K_DIFFUSION:
        raise SystemExit(f"k-diffusion {K_DIFFUSION} is needed but {wheel.version} is installed")
    for name in ("torchdiffeq", "torchsde", "k_diffusion", "k_diffusion.utils"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torchdiffeq"].odeint = None  # type: ignore[attr-defined]
    package = sys.modules["k_diffusion"]
    package.__path__ = []
    package.utils = sys.modules["k_diffusion.utils"]  # type: ignore[attr-defined]
    package.utils.append_dims = lambda x, dims: x.reshape(x.shape + (1,) * (dims - x.ndim))
    path = wheel.locate_file("k_diffusion/sampling.py")
    spec = importlib.util.spec_from_file_location("k_diffusion.sampling", str(path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Problem:
    """A model, its generator and what the samplers draw."""

    def __init__(self, prediction: str, options: Json) -> None:
        self.model = TrainedModel()
        self.prediction = prediction
        self.generator = torch.Generator().manual_seed(7)
        self.eta = options.get("eta", 1.0)
        self.s_noise = options.get("s_noise", 1.0)
        self.start = torch.randn(SHAPE, generator=self.generator)
        self.flow = prediction == "flow_prediction"

    def noise(self, *_sigmas: object) -> torch.Tensor:
        return torch.randn(SHAPE, generator=self.generator).double()

    def denoised(self, x: torch.Tensor, sigma: float, shift: float = 0) -> torch.Tensor:
        """The clean estimate; `shift` of the timestep makes the unconditional one."""
        x = x.float()
        if self.flow:
            raw = network(x, sigma * 1000 + shift)
            return (x - sigma * raw).double()
        raw = network(x / math.sqrt(sigma**2 + 1), self.model.timestep(sigma) + shift)
        if self.prediction == "sample":
            return raw.double()
        if self.prediction == "epsilon":
            return (x - sigma * raw).double()
        return (x / (sigma**2 + 1) - raw * sigma / math.sqrt(sigma**2 + 1)).double()

    def first(self, sigma: float) -> torch.Tensor:
        return self.start.double() * (1 if self.flow else sigma)


def from_k_diffusion(name: str) -> Sample:
    """A sampler of k-diffusion over noise levels that end with 0."""
    function = getattr(k_diffusion(), f"sample_{name}")

    def sample(problem: Problem, sigmas: list[float]) -> torch.Tensor:
        def model(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            return problem.denoised(x, float(sigma[0]))

        options: Json = {
            "noise_sampler": problem.noise,
            "disable": True,
            "s_noise": problem.s_noise,
        }
        x = problem.first(sigmas[0])
        if name == "dpmpp_3m_sde":
            levels = torch.tensor(sigmas, dtype=torch.float64)
            return function(model, x, levels, eta=problem.eta, **options)
        # Where eta is 0 k-diffusion draws noise and multiplies it by 0; sdrbee doesn't draw.
        if problem.eta == 0:
            options["noise_sampler"] = lambda *_: torch.zeros(SHAPE)
        ends = (sigmas[-2], sigmas[0])
        if name == "dpm_fast":
            return function(model, x, *ends, len(sigmas) - 1, eta=problem.eta, **options)
        return function(model, x, *ends, eta=problem.eta, **options)

    return sample


def adams(problem: Problem, sigmas: list[float]) -> torch.Tensor:
    """Adams-Bashforth of order 4 with the Lagrange polynomials' integrals (ipndm_v)."""
    x = problem.first(sigmas[0])
    known: list[tuple[float, torch.Tensor]] = []
    for sigma, following in itertools.pairwise(sigmas):
        clean = problem.denoised(x, sigma)
        if following == 0:
            return clean
        known = [*known, (sigma, (x - clean) / sigma)][-4:]
        nodes = [node for node, _ in known]
        for own, (node, derivative) in enumerate(known):
            basis = Polynomial([1.0])
            for other in nodes[:own] + nodes[own + 1 :]:
                basis *= Polynomial([-other, 1.0]) / (node - other)
            integral = basis.integ()
            x = x + derivative * (integral(following) - integral(sigma))
    return x


def even_adams(problem: Problem, sigmas: list[float]) -> torch.Tensor:
    """diffusers' IPNDMScheduler on these noise levels, up to the last but one (ipndm).

    Its latents are variance-preserving, its prediction is the velocity, and its betas are the
    noise's shares. diffusers extrapolates the last step too; here, as in ComfyUI, it takes the
    clean estimate.
    """
    shares = [sigma / math.sqrt(sigma**2 + 1) for sigma in sigmas]
    scheduler = diffusers.IPNDMScheduler(trained_betas=shares)
    scheduler.set_timesteps(len(sigmas) - 1)
    scheduler.betas = torch.tensor(shares, dtype=torch.float64)
    scheduler.alphas = (1 - scheduler.betas**2) ** 0.5
    scheduler.set_begin_index(0)
    x = problem.first(sigmas[0]) / math.sqrt(sigmas[0] ** 2 + 1)
    for index, sigma in enumerate(sigmas[:-1]):
        scale = math.sqrt(sigma**2 + 1)
        clean = problem.denoised(x * scale, sigma)
        if sigmas[index + 1] == 0:
            return clean
        noise = (x * scale - clean) / sigma
        velocity = (noise - sigma * clean) / scale
        x = scheduler.step(velocity, scheduler.timesteps[index], x).prev_sample
    return x * math.sqrt(sigmas[-1] ** 2 + 1)


def refined(problem: Problem, sigmas: list[float]) -> torch.Tensor:
    """RES, two steps (arXiv:2308.02157): the exponential integral of a line through estimates."""
    x = problem.first(sigmas[0])
    before: tuple[float, torch.Tensor] | None = None
    for sigma, following in itertools.pairwise(sigmas):
        clean = problem.denoised(x, sigma)
        if following == 0:
            return clean
        h = math.log(sigma / following)
        # The variation of constants in t = -log sigma: x(t+h) = e^-h x + int_0^h e^(s-h) D(t+s) ds.
        x = math.exp(-h) * x + (1 - math.exp(-h)) * clean
        if before is not None:
            moment = quad(lambda s, h=h: math.exp(s - h) * s, 0, h, epsabs=1e-13)[0]
            x = x + moment * (clean - before[1]) / math.log(before[0] / sigma)
        before = (sigma, clean)
    return x


def extended(problem: Problem, sigmas: list[float]) -> torch.Tensor:
    """ER-SDE-Solver-3 (arXiv:2309.06169), its integrals as sums over 200 points."""

    def scale(ratio: Any) -> Any:
        return ratio * (np.exp(ratio**0.3) + 10)

    def ratio_of(sigma: float) -> float:
        return min(sigma, 0.9999) / (1 - min(sigma, 0.9999)) if problem.flow else sigma

    x = problem.first(sigmas[0])
    clean_before: list[tuple[float, torch.Tensor]] = []
    slope_before: torch.Tensor | None = None
    for sigma, following in itertools.pairwise(sigmas):
        clean = problem.denoised(x, sigma)
        if following == 0:
            return clean
        start, end = ratio_of(sigma), ratio_of(following)
        alpha = following / end
        shrink = scale(end) / scale(start)
        x = x * (alpha / (sigma / start)) * shrink + alpha * (1 - shrink) * clean
        if clean_before:
            width = (start - end) / 200
            points = end + np.arange(200) * width
            ratio, previous = clean_before[-1]
            slope = (clean - previous) / (start - ratio)
            weight = float(np.sum(1 / scale(points)) * width)
            x = x + alpha * (end - start + weight * scale(end)) * slope
            if slope_before is not None:
                moment = float(np.sum((points - start) / scale(points)) * width)
                bend = (slope - slope_before) / ((start - clean_before[-2][0]) / 2)
                x = x + alpha * ((end - start) ** 2 / 2 + moment * scale(end)) * bend
            slope_before = slope
        clean_before.append((start, clean))
        spread = math.sqrt(max(end**2 - (start * shrink) ** 2, 0))
        x = x + alpha * spread * problem.s_noise * problem.noise()
    return x


def gradient(problem: Problem, sigmas: list[float]) -> torch.Tensor:
    """Gradient estimation with gamma 2 (arXiv:2306.04848)."""
    x = problem.first(sigmas[0])
    before: torch.Tensor | None = None
    for sigma, following in itertools.pairwise(sigmas):
        clean = problem.denoised(x, sigma)
        if following == 0:
            return clean
        derivative = (x - clean) / sigma
        estimate = derivative if before is None else 2 * derivative - before
        x = x + (following - sigma) * estimate
        before = derivative
    return x


def cfg_pp(problem: Problem, sigmas: list[float], ancestral: bool = False) -> torch.Tensor:
    """CFG++ (arXiv:2406.08070): the guided estimate with the unconditional noise."""
    x = problem.first(sigmas[0])
    for sigma, following in itertools.pairwise(sigmas):
        clean = problem.denoised(x, sigma)
        if following == 0:
            return clean
        alphas = (1 - sigma, 1 - following) if problem.flow else (1.0, 1.0)
        noise = (x - alphas[0] * problem.denoised(x, sigma, shift=300)) / sigma
        down, up = following, 0.0
        if ancestral:
            up = problem.eta * following * math.sqrt(1 - (following / sigma) ** 2)
            down = math.sqrt(following**2 - up**2)
        x = alphas[1] * clean + down * noise
        if up > 0:
            x = x + up * problem.s_noise * problem.noise()
    return x


def ancestral_cfg_pp(problem: Problem, sigmas: list[float]) -> torch.Tensor:
    return cfg_pp(problem, sigmas, ancestral=True)


def karras(count: int, low: float, high: float) -> list[float]:
    ramp = np.linspace(0, 1, count)
    return [float(s) for s in (high ** (1 / 7) + ramp * (low ** (1 / 7) - high ** (1 / 7))) ** 7]


def restart(problem: Problem, sigmas: list[float]) -> torch.Tensor:
    """Restart sampling (arXiv:2306.14878) with the defaults of AUTOMATIC1111's web UI."""
    steps = len(sigmas) - 1
    times, length = (0, 0) if steps < 20 else (1, 9) if steps < 36 else (2, steps // 4)
    main = [*karras(steps - times * length, sigmas[-2], sigmas[0]), 0.0]
    low = int(np.argmin(np.abs(np.array(main) - 0.1)))
    high = int(np.argmin(np.abs(np.array(main) - 2.0)))
    moves: list[tuple[float, float]] = []
    for index, move in enumerate(itertools.pairwise(main)):
        moves.append(move)
        if index + 1 == low and high < low:
            moves += list(itertools.pairwise(karras(length + 1, main[low], main[high]))) * times
    x = problem.first(sigmas[0])
    reached = sigmas[0]
    for start, end in moves:
        if start > reached * (1 + 1e-9):
            x = x + math.sqrt(start**2 - reached**2) * problem.s_noise * problem.noise()
        derivative = (x - problem.denoised(x, start)) / start
        euler = x + (end - start) * derivative
        if end > 0:
            derivative = (derivative + (euler - problem.denoised(euler, end)) / end) / 2
            euler = x + (end - start) * derivative
        x, reached = euler, end
    return x


def record(
    group: Group, sample: Sample, prediction: str, levels: list[float], **extra: Any
) -> None:
    problem = Problem(prediction, group.options)
    final = sample(problem, levels)
    following = rounded(torch.randn(1, generator=problem.generator))[0]
    group.add(steps=len(levels) - 1, final=rounded(final.flatten()[KEPT]), next=following, **extra)


def model_sigmas(schedule: str, steps: int) -> list[float]:
    model = TrainedModel()
    low, high = float(model.sigmas[0]), float(model.sigmas[-1])
    if schedule == "karras":
        return [*karras(steps, low, high), 0.0]
    return model.schedule(schedule, steps)


def sampler_groups(
    name: str,
    sample: Sample,
    schedules: tuple[str, ...] = ("karras", "simple"),
    steps: tuple[int, ...] = STEPS,
    choices: tuple[Json, ...] = ({},),
    **extra: Any,
) -> Iterator[Group]:
    for schedule, chosen in itertools.product(schedules, choices):
        for prediction in ("epsilon", "v_prediction", "sample"):
            config = EULER | {"prediction_type": prediction, "timestep_spacing": "linspace"}
            group = Group(config, {"sampler": name, "schedule": schedule} | chosen)
            for count in steps:
                record(group, sample, prediction, model_sigmas(schedule, count), **extra)
            yield group


def flow_groups(name: str, sample: Sample, **extra: Any) -> Iterator[Group]:
    group = Group(FLOW, {"sampler": name, "schedule": "sgm_uniform"})
    for count in STEPS:
        sigmas = [float(s) for s in np.linspace(1, 0.001, count + 1)[:-1]]
        record(group, sample, "flow_prediction", [*sigmas, 0.0], **extra)
    yield group


def all_samplers() -> Iterator[Group]:
    noisy: tuple[Json, ...] = ({}, {"eta": 0.4, "s_noise": 1.1})
    yield from sampler_groups("dpmpp_3m_sde", from_k_diffusion("dpmpp_3m_sde"), choices=noisy)
    yield from sampler_groups("ipndm", even_adams)
    yield from sampler_groups("ipndm_v", adams)
    yield from flow_groups("ipndm_v", adams)
    yield from sampler_groups("res_multistep", refined)
    yield from flow_groups("res_multistep", refined)
    yield from sampler_groups("er_sde", extended)
    yield from flow_groups("er_sde", extended)
    yield from sampler_groups("gradient_estimation", gradient)
    yield from flow_groups("gradient_estimation", gradient)
    yield from sampler_groups("euler_cfg_pp", cfg_pp, guided=True)
    yield from flow_groups("euler_cfg_pp", cfg_pp, guided=True)
    yield from sampler_groups(
        "euler_ancestral_cfg_pp", ancestral_cfg_pp, choices=noisy, guided=True
    )
    yield from sampler_groups("restart", restart, ("karras",), (5, 20, 40))
    ends: tuple[Json, ...] = ({"eta": 0.0}, {"eta": 1.0})
    fast = from_k_diffusion("dpm_fast")
    yield from sampler_groups("dpm_fast", fast, ("karras",), (5, 6, 7, 20), ends)
    adaptive = from_k_diffusion("dpm_adaptive")
    yield from sampler_groups("dpm_adaptive", adaptive, ("karras",), (10,), ends)


def own_levels() -> Iterator[Group]:
    """Noise levels that end above 0, where the last step is one like the others."""
    sigmas = [12.0, 7.0, 4.0, 2.0, 1.1, 0.6, 0.3]
    for name, sample in (("ipndm", even_adams), ("ipndm_v", adams), ("res_multistep", refined)):
        group = Group(EULER, {"sampler": name, "sigmas": sigmas})
        record(group, sample, "epsilon", sigmas)
        yield group


def interpolated(table: list[float], count: int) -> list[float]:
    places = np.linspace(0, len(table) - 1, count)
    return [float(s) for s in np.exp(np.interp(places, np.arange(len(table)), np.log(table)))]


def schedule_sigmas(name: str, steps: int, rho: float, xl: bool) -> list[float]:
    """ComfyUI's and k-diffusion's definitions, diffusers' table of aligned steps."""
    model = TrainedModel()
    low, high = float(model.sigmas[0]), float(model.sigmas[-1])
    if name == "polyexponential":
        ramp = np.linspace(1, 0, steps) ** rho
        chosen = [float(s) for s in np.exp(ramp * math.log(high / low) + math.log(low))]
    elif name == "karras":
        ramp = np.linspace(0, 1, steps)
        ends = high ** (1 / rho), low ** (1 / rho)
        chosen = [float(s) for s in (ends[0] + ramp * (ends[1] - ends[0])) ** rho]
    elif name == "turbo":
        chosen = [float(model.sigmas[999 - 100 * i]) for i in range(steps)]
    elif name == "linear_quadratic":
        # A parabola that leaves the line (0, 0)..(steps // 2, 0.025) at its end and reaches 1.
        half, threshold = steps // 2, 0.025
        line = [i * threshold / half for i in range(half)]
        bend = (half - threshold * steps) / (half * (steps - half) ** 2)
        parts = [
            *line,
            *(
                bend * i**2 + (threshold / half - 2 * half * bend) * i + bend * half**2
                for i in range(half, steps)
            ),
        ]
        chosen = [high * (1 - part) for part in parts]
    else:
        tables = diffusers.schedulers.AysSchedules
        key = "StableDiffusionXLSigmas" if xl else "StableDiffusionSigmas"
        chosen = interpolated([*tables[key][:-1], 0.029], steps + 1)[:-1]
    return [*chosen, 0.0]


def all_schedules() -> Iterator[Group]:
    for name, options, counts in (
        ("polyexponential", {}, STEPS),
        ("polyexponential", {"rho": 1.7}, STEPS),
        ("karras", {"rho": 5.0}, STEPS),
        ("turbo", {}, (1, 2, 10)),
        ("linear_quadratic", {}, (2, 5, 20)),
        ("align_your_steps", {}, (1, 5, 10, 25)),
        ("align_your_steps", {"xl_steps": True}, (10, 12)),
    ):
        config = EULER | {"timestep_spacing": "linspace"}
        group = Group(config, {"sampler": "euler", "schedule": name} | options)
        for steps in counts:
            rho = float(options.get("rho", 1.0))
            sigmas = schedule_sigmas(name, steps, rho, bool(options.get("xl_steps")))
            record(group, euler, "epsilon", sigmas, sigmas=rounded(sigmas, 7))
        yield group


def euler(problem: Problem, sigmas: list[float]) -> torch.Tensor:
    x = problem.first(sigmas[0])
    for sigma, following in itertools.pairwise(sigmas):
        x = x + (x - problem.denoised(x, sigma)) / sigma * (following - sigma)
    return x


def main() -> None:
    torch.set_grad_enabled(False)
    diffusers.utils.logging.set_verbosity_error()
    write("sampling_more.json", itertools.chain(all_samplers(), own_levels(), all_schedules()))


if __name__ == "__main__":
    main()
