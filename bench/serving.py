"""What does the worker do under load, and what does HTTP cost beside the engine alone?

Ten thousand POSTs from Debian's ``hey`` and /health meanwhile, 256 readers of a stream of which 64
are slow, cancelling, memory over a thousand pictures, the time to the first preview, and pictures a
second of sixteen clients of OpenAI's route against calling the engine directly. ``--awake yes`` for
virtual machines with neighbours, see `bench.awake`.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import math
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.awake import awake
from bench.comparison import ROOT, arguments, environment, in_turn, value_row, write_values
from bench.engines import PROMPT
from bench.serving_worker import Worker

_STEPS = 20
_CONNECTIONS, _PER_SECOND = 50, 1_000
_READERS, _SLOW = 256, 64
_CANCELS, _PREVIEWS = 20, 20
_WARM_PICTURES = 100
_CLIENTS, _PICTURES = 16, 160

_ENGINE = """
import sys, time, sdrbee
from bench.served_mock import MODELS
model, threads, steps, count = sys.argv[1], *map(int, sys.argv[2:])
with sdrbee.Engine(MODELS if model == "mock" else model, preload=True,
                   queue_limit=count) as engine:
    engine.submit("a", steps=1).result()
    for _ in sys.stdin:
        began = time.perf_counter()
        jobs = [engine.submit({prompt!r}, steps=steps, seed=i)
                for i in range(count)]
        made = [job.result().encode() for job in jobs]
        print(time.perf_counter() - began, flush=True)
"""


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least `part` of all values don't exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def posts(worker: Worker, count: int) -> tuple[list[float], Counter[str]]:
    """Seconds of each POST that hey sends, and how often each status came."""
    body = json.dumps({"operation": "image_generation", "prompt": PROMPT, "steps": _STEPS})
    command = ["hey", "-n", str(count), "-c", str(_CONNECTIONS)]
    command += ["-q", str(_PER_SECOND // _CONNECTIONS), "-o", "csv", "-m", "POST"]
    command += ["-T", "application/json", "-d", body, f"http://127.0.0.1:{worker.port}/v1/jobs"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = list(csv.DictReader(io.StringIO(output)))
    seconds = [float(row["response-time"]) for row in rows]
    statuses = Counter(row["status-code"] for row in rows)
    statuses["none"] += count - len(rows)
    return seconds, +statuses


def under_load(model: str, threads: int, count: int) -> dict[str, Any]:
    """POSTs and /health at the same time, on a worker of their own."""
    with Worker(model, threads) as worker:
        health: list[float] = []
        done = threading.Event()

        def ask_health() -> None:
            while not done.wait(0.02):
                began = time.perf_counter()
                status, _ = worker.ask("GET", "/health")
                health.append(time.perf_counter() - began if status == 200 else math.inf)

        thread = threading.Thread(target=ask_health)
        thread.start()
        try:
            seconds, statuses = posts(worker, count)
        finally:
            done.set()
            thread.join()
    if set(statuses) - {"200", "429"}:
        raise SystemExit(f"[posts] expected statuses 200 and 429 but got {dict(statuses)}")
    return {
        "post_p50": percentile(seconds, 0.5),
        "post_p99": percentile(seconds, 0.99),
        "post_max": max(seconds),
        "health_p99": percentile(health, 0.99),
        "statuses": dict(statuses),
    }


async def _read_stream(port: int, path: str, *, slow: bool) -> bool:
    """Reads a stream to its end; whether it ended with the picture."""
    limit = 1 << 10 if slow else 1 << 16
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    tail = b""
    while piece := await reader.read(256 if slow else 1 << 16):
        tail = tail[-(1 << 10) :] + piece if b"event: complete" not in tail else tail
        if slow and b"event: complete" not in tail:
            await asyncio.sleep(0.01)
    writer.close()
    return b"event: complete" in tail


def streams(model: str, threads: int, steps: int) -> dict[str, Any]:
    """How far the worker's memory grows while many read, some slowly."""
    with Worker(model, threads) as worker:
        worker.picture(steps=_STEPS)
        before = worker.resident_mib()
        most = [before]
        job = worker.submit(steps=steps)
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.2):
                most.append(worker.resident_mib())

        async def read_all() -> list[bool]:
            path = f"/v1/jobs/{job}/stream"
            return await asyncio.gather(
                *(_read_stream(worker.port, path, slow=i < _SLOW) for i in range(_READERS))
            )

        thread = threading.Thread(target=watch)
        thread.start()
        ended = asyncio.run(read_all())
        done.set()
        thread.join()
    if not all(ended):
        raise SystemExit(f"[streams] {ended.count(False)} readers did not get the picture")
    return {"before": before, "growth": max(most) - before}


def cancelling(worker: Worker) -> list[float]:
    """Seconds from DELETE to the end of the stream, beyond the longest step of that job."""
    over = []
    for _ in range(_CANCELS):
        job = worker.submit(steps=1_000)
        last, longest, sent = 0.0, 0.0, 0.0
        for when, event in worker.events(job):
            if event["type"] in ("progress", "preview") and not sent:
                longest = max(longest, when - last) if last else longest
                last = when
                if event["step"] == 6:
                    sent = time.perf_counter()
                    worker.ask("DELETE", f"/v1/jobs/{job}")
            elif event["type"] == "cancelled":
                over.append(when - sent - longest)
    return over


