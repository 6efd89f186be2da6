"""The command line: `exchange …`. One module a group of commands; this one joins them and maps errors.

Exit codes: 0 done · 1 the answer is no · 2 misuse · 3 the world is not available.
"""

from __future__ import annotations

import logging
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from exchange.cli import (
    actions,
    agencies,
    archiving,
    asyncapi,
    auditing,
    backing_up,
    closing,
    console,
    dead_letters,
    demo,
    erasing,
    evidence,
    gateway,
    keys,
    ledger,
    observing,
    publishing,
    receiving,
    running,
    searching,
    services,
    setting_aside,
    simulating,
    throughput,
    torture,
    tracing,
    users,
)
from exchange.cli import world as worlds
from exchange.cli.output import explain, log_to_stderr
from exchange.errors import ExchangeError
from exchange.local.home import DEFAULT_HOME

app = typer.Typer(
    name="exchange",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Signed documents between a country's agencies: delivered once, traced, provable.\n\n"
    "Start here: `exchange demo`.\n\n"
    "Exit codes: 0 done, 1 the answer is no, 2 misuse, 3 the world is not available.",
)

services.register(app)
backing_up.register(app)
app.add_typer(agencies.app, name="agency")
app.add_typer(keys.app, name="keys")
app.add_typer(users.app, name="user")
actions.register(app)
publishing.register(app)
receiving.register(app)
tracing.register(app)
searching.register(app)
throughput.register(app)
running.register(app)
observing.register(app)
setting_aside.register(app)
app.add_typer(dead_letters.app, name="dead-letters")
gateway.register(app)
console.register(app)
asyncapi.register(app)
simulating.register(app)
auditing.register(app)
closing.register(app)
archiving.register(app)
erasing.register(app)
ledger.register(app)
evidence.register(app)
demo.register(app)
torture.register(app)
for connector in sorted(entry_points(group="exchange.commands"), key=lambda one: one.name):
    app.add_typer(connector.load(), name=connector.name)


@app.callback()
def options(
    context: typer.Context,
    home: Annotated[
        Path, typer.Option(envvar="EXCHANGE_HOME", help="Folder of the embedded services, keys and files.")
    ] = DEFAULT_HOME,
    bootstrap_servers: Annotated[
        str | None, typer.Option(envvar="EXCHANGE_BOOTSTRAP_SERVERS", help="A real Kafka cluster instead.")
    ] = None,
    database_url: Annotated[
        str | None, typer.Option(envvar="EXCHANGE_DATABASE_URL", help="A real PostgreSQL server instead.")
    ] = None,
    object_store: Annotated[
        str | None, typer.Option(envvar="EXCHANGE_OBJECT_STORE", help="A real bucket instead: s3://bucket/prefix.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every step to standard error.")] = False,
) -> None:
    """Resolve the world once, before any command."""
    log_to_stderr(logging.INFO if verbose else logging.WARNING)
    context.obj = worlds.from_options(home, bootstrap_servers, database_url, object_store)


def main() -> None:
    """Run the command line; the console script."""
    try:
        app()
    except ExchangeError as exc:
        sys.exit(explain(exc))
    except KeyboardInterrupt:
        sys.exit(130)
