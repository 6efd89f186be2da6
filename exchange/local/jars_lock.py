"""Renews ``kafka.lock``: resolves the Kafka coordinates anew on Maven Central and pins what came out.

Run ``python -m exchange.local.jars --renew`` after a change of `COORDINATES`, read the difference, commit it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

from exchange.local.jars import LOCK_FILE, Jar, class_path, read_lock, sha256_of
from exchange.local.progress import on_terminal

KAFKA_VERSION = "4.3.1"
LOG4J_VERSION = "2.25.1"
COORDINATES = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    # Named, or else the resolver picks 3.9.1 and the broker dies with NoSuchMethodError.
    f"org.apache.kafka:kafka-clients:{KAFKA_VERSION}",
    f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
    f"org.apache.logging.log4j:log4j-core:{LOG4J_VERSION}",
    f"org.apache.logging.log4j:log4j-slf4j-impl:{LOG4J_VERSION}",
)
_HEADER = f"""\
# The jars of the embedded Kafka {KAFKA_VERSION}: SHA-256, bytes, path in Maven Central. One a line.
# Renew: change COORDINATES in exchange/local/jars_lock.py, run `python -m exchange.local.jars --renew`,
# read the difference, run the integration tests, commit.
"""


def resolve() -> tuple[Jar, ...]:
    """Resolve `COORDINATES` with everything they need, download each jar into a fresh folder, hash it."""
    from jgo.maven import MavenContext  # slow to import, rarely needed

    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder)
        context = MavenContext(repo_cache=repository)
        wanted = [context.create_dependency(name) for name in COORDINATES]
        named, pulled = context.resolver.resolve(wanted)
        needed = [*named, *(one for one in pulled if one.scope in {"compile", "runtime"})]
        files = {Path(one.artifact.resolve()) for one in needed}
        jars = [Jar(file.relative_to(repository).as_posix(), sha256_of(file), file.stat().st_size) for file in files]
    return tuple(sorted(jars, key=lambda jar: jar.path))


def renew(lock_file: Path = LOCK_FILE) -> tuple[Jar, ...]:
    """Write `lock_file` anew from a real resolution, which downloads every jar."""
    jars = resolve()
    lines = [f"{jar.sha256} {jar.bytes:>8} {jar.path}\n" for jar in jars]
    lock_file.write_text(_HEADER + "".join(lines), encoding="utf-8")
    return jars


def main() -> None:
    """Download what the lock names, or renew it: the command line of this room's jars."""
    parser = argparse.ArgumentParser(prog="python -m exchange.local.jars", description=main.__doc__)
    parser.add_argument("--renew", action="store_true", help="resolve anew and write kafka.lock")
    console = Console(stderr=True)
    if parser.parse_args().renew:
        console.print(f"{len(renew())} jars pinned in {LOCK_FILE.name}")
    with on_terminal(console) as report:
        class_path(report=report)
    console.print(f"{len(read_lock())} jars are here and are what the lock says")
