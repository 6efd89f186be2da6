"""`exchange console`: the pages for auditors and operators."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Annotated

import typer

from exchange.accounts.logins import Logins
from exchange.accounts.passwords import Passwords
from exchange.accounts.store import AccountStore
from exchange.agencies import DirectoryView
from exchange.backbone.actions import Actions
from exchange.backbone.hop import GROUP
from exchange.cli import attesting
from exchange.cli import world as worlds
from exchange.cli.accountable import By, who
from exchange.cli.dead_letters import present_of
from exchange.cli.evidence import exported
from exchange.cli.ledger import key_of
from exchange.cli.output import ERR
from exchange.cli.running import run_to_its_end
from exchange.cli.world import World
from exchange.errors import Misconfigured
from exchange.ledger.attesting import Ages
from exchange.local import services
from exchange.local.crew import CONSOLE_PORT, crew_status
from exchange.local.endpoint import endpoint
from exchange.local.progress import silent
from exchange.views.trace_path import Path as Way

if TYPE_CHECKING:
    from exchange.console import Deployment, Health, Session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("console")(console)


def console(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port, on this machine only.")] = CONSOLE_PORT,
    by: By = None,
    login: Annotated[bool, typer.Option(help="Let people log in by the accounts that `exchange user` makes.")] = False,
) -> None:
    """Show the exchange in a browser until Ctrl-C: what passes, what waits, documents, units, dead letters, history.

    Example: `exchange console`, then open http://127.0.0.1:8490/
    """
    world = worlds.of(context)
    if login and by is not None:
        raise typer.BadParameter("with --login, each look is recorded under the account's name", param_hint="--by")
    run_to_its_end(lambda: asyncio.run(_serve(world, port, None if login else who(by))))


async def _serve(world: World, port: int, name: str | None) -> None:
    try:
        from exchange.console import listen, serve  # the extra may be absent
    except ModuleNotFoundError as exc:
        problem = f"{exc.name} is missing: install the extra `console` (pip install 'exchange-backbone[console]')"
        raise Misconfigured([problem]) from exc
    with listen(port) as listener, endpoint(world.home, f"console-{port}"):
        ERR.print(f"The console is at http://127.0.0.1:{port}/. Ctrl-C stops it.", highlight=False)
        await serve(deployment_of(world, name), listener)


def deployment_of(world: World, name: str | None) -> Deployment:
    """The console's place in this world. `name`: who everybody is; None: people log in."""
    from exchange.console import Accounts, Deployment, Everybody, everything

    def directory() -> DirectoryView:
        world.directory_log.catch_up()
        return world.directory_log.directory.latest()

    def logins() -> Logins:
        store = AccountStore(world.database_url)
        store.prepare()
        return Logins(store, Actions(world.base), Passwords())

    lock = Lock()

    def ask(question: Callable[[DirectoryView], Session]) -> Session:
        with lock:
            return question(directory())

    return Deployment(
        base=lambda: world.base,
        database_url=lambda: world.database_url,
        directory=directory,
        trust=lambda: world.trust,
        keyed=world.layout.keyed,
        group=GROUP,
        processes=lambda: _processes(world),
        ages=lambda: _ages(world),
        evidence=lambda way: _evidence(world, way),
        present=lambda view: replace(present_of(world), view=view),
        entrance=Accounts(logins, ask) if name is None else Everybody(everything(name)),
        lock=lock,
    )


def _evidence(world: World, way: Way) -> bytes:
    """In a world of its own: it waits for the ledger, and reads the directory meanwhile."""
    apart = replace(world)
    try:
        return exported(apart, way, silent)
    finally:
        apart.directory_log.close()


def _processes(world: World) -> list[Health]:
    from exchange.console import Health

    rows = services.status(world.home) if world.is_embedded else []
    return [Health(p.name, p.state, p.resident_bytes, p.is_disk_full) for p in [*rows, *crew_status(world.home)]]


def _ages(world: World) -> Ages | None:
    return attesting.ages_of(world, key_of(world).verifier) if attesting.has_keys(world) else None
