"""Where an agency stopped reading, on disk: what it steps over is noted first, and once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from exchange.errors import Misconfigured
from exchange.sdk.place import Gap, InboxPlace

READ_MS, NOW_MS = 1_700_000_000_000, 1_800_000_000_000


def stopped(folder: Path, cursor: str = "AQIA") -> InboxPlace:
    place = InboxPlace(folder)
    place.move(cursor)
    os.utime(folder / "cursor", ns=(READ_MS * 1_000_000, READ_MS * 1_000_000))
    return place


def test_it_is_kept_over_restarts(tmp_path: Path) -> None:
    assert InboxPlace(tmp_path).cursor() == ""
    stopped(tmp_path)
    assert InboxPlace(tmp_path).cursor() == "AQIA"
    assert InboxPlace(tmp_path).gaps() == []


def test_a_gap_is_noted_before_reading_goes_on(tmp_path: Path) -> None:
    stopped(tmp_path).step_over(NOW_MS)
    again = InboxPlace(tmp_path)
    assert again.cursor() == ""
    assert again.gaps() == [Gap("AQIA", READ_MS, NOW_MS)]
    stopped(tmp_path, "AQIB").step_over(NOW_MS + 1)
    assert [one.cursor for one in again.gaps()] == ["AQIA", "AQIB"]


def test_a_crash_in_between_notes_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = stopped(tmp_path)
    with monkeypatch.context() as crash:
        crash.setattr(Path, "unlink", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            place.step_over(NOW_MS)
    again = InboxPlace(tmp_path)
    assert (again.cursor(), len(again.gaps())) == ("AQIA", 1)
    again.step_over(NOW_MS + 1)
    assert again.gaps() == [Gap("AQIA", READ_MS, NOW_MS)]


def test_damage_is_not_taken_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "gaps.json").write_text("[{}]")
    with pytest.raises(Misconfigured):
        InboxPlace(tmp_path).gaps()
