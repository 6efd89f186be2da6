"""An audit in shares says what one in a piece says, whatever was spoiled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest

from exchange.auditor import Balance, Cut, Part, Share, examine, merged
from exchange.auditor.findings import Findings
from exchange.auditor.hop_records import _source_number
from exchange.auditor.tally import Tally
from exchange.backbone.reading import Read
from exchange.statements import Fields, schema
from tests.unit.audited_signed import SignedWorld, found, signed_lively
from tests.unit.audited_world import INBOX_PARTITIONS, PARTITIONS

Spoil = Callable[[SignedWorld], object]


@pytest.fixture(scope="module")
def whole() -> SignedWorld:
    return signed_lively(found())


def in_shares(world: SignedWorld, count: int) -> Balance:
    cut = Cut(PARTITIONS, INBOX_PARTITIONS, dict(world._positions), world.openings)
    parts = [
        examine(cut, world, None, deep=world.founded.deep, share=Share(number, count)) for number in range(count)
    ]  # fmt: skip
    return merged(cut, parts)


def content(balance: Balance) -> dict[str, object]:
    """All of a balance; the findings in one order."""
    return asdict(balance) | {"findings": sorted(balance.findings)}


def gone(topic: str) -> Spoil:
    """Take a record out of the middle of each log of a topic."""

    def spoil(world: SignedWorld) -> None:
        for (name, _), log in world.topics.items():
            if (name == topic or (topic == "inbox" and name.startswith("inbox."))) and log:
                del log[len(log) // 2]

    return spoil


def elsewhere(world: SignedWorld) -> None:
    """Deliveries in another inbox partition, one that names no source there is, and one that can't be read."""
    logs = [log for (name, _), log in sorted(world.topics.items()) if name.startswith("inbox.") and len(log) > 1]
    one, other = logs[:2]
    other.append(one.pop(0)._replace(offset=other[-1].offset + 2))
    fields: Fields = schema("delivery").decode(one[0].value)
    for value in (schema("delivery").encode({**fields, "partition": 77}), schema("delivery").prefix + b"\xff" * 40):
        other.append(Read(other[0].topic, other[0].partition, other[-1].offset + 2, 0, b"", value))


def short_directory(world: SignedWorld) -> None:
    """Every share comes upon that."""
    del world.topics["directory", 0][-2:]


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: None, elsewhere, short_directory, gone("documents"), gone("statuses"), gone("trace"),
        gone("dead-letters"), gone("inbox"), gone("store"), gone("throughput.deltas"), gone("promises"),
        gone("schemas"), gone("directory"),
    ],
)  # fmt: skip
def test_shares_say_what_the_whole_says(whole: SignedWorld, spoil: Spoil, count: int) -> None:
    world = whole.copy()
    spoil(world)
    expected = in_shares(world, 1)
    assert expected == world.audited()
    assert content(in_shares(world, count)) == content(expected)
    assert in_shares(world, count) == in_shares(world, count)
    assert expected.holds == (world.topics == whole.topics)


def test_a_list_stays_as_long_as_it_may_be_though_all_is_counted() -> None:
    parts = []
    for number in range(2):
        findings = Findings()
        for offset in range(900):
            findings.add("audit.missing_event", (("documents", number, offset)), "gone")  # type: ignore[arg-type]
        parts.append(Part(Tally(), findings, None))
    balance = merged(Cut(1, 1, {}), parts)
    assert balance.finding_counts == {"audit.missing_event": 1_800}
    assert len(balance.findings) == 1_000
    assert balance.findings[-1].at == ("documents", 1, 99)
    assert balance.compared is None


@pytest.mark.parametrize("number", [0, 1, 63, 64, 5_000, 1 << 31 - 1])
def test_the_source_of_a_delivery_is_read_without_the_rest(whole: SignedWorld, number: int) -> None:
    log = next(log for (name, _), log in whole.topics.items() if name.startswith("inbox.") and log)
    fields = schema("delivery").decode(log[0].value)
    assert _source_number(schema("delivery").encode({**fields, "partition": number})) == number


@pytest.mark.parametrize("value", [b"", b"\xff" * 30, schema("delivery").prefix, schema("delivery").prefix + b"\x08"])
def test_whatever_the_bytes_are_exactly_one_share_takes_them(value: bytes) -> None:
    assert [Share(number, 3).takes(_source_number(value)) for number in range(3)].count(True) == 1
