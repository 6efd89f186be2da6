"""Whoever gives the backbone's promises: from the topic `trace` to the topics `promises` and `lapses`, behind
the traffic.

In turn, for each portion of the trace (at most two megabytes, collected for at most `LINGER_S`) and partition: make the
statements → sign one root over them → write them, the positions after it and what changed among the deadlines in one
Kafka transaction. Every `LOOK_EVERY_S`, of deadlines that have passed: once everything submitted before one was
decided, a lapse for each copy that still waits, in the same way. `STEPS` names the steps.

| it dies … | in the topics | so |
|---|---|---|
| before the commit | nothing | the same trace is read again, and promised once, with the time of then |
| after the commit | all of it | its successor goes on behind it |

Guarantees: every trace event gets one promise, and every copy that still waits at its deadline one lapse, whatever dies
meanwhile. All that is needed to go on lies in the compacted topic `promises.state`; nothing is kept on this machine.
Without that topic it refuses to begin anew. There is one writer: a second one fences the first by the transactional id.
Nothing waits for it.

Does not settle a deadline while the end of a source partition holds nothing but markers of somebody else's
transactions: the next submission there lets it.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from threading import Event
from typing import NamedTuple

from confluent_kafka import Consumer

from exchange import metrics
from exchange.backbone.clients import Config, reader, transactional_producer
from exchange.backbone.following import Following, follow
from exchange.backbone.offsets import await_stable, first_since
from exchange.backbone.reading import SILENCE_TIMEOUT_S, Read, partitions_of, read_to_end
from exchange.backbone.retrying import retried
from exchange.backbone.transaction import Probe, Removal, Transactions
from exchange.errors import InvariantBroken, Rejected, Unavailable
from exchange.ledger.promises.deadlines import TOPICS_OF_DEADLINES, Change, Deadlines
from exchange.ledger.promises.saying import LAPSES, PROMISES, Batch, promises
from exchange.pipeline.books import TRACE, OutRecord
from exchange.signatures import SigningKey
from exchange.statements import Fields, Topic, identify, schema

STATE = "promises.state"
"""The topic: compacted, as many partitions as the trace."""

POSITION = b"position"
LINGER_S = 0.5
LOOK_EVERY_S = 10.0
CLOCKS_MS = 5 * 60_000
"""A deadline counts as passed so long after it by our clock, for a broker whose clock is behind."""

PROMISES_MAX, LAPSES_MAX = 10_000, 5_000
"""Under one signature; a record of the topics then stays below 8 MiB."""

PATIENCE_S = 60.0
TRANSACTIONAL_ID = "promises"
STEPS = ("read", "signed", "begun", "producing", "produced", "committed")
"""The steps of a batch that a probe is told of, in order."""

_WAIT_S = 0.5
_PROMISED = schema("promised")


class Topics(NamedTuple):
    """Where it reads and writes; `sources`: by what name it asks the broker for a source topic."""

    trace: str = TRACE
    promises: str = PROMISES
    lapses: str = LAPSES
    state: str = STATE
    sources: Mapping[str, str] = dict(zip(TOPICS_OF_DEADLINES, TOPICS_OF_DEADLINES, strict=True))


def now_ms() -> int:
    """This machine's clock."""
    return int(time.time() * 1000)


class Signing(NamedTuple):
    """Who signs and how. `key`: the backbone's; `clock`: ms since 1970 UTC; `probe`: told the steps of each batch."""

    key: SigningKey
    backbone: str
    topics: Topics = Topics()
    clock: Callable[[], int] = now_ms
    probe: Probe = lambda _: None


