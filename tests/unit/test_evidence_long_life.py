"""Evidence made in 2026 and verified in 2046: it holds if somebody renewed its time-stamps in time, and only then."""

from __future__ import annotations

import json
import subprocess
import zipfile
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from exchange.errors import Misconfigured, Rejected
from exchange.ledger.checkpoint import cosign
from exchange.ledger.evidence import (
    FAILED,
    Anchors,
    Step,
    contents,
    read_bundle,
    renew,
    verify,
    write_bundle,
)
from exchange.ledger.evidence.anchors import Key, Term, root
from exchange.ledger.evidence.archive import unpack
from exchange.ledger.evidence.assembling import assemble
from exchange.ledger.evidence.stamped import covered
from exchange.ledger.notes import COSIGNATURE, NoteKey
from exchange.ledger.stamps import DIGESTS
from exchange.local.authority import DAY_MS, Authority
from exchange.local.issuing import Issuer, build_crl, subject
from tests.support import independent_verifier
from tests.support.evidence_world import CHECKED_MS, LOG, STAMPED_MS, WITNESS, Made, make
from tests.support.independent_verifier import Refused
from tests.support.signing import NOW_MS
from tests.support.stamping import YEAR_MS, stamper


def year(number: int) -> int:
    """About the beginning of a year, ms."""
    return NOW_MS + (number - 2026) * YEAR_MS + (number - 2026) // 4 * DAY_MS


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("ledger"), stamped=True)


@pytest.fixture(scope="module")
def later() -> Authority:
    """An authority for stamps founded in 2034, when that of 2026 comes to its end."""
    return Authority.generate(Path("never-written"), now_ms=year(2034))


@pytest.fixture(scope="module")
def anchors(made: Made, later: Authority) -> Anchors:
    """What a verifier of 2046 trusts."""
    roots = [made.world.authority.root_certificate, later.root_certificate]
    return Anchors.plain(roots[:1], LOG.verifier, time_stamps=roots)


@pytest.fixture(scope="module")
def renewed(made: Made, anchors: Anchors, later: Authority) -> bytes:
    """Renewed in 2035 and in 2044, the second time over SHA-512."""
    first = renewed_at(made.file, anchors, later, year(2035))
    return renewed_at(first, anchors, later, year(2044), "sha512")


def renewed_at(data: bytes, anchors: Anchors, by: Authority, at_ms: int, digest: str = "sha256") -> bytes:
    def ask(content: bytes, name: str) -> bytes:
        return stamper(by, at_ms).grant(DIGESTS[name](content).digest(), name)

    return renew(data, anchors, lambda: at_ms, ask, digest)


def failed(data: bytes, anchors: Anchors, now_ms: int) -> Step:
    [step] = [step for step in verify(data, anchors, now_ms).steps if step.state == FAILED]
    return step


def independent(data: bytes, anchors: Anchors, now_ms: int) -> str:
    roots, stamps = (
        [x509.load_der_x509_certificate(one.certificate) for one in some]
        for some in (anchors.roots, anchors.time_stamps)
    )
    return independent_verifier.verify(data, roots[0], str(LOG.verifier), now_ms, stamp_roots=stamps)


def refused_by_both(data: bytes, anchors: Anchors, now_ms: int) -> tuple[str, str]:
    step = failed(data, anchors, now_ms)
    with pytest.raises(Refused) as caught:
        independent(data, anchors, now_ms)
    assert caught.value.step == step.number
    return step.name, step.code


def test_in_2046_renewed(made: Made, renewed: bytes, anchors: Anchors) -> None:
    verdict = verify(renewed, anchors, year(2046))
    assert verdict.holds, verdict.steps
    assert verdict.require().about["sha256"] == independent(renewed, anchors, year(2046))
    assert list(verdict.require().stamps) == ["stamps/checkpoint.tst", "stamps/1.tst", "stamps/2.tst"]
    assert "2026-01-01 00:00:30" in verdict.steps[2].note
    assert verdict.renew_by_ms is not None
    assert year(2053) < verdict.renew_by_ms < year(2055)
    # All that it proved in 2026 is in it, byte for byte.
    before, after = unpack(made.file), unpack(renewed)
    assert all(after[name] == before[name] for name in (*contents.SOURCES, contents.CHECKPOINT_STAMP))


