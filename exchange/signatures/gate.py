"""The gate: the one function that turns bytes into a verified statement, `admit`, and its two halves for batches.

Guarantees: whoever holds a `Verified` holds a statement of an agency, said by the holder of that agency's key
with every signature it asks for, in time and within the rules of its kind; nothing else makes one. Pure, no
I/O; the same bytes, time and trust give the same answer. Several threads may call it at once.

Does not know whether the statement is new, in the right partition, or its sender may address whom it names: the
pipeline decides that.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import Final, NamedTuple, final

from exchange.errors import InvariantBroken, Rejected
from exchange.signatures import storage
from exchange.signatures.algorithms import PublicKey, check
from exchange.signatures.batch import check_batch
from exchange.signatures.bounded import Bounded
from exchange.signatures.certificates import Certificate
from exchange.signatures.cms import check_signature
from exchange.signatures.envelope import OWN_WORD, decode_record
from exchange.signatures.signers import SPEAKERS, Signer
from exchange.signatures.trust import Trust
from exchange.statements import KINDS, Fields, Statement, identify

FUTURE_MS_MAX = 5 * 60_000
"""A signer's clock may be ahead of the broker's by so much."""

AGE_MS_MAX = 45 * 86_400_000
"""The window within which duplicates are recognised."""

_MADE_HERE = object()


@final
class Verified:
    """A statement that passed the gate. Only it makes one.

    `seal`: the sending agency's signer: itself, its connector or a delegate (see `Signer.role`). `leaders`: the signers
    of its leaders, all listed on that day. `append_ms`: the broker's append time that it was judged by. `batch`: the
    seal is over a batch's root.
    """

    __slots__ = ("append_ms", "batch", "leaders", "seal", "statement")

    def __init__(
        self,
        made_by: object,
        statement: Statement,
        seal: Signer,
        leaders: tuple[Signer, ...],
        append_ms: int,
        batch: bool,
    ) -> None:
        if made_by is not _MADE_HERE:
            raise InvariantBroken("only the gate makes a Verified")
        self.statement: Final = statement
        self.seal: Final = seal
        self.leaders: Final = leaders
        self.append_ms: Final = append_ms
        self.batch: Final = batch


@final
class Entered:
    """A submission within the gate: its certificates are good, its signatures are still to be verified.

    Made by `enter`; then comes `verify`, which needs nothing else and hardly the interpreter, so a batch's may run
    in several threads; then `conclude`.
    """

    __slots__ = ("_append_ms", "_batches", "_record", "_refusal", "_signers", "_statement", "_trust", "is_verified")

    def __init__(
        self,
        record: Fields,
        statement: Statement,
        signers: list[Signer],
        batches: list[Fields | None],
        append_ms: int,
        trust: Trust,
    ) -> None:
        self._record = record
        self._statement = statement
        self._signers = signers
        self._batches = batches
        self._append_ms = append_ms
        self._trust = trust
        self._refusal: Rejected | None = None
        self.is_verified = all(batches)
        """Whether nothing is left to `verify`: each signature is a batch's, which was looked up."""

    def verify(self) -> None:
        """Verify the signatures that are over the statement itself; a refusal waits for `conclude`."""
        # 5. Every signature verifies: FIPS 186-5, RFC 8017, RFC 8032; RFC 5652 §5.4.
        statement = self._statement
        try:
            for signature, signer in zip(self._record["signatures"], self._signers, strict=True):
                if signature["batch"] is None:
                    algorithm, value = signature["algorithm"], signature["value"]
                    check_signature(signer.certificate, algorithm, value, statement.raw, statement.digest)
        except Rejected as rejected:
            self._refusal = rejected
        self.is_verified = True

    def conclude(self, storage_keys: Sequence[bytes] | None) -> Verified:
        """The verified statement, after all the other steps; `storage_keys` and what it raises: as `admit`."""
        if not self.is_verified:
            raise InvariantBroken("a submission concluded before its signatures were verified")
        statement, signers, append_ms = self._statement, self._signers, self._append_ms
        sender: str | None = None
        try:
            if self._refusal is not None:
                raise self._refusal
            # 6. The seal is the sender's; the leaders are its own, and the one that the statement asks for signed.
            place = _place_of_seal(signers, statement)
            seal = signers[place]
            sender = seal.agency
            leaders = _leaders(signers, statement, append_ms, self._trust)
            # 7. The object store vouches for every attachment: RFC 2104.
            attachments = statement.kind.attachments(statement.fields)
            if attachments:
                storage.check_all(storage_keys, attachments, self._record["storage"], append_ms)
            # 8. The claimed signing times, which decide nothing else; then the rules of the kind.
            for said in (statement.fields, *self._batches):
                if said is not None:
                    _check_time(said["signed_ms"], append_ms)
            statement.kind.check(statement.fields)
        except Rejected as rejected:
            rejected.statement = statement
            rejected.sender = sender
            raise
        return Verified(_MADE_HERE, statement, seal, leaders, append_ms, self._batches[place] is not None)


