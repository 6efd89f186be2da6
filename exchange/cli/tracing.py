"""`exchange trace` and `exchange trace-store rebuild`: the whole path of one document."""

from __future__ import annotations

from functools import partial
from json import loads
from typing import Annotated

import typer
from rich.markup import escape
from rich.tree import Tree

from exchange.agencies.levels import Level
from exchange.cli import world as worlds
from exchange.cli.output import ERR, NO, OUT, clock, print_json
from exchange.cli.promised import promised
from exchange.errors import Rejected
from exchange.local.progress import on_terminal
from exchange.pipeline.books import TRACE
from exchange.statements.chain import CHANGE_OPEN, MAIN, TAKE_BACK_OPEN, UNDELIVERABLE, WAITING, WITHDRAWN
from exchange.statements.status import CODES
from exchange.views.erasing import with_erasings
from exchange.views.suspects import marked, with_roles
from exchange.views.trace_path import Delivery, Document, Entry, Path
from exchange.views.trace_rebuild import rebuild
from exchange.views.trace_store import TraceStore
from exchange.views.tracing import Ambiguous, trace

RECIPIENTS_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("trace")(show)
    app.command("rebuild")(rebuild_store)


def show(
    context: typer.Context,
    id_: Annotated[str, typer.Argument(metavar="ID", help="A document's, report's or status's id.")],
    sender: Annotated[str | None, typer.Option(help="Needed only if several senders used the id.")] = None,
    thread: Annotated[str | None, typer.Option(help="Needed only if a sender used the id in several threads.")] = None,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show the whole path of one document, hop by hop with times, per recipient.

    Example: `exchange trace 0b7f6c1e-…`
    """
    world = worlds.of(context)
    try:
        path = trace(TraceStore(world.database_url), id_, sender, thread)
    except Ambiguous as exc:
        raise Rejected(exc.code, f"{exc.detail}; say which with --sender or --thread") from exc
    if path is None:
        OUT.print(
            f"Nothing ever bore the id {id_}. Just sent? The trace follows within a second of the hop: "
            "is `exchange run` running?", markup=False, highlight=False,
        )  # fmt: skip
        raise typer.Exit(NO)
    view = world.directory_log.directory.latest()
    path = with_erasings(with_roles(marked(path, world.trust.compromised), view), view)
    words = promised(world.base, path)
    if json:
        print_json(loads(path.to_json()) | words.members())
        return
    tree = drawn(path)
    words.draw(tree)
    OUT.print(tree, highlight=False)


def rebuild_store(context: typer.Context) -> None:
    """Rebuild the trace store from the topics, compare row for row, and swap it in.

    Example: `exchange rebuild`
    """
    world = worlds.of(context)
    with on_terminal(ERR) as report:
        report("Rebuilding the trace store")
        rebuilt = rebuild(world.base, world.database_url, earlier=partial(world.volumes.read, TRACE))
    OUT.print(f"{rebuilt.events:,} events read.")
    differences = rebuilt.differences()
    if differences:
        for line in differences:
            OUT.print(f"  {line}", markup=False)
        OUT.print("The rebuilt store differs from the one before; the rebuilt one is in place.")
        raise typer.Exit(NO)
    OUT.print("The same, row for row.")


def drawn(path: Path) -> Tree:
    """The path as a tree for the terminal."""
    title = f"[bold]{path.id}[/] from {path.sender or 'several'}"
    top = Tree(title)
    if path.document is None:
        top.add("never accepted")
    else:
        _draw_document(top, path, path.document)
    for entry in path.duplicates:
        top.add(f"{clock(entry.append_ms)}  the same bytes again: no second delivery  [dim]{_place(entry)}[/]")
    for entry in path.rejections:
        claimed = "" if entry.verified else ", claimed by somebody whose signature didn't verify"
        top.add(f"{clock(entry.append_ms)}  [red]rejected[/] {entry.code}{claimed}  [dim]{_place(entry)}[/]")
    for entry in path.others:
        if entry.outcome == "set_aside":
            top.add(
                f"{clock(entry.append_ms)}  [red]set aside[/] by an operator: it trips a bug of the exchange's own; "
                f"claims to be {entry.kind or 'a record'} {escape(entry.id)}  [dim]{_place(entry)}[/]"
            )
    for one in path.erasings:
        done = "" if one.done_ms is not None else " (decided; not carried out yet)"
        top.add(
            f"{clock(one.decided_ms)}  [red]erased[/] by {escape(one.by)} and {escape(one.seconded_by)}: "
            f"{escape(one.reason)}{done}  [dim]directory {one.directory_offset}[/]"
        )
    for other in path.related:
        summary = other.summary
        what = "report" if summary is None else f"{summary.business}: {summary.subject}"
        top.add(f"{clock(other.entry.append_ms)}  {what}  [dim]{other.entry.id}[/]{_suspicion(path, other.entry)}")
    return top


def _draw_document(top: Tree, path: Path, document: Document) -> None:
    entry, summary = document.entry, document.summary
    if summary is not None:
        top.add(f"{summary.type} {summary.code}: {summary.subject} [dim]({summary.attachments} file(s))[/]")
    top.add(
        f"{clock(entry.append_ms)}  submitted, {_seal(path, entry)}  [dim]{_place(entry)}[/]{_suspicion(path, entry)}"
    )
    top.add(
        f"{clock(entry.hop_ms)}  verified, routed by {entry.worker}  "
        f"[dim]directory {entry.directory_offset}, trace {entry.partition}/{entry.trace_offset}[/]"
    )
    for delivery in document.deliveries[:RECIPIENTS_SHOWN]:
        branch = top.add(_delivery(delivery))
        for step in path.steps:
            if step.recipient == delivery.recipient:
                reason = f": {step.reason}" if step.reason else ""
                branch.add(
                    f"{clock(step.entry.append_ms)}  {step.status_code:02d} {CODES.get(step.status_code, '')}{reason}  "
                    f"[dim]{_seal(path, step.entry)}[/]{_suspicion(path, step.entry)}"
                )
    hidden = len(document.deliveries) - RECIPIENTS_SHOWN
    if hidden > 0:
        top.add(f"… and {hidden:,} more recipients (all with --json)")


def _delivery(delivery: Delivery) -> str:
    redirected = f", for {delivery.redirected_from}" if delivery.redirected_from else ""
    if not delivery.is_deliverable:
        return f"[yellow]{delivery.recipient}[/]: undeliverable, the unit is closed"
    inbox = f"inbox.{Level(delivery.level).label}/{delivery.inbox_partition}"
    return f"[bold]{delivery.recipient}[/]{redirected}: {_state(delivery.state)}  [dim]{inbox}[/]"


def _state(state: int) -> str:
    main = state & MAIN
    words = {WAITING: "delivered, no receipt yet", WITHDRAWN: "withdrawn", UNDELIVERABLE: "undeliverable"}
    word = words.get(main) or CODES.get(main, str(main))
    if state & TAKE_BACK_OPEN:
        word += ", take-back asked"
    if state & CHANGE_OPEN:
        word += ", change announced"
    return word


def _seal(path: Path, entry: Entry) -> str:
    """By whom it is sealed."""
    role = path.roles.get(entry.certificate or "", "")
    return f"sealed by a connector of {entry.sender}" if role == "connector" else f"sealed by agency {entry.sender}"


def _suspicion(path: Path, entry: Entry) -> str:
    if not path.is_suspect(entry) or entry.certificate is None:
        return ""
    since = clock(path.compromised[entry.certificate])
    return f"\n[red]suspect[/]: the key of this seal may have been another's since {since}"


def _place(entry: Entry) -> str:
    return f"{entry.source_topic}/{entry.partition}/{entry.source_offset}"
