"""Each kind of bad input: refused by its code, kept as evidence, delivered to nobody, and told to whom it may be.

All are submitted in one stream with good documents between them: none may stop a partition.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from exchange.agencies.levels import Level
from exchange.local.simulation.hostile import MAKERS, Bad, Maker
from tests.support.running import Exchange, Fate


class Submitted(NamedTuple):
    """A bad record, what became of it, and of the good document that followed it."""

    bad: Bad
    fate: Fate
    control: Fate


@pytest.fixture(scope="session")
def submitted(exchange: Exchange) -> dict[Maker, Submitted]:
    """All bad input at once, each followed by a good document of the same sender."""
    material = exchange.material()
    bad = [make(material) for make in MAKERS]
    to = [exchange.member(Level.DISTRICT).agency.code]
    good = [exchange.prepare("document", exchange.document(exchange.outlaw, to), exchange.outlaw) for _ in bad]
    stream = [record for pair in zip(bad, good, strict=True) for record in pair]
    fates = exchange.fates(exchange.submit_all(stream))
    return {
        make: Submitted(one, fates[2 * number], fates[2 * number + 1])
        for number, (make, one) in enumerate(zip(MAKERS, bad, strict=True))
    }


def name_of(make: Maker) -> str:
    return (make.__doc__ or make.__name__).split(".")[0].replace(" ", "_")


@pytest.mark.parametrize("make", MAKERS, ids=name_of)
def test_bad_input_is_refused_by_its_code(submitted: dict[Maker, Submitted], make: Maker) -> None:
    bad, fate, _ = submitted[make]
    assert (fate.event["outcome"], fate.event["code"]) == ("rejected", bad.code)
    assert fate.event["deliveries"] == []


@pytest.mark.parametrize("make", MAKERS, ids=name_of)
def test_bad_input_is_delivered_to_nobody(submitted: dict[Maker, Submitted], make: Maker) -> None:
    assert submitted[make].fate.deliveries == []


@pytest.mark.parametrize("make", MAKERS, ids=name_of)
def test_bad_input_is_kept_with_its_original_bytes(submitted: dict[Maker, Submitted], make: Maker) -> None:
    bad, fate, _ = submitted[make]
    assert len(fate.dead_letters) == 1
    letter = fate.dead_letters[0]
    assert (letter["code"], letter["key"], letter["value"]) == (bad.code, bad.key, bad.value)


@pytest.mark.parametrize("make", MAKERS, ids=name_of)
def test_only_a_proven_sender_is_told_and_only_the_code(
    exchange: Exchange, submitted: dict[Maker, Submitted], make: Maker
) -> None:
    bad, fate, _ = submitted[make]
    if not bad.told:
        assert fate.notices == []
        assert fate.dead_letters[0]["sender"] is None
        return
    assert [notice.recipients for notice in fate.notices] == [[exchange.outlaw.agency.code]]
    told = fate.notices[0].fields
    assert (told["outcome"], told["code"]) == ("rejected", bad.code)
    assert fate.dead_letters[0]["detail"] not in str(told) or not fate.dead_letters[0]["detail"]


@pytest.mark.parametrize("make", MAKERS, ids=name_of)
def test_the_good_document_after_it_arrives(exchange: Exchange, submitted: dict[Maker, Submitted], make: Maker) -> None:
    control = submitted[make].control
    assert control.event["outcome"] == "accepted"
    assert control.recipients == [exchange.member(Level.DISTRICT).agency.code]
    assert control.dead_letters == []
    assert control.notices == []