def enter(value: bytes, append_ms: int, trust: Trust) -> Entered:
    """The gate up to where signatures are verified; arguments and what it raises: as `admit`."""
    # 1. Size limits. 2. Envelope: a record and nothing after it (Avro 1.12, single-object encoding).
    record = decode_record(value)
    # 3. Schema: a kind that may be submitted.
    statement = _statement(record["statement"])
    try:
        # 4. Every certificate is listed, chains to a root, is valid and unrevoked at the append time: RFC 5280 §6.
        signatures = record["signatures"]
        signers = [trust.signer(signature["certificate"], append_ms) for signature in signatures]
        # 5. The statement is a leaf under each batch that a signature is over: RFC 6962 §2.1. A batch's own signature
        #    is verified once for all its leaves.
        batches = [
            None
            if signature["batch"] is None
            else check_batch(signature, signer.certificate, statement, trust.cache.batches)
            for signature, signer in zip(signatures, signers, strict=True)
        ]
    except Rejected as rejected:
        rejected.statement = statement
        raise
    return Entered(record, statement, signers, batches, append_ms, trust)


def admit(value: bytes, append_ms: int, trust: Trust, *, storage_keys: Sequence[bytes] | None = ()) -> Verified:
    """Verify a submission's bytes, as of the broker's append time (ms since 1970 UTC).

    `storage_keys`: the object store's keys, present and earlier. None says that the caller (a recipient, an
    auditor) doesn't hold them, so that receipts are only looked for; without keys no receipt is good.

    Raises: Rejected with the code of the step that failed. Its `statement` is set once decoded, its `sender` once
        that agency's signature has verified: only then may the sender be told. Unavailable ``crl.*``: nobody's
        fault, try again later.
    """
    entered = enter(value, append_ms, trust)
    entered.verify()
    return entered.conclude(storage_keys)


def open_signed(value: bytes, schema_name: str, public_key: PublicKey) -> Fields:
    """Verify what the registrar or the backbone says, with that one's pinned key; returns the decoded fields.

    The certificate that the record names doesn't matter, and neither does the time: the key is the authority.

    Raises: Rejected ``record.*``, ``statement.*``, ``avro.*``, ``signature.*``: whoever wrote it isn't whom we
        pinned, or it is damaged.
    """
    # 1. Size limits and envelope, with one signature over the statement itself.
    record = decode_record(value, OWN_WORD)
    signatures = record["signatures"]
    if len(signatures) > 1:
        raise Rejected("signature.too_many", f"{len(signatures)} > 1")
    if signatures[0]["batch"] is not None:
        raise Rejected("signature.algorithm", "a batch")
    # 2. Schema: the kind that was asked for, so one kind's statement can't pass for another's.
    raw: bytes = record["statement"]
    found = identify(raw)
    if found.name != schema_name:
        raise Rejected("statement.kind_not_accepted", f"{found.name}, not {schema_name}")
    # 3. The signature: FIPS 186-5, RFC 8017, RFC 8032.
    check(public_key, signatures[0]["algorithm"], signatures[0]["value"], raw)
    return found.decode(raw)


