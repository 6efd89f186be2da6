"""A witness: cosigns the checkpoints of logs that it knows, as long as each begins with the one before.

Guarantees: of one log it cosigns a single growing tree, whatever it is asked and however often it dies: what it is
about to sign is durable before the answer is given. It needs nothing but the request: no tiles, no Kafka.

Source: C2SP tlog-witness (the request ``add-checkpoint``), tlog-cosignature v1.0.1. Over which channel requests come
is the caller's business.
"""

from __future__ import annotations

import base64
import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from exchange.backbone.folder import Folder
from exchange.errors import Misconfigured, Rejected, Unavailable
from exchange.ledger.checkpoint import HASH_BYTES, Checkpoint, cosign, decimal, open_checkpoint, parse_text
from exchange.ledger.notes import Line, NoteKey, VerifierKey, from_base64, parse_note
from exchange.ledger.tree import check_consistency
from exchange.signatures.merkle import EMPTY_ROOT

PROOF_MAX = 63
"""Hashes in a consistency proof."""

_STATE, _LOCK = "witnessed.json", "lock"


class Request(NamedTuple):
    """What a log asks: to cosign `checkpoint`, that begins with the tree of `old` leaves by `proof`."""

    old: int
    proof: list[bytes]
    checkpoint: bytes

    def encode(self) -> bytes:
        """The request's bytes."""
        lines = [f"old {self.old}", *(base64.b64encode(node).decode() for node in self.proof)]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.checkpoint


def parse_request(data: bytes) -> Request:
    """Read a request; Rejected ``witness.malformed``, ``note.malformed``."""
    head, found, checkpoint = data.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as exc:
        raise Rejected("witness.malformed", "not ASCII") from exc
    if not found or not first.startswith("old ") or len(lines) > PROOF_MAX:
        raise Rejected("witness.malformed", "no `old <size>`, or too long a proof")
    proof = [from_base64(line) for line in lines]
    if any(len(node) != HASH_BYTES for node in proof):
        raise Rejected("witness.malformed", "a hash of another length")
    return Request(decimal(first.removeprefix("old ")), proof, checkpoint)


class Witness:
    """One witness. `folder`: its own, for its state; `logs`: the keys of the logs that it watches."""

    def __init__(self, folder: Path, key: NoteKey, logs: Sequence[VerifierKey]) -> None:
        self._folder = Folder(folder)
        self._path = folder
        self._key = key
        self._logs = {log.name: log for log in logs}

    def add_checkpoint(self, request: Request, now_s: int) -> Line:
        """Cosign a checkpoint that is consistent with the last one; `now_s`: POSIX seconds, this machine's clock.

        The same again is cosigned again. Raises: Rejected ``witness.unknown_log``, ``note.*``, ``checkpoint.*``;
        ``witness.conflict`` (its detail is the size to prove from), ``ledger.inconsistent``; Unavailable
        ``storage.unavailable``: nothing was signed.
        """
        # 1. The checkpoint is a known log's.
        origin = parse_text(parse_note(request.checkpoint).text).origin
        log = self._logs.get(origin)
        if log is None:
            raise Rejected("witness.unknown_log", origin[:200])
        found = open_checkpoint(request.checkpoint, log)
        with self._alone():
            # 2. The proof begins at the last tree that was cosigned, and leads from it to this one.
            states = self._states()
            last = states.get(origin, Checkpoint(origin, 0, EMPTY_ROOT))
            if request.old != last.size:
                raise Rejected("witness.conflict", str(last.size))
            check_consistency(last.size, last.root, found.size, found.root, request.proof)
            # 3. It is durable before it is said.
            states[origin] = found
            self._write(states)
            # 4. Cosign.
            return cosign(found.text, self._key, now_s)

    def size(self, origin: str) -> int:
        """The size of the last tree of a log that was cosigned; 0 before the first."""
        last = self._states().get(origin)
        return 0 if last is None else last.size

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two processes of one witness mustn't both go on from the same tree."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with (self._path / _LOCK).open("a") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                yield
        except OSError as exc:
            raise Unavailable("storage.unavailable", str(exc)) from exc

    def _states(self) -> dict[str, Checkpoint]:
        """Misconfigured if what is there can't be read: forgetting would allow a fork."""
        data = self._folder.read(_STATE)
        if data is None:
            return {}
        try:
            content = json.loads(data)
            return {
                origin: Checkpoint(origin, int(one["size"]), bytes.fromhex(one["root"]))
                for origin, one in content.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise Misconfigured([f"the witness's state in {self._path} can't be read: {exc!r}"]) from exc

    def _write(self, states: dict[str, Checkpoint]) -> None:
        content = {origin: {"size": one.size, "root": one.root.hex()} for origin, one in states.items()}
        self._folder.replace(_STATE, json.dumps(content, indent=1).encode())
