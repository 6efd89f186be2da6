"""The deep audit of the topics: each record of each topic deleted, reordered, altered and added is found and named.

Not by picked examples: every record is spoiled in every way, and whatever is found must name it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from exchange.agencies import BACKBONE_CODE, Directory
from exchange.agencies.entries import RevocationList
from exchange.auditor import Balance, Coordinates
from exchange.auditor.deep.registers import read_directory
from exchange.auditor.findings import Findings
from exchange.backbone.reading import Read
from exchange.errors import Rejected
from exchange.ledger.promises.saying import Batch
from exchange.local.authority import DAY_MS
from exchange.local.issuing import Issuer, Revoked, build_crl, subject
from exchange.signatures import open_signed, sign_record
from exchange.signatures.certificates import parse
from exchange.statements import SUBMISSION_TOPICS, Fields, identify, schema
from exchange.statements.directory import directory_statement, entries_of
from tests.unit.audit_spoiling import change_event, events_of, holds_put, of
from tests.unit.audited_signed import SignedWorld, found, signed_lively
from tests.unit.audited_world import START_MS

SEED = 20261125
FLIPS = 3


@pytest.fixture(scope="module")
def whole() -> SignedWorld:
    return signed_lively(found())


TOPICS = (
    "documents", "documents.urgent", "statuses", "reports", "inbox.central", "inbox.province", "inbox.district",
    "inbox.commune", "trace", "dead-letters", "throughput.deltas", "store", "directory", "schemas", "promises",
)  # fmt: skip


def test_everything_that_can_happen_holds(whole: SignedWorld) -> None:
    balance = whole.audited()
    assert balance.findings == []
    assert balance.holds
    assert balance.compared == {"signatures": 18, "promises": 33, "lapses": 0, "accesses": 0, "access_rows": 0}
    assert {topic for topic, _ in whole.topics} == {*TOPICS, "promises.state"}
    rejections = {event["code"] for _, event in events_of(whole) if event["outcome"] == "rejected"}
    assert len(rejections) >= 14
    assert whole.audited(signatures=False).findings == []


# What a record is about: an auditor may name it, or the submissions that it tells of.


def concerned(read: Read) -> set[Coordinates]:
    """Where a finding about this record may point."""
    here = {Coordinates(*read[:3])}
    if read.topic in {*SUBMISSION_TOPICS, "directory", "schemas"}:
        return here
    fields = identify(read.value).decode(read.value)
    if read.topic == "trace":
        return here | {Coordinates(fields["topic"], fields["partition"], event["offset"]) for event in fields["events"]}
    if read.topic == "promises":
        said = [schema("promise").decode(one) for one in fields["statements"]]
        ends = {Coordinates("promises", read.partition, fields[name]) for name in ("first", "next")}
        return here | ends | {Coordinates(one["topic"], one["partition"], one["offset"]) for one in said}
    if read.topic == "store":
        covered = {Coordinates(one["topic"], read.partition, one["next_offset"]) for one in fields["covers"]}
        return here | covered | {_claimed(put, read.partition) for put in fields["puts"]} | {
            Coordinates("statuses", read.partition, offset) for offset in range(40)
        }  # fmt: skip
    if read.topic == "throughput.deltas":
        span = range(fields["previous_next_offset"], fields["next_offset"] + 1)
        return here | {Coordinates(fields["topic"], fields["partition"], offset) for offset in span}
    return here | {Coordinates(fields["topic"], fields["partition"], fields["offset"])}


def _claimed(put: Fields, partition: int) -> Coordinates:
    value = put["value"]
    return Coordinates(SUBMISSION_TOPICS[value[48]], partition, int.from_bytes(value[32:40], "little"))


def names(balance: Balance, *records: Read) -> bool:
    """Whether what was found points at the record, or names it in its sentence."""
    places = set[Coordinates]().union(*map(concerned, records))
    spelled = [f"{read.topic}/{read.partition}@{read.offset}" for read in records]
    spelled += [str(read.key) for read in records if read.topic == "schemas"]
    return any(one.at in places or any(name in one.sentence for name in spelled) for one in balance.findings)


def spots(world: SignedWorld, topic: str) -> list[tuple[list[Read], int]]:
    """Each record of a topic below the cut: its log and place."""
    cut = world._positions
    return [
        (log, place)
        for (name, partition), log in sorted(world.topics.items())
        if name == topic
        for place, read in enumerate(log)
        if read.offset < cut.get((name, partition), 1 << 60)
    ]


def each(whole: SignedWorld, topic: str, spoil: Callable[[list[Read], int], list[Read] | None]) -> int:
    """Spoil each record on a copy of its own, and see that it is named; returns how often."""
    count = 0
    for log, place in spots(whole, topic):
        world = whole.copy()
        mine = world.topics[log[place].topic, log[place].partition]
        records = spoil(mine, place)
        if records is None:
            continue
        count += 1
        balance = world.audited()
        assert not balance.holds, (topic, records[0][:3])
        assert names(balance, *records), (records[0][:3], balance.findings[:5])
    return count


@pytest.mark.parametrize("topic", TOPICS)
def test_deleted(whole: SignedWorld, topic: str) -> None:
    def spoil(log: list[Read], place: int) -> list[Read] | None:
        return [log.pop(place)]

    assert each(whole, topic, spoil)


@pytest.mark.parametrize("topic", TOPICS)
def test_added(whole: SignedWorld, topic: str) -> None:
    """The same record once more, right behind it; what follows moves on, where offsets leave no room."""

    def spoil(log: list[Read], place: int) -> list[Read] | None:
        has_room = topic not in {*SUBMISSION_TOPICS, "directory", "schemas"}
        added = log[place]._replace(offset=log[place].offset + 1)
        if topic in SUBMISSION_TOPICS and _is_later(whole, added):
            return None  # whoever may submit may add at the end: it is in flight
        if not has_room:
            log[place + 1 :] = [read._replace(offset=read.offset + 1) for read in log[place + 1 :]]
        log.insert(place + 1, added)
        return [log[place], added, *log[place + 2 :]] if not has_room else [added]

    if topic == "schemas":  # a compacted table: the same again means nothing, another is named
        world = whole.copy()
        log = world.topics["schemas", 0]
        log.append(Read("schemas", 0, log[-1].offset + 1, 0, b"0123456789abcdef", b"{}"))
        assert [one.code for one in world.audited().findings] == ["audit.surplus_schema"]
        return
    assert each(whole, topic, spoil) or topic in SINGLES


def _order(read: Read) -> object:
    """Within what an order means something: a partition, and in what the hop wrote, in it a source partition."""
    if read.topic in {*SUBMISSION_TOPICS, "directory", "store", "promises"}:
        return read.partition
    fields = identify(read.value).decode(read.value)
    return fields["topic"], fields["partition"]


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic != "schemas"])
def test_reordered(whole: SignedWorld, topic: str) -> None:
    """Each record with the next of its order; what one submission led to in one inbox partition has none."""

    def spoil(log: list[Read], place: int) -> list[Read] | None:
        order = _order(log[place])
        others = (n for n in range(place + 1, len(log)) if _order(log[n]) == order and not _is_later(whole, log[n]))
        other = next((n for n in others if log[n].value != log[place].value), None)
        if other is None or (topic.startswith("inbox") and concerned(log[place]) & concerned(log[other])):
            return None
        a, b = log[place], log[other]
        log[place], log[other] = b._replace(offset=a.offset), a._replace(offset=b.offset)
        return [log[place], log[other]]

    assert each(whole, topic, spoil) or topic in SINGLES


SINGLES = {"documents.urgent", "reports", "inbox.commune", "inbox.district", "inbox.central"}
"""Topics in which no two records of this world are in one order."""


def _is_later(world: SignedWorld, read: Read) -> bool:
    return read.offset >= world._positions.get((read.topic, read.partition), 1 << 60)


@pytest.mark.parametrize("topic", TOPICS)
def test_altered(whole: SignedWorld, topic: str) -> None:
    """A bit of its value flipped, wherever it is."""
    chance = random.Random(SEED)

    def flip(log: list[Read], place: int) -> list[Read] | None:
        read = log[place]
        at = chance.randrange(len(read.value))
        value = read.value[:at] + bytes([read.value[at] ^ 1 << chance.randrange(8)]) + read.value[at + 1 :]
        log[place] = read._replace(value=value)
        return None if _is_for_information(read.value, value) else [read]

    for _ in range(FLIPS):
        assert each(whole, topic, flip)


def _is_for_information(value: bytes, changed: bytes) -> bool:
    """Whether only the worker's name or clock differ in a trace record: no topic tells, only the ledger (see there)."""
    if not value.startswith(schema("trace").prefix) or not changed.startswith(schema("trace").prefix):
        return False
    try:
        before, after = schema("trace").decode(value), schema("trace").decode(changed)
    except Rejected:
        return False
    return before != after and all(before[name] == after[name] for name in before if name not in {"hop_ms", "worker"})


