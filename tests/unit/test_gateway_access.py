"""Who gets in: assertions and tokens, and every reason why not."""

from __future__ import annotations

import base64
from typing import Any

import jwt
import pytest

from exchange.errors import ExchangeError
from exchange.gateway.assertions import Used, verify
from exchange.gateway.limits import Limits
from exchange.gateway.tokens import Session, mint, open_token
from exchange.local.authority import DAY_MS
from exchange.local.issuing import Issued, KeyKind
from exchange.sdk.keys import JWS_ALGORITHMS
from exchange.signatures import Signer
from tests.support.signing import LEADER, NOW_MS, OTHER, SENDER, World

NOW_S = NOW_MS // 1000
HERE = ["https://gateway.example", "https://gateway.example/v1/token"]
KEY = b"t" * 32


@pytest.fixture
def world() -> World:
    return World()


def made(by: Issued, *, algorithm: str = "", header: dict[str, Any] | None = None, **changes: Any) -> str:  # noqa: ANN401
    claims = {"iss": SENDER, "sub": SENDER, "aud": HERE[0], "iat": NOW_S, "exp": NOW_S + 60, "jti": "one"} | changes
    fingerprint = base64.urlsafe_b64encode(by.fingerprint).rstrip(b"=").decode()
    algorithm = algorithm or JWS_ALGORITHMS[by.signing_key.algorithm]
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, by.private_key, algorithm, header if header is not None else {"x5t#S256": fingerprint})


def ask(world: World, assertion: str, used: Used | None = None, now_ms: int = NOW_MS) -> Signer:
    return verify(assertion, HERE, world.trust, used or Used(100), Limits(), now_ms)


def refusal(world: World, assertion: str, used: Used | None = None, now_ms: int = NOW_MS) -> str:
    with pytest.raises(ExchangeError) as caught:
        ask(world, assertion, used, now_ms)
    return caught.value.code


class TestAssertions:
    @pytest.mark.parametrize("key", ["p256", "rsa2048", "ed25519"])
    def test_good_ones_of_every_key(self, key: KeyKind) -> None:
        world = World(key)
        assert ask(world, made(world.seal)).agency == SENDER
        assert ask(world, made(world.seal, aud=HERE[1], jti="two")).agency == SENDER

    def test_replayed(self, world: World) -> None:
        used, assertion = Used(100), made(world.seal)
        ask(world, assertion, used)
        assert refusal(world, assertion, used) == "assertion.replayed"
        assert ask(world, made(world.seal, jti="another"), used).agency == SENDER

    def test_another_audience(self, world: World) -> None:
        assert refusal(world, made(world.seal, aud="https://elsewhere.example")) == "assertion.audience"

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"exp": NOW_S - 31}, "assertion.expired"),
            ({"exp": NOW_S + 331}, "assertion.too_long"),
            ({"iat": NOW_S + 31}, "assertion.too_long"),
            ({"nbf": NOW_S + 31}, "assertion.too_long"),
            ({"exp": None}, "assertion.claims"),
            ({"jti": None}, "assertion.claims"),
            ({"jti": ""}, "assertion.claims"),
            ({"jti": "x" * 129}, "assertion.claims"),
            ({"iss": OTHER}, "assertion.claims"),
            ({"sub": OTHER, "iss": OTHER}, "assertion.claims"),
            ({"exp": True}, "assertion.claims"),
            ({"exp": 1e300}, "assertion.claims"),
        ],
    )
    def test_claims(self, world: World, changes: dict[str, Any], code: str) -> None:
        assert refusal(world, made(world.seal, **changes)) == code

    def test_signed_by_another_key(self, world: World) -> None:
        fingerprint = base64.urlsafe_b64encode(world.seal.fingerprint).rstrip(b"=").decode()
        forged = made(world.other_seal, header={"x5t#S256": fingerprint})
        assert refusal(world, forged) == "assertion.signature"

    def test_algorithms_that_are_not_the_keys(self, world: World) -> None:
        none = jwt.encode({"iss": SENDER}, "", "none", {"x5t#S256": _fingerprint(world.seal)})
        assert refusal(world, none) == "assertion.algorithm"
        mac = jwt.encode({"iss": SENDER}, "k" * 64, "HS256", {"x5t#S256": _fingerprint(world.seal)})
        assert refusal(world, mac) == "assertion.algorithm"

    @pytest.mark.parametrize("text", ["", "a.b.c", "x" * 9000, "é.é.é", "e30.e30.e30", "....", "\x00"])
    def test_noise(self, world: World, text: str) -> None:
        assert refusal(world, text) == "assertion.malformed"

    def test_a_leader_is_no_seal(self, world: World) -> None:
        assert world.leader.leader == LEADER
        assert refusal(world, made(world.leader)) == "assertion.not_a_seal"

    def test_certificates(self, world: World) -> None:
        stranger = world.authority.issue(SENDER, "never listed", not_before_ms=NOW_MS - DAY_MS)
        assert refusal(world, made(stranger)) == "certificate.unknown"
        later = NOW_MS + 366 * DAY_MS
        assert refusal(world, made(world.seal), now_ms=later) == "certificate.expired"
        world.revoke(world.seal, NOW_MS - 1)
        assert refusal(world, made(world.seal)) == "certificate.revoked"

    def test_what_is_remembered_is_bounded_and_never_forgotten_alive(self, world: World) -> None:
        used = Used(2)
        ask(world, made(world.seal, jti="1"), used)
        ask(world, made(world.seal, jti="2"), used)
        assert refusal(world, made(world.seal, jti="3"), used) == "quota.exceeded"
        later = NOW_MS + 200_000
        assert ask(world, made(world.seal, jti="3", exp=NOW_S + 260), used, later).agency == SENDER


class TestTokens:
    session = Session(SENDER, b"c" * 32, NOW_MS + 600_000)

    def test_round_trip(self) -> None:
        assert open_token(KEY, mint(KEY, self.session), NOW_MS) == self.session

    def test_over(self) -> None:
        with pytest.raises(ExchangeError, match=r"token\.invalid"):
            open_token(KEY, mint(KEY, self.session), self.session.until_ms)

    @pytest.mark.parametrize("change", [0, 8, 20, 50])
    def test_tampered(self, change: int) -> None:
        raw = bytearray(base64.urlsafe_b64decode(mint(KEY, self.session) + "=="))
        raw[change] ^= 1
        with pytest.raises(ExchangeError, match=r"token\.invalid"):
            open_token(KEY, base64.urlsafe_b64encode(raw).decode(), NOW_MS)

    @pytest.mark.parametrize("noise", ["", "x", "é", "A" * 300, "A" * 96])
    def test_noise(self, noise: str) -> None:
        with pytest.raises(ExchangeError, match=r"token\.invalid"):
            open_token(KEY, noise, NOW_MS)

    def test_of_another_gateway(self) -> None:
        with pytest.raises(ExchangeError, match=r"token\.invalid"):
            open_token(b"o" * 32, mint(KEY, self.session), NOW_MS)


def _fingerprint(issued: Issued) -> str:
    return base64.urlsafe_b64encode(issued.fingerprint).rstrip(b"=").decode()
