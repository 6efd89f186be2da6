"""`python -m tests.fuzz.evidence FOLDER [libFuzzer's options]`: evidence files that a stranger made.

Two ways in, by the input's first byte: the whole file as it is; or one proving part replaced and the manifest made to
fit, as a forger would, so that what lies behind the first digest is reached as well. Whatever comes, there is a verdict
within `TIMEOUT_S`; and it isn't good, unless the proving parts are those of the true file.

FOLDER gets the seeds, whatever made something new run, and the true file with its anchors, so that an input that broke
it (``crash-…``) can be tried again: ``python -m tests.fuzz.evidence FOLDER crash-…``.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["exchange.ledger", "exchange.signatures", "exchange.statements"]):
    from exchange.errors import Rejected
    from exchange.ledger.evidence import Anchors, contents, verify
    from exchange.ledger.evidence.archive import pack, unpack
    from exchange.ledger.notes import VerifierKey

from tests.support.evidence_world import CHECKED_MS, LOG, make

PARTS = (*contents.SOURCES, contents.CHECKPOINT_STAMP)
"""The proving parts."""

TIMEOUT_S = 10
MEMORY_MB = 1_024
INPUT_BYTES_MAX = 24 * 1024
PLANTED = "EXCHANGE_FUZZ_PLANTED"
"""Set, a reader has a bug: a control that the fuzzer would find one."""

WHOLE = 0
"""The first byte of an input that is a whole file; any other names a proving part."""


class Target:
    """The true file, and what is tried instead of it."""

    def __init__(self, folder: Path) -> None:
        true = folder / "true.zip"
        if not true.exists():
            made = make(folder / "ledger", filler=3, stamped=True)
            true.write_bytes(made.file)
            (folder / "root.der").write_bytes(made.world.authority.root_certificate)
            (folder / "ledger.vkey").write_text(str(LOG.verifier))
        key = VerifierKey.parse((folder / "ledger.vkey").read_text())
        self._anchors = Anchors.plain([(folder / "root.der").read_bytes()], key)
        self._file = true.read_bytes()
        self._parts = unpack(self._file)
        self._about = contents.read_manifest(self._parts[contents.MANIFEST])["document"]

    def seeds(self) -> list[bytes]:
        """The true file, and each of its proving parts."""
        parts = [bytes([at]) + self._parts[name] for at, name in enumerate(PARTS, 1)]
        return [bytes([WHOLE]) + self._file, *parts]

    def __call__(self, data: bytes) -> None:
        """Try one input."""
        if not data:
            return
        kind, rest = data[0] % (len(PARTS) + 1), data[1:]
        file = rest if kind == WHOLE else self._forged(PARTS[kind - 1], rest)
        verdict = verify(file, self._anchors, CHECKED_MS)
        if verdict.holds:
            # A checkpoint may bear lines of witnesses that nobody asked for: they aren't ours to judge.
            parts = unpack(file)
            differ = {name for name in PARTS if parts[name] != self._parts[name]}
            assert differ <= {contents.CHECKPOINT}, f"holds, though {differ} differ"
        else:
            try:
                verdict.require()
            except Rejected:
                return
            raise AssertionError("no reason")

    def _forged(self, name: str, data: bytes) -> bytes:
        parts = {**self._parts, name: data}
        others = {one: parts[one] for one in parts if one != contents.MANIFEST}
        return pack({contents.MANIFEST: contents.manifest(others, self._about), **others})


def plant() -> None:
    """A bug, as a control: a reader that stumbles over a certificate that was cut off."""
    read = contents.read_pem

    def buggy(name: str, label: str, data: bytes) -> list[bytes]:
        if data.count(b"-----BEGIN") != data.count(b"-----END"):
            raise ZeroDivisionError("planted")
        return read(name, label, data)

    contents.read_pem = buggy


def main() -> None:
    """Fuzz until libFuzzer's options say that it is enough; exit code 0 if nothing broke."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="exchange-fuzz-"))
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    target = Target(folder)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    if os.environ.get(PLANTED):
        plant()
    options = [f"-timeout={TIMEOUT_S}", f"-rss_limit_mb={MEMORY_MB}", f"-max_len={INPUT_BYTES_MAX}"]
    # Every seed is the true file in the end, so by its coverage alone libFuzzer would drop all but one.
    options += [f"-artifact_prefix={folder}/", "-keep_seed=1"]
    given = sys.argv[2:]
    places = [] if any(not one.startswith("-") for one in given) else [str(corpus)]
    atheris.Setup([sys.argv[0], *options, *given, *places], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
