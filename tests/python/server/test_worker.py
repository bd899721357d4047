"""The entry points as rbee's hive starts them, and what hive and queen are told."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server.conftest import Served, started
from server.receiver import Receiver, receiving

import sdrbee
from sdrbee.server.announcer import Announcer
from sdrbee.server.app import Worker
from sdrbee.server.identity import Identity
from sdrbee.server.outgoing import Letter, Target, post

# The aliases of rbee's --sd-version.
ALIASES = """
v1-5 v1.5 1.5 v1-5-inpaint v1.5-inpaint v2-1 v2.1 2.1 v2-inpaint v2.1-inpaint xl xl-inpaint
turbo flux-dev flux.1-dev flux1-dev flux-schnell flux.1-schnell flux1-schnell
"""


def entry_point(kind: str, *arguments: str) -> list[str]:
    """The console script, run by this interpreter whether it is installed or not."""
    code = (
        f"import sys; sys.argv[0] = 'sd-worker-{kind}'; import sdrbee.cli.worker as w; w.{kind}()"
    )
    return [sys.executable, "-c", code, *arguments]


@pytest.fixture(scope="module")
def hive() -> Iterator[Receiver]:
    with receiving(500) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def queen() -> Iterator[Receiver]:
    with receiving(404) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def spawned(
    tmp_path_factory: pytest.TempPathFactory, hive: Receiver, queen: Receiver
) -> Iterator[Served]:
    """With the arguments of rbee's image worker, some by their environment twins."""
    command = entry_point(
        "cpu",
        *("--sd-version", "shapes", "--port", "0", "--host", "127.0.0.1", "--use-flash-attn"),
        *("--callback-url", f"{hive.url}/v1/ready", "--queue", "5"),
    )
    folder = tmp_path_factory.mktemp("spawned")
    environment = {"WORKER_ID": "worker-7", "QUEEN_URL": queen.url, "XDG_STATE_HOME": str(folder)}
    yield from started(folder, command, **environment)


def test_the_hive_is_told_once_that_the_worker_is_ready(spawned: Served, hive: Receiver) -> None:
    refused, told = hive.next(), hive.next()
    assert refused.body == told.body  # the first try was answered by 500
    assert told.path == "/v1/ready"
    assert json.loads(told.body) == {
        "worker_id": "worker-7",
        "url": f"http://localhost:{spawned.port}",
        "uri": f"http://localhost:{spawned.port}",
        "model_ref": "shapes",
        "backend": "cpu",
        "vram_bytes": json.loads(told.body)["vram_bytes"],
    }
    weights = sdrbee.describe("shapes").components.values()
    assert json.loads(told.body)["vram_bytes"] in [
        size * sum(part.parameters for part in weights) for size in (2, 4)
    ]
    assert spawned.ask("GET", "/ready").status == 200
    assert hive.received.empty()


def test_the_queen_hears_a_heartbeat_of_the_contract(spawned: Served, queen: Receiver) -> None:
    told = queen.next()
    assert told.path == "/v1/worker-heartbeat"
    beat = json.loads(told.body)
    assert beat["timestamp"].endswith("Z")
    assert beat["worker"].pop("status") in ("starting", "ready")
    assert beat["worker"] == {
        "id": "worker-7",
        "model_id": "shapes",
        "device": "CPU-0",
        "port": spawned.port,
        "implementation": "sdrbee",
        "version": sdrbee.__version__,
    }
    info = spawned.ask("GET", "/info").json()
    assert info == {**beat["worker"], "status": info["status"]}
    assert spawned.ask("GET", "/v1/capabilities").json()["limits"]["queue"] == 5


