"""What the backbone promises, and what it says when a deadline passed: statements of its own, signed by the batch.

A *promise* is given for each trace event: what was decided about a submission, and that within `INCLUDED_WITHIN_MS` a
signed checkpoint of the ledger covers the event (Certificate Transparency's signed certificate timestamp, RFC 6962
§3, with the maximum merge delay of 60 s). A *lapse* says that a recipient had not acknowledged its copy in time.

Guarantees: one signature for many (``schemas/batch``, as agencies sign batches); a statement taken out of the batch
is a record like any other, with its Merkle path, and verifies alone by the backbone's certificate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from exchange.errors import InvariantBroken, Rejected
from exchange.pipeline.books import OutRecord
from exchange.signatures import SigningKey, encode_record
from exchange.signatures.batch import BATCH
from exchange.signatures.envelope import OWN_WORD
from exchange.signatures.merkle import leaf_hash, path_of, root
from exchange.statements import SUBMISSION_TOPICS, Fields, schema

PROMISES, LAPSES = "promises", "lapses"
"""The topics: a record for each batch, in the partition of the trace that it is about."""

INCLUDED_WITHIN_MS = 60_000

_PROMISE, _PROMISES = schema("promise"), schema("promises")
_REPEATED = ("verified", "outcome", "code", "kind", "id", "sha256", "offset", "append_ms")


class Batch(NamedTuple):
    """What is signed in one go about one partition of the trace: promises for its records `first` … `next`, or lapses
    of one deadline, as of `next`."""

    partition: int
    first: int
    next: int
    statements: Sequence[bytes]
    deadline_ms: int = 0

    def sign(self, key: SigningKey, backbone: str, now_ms: int, topic: str) -> OutRecord:
        """The record to write."""
        signed = BATCH.encode(
            {
                "root": root([leaf_hash(one) for one in self.statements]),
                "size": len(self.statements),
                "sender": backbone,
                "certificate": key.certificate,
                "signed_ms": now_ms,
            }
        )
        fields = {
            **self._asdict(),
            "certificate": key.certificate,
            "algorithm": key.algorithm,
            "signature": key.sign(signed),
            "batch": signed,
        }
        return OutRecord(topic, self.partition, b"", _PROMISES.encode(fields))


def promises(trace: Fields, trace_offset: int, backbone: str, now_ms: int) -> Iterator[bytes]:
    """The promises of a decoded trace record, one for each event in its order; none of what nobody submitted (an
    erasure, whose source is the directory)."""
    if trace["topic"] not in SUBMISSION_TOPICS:
        return
    common = {
        "sender": backbone,
        "topic": trace["topic"],
        "partition": trace["partition"],
        "trace_offset": trace_offset,
        "included_ms": now_ms + INCLUDED_WITHIN_MS,
    }
    for index, event in enumerate(trace["events"]):
        fields = {name: event[name] for name in _REPEATED}
        fields["to"] = event["sender"]
        fields["trace_index"] = index
        yield _PROMISE.encode(fields | common)


def decode(value: bytes) -> Fields:
    """Read a record of either topic; InvariantBroken if it isn't ours, for nobody else writes there."""
    if not value.startswith(_PROMISES.prefix):
        raise InvariantBroken("a record among promises or lapses that is neither")
    try:
        return _PROMISES.decode(value)
    except Rejected as exc:
        raise InvariantBroken(f"a record of promises or lapses that can't be read: {exc}") from exc


def taken_out(batch: Fields, index: int) -> bytes:
    """One statement of a batch as a record of its own, with the path to the signed root."""
    statements: list[bytes] = batch["statements"]
    proof = {
        "statement": batch["batch"],
        "index": index,
        "path": path_of([leaf_hash(one) for one in statements], index),
    }
    signature = {
        "algorithm": batch["algorithm"],
        "certificate": batch["certificate"],
        "value": batch["signature"],
        "batch": proof,
    }
    return encode_record(statements[index], [signature], [], OWN_WORD)
