"""What is said about an earlier statement: recalls, updates, replacements, and statuses.

Everything needed is in the partition's store, for a thread lives in one partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from exchange.errors import Rejected
from exchange.pipeline.routing import Copy
from exchange.pipeline.store import Claim, Move, PartitionStore, claim_key
from exchange.statements import Fields, Statement
from exchange.statements.chain import CHANGE_OPEN, TAKE_BACK_OPEN, advance, ask
from exchange.statements.status import TAKE_BACK_ASKED

HORIZON_MS = 45 * 86_400_000
"""A status about a document at least this old, and gone from the store, is late rather than wrong."""


class Step(NamedTuple):
    """What a status did to a copy. `tell`: code of the agency on the other side; `document_ms`: when the document that
    it is about was appended."""

    move: Move
    moved: bool
    tell: str
    document_ms: int


def requests(store: PartitionStore, statement: Statement, copies: Sequence[Copy], topic: str) -> list[Move]:
    """The requests that a recall, update or replacement opens on the copies of its thread's first document.

    Raises: Rejected ``thread.malformed``, ``thread.not_the_senders``, ``thread.unknown``, ``document.lane``,
        ``recall.not_a_recipient``; ``status.*`` if it could be opened on none.
    """
    fields = statement.fields
    thread: str = fields["thread"]
    owner, slash, first = thread.partition("/")
    if not slash or not first:
        raise Rejected("thread.malformed", thread[:80])
    if owner != fields["sender"]:
        raise Rejected("thread.not_the_senders", f"{thread[:80]} is not {fields['sender'][:40]}'s")
    key = claim_key(thread, owner, first)
    claim = store.get(key)
    if claim is None:
        raise Rejected("thread.unknown", thread[:120])
    if claim.topic != topic:
        raise Rejected("document.lane", f"its thread travels in {claim.topic}")
    is_recall = fields["business"] == "recall"
    return _open(key, claim, copies, is_recall)


def _open(key: bytes, claim: Claim, copies: Sequence[Copy], is_recall: bool) -> list[Move]:
    places = {ordinal: place for place, ordinal in enumerate(claim.ordinals)}
    opened: list[Move] = []
    refusal: Rejected | None = None
    for copy in copies:
        place = places.get(copy.ordinal)
        if place is None:
            if is_recall:
                raise Rejected("recall.not_a_recipient", f"{copy.recipient} never got the document")
            continue
        try:
            state = ask(claim.state(place), TAKE_BACK_OPEN if is_recall else CHANGE_OPEN)
        except Rejected as exc:
            refusal = exc
            continue
        opened.append(Move(key, place, state))
    if not opened and refusal is not None:
        raise refusal
    return opened


def step(store: PartitionStore, fields: Fields, ordinal: int, append_ms: int) -> Step:
    """What a status does to the copy of the recipient with that directory ordinal.

    Raises: Rejected ``document.unknown``, ``document.expired``, ``status.not_a_recipient``,
        ``status.illegal_transition``, ``status.no_request``, ``status.request_open``.
    """
    document = fields["document"]
    key = claim_key(fields["thread"], document["sender"], document["id"])
    claim = store.get(key)
    if claim is None:
        if fields["document_append_ms"] < append_ms - HORIZON_MS:
            raise Rejected("document.expired", document["id"][:64])
        raise Rejected("document.unknown", f"{document['sender'][:40]}/{document['id'][:64]}")
    try:
        place = claim.ordinals.index(ordinal)
    except ValueError:
        raise Rejected("status.not_a_recipient", fields["recipient"][:40]) from None
    code = fields["code"]
    before = claim.state(place)
    after = advance(before, code)
    tell = fields["recipient"] if code == TAKE_BACK_ASKED else document["sender"]
    return Step(Move(key, place, after), after != before, tell, claim.append_ms)
