"""What an evidence file tells, read out of its proving parts; nothing is verified here.

Guarantees: any parts become a `Story` or `Rejected`. The story's events are in the order of the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from exchange.errors import Rejected
from exchange.ledger.checkpoint import Checkpoint, parse_text
from exchange.ledger.evidence import contents
from exchange.ledger.evidence.contents import ProvedEvent, Said
from exchange.ledger.notes import parse_note
from exchange.signatures import decode_record
from exchange.signatures.envelope import OWN_WORD
from exchange.statements import KINDS, Fields, Statement, identify

LEAF = "ledger_leaf"


@dataclass(frozen=True, slots=True)
class Told:
    """One event: its proof, and the fields of ``schemas/ledger_leaf``."""

    proof: ProvedEvent
    leaf: Fields

    @property
    def event(self) -> Fields:
        """The fields of the trace event itself."""
        found: Fields = self.leaf["event"]
        return found


@dataclass(frozen=True, slots=True)
class Word:
    """A promise or a lapse (`name`) of the backbone's: the record that proves it, its signer, and what it says."""

    name: str
    record: bytes
    certificate: bytes
    fields: Fields


@dataclass(frozen=True, slots=True)
class Story:
    """The whole file. `accepted`: the event that took the document in; `said`: with the event of each.

    `promised`: what the backbone signed about it; `stamps`: the time-stamps by their names, oldest first.
    """

    statement: Statement
    record_bytes: bytes
    record: Fields
    checkpoint: Checkpoint
    events: tuple[Told, ...]
    accepted: Told
    said: tuple[tuple[Said, Told], ...]
    certificates: tuple[bytes, ...]
    lists: tuple[bytes, ...]
    promised: tuple[Word, ...]
    stamps: Mapping[str, bytes]

    @property
    def about(self) -> dict[str, object]:
        """What the manifest says about the document."""
        event = self.accepted.event
        return {
            "kind": self.statement.kind.name,
            "sender": event["sender"],
            "id": event["id"],
            "thread": event["thread"],
            "sha256": self.statement.digest.hex(),
            "accepted": self.accepted.proof.index,
        }

    @property
    def recipients(self) -> list[str]:
        """Whom the document was delivered to."""
        return [copy["recipient"] for copy in self.accepted.event["deliveries"] if copy["partition"] >= 0]


def read_story(parts: Mapping[str, bytes]) -> Story:
    """Read the proving parts.

    Raises: Rejected ``evidence.*``, ``note.*``, ``checkpoint.malformed``, ``record.*``, ``avro.*``, ``statement.*``.
    """
    missing = [name for name in contents.SOURCES if name not in parts]
    if missing:
        raise Rejected("evidence.part_missing", ", ".join(missing))
    statement = _statement(parts[contents.STATEMENT])
    record_bytes = parts[contents.RECORD]
    events = tuple(Told(proof, _leaf(proof.leaf)) for proof in contents.read_events(parts[contents.EVENTS]))
    by_index = {told.proof.index: told for told in events}
    said = contents.read_said(parts[contents.RECEIPTS])
    if any(one.index not in by_index for one in said):
        raise Rejected("evidence.event_missing", "a signed receipt without the event that took it in")
    return Story(
        statement=statement,
        record_bytes=record_bytes,
        record=decode_record(record_bytes),
        checkpoint=parse_text(parse_note(parts[contents.CHECKPOINT]).text),
        events=events,
        accepted=_accepted(events, statement),
        said=tuple((one, by_index[one.index]) for one in said),
        certificates=tuple(
            contents.read_pem(contents.CERTIFICATES, contents.CERTIFICATE_LABEL, parts[contents.CERTIFICATES])
        ),
        lists=tuple(contents.read_pem(contents.LISTS, contents.LIST_LABEL, parts[contents.LISTS])),
        promised=tuple(_word(one.record) for one in contents.read_promised(parts[contents.PROMISES])),
        stamps={name: parts[name] for name in contents.stamp_names(parts)},
    )


def _statement(raw: bytes) -> Statement:
    found = identify(raw)
    kind = KINDS.get(found.name)
    if kind is None:
        raise Rejected("statement.kind_not_accepted", found.name)
    return Statement(kind, found.decode(raw), raw, sha256(raw).digest())


def _word(record: bytes) -> Word:
    signed = decode_record(record, OWN_WORD)
    found = identify(signed["statement"])
    if found.name not in {"promise", "lapse"}:
        raise Rejected("evidence.malformed", f"a {found.name} among the promises")
    return Word(found.name, record, signed["signatures"][0]["certificate"], found.decode(signed["statement"]))


def _leaf(leaf: bytes) -> Fields:
    found = identify(leaf)
    if found.name != LEAF:
        raise Rejected("evidence.malformed", f"a leaf of schema {found.name}")
    return found.decode(leaf)


def _accepted(events: tuple[Told, ...], statement: Statement) -> Told:
    found = [
        told for told in events if told.event["outcome"] == "accepted" and told.event["sha256"] == statement.digest
    ]
    if len(found) != 1:
        raise Rejected("evidence.not_accepted", f"{len(found)} events accept this statement, not 1")
    return found[0]
