"""Pulling from servers that speak as Hugging Face and Civitai do."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub.publishers import COMMIT, Publisher, serving
from huggingface_hub import constants

import sdrbee
from sdrbee.hub import download as downloading
from sdrbee.hub.huggingface import choose_files
from sdrbee.hub.local import LocalModels
from sdrbee.model_files import BUILTIN_FOLDER

WEIGHTS = bytes(range(256)) * 4096


@pytest.fixture
def publisher() -> Publisher:
    return Publisher()


@pytest.fixture
def address(publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The server's address; store and cache are empty."""
    with serving(publisher) as where:
        monkeypatch.setenv("SDRBEE_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("SDRBEE_CIVITAI_ENDPOINT", where)
        monkeypatch.delenv("CIVITAI_API_TOKEN", raising=False)
        monkeypatch.setattr(constants, "ENDPOINT", where)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            where + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(downloading, "_FIRST_PAUSE_S", 0.0)
        yield where


def shapes() -> dict[str, bytes]:
    """The built-in model as files of a repository, with what other repositories have beside it."""
    files = {
        str(path.relative_to(BUILTIN_FOLDER / "shapes")): path.read_bytes()
        for path in (BUILTIN_FOLDER / "shapes").rglob("*")
        if path.is_file()
    }
    return {
        **files,
        "README.md": b"a model",
        "v1.ckpt": b"pickle",
        "unet/diffusion_pytorch_model.bin": b"pickle",
        "unet/diffusion_pytorch_model.non_ema.safetensors": b"another",
        "safety_checker/model.safetensors": b"unused",
    }


def version(number: int, **changes: Any) -> dict[str, Any]:
    """What Civitai tells of a version."""
    file = {
        "name": "dreams_8.safetensors",
        "type": "Model",
        "primary": True,
        "hashes": {"SHA256": hashlib.sha256(WEIGHTS).hexdigest().upper(), "CRC32": "0"},
        **changes.pop("file", {}),
    }
    return {
        "id": number,
        "name": "v8 (final)",
        "baseModel": "SD 1.5",
        "model": {"name": "Dreams!", "type": changes.pop("type", "LORA")},
        "files": [{"name": "data.zip", "type": "Training Data", "hashes": {}}, file],
        **changes,
    }


def test_a_repository_becomes_a_model(publisher: Publisher, address: str) -> None:
    publisher.repositories["someone/My-Shapes"] = shapes()
    pulled = sdrbee.pull("someone/My-Shapes")
    assert (pulled.name, pulled.commit, pulled.family) == (
        "someone/My-Shapes", COMMIT, "stable_diffusion",
    )  # fmt: skip
    assert pulled.sha256
    fetched = {path.rpartition(f"{'main'}/")[2] for method, path, _ in publisher.asked
               if method == "GET" and "/resolve/" in path}  # fmt: skip
    assert "unet/config.json" in fetched
    assert not fetched & {"README.md", "v1.ckpt", "safety_checker/model.safetensors"}
    assert not any("non_ema" in name or name.endswith(".bin") for name in fetched)
    for name in ("someone/My-Shapes", "my-shapes", f"my-shapes@{COMMIT[:8]}"):
        assert sdrbee.load(name).info.source == pulled.path
    before = len(publisher.ranges("safetensors"))
    assert sdrbee.pull("hf:someone/My-Shapes@main", name="mine").path == pulled.path
    assert len(publisher.ranges("safetensors")) == before, "it was in the cache"
    assert LocalModels().names() == ["mine", "someone/My-Shapes"]


def test_a_cut_connection_is_gone_on_with(
    publisher: Publisher, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 65_536)  # what the library writes at once
    publisher.repositories["a/b"] = {"big.safetensors": WEIGHTS}
    publisher.cut_after["big.safetensors"] = 300_000
    pulled = sdrbee.pull("hf:a/b/big.safetensors", kind="lora")
    assert Path(pulled.path).read_bytes() == WEIGHTS
    first, second = publisher.ranges("big.safetensors")
    assert first is None
    assert second == f"bytes={300_000 // 65_536 * 65_536}-"
    assert (pulled.name, pulled.kind) == ("a/b/big", "lora")


def test_a_repository_whose_file_is_another_one_is_told(publisher: Publisher, address: str) -> None:
    publisher.repositories["a/b"] = {"big.safetensors": WEIGHTS}
    publisher.told_hash["big.safetensors"] = "0" * 64
    with pytest.raises(sdrbee.PullError, match="not what a/b says"):
        sdrbee.pull("hf:a/b/big.safetensors")
    assert LocalModels().all() == []
    publisher.told_hash.clear()
    sdrbee.pull("hf:a/b/big.safetensors")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a/none", "no repository a/none, or it is private and HF_TOKEN"),
        ("a/files", r"hf:a/files/x\.gguf"),
        ("a/files@v9", "no such revision"),
        ("hf:a/files/none.safetensors", "no such file"),
        ("hf:a/files/x.ckpt", "pickle"),
        ("a/pickles", "pickle"),
    ],
)
def test_what_cannot_be_pulled_is_told(
    publisher: Publisher, address: str, source: str, message: str
) -> None:
    index = {"_class_name": "P", "unet": ["diffusers", "U"], "none": [None, None]}
    publisher.repositories["a/files"] = {"x.gguf": b"GGUF", "x.ckpt": b""}
    publisher.repositories["a/pickles"] = {
        "model_index.json": json.dumps(index).encode(),
        "unet/diffusion_pytorch_model.bin": b"",
    }
    with pytest.raises(sdrbee.PullError, match=message):
        sdrbee.pull(source)
    assert LocalModels().all() == []


