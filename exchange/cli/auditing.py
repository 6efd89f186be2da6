"""`exchange audit`: the books, re-derived from the topics alone."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from json import loads
from typing import Annotated, NamedTuple

import typer

from exchange.agencies.levels import Level
from exchange.auditor import (
    Balance,
    Copies,
    Cut,
    Finding,
    Part,
    Progress,
    Share,
    Stated,
    StatedHour,
    Windows,
    audit_hour,
    audit_share,
    from_the_archive_on,
    in_processes,
    merged,
    quiet,
    take_cut,
)
from exchange.auditor.deep import Deep, Voice
from exchange.cli import world as worlds
from exchange.cli.ledger import folder_of, key_of
from exchange.cli.output import ERR, NO, OUT, log_to_stderr, print_json, table
from exchange.cli.world import World
from exchange.errors import Rejected, Unavailable
from exchange.local.audits import keep
from exchange.local.progress import on_terminal
from exchange.statements.hours import Hour
from exchange.views.throughput import ThroughputStore
from exchange.views.throughput.stated import stated
from exchange.views.trace_store import TraceStore

FINDINGS_SHOWN = 30

FEW = 20_000
"""Submissions that one process is through with while others would still be starting."""

_LINES = (
    ("submitted", "records", "submitted"),
    ("= accepted", "records", "accepted"),
    ("+ rejected", "records", "rejected"),
    ("+ duplicates", "records", "duplicates"),
    ("+ set aside", "records", "set_aside"),
    ("+ in flight", "records", "in_flight"),
    ("recipients", "copies", "recipients"),
    ("= delivered", "copies", "delivered"),
    ("+ undeliverable", "copies", "undeliverable"),
    ("delivered", "copies", "delivered"),
    ("= acknowledged", "copies", "acknowledged"),
    ("+ waiting", "copies", "waiting"),
    ("+ told, no receipt due", "copies", "told"),
)
"""The three equations, line by line: name, side of the account, field."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("audit")(run)


