"""The balance of the books, re-derived from the topics alone: pure, from records to findings.

Guarantees: the same cut, records and directory give the same balance. Partition numbers are audited one after
the other, then the inboxes, so memory holds one partition's claims and about 30 bytes for each expected
delivery. Findings name the submission; its id is looked up afterwards where the place of the finding hadn't it.

What was erased by a decision of the directory is passed over, and counted; every event about an erasure must be one of
these decisions.

Unless the audit is a deep one (`exchange.auditor.deep`), it doesn't verify signatures, and doesn't judge what the hop
rejected: only that it kept and told it. What was set aside is held against the operators' decisions in the directory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from exchange.agencies import BACKBONE_CODE, Directory, Level
from exchange.auditor.books import Balance, Coordinates
from exchange.auditor.claims import Claims
from exchange.auditor.cut import Cut, Source
from exchange.auditor.deep import Deep
from exchange.auditor.deltas import Counted, ignore
from exchange.auditor.findings import Findings
from exchange.auditor.hop_records import STORE, HopRecords
from exchange.auditor.inboxes import Inboxes
from exchange.auditor.partition import PartitionAudit
from exchange.auditor.receipts import Receipts
from exchange.auditor.recount import Recount, inbox_of
from exchange.auditor.said import read_statement
from exchange.auditor.scope import Scope, Told, pass_over
from exchange.auditor.share import Part, Share, merged
from exchange.auditor.tally import Tally
from exchange.auditor.windows import Windows
from exchange.errors import InvariantBroken, Rejected
from exchange.statements import Fields


def reconcile(
    cut: Cut,
    source: Source,
    directory: Directory | None,
    backbone: str = BACKBONE_CODE,
    counted: Counted = ignore,
    told: Told = pass_over,
    deep: Deep | None = None,
    windows: Windows | None = None,
) -> Balance:
    """Audit everything below the cut, here and now; see `examine`."""
    return merged(cut, [examine(cut, source, directory, backbone, counted, told, deep, windows=windows)])


def examine(
    cut: Cut,
    source: Source,
    directory: Directory | None,
    backbone: str = BACKBONE_CODE,
    counted: Counted = ignore,
    told: Told = pass_over,
    deep: Deep | None = None,
    share: Share = Share(),  # noqa: B008  a value
    windows: Windows | None = None,
) -> Part:
    """Audit one share of what lies below the cut.

    `directory`: read at least as far as the hop; `backbone`: who signs notices.

    `counted`: told each recounted cell, `told` each event, for whoever compares other sums with them. `deep`: what to
    go into beyond the books; then `directory` may be None, to be read from its topic. `windows`: the throughput's, to
    hold against the recount.

    Raises: Unavailable ``directory.behind`` if the trace names a later directory offset (of a deep audit that is a
        finding); whatever `source` raises.
    """
    tally, findings = Tally(), Findings()
    records = HopRecords(source, tally, findings)
    if deep is not None:
        directory = deep.founded(source, findings if share.is_first else Findings())
        deep.begin(directory, findings)
    elif directory is None:
        raise InvariantBroken("an audit without a directory")
    recount = Recount(directory, cut.inbox_partitions, None if deep is None else _missing_entries(directory, findings))
    cut = replace(cut, erased=_erased(directory))
    inboxes = Inboxes(cut, tally, findings, None if deep is None else deep.backbone)
    for number in filter(share.takes, range(cut.partitions)):
        scope = Scope(
            number=number,
            cut=cut,
            backbone=backbone,
            recount=recount,
            tally=tally,
            findings=findings,
            inboxes=inboxes,
            claims=Claims(records.keyed(STORE, number), number, cut, findings),
            receipts=Receipts(number),
            dead_letters=records.dead_letters(number, cut, in_order=deep is not None),
            counted=counted,
            told=told,
            deeper=None if deep is None else deep.verdicts(number, cut, records, recount, findings),
            windows=windows,
        )
        PartitionAudit(scope, records).run()
    for level in Level:
        for partition in range(cut.inbox_partitions):
            deliveries = records.deliveries(inbox_of(level), partition, share)
            inboxes.check((level, partition), deliveries)
    inboxes.finish()
    _check_erasures(records.decisions, directory, findings)
    if deep is not None:
        deep.verified()
        deep.beyond(source, cut, findings, share)
    findings.name(_ids(source, findings.nameless(), cut))
    compared = None if deep is None else deep.counts
    return Part(tally, findings, compared, None if windows is None else windows.compared)


def _missing_entries(directory: Directory, findings: Findings) -> Callable[[int], None]:
    """Names the end of a directory that is said to have been longer, once."""
    told = set[int]()

    def behind(offset: int) -> None:
        end = directory.next_offset
        if not told:
            findings.add("audit.missing_entry", Coordinates("directory", 0, end), f"events name it up to {offset}")
        told.add(end)

    return behind


def _erased(directory: Directory) -> dict[tuple[str, int], set[int]]:
    """The submissions that decisions of the directory name, by source partition."""
    found: dict[tuple[str, int], set[int]] = {}
    for _, decision in directory.latest().erasures():
        for one in decision.statements:
            found.setdefault((one.topic, one.partition), set()).add(one.offset)
    return found


def _check_erasures(events: list[tuple[Coordinates, Fields]], directory: Directory, findings: Findings) -> None:
    """Every event about an erasure is a decision of the directory, once."""
    decided = {
        (offset, one.statements[0].partition): (one.thread, one.sender, one.id)
        for offset, one in directory.latest().erasures()
    }
    seen = set[Coordinates]()
    for at, event in events:
        if decided.get((at.offset, at.partition)) != (event["thread"], event["sender"], event["id"]):
            findings.add("audit.erasure_without_decision", at, f"outcome {event['outcome']}", event["id"])
        elif at in seen:
            findings.add("audit.doubled_erasure", at, "again", event["id"])
        seen.add(at)


def _ids(source: Source, wanted: dict[tuple[str, int], set[int]], cut: Cut) -> Iterator[tuple[Coordinates, str]]:
    """Look the statements' ids up in the submissions."""
    for (topic, partition), offsets in wanted.items():
        if (topic, partition) not in cut.next_offsets:
            continue
        last = max(offsets)
        for read in source.read(topic, partition):
            if read.offset > last:
                break
            if read.offset in offsets:
                try:
                    yield Coordinates(topic, partition, read.offset), read_statement(read.value).fields["id"]
                except Rejected:
                    continue
