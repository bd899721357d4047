"""What /metrics tells, in the text format of Prometheus."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

import sdrbee

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_STEP_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_JOB_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)


class Metrics:
    """Counts what a worker does. Each worker has a registry of its own."""

    def __init__(self, engine: sdrbee.Engine) -> None:
        self._engine = engine
        self._registry = CollectorRegistry()
        self._registry.register(_State(engine))
        self._jobs = Counter(
            "sdrbee_jobs",
            "Jobs that have ended, by operation and outcome.",
            ["operation", "outcome"],
            registry=self._registry,
        )
        self._steps = self._histogram("step", "Time between two steps of a picture.", _STEP_S)
        self._durations = self._histogram(
            "job", "Time from acceptance to the end of jobs that were done.", _JOB_S
        )

    def job_ended(self, operation: str, outcome: str, seconds: float) -> None:
        """Counts a job; `outcome` is done, failed or cancelled."""
        self._jobs.labels(operation, outcome).inc()
        if outcome == "done":
            self._durations.observe(seconds)

    def stepped(self, seconds: float) -> None:
        """Counts a step of a picture."""
        self._steps.observe(seconds)

    def text(self) -> bytes:
        """All of it. Asks the engine for its state: not for an event loop."""
        return generate_latest(self._registry)

    def _histogram(self, what: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        name = f"sdrbee_{what}_seconds"
        return Histogram(name, text, buckets=buckets, registry=self._registry)


class _State(Collector):
    """What is read at the moment it is asked for."""

    def __init__(self, engine: sdrbee.Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        status = self._engine.status
        yield GaugeMetricFamily("sdrbee_queue_depth", "Pictures that wait.", value=status["queued"])
        yield SummaryMetricFamily(
            "sdrbee_model_load_seconds",
            "Loads of models into memory; weights count where they were asked for.",
            count_value=sum(worker["loads"] for worker in status["workers"]),
            sum_value=sum(worker["load_seconds"] for worker in status["workers"]),
        )
        yield GaugeMetricFamily(
            "sdrbee_resident_bytes", "Memory of the process.", value=resident_bytes()
        )


def resident_bytes() -> int:
    """Resident memory of this process; its peak where the system tells no more."""
    statistics = Path("/proc/self/statm")
    if statistics.exists():
        return int(statistics.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
