"""The object store: named bytes in a folder, or in a bucket that speaks the S3 API; ledger and archive lie in one.

Guarantees, of either: an object has its name only with all its bytes, and is whole or not there; what `create`,
`replace` and `send` have written is durable when they return, what `write` has written once `sync` returns. `create`
gives a name to one writer only, whoever else tries at the same time: that is what keeps two archivers from forking.

Does not: lock, version or encrypt. Names are ours: letters, digits, ``.-_``, with ``/`` between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from exchange.backbone.bucket import Bucket
from exchange.backbone.folder import Folder


class Objects(Protocol):
    """An object store. For one thread. Raises, from every method: Unavailable ``storage.unavailable``."""

    def write(self, path: str, data: bytes) -> None:
        """Put an object whose bytes follow from its name; the same again changes nothing. Durable after `sync`."""
        ...

    def sync(self) -> None:
        """Make durable what was written."""
        ...

    def replace(self, path: str, data: bytes) -> None:
        """Put an object in place of its earlier self."""
        ...

    def create(self, path: str, data: bytes) -> bool:
        """Put an object under a name that nobody has taken; False, and nothing done, if somebody has."""
        ...

    def send(self, path: str, chunks: Iterable[bytes]) -> None:
        """Put an object of any size, chunk by chunk, in place of any earlier one. What `chunks` raises passes, and
        nothing is put then."""
        ...

    def read(self, path: str) -> bytes | None:
        """An object's bytes; None if there is none."""
        ...

    def fetch(self, path: str) -> Iterator[bytes] | None:
        """An object's bytes in chunks; None if there is none."""
        ...

    def remove(self, path: str) -> None:
        """Take an object away, or all that lie right below that name; idempotent."""
        ...

    def names(self, path: str) -> list[str]:
        """The last parts of the names right below `path`, sorted; none if there are none."""
        ...

    def walk(self, path: str) -> Iterator[str]:
        """The names of all objects anywhere below `path`, sorted."""
        ...

    def age_s(self, path: str) -> float:
        """For how long an object has been there as it is; 0 if it isn't."""
        ...


def open_objects(place: str | Path) -> Objects:
    """The store at a place: a folder, or ``s3://bucket/prefix``, reached as the ``AWS_…`` variables say (see
    docs/object-store.md). Raises: Misconfigured."""
    if isinstance(place, str) and "://" in place:
        return Bucket(place)
    return Folder(Path(place))
