"""Of those who hadn't answered, evidence tells who was only to be informed, as far as the document says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.ledger.evidence import verify
from exchange.ledger.evidence.promised import is_only_informed
from tests.support.evidence_world import CHECKED_MS, SILENT, make


@pytest.mark.parametrize(
    ("to", "information", "redirected_from", "expected"),
    [
        (["H26"], ["H40"], None, True),
        (["H26"], ["H39"], "H39", True),
        (["H40"], ["H26"], None, False),
        (["H40"], ["H40"], None, False),
        (["H39"], ["H40"], "H39", False),
        (["H26"], ["@communes"], None, False),
        (["@communes"], ["H40"], None, False),
    ],
)
def test_who_is_only_informed(
    to: list[str], information: list[str], redirected_from: str | None, expected: bool
) -> None:
    copy = {"recipient": "H40", "redirected_from": redirected_from}
    assert is_only_informed({"to": to, "information": information}, copy) is expected


def test_the_checklist_tells(tmp_path: Path) -> None:
    for number, informed in enumerate(([], [SILENT])):
        made = make(tmp_path / str(number), informed=informed)
        notes = [step.note for step in verify(made.file, made.anchors, CHECKED_MS).steps]
        said = "1 promised, 1 had not answered when it was due" + (
            ", 1 of them only to be informed" if informed else ""
        )
        assert said in notes
