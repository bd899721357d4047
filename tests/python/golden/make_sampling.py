"""Makes tests/cpp/golden/sampling*.json from diffusers' schedulers.

Run it from the repository root: ``python tests/python/golden/make_sampling.py [file ...]``, where a
file is table, variants, flow, masked or options; none means all. What diffusers lacks is made by
make_more_sampling.py.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sampling_groups import (
    BASE,
    EPS_V,
    EPS_V_SAMPLE,
    STEPS,
    Group,
    Json,
    prepare,
    run,
    scheduler_class,
    write,
)

SPACINGS = ("linspace", "leading", "trailing")
SCHEDULES: dict[str, dict[str, bool]] = {
    "normal": {},
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "beta": {"use_beta_sigmas": True},
}


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


FILES: dict[str, tuple[Callable[[], Iterator[Group]], ...]] = {
    "table": (all_sweeps,),
    "variants": (solver_variants, zero_snr_and_betas),
    "flow": (flow_groups,),
    "masked": (masked_groups,),
    "options": (option_groups, switched_groups),
}


def main() -> None:
    prepare()
    for name in sys.argv[1:] or FILES:
        write(f"sampling_{name}.json", itertools.chain(*(groups() for groups in FILES[name])))


if __name__ == "__main__":
    main()