def test_in_2046_not_renewed(made: Made, anchors: Anchors) -> None:
    assert verify(made.file, anchors, year(2035)).holds
    assert refused_by_both(made.file, anchors, year(2046)) == ("stamps", "stamp.expired")


def test_in_2046_renewed_once_but_not_again(made: Made, anchors: Anchors, later: Authority) -> None:
    once = renewed_at(made.file, anchors, later, year(2035))
    assert verify(once, anchors, year(2044)).holds
    assert refused_by_both(once, anchors, year(2046)) == ("stamps", "stamp.expired")


def test_renewed_too_late(made: Made, anchors: Anchors, later: Authority) -> None:
    with pytest.raises(Rejected) as caught:
        renewed_at(made.file, anchors, later, year(2036) + YEAR_MS)
    assert caught.value.code == "stamp.expired"
    # Nor by a tool that doesn't ask.
    late = chained(made.file, later, year(2037))
    assert refused_by_both(late, anchors, year(2038)) == ("stamps", "stamp.expired")


def chained(data: bytes, by: Authority, at_ms: int, over: bytes | None = None) -> bytes:
    """One more stamp, over what it must be over or something else, without asking whether it makes sense."""
    parts = unpack(data)
    names = contents.stamp_names(parts)
    content = covered(parts, names, "sha256") if over is None else over
    further = contents.next_stamp(len([name for name in names if name != contents.CHECKPOINT_STAMP]))
    return assemble(parts | {further: stamper(by, at_ms).grant(sha256(content).digest())})


def test_without_any_stamp_it_is_judged_as_of_now(tmp_path: Path) -> None:
    one = make(tmp_path / "ledger")
    verdict = verify(one.file, one.anchors, CHECKED_MS)
    assert verdict.holds
    assert verdict.reservations == ("stamp.none", "revocation.provisional")
    # The signer's certificate ended in 2027: that it signed before is the exchange's word.
    verdict = verify(one.file, one.anchors, year(2032))
    assert verdict.holds
    assert "certificate.ended" in verdict.reservations
    # The root ended in 2045.
    assert refused_by_both(one.file, one.anchors, year(2046)) == ("certificates", "trust.not_current")
    stamped = make(tmp_path / "stamped", stamped=True)
    verdict = verify(stamped.file, stamped.anchors, year(2032))
    assert verdict.holds
    assert verdict.reservations == ("revocation.provisional",)


def test_a_list_newer_than_what_was_signed(made: Made, anchors: Anchors) -> None:
    issuing = made.world.authority.issuing
    by = Issuer(subject("Exchange Demo Issuing"), issuing.private_key)
    at_ms = NOW_MS + 20_000
    crl = build_crl(by, [], at_ms, at_ms + 30 * DAY_MS)
    newer = made.sources | {contents.LISTS: contents.write_pem(contents.LIST_LABEL, [crl])}
    verdict = verify(assemble(newer), anchors, CHECKED_MS)
    assert verdict.holds
    assert verdict.reservations == ()
    between = build_crl(by, [], NOW_MS + 500_000, at_ms + 30 * DAY_MS)  # newer than the document, not than the receipt
    assert between != crl
    assert verify(made.file, anchors, CHECKED_MS).reservations == ("revocation.provisional",)


