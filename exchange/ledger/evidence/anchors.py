"""What a verifier of evidence trusts, and from when until when.

Guarantees: every root and key has a term; which of them count is asked at one time. Nothing is verified here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from exchange.errors import Misconfigured, Rejected
from exchange.ledger.notes import VerifierKey
from exchange.signatures.certificates import parse

ALWAYS_MS = 1 << 62


class Term(NamedTuple):
    """From `from_ms` on, before `until_ms`: ms since 1970 UTC."""

    from_ms: int = 0
    until_ms: int = ALWAYS_MS

    def covers(self, at_ms: int) -> bool:
        """Whether a moment lies in it."""
        return self.from_ms <= at_ms < self.until_ms


class Root(NamedTuple):
    """A trusted authority's certificate, DER."""

    certificate: bytes
    term: Term


class Key(NamedTuple):
    """A trusted ledger's or witness's key."""

    key: VerifierKey
    term: Term = Term()


@dataclass(frozen=True, slots=True)
class Anchors:
    """All that is trusted. `roots`: of agencies' certificates; `time_stamps`: of those of time-stamps.

    `witnesses_needed`: how many of the witnesses must have cosigned.
    """

    roots: tuple[Root, ...]
    time_stamps: tuple[Root, ...]
    ledgers: tuple[Key, ...]
    witnesses: tuple[Key, ...] = ()
    witnesses_needed: int = 0

    @classmethod
    def plain(
        cls,
        roots: Sequence[bytes],
        ledger: VerifierKey,
        witnesses: Sequence[VerifierKey] = (),
        time_stamps: Sequence[bytes] = (),
    ) -> Anchors:
        """Trust without dates of its own: certificates for as long as they say, keys always, every witness needed.

        `time_stamps`: roots of time-stamps; without any, those of the agencies. Raises: Misconfigured.
        """
        trusted = tuple(map(root, roots))
        stamps = tuple(map(root, time_stamps)) or trusted
        return cls(trusted, stamps, (Key(ledger),), tuple(map(Key, witnesses)), len(witnesses))

    def roots_at(self, at_ms: int) -> list[bytes]:
        """The roots trusted then; Rejected ``trust.not_current`` if there is none."""
        found = [one.certificate for one in self.roots if one.term.covers(at_ms)]
        if not found:
            raise Rejected("trust.not_current", "no root is trusted at the time that counts")
        return found

    def witnesses_at(self, at_ms: int) -> list[VerifierKey]:
        """The witnesses trusted then."""
        return [one.key for one in self.witnesses if one.term.covers(at_ms)]


def root(der: bytes, term: Term | None = None) -> Root:
    """A trusted certificate, for as long as it says itself unless a term is given; Misconfigured if it is none."""
    try:
        found = parse(der)
    except Rejected as exc:
        raise Misconfigured([f"a root that can't be read: {exc}"]) from exc
    if not found.may_certify:
        raise Misconfigured(["a root that is not the certificate of an authority"])
    return Root(der, term or Term(found.not_before_ms, found.not_after_ms + 1))