def run(
    context: typer.Context,
    hour: Annotated[
        str | None, typer.Option(help="Only from this hour on, and its stated books: 2026-11-25T09, in Vietnam's time.")
    ] = None,
    archive: Annotated[bool, typer.Option(help="From the beginning: also what has left the topics.")] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also derive every verdict, signature, leaf, tile and row again.")
    ] = False,
    signatures: Annotated[
        bool, typer.Option("--signatures/--no-signatures", help="Of --deep: verify the signatures, which costs most.")
    ] = True,
    attachments: Annotated[
        bool, typer.Option("--attachments", help="Of --deep: also read every attachment again, and hash it.")
    ] = False,
    processes: Annotated[
        int, typer.Option(min=0, max=256, help="How many share the work; 0: one a core, if it is worth that.")
    ] = 0,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Re-read the topics and balance the books; exit 1 and name what is missing or surplus if they don't.

    With `--hour`, also hold the books that the backbone stated for it (`exchange close-hour`) against the recount.
    With `--deep`, whatever was deleted, reordered, altered or added in a topic, in the ledger's files or in the trace
    store is named.

    Example: `exchange audit` · `exchange audit --deep` · `exchange audit --hour 2026-11-25T09`
    """
    world = worlds.of(context)
    if hour is not None:
        if deep:
            raise typer.BadParameter("--deep goes into everything; --hour into one hour")
        _hour(world, Hour.named(hour), json=json)
        return
    began_s, windows = time.time(), windows_of(world)
    with on_terminal(ERR) as report:
        cut = take_cut(world.base, "hop")
        going = Going(world, cut, windows, archive, deep=deep, signatures=signatures, attachments=attachments)
        balance = shared(going, processes or worth(going.cut), report)
    keep(world.home, balance, began_s, deep=deep)
    if json:
        sys.stdout.write(balance.to_json() + "\n")
    else:
        show(balance)
    if not balance.holds:
        raise typer.Exit(NO)


class Going(NamedTuple):
    """How far an audit goes, and in which world. `windows`: as they were before the cut."""

    world: World
    cut: Cut
    windows: Windows | None
    archive: bool
    deep: bool
    signatures: bool
    attachments: bool = False


def shared(going: Going, processes: int, progress: Progress = quiet) -> Balance:
    """Audit in so many processes, here if it is one. Raises: as `audit`, and what `in_processes` does."""
    if going.archive:
        going = going._replace(cut=from_the_archive_on(going.cut, going.world.volumes))
    count = min(processes, going.cut.partitions)
    work = partial(_share, going._replace(world=going.world.again))
    return merged(going.cut, [work(Share(), progress)] if count == 1 else in_processes(work, count, progress))


def worth(cut: Cut) -> int:
    """A process for each core, unless starting them would take longer than all the rest."""
    submissions = sum(end - cut.opening(*place) for place, end in cut.next_offsets.items())
    return 1 if submissions < FEW else os.cpu_count() or 1


def _share(going: Going, share: Share, progress: Progress) -> Part:
    if share.of > 1:
        log_to_stderr()  # a process of its own has standard output for nobody
    world = going.world
    deep = None
    if going.deep:
        threads = 1 if share.of > 1 else None
        deep = deep_of(world, signatures=going.signatures, threads=threads, attachments=going.attachments)
    return audit_share(
        world.base,
        world.authority.registrar_public_key,
        going.cut,
        share,
        earlier=world.volumes if going.archive else None,
        deep=deep,
        progress=progress,
        windows=going.windows,
    )


def _hour(world: World, hour: Hour, *, json: bool) -> None:
    def fetch(digest: bytes, size: int) -> bytes:
        return b"".join(world.attachments.read(digest, size))

    with on_terminal(ERR) as report:
        report(f"Re-reading the topics from {hour.name} on")
        verdict = audit_hour(world.base, world.authority.registrar_public_key, hour, fetch, world.trust_at)
    if json:
        findings = [found._asdict() | {"at": "/".join(map(str, found.at))} for found in verdict.findings]
        print_json({"hour": hour.name, "holds": verdict.holds, "rows": verdict.rows, "findings": findings}
                   | {"balance": loads(verdict.balance.to_json())})  # fmt: skip
    else:
        show(verdict.balance)
        _name(verdict.findings)
        if not verdict.findings:
            OUT.print(f"[bold green]The books of {hour.name} are as stated.[/] {verdict.rows:,} rows.", highlight=False)
    if not verdict.holds:
        raise typer.Exit(NO)


def windows_of(world: World) -> Windows | None:
    """What the throughput's windows state now; None, and it is said, where they can't be read."""
    try:
        found = stated(ThroughputStore(world.database_url))
    except Unavailable as exc:
        ERR.print(f"The throughput's windows aren't compared: {exc}", markup=False, highlight=False)
        return None
    hours = {
        place: StatedHour({(*cell,): sums for cell, sums in cells.items()}, after)
        for place, (cells, after) in found.hours.items()
    }
    return Windows(Stated(found.positions, found.closed, hours, found.gaps))


def deep_of(world: World, *, signatures: bool, threads: int | None = None, attachments: bool = False) -> Deep:
    """All that there is to go into in a home. `threads`: that verify; None: one a core."""

    def fetch(statement: bytes, digest: bytes, size: int) -> Iterator[bytes]:
        try:
            yield from world.attachments.read(digest, size)
        except Rejected as exc:
            if exc.code != "attachment.missing":
                raise
            yield from world.sealed_attachments.read(statement, digest)  # it has left for the archive, or is gone

    authority = world.authority
    return Deep(
        registrar=Voice.of(authority.registrar.certificate),
        backbone=Voice.of(authority.backbone.certificate),
        roots=[authority.root_certificate],
        storage_keys=[authority.storage_key],
        signatures=signatures,
        threads=threads,
        attachments=fetch if attachments else None,
        ledger=(folder_of(world), str(key_of(world).verifier)),
        rows=TraceStore(world.database_url).snapshot,
    )


def show(balance: Balance) -> None:
    """Print the books, and whatever doesn't balance."""
    kinds = {kind or "unreadable": account for kind, account in sorted(balance.by_kind.items())}
    kinds["all"] = balance.total
    rows = [
        (name, *(f"{getattr(getattr(account, side), field):,}" for account in kinds.values()))
        for name, side, field in _LINES
    ]
    table("The books", ("", *kinds), rows, right=tuple(kinds))
    level_rows = [
        (sender.label, *(_pair(balance.by_levels.get((int(sender), int(recipient)))) for recipient in Level))
        for sender in Level
    ]
    names = tuple(level.label for level in Level)
    table("Acknowledged of delivered, by level", ("from \\ to", *names), level_rows, right=names)
    read = sum(balance.records_read.values())
    if balance.erased:
        OUT.print(f"{balance.erased:,} submissions were erased by decision; they are in no book.", highlight=False)
    if balance.windows is not None:
        OUT.print(f"{balance.windows:,} hours of the throughput's windows compared.", highlight=False)
    for name, count in (balance.compared or {}).items():
        OUT.print(f"  {name.replace('_', ' ')}: {count:,}", highlight=False)
    if balance.holds:
        OUT.print(f"[bold green]The books balance.[/] {read:,} records re-read.", highlight=False)
        return
    OUT.print(f"[bold red]The books do not balance.[/] {read:,} records re-read.", highlight=False)
    for code, count in sorted(balance.finding_counts.items()):
        OUT.print(f"  {code}: {count:,}", highlight=False)
    _name(balance.findings)


def _name(findings: Sequence[Finding]) -> None:
    for found in findings[:FINDINGS_SHOWN]:
        OUT.print(f"  {found.code} {found.at.topic}/{found.at.partition}/{found.at.offset} {found.id}: "
                  f"{found.sentence}", markup=False, highlight=False)  # fmt: skip


def _pair(copies: Copies | None) -> str:
    return "–" if copies is None else f"{copies.acknowledged:,} / {copies.acknowledged + copies.waiting:,}"
