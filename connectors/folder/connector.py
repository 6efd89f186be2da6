"""The folder connector: what is dropped in ``out`` is sent, what arrives lies in ``in``.

Guarantees: what is dropped is sent once or becomes a dead letter with its code, over any crash (`kill -9` between any
two steps of the table); the same statement again counts once. What arrives is placed once (`Arrivals`), then
acknowledged with 01. Documents go out in the order in which they were dropped; while the exchange is away they wait.

| it dies … | on disk | so |
|---|---|---|
| before the plan is written | the files in ``out`` | planned anew |
| after it, while files are moved | the plan, which names them | the others are moved too |
| before the outbox has it | plan and files | signed: same id, same time, same bytes |
| after that | a statement in the outbox, or with the exchange | signed again as the same statement, counted once |
| after it was noted as handed over | plan, files, ``handed.json`` | moved to ``sent`` once nothing waits |

Not for several processes with one folder.
"""

from __future__ import annotations

import contextlib
import shutil
import time
import uuid
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from connectors.folder.limits import Limits
from connectors.folder.looking import Drop, is_written, look, require_file
from connectors.folder.sidecar import Order
from connectors.shared.arrivals import ANSWERED, ARRIVED, Arrivals, say
from connectors.shared.book import open_book
from connectors.shared.dead_letters import DeadLetters
from connectors.shared.figures import Figures
from connectors.shared.files import move, private, read_json, write_json
from connectors.shared.following import is_the_worlds
from connectors.shared.pdf import require_unbroken
from exchange.errors import Rejected, Unavailable
from exchange.sdk import Agency, Fields, GatewayRefused, compose

PLAN, HANDED = "plan.json", "handed.json"
VIETNAM = timezone(timedelta(hours=7))
FOUND_S = 600.0
"""A recipient that could be reached isn't asked for again so long."""