class PromiseWriter:
    """Gives the promises of one exchange."""

    def __init__(self, base: Config, signing: Signing) -> None:
        self._base = base
        self._signing = signing
        self._topics = signing.topics
        self._as_of = metrics.AsOf(metrics.READER_BEHIND.labels("promises"))
        self.statements = 0
        """Signed by this object so far."""

    def catch_up(self, patience_s: float = PATIENCE_S) -> int:
        """Promise all of the trace to its end as it is when reached, and settle what has passed; returns how many.

        Raises: Unavailable when nothing went forward for `patience_s`; Fenced, Misconfigured, InvariantBroken.
        """
        before = self.statements
        self._retried(self._to_end, Event(), patience_s)
        return self.statements - before

    def run(self, stop: Event) -> None:
        """Follow the trace until `stop` is set. Raises: Fenced, Misconfigured, InvariantBroken."""
        self._retried(lambda: self._follow(stop), stop, math.inf)

    def _to_end(self) -> None:
        with self._session() as (desk, following):
            heard = time.monotonic()
            while not following.is_at_end:
                if desk.promise(following.portion(_WAIT_S)):
                    heard = time.monotonic()
                elif time.monotonic() - heard > SILENCE_TIMEOUT_S and not following.is_at_end:
                    raise Unavailable("kafka.silent", f"{self._topics.trace}: nothing for {SILENCE_TIMEOUT_S} s")
            desk.settle()

    def _follow(self, stop: Event) -> None:
        with self._session() as (desk, following):
            looked = -LOOK_EVERY_S
            while not stop.is_set():
                desk.promise(following.portion(_WAIT_S, LINGER_S))
                self._as_of.reached(following.reached_ms)
                if time.monotonic() - looked > LOOK_EVERY_S:
                    desk.settle()
                    looked = time.monotonic()

    @contextmanager
    def _session(self) -> Iterator[tuple[_Desk, Following]]:
        """Fence an earlier writer, restore what it wrote, follow from there; after a failure, again from the start."""
        producer = transactional_producer(self._base, f"{TRANSACTIONAL_ID}.{self._topics.promises}")
        transactions = Transactions(producer, self._signing.probe)
        asking = reader(self._base)
        try:
            partitions = partitions_of(asking, self._topics.state)
            # An earlier writer's markers reach its partitions one by one: what it committed must be seen in all.
            outputs = (self._topics.promises, self._topics.lapses, self._topics.state)
            await_stable(self._base, [(topic, number) for topic in outputs for number in partitions])
            accounts = self._restored(partitions)
            desk = _Desk(self._signing, transactions, asking, accounts, self._told)
            positions = {number: account.next for number, account in accounts.items() if account.next}
            with follow(self._base, self._topics.trace, positions) as following:
                yield desk, following
        finally:
            asking.close()

    def _restored(self, partitions: Sequence[int]) -> dict[int, _Account]:
        changes: dict[int, list[Change]] = {number: [] for number in partitions}
        starts: dict[tuple[str, int], int | None] = {(self._topics.state, number): None for number in partitions}
        for portion in read_to_end(self._base, starts):
            for read in portion:
                if read.key is None:
                    raise InvariantBroken(f"{read.topic}/{read.partition}/{read.offset} has no key")
                changes[read.partition].append((read.key, read.value or None))
        accounts = {number: _Account.restored(number, found) for number, found in changes.items()}
        new = [number for number, account in accounts.items() if not account.next]
        for portion in read_to_end(self._base, {(self._topics.promises, number): None for number in new}):
            raise InvariantBroken(
                f"{self._topics.promises}/{portion[0].partition} holds promises, but {self._topics.state} knows of none"
            )
        return accounts

    def _told(self, count: int) -> None:
        self.statements += count

    def _retried(self, work: Callable[[], None], stop: Event, patience_s: float) -> None:
        retried(work, stop, patience_s, lambda: self.statements, "promises.waiting")


