"""The local store: names, versions, files, and what the commands make of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

import sdrbee
from sdrbee.hub.local import LocalModels, StoredModel, models_folder
from sdrbee.model_files import BUILTIN_FOLDER, builtin_adapters


def stored(name: str, **values: str) -> StoredModel:
    return StoredModel(name=name, path=f"files/{name}", source=f"hf:{name}", **values)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalModels:
    monkeypatch.setenv("SDRBEE_HOME", str(tmp_path / "home"))
    return LocalModels()


def put(store: LocalModels, name: str, copy: bool = True) -> StoredModel:
    """The built-in model as one that was pulled."""
    model = StoredModel(
        name=name, path=f"files/{Path(name).name}", source=f"hf:{name}", revision="main"
    )
    shutil.copytree(BUILTIN_FOLDER / "shapes", store.path_of(model))
    store.add(model)
    return model


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"SDRBEE_HOME": "/a", "XDG_DATA_HOME": "/b"}, "/a/models"),
        ({"XDG_DATA_HOME": "/b"}, "/b/sdrbee/models"),
        ({"HOME": "/c"}, "/c/.local/share/sdrbee/models"),
    ],
)
def test_the_folder_follows_the_variables(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str
) -> None:
    for name in ("SDRBEE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert models_folder() == Path(folder)
    assert models_folder("/given") == Path("/given")


def test_versions_of_a_name(store: LocalModels) -> None:
    assert store.all() == []
    store.add(stored("me/xl", revision="v1", commit="1" * 40, pulled="2026-01-01", family="sdxl"))
    store.add(stored("me/xl", revision="main", commit="2" * 40, pulled="2026-02-01"))
    store.add(stored("me/other", kind="lora", pulled="2026-03-01"))
    assert store.names() == ["me/other", "me/xl", "me/xl@v1"]
    assert store.names("checkpoint") == ["me/xl", "me/xl@v1"]
    assert store.find("XL").revision == "main"
    assert store.find("xl@v1").commit == "1" * 40
    assert store.find("xl@1111111").revision == "v1"
    assert store.find("hf:me/other").kind == "lora"
    with pytest.raises(sdrbee.ModelNotFound, match="did you mean 'me/xl'"):
        store.find("xll")
    with pytest.raises(sdrbee.ModelNotFound):
        store.find("other", "checkpoint")


def test_pulling_a_version_again_takes_its_place(store: LocalModels) -> None:
    store.add(stored("a", revision="main", commit="1", pulled="2026-01-01"))
    store.add(stored("a", revision="main", commit="1", pulled="2026-02-01"))
    assert [model.pulled for model in store.all()] == ["2026-02-01"]


def test_removing_takes_only_own_files_away(store: LocalModels, tmp_path: Path) -> None:
    own = put(store, "me/own")
    foreign = tmp_path / "cache"
    foreign.mkdir()
    shared = StoredModel(name="shared", path=str(foreign), source="hf:shared")
    twin = StoredModel(name="twin", path=own.path, source="hf:twin")
    for model in (shared, twin):
        store.add(model)
    store.remove(own)
    assert store.path_of(own).exists(), "another row needs it"
    store.remove(twin)
    store.remove(shared)
    assert not store.path_of(own).exists()
    assert foreign.exists()
    assert store.all() == []


def test_rows_of_a_later_release_are_read(store: LocalModels) -> None:
    store.add(stored("a"))
    index = store.folder / "index.json"
    rows = json.loads(index.read_bytes())
    rows["models"][0]["later"] = 1
    index.write_text(json.dumps(rows))
    assert store.names() == ["a"]


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"models": [{}]}', b'{"models": 5}'])
def test_a_damaged_index_is_named(store: LocalModels, damage: bytes) -> None:
    store.add(stored("a"))
    (store.folder / "index.json").write_bytes(damage)
    with pytest.raises(sdrbee.CheckpointError, match=r"index\.json.*pull the models again"):
        store.all()


def test_many_may_add_at_once(store: LocalModels) -> None:
    threads = [threading.Thread(target=store.add, args=(stored(f"m{i}"),)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.all()) == 20


def test_a_stored_model_is_loaded_by_its_names(store: LocalModels) -> None:
    path = store.path_of(put(store, "someone/my-model"))
    for name in ("someone/my-model", "My-Model", "my-model@main"):
        assert sdrbee.load(name).info.source == str(path)
    with pytest.raises(sdrbee.ModelNotFound, match="did you mean 'someone/my-model'"):
        sdrbee.load("mymodel")
    with pytest.raises(sdrbee.CheckpointError, match="/no/such/model"):
        sdrbee.load("/no/such/model")


def test_an_engine_knows_the_versions_of_its_models(store: LocalModels) -> None:
    put(store, "someone/my-model")
    with sdrbee.Engine({"mine": "my-model", "shapes": "shapes"}) as engine:
        assert engine.find_model("mine@main") == "mine"
        for name in ("mine@v2", "shapes@main"):
            with pytest.raises(sdrbee.ModelNotFound):
                engine.find_model(name)


def test_list_show_and_rm(store: LocalModels, command: list[str]) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], capture_output=True, text=True, timeout=120, check=False
        )

    model = put(store, "someone/my-model")
    listed = run("list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == [
        "NAME", "someone/my-model", *sdrbee.builtin_models(),
        *builtin_adapters("lora"), *builtin_adapters("controlnet"),
    ]  # fmt: skip
    assert json.loads(run("show", "my-model", "--json").stdout)["family"] == "stable_diffusion"
    removed = json.loads(run("rm", "my-model", "--json").stdout)["removed"]
    assert [row["name"] for row in removed] == ["someone/my-model"]
    assert not store.path_of(model).exists()
    again = run("rm", "my-model")
    assert again.returncode == 1
    assert "my-model" in again.stderr
