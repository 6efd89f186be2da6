"""One HTTP request to an authority or a witness: bounded in size and in time, whatever the other side does.

Guarantees: returns within `timeout_s`, or a little later, also if the other side sends a byte now and then. Follows
no redirect, keeps nothing, and uses TLS's system trust for ``https``.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Timer
from urllib.parse import SplitResult, urlsplit

from exchange.errors import Misconfigured, Unavailable

TIMEOUT_S = 10.0
OK = 200


def post(url: str, body: bytes, kind: str, expected: str | None, bytes_max: int, timeout_s: float = TIMEOUT_S) -> bytes:
    """Post `body` of the media type `kind`; the answer's body, of the media type `expected` (None: any).

    Raises: Unavailable ``attestor.unavailable``; Misconfigured: no such URL.
    """
    status, found, data = exchange_once(url, body, kind, bytes_max, timeout_s)
    if status != OK or (expected is not None and found != expected):
        raise Unavailable("attestor.unavailable", f"{url}: {status} {found}"[:200])
    return data


def exchange_once(
    url: str, body: bytes, kind: str, bytes_max: int, timeout_s: float = TIMEOUT_S
) -> tuple[int, str, bytes]:
    """Post `body`; the answer's status, media type and body. Raises as `post`."""
    parts = address(url)
    host = parts.hostname or ""
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    made: HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        made = HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)
    else:
        made = HTTPConnection(host, parts.port, timeout=timeout_s)
    try:
        with contextlib.closing(made) as connection, _cut_after(connection, timeout_s):
            connection.request("POST", path, body, {"Content-Type": kind, "Connection": "close"})
            answer = connection.getresponse()
            data = answer.read(bytes_max + 1)
            if len(data) > bytes_max:
                raise Unavailable("attestor.unavailable", f"{url}: more than {bytes_max} bytes"[:200])
            return answer.status, answer.headers.get_content_type(), data
    except (OSError, HTTPException, ValueError) as exc:
        raise Unavailable("attestor.unavailable", f"{url}: {exc!r}"[:300]) from exc


def address(url: str) -> SplitResult:
    """The parts of an http(s) address; Misconfigured if it is none, or holds a password."""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in {"http", "https"} and parts.hostname and parts.username is None and parts.port != 0
    except ValueError:  # a port that is no number
        is_one = False
    if not is_one:
        raise Misconfigured([f"no http(s) address without a password in it: {url[:200]!r}"])
    return parts


@contextmanager
def _cut_after(connection: HTTPConnection, timeout_s: float) -> Iterator[None]:
    """Cut the line when the time is over: a timeout of the socket alone begins anew with every byte."""

    def cut() -> None:
        with contextlib.suppress(OSError, AttributeError):  # not connected yet: the socket's own timeout holds
            connection.sock.shutdown(socket.SHUT_RDWR)

    timer = Timer(timeout_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
