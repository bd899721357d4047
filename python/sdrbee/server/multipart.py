"""Forms of uploads: multipart/form-data, parsed by python-multipart within limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from sdrbee.server.errors import ApiError
from sdrbee.server.limits import Limits

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_HEADER_BYTES = 8 * 1024  # of one part, all its headers together


@dataclass(slots=True)
class Form:
    """The parts of a form by their names, each name's in the order of the body."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[bytes]] = field(default_factory=dict)


def read_form(body: bytes, content_type: str, limits: Limits) -> Form:
    """Parses a whole body. Not for an event loop.

    Raises:
        ApiError: 400 for a form that is damaged or cut off, 413 for one with too many parts or a
            part with headers or text that are too long, 415 for another content type.
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise ApiError(
            415, "wrong_content_type", f"expected multipart/form-data but got {content_type!r:.80}"
        )
    boundary = options.get(b"boundary")
    if not boundary:
        raise _damaged("its content type names no boundary")
    if body.count(b"--" + boundary) > limits.form_parts + 1:
        raise ApiError(413, "too_large", f"expected a form of at most {limits.form_parts} parts")
    reader = _Reader(limits)
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise _damaged(str(error)) from None
    if not reader.ended:
        raise _damaged("it ends before its closing boundary")
    return reader.form


class _Reader:
    """Collects the parts that the parser tells of."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.form = Form()
        self.ended = False
        self._begin()

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._whole,
        }

    def _begin(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._header: list[bytes] = [b"", b""]
        self._header_bytes = 0
        self._name = ""
        self._is_file = False
        self._pieces: list[bytes] = []
        self._bytes = 0

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._add_to_header(0, data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._add_to_header(1, data[start:end])

    def _add_to_header(self, place: int, piece: bytes) -> None:
        self._header[place] += piece
        self._header_bytes += len(piece)
        if self._header_bytes > _HEADER_BYTES:
            raise ApiError(
                413, "too_large", f"expected headers of at most {_HEADER_BYTES} bytes in a part"
            )

    def _header_end(self) -> None:
        name, value = self._header
        self._headers[name.strip().lower()] = value
        self._header = [b"", b""]

    def _headers_finished(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"")
        if kind != b"form-data" or not name:
            raise _damaged("a part has no name")
        if self._headers.get(b"content-type", b"").strip().lower().startswith(b"multipart/"):
            raise _damaged("a part is a form of its own")
        self._name = name.decode("utf-8", "replace")
        self._is_file = b"filename" in options

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._bytes += end - start
        if not self._is_file and self._bytes > self._limits.form_text_bytes:
            most = self._limits.form_text_bytes
            raise ApiError(
                413,
                "too_large",
                f"[{self._name}] expected at most {most} bytes of text",
                field=self._name,
            )
        self._pieces.append(data[start:end])

    def _end(self) -> None:
        value = b"".join(self._pieces)
        if self._is_file:
            self.form.files.setdefault(self._name, []).append(value)
            return
        try:
            self.form.texts.setdefault(self._name, []).append(value.decode())
        except UnicodeDecodeError:
            raise _damaged(f"the text of {self._name!r:.80} is not UTF-8") from None

    def _whole(self) -> None:
        self.ended = True


def _damaged(why: str) -> ApiError:
    return ApiError(400, "bad_form", f"the body is not a form: {why}")