# What fits together all the same: who can write to every topic changes all that tells of one submission.


def test_a_statement_that_nobody_signed(whole: SignedWorld) -> None:
    """Submission, delivery, event and claim say the same, and only the signature doesn't."""
    world = whole.copy()
    at = world.at["d1"]
    log = world.topics[at.topic, at.partition]
    read = log[at.offset]
    record = schema("record").decode(read.value)
    record["signatures"][0]["value"] = log[at.offset + 1].value[-70:]
    forged = schema("record").encode(record)
    log[at.offset] = read._replace(value=forged)
    for inbox in [place for place in world.topics if place[0].startswith("inbox")]:
        for place, one in enumerate(world.topics[inbox]):
            fields = schema("delivery").decode(one.value)
            if fields["record"] == read.value:
                changed = schema("delivery").encode({**fields, "record": forged})
                world.topics[inbox][place] = one._replace(value=changed)
    assert [(one.code, one.at) for one in world.audited().findings] == [("audit.wrong_signature", at)]
    assert world.audited(signatures=False).findings == []


def test_a_certificate_that_was_revoked_before(whole: SignedWorld) -> None:
    """The directory, signed anew, says so; the hop let it in all the same."""
    world = whole.copy()
    founded = world.founded
    serial = parse(founded.seals["G01"].certificate).serial
    crl = build_crl(
        Issuer(subject("Exchange Demo Issuing"), founded.authority.issuing.private_key),
        [Revoked(serial, START_MS, None, "keyCompromise")], START_MS - DAY_MS, START_MS + 200 * DAY_MS,
    )  # fmt: skip
    log = world.topics["directory", 0]
    entries = [
        replace(entry, crl=crl) if isinstance(entry, RevocationList) else entry
        for entry in entries_of(open_signed(log[2].value, "directory", founded.authority.registrar_public_key))
    ]
    world.topics["directory", 0] = log[:2]
    world.directory = Directory()
    world.say(entries, 2)
    world.topics["directory", 0] += log[3:]
    codes = {(one.code, one.id) for one in world.audited().findings}
    assert {("audit.wrong_signature", "d1"), ("audit.wrong_signature", "d6")} <= codes
    assert ("audit.wrong_signature", "d2") not in codes


