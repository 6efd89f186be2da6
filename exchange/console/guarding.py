"""What stands before every page: whose requests are answered, and what a browser may do with the answers.

Guarantees: a request, of whatever sort, whose ``Host`` isn't a name of the console's, at any port (DNS rebinding), or
whose ``Origin`` isn't that same host (cross-site WebSocket hijacking; RFC 6455 §10.2), is refused unread, and so is
one that changes something and doesn't say where it comes from (cross-site request forgery). A
page loads nothing from elsewhere, isn't framed, and runs only scripts that bear its own nonce or are files of the
console's (Content Security Policy Level 3). Does not forbid ``eval``: Vue's compiler and NiceGUI need it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SCRIPT = re.compile(rb"<script(?=[\s>])")

_READING = frozenset({"GET", "HEAD"})
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # under no-referrer a form would say that it comes from nowhere
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]


def policy(nonce: str) -> str:
    """The Content-Security-Policy of a page with that nonce."""
    return (
        f"default-src 'none'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    )


class Guard:
    """An ASGI application before another. `names`: what ``Host`` may be, but for its port; `scheme`: of its address."""

    def __init__(self, app: ASGIApp, names: Iterable[str], scheme: str = "http") -> None:
        self._app = app
        self._names = frozenset(name.encode() for name in names)
        self._scheme = scheme.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on and seal what comes back."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif not self._is_own(scope["headers"], must_say=scope.get("method", "GET") not in _READING):
            await _refuse(scope["type"], send)
        elif scope["type"] == "http":
            await self._app(scope, receive, _Sealing(send))
        else:
            await self._app(scope, receive, send)

    def _is_own(self, headers: Iterable[tuple[bytes, bytes]], *, must_say: bool) -> bool:
        hosts = [value for name, value in headers if name == b"host"]
        origins = {value for name, value in headers if name == b"origin"}
        if len(hosts) != 1 or hosts[0].partition(b":")[0] not in self._names:
            return False
        own = {self._scheme + b"://" + hosts[0]}
        return origins == own or not (origins or must_say)


async def _refuse(kind: str, send: Send) -> None:
    if kind == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"request.foreign\n"})


class _Sealing:
    """Adds the headers to a response; of a page, it gathers the body and gives its scripts the nonce.

    Whatever text a page holds has its ``<`` escaped (NiceGUI's `HTML_ESCAPE_TABLE`, Jinja's autoescape), so each
    ``<script`` is the page's own; a test holds NiceGUI to it.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._nonce = secrets.token_urlsafe(16)
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message["headers"], *_HEADERS]
            headers.append((b"content-security-policy", policy(self._nonce).encode()))
            if any(name == b"content-type" and value.startswith(b"text/html") for name, value in headers):
                self._start = {**message, "headers": [pair for pair in headers if pair[0] != b"content-length"]}
            else:
                await self._send({**message, "headers": headers})
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                body = _SCRIPT.sub(f'<script nonce="{self._nonce}"'.encode(), bytes(self._body))
                start = {**self._start, "headers": [*self._start["headers"], (b"content-length", b"%d" % len(body))]}
                await self._send(start)
                await self._send({"type": "http.response.body", "body": body})
