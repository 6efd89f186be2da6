"""The tables of promises name what is there: every hard part its name in the code and its tests, every row of the
README's table of deaths a test that kills something."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

from exchange.backbone.topics import layout
from exchange.pipeline.routing import INBOX_TOPICS
from exchange.statements import SUBMISSION_TOPICS

ROOT = Path(__file__).parents[2]
PARTS = (
    "One partition knows everything about a document",
    "Same key, same partition, whoever writes",
    "Staged, then applied",
    "Restore in this order",
    "Urgent first, in one worker",
    "Fan-out",
    "Determinism",
    "What is signed",
    "Rejection without harm",
    "Bombs act before the gate",
    "The store",
    "The ledger's order",
    "Broker time can step back",
    "Retention",
    "Back-pressure",
    "Reading",
    "Poison",
)
"""The list in the design, in its order."""

KILLS = re.compile(r"kill|SIGKILL|SIGINT|SIGSTOP|terminate|\.stop\(|cut\(|fill\(|pytest\.mark\.fault|fault\(|hanging")
"""What a test's file holds that does harm to something."""

Row = list[str]


def rows(page: str, heading: str) -> list[Row]:
    """The rows of the Markdown table whose first column has that heading."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return found


def named(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


@lru_cache
def defined(path: str) -> frozenset[str]:
    """Classes, functions and methods of a file: ``name`` or ``Class::name``."""
    found: set[str] = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            inner = (each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}::{each.name}" for each in inner}
    return frozenset(found)


def named_tests(cell: str) -> list[tuple[str, str]]:
    """File and test of each one named; ``::test`` alone is of the file before it."""
    found, path = [], ""
    for name in named(cell):
        if "::" not in name:
            continue
        given, _, test = name.partition("::")
        path = given or path
        found.append((path, test))
    return found


HARD_PARTS = rows("docs/hard-parts.md", "the hard part")
DEATHS = rows("README.md", "what dies")


def test_no_hard_part_is_missing() -> None:
    assert tuple(row[0] for row in HARD_PARTS) == PARTS


@pytest.mark.parametrize("row", HARD_PARTS, ids=lambda row: row[0])
def test_a_hard_part_has_one_name_in_the_code(row: Row) -> None:
    [name] = named(row[1])
    path, _, where = name.partition("::")
    assert where.replace(".", "::") in defined(path), name


@pytest.mark.parametrize("row", HARD_PARTS, ids=lambda row: row[0])
def test_a_hard_part_has_tests_that_exist(row: Row) -> None:
    tests = named_tests(row[2])
    assert tests
    for path, test in tests:
        assert path.startswith("tests/")
        assert test in defined(path), f"{path}::{test}"
        assert test.rpartition("::")[2].startswith("test_")


def files_of(cell: str) -> list[Path]:
    """The test files named; one without a folder is looked for in all."""
    found = []
    for name in named(cell):
        if not name.endswith(".py"):
            continue
        paths = [ROOT / name] if "/" in name else sorted((ROOT / "tests").rglob(name))
        assert len(paths) == 1, f"{name}: {paths}"
        found += paths
    return found


@pytest.mark.parametrize("row", DEATHS, ids=lambda row: row[0])
def test_each_death_in_the_readme_has_a_test_that_does_it(row: Row) -> None:
    assert len(row) == 4
    files = files_of(row[3])
    assert files
    for file in files:
        assert any("test_" in name for name in defined(file.relative_to(ROOT).as_posix())), file
    assert any(KILLS.search(file.read_text(encoding="utf-8")) for file in files), "none of them does any harm"


def test_every_fault_test_is_in_the_readme() -> None:
    """Torture strikes everyone at random; so it belongs to no row, and stands below the table."""
    shown = {file for row in DEATHS for file in files_of(row[3])}
    left = {file.name for file in (ROOT / "tests/fault").glob("test_*.py") if file not in shown}
    assert left == {"test_torture.py"}


def test_submissions_are_kept_no_longer_than_inboxes_and_these_no_longer_than_the_trace() -> None:
    for embedded in (True, False):
        topics = layout(embedded=embedded).topics
        kept = {topic.name: topic.leaves_after_ms or float("inf") for topic in topics}
        assert {topic.config["retention.ms"] for topic in topics if topic.leaves_after_ms} == {"-1"}, "the archiver's"
        submissions = max(kept[topic] for topic in SUBMISSION_TOPICS)
        inboxes = [kept[topic] for topic in INBOX_TOPICS.values()]
        evidence = [kept[name] for name in ("trace", "dead-letters", "throughput.deltas", "store", "directory")]
        assert submissions <= min(inboxes)
        assert max(inboxes) <= min(evidence), "what an audit needs goes last"
