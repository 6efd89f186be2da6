"""The folder that holds everything the embedded services keep on this machine.

Guarantees: every folder is private to its owner (0700); at most one `up` or `down` works on a home at a
time, between processes too; ``home.json`` is replaced as a whole or not at all, so a crash leaves the old
one. Ports and the cluster id are chosen once and kept, so that a restart changes no address.
Does not: start or stop anything, or guard against a second machine on a shared file system.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from exchange.errors import Misconfigured, Unavailable
from exchange.local.waiting import POLL_S, wait_until

DEFAULT_HOME = Path(".exchange")
FORMAT_VERSION = 1

# Below the kernel's range for outgoing connections (32768-60999 on Linux), so that no client's socket
# happens to sit on a service's port while that service is down.
_PORTS = range(20_000, 32_000)
_PORT_GRACE_S = 2.0


def cache_folder() -> Path:
    """Folder shared by all homes of this user: ``$EXCHANGE_CACHE``, else ``exchange`` in the user's cache."""
    if chosen := os.environ.get("EXCHANGE_CACHE"):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "exchange"


def write_private(path: Path, text: str) -> None:
    """Replace `path` by `text` atomically, readable by its owner only (0600)."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)


def is_port_free(port: int) -> bool:
    """Tell whether a service could listen on 127.0.0.1:`port` right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def exclusive(lock_file: Path, wait_s: float) -> Iterator[None]:
    """Hold `lock_file` alone, between processes; the kernel lets go when the holder dies.

    Raises: Unavailable(``home.locked``) when another process still holds it after `wait_s` seconds.
    """
    deadline = time.monotonic() + wait_s
    with lock_file.open("a") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as exc:
                if time.monotonic() > deadline:
                    detail = f"another process has worked on {lock_file.parent} for {wait_s:.0f} s"
                    raise Unavailable("home.locked", detail) from exc
                time.sleep(POLL_S)
        yield


def _new_cluster_id() -> str:
    """Choose 128 random bits in Kafka's spelling: base64url, 22 characters, none that look like an option."""
    while (chosen := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return chosen


@dataclass(frozen=True, slots=True)
class State:
    """What a home remembers between runs. `nodes`: Kafka brokers, fixed at the first start."""

    cluster_id: str
    nodes: int
    ports: dict[str, int] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION


class Home:
    """A folder for the embedded services and their data; making the object touches nothing on disk."""

    def __init__(self, folder: Path | str = DEFAULT_HOME) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self.kafka = self.folder / "kafka"
        self.postgres = self.folder / "postgres"
        self.attachments = self.folder / "attachments"
        self.keys = self.folder / "keys"
        self.run = self.folder / "run"
        self.targets = self.folder / "targets"
        self.audits = self.folder / "audits"
        self.state_file = self.folder / "home.json"

    def create(self) -> None:
        """Make the folders that are missing, private to this user; idempotent."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in (self.kafka, self.postgres, self.attachments, self.keys, self.run):
            part.mkdir(mode=0o700, exist_ok=True)
        for part in (self.folder, self.keys, self.run):
            part.chmod(0o700)

    @contextlib.contextmanager
    def locked(self, wait_s: float = 180.0) -> Iterator[None]:
        """Keep every other `up` and `down` away from this home; the folder must exist.

        Raises: Unavailable(``home.locked``) after `wait_s`: try again when the other one is done.
        """
        with exclusive(self.folder / "lock", wait_s):
            yield

    def state(self) -> State | None:
        """Read what the home remembers; None before its first `up`.

        Raises: Misconfigured when ``home.json`` is not ours or was written by a later version.
        """
        try:
            text = self.state_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            content = json.loads(text)
            if content["format_version"] != FORMAT_VERSION:
                raise ValueError(f"format version {content['format_version']}, this is {FORMAT_VERSION}")
            ports = {str(name): int(port) for name, port in content["ports"].items()}
            return State(str(content["cluster_id"]), int(content["nodes"]), ports)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            problem = f"{self.state_file} cannot be read ({exc!r}): use the version that wrote it"
            raise Misconfigured([problem]) from exc

    def settle(self, nodes: int) -> State:
        """Choose the cluster id once and keep it; `nodes` must be what the home was made with.

        Raises: Misconfigured when the home has another number of brokers.
        """
        state = self.state()
        if state is None:
            state = State(_new_cluster_id(), nodes)
            self._write(state)
        elif state.nodes != nodes:
            problem = f"{self.folder} was made with {state.nodes} Kafka brokers, not {nodes}: use another home"
            raise Misconfigured([problem])
        return state

    def port(self, name: str, *, must_be_free: bool) -> int:
        """Give the port remembered for `name`, choosing a free one the first time.

        `must_be_free`: the service is about to start, so a remembered port that a stranger took meanwhile
        is replaced (and the address changes). Call under `locked`.
        """
        state = self.state()
        if state is None:
            raise Unavailable("home.empty", f"{self.folder} has no services yet: run up first")
        port = state.ports.get(name)
        if port is not None:
            # A killed JVM shows as ended while its last threads still hold the port for a moment.
            kept = port
            if not must_be_free or wait_until(lambda: is_port_free(kept), _PORT_GRACE_S):
                return port
        taken = set(state.ports.values())
        for _ in range(1_000):
            port = secrets.choice(_PORTS)
            if port not in taken and is_port_free(port):
                self._write(replace(state, ports={**state.ports, name: port}))
                return port
        raise Unavailable("home.no_free_port", f"no free port in {_PORTS.start}-{_PORTS.stop - 1}")

    def _write(self, state: State) -> None:
        write_private(self.state_file, json.dumps(asdict(state), indent=2) + "\n")
