"""`exchange trace` and `exchange trace-store rebuild`: the whole path of one document."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from json import loads
from typing import Annotated

import typer
from rich.markup import escape
from rich.tree import Tree

from exchange.agencies.levels import Level
from exchange.backbone.accesses import Accesses
from exchange.backbone.reading import read_one
from exchange.cli import world as worlds
from exchange.cli.accountable import By, OptionalReason, access
from exchange.cli.output import ERR, NO, OUT, clock, print_json
from exchange.cli.promised import promised
from exchange.cli.world import World
from exchange.errors import Rejected
from exchange.local.progress import on_terminal
from exchange.pipeline.books import TRACE
from exchange.statements.chain import CHANGE_OPEN, MAIN, TAKE_BACK_OPEN, UNDELIVERABLE, WAITING, WITHDRAWN
from exchange.statements.status import CODES
from exchange.views.accesses import AccessStore
from exchange.views.erasing import with_erasings
from exchange.views.signed import with_leaders, with_roles
from exchange.views.suspects import marked
from exchange.views.trace_path import Delivery, Document, Entry, Erasing, Look, Path
from exchange.views.trace_rebuild import rebuild
from exchange.views.trace_store import TraceStore
from exchange.views.tracing import Ambiguous, trace

FOLLOWS_WITHIN_S = 3.0
"""By then the trace store has what was submitted, unless it is behind."""
_POLL_S = 0.1

RECIPIENTS_SHOWN = 20
ENTRIES_SHOWN = 20
"""Of each sort: whoever floods an id doesn't flood the terminal."""

CHECKS = (
    "size", "envelope", "schema", "certificates as of then", "signatures", "seal and leader", "files in the store",
    "times and rules", "no duplicate", "sender and recipients",
)  # fmt: skip
"""What the gate and the hop check, in their order: an accepted statement has passed them all."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("trace")(show)
    app.command("rebuild")(rebuild_store)


def show(
    context: typer.Context,
    id_: Annotated[str, typer.Argument(metavar="ID", help="A document's, report's or status's id.")],
    sender: Annotated[str | None, typer.Option(help="Needed only if several senders used the id.")] = None,
    thread: Annotated[str | None, typer.Option(help="Needed only if a sender used the id in several threads.")] = None,
    reason: OptionalReason = "",
    by: By = None,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show the whole path of one document, hop by hop with times, per recipient; and who looked at it before.

    That you looked is recorded first, and shown to whoever looks after you.

    Example: `exchange trace 0b7f6c1e-… --reason "Complaint 17/2026"`
    """
    world = worlds.of(context)
    look, accesses = access("trace", by, reason, id_), Accesses(world.base)
    try:
        path = _patiently(lambda: trace(TraceStore(world.database_url), id_, sender, thread))
    except Ambiguous as exc:
        accesses.record(look, ())
        raise Rejected(exc.code, f"{exc.detail}; say which with --sender or --thread") from exc
    accesses.record(look, () if path is None else path.places())
    if path is None:
        OUT.print(
            f"Nothing ever bore the id {id_}. Sent {FOLLOWS_WITHIN_S:.0f} s ago or more? Then ask `exchange status` "
            "whether the trace store is behind.", markup=False, highlight=False,
        )  # fmt: skip
        raise typer.Exit(NO)
    looks = AccessStore(world.base, world.database_url).looks_at(path.places())
    path = replace(path, looks=tuple(looks))
    view = world.directory_log.directory.latest()
    path = with_leaders(with_roles(marked(path, world.trust.compromised), view), view, _submission(world, path))
    path = with_erasings(path, view)
    words = promised(world.base, path)
    if json:
        print_json(loads(path.to_json()) | words.members())
        return
    tree = drawn(path)
    words.draw(tree)
    OUT.print(tree, highlight=False)


def _patiently(look: Callable[[], Path | None]) -> Path | None:
    """What is found, at the latest after `FOLLOWS_WITHIN_S`: it may just have been sent."""
    deadline = time.monotonic() + FOLLOWS_WITHIN_S
    with on_terminal(ERR) as report:
        while (path := look()) is None and time.monotonic() < deadline:
            report("Not there yet: waiting for the trace store")
            time.sleep(_POLL_S)
    return path


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


def _submission(world: World, path: Path) -> bytes | None:
    """What was submitted as the path's document, if it is still kept."""
    if path.document is None:
        return None
    entry = path.document.entry
    kept = read_one(world.base, entry.source_topic, entry.partition, entry.source_offset)
    return None if kept is None else kept.value


