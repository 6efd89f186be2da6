"""Batch signatures: one signature over the Merkle root of many statements (``schemas/batch``).

Guarantees: a statement counts as signed only if it is a leaf under a root whose batch names its sender and the
signer's certificate, and the batch's own signature verified. That is verified once for all leaves and
remembered; whether the certificate is valid is asked for each record, elsewhere.

Source: RFC 6962 §2.1 (leaf = H(00 ‖ statement bytes)), RFC 9162 §2.1.3.2.
"""

from __future__ import annotations

from typing import Protocol

from exchange.errors import Rejected
from exchange.signatures.bounded import Bounded
from exchange.signatures.certificates import Certificate
from exchange.signatures.cms import check_signature
from exchange.signatures.merkle import leaf_hash, root_from_path
from exchange.statements import Fields, schema
from exchange.statements.codec import PREFIX_BYTES, identify

BATCH = schema("batch")


class Leaf(Protocol):
    """What may be a leaf: a `Statement`, or what the backbone says."""

    @property
    def fields(self) -> Fields:
        """With its ``sender``."""

    @property
    def raw(self) -> bytes:
        """The bytes as signed."""

    @property
    def digest(self) -> bytes:
        """Their SHA-256."""


BatchMemory = Bounded[tuple[str, bytes, bytes, bytes], Fields]
"""(algorithm, batch bytes, signature, certificate's fingerprint) whose signature verified → the batch's fields."""


def check_batch(signature: Fields, certificate: Certificate, statement: Leaf, memory: BatchMemory) -> Fields:
    """Verify a signature that covers `statement` through a batch; returns the batch's fields.

    Raises: Rejected ``batch.malformed``, ``avro.*``, ``batch.certificate``, ``signature.*``, ``cms.*``,
        ``batch.sender``, ``batch.path``, ``batch.other_root``: the sender must act.
    """
    proof = signature["batch"]
    raw: bytes = proof["statement"]
    key = (signature["algorithm"], raw, signature["value"], signature["certificate"])
    batch = memory.get(key)
    if batch is None:
        batch = _open(raw, signature, certificate)
        memory.put(key, batch)
    # 4. Whoever signs for one agency can't slip in a leaf of another.
    if batch["sender"] != statement.fields["sender"]:
        raise Rejected("batch.sender", f"{batch['sender']}, not {statement.fields['sender']}"[:200])
    # 5. The statement is that leaf: RFC 9162 §2.1.3.2.
    leaf = leaf_hash(statement.raw)
    if root_from_path(leaf, proof["index"], batch["size"], proof["path"]) != batch["root"]:
        raise Rejected("batch.other_root", statement.digest.hex())
    return batch


def _open(raw: bytes, signature: Fields, certificate: Certificate) -> Fields:
    # 1. It is a batch, so no other signed bytes can pass for one.
    if raw[:PREFIX_BYTES] != BATCH.prefix:
        raise Rejected("batch.malformed", f"{identify(raw).name} in place of a batch")
    batch = BATCH.decode(raw)
    # 2. It names its signer inside the signed bytes.
    if batch["certificate"] != certificate.fingerprint:
        raise Rejected("batch.certificate", certificate.fingerprint.hex())
    # 3. Its signature verifies.
    check_signature(certificate, signature["algorithm"], signature["value"], raw)
    return batch
