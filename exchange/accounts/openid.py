"""Logging in at an OpenID provider: the authorization code flow with PKCE, against any provider that is discovered.

Guarantees: an answer counts only in the browser that asked (a cookie of that flow), once, within `FLOW_MS`, for this
client, from this issuer, signed by one of its keys, with our nonce in it. What the provider says is bounded in size and
time, and no redirect of its own is followed. Nobody is made up from it: issuer and subject must have an account.

Plain HTTP is spoken to the loopback address only.

Source: OpenID Connect Core 1.0 §3.1 and Discovery 1.0 §4; RFC 7636 (PKCE, S256), RFC 9207 (issuer in the answer),
RFC 9700 (best current practice).
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import httpx
import jwt

from exchange.errors import Misconfigured, Rejected, Unavailable

FLOW_MS = 10 * 60_000
FLOWS_MAX = 10_000
ANSWER_BYTES_MAX = 1024 * 1024
TIMEOUT_S = 10.0
LEEWAY_S = 60
METADATA_MS = 3_600_000
"""How long keys and addresses are believed; an unknown key is asked for once more."""

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
"""By which an id token may be signed: public keys only, and never none."""
SCOPE = "openid"


@dataclass(frozen=True, slots=True)
class Client:
    """What the provider knows us by. `secret`: None for a public client."""

    issuer: str
    client_id: str
    redirect_uri: str
    secret: str | None = field(default=None, repr=False)


class Started(NamedTuple):
    """Where to send the browser, and what it must bring back in a cookie: Secure, HttpOnly, SameSite=Lax."""

    url: str
    cookie: str


class _Flow(NamedTuple):
    state: str
    nonce: str
    verifier: str
    began_ms: int


class OpenId:
    """One provider. Flows belong to this process; `clock`: ms since 1970 UTC."""

    def __init__(self, client: Client, clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        """Raises: Misconfigured for an issuer or redirect that isn't HTTPS."""
        problems = [f"{url} isn't https://" for url in (client.issuer, client.redirect_uri) if not _is_safe(url)]
        if problems:
            raise Misconfigured(problems)
        self._client = client
        self._clock = clock
        self._http = httpx.Client(timeout=TIMEOUT_S, follow_redirects=False)
        self._flows: dict[str, _Flow] = {}
        self._known: tuple[Mapping[str, Any], dict[str, jwt.PyJWK]] | None = None
        self._known_ms = 0

    def start(self) -> Started:
        """Begin a flow. Raises: Unavailable ``openid.unavailable``."""
        endpoint = self._metadata()[0]["authorization_endpoint"]
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        flow = _Flow(state, nonce, verifier, self._clock())
        cookie = secrets.token_urlsafe(32)
        self._flows[cookie] = flow
        while len(self._flows) > FLOWS_MAX:
            del self._flows[next(iter(self._flows))]
        challenge = base64.urlsafe_b64encode(sha256(flow.verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": self._client.redirect_uri,
            "scope": SCOPE,
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return Started(f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}", cookie)

    def finish(self, cookie: str, answer: Mapping[str, str]) -> tuple[str, str]:
        """Issuer and subject of whoever came back. `answer`: the parameters of the redirect.

        Raises: Rejected ``openid.refused``; Unavailable ``openid.unavailable``.
        """
        flow = self._flows.pop(cookie, None)
        if flow is None or self._clock() - flow.began_ms > FLOW_MS:
            raise Rejected("openid.refused", "no such flow, or it took too long")
        if not hmac.compare_digest(answer.get("state", "").encode(), flow.state.encode()):
            raise Rejected("openid.refused", "another state")
        if answer.get("iss", self._client.issuer) != self._client.issuer:  # RFC 9207 §2.4
            raise Rejected("openid.refused", "another issuer answered")
        if "code" not in answer:
            raise Rejected("openid.refused", f"the provider says {answer.get('error', 'nothing')[:80]!r}")
        return self._subject(self._redeem(answer["code"], flow), flow)

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def _redeem(self, code: str, flow: _Flow) -> str:
        """The id token for a code: Core §3.1.3, RFC 7636 §4.5."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._client.redirect_uri,
            "client_id": self._client.client_id,
            "code_verifier": flow.verifier,
        }
        secret = self._client.secret
        login = None if secret is None else httpx.BasicAuth(self._client.client_id, secret)
        status, said = self._ask("POST", self._metadata()[0]["token_endpoint"], data=form, auth=login)
        token = said.get("id_token")
        if status != 200 or not isinstance(token, str):
            raise Rejected("openid.refused", f"the token endpoint answered {status}")
        return token

    def _subject(self, token: str, flow: _Flow) -> tuple[str, str]:
        """Verify an id token: Core §3.1.3.7."""
        try:
            key = self._key(str(jwt.get_unverified_header(token).get("kid", "")))
            claims = jwt.decode(
                token,
                key,
                ALGORITHMS,
                {"require": ["iss", "sub", "aud", "exp", "iat", "nonce"]},
                audience=self._client.client_id,
                issuer=self._client.issuer,
                leeway=LEEWAY_S,
            )
        except (jwt.PyJWTError, ValueError, TypeError) as exc:
            raise Rejected("openid.refused", f"id token: {exc}"[:300]) from exc
        if not hmac.compare_digest(str(claims["nonce"]).encode(), flow.nonce.encode()):
            raise Rejected("openid.refused", "another nonce")
        if claims.get("azp", self._client.client_id) != self._client.client_id:
            raise Rejected("openid.refused", "issued to another party")
        return self._client.issuer, claims["sub"]

    def _key(self, kid: str) -> jwt.PyJWK:
        keys = self._metadata()[1]
        if kid not in keys:
            self._known_ms = 0  # a new one, perhaps
            keys = self._metadata()[1]
        if kid not in keys:
            raise Rejected("openid.refused", "signed by a key that the provider doesn't list")
        return keys[kid]

    def _metadata(self) -> tuple[Mapping[str, Any], dict[str, jwt.PyJWK]]:
        """What the provider says of itself, and its keys: Discovery §4."""
        now_ms = self._clock()
        if self._known is not None and now_ms - self._known_ms < METADATA_MS:
            return self._known
        issuer = self._client.issuer
        status, said = self._ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        addresses = [said.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
        if status != 200 or said.get("issuer") != issuer:
            raise Unavailable("openid.unavailable", f"{issuer} answered {status} for another issuer, or none")
        if not all(isinstance(one, str) and _is_safe(one) for one in addresses):
            raise Unavailable("openid.unavailable", f"{issuer} names addresses that can't be used")
        _, listed = self._ask("GET", said["jwks_uri"])
        keys = {}
        for one in listed.get("keys", []):
            try:
                keys[str(one.get("kid", ""))] = jwt.PyJWK(one)
            except (jwt.PyJWTError, AttributeError, ValueError, TypeError):
                continue  # of a kind that we don't take
        self._known, self._known_ms = (said, keys), now_ms
        return self._known

    def _ask(self, method: str, url: str, **more: Any) -> tuple[int, dict[str, Any]]:  # noqa: ANN401  httpx's
        try:
            with self._http.stream(method, url, **more) as answer:
                body = bytearray()
                for part in answer.iter_bytes():
                    body += part
                    if len(body) > ANSWER_BYTES_MAX:
                        raise Unavailable("openid.unavailable", f"more than {ANSWER_BYTES_MAX} bytes from {url[:200]}")
                said = json.loads(bytes(body))
        except (httpx.HTTPError, ValueError) as exc:
            raise Unavailable("openid.unavailable", f"{url[:200]}: {exc!r}"[:400]) from exc
        return answer.status_code, said if isinstance(said, dict) else {}


def _is_safe(url: str) -> bool:
    """HTTPS, or plain to this very machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"})
