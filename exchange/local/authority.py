"""The demo certificate authority: root, issuing authority, agencies' keys, as files that ``openssl`` reads.

Guarantees: private keys are readable by their owner only (0600) and never leave the folder; whatever it issues
chains to its root. For demos and tests: its keys are not encrypted and nobody checks who asks. One process at a
time writes to a folder.

    root.crt.pem issuing.crt.pem backbone.crt.pem registrar.crt.pem   each with its .key.pem
    tsa.crt.pem tsa.key.pem                                           of the demo's time-stamps, once they are wanted
    storage.key                                                       of the object store's receipts, 32 bytes
    revoked.json                                                      what the list holds
    agencies/<code>/seal.key.pem, seal.crt.pem                        and <leader>.key.pem, <leader>.crt.pem
    agencies/<code>/delegations/<agency>.key.pem, .crt.pem            to sign for another agency
    agencies/<code>/encryption/<sha256>.key.pem, .crt.pem             what others encrypt to; old ones stay
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from exchange.agencies import BACKBONE_CODE, REGISTRAR_CODE, parse_code
from exchange.errors import Misconfigured
from exchange.local.home import write_private
from exchange.local.issuing import Issued, Issuer, KeyKind, Revoked, Usage, build, build_crl, new_key, subject
from exchange.signatures import PrivateKey, PublicKey, SigningKey
from exchange.signatures.certificates import CONNECTOR_UNIT, DELEGATE_UNIT

DAY_MS = 86_400_000
ROOT_DAYS, ISSUING_DAYS, AGENCY_DAYS, TSA_DAYS = 7300, 3650, 1825, 3650
BACKDATED_MS = DAY_MS
"""Certificates begin a day before they are made, for a broker whose clock is behind."""

CRL_DAYS = 30
STORAGE_KEY_BYTES = 32

ENCRYPTION_FOLDER = "encryption"
_ROOT, _ISSUING, _BACKBONE, _REGISTRAR, _SEAL, _TSA = "root", "issuing", "backbone", "registrar", "seal", "tsa"
_OWN = (_SEAL, CONNECTOR_UNIT)
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Authority:
    """An open authority. `root`, `issuing`: the chain; `backbone`, `registrar`: the exchange's own voices.

    `storage_key`: of the object store's receipts.
    """

    folder: Path
    root: Issued
    issuing: Issued
    backbone: Issued
    registrar: Issued
    storage_key: bytes

    @classmethod
    def exists(cls, folder: Path) -> bool:
        """Tell whether an authority was made in this folder."""
        return (folder / f"{_ROOT}.crt.pem").is_file()

    @classmethod
    def create(cls, folder: Path, key: KeyKind = "p256", now_ms: int | None = None) -> Authority:
        """Make an authority and write it. `key`: of root and issuing authority.

        Raises: Misconfigured if the folder holds one already.
        """
        if cls.exists(folder):
            raise Misconfigured([f"{folder} has an authority already"])
        made = cls.generate(folder, key, now_ms)
        made._write()
        return made

    @classmethod
    def generate(cls, folder: Path, key: KeyKind = "p256", now_ms: int | None = None) -> Authority:
        """Make an authority without writing anything, which is enough for most tests."""
        first = (int(time.time() * 1000) if now_ms is None else now_ms) - BACKDATED_MS
        last = first + ISSUING_DAYS * DAY_MS
        by_root = Issuer(subject("Exchange Demo Root"), new_key(key))
        by_issuing = Issuer(subject("Exchange Demo Issuing"), new_key(key))

        def certify(issuer: Issuer, one: Issuer, until_ms: int, path_length: int) -> Issued:
            public_key = one.private_key.public_key()
            certificate = build(issuer, one.name, public_key, (first, until_ms), "certify", path_length)
            return Issued(certificate, one.private_key, REGISTRAR_CODE, None)

        def voice(code: str, name: str) -> Issued:
            private_key = new_key("ed25519")
            certificate = build(by_issuing, subject(name, code), private_key.public_key(), (first, last))
            return Issued(certificate, private_key, code, None)

        return cls(
            folder,
            root=certify(by_root, by_root, first + ROOT_DAYS * DAY_MS, 1),
            issuing=certify(by_root, by_issuing, last, 0),
            backbone=voice(BACKBONE_CODE, "Exchange"),
            registrar=voice(REGISTRAR_CODE, "Registrar"),
            storage_key=secrets.token_bytes(STORAGE_KEY_BYTES),
        )

    @classmethod
    def open(cls, folder: Path) -> Authority:
        """Read an authority; Misconfigured if the folder has none, or files are missing or damaged."""
        try:
            return cls(
                folder,
                root=_read(folder / _ROOT, REGISTRAR_CODE, None),
                issuing=_read(folder / _ISSUING, REGISTRAR_CODE, None),
                backbone=_read(folder / _BACKBONE, BACKBONE_CODE, None),
                registrar=_read(folder / _REGISTRAR, REGISTRAR_CODE, None),
                storage_key=bytes.fromhex((folder / "storage.key").read_text("ascii")),
            )
        except (OSError, ValueError) as exc:
            raise Misconfigured([f"no usable authority in {folder}: {exc}"]) from exc

    @property
    def root_certificate(self) -> bytes:
        """DER of the trusted root, for `Trust`."""
        return self.root.certificate

    @property
    def issuing_certificate(self) -> bytes:
        """DER of the issuing authority, which the directory lists as ``authority``."""
        return self.issuing.certificate

    @property
    def registrar_key(self) -> SigningKey:
        """Signs directory statements."""
        return self.registrar.signing_key

    @property
    def registrar_public_key(self) -> PublicKey:
        """The key that readers of the directory pin."""
        return self.registrar.private_key.public_key()

    def issue(
        self,
        agency: str,
        name: str,
        leader: str | None = None,
        key: KeyKind = "p256",
        *,
        not_before_ms: int | None = None,
        not_after_ms: int | None = None,
        usage: Usage = "sign",
        connector: bool = False,
        delegate: str | None = None,
    ) -> Issued:
        """Issue the certificate of a seal, a leader, an agency's connector or its delegate; nothing is written.

        Another `usage` makes a hostile one.
        """
        now_ms = int(time.time() * 1000)
        first = now_ms - BACKDATED_MS if not_before_ms is None else not_before_ms
        last = now_ms + AGENCY_DAYS * DAY_MS if not_after_ms is None else not_after_ms
        private_key = new_key(key)
        unit = CONNECTOR_UNIT if connector else None if delegate is None else f"{DELEGATE_UNIT}{delegate}"
        named = subject(name, agency, leader, unit)
        certificate = build(self._issuer, named, private_key.public_key(), (first, last), usage)
        return Issued(certificate, private_key, agency, leader, connector, delegate)

    def certify_stamps(self, not_before_ms: int, not_after_ms: int) -> Issued:
        """A new key for time-stamps, certified by the root; nothing is written."""
        by = Issuer(x509.load_der_x509_certificate(self.root.certificate).subject, self.root.private_key)
        private_key = new_key("p256")
        named, validity = subject("Exchange Demo Time-Stamps"), (not_before_ms, not_after_ms)
        return Issued(build(by, named, private_key.public_key(), validity, "stamp"), private_key, REGISTRAR_CODE, None)

    def stamps(self) -> Issued:
        """The key of the demo's time-stamps, made when it is first asked for."""
        if not (self.folder / f"{_TSA}.crt.pem").is_file():
            first = int(time.time() * 1000) - BACKDATED_MS
            _write_pair(self.folder / _TSA, self.certify_stamps(first, first + TSA_DAYS * DAY_MS))
        return _read(self.folder / _TSA, REGISTRAR_CODE, None)

    def save(self, *issued: Issued) -> None:
        """Write agencies' keys and certificates into their folders; a later one replaces an earlier one."""
        for one in issued:
            folder = self._agency_folder(one.agency)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_pair(folder / _file_name(one), one)

    def issued(self, agency: str) -> list[Issued]:
        """What was saved for an agency: its seal first, then its leaders by id."""
        folder = self._agency_folder(agency)
        names = sorted(path.name.removesuffix(".crt.pem") for path in folder.glob("*.crt.pem"))
        names.sort(key=lambda name: name != _SEAL)
        return [_read(folder / name, parse_code(agency), None if name in _OWN else name) for name in names]

    def save_delegation(self, one: Issued) -> Path:
        """Write a delegate's key into its folder, in place of an earlier one; returns the certificate's file."""
        if one.delegate is None:
            raise Misconfigured([f"{one.agency} isn't spoken for by anybody in this certificate"])
        folder = self._agency_folder(one.delegate) / "delegations"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_pair(folder / one.agency, one)
        return folder / f"{one.agency}.crt.pem"

    def delegation(self, agency: str, holder: str) -> Issued:
        """The key by which `holder` signs for an agency; Misconfigured if there is none."""
        stem = self._agency_folder(holder) / "delegations" / parse_code(agency)
        if not Path(f"{stem}.crt.pem").is_file():
            raise Misconfigured([f"{holder} doesn't sign for {agency}"])
        return replace(_read(stem, parse_code(agency), None), delegate=parse_code(holder))

    def save_encryption(self, one: Issued) -> Path:
        """Write an agency's key for decrypting beside those that it has; returns the certificate's file."""
        folder = self._agency_folder(one.agency) / ENCRYPTION_FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        stem = folder / one.fingerprint.hex()[:16]
        _write_pair(stem, one)
        return Path(f"{stem}.crt.pem")

    def encryption(self, agency: str) -> list[Issued]:
        """An agency's keys for decrypting, oldest first."""
        folder = self._agency_folder(agency) / ENCRYPTION_FOLDER
        stems = [path.with_name(path.name.removesuffix(".crt.pem")) for path in folder.glob("*.crt.pem")]
        found = [_read(stem, parse_code(agency), None) for stem in stems]
        return sorted(found, key=lambda one: x509.load_der_x509_certificate(one.certificate).not_valid_before_utc)

    def revoke(
        self, certificate: bytes, at_ms: int, invalidity_ms: int | None = None, reason: str = "unspecified"
    ) -> None:
        """Put a certificate (DER) onto the list. `reason`: RFC 5280's word, such as ``keyCompromise``.

        `invalidity_ms`: since when its key may have been another's. The next `crl` says so.
        """
        serial = x509.load_der_x509_certificate(certificate).serial_number
        entries = [entry for entry in self.revoked() if entry.serial != serial]
        entries.append(Revoked(serial, at_ms, invalidity_ms, reason))
        write_private(self.folder / "revoked.json", json.dumps([entry._asdict() for entry in entries], indent=1))

    def revoked(self) -> Sequence[Revoked]:
        """What was taken back so far."""
        path = self.folder / "revoked.json"
        if not path.is_file():
            return []
        return [Revoked(**entry) for entry in json.loads(path.read_text("utf-8"))]

    def crl(self, now_ms: int, days: int = CRL_DAYS) -> bytes:
        """The issuing authority's list (DER) as of now; the next one is due in `days`."""
        return build_crl(self._issuer, self.revoked(), now_ms, now_ms + days * DAY_MS)

    @property
    def _issuer(self) -> Issuer:
        name = x509.load_der_x509_certificate(self.issuing.certificate).subject
        return Issuer(name, self.issuing.private_key)

    def _agency_folder(self, agency: str) -> Path:
        return self.folder / "agencies" / parse_code(agency)

    def _write(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.folder / "storage.key", self.storage_key.hex())
        for name, one in ((_ISSUING, self.issuing), (_BACKBONE, self.backbone), (_REGISTRAR, self.registrar)):
            _write_pair(self.folder / name, one)
        _write_pair(self.folder / _ROOT, self.root)  # last: `exists` looks for it


def _file_name(one: Issued) -> str:
    """The name of its files; a leader's id may not lead out of the folder, nor be taken for the agency's own."""
    leader = one.leader
    if leader is None:
        return CONNECTOR_UNIT if one.is_connector else _SEAL
    if leader in _OWN or not _FILE_NAME.fullmatch(leader):
        raise Misconfigured([f"a leader's id that is no file name: {leader[:80]!r}"])
    return leader


def _write_pair(stem: Path, one: Issued) -> None:
    key = one.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate = x509.load_der_x509_certificate(one.certificate).public_bytes(serialization.Encoding.PEM)
    for path, content, mode in ((f"{stem}.key.pem", key, 0o600), (f"{stem}.crt.pem", certificate, 0o644)):
        Path(path).unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)


def _read(stem: Path, agency: str, leader: str | None) -> Issued:
    certificate = x509.load_pem_x509_certificate(Path(f"{stem}.crt.pem").read_bytes())
    key = serialization.load_pem_private_key(Path(f"{stem}.key.pem").read_bytes(), password=None)
    return Issued(
        certificate.public_bytes(serialization.Encoding.DER),
        cast(PrivateKey, key),
        agency,
        leader,
        stem.name == CONNECTOR_UNIT,
    )