def change_everywhere(world: SignedWorld, statement_id: str, **event: object) -> None:
    """Change the event and the dead letter of a rejected submission alike."""
    change_event(world, statement_id, lambda fields: fields.update(event))
    if "code" in event:
        world.alter("dead-letters", of(world, statement_id), lambda fields: {**fields, "code": event["code"]})


@pytest.mark.parametrize(("statement_id", "code"), [("forged", "signature.invalid"), ("unknown", "recipients.empty")])
def test_a_rejection_by_another_code(whole: SignedWorld, statement_id: str, code: str) -> None:
    world = whole.copy()
    change_everywhere(world, statement_id, code=code)
    assert ("audit.other_verdict", world.at[statement_id]) in places(world.audited())


def test_a_rejection_for_nothing(whole: SignedWorld) -> None:
    world = whole.copy()
    rejected: Fields = {"outcome": "rejected", "code": "document.secret", "deliveries": [], "summary": None}
    change_event(world, "d6", lambda event: event.update(rejected))
    [other] = [one for one in world.audited().findings if one.code == "audit.other_verdict"]
    assert (other.at, other.id) == (world.at["d6"], "d6")
    assert "for nothing" in other.sentence


def test_a_duplicate_of_nothing(whole: SignedWorld) -> None:
    world = whole.copy()
    change_event(world, "d6", lambda e: e.update(outcome="duplicate", deliveries=[], summary=None, accepted_offset=0))
    assert ("audit.other_verdict", world.at["d6"]) in places(world.audited())


