"""What is taken from a drop folder, what isn't yet, and what never is."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from connectors.folder.limits import Limits
from connectors.folder.looking import Drop, is_written, look
from connectors.folder.sidecar import Order, by_name, read
from connectors.shared.dead_letters import DeadLetters
from connectors.shared.figures import Figures
from connectors.shared.files import move, read_json, to_json, write
from exchange.errors import Rejected

LIMITS = Limits(file_bytes=1000, quiet_s=2, alone_s=60)


def later(folder: Path, after_s: float = 3, limits: Limits = LIMITS) -> list[Drop]:
    """What is found when so much time has gone by."""
    return look(folder, limits, time.time() + after_s)


def only(drops: list[Drop]) -> Drop:
    [drop] = drops
    return drop


def code_of(drop: Drop) -> str:
    assert drop.refused is not None
    return drop.refused.code


def test_a_name_says_it_all(tmp_path: Path) -> None:
    (tmp_path / "G22,H41.13__Kế hoạch năm 2026.pdf").write_bytes(b"plan")
    drop = only(later(tmp_path))
    assert drop.order is not None
    assert (drop.order.to, drop.order.subject) == (["G22", "H41.13"], "Kế hoạch năm 2026")
    assert drop.names == drop.order.files == ["G22,H41.13__Kế hoạch năm 2026.pdf"]


def test_a_file_that_just_changed_isnt_taken_yet(tmp_path: Path) -> None:
    path = tmp_path / "G22__x.pdf"
    path.write_bytes(b"half")
    os.utime(path, (1, 1))
    assert look(tmp_path, LIMITS, time.time() + 1) == [], "however old its date says it is"
    assert only(later(tmp_path)).refused is None


def test_a_file_that_somebody_has_open_isnt_taken(tmp_path: Path) -> None:
    path = tmp_path / "G22__x.pdf"
    with path.open("wb") as stream:
        stream.write(b"half")
        stream.flush()
        assert is_written(path)
        assert later(tmp_path) == []
    assert not is_written(path)
    with path.open("rb"):
        assert only(later(tmp_path)).refused is None, "a reader doesn't matter"


def test_drafts_and_hidden_files_are_left_alone(tmp_path: Path) -> None:
    for name in (".G22__x.pdf", "G22__x.pdf.part", "G22__x.pdf.tmp", "G22__x.pdf~"):
        (tmp_path / name).write_bytes(b"x")
    assert later(tmp_path, 1000) == []


def test_a_sidecar_and_its_files(tmp_path: Path) -> None:
    for name in ("plan.pdf", "annex.xlsx", "G22__by-name.pdf"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "plan.pdf.send.yaml").write_text(
        "to: [H41, G22]\nsubject: Kế hoạch\nfiles: [plan.pdf, annex.xlsx]\nnumber: 16\nnotation: KH-UBND\ntype: KH\n"
        "due: 2026-12-31\nsigner: {name: Nguyễn Văn A, position: Chủ tịch}\nurgency: 2\n", "utf-8"
    )  # fmt: skip
    (tmp_path / "G22__by-name.pdf.send.json").write_text('{"to": "H41", "subject": "Theo tờ kèm"}', "utf-8")
    drops = {drop.names[0]: drop for drop in later(tmp_path)}
    assert len(drops) == 2
    plan = drops["plan.pdf.send.yaml"]
    assert plan.names == ["plan.pdf.send.yaml", "plan.pdf", "annex.xlsx"]
    assert plan.order is not None
    assert (plan.order.number, plan.order.urgency, plan.order.signer) == ("16", 2, ("Nguyễn Văn A", "Chủ tịch"))
    assert str(plan.order.due) == "2026-12-31"
    beside = drops["G22__by-name.pdf.send.json"].order
    assert beside is not None
    assert beside.to == ["H41"], "the sidecar is heeded, not the name"


def test_a_sidecar_waits_for_its_files_and_a_file_for_its_sidecar(tmp_path: Path) -> None:
    (tmp_path / "plan.pdf.send.json").write_text('{"to": ["H41"], "subject": "x"}')
    (tmp_path / "lonely.pdf").write_bytes(b"x")
    assert later(tmp_path, 30) == []
    assert sorted(map(code_of, later(tmp_path, 90))) == ["folder.file_missing", "folder.no_recipient"]
    (tmp_path / "plan.pdf").write_bytes(b"x")
    assert [drop.order.subject for drop in later(tmp_path, 30) if drop.order] == ["x"]


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda path: path.symlink_to("/etc/hostname"), "folder.symlink"),
        (os.mkfifo, "folder.not_a_file"),
        (lambda path: path.write_bytes(b"x" * 1001), "folder.too_large"),
    ],
)
def test_what_is_no_plain_file_is_refused(tmp_path: Path, make: object, code: str) -> None:
    assert callable(make)
    make(tmp_path / "G22__x.pdf")
    assert code_of(only(later(tmp_path))) == code


@pytest.mark.parametrize(
    "name", [b"G22__\xff.pdf", "G22__a\u202efdp.exe".encode(), b"G22__a\nb.pdf", "G22__\u200bx.pdf".encode()]
)
def test_names_that_deceive_are_refused_and_kept(tmp_path: Path, name: bytes) -> None:
    out, work = tmp_path / "out", tmp_path / "work"
    out.mkdir()
    work.mkdir()
    (out / os.fsdecode(name)).write_bytes(b"x")
    drop = only(later(out))
    assert code_of(drop) == "folder.name"
    assert drop.refused is not None
    move(out / drop.names[0], work / drop.names[0])
    write(work / "plan.json", to_json({"names": drop.names}))
    assert read_json(work / "plan.json")["names"] == drop.names, "a name that isn't UTF-8 survives JSON"
    letters = DeadLetters(tmp_path / "dead-letters", Figures("folder"))
    kept = letters.take(work, "first", drop.refused)
    assert (kept / drop.names[0]).read_bytes() == b"x"
    assert [(one, why["code"]) for one, why in letters.listed()] == [("first", "folder.name")]


def test_a_directory_is_refused_once_nobody_fills_it(tmp_path: Path) -> None:
    (tmp_path / "G22__x").mkdir()
    assert later(tmp_path, 30) == []
    assert code_of(only(later(tmp_path, 90))) == "folder.not_a_file"


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("x.send.json", "[", "folder.sidecar_unreadable"),
        ("x.send.json", "[]", "folder.sidecar_unreadable"),
        ("x.send.json", '{"to": ["H41"], "to": ["G22"]}', "folder.sidecar_unreadable"),
        ("x.send.yaml", "to: [H41]\nto: [G22]\n", "folder.sidecar_unreadable"),
        ("x.send.yaml", "to: &a [H41]\ninformation: *a\n", "folder.sidecar_unreadable"),
        ("x.send.yaml", "to: !!python/object/apply:os.getcwd []\n", "folder.sidecar_unreadable"),
        ("x.send.json", '{"a":' * 20_000, "folder.sidecar_too_large"),
        ("x.send.json", "[" * 60_000, "folder.sidecar_too_deep"),
        ("x.send.yaml", "[" * 60_000, "folder.sidecar_too_deep"),
        ("x.send.json", '{"to": ["H41"], "subjekt": "x"}', "folder.field"),
        ("x.send.json", '{"to": {"H41": 1}}', "folder.field"),
        ("x.send.json", '{"files": ["../../etc/passwd"]}', "folder.field"),
        ("x.send.json", '{"files": ["a.pdf", "a.pdf"]}', "folder.field"),
        ("x.send.json", '{"due": "31/12/2026"}', "folder.field"),
        ("x.send.json", '{"urgency": true}', "folder.field"),
    ],
)
def test_a_sidecar_that_isnt_one(tmp_path: Path, name: str, body: str, code: str) -> None:
    path = tmp_path / name
    path.write_text(body, "utf-8")
    with pytest.raises(Rejected) as refused:
        read(path, LIMITS)
    assert refused.value.code == code


def test_a_code_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"agency\.code_malformed"):
        by_name("nobody at all__x.pdf")
    assert by_name("plan.pdf") is None


def test_a_status_is_a_sidecar_without_files(tmp_path: Path) -> None:
    path = tmp_path / "refuse.send.json"
    path.write_text('{"status": 2, "about": "a-1", "reason": "Gửi nhầm"}', "utf-8")
    assert read(path, LIMITS) == Order(status=2, about="a-1", reason="Gửi nhầm")
    assert only(later(tmp_path)).names == ["refuse.send.json"]


def test_a_flood_is_taken_in_portions_the_oldest_first(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"G22__{number}.pdf").write_bytes(b"x")
    assert len(later(tmp_path, limits=Limits(at_a_time=3))) == 3
