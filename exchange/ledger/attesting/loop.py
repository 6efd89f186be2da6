"""Asking witnesses and a time-stamping authority about the newest checkpoint, again and again, behind the traffic.

Every `every_s`, if the tree has grown: each witness is asked about the same checkpoint, then what bears their lines is
stamped and kept. Whoever doesn't answer is asked again after a growing pause; nobody else waits for that: neither the
writer of the ledger, which this runs beside, nor the traffic. How long the ledger has gone unseen is said once when it
passes its limit (``ledger.unwitnessed``, ``ledger.unstamped``), and once when that is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import NamedTuple

import structlog

from exchange.backbone.objects import Objects
from exchange.errors import Rejected, Unavailable
from exchange.ledger import cosigning
from exchange.ledger.attesting.kept import (
    STAMPED_KIND,
    WITNESSED_KIND,
    Limits,
    Progress,
    StampedCheckpoint,
    keep_stamp,
    read_progress,
    write_progress,
)
from exchange.ledger.checkpoint import decimal, open_checkpoint
from exchange.ledger.notes import NOTE_BYTES_MAX, VerifierKey, parse_note
from exchange.ledger.stamps import ask, claim
from exchange.ledger.stamps.posting import OK, exchange_once
from exchange.ledger.store import CHECKPOINT

EVERY_S = 60.0
POLL_S = 1.0
PAUSE_S_MIN, PAUSE_S_MAX = 1.0, 60.0
TEXT = "text/plain"
CONFLICT, INCONSISTENT = 409, 422

_CODES = {WITNESSED_KIND: "ledger.unwitnessed", STAMPED_KIND: "ledger.unstamped"}

log = structlog.get_logger(__name__)


class Watcher(NamedTuple):
    """A witness: where its C2SP tlog-witness interface is, without ``/add-checkpoint``, and its key."""

    url: str
    key: VerifierKey


class Stamping(NamedTuple):
    """A time-stamping authority: its address, the roots that its certificate must lead to, and a policy if any."""

    url: str
    roots: tuple[bytes, ...]
    policy: str | None = None


@dataclass(slots=True)
class _Turn:
    """When somebody is asked next, by the monotonic clock, and how often it failed."""

    next_s: float = 0.0
    failures: int = 0


@dataclass
class Attesting:
    """Asks for one ledger. `folder`: the ledger's objects, an object of its own for this thread.

    `witnesses_needed`: as many must have cosigned a tree for it to be witnessed.
    """

    folder: Objects
    key: VerifierKey
    stamping: Stamping | None
    watchers: Sequence[Watcher]
    witnesses_needed: int = 1
    every_s: float = EVERY_S
    limits: Limits = field(default_factory=Limits)
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._turns: dict[str, _Turn] = {}
        self._seen: dict[str, int] = {}
        self._loud: set[str] = set()

    def run(self, stop: Event) -> None:
        """Attest until `stop` is set. Anything but Unavailable and Rejected is a bug, and passes."""
        while not stop.wait(POLL_S):
            try:
                self.round()
            except (Unavailable, Rejected) as exc:  # the disk; what it was about is tried again
                log.warning("ledger.not_attested", code=exc.code, detail=exc.detail)

    def round(self) -> None:
        """One look at the newest checkpoint; asks whoever's turn it is. Raises: Unavailable: the disk."""
        data = self.folder.read(CHECKPOINT)
        if data is None:
            return
        size = open_checkpoint(data, self.key).size
        progress = self._notice(size)
        for watcher in self.watchers:
            if self._seen.get(watcher.url, 0) < size and self._is_turn_of(watcher.url):
                self._attempt(watcher.url, lambda watcher=watcher: self._witness(watcher, data, size))  # type: ignore[misc]
        seen = sorted((self._seen.get(watcher.url, 0) for watcher in self.watchers), reverse=True)
        if len(seen) >= self.witnesses_needed:
            self._advance(WITNESSED_KIND, progress, seen[self.witnesses_needed - 1])
        stamping = self.stamping
        if stamping is not None and progress[STAMPED_KIND].size < size and self._is_turn_of(stamping.url):
            self._attempt(stamping.url, lambda: self._stamp(stamping, data, progress))
        self._say(progress)

    def _notice(self, size: int) -> dict[str, Progress]:
        """How far each kind is; from now on there is more to attest, if the tree has grown."""
        held = read_progress(self.folder)
        progress = {kind: held.get(kind, Progress()) for kind in (WITNESSED_KIND, STAMPED_KIND)}
        grown = [one for one in progress.values() if one.size < size and one.since_s is None]
        for one in grown:
            one.since_s = self.clock()
        if grown or not held:
            write_progress(self.folder, progress)
        return progress

    def _advance(self, kind: str, progress: dict[str, Progress], size: int) -> None:
        if size > progress[kind].size:
            progress[kind] = Progress(size)
            write_progress(self.folder, progress)

    def _is_turn_of(self, name: str) -> bool:
        return self.monotonic() >= self._turns.setdefault(name, _Turn()).next_s

    def _attempt(self, name: str, work: Callable[[], None]) -> None:
        """Do `work`; the next turn is after `every_s`, or after a growing pause if it failed."""
        turn, began_s = self._turns[name], self.monotonic()
        try:
            work()
        except (Unavailable, Rejected) as exc:
            pause_s = min(PAUSE_S_MIN * 2**turn.failures, PAUSE_S_MAX)
            turn.failures, turn.next_s = min(turn.failures + 1, 16), self.monotonic() + pause_s
            say = log.warning if exc.retriable else log.error  # no outage: a wrong answer, or our tree is another
            say("ledger.attestor_waiting", attestor=name, code=exc.code, detail=exc.detail, pause_s=pause_s)
        else:
            turn.failures, turn.next_s = 0, began_s + self.every_s

    def _witness(self, watcher: Watcher, data: bytes, size: int) -> None:
        """Ask one witness to cosign `data`, and keep its line; one that knows another size is asked from there."""
        old = self._seen.get(watcher.url, 0)
        for _ in range(2):
            request = cosigning.request(self.folder, self.key, old, data)
            status, _, answer = exchange_once(
                f"{watcher.url.rstrip('/')}/add-checkpoint", request.encode(), TEXT, NOTE_BYTES_MAX
            )
            if status == OK:
                lines = parse_note(b"-\n\n" + answer).lines
                cosigning.keep(self.folder, self.key, data, lines, watcher.key)
                self._seen[watcher.url] = size
                return
            if status == INCONSISTENT:
                raise Rejected("witness.inconsistent", f"{watcher.url} has seen another tree of this ledger")
            if status != CONFLICT:
                raise Unavailable("witness.refused", f"{watcher.url}: {status}")
            old = decimal(answer.decode("ascii", "replace").strip() or "?")
            if old > size:  # it has seen a later tree than ours is: ours was set back, or is another
                raise Rejected("witness.ahead", f"{watcher.url} has seen {old} leaves, we have {size}")
        raise Unavailable("witness.refused", f"{watcher.url} can't say what it has seen")

    def _stamp(self, stamping: Stamping, data: bytes, progress: dict[str, Progress]) -> None:
        """Have a checkpoint stamped: the last one that witnesses cosigned, if it wasn't yet, else the newest."""
        cosigned = self.folder.read(cosigning.COSIGNED)
        if cosigned is not None and open_checkpoint(cosigned, self.key).size > progress[STAMPED_KIND].size:
            data = cosigned
        token = ask(stamping.url, data, stamping.roots, policy=stamping.policy)
        size = open_checkpoint(data, self.key).size
        keep_stamp(self.folder, size, claim(token).time_ms // 1000, StampedCheckpoint(data, token))
        self._advance(STAMPED_KIND, progress, size)

    def _say(self, progress: dict[str, Progress]) -> None:
        """Once when a limit is passed, once when that is over."""
        for (kind, code), limit_s in zip(_CODES.items(), self.limits, strict=True):
            since_s = progress[kind].since_s
            age_s = 0.0 if since_s is None else self.clock() - since_s
            if age_s > limit_s and kind not in self._loud:
                self._loud.add(kind)
                log.error(code, age_s=round(age_s), limit_s=limit_s, attested=progress[kind].size)
            elif age_s <= limit_s and kind in self._loud:
                self._loud.remove(kind)
                log.warning(f"{code}_no_more", attested=progress[kind].size)
