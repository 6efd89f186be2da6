"""Attachments in the archive: each sealed under the key of the statement that refers to it.

Guarantees: streamed, so memory doesn't grow with size; what differs from its SHA-256 isn't kept. A statement's
attachments are found by its digest, and whoever else refers to the same bytes by theirs.

Layout: ``attachments/<statement>/<attachment>``, the sealed bytes; ``references/<attachment>/<statement>``, which
is there as long as anybody remembers that it referred, erased or not.
"""

from __future__ import annotations

from collections.abc import Iterator

from exchange.archive.keys import KeyStore
from exchange.archive.sealing import open_stream, seal_stream
from exchange.backbone.attachments import FRESH_S, Attachments
from exchange.backbone.objects import Objects
from exchange.errors import Rejected
from exchange.signatures.storage import RECEIPT_MS_MAX

SEALED, REFERENCES = "attachments", "references"
KEPT, ERASED = b"kept", b"erased"

WAITING_MS_MAX = 14 * 86_400_000
"""For how long a submission may wait for the hop at most."""

VOUCHED_MS_MAX = RECEIPT_MS_MAX + int(FRESH_S * 1000) + WAITING_MS_MAX
"""Older bytes are vouched for by no storage receipt that the gate would take, or has still to judge."""


class SealedAttachments:
    """The attachments in a store. `store`: the claim-check store that they come from."""

    def __init__(self, objects: Objects, keys: KeyStore, store: Attachments) -> None:
        self._objects = objects
        self._keys = keys
        self._store = store

    def keep(self, statement: bytes, attachment: bytes, size: int) -> bool:
        """Seal an attachment for a statement, unless that is done or the statement is erased.

        Returns False if the claim-check store hasn't those bytes. Raises: Unavailable.
        """
        reference = _reference(attachment, statement)
        if self._objects.read(reference) is not None:
            return True
        key = self._keys.ensure([statement])[statement]
        if key is None:
            self._objects.create(reference, ERASED)
            return True
        try:
            data = self._store.read(attachment, size)
            self._objects.send(_sealed(statement, attachment), seal_stream(key, data, statement + attachment))
        except Rejected:
            return False
        self._objects.create(reference, KEPT)
        return True

    def read(self, statement: bytes, attachment: bytes) -> Iterator[bytes]:
        """An attachment's bytes. Raises: Rejected ``archive.missing``, ``archive.erased``, ``archive.damaged``."""
        key = self._keys.find([statement]).get(statement)
        chunks = self._objects.fetch(_sealed(statement, attachment))
        if key is None or chunks is None:
            is_erased = self._objects.read(_reference(attachment, statement)) == ERASED
            raise Rejected("archive.erased" if is_erased else "archive.missing", attachment.hex())
        yield from open_stream(key, chunks, statement + attachment)

    def of(self, statement: bytes) -> list[bytes]:
        """The attachments that are kept for a statement."""
        return [bytes.fromhex(name) for name in self._objects.names(f"{SEALED}/{statement.hex()}")]

    def erase(self, statement: bytes) -> None:
        """Take a statement's attachments away, and remember that they were there. Idempotent."""
        for attachment in self.of(statement):
            self._objects.replace(_reference(attachment, statement), ERASED)
        self._objects.remove(f"{SEALED}/{statement.hex()}")

    def sweep(self, now_ms: int, kept_ms: int) -> int:
        """Let the claim-check store's own bytes go of what is archived; returns how many attachments that were.

        After `kept_ms`; but of what only erased statements refer to as soon as no storage receipt can vouch for it any
        more. What nobody archived refers to stays.
        """
        gone = 0
        for attachment, stored_ms in self._store.stored():
            age_ms = now_ms - stored_ms
            if age_ms <= VOUCHED_MS_MAX:
                continue
            kept, erased = self.references(attachment)
            if age_ms > kept_ms if kept else erased:
                self._store.let_go(attachment)
                gone += 1
        return gone

    def references(self, attachment: bytes) -> tuple[int, int]:
        """How many statements refer to an attachment: kept, erased."""
        folder = f"{REFERENCES}/{attachment.hex()}"
        states = [self._objects.read(f"{folder}/{name}") for name in self._objects.names(folder)]
        return states.count(KEPT), states.count(ERASED)


def _sealed(statement: bytes, attachment: bytes) -> str:
    return f"{SEALED}/{statement.hex()}/{attachment.hex()}"


def _reference(attachment: bytes, statement: bytes) -> str:
    return f"{REFERENCES}/{attachment.hex()}/{statement.hex()}"