class _Account:
    """How far one partition has come. `next`: of the trace; `decided`: of each source topic, by the events read."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.next = 0
        self.decided: dict[str, int] = {}
        self.deadlines = Deadlines()

    @classmethod
    def restored(cls, number: int, changes: Sequence[Change]) -> _Account:
        """As the topic has it."""
        made = cls(number)
        positions = [value for key, value in changes if key == POSITION and value is not None]
        if positions:
            fields = _PROMISED.decode(positions[-1])
            made.next = fields["next"]
            made.decided = {one["topic"]: one["next_offset"] for one in fields["decided"]}
            made.deadlines.settled_ms = fields["settled_ms"]
        made.deadlines.restore(change for change in changes if change[0] != POSITION)
        return made

    def position(self) -> bytes:
        """What the topic is told."""
        decided = [{"topic": topic, "next_offset": offset} for topic, offset in self.decided.items()]
        return _PROMISED.encode({"next": self.next, "settled_ms": self.deadlines.settled_ms, "decided": decided})

    def take(self, trace: Fields, offset: int) -> list[Change]:
        """Take in a trace record; returns what changes among the deadlines."""
        if trace["partition"] != self.number:
            raise InvariantBroken(f"a trace record of {trace['partition']} in {self.number}/{offset}")
        topic, changes = trace["topic"], list[Change]()
        for event in trace["events"]:
            changes += self.deadlines.take(topic, event)
            self.decided[topic] = event["offset"] + 1
        self.next = offset + 1
        return changes


class _Desk:
    """Signs and writes, with what one session holds."""

    def __init__(
        self,
        signing: Signing,
        transactions: Transactions,
        asking: Consumer,
        accounts: dict[int, _Account],
        told: Callable[[int], None],
    ) -> None:
        self._signing = signing
        self._transactions = transactions
        self._asking = asking
        self._accounts = accounts
        self._told = told

    def promise(self, reads: Sequence[Read]) -> bool:
        """Promise what was read; tells whether that was anything. Raises: Unavailable, Fenced, InvariantBroken."""
        if not reads:
            return False
        signing = self._signing
        signing.probe("read")
        at_ms = signing.clock()
        by_partition: dict[int, list[Read]] = defaultdict(list)
        for read in reads:
            by_partition[read.partition].append(read)
        records: list[OutRecord | Removal] = []
        count = 0
        for number, found in by_partition.items():
            account = self._accounts[number]
            for batch, changes in _cut(account, found, signing.backbone, at_ms):
                count += len(batch.statements)
                signed = batch.sign(signing.key, signing.backbone, at_ms, signing.topics.promises)
                records += self._records(account, signed, changes)
        if records:
            self._write(records, signing.topics.promises, count)
        return True

    def settle(self) -> None:
        """Sign a lapse for each copy whose deadline passed, where all that was said before it is known."""
        at_ms = self._signing.clock()
        for account in self._accounts.values():
            while (deadline_ms := account.deadlines.passed(at_ms - CLOCKS_MS)) is not None:
                if not self._is_known(account, deadline_ms):
                    break
                self._lapse(account, deadline_ms, at_ms)

    def _lapse(self, account: _Account, deadline_ms: int, at_ms: int) -> None:
        deadlines = account.deadlines
        deadlines.settled_ms = max(deadlines.settled_ms, deadline_ms)
        statuses_next = account.decided.get(Topic.STATUSES, 0)
        signing = self._signing
        told = deadlines.lapses(deadline_ms, signing.backbone, account.number, statuses_next)
        while lapses := list(islice(told, LAPSES_MAX)):
            statements = [lapse.statement for lapse in lapses]
            changes = [change for lapse in lapses for change in lapse.changes]
            batch = Batch(account.number, account.next, account.next, statements, deadline_ms)
            signed = batch.sign(signing.key, signing.backbone, at_ms, signing.topics.lapses)
            self._write(self._records(account, signed, changes), signing.topics.lapses, len(statements))

    def _is_known(self, account: _Account, until_ms: int) -> bool:
        """Whether every submission appended before that was decided, and its event read."""
        for topic, name in self._signing.topics.sources.items():
            decided = account.decided.get(topic, 0)
            if decided < first_since(self._asking, name, account.number, until_ms):
                return False
        return True

    def _records(self, account: _Account, signed: OutRecord, changes: Sequence[Change]) -> list[OutRecord | Removal]:
        state, number = self._signing.topics.state, account.number
        changed = [*changes, (POSITION, account.position())]
        return [
            signed,
            *(
                Removal(state, number, key) if value is None else OutRecord(state, number, key, value)
                for key, value in changed
            ),
        ]

    def _write(self, records: Sequence[OutRecord | Removal], topic: str, count: int) -> None:
        self._signing.probe("signed")
        self._transactions.write(records, [], None)
        metrics.PROMISES_SIGNED.labels(topic).inc(count)
        self._told(count)


def _cut(account: _Account, reads: Sequence[Read], backbone: str, at_ms: int) -> Iterator[tuple[Batch, list[Change]]]:
    """Batches of whole trace records of one partition, of about `PROMISES_MAX` promises."""
    first, statements, changes = account.next, list[bytes](), list[Change]()
    for read in reads:
        trace = _decoded(read)
        statements += promises(trace, read.offset, backbone, at_ms)
        changes += account.take(trace, read.offset)
        if len(statements) >= PROMISES_MAX:
            yield Batch(account.number, first, account.next, statements), changes
            first, statements, changes = account.next, [], []
    if statements:
        yield Batch(account.number, first, account.next, statements), changes


def _decoded(read: Read) -> Fields:
    try:
        found = identify(read.value)
        if found.name != "trace":
            raise InvariantBroken(f"no trace record at {read.topic}/{read.partition}/{read.offset}")
        return found.decode(read.value)
    except Rejected as exc:
        raise InvariantBroken(f"{read.topic}/{read.partition}/{read.offset} can't be read: {exc}") from exc


def positions(base: Config, topic: str = STATE) -> dict[int, int]:
    """How far the promises have come: the next offset of each partition of the trace. Raises: Unavailable."""
    asking = reader(base)
    try:
        starts: dict[tuple[str, int], int | None] = {(topic, number): None for number in partitions_of(asking, topic)}
    finally:
        asking.close()
    found = {}
    for portion in read_to_end(base, starts):
        for read in portion:
            if read.key == POSITION:
                found[read.partition] = int(_PROMISED.decode(read.value)["next"])
    return found
