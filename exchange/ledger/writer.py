"""The ledger's writer: from the topic `trace` to signed checkpoints, behind the traffic.

In turn, for each batch (at most `EVENTS_MAX` events, collected for at most `LINGER_S`): make the salts durable →
commit the order in a Kafka transaction → write the tiles → sign a checkpoint → remember. `STEPS` names the steps;
`store` says what a crash leaves between them.

Guarantees: every trace event becomes a leaf exactly once. There is one writer: a second one fences the first by the
transactional id, and reads the order to its end before it goes on, so there is one order and one tree. Nothing waits
for the ledger; Kafka or the disk away, it waits itself, and goes on.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event

from exchange import metrics
from exchange.backbone.clients import Config, transactional_producer
from exchange.backbone.following import Following, follow
from exchange.backbone.objects import Objects
from exchange.backbone.reading import SILENCE_TIMEOUT_S, Read, read_to_end
from exchange.backbone.retrying import retried
from exchange.backbone.transaction import Probe, Transactions
from exchange.errors import Unavailable
from exchange.ledger.leaves import SALT_BYTES, leaves, salted
from exchange.ledger.notes import NoteKey
from exchange.ledger.order import BATCH_ID_BYTES, ORDER, Order, Taken, decode
from exchange.ledger.store import LedgerStore
from exchange.pipeline.books import TRACE, OutRecord

EVENTS_MAX = 10_000
LINGER_S = 0.9
"""With the time that a batch takes, a checkpoint a second."""

FORGET_EVERY_S = 2.0
"""How often the writer looks for salts to destroy."""

PATIENCE_S = 60.0
TRANSACTIONAL_ID = "ledger"
STEPS = ("read", "salted", "begun", "producing", "produced", "committed", "stored", "signed", "remembered")
"""The steps of a batch that a probe is told of, in order."""

_WAIT_S = 0.5
_RECORD_AND_MARKER = 2
"""Offsets that a transaction takes; aborted ones take more, so what is counted is never beyond the next record."""


class LedgerWriter:
    """Writes one ledger. `trace`, `order`: the topics; `probe`: told the steps of each batch."""

    def __init__(
        self,
        base: Config,
        folder: Objects,
        key: NoteKey,
        *,
        trace: str = TRACE,
        order: str = ORDER,
        probe: Probe = lambda _: None,
    ) -> None:
        self._base = base
        self._folder = folder
        self._key = key
        self._trace = trace
        self._order = order
        self._probe = probe
        self._as_of = metrics.AsOf(metrics.READER_BEHIND.labels("ledger"))
        self.size = 0
        """Leaves signed so far, as this object knows."""

    def catch_up(self, patience_s: float = PATIENCE_S) -> int:
        """Take in the trace to its end as it is when reached; returns the tree's size.

        Raises: Unavailable when nothing went forward for `patience_s`; Fenced, Misconfigured, InvariantBroken.
        """
        self._retried(self._to_end, Event(), patience_s)
        return self.size

    def run(self, stop: Event) -> None:
        """Follow the trace until `stop` is set.

        Raises: Fenced: another writer took over, so end; Misconfigured, InvariantBroken: both need a person.
        """
        self._retried(lambda: self._follow(stop), stop, math.inf)

    def _to_end(self) -> None:
        with self._session() as (batches, following):
            heard = time.monotonic()
            while not following.is_at_end:
                if batches.write(following.portion(_WAIT_S)):
                    heard = time.monotonic()
                elif time.monotonic() - heard > SILENCE_TIMEOUT_S and not following.is_at_end:
                    raise Unavailable("kafka.silent", f"{self._trace}: nothing for {SILENCE_TIMEOUT_S} s")
            batches.forget()

    def _follow(self, stop: Event) -> None:
        with self._session() as (batches, following):
            looked = 0.0
            while not stop.is_set():
                if time.monotonic() - looked > FORGET_EVERY_S:
                    batches.forget()
                    looked = time.monotonic()
                batches.write(following.portion(_WAIT_S, LINGER_S))
                self._as_of.reached(following.reached_ms)

    @contextmanager
    def _session(self) -> Iterator[tuple[Batches, Following]]:
        """Fence an earlier writer, take the order to its end, sign; then follow the trace from there."""
        producer = transactional_producer(self._base, f"{TRANSACTIONAL_ID}.{self._order}")
        transactions = Transactions(producer, self._probe)
        store = LedgerStore(self._folder, self._key)
        before = store.order_next
        for portion in read_to_end(self._base, {(self._order, 0): before}):
            for read in portion:
                order = decode(read.value)
                if order.size > store.size:  # `order_next` may lie before what the tree has
                    store.take(order, read.offset + 1)
        self._told(store.sign().size)
        if store.order_next != before:
            store.remember()
        store.sweep()
        batches = Batches(transactions, store, self._order, self._probe, self._told)
        with follow(self._base, self._trace, store.positions) as following:
            yield batches, following

    def _told(self, size: int) -> None:
        self.size = size
        metrics.LEDGER_LEAVES.set(size)
        metrics.LEDGER_SIGNED.set_to_current_time()

    def _retried(self, work: Callable[[], None], stop: Event, patience_s: float) -> None:
        retried(work, stop, patience_s, lambda: self.size, "ledger.waiting")


class Batches:
    """Takes what was read, batch by batch, each to its signed checkpoint."""

    def __init__(
        self, transactions: Transactions, store: LedgerStore, topic: str, probe: Probe, told: Callable[[int], None]
    ) -> None:
        self._transactions = transactions
        self._store = store
        self._topic = topic
        self._probe = probe
        self._told = told

    def write(self, reads: Sequence[Read]) -> bool:
        """Write what was read; tells whether that was anything. Raises: Unavailable, Fenced, InvariantBroken."""
        for records, batch in _cut(reads):
            with metrics.LEDGER_BATCH.time():
                self._write(records, batch)
        return bool(reads)

    def forget(self) -> None:
        """Destroy the salts of what was erased, between two batches."""
        self._store.forget()

    def _write(self, records: list[Taken], batch: list[bytes]) -> None:
        store, probe = self._store, self._probe
        probe("read")
        # 1. Salts first: once the order is there, every leaf can be shown.
        salts, batch_id = os.urandom(len(batch) * SALT_BYTES), os.urandom(BATCH_ID_BYTES)
        store.keep_salts(batch_id, salts)
        probe("salted")
        # 2. The order: from here on these leaves are in the tree, whoever writes it.
        entries = [salted(salts[n * SALT_BYTES : (n + 1) * SALT_BYTES], leaf) for n, leaf in enumerate(batch)]
        order = Order(store.size, store.root, batch_id, records, entries)
        self._transactions.write([OutRecord(self._topic, 0, b"", order.encode())], [], None)
        # 3. Tiles, entries, places.  4. The checkpoint, once they are durable.
        store.take(order, store.order_next + _RECORD_AND_MARKER, salts)
        probe("stored")
        checkpoint = store.sign()
        probe("signed")
        # 5. How far the order was taken.
        store.remember()
        self._told(checkpoint.size)
        probe("remembered")


def _cut(reads: Sequence[Read]) -> Iterator[tuple[list[Taken], list[bytes]]]:
    """Batches of whole trace records, of about `EVENTS_MAX` events."""
    records: list[Taken] = []
    batch: list[bytes] = []
    for read in reads:
        found = leaves(read.partition, read.offset, read.value)
        if batch and len(batch) + len(found) > EVENTS_MAX:
            yield records, batch
            records, batch = [], []
        records.append(Taken(read.partition, read.offset, len(found)))
        batch += found
    if batch:
        yield records, batch
