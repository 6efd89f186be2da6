"""Ways to spoil one record of an audited world, and to say what the audit found."""

from __future__ import annotations

from collections.abc import Callable

from exchange.auditor import Balance, Coordinates
from exchange.statements import SUBMISSION_TOPICS, Fields, schema
from tests.unit.audited_world import World

Wanted = Callable[[Fields], bool]


def found(balance: Balance) -> list[tuple[str, str]]:
    """Code and statement's id of each finding."""
    return [(finding.code, finding.id) for finding in balance.findings]


def of(world: World, statement_id: str) -> Wanted:
    """Records that a submission led to, by its coordinates; of a trace or changelog, those that hold it."""
    at = world.at[statement_id]

    def is_of(fields: Fields) -> bool:
        if "events" in fields:
            offsets = [event["offset"] for event in fields["events"]]
            return fields["topic"] == at.topic and fields["partition"] == at.partition and at.offset in offsets
        return (fields["topic"], fields["partition"], fields["offset"]) == at

    return is_of


def notice_of(world: World, statement_id: str) -> Wanted:
    is_of = of(world, statement_id)
    return lambda fields: is_of(fields) and schema("notice").prefix in fields["record"]


def delivery_of(world: World, statement_id: str, recipient: str) -> Wanted:
    is_of = of(world, statement_id)
    return lambda fields: (
        is_of(fields) and recipient in fields["recipients"] and schema("notice").prefix not in fields["record"]
    )


def change_event(world: World, statement_id: str, change: Callable[[Fields], object]) -> None:
    """Change one event of the trace in its record."""

    def changed(fields: Fields) -> Fields:
        change(next(event for event in fields["events"] if event["offset"] == world.at[statement_id].offset))
        return fields

    world.alter("trace", of(world, statement_id), changed)


def events(world: World, statement_id: str, change: Callable[[list[Fields], int], object]) -> None:
    """Change the list of events that holds that of a submission; `change` gets the list and its place."""

    def changed(fields: Fields) -> Fields:
        listed = fields["events"]
        offset = world.at[statement_id].offset
        change(listed, next(place for place, event in enumerate(listed) if event["offset"] == offset))
        return fields

    world.alter("trace", of(world, statement_id), changed)


def name_also(recipient: str, fields: Fields) -> Fields:
    """A delivery's fields with a recipient too many, twice."""
    return {**fields, "recipients": [*fields["recipients"], recipient, recipient]}


def holds_put(world: World, statement_id: str) -> Wanted:
    """The store's record that put the claim of a document; with `claim_place`."""
    return lambda fields: put_place(world, statement_id, fields) is not None


def put_place(world: World, statement_id: str, fields: Fields) -> int | None:
    at = world.at[statement_id]
    if fields["partition"] != at.partition:
        return None
    places = [
        place
        for place, put in enumerate(fields["puts"])
        if int.from_bytes(put["value"][32:40], "little") == at.offset
        and SUBMISSION_TOPICS[put["value"][48]] == "documents"
    ]
    return places[0] if places else None


def change_puts(world: World, statement_id: str, change: Callable[[list[Fields], int], object]) -> None:
    def changed(fields: Fields) -> Fields:
        place = put_place(world, statement_id, fields)
        assert place is not None
        change(fields["puts"], place)
        return fields

    world.alter("store", holds_put(world, statement_id), changed)


def events_of(world: World) -> list[tuple[Coordinates, Fields]]:
    listed: list[tuple[Coordinates, Fields]] = []
    for (topic, _), log in world.topics.items():
        if topic == "trace":
            for read in log:
                fields = schema("trace").decode(read.value)
                listed.extend(
                    (Coordinates(fields["topic"], fields["partition"], event["offset"]), event)
                    for event in fields["events"]
                )
    return listed
