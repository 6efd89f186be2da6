"""Signatures inside PDF files: what holds, what was changed, and what a hostile file can't do."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.sdk import pdf
from exchange.sdk.pdf import PdfSignature, is_signed_pdf, pdf_signatures
from tests.support.pdfs import Signing, annotated, blank, signed, signing


@pytest.fixture(scope="module")
def chairman(tmp_path_factory: pytest.TempPathFactory) -> Signing:
    return signing(tmp_path_factory.mktemp("pdf"), "Chủ tịch")


@pytest.fixture(scope="module")
def one(chairman: Signing) -> bytes:
    return signed(blank(), chairman.signer)


def only(folder: Path, data: bytes, *roots: bytes) -> PdfSignature:
    path = folder / "x.pdf"
    path.write_bytes(data)
    [found] = pdf_signatures(path, roots)
    return found


def test_a_signature_that_holds(tmp_path: Path, chairman: Signing, one: bytes) -> None:
    found = only(tmp_path, one, chairman.root)
    assert (found.holds, found.is_trusted, found.is_whole, found.problem) == (True, True, True, "")
    assert "Chủ tịch" in found.signer
    assert len(found.sha256) == 64
    assert found.claimed.startswith("20")


def test_a_root_that_isnt_ours(tmp_path: Path, one: bytes) -> None:
    stranger = signing(tmp_path, "Người lạ")
    found = only(tmp_path, one, stranger.root)
    assert (found.holds, found.is_trusted) == (True, False)


def test_two_signatures(tmp_path: Path, chairman: Signing, one: bytes) -> None:
    path = tmp_path / "x.pdf"
    path.write_bytes(signed(one, chairman.signer, "Signature2"))
    first, second = pdf_signatures(path, [chairman.root])
    assert (first.holds, first.is_whole) == (True, False)
    assert (second.holds, second.is_whole) == (True, True)


def test_a_changed_byte_and_a_page_exchanged_afterwards(tmp_path: Path, chairman: Signing, one: bytes) -> None:
    spoiled = one.replace(b"100", b"900", 1)
    assert spoiled != one
    found = only(tmp_path, spoiled, chairman.root)
    assert (found.holds, found.problem) == (False, "not what was signed")
    found = only(tmp_path, annotated(one), chairman.root)
    assert (found.holds, found.is_whole, found.problem) == (False, False, "changed afterwards")


def test_what_isnt_signed_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("no process is needed")

    monkeypatch.setattr("exchange.sdk.pdf.subprocess.run", never)
    for name, data in (("a.pdf", blank()), ("b.txt", b"/ByteRange"), ("c.pdf", b"")):
        (tmp_path / name).write_bytes(data)
        assert pdf_signatures(tmp_path / name) == []
    across = tmp_path / "across.pdf"
    across.write_bytes(b"%PDF-1.7" + b" " * (pdf.CHUNK_BYTES - 12) + b"/ByteRange")
    assert is_signed_pdf(across), "also where it lies across two chunks"


@pytest.mark.parametrize("data", [b"%PDF-1.7 /ByteRange", b"%PDF-1.7\n/ByteRange [0 1 2 3]\nstartxref\n0\n%%EOF"])
def test_what_cant_be_read_doesnt_hold(tmp_path: Path, data: bytes) -> None:
    found = only(tmp_path, data)
    assert not found.holds
    assert found.problem


def test_a_file_cut_off_doesnt_hold(tmp_path: Path, chairman: Signing, one: bytes) -> None:
    assert not only(tmp_path, one[:-300], chairman.root).holds


def test_what_takes_too_long_is_let_go(tmp_path: Path, one: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "SECONDS_MAX", 0.01)
    assert only(tmp_path, one).problem.startswith("more than 0.01 s")
