"""Downloading one file: resumable, checked, and never half there."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from tqdm import tqdm

from sdrbee.hub.errors import NeedsKey, NotThere, PullError

WEIGHT_SUFFIXES = (".safetensors", ".gguf")

_TRIES = 6
_FIRST_PAUSE_S = 0.5
_TIMEOUT_S = 60.0
_PIECE = 1 << 20


class _Again(Exception):
    """What went wrong may go well at the next try."""


class _NothingLeft(Exception):
    """The file has no bytes behind those that are here."""


def check_weights(name: str) -> None:
    """Raises PullError for files that are no weights or run code when they are loaded."""
    if not name.lower().endswith(WEIGHT_SUFFIXES):
        raise PullError(
            f"[pull] expected a .safetensors or .gguf file but got {name}; pickle files (.ckpt, "
            ".pt, .bin) can run code when they are loaded and are not pulled. Fetch such a file "
            "yourself where you trust it: `sdrbee show FILE` says how to convert it"
        )


def quiet_or_bar(progress: bool, **options: Any) -> tqdm[Any]:
    """A bar of bytes on stderr, or none."""
    return tqdm(unit="B", unit_scale=True, disable=not progress, **options)


def fetch_json(url: str, headers: Mapping[str, str], limit: int = 4 << 20) -> bytes:
    """The body of a small answer.

    Raises:
        PullError: There is none, or it is larger than `limit` bytes.
    """
    for attempt in range(_TRIES):
        try:
            with _open(url, headers) as answer:
                body: bytes = answer.read(limit + 1)
            if len(body) > limit:
                raise PullError(f"[pull] the answer of {url} is longer than {limit} bytes")
            return body
        except _Again as reason:
            _pause(attempt, url, reason)
    raise AssertionError


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    headers: Mapping[str, str] | None = None,
    progress: bool = False,
) -> None:
    """Downloads a file; what an earlier try left behind is gone on with.

    Args:
        url: Where it is. `headers` do not follow a redirection to another host.
        target: Where it goes, once it is whole.
        sha256: What its hash must be, where that is known.
        headers: To be sent with the request.
        progress: Shows a bar.

    Raises:
        PullError: It could not be had, or is not what it should be.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    with part.open("ab") as file, quiet_or_bar(progress, desc=target.name) as bar:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PullError(f"[pull] another process is downloading {target}") from None
        if sha256 is None:  # nothing would tell that the rest belongs to another file
            file.truncate(0)
        for attempt in range(_TRIES):
            before = file.tell()
            try:
                _go_on(url, headers or {}, file, bar)
                break
            except _NothingLeft:
                break
            except _Again as reason:
                _pause(0 if file.tell() > before else attempt, url, reason)
        else:
            raise PullError(f"[pull] {url} was cut off {_TRIES} times; pull again to go on")
        _check(part, sha256)
        os.fsync(file.fileno())
    part.replace(target)


def hash_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _check(part: Path, sha256: str | None) -> None:
    if sha256 is None or hash_of(part) == sha256.lower():
        return
    part.unlink()
    raise PullError(
        f"[pull] expected a file with SHA-256 {sha256.lower()} but got another one; it was damaged "
        "on its way or changed by its publisher: pull again"
    )


def _go_on(url: str, headers: Mapping[str, str], file: IO[bytes], bar: tqdm[Any]) -> None:
    """The rest of the file, from where it ends on."""
    held = file.tell()
    ranged = {**headers, "Range": f"bytes={held}-"} if held else dict(headers)
    with _open(url, ranged, held) as answer:
        if held and answer.status != http.client.PARTIAL_CONTENT:
            file.truncate(0)
            file.seek(0)
            held = 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else held + int(length)
        _check_room(Path(file.name), None if length is None else int(length))
        bar.total, bar.n = total, held
        while piece := _read(answer):
            _write(file, piece)
            bar.update(len(piece))
        if total is not None and file.tell() < total:
            raise _Again(f"the connection ended after {file.tell()} of {total} bytes")


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read(_PIECE)
    except (http.client.HTTPException, OSError) as error:
        raise _Again(str(error) or type(error).__name__) from None


def _write(file: IO[bytes], piece: bytes) -> None:
    try:
        file.write(piece)
        file.flush()
    except OSError as error:
        raise _no_room(Path(file.name), error) from None


def _check_room(path: Path, needed: int | None) -> None:
    free = shutil.disk_usage(path.parent).free
    if needed is not None and needed > free:
        raise PullError(
            f"[pull] {needed} more bytes are needed in {path.parent} but {free} are free"
        )


def _no_room(path: Path, error: OSError) -> Exception:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    return PullError(
        f"[pull] the disk of {path.parent} is full; make room and pull again: it goes on from there"
    )


class _Redirections(urllib.request.HTTPRedirectHandler):
    """Keys stay with the host that they are for."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following is not None and urlsplit(newurl).netloc != urlsplit(req.full_url).netloc:
            following.remove_header("Authorization")
        return following


_opener = urllib.request.build_opener(_Redirections)


def _open(url: str, headers: Mapping[str, str], held: int = 0) -> http.client.HTTPResponse:
    if urlsplit(url).scheme not in ("http", "https"):
        raise PullError(f"[pull] expected an address of http or https but got {url}")
    request = urllib.request.Request(url, headers=dict(headers))
    try:
        answer: http.client.HTTPResponse = _opener.open(request, timeout=_TIMEOUT_S)
        return answer
    except urllib.error.HTTPError as error:
        with error:
            raise _of_status(url, error, held) from None
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise _Again(str(getattr(error, "reason", error))) from None


def _of_status(url: str, error: urllib.error.HTTPError, held: int) -> Exception:
    if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and held:
        return _NothingLeft()
    if error.code in (401, 403):
        return NeedsKey(f"[pull] {url} is not open to everyone (status {error.code})")
    if error.code in (404, 410):
        return NotThere(f"[pull] there is nothing at {url}")
    if error.code == 429 or error.code >= 500:
        return _Again(f"status {error.code}")
    return PullError(f"[pull] {url} answered with status {error.code}")


def _pause(attempt: int, url: str, reason: _Again) -> None:
    if attempt == _TRIES - 1:
        raise PullError(f"[pull] {url} cannot be reached: {reason}")
    time.sleep(_FIRST_PAUSE_S * 2**attempt)
