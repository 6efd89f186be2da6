"""The lapses of one partition number against the trace: which deadlines passed without a receipt, derived again.

Guarantees: shares no code with their writer. Of every copy whose deadline is settled there is exactly one lapse if its
recipient said nothing about it in time, and none if it did; a lapse says of its document what the trace says. How far
the statuses were read when it was signed (`statuses_next`) isn't judged. Holds the documents that had a deadline, about
100 bytes for each copy that never was acknowledged in time, and as much for each lapse.

Source: docs of ``schemas/lapse``; docs/promises.md; decision 0071.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import NamedTuple

from exchange.auditor.books import Coordinates
from exchange.auditor.findings import Findings
from exchange.auditor.said import claim_key
from exchange.errors import Rejected
from exchange.statements import Fields, identify

_DAY_MS, _ZONE_MS = 86_400_000, 7 * 3_600_000
_REPEATED = ("to", "id", "sha256", "thread", "partition", "append_ms", "deadline_ms", "sender")

Copy = tuple[str, int, str]
"""Topic and offset of a document's submission, and the recipient."""


class _Lapse(NamedTuple):
    offset: int
    content: tuple[object, ...]


class _Document(NamedTuple):
    """One that is due. `silent`: who has said nothing in time."""

    at: Coordinates
    deadline_ms: int
    content: tuple[object, ...]
    silent: set[str]
    is_unfinished: bool


class LapseAudit:
    """Audits one partition number: `load` its lapses, let it `see` each event of the trace, then `finish`.

    `settled_ms`: deadlines up to it are settled, by the topic of the promises' state, read before the lapses; of later
    ones some lapses may be there already, and none is missing yet.
    """

    def __init__(self, number: int, code: str, settled_ms: int, unfinished: Set[bytes], findings: Findings) -> None:
        """`code`: the backbone's; `unfinished`: claim keys of documents whose lapses may still be on their way."""
        self._unfinished = unfinished
        self._number = number
        self._code = code
        self._settled_ms = self._until_ms = settled_ms
        self._findings = findings
        self._lapses: dict[Copy, _Lapse] = {}
        self._documents: dict[tuple[str, int], _Document] = {}
        self._newest: dict[tuple[str, str, str], _Document] = {}

    def load(self, at: Coordinates, deadline_ms: int, statements: Iterable[bytes]) -> int:
        """Take in a record of lapses; returns how many there are."""
        count, self._until_ms = 0, max(self._until_ms, deadline_ms)
        for raw in statements:
            count += 1
            try:
                found = identify(raw)
                if found.name != "lapse":
                    raise Rejected("record.wrong_schema", found.name)
                fields = found.decode(raw)
            except Rejected as exc:
                self._findings.add("audit.altered_lapse", at, str(exc))
                continue
            copy = (fields["topic"], fields["offset"], fields["recipient"])
            if fields["deadline_ms"] != deadline_ms:
                self._findings.add(
                    "audit.altered_lapse", at, f"of another deadline, about {_named(copy)}", fields["id"]
                )
            if copy in self._lapses:
                self._findings.add("audit.surplus_lapse", at, f"again about {_named(copy)}", fields["id"])
            else:
                self._lapses[copy] = _Lapse(at.offset, tuple(fields[name] for name in _REPEATED))
        return count

    def see(self, topic: str, event: Fields) -> None:
        """Take in one event about a submission, in the order of the trace."""
        if event["outcome"] != "accepted":
            return
        summary, said = event["summary"], event["status"]
        if said is not None and said["recipient"] == event["sender"]:
            document = self._newest.get((event["thread"], said["document_sender"], said["document_id"]))
            if document is not None and event["append_ms"] < document.deadline_ms:
                document.silent.discard(said["recipient"])
        elif summary is not None and summary["due"] is not None:
            self._await(Coordinates(topic, self._number, event["offset"]), event, summary["due"])

    def finish(self, *, is_complete: bool) -> None:
        """Compare. `is_complete`: the trace is kept from its beginning, so that every document was seen."""
        for (topic, offset), document in self._documents.items():
            for recipient in sorted(document.silent):
                copy = (topic, offset, recipient)
                lapse = self._lapses.pop(copy, None)
                statement_id = str(document.content[1])
                if lapse is None and document.deadline_ms <= self._settled_ms and not document.is_unfinished:
                    self._findings.add("audit.missing_lapse", document.at, f"of {recipient}", statement_id)
                elif lapse is not None and lapse.content != document.content:
                    sentence = f"lapses/{self._number}@{lapse.offset} about {recipient}"
                    self._findings.add("audit.altered_lapse", document.at, sentence, statement_id)
        for copy, lapse in self._lapses.items():
            if is_complete or copy[:2] in self._documents:
                at = Coordinates("lapses", self._number, lapse.offset)
                self._findings.add("audit.surplus_lapse", at, f"about {_named(copy)}", str(lapse.content[1]))

    def _await(self, at: Coordinates, event: Fields, due: int) -> None:
        deadline_ms = (due + 1) * _DAY_MS - _ZONE_MS
        if not event["append_ms"] < deadline_ms <= self._until_ms:
            return
        content = (
            event["sender"], event["id"], event["sha256"], event["thread"], at.partition, event["append_ms"],
            deadline_ms, self._code,
        )  # fmt: skip
        silent = {copy["recipient"] for copy in event["deliveries"] if copy["partition"] >= 0}
        name = (event["thread"], event["sender"], event["id"])
        document = _Document(at, deadline_ms, content, silent, claim_key(*name) in self._unfinished)
        self._documents[at.topic, at.offset] = self._newest[name] = document


def _named(copy: Copy) -> str:
    topic, offset, recipient = copy
    return f"{topic}@{offset}, {recipient}"
