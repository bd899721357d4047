"""The page as one user has it in a real browser, and what a hand or an eye does there."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import PIL.Image
from playwright.sync_api import Browser, BrowserContext, Page, expect
from server.conftest import Served

PROMPT = "a red circle left of a blue square"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
ARGUMENTS = [
    "--no-sandbox",  # the tests may run as root
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE, NARROW = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
BETWEEN = {"width": 900, "height": 800}
# Not what is tested: a worker that shares its processors with others may take long.
PATIENCE_MS = 120_000


def key_of(number: int) -> str:
    return f"key-of-user-number-{number:02}"


class Opened:
    """The page as one user has it, and what must not happen meanwhile."""

    def __init__(self, browser: Browser, worker: Served, key: str, **options: Any) -> None:
        self.origin = f"http://127.0.0.1:{worker.port}"
        self.key = key
        self.foreign: list[str] = []
        self.messages: list[str] = []
        self.expected = "(?!)"
        """Console messages of this pattern belong to the test."""
        self.context: BrowserContext = browser.new_context(**{"viewport": WIDE, **options})
        self.context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self.context.new_page()
        self.page.on("request", self._look_at)
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self._note("error", str(error)))

    def _look_at(self, request: Any) -> None:
        parts = urlsplit(request.url)
        own = f"{parts.scheme}://{parts.netloc}" == self.origin
        if not own and parts.scheme not in ("blob", "data"):
            self.foreign.append(request.url)

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.messages.append(text)

    def open(self, *, with_key: bool = True, ready: bool = True) -> Page:
        if with_key:
            self.page.add_init_script(f"sessionStorage.setItem('sdrbee.key', '{self.key}')")
        self.page.goto(self.origin + "/")
        if with_key and ready:
            expect(self.page.locator("#state")).to_have_text("Ready")
            expect(self.page.locator("#model option").first).to_be_attached()
        return self.page

    def fill(self, **fields: Any) -> None:
        for name, value in fields.items():
            field = self.page.locator(f"#{name}")
            if field.evaluate("field => field.tagName") == "SELECT":
                field.select_option(str(value))
            else:
                field.fill(str(value))

    def generate(self, prompt: str = PROMPT, **fields: Any) -> None:
        """Generates and waits for the picture."""
        self.fill(prompt=prompt, **fields)
        self.page.get_by_role("button", name="Generate").click()
        self.wait_for_picture()

    def wait_for_picture(self) -> None:
        expect(self.page.locator("#actions")).to_be_visible()
        expect(self.page.locator("#picture.finished")).not_to_have_js_property("naturalWidth", 0)

    def picture(self) -> bytes:
        """The picture on the stage, as a download has it."""
        with self.page.expect_download() as started:
            self.page.get_by_role("link", name="Download").click()
        return Path(started.value.path()).read_bytes()

    def recipe(self) -> dict[str, str]:
        names = self.page.locator("#recipe dt").all_inner_texts()
        return dict(zip(names, self.page.locator("#recipe dd").all_inner_texts(), strict=True))

    def close(self) -> None:
        self.context.close()
        assert self.foreign == []
        assert [text for text in self.messages if not re.search(self.expected, text)] == []


Opener = Callable[..., Opened]


def png(pixels: np.ndarray) -> dict[str, Any]:
    """A picture as a file that is chosen."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return {"name": "input.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(data)))


def grey() -> np.ndarray:
    return np.full((128, 128, 3), 128, np.uint8)


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    box = page.locator("#mask").bounding_box()
    assert box is not None
    for (x, y), act in ((start, page.mouse.down), (end, page.mouse.up)):
        page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y, steps=4)
        act()


def masked(page: Page, at: tuple[float, float]) -> bool:
    """Whether the mask is painted at a place, given as parts of its width and height."""
    return bool(
        page.locator("#mask").evaluate(
            """(mask, [x, y]) => mask.getContext("2d").getImageData(
                 Math.floor(x * mask.width), Math.floor(y * mask.height), 1, 1).data[3] > 127""",
            list(at),
        )
    )


def transfer(page: Page, kind: str, data: bytes) -> None:
    """Drops or pastes a picture."""
    page.evaluate(
        """([kind, text]) => {
          const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
          const files = new DataTransfer();
          files.items.add(new File([bytes], "x.png", { type: "image/png" }));
          const given = kind === "drop"
            ? new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: files, bubbles: true });
          document.body.dispatchEvent(given);
        }""",
        [kind, base64.b64encode(data).decode()],
    )


def is_light(page: Page) -> bool:
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return bool(np.mean([int(value) for value in re.findall(r"\d+", ground)[:3]]) > 128)


def inaccessible(page: Page) -> list[str]:
    """What axe-core finds, rule by rule with the places."""
    axe = resources.files("axe_playwright_python") / "axe.min.js"
    page.evaluate(axe.read_text())
    found = page.evaluate("axe.run()")["violations"]
    return [f"{one['id']}: {[node['target'] for node in one['nodes']]}" for one in found]


def tab_to(page: Page, name: str) -> None:
    """Presses Tab until the element has the focus; each on the way must show that it has it."""
    for _ in range(80):
        page.keyboard.press("Tab")
        at, outline = page.evaluate(
            """[document.activeElement.id,
                parseFloat(getComputedStyle(document.activeElement).outlineWidth)]"""
        )
        if at == name:
            return
        assert outline >= 2 or at == "", at
    raise AssertionError(f"Tab does not come to {name}")


def shoot(page: Page, path: Path, *, keep_mouse: bool = False) -> None:
    if not keep_mouse:
        page.mouse.move(0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = PIL.Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.save(path, optimize=True)
    assert path.stat().st_size < 200_000
