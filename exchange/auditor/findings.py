"""What an audit can find: the stable codes, and the list of what it found.

Guarantees: everything found is counted; of each code only the first `LISTED_MAX` are listed, so that a lost
topic doesn't take the auditor's memory with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from exchange.auditor.books import Coordinates, Finding

LISTED_MAX = 1_000

CODES = {
    "audit.missing_event": "the hop passed a submission, but the trace has no event of it",
    "audit.doubled_event": "a submission has more than one event",
    "audit.surplus_event": "an event is about a submission that isn't there",
    "audit.event_out_of_order": "an event comes after that of a later submission",
    "audit.altered_event": "an event says something else than its submission",
    "audit.wrongly_accepted": "a statement was accepted that the directory or its place forbids",
    "audit.missing_copy": "the trace omits a recipient of an accepted statement",
    "audit.surplus_copy": "the trace names a recipient that an accepted statement doesn't have",
    "audit.altered_copy": "the trace has another level, partition or origin of a recipient's copy",
    "audit.missing_delivery": "an inbox lacks an accepted statement",
    "audit.doubled_delivery": "an inbox holds an accepted statement twice",
    "audit.surplus_delivery": "an inbox holds what no accepted statement led to",
    "audit.altered_delivery": "a delivery differs from its submission",
    "audit.misplaced_delivery": "a delivery or notice lies in an inbox partition that isn't its recipients'",
    "audit.delivery_out_of_order": "a delivery comes after that of a later submission of the same partition",
    "audit.missing_recipient": "a delivery omits a recipient",
    "audit.surplus_recipient": "a delivery names a recipient too many",
    "audit.missing_notice": "a sender was not told of a rejection or of closed recipients",
    "audit.doubled_notice": "a sender was told twice",
    "audit.surplus_notice": "an inbox holds a notice of nothing that happened",
    "audit.altered_notice": "a notice says something else than what happened",
    "audit.missing_dead_letter": "a submission that was rejected or set aside was not kept as evidence",
    "audit.doubled_dead_letter": "a submission that was rejected or set aside was kept twice",
    "audit.surplus_dead_letter": "a dead letter is about a submission that was neither rejected nor set aside",
    "audit.altered_dead_letter": "a dead letter differs from its submission or event",
    "audit.duplicate_without_original": "a duplicate's original was not accepted before it",
    "audit.set_aside_without_decision": "a submission was set aside that no operator's decision names",
    "audit.decision_ignored": "a submission was decided about that an operator had set aside",
    "audit.erasure_without_decision": "the trace tells of an erasure that no decision of the directory names",
    "audit.doubled_erasure": "the trace tells of an erasure twice",
    "audit.id_accepted_twice": "two accepted statements have the same thread, sender and id",
    "audit.receipt_without_delivery": "a receipt was accepted about a copy that never was delivered",
    "audit.delta_gap": "the throughput deltas leave out offsets",
    "audit.delta_repeated": "the throughput deltas cover offsets twice",
    "audit.delta_sums": "a throughput delta differs from the recount",
    "audit.window_gap": "the throughput's windows leave out offsets",
    "audit.window_differs": "an hour of the throughput's windows differs from the recount",
    "audit.missing_claim": "the duplicate store's log lacks an accepted statement",
    "audit.doubled_claim": "the duplicate store's log has an accepted statement twice",
    "audit.surplus_claim": "the duplicate store's log has what was not accepted",
    "audit.altered_claim": "the duplicate store's log holds another id or digest",
    "audit.store_gap": "the duplicate store's log goes back, or doesn't match the committed offsets",
    "audit.misplaced_record": "a record of the hop lies in another partition than its source's",
    "audit.hour_not_closed": "no statement of the backbone closes the hour",
    "audit.books_unreadable": "the statement that closes the hour doesn't verify, or its file isn't what was signed",
    "audit.books_range": "the hour's books are about other submissions than the hour's",
    "audit.books_differ": "the hour's books differ from the recount",
    "audit.books_missing": "the hour's books name other missing submissions than the recount",
    "audit.unreadable_record": "a record of the hop can't be decoded",
    # From here on of a deep audit.
    "audit.wrong_signature": "a submission that counts as verified isn't signed by whom it must be",
    "audit.other_verdict": "a submission must have met another end than the trace says",
    "audit.altered_step": "a status moved its copy otherwise than its chain allows",
    "audit.dead_letter_out_of_order": "a dead letter comes after that of a later submission of the same partition",
    "audit.altered_put": "the duplicate store's log holds other recipients, states or times of an accepted statement",
    "audit.missing_move": "the duplicate store's log lacks a copy's change of state",
    "audit.surplus_move": "the duplicate store's log has a change of state that nothing led to",
    "audit.early_forget": "the duplicate store's log forgets an id that isn't over",
    "audit.missing_entry": "the directory lacks a record",
    "audit.forged_entry": "a directory record isn't the registrar's word",
    "audit.repeated_entry": "the directory holds a record twice",
    "audit.entry_out_of_order": "a directory record comes after one that the registrar signed later",
    "audit.missing_schema": "the topic of schemas lacks one",
    "audit.altered_schema": "the topic of schemas holds another text than its key names",
    "audit.surplus_schema": "the topic of schemas holds one that this version doesn't know",
    "audit.missing_leaf": "the ledger went past a trace record without taking it",
    "audit.surplus_leaf": "the ledger has leaves of a trace record that isn't there",
    "audit.altered_leaf": "a trace event isn't what its leaf of the ledger was made from",
    "audit.order_gap": "the ledger's order doesn't join",
    "audit.altered_order": "a record of the ledger's order names another root, or other entries",
    "audit.missing_file": "the ledger lacks a file of its signed tree",
    "audit.surplus_file": "the ledger has a file that doesn't belong to its tree",
    "audit.altered_tile": "a tile of the ledger holds another hash",
    "audit.altered_entry": "a bundle of the ledger's entries holds another one",
    "audit.altered_place": "a bundle of the ledger's places names another event",
    "audit.lost_salt": "the salt of a leaf is gone, though its event was not erased",
    "audit.altered_checkpoint": "a checkpoint isn't signed, or isn't of the tree that the order leads to",
    "audit.altered_state": "the ledger's note of how far it is doesn't fit its order",
    "audit.promise_gap": "the backbone's promises don't join, or end before they say that they do",
    "audit.missing_promise": "the backbone's promises pass over an event",
    "audit.altered_promise": "a promise says something else than its event",
    "audit.missing_lapse": "a deadline passed without a receipt, and the backbone doesn't say so",
    "audit.surplus_lapse": "the backbone says that a deadline was missed which wasn't, or says it twice",
    "audit.altered_lapse": "the backbone says something else of a missed deadline than the trace",
    "audit.forged_promise": "a record of promises or lapses isn't the backbone's word",
    "audit.missing_attachment": "an attachment of an accepted statement is gone",
    "audit.altered_attachment": "an attachment of an accepted statement has other bytes",
    "audit.missing_access": "a record of who looked is gone",
    "audit.altered_access": "a record of who looked can't be one that was written",
    "audit.repeated_access": "a record of who looked is there twice",
    "audit.missing_row": "the trace store lacks a row",
    "audit.surplus_row": "the trace store has a row that nothing in the trace led to",
    "audit.altered_row": "a row of the trace store says something else than the trace",
}
"""Each code of a finding and what it means."""


class Findings:
    """What was found so far. `doubted`: submissions whose outcome is unknown, so nothing can be asked of it."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.listed: list[Finding] = []
        self.doubted: set[Coordinates] = set()
        self.total = 0

    def add(self, code: str, at: Coordinates, sentence: str, statement_id: str = "") -> None:
        """Note one finding."""
        self.total += 1
        count = self.counts[code] = self.counts.get(code, 0) + 1
        if count <= LISTED_MAX:
            self.listed.append(Finding(code, at, statement_id, f"{CODES[code]}: {sentence}"))

    def add_all(self, other: Findings) -> None:
        """Note what another share found, but not again what was found at the same place."""
        known = {(found.code, found.at) for found in self.listed}
        repeated = Counter(found.code for found in other.listed if (found.code, found.at) in known)
        for code, count in other.counts.items():
            if count > repeated[code]:
                self.counts[code] = self.counts.get(code, 0) + count - repeated[code]
        self.total += other.total - repeated.total()
        listed = Counter(found.code for found in self.listed)
        for found in other.listed:
            if (found.code, found.at) not in known and listed[found.code] < LISTED_MAX:
                listed[found.code] += 1
                self.listed.append(found)

    def doubt(self, at: Coordinates) -> None:
        """Remember that the outcome of a submission is unknown; bounded like the list."""
        if len(self.doubted) < LISTED_MAX:
            self.doubted.add(at)

    def nameless(self) -> dict[tuple[str, int], set[int]]:
        """The offsets, by source partition, of the listed findings that have no statement's id yet."""
        wanted: dict[tuple[str, int], set[int]] = {}
        for finding in self.listed:
            if not finding.id:
                wanted.setdefault((finding.at.topic, finding.at.partition), set()).add(finding.at.offset)
        return wanted

    def name(self, ids: Iterable[tuple[Coordinates, str]]) -> None:
        """Fill in the ids of the listed findings that have none."""
        known = dict(ids)
        self.listed = [f if f.id else f._replace(id=known.get(f.at, "")) for f in self.listed]
