"""`exchange gateway`: HTTP for participant systems."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exchange import metrics
from exchange.backbone.hop import GROUP
from exchange.cli import world as worlds
from exchange.cli.ledger import folder_of, key_of
from exchange.cli.output import ERR
from exchange.cli.running import run_to_its_end
from exchange.cli.world import World
from exchange.errors import InvariantBroken, Misconfigured
from exchange.local.endpoint import endpoint
from exchange.spans import exporting

if TYPE_CHECKING:
    from exchange.gateway import Deployment


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gateway")(gateway)


def gateway(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen on.")] = 8480,
    host: Annotated[str, typer.Option(help="Address to listen on; another than this needs TLS.")] = "127.0.0.1",
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain, PEM; needed outside a local demo.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    public_url: Annotated[str | None, typer.Option(help="What agencies call it; their assertions name it.")] = None,
) -> None:
    """Serve participant systems over HTTP until Ctrl-C.

    Example: `exchange gateway --port 8480`
    """
    world = worlds.of(context)
    run_to_its_end(lambda: asyncio.run(_serve(world, host, port, (tls_cert, tls_key), public_url)))


async def _serve(
    world: World, host: str, port: int, tls: tuple[Path | None, Path | None], public_url: str | None
) -> None:
    try:
        from exchange.gateway import Listening, serve  # the extra may be absent
    except ModuleNotFoundError as exc:
        problem = f"{exc.name} is missing: install the extra `gateway` (pip install 'exchange-backbone[gateway]')"
        raise Misconfigured([problem]) from exc
    listening = Listening(port, host, *tls)
    if listening.certificate is None and not world.is_embedded:
        raise Misconfigured(["only a local demo goes without TLS: give --tls-cert and --tls-key"])
    url = public_url or f"{listening.scheme}://{host}:{port}"
    ERR.print(
        f"The gateway is at {url}; OpenAPI at {url}/v1/openapi.json. Ctrl-C stops it.", highlight=False, soft_wrap=True
    )
    if listening.certificate is None:
        ERR.print(
            "Without TLS it listens on this machine only; --tls-cert and --tls-key open it.",
            highlight=False,
            soft_wrap=True,
        )
    try:
        name = f"gateway-{port}"
        with endpoint(world.home, name, metrics.GATEWAY), exporting(name):
            await serve(deployment_of(world, url), listening)
    except* InvariantBroken as group:
        raise _first(group) from group


def _first(group: BaseExceptionGroup[InvariantBroken]) -> InvariantBroken:
    """The bug, out of the groups it came in."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found if isinstance(found, InvariantBroken) else InvariantBroken(repr(found))


def deployment_of(world: World, public_url: str) -> Deployment:
    """The gateway's place in this world."""
    from exchange.gateway import Deployment, LedgerPlace

    authority = world.authority
    return Deployment(
        base=world.base,
        keyed=world.layout.keyed,
        inbox=world.layout.inbox,
        group=GROUP,
        registrar=authority.registrar_public_key,
        roots=[authority.root_certificate],
        backbone=authority.backbone.certificate,
        attachments=world.attachments,
        database_url=world.database_url,
        public_url=public_url,
        ledger=LedgerPlace(lambda: folder_of(world), key_of(world).verifier),
    )
