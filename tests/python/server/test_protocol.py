"""Malformed HTTP over raw sockets: answered or not, and the worker goes on."""

from __future__ import annotations

import contextlib
import json
import logging
import random
import re
import socket
from collections import Counter
from collections.abc import Iterator

import pytest
from server.raw_http import CHUNKED, GET, LAST, LIMITS, POST, Echo, answers, read_all, run


@pytest.fixture(scope="module")
def patient() -> Iterator[Echo]:
    """With the limits as they are; no test waits for one."""
    yield from run(LIMITS)


@pytest.fixture
def echo(patient: Echo, caplog: pytest.LogCaptureFixture) -> Iterator[Echo]:
    patient.seen.clear()
    yield patient
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    # Whatever the test did, the next connection is served.
    assert patient.ask(LAST) == [(200, b'{"length": 0}')]


# A request inside a body: nobody may ever answer it.
INNER = b"GET /inner HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 5\r\ntransfer-encoding: chunked",
        b"transfer-encoding: chunked\r\ncontent-length: 5",
        b"content-length: 5\r\ncontent-length: 6",
        b"content-length: 5, 6",
        b"content-length: +5",
        b"content-length: -5",
        b"content-length: 0x5",
        b"content-length: 5 5",
        b"content-length: 5.0",
        b"content-length: 5_0",
        b"content-length: \xb2",
        b"content-length:",
        b"content-length: 999999999999999999999999",
        b"content-length : 5",
        b"content-length\t: 5",
        b" content-length: 5",
        b"x: y\r\n\tz",
        b"x: y\ncontent-length: 5",
        b"transfer-encoding:\r\n chunked",
        b"transfer-encoding: chunked\n",
        b"content-length: \x0b5",
        b"content-length: 5\x00",
        b"content-length: 5\r",
        b"transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        b"transfer-encoding: chunked, chunked",
        b"transfer-encoding: chunked, identity",
        b"transfer-encoding: identity",
        b"transfer-encoding: xchunked",
        b"transfer-encoding: gzip, chunked",
        b"transfer-encoding: \x0bchunked",
        b'transfer-encoding: "chunked"',
        b"transfer-encoding : chunked",
        b"transfer-encoding:",
        b"transfer_encoding: chunked\x00",
        b"trans\x00fer-encoding: chunked",
        b"x: y\rtransfer-encoding: chunked",
        b"x: y\r\r\n",
        b"no colon",
        b": no name",
        b"host: b",
        b"x: \x00",
        b"(x): y",
    ],
)
def test_a_bad_header_is_refused_and_ends_the_connection(echo: Echo, head: bytes) -> None:
    body = b"5\r\nhello\r\n0\r\n\r\n" + INNER
    [(status, told)] = echo.ask(POST + head + b"\r\n\r\n" + body)
    assert status == 400
    assert json.loads(told)["error"]["code"] == "bad_request"
    assert echo.seen == []


@pytest.mark.parametrize(
    "line",
    [
        b"GET http://a/x HTTP/1.1",
        b"GET * HTTP/1.1",
        b"CONNECT a:80 HTTP/1.1",
        b"GET x HTTP/1.1",
        b"GET  /x HTTP/1.1",
        b"GET /x  HTTP/1.1",
        b"GET /x",
        b"GET /x HTTP/1",
        b"GET /x http/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET /x\x00 HTTP/1.1",
        b"GET /x y HTTP/1.1",
        b"G(T /x HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01",
        b"",
    ],
)
def test_a_bad_request_line_is_refused(echo: Echo, line: bytes) -> None:
    [(status, _)] = echo.ask(line + b"\r\nhost: a\r\n\r\n" + INNER)
    assert status == 400
    assert echo.seen == []


def test_a_host_is_there_once(echo: Echo) -> None:
    for head in (b"", b"host: a\r\nhost: a\r\n"):
        assert echo.ask(b"GET /x HTTP/1.1\r\n" + head + b"\r\n")[0][0] == 400
    assert echo.seen == []


@pytest.mark.parametrize(
    "body",
    [
        b"z\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5\rhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"4\r\nhello\r\n0\r\n\r\n",
        b"6\r\nhello\r\n0\r\n\r\n",
        b"\r\n\r\n",
        b"111111111111111111111\r\nhello\r\n0\r\n\r\n",
        b"5;" + b"x" * 70_000,
        b"0\r\nno colon\r\n\r\n",
        b"".join(b"1\r\na\r\n" for _ in range(3_000)) + b"0\r\n\r\n",
    ],
)
def test_bad_chunks_are_refused_and_never_another_request(echo: Echo, body: bytes) -> None:
    [(status, _)] = echo.ask(CHUNKED + body + INNER)
    assert status == 400
    assert set(echo.seen) <= {("POST", "/x")}