@pytest.mark.parametrize("source", ["shapes", "a//b", "a/../b", "civitai:x", "s3:a/b", "", "/a/b"])
def test_what_is_no_source_is_told(source: str) -> None:
    with pytest.raises(sdrbee.InvalidRequest, match=r"^\[source\]"):
        sdrbee.pull(source)


def test_half_precision_only_where_there_is_nothing_else() -> None:
    index = {"unet": ["diffusers", "U"], "vae": ["diffusers", "V"]}
    stem = "diffusion_pytorch_model"
    names = [
        f"unet/{stem}.fp16.safetensors",
        f"unet/{stem}-00001-of-00002.safetensors",
        f"unet/{stem}.safetensors.index.json",
        f"unet/{stem}.safetensors.index.fp16.json",
        f"vae/{stem}.fp16.safetensors",
    ]
    chosen = choose_files(names, index)
    assert set(chosen) == {"model_index.json", names[1], names[2], names[4]}


def test_a_version_of_civitai(publisher: Publisher, address: str) -> None:
    publisher.versions[123] = version(123)
    publisher.downloads[123] = WEIGHTS
    publisher.cut_after["123"] = 500_000
    pulled = sdrbee.pull("civitai:123")
    store = LocalModels()
    assert (pulled.name, pulled.kind, pulled.revision) == ("civitai/dreams-v8-final", "lora", "123")
    assert store.path_of(pulled).read_bytes() == WEIGHTS
    assert publisher.ranges("/123")[-2:] == [None, "bytes=500000-"]
    assert store.find("civitai:123") == store.find("dreams-v8-final@123") == pulled


def test_a_pull_goes_on_after_the_process_ended(publisher: Publisher, address: str) -> None:
    publisher.versions[5] = version(5)
    publisher.downloads[5] = WEIGHTS
    part = LocalModels().files / "civitai" / "5" / "dreams_8.safetensors.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(WEIGHTS[:1000])
    sdrbee.pull("civitai:5")
    assert publisher.ranges("/download/models/5") == ["bytes=1000-"]
    assert not part.exists()


def test_a_wrong_hash_leaves_nothing(publisher: Publisher, address: str) -> None:
    publisher.versions[5] = version(5)
    publisher.downloads[5] = WEIGHTS[::-1]
    with pytest.raises(sdrbee.PullError, match="SHA-256"):
        sdrbee.pull("civitai:5")
    assert LocalModels().all() == []
    assert not [path for path in LocalModels().files.rglob("*") if path.is_file()]


