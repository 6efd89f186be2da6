"""The certificate profile: what is read of one, and that nothing but a certificate is read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import example, given
from hypothesis import strategies as st

from exchange.errors import Rejected, Unavailable
from exchange.local.issuing import Issued, moment
from exchange.signatures.certificates import is_issued_by, parse
from exchange.signatures.revocation import Revocations, parse_crl
from tests.support.signing import LEADER, NOW_MS, SENDER, World

WORLD = World()

# What cryptography warns of while it reads a damaged name or serial number; the warning is not the verdict.
ODD_BUT_READABLE = pytest.mark.filterwarnings(
    "ignore:Attribute's length:UserWarning",
    "ignore::cryptography.utils.CryptographyDeprecationWarning",
)


def built(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
    names: tuple[tuple[ObjectIdentifier, str], ...] = ((NameOID.ORGANIZATION_IDENTIFIER, SENDER),),
    extension: x509.ExtensionType | None = None,
    algorithm: hashes.HashAlgorithm | None = None,
    *,
    critical: bool = True,
) -> bytes:
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in names])
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, moment(NOW_MS), moment(NOW_MS) + timedelta(days=1)
    )
    if extension is not None:
        builder = builder.add_extension(extension, critical)
    certificate = builder.sign(key, algorithm or hashes.SHA256())  # type: ignore[arg-type]
    return certificate.public_bytes(serialization.Encoding.DER)


def code_of(der: bytes) -> str:
    with pytest.raises(Rejected) as caught:
        parse(der)
    return caught.value.code


def test_seal() -> None:
    seal = parse(WORLD.seal.certificate)
    assert seal.fingerprint == WORLD.seal.fingerprint
    assert (seal.code, seal.leader) == (SENDER, None)
    assert (seal.may_sign, seal.may_certify, seal.may_revoke) == (True, False, False)
    assert seal.not_after_ms % 1000 == 999
    assert seal.issuer == parse(WORLD.authority.issuing_certificate).subject


def test_leader_and_authority() -> None:
    assert parse(WORLD.leader.certificate).leader == LEADER
    issuing = parse(WORLD.authority.issuing_certificate)
    assert (issuing.may_sign, issuing.may_certify, issuing.may_revoke, issuing.path_length) == (False, True, True, 0)


def test_without_usage_it_may_do_nothing() -> None:
    bare = parse(built())
    assert (bare.code, bare.may_sign, bare.may_certify, bare.may_revoke) == (SENDER, False, False, False)


def test_weak_or_other_keys() -> None:
    assert code_of(built(ec.generate_private_key(ec.SECP384R1()))) == "certificate.malformed"
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  weak on purpose
    assert code_of(built(weak)) == "certificate.malformed"


def test_weak_hash() -> None:
    assert code_of(built(algorithm=hashes.SHA224())) == "certificate.malformed"
    assert parse(built(algorithm=hashes.SHA384())).code == SENDER


def test_critical_extension() -> None:
    unknown = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    assert code_of(built(extension=unknown)) == "certificate.malformed"
    assert parse(built(extension=unknown, critical=False)).code == SENDER


def test_two_codes() -> None:
    twice = ((NameOID.ORGANIZATION_IDENTIFIER, SENDER), (NameOID.ORGANIZATION_IDENTIFIER, "H38"))
    assert code_of(built(names=twice)) == "certificate.malformed"


def test_too_large() -> None:
    large = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), bytes(20_000))
    assert code_of(built(extension=large, critical=False)) == "certificate.malformed"


def test_a_seal_issues_nothing() -> None:
    """Though the name and the signature are right."""
    key = ec.generate_private_key(ec.SECP256R1())
    itself = parse(built(key))
    assert not is_issued_by(itself, itself)
    root = parse(WORLD.authority.root_certificate)
    assert is_issued_by(root, root)


class TestLists:
    """Those that the issuer signed, and that don't count all the same; each beside one that does."""

    def built(
        self,
        change: Callable[[x509.CertificateRevocationListBuilder], x509.CertificateRevocationListBuilder],
        by: Issued = WORLD.authority.issuing,
    ) -> Revocations:
        issuer = parse(by.certificate)
        builder = x509.CertificateRevocationListBuilder(issuer.parsed.subject, moment(NOW_MS), moment(NOW_MS + 1000))
        key = by.private_key
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        crl = change(builder).sign(key, hashes.SHA256())
        return parse_crl(crl.public_bytes(serialization.Encoding.DER), issuer)

    def test_by_one_who_may_not(self) -> None:
        assert self.built(lambda builder: builder).fresh_until_ms == NOW_MS + 1000
        with pytest.raises(Unavailable, match=r"crl\.invalid"):
            self.built(lambda builder: builder, WORLD.seal)

    def test_partial(self) -> None:
        point = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
        assert self.built(lambda builder: builder.add_extension(x509.CRLNumber(1), False)).revoked == {}
        with pytest.raises(Unavailable, match=r"crl\.invalid"):
            self.built(lambda builder: builder.add_extension(point, True))

    def test_indirect(self) -> None:
        entry = x509.RevokedCertificateBuilder().serial_number(7).revocation_date(moment(NOW_MS))
        other = x509.CertificateIssuer([x509.DNSName("other.example")])
        good, bad = (entry.add_extension(other, critical) for critical in (False, True))
        listed = self.built(lambda builder: builder.add_revoked_certificate(good.build()))
        assert listed.revoked == {7: (NOW_MS, None)}
        with pytest.raises(Unavailable, match=r"crl\.invalid"):
            self.built(lambda builder: builder.add_revoked_certificate(bad.build()))


@given(st.binary(max_size=200))
def test_junk(der: bytes) -> None:
    assert code_of(der) == "certificate.malformed"


@ODD_BUT_READABLE
@given(st.data())
def test_any_damage_is_a_certificate_or_rejected(data: st.DataObject) -> None:
    der = bytearray(WORLD.leader.certificate)
    for place in data.draw(st.lists(st.integers(0, len(der) - 1), min_size=1, max_size=3)):
        der[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Rejected):
        parse(bytes(der))


@ODD_BUT_READABLE
@given(st.integers(0, 1 << 16), st.integers(1, 255))
@example(12, 0xFF)
@example(31924, 13)
def test_a_damaged_list_says_nothing_else(place: int, change: int) -> None:
    """It is refused, or says the same: the signature's padding bits, say, are not part of what is signed."""
    issuer = parse(WORLD.authority.issuing_certificate)
    crl = next(iter(WORLD.view.lists.values())).crl
    before = parse_crl(crl, issuer)
    damaged = bytearray(crl)
    damaged[place % len(crl)] ^= change
    signed = x509.load_der_x509_crl(crl).tbs_certlist_bytes
    if signed not in damaged:
        with pytest.raises(Unavailable, match=r"crl\.invalid"):
            parse_crl(bytes(damaged), issuer)
        return
    with contextlib.suppress(Unavailable):
        after = parse_crl(bytes(damaged), issuer)
        assert (after.fresh_until_ms, after.revoked) == (before.fresh_until_ms, before.revoked)
