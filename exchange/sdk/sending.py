"""Emptying the outbox through a gateway: attachments first, then the records that name them, in order.

Guarantees: a record leaves the outbox only with the broker's receipt, or set aside with the gateway's refusal. Asking
again after any failure sends the same bytes.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from exchange.errors import Unavailable
from exchange.sdk.entries import Receipt, Told
from exchange.sdk.outbox import CHUNK_BYTES, Outbox, Waiting
from exchange.sdk.session import GatewayRefused, Session
from exchange.signatures import encode_record
from exchange.statements import AttachmentRef, Fields

AT_ONCE = 100
AT_ONCE_BYTES = 4 * 1024 * 1024
AVRO, OCTETS, PARTIAL = "application/avro", "application/octet-stream", "application/partial-upload"
PIECE_BYTES = 32 * CHUNK_BYTES
"""Of an attachment, sent at a time: what a broken connection costs at most, and what one try may take."""
TRIES, PAUSE_S = 4, 0.5

Place = tuple[int, int]
"""Of a record in the outbox: segment and end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of records so far; also of use when sending was broken off."""

    receipts: dict[Place, Receipt] = field(default_factory=dict)
    refusals: dict[Place, GatewayRefused] = field(default_factory=dict)


class Sending:
    """Sends what waits in an outbox."""

    def __init__(self, session: Session, outbox: Outbox) -> None:
        self._session = session
        self._outbox = outbox
        self._stored: dict[bytes, Fields] = {}

    def empty(self, outcome: Outcome, told: Told) -> None:
        """Send until nothing waits; the receipts, and the refusals of what was set aside, go into `outcome`.

        Raises: Unavailable (what waits, waits on); GatewayRefused if it is the agency that isn't let in.
        """
        done, total = 0, len(self._outbox)
        while batch := self._outbox.first(AT_ONCE, AT_ONCE_BYTES):
            self._send(batch, outcome, told)
            self._session.wire.aside(self._outbox.done, batch)
            done += len(batch)
            told("Sending", done, max(total, done))
        self._stored.clear()

    def _send(self, batch: Sequence[Waiting], outcome: Outcome, told: Told) -> None:
        ready: list[tuple[Waiting, bytes]] = []
        for one in batch:
            try:
                storage = [self._store(ref, told) for ref in one.attachments]
                ready.append((one, encode_record(one.statement, one.signatures, storage)))
            except GatewayRefused as exc:
                self._refuse(one, exc, outcome)
        while ready:
            try:
                answer = self._session.call("POST", "/v1/statements", b"".join(r for _, r in ready), AVRO)
            except GatewayRefused as exc:
                refused = {index: code for index, code in exc.errors if index < len(ready)}
                if not refused:
                    raise
                for index, (one, _) in enumerate(ready):
                    if index in refused:
                        self._refuse(one, GatewayRefused(refused[index], "", exc.status, []), outcome)
                ready = [pair for index, pair in enumerate(ready) if index not in refused]
                continue
            for (one, _), receipt in zip(ready, answer["receipts"], strict=True):
                outcome.receipts[one.entry.segment, one.entry.end] = Receipt(**receipt)
            return

    def _refuse(self, one: Waiting, exc: GatewayRefused, outcome: Outcome) -> None:
        """Set one aside for what it is; what isn't about it (no token, a revoked certificate) stops all."""
        if exc.status in {401, 403} and exc.code != "sender.not_yours":
            raise exc
        self._outbox.set_aside(one, exc.code)
        outcome.refusals[one.entry.segment, one.entry.end] = exc

    def _store(self, ref: AttachmentRef, told: Told) -> Fields:
        receipt = self._stored.get(ref.sha256)
        if receipt is None:
            path = self._outbox.path(ref.sha256)
            if not path.is_file():
                raise GatewayRefused("attachment.missing", "its bytes are no longer in the outbox", 404, [])
            put = self._put if ref.size <= PIECE_BYTES else self._put_in_pieces
            receipt = self._stored[ref.sha256] = _receipt(put(ref, path, told))
        return receipt

    def _put(self, ref: AttachmentRef, path: Path, told: Told) -> Any:  # noqa: ANN401  JSON
        address = f"/v1/attachments/{ref.sha256.hex()}"
        return self._session.call("PUT", address, lambda: _read(path, 0, ref.size, ref.size, told), OCTETS)

    def _put_in_pieces(self, ref: AttachmentRef, path: Path, told: Told) -> Any:  # noqa: ANN401  JSON
        """Go on where the last request, of this process or an earlier one, was broken off.

        Raises: Unavailable when nothing more arrived `TRIES` times in a row; GatewayRefused.
        """
        address, before, tries = f"/v1/uploads/{ref.sha256.hex()}", -1, 0
        while True:
            start = min(self._session.call("GET", address)["offset"], ref.size)
            before, tries = start, (tries + 1 if start == before else 0)
            end = min(start + PIECE_BYTES, ref.size)
            more = {"upload-offset": str(start), "upload-complete": "?1" if end == ref.size else "?0"}
            body = partial(_read, path, start, end, ref.size, told)
            try:
                found = self._session.call("PATCH", address, body, PARTIAL, more=more, patience_s=0)
                if end == ref.size:
                    return found
            except Unavailable:  # ask first how much of it arrived nevertheless
                if tries >= TRIES:
                    raise
                self._session.wire.pause(random.uniform(0, PAUSE_S * 2**tries))  # noqa: S311  to spread load
            except GatewayRefused as exc:
                if exc.code != "upload.offset" or tries >= TRIES:
                    raise


def _read(path: Path, start: int, end: int, size: int, told: Told) -> Iterator[bytes]:
    """The bytes from `start` to `end` of a file of `size`."""
    with path.open("rb") as stream:
        stream.seek(start)
        while chunk := stream.read(min(CHUNK_BYTES, end - start)):
            yield chunk
            start += len(chunk)
            told("Storing an attachment", start, size)


def _receipt(found: dict[str, Any]) -> Fields:
    return {
        "sha256": bytes.fromhex(found["sha256"]),
        "size": found["size"],
        "stored_ms": found["stored_ms"],
        "mac": base64.b64decode(found["mac"]),
    }
