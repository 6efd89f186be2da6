"""The application: the addresses joined, every error a problem, and OpenAPI that says so."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exchange.gateway import problems
from exchange.gateway.figures import Figures
from exchange.gateway.ledger import HEADER, LiveLedger
from exchange.gateway.routes import attachments, drafts, inbox, ledger, lookups, submissions, tokens, uploads
from exchange.gateway.state import Gateway

VERSION = "1.0.0"
ABOUT = """
Signed documents between a country's agencies. Get an access token with your seal (`POST /v1/token`), or show its
certificate in the TLS handshake; store
attachments, submit signed records, read your inbox. Every error is an RFC 9457 problem with a stable `code`. Whatever
got no answer may be sent again: the same bytes count once.
"""


def create_app(gateway: Gateway) -> FastAPI:
    """The application of a gateway that runs."""
    app = FastAPI(
        title="Exchange gateway",
        version=VERSION,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        servers=[{"url": gateway.deployment.public_url}],
        redirect_slashes=False,
    )
    app.state.gateway = gateway
    for module in (tokens, drafts, submissions, attachments, uploads, inbox, lookups, ledger):
        app.include_router(module.router)
    problems.install(app)
    if gateway.ledger is not None:
        app.add_middleware(Checkpoints, ledger=gateway.ledger)
    app.add_middleware(Figures)
    described = _described(app.openapi())
    app.openapi = lambda: described  # type: ignore[method-assign]
    return app


class Checkpoints:
    """Adds the newest checkpoint to every answer."""

    def __init__(self, app: ASGIApp, ledger: LiveLedger) -> None:
        self._app = app
        self._ledger = ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does, with one header more."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and self._ledger.header:
                message["headers"] = [*message["headers"], (HEADER.encode(), self._ledger.header)]
            await send(message)

        await self._app(scope, receive, sent)


def _described(document: dict[str, Any]) -> dict[str, Any]:
    """Errors under their own media type, and without FastAPI's validation error, which we never send."""
    for address in document["paths"].values():
        for operation in address.values():
            if operation.get("security"):
                operation["security"].append({"client certificate": []})
            for status, response in operation["responses"].items():
                content = response.get("content", {})
                if status.startswith(("4", "5")) and "application/json" in content:
                    response["content"] = {problems.MEDIA_TYPE: content["application/json"]}
                if status in {"429", "503"}:
                    response["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds"}}
    schemes = document["components"].setdefault("securitySchemes", {})
    schemes["client certificate"] = {"type": "mutualTLS", "description": "The agency's seal; needs no token."}
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return document
