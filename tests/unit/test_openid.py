"""The code flow against a provider that speaks real HTTP: whoever it vouches for, and every lie that doesn't count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from exchange.accounts import openid
from exchange.accounts.openid import FLOW_MS, METADATA_MS, Client, OpenId
from exchange.errors import Misconfigured, Rejected, Unavailable
from tests.support.openid_provider import CLIENT_ID, SECRET, Provider, providing

REDIRECT = "https://console.example/openid"


class Clock:
    """Ours to move."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def provider() -> Iterator[Provider]:
    with providing() as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ours(provider: Provider, clock: Clock) -> Iterator[OpenId]:
    made = OpenId(Client(provider.issuer, CLIENT_ID, REDIRECT, SECRET), clock)
    yield made
    made.close()


def came_back(ours: OpenId, provider: Provider, **changes: Any) -> tuple[str, str]:  # noqa: ANN401
    started = ours.start()
    answer = provider.log_in(started.url, "an-17") | changes
    return ours.finish(started.cookie, answer)


def test_whom_the_provider_vouches_for(ours: OpenId, provider: Provider) -> None:
    assert came_back(ours, provider) == (provider.issuer, "an-17")
    assert came_back(ours, provider) == (provider.issuer, "an-17")
    first, second = provider.redeemed
    assert first["code_verifier"] != second["code_verifier"]
    assert first["redirect_uri"] == REDIRECT


def test_a_flow_is_its_browsers_and_counts_once_and_soon(ours: OpenId, provider: Provider, clock: Clock) -> None:
    started, others = ours.start(), ours.start()
    answer = provider.log_in(started.url, "an-17")
    for cookie in (others.cookie, "x", ""):
        with pytest.raises(Rejected, match=r"openid\.refused"):
            ours.finish(cookie, answer)
    assert ours.finish(started.cookie, answer)[1] == "an-17"
    with pytest.raises(Rejected):
        ours.finish(started.cookie, answer)
    assert len(provider.redeemed) == 1
    late = ours.start()
    answer = provider.log_in(late.url, "an-17")
    clock.now_ms += FLOW_MS + 1
    with pytest.raises(Rejected):
        ours.finish(late.cookie, answer)


def test_flows_that_nobody_finishes_are_forgotten(ours: OpenId, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openid, "FLOWS_MAX", 3)
    for _ in range(10):
        ours.start()
    assert len(ours._flows) == 3


@pytest.mark.parametrize(
    "changes", [{"state": "other"}, {"state": "ấ"}, {"iss": "https://evil.example"}, {"code": "another"}]
)
def test_an_answer_that_is_not_ours(ours: OpenId, provider: Provider, changes: dict[str, str]) -> None:
    with pytest.raises(Rejected, match=r"openid\.refused"):
        came_back(ours, provider, **changes)


def test_the_provider_says_no(ours: OpenId, provider: Provider) -> None:
    started = ours.start()
    state = provider.log_in(started.url, "an")["state"]
    with pytest.raises(Rejected, match="access_denied"):
        ours.finish(started.cookie, {"state": state, "error": "access_denied"})


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"aud": None},
        {"azp": "another"},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": 1},
        {"iat": None},
        {"sub": None},
        {"sub": 17},
    ],
)
def test_claims_that_do_not_count(ours: OpenId, provider: Provider, claims: dict[str, Any]) -> None:
    provider.spoil = claims
    with pytest.raises(Rejected, match=r"openid\.refused"):
        came_back(ours, provider)
    provider.spoil = {}
    assert came_back(ours, provider)[1] == "an-17"


def test_signed_by_another_key(ours: OpenId, provider: Provider) -> None:
    provider.signing_key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(Rejected):
        came_back(ours, provider)


@pytest.mark.parametrize(("algorithm", "key"), [("none", None), ("HS256", "k" * 64)])
def test_signed_by_nobody_or_by_what_is_no_public_key(
    ours: OpenId, provider: Provider, algorithm: str, key: Any  # noqa: ANN401
) -> None:  # fmt: skip
    provider.algorithm, provider.signing_key = algorithm, key
    with pytest.raises(Rejected):
        came_back(ours, provider)


def test_a_new_key_is_found_and_an_unlisted_one_is_not(ours: OpenId, provider: Provider) -> None:
    came_back(ours, provider)
    provider.kid = "k2"
    with pytest.raises(Rejected, match="doesn't list"):
        came_back(ours, provider)
    provider.listed.append("k2")
    assert came_back(ours, provider)[1] == "an-17"


@pytest.mark.parametrize(
    "lies",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "http://evil.example/token"},
        {"jwks_uri": None},
        {"authorization_endpoint": 17},
    ],
)
def test_a_provider_that_lies_of_itself(ours: OpenId, provider: Provider, clock: Clock, lies: dict[str, Any]) -> None:
    ours.start()
    provider.lies = lies
    ours.start()  # what it said before is believed for a while
    clock.now_ms += METADATA_MS
    with pytest.raises(Unavailable, match=r"openid\.unavailable"):
        ours.start()


@pytest.mark.parametrize("said", [b"no json", b"[]", b" " * (openid.ANSWER_BYTES_MAX + 1)])
def test_a_provider_that_says_nothing_of_use(
    ours: OpenId, provider: Provider, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(provider, "answer", lambda *_: (200, said))
    with pytest.raises(Unavailable):
        ours.start()


def test_a_provider_that_is_away() -> None:
    with providing() as provider:
        client = Client(provider.issuer, CLIENT_ID, REDIRECT)
    gone = OpenId(client)
    with pytest.raises(Unavailable):
        gone.start()
    gone.close()


@pytest.mark.parametrize("issuer", ["http://id.example", "ftp://127.0.0.1", "id.example", ""])
def test_only_over_tls(issuer: str) -> None:
    with pytest.raises(Misconfigured):
        OpenId(Client(issuer, CLIENT_ID, REDIRECT))


def test_the_secret_is_not_shown() -> None:
    assert SECRET not in repr(Client("https://id.example", CLIENT_ID, REDIRECT, SECRET))
