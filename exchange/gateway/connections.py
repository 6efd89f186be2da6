"""One connection: uvicorn's HTTP/1.1 with an end to its patience, a problem for what is no HTTP, and the client's
certificate.

Guarantees: from a connection's opening, and from the first byte of each later request, its head has `HEAD_S` to come
(uvicorn waits for ever for one that drips: slow loris). Bodies have bounds of their own (`exchange.gateway.bodies`).
What can't be read as HTTP is answered by the problem ``request.malformed``, and the connection ends.

Source: RFC 9112 §2.2; RFC 9457; CWE-400.
"""

from __future__ import annotations

from asyncio import BaseTransport, TimerHandle
from hashlib import sha256
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from exchange.gateway import problems

HEAD_S = 20.0

PEER = "peer"
"""In the state of a request: SHA-256 of the client's certificate."""


class Connection(H11Protocol):
    """What uvicorn makes for each connection."""

    _watch: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Look at the certificate once, for all requests of the connection; begin to wait for the first head."""
        super().connection_made(transport)  # type: ignore[arg-type]
        secured: Any = transport.get_extra_info("ssl_object")
        shown = secured.getpeercert(binary_form=True) if secured is not None else None
        if shown is not None:
            self.app_state = {**self.app_state, PEER: sha256(shown).digest()}
        self._begin()

    def data_received(self, data: bytes) -> None:
        """Begin to wait with the first byte of a head; its last one ends the waiting."""
        if not self._is_answering:
            self._begin()
        super().data_received(data)
        if self._is_answering:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._end()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer by a problem, and end the connection."""
        answer = problems.problem(400, "request.malformed")
        headers = [*answer.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event))
        self.transport.close()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _begin(self) -> None:
        if self._watch is None:
            self._watch = self.loop.call_later(HEAD_S, self.transport.close)

    def _end(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
