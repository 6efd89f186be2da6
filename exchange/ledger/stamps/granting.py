"""A time-stamping authority for demos and tests: answers RFC 3161 requests with this machine's clock.

Guarantees: any bytes get an answer, a token or a refusal with its reason; a token is over exactly what was asked, and
its certificate is valid when it is made. Does not: know the time better than this machine. Not for production: an
exchange that stamps its own ledger proves nothing to others.

Source: RFC 3161 §2.4.1 (request), §2.4.2 (response); RFC 5816.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from asn1crypto import algos, cms, core, tsp, x509

from exchange.errors import Rejected
from exchange.ledger.stamps.asking import Response
from exchange.ledger.stamps.token import DIGESTS
from exchange.signatures import SigningKey, algorithms

POLICY = "1.3.6.1.4.1.32473.3161.1"
"""The demo's policy, below the arc for documentation (RFC 5612)."""

REQUEST_BYTES_MAX = 4 * 1024
_SERIAL_BITS = 127
_NAMED = {
    algorithms.ECDSA_P256_SHA256: "sha256_ecdsa",
    algorithms.RSA_PKCS1_SHA256: "sha256_rsa",
}
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)


class TimeStamper:
    """Grants stamps. `key`: P-256 or RSA; `certificate`: its DER; `clock_ms`: the time that it vouches for."""

    def __init__(self, key: SigningKey, certificate: bytes, clock_ms: Callable[[], int]) -> None:
        self._key = key
        self._certificate = x509.Certificate.load(certificate)
        self._clock_ms = clock_ms

    def answer(self, asked: bytes) -> bytes:
        """The response (DER) to a request's bytes."""
        try:
            request = _read(asked)
        except Rejected as exc:
            return _refusal(exc)
        token = self.grant(
            request["message_imprint"]["hashed_message"].native,
            request["message_imprint"]["hash_algorithm"]["algorithm"].native,
            nonce=request["nonce"].native,
            with_certificate=bool(request["cert_req"].native),
        )
        return _response("granted", {"time_stamp_token": cms.ContentInfo.load(token)})

    def grant(
        self, digest: bytes, name: str = "sha256", *, nonce: int | None = None, with_certificate: bool = True
    ) -> bytes:
        """A token (DER) over a digest of the kind `name`."""
        now_ms = self._clock_ms()
        said = {
            "version": "v1",
            "policy": POLICY,
            "message_imprint": {"hash_algorithm": {"algorithm": name}, "hashed_message": digest},
            "serial_number": secrets.randbits(_SERIAL_BITS),
            "gen_time": datetime.fromtimestamp(now_ms // 1000, UTC),
            "accuracy": {"seconds": 1},
        }
        if nonce is not None:
            said["nonce"] = nonce
        content = tsp.TSTInfo(said).dump()
        attributes = cms.CMSAttributes([
            _attribute("content_type", ["tst_info"]),
            _attribute("message_digest", [sha256(content).digest()]),
            _attribute("signing_certificate_v2", [self._named()]),
        ])  # fmt: skip
        signed = cms.SignedData({
            "version": "v3",
            "digest_algorithms": [_SHA256],
            "encap_content_info": {"content_type": "tst_info", "content": core.ParsableOctetString(content)},
            "certificates": [self._certificate] if with_certificate else [],
            "signer_infos": [self._signed(attributes)],
        })  # fmt: skip
        made: bytes = cms.ContentInfo({"content_type": "signed_data", "content": signed}).dump()
        return made

    def _named(self) -> Any:  # noqa: ANN401  asn1crypto is untyped
        return tsp.SigningCertificateV2({"certs": [{"cert_hash": sha256(self._certificate.dump()).digest()}]})

    def _signed(self, attributes: Any) -> Any:  # noqa: ANN401
        return cms.SignerInfo({
            "version": "v1",
            "sid": cms.SignerIdentifier("issuer_and_serial_number", cms.IssuerAndSerialNumber({
                "issuer": self._certificate.issuer, "serial_number": self._certificate.serial_number,
            })),
            "digest_algorithm": _SHA256,
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": _NAMED[self._key.algorithm]},
            "signature": self._key.sign(attributes.dump()),
        })  # fmt: skip


_SHA256 = algos.DigestAlgorithm({"algorithm": "sha256"})


def _read(asked: bytes) -> Any:  # noqa: ANN401
    """Read a request; Rejected, whose code is RFC 3161's word for the failure."""
    if len(asked) > REQUEST_BYTES_MAX:
        raise Rejected("bad_data_format", f"{len(asked)} bytes")
    try:
        found = tsp.TimeStampReq.load(asked, strict=True)
        imprint = found["message_imprint"]
        name = imprint["hash_algorithm"]["algorithm"].native
        digest, policy = imprint["hashed_message"].native, found["req_policy"].native
        extensions, _ = len(found["extensions"]), (found["nonce"].native, found["cert_req"].native)
        version = found["version"].native
    except _UNREADABLE as exc:
        raise Rejected("bad_data_format", repr(exc)[:200]) from exc
    if version != "v1":
        raise Rejected("bad_request", f"version {version}")
    if name not in DIGESTS or len(digest) != DIGESTS[name](b"").digest_size:
        raise Rejected("bad_alg", f"{len(digest)} bytes of {name}"[:80])
    if policy not in {None, POLICY}:
        raise Rejected("unaccepted_policy", str(policy)[:80])
    if extensions:
        raise Rejected("unaccepted_extensions")
    return found


def _refusal(exc: Rejected) -> bytes:
    return _response("rejection", {}, {"status_string": [exc.detail or exc.code], "fail_info": {exc.code}})


def _response(status: str, token: dict[str, Any], more: dict[str, Any] | None = None) -> bytes:
    info = tsp.PKIStatusInfo({"status": status, **(more or {})})
    made: bytes = Response({"status": info, **token}).dump()
    return made


def _attribute(name: str, values: list[Any]) -> Any:  # noqa: ANN401
    return cms.CMSAttribute({"type": name, "values": values})
