"""`exchange search`: an auditor's search over all that was ever submitted, page by page or into a file.

Guarantees: nothing is shown or written that isn't recorded before, with who looked and why (`audit.accesses`).
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from exchange.agencies import Level
from exchange.backbone.accesses import Access, Accesses, Action
from exchange.backbone.durable import Place
from exchange.cli import world as worlds
from exchange.cli.accountable import REASON_CHARACTERS_MAX, By, Reason, access, one_line
from exchange.cli.output import ERR, NO, OUT, VIETNAM, clock, print_json, table
from exchange.cli.world import World
from exchange.local.founding import now_ms
from exchange.local.progress import on_terminal
from exchange.statements.document import TYPES
from exchange.views.search import KINDS, LIMIT, LIMIT_MAX, OUTCOMES, STATUSES, Found, Page, Query, below, pages, search
from exchange.views.search.exporting import exported
from exchange.views.trace_store import TraceStore

_EPOCH = date(1970, 1, 1)
_LEVELS = ", ".join(level.label for level in Level)
_Level = Annotated[str | None, typer.Option(help=f"One of {_LEVELS}.")]
_Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"])]
_Hours = Annotated[int | None, typer.Option(min=0, metavar="HOURS")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("search")(find)


def find(
    context: typer.Context,
    reason: Reason,
    words: Annotated[
        list[str] | None, typer.Argument(help="Words of the subject, with or without marks; * ends one.")
    ] = None,
    id_: Annotated[str | None, typer.Option("--id", help="A document's, report's or refused submission's id.")] = None,
    code: Annotated[str | None, typer.Option(help="Number/notation, its beginning, or either alone.")] = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="CODE", help="The sender.")] = None,
    from_tree: Annotated[str | None, typer.Option(metavar="CODE", help="The sender, or whoever is below it.")] = None,
    to: Annotated[str | None, typer.Option(metavar="CODE", help="A recipient.")] = None,
    to_tree: Annotated[str | None, typer.Option(metavar="CODE", help="A recipient, or whoever is below it.")] = None,
    from_level: _Level = None,
    to_level: _Level = None,
    type_: Annotated[str | None, typer.Option("--type", help=f"One of {', '.join(TYPES)}.")] = None,
    urgency: Annotated[int | None, typer.Option(help="0 to 4.")] = None,
    kind: Annotated[str | None, typer.Option(help=f"One of {', '.join(KINDS)}.")] = None,
    outcome: Annotated[str | None, typer.Option(help=f"One of {', '.join(OUTCOMES)}.")] = None,
    rejection: Annotated[str | None, typer.Option(help="Why it was refused: signature.invalid, or signature.")] = None,
    status: Annotated[str | None, typer.Option(help=f"What a copy has come to: {', '.join(STATUSES)}.")] = None,
    since: _Day = None,
    until: _Day = None,
    issued_since: _Day = None,
    issued_until: _Day = None,
    unacknowledged_after: _Hours = None,
    late_after: _Hours = None,
    unreturned: Annotated[bool, typer.Option(help="Recalled, and not confirmed that it is gone.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="Results on a page.")] = LIMIT,
    cursor: Annotated[str | None, typer.Option(help="Go on where the page before ended.")] = None,
    export: Annotated[Path | None, typer.Option(help="Write all results into FILE.csv, .json or .parquet.")] = None,
    by: By = None,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Find submissions, newest first; all conditions must hold, those on a copy of one and the same copy.

    A copy is unacknowledged after so many hours if it has no receipt at all, late if its receipt came after them.
    Days are Vietnam's, both ends included; --since and --until are those of submission.

    Example: `exchange search nghi quyet --from-tree H26 --unacknowledged-after 48 --reason "Audit plan 7/2026"`
    """  # fmt: skip
    world = worlds.of(context)
    query = Query(
        id=id_,
        code=code,
        subject=" ".join(words) if words else None,
        sender=_agencies(world, "--from", from_, from_tree),
        recipient=_agencies(world, "--to", to, to_tree),
        sender_level=_level(from_level),
        recipient_level=_level(to_level),
        type=type_,
        urgency=urgency,
        kind=kind,
        outcome=outcome,
        rejection=rejection,
        status=status,
        since_ms=_midnight(since),
        until_ms=_midnight(until, days=1),
        issued_since=_days(issued_since),
        issued_until=_days(issued_until),
        unacknowledged_h=unacknowledged_after,
        late_h=late_after,
        unreturned=unreturned,
    )
    action: Action = "search" if export is None else "export"
    look = access(action, by, one_line(reason, REASON_CHARACTERS_MAX, "--reason"), query.spelled())
    if export is not None:
        _export(world, query, look, export, json=json)
        return
    page = search(TraceStore(world.database_url), query, limit=limit, cursor=cursor)
    Accesses(world.base).record(look, map(_place, page.results))
    if json:
        print_json(asdict(page))
    else:
        _show(page)
    if not page.results:
        raise typer.Exit(NO)


