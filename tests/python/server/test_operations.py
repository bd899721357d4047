"""What those who run a worker rely on: its log, request ids, metrics, keys, TLS and proxies."""

from __future__ import annotations

import base64
import http.client
import io
import json
import logging
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import PIL.Image
import pytest
from server.conftest import Served, serve

import sdrbee
from sdrbee.cli import run
from sdrbee.server.logs import REQUEST_ID, JsonFormatter, TextFormatter
from sdrbee.server.pictures import encode_png

ALICE, BOB = "alice-0123456789abcdef", "bob-0123456789abcdefgh"
SECRET = "a prompt that nobody may read"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("operations")


@pytest.fixture(scope="module")
def keyed(folder: Path) -> Iterator[Served]:
    """With keys, a trusted proxy, and a log in JSON."""
    (folder / "keys").write_text(f"alice:{ALICE}\n")
    options = ("--log-format", "json", "--trusted-proxy", "127.0.0.1")
    yield from serve(folder, "shapes", "--api-key-file", str(folder / "keys"), *options)


def lines(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "worker.log").read_text().splitlines()]


def wait_for(folder: Path, text: str) -> None:
    for _ in range(600):
        if text in (folder / "worker.log").read_text():
            return
        time.sleep(0.05)
    raise TimeoutError((folder / "worker.log").read_text())


def test_a_request_id_is_taken_or_made_and_in_the_log(keyed: Served, folder: Path) -> None:
    taken = keyed.ask("GET", "/v1/jobs", x_api_key=ALICE, x_request_id="trace-7.A_")
    assert taken.headers["x-request-id"] == "trace-7.A_"
    [line] = [line for line in lines(folder) if line.get("request_id") == "trace-7.A_"]
    assert re.fullmatch(r"alice@127.0.0.1 GET /v1/jobs 200 in [\d.]+ ms", line["message"])
    for bad in ("", "a b", "x" * 129, 'a"b', "\u00e4"):
        made = keyed.ask("GET", "/nothing", x_request_id=bad).headers["x-request-id"]
        assert re.fullmatch(r"[0-9a-f]{32}", made)
    with socket.create_connection(("127.0.0.1", keyed.port)) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        assert b"\r\nx-request-id: " in connection.recv(65536)


def test_only_a_trusted_proxy_says_who_asks(keyed: Served, worker: Served, folder: Path) -> None:
    keyed.ask("GET", "/v1/jobs", x_api_key=ALICE, x_forwarded_for="203.0.113.9", x_request_id="p1")
    [line] = [line for line in lines(folder) if line.get("request_id") == "p1"]
    assert line["message"].startswith("alice@203.0.113.9 GET")
    worker.ask("GET", "/v1/nothing", x_forwarded_for="203.0.113.9", x_request_id="untrusted")
    assert "203.0.113.9" not in worker.log.read_text()
    assert "[untrusted] 127.0.0.1 GET /v1/nothing 404" in worker.log.read_text()


def test_prompts_are_not_logged(keyed: Served, folder: Path) -> None:
    keyed.headers = {"x-api-key": ALICE}
    job_id = keyed.submit(SECRET, steps=1, negative_prompt=SECRET)
    assert keyed.events(job_id)[-1]["type"] == "complete"
    bad = {"operation": "image_generation", "prompt": SECRET, "sampler": SECRET}
    assert keyed.ask("POST", "/v1/jobs", bad).status == 422
    assert keyed.ask("GET", f"/v1/jobs?status={SECRET.replace(' ', '+')}").status < 500
    keyed.headers = {}
    assert SECRET.split()[-1] not in (folder / "worker.log").read_text().split()
    assert SECRET not in (folder / "worker.log").read_text()


def test_metrics_count_jobs_and_need_a_key(keyed: Served) -> None:
    keyed.headers = {"x-api-key": ALICE}
    done = keyed.events(keyed.submit("a red star", steps=3))[-1]
    assert done["type"] == "complete"
    cancelled = keyed.submit("a red star", steps=1000)
    keyed.ask("DELETE", f"/v1/jobs/{cancelled}")
    keyed.events(cancelled)
    answer = keyed.ask("GET", "/metrics")
    keyed.headers = {}
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = dict(
        line.rsplit(" ", 1) for line in answer.body.decode().splitlines() if line[0] != "#"
    )
    ended = 'sdrbee_jobs_total{operation="image_generation",outcome="%s"}'
    assert float(found[ended % "done"]) >= 1
    assert float(found[ended % "cancelled"]) >= 1
    assert float(found["sdrbee_step_seconds_count"]) >= 2
    assert float(found["sdrbee_job_seconds_count"]) == float(found[ended % "done"])
    assert float(found["sdrbee_model_load_seconds_count"]) == 1
    assert float(found["sdrbee_queue_depth"]) == 0
    assert float(found["sdrbee_resident_bytes"]) > 50e6
    assert keyed.ask("GET", "/metrics").status == 401


