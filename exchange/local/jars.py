"""The jars of the embedded Kafka: fetched once from Maven Central, pinned by ``kafka.lock``.

Guarantees: all homes of a user share one copy; a jar is on the class path only after its SHA-256 was found
in the lock; a download becomes visible whole or not at all, so an interrupted one is completed by the next
run. Later runs compare sizes and modification times with the note of that check: a millisecond, no resolver.
Does not: defend against someone who may write to this user's cache folder.
Renew the lock (new versions) with ``python -m exchange.local.jars --renew``, see `exchange.local.jars_lock`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from exchange.errors import Misconfigured, Unavailable
from exchange.local.home import cache_folder, exclusive, write_private
from exchange.local.progress import Report, silent

LOCK_FILE: Path = Path(__file__).with_name("kafka.lock")

_STEP = "Downloading Kafka"
_CHECKED = "checked.json"
_DOWNLOADS_AT_ONCE = 6
_WAIT_FOR_OTHER_S = 600.0


@dataclass(frozen=True, slots=True)
class Jar:
    """A jar that the lock names. `path`: in a Maven repository, ``group/artifact/version/file.jar``."""

    path: str
    sha256: str
    bytes: int

    @property
    def name(self) -> str:
        """The file's name, unique in the lock."""
        return self.path.rpartition("/")[2]


def read_lock(lock_file: Path = LOCK_FILE) -> tuple[Jar, ...]:
    """Read the lock: one ``sha256 bytes path`` a line, comments with ``#``.

    Raises: Misconfigured naming every line that is wrong.
    """
    jars: list[Jar] = []
    problems: list[str] = []
    for number, line in enumerate(lock_file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match line.split():
            case [sha256, size, path] if len(sha256) == 64 and size.isdecimal() and path.count("/") > 2:
                jars.append(Jar(path, sha256, int(size)))
            case _:
                problems.append(f"{lock_file.name}:{number}: expected 'sha256 bytes path', found {line!r}")
    if len({jar.name for jar in jars}) != len(jars):
        problems.append(f"{lock_file.name}: a jar is named twice")
    if problems or not jars:
        raise Misconfigured(problems or [f"{lock_file.name} names no jar"])
    return tuple(jars)


def find_problems(folder: Path, jars: Sequence[Jar]) -> dict[str, str]:
    """Hash every jar in `folder`; what is wrong, by the jar's name. Empty: all are as locked."""
    problems: dict[str, str] = {}
    for jar in jars:
        try:
            found = sha256_of(folder / jar.name)
        except FileNotFoundError:
            problems[jar.name] = "missing"
            continue
        if found != jar.sha256:
            problems[jar.name] = f"has SHA-256 {found}, kafka.lock says {jar.sha256}"
    return problems


def class_path(
    cache: Path | None = None,
    report: Report = silent,
    lock_file: Path = LOCK_FILE,
    source: Source | None = None,
) -> str:
    """Give the Java class path of the embedded Kafka, downloading what is missing; idempotent.

    `cache`: parent of the jars' folder, by default this user's. `source`: by default Maven Central.
    Ctrl-C keeps what is complete and leaves nothing half written.
    Raises: Unavailable(``kafka.download``) when the network fails, try again; Misconfigured when a
    download is not what the lock says: don't go on, find out why.
    """
    jars = read_lock(lock_file)
    pinned = hashlib.sha256(repr(jars).encode()).hexdigest()[:12]
    folder = (cache or cache_folder()) / f"kafka-{pinned}"
    if not _is_checked(folder, jars):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with exclusive(folder / "lock", _WAIT_FOR_OTHER_S):
            if not _is_checked(folder, jars):
                _complete(folder, jars, report, source or _from_maven)
    return ":".join(str(folder / jar.name) for jar in jars)


# Fetches one jar into a folder and gives the file; tells the callback how many bytes came in.
Source = Callable[[Jar, Path, Callable[[int], None]], Path]


def sha256_of(file: Path) -> str:
    """Hash a file, lower-case hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _stamps(folder: Path, jars: Sequence[Jar]) -> dict[str, list[int]]:
    stats = {jar.name: (folder / jar.name).stat() for jar in jars}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _is_checked(folder: Path, jars: Sequence[Jar]) -> bool:
    try:
        noted = json.loads((folder / _CHECKED).read_text(encoding="utf-8"))
        return bool(noted == _stamps(folder, jars))
    except (FileNotFoundError, ValueError):
        return False


def _complete(folder: Path, jars: Sequence[Jar], report: Report, fetch: Source) -> None:
    for leftover in folder.glob("incoming-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    bad = find_problems(folder, jars)
    missing = [jar for jar in jars if jar.name in bad]
    if missing:
        with tempfile.TemporaryDirectory(prefix="incoming-", dir=folder) as incoming:
            _fetch_all(missing, Path(incoming), folder, report, fetch)
    write_private(folder / _CHECKED, json.dumps(_stamps(folder, jars)))


def _fetch_all(jars: Sequence[Jar], incoming: Path, folder: Path, report: Report, fetch: Source) -> None:
    total = sum(jar.bytes for jar in jars)
    stopped = threading.Event()
    counting = threading.Lock()
    received = 0

    def count(more: int) -> None:
        nonlocal received
        if stopped.is_set():
            raise Unavailable("kafka.download", "stopped")
        with counting:
            received += more
            report(_STEP, min(received, total), total)

    report(_STEP, 0, total)
    with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
        try:
            tasks = {pool.submit(fetch, jar, incoming, count): jar for jar in jars}
            for task in as_completed(tasks):
                _accept(tasks[task], task.result(), folder)
        except BaseException:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    report(_STEP, total, total)


def _accept(jar: Jar, file: Path, folder: Path) -> None:
    found = sha256_of(file)
    if found != jar.sha256:
        problem = f"{jar.path} was downloaded with SHA-256 {found}, kafka.lock says {jar.sha256}: not used"
        raise Misconfigured([problem])
    file.replace(folder / jar.name)


def _from_maven(jar: Jar, incoming: Path, count: Callable[[int], None]) -> Path:
    """Take a jar from the user's Maven folder if it is there and right, else from Maven Central."""
    try:  # here, because these take 0.4 s and are needed once in a cache's life
        import requests
        from jgo.maven import MavenContext, PythonResolver
    except ImportError as exc:
        raise Misconfigured([f"the package {exc.name} is missing: install exchange-backbone[local]"]) from exc

    @contextmanager
    def progress(name: str, total: int) -> Iterator[Callable[[int], None]]:
        yield count

    known = Path("~/.m2/repository").expanduser() / jar.path
    if known.is_file() and sha256_of(known) == jar.sha256:
        count(jar.bytes)
        return Path(shutil.copyfile(known, incoming / jar.name))
    *group, artifact, version, name = jar.path.split("/")
    kind = name.removeprefix(f"{artifact}-{version}").removesuffix(".jar").removeprefix("-")
    context = MavenContext(PythonResolver(progress_callback=progress), repo_cache=incoming, timeout=30)
    component = context.project(".".join(group), artifact).at_version(version)
    try:
        file = Path(str(context.resolver.download(component.artifact(kind))))
    except (requests.RequestException, OSError, RuntimeError) as exc:
        detail = f"{jar.name} could not be fetched from Maven Central ({exc}); run again to go on from here"
        raise Unavailable("kafka.download", detail) from exc
    return file


if __name__ == "__main__":
    from exchange.local.jars_lock import main

    main()
