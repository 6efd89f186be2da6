"""`exchange run`: the stream processors; and the hidden commands that they are."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from functools import partial
from threading import Event
from typing import Annotated

import structlog
import typer

from exchange import metrics
from exchange.agencies import BACKBONE_CODE
from exchange.backbone.hop import Hop
from exchange.backbone.transaction import Probe
from exchange.backbone.verifying import Verifying
from exchange.cli import world as worlds
from exchange.cli.output import ERR, OUT, explain, print_json, table
from exchange.cli.world import World
from exchange.errors import ExchangeError, InvariantBroken
from exchange.local.crew import BUG, Crew, console_port, stop_crew
from exchange.local.endpoint import endpoint
from exchange.local.progress import on_terminal
from exchange.local.rolling import roll, succeed
from exchange.pipeline.books import TRACE
from exchange.pipeline.outputs import Rules
from exchange.signatures import sign_record
from exchange.spans import exporting
from exchange.views.throughput import ThroughputStore
from exchange.views.trace_projection import TraceProjection
from exchange.views.trace_store import TraceStore

WORKERS_MAX = 64

log = structlog.get_logger(__name__)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run")(run)
    app.command("roll")(roll_crew)
    app.command("worker", hidden=True)(worker)
    app.command("project", hidden=True)(project)
    app.command("count", hidden=True)(count)


def run(
    context: typer.Context,
    workers: Annotated[int, typer.Option(min=1, max=WORKERS_MAX, help="Workers of the hop.")] = 1,
    all_: Annotated[bool, typer.Option("--all", help="The console too, at port 8490 or the next free.")] = False,
    detach: Annotated[bool, typer.Option(help="Leave them running; `exchange down` stops them.")] = False,
) -> None:
    """Run the stream processors until Ctrl-C: the hop's workers, the trace store, the throughput.

    Example: `exchange run --workers 2 --all`
    """
    world = worlds.of(context)
    world.authority  # noqa: B018  fail now, not in every worker
    port = console_port() if all_ else None
    crew = Crew(world.home, options_of(world), workers, port)
    running = f"{workers} worker(s), the trace store and the throughput are running"
    if port is not None:
        running += f", and the console at http://127.0.0.1:{port}/"
    if detach:
        crew.start()
        OUT.print(f"{running}; `exchange down` stops them.", highlight=False)
        return
    stop = stop_on_signals()
    try:
        crew.start()
        OUT.print(f"{running}. Ctrl-C stops them.", highlight=False)
        crew.watch(stop)
    finally:
        stop_crew(world.home)


def roll_crew(context: typer.Context, json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Restart the stream processors one by one, while traffic flows: after a new version was installed.

    Each goes only once the one before is back at work. A worker's partitions wait for it, some seconds each. The
    console isn't among them: stop it and start it.

    Example: `pip install --upgrade exchange-backbone && exchange roll`
    """
    world = worlds.of(context)
    with on_terminal(ERR) as report:
        away = roll(world.home, Crew(world.home, options_of(world), WORKERS_MAX), report)
    if json:
        print_json({name: round(seconds, 3) for name, seconds in away.items()})
        return
    rows = [(name, f"{seconds:.1f}") for name, seconds in away.items()]
    table("Restarted", ("process", "away, s"), rows, right=("away, s",))


def worker(
    context: typer.Context,
    name: str,
    after: Annotated[int | None, typer.Option(help="End this process, once the directory is read; then begin.")] = None,
) -> None:
    """One worker of the hop, under the name that it keeps over restarts."""
    world = worlds.of(context)
    stop = stop_on_signals()

    def work() -> None:
        if after is not None:
            succeed(after, world.directory_log.catch_up)
        with endpoint(world.home, name, metrics.HOP), exporting(name):
            make_hop(world, name).run(stop)

    run_to_its_end(work)


def project(context: typer.Context) -> None:
    """The projection of the trace into PostgreSQL."""
    world = worlds.of(context)
    stop = stop_on_signals()

    def work() -> None:
        earlier = partial(world.volumes.read, TRACE)
        with endpoint(world.home, "trace-store", metrics.TRACE_STORE, metrics.READER):
            TraceProjection(world.base, TraceStore(world.database_url), earlier=earlier).run(stop)

    run_to_its_end(work)


def count(context: typer.Context) -> None:
    """The throughput's windows, by Faust."""
    from exchange.views.throughput import worker  # Faust is slow to import, and no other command needs it

    world = worlds.of(context)
    stop = stop_on_signals()

    def work() -> None:
        with endpoint(world.home, "throughput", metrics.THROUGHPUT):
            worker.count(world.base, ThroughputStore(world.database_url), stop)

    run_to_its_end(work)


def make_hop(world: World, name: str, probe: Probe = lambda _: None) -> Hop:
    """A worker of the hop in this world. `probe`: told of each step, see `STEPS`."""
    authority = world.authority
    key = authority.backbone.signing_key
    rules = Rules(
        partitions=world.layout.keyed,
        inbox_partitions=world.layout.inbox,
        backbone=BACKBONE_CODE,
        notary=lambda statement: sign_record(statement, [key], []),
        worker=name,
    )
    verifying = Verifying([authority.root_certificate], [authority.storage_key])
    return Hop(world.base, rules, world.directory_log, verifying, probe)


def options_of(world: World) -> list[str]:
    """The global options that lead a child process to the same world."""
    options = ["--verbose", "--home", str(world.home.folder)]
    if world.bootstrap_servers is not None:
        options += ["--bootstrap-servers", world.bootstrap_servers]
    if world.database is not None:
        options += ["--database-url", world.database]
    if world.object_store is not None:
        options += ["--object-store", world.object_store]
    return options


def stop_on_signals() -> Event:
    """An event that SIGINT and SIGTERM set."""
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def run_to_its_end(work: Callable[[], None]) -> None:
    """Say what ended the process, and end it with a code that the crew understands."""
    try:
        work()
    except InvariantBroken as exc:
        advice = {} if exc.record is None else {"to_step_past_it": f'exchange set-aside {exc.record} --reason "…"'}
        log.critical("stopped.by_a_bug", detail=exc.detail, **advice)
        sys.exit(BUG)
    except ExchangeError as exc:
        sys.exit(explain(exc))
    except Exception:  # nobody foresaw it, so it is a bug of ours; restarting would only repeat it
        log.critical("stopped.by_a_bug", exc_info=True)
        sys.exit(BUG)
