"""Leaves: the event's own bytes with its coordinates, whatever the event; and the places that lead back to them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.backbone.folder import Folder
from exchange.errors import InvariantBroken
from exchange.ledger import places
from exchange.ledger.leaves import leaves
from exchange.ledger.order import Order, Taken, decode
from exchange.statements import schema

TRACE, LEAF = schema("trace"), schema("ledger_leaf")
TEXT, SMALL = st.text(max_size=200), st.integers(-1, 300)
SUMMARY = st.fixed_dictionaries(
    {"business": TEXT, "code": TEXT, "type": TEXT, "subject": TEXT, "issued": SMALL, "urgency": SMALL}
    | {"due": st.none() | SMALL, "attachments": SMALL, "bytes": st.integers(-(1 << 62), 1 << 62)}
)
STATUS = st.fixed_dictionaries(
    {"document_sender": TEXT, "document_id": TEXT, "recipient": TEXT, "code": SMALL, "moved": st.booleans()}
    | {"state": SMALL, "reason": TEXT}
)
COPY = st.fixed_dictionaries(
    {"recipient": TEXT, "level": SMALL, "partition": SMALL, "redirected_from": st.none() | TEXT}
)
DIGEST = st.none() | st.binary(min_size=32, max_size=32)
EVENT = st.fixed_dictionaries(
    {"offset": st.integers(0, 1 << 62), "append_ms": st.integers(0, 1 << 60), "code": TEXT, "kind": TEXT}
    | {"outcome": st.sampled_from(["accepted", "rejected", "duplicate", "set_aside", "erased"]), "sender": TEXT}
    | {"sender_level": SMALL, "verified": st.booleans(), "id": TEXT, "thread": TEXT, "sha256": DIGEST}
    | {"certificate": DIGEST, "summary": st.none() | SUMMARY, "status": st.none() | STATUS}
    | {"deliveries": st.lists(COPY, max_size=3), "accepted_offset": SMALL}
)
RECORD = st.fixed_dictionaries(
    {"topic": TEXT, "partition": SMALL, "directory_offset": SMALL, "hop_ms": SMALL, "worker": TEXT}
    | {"events": st.lists(EVENT, max_size=3)}
)


@settings(max_examples=60, deadline=None)
@given(RECORD, st.integers(0, 1 << 31 - 1), st.integers(0, 1 << 62))
def test_a_leaf_is_its_event_with_its_coordinates(record: dict[str, Any], partition: int, offset: int) -> None:
    head = {name: value for name, value in record.items() if name != "events"}
    place = {"trace_partition": partition, "trace_offset": offset}
    expected = [{**place, "trace_index": index, **head, "event": event} for index, event in enumerate(record["events"])]
    found = leaves(partition, offset, TRACE.encode(record))
    assert [LEAF.decode(leaf) for leaf in found] == expected
    assert found == [LEAF.encode(fields) for fields in expected]


def test_the_event_of_a_leaf_is_that_of_the_trace() -> None:
    trace, leaf = (json.loads(one.source)["fields"] for one in (TRACE, LEAF))
    assert leaf[3:8] == trace[:-1]
    assert leaf[8]["type"] == trace[-1]["type"]["items"]


@settings(max_examples=30, deadline=None)
@given(RECORD, st.data())
def test_what_is_cut_off_or_added_is_our_bug(record: dict[str, Any], data: st.DataObject) -> None:
    value = TRACE.encode(record)
    end = data.draw(st.integers(0, len(value) - 1))
    for wrong in (value[:end], value + b"\x00", LEAF.prefix + value[10:]):
        with pytest.raises(InvariantBroken):
            leaves(0, 0, wrong)


def test_order_survives_its_record() -> None:
    order = Order(7, b"r" * 32, b"b" * 16, [Taken(1, 5, 2), Taken(0, 9, 1)], [b"1" * 32, b"2" * 32, b"3" * 32])
    assert decode(order.encode()) == order
    assert order.size == 10
    fields = schema("ledger_order").decode(order.encode())
    for wrong in ({"entries": b"1" * 64}, {"entries": b"1" * 95}):
        with pytest.raises(InvariantBroken):
            decode(schema("ledger_order").encode(fields | wrong))
    for value in (b"", LEAF.prefix, order.encode()[:-1]):
        with pytest.raises(InvariantBroken):
            decode(value)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 300), st.integers(1, 3)), min_size=1, max_size=12))
def test_every_leaf_is_found_by_its_event(taken: list[tuple[int, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, size = Folder(Path(name)), 0
        offsets, known = dict.fromkeys(range(4), 0), dict[int, tuple[tuple[int, int, int], bytes]]()
        for partition, events, gap in taken:
            offset = offsets[partition]
            offsets[partition] += gap
            writer = places.PlaceWriter(folder, size, {p: o for p, o in offsets.items() if o} | {partition: offset})
            rows = [(partition, offset, index) for index in range(events)]
            salts = [(size + index + 1).to_bytes(16, "big") for index in range(events)]
            writer.extend([Taken(partition, offset, events)], b"".join(salts))
            known |= {size + index: (row, salt) for index, (row, salt) in enumerate(zip(rows, salts, strict=True))}
            size += events
        for index, (row, salt) in known.items():
            assert places.find(folder, size, *row) == (index, places.Place(salt, *row))
        assert places.find(folder, size, 0, offsets[0] + 5, 0) is None
        assert places.find(folder, size, 0, 0, 999) is None
        assert b"".join(places.salts(folder, 0, size)) == b"".join(salt for _, salt in known.values())