class Word(NamedTuple):
    """What the backbone says in a batch, verified. `name`: of its schema; `signed_ms`: when, by the signer's clock."""

    name: str
    fields: Fields
    raw: bytes
    digest: bytes
    signed_ms: int = 0


def open_word(value: bytes, certificate: Certificate, schema_names: Collection[str]) -> Word:
    """Verify what the backbone signed in a batch (a promise, a lapse), by its certificate.

    Whether the certificate is the backbone's and good is the caller's to ask (`Trust.signer`).

    Raises: Rejected ``record.*``, ``statement.*``, ``avro.*``, ``signature.*``, ``batch.*``.
    """
    # 1. Size limits and envelope, with one signature over a batch.
    record = decode_record(value, OWN_WORD)
    signatures = record["signatures"]
    if len(signatures) > 1:
        raise Rejected("signature.too_many", f"{len(signatures)} > 1")
    if signatures[0]["batch"] is None or signatures[0]["certificate"] != certificate.fingerprint:
        raise Rejected("signature.not_the_senders", "not the backbone's batch")
    # 2. Schema: a kind that was asked for.
    raw: bytes = record["statement"]
    found = identify(raw)
    if found.name not in schema_names:
        raise Rejected("statement.kind_not_accepted", found.name)
    word = Word(found.name, found.decode(raw), raw, sha256(raw).digest())
    # 3. It is a leaf under the root that the certificate's key signed.
    batch = check_batch(signatures[0], certificate, word, Bounded(1))
    return word._replace(signed_ms=batch["signed_ms"])


def _statement(raw: bytes) -> Statement:
    found = identify(raw)
    kind = KINDS.get(found.name)
    if kind is None:
        raise Rejected("statement.kind_not_accepted", found.name)
    return Statement(kind, found.decode(raw), raw, sha256(raw).digest())


def _place_of_seal(signers: Sequence[Signer], statement: Statement) -> int:
    """Where the sender's seal stands. Nobody but the sender and its leaders may sign along."""
    place = -1
    for number, signer in enumerate(signers):
        if signer.role == "leader":
            continue
        if signer.role not in SPEAKERS or signer.agency != statement.fields["sender"]:
            raise Rejected("signature.not_the_senders", f"the {signer.role} of {signer.agency}")
        place = number
    if place < 0:
        raise Rejected("signature.not_the_senders", "no seal of an agency")
    return place


def _leaders(signers: Sequence[Signer], statement: Statement, append_ms: int, trust: Trust) -> tuple[Signer, ...]:
    """The leaders who signed, with the one whom the signed bytes ask for: it can't be stripped."""
    asked = statement.kind.leader(statement.fields)
    if asked is None and len(signers) == 1:
        return ()
    leaders = tuple(signer for signer in signers if signer.role == "leader")
    if asked is not None and all(signer.leader != asked for signer in leaders):
        raise Rejected("signature.leader_missing", asked[:80])
    for signer in leaders:
        if signer.agency != statement.sender:
            raise Rejected("signature.leader_not_listed", f"{signer.leader} is of {signer.agency}")
        trust.require_listed(signer.leader, signer.agency, append_ms)
    return leaders


def _check_time(signed_ms: int, append_ms: int) -> None:
    if signed_ms > append_ms + FUTURE_MS_MAX:
        raise Rejected("statement.in_future", f"signed {signed_ms - append_ms} ms after its arrival")
    if signed_ms < append_ms - AGE_MS_MAX:
        raise Rejected("statement.too_old", f"signed {append_ms - signed_ms} ms before its arrival")