@pytest.mark.parametrize("change", [{"state": 6}, {"moved": False}])
def test_a_step_that_its_chain_does_not_allow(whole: SignedWorld, change: Fields) -> None:
    world = whole.copy()
    change_event(world, "s1", lambda event: event["status"].update(change))
    assert places(world.audited(signatures=False)) == [("audit.altered_step", world.at["s1"])]


@pytest.mark.parametrize("change", [{"sender_level": 4}, {"certificate": bytes(32)}])
def test_an_acceptance_in_anothers_name(whole: SignedWorld, change: Fields) -> None:
    world = whole.copy()
    change_event(world, "d6", lambda event: event.update(change))
    assert places(world.audited()) == [("audit.altered_event", world.at["d6"])]


def test_the_store(whole: SignedWorld) -> None:
    """Its log holds what no other topic tells: recipients, states, what moved, what is forgotten."""

    def spoiled(statement_id: str, change: Callable[[Fields], object]) -> list[tuple[str, Coordinates]]:
        world = whole.copy()

        def changed(fields: Fields) -> Fields:
            change(fields)
            return fields

        world.alter("store", holds_put(world, statement_id), changed)
        return places(world.audited(signatures=False))

    def shorten(fields: Fields) -> None:
        put = fields["puts"][0]
        put["value"] = put["value"][:-1] + bytes([put["value"][-1] ^ 1])

    [(code, _)] = spoiled("d1", shorten)
    assert code == "audit.altered_put"
    for change, expected in (
        (lambda fields: fields["moves"].pop(), "audit.missing_move"),
        (lambda fields: fields["moves"].append({**fields["moves"][0], "state": 6}), "audit.surplus_move"),
        (lambda fields: fields["forgets"].append(fields["moves"][0]["key"]), "audit.early_forget"),
    ):
        assert expected in [code for code, _ in spoiled("recall-1", change)]


def test_dead_letters_come_in_order_and_in_full(whole: SignedWorld) -> None:
    world = whole.copy()
    log = max((log for (topic, _), log in world.topics.items() if topic == "dead-letters"), key=len)
    log.reverse()
    assert {code for code, _ in places(world.audited(signatures=False))} == {"audit.dead_letter_out_of_order"}
    world = whole.copy()
    world.alter("dead-letters", of(world, "unknown"), lambda fields: {**fields, "detail": "another"})
    assert places(world.audited(signatures=False)) == [("audit.altered_dead_letter", world.at["unknown"])]


def test_the_directory(whole: SignedWorld) -> None:
    def spoiled(change: Callable[[list[Read]], object]) -> list[tuple[str, Coordinates]]:
        world = whole.copy()
        change(world.topics["directory", 0])
        return places(world.audited(signatures=False))

    def at(offset: int) -> Coordinates:
        return Coordinates("directory", 0, offset)

    def swap(log: list[Read]) -> None:
        log[3], log[4] = log[4]._replace(offset=3), log[3]._replace(offset=4)

    assert ("audit.missing_entry", at(1)) in spoiled(lambda log: log.pop(1))
    assert ("audit.missing_entry", at(4)) in spoiled(lambda log: log.pop())
    assert ("audit.repeated_entry", at(5)) in spoiled(lambda log: log.append(log[1]._replace(offset=5)))
    assert ("audit.entry_out_of_order", at(4)) in spoiled(swap)
    other = sign_record(directory_statement("1-0", "H01", 1, []), [whole.founded.seals["H01"].signing_key])
    assert ("audit.forged_entry", at(1)) in spoiled(lambda log: log.__setitem__(1, log[1]._replace(value=other)))


def test_a_part_of_what_the_registrar_said_at_once(whole: SignedWorld) -> None:
    """Statements of one moment are numbered by their entries; offsets that join again don't hide that one is gone."""
    authority = whole.founded.authority

    def said(place: int) -> bytes:
        raw = directory_statement(f"1-{place}", authority.registrar.agency, 1, [])
        return sign_record(raw, [authority.registrar_key])

    for places_said, expected in (((0, 200, 400), []), ((0, 400), [1]), ((200, 400), [0])):
        source = SignedWorld(whole.founded)
        source.topics["directory", 0] = [
            Read("directory", 0, offset, 0, b"", said(place)) for offset, place in enumerate(places_said)
        ]
        findings = Findings()
        read_directory(source, whole.founded.deep.registrar, findings)
        assert [(one.code, one.at.offset) for one in findings.listed] == [
            ("audit.missing_entry", offset) for offset in expected
        ]


