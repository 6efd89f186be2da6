"""What an agency may see of the trace: its own documents with all recipients, others' as far as it is a recipient.

Guarantees: a document that the caller neither sent nor received looks like one that doesn't exist, also by a status's
id; of a received one it sees its own delivery and what was said about its own copy, nothing of the other recipients.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from exchange.agencies.view import DirectoryView
from exchange.gateway.problems import Refused
from exchange.views.signed import with_roles
from exchange.views.trace_path import Document, Path
from exchange.views.trace_store import TraceStore
from exchange.views.tracing import Ambiguous, trace

CANDIDATES_MAX = 16


def look_up(
    store: TraceStore, view: DirectoryView, caller: str, statement_id: str, sender: str | None
) -> dict[str, Any]:
    """The path of a document as the caller may see it; field for field as `Path`.

    `sender`: of the document, if its id isn't the only one of its name. Blocks: call it in a thread.
    Raises: Refused ``trace.not_found``, ``trace.ambiguous``; Unavailable.
    """
    seen = []
    for candidate_sender, thread in _candidates(store, caller, statement_id, sender):
        path = trace(store, statement_id, candidate_sender, thread)
        shown = None if path is None else visible(path, caller)
        if shown is not None:
            seen.append(shown)
    if not seen:
        raise Refused("trace.not_found", statement_id[:80])
    distinct = {(path.sender, path.thread, path.id): path for path in seen}
    if len(distinct) > 1:
        named = [{"sender": path.sender, "thread": path.thread} for path in distinct.values()]
        raise Refused("trace.ambiguous", statement_id[:80], candidates=named)
    return asdict(with_roles(seen[0], view))


def _candidates(
    store: TraceStore, caller: str, statement_id: str, sender: str | None
) -> list[tuple[str | None, str | None]]:
    """Which (sender, thread) to look at; others' use of the same id must not hide the caller's own."""
    try:
        trace(store, statement_id, sender)
    except Ambiguous as exc:
        own_first = sorted(exc.candidates, key=lambda candidate: candidate[0] != caller)
        return [*own_first[:CANDIDATES_MAX]]
    return [(sender, None)] if sender == caller else [(sender, None), (caller, None)]


def visible(path: Path, caller: str) -> Path | None:
    """The part of a path that the caller may see; None if it has no part in it."""
    document = path.document
    if document is None:
        own = tuple(entry for entry in path.rejections if entry.sender == caller and entry.verified)
        others = tuple(entry for entry in path.others if entry.sender == caller and entry.verified)
        if not own and not others:
            return None
        return replace(path, sender=caller, rejections=own, others=others)
    if path.sender == caller:
        return path
    received = _copy_of(document, caller)
    if received is None:
        return None
    return replace(
        path,
        document=received,
        duplicates=(),
        rejections=(),
        steps=tuple(step for step in path.steps if step.recipient == caller),
        related=tuple(shown for one in path.related if (shown := _copy_of(one, caller)) is not None),
        others=tuple(entry for entry in path.others if entry.sender == caller),
    )


def _copy_of(document: Document, recipient: str) -> Document | None:
    """The document with this recipient's delivery only; None if there is none."""
    deliveries = tuple(delivery for delivery in document.deliveries if delivery.recipient == recipient)
    return replace(document, deliveries=deliveries) if deliveries else None
