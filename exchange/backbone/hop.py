"""The hop: from submission to inbox in one Kafka transaction a batch.

What a crash leaves, step by step; the next owner restores the store and goes on:

| the worker dies … | inboxes, trace, offsets, store | so |
|---|---|---|
| before the transaction begins | untouched | the batch is read again |
| while producing, or before the offsets are sent | written, never visible: aborted within 3 s | read again |
| after the offsets were sent | aborted within 3 s | read again |
| while the commit is under way | all visible or none: the broker decides | read again, or gone on from |
| after the commit | all visible | the store is restored from its changelog |

Fencing: the transaction carries the group's generation (KIP-447), so a worker that lost its partitions can't
move their offsets; a second worker of the same name fences the first by its transactional id. Either stops the
worker with `Fenced`. The store changes only after the commit (staged, then applied).

One thread but for signatures, which are verified in two; call `run` in the thread that made the worker.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

import structlog
from confluent_kafka import Consumer, Message, TopicPartition

from exchange import metrics, spans
from exchange.agencies.entries import SettingAside
from exchange.backbone.changelog import note, restore, whole_from
from exchange.backbone.clients import Config, error_of, member, transactional_producer
from exchange.backbone.directory_log import DirectoryLog
from exchange.backbone.lanes import Lanes
from exchange.backbone.offsets import await_stable, committed, committed_with_notes, ends
from exchange.backbone.reading import record_of
from exchange.backbone.transaction import Probe, Transactions
from exchange.backbone.verifying import Verifying
from exchange.errors import Fenced, InvariantBroken, Rejected, Unavailable
from exchange.pipeline.decide import Decisions, Verdict
from exchange.pipeline.outputs import CHANGELOG, Outputs, Position, Rules
from exchange.pipeline.routing import INBOX_TOPICS, Router
from exchange.pipeline.store import PartitionStore
from exchange.pipeline.submission import Submission
from exchange.statements import SUBMISSION_TOPICS

GROUP = "hop"
BATCH_BYTES_MAX = 16 * 1024 * 1024
OUTPUT_BYTES_MAX = 16 * 1024 * 1024
POLL_S = 0.01
GC_ALLOCATIONS = 50_000
"""A batch makes more objects than the collector's default of 700 would ever find garbage in."""
POLL_RECORDS = 250
"""Asked of the client at a time."""
WORLD_RETRY_S = 1.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Owned:
    """What a worker holds of one assignment. `positions`: next offset of every input.

    `group`: its membership when it was assigned. The client's present one may be of a later generation, under which
    what was read before belongs to others.
    """

    positions: dict[Position, int]
    stores: dict[int, PartitionStore]
    group: Any


NOTHING = Owned({}, {}, None)


