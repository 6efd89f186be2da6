"""Who attests a ledger, from the environment: what can't be is refused at the start, all else is as it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.cli.attesting import settings, watchers
from exchange.errors import Misconfigured
from exchange.ledger.notes import COSIGNATURE, NoteKey

KEYS = [str(NoteKey.generate(f"w.test/{number}", COSIGNATURE).verifier) for number in (1, 2)]


def test_unset_it_is_the_worlds_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TSA_URL", "WITNESSES", "WITNESSES_NEEDED", "ATTEST_EVERY_S"):
        monkeypatch.delenv(f"EXCHANGE_{name}", raising=False)
    found = settings()
    assert (found.tsa_url, watchers(found), found.witnesses_needed, found.attest_every_s) == (None, [], 1, None)


def test_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXCHANGE_WITNESSES", f"{KEYS[0]}=https://w.test/one  {KEYS[1]}=http://127.0.0.1:3162")
    monkeypatch.setenv("EXCHANGE_WITNESSES_NEEDED", "2")
    monkeypatch.setenv("EXCHANGE_TSA_URL", "https://tsa.test/tsr")
    monkeypatch.setenv("EXCHANGE_TSA_ROOT", "/keys/root.pem")
    found = settings()
    assert [(one.url, str(one.key)) for one in watchers(found)] == [
        ("https://w.test/one", KEYS[0]),
        ("http://127.0.0.1:3162", KEYS[1]),
    ]
    assert (found.tsa_url, found.tsa_root) == ("https://tsa.test/tsr", Path("/keys/root.pem"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TSA_URL", "tsa.test"),
        ("TSA_URL", "https://me:secret@tsa.test/"),
        ("WITNESSES", "https://w.test/"),
        ("WITNESSES", "w.test+00000000+AAAA=https://w.test/"),
        ("WITNESSES", f"{KEYS[0]}=http://w:port/"),
        ("WITNESSES_NEEDED", "0"),
        ("WITNESSES_NEEDED", "many"),
        ("ATTEST_EVERY_S", "0.1"),
    ],
)
def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"EXCHANGE_{name}", value)
    with pytest.raises(Misconfigured):
        settings()


def test_more_witnesses_needed_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXCHANGE_WITNESSES", f"{KEYS[0]}=https://w.test/")
    monkeypatch.setenv("EXCHANGE_WITNESSES_NEEDED", "2")
    with pytest.raises(Misconfigured):
        settings()
