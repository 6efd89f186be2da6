"""`exchange archive`: what has left the topics, or will: archived, shown, and how far that is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from exchange import metrics
from exchange.archive.archiver import Archiver
from exchange.archive.erasing import Eraser, Places
from exchange.archive.volumes import Partition
from exchange.backbone.accesses import Accesses
from exchange.backbone.clients import reader
from exchange.backbone.hop import GROUP
from exchange.backbone.offsets import committed, ends
from exchange.backbone.reading import Read, read_one
from exchange.cli import world as worlds
from exchange.cli.accountable import By, OptionalReason, access
from exchange.cli.ledger import folder_of
from exchange.cli.output import ERR, OUT, clock, print_json, size, table
from exchange.cli.running import run_to_its_end, stop_on_signals
from exchange.cli.world import World
from exchange.errors import Rejected
from exchange.ledger.promises import positions
from exchange.ledger.store import positions_in
from exchange.local.endpoint import endpoint
from exchange.local.founding import now_ms
from exchange.local.progress import on_terminal
from exchange.pipeline.books import TRACE
from exchange.signatures import decode_record
from exchange.statements import KINDS, identify
from exchange.views.erasing import with_erasings
from exchange.views.trace_path import Entry
from exchange.views.trace_path import Path as Way
from exchange.views.trace_store import TraceStore
from exchange.views.tracing import Ambiguous, trace

app = typer.Typer(
    no_args_is_help=True, help="What leaves the topics lives on in the archive, sealed, until it is erased."
)


def register(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.command("write-archive", hidden=True)(write)
    parent.add_typer(app, name="archive")


def archiver_of(world: World) -> Archiver:
    """What archives this world."""
    eraser = _eraser(world)
    return Archiver(
        world.base,
        world.layout,
        world.volumes,
        world.sealed_attachments,
        taken=lambda: taken_of(world),
        erase=lambda: eraser.carry_out(now_ms),
    )


def taken_of(world: World) -> Mapping[Partition, int]:
    """How far the hop has read the submissions, and ledger, promises and trace store the trace."""
    asking = reader(world.base, group_id=GROUP)
    try:
        taken = committed(asking, range(world.layout.keyed))
    finally:
        asking.close()
    readers = [positions_in(folder_of(world)), TraceStore(world.database_url).offsets(TRACE), positions(world.base)]
    return taken | {(TRACE, p): min(one.get(p, 0) for one in readers) for p in range(world.layout.keyed)}


def write(context: typer.Context) -> None:
    """The archiver."""
    world = worlds.of(context)
    stop = stop_on_signals()

    def work() -> None:
        with endpoint(world.home, "archive", metrics.ARCHIVE):
            archiver_of(world).run(stop, now_ms)

    run_to_its_end(work)


@app.command()
def run(context: typer.Context) -> None:
    """Archive what is new, carry out erasures, let old records leave the topics; once.

    `exchange run` has a process that does so every minute.

    Example: `exchange archive run`
    """
    world = worlds.of(context)
    with on_terminal(ERR) as report:
        done = archiver_of(world).once(now_ms(), lambda count: report(f"Archiving: {count:,} records"))
    rows = [(topic, f"{done.archived.get(topic, 0):,}", f"{done.left.get(topic, 0):,}") for topic in _topics(world)]
    table("Archived", ("topic", "archived", "left the topic"), rows, right=("archived", "left the topic"))
    if done.erased:
        OUT.print(f"{done.erased:,} decision(s) to erase were carried out.", highlight=False)


@app.command()
def status(context: typer.Context, json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Show how far the archive is, what the topics still hold, and which erasures wait.

    Example: `exchange archive status`
    """
    world = worlds.of(context)
    volumes, keys = world.volumes, world.archive_keys
    asking = reader(world.base)
    rows = []
    try:
        for topic in world.layout.topics:
            if topic.leaves_after_ms is None:
                continue
            oldest, behind = 0, 0
            for partition in range(topic.partitions):
                low, end = ends(asking, topic.name, partition)
                behind += end - (volumes.next_offset(topic.name, partition) or low)
                oldest += low
            rows.append((topic.name, behind, oldest, topic.leaves_after_ms // 86_400_000))
    finally:
        asking.close()
    eraser = _eraser(world)
    waiting = len(world.directory_log.directory.latest().erasures(eraser.next_offset()))
    eraser.close()
    kept, destroyed = keys.count()
    if json:
        topics = [{"topic": t, "behind": b, "left": o, "leaves_after_days": d} for t, b, o, d in rows]
        print_json({"topics": topics, "statements": kept, "erased": destroyed, "erasures_waiting": waiting})
        return
    cells = [(t, f"{b:,}", f"{o:,}", f"{d} days") for t, b, o, d in rows]
    table(
        "The archive", ("topic", "behind", "left the topic", "leaves after"), cells, right=("behind", "left the topic")
    )
    OUT.print(
        f"{kept:,} statements have a key, {destroyed:,} were erased, {waiting:,} decision(s) wait.", highlight=False
    )


@app.command()
def show(
    context: typer.Context,
    id_: Annotated[str, typer.Argument(metavar="ID", help="A document's, report's or status's id.")],
    sender: Annotated[str | None, typer.Option(help="Needed only if several senders used the id.")] = None,
    thread: Annotated[str | None, typer.Option(help="Needed only if a sender used the id in several threads.")] = None,
    save: Annotated[Path | None, typer.Option(file_okay=False, help="Write statement and attachments here.")] = None,
    reason: OptionalReason = "",
    by: By = None,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show what the archive holds of one document: its statement, what was said about it, its attachments.

    That you did is recorded first.

    Example: `exchange archive show 0b7f6c1e-… --save folder`
    """
    world = worlds.of(context)
    way = way_of(world, id_, sender, thread)
    Accesses(world.base).record(access("export", by, reason, id_), way.places())
    volumes, attachments = world.volumes, world.sealed_attachments
    entries = entries_of(way)
    reads = {entry: volumes.one(entry.source_topic, entry.partition, entry.source_offset) for entry in entries}
    if not any(reads.values()):
        for erasing in way.erasings:
            decided = f"{clock(erasing.decided_ms)} by {erasing.by} and {erasing.seconded_by}: {erasing.reason}"
            raise Rejected("archive.erased", f"{id_} was erased, decided {decided}")
        raise Rejected("archive.missing", f"{id_} isn't archived yet; `exchange archive run` does it now")
    found = [(entry, read) for entry, read in reads.items() if read is not None]
    kept = [(digest, one) for entry, _ in found if (digest := digest_of(entry)) for one in attachments.of(digest)]
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
        for entry, read in found:
            (save / f"{entry.source_topic}-{entry.partition}-{entry.source_offset}.record").write_bytes(read.value)
        for digest, attachment in kept:
            with (save / attachment.hex()).open("wb") as target:
                target.writelines(attachments.read(digest, attachment))
    if json:
        print_json([{"place": _place(entry), "outcome": entry.outcome, "said": _said(read)} for entry, read in found])
        return
    for entry, read in found:
        OUT.print(f"{clock(read.append_ms)}  {entry.outcome} {entry.kind} {entry.id} from {entry.sender}: "
                  f"{size(len(read.value))}, {_place(entry)}", markup=False, highlight=False)  # fmt: skip
    for _, attachment in kept:
        OUT.print(f"  attachment {attachment.hex()}", highlight=False)


def way_of(world: World, id_: str, sender: str | None, thread: str | None) -> Way:
    """The way of one document, with the decisions to erase it. Raises: Rejected ``archive.unknown``, …"""
    try:
        way = trace(TraceStore(world.database_url), id_, sender, thread)
    except Ambiguous as exc:
        raise Rejected(exc.code, f"{exc.detail}; say which with --sender or --thread") from exc
    if way is None:
        raise Rejected("archive.unknown", f"nothing ever bore the id {id_}")
    return with_erasings(way, world.directory_log.directory.latest())


def entries_of(way: Way) -> list[Entry]:
    """The document's own submissions and what was said about it; not its recalls, updates and replacements."""
    own = [way.document.entry] if way.document is not None else []
    own += [*way.duplicates, *way.rejections, *(step.entry for step in way.steps)]
    return own + [entry for entry in way.others if entry.outcome == "set_aside" and entry.id == way.id]


def digest_of(entry: Entry) -> bytes:
    """The SHA-256 of an entry's statement; empty if the trace doesn't tell."""
    return bytes.fromhex(entry.sha256 or "")


def submission_of(world: World, entry: Entry) -> Read | None:
    """A submission, from its topic or from the archive."""
    where = (entry.source_topic, entry.partition, entry.source_offset)
    return read_one(world.base, *where) or world.volumes.one(*where)


def _eraser(world: World) -> Eraser:
    places = Places(world.objects("archive"), world.archive_keys, world.sealed_attachments, folder_of(world))
    return Eraser(world.base, world.directory_log, places)


def _said(read: Read) -> object:
    try:
        raw = decode_record(read.value)["statement"]
        found = identify(raw)
        return found.decode(raw) if found.name in KINDS else None
    except Rejected:
        return None


def _place(entry: Entry) -> str:
    return f"{entry.source_topic}/{entry.partition}/{entry.source_offset}"


def _topics(world: World) -> list[str]:
    return [topic.name for topic in world.layout.topics if topic.leaves_after_ms is not None]
