"""Auditing a running exchange: the cut taken from Kafka, and the topics re-read up to it.

Guarantees: the hop may go on meanwhile. The committed offsets are taken first (the coordinator answers only when
no transaction over them is pending); then every topic of the hop's is waited for until what was written by that
moment is visible, since a transaction's markers reach its partitions one by one.

Does not commit, join the group or write anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from exchange.agencies import BACKBONE_CODE, Directory, Level
from exchange.auditor.books import Balance, Finding
from exchange.auditor.cut import Cut, Earlier
from exchange.auditor.deep import Deep
from exchange.auditor.deltas import Counted, ignore
from exchange.auditor.hop_records import DEAD_LETTERS, DELTAS, STORE, TRACE
from exchange.auditor.hour import Fetch, HourAudit, Statement, open_books
from exchange.auditor.reconcile import examine, reconcile
from exchange.auditor.recount import inbox_of
from exchange.auditor.share import Part, Share, merged
from exchange.auditor.windows import Windows
from exchange.backbone.clients import Config, reader
from exchange.backbone.directory_log import DirectoryLog
from exchange.backbone.offsets import await_stable, committed, ends, first_since
from exchange.backbone.reading import Read, Readers, partitions_of
from exchange.signatures import PublicKey, Trust
from exchange.statements.hours import Hour

MARGIN_MS = 3_600_000

QUEUE_KBYTES = 4_096
"""What a reader may have fetched ahead: an audit follows every partition of the trace at once."""

Progress = Callable[[str, int, int], None]
"""Told what is going on, and how far it is of how much."""


def quiet(_: str, __: int, ___: int) -> None:
    """Tell nobody."""


def audit(
    base: Config,
    directory: Directory | PublicKey,
    group: str = "hop",
    counted: Counted = ignore,
    earlier: Earlier | None = None,
    deep: Deep | None = None,
    progress: Progress = quiet,
    windows: Windows | None = None,
) -> Balance:
    """Audit everything that the hop's `group` has committed, from the oldest submission kept on; with `earlier`, what
    has left the topics, from the oldest archived.

    `directory`: one that was read at least as far as the hop, or the registrar's key, to read it from its topic
    after the cut, which is always far enough. `deep`: what to go into beyond the books; it reads the directory itself.
    `windows`: what the throughput's windows stated before this was called.

    Raises: Unavailable when Kafka doesn't answer, or ``directory.behind``; InvariantBroken for a directory
        statement that isn't the registrar's.
    """
    cut = take_cut(base, group)
    if earlier is not None:
        cut = from_the_archive_on(cut, earlier)
    return merged(cut, [audit_share(base, directory, cut, Share(), counted, earlier, deep, progress, windows)])


def audit_share(
    base: Config,
    directory: Directory | PublicKey,
    cut: Cut,
    share: Share,
    counted: Counted = ignore,
    earlier: Earlier | None = None,
    deep: Deep | None = None,
    progress: Progress = quiet,
    windows: Windows | None = None,
) -> Part:
    """Audit one share of what lies below a cut; the parts of all shares are `merged`. Raises: as `audit`."""
    if deep is None and not isinstance(directory, Directory):
        log = DirectoryLog(base, directory)
        log.close()
        directory = log.directory
    known = directory if isinstance(directory, Directory) else None
    source = KafkaSource(base, earlier=earlier, progress=progress, share=share)
    try:
        return examine(cut, source, known, counted=counted, deep=deep, share=share, windows=windows)
    finally:
        source.close()


@dataclass(frozen=True, slots=True)
class HourVerdict:
    """The balance from the hour's beginning on, and what its stated books differ in."""

    balance: Balance
    findings: list[Finding]
    rows: int

    @property
    def holds(self) -> bool:
        """Whether the books of the hour are stated, and everything agrees."""
        return self.balance.holds and not self.findings


