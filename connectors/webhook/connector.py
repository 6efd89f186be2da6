"""The webhook connector: what arrives is posted to the agency's own address, in order, until it is taken.

Guarantees: an item is acknowledged (01) only after the receiver answered 2xx. Of each document the items are posted
one after the other, in the order of the inbox. At least once: an item may be posted again after a crash or a broken
connection, with the same bytes and the same ``Idempotency-Key``. What the receiver refuses, or doesn't take within
`give_up_s`, is a dead letter, and holds what was said later about the same document.

| it dies … | on disk | so |
|---|---|---|
| before the item is placed and in line | see `Arrivals` | it comes again |
| before the receiver's answer is noted | in line | posted again |
| after it, before the acknowledgement is signed | posted | acknowledged |
| after that | acknowledged, perhaps not noted | acknowledged again, which changes nothing |

Not for several processes with one folder, but for `replay` and `skip`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sqlite3 import Row

import structlog

from connectors.shared.arrivals import ARRIVED, Arrivals, read_arrival, say
from connectors.shared.book import open_book
from connectors.shared.dead_letters import WHY, DeadLetters
from connectors.shared.figures import Figures
from connectors.shared.files import move, private
from connectors.shared.following import is_the_worlds
from connectors.webhook.body import body_of
from connectors.webhook.breaker import Breaker, pause_s
from connectors.webhook.limits import Limits
from connectors.webhook.posting import Later, Poster, Target
from connectors.webhook.queue import DEAD, DONE, POSTED, SCHEMA, SKIPPED, WAITING, Queue
from connectors.webhook.signing import Message, Signer
from exchange.errors import ExchangeError, Rejected, Unavailable
from exchange.sdk import Agency, GatewayRefused

KEPT_MS = 30 * 24 * 3_600_000
"""What was taken is kept so long, to be posted again if the receiver loses it."""
ROUNDS_MAX = 50
"""Rounds of posts in one turn; then the inbox has its turn."""

log = structlog.get_logger(__name__)


class Letterbox:
    """The connector's folder: items in line, dead letters, the book. For `replay` and `skip` too."""

    def __init__(self, folder: Path, figures: Figures) -> None:
        self.items = folder / "items"
        private(folder, self.items)
        self.book = open_book(folder / "book.sqlite", SCHEMA)
        self.queue = Queue(self.book)
        self.dead_letters = DeadLetters(folder / "dead-letters", figures)

    def close(self) -> None:
        """Leave the book."""
        self.book.close()

    def replay(self, name: str) -> None:
        """Post an item again, taken or refused before; Rejected ``webhook.unknown``."""
        row = self._row(name, DONE, DEAD, SKIPPED)
        letter = self.dead_letters.folder / row["name"]
        if letter.exists():
            (letter / WHY).unlink(missing_ok=True)
            move(letter, self.items / row["name"])
        self.queue.again(row["name"], _now_ms())

    def skip(self, name: str) -> None:
        """Let go of an item that was refused, so that what was said later goes on; it stays a dead letter."""
        self.queue.mark(self._row(name, DEAD)["name"], SKIPPED, _now_ms())

    def bury(self, name: str, exc: ExchangeError) -> None:
        """Make an item a dead letter."""
        self.queue.mark(name, DEAD, _now_ms(), code=exc.code)
        if (self.items / name).exists():
            self.dead_letters.take(self.items / name, name, exc)

    def settle(self) -> None:
        """Finish what a crash broke off: a dead letter that isn't with the others yet."""
        for row in self.queue.listed(DEAD):
            if (self.items / row["name"]).exists():
                self.bury(row["name"], Rejected(row["code"]))

    def sweep(self, now_ms: int) -> None:
        """Forget what was taken long ago."""
        for row in self.queue.listed(DONE, most=100):
            if row["updated_ms"] > now_ms - KEPT_MS:
                break
            shutil.rmtree(self.items / row["name"], ignore_errors=True)
            self.queue.forget(row["name"])

    def _row(self, name: str, *states: str) -> Row:
        row = self.queue.one(name)
        if row is None or row["state"] not in states:
            raise Rejected("webhook.unknown", f"{name[:100]} is not among {', '.join(states)}")
        return row


