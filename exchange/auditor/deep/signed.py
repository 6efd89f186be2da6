"""Who signed a submission, by the auditor's own rules: what the gate must have seen when it let it in.

Guarantees: shares with the gate only what reads or verifies one thing (a certificate, a list, a signature, a Merkle
path); which signatures there must be, whose, when and over what, is said here again. The signatures themselves are
handed on, to be verified in threads; a batch's own is verified once.

Source: docs of ``schemas/record`` and ``schemas/batch``; RFC 6962 §2.1.
"""

from __future__ import annotations

from collections.abc import Sequence

from exchange.agencies import DirectoryView
from exchange.auditor.books import Coordinates
from exchange.auditor.deep.standing import Standing, Standings
from exchange.auditor.deep.verifying import Signature, Verifying
from exchange.auditor.recount import day_in_vietnam
from exchange.auditor.said import Said
from exchange.errors import Rejected
from exchange.signatures import storage
from exchange.signatures.merkle import leaf_hash, root_from_path
from exchange.statements import KINDS, Fields, schema

AHEAD_MS_MAX = 5 * 60_000
BEHIND_MS_MAX = 45 * 86_400_000


class Signatures:
    """`verifying`: where signatures are verified. `storage_keys`: of the object store; None if they aren't known."""

    def __init__(self, roots: Sequence[bytes], storage_keys: Sequence[bytes] | None, verifying: Verifying) -> None:
        self._standings = Standings(roots)
        self._storage_keys = storage_keys
        self._verifying = verifying
        self._batches: dict[tuple[bytes, bytes, bytes], Fields] = {}

    def seal_of(self, at: Coordinates, said: Said, append_ms: int, view: DirectoryView) -> bytes:
        """The certificate (SHA-256) of the seal on a submission that may be let in; Rejected if it may not."""
        record, fields = said.record, said.fields
        signed = [
            (one, self._standings.at(view, one["certificate"], append_ms)) for one in record["signatures"]
        ]  # fmt: skip
        times = [fields["signed_ms"]]
        for one, standing in signed:
            times += self._over(at, said, one, standing, record["statement"])
        for time_ms in times:
            if not append_ms - BEHIND_MS_MAX <= time_ms <= append_ms + AHEAD_MS_MAX:
                raise Rejected("statement.time", f"signed at {time_ms}, arrived at {append_ms}")
        kind = KINDS[said.kind]
        seal = self._parties(
            [standing for _, standing in signed], fields["sender"], kind.leader(fields), view, append_ms
        )
        storage.check_all(self._storage_keys, kind.attachments(fields), record["storage"], append_ms)
        kind.check(fields)
        return seal

    def _over(self, at: Coordinates, said: Said, one: Fields, standing: Standing, raw: bytes) -> list[int]:
        """Have the signature verified over the statement, or over a batch that holds it; the times that it claims."""
        batch = one["batch"]
        if batch is None:
            self._verify(at, said, one, standing, raw, said.digest)
            return []
        key = (one["certificate"], one["value"], batch["statement"])
        held = self._batches.get(key)
        if held is None:
            known = schema("batch")
            if not batch["statement"].startswith(known.prefix):
                raise Rejected("batch.malformed", "something else in place of a batch")
            held = known.decode(batch["statement"])
            self._verify(at, said, one, standing, batch["statement"], None)
            if len(self._batches) >= 10_000:
                self._batches.clear()
            self._batches[key] = held
        if held["certificate"] != one["certificate"] or held["sender"] != said.fields["sender"]:
            raise Rejected("batch.sender", "of another signer")
        if root_from_path(leaf_hash(raw), batch["index"], held["size"], batch["path"]) != held["root"]:
            raise Rejected("batch.other_root", "the path leads to another root")
        return [held["signed_ms"]]

    def _verify(
        self, at: Coordinates, said: Said, one: Fields, standing: Standing, raw: bytes, digest: bytes | None
    ) -> None:
        certificate, algorithm = standing.certificate, one["algorithm"]
        statement_id: str = said.fields["id"]
        self._verifying.add(Signature(at, statement_id, certificate, algorithm, one["value"], raw, digest))

    def _parties(
        self, signers: Sequence[Standing], sender: str, asked: str | None, view: DirectoryView, append_ms: int
    ) -> bytes:
        """A seal of the sender's, its connector's or delegate's is there, whom it asks for signed, and nobody else."""
        seals = [one for one in signers if one.role in {"seal", "connector", "delegate"} and one.agency == sender]
        leaders = [one for one in signers if one.role == "leader"]
        if not seals or len(seals) + len(leaders) != len(signers):
            raise Rejected("signature.not_the_senders", f"{len(seals)} seals of {sender[:40]} among {len(signers)}")
        if asked is not None and asked not in {one.leader for one in leaders}:
            raise Rejected("signature.leader_missing", asked[:80])
        day = day_in_vietnam(append_ms)
        for one in leaders:
            person = view.leader(one.leader) if one.leader is not None else None
            is_in_office = (
                person is not None
                and person.agency == sender == one.agency
                and person.valid_from <= day
                and (person.valid_to is None or day <= person.valid_to)
            )
            if not is_in_office:
                raise Rejected("signature.leader_not_listed", f"{one.leader} under {sender[:40]}")
        return seals[-1].certificate.fingerprint