def test_the_schemas(whole: SignedWorld) -> None:
    world = whole.copy()
    log = world.topics["schemas", 0]
    key, value = log[0].key, log[0].value
    log[0] = log[0]._replace(value=value + b" ")
    assert places(world.audited(signatures=False)) == [
        ("audit.altered_schema", Coordinates("schemas", 0, 0)), ("audit.missing_schema", Coordinates("schemas", 0, 0)),
    ]  # fmt: skip
    log[0] = log[0]._replace(key=b"another", value=value)
    found_ = world.audited(signatures=False).findings
    assert {one.code for one in found_} == {"audit.surplus_schema", "audit.missing_schema"}
    assert any(str(key) in one.sentence for one in found_)


def places(balance: Balance) -> list[tuple[str, Coordinates]]:
    """Code and place of each finding."""
    return [(one.code, one.at) for one in balance.findings]


def test_what_expired_is_not_judged(whole: SignedWorld) -> None:
    """Submissions leave their topics by retention; what is about them can't be derived again, and isn't blamed."""
    world = whole.copy()
    world.openings = {}
    for topic in SUBMISSION_TOPICS:
        for partition in (0, 1):
            log = world.topics.get((topic, partition), [])
            del log[: len(log) // 2]
            if log:
                world.openings[topic, partition] = log[0].offset
    assert world.audited().findings == []


def test_the_promises(whole: SignedWorld) -> None:
    """What the backbone signed otherwise, passed over, or left out at the end."""
    partition, log = max(
        ((place[1], log) for place, log in whole.topics.items() if place[0] == "promises"), key=lambda one: len(one[1])
    )
    assert len(log) > 1
    key = whole.founded.authority.backbone.signing_key
    fields = [schema("promises").decode(read.value) for read in log]

    def spoiled(at: int, **changed: object) -> set[str]:
        """Signed anew, with other statements or another span."""
        held = fields[at] | changed
        batch = Batch(partition, held["first"], held["next"], held["statements"])
        world = whole.copy()
        mine = world.topics["promises", partition]
        value = batch.sign(
            key, "G00.EXCHANGE" if "sender" in changed else BACKBONE_CODE, START_MS + 9, "promises"
        ).value
        mine[at] = mine[at]._replace(value=value)
        return {one.code for one in world.audited(signatures=False).findings}

    first, *others = fields[0]["statements"]
    promise = schema("promise").decode(first)
    assert spoiled(0) == set()
    assert spoiled(0, statements=[schema("promise").encode(promise | {"code": "x"}), *others]) == {
        "audit.altered_promise"
    }
    assert spoiled(0, statements=[*others]) == {"audit.altered_promise"}
    assert spoiled(0, statements=[first, *others, first]) == {"audit.altered_promise"}
    assert "audit.missing_promise" in spoiled(0, first=fields[0]["first"] + 1)
    assert "audit.promise_gap" in spoiled(1, first=fields[0]["first"])
    assert "audit.forged_promise" in spoiled(0, sender="another")
    world = whole.copy()
    world.topics["promises", partition].pop()
    assert {one.code for one in world.audited(signatures=False).findings} == {"audit.promise_gap"}


def test_lapses_are_the_backbones_word_in_order(whole: SignedWorld) -> None:
    world, key = whole.copy(), whole.founded.authority.backbone.signing_key
    values = [
        Batch(0, 1, 1, [b"lapse"], deadline).sign(key, BACKBONE_CODE, START_MS, "lapses").value for deadline in (1, 2)
    ]
    log = world.topics["lapses", 0] = [Read("lapses", 0, n, 0, b"", value) for n, value in enumerate(values)]
    unreadable = [("audit.altered_lapse", Coordinates("lapses", 0, offset)) for offset in (0, 1)]
    assert places(world.audited(signatures=False)) == unreadable
    log.reverse()
    backwards = ("audit.promise_gap", Coordinates("lapses", 0, 0))
    assert sorted(places(world.audited(signatures=False))) == [*unreadable, backwards]
    log[0] = log[0]._replace(value=log[0].value.replace(b"lapse", b"Lapse"))
    assert ("audit.forged_promise", Coordinates("lapses", 0, 1)) in places(world.audited(signatures=False))