def test_keys_stay_with_their_host(
    publisher: Publisher, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.versions[5] = version(5)
    publisher.downloads[5] = WEIGHTS
    publisher.key = "secret"
    with pytest.raises(sdrbee.PullError, match="CIVITAI_API_TOKEN"):
        sdrbee.pull("civitai:5")
    monkeypatch.setenv("CIVITAI_API_TOKEN", "secret")
    sdrbee.pull("civitai:5")
    other = Publisher(downloads={6: WEIGHTS})
    publisher.versions[6] = version(6)
    with serving(other) as elsewhere:
        publisher.elsewhere = elsewhere
        sdrbee.pull("civitai:6")
    assert "authorization" not in other.asked[0][2]


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (None, "no version 7"),
        (version(7, type="Hypernetwork"), "Hypernetwork"),
        (version(7, file={"name": "x.ckpt"}), "pickle"),
        (version(7, files=[]), "no weights"),
        ({"id": 7}, "otherwise than Civitai"),
        (version(7, file={"downloadUrl": "file:///etc/passwd"}), "http or https"),
    ],
)
def test_what_civitai_has_not_is_told(
    publisher: Publisher, address: str, told: dict[str, Any] | None, message: str
) -> None:
    if told is not None:
        publisher.versions[7] = told
    with pytest.raises(sdrbee.PullError, match=message):
        sdrbee.pull("civitai:7")


def test_names_of_files_do_not_leave_the_folder(publisher: Publisher, address: str) -> None:
    publisher.versions[8] = version(8, file={"name": "../..\\../evil.safetensors"})
    publisher.downloads[8] = WEIGHTS
    assert sdrbee.pull("civitai:8").path == "files/civitai/8/evil.safetensors"


def test_a_busy_server_is_asked_again(publisher: Publisher, address: str) -> None:
    publisher.versions[5] = version(5)
    publisher.downloads[5] = WEIGHTS
    publisher.statuses["/api/download/models/5"] = [503, 429]
    sdrbee.pull("civitai:5")
    publisher.versions[6] = version(6)
    publisher.statuses["/api/download/models/6"] = [500] * 20
    with pytest.raises(sdrbee.PullError, match="status 500"):
        sdrbee.pull("civitai:6")


def test_a_full_disk_is_told(
    publisher: Publisher, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.versions[5] = version(5)
    publisher.downloads[5] = WEIGHTS
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(sdrbee.PullError, match=f"{len(WEIGHTS)} more bytes are needed"):
        sdrbee.pull("civitai:5")
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _: usage)
    part = LocalModels().files / "civitai" / "5" / "dreams_8.safetensors.part"
    part.unlink()
    part.symlink_to("/dev/full")
    with pytest.raises(sdrbee.PullError, match=r"the disk of .* is full; make room"):
        sdrbee.pull("civitai:5")
    part.unlink()
    sdrbee.pull("civitai:5")


def test_offline_means_offline(
    publisher: Publisher, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.repositories["someone/My-Shapes"] = shapes()
    publisher.versions[5] = version(5)
    publisher.downloads[5] = WEIGHTS
    sdrbee.pull("someone/My-Shapes")
    sdrbee.pull("civitai:5")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    asked = len(publisher.asked)
    assert sdrbee.pull("civitai:5", name="again").path
    assert sdrbee.pull("someone/My-Shapes").commit == COMMIT
    for source in ("a/b", "hf:a/b/c.safetensors", "civitai:6"):
        with pytest.raises(sdrbee.PullError, match="HF_HUB_OFFLINE"):
            sdrbee.pull(source)
    assert len(publisher.asked) == asked


def test_the_command_pulls_with_bars(
    publisher: Publisher, address: str, command: list[str]
) -> None:
    publisher.versions[5] = version(5)
    publisher.downloads[5] = WEIGHTS
    done = subprocess.run(
        [*command, "pull", "civitai:5", "--as", "dreams", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "dreams"
    assert "dreams_8.safetensors: 100%" in done.stderr
