"""Coverage over the tree: a unit's is that of all at and below it, each once, whatever the tree is like."""

from __future__ import annotations

from datetime import date

from exchange.agencies import Agency, Level
from exchange.views.coverage import arranged, counted


def agency(code: str, parent: str | None, level: Level = Level.DISTRICT) -> Agency:
    return Agency(code, 1, f"Unit {code}", level, "x", parent, (), date(2020, 1, 1), None, ())


def test_coverage_of_a_unit_is_that_of_all_at_and_below_it() -> None:
    units = [agency("H26", None), agency("H26.1", "H26"), agency("H26.1.1", "H26.1"), agency("H27", "closed")]
    sent = [("H26.1.1", 0, 2, 5, 1_000), ("gone", 1, 1, 1, 1)]
    received = [("H26", 1, 1, 1, 2_000, 60_000.0, 3)]
    found = arranged(0, counted(units, sent, received))
    top = found.units["H26"]
    assert (top.below, top.active) == (3, [1, 2, 2])
    assert (found.units["H26.1"].below, found.units["H26.1"].active) == (2, [0, 1, 1])
    assert (found.units["H27"].below, found.units["H27"].active) == (1, [0, 0, 0])
    assert (top.delay_ms, top.waiting, top.last_ms) == (60_000.0, 3, 2_000)
    assert {unit.code for unit in found.within("H26")} == {"H26", "H26.1", "H26.1.1"}
    assert [unit.code for unit in found.above("H26.1.1")] == ["H26", "H26.1", "H26.1.1"]
    assert [unit.code for unit in found.children[None]] == ["H26", "H27"]
    assert [unit.code for unit in found.topmost(["H26.1", "H26.1.1", "H27", "gone"])] == ["H26.1", "H27"]


def test_a_cycle_of_units_ends() -> None:
    found = arranged(0, counted([agency("A", "B"), agency("B", "A"), agency("C", None)], [], []))
    assert {unit.code for unit in found.within("A")} == {"A", "B"}
    assert [unit.code for unit in found.above("A")] == ["B", "A"]
    assert found.units["C"].below == 1
