"""Giving a unit its demo seal and listing it in the directory, once."""

from __future__ import annotations

import time

from exchange.agencies.entries import Agency, Leader
from exchange.backbone.clients import Config
from exchange.backbone.directory_log import DirectoryLog
from exchange.errors import Rejected, Unavailable
from exchange.local.authority import Authority
from exchange.local.founding import listed, now_ms, publish
from exchange.local.issuing import Issued
from exchange.signatures import SigningKey, Trust

LISTED_TIMEOUT_S = 15.0


def enrol(authority: Authority, base: Config, log: DirectoryLog, code: str) -> SigningKey:
    """The unit's signing key; issued and listed now if it has none.

    Raises: Rejected ``sender.unknown``, ``certificate.*`` (revoked, expired: make a new one); Unavailable if the
        directory doesn't show it in time.
    """
    view = log.directory.latest()
    agency = view.agency(code)
    if agency is None:
        raise Rejected("sender.unknown", code)
    seal = seal_of(authority, agency)
    if view.certificate(seal.fingerprint) is None:
        publish(base, authority, listed([seal]))
        deadline = time.monotonic() + LISTED_TIMEOUT_S
        while log.directory.latest().certificate(seal.fingerprint) is None:
            log.poll(0.05)
            if time.monotonic() > deadline:
                raise Unavailable("directory.unreachable", f"the certificate of {code} isn't listed yet")
    trust = Trust(log.directory.latest(), [authority.root_certificate])
    trust.signer(seal.fingerprint, now_ms())
    return seal.signing_key


def seal_of(authority: Authority, agency: Agency) -> Issued:
    """The unit's seal; issued and saved if it has none."""
    for issued in authority.issued(agency.code):
        if issued.leader is None and not issued.is_connector:
            return issued
    seal = authority.issue(agency.code, agency.name)
    authority.save(seal)
    return seal


def leader_of(authority: Authority, leader: Leader) -> Issued:
    """The leader's certificate; issued and saved if there is none."""
    for issued in authority.issued(leader.agency):
        if issued.leader == leader.id:
            return issued
    signed = authority.issue(leader.agency, leader.name, leader.id)
    authority.save(signed)
    return signed
