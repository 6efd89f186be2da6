"""An agency's key in a PKCS#11 token: it signs, and never leaves it.

Guarantees: what is handed out is a private key as the rest of the client takes one, that signs and does nothing else;
it is the key of the certificate, for a signature of it was verified with that. The PIN comes from a file. Several
threads may sign, one at a time. A process logs in to a token once, as PKCS#11 has it. What the token can't do now
(pulled out, locked) is `Unavailable`.

Needs the extra ``pkcs11``. Source: PKCS#11 v2.40 (OASIS): CKM_ECDSA, which gives r and s, and CKM_SHA256_RSA_PKCS.
"""

from __future__ import annotations

import secrets
import threading
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from exchange.errors import Misconfigured, Unavailable
from exchange.signatures import PrivateKey

if TYPE_CHECKING:
    from collections.abc import Callable

    RawSign = Callable[[bytes], bytes]
    """Bytes to their signature, in the token."""

FIELDS = ("module", "token", "key", "pin_file")
_P256_BYTES = 32
_LOCK = threading.Lock()
_SESSIONS: dict[tuple[str, str, bytes], Any] = {}
"""By library, token and SHA-256 of the PIN."""


def open_token(path: Path, certificate: x509.Certificate) -> PrivateKey:
    """The key that a ``<name>.token.toml`` names: ``module`` (the library), ``token``, ``key`` (labels), ``pin_file``.

    Raises: Misconfigured if the file, the token or the key isn't there, or it isn't the certificate's.
    """
    try:
        said = tomllib.loads(path.read_text("utf-8"))
        module, token, label, pin_file = (str(said[name]) for name in FIELDS)
        pin = (path.parent / pin_file).read_text("utf-8").strip()
    except (OSError, ValueError, KeyError) as exc:
        raise Misconfigured([f"{path} must name {', '.join(FIELDS)}: {exc!r}"]) from exc
    public_key = certificate.public_key()
    private_key: PrivateKey
    if isinstance(public_key, ec.EllipticCurvePublicKey) and isinstance(public_key.curve, ec.SECP256R1):
        private_key = _EcKey(public_key, _signing(path, (module, token, label), pin, "ECDSA"))
    elif isinstance(public_key, rsa.RSAPublicKey):
        private_key = _RsaKey(public_key, _signing(path, (module, token, label), pin, "SHA256_RSA_PKCS"))
    else:
        raise Misconfigured([f"{path}: a token's key is P-256 or RSA"])
    _require_pair(path, private_key, public_key)
    return private_key


def _signing(path: Path, place: tuple[str, str, str], pin: str, mechanism: str) -> RawSign:
    """Log in, and find the key."""
    try:
        import pkcs11
    except ModuleNotFoundError as exc:
        problem = "python-pkcs11 is missing: install the extra `pkcs11` (pip install 'exchange-backbone[pkcs11]')"
        raise Misconfigured([problem]) from exc
    module, token, label = place
    login = module, token, sha256(pin.encode()).digest()
    try:
        with _LOCK:
            if login not in _SESSIONS:
                _SESSIONS[login] = pkcs11.lib(module).get_token(token_label=token).open(user_pin=pin)
        session = _SESSIONS[login]
        key: Any = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=label)
    except (pkcs11.PKCS11Error, pkcs11.NoSuchKey, pkcs11.NoSuchToken, RuntimeError, OSError) as exc:
        raise Misconfigured([f"{path}: token {token} or its key {label} can't be used: {type(exc).__name__}"]) from exc

    def sign(data: bytes) -> bytes:
        try:
            with _LOCK:
                return bytes(key.sign(data, mechanism=pkcs11.Mechanism[mechanism]))
        except pkcs11.PKCS11Error as exc:
            raise Unavailable("token.unavailable", f"{token}: {type(exc).__name__}") from exc

    return sign


def _require_pair(path: Path, private_key: PrivateKey, public_key: object) -> None:
    nonce = secrets.token_bytes(32)
    try:
        if isinstance(private_key, ec.EllipticCurvePrivateKey) and isinstance(public_key, ec.EllipticCurvePublicKey):
            public_key.verify(private_key.sign(nonce, _ECDSA), nonce, _ECDSA)
        elif isinstance(private_key, rsa.RSAPrivateKey) and isinstance(public_key, rsa.RSAPublicKey):
            value = private_key.sign(nonce, padding.PKCS1v15(), hashes.SHA256())
            public_key.verify(value, nonce, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, Unavailable) as exc:
        raise Misconfigured([f"{path}: the token's key isn't that of the certificate"]) from exc


_ECDSA = ec.ECDSA(hashes.SHA256())


def _stays(*_: object, **__: object) -> NoReturn:
    raise TypeError("the key is in a token: it signs, and nothing else")


class _EcKey(ec.EllipticCurvePrivateKey):
    """A P-256 key in a token."""

    def __init__(self, public_key: ec.EllipticCurvePublicKey, sign: RawSign) -> None:
        self._public_key = public_key
        self._sign = sign

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:  # noqa: ANN401
        """Sign with ECDSA and SHA-256; DER, as cryptography gives it."""
        algorithm = signature_algorithm.algorithm
        if isinstance(algorithm, utils.Prehashed):
            digest = bytes(data)
        elif isinstance(algorithm, hashes.SHA256):
            hashed = hashes.Hash(hashes.SHA256())
            hashed.update(data)
            digest = hashed.finalize()
        else:
            raise TypeError("only SHA-256")
        raw = self._sign(digest)
        r, s = (int.from_bytes(half, "big") for half in (raw[:_P256_BYTES], raw[_P256_BYTES:]))
        return utils.encode_dss_signature(r, s)

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The certificate's."""
        return self._public_key

    @property
    def curve(self) -> ec.EllipticCurve:
        """P-256."""
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        """Bits."""
        return self._public_key.key_size

    exchange = private_numbers = private_bytes = __copy__ = __deepcopy__ = _stays


class _RsaKey(rsa.RSAPrivateKey):
    """An RSA key in a token."""

    def __init__(self, public_key: rsa.RSAPublicKey, sign: RawSign) -> None:
        self._public_key = public_key
        self._sign = sign

    def sign(self, data: Any, padding: Any, algorithm: Any) -> bytes:  # noqa: ANN401
        """Sign with PKCS#1 v1.5 and SHA-256."""
        if not _is_pkcs1(padding) or not isinstance(algorithm, hashes.SHA256):
            raise TypeError("only PKCS#1 v1.5 with SHA-256")
        return self._sign(bytes(data))

    def public_key(self) -> rsa.RSAPublicKey:
        """The certificate's."""
        return self._public_key

    @property
    def key_size(self) -> int:
        """Bits."""
        return self._public_key.key_size

    decrypt = private_numbers = private_bytes = __copy__ = __deepcopy__ = _stays


def _is_pkcs1(found: object) -> bool:
    return isinstance(found, padding.PKCS1v15)
