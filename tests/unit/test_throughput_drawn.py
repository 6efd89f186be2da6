"""What `exchange throughput` draws: every figure of the report, nothing hidden that isn't summed."""

from __future__ import annotations

from datetime import date

from rich.console import Console, RenderableType

from exchange.agencies import Agency, Directory, Level
from exchange.cli.throughput_drawn import PARTS_SHOWN, as_json, below_as_json, below_drawn, drawn
from exchange.views.throughput import HISTORY, Cell, Doings, Gap, Report, TreeReport
from exchange.views.throughput.reading import Sums
from exchange.views.throughput.sketch import bucket_of

NOON = 29_000_160


def text(one: RenderableType) -> str:
    console = Console(width=140, record=True, file=None)
    with console.capture() as captured:
        console.print(one, highlight=False)
    return captured.get()


def report(**changed: object) -> Report:
    fields = {
        "size": "hour", "start_minute": NOON, "is_open": False,
        "cells": {Cell(2, 0, "document", "accepted", "", 0): Sums(3, 5, 10)},
        "history": {2: [0] * (HISTORY - 1) + [3]},
        "times": {
            ("latency", "documents", 0): {bucket_of(90): 99, bucket_of(5_000): 1},
            ("receipt", "statuses", 4): {bucket_of(7_200_000): 1},
        },
        "medians": {
            ("latency", "documents", 0): [0] * (HISTORY - 2) + [50, 100],
            ("receipt", "statuses", 4): [0] * HISTORY,
        },
        "gaps": [],
    }  # fmt: skip
    return Report(**{**fields, **changed})  # type: ignore[arg-type]


def test_times_are_drawn_by_lane_and_by_level_of_the_receipt() -> None:
    shown = text(drawn(report(), list(Level), list(Level)))
    [hop] = [line for line in shown.splitlines() if "hop, documents" in line]
    assert hop.split()[:3] == ["hop,", "documents", "100"]
    assert "5.2 s" not in hop.split("99")[0]
    assert "receipt from commune" in shown
    assert "receipt from commune" not in text(drawn(report(), [Level.PROVINCE], list(Level)))


def test_times_are_told_to_programs_as_percentiles() -> None:
    [latency, receipt] = as_json(report(), list(Level), list(Level))["times"]
    assert (latency["topic"], latency["counted"]) == ("documents", 100)
    assert 90 <= latency["p50_ms"] <= latency["p95_ms"] <= latency["p99_ms"] <= 99
    assert (receipt["level"], receipt["counted"]) == (4, 1)
    assert [one["measure"] for one in as_json(report(), [Level.PROVINCE], list(Level))["times"]] == ["latency"]


def below(parts: dict[str, Doings], gaps: list[tuple[tuple[str, int], Gap]] | None = None) -> TreeReport:
    total = Doings()
    for doings in parts.values():
        total = total.plus(doings)
    return TreeReport("day", NOON, True, "H26", total, parts, [Doings()] * (HISTORY - 1) + [total], gaps or [])


def test_a_part_of_the_tree_is_drawn_with_what_is_below_it() -> None:
    directory = Directory()
    directory.apply(
        0, [Agency("H26", 1, "UBND thành phố Hà Nội", Level.PROVINCE, "x", None, (), date(2020, 1, 1), None, ())]
    )
    parts = {"H26": Doings(1, 2, 3, 4), **{f"H26.{n}": Doings(n, 1, 0, 0) for n in range(1, PARTS_SHOWN + 11)}}
    shown = text(below_drawn(below(parts), directory.latest()))
    assert "H26 UBND thành phố Hà Nội and all below, day from" in shown
    rows = [line.split() for line in shown.splitlines() if line.count("│") > 3]
    counted = [int(row[-8].replace(",", "")) for row in rows if row[1:3] != ["all", "│"] and row[-8] != "–"]
    [total] = [int(row[-8].replace(",", "")) for row in rows if row[1:3] == ["all", "│"]]
    assert sum(counted) == total == 1 + sum(range(1, PARTS_SHOWN + 11))
    assert "11 others" in shown


def test_a_gap_is_told_of_a_part_of_the_tree_too() -> None:
    gap = Gap(3, 7, NOON, NOON + 2)
    found = below({}, [(("documents", 1), gap)])
    assert "documents/1 offsets 3 to 6" in text(below_drawn(found, Directory().latest()))
    assert below_as_json(found)["gaps"] == [{"topic": "documents", "partition": 1, **gap._asdict()}]