class WebhookConnector:
    """Posts what arrives for an agency. `folder`: its own."""

    def __init__(
        self,
        agency: Agency,
        folder: Path,
        target: Target,
        signer: Signer,
        figures: Figures,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.agency = agency
        self.box = Letterbox(folder, figures)
        self._url = target.url
        self._signer = signer
        self._figures = figures
        self._limits = limits or Limits()
        self._clock = clock
        self._poster = Poster(target, self._limits)
        self._threads = ThreadPoolExecutor(self._limits.at_once, thread_name_prefix="webhook")
        self.breaker = Breaker(self._limits)
        self._arrivals = Arrivals(
            agency, folder / "work", self.box.items, self.box.book, self.box.dead_letters, figures
        )
        self.box.settle()

    def close(self) -> None:
        """Wait for the posts under way; the agency is the caller's."""
        self._threads.shutdown()
        self._poster.close()
        self.box.close()

    def turn(self) -> bool:
        """Post what is due, then put in line what arrived; True: there may be more.

        Raises: Unavailable, GatewayRefused, OSError about the exchange and the disk, never about the receiver.
        """
        posted = self.post_due()
        self.box.sweep(self._now_ms())
        arrived = 0
        for arrival in self._arrivals.take():
            arrived += self.box.queue.add(arrival, self._now_ms())
        counts = self.box.queue.counts()
        self._figures.waiting.set(counts.get(WAITING, 0) + counts.get(POSTED, 0))
        return bool(arrived) or posted >= ROUNDS_MAX

    def post_due(self) -> int:
        """Post and acknowledge what is due; returns how many rounds it took."""
        queue = self.box.queue
        for done in range(ROUNDS_MAX):
            rows = queue.due(self._now_ms(), self._limits.at_once)
            to_post = [row for row in rows if row["state"] == WAITING][: self.breaker.room(time.monotonic())]
            posted = [row for row in rows if row["state"] == POSTED]
            if not to_post and not posted:
                return done
            for row, failure in zip(to_post, self._threads.map(self._post, to_post), strict=True):
                self._noted(row, failure)
                if failure is None:
                    posted.append(row)
            for row in posted:
                self._acknowledge(row)
        return ROUNDS_MAX

    def _post(self, row: Row) -> Exception | None:
        """Post one item, in a thread; None: the receiver has it."""
        try:
            body = body_of(self.box.items / row["name"])
            message = Message("POST", self._url)
            message.headers |= {
                "content-type": body.media_type,
                "content-length": str(body.size),
                "idempotency-key": f'"{row["name"]}"',
                "user-agent": "exchange-webhook",
            }
            self._poster.post(self._signer.sign(message, body.digest, self._clock()), body)
        except FileNotFoundError:
            return Rejected("webhook.item_gone", "somebody took it away from this disk")
        except (Rejected, Unavailable, OSError) as exc:
            return exc
        return None

    def _noted(self, row: Row, failure: Exception | None) -> None:
        """Let the book know what became of a post."""
        if failure is None:
            self.breaker.succeeded()
            self.box.queue.mark(row["name"], POSTED, self._now_ms())
            self._figures.items.labels("in", "posted").inc()
            return
        if not isinstance(failure, ExchangeError):
            raise failure  # our own disk
        log.warning("webhook.not_taken", item=row["name"], code=failure.code, detail=failure.detail[:300])
        if isinstance(failure, Rejected):
            self.breaker.succeeded()
            self.box.bury(row["name"], failure)
            self._figures.items.labels("in", "refused").inc()
            return
        self._figures.failures.labels(failure.code).inc()
        asked_s = failure.after_s if isinstance(failure, Later) else 0.0
        self.breaker.failed(time.monotonic(), asked_s)
        now_ms = self._now_ms()
        if now_ms - row["since_ms"] > self._limits.give_up_s * 1000:
            self.box.bury(row["name"], failure)
            self._figures.items.labels("in", "given up").inc()
        else:
            wait_s = pause_s(row["attempts"], asked_s, self._limits)
            self.box.queue.later(row["name"], now_ms + int(wait_s * 1000), failure.code, now_ms)

    def _acknowledge(self, row: Row) -> None:
        """Say to the sender that it arrived; then the item is dealt with."""
        code = ""
        if not row["acknowledged"]:
            try:
                say(self.agency, read_arrival(self.box.items / row["name"]).said, ARRIVED)
            except Rejected as exc:
                if isinstance(exc, GatewayRefused) and is_the_worlds(exc):
                    raise
                code = exc.code
                log.warning("webhook.not_acknowledged", item=row["name"], code=code, detail=exc.detail[:300])
        self.box.queue.mark(row["name"], DONE, self._now_ms(), code=code, acknowledged=True)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _now_ms() -> int:
    return int(time.time() * 1000)
