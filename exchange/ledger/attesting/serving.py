"""A witness and a time-stamping authority over HTTP, both small: one request a connection, bounded in every way.

``POST /add-checkpoint`` is C2SP tlog-witness: 200 with the cosignature line; 400 malformed, 403 not the log's
signature, 404 another log, 409 with the size that it has seen, 422 inconsistent, 500 nothing was signed.
``POST /tsa`` is RFC 3161 §3.4.
"""

from __future__ import annotations

import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from threading import BoundedSemaphore, Timer
from typing import Any

from exchange.errors import Rejected, Unavailable
from exchange.ledger.stamps import TimeStamper
from exchange.ledger.stamps.asking import QUERY, REPLY
from exchange.ledger.witness import Witness, parse_request

BODY_BYTES_MAX = 128 * 1024
TIMEOUT_S = 10.0
AT_ONCE_MAX = 16
WITNESS_PATH, TSA_PATH = "/add-checkpoint", "/tsa"
TEXT, SIZE = "text/plain; charset=utf-8", "text/x.tlog.size"

_STATUS = {
    "witness.malformed": 400,
    "note.malformed": 400,
    "note.too_large": 400,
    "checkpoint.malformed": 400,
    "witness.unknown_log": 404,
    "witness.conflict": 409,
    "ledger.inconsistent": 422,
}
"""Of what a witness refuses; 403 for the rest, which is about signatures."""


class AttestorServer(ThreadingHTTPServer):
    """Serves a witness, a time-stamper, or both."""

    daemon_threads = True
    request_queue_size = 2 * AT_ONCE_MAX

    def __init__(self, address: tuple[str, int], witness: Witness | None, stamper: TimeStamper | None) -> None:
        self.witness = witness
        self.stamper = stamper
        self._places = BoundedSemaphore(AT_ONCE_MAX)
        super().__init__(address, _Handler)

    def process_request(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:  # noqa: ANN401
        """Take a connection in, unless there are too many."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:  # noqa: ANN401
        """Serve it, then make room for another."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is nobody's error."""


class _Handler(BaseHTTPRequestHandler):
    timeout = TIMEOUT_S
    server: AttestorServer

    def setup(self) -> None:
        """Cut the line when the time is over, however slowly the other side sends."""
        super().setup()
        self._cut = Timer(self.timeout, self._hang_up)
        self._cut.daemon = True
        self._cut.start()

    def finish(self) -> None:
        """Done, one way or the other."""
        self._cut.cancel()
        super().finish()

    def _hang_up(self) -> None:
        with suppress(OSError):  # it has gone already
            self.connection.shutdown(SHUT_RDWR)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and int(length[:9]) <= BODY_BYTES_MAX):
            self._answer(413, TEXT, b"")
            return
        body = self.rfile.read(int(length))
        if self.path == WITNESS_PATH and self.server.witness is not None:
            self._answer(*_cosigned(self.server.witness, body))
        elif self.path == TSA_PATH and self.server.stamper is not None:
            if self.headers.get_content_type() == QUERY:
                self._answer(200, REPLY, self.server.stamper.answer(body))
            else:
                self._answer(415, TEXT, b"")
        else:
            self._answer(404, TEXT, b"")

    def log_message(self, *_: object) -> None:
        """What strangers ask isn't worth a log."""

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def _cosigned(witness: Witness, body: bytes) -> tuple[int, str, bytes]:
    try:
        line = witness.add_checkpoint(parse_request(body), int(time.time()))
    except Rejected as exc:
        if exc.code == "witness.conflict":
            return 409, SIZE, f"{exc.detail}\n".encode()
        return _STATUS.get(exc.code, 403), TEXT, f"{exc.code}\n".encode()
    except Unavailable as exc:
        return 500, TEXT, f"{exc.code}\n".encode()
    return 200, TEXT, line.encode().encode()