class FolderConnector:
    """An agency's folder. `root`: with ``out``, ``sent``, ``in``, ``dead-letters`` and our own ``.work``."""

    def __init__(self, agency: Agency, root: Path, figures: Figures, limits: Limits | None = None) -> None:
        self.agency = agency
        self.root, self.out, self.sent = root, root / "out", root / "sent"
        self._figures = figures
        self._limits = limits or Limits()
        self._jobs = root / ".work" / "jobs"
        private(root, self._jobs, self.sent)
        self.out.mkdir(exist_ok=True)
        self._book = open_book(root / ".work" / "book.sqlite", _SCHEMA)
        self.dead_letters = DeadLetters(root / "dead-letters", figures)
        self._arrivals = Arrivals(agency, root / ".work" / "in", root / "in", self._book, self.dead_letters, figures)
        self._open_until: dict[str, float] = {}

    def close(self) -> None:
        """Leave the book; the agency is the caller's."""
        self._book.close()

    def turn(self) -> bool:
        """Send what was dropped and place what arrived; True: there may be more.

        Raises: Unavailable, GatewayRefused, OSError: the next turn goes on; InvariantBroken.
        """
        self.agency.flush()
        self._require_sent()
        jobs = sorted(self._jobs.iterdir())
        for job in jobs:
            self._go_on(job)
        drops = look(self.out, self._limits, time.time())
        for drop in drops:
            self._go_on(self._planned(drop))
            self._require_sent()
        self.receive()
        self._figures.waiting.set(sum(1 for _ in self._jobs.iterdir()))
        return len(drops) >= self._limits.at_a_time

    def receive(self) -> int:
        """Place what arrived, and acknowledge it; returns how much it was."""
        count = 0
        for arrival in self._arrivals.take():
            if arrival.said["kind"] in ANSWERED:
                say(self.agency, arrival.said, ARRIVED)
            self._book.execute(
                "INSERT OR IGNORE INTO got VALUES (?, ?, ?, ?, ?)",
                (arrival.folder.name, *(arrival.said["fields"].get(one, "") for one in ("sender", "id")),
                 arrival.said["thread"], arrival.said["append_ms"]),
            )  # fmt: skip
            self._figures.items.labels("in", arrival.said["kind"]).inc()
            count += 1
        return count

    def _require_sent(self) -> None:
        """Nothing waits in the outbox; else what is dropped waits in its order where it lies."""
        if self.agency.waiting:
            raise Unavailable("folder.waiting", f"{self.agency.waiting} statements wait for the exchange")

    def _planned(self, drop: Drop) -> Path:
        """A job whose plan is on the disk; its files may still lie in ``out``."""
        statement_id, now_ms = str(uuid.uuid4()), int(time.time() * 1000)
        plan: dict[str, Any] = {"id": statement_id, "names": drop.names, "kind": "", "fields": {}, "files": []}
        try:
            if drop.refused is not None:
                raise drop.refused
            if drop.order is not None:
                plan |= self._composed(drop.order, statement_id, now_ms)
        except Rejected as exc:
            plan["refused"] = {"code": exc.code, "detail": exc.detail[:500]}
        job = self._jobs / f"{datetime.fromtimestamp(now_ms / 1000, UTC):%Y%m%dT%H%M%S}-{statement_id}"
        private(job, job / "files")
        write_json(job / PLAN, plan)
        return job

    def _composed(self, order: Order, statement_id: str, now_ms: int) -> dict[str, Any]:
        if order.status is not None:
            return {"kind": "status", "fields": self._status(order, statement_id, now_ms)}
        self._require_recipients([*order.to, *order.information])
        today = datetime.fromtimestamp(now_ms / 1000, VIETNAM).date()
        fields = compose.document(
            self.agency.code, statement_id, order.to, order.subject, signed_ms=now_ms, issued=order.issued or today,
            information=order.information, code=(order.number, order.notation), type_=order.type,
            content=order.content, signer=(*order.signer, None), urgency=order.urgency, due=order.due,
        )  # fmt: skip
        return {"kind": "document", "fields": fields, "files": order.files}

    def _status(self, order: Order, statement_id: str, now_ms: int) -> Fields:
        row = self._book.execute("SELECT * FROM got WHERE ? IN (name, id)", (order.about,)).fetchone()
        if row is None:
            raise Rejected("folder.about_unknown", order.about[:80])
        about = {"sender": row["sender"], "id": row["id"]}
        return compose.status(
            self.agency.code, statement_id, about, order.status or 0, reason=order.reason, signed_ms=now_ms,
            document_append_ms=row["append_ms"], thread=row["thread"],
        )  # fmt: skip

    def _require_recipients(self, codes: list[str]) -> None:
        """Refuse at once what the exchange would refuse later; while it is away, it will."""
        with contextlib.suppress(Unavailable):
            for code in codes:
                if self._open_until.get(code, 0.0) > time.monotonic():
                    continue
                found = self.agency.look_up(code)
                if found is None or found["standing"] == "closed":
                    raise Rejected("recipient.unknown" if found is None else "recipient.closed", code)
                self._open_until[code] = time.monotonic() + FOUND_S

    def _go_on(self, job: Path) -> None:
        """Take a job as far as it goes."""
        if not (job / PLAN).exists():  # it died before it planned anything
            shutil.rmtree(job)
            return
        plan = read_json(job / PLAN)
        try:
            self._gather(job, plan)
            if (job / HANDED).exists():
                self._require_not_refused(plan)
            elif any(is_written(job / "files" / name) for name in plan["files"]):
                return  # somebody who opened it before still writes
            else:
                self._hand_over(job, plan)
        except Rejected as exc:
            if isinstance(exc, GatewayRefused) and is_the_worlds(exc):
                raise
            self.dead_letters.take(job, job.name, exc, id=plan["id"], files=[_readable(one) for one in plan["names"]])
            self._figures.items.labels("out", "refused").inc()
            return
        if not self.agency.waiting:
            move(job, self.sent / job.name)
            self._figures.items.labels("out", "sent").inc()

    def _gather(self, job: Path, plan: dict[str, Any]) -> None:
        """Let the job have its files. Rejected: what was planned, or a file that is gone or no longer one."""
        for name in plan["names"]:
            if not _exists(job / "files" / name) and _exists(self.out / name):
                move(self.out / name, job / "files" / name)
        if "refused" in plan:
            raise Rejected(**plan["refused"])
        for name in plan["names"]:
            if not _exists(job / "files" / name):
                raise Rejected("folder.file_missing", _readable(name))
            require_file(job / "files" / name, self._limits)

    def _hand_over(self, job: Path, plan: dict[str, Any]) -> None:
        files = [(name, job / "files" / name) for name in plan["files"]]
        require_unbroken(files)
        try:
            published = self.agency.state(plan["kind"], plan["fields"], files)
        except GatewayRefused as exc:
            if is_the_worlds(exc):  # it waits in the outbox until the agency is let in
                write_json(job / HANDED, None)
            raise
        receipt = published.receipt
        write_json(job / HANDED, None if receipt is None else {one: getattr(receipt, one) for one in receipt.__slots__})

    def _require_not_refused(self, plan: dict[str, Any]) -> None:
        code = self.agency.refused().get(plan["id"])
        if code is not None:
            raise Rejected(code, "refused by the exchange's gateway")


_SCHEMA = """
CREATE TABLE got (
    name text PRIMARY KEY, sender text NOT NULL, id text NOT NULL, thread text NOT NULL, append_ms integer NOT NULL
) STRICT;
CREATE INDEX got_id ON got (id);
"""


def _exists(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _readable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()
