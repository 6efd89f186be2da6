"""What `exchange trace` draws of a path: everything that happened, linked both ways, and who looked; never a flood."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from exchange.cli.tracing import ENTRIES_SHOWN, drawn
from exchange.views.trace_path import Document, Entry, Erasing, Look, Path, Summary

THREAD = "H26/d-1"
FIRST = Entry(
    "documents",
    0,
    1,
    1_760_000_000_000,
    "accepted",
    "",
    "document",
    "H26",
    True,
    "d-1",
    THREAD,
    None,
    -1,
    0,
    0,
    7,
    0,
    "w",
)
SUMMARY = Summary("new", "12/NQ-HĐND", "NQ", "Nghị quyết [đỏ]", 20_370, 0, None, 1, 10)
DOCUMENT = Document(FIRST, SUMMARY, ())
RECALL = Document(
    replace(FIRST, id="c-1", source_offset=9), replace(SUMMARY, business="recall", subject="Thu hồi nghị quyết"), ()
)
PATH = Path("d-1", "H26", THREAD, DOCUMENT, (), (), (), (), (), True)


def text_of(path: Path) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as caught:
        console.print(drawn(path), highlight=False)
    return caught.get()


def test_a_recall_and_what_it_recalls_name_each_other() -> None:
    assert "recall: Thu hồi nghị quyết  c-1" in text_of(replace(PATH, related=(RECALL,)))
    of_recall = Path("c-1", "H26", THREAD, RECALL, (), (), (), (DOCUMENT,), (), True)
    assert "this is the recall of 12/NQ-HĐND: Nghị quyết [đỏ]  d-1" in text_of(of_recall)


def test_checks_duplicates_rejections_and_what_was_said_in_vain() -> None:
    vain = replace(FIRST, kind="status", id="s-1", sender="H29", outcome="rejected", code="status.illegal_transition")
    path = replace(
        PATH,
        duplicates=(replace(FIRST, source_offset=2, outcome="duplicate"),),
        rejections=(replace(FIRST, outcome="rejected", code="signature.invalid", verified=False, source_offset=3),),
        others=(vain, replace(vain, outcome="duplicate", code="", id="s-2")),
    )
    text = text_of(path)
    assert "checked and found right: size, envelope, schema" in text
    assert "the same bytes again: no second delivery  documents/0/2" in text
    assert "rejected signature.invalid, claimed by somebody whose signature didn't verify  documents/0/3" in text
    assert "status s-1 of H29: rejected status.illegal_transition" in text
    assert "status s-2 of H29 again: changed nothing" in text


def test_who_looked_is_named_with_the_reason() -> None:
    looks = (
        Look(5, FIRST.append_ms, "export", "Lan", "Kế hoạch [7]", "{}", "ab"),
        Look(4, FIRST.append_ms, "trace", "Minh", "", "d-1", "cd"),
    )
    text = text_of(replace(PATH, looks=looks))
    assert "looked at by Lan (export): Kế hoạch [7]" in text
    assert "looked at by Minh (trace): no reason given" in text


def test_a_flood_of_claims_does_not_flood_the_terminal() -> None:
    flood = tuple(replace(FIRST, outcome="rejected", code="id.conflict", source_offset=n) for n in range(5_000))
    text = text_of(replace(PATH, rejections=flood))
    assert text.count("id.conflict") == ENTRIES_SHOWN
    assert f"and {5_000 - ENTRIES_SHOWN:,} more like these" in text


def test_an_erasure_says_who_decided_it_when_and_why() -> None:
    decided = Erasing(57, FIRST.append_ms, "An", "Bình", "lệnh 12", 5, None)
    waiting = text_of(replace(PATH, erasings=(decided,)))
    assert "erased by An and Bình: lệnh 12 (decided; not carried out yet)" in waiting
    assert "Nghị quyết [đỏ]" in waiting
    event = replace(
        FIRST, source_topic="directory", source_offset=57, outcome="erased", code="document.erased", kind=""
    )
    blank = replace(DOCUMENT, summary=replace(SUMMARY, code="", type="", subject=""))
    done = text_of(
        replace(PATH, document=blank, others=(event,), erasings=(replace(decided, done_ms=FIRST.append_ms),))
    )
    assert "erased by An and Bình: lệnh 12  directory 57" in done
    assert "number, type and subject are erased (1 file(s))" in done
    assert "document.erased" not in done, "told once"
    assert "d-1 of H26: erased document.erased" in text_of(replace(PATH, others=(event,))), "of another document"