def test_stamps_of_something_else(made: Made, anchors: Anchors, later: Authority, tmp_path: Path) -> None:
    authority = made.world.authority
    other = make(tmp_path / "other", filler=20, stamped=True)

    def stamped(token: bytes) -> bytes:
        return assemble(made.sources | {contents.CHECKPOINT_STAMP: token})

    def over(content: bytes, at_ms: int = STAMPED_MS, by: Authority = authority) -> bytes:
        return stamped(stamper(by, at_ms).grant(sha256(content).digest()))

    checkpoint = made.sources[contents.CHECKPOINT]
    assert verify(over(checkpoint), anchors, CHECKED_MS).holds
    cases: list[tuple[bytes, str, str]] = [
        (over(other.sources[contents.CHECKPOINT]), "stamps", "stamp.other_content"),
        (over(covered(made.sources, [], "sha256")), "stamps", "stamp.other_content"),
        (over(checkpoint, by=other.world.authority), "stamps", "stamp.unknown_authority"),
        (stamped(other.sources[contents.CHECKPOINT_STAMP]), "stamps", "stamp.other_content"),
        (over(checkpoint, NOW_MS - 600_000), "events", "stamp.before_event"),
        (over(checkpoint, CHECKED_MS + 600_000), "stamps", "stamp.in_future"),
        (chained(made.file, authority, STAMPED_MS - 5_000), "stamps", "stamp.order"),
        (chained(made.file, authority, CHECKED_MS, checkpoint), "stamps", "stamp.other_content"),
        (chained(made.file, later, CHECKED_MS), "stamps", "stamp.unknown_authority"),
    ]
    for data, name, code in cases[:-1]:
        assert refused_by_both(data, anchors, CHECKED_MS) == (name, code)
    data, name, code = cases[-1]
    only = replace(anchors, time_stamps=anchors.time_stamps[:1])
    assert refused_by_both(data, only, CHECKED_MS) == (name, code)


def test_stamps_under_other_names(made: Made, renewed: bytes, anchors: Anchors) -> None:
    spoilt: list[dict[str, bytes | None]] = [
        {"stamps/1.tst": None},
        {"stamps/2.tst": None, "stamps/3.tst": b""},
        {"stamps/x": b""},
        {f"stamps/{n}.tst": b"" for n in range(3, 17)},
    ]
    for changed in spoilt:
        parts = {name: data for name, data in (unpack(renewed) | changed).items() if data is not None}
        with pytest.raises(Rejected) as caught:
            contents.stamp_names(parts)
        assert caught.value.code in {"evidence.malformed", "evidence.too_large"}
    # Taking the oldest away changes what the others are over.
    parts = unpack(renewed)
    del parts[contents.CHECKPOINT_STAMP]
    assert refused_by_both(assemble(parts), anchors, year(2046)) == ("stamps", "stamp.other_content")
    # Taking the newest away leaves a file that wasn't renewed.
    parts = unpack(renewed)
    del parts["stamps/2.tst"]
    assert refused_by_both(assemble(parts), anchors, year(2046)) == ("stamps", "stamp.expired")
    assert made.file


