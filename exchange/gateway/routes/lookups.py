"""What one may ask: a document's trace, agencies, certificates, and what is needed to verify by oneself."""

from __future__ import annotations

import asyncio
import base64
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from exchange.agencies import CertificateEntry
from exchange.gateway.answers import (
    DIGEST,
    AgenciesAnswer,
    AgencyAnswer,
    CertificateAnswer,
    EncryptionAnswer,
    LeaderAnswer,
    RevocationListAnswer,
    TrustAnswer,
)
from exchange.gateway.directory import standing
from exchange.gateway.problems import Refused
from exchange.gateway.routes.access import CountedCaller, GatewayHere, problems
from exchange.gateway.state import Gateway
from exchange.gateway.traces import look_up
from exchange.signatures.certificates import parse

router = APIRouter(tags=["directory"])

Code = Annotated[str, Path(max_length=64, description="In any spelling", examples=["H26", "000.00.00.H26"])]


@router.get("/v1/trace/{id}", responses=problems(404, 409), tags=["trace"], summary="Follow a document")
async def trace(
    caller: CountedCaller,
    gateway: GatewayHere,
    statement_id: Annotated[str, Path(alias="id", max_length=64, examples=["2f1c9c1e-5d7e-4c36-8e0c-1f0f5b8f0a11"])],
    sender: Annotated[str | None, Query(max_length=64, description="If several used the id")] = None,
) -> dict[str, Any]:
    """Tell where a document is: its sender sees all recipients, a recipient its own copy only.

    The trace follows the exchange with a short delay.
    """
    if "\x00" in statement_id or (sender and "\x00" in sender):
        raise Refused("request.invalid", "a zero character")
    async with gateway.lookups:
        view = gateway.directory.view
        return await asyncio.to_thread(look_up, gateway.traces, view, caller.code, statement_id, sender)


@router.get("/v1/agencies", response_model=AgenciesAnswer, responses=problems(), summary="Search the directory")
async def search(
    _: CountedCaller,
    gateway: GatewayHere,
    find: Annotated[
        str | None,
        Query(min_length=1, max_length=100, description="A code's beginning, or words of a name", examples=["ha noi"]),
    ] = None,
    after: Annotated[str, Query(max_length=64, description="Without `find`: those after this code")] = "",
) -> AgenciesAnswer:
    """Find agencies by code or name, with or without diacritics, at most fifty; or list all, page by page, by code."""
    if find is None:
        found = await asyncio.to_thread(gateway.directory.after, after, gateway.limits.page)
    else:
        found = gateway.directory.find(find, gateway.limits.found)
    view, now_ms = gateway.directory.view, gateway.clock()
    return AgenciesAnswer(agencies=[AgencyAnswer.of(one, *standing(view, one, now_ms)) for one in found])


@router.get("/v1/agencies/{code}", response_model=AgencyAnswer, responses=problems(404), summary="One agency")
async def agency(_: CountedCaller, gateway: GatewayHere, code: Code) -> AgencyAnswer:
    """Tell who has a code, and whether documents to it arrive."""
    found = gateway.directory.agency(code)
    return AgencyAnswer.of(found, *standing(gateway.directory.view, found, gateway.clock()))


@router.get(
    "/v1/agencies/{code}/encryption",
    response_model=EncryptionAnswer,
    responses=problems(404),
    summary="What to encrypt to",
)
async def encryption(_: CountedCaller, gateway: GatewayHere, code: Code) -> EncryptionAnswer:
    """Give the certificates that a document to this code is encrypted to; the successor's of an agency that merged."""
    found, view = gateway.directory.agency(code), gateway.directory.view
    _standing, successor = standing(view, found, gateway.clock())
    reader = successor or found.code
    listed = [_certificate(one) for one in view.encryption_certificates(reader)]
    return EncryptionAnswer(agency=reader, certificates=listed)


@router.get(
    "/v1/certificates/{sha256}", response_model=CertificateAnswer, responses=problems(404), summary="One certificate"
)
async def certificate(
    _: CountedCaller,
    gateway: GatewayHere,
    digest: Annotated[str, Path(alias="sha256", pattern="^[0-9a-f]{64}$", examples=[DIGEST])],
) -> CertificateAnswer:
    """Give a listed certificate, named by the SHA-256 of its DER as records name it."""
    found = gateway.directory.view.certificate(bytes.fromhex(digest))
    if found is None:
        raise Refused("certificate.not_listed", digest)
    return _certificate(found)


@router.get("/v1/leaders/{id}", response_model=LeaderAnswer, responses=problems(404), summary="One leader")
async def leader(
    _: CountedCaller,
    gateway: GatewayHere,
    leader_id: Annotated[str, Path(alias="id", max_length=80, examples=["H26-L1"])],
) -> LeaderAnswer:
    """Tell for which agency a person may sign, and since when."""
    found = gateway.directory.view.leader(leader_id)
    if found is None:
        raise Refused("leader.unknown", leader_id)
    until = None if found.valid_to is None else found.valid_to.isoformat()
    return LeaderAnswer(
        id=found.id, version=found.version, agency=found.agency, name=found.name, position=found.position,
        valid_from=found.valid_from.isoformat(), valid_to=until,
    )  # fmt: skip


@router.get("/v1/trust", response_model=TrustAnswer, responses=problems(), summary="What verification needs")
async def trust(_: CountedCaller, gateway: GatewayHere) -> TrustAnswer:
    """Give the authorities and their newest revocation lists, so that a recipient verifies by itself."""
    view = gateway.directory.view
    authorities = list(view.authorities())
    fingerprints = [parse(one).fingerprint.hex() for one in _issuers(gateway, authorities)]
    lists = [found for one in fingerprints if (found := view.revocation_list(one)) is not None]
    backbone = view.certificate(parse(gateway.deployment.backbone).fingerprint)
    ledger = gateway.ledger
    return TrustAnswer(
        directory_offset=view.offset,
        ledger=None if ledger is None else str(ledger.key),
        roots=[_text(root) for root in gateway.deployment.roots],
        authorities=[_certificate(one) for one in authorities],
        revocation_lists=[RevocationListAnswer(issuer=x.issuer, version=x.version, crl=_text(x.crl)) for x in lists],
        backbone=[] if backbone is None else [_certificate(backbone)],
    )


def _issuers(gateway: Gateway, authorities: list[CertificateEntry]) -> list[bytes]:
    return [*gateway.deployment.roots, *(one.certificate for one in authorities)]


def _certificate(entry: CertificateEntry) -> CertificateAnswer:
    return CertificateAnswer(
        certificate=_text(entry.certificate), version=entry.version, role=entry.role, agency=entry.agency,
        leader=entry.leader,
    )  # fmt: skip


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
