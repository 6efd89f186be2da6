"""The inboxes against what the statements must have led to: each recipient's copy exactly once, byte for byte.

Guarantees: every delivery and notice that lies in an inbox is matched with one expectation of the same source
coordinates, inbox partition, key, recipients, digest, times and bytes, or named; so is every expectation without
one. Holds about 30 bytes for each expected record, until its inbox was read.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

from exchange.auditor.books import Coordinates
from exchange.auditor.columns import Column
from exchange.auditor.cut import Cut
from exchange.auditor.findings import Findings
from exchange.auditor.own_word import Voice, open_word
from exchange.auditor.recount import inbox_of
from exchange.auditor.said import statement_in
from exchange.auditor.tally import Tally
from exchange.backbone.reading import Read
from exchange.errors import Rejected
from exchange.statements import Fields, identify

NOTICE = ("notice", 0)
"""The group of what the backbone itself says."""

MISPLACED_MAX = 10_000
"""How many surplus records are kept, to be told apart from those that lie in the wrong partition."""

Inbox = tuple[int, int]
"""Level and partition."""

_COLUMNS = tuple[int, int, str, int]
_OF = {True: "notice", False: "delivery"}


class _Surplus(NamedTuple):
    where: str
    is_notice: bool
    statement_id: str


class Inboxes:
    """Expectations by inbox and source; `expect` them all, then `check` each inbox, then `finish`."""

    def __init__(self, cut: Cut, tally: Tally, findings: Findings, backbone: Voice | None = None) -> None:
        """`backbone`: who must have signed the notices; None: their signatures aren't looked at."""
        self._cut = cut
        self._backbone = backbone
        self._tally = tally
        self._findings = findings
        self._columns: dict[_COLUMNS, Column] = {}
        self._groups: dict[tuple[str, int], int] = {NOTICE: 0}
        self._group_at: list[tuple[str, int]] = [NOTICE]
        self._singles: dict[str, tuple[str, ...]] = {}
        self._surplus: dict[tuple[Coordinates, int], _Surplus] = {}

    def expect(
        self, inbox: Inbox, at: Coordinates, content: int, recipients: tuple[str, ...], group: tuple[str, int]
    ) -> None:
        """Expect one record. `content`: see `content_of`; `group`: kind and sender's level, or `NOTICE`."""
        if len(recipients) == 1:
            recipients = self._singles.setdefault(recipients[0], recipients)
        mark = self._groups.get(group)
        if mark is None:
            mark = self._groups[group] = len(self._group_at)
            self._group_at.append(group)
        key = (*inbox, at.topic, at.partition)
        column = self._columns.get(key)
        if column is None:
            column = self._columns[key] = Column()
        column.add(at.offset, content, recipients, mark)

    def check(self, inbox: Inbox, deliveries: Iterator[tuple[Read, Fields]]) -> None:
        """Match what lies in one inbox partition; each column that is settled by then is let go."""
        covers, columns = self._cut.covers, self._columns
        for read, fields in deliveries:
            at = Coordinates(fields["topic"], fields["partition"], fields["offset"])
            if not covers(*at):
                self._check_source(at)
                continue
            content = _content(read, tuple(fields["recipients"]), fields, sha256(fields["record"]).digest())
            column = columns.get((*inbox, at.topic, at.partition))
            match = None if column is None else column.take(at.offset, content)
            if column is None or match is None:
                self._diagnose(inbox, at, read, fields)
                continue
            self._count(inbox, at, column, match.place, len(fields["recipients"]))
            if match.late:
                self._findings.add("audit.delivery_out_of_order", at, _where(inbox))
        for key in [k for k, column in columns.items() if k[:2] == inbox and column.is_settled]:
            del columns[key]

    def finish(self) -> None:
        """Name what is missing, what lies in another partition, and what is too much."""
        for (level, partition, topic, number), column in self._columns.items():
            for index in column.left():
                at = Coordinates(topic, number, column.offsets[index])
                is_notice = self._group_at[column.marks[index]] == NOTICE
                names = _shorten(column.payloads[index])
                where = _where((level, partition))
                elsewhere = self._surplus.pop((at, column.contents[index]), None)
                if elsewhere is None:
                    self._findings.add(f"audit.missing_{_OF[is_notice]}", at, f"{where} has nothing for {names}")
                else:
                    sentence = f"it is in {elsewhere.where}, not in {where}, for {names}"
                    self._findings.add("audit.misplaced_delivery", at, sentence)
        for (at, _), surplus in self._surplus.items():
            self._report_surplus(at, surplus)

    def _check_source(self, at: Coordinates) -> None:
        if (at.topic, at.partition) not in self._cut.next_offsets:
            self._findings.add("audit.surplus_delivery", at, "no such source partition")

    def _count(self, inbox: Inbox, at: Coordinates, column: Column, index: int, recipients: int) -> None:
        kind, sender_level = group = self._group_at[column.marks[index]]
        if group == NOTICE:
            self._tally.notices += 1
        else:
            self._tally.delivered((at.topic, at.partition, kind, sender_level, inbox[0]), recipients)

    def _diagnose(self, inbox: Inbox, at: Coordinates, read: Read, fields: Fields) -> None:
        """A record that didn't match at once: a notice, the recipients in another order, or something wrong."""
        is_notice, statement_id, bytes_digest = _opened(fields["record"])
        if is_notice and self._backbone is not None:
            try:
                open_word(fields["record"], "notice", self._backbone)
            except Rejected as exc:
                self._findings.add("audit.altered_notice", at, f"in {_where(inbox)}: {exc}", statement_id)
        column = self._columns.get((*inbox, at.topic, at.partition), Column())
        found = sorted(fields["recipients"])
        content = _content(read, tuple(fields["recipients"]), fields, bytes_digest)
        same = [i for i in column.at(at.offset) if (self._group_at[column.marks[i]] == NOTICE) == is_notice]
        for index in same:
            recipients = column.payloads[index]
            if sorted(recipients) != found or column.taken[index]:
                continue
            expected = _content(read, recipients, fields, bytes_digest)
            match = column.take(at.offset, expected)
            if match is not None:
                self._count(inbox, at, column, match.place, len(found))
                if match.late:
                    self._findings.add("audit.delivery_out_of_order", at, _where(inbox))
                return
        untaken = [index for index in same if not column.taken[index]]
        if untaken:
            self._differs(inbox, at, column, untaken[0], found)
        elif same:
            self._findings.add(f"audit.doubled_{_OF[is_notice]}", at, f"again in {_where(inbox)}")
        elif at not in self._findings.doubted:
            surplus = _Surplus(f"{_where(inbox)}@{read.offset}", is_notice, statement_id)
            if len(self._surplus) < MISPLACED_MAX and (at, content) not in self._surplus:
                self._surplus[at, content] = surplus
            else:
                self._report_surplus(at, surplus)

    def _differs(self, inbox: Inbox, at: Coordinates, column: Column, index: int, found: list[str]) -> None:
        """Say how what lies there differs from the expectation that it stands for."""
        column.tick(index)
        expected = set(column.payloads[index])
        self._count(inbox, at, column, index, len(expected.intersection(found)))
        where = _where(inbox)
        missing, surplus = expected.difference(found), list(found)
        for recipient in expected.intersection(found):
            surplus.remove(recipient)
        if missing:
            self._findings.add("audit.missing_recipient", at, f"{where} lacks {_shorten(sorted(missing))}")
        if surplus:
            self._findings.add("audit.surplus_recipient", at, f"{where} also names {_shorten(surplus)}")
        if not missing and not surplus:
            kind = _OF[self._group_at[column.marks[index]] == NOTICE]
            self._findings.add(f"audit.altered_{kind}", at, f"in {where}: key, digest, time, offset or bytes")

    def _report_surplus(self, at: Coordinates, surplus: _Surplus) -> None:
        code = f"audit.surplus_{_OF[surplus.is_notice]}"
        self._findings.add(code, at, f"{surplus.where}, statement {surplus.statement_id[:64]!r}")


