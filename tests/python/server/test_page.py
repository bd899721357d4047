"""The page in a real browser: what people do with it, at their widths and in their schemes.

The worker has a key for each test, so that each sees its own pictures only.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright
from server.browsing import (
    ARGUMENTS,
    BETWEEN,
    CHROMIUM,
    NARROW,
    PATIENCE_MS,
    PROMPT,
    WIDE,
    Opened,
    Opener,
    drag,
    grey,
    inaccessible,
    is_light,
    key_of,
    masked,
    pixels_of,
    png,
    shoot,
    tab_to,
    transfer,
)
from server.conftest import Served, port_of, serve

import sdrbee

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("page")
    keys = folder / "keys"
    keys.write_text("\n".join(f"user{i}:{key_of(i)}" for i in range(40)))
    yield from serve(folder, "shapes", "shapes-inpaint", "--api-key-file", str(keys))


@pytest.fixture
def opened(browser: Browser, keyed: Served, request: pytest.FixtureRequest) -> Iterator[Opener]:
    pages: list[Opened] = []

    def make(*, user: int, **options: Any) -> Opened:
        pages.append(Opened(browser, keyed, key_of(user), **options))
        return pages[-1]

    yield make
    for page in pages:
        page.close()


def test_the_page_is_served_strictly(keyed: Served) -> None:
    answer = keyed.ask("GET", "/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy
    for name, kind in (("app.js", "text/javascript"), ("page.css", "text/css")):
        answer = keyed.ask("GET", f"/page/{name}")
        assert answer.headers["content-type"].startswith(kind)
    for path in ("/page/index.html", "/page/../app.py", "/page/%2e%2e/app.py", "/page/"):
        assert keyed.ask("GET", path).status == 404, path


def test_typing_a_prompt_makes_a_picture_with_its_recipe(opened: Opener) -> None:
    one = opened(user=1)
    page = one.open()
    assert page.locator("#steps").get_attribute("placeholder") == "20"
    one.generate(steps=2, seed=7)
    recipe = one.recipe()
    assert recipe["Prompt"] == PROMPT
    assert (recipe["Seed"], recipe["Steps"], recipe["Size"]) == ("7", "2", "128 \u00d7 128")
    assert (
        recipe["Sampler"]
        == sdrbee.load("shapes").generate(PROMPT, steps=1).recipe["request"]["sampler"]
    )
    made = sdrbee.Image(one.picture())
    assert made.recipe is not None
    assert made.recipe["request"]["seed"] == 7
    expect(page.locator("#tiles li")).to_have_count(1)


def test_a_preview_arrives_and_escape_cancels(opened: Opener) -> None:
    one = opened(user=2)
    page = one.open()
    one.fill(prompt=PROMPT, steps=1000)
    page.locator("#prompt").press("Control+Enter")
    expect(page.locator("#picture.preview")).to_have_js_property("naturalWidth", 16)
    expect(page.locator("#told")).to_have_text(re.compile(r"^Step \d+ of 1000$"))
    expect(page.locator("#progress")).to_have_attribute("aria-valuenow", re.compile(r"^\d+$"))
    page.keyboard.press("Escape")
    expect(page.locator("#running")).to_be_hidden()
    expect(page.locator("#announcer")).to_have_text("Cancelled")
    expect(page.locator("#tiles li")).to_have_count(0)
    expect(page.locator("#empty")).to_be_visible()


def test_a_mask_is_painted_and_repainted_alone(opened: Opener) -> None:
    one = opened(user=3)
    page = one.open()
    one.fill(model="shapes-inpaint")
    expect(page.locator("#mode-hint")).to_contain_text("add one and paint a mask")
    page.locator("#file").set_input_files(png(grey()))
    page.get_by_role("button", name="Paint a mask").click()
    assert inaccessible(page) == []
    drag(page, (0.6, 0.5), (0.9, 0.5))
    drag(page, (0.2, 0.2), (0.3, 0.3))
    assert masked(page, (0.25, 0.25))
    page.get_by_role("button", name="Undo").click()
    assert not masked(page, (0.25, 0.25))
    page.get_by_role("button", name="Redo").click()
    page.get_by_role("button", name="Eraser").click()
    drag(page, (0.1, 0.25), (0.4, 0.25))
    assert not masked(page, (0.25, 0.25))
    assert masked(page, (0.75, 0.5))
    for _ in range(2):
        page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Done").click()
    one.generate("a red circle", steps=2, seed=1)
    made = pixels_of(one.picture())
    assert np.array_equal(made[:, :64], grey()[:, :64])
    assert not np.array_equal(made[48:80, 80:112], grey()[48:80, 80:112])
    assert one.recipe()["Model"] == "shapes-inpaint"
    page.get_by_role("button", name="Edit the mask").click()
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".wrong .error")).to_contain_text("paint a mask")


def test_the_gallery_is_there_after_a_reload_and_makes_pictures_again(opened: Opener) -> None:
    one = opened(user=4)
    page = one.open()
    one.generate(steps=2, n=2, seed=18446744073709551613)
    expect(page.locator("#tiles li")).to_have_count(2)
    page.reload()
    expect(page.locator("#tiles li")).to_have_count(2)
    expect(page.locator("#prompt")).to_have_value(PROMPT)
    page.locator("#tiles button").nth(1).click()
    one.wait_for_picture()
    assert one.recipe()["Seed"] == "18446744073709551614"
    before = one.picture()
    one.fill(prompt="something else")
    page.get_by_role("button", name="Again with this seed").click()
    expect(page.locator("#tiles li")).to_have_count(3)
    one.wait_for_picture()
    assert page.locator("#prompt").input_value() == PROMPT
    # The first two shared their steps, which rounds otherwise than a step alone.
    distance = np.abs(pixels_of(one.picture()).astype(int) - pixels_of(before).astype(int))
    assert distance.mean() < 2


def test_a_picture_becomes_the_input_of_the_next(opened: Opener) -> None:
    one = opened(user=5)
    page = one.open()
    one.generate(steps=1, seed=3)
    page.get_by_role("button", name="Use as input").click()
    expect(page.locator("#given-picture")).to_be_visible()
    with page.expect_request(lambda request: request.method == "POST") as sent:
        one.fill(strength=0.5, steps=2)
        page.get_by_role("button", name="Generate").click()
    body = sent.value.post_data_json
    assert body["operation"] == "image_transform"
    assert body["input_image"].startswith("data:image/png;base64,")
    assert body["strength"] == 0.5
    one.wait_for_picture()
    page.get_by_role("button", name="Remove").click()
    expect(page.locator("#strength-field")).to_be_hidden()


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


def test_the_recipe_of_a_picture_from_elsewhere_fills_the_form(opened: Opener) -> None:
    one = opened(user=16)
    page = one.open()
    made = sdrbee.load("shapes").generate("a bläck heart ♥", steps=1, seed=5, guidance_scale=2.5)
    transfer(page, "drop", made.encode("png"))
    page.get_by_role("button", name="Use its recipe").click()
    expect(page.locator("#prompt")).to_have_value("a bläck heart ♥")
    expect(page.locator("#seed")).to_have_value("5")
    expect(page.locator("#guidance_scale")).to_have_value("2.5")
    expect(page.locator("#given")).to_be_hidden()
    transfer(page, "paste", png(grey())["buffer"])
    expect(page.locator("#given")).to_be_visible()
    expect(page.locator("#use-recipe")).to_be_hidden()


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


def test_adapters_are_shown_where_the_model_has_them(opened: Opener) -> None:
    one = opened(user=8)
    one.expected = "422 "

    def with_adapters(route: Route) -> None:
        told = route.fetch().json()
        told["models"]["shapes"]["capabilities"] |= {"lora": True, "controlnet": True}
        told["models"]["shapes"]["loras"] = ["ink"]
        route.fulfill(json=told)

    one.page.route("**/v1/capabilities", with_adapters)
    page = one.open()
    page.get_by_role("button", name="Add a LoRA").click()
    page.locator("#loras").get_by_label("Name").fill("ink")
    page.locator("#loras").get_by_label("Strength").fill("0.6")
    page.get_by_role("button", name="Add a control").click()
    page.locator("#controls").get_by_label("Name").fill("canny")
    page.locator("#controls input[type=file]").set_input_files(png(grey()))
    expect(page.locator("#controls .choose")).to_contain_text("input.png")
    assert inaccessible(page) == []
    one.fill(prompt=PROMPT, steps=1)
    with page.expect_request(lambda request: request.method == "POST") as sent:
        page.get_by_role("button", name="Generate").click()
    body = sent.value.post_data_json
    assert body["loras"] == [{"name": "ink", "strength": 0.6}]
    control = body["controls"][0]
    assert control.pop("image").startswith("data:image/png;base64,")
    assert control == {"name": "canny", "strength": 1, "start": 0, "end": 1}
    one.fill(model="shapes-inpaint")
    expect(page.get_by_role("button", name="Add a LoRA")).to_be_hidden()


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


def test_widths_and_schemes(opened: Opener) -> None:
    one = opened(user=12, reduced_motion="reduce")
    page = one.open()
    one.generate(steps=1)
    for width, viewport in (("wide", WIDE), ("narrow", NARROW)):
        page.set_viewport_size(viewport)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert is_light(page) == (scheme == "light")
            check_layout(page, width)
            # The narrow page has nothing that the wide one lacks, and looking takes a second.
            assert width == "narrow" or inaccessible(page) == [], scheme
    page.set_viewport_size(BETWEEN)
    stage, recipe = page.locator("#stage").bounding_box(), page.locator("#recipe").bounding_box()
    assert stage is not None
    assert recipe is not None
    assert recipe["y"] >= stage["y"] + stage["height"]


def check_layout(page: Page, width: str) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    stage, prompt = page.locator("#stage").bounding_box(), page.locator("#prompt").bounding_box()
    assert stage is not None
    assert prompt is not None
    if width == "wide":
        assert prompt["x"] + prompt["width"] < stage["x"]
        assert stage["width"] > 700
    else:
        assert stage["y"] < prompt["y"]
        assert stage["width"] == NARROW["width"]
    expect(page.get_by_role("button", name="Generate")).to_be_in_viewport(ratio=1)


def test_all_can_be_done_with_the_keyboard(opened: Opener) -> None:
    one = opened(user=11)
    page = one.open()
    expect(page.locator("#prompt")).to_be_focused()
    page.keyboard.type(PROMPT)
    one.fill(steps=1)
    page.locator("#file").set_input_files(png(grey()))
    tab_to(page, "paint")
    page.keyboard.press("Enter")
    expect(page.locator("#mask")).to_be_focused()
    page.keyboard.press("Space")
    assert masked(page, (0.5, 0.5))
    page.keyboard.press("Control+z")
    assert not masked(page, (0.5, 0.5))
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Space")
    assert not masked(page, (0.5, 0.52))
    page.keyboard.press("i")
    assert masked(page, (0.9, 0.9))
    page.keyboard.press("Escape")
    expect(page.locator("#paint")).to_be_focused()
    page.keyboard.press("Control+Enter")
    one.wait_for_picture()
    tab_to(page, "again")
    page.keyboard.press("Enter")
    expect(page.locator("#tiles li")).to_have_count(2)
    one.wait_for_picture()


GALLERY = [
    ("a green star above a purple ring", 3),
    ("an orange triangle right of a black heart", 12),
    ("a blue heart", 5),
    (f"{PROMPT} on a yellow background", 7),
]


def test_screenshots_for_the_readme(
    opened: Opener, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    folder = Path(pytestconfig.getoption("--screenshots") or tmp_path)
    one = opened(user=13, reduced_motion="reduce", color_scheme="light")
    page = one.open()
    for prompt, seed in GALLERY:
        one.generate(prompt, steps=20, seed=seed)
    shoot(page, folder / "page.png")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size(NARROW)
    shoot(page, folder / "page_phone.png")
    page.set_viewport_size(WIDE)
    page.get_by_role("button", name="Use as input").click()
    page.get_by_role("button", name="Paint a mask").click()
    for x in (0.65, 0.82, 0.74):
        drag(page, (x, 0.38), (x, 0.56))
    one.fill(prompt="a green star", model="shapes-inpaint")
    shoot(page, folder / "page_mask.png", keep_mouse=True)
