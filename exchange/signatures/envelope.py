"""The wire envelope (``schemas/record``): a statement's bytes as signed, and what proves them.

Guarantees: any bytes become the fields of a record within its limits, or `Rejected`; the statement's bytes are
handed on as they came. Nothing is verified here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from exchange.errors import Rejected
from exchange.signatures.storage import RECEIPTS_MAX
from exchange.statements import Fields, identify, schema
from exchange.statements.codec import PREFIX_BYTES

SIGNATURES_MAX = 8

PATH_MAX = 32
"""Hashes in a Merkle path; enough for a batch of 2^32 statements."""


class Limits(NamedTuple):
    """Bytes of a whole record, and of the statement in it."""

    record_bytes: int
    statement_bytes: int


SUBMISSION = Limits(64 * 1024, 32 * 1024)
"""What an agency may submit."""

OWN_WORD = Limits(1024 * 1024, 1000 * 1024)
"""What the registrar and the backbone may say: a directory statement carries hundreds of entries."""

_RECORD = schema("record")


def decode_record(value: bytes, limits: Limits = SUBMISSION) -> Fields:
    """Read a record; the fields are those of ``schemas/record``.

    Raises: Rejected ``record.too_large``, ``statement.too_large``, ``avro.*`` (not a record),
        ``signature.missing``, ``signature.too_many``, ``batch.path``, ``storage.too_many``.
    """
    if len(value) > limits.record_bytes:
        raise Rejected("record.too_large", f"{len(value)} > {limits.record_bytes} bytes")
    if value[:PREFIX_BYTES] != _RECORD.prefix:
        raise Rejected("avro.not_a_record", identify(value).name)
    fields = _RECORD.decode(value)
    _check(fields, limits)
    return fields


def encode_record(
    statement: bytes,
    signatures: Sequence[Mapping[str, Any]],
    storage: Sequence[Mapping[str, Any]] = (),
    limits: Limits = SUBMISSION,
) -> bytes:
    """Write a record, within the limits that its reader will set.

    Raises: Rejected, as `decode_record`: the caller must say less, or in several statements.
    """
    fields: Fields = {"statement": statement, "signatures": list(signatures), "storage": list(storage)}
    _check(fields, limits)
    value = _RECORD.encode(fields)
    if len(value) > limits.record_bytes:
        raise Rejected("record.too_large", f"{len(value)} > {limits.record_bytes} bytes")
    return value


def _check(fields: Fields, limits: Limits) -> None:
    size = len(fields["statement"])
    if size > limits.statement_bytes:
        raise Rejected("statement.too_large", f"{size} > {limits.statement_bytes} bytes")
    signatures = fields["signatures"]
    if not signatures:
        raise Rejected("signature.missing")
    if len(signatures) > SIGNATURES_MAX:
        raise Rejected("signature.too_many", f"{len(signatures)} > {SIGNATURES_MAX}")
    for signature in signatures:
        proof = signature["batch"]
        if proof is not None and len(proof["path"]) > PATH_MAX:
            raise Rejected("batch.path", f"{len(proof['path'])} > {PATH_MAX} hashes")
    if len(fields["storage"]) > RECEIPTS_MAX:
        raise Rejected("storage.too_many", f"{len(fields['storage'])} > {RECEIPTS_MAX}")
