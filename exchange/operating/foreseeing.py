"""What would become of a dead letter if it were submitted now: the hop's own decision, on a copy, and let go.

Guarantees: the gate, the directory and the duplicate stores are those of this moment; letters are decided one after the
other, so the second of two equal ones is a duplicate. Nothing is written. It is a forecast: what else arrives meanwhile
may change it, and the hop decides again.

The stores are restored from their changelog, one partition at a time, without waiting for the hop: one batch more or
less is what a forecast may miss.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from exchange.agencies import BACKBONE_CODE, DirectoryView
from exchange.auditor.said import Said
from exchange.backbone.changelog import restore, whole_from
from exchange.backbone.clients import Config, reader
from exchange.backbone.hop import GROUP
from exchange.backbone.offsets import committed_with_notes
from exchange.errors import Rejected, Unavailable
from exchange.operating.dead_letters import Letter, erased_places
from exchange.pipeline.books import TRACE
from exchange.pipeline.decide import Decisions
from exchange.pipeline.outputs import Rules
from exchange.pipeline.routing import Router
from exchange.pipeline.store import PartitionStore
from exchange.pipeline.submission import Submission, partition_of
from exchange.signatures import Trust, TrustCache, admit
from exchange.statements import SUBMISSION_TOPICS, schema

UNREADABLE = "record.not_a_submission"


class Foreseen(NamedTuple):
    """A letter, and what would become of it: ``accepted``, ``duplicate`` or ``rejected``, by which code and why;
    ``waiting`` while the hop itself would wait; ``bug`` if it would stop the hop; ``erased`` if it was erased, by
    decision."""

    letter: Letter
    outcome: str
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Present:
    """The exchange as it is now. `roots`: trusted, DER; `storage_keys`: of the object store."""

    base: Config
    keyed: int
    inbox: int
    view: DirectoryView
    roots: Sequence[bytes]
    storage_keys: Sequence[bytes]


def foresee(
    present: Present, letters: Sequence[Letter], now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
) -> list[Foreseen]:
    """Decide about each letter; the answers are in the letters' order. Raises: Unavailable."""
    trust = Trust(present.view, present.roots, TrustCache())
    router = Router(present.view, present.inbox)
    found: dict[int, Foreseen] = {}
    waiting: dict[int, list[tuple[int, Said]]] = {}
    erased = erased_places(present.view)
    for number, letter in enumerate(letters):
        if letter.source in erased:
            found[number] = Foreseen(letter, "erased")
            continue
        said = _said(letter)
        if said is None:
            found[number] = Foreseen(letter, "rejected", UNREADABLE)
        else:
            waiting.setdefault(partition_of(said.thread.encode(), present.keyed), []).append((number, said))
    for partition, theirs in waiting.items():
        deciding = _Deciding(present, partition, router, trust)
        for number, said in sorted(theirs, key=lambda one: SUBMISSION_TOPICS.index(one[1].topic)):
            found[number] = deciding.decide(letters[number], said, now_ms())
    return [found[number] for number in range(len(letters))]


def _said(letter: Letter) -> Said | None:
    try:
        return letter.said
    except Exception:  # noqa: BLE001  as below: what trips a bug in reading isn't sent either
        return None


def sendable(foreseen: Iterable[Foreseen]) -> list[Letter]:
    """The letters that would be accepted."""
    return [one.letter for one in foreseen if one.outcome == "accepted"]


class _Deciding:
    """One partition's decisions, on its store as of now."""

    def __init__(self, present: Present, partition: int, router: Router, trust: Trust) -> None:
        self._present = present
        self._partition = partition
        self._router = router
        self._trust = trust
        self._store = _store(present.base, partition)
        self._rules = Rules(present.keyed, present.inbox, BACKBONE_CODE, lambda statement: statement, "forecast")
        self._positions = {(topic, partition): 0 for topic in SUBMISSION_TOPICS}
        self._offset = 1 << 40  # of no submission that there is

    def decide(self, letter: Letter, said: Said, now_ms: int) -> Foreseen:
        """Decide, and keep what acceptance would change."""
        self._offset += 1
        submission = Submission(said.topic, self._partition, self._offset, now_ms, said.thread.encode(), letter.value)
        detail = ""
        decisions = Decisions(self._rules, self._router, {self._partition: self._store}, self._positions)
        try:
            decisions.decide(
                submission, admit(letter.value, now_ms, self._trust, storage_keys=self._present.storage_keys)
            )
        except Rejected as rejected:
            detail = rejected.detail
            decisions.decide(submission, rejected)
        except Unavailable as exc:  # a stale list: the hop would wait, and so must whoever asks
            return Foreseen(letter, "waiting", exc.code, exc.detail)
        except Exception as exc:  # noqa: BLE001  it was set aside for tripping a bug, which isn't mended yet
            return Foreseen(letter, "bug", "invariant.broken", repr(exc))
        [trace] = [out for out in decisions.records(now_ms) if out.topic == TRACE]
        self._store.apply()
        [event] = schema("trace").decode(trace.value)["events"]
        return Foreseen(letter, event["outcome"], event["code"], detail)


def _store(base: Config, partition: int) -> PartitionStore:
    asking = reader(base, group_id=GROUP)
    try:
        noted = committed_with_notes(asking, [partition])
    finally:
        asking.close()
    start = whole_from({position: text for position, (_, text) in noted.items()}, partition)
    return restore(base, {}, {partition: start})[partition]
