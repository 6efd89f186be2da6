"""Deliveries as the inbox topics hold them, decoded once for all their recipients."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

from exchange import spans
from exchange.errors import InvariantBroken, Rejected
from exchange.signatures import decode_record
from exchange.signatures.envelope import OWN_WORD
from exchange.statements import Fields, identify, schema

_DELIVERY = schema("delivery")


class Delivery(NamedTuple):
    """One inbox record. `offset`, `inbox_ms`: where and when it is in the inbox; `topic`, `partition`,
    `source_offset`, `append_ms`: of the submission; `record`: its value, unchanged;
    `traceparent`: of one that is followed (`exchange.spans`)."""

    offset: int
    inbox_ms: int
    recipients: frozenset[str]
    topic: str
    partition: int
    source_offset: int
    append_ms: int
    directory_offset: int
    record: bytes
    traceparent: str | None = None

    @property
    def size_bytes(self) -> int:
        """What it weighs in memory, about."""
        return len(self.record) + 48 * len(self.recipients) + 400


def delivery_of(message: Any) -> Delivery:  # noqa: ANN401  aiokafka's record
    """Decode an inbox record; InvariantBroken if it isn't one, for only the hop writes there."""
    try:
        fields = _DELIVERY.decode(message.value or b"")
    except Rejected as exc:
        raise InvariantBroken(f"{message.topic}/{message.partition}/{message.offset}: {exc}") from exc
    return Delivery(
        message.offset, message.timestamp, frozenset(fields["recipients"]), fields["topic"], fields["partition"],
        fields["offset"], fields["append_ms"], fields["directory_offset"], fields["record"], _followed(message),
    )  # fmt: skip


def _followed(message: Any) -> str | None:  # noqa: ANN401
    makes = spans.current()
    return None if makes is None else makes.follows(dict(message.headers).get("traceparent"))


def kind_of(delivery: Delivery) -> str:
    """``document``, ``status``, ``report`` or ``notice``."""
    try:
        return identify(decode_record(delivery.record, OWN_WORD)["statement"]).name
    except Rejected as exc:
        raise InvariantBroken(f"a delivery of {delivery.topic}/{delivery.source_offset}: {exc}") from exc


def fields_of(delivery: Delivery) -> Fields:
    """What it says, as JSON has it: digests in lower-case hex, other bytes in base64; the rest as in ``schemas/``."""
    raw: bytes = decode_record(delivery.record, OWN_WORD)["statement"]
    fields: Fields = _plain(identify(raw).decode(raw))
    return fields


def _plain(value: Any, name: str = "") -> Any:  # noqa: ANN401  any field
    if isinstance(value, dict):
        return {key: _plain(one, key) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, name) for one in value]
    if isinstance(value, bytes):
        return value.hex() if name == "sha256" else base64.b64encode(value).decode("ascii")
    return value
