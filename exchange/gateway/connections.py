"""One connection: uvicorn's HTTP/1.1 with an end to its patience, a problem for what is no HTTP, and the client's
certificate.

Guarantees: from a connection's opening, and from the first byte of each later request, its head has `HEAD_S` to come
(uvicorn waits for ever for one that drips: slow loris). Bodies have bounds of their own (`exchange.gateway.bodies`).
What can't be read as HTTP is answered by the problem ``request.malformed``, and the connection ends. An answer's
head and body leave together.

Source: RFC 9112 §2.2; RFC 9457; CWE-400.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, BaseTransport, TimerHandle, Transport
from hashlib import sha256
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from exchange.gateway import problems

HEAD_S = 20.0

PEER = "peer"
"""In the state of a request: SHA-256 of the client's certificate."""


class _Corked:
    """A transport that sends what is written within one turn of the loop at once: a head with its body.

    uvicorn writes them one after the other, which is two system calls, two packets, and the client woken twice.
    """

    def __init__(self, transport: Transport, loop: AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  everything else is the transport's
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send it soon."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)

    def close(self) -> None:
        """Send what is held, and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held = b"".join(self._held), []
        if held and not self._transport.is_closing():
            self._transport.write(held)


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
        self.transport = cast(Transport, _Corked(self.transport, self.loop))
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
