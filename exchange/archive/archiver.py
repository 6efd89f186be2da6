"""The archiver: from the topics to volumes, and then out of the topics, behind the traffic.

In turn, for each pass: read what is new of every topic → seal attachments → write volumes → carry out what was
decided to be erased → let old records leave the topics.

| it dies … | the archive | so |
|---|---|---|
| while it reads or seals | ends where it did | the same records are read again |
| after a volume, before the next | ends behind that volume | it goes on from there |
| before records left | holds them | they leave in a later pass |

Guarantees: a record leaves a topic only once it lies in a volume, is older than the topic's time, and whoever must
read it has: submissions the hop, the trace the ledger, the promises and the trace store. Kafka's own retention is off
(deploy/topics.toml). Two archivers do no harm: of each volume one of them is first, the other goes on behind it.
Memory: at most `BUFFER_BYTES_MAX` of records.

Does not: hurry anybody, or wait for readers of inboxes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from threading import Event

import structlog
from confluent_kafka.admin import AdminClient

from exchange import metrics
from exchange.archive.attachments import SealedAttachments
from exchange.archive.parts import DEAD_LETTERS
from exchange.archive.volumes import Partition, Volumes
from exchange.backbone.clients import Config, reader
from exchange.backbone.offsets import ends, first_since
from exchange.backbone.reading import Read, read_to_end
from exchange.backbone.topics import Layout, leave
from exchange.errors import InvariantBroken, Misconfigured, Rejected, Unavailable
from exchange.pipeline.books import TRACE
from exchange.pipeline.routing import INBOX_TOPICS
from exchange.signatures import decode_record
from exchange.statements import KINDS, SUBMISSION_TOPICS, identify, schema

VOLUME_BYTES = 4 * 1024 * 1024
"""A volume ends with the record that reaches this many bytes of values."""
BUFFER_BYTES_MAX = 64 * 1024 * 1024
PASS_EVERY_S = 60.0
SWEEP_EVERY_S = 86_400.0
PAUSE_S = 5.0
"""After a pass that the world broke off."""

ASKING_S = 20.0

_INBOXES = frozenset(INBOX_TOPICS.values())

log = structlog.get_logger(__name__)

Taken = Callable[[], Mapping[Partition, int]]
"""How far others have read: next offset of each partition that they must have read before it may leave."""


@dataclass(slots=True)
class Pass:
    """What one pass did: records archived and let go, by topic."""

    archived: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    erased: int = 0
    attachments_left: int = 0


class Archiver:
    """Archives one exchange. `taken`: see `Taken`; `erase`: carries out what was decided, returns how many."""

    def __init__(
        self,
        base: Config,
        layout: Layout,
        volumes: Volumes,
        attachments: SealedAttachments,
        taken: Taken,
        erase: Callable[[], int],
    ) -> None:
        """Raises: Misconfigured: records would leave in an order in which they miss each other."""
        self._base = base
        self._admin = AdminClient(base)
        self._volumes = volumes
        self._attachments = attachments
        self._taken = taken
        self._erase = erase
        self._leaves_after_ms = {t.name: t.leaves_after_ms for t in layout.topics if t.leaves_after_ms is not None}
        self._partitions = [(t.name, p) for t in layout.topics if t.leaves_after_ms for p in range(t.partitions)]
        _check(self._leaves_after_ms)

    def run(self, stop: Event, now_ms: Callable[[], int]) -> None:
        """Pass after pass until `stop`.

        Raises: Fenced: another one carries out erasures; InvariantBroken, Misconfigured.
        """
        swept = -math.inf
        while not stop.is_set():
            pause_s, began = PASS_EVERY_S, time.monotonic()
            try:
                is_sweep = time.monotonic() - swept > SWEEP_EVERY_S
                done = self.once(now_ms(), is_sweep=is_sweep, is_over=stop.is_set)
                swept = time.monotonic() if is_sweep else swept
                _count(done, time.monotonic() - began, now_ms())
                if done.archived or done.left or done.erased:
                    log.info("archive.passed", archived=done.archived, left=done.left, erased=done.erased)
            except Unavailable as exc:
                log.warning("archive.waiting", code=exc.code, detail=exc.detail)
                pause_s = PAUSE_S
            stop.wait(pause_s)

    def once(
        self,
        now_ms: int,
        told: Callable[[int], None] = lambda _: None,
        *,
        is_sweep: bool = True,
        is_over: Callable[[], bool] = lambda: False,
    ) -> Pass:
        """One pass, to the ends of the topics as they are when reached. `told`: how many records are archived.

        `is_sweep`: look through the claim-check store as well. `is_over`: break off once it says so; the next pass goes
        on from the volumes that are written.
        """
        done = Pass()
        self._archive(done, told, is_over)
        if is_over():
            return done
        done.erased = self._erase()
        self._leave(done, now_ms)
        if is_sweep:
            kept_ms = max(self._leaves_after_ms[topic] for topic in _INBOXES)
            done.attachments_left = self._attachments.sweep(now_ms, kept_ms)
        return done

    def _archive(self, done: Pass, told: Callable[[int], None], is_over: Callable[[], bool]) -> None:
        starts = self._starts()
        held: dict[Partition, list[Read]] = {}
        sizes: dict[Partition, int] = {}

        def write(where: Partition) -> None:
            reads = held.pop(where)
            sizes.pop(where)
            if not self._write(where, starts[where], reads):  # another archiver is at it: in the next pass
                del starts[where]
                return
            starts[where] = reads[-1].offset + 1
            done.archived[where[0]] = done.archived.get(where[0], 0) + len(reads)
            told(sum(done.archived.values()))

        for portion in read_to_end(self._base, dict(starts)):
            for read in portion:
                where = (read.topic, read.partition)
                if where not in starts:
                    continue
                held.setdefault(where, []).append(read)
                sizes[where] = sizes.get(where, 0) + len(read.value)
                if sizes[where] >= VOLUME_BYTES:
                    write(where)
            while sum(sizes.values()) > BUFFER_BYTES_MAX:
                write(max(sizes, key=sizes.__getitem__))
            if is_over():
                return
        for where in list(held):
            write(where)

    def _starts(self) -> dict[Partition, int]:
        """Where to go on in each partition that has something new."""
        asking = reader(self._base)
        try:
            starts = {}
            for topic, partition in self._partitions:
                oldest, end = ends(asking, topic, partition)
                start = self._volumes.next_offset(topic, partition)
                if start is None or start < oldest:
                    if oldest:
                        log.critical("archive.gap", topic=topic, partition=partition, first=start or 0, next=oldest)
                    start = oldest
                if start < end:
                    starts[topic, partition] = start
            return starts
        finally:
            asking.close()

    def _write(self, where: Partition, first: int, reads: list[Read]) -> bool:
        if where[0] in _INBOXES:
            for read in reads:
                for statement, attachment, size in _attached(read):
                    if not self._attachments.keep(statement, attachment, size):
                        place = f"{read.topic}/{read.partition}/{read.offset}"
                        log.warning("archive.attachment_missing", delivery=place, sha256=attachment.hex())
        return self._volumes.append(*where, first, reads)

    def _leave(self, done: Pass, now_ms: int) -> None:
        """Let the records go that are old, archived, and read by whoever must."""
        taken: Mapping[Partition, int] | None = None
        asking = reader(self._base)
        try:
            for topic, partition in self._partitions:
                archived = self._volumes.next_offset(topic, partition)
                oldest, _ = ends(asking, topic, partition)
                bounds = [
                    archived or 0,
                    first_since(asking, topic, partition, max(now_ms - self._leaves_after_ms[topic], 0)),
                ]
                if min(bounds) > oldest and (topic in SUBMISSION_TOPICS or topic == TRACE):
                    taken = self._taken() if taken is None else taken
                    bounds.append(taken.get((topic, partition), 0))
                offset = min(bounds)
                if offset > oldest:
                    leave(self._admin, topic, partition, offset)
                    done.left[topic] = done.left.get(topic, 0) + offset - oldest
        finally:
            asking.close()


def _count(done: Pass, seconds: float, at_ms: int) -> None:
    """Give Prometheus what a pass did."""
    for topic, count in done.archived.items():
        metrics.ARCHIVE_ARCHIVED.labels(topic).inc(count)
    for topic, count in done.left.items():
        metrics.ARCHIVE_LEFT.labels(topic).inc(count)
    metrics.ARCHIVE_ERASED.inc(done.erased)
    metrics.ARCHIVE_PASS.set(seconds)
    metrics.ARCHIVE_PASSED.set(at_ms / 1000)


def _check(leaves_after_ms: Mapping[str, int]) -> None:
    """Submissions leave before their copies, these before the events: an audit begins with the oldest submission."""
    submissions = [leaves_after_ms[topic] for topic in SUBMISSION_TOPICS]
    inboxes = [leaves_after_ms[topic] for topic in INBOX_TOPICS.values()]
    order = [max(submissions), min(inboxes), max(inboxes), min(leaves_after_ms[TRACE], leaves_after_ms[DEAD_LETTERS])]
    if len(set(submissions)) > 1 or any(earlier > later for earlier, later in pairwise(order)):
        raise Misconfigured(["topics.toml: submissions must leave together, then inboxes, then trace and dead letters"])


def _attached(delivery: Read) -> list[tuple[bytes, bytes, int]]:
    """Statement, attachment and its size, for each that a delivered statement names.

    Of deliveries, not of submissions: only what was accepted may make us store something.
    """
    try:
        raw = decode_record(schema("delivery").decode(delivery.value)["record"])["statement"]
        found = identify(raw)
        kind = KINDS.get(found.name)
        attachments = [] if kind is None else kind.attachments(found.decode(raw))
    except Rejected as exc:
        raise InvariantBroken(f"a delivery that can't be read: {exc}") from exc
    return [(sha256(raw).digest(), one.sha256, one.size) for one in attachments]
