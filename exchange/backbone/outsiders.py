"""Who may write to Kafka from outside: an agency's principal, its ACLs, quotas and password.

Guarantees: a principal may write to the submission topics and do nothing else: read no topic, join no group, open no
transaction, make or change nothing. One that asked for its inbox as a topic may read that one, in groups whose names
begin with its own. It has its quotas before it has a password, so nobody gets in without them; who is dismissed may do
nothing more at once, also on a connection that is open. Does not: say who may speak for an agency. That is in each
statement's signature, whoever brings it.

Source: KIP-11 (ACLs), KIP-84 and KIP-554 (SCRAM), KIP-546 (quotas); Kafka implies ``Describe`` and ``IdempotentWrite``
by ``Write`` (KIP-679).
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from exchange.backbone.clients import Config
from exchange.backbone.quotas import quotas_of, set_quotas
from exchange.backbone.topics import ADMIN_TIMEOUT_S
from exchange.errors import Misconfigured, Unavailable
from exchange.statements import SUBMISSION_TOPICS

ITERATIONS = 8_192
"""Of SCRAM's hash. The passwords are 256 random bits: nothing is gained by more."""

BYTES_PER_S = 2 * 1024 * 1024
"""What an agency may write a second and broker if nothing else is said: some 700 documents."""

REQUEST_PERCENTAGE = 50.0
"""Of one thread of the broker: a flood of small requests costs more than its bytes."""

_WHATEVER: Any = None  # the filter's word, though it is typed as a string
_RATE, _READING, _REQUESTS = "producer_byte_rate", "consumer_byte_rate", "request_percentage"


@dataclass(frozen=True, slots=True)
class Admitted:
    """What a principal may do. `topics`: those that it may write to; `inbox`: the one that it may read, if any;
    `bytes_per_s`: None if it has no quota."""

    principal: str
    topics: tuple[str, ...]
    inbox: str | None
    bytes_per_s: float | None


def principal_of(code: str) -> str:
    """An agency's name in Kafka, apart from whatever other names a cluster has."""
    return f"agency.{code}"


def admit(
    admin: AdminClient,
    base: Config,
    code: str,
    password: bytes,
    bytes_per_s: int = BYTES_PER_S,
    inbox: str | None = None,
) -> Admitted:
    """Let an agency write; safe to repeat. `password`: from now on. `inbox`: a topic of its own that it may read.

    Raises: Misconfigured where the cluster checks no ACLs; Unavailable, then do the same again.
    """
    principal = principal_of(code)
    rights = [_may(principal, AclOperation.WRITE, topic) for topic in SUBMISSION_TOPICS]
    if inbox is not None:
        rights += [_may(principal, AclOperation.READ, inbox), _may_join(principal)]
    _wait(admin.create_acls(rights))
    rate = float(bytes_per_s)
    set_quotas(base, principal, {_RATE: rate, _READING: rate, _REQUESTS: REQUEST_PERCENTAGE})
    scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
    _wait(admin.alter_user_scram_credentials([UserScramCredentialUpsertion(principal, scram, password)]))
    return admitted(admin, base, code)


def dismiss(admin: AdminClient, base: Config, code: str) -> None:
    """Take back all of it; idempotent. Raises: as `admit`."""
    principal = principal_of(code)
    _wait(dict(enumerate(admin.delete_acls([_all_of(principal)]).values())))
    deletion = UserScramCredentialDeletion(principal, ScramMechanism.SCRAM_SHA_512)
    _wait(admin.alter_user_scram_credentials([deletion]), ignored=KafkaError.RESOURCE_NOT_FOUND)
    set_quotas(base, principal, dict.fromkeys((_RATE, _READING, _REQUESTS)))


def admitted(admin: AdminClient, base: Config, code: str) -> Admitted:
    """What an agency may do now, as the cluster says. Raises: as `admit`."""
    principal = principal_of(code)
    [found] = _wait({0: admin.describe_acls(_all_of(principal))}).values()
    topics = [acl for acl in found if acl.restype is ResourceType.TOPIC]
    written = tuple(sorted(acl.name for acl in topics if acl.operation is AclOperation.WRITE))
    inbox = next((acl.name for acl in topics if acl.operation is AclOperation.READ), None)
    return Admitted(principal, written, inbox, quotas_of(base, principal).get(_RATE))


def _may(principal: str, operation: AclOperation, topic: str) -> AclBinding:
    return AclBinding(
        ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, f"User:{principal}", "*",
        operation, AclPermissionType.ALLOW,
    )  # fmt: skip


def _may_join(principal: str) -> AclBinding:
    """Groups of its own, ``agency.CODE:…``: a colon is in no code, so they aren't another agency's."""
    return AclBinding(
        ResourceType.GROUP, f"{principal}:", ResourcePatternType.PREFIXED, f"User:{principal}", "*",
        AclOperation.READ, AclPermissionType.ALLOW,
    )  # fmt: skip


def _all_of(principal: str) -> AclBindingFilter:
    return AclBindingFilter(
        ResourceType.ANY, _WHATEVER, ResourcePatternType.ANY, f"User:{principal}", _WHATEVER,
        AclOperation.ANY, AclPermissionType.ANY,
    )  # fmt: skip


def _wait(futures: dict[Any, Future[Any]], ignored: int | None = None) -> dict[Any, Any]:
    done = {}
    for key, future in futures.items():
        try:
            done[key] = future.result(ADMIN_TIMEOUT_S)
        except TimeoutError as exc:
            raise Unavailable("kafka.unavailable", "no answer about a principal's rights") from exc
        except KafkaException as exc:
            cause = exc.args[0]
            if cause.code() == KafkaError.SECURITY_DISABLED:
                problem = (
                    "this Kafka checks no rights: start it with `exchange up --outside`, or see docs/direct-kafka.md"
                )
                raise Misconfigured([problem]) from exc
            if cause.code() != ignored:
                raise Unavailable("kafka.unavailable", cause.str()) from exc
    return done
