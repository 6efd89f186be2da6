"""The bodies of the gateway's answers, as OpenAPI describes them, each with an example.

Times are milliseconds since 1970 UTC by the broker's clock; bytes are base64 (RFC 4648 §4), digests lower-case hex.
"""

from __future__ import annotations

import base64
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from exchange.agencies import Agency
from exchange.backbone.attachments import Stored
from exchange.gateway.deliveries import Delivery
from exchange.ledger.promises import Found
from exchange.ledger.proving import Inclusion

DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_PLACE: dict[str, Any] = {"topic": "documents", "partition": 3, "offset": 4182, "append_ms": 1767225600123}


def _example(**fields: Any) -> ConfigDict:  # noqa: ANN401  JSON
    return ConfigDict(json_schema_extra={"examples": [fields]})


class ProblemAnswer(BaseModel):
    """Every error: RFC 9457, with a stable `code`."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:exchange:problem:sender.not_yours",
                    "title": "You may speak for your own agency only.",
                    "status": 403,
                    "code": "sender.not_yours",
                    "errors": [{"index": 0, "code": "sender.not_yours"}],
                }
            ]
        },
    )

    type: str
    title: str
    status: int
    code: str = Field(description="Stable, dotted, lower case; part of the interface")
    errors: list[dict[str, Any]] | None = Field(None, description="Which records of the request, and why")


class TokenAnswer(BaseModel):
    """An access token (RFC 6749 §5.1)."""

    model_config = _example(access_token="AAABm3…", token_type="Bearer", expires_in=600, agency="H26")  # noqa: S106  # nosec B106

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  the word of RFC 6750
    expires_in: int = Field(description="Seconds")
    agency: str


class ReceiptAnswer(BaseModel):
    """The broker's receipt: where the submission lies, and since when."""

    model_config = _example(id="2f1c…", **_PLACE)

    id: str
    topic: str
    partition: int
    offset: int
    append_ms: int


class ReceiptsAnswer(BaseModel):
    """One receipt for each record, in the order of the request."""

    model_config = _example(receipts=[{"id": "2f1c…", **_PLACE}])

    receipts: list[ReceiptAnswer]


class DraftAnswer(BaseModel):
    """A statement that waits for its signature."""

    model_config = _example(id="2f1c…", kind="document", statement="wwEk…", sha256=DIGEST)

    id: str
    kind: Literal["document", "status"]
    statement: str = Field(description="The bytes to sign, base64")
    sha256: str = Field(description="Of those bytes")


class StorageReceiptAnswer(BaseModel):
    """The store's word that it holds the bytes; goes into the record of the statement that attaches them."""

    model_config = _example(sha256=DIGEST, size=4, stored_ms=1767225600000, mac="x0T…=")

    sha256: str
    size: int
    stored_ms: int
    mac: str = Field(description="base64, 32 bytes")

    @classmethod
    def of(cls, stored: Stored) -> StorageReceiptAnswer:
        """The receipt as JSON."""
        mac = base64.b64encode(stored.mac).decode("ascii")
        return cls(sha256=stored.sha256.hex(), size=stored.size, stored_ms=stored.stored_ms, mac=mac)


class UploadAnswer(BaseModel):
    """How much of an upload is here."""

    model_config = _example(offset=8388608)

    offset: int = Field(description="Bytes; go on from here")


class DeliveryAnswer(BaseModel):
    """One delivery. `record`: the submission's bytes, unchanged: verify them yourself."""

    model_config = _example(
        kind="document", record="wwEk…", **_PLACE, inbox_ms=1767225600145, directory_offset=57, cursor="AQIAAw…",
        fields=None,
    )  # fmt: skip

    kind: str
    record: str
    topic: str
    partition: int
    offset: int
    append_ms: int = Field(description="When it was submitted: what its certificates are judged by")
    inbox_ms: int = Field(description="When it became part of the inbox")
    directory_offset: int
    cursor: str = Field(description="Where to go on once this one is dealt with")
    fields: dict[str, Any] | None = Field(
        None,
        description="What it says, where that was asked for: as in `schemas/`, digests in hex, other bytes in base64",
    )

    @classmethod
    def of(cls, kind: str, delivery: Delivery, cursor: str, fields: dict[str, Any] | None = None) -> DeliveryAnswer:
        """The delivery as JSON."""
        return cls(
            kind=kind,
            record=base64.b64encode(delivery.record).decode("ascii"),
            topic=delivery.topic,
            partition=delivery.partition,
            offset=delivery.source_offset,
            append_ms=delivery.append_ms,
            inbox_ms=delivery.inbox_ms,
            directory_offset=delivery.directory_offset,
            cursor=cursor,
            fields=fields,
        )


class InboxAnswer(BaseModel):
    """A page of the caller's inbox. `cursor`: after the page, also if it is empty."""

    model_config = _example(deliveries=[], cursor="AQIAAw…", more=False)

    deliveries: list[DeliveryAnswer]
    cursor: str
    more: bool = Field(description="There is more already: ask again without waiting")


