"""Makes tests/cpp/golden/sampling_{derived,more}.json: samplers and schedules that diffusers lacks.

Run it from the repository root: ``python tests/python/golden/make_more_sampling.py [file ...]``,
where a file is derived or more; none means both. ``more`` needs k-diffusion
(``pip install --no-deps k-diffusion==0.1.1.post1``).
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import diffusers
import numpy as np
import torch
from sampling_groups import (
    BASE,
    EPS_V_SAMPLE,
    KEPT,
    STEPS,
    Group,
    Json,
    prepare,
    rounded,
    run,
    write,
)
from written_samplers import (
    Problem,
    Sample,
    TrainedModel,
    adams,
    ancestral_2s,
    ancestral_cfg_pp,
    cfg_pp,
    euler,
    even_adams,
    extended,
    from_k_diffusion,
    gradient,
    karras,
    refined,
    restart,
)

EULER: Json = {"_class_name": "EulerDiscreteScheduler"} | BASE
FLOW: Json = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 1.0}


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


FILES: dict[str, tuple[Callable[[], Iterator[Group]], ...]] = {
    "derived": (derived_groups,),
    "more": (all_samplers, own_levels, all_schedules),
}


def main() -> None:
    prepare()
    for name in sys.argv[1:] or FILES:
        write(f"sampling_{name}.json", itertools.chain(*(groups() for groups in FILES[name])))


if __name__ == "__main__":
    main()