def _export(world: World, query: Query, look: Access, path: Path, *, json: bool) -> None:
    if path.exists():
        raise typer.BadParameter(f"{path} is there already", param_hint="--export")
    written, accesses = 0, Accesses(world.base)
    with on_terminal(ERR) as report, exported(path) as write:
        for page in pages(TraceStore(world.database_url), query, size=LIMIT_MAX, as_of_ms=now_ms()):
            accesses.record(look, map(_place, page.results))
            write(page.results)
            written += len(page.results)
            report(f"Exporting: {written:,}" if page.cursor is None else "Exporting", written)
    if json:
        print_json({"results": written, "file": str(path), "access": look.id})
    else:
        OUT.print(f"{written:,} results in {path}.", highlight=False)


def _show(page: Page) -> None:
    columns = ("submitted", "what", "code", "subject", "from", "to", "receipts", "id")
    table("", columns, [_row(one) for one in page.results])
    if not page.results:
        OUT.print("Nothing found.")
    if page.cursor is not None:
        OUT.print(f"More with --cursor {page.cursor}", highlight=False, soft_wrap=True)


def _row(one: Found) -> tuple[object, ...]:
    what = one.type or one.kind or "?"
    if one.outcome != "accepted":
        what = f"{what} [red]{escape(one.outcome)}[/] {escape(one.rejection)}"
    recipients = ", ".join(one.recipients or ())
    if one.copies > len(one.recipients or ()):
        recipients += f" and {one.copies - len(one.recipients or ()):,} more"
    receipts = f"{one.acknowledged:,}/{one.copies:,}" if one.business is not None else ""
    sender = one.sender if one.verified else f"{one.sender} (claimed)"
    texts = (one.code, one.subject, sender, recipients, receipts, one.id)
    return (clock(one.append_ms)[:19], what, *(escape(text or "") for text in texts))


def _place(one: Found) -> Place:
    return (one.source_topic, one.partition, one.source_offset)


def _agencies(world: World, option: str, code: str | None, tree: str | None) -> below.Agencies | None:
    if code is not None and tree is not None:
        raise typer.BadParameter(f"{option} or {option}-tree, not both", param_hint=option)
    if code is not None:
        return below.agency(world.directory_log.directory.latest(), code)
    return None if tree is None else below.tree(world.directory_log.directory.latest(), tree)


def _level(label: str | None) -> int | None:
    if label is None:
        return None
    for level in Level:
        if level.label == label:
            return int(level)
    raise typer.BadParameter(f"{label!r} is none of {_LEVELS}")


def _midnight(day: datetime | None, days: int = 0) -> int | None:
    """When that day begins, or the one so many days after it, in Vietnam."""
    if day is None:
        return None
    return int((day.replace(tzinfo=VIETNAM) + timedelta(days)).timestamp() * 1000)


def _days(day: datetime | None) -> int | None:
    return None if day is None else (day.date() - _EPOCH).days