def content_of(
    key: bytes | None,
    recipients: tuple[str, ...],
    digest: bytes,
    append_ms: int,
    directory_offset: int,
    bytes_digest: bytes,
) -> int:
    """What must be equal of a delivery. `digest`: SHA-256 of the statement; `bytes_digest`: of the record.

    The signature of a notice can't be derived: there `bytes_digest` is the statement's too.
    """
    return hash((key, recipients, digest, append_ms, directory_offset, bytes_digest))


def _content(read: Read, recipients: tuple[str, ...], fields: Fields, bytes_digest: bytes) -> int:
    append_ms, directory_offset = fields["append_ms"], fields["directory_offset"]
    return content_of(read.key, recipients, fields["sha256"], append_ms, directory_offset, bytes_digest)


def _opened(record: bytes) -> tuple[bool, str, bytes]:
    """Whether a delivered record is a notice, its statement's id, and the digest to compare."""
    try:
        raw = statement_in(record)
        found = identify(raw)
        fields = found.decode(raw)
    except Rejected:
        return False, "", sha256(record).digest()
    is_notice = found.name == "notice"
    return is_notice, str(fields.get("id", "")), sha256(raw if is_notice else record).digest()


def _where(inbox: Inbox) -> str:
    return f"{inbox_of(inbox[0])}/{inbox[1]}"


def _shorten(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
