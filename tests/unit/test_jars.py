"""The lock over the jars: what it does not name is never used, what was interrupted is completed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from exchange.errors import Misconfigured, Unavailable
from exchange.local.jars import Jar, class_path, find_problems, read_lock

_CONTENT = {f"g/a{n}/1/a{n}-1.jar": f"jar {n}".encode() for n in range(4)}


class Repository:
    """A Maven repository in memory; `fails` names jars whose download fails, `fetched` counts."""

    def __init__(self, content: dict[str, bytes]) -> None:
        self.content = dict(content)
        self.fails: dict[str, BaseException] = {}
        self.fetched: list[str] = []

    def __call__(self, jar: Jar, incoming: Path, count: Callable[[int], None]) -> Path:
        self.fetched.append(jar.name)
        file = incoming / jar.name
        if jar.path in self.fails:
            file.write_bytes(b"half")
            raise self.fails[jar.path]
        file.write_bytes(self.content[jar.path])
        count(len(self.content[jar.path]))
        return file


@pytest.fixture
def lock_file(tmp_path: Path) -> Path:
    lines = [f"{hashlib.sha256(data).hexdigest()} {len(data)} {path}\n" for path, data in _CONTENT.items()]
    file = tmp_path / "kafka.lock"
    file.write_text("# comment\n" + "".join(lines), encoding="utf-8")
    return file


def _files(joined: str) -> list[Path]:
    return [Path(part) for part in joined.split(":")]


def test_the_committed_lock_is_whole() -> None:
    jars = read_lock()
    assert len(jars) == 93
    names = {jar.name for jar in jars}
    assert {"kafka_2.13-4.3.1.jar", "kafka-clients-4.3.1.jar", "kafka-tools-4.3.1.jar"} <= names


def test_every_wrong_line_of_a_lock_is_told(tmp_path: Path) -> None:
    file = tmp_path / "kafka.lock"
    file.write_text(f"{'0' * 64} 1 g/a/1/a-1.jar\nabc 1 g/a/1/a-1.jar\n{'0' * 64} x g/a/1/b.jar\n", encoding="utf-8")
    with pytest.raises(Misconfigured) as caught:
        read_lock(file)
    assert [problem.partition(" ")[0] for problem in caught.value.problems] == [
        "kafka.lock:2:",
        "kafka.lock:3:",
    ]


def test_an_empty_lock_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "kafka.lock"
    file.write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(Misconfigured, match="names no jar"):
        read_lock(file)


def test_what_is_here_is_not_fetched_again(tmp_path: Path, lock_file: Path) -> None:
    repository = Repository(_CONTENT)
    seen: list[tuple[int, int]] = []
    report = lambda step, done=0, total=0: seen.append((done, total))  # noqa: E731 - a Report in a line
    first = class_path(tmp_path, report, lock_file, repository)
    assert [file.read_bytes() for file in _files(first)] == list(_CONTENT.values())
    assert seen[-1] == (20, 20)
    assert class_path(tmp_path, report, lock_file, repository) == first
    assert len(repository.fetched) == 4


def test_a_download_that_the_lock_does_not_know_is_refused(tmp_path: Path, lock_file: Path) -> None:
    repository = Repository(_CONTENT | {"g/a2/1/a2-1.jar": b"evil"})
    with pytest.raises(Misconfigured, match=r"g/a2/1/a2-1.jar .* kafka.lock says .* not used"):
        class_path(tmp_path, lock_file=lock_file, source=repository)
    assert list(tmp_path.rglob("a2-1.jar")) == []


def test_a_corrupted_jar_is_found_and_replaced(tmp_path: Path, lock_file: Path) -> None:
    repository = Repository(_CONTENT)
    first = class_path(tmp_path, lock_file=lock_file, source=repository)
    victim = _files(first)[1]
    os.truncate(victim, 3)
    problems = find_problems(victim.parent, read_lock(lock_file))
    assert list(problems) == [victim.name]
    assert "kafka.lock says" in problems[victim.name]
    assert class_path(tmp_path, lock_file=lock_file, source=repository) == first
    assert repository.fetched[4:] == [victim.name]
    assert find_problems(victim.parent, read_lock(lock_file)) == {}


@pytest.mark.parametrize("end", [KeyboardInterrupt(), Unavailable("kafka.download", "no network")])
def test_an_interrupted_download_is_completed_by_the_next_run(
    tmp_path: Path, lock_file: Path, end: BaseException
) -> None:
    repository = Repository(_CONTENT)
    repository.fails["g/a3/1/a3-1.jar"] = end
    with pytest.raises(type(end)):
        class_path(tmp_path, lock_file=lock_file, source=repository)
    assert list(tmp_path.rglob("a3-1.jar")) == [], "nothing half written"
    repository.fails.clear()
    files = _files(class_path(tmp_path, lock_file=lock_file, source=repository))
    assert find_problems(files[0].parent, read_lock(lock_file)) == {}
    assert list(files[0].parent.glob("incoming-*")) == []


def test_a_leftover_of_a_killed_download_is_removed(tmp_path: Path, lock_file: Path) -> None:
    folder = _files(class_path(tmp_path, lock_file=lock_file, source=Repository(_CONTENT)))[0].parent
    (folder / "incoming-left").mkdir()
    (folder / "a1-1.jar").unlink()
    class_path(tmp_path, lock_file=lock_file, source=Repository(_CONTENT))
    assert not (folder / "incoming-left").exists()
