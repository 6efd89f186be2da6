"""Founding a world: the demo authority's keys and the directory of 2022, each made once.

Safe to repeat: what is there stays; a certificate revocation list near its end is issued anew.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import date
from hashlib import sha256
from typing import Literal

from exchange.agencies import BACKBONE_CODE, REGISTRAR_CODE
from exchange.agencies.entries import CertificateEntry, Entry, RevocationList
from exchange.backbone import directory_log
from exchange.backbone.clients import Config
from exchange.backbone.directory_log import DirectoryLog
from exchange.local import nation
from exchange.local.authority import Authority
from exchange.local.home import Home
from exchange.local.issuing import Issued
from exchange.local.progress import Report, silent

VALID_FROM = date(2019, 3, 12)
"""The day the national document axis opened."""


def now_ms() -> int:
    """This machine's clock; versions of directory entries and claimed signing times come from it."""
    return int(time.time() * 1000)


def found(home: Home, base: Config, report: Report = silent) -> Authority:
    """Make what is missing: authority, directory, a fresh revocation list."""
    home.create()
    report("Making the authority's keys")
    authority = Authority.open(home.keys) if Authority.exists(home.keys) else Authority.create(home.keys)
    log = DirectoryLog(base, authority.registrar_public_key)
    try:
        view = log.directory.latest()
        if view.agency(BACKBONE_CODE) is None:
            report("Publishing the directory of 2022")
            agencies = nation.agencies(VALID_FROM)
            entries: list[Entry] = [*agencies, *nation.groups(agencies), *nation.leaders(agencies)]
            publish(base, authority, entries + authority_entries(authority))
        else:
            publish(base, authority, [revocations(authority)])
    finally:
        log.close()
    return authority


def authority_entries(authority: Authority) -> list[Entry]:
    """The issuing certificate, its revocation list, and the backbone's own certificate."""
    version = now_ms()
    return [
        CertificateEntry(authority.issuing_certificate, version, "authority", REGISTRAR_CODE, None),
        revocations(authority),
        CertificateEntry(authority.backbone.certificate, version, "backbone", BACKBONE_CODE, None),
    ]


def revocations(authority: Authority) -> RevocationList:
    """A revocation list issued now."""
    version = now_ms()
    return RevocationList(sha256(authority.issuing_certificate).hexdigest(), version, authority.crl(version))


def listed(issued: Iterable[Issued]) -> list[Entry]:
    """The directory entries of newly issued certificates."""
    version = now_ms()
    return [CertificateEntry(one.certificate, version, _role_of(one), one.agency, one.leader) for one in issued]


def listed_encryption(issued: Iterable[Issued]) -> list[Entry]:
    """The directory entries of certificates that others encrypt to."""
    version = now_ms()
    return [CertificateEntry(one.certificate, version, "encryption", one.agency, None) for one in issued]


def _role_of(one: Issued) -> Literal["seal", "connector", "delegate", "leader"]:
    if one.delegate is not None:
        return "delegate"
    return "leader" if one.leader else "connector" if one.is_connector else "seal"


def publish(base: Config, authority: Authority, entries: list[Entry]) -> None:
    """Sign entries as the registrar and append them to the directory."""
    directory_log.append(base, REGISTRAR_CODE, authority.registrar_key, entries, now_ms())