def test_good_bodies_of_both_kinds(echo: Echo) -> None:
    chunks = b"5\r\nhello\r\n3;name=value\r\nyou\r\n0\r\nx: y\r\n\r\n"
    twice = POST + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello"
    assert echo.ask(CHUNKED + chunks, twice, LAST) == [
        (200, b'{"length": 8}'),
        (200, b'{"length": 5}'),
        (200, b'{"length": 0}'),
    ]


def test_one_byte_at_a_time(echo: Echo) -> None:
    request = CHUNKED + b"5\r\nhello\r\n1\r\nx\r\n0\r\n\r\n"
    with echo.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request + LAST:
            connection.sendall(bytes([byte]))
        assert answers(read_all(connection))[0] == (200, b'{"length": 6}')


def test_any_byte_in_any_place_of_a_header_leaves_the_worker_alive(echo: Echo) -> None:
    """Every byte at every position of name, value, target and version."""
    template = b"GET /x HTTP/1.1\r\nhost: a\r\nx-key: v\r\nconnection: close\r\n\r\n"
    positions = (0, 5, 12, template.index(b"-key"), template.index(b": v"), template.index(b"v\r"))
    for position in positions:
        for byte in range(256):
            request = bytearray(template)
            request[position] = byte
            found = echo.ask(bytes(request), half_close=byte in b"\r\n")
            assert [status for status, _ in found] in ([200], [400]), (position, byte)


def test_requests_in_a_row_are_answered_in_a_row(echo: Echo) -> None:
    body = POST + b"content-length: %d\r\n\r\n" % len(INNER) + INNER
    found = echo.ask(GET + body + GET + LAST + INNER)
    assert [status for status, _ in found] == [200] * 4
    assert found[1][1] == b'{"length": %d}' % len(INNER)
    assert echo.seen == [("GET", "/x"), ("POST", "/x"), ("GET", "/x"), ("GET", "/last")]


def test_a_body_that_nobody_reads_closes_the_connection(echo: Echo) -> None:
    """The client may send on, gets its answer, and nothing of the body is a request."""
    head = b"POST /unread HTTP/1.1\r\nhost: a\r\ncontent-length: 3000000\r\n\r\n"
    with echo.connect() as connection:
        connection.sendall(head)
        connection.sendall((INNER * 100_000)[:3_000_000])
        received = read_all(connection)
    assert b"\r\nconnection: close\r\n" in received.lower()
    assert [status for status, _ in answers(received)] == [200]
    assert echo.seen == [("POST", "/unread")]


def test_a_client_that_waits_for_100_gets_it_or_the_answer(echo: Echo) -> None:
    head = b"host: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n"
    with echo.connect() as connection:
        connection.sendall(b"POST /x HTTP/1.1\r\n" + head)
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")
        connection.sendall(b"hello" + LAST)
        assert answers(read_all(connection))[0] == (200, b'{"length": 5}')
    with echo.connect() as connection:
        connection.sendall(b"POST /unread HTTP/1.1\r\n" + head)
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "request_",
    [GET[:-2], b"G", POST + b"content-length: 5\r\n\r\nhel", CHUNKED + b"5\r\nhel", CHUNKED],
)
def test_a_request_that_stops_is_refused(echo: Echo, request_: bytes) -> None:
    assert [status for status, _ in echo.ask(request_, half_close=True)] == [400]


def send_changed(echo: Echo, seed: int, count: int) -> Counter[int]:
    """Requests with bytes changed, left out, doubled and moved: each connection comes to its end,
    and what reaches the application is a request. How often each status was answered."""
    source, statuses = random.Random(seed), Counter[int]()
    whole = CHUNKED + b"5\r\nhello\r\n0\r\n\r\n" + GET + POST + b"content-length: 3\r\n\r\nabc"
    odd = [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b",", b"\xff", b"0", b"-"]
    odd += [b"content-length: 9\r\n", b"transfer-encoding: chunked\r\n", b"HTTP/1.0", b"%00"]
    odd += [b"expect: 100-continue\r\n", b"connection: close\r\n", b"connection: upgrade\r\n"]
    for _ in range(count):
        request = bytearray(whole)
        for _ in range(source.randint(1, 4)):
            start = source.randrange(len(request))
            request[start : start + source.choice([0, 0, 1, 2, 9])] = source.choice(odd)
        cut = source.randrange(len(request))
        with echo.connect() as connection, contextlib.suppress(ConnectionResetError):
            connection.sendall(request[:cut])
            connection.sendall(request[cut:])
            connection.shutdown(socket.SHUT_WR)
            statuses.update(status for status, _ in answers(read_all(connection)))
    assert set(statuses) <= {200, 400}
    for method, path in echo.seen:
        assert re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", method)
        assert path.startswith("/")
    assert echo.ask(LAST) == [(200, b'{"length": 0}')]
    return statuses


def test_changed_requests_never_hurt(echo: Echo) -> None:
    assert set(send_changed(echo, seed=3, count=400)) == {200, 400}
