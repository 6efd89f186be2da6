"""`exchange erase`: two operators' signed decision to destroy what was said in one document and about it.

Guarantees: what is signed names exactly the submissions that were shown. It is an entry of the directory, so it can't
be taken back; the archiver carries it out, and the trace and the ledger tell of it. What the topics still hold leaves
them by their own time; the command says when.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from exchange.agencies import Erased, Erasure
from exchange.archive.parts import statement_of
from exchange.cli import world as worlds
from exchange.cli.accountable import REASON_CHARACTERS_MAX, one_line, who
from exchange.cli.archiving import digest_of, entries_of, submission_of, way_of
from exchange.cli.output import ERR, NO, OUT, clock, print_json
from exchange.cli.world import World
from exchange.errors import Rejected
from exchange.local.founding import now_ms, publish
from exchange.pipeline.books import printable
from exchange.views.trace_path import Entry
from exchange.views.trace_path import Path as Way

STATEMENTS_MAX = 1_000
"""In one decision; a document with more gets several."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("erase")(erase)


def erase(
    context: typer.Context,
    id_: Annotated[str, typer.Argument(metavar="ID", help="A document's or report's id.")],
    reason: Annotated[str, typer.Option(help="Why; it is signed and kept for ever, so name nothing that goes.")],
    seconded_by: Annotated[str, typer.Option(help="Who agrees; somebody else than who decides.")],
    by: Annotated[str | None, typer.Option(help="Who decides; by default who is logged in.")] = None,
    sender: Annotated[str | None, typer.Option(help="Needed only if several senders used the id.")] = None,
    thread: Annotated[str | None, typer.Option(help="Needed only if a sender used the id in several threads.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Destroy what was said in one document and about it, for good, by a decision signed with the registrar's key.

    Its keys in the archive, its attachments there and its salts in the ledger are destroyed, its texts in the trace
    store blanked. That it was there, who sent it to whom and when, and every proof of that, stays. Recalls, updates and
    replacements are documents of their own.

    Example: `exchange erase 0b7f6c1e-… --reason "order 12/2026" --by An --seconded-by Bình`
    """
    world = worlds.of(context)
    texts = (one_line(reason, REASON_CHARACTERS_MAX, "--reason"), who(by), who(seconded_by))
    if texts[1].casefold() == texts[2].casefold():
        raise typer.BadParameter("somebody else, please", param_hint="--seconded-by")
    way = way_of(world, id_, sender, thread)
    decisions = _decisions(world, way, texts)
    if not decisions:
        for one in way.erasings:
            ERR.print(
                f"It is erased already, decided {clock(one.decided_ms)}; nothing new was signed.", highlight=False
            )
        raise typer.Exit(NO)
    if not json or not yes:
        _show(world, way, decisions)
    if not yes:
        typer.confirm("Erase this, for good?", abort=True, err=True)
    for decision in decisions:
        publish(world.base, world.authority, [decision])
    world.directory_log.catch_up()
    directory_offset = world.directory_log.directory.next_offset
    if json:
        print_json([{**asdict(one), "directory_offset": directory_offset} for one in decisions])
        return
    OUT.print(f"Decided. The archiver carries it out within a minute; `exchange trace {id_}` tells when it has.",
              highlight=False, soft_wrap=True)  # fmt: skip


def _decisions(world: World, way: Way, texts: tuple[str, str, str]) -> list[Erasure]:
    """The decisions about whatever of the document isn't erased already."""
    standing = {
        (one.topic, one.partition, one.offset)
        for _, decision in world.directory_log.directory.latest().erasures()
        for one in decision.statements
    }
    wanted = [entry for entry in entries_of(way) if _place_of(entry) not in standing]
    if not wanted:
        return []
    names = _names(way, wanted[0])
    erased = [_erased(world, entry) for entry in wanted]
    first = len(way.erasings)
    return [
        Erasure(*names, first + number, now_ms(), tuple(erased[at : at + STATEMENTS_MAX]), *texts)
        for number, at in enumerate(range(0, len(erased), STATEMENTS_MAX))
    ]


def _names(way: Way, entry: Entry) -> tuple[str, str, str]:
    """Thread, sender and id, as the trace has them."""
    return (
        printable(way.thread if way.thread is not None else entry.thread, 150),
        printable(way.sender if way.sender is not None else entry.sender, 35),
        way.id,
    )


def _erased(world: World, entry: Entry) -> Erased:
    digest = digest_of(entry)
    if not digest:
        read = submission_of(world, entry)
        if read is None:
            raise Rejected("archive.missing", f"{_place_of(entry)} is neither in its topic nor archived")
        digest = statement_of(read.topic, read.value)
    return Erased(digest, *_place_of(entry), entry.trace_offset, entry.trace_index)


def _place_of(entry: Entry) -> tuple[str, int, int]:
    return entry.source_topic, entry.partition, entry.source_offset


def _show(world: World, way: Way, decisions: list[Erasure]) -> None:
    entries = entries_of(way)
    newest_ms = max(entry.append_ms for entry in entries)
    topics_ms = max(topic.leaves_after_ms or 0 for topic in world.layout.topics)
    subject = way.document.summary.subject if way.document is not None and way.document.summary is not None else "–"
    for name, value in (
        ("document", f"{way.id} of {way.sender or 'several'}"),
        ("subject", subject),
        ("submissions", f"{sum(len(one.statements) for one in decisions):,}"),
        ("the topics", f"hold it until {clock(newest_ms + topics_ms)} at the latest"),
        ("reason", decisions[0].reason),
        ("decided by", f"{decisions[0].by} and {decisions[0].seconded_by}"),
    ):
        ERR.print(f"{name:>12}  {value}", markup=False, highlight=False, soft_wrap=True)
