"""Restoring the duplicate store: it must be the one that belongs to the committed offsets, or nothing goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from unittest.mock import Mock

import pytest

from exchange.backbone import changelog, hop
from exchange.backbone.changelog import restore
from exchange.backbone.hop import NOTHING, Hop
from exchange.backbone.reading import Read
from exchange.errors import InvariantBroken
from exchange.pipeline.store import PartitionStore, pack
from exchange.statements import SUBMISSION_TOPICS, Topic, schema

KEYS = [bytes([number]) * 16 for number in range(3)]
Position = tuple[str, int]


def batch(number: int, next_offset: int) -> Read:
    """The changelog record of one transaction: one claim, and how far it covers the documents."""
    claim = pack(bytes(32), next_offset - 1, 1_000, Topic.DOCUMENTS, [], b"")
    covers = [
        {"topic": topic, "next_offset": next_offset if topic == Topic.DOCUMENTS else 0} for topic in SUBMISSION_TOPICS
    ]
    puts = [{"key": KEYS[number], "value": claim}]
    fields = {"partition": 0, "covers": covers, "claims": number + 1, "carried": [], "puts": puts}
    value = schema("changelog").encode(fields | {"moves": [], "forgets": []})
    return Read("store", 0, 2 * number, 1_000, b"0", value)


def restored(monkeypatch: pytest.MonkeyPatch, log: Sequence[Read], committed: int) -> PartitionStore:
    """The store of partition 0, when so many documents are committed and the changelog holds these records."""

    def read_to_end(*_: object) -> Iterator[list[Read]]:
        yield list(log)

    monkeypatch.setattr(changelog, "read_to_end", read_to_end)
    positions = {(topic, 0): committed if topic == Topic.DOCUMENTS else 0 for topic in SUBMISSION_TOPICS}
    return restore({}, positions, {0: 0})[0]


def test_a_store_that_covers_what_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    store = restored(monkeypatch, [batch(0, 5), batch(1, 9)], 9)
    assert [store.get(key) is not None for key in KEYS] == [True, True, False]


def test_offsets_are_asked_first_then_open_transactions_awaited_then_the_changelog_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Any other order can miss what a zombie still commits."""
    order: list[str] = []
    found = {(topic, 0): (0, "") for topic in SUBMISSION_TOPICS}

    def step(name: str, answer: object) -> Callable[..., object]:
        def noted(*_: object) -> object:
            order.append(name)
            return answer

        return noted

    monkeypatch.setattr(hop, "committed_with_notes", step("committed", found))
    monkeypatch.setattr(hop, "await_stable", step("stable", None))
    monkeypatch.setattr(hop, "restore", step("restored", {0: PartitionStore()}))
    worker = Mock(_base={}, _rules=Mock(inbox_partitions=1), _owned=NOTHING, _last_owned=NOTHING)
    worker._is_current.return_value = False
    Hop._take_over(worker, [0])
    assert order == ["committed", "stable", "restored"]


@pytest.mark.parametrize(
    ("records", "committed"),
    [([], 9), ([batch(0, 5)], 9), ([batch(0, 5), batch(1, 9)], 5), ([batch(0, 5)], 0)],
    ids=["lost", "behind", "ahead", "offsets expired"],
)
def test_a_store_that_does_not_match_the_offsets_is_our_bug_and_never_an_empty_one(
    monkeypatch: pytest.MonkeyPatch, records: list[Read], committed: int
) -> None:
    with pytest.raises(InvariantBroken, match="store of partition 0 covers documents"):
        restored(monkeypatch, records, committed)
