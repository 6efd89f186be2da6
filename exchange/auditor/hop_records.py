"""The hop's own records of one partition, decoded, each of them for the source partition that it lies with.

Guarantees: what can't be decoded, or belongs in another partition, is a finding and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from exchange.auditor.books import Coordinates
from exchange.auditor.columns import Column
from exchange.auditor.cut import Cut, Source
from exchange.auditor.findings import Findings
from exchange.auditor.share import Share
from exchange.auditor.tally import Tally
from exchange.backbone.reading import Read
from exchange.errors import Rejected
from exchange.statements import SUBMISSION_TOPICS, Fields, identify, schema
from exchange.statements.codec import PREFIX_BYTES

TRACE = "trace"
DEAD_LETTERS = "dead-letters"
DIRECTORY = "directory"
DELTAS = "throughput.deltas"
STORE = "store"

_SCHEMAS = {TRACE: "trace", DEAD_LETTERS: "dead_letter", DELTAS: "delta", STORE: "changelog"}


class HopRecords:
    """Reads and decodes; counts what it read."""

    def __init__(self, source: Source, tally: Tally, findings: Findings) -> None:
        self._source = source
        self._tally = tally
        self._findings = findings
        self.decisions: list[tuple[Coordinates, Fields]] = []
        """Events about decisions of the directory, not about submissions."""

    def submissions(self, topic: str, number: int) -> Iterator[Read]:
        """The submissions of one source partition, as they are."""
        count = 0
        for read in self._source.read(topic, number):
            count += 1
            yield read
        self._count(topic, count)

    def keyed(self, topic: str, number: int) -> Iterator[Fields]:
        """The records of a topic that is co-partitioned with the submissions."""
        for _, fields in self.keyed_with_times(topic, number):
            yield fields

    def keyed_with_times(self, topic: str, number: int) -> Iterator[tuple[int, Fields]]:
        """As `keyed`, each with its append time."""
        for read, fields in self.decoded(topic, number, _SCHEMAS[topic]):
            if topic == TRACE and fields["topic"] == DIRECTORY:
                at = Coordinates(DIRECTORY, number, fields["events"][0]["offset"])
                self.decisions += [(at, event) for event in fields["events"]]
                continue
            if fields["partition"] != number or fields.get("topic", SUBMISSION_TOPICS[0]) not in SUBMISSION_TOPICS:
                at = Coordinates(read.topic, read.partition, read.offset)
                self._findings.add("audit.misplaced_record", at, f"of {fields.get('topic')}/{fields['partition']}")
                continue
            yield read.append_ms, fields

    def deliveries(self, topic: str, partition: int, share: Share) -> Iterator[tuple[Read, Fields]]:
        """What lies in an inbox partition and came of the partition numbers of a share, with where it lies."""
        return self.decoded(topic, partition, "delivery", None if share.of == 1 else share)

    def decoded(
        self, topic: str, number: int, schema_name: str, share: Share | None = None
    ) -> Iterator[tuple[Read, Fields]]:
        """The records of any topic of the hop's, with where they lie. `share`: whose; None: all."""
        known = schema(schema_name)
        count = 0
        for read in self._source.read(topic, number):
            if share is not None and not share.takes(_source_number(read.value)):
                continue
            count += 1
            try:
                found = known if read.value.startswith(known.prefix) else identify(read.value)
                if found.name != schema_name:
                    raise Rejected("record.wrong_schema", found.name)
                fields = found.decode(read.value)
            except Rejected as exc:
                at = Coordinates(read.topic, read.partition, read.offset)
                self._findings.add("audit.unreadable_record", at, str(exc))
                continue
            yield read, fields
        self._count(topic, count)

    def again(self, topic: str, number: int) -> Iterator[Fields]:
        """The records of a keyed topic, once more: neither counted nor judged."""
        for _, fields in self.again_with_places(topic, number):
            yield fields

    def again_with_places(self, topic: str, number: int) -> Iterator[tuple[Read, Fields]]:
        """As `again`, with where they lie."""
        for read in self._source.read(topic, number):
            try:
                found = identify(read.value)
                fields = found.decode(read.value) if found.name == _SCHEMAS[topic] else None
            except Rejected:
                continue
            if fields is not None and fields["partition"] == number:
                yield read, fields

    def dead_letters(self, number: int, cut: Cut, *, in_order: bool = False) -> dict[str, Column]:
        """The dead letters of a partition number, by source topic; payload: the verified sender, the detail.

        `in_order`: name those of one source partition that aren't.
        """
        columns = {topic: Column() for topic in SUBMISSION_TOPICS}
        senders: dict[str | None, str | None] = {}
        for fields in self.keyed(DEAD_LETTERS, number):
            topic, offset = fields["topic"], fields["offset"]
            if not cut.covers(topic, number, offset):
                continue
            if columns[topic].at(offset):
                self._findings.add("audit.doubled_dead_letter", Coordinates(topic, number, offset), fields["code"])
                continue
            offsets = columns[topic].offsets
            if in_order and offsets and offset < offsets[-1]:
                at = Coordinates(topic, number, offset)
                self._findings.add("audit.dead_letter_out_of_order", at, f"after that of {offsets[-1]}")
            stamps = (fields["append_ms"], fields["directory_offset"])
            content = hash((fields["key"], fields["value"], *stamps, fields["code"]))
            sender = fields["sender"]
            columns[topic].add(offset, content, (senders.setdefault(sender, sender), fields["detail"]))
        return columns

    def _count(self, topic: str, count: int) -> None:
        self._tally.read[topic] = self._tally.read.get(topic, 0) + count


def _source_number(delivery: bytes) -> int:
    """The partition that a delivery says it came from, without decoding the rest: its second field, behind a string.

    Whatever the bytes are it is a number, and the same in every share. Source: Avro 1.12, "Binary encoding".
    """
    length, start = _varint(delivery, PREFIX_BYTES)
    number, _ = _varint(delivery, start + (length >> 1))
    return number >> 1


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number as it lies there, still zigzag, and where it ends; 0 beyond the bytes."""
    result = shift = 0
    for byte in data[at : at + 10]:
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    return result, at