def test_a_job_as_rbees_job_client_does_it(spawned: Served) -> None:
    """POST, then lines of {base}/v1/jobs/{id}/stream with "data:" taken off, until a marker."""
    base = f"http://127.0.0.1:{spawned.port}"
    operation = {
        "operation": "image_generation",
        "hive_id": "localhost",
        "model": "shapes",
        "prompt": "a cat",
        "negative_prompt": None,
        "steps": 2,
        "guidance_scale": 7.5,
        "seed": None,
        "width": 128,
        "height": 128,
        "loras": [],
    }
    request = urllib.request.Request(
        f"{base}/v1/jobs", json.dumps(operation).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        job = json.load(answer)
    lines = []
    with urllib.request.urlopen(f"{base}/v1/jobs/{job['job_id']}/stream", timeout=60) as stream:
        for raw in stream:
            line = raw.decode().strip().removeprefix("data:").strip()
            if line in ("[DONE]", "[CANCELLED]") or line.startswith("[ERROR]"):
                break
            lines += [line] if line else []
    assert line == "[DONE]"
    events = [json.loads(line) for line in lines if line.startswith("{")]
    assert [event["type"] for event in events][-1] == "complete"


@pytest.mark.parametrize(
    ("kind", "arguments", "expected"),
    [
        ("cpu", ["--version", "shapes"], ["shapes=shapes", "--device", "cpu"]),
        ("cpu", ["--model", "shapes", "--device", "0"], ["shapes=shapes", "--device", "cpu"]),
        ("cpu", ["--model-path", "/m/a"], ["/m/a", "--device", "cpu"]),
        ("cpu", ["--sd-version", "xl", "--model-path", "/m/a"], ["xl=/m/a", "--device", "cpu"]),
        ("cpu", ["--model", "a", "--use-f16"], ["a=a", "--device", "cpu", "--dtype", "fp16"]),
        ("cuda", ["--model", "a", "--device", "1"], ["a=a", "--device", "cuda:1"]),
        ("cuda", ["--model", "a", "--cuda-device", "1"], ["a=a", "--device", "cuda:1"]),
        ("metal", ["--model", "a", "--metal-device", "0"], ["a=a", "--device", "mps"]),
        ("rocm", ["--model", "a", "--rocm-device", "2"], ["a=a", "--device", "cuda:2"]),
    ],
)
def test_both_dialects_become_arguments_of_serve(
    monkeypatch: pytest.MonkeyPatch, kind: str, arguments: list[str], expected: list[str]
) -> None:
    from sdrbee.cli import serve, worker

    given: list[str] = []
    monkeypatch.setattr(serve.serve, "main", lambda args, **_: given.extend(args))
    monkeypatch.setattr(worker, "check_device", lambda *_: None)
    rest = ["--worker-id", "worker-7", "--queen-url", "http://localhost:7833", "--queue", "3"]
    command = worker.worker_command(kind)
    command.main(args=["--port", "8080", *arguments, *rest], standalone_mode=False)
    port = given.index("--port")
    assert given[port : port + 2] == ["--port", "8080"]
    del given[port : port + 2]
    assert given == [*expected, *rest]


@pytest.mark.parametrize("kind", ["cuda", "metal", "rocm"])
def test_a_missing_device_is_named(kind: str) -> None:
    if sdrbee.system_info().device != "cpu":
        pytest.skip("this machine has a GPU")
    command = entry_point(kind, "--sd-version", "shapes", "--port", "0")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert kind in done.stderr
    assert "not available" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "0"],
        ["--sd-version", "shapes"],
        ["--sd-version", "shapes", "--port", "0", "--callback-url", "file:///etc/passwd"],
        ["--sd-version", "shapes", "--port", "0", "--worker-id", "../up"],
    ],
)
def test_wrong_arguments_are_usage_errors(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from sdrbee.cli import run
    from sdrbee.cli.worker import worker_command

    assert run(arguments, worker_command("cpu"), "sd-worker-cpu") == 2
    assert "error:" in capsys.readouterr().err


def test_every_alias_of_rbee_names_a_variant() -> None:
    known = {
        name
        for family in sdrbee.families()
        for variant in family.variants
        for name in (variant.id, *variant.aliases.split())
    }
    assert set(ALIASES.split()) <= known


def test_a_hive_that_is_not_there_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Ready(Worker):
        def not_ready(self) -> str | None:
            return None

    with sdrbee.Engine("shapes") as engine:
        worker = Ready(engine)
        worker.identity = Identity("w", "http://localhost:1", 1)
        nowhere = Target.of("http://127.0.0.1:1/ready")
        announcer = Announcer(worker, nowhere, retries_s=(0.0, 0.0, 0.0))
        asyncio.run(announcer.run())
    assert sum("ready callback" in record.message for record in caplog.records) == 4


def test_redirects_are_not_followed() -> None:
    with receiving(302, location="/elsewhere") as receiver:
        assert post(Letter(Target.of(receiver.url + "/a?b=c"), b"{}"), timeout_s=60) == 302
        assert receiver.next().path == "/a?b=c"
        assert receiver.received.empty()


@pytest.mark.parametrize(
    "url",
    ["ftp://a/", "http://", "http:///a", "//a", "a", "http://u:p@a/", "http://a b/", "http://a:x/"],
)
def test_what_is_no_url_is_refused(url: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Target.of(url)


def test_the_console_scripts_are_declared() -> None:
    project = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    for kind in ("cpu", "cuda", "metal", "rocm"):
        assert f'sd-worker-{kind} = "sdrbee.cli.worker:{kind}"' in project