class Hop:
    """One worker. `name` is its identity over restarts: group instance and transactional id."""

    def __init__(
        self, base: Config, rules: Rules, directory: DirectoryLog, verifying: Verifying, probe: Probe = lambda _: None
    ) -> None:
        self._base = base
        self._rules = rules
        self._directory = directory
        self._verifying = verifying
        self._probe = probe
        self._consumer: Consumer = member(base, GROUP, rules.worker)
        self._lanes = Lanes(self._consumer, base)
        self._transactions = Transactions(transactional_producer(base, f"{GROUP}-{rules.worker}"), probe)
        self._owned = self._last_owned = NOTHING
        self._assignment: list[int] | None = None
        """Partitions assigned to us but not yet taken over."""
        self._is_ending = False
        self._router = Router(directory.directory.latest(), rules.inbox_partitions)
        verifying.renew(self._router.view)

    def run(self, stop: Event) -> None:
        """Work until `stop` is set. Raises: Fenced, InvariantBroken; both end the process."""
        self._consumer.subscribe(
            list(SUBMISSION_TOPICS), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )
        _spare_the_collector()
        try:
            while not stop.is_set():
                try:
                    self._turn()
                except Unavailable as exc:
                    log.warning("hop.waiting", worker=self._rules.worker, code=exc.code, detail=exc.detail)
                    metrics.HOP_WAITS.labels(exc.code).inc()
                    self._rewind()
                    stop.wait(WORLD_RETRY_S)
        finally:
            self._leave()

    def _leave(self) -> None:
        """Close. What the client has still to tell is heard first: over an assignment that it tells of while it closes,
        it can wait for ever."""
        with contextlib.suppress(Unavailable, Fenced):
            self._hear()
        self._is_ending = True
        with self._transactions.watchdog.over("close"):
            self._lanes.close()

    def _turn(self) -> None:
        """Read, verify and commit one batch, in as many transactions as its outputs need."""
        self._follow_directory()
        if self._assignment is not None:
            self._hear()
        if self._assignment is not None:
            self._take_over(self._assignment)
        submissions = self._poll()
        if not submissions:
            return
        began = time.monotonic()
        verdicts = self._verdicts(submissions)
        self._probe("verified")
        start = 0
        while start < len(submissions):
            start = self._transact(submissions, verdicts, start)
        metrics.HOP_BATCH.observe(time.monotonic() - began)

    def _poll(self) -> list[Submission]:
        """Read the next batch, bounded by records, bytes and time; urgent first, each log in its order.

        Empty when partitions moved meanwhile: what was read before that is read again by whoever holds them now.
        """
        owned, deadline, most = self._owned, time.monotonic() + POLL_S, self._lanes.batch_records_max
        submissions = [_submission(message) for message in self._lanes.urgent(most)]
        size = sum(len(submission.value) for submission in submissions)
        while len(submissions) < most and size < BATCH_BYTES_MAX:
            asked = min(POLL_RECORDS, most - len(submissions))
            pause_s = 0.0 if submissions else max(deadline - time.monotonic(), 0.0)
            read = [_submission(message) for message in self._lanes.others(asked, pause_s)]
            if self._owned is not owned or self._assignment is not None:
                return []
            size += sum(len(submission.value) for submission in read)
            submissions += read
            if len(read) < asked:
                break
        if submissions:
            self._probe("polled")
            submissions.sort(key=lambda s: SUBMISSION_TOPICS.index(s.topic))
        return submissions

    def _verdicts(self, submissions: Sequence[Submission]) -> list[Verdict | SettingAside]:
        """Verify a batch; if a certificate is unknown, first make sure that the directory isn't just behind."""
        verdicts = self._verifying.verdicts(submissions)
        unknown = any(isinstance(v, Rejected) and v.code == "certificate.unknown" for v in verdicts)
        if unknown and self._directory.catch_up():
            self._follow_directory()
            return self._verifying.verdicts(submissions)
        return verdicts

    def _transact(
        self, submissions: Sequence[Submission], verdicts: Sequence[Verdict | SettingAside], start: int
    ) -> int:
        """Take submissions from `start` until the output bound; returns where to go on."""
        owned, began_s = self._owned, time.time()
        self._begin_sweeps(owned)
        decisions = Decisions(self._rules, self._router, owned.stores, owned.positions)
        end = start
        while end < len(submissions) and decisions.outputs.size_bytes < OUTPUT_BYTES_MAX:
            self._decide(decisions, submissions[end], verdicts[end])
            end += 1
        records = decisions.records(int(time.time() * 1000))
        after = decisions.outputs.next_offsets()
        self._probe("decided")
        offsets = [
            TopicPartition(*position, offset, note(owned.stores[position[1]])) for position, offset in after.items()
        ]
        self._transactions.write(records, offsets, owned.group)
        for partition in {partition for _, partition in after}:
            owned.stores[partition].apply()
        owned.positions.update(after)
        self._probe("applied")
        self._count(decisions.outputs, owned)
        makes = spans.current()
        if makes is not None:
            makes.batch("hop", began_s, time.time(), _steps(makes, submissions[start:end], decisions.outputs))
        return end

    def _count(self, outputs: Outputs, owned: Owned) -> None:
        """Give Prometheus what one transaction did."""
        now = time.time()
        for (kind, outcome, code), count in outputs.counts().items():
            metrics.HOP_RECORDS.labels(kind, outcome, code).inc(count)
        for topic, oldest_ms, count in outputs.oldest():
            metrics.HOP_DELIVERY.add(topic, max(now - oldest_ms / 1000, 0.0), count)
        metrics.HOP_REFUSED.add(outputs.refused)
        metrics.HOP_COMMITTED.set(now)
        metrics.HOP_CLAIMS.set(sum(len(store) for store in owned.stores.values()))

    def _decide(self, decisions: Decisions, submission: Submission, verdict: Verdict | SettingAside) -> None:
        """Decide about one submission, unless an operator has; a bug of ours in that names the record to look at."""
        try:
            if isinstance(verdict, SettingAside):
                decisions.set_aside(submission, verdict)
            else:
                decisions.decide(submission, verdict)
        except Unavailable:
            raise
        except Exception as exc:
            raise InvariantBroken(f"deciding failed on {submission.place}: {exc!r}", submission.place) from exc

    def _begin_sweeps(self, owned: Owned) -> None:
        """Begin those that are due, before anything is written that they needn't carry."""
        for partition, store in owned.stores.items():
            if store.is_sweep_due:
                store.begin_sweep(ends(self._consumer, CHANGELOG, partition)[1])

    def _rewind(self) -> None:
        """After an abort: forget what was staged, and take over anew what is ours; see there."""
        for store in self._owned.stores.values():
            store.drop()
        if self._owned.stores:
            self._assignment = sorted(self._owned.stores)

    def _follow_directory(self) -> None:
        if self._directory.poll() or self._router.view.offset != self._directory.directory.next_offset:
            view = self._directory.directory.latest()
            self._router = Router(view, self._rules.inbox_partitions)
            self._verifying.renew(view)

    def _assigned(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        """Note what is ours; nothing of it is read before it is taken over."""
        partitions = sorted({tp.partition for tp in assigned})
        if len(assigned) != len(partitions) * len(SUBMISSION_TOPICS):
            raise InvariantBroken(f"inputs are not co-partitioned: {assigned}")
        self._lanes.stop()
        if self._is_ending:  # while it closes, the client still tells of what came before; the group is left by then
            return
        self._owned = replace(NOTHING, group=consumer.consumer_group_metadata())
        self._assignment = partitions

    def _hear(self) -> None:
        """Let the client say that partitions moved meanwhile; a record that it hands out is read again."""
        message = self._consumer.poll(0.0)
        failure = message.error() if message is not None else None
        if failure is not None:
            raise error_of(failure)

    def _take_over(self, partitions: list[int]) -> None:
        """Restore before the first record is read; keep a store that nobody else can have moved on.

        Nothing is written before every transaction has ended that is open over what we shall write to: a broker that
        lost an abort's markers would commit what was aborted along with the next transaction of the same producer
        (decision 0008).

        Not in the callback: what it raises there leaves the client reading what was never restored.
        Raises: Unavailable (nothing is taken over: do it again), InvariantBroken.
        """
        began = time.monotonic()
        found = committed_with_notes(self._consumer, partitions)
        positions = {position: offset for position, (offset, _) in found.items()}
        notes = {position: text for position, (_, text) in found.items()}
        inboxes = [(topic, p) for topic in INBOX_TOPICS.values() for p in range(self._rules.inbox_partitions)]
        await_stable(self._base, [*((CHANGELOG, partition) for partition in partitions), *inboxes])
        kept = {p: self._last_owned.stores[p] for p in partitions if self._is_current(p, positions)}
        missing = [p for p in partitions if p not in kept]
        wanted = {(topic, p): offset for (topic, p), offset in positions.items() if p in missing}
        try:
            stores = kept | restore(self._base, wanted, {p: whole_from(notes, p) for p in missing})
        except InvariantBroken as exc:
            if committed(self._consumer, partitions) != positions:
                raise Unavailable(
                    "kafka.moved_on", "others hold these partitions since their offsets were read"
                ) from exc
            raise
        self._lanes.start(positions)
        self._owned = self._last_owned = replace(self._owned, positions=positions, stores=stores)
        self._assignment = None
        seconds = round(time.monotonic() - began, 3)
        claims = sum(len(store) for store in stores.values())
        metrics.HOP_PARTITIONS.set(len(partitions))
        metrics.HOP_CLAIMS.set(claims)
        metrics.HOP_RESTORE.set(seconds)
        whole = {partition: store.sweep.whole_from for partition, store in stores.items()}
        log.info(
            "hop.assigned",
            worker=self._rules.worker,
            partitions=partitions,
            claims=claims,
            whole_from=whole,
            seconds=seconds,
        )

    def _is_current(self, partition: int, positions: dict[Position, int]) -> bool:
        last = self._last_owned
        return partition in last.stores and all(
            positions[topic, partition] == last.positions[topic, partition] for topic in SUBMISSION_TOPICS
        )

    def _revoked(self, _: Consumer, revoked: list[TopicPartition]) -> None:
        """No transaction is open across a poll, so there is nothing to finish; nothing is ours from here on."""
        self._lanes.lose()
        self._owned, self._assignment = NOTHING, None
        metrics.HOP_PARTITIONS.set(0)
        log.info("hop.revoked", worker=self._rules.worker, partitions=sorted({tp.partition for tp in revoked}))


def _spare_the_collector() -> None:
    """Let the collector look neither at the directory again nor at every batch: hardly anything in it is a cycle."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 100)


def _steps(makes: spans.Spans, submissions: Sequence[Submission], outputs: Outputs) -> list[spans.Step]:
    """What became of those submissions that are followed."""
    followed = {(one.topic, one.partition, one.offset): traceparent
                for one in submissions if (traceparent := makes.follows(one.traceparent)) is not None}  # fmt: skip
    if not followed:
        return []
    return [
        spans.Step(
            traceparent,
            event["append_ms"] / 1000,
            {
                "exchange.place": f"{topic}/{partition}/{event['offset']}",
                "exchange.kind": event["kind"],
                "exchange.outcome": event["outcome"],
                "exchange.code": event["code"],
            },
        )
        for topic, partition, event in outputs.events()
        if (traceparent := followed.get((topic, partition, event["offset"]))) is not None
    ]


def _submission(message: Message) -> Submission:
    failure = message.error()
    if failure is not None:
        raise error_of(failure)
    read = record_of(message)
    traceparent = None
    headers = message.headers()
    for name, value in headers if isinstance(headers, list) else ():
        if name == "traceparent" and isinstance(value, bytes) and len(value) == 55:  # W3C, version 00
            traceparent = value
    return Submission(read.topic, read.partition, read.offset, read.append_ms, read.key, read.value, traceparent)
