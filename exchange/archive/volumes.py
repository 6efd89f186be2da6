"""Volumes: the archive's objects, each with the records of a stretch of one partition.

Guarantees: a volume is written once, under the offset where it begins, and says where the next one does. Whoever would
write another from the same place finds the name taken, so there is one archive, and where it ends is where archiving
goes on: no other state is kept.

Layout: ``records/<topic>/<partition>/<first offset, 20 digits>``, ``schemas/volume``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from exchange.archive.keys import KeyStore
from exchange.archive.parts import put_together, take_apart
from exchange.archive.sealing import open_sealed, place, seal
from exchange.backbone.objects import Objects
from exchange.backbone.reading import Read
from exchange.errors import InvariantBroken, Rejected
from exchange.statements import Fields, schema

FOLDER = "records"
_VOLUME = schema("volume")

Partition = tuple[str, int]
"""Topic and partition."""


class Volumes:
    """All volumes in a store. Remembers the names that it has seen. Raises: Unavailable, InvariantBroken."""

    def __init__(self, objects: Objects, keys: KeyStore) -> None:
        self._objects = objects
        self._keys = keys
        self._firsts: dict[Partition, list[int]] = {}
        self._next: dict[Partition, int] = {}

    def next_offset(self, topic: str, partition: int) -> int | None:
        """Where archiving goes on; None before the first volume."""
        where = (topic, partition)
        if where not in self._next:
            firsts = self._listed(where)
            if not firsts:
                return None
            self._next[where] = self._read(where, firsts[-1])["next"]
        return self._next[where]

    def first_offset(self, topic: str, partition: int) -> int | None:
        """Where the archive begins; None before the first volume."""
        return next(iter(self._listed((topic, partition))), None)

    def one(self, topic: str, partition: int, offset: int) -> Read | None:
        """One record; None if it isn't archived, or nothing is left of it."""
        return next(self.read(topic, partition, offset, offset + 1), None)

    def append(self, topic: str, partition: int, first: int, reads: Sequence[Read]) -> bool:
        """Seal and keep the records from `first` on; False if somebody else has kept some: ask for `next_offset`."""
        where = (topic, partition)
        taken = [(read, take_apart(topic, read.value)) for read in reads]
        keys = self._keys.ensure(part.statement for _, parts in taken for part in parts.sealed)
        after = reads[-1].offset + 1
        records = [
            {
                "offset": read.offset,
                "append_ms": read.append_ms,
                "key": read.key,
                "clear": parts.clear,
                "sealed": [
                    {
                        "at": part.at,
                        "statement": part.statement,
                        "bytes": seal(key, part.data, place(topic, partition, read.offset, part.at)),
                    }
                    for part in parts.sealed
                    if (key := keys[part.statement]) is not None
                ],
            }
            for read, parts in taken
        ]
        fields = {"topic": topic, "partition": partition, "first": first, "next": after, "records": records}
        if not self._objects.create(_path(where, first), _VOLUME.encode(fields)):
            self._firsts.pop(where, None)
            self._next.pop(where, None)
            return False
        self._listed(where).append(first)
        self._next[where] = after
        return True

    def read(self, topic: str, partition: int, start: int = 0, end: int | None = None) -> Iterator[Read]:
        """The records from `start` to before `end`, oldest first; of what was erased only what stays of it."""
        where = (topic, partition)
        firsts = self._listed(where)
        for first in firsts[max(bisect_right(firsts, start) - 1, 0) :]:
            if end is not None and first >= end:
                return
            volume = self._read(where, first)
            wanted = [
                one for one in volume["records"] if start <= one["offset"] and (end is None or one["offset"] < end)
            ]
            keys = self._keys.find({part["statement"] for one in wanted for part in one["sealed"]})
            for one in wanted:
                value = self._value(where, one, keys)
                if value is not None:
                    yield Read(topic, partition, one["offset"], one["append_ms"], one["key"], value)

    def _value(self, where: Partition, record: Fields, keys: dict[bytes, bytes | None]) -> bytes | None:
        topic, partition = where
        parts = {}
        for part in record["sealed"]:
            if part["statement"] not in keys:
                raise InvariantBroken(f"the archive's keys are incomplete: none of {part['statement'].hex()}")
            key = keys[part["statement"]]
            if key is not None:
                at = place(topic, partition, record["offset"], part["at"])
                parts[part["at"]] = open_sealed(key, part["bytes"], at)
        return put_together(topic, record["clear"], parts) or None

    def _listed(self, where: Partition) -> list[int]:
        if where not in self._firsts:
            self._firsts[where] = [int(name) for name in self._objects.names(_folder(where))]
        return self._firsts[where]

    def _read(self, where: Partition, first: int) -> Fields:
        data = self._objects.read(_path(where, first))
        if data is None or not data.startswith(_VOLUME.prefix):
            raise InvariantBroken(f"no volume in {_path(where, first)}")
        try:
            fields = _VOLUME.decode(data)
        except Rejected as exc:
            raise InvariantBroken(f"the volume {_path(where, first)} is damaged: {exc}") from exc
        if (fields["topic"], fields["partition"], fields["first"]) != (*where, first):
            raise InvariantBroken(f"another volume lies in {_path(where, first)}")
        return fields


def _folder(where: Partition) -> str:
    return f"{FOLDER}/{where[0]}/{where[1]}"


def _path(where: Partition, first: int) -> str:
    return f"{_folder(where)}/{first:020d}"
