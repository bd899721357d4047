"""The page in a real browser when something goes wrong: keys, bad fields, broken connections.

The worker has a key for each test, so that each sees its own pictures only.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect
from server.browsing import (
    CHROMIUM,
    PROMPT,
    Opened,
    Opener,
    inaccessible,
)
from server.conftest import Served, port_of

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")


def test_many_jobs_leave_connections_for_requests(opened: Opener) -> None:
    one = opened(user=15)
    page = one.open()
    one.fill(prompt=PROMPT, steps=1000)
    for count in range(1, 9):  # a browser opens six connections to a worker
        page.locator("#prompt").press("Control+Enter")
        expect(page.locator("#tiles li")).to_have_count(count)
    for count in range(7, -1, -1):
        page.keyboard.press("Escape")
        expect(page.locator("#tiles li")).to_have_count(count)


def test_a_key_is_asked_for_and_kept_in_the_tab(opened: Opener) -> None:
    one = opened(user=6)
    one.expected = "401 "  # the browser logs every answer that isn't a success
    page = one.open(with_key=False)
    dialog = page.get_by_role("dialog", name="API key")
    dialog.get_by_label("Key", exact=True).fill("not a key of this worker")
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog.get_by_role("alert")).to_have_text("The worker does not know this key.")
    assert inaccessible(page) == []
    dialog.get_by_label("Key", exact=True).fill(one.key)
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    one.generate(steps=1)
    page.reload()
    expect(page.locator("#tiles li")).to_have_count(1)
    expect(dialog).to_be_hidden()
    assert page.evaluate("localStorage.length") == 0


def test_errors_stand_next_to_the_field_that_the_worker_names(opened: Opener) -> None:
    one = opened(user=7)
    one.expected = "422 "
    page = one.open()
    one.fill(prompt=PROMPT, width=100, height=128)
    page.get_by_role("button", name="Generate").click()
    box = page.locator("fieldset[data-names~=width]")
    expect(box.get_by_role("alert")).to_contain_text("Expected")
    expect(page.locator("#width")).to_be_focused()
    expect(page.locator("#width")).to_have_attribute("aria-invalid", "true")
    one.fill(width=128)
    expect(page.locator(".error")).to_have_count(0)
    one.fill(steps=0)
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("[data-names=steps] .error")).to_be_visible()
    expect(page.locator("#tiles li")).to_have_count(0)


def test_a_broken_stream_is_taken_up_again_where_it_broke(opened: Opener) -> None:
    one = opened(user=9)
    asked: list[str] = []

    def break_once(route: Route) -> None:
        asked.append(route.request.headers["last-event-id"])
        if len(asked) > 1:
            route.continue_()
        else:
            told = 'id: 1\nevent: queued\ndata: {"type":"queued","position":4}\n\n'
            route.fulfill(body=told, content_type="text/event-stream")

    one.page.route("**/stream", break_once)
    page = one.open()
    one.fill(prompt=PROMPT, steps=2)
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#told")).to_have_text("The connection broke; trying again")
    one.wait_for_picture()
    assert asked[:2] == ["0", "1"]


def test_a_request_whose_answer_was_lost_is_sent_again_and_makes_one_picture(
    opened: Opener,
) -> None:
    one = opened(user=14)
    one.expected = "ERR_FAILED"
    keys: list[str] = []

    def lose_once(route: Route) -> None:
        if route.request.method != "POST":
            route.continue_()
            return
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            route.fetch()  # the worker has it
            route.abort()
        else:
            route.continue_()

    one.page.route("**/v1/jobs", lose_once)
    page = one.open()
    one.generate(steps=1)
    assert len(keys) == 2
    assert keys[0] == keys[1]
    page.reload()
    expect(page.locator("#tiles li")).to_have_count(1)


def test_a_worker_that_was_killed_goes_on_in_the_same_page(
    browser: Browser, tmp_path: Path
) -> None:
    with killable(tmp_path / "first", 0) as worker:
        one = Opened(browser, worker, "")
        one.expected = "ERR_|503 "
        page = one.open(with_key=False)
        one.fill(prompt=PROMPT, steps=1000)
        page.get_by_role("button", name="Generate").click()
        expect(page.locator("#told")).to_contain_text("Step")
    expect(page.locator("#told")).to_have_text("The connection broke; trying again")
    expect(page.locator("#state")).to_contain_text("does not answer")
    with killable(tmp_path / "second", worker.port):
        expect(page.locator("#state")).to_have_text("Ready")
        expect(page.locator("#told")).to_contain_text("Step")
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#empty")).to_be_visible()
        one.close()


@contextmanager
def killable(folder: Path, port: int) -> Iterator[Served]:
    """A worker that is killed at the end; the next one takes up its jobs."""
    folder.mkdir()
    command = [sys.executable, "-m", "sdrbee", "serve", "--port", str(port)]
    log = folder / "worker.log"
    with log.open("w") as output:
        process = subprocess.Popen([*command, "--worker-id", "page"], stderr=output, text=True)
    try:
        yield Served(process, port_of(process, log), log)
    finally:
        process.kill()
        process.wait()


def test_a_worker_that_is_gone_is_told_and_found_again(opened: Opener) -> None:
    one = opened(user=10)
    one.expected = "ERR_FAILED|503 "
    one.page.route("**/ready", lambda route: route.abort())
    one.open(ready=False)
    expect(one.page.locator("#state")).to_contain_text("does not answer")
    one.page.unroute("**/ready")
    draining = {"ready": False, "reason": "draining"}
    one.page.route("**/ready", lambda route: route.fulfill(status=503, json=draining))
    expect(one.page.locator("#state")).to_have_text("Draining.")
    one.page.unroute("**/ready")
    expect(one.page.locator("#state")).to_have_text("Ready")