def test_a_key_has_its_share_of_the_queue(keyed: Served) -> None:
    keyed.headers = {"x-api-key": ALICE}
    jobs = [keyed.submit("a red star", steps=1000) for _ in range(16)]
    operation = {"operation": "image_generation", "prompt": "one more"}
    refused = keyed.ask("POST", "/v1/jobs", operation)
    assert (refused.status, refused.json()["error"]["code"]) == (429, "too_many_jobs")
    assert refused.headers["retry-after"] == "1"
    for job_id in jobs:
        keyed.ask("DELETE", f"/v1/jobs/{job_id}")
    for job_id in jobs:
        assert keyed.events(job_id)[-1]["type"] == "cancelled"
    assert keyed.submit("a red star", steps=1)
    keyed.headers = {}


def test_keys_are_read_again_on_sighup(keyed: Served, folder: Path) -> None:
    def statuses() -> list[int]:
        return [keyed.ask("GET", "/v1/jobs", x_api_key=key).status for key in (ALICE, BOB)]

    assert statuses() == [200, 401]
    (folder / "keys").write_text(f"bob:{BOB}\n")
    keyed.process.send_signal(signal.SIGHUP)
    wait_for(folder, "keys were read")
    assert statuses() == [401, 200]
    for mistake in ("bob: short\n", "# none\n"):
        (folder / "keys").write_text(mistake)
        keyed.process.send_signal(signal.SIGHUP)
        wait_for(folder, "line 1" if "short" in mistake else "expected name:key lines")
        assert statuses() == [401, 200]
    (folder / "keys").write_text(f"alice:{ALICE}\n")
    keyed.process.send_signal(signal.SIGHUP)
    while statuses() != [200, 401]:
        time.sleep(0.05)


def test_paths_are_taken_as_they_were_sent(keyed: Served) -> None:
    """Nothing that is escaped in a path leads anywhere, with a key or without."""
    pieces = ["..", "%2e%2e", "..%2f", "%2f", "\\", "%5c", "%00", "%0a", "~", "CON", "etc/passwd"]
    pieces += ["%c0%ae", "%", "%zz", "%ff", ";", "*", "<script>".replace("<", "%3c"), "//", "."]
    for piece in pieces:
        for path in (
            f"/{piece}",
            f"/v1/jobs/{piece}",
            f"/v1/jobs/{piece}/stream",
            f"/health{piece}",
        ):
            answer = keyed.ask("GET", path, x_api_key=ALICE)
            assert answer.status == 404, path
            assert answer.headers["content-type"] == "application/json"
            assert keyed.ask("GET", path).status == 401, path
    for path in ("/%68ealth", "/health/", "//health", "/v1/../health", "/%2fhealth", "/./"):
        assert keyed.ask("GET", path).status == 401, path
        assert keyed.ask("GET", path, x_api_key=ALICE).status == 404, path


def test_answers_tell_browsers_to_be_careful(keyed: Served) -> None:
    page = "%3Cscript%3Ealert(1)%3C/script%3E"
    for path in ("/health", f"/v1/jobs/{page}", "/v1/jobs"):
        headers = keyed.ask("GET", path, x_api_key=ALICE).headers
        assert headers["content-type"] == "application/json"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]


def test_limits_are_published(keyed: Served) -> None:
    limits = keyed.ask("GET", "/v1/capabilities", x_api_key=ALICE).json()["limits"]
    assert limits["steps"] == 1_000
    assert limits["jobs_per_key"] == 16
    assert limits["bodies_in_flight_bytes"] == 256 << 20
    assert limits["header_s"] == 10
    assert limits["connections"] == 1_024


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_a_message_is_one_line_whatever_is_in_it(formatter: logging.Formatter) -> None:
    text = "a\nb\r\x1b[31m\x00\x7f\x85\u2028\u202e\u00e9\ud800"
    token = REQUEST_ID.set("id-1")
    try:
        try:
            raise ValueError(text)
        except ValueError:
            record = logging.LogRecord("x", 20, "f", 1, "%s", (text,), sys.exc_info())
        written = formatter.format(record)
    finally:
        REQUEST_ID.reset(token)
    shown = r"a\nb\r\x1b[31m\x00\x7f\x85\u2028\u202e" + "\u00e9" + r"\ud800"
    if isinstance(formatter, JsonFormatter):
        assert "\n" not in written
        entry = json.loads(written)
        assert (entry["message"], entry["request_id"], entry["level"]) == (shown, "id-1", "info")
        assert entry["trace"][0].startswith("Traceback")
    else:
        first, *trace = written.split("\n")
        assert first.endswith(f"INFO [id-1] {shown}")
        assert trace
        assert all(line.startswith("    ") for line in trace)


