"""Who looked, in the deep audit: a record of it that is gone, altered, moved there or said twice is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from exchange.auditor import Coordinates, Cut
from exchange.auditor.deep.accesses import AccessAudit
from exchange.auditor.findings import Findings
from exchange.backbone.accesses import ACCESSES, Access, encode
from exchange.backbone.durable import Place
from exchange.backbone.reading import Read
from exchange.statements import schema

PARTITIONS = 2


@dataclass
class Listed:
    """The topic as a list."""

    log: list[Read]

    def read(self, topic: str, partition: int) -> Iterator[Read]:
        return iter(self.log if (topic, partition) == (ACCESSES, 0) else [])

    def first(self, _: str, __: int) -> int:
        return 0


def look(number: int, *shown: Place) -> Read:
    access = Access("trace", "kiểm toán", "Vụ 17/2026", f"d{number}", bytes([number]) * 16)
    return Read(ACCESSES, 0, number, 0, access.id, encode(access, shown))


def looks() -> list[Read]:
    """The second and the third are pages of one export."""
    export = Access("export", "kiểm toán", "Vụ 18/2026", "{}", b"e" * 16)
    pages = [
        Read(ACCESSES, 0, number, 0, export.id, encode(export, [("documents", 0, number), ("statuses", 1, 7)]))
        for number in (1, 2)
    ]
    return [look(0, ("documents", 0, 1), ("documents", 1, 3)), *pages, look(3)]


def findings(log: list[Read]) -> list[tuple[str, Coordinates]]:
    found = Findings()
    counts = AccessAudit(None, Listed(log), Cut(PARTITIONS, 1, {}), found).run()
    assert counts.accesses <= len(log)
    return [(one.code, one.at) for one in found.listed]


def at(offset: int) -> Coordinates:
    return Coordinates(ACCESSES, 0, offset)


def test_what_was_recorded_holds() -> None:
    assert findings(looks()) == []
    assert findings([]) == []


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_one_that_is_gone(gone: int) -> None:
    log = looks()
    del log[gone]
    assert findings(log) == [("audit.missing_access", at(gone))]


def test_one_that_is_there_twice() -> None:
    log = looks()
    log.append(log[1]._replace(offset=4))
    assert findings(log) == [("audit.repeated_access", at(4))]


Spoil = Callable[[Read], Read]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda read: read._replace(key=b"another"),
        lambda read: read._replace(key=None),
        lambda read: read._replace(value=read.value[:-1]),
        lambda read: read._replace(value=b"x" + read.value[1:]),
        lambda read: read._replace(value=schema("delta").prefix + read.value[10:]),
        lambda _: look(1, ("documents", PARTITIONS, 0)),
        lambda _: look(1, ("documents", -1, 0)),
        lambda _: look(1, ("documents", 0, -1)),
        lambda _: look(1, ("trace", 0, 0)),
    ],
)
def test_one_that_nobody_can_have_written(spoil: Spoil) -> None:
    log = looks()
    log[1] = spoil(log[1])
    assert findings(log) == [("audit.altered_access", at(1))]
