"""What the gateway gives Prometheus of each request: address, status, duration. No caller, no path as it was sent."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exchange import metrics

UNKNOWN = "none"
"""The route of an address that isn't ours."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Figures:
    """Counts every answer, by the address as OpenAPI spells it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does; without an answer, because the client went away, the status is 0."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            route: str = getattr(scope.get("route"), "path", UNKNOWN)
            method = scope["method"] if scope["method"] in METHODS else UNKNOWN
            metrics.GATEWAY_REQUESTS.labels(method, route, str(status)).inc()
            metrics.GATEWAY_SECONDS.add(route, time.monotonic() - began, 1)
