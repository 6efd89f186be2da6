"""What the backbone signed about the document of an evidence file, held against its events.

Guarantees: each is signed by the backbone's own certificate, chained to the verifier's root, and is about this very
acceptance: a promise about its place in the trace and what was decided there, a lapse about a recipient of it, by the
day on which it was due, against whom no signed receipt in the file speaks.
"""

from __future__ import annotations

from exchange.agencies import BACKBONE_CODE
from exchange.errors import Rejected
from exchange.ledger.evidence.story import Story, Word
from exchange.ledger.promises.deadlines import deadline_of
from exchange.signatures import Trust, open_word
from exchange.statements import Fields

_OF_EVENT = ("offset", "append_ms", "outcome", "code", "kind", "verified", "id", "sha256")
_OF_LEAF = ("topic", "partition", "trace_offset", "trace_index")
_OF_DOCUMENT = ("id", "sha256", "thread", "offset", "append_ms")


def check_promised(story: Story, trust: Trust) -> str:
    """Check every promise and lapse; returns a note.

    Raises: Rejected ``promise.not_the_backbones``, ``promise.other_event``, ``lapse.other_document``,
        ``lapse.contradicted``, ``signature.*``, ``batch.*``, ``certificate.*``; Unavailable ``crl.stale``.
    """
    for word in story.promised:
        _check_signer(story, word, trust)
        if word.name == "promise":
            _check_promise(story, word.fields)
        else:
            _check_lapse(story, word.fields)
    lapsed = {word.fields["recipient"] for word in story.promised if word.name == "lapse"}
    copies = story.accepted.event["deliveries"]
    informed = sum(copy["recipient"] in lapsed and is_only_informed(story.statement.fields, copy) for copy in copies)
    note = f"{len(story.promised) - len(lapsed):,} promised, {len(lapsed):,} had not answered when it was due"
    return f"{note}, {informed:,} of them only to be informed" if informed else note


def is_only_informed(document: Fields, copy: Fields) -> bool:
    """Whether a document names this copy's recipient for information alone; false where a group leaves that open."""
    named = {copy["recipient"], copy["redirected_from"]}
    acting: list[str] = document["to"]
    return not named.isdisjoint(document["information"]) and not any(
        address in named or address.startswith("@") for address in acting
    )


def _check_signer(story: Story, word: Word, trust: Trust) -> None:
    signer = trust.signer(word.certificate, story.accepted.event["append_ms"])
    open_word(word.record, signer.certificate, (word.name,))
    if (signer.agency, word.fields["sender"]) != (BACKBONE_CODE, BACKBONE_CODE):
        raise Rejected("promise.not_the_backbones", signer.agency)


def _check_promise(story: Story, promise: Fields) -> None:
    leaf, event = story.accepted.leaf, story.accepted.event
    wrong = [name for name in _OF_LEAF if promise[name] != leaf[name]]
    wrong += [name for name in _OF_EVENT if promise[name] != event[name]]
    if wrong or promise["to"] != event["sender"]:
        raise Rejected("promise.other_event", ", ".join(wrong) or "to")


def _check_lapse(story: Story, lapse: Fields) -> None:
    leaf, event = story.accepted.leaf, story.accepted.event
    due = None if event["summary"] is None else event["summary"]["due"]
    wrong = [name for name in _OF_DOCUMENT if lapse[name] != event[name]]
    wrong += [name for name in ("topic", "partition") if lapse[name] != leaf[name]]
    if lapse["recipient"] not in story.recipients:
        wrong.append("recipient")
    if due is None or lapse["deadline_ms"] != deadline_of(due):
        wrong.append("deadline_ms")
    if wrong or lapse["to"] != event["sender"]:
        raise Rejected("lapse.other_document", ", ".join(wrong) or "to")
    for _, told in story.said:
        if told.event["sender"] == lapse["recipient"] and told.event["append_ms"] < lapse["deadline_ms"]:
            raise Rejected("lapse.contradicted", f"{lapse['recipient']} had answered, event {told.proof.index}")