class TestBundle:
    def bundle(self, made: Made, **changed: Any) -> Anchors:  # noqa: ANN401
        content = json.loads(write_bundle(made.anchors, NOW_MS)) | changed
        return read_bundle(json.dumps(content).encode())

    def test_it_says_the_same_when_read_again(self, made: Made, anchors: Anchors) -> None:
        assert read_bundle(write_bundle(anchors, NOW_MS)) == anchors
        assert verify(made.file, self.bundle(made), CHECKED_MS).holds

    def test_an_authority_trusted_until_its_key_was_stolen(
        self, made: Made, renewed: bytes, anchors: Anchors, later: Authority
    ) -> None:
        """Stolen in 2030: what wasn't renewed by another before fails from then on, though its certificate lasts."""
        stolen = root(made.world.authority.root_certificate, Term(0, year(2030)))
        trust = replace(anchors, time_stamps=(stolen, anchors.time_stamps[1]))
        assert verify(made.file, trust, year(2029)).holds
        assert failed(made.file, trust, year(2031)).code == "trust.not_current"
        assert failed(renewed, trust, year(2046)).code == "trust.not_current"
        founded = root(later.root_certificate, Term(year(2034)))
        early = replace(anchors, time_stamps=(anchors.time_stamps[0], founded))
        assert verify(renewed, early, year(2046)).holds

    def test_ledgers_and_roots_have_their_time(self, made: Made, anchors: Anchors) -> None:
        trusted, not_yet, no_more = Term(NOW_MS, year(2027)), Term(STAMPED_MS + 1), Term(0, STAMPED_MS)
        for term, code in ((trusted, None), (not_yet, "trust.not_current"), (no_more, "trust.not_current")):
            keys = replace(anchors, ledgers=(Key(LOG.verifier, term),))
            roots = replace(anchors, roots=(root(made.world.authority.root_certificate, term),))
            if code is None:
                assert verify(made.file, keys, year(2034)).holds
                assert verify(made.file, roots, year(2034)).holds
            else:
                assert (failed(made.file, keys, year(2034)).name, failed(made.file, roots, year(2034)).name) == (
                    "checkpoint",
                    "certificates",
                )
                assert failed(made.file, keys, year(2034)).code == failed(made.file, roots, year(2034)).code == code
        several = replace(anchors, ledgers=(Key(NoteKey.generate("older.test").verifier), *anchors.ledgers))
        assert verify(made.file, several, CHECKED_MS).holds

    def test_so_many_of_the_witnesses(self, made: Made, anchors: Anchors) -> None:
        stranger = NoteKey.generate("witness.test/2", COSIGNATURE)
        witnesses = (Key(WITNESS.verifier), Key(stranger.verifier))
        for needed, holds in ((0, True), (1, True), (2, False)):
            trust = replace(anchors, witnesses=witnesses, witnesses_needed=needed)
            assert verify(made.file, trust, CHECKED_MS).holds == holds
        ended = (Key(WITNESS.verifier, Term(0, NOW_MS)), Key(stranger.verifier))
        step = failed(made.file, replace(anchors, witnesses=ended, witnesses_needed=1), CHECKED_MS)
        assert (step.name, step.code) == ("witnesses", "checkpoint.not_witnessed")
        assert cosign(made.file[:0].decode(), stranger, 1).name == "witness.test/2"

    @pytest.mark.parametrize(
        "change",
        [
            {"version": 2}, {"version": True}, {"format": "x"}, {"more": 1}, {"roots": []}, {"roots": 7},
            {"ledgers": [{"key": str(WITNESS.verifier), "from": None, "until": None}]},
            {"witnesses": [{"key": str(LOG.verifier), "from": None, "until": None}]},
            {"ledgers": [{"key": str(LOG.verifier), "from": "yesterday", "until": None}]},
            {"ledgers": [{"key": str(LOG.verifier), "from": None, "until": "1969-01-01T00:00:00Z"}]},
            {"ledgers": [{"key": str(LOG.verifier), "from": None}]},
            {"ledgers": [None]}, {"roots": [{"certificate": "x", "from": None, "until": None}]},
            {"witnesses_needed": 1}, {"witnesses_needed": -1}, {"witnesses_needed": True},
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said(self, made: Made, change: dict[str, Any]) -> None:
        with pytest.raises(Misconfigured):
            self.bundle(made, **change)
        for data in (b"", b"{", b"[]", b"[" * 100_000, b" " * 2_000_000):
            with pytest.raises(Misconfigured):
                read_bundle(data)


def test_openssl_checks_the_stamps_by_the_guide(made: Made, anchors: Anchors, tmp_path: Path) -> None:
    data = renewed_at(made.file, anchors, made.world.authority, CHECKED_MS)
    with zipfile.ZipFile(BytesIO(data)) as archive:
        archive.extractall(tmp_path)
    certificate = x509.load_der_x509_certificate(made.world.authority.root_certificate)
    (tmp_path / "TSA.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    guide = (tmp_path / "README.txt").read_text("utf-8")
    commands = [line.strip() for line in guide.splitlines() if line.startswith(("  sha256sum", "  openssl ts"))]
    assert len(commands) == 3

    def outcomes() -> list[int]:
        at = f" -attime {CHECKED_MS // 1000 + 60}"
        lines = [line + at * line.startswith("openssl") for line in commands]
        return [subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, check=False).returncode
                for line in lines]  # fmt: skip

    assert outcomes() == [0, 0, 0]
    statement = tmp_path / "statement.avro"
    statement.write_bytes(statement.read_bytes() + b"x")
    assert outcomes() == [0, 0, 1]
    checkpoint = tmp_path / "checkpoint.txt"
    checkpoint.write_bytes(checkpoint.read_bytes() + b"x")
    assert outcomes() == [1, 0, 1]
