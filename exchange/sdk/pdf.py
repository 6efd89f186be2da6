"""Signatures inside PDF files (PAdES), verified: who signed, whether it still holds, and what was added afterwards.

Guarantees: a file is read in a process of its own, bounded in time and memory, so that a hostile one harms nobody; it
isn't changed. What pyHanko can't read is a signature that doesn't hold, never one that does. Nothing is fetched:
revocation is judged by what the file carries, else left open (`is_trusted` is about the chain up to `roots`).

Not said: that the signer may sign for the agency. That the statement's own signatures say.

Source: ISO 32000-2 §12.8; ETSI EN 319 142-1 (PAdES); pyHanko (extra ``pdf``).
"""

from __future__ import annotations

import base64
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from exchange.errors import Misconfigured

BYTES_MAX = 100 * 1024 * 1024
"""Larger ones aren't looked into: `is_readable` is False."""
SIGNATURES_MAX = 50
SECONDS_MAX = 30
MEMORY_BYTES_MAX = 1024 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024
_MARK, _SIGNED = b"%PDF-", b"/ByteRange"


@dataclass(frozen=True, slots=True)
class PdfSignature:
    """One signature of a file. `signer`: the certificate's subject; `sha256`: of the certificate, hex, empty if there
    is none; `claimed`: when, by the signer's own clock (ISO 8601), empty if it doesn't say.

    `holds`: the bytes that it covers are those that were signed, and what was added later is what a PDF permits;
    `is_trusted`: the chain ends at a root of the caller's; `is_whole`: nothing was added after it.
    """

    signer: str
    sha256: str
    claimed: str
    holds: bool
    is_trusted: bool
    is_whole: bool
    problem: str = ""


def is_signed_pdf(path: Path) -> bool:
    """Whether a file begins as a PDF and holds what a signature needs; takes one pass over it."""
    with path.open("rb") as stream:
        head = stream.read(CHUNK_BYTES)
        if _MARK not in head[:1024]:
            return False
        tail = b""
        while head:
            if _SIGNED in tail + head:
                return True
            tail, head = head[-len(_SIGNED) :], stream.read(CHUNK_BYTES)
    return False


def pdf_signatures(path: Path, roots: Sequence[bytes] = ()) -> list[PdfSignature]:
    """The signatures of a PDF, the oldest first; none for what is no PDF or isn't signed.

    `roots`: DER of the issuers to trust. Raises: Misconfigured if the extra isn't installed; OSError.
    """
    if not is_signed_pdf(path):
        return []
    if path.stat().st_size > BYTES_MAX:
        return [_unreadable(f"more than {BYTES_MAX} bytes")]
    asked = json.dumps({"path": str(path.resolve()), "roots": [base64.b64encode(one).decode() for one in roots]})
    try:
        done = subprocess.run(
            [sys.executable, "-m", "exchange.sdk.pdf"], input=asked, capture_output=True, text=True,
            timeout=SECONDS_MAX, check=False, cwd=Path(__file__).parents[2], env=dict(os.environ),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [_unreadable(f"more than {SECONDS_MAX} s")]
    if done.returncode != 0:
        if "No module named 'pyhanko'" in done.stderr:
            raise Misconfigured(["pyhanko is missing: install the extra `pdf` (pip install 'exchange-backbone[pdf]')"])
        return [_unreadable(done.stderr.strip().rpartition("\n")[2][:200] or f"ended with {done.returncode}")]
    return [PdfSignature(**one) for one in json.loads(done.stdout)]


def _unreadable(problem: str) -> PdfSignature:
    return PdfSignature("", "", "", holds=False, is_trusted=False, is_whole=False, problem=problem)


def _read(path: Path, roots: Iterable[bytes]) -> list[PdfSignature]:
    """In the process of its own."""
    from asn1crypto import x509
    from pyhanko.pdf_utils.reader import PdfFileReader
    from pyhanko_certvalidator import ValidationContext

    trusted = [x509.Certificate.load(one) for one in roots]
    with path.open("rb") as stream:
        found = PdfFileReader(stream).embedded_regular_signatures
        if not found or len(found) > SIGNATURES_MAX:
            return [_unreadable(f"{len(found)} signatures")]
        return [_judged(one, ValidationContext(trust_roots=trusted, allow_fetching=False)) for one in found]


def _judged(one: Any, context: Any) -> PdfSignature:  # noqa: ANN401  pyHanko's
    from pyhanko.sign.validation import SignatureCoverageLevel, validate_pdf_signature

    status = validate_pdf_signature(one, context)
    at = status.signer_reported_dt
    whole = status.coverage == SignatureCoverageLevel.ENTIRE_FILE
    holds = bool(status.intact and status.valid and (whole or status.docmdp_ok))
    problem = "" if holds else "not what was signed" if not status.intact else "changed afterwards"
    certificate = status.signing_cert
    return PdfSignature(
        certificate.subject.human_friendly, certificate.sha256.hex(), "" if at is None else at.isoformat(),
        holds, bool(status.trusted), whole, problem,
    )  # fmt: skip


def main() -> None:
    """Answer one question, bounded."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS_MAX, SECONDS_MAX))
    asked = json.load(sys.stdin)
    import pyhanko  # noqa: F401  said plainly where it is missing

    try:
        found = _read(Path(asked["path"]), map(base64.b64decode, asked["roots"]))
    except Exception as exc:  # noqa: BLE001  any error of a parser is an answer: it doesn't hold
        found = [_unreadable(f"{type(exc).__name__}: {exc}"[:200])]
    json.dump([asdict(one) for one in found], sys.stdout)


if __name__ == "__main__":
    main()
