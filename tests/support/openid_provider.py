"""An OpenID provider for tests: real HTTP on a loopback port, real keys; and all the ways in which one may lie."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

CLIENT_ID, SECRET = "exchange-console", "the client's secret"


class Provider:
    """`spoil`: changes claims before they are signed; `lies`: what its discovery document says instead."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.key, self.kid = ec.generate_private_key(ec.SECP256R1()), "k1"
        self.listed = [self.kid]
        self.spoil: dict[str, Any] = {}
        self.lies: dict[str, Any] = {}
        self.algorithm = "ES256"
        self.signing_key: Any = self.key
        self.redeemed: list[dict[str, str]] = []
        self._codes: dict[str, dict[str, str]] = {}

    def log_in(self, url: str, subject: str) -> dict[str, str]:
        """What a person does at the provider: the parameters of the redirect back."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked | {"sub": subject}
        return {"code": code, "state": asked["state"], "iss": self.issuer}

    def answer(self, method: str, path: str, form: dict[str, str], login: str) -> tuple[int, Any]:
        """Discovery, keys, tokens."""
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            } | self.lies
        if path == "/keys":
            public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
            return 200, {"keys": [{"kty": "strange", "kid": "x"}, *({**public, "kid": kid} for kid in self.listed)]}
        if method == "POST" and path == "/token":
            return self._token(form, login)
        return 404, {}

    def _token(self, form: dict[str, str], login: str) -> tuple[int, Any]:
        self.redeemed.append(form)
        asked = self._codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=")
        expected = base64.b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode()
        if asked is None or challenge.decode() != asked["code_challenge"] or login != f"Basic {expected}":
            return 400, {"error": "invalid_grant"}
        now_s = int(time.time())
        claims = {"iss": self.issuer, "sub": asked["sub"], "aud": CLIENT_ID, "exp": now_s + 300, "iat": now_s,
                  "nonce": asked["nonce"]} | self.spoil  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        return 200, {"id_token": jwt.encode(claims, self.signing_key, self.algorithm, {"kid": self.kid})}


@contextmanager
def providing() -> Iterator[Provider]:
    """Serve a provider until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("GET", {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0"))).decode()
            self._answer("POST", {name: values[0] for name, values in parse_qs(body).items()})

        def _answer(self, method: str, form: dict[str, str]) -> None:
            status, said = provider.answer(method, self.path, form, self.headers.get("authorization", ""))
            data = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = Provider(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
