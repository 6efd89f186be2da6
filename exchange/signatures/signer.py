"""The signing side: from a statement's bytes to a record that the gate accepts.

Guarantees: the statement's bytes are signed and carried as they are given. Does not check what the statement
says, nor who may say it: the gate does. Clocks are the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from exchange.errors import InvariantBroken
from exchange.signatures.algorithms import CMS, PrivateKey, natural, sign
from exchange.signatures.batch import BATCH
from exchange.signatures.envelope import OWN_WORD, SUBMISSION, encode_record
from exchange.signatures.merkle import leaf_hash, paths, root
from exchange.statements import KINDS, identify

Receipt = Mapping[str, Any]
"""A storage receipt, with the fields of ``StorageReceipt``."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, the SHA-256 of its certificate, and the algorithm to sign with (by default the key's)."""

    private_key: PrivateKey = field(repr=False)
    certificate: bytes
    algorithm: str = ""

    def __post_init__(self) -> None:
        if not self.algorithm:
            object.__setattr__(self, "algorithm", natural(self.private_key.public_key()))

    @classmethod
    def of(cls, private_key: PrivateKey, certificate_der: bytes, algorithm: str = "") -> SigningKey:
        """The key of a certificate given as DER."""
        return cls(private_key, sha256(certificate_der).digest(), algorithm)

    def sign(self, message: bytes) -> bytes:
        """Sign `message`; Rejected ``signature.algorithm`` if the algorithm doesn't go with the key."""
        return sign(self.private_key, message, self.algorithm)


def sign_record(statement: bytes, keys: Sequence[SigningKey], storage: Sequence[Receipt] = ()) -> bytes:
    """Sign one statement with each key, the leader's before the agency's by custom; returns the record.

    Raises: Rejected as `encode_record`, ``signature.algorithm``: the caller must say less or use another key.
    """
    return _record(statement, [_signature(key, key.sign(statement)) for key in keys], storage)


def wrap_cms(statement: bytes, detached: bytes, certificate_der: bytes, storage: Sequence[Receipt] = ()) -> bytes:
    """The record of a statement that a token signed as a detached CMS.

    Raises: Rejected as `encode_record`.
    """
    signature = {"algorithm": CMS, "certificate": sha256(certificate_der).digest(), "value": detached, "batch": None}
    return _record(statement, [signature], storage)


def sign_batch(
    statements: Sequence[bytes],
    key: SigningKey,
    sender: str,
    signed_ms: int,
    *,
    leaders: Sequence[SigningKey] = (),
    storage: Sequence[Sequence[Receipt]] | None = None,
) -> list[bytes]:
    """Sign many statements of one sender with one signature a key; returns their records in the same order.

    `signed_ms`: when, by the signer's clock. `storage`: the receipts of each statement.

    Raises: Rejected as `encode_record`; InvariantBroken if `storage` is not as long as `statements`.
    """
    if storage is not None and len(storage) != len(statements):
        raise InvariantBroken(f"receipts of {len(storage)} statements for {len(statements)}")
    leaves = [leaf_hash(statement) for statement in statements]
    top, size = root(leaves), len(leaves)
    signed = []
    for one in (*leaders, key):
        batch = BATCH.encode(
            {"root": top, "size": size, "sender": sender, "certificate": one.certificate, "signed_ms": signed_ms}
        )
        signed.append((one, batch, one.sign(batch)))
    records = []
    for index, (statement, path) in enumerate(zip(statements, paths(leaves), strict=True)):
        signatures = [
            _signature(one, value, {"statement": batch, "index": index, "path": path}) for one, batch, value in signed
        ]
        records.append(_record(statement, signatures, storage[index] if storage is not None else ()))
    return records


def _record(statement: bytes, signatures: Sequence[Mapping[str, Any]], storage: Sequence[Receipt]) -> bytes:
    limits = SUBMISSION if identify(statement).name in KINDS else OWN_WORD
    return encode_record(statement, signatures, storage, limits)


def _signature(key: SigningKey, value: bytes, proof: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"algorithm": key.algorithm, "certificate": key.certificate, "value": value, "batch": proof}
