"""A1111's requests under way: how far they are, their end, and the same request again."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import requests
import webuiapi
from server.a1111_asking import PROMPT, ROUTE, pixels_of
from server.conftest import Served
from server.in_process import serving

import sdrbee
from sdrbee.server.app import Worker
from sdrbee.server.journal import Journal


def test_the_same_key_gives_the_same_pictures_and_no_second_job(worker: Served) -> None:
    before = len(worker.ask("GET", "/v1/jobs").json()["jobs"])
    body = {"prompt": PROMPT, "steps": 2}  # without a seed: made again, it would be another picture
    answers = [
        worker.ask("POST", ROUTE + "txt2img", body, idempotency_key="a1111-once") for _ in range(2)
    ]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].json()["images"] == answers[1].json()["images"]
    assert len(worker.ask("GET", "/v1/jobs").json()["jobs"]) == before + 1
    other = worker.ask(
        "POST", ROUTE + "txt2img", {**body, "steps": 3}, idempotency_key="a1111-once"
    )
    assert (other.status, other.json()["error"]) == (422, "idempotency_key_reused")


def until_a_preview(worker: Served, making: threading.Thread) -> dict[str, Any]:
    """How far the request is at its first preview, which comes before its end."""
    while making.is_alive():
        answer = worker.ask("GET", ROUTE + "progress")
        assert answer.status == 200, answer.body
        progress: dict[str, Any] = answer.json()
        if progress["current_image"]:
            return progress
    raise AssertionError("the request ended before a preview was told of")


@pytest.mark.parametrize("how", ["interrupt", "skip"])
def test_progress_with_a_picture_and_the_end_of_it(
    worker: Served, webui: webuiapi.WebUIApi, how: str
) -> None:
    results = []
    thread = threading.Thread(
        target=lambda: results.append(
            webui.txt2img(prompt=PROMPT, steps=1000, width=128, height=128)
        ),
        daemon=True,
    )
    thread.start()
    progress = until_a_preview(worker, thread)
    assert 0 < progress["progress"] < 1
    assert progress["state"]["job_count"] == 1
    assert progress["state"]["sampling_steps"] == 1000
    assert pixels_of(progress["current_image"]).shape[2] == 3
    hidden = worker.ask("GET", ROUTE + "progress?skip_current_image=true").json()
    assert hidden["current_image"] is None
    assert getattr(webui, how)() in ({}, None)
    thread.join(60)
    assert results[0].images == []
    assert results[0].info["infotexts"] == []
    assert worker.ask("GET", ROUTE + "progress").json()["state"]["job_count"] == 0


@pytest.mark.parametrize("how", ["interrupt", "skip"])
def test_what_was_interrupted_is_not_made_after_a_crash(tmp_path: Path, how: str) -> None:
    worker = Worker(sdrbee.Engine("shapes"), journal=Journal(tmp_path / "jobs.db"))
    with serving(worker) as url:
        asked: dict[str, Any] = {"prompt": PROMPT, "steps": 1000}
        making = threading.Thread(
            target=requests.post,
            args=(f"{url}{ROUTE}txt2img",),
            kwargs={"json": asked, "headers": {"Idempotency-Key": "kept"}, "timeout": 60},
            daemon=True,
        )
        making.start()
        while requests.get(f"{url}{ROUTE}progress", timeout=60).json()["state"]["job_count"] == 0:
            assert making.is_alive()
        assert requests.post(f"{url}{ROUTE}{how}", timeout=60).status_code == 200
        (record,) = worker.book.list("", None)
        assert record.cancel_asked, "it is written down before it is told"
        making.join(60)
        assert record.status == "cancelled"
