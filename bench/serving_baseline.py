"""Pictures a minute over HTTP, against diffusers behind the same uvicorn in about 60 lines.

Eight clients ask at the same time, for 20 steps of the built-in model. The baseline runs in the
faster of its two dtypes, and has to make the same picture before anything is timed.
"""

from __future__ import annotations

import base64
import io
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from bench.baseline_engines import GUIDANCE_SCALE
from bench.comparison import SHAPES, arguments, in_turn, value_row, write_values
from bench.engines import PROMPT
from bench.serving_worker import ServedProcess, Worker


@dataclass(frozen=True, slots=True)
class Baseline:
    """An engine of `bench.baseline_engines`, and the settings of which the fastest is taken."""

    engine: str
    settings: Sequence[Mapping[str, Any]]
    python: str = sys.executable


@dataclass(frozen=True, slots=True)
class Setting:
    """What is asked for: square pictures of `size` pixels, `count` of them by `clients` at once."""

    model: str
    size: int
    steps: int
    clients: int
    count: int
    worker_fields: Mapping[str, Any] = field(default_factory=dict)


DIFFUSERS_DTYPES = ("float32", "bfloat16")
_GREY_LEVELS = 3.0  # between engines, on average; other seeds are 40 away


def compare(
    setting: Setting, baselines: Sequence[Baseline], pairs: int, threads: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Lines with pictures a minute of everyone and sdrbee's ratio to each; the details beside them.

    Raises:
        SystemExit: A baseline makes another picture than sdrbee.
    """
    fastest = {each.engine: _fastest(each, setting, threads) for each in baselines}
    with ExitStack() as stack:
        # As nice as the baselines: neither wins where others want the cores, too.
        worker = stack.enter_context(Worker(setting.model, threads, nice=0))
        ours = _ask_worker(worker, setting, seed=0, prompt="")
        distances: dict[str, float] = {}
        measures: dict[str, Callable[[], float]] = {
            "sdrbee": partial(_rate, setting, partial(_ask_worker, worker, setting))
        }
        for each in baselines:
            server = stack.enter_context(_serve(each, fastest[each.engine], setting, threads))
            measures[each.engine] = partial(_rate, setting, partial(_ask, server, setting))
            # Vocabularies are the engines' own: only the empty prompt has the same tokens in all.
            theirs = _ask(server, setting, seed=0, prompt="")
            distances[each.engine] = _grey_levels(each.engine, ours, theirs)
        rates = in_turn(pairs, measures)
    rows = [value_row(f"{name}, pictures", "1/min", made) for name, made in rates.items()]
    for name in fastest:
        ratios = [one / other for one, other in zip(rates["sdrbee"], rates[name], strict=True)]
        rows.append(value_row(f"sdrbee / {name}", "", ratios))
    return rows, {"fastest": fastest, "grey_levels": distances}


def _rate(setting: Setting, make: Callable[[int], object]) -> float:
    """Pictures a minute, for all clients together."""
    began = time.perf_counter()
    with ThreadPoolExecutor(setting.clients) as clients:
        list(clients.map(make, range(setting.count)))
    return 60 * setting.count / (time.perf_counter() - began)


def _serve(
    baseline: Baseline, chosen: Mapping[str, Any], setting: Setting, threads: int
) -> ServedProcess:
    command = [baseline.python, "-m", "bench.baseline_server", baseline.engine, setting.model]
    return ServedProcess([*command, str(threads), json.dumps(chosen)], threads)


def _ask(server: ServedProcess, setting: Setting, seed: int, prompt: str = PROMPT) -> str:
    wanted = {"prompt": prompt, "steps": setting.steps, "seed": seed, "size": setting.size}
    status, answer = server.ask("POST", "/", wanted)
    if status != 200 or "image" not in answer:
        raise SystemExit(f"[baseline] expected a picture but got {status}")
    return str(answer["image"])


def _ask_worker(worker: Worker, setting: Setting, seed: int, prompt: str = PROMPT) -> str:
    made = worker.picture(
        prompt=prompt,
        steps=setting.steps,
        seed=seed,
        width=setting.size,
        height=setting.size,
        guidance_scale=GUIDANCE_SCALE,
        **setting.worker_fields,
    )
    return str(made["image"])


def _grey_levels(engine: str, ours: str, theirs: str) -> float:
    """The mean distance of two pictures; no timing counts where it is large."""
    one, other = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(made))).convert("RGB")).astype(int)
        for made in (ours, theirs)
    )
    distance = float(np.abs(one - other).mean()) if one.shape == other.shape else np.inf
    print(f"parity: sdrbee is {distance:.2f} grey levels from {engine}")
    if not distance <= _GREY_LEVELS:
        raise SystemExit(f"[parity] expected at most {_GREY_LEVELS} grey levels but got {distance}")
    return distance


def _fastest(baseline: Baseline, setting: Setting, threads: int) -> Mapping[str, Any]:
    """The setting whose second picture takes least; one needs no trial."""
    if len(baseline.settings) == 1:
        return baseline.settings[0]
    seconds = []
    for chosen in baseline.settings:
        with _serve(baseline, chosen, setting, threads) as server:
            _ask(server, setting, 0)
            began = time.perf_counter()
            _ask(server, setting, 1)
            seconds.append(time.perf_counter() - began)
    return baseline.settings[seconds.index(min(seconds))]


def main() -> None:
    options = arguments(__doc__ or "")
    setting = Setting(str(SHAPES), size=128, steps=20, clients=8, count=16)
    diffusers = Baseline("diffusers", [{"dtype": dtype} for dtype in DIFFUSERS_DTYPES])
    rows, details = compare(setting, [diffusers], options.pairs, options.threads)
    write_values(options.out, "serving_baseline", rows, threads=options.threads, **details)


if __name__ == "__main__":
    main()