def drawn(path: Path) -> Tree:
    """The path as a tree for the terminal."""
    title = f"[bold]{path.id}[/] from {path.sender or 'several'}"
    top = Tree(title)
    if path.document is None:
        top.add("never accepted")
    else:
        _draw_document(top, path, path.document)
    _draw_few(
        top, [f"{clock(e.append_ms)}  the same bytes again: no second delivery  {_place(e)}" for e in path.duplicates]
    )
    _draw_few(top, [_rejection(entry) for entry in path.rejections])
    own = {one.directory_offset for one in path.erasings}  # told below, with who decided
    _draw_few(top, [_other(e) for e in path.others if e.outcome != "erased" or e.source_offset not in own])
    for one in path.erasings:
        top.add(_erasing(one))
    _draw_few(top, [_relation(path, other) for other in path.related])
    _draw_few(top, [_look(look) for look in path.looks])
    return top


def _draw_few(top: Tree, lines: Sequence[str]) -> None:
    for line in lines[:ENTRIES_SHOWN]:
        top.add(line)
    if len(lines) > ENTRIES_SHOWN:
        top.add(f"… and {len(lines) - ENTRIES_SHOWN:,} more like these (all with --json)")


def _rejection(entry: Entry) -> str:
    claimed = "" if entry.verified else ", claimed by somebody whose signature didn't verify"
    return f"{clock(entry.append_ms)}  [red]rejected[/] {entry.code}{claimed}  {_place(entry)}"


def _other(entry: Entry) -> str:
    what = f"{entry.kind or 'a record'} {escape(entry.id)}"
    if entry.outcome == "set_aside":
        said = f"[red]set aside[/] by an operator: it trips a bug of the exchange's own; claims to be {what}"
    elif entry.outcome == "duplicate":
        said = f"{what} of {escape(entry.sender)} again: changed nothing"
    else:
        said = f"{what} of {escape(entry.sender)}: {entry.outcome} {escape(entry.code)}"
    return f"{clock(entry.append_ms)}  {said}  {_place(entry)}"


def _erasing(one: Erasing) -> str:
    done = "" if one.done_ms is not None else " (decided; not carried out yet)"
    return (
        f"{clock(one.decided_ms)}  [red]erased[/] by {escape(one.by)} and {escape(one.seconded_by)}: "
        f"{escape(one.reason)}{done}  [dim]directory {one.directory_offset}[/]"
    )


def _relation(path: Path, other: Document) -> str:
    """Another document of the thread, seen from this one: what it is to it, or this one to it."""
    own = None if path.document is None else path.document.summary
    summary = other.summary
    if summary is None:
        said = "report"
    elif summary.business == "new" and own is not None and own.business != "new":
        said = f"this is the {own.business} of {summary.code}: {escape(summary.subject)}"
    else:
        said = f"{summary.business}: {escape(summary.subject)}"
    return f"{clock(other.entry.append_ms)}  {said}  [dim]{other.entry.id}[/]{_suspicion(path, other.entry)}"


def _look(look: Look) -> str:
    why = escape(look.reason) or "no reason given"
    return f"[dim]{clock(look.append_ms)}  looked at by {escape(look.by)} ({look.action}): {why}[/]"


def _draw_document(top: Tree, path: Path, document: Document) -> None:
    entry, summary = document.entry, document.summary
    if summary is not None and any(one.done_ms is not None for one in path.erasings):
        top.add(f"number, type and subject are erased [dim]({summary.attachments} file(s))[/]")
    elif summary is not None:
        top.add(
            f"{summary.type} {escape(summary.code)}: {escape(summary.subject)} [dim]({summary.attachments} file(s))[/]"
        )
    signed = f"{_seal(path, entry)}{_leaders(path)}"
    top.add(f"{clock(entry.append_ms)}  submitted, {signed}  {_place(entry)}{_suspicion(path, entry)}")
    top.add(f"checked and found right: {', '.join(CHECKS)}")
    top.add(
        f"{clock(entry.hop_ms)}  verified, routed by {entry.worker}  "
        f"[dim]directory {entry.directory_offset}, trace {entry.partition}/{entry.trace_offset}[/]"
    )
    for delivery in document.deliveries[:RECIPIENTS_SHOWN]:
        branch = top.add(_delivery(delivery))
        for step in path.steps:
            if step.recipient == delivery.recipient:
                reason = f": {escape(step.reason)}" if step.reason else ""
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
    if role == "delegate":
        return f"sealed by {path.delegates.get(entry.certificate or '', 'a delegate')} for {entry.sender}"
    return f"sealed by a connector of {entry.sender}" if role == "connector" else f"sealed by agency {entry.sender}"


def _leaders(path: Path) -> str:
    """Who signed the document besides."""
    return "".join(f", signed by leader {leader}" for leader in path.leaders)


def _suspicion(path: Path, entry: Entry) -> str:
    if not path.is_suspect(entry) or entry.certificate is None:
        return ""
    since = clock(path.compromised[entry.certificate])
    return f"\n[red]suspect[/]: the key of this seal may have been another's since {since}"


def _place(entry: Entry) -> str:
    return f"[dim]{entry.source_topic}/{entry.partition}/{entry.source_offset}[/]"
