"""Webhooks: signed, tried again, never sent where they may not go."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from server.in_process import serving
from server.receiver import Received, receiving

import sdrbee
from sdrbee.server.app import Worker
from sdrbee.server.errors import ApiError
from sdrbee.server.journal import Journal
from sdrbee.server.outgoing import Letter, Target, post
from sdrbee.server.webhooks import Policy, Webhooks, _resolved, read_secret

SECRET = b"a secret of the tests"
LOCAL = Policy(SECRET, allow_private=True, back_off_s=(0.01, 0.01, 0.01))


@contextmanager
def worker_at(path: Path | None, policy: Policy | None = LOCAL) -> Iterator[str]:
    worker = Worker(sdrbee.Engine("mock"), journal=Journal(path))
    worker.book.webhooks = Webhooks(policy)
    with serving(worker) as url:
        yield url


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with worker_at(None) as url:
        yield url


def submit(url: str, webhook_url: str, **fields: Any) -> str:
    operation = {"operation": "image_generation", "prompt": "a star", "steps": 1, **fields}
    answer = requests.post(f"{url}/v1/jobs", json={**operation, "webhook_url": webhook_url})
    assert answer.status_code == 200, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


def check_signature(received: Received) -> None:
    headers = {name.lower(): value for name, value in received.headers.items()}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + received.body
    expected = base64.b64encode(hmac.digest(SECRET, signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert json.loads(received.body)["id"] == headers["webhook-id"]


def test_an_end_is_told_signed_and_again_under_the_same_id(url: str) -> None:
    with receiving(500, 302, location="/elsewhere") as receiver:
        job_id = submit(url, f"{receiver.url}/hook?a=b")
        told = [receiver.next() for _ in range(3)]
    assert receiver.received.empty()
    assert {one.path for one in told} == {"/hook?a=b"}
    for one in told:
        check_signature(one)
    assert len({one.headers["webhook-id"] for one in told}) == 1
    event = json.loads(told[-1].body)
    assert (event["type"], event["data"]["job_id"]) == ("job.done", job_id)
    assert "image" not in event["data"]["result"]


@pytest.mark.parametrize(
    ("fields", "kind"), [({"deadline_s": 0.001, "steps": 1000}, "failed"), ({}, "cancelled")]
)
def test_other_ends_are_told_too(url: str, fields: dict[str, Any], kind: str) -> None:
    with receiving() as receiver:
        job_id = submit(url, receiver.url, **{"steps": 1000, **fields})
        if kind == "cancelled":
            requests.delete(f"{url}/v1/jobs/{job_id}", timeout=60)
        assert json.loads(receiver.next().body)["type"] == f"job.{kind}"


def test_what_was_not_told_is_told_by_the_next_run(tmp_path: Path) -> None:
    patient = Policy(SECRET, allow_private=True, back_off_s=(600.0,))
    database = tmp_path / "jobs.db"
    with receiving(500) as receiver:
        with worker_at(database, patient) as url:
            submit(url, receiver.url)
            first = receiver.next()
        with worker_at(database) as url:
            second = receiver.next()
            submit(url, receiver.url)  # written down behind what was told
            third = receiver.next()
        with worker_at(database) as url:
            submit(url, receiver.url)
            fourth = receiver.next()
    ids = [one.headers["webhook-id"] for one in (second, third, fourth)]
    assert len(set(ids)) == 3
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_none_is_taken_unless_allowed() -> None:
    with pytest.raises(ApiError, match="allow-webhooks") as caught:
        Webhooks().check("https://example.com/")
    assert (caught.value.status, caught.value.field) == (422, "webhook_url")
    Webhooks().check(None)


PRIVATE = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fd00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    public = Webhooks(Policy(SECRET))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(ApiError, match="public address"):
        public.check(f"http://{host}/")
    # A name that leads there passes at first, and is refused when it is resolved.
    public.check("https://example.com/")
    entries = [(0, 0, 0, "", ("93.184.216.34", 443)), (0, 0, 0, "", (address, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: entries)
    with pytest.raises(ValueError, match="public address"):
        _resolved(Target.of("https://example.com/"), allow_private=False)


@pytest.mark.parametrize("text", ["0x7f.1", "2130706433", "localhost", "127.1"])
def test_other_spellings_of_this_machine_are_refused(text: str) -> None:
    with pytest.raises((ValueError, OSError)):
        _resolved(Target.of(f"http://{text}/"), allow_private=False)


def test_the_address_that_was_checked_is_the_one_that_is_asked() -> None:
    with receiving() as receiver:
        target = Target.of(f"http://nowhere.invalid:{receiver.port}/hook")
        assert post(Letter(target, b"{}"), timeout_s=60, address="127.0.0.1") == 200
        assert receiver.next().headers["Host"] == f"nowhere.invalid:{receiver.port}"


def test_a_receiver_that_never_ends_its_answer_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect = socket.create_connection
    # The socket's own time-out begins anew with every byte: a slow sender never meets it.
    monkeypatch.setattr(socket, "create_connection", lambda address, _: connect(address))
    given_up = threading.Event()

    def answer() -> None:
        connection, _ = server.accept()
        while not connection.recv(1 << 16).endswith(b"{}"):
            pass
        connection.sendall(b"HTTP/1.1 200 OK\r\nx: y")
        given_up.wait(20)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        target = Target.of(f"http://127.0.0.1:{server.getsockname()[1]}/")
        with pytest.raises(OSError):  # noqa: PT011  whatever is cut off
            post(Letter(target, b"{}"), timeout_s=0.3)
        given_up.set()
        thread.join()


def test_secrets_are_text_or_base64() -> None:
    assert read_secret("a secret of the tests\n") == SECRET
    assert read_secret("whsec_" + base64.b64encode(SECRET).decode()) == SECRET
    for text in ("short", "whsec_%%%", ""):
        with pytest.raises(sdrbee.InvalidRequest):
            read_secret(text)


def test_a_secret_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sdrbee.cli import run

    monkeypatch.delenv("SDRBEE_WEBHOOK_SECRET", raising=False)
    assert run(["serve", "--port", "0", "--no-journal", "--allow-webhooks"]) == 2
    assert "SDRBEE_WEBHOOK_SECRET" in capsys.readouterr().err
