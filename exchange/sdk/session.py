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
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import jwt

from exchange.errors import Rejected, Unavailable
from exchange.sdk.keys import JWS_ALGORITHMS
from exchange.signatures import SigningKey

ASSERTION_S = 120
TOKEN_SPARE_S = 30.0
CONNECT_S, ANSWER_S = 5.0, 100.0
PAUSE_S_MIN, PAUSE_S_MAX = 0.2, 10.0
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})

CHECKPOINT = "exchange-checkpoint"

Body = bytes | Callable[[], Iterator[bytes]]
"""What to send; a stream is made anew for each attempt."""


class GatewayRefused(Rejected):
    """The gateway's no. `status`: of HTTP; `errors`: which records of a submission, as (index, code)."""

    def __init__(self, code: str, detail: str, status: int, errors: list[tuple[int, str]]) -> None:
        super().__init__(code, detail)
        self.status = status
        self.errors = errors


class Session:
    """A connection to a gateway. `patience_s`: how long to try before `Unavailable`."""

    def __init__(
        self, code: str, key: SigningKey, gateway: str, patience_s: float, tls: ssl.SSLContext | None = None
    ) -> None:
        self._code = code
        self._key = key
        self._url = gateway.rstrip("/")
        self._patience_s = patience_s
        self.seen: Callable[[str], None] = lambda _: None
        """Told the checkpoint that an answer carries (base64)."""
        self._token: str | None = None
        self._token_until = 0.0
        self._client = httpx.Client(
            base_url=self._url,
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            verify=True if tls is None else tls,
            headers={"user-agent": "exchange-sdk"},
        )

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def call(
        self, method: str, path: str, body: Body = b"", media_type: str = "", query: Mapping[str, Any] | None = None
    ) -> Any:  # noqa: ANN401  JSON
        """Ask, again if need be, and return the answer's JSON.

        Raises: GatewayRefused (the caller must act); Unavailable after `patience_s`.
        """
        headers = {"content-type": media_type} if media_type else {}
        with self._tried(lambda: self._once(method, path, body, headers, query)) as answer:
            return answer.json() if answer.content else None

    def stream(self, path: str, start: int = 0) -> Iterator[bytes]:
        """The bytes at an address from `start` on; not repeated once they flow: ask again for the rest.

        Raises: GatewayRefused; Unavailable if the connection breaks.
        """
        headers = {"range": f"bytes={start}-"} if start else {}
        headers["authorization"] = f"Bearer {self._fresh_token()}"
        try:
            with self._client.stream("GET", path, headers=headers) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    raise _error_of(answer)
                yield from answer.iter_bytes(1024 * 1024)
        except httpx.TransportError as exc:
            raise Unavailable("gateway.unavailable", repr(exc)) from exc

    @contextmanager
    def _tried(self, attempt: Callable[[], httpx.Response]) -> Iterator[httpx.Response]:
        """Try until it is answered, with pauses that grow and vary, so that a crowd doesn't come back at once."""
        deadline, pause_s = time.monotonic() + self._patience_s, PAUSE_S_MIN
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
            time.sleep(wait_s)
            pause_s = min(pause_s * 2, PAUSE_S_MAX)
        yield answer

    def _once(
        self, method: str, path: str, body: Body, headers: dict[str, str], query: Mapping[str, Any] | None
    ) -> httpx.Response:
        content = body() if callable(body) else body
        authorization = {"authorization": f"Bearer {self._fresh_token()}"}
        answer = self._client.request(
            method, path, content=content or None, headers={**headers, **authorization}, params=query
        )
        self.seen(answer.headers.get(CHECKPOINT, ""))
        return answer

    def _fresh_token(self) -> str:
        if self._token is None or time.monotonic() > self._token_until - TOKEN_SPARE_S:
            form = {
                "grant_type": "client_credentials",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": self._assertion(),
            }
            answer = self._client.post("/v1/token", data=form)
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
