"""`exchange close-hour`: the backbone states an hour's books, signed, as a report like any other."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import structlog
import typer

from exchange.agencies import BACKBONE_CODE
from exchange.backbone.submitting import Outgoing, Submitting, Taken
from exchange.cli import world as worlds
from exchange.cli.output import ERR, OUT, clock, print_json
from exchange.cli.running import run_to_its_end, stop_on_signals
from exchange.cli.world import World
from exchange.errors import Rejected, Unavailable
from exchange.local.enrolment import enrol
from exchange.local.founding import now_ms
from exchange.local.progress import on_terminal
from exchange.signatures import Trust, sign_record
from exchange.statements.compose import attachment, encode
from exchange.statements.hours import Hour
from exchange.views.closing import Books, close
from exchange.views.hours_due import CLOCKS_MS, OpenHours

PATIENCE_MS = 15 * 60_000
"""An hour that is still open so long after it could be closed is overdue."""

_LOOK_S = 60.0
_MEDIA_TYPE = "application/json"

log = structlog.get_logger(__name__)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("close-hour")(close_hour)


def close_hour(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="HOUR", help="In Vietnam's time, like 2026-11-25T09; else the last one.")
    ] = None,
    follow: Annotated[
        bool, typer.Option(help="Close every hour that is over and open, from HOUR or the founding on, until Ctrl-C.")
    ] = False,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """State an hour's books: a report of the backbone's own, with the sums and the ids of whatever is missing.

    An hour may be closed five minutes after its end, once the hop has decided all of it. The same hour again makes the
    same statement, which the exchange recognises. `exchange run` has a process that follows, so this is for what it
    couldn't close.

    Example: `exchange close-hour` · `exchange close-hour 2026-11-25T09` · `exchange close-hour --follow`
    """
    world = worlds.of(context)
    if follow:
        first = None if name is None else Hour.named(name)
        run_to_its_end(lambda: _follow(world, first))
        return
    hour = Hour.of(now_ms() - CLOCKS_MS).before if name is None else Hour.named(name)
    with on_terminal(ERR) as report:
        report(f"Counting the hour {hour.name}")
        books = counted(world, hour)
        taken = state(world, books)
    if json:
        print_json(taken._asdict() | {"hour": hour.name, "missing": books.missing_count} | books.totals())
        return
    OUT.print(f"[bold]{taken.id}[/]  {taken.topic}/{taken.partition}/{taken.offset}  {clock(taken.append_ms)}")
    counts = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in books.totals().items())
    OUT.print(f"{counts}; {books.missing_count:,} missing.", highlight=False)
    OUT.print(f"Check it with `exchange audit --hour {hour.name}`.", highlight=False)


def counted(world: World, hour: Hour, group: str = "hop") -> Books:
    """The books of an hour that is over.

    Raises: Rejected ``hour.open``: it isn't; Unavailable ``hour.undecided``: the hop is behind.
    """
    over_ms = hour.end_ms + CLOCKS_MS
    if now_ms() < over_ms:
        raise Rejected("hour.open", f"{hour.name} can be closed from {clock(over_ms)} on")
    return close(world.base, hour, group)


def state(world: World, books: Books) -> Taken:
    """Sign and submit the statement of an hour's books; returns the broker's receipt. Raises: Rejected, Unavailable."""
    key = enrol(world.authority, world.base, world.directory_log, BACKBONE_CODE)
    name = f"{books.hour.books_id}.json"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(books.encode())
        stored = world.attachments.put(path)
    fields = books.statement(BACKBONE_CODE, attachment(name, _MEDIA_TYPE, stored.size, stored.sha256))
    record = sign_record(encode("report", fields), [key], [stored._asdict()])
    taken: list[Taken] = []
    Submitting(world.base).submit([Outgoing("report", fields, record)], taken.append)
    return taken[0]


def _follow(world: World, first: Hour | None) -> None:
    """Close what is over and open, oldest first. What was stated once isn't stated again, even if it was refused."""
    stop = stop_on_signals()
    told, open_hours = set[Hour](), open_hours_of(world, first)
    while not stop.is_set():
        try:
            for hour in open_hours.at(now_ms()):
                if hour in told or stop.is_set():
                    continue
                taken = state(world, counted(world, hour))
                told.add(hour)
                OUT.print(f"{taken.id}  {taken.topic}/{taken.partition}/{taken.offset}", highlight=False)
        except Unavailable as exc:
            log.warning("hours.waiting", code=exc.code, detail=exc.detail)
        stop.wait(_LOOK_S)


def open_hours_of(world: World, since: Hour | None = None) -> OpenHours:
    """The hours to close in a world."""

    def trust() -> Trust:
        world.directory_log.catch_up()
        return world.trust

    return OpenHours(world.base, trust, since)
