"""What the registrar can say about the state: agencies, leaders, certificates, revocations, groups; which
submissions operators set aside or erased, which senders they suspended, and who they are.

One class an entry type; the fields are those of ``schemas/directory``, in its order. Each entry
has an identity (`key`) and a `version`; a later entry replaces an earlier one of the same key only with a
higher version, so an old signed entry replayed can't roll a newer one back.
Dates are ``datetime.date``, both ends inclusive; `None` is "open".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple

from exchange.agencies.levels import Level


@dataclass(frozen=True, slots=True)
class Agency:
    """A unit of the state (đơn vị) that may send or receive.

    `code`: new form (QĐ 20/2020), the identity. `other_codes`: further spellings that resolve to it,
    normally its old form (QCVN 102). `form`: what it is (``ministry``, ``department``, ``province`` …).
    `parent`: code of the agency above it, None for the top. `successors`: who took over when it closed:
    one means documents to it are redirected there; none (or several) means closed, undeliverable.
    """

    code: str
    version: int
    name: str
    level: Level
    form: str
    parent: str | None
    other_codes: tuple[str, ...]
    valid_from: date
    valid_to: date | None
    successors: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"agency:{self.code}"


@dataclass(frozen=True, slots=True)
class Leader:
    """A person who may sign for an agency between two dates. `id` is unique in the country."""

    id: str
    version: int
    agency: str
    name: str
    position: str
    valid_from: date
    valid_to: date | None

    @property
    def key(self) -> str:
        return f"leader:{self.id}"


@dataclass(frozen=True, slots=True)
class CertificateEntry:
    """A certificate (DER) and whose it is.

    `role`: ``authority`` is an issuing CA, ``seal`` an agency's own, ``connector`` that of an agency's connector, which
    seals by itself what another system says, ``delegate`` another agency's that signs for this one, ``leader`` a
    person's (then `leader` is the Leader's id), ``backbone`` the exchange's own voice, ``encryption`` what others
    encrypt to for an agency, which signs nothing.
    """

    certificate: bytes
    version: int
    role: Literal["authority", "seal", "connector", "delegate", "leader", "backbone", "encryption"]
    agency: str
    leader: str | None

    @property
    def key(self) -> str:
        return f"certificate:{hashlib.sha256(self.certificate).hexdigest()}"


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A CRL (DER, RFC 5280) of one issuing authority; `issuer` is the SHA-256 hex of its certificate."""

    issuer: str
    version: int
    crl: bytes

    @property
    def key(self) -> str:
        return f"crl:{self.issuer}"


@dataclass(frozen=True, slots=True)
class Group:
    """A named set of recipients, expanded from the directory at the offset a batch pinned.

    `code` begins with ``@`` (``@provinces``, ``@communes-of-H37.02``). Members are the agencies open at
    that time that match every given criterion: `level`, `form`, below `under` in the tree (`under` itself
    excluded); plus the explicit `members`. Without criteria only the explicit ones.
    `senders`: codes of the agencies that may address it.
    """

    code: str
    version: int
    name: str
    level: Level | None
    form: str | None
    under: str | None
    members: tuple[str, ...]
    senders: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"group:{self.code}"


@dataclass(frozen=True, slots=True)
class SettingAside:
    """The operator's decision that the hop step past one submission, for it trips a bug of ours.

    `sha256`: of the record's value; other bytes at these coordinates aren't set aside. `kind`, `sender`, `id`,
    `thread`: what the record claims to be, as far as the operator could read it; nobody verified that.
    `reason`: why; `by`: who decided.
    """

    topic: str
    partition: int
    offset: int
    version: int
    sha256: bytes
    kind: str
    sender: str
    id: str
    thread: str
    reason: str
    by: str

    @property
    def key(self) -> str:
        return f"set-aside:{self.topic}/{self.partition}/{self.offset}"


class Erased(NamedTuple):
    """One submission whose content an erasure destroys. `sha256`: of its statement (of the record's value if none could
    be read); `trace_offset`, `trace_index`: of its event, in the same partition."""

    sha256: bytes
    topic: str
    partition: int
    offset: int
    trace_offset: int
    trace_index: int


@dataclass(frozen=True, slots=True)
class Erasure:
    """Two operators' decision to destroy what was said in one document and about it.

    `thread`, `sender`, `id`: the document's, only claimed if it was never accepted. `part`: counts from 0, for a
    document with more statements than one decision holds. `reason`: why; `by`, `seconded_by`: who decided.
    """

    thread: str
    sender: str
    id: str
    part: int
    version: int
    statements: tuple[Erased, ...]
    reason: str
    by: str
    seconded_by: str

    @property
    def key(self) -> str:
        return f"erasure:{self.thread}/{self.sender}/{self.id}/{self.part}"


@dataclass(frozen=True, slots=True)
class Suspension:
    """Two operators' decision that an agency may say nothing for now; with `is_suspended` false, that it may again.

    `code`: the agency's, itself and none below it. What it said before stands; it goes on receiving. `reason`: why;
    `by`, `seconded_by`: who decided.
    """

    code: str
    version: int
    is_suspended: bool
    reason: str
    by: str
    seconded_by: str

    @property
    def key(self) -> str:
        return f"suspension:{self.code}"


RoleName = Literal["viewer", "auditor", "operator", "administrator"]
"""What somebody may be in the exchange's own house."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Somebody has a role; with `is_granted` false, has it no longer.

    `user`: the name of the account; `scope`: the agency that it counts for, with all below it. `reason`: why; `by`:
    who decided.
    """

    user: str
    role: RoleName
    scope: str
    version: int
    is_granted: bool
    reason: str
    by: str

    @property
    def key(self) -> str:
        return f"grant:{self.user}/{self.role}/{self.scope}"


Entry = Agency | Leader | CertificateEntry | RevocationList | Group | SettingAside | Erasure | Suspension | Grant
