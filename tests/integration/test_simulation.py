"""The simulated nation: real units of all four levels, the same by the same seed, and what it promises comes true."""

from __future__ import annotations

from collections import Counter

from exchange.agencies.levels import Level
from exchange.local.progress import silent
from exchange.local.simulation.nation import Nation
from exchange.local.simulation.traffic import Traffic
from exchange.statements import Fields
from tests.support.running import Exchange


def shape(fields: Fields) -> Fields:
    """Fields without the clock's."""
    return {name: value for name, value in fields.items() if name not in {"signed_ms", "issued", "due"}}


def stream(exchange: Exchange, seed: int, count: int = 300) -> list[Fields]:
    return [shape(one.fields) for one in Traffic(exchange.cast, seed, "run", []).records(count)]


def test_the_same_seed_gives_the_same_traffic(exchange: Exchange) -> None:
    assert stream(exchange, 1) == stream(exchange, 1)
    assert stream(exchange, 1) != stream(exchange, 2)


def test_all_levels_send_and_receive(exchange: Exchange) -> None:
    levels = {member.agency.code: level for level, members in exchange.cast.by_level.items() for member in members}
    sent = [fields for fields in stream(exchange, 3, 1000) if "to" in fields and isinstance(fields["to"], list)]
    senders = Counter(levels[fields["sender"]] for fields in sent)
    recipients = Counter(levels[code] for fields in sent for code in fields["to"] if code in levels)
    assert set(senders) == set(recipients) == set(Level)
    assert any(len(fields["to"]) > 1 for fields in sent)
    assert {fields["business"] for fields in sent} == {"new", "recall", "update"}


def test_each_bad_record_meets_its_code_and_what_is_sent_again_is_a_duplicate(exchange: Exchange) -> None:
    world = exchange.world
    nation = Nation(
        world.base, world.authority, world.directory_log, world.attachments,
        seed=11, run="bad", partitions=world.layout.keyed, report=silent,
    )  # fmt: skip
    before = Counter(outcomes(exchange))
    sent = nation.send(600, None, bad_share=0.3, again_share=0.1)
    exchange.settle()
    found = Counter(outcomes(exchange))
    found.subtract(before)
    assert +found == sent.expected
    assert sent.expected["accepted"] > 300
    assert sent.expected["duplicate"] > 10


def outcomes(exchange: Exchange) -> list[str]:
    exchange.settle()
    events = [fate.events[0] for fate in exchange.all_fates() if fate.events]
    return [event["code"] or event["outcome"] for event in events]