def first_previews(worker: Worker) -> list[float]:
    """Seconds from POST to the first preview."""
    seconds = []
    for seed in range(_PREVIEWS):
        began = time.perf_counter()
        events = worker.events(worker.submit(steps=_STEPS, seed=seed))
        shown = [when for when, event in events if event["type"] == "preview"]
        seconds.append(shown[0] - began)
    return seconds


def drift(model: str, threads: int, count: int) -> dict[str, float]:
    """Resident memory after the first pictures and after all of them."""
    with Worker(model, threads) as worker:
        for seed in range(count):
            worker.picture(steps=2, seed=seed)
            if seed + 1 == min(_WARM_PICTURES, count - 1):
                warm = worker.resident_mib()
        end = worker.resident_mib()
    return {"warm": warm, "end": end, "part": abs(end - warm) / warm}


def worker_seconds(worker: Worker, count: int) -> float:
    """How long the worker takes for `count` pictures, of clients of OpenAI's route who ask for
    their next one as soon as they have one."""

    def picture(seed: int) -> None:
        asked = {"prompt": PROMPT, "steps": _STEPS, "seed": seed}
        status, answer = worker.ask("POST", "/v1/images/generations", asked)
        if status != 200:
            raise SystemExit(f"[throughput] expected 200 but got {status}: {answer}")

    began = time.perf_counter()
    with ThreadPoolExecutor(_CLIENTS) as clients:
        list(clients.map(picture, range(count)))
    return time.perf_counter() - began


def throughput(model: str, threads: int, runs: int, count: int) -> list[dict[str, Any]]:
    """Both in turn: pictures a second of the worker and of the engine in Python."""
    command = [sys.executable, "-c", _ENGINE.format(prompt=PROMPT), model]
    engine = subprocess.Popen(
        [*command, *map(str, (threads, _STEPS, count))],
        cwd=ROOT,
        env=environment(threads),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert engine.stdin is not None
    assert engine.stdout is not None

    def engine_seconds() -> float:
        print("go", file=engine.stdin, flush=True)
        return float(engine.stdout.readline())

    with Worker(model, threads, nice=0) as worker:  # as the engine beside it
        worker_seconds(worker, count), engine_seconds()
        made = in_turn(
            runs, {"worker": lambda: worker_seconds(worker, count), "engine": engine_seconds}
        )
    engine.communicate()
    served, direct = made["worker"], made["engine"]
    ratios = [alone / over for alone, over in zip(direct, served, strict=True)]
    return [
        value_row("pictures, worker", "1/s", [count / value for value in served]),
        value_row("pictures, engine", "1/s", [count / value for value in direct]),
        value_row("worker / engine", "", ratios, at_least=0.95),
    ]


def main() -> None:
    options = arguments(
        __doc__ or "", model="shapes", posts="10000", pictures="1000", parts="all", awake="no"
    )
    if shutil.which("hey") is None:
        raise SystemExit("[serving] hey is missing: apt-get install hey")
    runs, threads, model = options.pairs, options.threads, options.model
    parts = {
        "load": lambda: _load_rows(model, threads, runs, int(options.posts)),
        "streams": lambda: _stream_rows(model, threads, runs),
        "one": lambda: _single_rows(model, threads, runs),
        "drift": lambda: _drift_rows(model, threads, int(options.pictures)),
        "throughput": lambda: throughput(model, threads, runs, count=_PICTURES),
    }
    chosen = list(parts) if options.parts == "all" else options.parts.split(",")
    rows: list[dict[str, Any]] = []
    with awake(options.awake == "yes"):
        for part in chosen:
            print(f"== {part}", flush=True)
            rows += parts[part]()
    write_values(
        options.out,
        "serving" if model == "shapes" else f"serving_{model}",
        rows,
        awake=options.awake,
    )


def _load_rows(model: str, threads: int, runs: int, count: int) -> list[dict[str, Any]]:
    made = [under_load(model, threads, count) for _ in range(runs)]

    def milliseconds(name: str) -> list[float]:
        return [1_000 * run[name] for run in made]

    return [
        value_row("POST, median", "ms", milliseconds("post_p50")),
        value_row(
            "POST, p99", "ms", milliseconds("post_p99"), at_most=50, statuses=made[0]["statuses"]
        ),
        value_row("POST, longest", "ms", milliseconds("post_max")),
        value_row("/health under load, p99", "ms", milliseconds("health_p99"), at_most=50),
    ]


def _stream_rows(model: str, threads: int, runs: int) -> list[dict[str, Any]]:
    made = [streams(model, threads, steps=200) for _ in range(runs)]
    return [
        value_row(f"memory of {_READERS} readers", "MiB", [run["growth"] for run in made]),
    ]


def _single_rows(model: str, threads: int, runs: int) -> list[dict[str, Any]]:
    cancels, previews = [], []
    with Worker(model, threads) as worker:
        for _ in range(runs):
            cancels.append(1_000 * max(cancelling(worker)))
            previews.append(1_000 * statistics.median(first_previews(worker)))
    return [
        value_row("cancel, beyond one step, longest", "ms", cancels, at_most=50),
        value_row("POST to first preview", "ms", previews),
    ]


def _drift_rows(model: str, threads: int, count: int) -> list[dict[str, Any]]:
    made = drift(model, threads, count)
    return [
        value_row("memory after 100 pictures", "MiB", [made["warm"]]),
        value_row(f"drift over {count} pictures", "%", [100 * made["part"]], at_most=3),
    ]


if __name__ == "__main__":
    main()
