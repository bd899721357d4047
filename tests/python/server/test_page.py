"""The page in a real browser: what people do with it, at their widths and in their schemes.

The worker has a key for each test, so that each sees its own pictures only.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect
from server.browsing import (
    BETWEEN,
    CHROMIUM,
    NARROW,
    PROMPT,
    WIDE,
    Opener,
    drag,
    grey,
    inaccessible,
    is_light,
    masked,
    pixels_of,
    png,
    shoot,
    tab_to,
    transfer,
)
from server.conftest import Served

import sdrbee

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")


def test_the_page_is_served_strictly(many_users: Served) -> None:
    answer = many_users.ask("GET", "/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy
    for name, kind in (("app.js", "text/javascript"), ("page.css", "text/css")):
        answer = many_users.ask("GET", f"/page/{name}")
        assert answer.headers["content-type"].startswith(kind)
    for path in ("/page/index.html", "/page/../app.py", "/page/%2e%2e/app.py", "/page/"):
        assert many_users.ask("GET", path).status == 404, path


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


def test_the_recipe_of_a_controlled_picture_fills_the_form(opened: Opener) -> None:
    one = opened(user=17)
    page = one.open()
    control = {"model": "shapes-control", "image": grey(), "strength": 0.5, "mode": "prompt"}
    made = sdrbee.load("shapes").generate(PROMPT, steps=1, controls=[control])
    transfer(page, "drop", made.encode("png"))
    page.get_by_role("button", name="Use its recipe").click()
    row = page.locator("#controls .row")
    expect(row.get_by_label("Name")).to_have_value("shapes-control")
    expect(row.get_by_label("Strength")).to_have_value("0.5")
    expect(row.get_by_label("What counts")).to_have_value("prompt")
    row.locator("input[type=file]").set_input_files(png(grey()))
    one.generate(steps=1)
    expect(page.locator("#recipe-rows")).to_contain_text("shapes-control (0.5)")


def test_adapters_are_shown_where_the_model_has_them(opened: Opener) -> None:
    one = opened(user=8)
    one.expected = "422 "

    def with_adapters(route: Route) -> None:
        told = route.fetch().json()
        told["models"]["shapes"]["capabilities"] |= {"lora": True, "controlnet": True}
        told["models"]["shapes"]["loras"] = ["ink"]
        told["models"]["shapes-inpaint"]["capabilities"] |= {"lora": False}
        route.fulfill(json=told)

    one.page.route("**/v1/capabilities", with_adapters)
    page = one.open()
    page.get_by_role("button", name="Add a LoRA").click()
    page.locator("#loras").get_by_label("Name").fill("ink")
    page.locator("#loras").get_by_label("Strength").fill("0.6")
    page.get_by_role("button", name="Add a word").click()
    page.locator("#embeddings").get_by_label("Name").fill("mascot")
    page.locator("#embeddings").get_by_label("Word", exact=True).fill("hero")
    syntaxes = page.get_by_label("How prompts are read")
    expect(syntaxes.locator("option")).to_have_text(sdrbee.prompt_syntaxes())
    syntaxes.select_option("compel")
    page.get_by_role("button", name="Add a control").click()
    page.locator("#controls").get_by_label("Name").fill("canny")
    page.locator("#controls input[type=file]").set_input_files(png(grey()))
    expect(page.locator("#controls .choose")).to_contain_text("input.png")
    page.get_by_role("button", name="Add a control").click()
    second = page.locator("#controls .row").nth(1)
    second.get_by_label("Name").fill("depth")
    second.get_by_label("What counts").select_option("prompt")
    for name, count, more in (("face", 3, " and 2 more"), ("style", 1, "")):
        page.get_by_role("button", name="Add a picture prompt").click()
        row = page.locator("#ip-adapters .row").last
        row.get_by_label("Name").fill(name)
        row.locator("input[type=file]").set_input_files([png(grey())] * count)
        expect(row.locator(".choose")).to_have_text(f"Pictures: input.png{more}")
    assert inaccessible(page) == []
    one.fill(prompt=PROMPT, steps=1)
    with page.expect_request(lambda request: request.method == "POST") as sent:
        page.get_by_role("button", name="Generate").click()
    body = sent.value.post_data_json
    assert body["loras"] == [{"name": "ink", "strength": 0.6}]
    assert body["embeddings"] == [{"name": "mascot", "token": "hero"}]
    assert body["prompt_syntax"] == "compel"
    control = body["controls"][0]
    assert control.pop("image").startswith("data:image/png;base64,")
    plain = {"strength": 1, "start": 0, "end": 1}
    assert control == {"name": "canny", **plain}
    assert body["controls"][1:] == [{"name": "depth", **plain, "mode": "prompt"}]
    face, style = body["ip_adapters"]
    assert [one[:10] for one in [*face.pop("images"), style.pop("image")]] == ["data:image"] * 4
    assert (face, style) == ({"name": "face", **plain}, {"name": "style", **plain})
    one.fill(model="shapes-inpaint")
    expect(page.get_by_role("button", name="Add a LoRA")).to_be_hidden()


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
