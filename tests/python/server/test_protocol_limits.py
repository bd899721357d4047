"""Large, slow and idle HTTP over raw sockets, and many connections: each has its limit."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from server.raw_http import CHUNKED, GET, LAST, LIMITS, POST, Echo, answers, read_all, run


@pytest.fixture(scope="module")
def patient() -> Iterator[Echo]:
    """With the limits as they are; no test waits for one."""
    yield from run(LIMITS)


@pytest.fixture(scope="module")
def hasty() -> Iterator[Echo]:
    """With deadlines of a moment."""
    yield from run(replace(LIMITS, header_s=0.3, body_grace_s=0.3, idle_s=1))


@pytest.fixture
def echo(patient: Echo, caplog: pytest.LogCaptureFixture) -> Iterator[Echo]:
    patient.seen.clear()
    yield patient
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    # Whatever the test did, the next connection is served.
    assert patient.ask(LAST) == [(200, b'{"length": 0}')]


def test_sizes_of_the_header_are_limited(echo: Echo) -> None:
    def status(line: bytes, fields: bytes) -> int:
        [(found, _)] = echo.ask(line + b"host: a\r\nconnection: close\r\n" + fields + b"\r\n")
        return found

    def target(length: int) -> bytes:
        return b"GET /%s HTTP/1.1\r\n" % (b"x" * (length - len(b"GET / HTTP/1.1\r\n")))

    line = b"GET /x HTTP/1.1\r\n"
    assert status(target(LIMITS.request_line_bytes), b"") == 200
    assert status(target(LIMITS.request_line_bytes + 1), b"") == 414
    assert status(line, b"x: y\r\n" * (LIMITS.header_fields - 2)) == 200
    assert status(line, b"x: y\r\n" * (LIMITS.header_fields - 1)) == 431
    room = LIMITS.header_bytes - len(b"host: a\r\nconnection: close\r\nx: \r\n\r\n")
    assert status(line, b"x: %s\r\n" % (b"y" * room)) == 200
    assert status(line, b"x: %s\r\n" % (b"y" * (room + 1))) == 431
    assert status(line, b"x: %s" % (b"y" * 1_000_000)) == 431  # and it never ends


def test_a_slow_header_is_refused(hasty: Echo) -> None:
    with hasty.connect() as connection:
        connection.sendall(GET[:-2])
        assert read_all(connection).startswith(b"HTTP/1.1 408")
    with hasty.connect() as silent:
        assert read_all(silent) == b""
    with hasty.connect() as second:  # the deadline begins with the first byte of each request
        second.sendall(GET + GET[:9])
        assert [status for status, _ in answers(read_all(second))] == [200, 408]


def test_a_slow_body_is_refused(hasty: Echo) -> None:
    for head in (POST + b"content-length: 9\r\n\r\nhello", CHUNKED + b"5\r\nhel"):
        with hasty.connect() as connection:
            connection.sendall(head)
            assert read_all(connection).startswith(b"HTTP/1.1 408")


def test_an_idle_connection_is_closed(hasty: Echo) -> None:
    assert [status for status, _ in hasty.ask(GET)] == [200]


def test_a_client_that_hangs_up_early_is_forgotten(echo: Echo) -> None:
    for request in (b"", GET[:9], POST + b"content-length: 9\r\n\r\nhello", GET):
        connection = echo.connect()
        connection.sendall(request)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()


@pytest.mark.parametrize("limit", ["connections", "connections_per_address"])
def test_connections_are_limited(limit: str) -> None:
    for echo in run(replace(LIMITS, **{limit: 2})):
        held = [echo.connect() for _ in range(2)]
        for connection in held:
            connection.sendall(GET)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert [status for status, _ in echo.ask()] == [503]
        held.pop().close()
        while echo.connections.open > 1:
            time.sleep(0.01)
        assert echo.ask(GET[:-2], half_close=True)[0][0] == 400
        held.pop().close()


def test_one_address_may_have_many_connections_where_it_is_the_only_one() -> None:
    for echo in run(replace(LIMITS, connections_per_address=1), per_address=False):
        with echo.connect() as first, echo.connect() as second:
            for connection in (first, second):
                connection.sendall(GET)
                assert connection.recv(65536).startswith(b"HTTP/1.1 200")
