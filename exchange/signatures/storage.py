"""Storage receipts: the object store's word that it holds an attachment's bytes, checked without any I/O.

Guarantees: a receipt that checks was made by a holder of the key for exactly this digest and size. Does not
say that the bytes are still there today: a deep audit reads them.

Source: RFC 2104 (HMAC) with SHA-256 over a fixed-width message in a domain of its own.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from exchange.errors import Rejected

RECEIPTS_MAX = 100
"""As many as a statement may have attachments."""

RECEIPT_MS_MAX = 30 * 86_400_000
"""A receipt vouches for so long: the store may let go of bytes that nobody referred to by then."""

_DOMAIN = b"vn.exchange.storage-receipt.v1\x00"
_MESSAGE = struct.Struct(">32sqq")
_DIGEST_BYTES = 32


def seal(key: bytes, sha256: bytes, size: int, stored_ms: int) -> bytes:
    """The MAC (32 bytes) over an attachment's digest, its size in bytes and when it was stored.

    Raises: ValueError if `sha256` isn't 32 bytes or a number doesn't fit into 64 bits: the caller's bug.
    """
    if len(sha256) != _DIGEST_BYTES:
        raise ValueError(f"a SHA-256 has 32 bytes, not {len(sha256)}")
    try:
        message = _DOMAIN + _MESSAGE.pack(sha256, size, stored_ms)
    except struct.error as exc:
        raise ValueError(f"size {size}, stored_ms {stored_ms}") from exc
    return hmac.digest(key, message, "sha256")


def check(keys: Iterable[bytes], receipt: Mapping[str, Any]) -> None:
    """Verify a receipt (fields of ``StorageReceipt``) with any of the keys: the present and earlier ones.

    Raises: Rejected ``storage.receipt_forged``: the sender must store the attachment and use that receipt.
    """
    for key in keys:
        try:
            expected = seal(key, receipt["sha256"], receipt["size"], receipt["stored_ms"])
        except ValueError as exc:
            raise Rejected("storage.receipt_forged", str(exc)) from exc
        if hmac.compare_digest(expected, receipt["mac"]):
            return
    raise Rejected("storage.receipt_forged", receipt["sha256"].hex())


def check_all(
    keys: Sequence[bytes] | None,
    attachments: Iterable[tuple[bytes, int]],
    receipts: Iterable[Mapping[str, Any]],
    append_ms: int,
) -> None:
    """Verify that every attachment (digest, size) has a receipt of the store; spare receipts are ignored.

    `keys` None: whoever asks doesn't hold the store's keys, so only the receipts' presence is checked. `append_ms`: of
    the submission.

    Raises: Rejected ``storage.receipt_missing``, ``storage.receipt_forged``, ``storage.receipt_expired``: the sender
        must store the attachment (again) and use that receipt.
    """
    held = {(receipt["sha256"], receipt["size"]): receipt for receipt in receipts}
    for sha256, size in attachments:
        receipt = held.get((sha256, size))
        if receipt is None:
            raise Rejected("storage.receipt_missing", f"{sha256.hex()}, {size} bytes")
        if keys is not None:
            check(keys, receipt)
            if receipt["stored_ms"] < append_ms - RECEIPT_MS_MAX:
                raise Rejected("storage.receipt_expired", sha256.hex())
