"""Watching the exchange's ledger from outside: that it never says two things, and keeps what the backbone promised.

Guarantees: of the ledger's key one checkpoint is kept on this disk, the largest that was seen and proved to go on from
those before. Whoever shows another tree, or doesn't hold by the promised time what was promised, raises `LedgerBroken`,
and what proves it is kept. Checks each new checkpoint that an answer carries, but asks for a proof at most every
`check_every_s`; two roots of one size raise at once.

Does not know what others are shown: that takes witnesses.

Source: RFC 9162 §2.1.3 and §2.1.4; C2SP tlog-checkpoint.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exchange.errors import InvariantBroken, Misconfigured, Rejected, Unavailable
from exchange.ledger.checkpoint import HASH_BYTES, Checkpoint, open_checkpoint
from exchange.ledger.leaves import SALT_BYTES, salted
from exchange.ledger.notes import VerifierKey
from exchange.ledger.tree import check_consistency, check_inclusion
from exchange.sdk.session import GatewayRefused, Session
from exchange.signatures import Word
from exchange.signatures.merkle import leaf_hash
from exchange.statements import Fields, identify

CHECK_EVERY_S = 10.0
CLOCKS_MS = 30_000
"""Our clock and the backbone's may differ by so much before a promise counts as broken."""

UNPROVED_S_MAX = 600.0
"""Whoever gives no proof for so long has none."""

PROOF_MAX = 128
_SAME = ("topic", "partition")
_SAME_EVENT = ("offset", "append_ms", "outcome", "code", "kind", "verified", "id", "sha256")


class LedgerBroken(InvariantBroken):
    """The exchange contradicted itself, or broke a promise: keep `evidence`, and take it to the auditors.

    `code`: ``ledger.inconsistent``, ``ledger.unproved``, ``ledger.not_its_key``, ``ledger.promise_broken``,
    ``ledger.other_event``.
    """

    def __init__(self, code: str, detail: str, evidence: Path) -> None:
        super().__init__(f"{detail}; kept in {evidence}")
        self.code = code
        self.evidence = evidence