def audit_hour(
    base: Config,
    registrar: PublicKey,
    hour: Hour,
    fetch: Fetch,
    trust_at: Callable[[int], Trust],
    group: str = "hop",
    backbone: str = BACKBONE_CODE,
) -> HourVerdict:
    """Derive the books of an hour again and compare them with the backbone's statement.

    Reads from an hour before it, so what the broker's clock stepped back over by more isn't found. `fetch`: the object
    store; `trust_at`: by the directory as of an offset.

    Raises: as `audit`.
    """
    cut = take_cut(base, group)
    asking = reader(base)
    try:
        openings = {place: first_since(asking, *place, hour.start_ms) for place in cut.next_offsets}
        ranges = {place: (first, first_since(asking, *place, hour.end_ms)) for place, first in openings.items()}
    finally:
        asking.close()
    log = DirectoryLog(base, registrar)
    log.close()
    recounted = HourAudit(hour, ranges, backbone)
    source = KafkaSource(base, hour.start_ms - MARGIN_MS)
    try:
        balance = reconcile(replace(cut, openings=openings), source, log.directory, backbone, told=recounted.tell)
    finally:
        source.close()

    def opened(statement: Statement) -> dict[str, Any]:
        return open_books(statement, hour, backbone, fetch, trust_at(statement.directory_offset))

    return HourVerdict(balance, recounted.compare(balance, opened), len(recounted.rows))


class KafkaSource:
    """The topics as they are kept; `close` it. `since_ms`: from when on, by the broker's clock; 0: all."""

    def __init__(
        self,
        base: Config,
        since_ms: int = 0,
        earlier: Earlier | None = None,
        progress: Progress = quiet,
        share: Share = Share(),  # noqa: B008  a value
    ) -> None:
        """`share`: what will be read, as far as `progress` goes."""
        self._share = share
        self._since_ms = since_ms
        self._earlier = earlier
        self._asking = reader(base)
        self._readers = Readers(base, QUEUE_KBYTES)
        self._progress = progress
        self._read: dict[str, dict[int, int]] = {}
        self._totals: dict[str, int] = {}

    def read(self, topic: str, partition: int) -> Iterator[Read]:
        """Yield the records of one partition, from the oldest kept (since then) or archived to the end of its log."""
        oldest, end = ends(self._asking, topic, partition)
        if self._since_ms:
            oldest = first_since(self._asking, topic, partition, self._since_ms)
        elif self._earlier is not None:
            yield from self._earlier.read(topic, partition, 0, oldest)
        if oldest < end:
            for portion in self._readers.to_end(topic, partition, oldest):
                yield from portion
                self._tell(topic, partition, portion[-1].offset + 1)

    def _tell(self, topic: str, partition: int, offset: int) -> None:
        """Tell how far a topic has been read; what is read once more counts once."""
        if self._progress is quiet:
            return
        if topic not in self._totals:
            numbers = [p for p in partitions_of(self._asking, topic) if _is_inbox(topic) or self._share.takes(p)]
            self._totals[topic] = sum(ends(self._asking, topic, number)[1] for number in numbers)
        read = self._read.setdefault(topic, {})
        read[partition] = max(read.get(partition, 0), offset)
        total = self._totals[topic]
        self._progress(f"Re-reading {topic}", min(sum(read.values()), total), total)

    def first(self, topic: str, partition: int) -> int:
        """The offset before which nothing is kept, nor archived."""
        archived = None if self._earlier is None else self._earlier.first_offset(topic, partition)
        return ends(self._asking, topic, partition)[0] if archived is None else archived

    def close(self) -> None:
        """Let go of the connections."""
        self._asking.close()
        self._readers.close()


def _is_inbox(topic: str) -> bool:
    """Every share reads all of the inboxes."""
    return topic in {inbox_of(level) for level in Level}


def from_the_archive_on(cut: Cut, earlier: Earlier) -> Cut:
    """The cut with what has left the topics."""
    begun = {where: earlier.first_offset(*where) for where in cut.openings}
    return replace(cut, openings={w: cut.openings[w] if first is None else first for w, first in begun.items()})


def take_cut(base: Config, group: str) -> Cut:
    """Take the committed offsets, and wait until all that belongs to them can be read.

    Raises: Unavailable ``kafka.unstable`` if transactions stay open; other Unavailable, Fenced.
    """
    asking = reader(base, group_id=group)
    try:
        keyed = len(partitions_of(asking, TRACE))
        inboxes = len(partitions_of(asking, inbox_of(Level.CENTRAL)))
        next_offsets = committed(asking, range(keyed))
        openings = {(topic, p): ends(asking, topic, p)[0] for topic, p in next_offsets}
    finally:
        asking.close()
    outputs = [(topic, p) for topic in (TRACE, DEAD_LETTERS, DELTAS, STORE) for p in range(keyed)]
    outputs += [(inbox_of(level), p) for level in Level for p in range(inboxes)]
    await_stable(base, outputs)
    return Cut(keyed, inboxes, next_offsets, openings)
