"""What was refused or set aside: grouped, listed, and one of them with its original bytes.

Guarantees: counting groups shows nobody's text but codes and the senders' (a claim, unless verified). Whoever lists
or opens them is recorded first, with a reason (`looking.Auditor`).
"""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

from confluent_kafka import KafkaException, TopicPartition

from exchange.backbone.clients import Config, error, reader
from exchange.backbone.reading import read_to_end
from exchange.console.deployment import Deployment
from exchange.errors import Rejected
from exchange.operating.dead_letters import DEAD_LETTERS, erased_places
from exchange.signatures import decode_record
from exchange.statements import Fields, identify, schema
from exchange.views.trace_store import TraceStore

DAY_MS = 86_400_000
PERIODS = (1, 7, 30)
GROUPS_MAX, LISTED_MAX = 200, 50
SOUGHT_MAX = 20_000
"""Dead letters read, from when the submission came, before its own is given up."""
RAW_BYTES_MAX = 4_096

_GROUPS = """
SELECT code, sender, verified, outcome, count(*), max(append_ms) FROM events
WHERE terms IS NOT NULL AND append_ms >= %s AND outcome IN ('rejected', 'set_aside')
GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1, 2 LIMIT %s
"""
_LISTED = """
SELECT source_topic, partition, source_offset, append_ms, kind, id FROM events
WHERE terms IS NOT NULL AND append_ms >= %s AND code = %s AND sender = %s AND verified = %s AND outcome = %s
ORDER BY append_ms DESC, source_topic, partition, source_offset DESC LIMIT %s
"""


class Group(NamedTuple):
    """Dead letters of one code and sender. `sender`: a claim of anyone's unless `verified`."""

    code: str
    sender: str
    verified: bool
    outcome: str
    letters: int
    last_ms: int


class Letter(NamedTuple):
    """Where one lies, as a submission."""

    topic: str
    partition: int
    offset: int
    append_ms: int
    kind: str
    id: str

    @property
    def place(self) -> str:
        """``topic/partition/offset``."""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Opened:
    """One dead letter. `detail`: may quote hostile input. `decoded`: JSON; None if it can't be, then `problem` says
    why. `raw`: the first `RAW_BYTES_MAX` of `length` bytes."""

    detail: str
    decoded: str | None
    problem: str
    raw: bytes
    length: int


def groups(store: TraceStore, days: int) -> list[Group]:
    """The largest groups of the last days. Raises: Unavailable."""
    with store.snapshot() as connection:
        return [Group(*row) for row in connection.execute(_GROUPS, [_since(days), GROUPS_MAX])]


def listed(store: TraceStore, group: Group, days: int) -> list[Letter]:
    """The newest of a group. Raises: Unavailable."""
    asked = [_since(days), group.code, group.sender, group.verified, group.outcome, LISTED_MAX]
    with store.snapshot() as connection:
        return [Letter(*row) for row in connection.execute(_LISTED, asked)]


def opened(deployment: Deployment, letter: Letter) -> Opened | None:
    """The dead letter of a submission, with its bytes; None if it isn't kept any more.

    Raises: Rejected ``dead_letter.erased``: the topic may still have its bytes; Unavailable.
    """
    if (letter.topic, letter.partition, letter.offset) in deployment.ask(erased_places):
        raise Rejected("dead_letter.erased", letter.place)
    found = _find(deployment.base(), letter)
    if found is None:
        return None
    value: bytes = found["value"]
    try:
        decoded, problem = _decoded(value), ""
    except Rejected as exc:
        decoded, problem = None, str(exc)
    return Opened(found["detail"], decoded, problem, value[:RAW_BYTES_MAX], len(value))


def _find(base: Config, letter: Letter) -> Fields | None:
    """Read on in its partition of dead letters from when it came: it was refused after that."""
    sought = (letter.topic, letter.partition, letter.offset)
    start = _offset_at(base, letter.partition, letter.append_ms)
    read = 0
    with closing(read_to_end(base, {(DEAD_LETTERS, letter.partition): start})) as portions:
        for portion in portions:
            for one in portion:
                fields = schema("dead_letter").decode(one.value)
                if (fields["topic"], fields["partition"], fields["offset"]) == sought:
                    return fields
            read += len(portion)
            if read > SOUGHT_MAX:
                return None
    return None


def _offset_at(base: Config, partition: int, ms: int) -> int | None:
    consumer = reader(base)
    try:
        found = consumer.offsets_for_times([TopicPartition(DEAD_LETTERS, partition, ms)], timeout=10)
    except KafkaException as exc:
        raise error(exc) from exc
    finally:
        consumer.close()
    return found[0].offset if found and found[0].offset >= 0 else None


def _decoded(value: bytes) -> str:
    """The record and the statement in it as JSON, bytes in hexadecimal. Raises: Rejected."""
    record = decode_record(value)
    statement = identify(record["statement"])
    shown = {"kind": statement.name, "statement": statement.decode(record["statement"]), "record": record}
    del record["statement"]
    return json.dumps(shown, ensure_ascii=False, indent=2, default=_plain)


def _plain(value: Any) -> str:  # noqa: ANN401
    return value.hex() if isinstance(value, bytes) else str(value)


def _since(days: int) -> int:
    return time.time_ns() // 1_000_000 - days * DAY_MS