@pytest.fixture(scope="module")
def certificate(folder: Path) -> tuple[Path, Path]:
    chain, key = folder / "chain.pem", folder / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-out", str(chain), "-keyout", str(key), "-days", "2"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command = ["openssl", "req", "-x509", *kind, *subject, *files]
    subprocess.run(command, check=True, capture_output=True)
    return chain, key


def test_https(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    chain, key = certificate
    trusting = ssl.create_default_context(cafile=str(chain))
    for served in serve(tmp_path, "shapes", "--tls-cert", str(chain), "--tls-key", str(key)):
        for path, status in (("/health", 200), ("/v1/nothing", 404)):
            connection = http.client.HTTPSConnection("localhost", served.port, context=trusting)
            connection.request("POST" if status == 404 else "GET", path, b"x" * 300_000)
            answer = connection.getresponse()
            assert answer.status == status
            answer.read()
            connection.close()
        assert "listening on https://" in served.log.read_text()
        with socket.create_connection(("127.0.0.1", served.port)) as plain:
            plain.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert plain.recv(65536) == b""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--tls-key", "KEY"], "--tls-key needs --tls-cert"),
        (["--tls-cert", "KEY"], "[tls_cert]"),
        (["--api-key-file", "EMPTY"], "expected name:key lines"),
        (["=shapes"], "expected MODEL or NAME=MODEL but got '=shapes'"),
        (["mine="], "expected MODEL or NAME=MODEL but got 'mine='"),
        (["--queue", "0"], "'--queue'"),
        (["--max-batch", "0"], "'--max-batch'"),
    ],
)
def test_a_bad_start_is_told(
    certificate: tuple[Path, Path],
    tmp_path: Path,
    options: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").touch()
    files = {"KEY": str(certificate[1]), "EMPTY": str(tmp_path / "empty")}
    assert run(["serve", "--port", "0", *(files.get(option, option) for option in options)]) == 2
    assert told in capsys.readouterr().err


def texts(png: bytes) -> dict[str, str]:
    with PIL.Image.open(io.BytesIO(png)) as picture:
        picture.load()
        return {name: str(text) for name, text in picture.text.items()}  # type: ignore[attr-defined]


def test_pictures_say_what_made_them_unless_told_otherwise(tmp_path: Path) -> None:
    made = sdrbee.load("shapes").generate("a red star", steps=1, seed=1)
    marked, bare = encode_png(made, "shapes"), encode_png(made, "shapes", strip=True)
    source = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    assert f'Iptc4xmpExt:DigitalSourceType="{source}"' in texts(marked)["XML:com.adobe.xmp"]
    ElementTree.fromstring(texts(marked)["XML:com.adobe.xmp"])
    assert texts(bare) == {}
    for png in (marked, bare):
        assert np.array_equal(np.asarray(sdrbee.Image(png)), np.asarray(made))
        assert png in (encode_png(made, "shapes"), encode_png(made, "shapes", strip=True))
    (tmp_path / "marked.png").write_bytes(marked)
    again = sdrbee.replay(tmp_path / "marked.png")
    assert np.array_equal(np.asarray(again), np.asarray(made))


def test_metadata_is_stripped_on_request(tmp_path: Path, worker: Served) -> None:
    def result(served: Served) -> bytes:
        return base64.b64decode(served.events(served.submit("a red star", steps=1))[-1]["image"])

    assert "XML:com.adobe.xmp" in texts(result(worker))
    for stripping in serve(tmp_path, "shapes", "--strip-metadata"):
        assert texts(result(stripping)) == {}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_the_service_file_is_one_of_systemd() -> None:
    unit = Path(__file__).parents[3] / "packaging" / "sdrbee.service"
    done = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
    )
    problems = [line for line in done.stderr.splitlines() if "/opt/sdrbee/bin" not in line]
    assert problems == []
