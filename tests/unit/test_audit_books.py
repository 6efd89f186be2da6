"""The auditor on spoiled throughput deltas and a spoiled log of the duplicate store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from exchange.statements import Fields, schema
from tests.unit.audit_spoiling import change_puts, found
from tests.unit.audited_world import World, document, lively, status


class TestDeltas:
    def test_deleted_delta(self) -> None:
        world = lively()
        world.delete("throughput.deltas", lambda f: f["topic"] == "documents" and f["next_offset"] > 3)
        codes = [code for code, _ in found(world.balance())]
        assert codes == ["audit.delta_gap"]

    def test_deleted_last_delta(self) -> None:
        world = lively()
        log = world.topics["throughput.deltas", world.at["s6"].partition]
        place = max(n for n, r in enumerate(log) if schema("delta").decode(r.value)["topic"] == "statuses")
        del log[place]
        balance = world.balance()
        assert found(balance) == [("audit.delta_gap", "s6")]

    def test_doubled_delta(self) -> None:
        world = lively()
        world.double("throughput.deltas", lambda f: f["topic"] == "reports")
        assert [code for code, _ in found(world.balance())] == ["audit.delta_repeated"]

    def test_swapped_deltas(self) -> None:
        world = lively()

        def at_first(fields: Fields) -> bool:
            return (fields["topic"], fields["previous_next_offset"]) == ("statuses", 0)

        def at_last(fields: Fields) -> bool:
            return fields["topic"] == "statuses" and not at_first(fields)

        world.swap("throughput.deltas", at_first, at_last)
        assert [code for code, _ in found(world.balance())] == ["audit.delta_gap", "audit.delta_repeated"]

    def test_delta_beyond_what_is_committed(self) -> None:
        world = lively()
        world.alter("throughput.deltas", lambda f: f["topic"] == "reports", lambda f: {**f, "next_offset": 9})
        assert [code for code, _ in found(world.balance())] == ["audit.delta_repeated"]

    @pytest.mark.parametrize("name", ["documents", "deliveries", "bytes", "minute", "recipient_level"])
    def test_altered_sums(self, name: str) -> None:
        world = lively()

        def more(fields: Fields) -> Fields:
            fields["cells"][0][name] += 1
            return fields

        world.alter("throughput.deltas", lambda f: f["topic"] == "reports", more)
        assert [code for code, _ in found(world.balance())] == ["audit.delta_sums"]

    @pytest.mark.parametrize(
        ("topic", "column", "altered"),
        [
            ("documents", "appended", lambda was: bytes([was[0] ^ 1]) + was[1:]),
            ("documents", "appended", lambda was: was[2:]),
            ("documents", "senders", lambda was: was.replace("H01", "H02", 1)),
            ("documents", "recipients", lambda was: f"{was} G00/H01"),
            ("documents", "refused", lambda was: f"{was} G00/H01"),
            ("statuses", "signers", lambda was: ""),
            ("statuses", "levels", lambda was: bytes([was[0] + 1]) + was[1:]),
            ("statuses", "waits", lambda was: was[:-1] + b"\x01"),
            ("statuses", "waits", lambda was: was[:-4]),
        ],
    )
    def test_altered_columns(self, topic: str, column: str, altered: Callable[[Any], Any]) -> None:
        world = lively()

        def change(fields: Fields) -> Fields:
            minute = next(one for one in fields["minutes"] if one[column] or column == "refused")
            minute[column] = altered(minute[column])
            return fields

        def has(fields: Fields) -> bool:
            return fields["topic"] == topic and any(one[column] or column == "refused" for one in fields["minutes"])

        assert world.balance().holds
        world.alter("throughput.deltas", has, change)
        assert {code for code, _ in found(world.balance())} == {"audit.delta_sums"}

    def test_deltas_of_the_first_version_have_no_columns_to_compare(self) -> None:
        world = lively()
        for (topic, _), log in world.topics.items():
            if topic == "throughput.deltas":
                log[:] = [read._replace(value=first_version(read.value)) for read in log]
        assert world.balance().holds
        world.alter("throughput.deltas", lambda f: f["topic"] == "reports", lambda f: {**f, "cells": []})
        assert [code for code, _ in found(world.balance())] == ["audit.delta_sums"]


def first_version(value: bytes) -> bytes:
    return schema("delta", 1).encode(schema("delta").decode(value))


class TestStore:
    def test_missing_claim(self) -> None:
        world = lively()
        change_puts(world, "d2", lambda puts, place: puts.pop(place))
        assert found(world.balance()) == [("audit.missing_claim", "d2")]

    def test_doubled_claim(self) -> None:
        world = lively()
        change_puts(world, "d2", lambda puts, place: puts.append(puts[place]))
        assert found(world.balance()) == [("audit.doubled_claim", "d2")]

    def test_altered_claim(self) -> None:
        world = lively()
        change_puts(world, "d2", lambda puts, place: puts[place].update(key=bytes(16)))
        assert found(world.balance()) == [("audit.altered_claim", "d2")]

    def test_surplus_claim(self) -> None:
        world = lively()
        rejected = world.at["unknown"].offset
        assert world.at["unknown"].partition == world.at["d3"].partition

        def claim(puts: list[Fields], place: int) -> None:
            value = puts[place]["value"]
            puts.append({"key": bytes(16), "value": value[:32] + rejected.to_bytes(8, "little") + value[40:]})

        change_puts(world, "d3", claim)
        assert found(world.balance()) == [("audit.surplus_claim", "unknown")]

    def test_store_that_stops_early(self) -> None:
        world = lively()
        at = world.at["s6"]
        del world.topics["store", at.partition][-1]
        assert {code for code, _ in found(world.balance())} == {"audit.store_gap", "audit.missing_claim"}

    def test_store_that_goes_back(self) -> None:
        world = lively()
        log = world.topics["store", world.at["s6"].partition]
        log[0], log[1] = log[1], log[0]
        assert {code for code, _ in found(world.balance())} == {"audit.store_gap"}

    def test_an_id_used_again_when_its_life_is_over(self) -> None:
        world = World()
        first = document("G01", "d1", "H01")
        world.submit("document", first)
        world.submit("status", status("H01", "s1", first, 2))
        world.hop()
        world.step_ms = 47 * 86_400_000
        world.submit("status", status("H01", "s2", first, 1))  # same thread, same partition: the store looks around
        world.hop()
        world.step_ms = 1
        world.submit("document", document("G01", "d1", "H01", content="another life"))
        world.hop()
        balance = world.balance()
        assert found(balance) == []
        assert balance.by_kind["document"].records.accepted == 2
