"""Keys, Host and Origin, over real sockets."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from server.conftest import Served, serve

ALICE, BOB = "alice-0123456789abcdef", "bob-0123456789abcdefgh"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("guarded")
    keys = folder / "keys"
    keys.write_text(f"# who may ask\nalice: {ALICE}\nbob:{BOB}\n")
    yield from serve(folder, "--api-key-file", str(keys), "--allow-origin", "https://page.example")


@pytest.mark.parametrize(
    "header",
    [
        {"authorization": f"Bearer {ALICE}"},
        {"x_api_key": ALICE},
        {"authorization": "Basic " + base64.b64encode(f"me:{ALICE}".encode()).decode()},
    ],
)
def test_a_key_opens_in_three_ways(guarded: Served, header: dict[str, str]) -> None:
    assert guarded.ask("GET", "/v1/capabilities", **header).status == 200


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"authorization": "Bearer wrong-0123456789abcdef"},
        {"authorization": "Bearer "},
        {"authorization": "Basic %%%"},
        {"x_api_key": "\u00ff" * 20},
        {"authorization": ALICE},
    ],
)
def test_no_or_a_bad_key_is_refused(guarded: Served, header: dict[str, str]) -> None:
    for path in ("/v1/capabilities", "/v1/jobs", "/v1/nothing", "/v1/jobs/x/stream"):
        assert guarded.ask("GET", path, **header).status == 401
    for path in ("/", "/health"):
        assert guarded.ask("GET", path, **header).status == 200


def test_a_key_sees_its_own_jobs_only(guarded: Served) -> None:
    guarded.headers = {"x-api-key": ALICE}
    job_id = guarded.submit("a red star", steps=1)
    assert guarded.events(job_id)[-1]["type"] == "complete"
    guarded.headers = {"x-api-key": BOB}
    assert guarded.ask("GET", f"/v1/jobs/{job_id}").status == 404
    assert guarded.ask("DELETE", f"/v1/jobs/{job_id}").status == 404
    assert guarded.ask("GET", "/v1/jobs").json() == {"jobs": []}
    guarded.headers = {}


@pytest.mark.parametrize("path", ["/", "/health", "/v1/jobs", "/v1/jobs/x/stream", "/nothing"])
@pytest.mark.parametrize(
    "header",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "http://[bad"},
        {"origin": "https://page.example.evil"},
        {"host": "evil.example"},
        {"host": "127.0.0.1@evil.example"},
        {"host": "localhost.evil.example:80"},
        {"host": ""},
    ],
)
def test_foreign_pages_and_names_are_refused(
    guarded: Served, path: str, header: dict[str, str]
) -> None:
    assert guarded.ask("GET", path, x_api_key=ALICE, **header).status == 403


def test_own_and_allowed_pages_may_ask(guarded: Served) -> None:
    for origin in ("https://page.example", f"http://127.0.0.1:{guarded.port}"):
        assert guarded.ask("GET", "/v1/jobs", x_api_key=ALICE, origin=origin).status == 200


def test_others_than_this_machine_need_a_key() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sdrbee", "serve", "--host", "0.0.0.0", "--port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "--api-key-file" in done.stderr


def test_a_bad_key_file_is_told(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("alice: short\n")
    done = subprocess.run(
        [sys.executable, "-m", "sdrbee", "serve", "--api-key-file", str(keys)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "line 1" in done.stderr
