"""Bad input, one maker a kind: each takes good material and returns a record that must be refused by its code.

The scenario tests and the simulated nation use the same makers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from exchange.local.simulation.cast import Cast, Member
from exchange.pipeline.routing import day_of
from exchange.pipeline.submission import partition_of
from exchange.signatures import SigningKey, sign_batch, sign_record
from exchange.statements import DOCUMENT, Fields, Topic
from exchange.statements.compose import attachment, document, encode, status

DAY_MS = 86_400_000


class Bad(NamedTuple):
    """A record to submit as it is. `code`: what it must be refused by. `told`: whether its sender is told."""

    code: str
    topic: str
    key: bytes
    value: bytes
    told: bool
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Material:
    """What a maker works with: two units, a clock, a source of chance, and keys that must not be trusted.

    `keys`: by name of what is wrong with their certificate: ``expired``, ``not_yet_valid``, ``revoked``,
    ``unknown_issuer``, ``wrong_usage``, ``unknown``.
    """

    cast: Cast
    sender: Member
    recipient: Member
    other: Member
    now_ms: int
    random: Random
    keys: Mapping[str, SigningKey]
    partitions: int

    def id(self) -> str:
        """A fresh id."""
        return f"bad-{self.random.getrandbits(64):016x}"

    def fields(self, **changes: object) -> Fields:
        """The fields of a good document, with changes."""
        made = document(
            self.sender.agency.code, self.id(), [self.recipient.agency.code], "Văn bản thử nghiệm",
            signed_ms=self.now_ms, issued=day_of(self.now_ms),
        )  # fmt: skip
        return made | changes

    def send(self, code: str, fields: Fields, key: SigningKey | None = None, *, told: bool = True) -> Bad:
        """Sign fields as a document and address them properly."""
        record = sign_record(encode("document", fields), [key or self.sender.key])
        return Bad(code, DOCUMENT.topic(fields), DOCUMENT.key(fields).encode(), record, told)


Maker = Callable[[Material], Bad]


def not_avro(m: Material) -> Bad:
    """Random bytes."""
    return Bad("avro.not_avro", Topic.DOCUMENTS, m.id().encode(), b"\x00" + m.random.randbytes(200), told=False)


def unknown_schema(m: Material) -> Bad:
    """The prefix of a schema that nobody knows."""
    return Bad("avro.unknown_schema", Topic.DOCUMENTS, m.id().encode(), b"\xc3\x01" + bytes(8) + b"x", told=False)


def truncated(m: Material) -> Bad:
    """A good record that lost its end."""
    good = m.send("avro.truncated", m.fields(), told=False)
    return good._replace(value=good.value[:-40])


def too_large(m: Material) -> Bad:
    """More than a record may have."""
    good = m.send("record.too_large", m.fields(), told=False)
    return good._replace(value=good.value + bytes(70_000))


def bad_signature(m: Material) -> Bad:
    """One bit of the statement changed after signing."""
    good = m.send("signature.invalid", m.fields(), told=False)
    at = good.value.index("thử nghiệm".encode())
    return good._replace(value=good.value[:at] + b"T" + good.value[at + 1 :])


def anothers_signature(m: Material) -> Bad:
    """A valid signature, by another agency."""
    return m.send("signature.not_the_senders", m.fields(), m.other.key, told=False)


def _certificate(name: str) -> Maker:
    def make(m: Material) -> Bad:
        return m.send(f"certificate.{name}", m.fields(), m.keys[name], told=False)

    make.__doc__ = f"Signed under a certificate that is {name.replace('_', ' ')}."
    return make


def batch_of_another_root(m: Material) -> Bad:
    """A batch proof that leads to another root."""
    first, second = m.fields(), m.fields()
    records = sign_batch(
        [encode("document", first), encode("document", second)], m.sender.key, m.sender.agency.code, m.now_ms
    )
    swapped = records[0].replace(encode("document", first), encode("document", first | {"id": m.id()}))
    key = DOCUMENT.key(first).encode()
    return Bad("batch.other_root", Topic.DOCUMENTS, key, swapped, told=False)


def receipt_missing(m: Material) -> Bad:
    """An attachment that nobody vouches for."""
    files = [attachment("a.pdf", "application/pdf", 10, m.random.randbytes(32))]
    return m.send("storage.receipt_missing", m.fields(attachments=files))


def receipt_forged(m: Material) -> Bad:
    """A storage receipt that the store didn't make."""
    digest = m.random.randbytes(32)
    fields = m.fields(attachments=[attachment("a.pdf", "application/pdf", 10, digest)])
    receipt = {"sha256": digest, "size": 10, "stored_ms": m.now_ms, "mac": bytes(32)}
    record = sign_record(encode("document", fields), [m.sender.key], [receipt])
    return Bad("storage.receipt_forged", Topic.DOCUMENTS, DOCUMENT.key(fields).encode(), record, told=True)