class Watching:
    """Watches one gateway's ledger. `folder`: of what was seen; `key`: the ledger's, by default the one that the
    gateway names first, which is kept."""

    def __init__(
        self, session: Session, folder: Path, key: str | None, check_every_s: float, clock: Callable[[], int]
    ) -> None:
        self._session = session
        self._folder = folder
        self._given = None if key is None else VerifierKey.parse(key)
        self._check_every_s = check_every_s
        self._clock = clock
        self._key: VerifierKey | None = None
        self._kept: Checkpoint | None = None
        self._last = ""
        self._checked = -check_every_s
        self._is_asking = False
        self._unproved_since: float | None = None
        session.seen = self.saw

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The largest that was seen and proved; None before the first."""
        return self._kept

    def saw(self, header: str) -> None:
        """Take in the checkpoint of an answer (base64; empty: none).

        One that can't be proved now is left for the next answer, for `UNPROVED_S_MAX` at most.
        Raises: LedgerBroken.
        """
        if not header or header == self._last or self._is_asking:
            return
        self._is_asking = True
        try:
            try:
                note = base64.b64decode(header, validate=True)
            except ValueError as exc:
                raise self._broken("ledger.not_its_key", "an unreadable checkpoint", header) from exc
            found = self.take(note)
            if found == self._kept:  # else it is still to be proved, when that is due
                self._last = header
                self._unproved_since = None
        except Unavailable as exc:
            self._wait_for_proof(exc, header)
        finally:
            self._is_asking = False

    def _wait_for_proof(self, exc: Unavailable, header: str) -> None:
        now = time.monotonic()
        if self._unproved_since is None:
            self._unproved_since = now
        elif now - self._unproved_since > UNPROVED_S_MAX:
            raise self._broken("ledger.unproved", f"no proof for {UNPROVED_S_MAX:.0f} s: {exc}", header) from exc

    def take(self, note: bytes, *, now: bool = False) -> Checkpoint:
        """Check a signed checkpoint against the one kept, and keep the larger. `now`: however recent the last check.

        Raises: LedgerBroken ``ledger.not_its_key``, ``ledger.inconsistent``; Unavailable, also where the gateway has
            seen less of the ledger than we have.
        """
        found = self._opened(note)
        kept = self._kept
        if kept is None or (found.size, found.root) == (kept.size, kept.root):
            if kept is None:
                self._keep(found, note)
            return found
        if found.size != kept.size:
            due = time.monotonic() - self._checked >= self._check_every_s
            if not (now or due):
                return found
            self._checked = time.monotonic()
        smaller, larger = (kept, found) if kept.size <= found.size else (found, kept)
        self._compare(smaller, larger, note)
        if found.size > kept.size:
            self._keep(found, note)
        return found

    def included(self, promise: Word, found: dict[str, Any]) -> Checkpoint:
        """Check the proof that a promise was kept; returns the checkpoint that covers it.

        Raises: LedgerBroken ``ledger.other_event`` and those of `take`.
        """
        try:
            checkpoint = self.take(found["checkpoint"].encode(), now=True)
            leaf, salt = base64.b64decode(found["leaf"]), base64.b64decode(found["salt"])
            path = [base64.b64decode(one) for one in found["path"][:PROOF_MAX]]
            _require(len(salt) == SALT_BYTES and all(len(one) == HASH_BYTES for one in path), "a proof of other sizes")
            _check_event(promise.fields, leaf)
            check_inclusion(leaf_hash(salted(salt, leaf)), found["index"], checkpoint.size, path, checkpoint.root)
        except (KeyError, ValueError, TypeError, AttributeError) as exc:
            raise self._broken("ledger.other_event", f"no proof: {exc!r}", found) from exc
        except Rejected as exc:
            raise self._broken("ledger.other_event", str(exc), found) from exc
        return checkpoint

    def require_time(self, promise: Word, record: bytes) -> None:
        """The promise may still be kept; LedgerBroken ``ledger.promise_broken`` when its time is over."""
        late_ms = self._clock() - promise.fields["included_ms"]
        if late_ms > CLOCKS_MS:
            detail = f"promised to be in the ledger {late_ms / 1000:.0f} s ago, and isn't"
            raise self._broken("ledger.promise_broken", detail, {"promise": base64.b64encode(record).decode()})

    def _compare(self, smaller: Checkpoint, larger: Checkpoint, note: bytes) -> None:
        """The one goes on from the other, as the gateway proves."""
        try:
            proof = []
            if 0 < smaller.size < larger.size:
                query = {"before": smaller.size, "after": larger.size}
                found = self._session.call("GET", "/v1/ledger/consistency", query=query)
                proof = [base64.b64decode(one) for one in found["proof"][:PROOF_MAX]]
            check_consistency(smaller.size, smaller.root, larger.size, larger.root, proof)
        except (Rejected, KeyError, ValueError, TypeError) as exc:
            if isinstance(exc, GatewayRefused) and exc.code != "ledger.size":
                raise
            if isinstance(exc, GatewayRefused) and larger == self._kept:  # it can't know of our tree yet
                raise Unavailable("ledger.behind", f"the gateway shows {smaller.size} leaves") from exc
            shown = {"kept": self._read("checkpoint"), "shown": note.decode(errors="replace")}
            raise self._broken("ledger.inconsistent", f"{smaller.size} and {larger.size} leaves: {exc}", shown) from exc

    def _opened(self, note: bytes) -> Checkpoint:
        if self._key is None:
            self._begin()
        if self._key is None:
            raise InvariantBroken("a ledger without a key")
        try:
            return open_checkpoint(note, self._key)
        except Rejected as exc:
            raise self._broken("ledger.not_its_key", str(exc), note.decode(errors="replace")) from exc

    def _begin(self) -> None:
        """Learn the key, and what was seen before. Raises: Misconfigured: another key than the one kept."""
        known = self._read("key")
        key = self._given or (VerifierKey.parse(known) if known else None)
        if key is None:
            named = self._session.call("GET", "/v1/trust").get("ledger")
            if named is None:
                raise Unavailable("ledger.absent", "the gateway shows checkpoints, but names no key")
            key = VerifierKey.parse(named)
        if known and VerifierKey.parse(known) != key:
            raise Misconfigured([f"{self._folder} has seen the ledger {known.strip()}, not {key}: use another folder"])
        self._write("key", f"{key}\n".encode())
        kept = self._read("checkpoint")
        self._kept = open_checkpoint(kept.encode(), key) if kept else None
        self._key = key

    def _keep(self, found: Checkpoint, note: bytes) -> None:
        self._write("checkpoint", note)
        self._kept = found

    def _broken(self, code: str, detail: str, shown: object) -> LedgerBroken:
        name = f"broken-{time.time_ns()}.json"
        self._write(name, json.dumps({"code": code, "detail": detail, "shown": shown}, ensure_ascii=False).encode())
        return LedgerBroken(code, detail, self._folder / name)

    def _read(self, name: str) -> str:
        try:
            return (self._folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as exc:
            raise Misconfigured([f"{self._folder / name} can't be read: {exc}"]) from exc

    def _write(self, name: str, data: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._folder / f"{name}.new"
        draft.write_bytes(data)
        draft.replace(self._folder / name)


def _check_event(promise: Fields, leaf: bytes) -> None:
    """The leaf is the event that was promised; Rejected ``ledger.other_event``."""
    schema = identify(leaf)
    _require(schema.name == "ledger_leaf", f"a leaf of {schema.name}")
    told = schema.decode(leaf)
    event = told["event"]
    _require(event["sender"] == promise["to"], "another sender")
    place = (told["trace_partition"], told["trace_offset"], told["trace_index"])
    _require(place == (promise["partition"], promise["trace_offset"], promise["trace_index"]), "another place")
    wrong = [name for name in _SAME if told[name] != promise[name]]
    wrong += [name for name in _SAME_EVENT if event[name] != promise[name]]
    _require(not wrong, f"another {', '.join(wrong)}")


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise Rejected("ledger.other_event", sentence)
