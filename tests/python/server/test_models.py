"""The worker's models over HTTP: the list that OpenAI's clients read, names, what is in memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from server.conftest import Served, serve

from sdrbee.hub.local import LocalModels, StoredModel
from sdrbee.model_files import BUILTIN_FOLDER


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serve(tmp_path_factory.mktemp("models"), "me/plain=shapes", "fill=shapes-inpaint")


def wait_until_loaded(worker: Served, name: str) -> None:
    while not worker.ask("GET", f"/v1/models/{name}").json()["loaded"]:
        time.sleep(0.02)


def test_the_list_is_what_openai_s_clients_read(models: Served) -> None:
    answer = models.ask("GET", "/v1/models").json()
    assert answer["object"] == "list"
    assert [model["id"] for model in answer["data"]] == ["me/plain", "fill"]
    for model in answer["data"]:
        assert model["object"] == "model"
        assert 1_600_000_000 < model["created"] <= time.time()
        assert isinstance(model["created"], int)
        assert model["family"] == "stable_diffusion"
    assert [model["owned_by"] for model in answer["data"]] == ["me", "user"]
    wait_until_loaded(models, "plain")
    assert models.ask("GET", "/v1/models/fill").json()["loaded"] is False


@pytest.mark.parametrize("name", ["me/plain", "me%2Fplain", "plain", "someone/PLAIN"])
def test_one_model_by_its_names(models: Served, name: str) -> None:
    answer = models.ask("GET", f"/v1/models/{name}")
    assert answer.status == 200
    assert answer.json()["id"] == "me/plain"


def loads(worker: Served) -> tuple[float, float]:
    """How many models were loaded, and in how many seconds."""
    lines = worker.ask("GET", "/metrics").body.decode().splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if line[0] != "#")
    count, total = (f"sdrbee_model_load_seconds_{what}" for what in ("count", "sum"))
    return float(found[count]), float(found[total])


def test_every_load_is_counted(models: Served) -> None:
    wait_until_loaded(models, "plain")
    models.ask("POST", "/v1/models/fill/unload")
    count, seconds = loads(models)
    assert count >= 1
    models.ask("POST", "/v1/models/fill/load")
    models.ask("POST", "/v1/models/fill/load")
    assert loads(models)[0] == count + 1, "the second time it was there"
    models.ask("POST", "/v1/models/me/plain/unload")
    models.events(models.submit("a ring", steps=1, model="plain"))
    assert loads(models)[0] == count + 2
    models.ask("POST", "/v1/models/fill/unload")
    assert loads(models)[1] > seconds


def test_load_and_unload(models: Served) -> None:
    assert models.ask("POST", "/v1/models/fill/unload").json()["loaded"] is False
    loaded = models.ask("POST", "/v1/models/fill/load").json()
    assert loaded["loaded"] is True
    assert loaded["bytes"] > 1_000_000
    assert (loaded["in_use"], loaded["pinned"]) == (False, False)
    assert 0 <= loaded["idle_s"] < 60
    assert models.ask("POST", "/v1/models/me/plain/load").json()["loaded"] is True
    assert models.ask("GET", "/v1/models/fill").json()["loaded"] is True, "both stay"
    assert models.ask("POST", "/v1/models/fill/unload").json()["bytes"] == 0
    for action in ("load", "unload"):
        assert models.ask("POST", f"/v1/models/other/{action}").status == 404
    assert models.ask("GET", "/ready").status == 200


def test_ps_and_stop(models: Served, command: list[str]) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments, "--url", f"http://127.0.0.1:{models.port}"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    models.ask("POST", "/v1/models/fill/load")
    listed = json.loads(run("ps", "--json").stdout)["models"]
    assert "fill" in [model["id"] for model in listed]
    assert json.loads(run("stop", "fill", "--json").stdout)["loaded"] is False
    shown = run("ps").stdout.splitlines()
    assert shown[0].split() == ["NAME", "VARIANT", "SIZE", "STATE"]
    assert not any(line.startswith("fill") for line in shown)
    unknown = run("stop", "other")
    assert unknown.returncode == 1
    assert "expected one of" in unknown.stderr
    gone = subprocess.run(
        [*command, "ps", "--url", "http://127.0.0.1:1"], capture_output=True, text=True, check=False
    )
    assert gone.returncode == 1
    assert "no worker answers" in gone.stderr


def test_an_unknown_model_is_told_with_the_near_ones(models: Served) -> None:
    answer = models.ask("GET", "/v1/models/fil")
    assert answer.status == 404
    error = answer.json()["error"]
    assert (error["code"], error["field"]) == ("model_not_found", "model")
    assert "did you mean 'fill'" in error["message"]
    assert models.ask("POST", "/v1/models").status == 405


def test_the_key_of_the_environment_is_sent(
    tmp_path: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "a-key-of-sixteen-characters"
    for worker in serve(tmp_path, SDRBEE_API_KEY=key):
        asking = [*command, "ps", "--json", "--url", f"http://127.0.0.1:{worker.port}"]
        monkeypatch.delenv("SDRBEE_API_KEY", raising=False)
        refused = subprocess.run(asking, capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        assert "API key" in refused.stderr
        monkeypatch.setenv("SDRBEE_API_KEY", key)
        done = subprocess.run(asking, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_without_arguments_the_whole_store_is_served(tmp_path: Path) -> None:
    store = LocalModels(tmp_path / "models")
    rows = [("someone/good", "files/good", "2026-01-01"), ("bad", "files/bad", "2026-02-01")]
    for name, path, pulled in rows:
        store.add(StoredModel(name=name, path=path, source=name, revision="main", pulled=pulled))
    shutil.copytree(BUILTIN_FOLDER / "shapes", store.files / "good")
    (store.files / "bad").mkdir()
    for worker in serve(tmp_path, SDRBEE_HOME=str(tmp_path)):
        listed = worker.ask("GET", "/v1/models").json()["data"]
        assert [model["id"] for model in listed] == ["someone/good", "shapes", "shapes-inpaint"]
        job_id = worker.submit("a red star", steps=1, model="another/Good@main")
        assert worker.ask("GET", f"/v1/jobs/{job_id}").json()["model"] == "someone/good"
        assert worker.events(job_id)[-1]["type"] == "complete"
    assert "warning: bad is left out" in (tmp_path / "worker.log").read_text()


def test_a_model_that_is_pulled_meanwhile_is_served(tmp_path: Path) -> None:
    store = LocalModels(tmp_path / "models")

    def pull(name: str, folder: str, commit: str) -> None:
        shutil.copytree(BUILTIN_FOLDER / "shapes", store.files / folder)
        row = StoredModel(name=name, path=f"files/{folder}", source=name, commit=commit)
        store.add(row)

    for worker in serve(tmp_path, SDRBEE_HOME=str(tmp_path)):
        body = {"operation": "image_generation", "prompt": "a star", "steps": 1, "model": "late"}
        assert worker.ask("POST", "/v1/jobs", body).status == 404
        pull("someone/late", "one", "1234567")
        answer = worker.ask("POST", "/v1/jobs", body)
        assert answer.status == 200
        assert worker.events(answer.json()["job_id"])[-1]["type"] == "complete"
        pull("someone/late", "two", "89abcde")
        (store.files / "bad").mkdir()
        store.add(StoredModel(name="bad", path="files/bad", source="bad"))
        listed = [model["id"] for model in worker.ask("GET", "/v1/models").json()["data"]]
        assert listed == ["shapes", "shapes-inpaint", "someone/late", "someone/late@89abcde"]
        store.index.write_text("no index")
        assert len(worker.ask("GET", "/v1/models").json()["data"]) == 4
    log = (tmp_path / "worker.log").read_text()
    assert "bad is left out" in log
    assert "expected the index of the local store" in log
