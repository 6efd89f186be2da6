"""One post to the agency's address: guarded, timed, never redirected.

Guarantees: no connection but to an address of the public internet or of a network that was allowed: what the name
resolves to is checked, and that very address is connected to, so that a name that changes its mind between the two
gains nothing. No proxy, no cookie, no redirect. `post` ends within `post_s`, however slowly the receiver drips.

Source: RFC 9110 §10.2.3 (Retry-After); ipaddress' `is_global` (IANA's special-purpose registries).
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

import httpcore

from connectors.webhook.limits import Limits
from exchange.errors import Misconfigured, Rejected, Unavailable

Network = IPv4Network | IPv6Network
ABOUT_THIS_ONE = frozenset({400, 405, 406, 409, 410, 411, 413, 414, 415, 422})
"""Answers that say no to this item; whatever else isn't 2xx is the receiver's state, and passes."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to post. `allowed`: networks that may be connected to though they aren't public. `ca`: the issuer's PEM."""

    url: str
    allowed: tuple[Network, ...] = ()
    ca: str | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        problems = []
        if parts.scheme not in {"https", "http"} or not parts.hostname:
            problems.append(f"{self.url} is no https address")
        if parts.scheme == "http" and not self.allowed:
            problems.append("without TLS only a network that is allowed (--allow) can be posted to")
        if parts.username is not None or parts.password is not None or parts.fragment:
            problems.append("an address without user, password and fragment is needed")
        if not self.url.isascii() or not self.url.isprintable() or " " in self.url:
            problems.append("an address in ASCII is needed")
        if problems:
            raise Misconfigured(problems)


class Poster:
    """Posts to one target; for several threads."""

    def __init__(self, target: Target, limits: Limits) -> None:
        self._target = target
        self._limits = limits
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl.create_default_context(cafile=target.ca),
            max_connections=limits.at_once,
            keepalive_expiry=limits.silence_s,
            network_backend=_Guarded(target, limits),
        )

    def close(self) -> None:
        """End the connections."""
        self._pool.close()

    def post(self, headers: dict[str, str], body: Iterable[bytes]) -> None:
        """Post once; returned: the receiver has it (2xx).

        Raises: Rejected ``webhook.refused_NNN``: the receiver says no to this item; Unavailable
            ``webhook.answered_NNN``, ``webhook.unreachable``, ``webhook.too_slow``, ``webhook.address_forbidden``.
        """
        deadline = time.monotonic() + self._limits.post_s
        timeout = {"connect": self._limits.connect_s, "pool": self._limits.post_s}
        timeout |= dict.fromkeys(("read", "write"), self._limits.silence_s)
        extensions: dict[str, Any] = {"timeout": timeout}
        try:
            with self._pool.stream(
                "POST", self._target.url, headers=list(headers.items()), content=_until(body, deadline),
                extensions=extensions,
            ) as answer:  # fmt: skip
                said = self._read(answer)
        except (httpcore.TimeoutException, TimeoutError) as exc:
            raise Unavailable("webhook.too_slow", repr(exc)[:300]) from exc
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as exc:
            raise Unavailable("webhook.unreachable", repr(exc)[:300]) from exc
        status = answer.status
        if 200 <= status < 300:
            return
        detail = said.decode("utf-8", "replace")
        if status in ABOUT_THIS_ONE:
            raise Rejected(f"webhook.refused_{status}", detail)
        asked = {name.lower(): value for name, value in answer.headers}.get(b"retry-after", b"").decode("latin-1")
        raise Later(f"webhook.answered_{status}", detail, retry_after_s(asked, time.time()))

    def _read(self, answer: httpcore.Response) -> bytes:
        """The beginning of an error's body; nothing of a success'."""
        if 200 <= answer.status < 300:
            return b""
        read = b""
        for chunk in answer.iter_stream():
            read += chunk
            if len(read) >= self._limits.answer_bytes:
                break
        return read[: self._limits.answer_bytes]


class Later(Unavailable):
    """The receiver answered, but not now. `after_s`: how long it asked to be left alone; 0 if it didn't."""

    def __init__(self, code: str, detail: str, after_s: float) -> None:
        super().__init__(code, detail)
        self.after_s = after_s


def retry_after_s(text: str, now_s: float) -> float:
    """Seconds of a Retry-After, which is a number or a date; 0 for what is neither."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_s)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def is_allowed(text: str, allowed: tuple[Network, ...]) -> bool:
    """Whether an address may be connected to."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_allowed(str(inner), allowed)
    if any(address.version == network.version and address in network for network in allowed):
        return True
    return address.is_global and not address.is_multicast


class _Guarded(httpcore.NetworkBackend):
    """Connects to what is allowed only."""

    def __init__(self, target: Target, limits: Limits) -> None:
        self._target = target
        self._limits = limits
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as exc:
            raise httpcore.ConnectError(f"{host} has no address: {exc}") from exc
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        forbidden = [one for one in addresses if not is_allowed(one, self._target.allowed)]
        if forbidden:
            raise Unavailable("webhook.address_forbidden", f"{host} is {forbidden[0]}, see --allow")
        failure: Exception = httpcore.ConnectError(host)
        for address in addresses:
            try:
                stream = self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
                return _Timed(stream, self._limits.post_s)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                failure = exc
        raise failure

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.NetworkStream:
        raise httpcore.ConnectError("no sockets of this machine")

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Timed(httpcore.NetworkStream):
    """A connection on which one answer's headers can't be dripped for ever."""

    def __init__(self, inner: httpcore.NetworkStream, answer_s: float) -> None:
        self._inner = inner
        self._answer_s = answer_s
        self._asked = time.monotonic()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if time.monotonic() - self._asked > self._answer_s:
            raise httpcore.ReadTimeout("the answer drips")
        return self._inner.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._asked = time.monotonic()
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Timed(self._inner.start_tls(ssl_context, server_hostname, timeout), self._answer_s)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401  as httpcore has it
        return self._inner.get_extra_info(info)


def _until(body: Iterable[bytes], deadline: float) -> Iterator[bytes]:
    for chunk in body:
        if time.monotonic() > deadline:
            raise TimeoutError("the receiver reads too slowly")
        yield chunk
