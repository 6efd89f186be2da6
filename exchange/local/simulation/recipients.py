"""The recipients of a simulation: they read their inboxes, verify, and sign receipts.

Each copy of a document or report gets a 01 (arrived) most of the time, half of those a 03 (accepted) as well; a
recall is answered with 15. All deterministic by the copy, not by the order in which copies are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from exchange.agencies.levels import Level
from exchange.backbone.clients import Config, reader
from exchange.backbone.inbox import Opener, Received
from exchange.backbone.reading import partitions_of, read_to_end
from exchange.backbone.submitting import Outgoing
from exchange.local.founding import now_ms
from exchange.local.simulation.cast import Cast
from exchange.pipeline.routing import INBOX_TOPICS
from exchange.signatures import sign_record
from exchange.statements import Fields, schema
from exchange.statements.compose import encode, status
from exchange.statements.status import ACCEPTED, AGREED, ARRIVED

ARRIVED_SHARE, ACCEPTED_SHARE = 0.95, 0.5


class Recipients:
    """Everybody of the cast, reading from where they stopped last time."""

    def __init__(self, base: Config, cast: Cast, opener: Opener) -> None:
        self._base = base
        self._cast = cast
        self._opener = opener
        consumer = reader(base)
        try:
            self._starts: dict[tuple[str, int], int | None] = {
                (INBOX_TOPICS[level], partition): None
                for level in Level
                for partition in partitions_of(consumer, INBOX_TOPICS[level])
            }
        finally:
            consumer.close()
        self.latencies_ms: list[int] = []

    def read(self) -> Iterator[tuple[Received, list[str]]]:
        """What came since last time, once for each inbox record, with the recipients of the cast it names."""
        for portion in read_to_end(self._base, self._starts):
            for read in portion:
                self._starts[read.topic, read.partition] = read.offset + 1
                named: list[str] = schema("delivery").decode(read.value)["recipients"]
                received = self._opener.open(read, named[0])
                if received is not None:
                    self.latencies_ms.append(received.inbox_ms - received.append_ms)
                    yield received, [code for code in named if code in self._cast.members]

    def receipts(self) -> Iterator[Outgoing]:
        """The receipts that the recipients sign for what came since last time."""
        for received, named in self.read():
            if received.kind not in {"document", "report"}:
                continue
            for recipient in named:
                for code, about in _codes(received, recipient):
                    yield self._receipt(received, recipient, code, about)

    def _receipt(self, received: Received, recipient: str, code: int, about: Fields) -> Outgoing:
        said = f"{received.thread}/{received.fields['id']}/{recipient}/{code}"
        fields = status(
            recipient,
            f"r-{sha256(said.encode()).hexdigest()[:24]}",
            about,
            code,
            signed_ms=now_ms(),
            document_append_ms=received.append_ms,
            thread=received.thread,
        )
        return Outgoing(
            "status", fields, sign_record(encode("status", fields), [self._cast.members[recipient].key], [])
        )


def _codes(received: Received, recipient: str) -> Iterator[tuple[int, Fields]]:
    draw = _draw(f"{received.fields['id']}/{recipient}")
    if draw < ARRIVED_SHARE:
        yield ARRIVED, received.fields
    if draw < ARRIVED_SHARE * ACCEPTED_SHARE:
        yield ACCEPTED, received.fields
    if received.fields.get("business") in {"recall", "update"}:
        sender, _, first = received.thread.partition("/")
        yield AGREED, {"sender": sender, "id": first}


def _draw(text: str) -> float:
    return int.from_bytes(sha256(text.encode()).digest()[:4], "big") / 2**32