def secret(m: Material) -> Bad:
    """A document of mật."""
    return m.send("document.secret", m.fields(secrecy="mat"))


def unknown_recipient(m: Material) -> Bad:
    """A recipient that no directory knows."""
    return m.send("recipient.unknown", m.fields(to=["H99.99.99"]))


def no_recipient(m: Material) -> Bad:
    """Nobody to act."""
    return m.send("recipients.empty", m.fields(to=[]))


def too_many_recipients(m: Material) -> Bad:
    """More than 256 by name."""
    return m.send("recipients.too_many", m.fields(to=[f"H01.{n}" for n in range(257)]))


def group_unknown(m: Material) -> Bad:
    """A group that doesn't exist."""
    return m.send("group.unknown", m.fields(to=["@nowhere"]))


def in_future(m: Material) -> Bad:
    """Signed an hour from now."""
    return m.send("statement.in_future", m.fields(signed_ms=m.now_ms + 3_600_000))


def too_old(m: Material) -> Bad:
    """Signed before the window within which duplicates are recognised: a replay after the store forgot the id."""
    return m.send("statement.too_old", m.fields(signed_ms=m.now_ms - 46 * DAY_MS))


def control_characters(m: Material) -> Bad:
    """A subject that turns the line around."""
    return m.send("text.control_characters", m.fields(subject="Văn bản \u202e thử nghiệm"))


def too_long(m: Material) -> Bad:
    """A subject over its limit."""
    return m.send("text.too_long", m.fields(subject="x" * 501))


def wrong_lane(m: Material) -> Bad:
    """A normal document in the urgent lane."""
    return m.send("record.wrong_lane", m.fields())._replace(topic=Topic.DOCUMENTS_URGENT)


def lane_claimed(m: Material) -> Bad:
    """A document that isn't urgent but says that it travels in the urgent lane."""
    return m.send("document.lane", m.fields(lane="urgent"))


def wrong_key(m: Material) -> Bad:
    """A Kafka key that isn't the thread's."""
    return m.send("record.wrong_key", m.fields())._replace(key=m.id().encode())


def wrong_partition(m: Material) -> Bad:
    """The right key in another partition."""
    good = m.send("record.wrong_partition", m.fields())
    return good._replace(partition=(partition_of(good.key, m.partitions) + 1) % m.partitions)


def recall_of_nothing(m: Material) -> Bad:
    """A recall of a document that doesn't exist."""
    thread = f"{m.sender.agency.code}/{m.id()}"
    return m.send("thread.unknown", m.fields(business="recall", thread=thread))


def anothers_recall(m: Material) -> Bad:
    """A recall of somebody else's document."""
    thread = f"{m.other.agency.code}/{m.id()}"
    return m.send("thread.not_the_senders", m.fields(business="recall", thread=thread))


def status_of_nothing(m: Material) -> Bad:
    """A receipt for a document that doesn't exist."""
    about = m.fields()
    said = status(
        m.sender.agency.code, m.id(), about, 1, signed_ms=m.now_ms, document_append_ms=m.now_ms,
        thread=DOCUMENT.key(about),
    )  # fmt: skip
    record = sign_record(encode("status", said), [m.sender.key])
    return Bad("document.unknown", Topic.STATUSES, said["thread"].encode(), record, told=True)


MAKERS: tuple[Maker, ...] = (
    not_avro, unknown_schema, truncated, too_large, bad_signature, anothers_signature,
    _certificate("expired"), _certificate("not_yet_valid"), _certificate("revoked"),
    _certificate("unknown_issuer"), _certificate("wrong_usage"), _certificate("unknown"),
    batch_of_another_root, receipt_missing, receipt_forged, secret, unknown_recipient, no_recipient,
    too_many_recipients, group_unknown, in_future, too_old, control_characters, too_long, wrong_lane,
    lane_claimed, wrong_key, wrong_partition, recall_of_nothing, anothers_recall, status_of_nothing,
)  # fmt: skip
"""All makers that need nothing of what happened before."""
