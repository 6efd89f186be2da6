"""Who may use the desk: whoever has the address with its token, in a browser on this machine, on the desk's own pages.

Guarantees: nothing is answered to another Host (DNS rebinding), nor without the cookie that the token is exchanged for;
nothing is changed by a request that comes from another page (Origin, Sec-Fetch-Site, a token in the form). Nothing on
a page comes from elsewhere, and no page can be framed (Content-Security-Policy).

Does not keep out another program of the same user, which could read the key as well.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import MutableMapping
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exchange.errors import Rejected

OPEN, STATIC, FIELD = "/open", "/static/", "form"
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with `no-referrer` a browser says of our own forms that their Origin is null
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Keeper:
    """The secrets of one run of the desk. `port`: where it listens on the loopback address."""

    def __init__(self, port: int) -> None:
        self.hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self.cookie = f"desk-{port}"
        self.token = secrets.token_urlsafe(32)
        self._session = secrets.token_urlsafe(32)
        self.form = secrets.token_urlsafe(32)
        """What a form of ours carries."""

    def opened(self, token: str) -> str | None:
        """The cookie's value for the address' token; None for another."""
        return self._session if hmac.compare_digest(token.encode(), self.token.encode()) else None

    def is_known(self, cookie: str) -> bool:
        """Whether the token was exchanged for this."""
        return hmac.compare_digest(cookie.encode(), self._session.encode())

    def require_form(self, value: object) -> None:
        """A form is one of ours; Rejected ``desk.form``."""
        if not isinstance(value, str) or not hmac.compare_digest(value.encode(), self.form.encode()):
            raise Rejected("desk.form", "not from this desk")


class Guarded:
    """The application behind the guard. `body_bytes`: the most that a request may bring."""

    def __init__(self, app: ASGIApp, keeper: Keeper, body_bytes: int) -> None:
        self._app = app
        self._keeper = keeper
        self._body_bytes = body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with the headers of the guard."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add(message, HEADERS)
            await send(message)

        no = self._refusal(Request(scope))
        await (self._app if no is None else PlainTextResponse(*no))(scope, receive, send_guarded)

    def _refusal(self, request: Request) -> tuple[str, int] | None:
        headers, path = request.headers, request.url.path
        if headers.get("host", "") not in self._keeper.hosts:
            return "421 another host", 421
        is_free = path == OPEN or path.startswith(STATIC)
        if not is_free and not self._keeper.is_known(request.cookies.get(self._keeper.cookie, "")):
            return "401 Hãy mở bằng địa chỉ mà lệnh `exchange desk` in ra. Use the address that it printed.", 401
        if request.method not in {"GET", "HEAD"}:
            origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
            if origin not in {f"http://{host}" for host in self._keeper.hosts} or site != "same-origin":
                return "403 another page", 403
            length = headers.get("content-length", "")
            if not (length.isascii() and length.isdigit()):
                return "411 a length is needed", 411
            if int(length[:15]) > self._body_bytes:
                return "413 too large", 413
        return None


def _add(message: MutableMapping[str, Any], headers: dict[str, str]) -> None:
    known = {name.lower() for name, _ in message["headers"]}
    more = [(name.encode(), value.encode()) for name, value in headers.items() if name.encode() not in known]
    message["headers"] = [*message["headers"], *more]