class AgencyAnswer(BaseModel):
    """An agency as the directory states it, and how it stands today."""

    model_config = _example(
        code="H26", name="Thành phố Hà Nội", level=2, form="province", parent="G00", other_codes=["000.00.00.H26"],
        standing="open", successor=None, valid_from="2019-03-12", valid_to=None, version=1, successors=[],
    )  # fmt: skip

    code: str
    version: int
    name: str
    level: int = Field(description="1 central, 2 province, 3 district, 4 commune")
    form: str
    parent: str | None
    other_codes: list[str]
    valid_from: str
    valid_to: str | None
    successors: list[str]
    standing: Literal["open", "redirected", "closed"]
    successor: str | None = Field(description="Where documents to a redirected one go")

    @classmethod
    def of(cls, agency: Agency, standing: str, successor: str | None) -> AgencyAnswer:
        """The entry as JSON."""
        return cls.model_validate(
            {
                "code": agency.code,
                "version": agency.version,
                "name": agency.name,
                "level": int(agency.level),
                "form": agency.form,
                "parent": agency.parent,
                "other_codes": list(agency.other_codes),
                "valid_from": agency.valid_from.isoformat(),
                "valid_to": None if agency.valid_to is None else agency.valid_to.isoformat(),
                "successors": list(agency.successors),
                "standing": standing,
                "successor": successor,
            }
        )


class AgenciesAnswer(BaseModel):
    """What a search found, codes first."""

    model_config = _example(agencies=[])

    agencies: list[AgencyAnswer]


class CertificateAnswer(BaseModel):
    """A certificate as the directory lists it."""

    model_config = _example(certificate="MIIB…", version=1, role="seal", agency="H26", leader=None)

    certificate: str = Field(description="DER, base64")
    version: int
    role: Literal["authority", "seal", "connector", "delegate", "leader", "backbone", "encryption"]
    agency: str
    leader: str | None


class EncryptionAnswer(BaseModel):
    """What to encrypt to, so that who gets the documents to a code can read them. `agency`: who that is today."""

    model_config = _example(agency="H26", certificates=[])

    agency: str
    certificates: list[CertificateAnswer] = Field(description="Listed ones; verify each, and leave out what isn't good")


class LeaderAnswer(BaseModel):
    """A person who may sign for an agency between two dates."""

    model_config = _example(
        id="H26-L1", version=1, agency="H26", name="Nguyễn Văn A", position="Chủ tịch", valid_from="2021-01-01",
        valid_to=None,
    )  # fmt: skip

    id: str
    version: int
    agency: str
    name: str
    position: str
    valid_from: str
    valid_to: str | None


class RevocationListAnswer(BaseModel):
    """The newest revocation list of an issuing authority. `issuer`: SHA-256 of its certificate."""

    model_config = _example(issuer=DIGEST, version=1, crl="MIIB…")

    issuer: str
    version: int
    crl: str = Field(description="DER, base64")


class WordAnswer(BaseModel):
    """What the backbone says, signed in a batch. `record`: ``schemas/record`` with a promise or a lapse."""

    model_config = _example(kind="promise", record="wwEk…")

    kind: Literal["promise", "lapse"]
    record: str = Field(description="base64; verify it by the backbone's certificate")

    @classmethod
    def of(cls, found: Found) -> WordAnswer:
        """The word as JSON."""
        return cls.model_validate({"kind": found.kind, "record": base64.b64encode(found.record).decode("ascii")})


class LapsesAnswer(BaseModel):
    """One for each recipient that had not answered."""

    model_config = _example(lapses=[])

    lapses: list[WordAnswer]


class InclusionAnswer(BaseModel):
    """An event in the ledger: its leaf, the salt, and the path under a checkpoint (RFC 9162 §2.1.3)."""

    model_config = _example(leaf="wwEk…", salt="AA==", index=1, size=3, path=["Aippe…="], checkpoint="exchange/…")

    leaf: str = Field(description="``schemas/ledger_leaf``, base64")
    salt: str = Field(description="The log's entry is SHA-256(salt ‖ leaf); base64")
    index: int
    size: int
    path: list[str] = Field(description="base64, from the leaf's sibling up")
    checkpoint: str

    @classmethod
    def of(cls, found: Inclusion) -> InclusionAnswer:
        """The proof as JSON."""
        leaf, salt, *path = (base64.b64encode(one).decode("ascii") for one in (found.leaf, found.salt, *found.path))
        checkpoint = found.checkpoint.decode()
        return cls(leaf=leaf, salt=salt, index=found.index, size=found.size, path=path, checkpoint=checkpoint)


class ConsistencyAnswer(BaseModel):
    """That a tree begins with an earlier one (RFC 9162 §2.1.4)."""

    model_config = _example(before=1000, after=3000, proof=["Aippe…="])

    before: int
    after: int
    proof: list[str] = Field(description="base64")


class TrustAnswer(BaseModel):
    """What a recipient needs to verify by itself. Pin the roots by another way than this answer."""

    model_config = _example(directory_offset=57, roots=["MIIB…"], authorities=[], revocation_lists=[], backbone=[],
        ledger="exchange/x+3e484f4c+AQOh…",
    )  # fmt: skip

    directory_offset: int
    roots: list[str] = Field(description="DER, base64")
    authorities: list[CertificateAnswer]
    revocation_lists: list[RevocationListAnswer]
    backbone: list[CertificateAnswer] = Field(description="What notices, promises and lapses are signed with")
    ledger: str | None = Field(description="The ledger's key (C2SP verifier key); pin it by another way too")
