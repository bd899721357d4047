"""Samplers and models as their authors define them, for what diffusers has no class for.

Some are those of k-diffusion itself, ipndm is diffusers' IPNDMScheduler on given noise levels; the
others are written down here from their papers, in fp64.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
import sys
import types
from collections.abc import Callable
from importlib.metadata import distribution
from typing import Any

import diffusers
import numpy as np
import torch
from numpy.polynomial import Polynomial
from sampling_groups import BETAS, SHAPE, Json, network
from scipy.integrate import quad

K_DIFFUSION = "0.1.1.post1"
Sample = Callable[["Problem", list[float]], torch.Tensor]


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


def euler(problem: Problem, sigmas: list[float]) -> torch.Tensor:
    x = problem.first(sigmas[0])
    for sigma, following in itertools.pairwise(sigmas):
        x = x + (x - problem.denoised(x, sigma)) / sigma * (following - sigma)
    return x


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
