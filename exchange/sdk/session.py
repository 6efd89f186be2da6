"""One agency's session with a gateway: tokens, retries, errors.

Guarantees: a request is repeated only where repeating changes nothing, which is everywhere, for the same bytes count
once; it is given up after `patience_s`. A refusal is an exception with the gateway's code, never a status to look at.
Not for several threads at once.

Source: RFC 7523 §2.2 (client assertions), RFC 9457 (problems), RFC 9110 §10.2.3 (Retry-After).
"""

from __future__ import annotations

import base64
import random
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import httpx
import jwt

from exchange.errors import Rejected, Unavailable
from exchange.sdk.keys import JWS_ALGORITHMS
from exchange.sdk.wire import Body, Wire
from exchange.signatures import SigningKey

ASSERTION_S = 120
TOKEN_SPARE_S = 30.0
PAUSE_S_MIN, PAUSE_S_MAX = 0.2, 10.0
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})

CHECKPOINT = "exchange-checkpoint"
FORM = "application/x-www-form-urlencoded"


class GatewayRefused(Rejected):
    """The gateway's no. `status`: of HTTP; `errors`: which records of a submission, as (index, code)."""

    def __init__(self, code: str, detail: str, status: int, errors: list[tuple[int, str]]) -> None:
        super().__init__(code, detail)
        self.status = status
        self.errors = errors


class Session:
    """A connection to a gateway. `wire`: to `gateway`; `patience_s`: how long to try before `Unavailable`;
    `needs_token`: not where the wire shows the seal's certificate."""

    def __init__(
        self, code: str, key: SigningKey, gateway: str, patience_s: float, wire: Wire, *, needs_token: bool = True
    ) -> None:
        self._code = code
        self._key = key
        self._url = gateway.rstrip("/")
        self.wire = wire
        self._needs_token = needs_token
        self._patience_s = patience_s
        self.seen: Callable[[str], None] = lambda _: None
        """Told the checkpoint that an answer carries (base64)."""
        self._token: str | None = None
        self._token_until = 0.0

    def close(self) -> None:
        """End the connection."""
        self.wire.close()

    def call(
        self,
        method: str,
        path: str,
        body: Body = b"",
        media_type: str = "",
        query: Mapping[str, Any] | None = None,
        more: Mapping[str, str] | None = None,
        patience_s: float | None = None,
    ) -> Any:  # noqa: ANN401  JSON
        """Ask, again if need be, and return the answer's JSON. `more`: headers; `patience_s`: another.

        Raises: GatewayRefused (the caller must act); Unavailable after `patience_s`.
        """
        headers = ({"content-type": media_type} if media_type else {}) | dict(more or {})
        patience_s = self._patience_s if patience_s is None else patience_s
        with self._tried(lambda: self._once(method, path, body, headers, query), patience_s) as answer:
            return answer.json() if answer.content else None

    def stream(self, path: str, start: int = 0) -> Generator[bytes, None, None]:
        """The bytes at an address from `start` on; not repeated once they flow: ask again for the rest.

        Raises: GatewayRefused; Unavailable if the connection breaks.
        """
        headers = {"range": f"bytes={start}-"} if start else {}
        try:
            yield from self.wire.stream(path, headers | self._authorization(), _error_of)
        except httpx.TransportError as exc:
            raise Unavailable("gateway.unavailable", repr(exc)) from exc

    @contextmanager
    def _tried(self, attempt: Callable[[], httpx.Response], patience_s: float) -> Iterator[httpx.Response]:
        """Try until it is answered, with pauses that grow and vary, so that a crowd doesn't come back at once."""
        deadline, pause_s = time.monotonic() + patience_s, PAUSE_S_MIN
        is_renewed = False
        while True:
            asked_s = 0.0
            try:
                answer = attempt()
                if answer.status_code < 400:
                    break
                error, asked_s = _error_of(answer), _retry_after_s(answer)
            except httpx.TransportError as exc:
                error = Unavailable("gateway.unavailable", repr(exc))
            except Unavailable as exc:
                error = exc
            if isinstance(error, Rejected):
                if error.code != "token.invalid" or is_renewed:
                    raise error
                self._token, is_renewed = None, True  # its time or its gateway is over: once more with a new one
                continue
            wait_s = asked_s + random.uniform(0, pause_s)  # noqa: S311  to spread load, not to hide anything
            if time.monotonic() + wait_s > deadline:
                raise error
            self.wire.pause(wait_s)
            pause_s = min(pause_s * 2, PAUSE_S_MAX)
        yield answer

    def _once(
        self, method: str, path: str, body: Body, headers: dict[str, str], query: Mapping[str, Any] | None
    ) -> httpx.Response:
        answer = self.wire.request(method, path, body, headers | self._authorization(), query)
        self.seen(answer.headers.get(CHECKPOINT, ""))
        return answer

    def _authorization(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._fresh_token()}"} if self._needs_token else {}

    def _fresh_token(self) -> str:
        if self._token is None or time.monotonic() > self._token_until - TOKEN_SPARE_S:
            form = {
                "grant_type": "client_credentials",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": self._assertion(),
            }
            answer = self.wire.request(
                "POST", "/v1/token", urlencode(form).encode("ascii"), {"content-type": FORM}, None
            )
            if answer.status_code >= 400:
                raise _error_of(answer)
            granted = answer.json()
            self._token = granted["access_token"]
            self._token_until = time.monotonic() + granted["expires_in"]
        return self._token

    def _assertion(self) -> str:
        now_s = int(time.time())
        claims = {
            "iss": self._code,
            "sub": self._code,
            "aud": self._url,
            "iat": now_s,
            "exp": now_s + ASSERTION_S,
            "jti": secrets.token_hex(16),
        }
        fingerprint = base64.urlsafe_b64encode(self._key.certificate).rstrip(b"=").decode("ascii")
        algorithm = JWS_ALGORITHMS[self._key.algorithm]
        return jwt.encode(claims, self._key.private_key, algorithm, {"x5t#S256": fingerprint})


def _error_of(answer: httpx.Response) -> Rejected | Unavailable:
    """Our error for a problem; what isn't one comes from something in between."""
    try:
        said = answer.json()
        code, title = str(said["code"]), str(said.get("title", ""))
        errors = [(int(one["index"]), str(one["code"])) for one in said.get("errors") or () if "index" in one]
    except (ValueError, KeyError, TypeError, AttributeError):
        code, title, errors = f"http.{answer.status_code}", "", []
    if answer.status_code in _AGAIN:
        return Unavailable(code, title)
    return GatewayRefused(code, title, answer.status_code, errors)


def _retry_after_s(answer: httpx.Response) -> float:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0
