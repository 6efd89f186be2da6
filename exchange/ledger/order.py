"""The ledger's order: which trace events became which leaves, as the topic `ledger.order` keeps it for ever.

Guarantees: partitions of the trace are read interleaved, so the order in which they were taken can't be computed
again; it is written here, in a transaction, before anything of it is signed. Each record names the root before it
and holds its entries, so the records alone rebuild the tree to every root that was ever signed.
"""

from __future__ import annotations

from typing import NamedTuple

from exchange.errors import InvariantBroken, Rejected
from exchange.ledger.leaves import ENTRY_BYTES
from exchange.statements import identify, schema

ORDER = "ledger.order"
"""The topic: one partition, kept for ever."""

BATCH_ID_BYTES = 16


class Taken(NamedTuple):
    """A trace record that was taken in, and how many leaves it gave."""

    partition: int
    offset: int
    events: int


class Order(NamedTuple):
    """One batch of leaves. `first`, `root`: the tree before it. `batch`: names the file of its salts."""

    first: int
    root: bytes
    batch: bytes
    records: list[Taken]
    entries: list[bytes]

    @property
    def size(self) -> int:
        """The tree's size with it."""
        return self.first + len(self.entries)

    def encode(self) -> bytes:
        """The record's value (``schemas/ledger_order``)."""
        records = [record._asdict() for record in self.records]
        return schema("ledger_order").encode(
            {**self._asdict(), "records": records, "entries": b"".join(self.entries)},
        )


def decode(value: bytes) -> Order:
    """Read a record of the topic; InvariantBroken if it isn't ours, for only the writer writes there."""
    try:
        found = identify(value)
        if found.name != "ledger_order":
            raise InvariantBroken(f"a record of schema {found.name} in {ORDER}")
        fields = found.decode(value)
    except Rejected as exc:
        raise InvariantBroken(f"a record of {ORDER} that can't be read: {exc}") from exc
    records = [Taken(**record) for record in fields["records"]]
    entries = _cut(fields["entries"])
    if sum(record.events for record in records) != len(entries):
        raise InvariantBroken(f"{ORDER}: {len(entries)} entries of other trace records")
    return Order(fields["first"], fields["root"], fields["batch"], records, entries)


def _cut(data: bytes) -> list[bytes]:
    if len(data) % ENTRY_BYTES:
        raise InvariantBroken(f"{ORDER}: {len(data)} bytes of entries")
    return [data[at : at + ENTRY_BYTES] for at in range(0, len(data), ENTRY_BYTES)]
