"""A server that speaks what pulling needs of Hugging Face and Civitai, with their faults."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"

# Files of this size and more are told with their SHA-256, as those in Git LFS are.
LARGE = 4096


@dataclass
class Publisher:
    """What the server has, and what goes wrong."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    versions: dict[int, dict[str, Any]] = field(default_factory=dict)
    downloads: dict[int, bytes] = field(default_factory=dict)
    cut_after: dict[str, int] = field(default_factory=dict)
    """By name of a file: the first answer ends after so many bytes."""
    statuses: dict[str, list[int]] = field(default_factory=dict)
    """By path: statuses of the first answers."""
    told_hash: dict[str, str] = field(default_factory=dict)
    """By name of a file: a hash that is not its own."""
    key: str | None = None
    """What Civitai's downloads want as a Bearer."""
    elsewhere: str | None = None
    """Where Civitai's downloads are redirected to."""
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path and headers of all requests."""

    def ranges(self, name: str) -> list[str | None]:
        """The ranges that were asked for of a file."""
        return [
            headers.get("range")
            for method, path, headers in self.asked
            if method == "GET" and path.endswith(name)
        ]


@contextmanager
def serving(publisher: Publisher) -> Iterator[str]:
    """Runs the server; its address."""

    class Handler(_Handler):
        said = publisher

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    said: Publisher
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.said.asked.append((self.command, path, headers))
        if self.said.statuses.get(path):
            return self._send(self.said.statuses[path].pop(0), b"")
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self._tell_repository("/".join(parts[2:4]), parts[-1])
        if parts[:3] == ["api", "v1", "model-versions"]:
            return self._tell_version(int(parts[3]))
        if parts[:3] == ["api", "download", "models"]:
            return self._give_version(int(parts[3]))
        if len(parts) > 4 and parts[2] == "resolve":
            return self._give_file("/".join(parts[:2]), "/".join(parts[4:]))
        return self._send(404, b"")

    def _tell_repository(self, name: str, revision: str) -> None:
        files = self.said.repositories.get(name)
        if files is None:
            return self._send(401, b"", {"X-Error-Code": "RepoNotFound"})
        if revision not in ("main", COMMIT):
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        told = {"id": name, "modelId": name, "sha": COMMIT, "siblings": [
            self._sibling(file, data) for file, data in files.items()
        ]}  # fmt: skip
        return self._send(200, json.dumps(told).encode())

    def _sibling(self, name: str, data: bytes) -> dict[str, Any]:
        told = {"rfilename": name, "size": len(data), "blobId": _blob_id(data)}
        if len(data) >= LARGE:
            sha256 = self.said.told_hash.get(name, hashlib.sha256(data).hexdigest())
            told["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 130}
        return told

    def _give_file(self, repository: str, name: str) -> None:
        data = self.said.repositories.get(repository, {}).get(name)
        if data is None:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        large = len(data) >= LARGE
        etag = hashlib.sha256(data).hexdigest() if large else _blob_id(data)
        return self._send_part(
            name, data, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        )

    def _tell_version(self, number: int) -> None:
        version = self.said.versions.get(number)
        return self._send(404 if version is None else 200, json.dumps(version).encode())

    def _give_version(self, number: int) -> None:
        if self.said.elsewhere is not None:
            return self._send(302, b"", {"Location": f"{self.said.elsewhere}{self.path}"})
        if self.said.key and self.headers.get("Authorization") != f"Bearer {self.said.key}":
            return self._send(401, b"")
        return self._send_part(str(number), self.said.downloads[number], {})

    def _send_part(self, name: str, data: bytes, headers: dict[str, str]) -> None:
        start, wanted = 0, self.headers.get("Range")
        if wanted:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            if start >= len(data):
                return self._send(416, b"")
        cut = self.said.cut_after.pop(name, None) if self.command == "GET" else None
        return self._send(206 if wanted else 200, data[start:], headers, cut)

    def _send(
        self,
        status: int,
        data: bytes,
        headers: dict[str, str] | None = None,
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[:cut])
        if cut is not None:
            self.close_connection = True


def _blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
