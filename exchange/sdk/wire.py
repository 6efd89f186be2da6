"""How a session reaches its gateway and waits: the one place where the client blocks.

`Direct` does so as plain functions do; `exchange.sdk.asynchronous` has another, for an event loop. Everything above is
written once, for both.

Source: RFC 9110; the client is httpx.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ParamSpec, Protocol, TypeVar

import httpx

CONNECT_S, ANSWER_S = 5.0, 100.0
CHUNK_BYTES = 1024 * 1024

P = ParamSpec("P")
T = TypeVar("T")

Body = bytes | Callable[[], Iterator[bytes]]
"""What to send; a stream is made anew for each attempt."""

Refusal = Callable[[httpx.Response], Exception]
"""The error for an answer of 400 or more."""


class Wire(Protocol):
    """A connection to a gateway. `url`: its address; `tls`: whom to trust, by default as the system does."""

    def __init__(self, url: str, tls: ssl.SSLContext | None) -> None: ...

    def request(self, method: str, path: str, body: Body, headers: Mapping[str, str], query: Any) -> httpx.Response:  # noqa: ANN401  as httpx takes it
        """One question, one answer, whatever its status. Raises: httpx.TransportError."""
        ...

    def stream(self, path: str, headers: Mapping[str, str], refusal: Refusal) -> Iterator[bytes]:
        """The bytes of a good answer as they come. Raises: httpx.TransportError; what `refusal` says."""
        ...

    def pause(self, seconds: float) -> None:
        """Wait."""
        ...

    def aside(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what keeps the disk busy for long."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


def settings(url: str, tls: ssl.SSLContext | None) -> dict[str, Any]:
    """What both of httpx's clients are made with."""
    return {
        "base_url": url,
        "timeout": httpx.Timeout(ANSWER_S, connect=CONNECT_S),
        "verify": True if tls is None else tls,
        "headers": {"user-agent": "exchange-sdk"},
    }


class Direct:
    """Waits where it is called."""

    def __init__(self, url: str, tls: ssl.SSLContext | None) -> None:
        self._client = httpx.Client(**settings(url, tls))

    def request(self, method: str, path: str, body: Body, headers: Mapping[str, str], query: Any) -> httpx.Response:  # noqa: ANN401
        """As `Wire` says."""
        content = body() if callable(body) else body
        return self._client.request(method, path, content=content or None, headers=headers, params=query)

    def stream(self, path: str, headers: Mapping[str, str], refusal: Refusal) -> Iterator[bytes]:
        """As `Wire` says."""
        with self._client.stream("GET", path, headers=headers) as answer:
            if answer.status_code >= 400:
                answer.read()
                raise refusal(answer)
            yield from answer.iter_bytes(CHUNK_BYTES)

    def pause(self, seconds: float) -> None:
        """As `Wire` says."""
        time.sleep(seconds)

    def aside(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `Wire` says."""
        return work(*args, **kwargs)

    def close(self) -> None:
        """As `Wire` says."""
        self._client.close()
