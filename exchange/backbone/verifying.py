"""The gate over a whole batch, in two threads: `cryptography` lets go of the interpreter while it verifies."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from exchange.agencies.view import DirectoryView
from exchange.errors import InvariantBroken, Rejected, Unavailable
from exchange.pipeline.decide import Verdict
from exchange.pipeline.submission import Submission
from exchange.signatures import Trust, TrustCache, admit

SPLIT_FROM = 8
"""Smaller batches aren't worth a second thread."""


class Verifying:
    """The gate with the trust of a pinned directory view; `renew` it when the directory advances.

    `roots`: trusted root certificates (DER). `storage_keys`: of the object store, present and earlier ones.
    """

    def __init__(self, roots: Sequence[bytes], storage_keys: Sequence[bytes]) -> None:
        self._roots = roots
        self._storage_keys = tuple(storage_keys)
        self._cache = TrustCache()
        self._trust: Trust | None = None
        self._second = ThreadPoolExecutor(1, thread_name_prefix="verify")

    def renew(self, view: DirectoryView) -> None:
        """Trust what the directory says as of this view; what was checked before isn't checked again."""
        self._trust = Trust(view, self._roots, self._cache)

    def verdicts(self, submissions: Sequence[Submission]) -> list[Verdict]:
        """The gate's verdict on each submission, in order.

        Raises: Unavailable if the world is at fault (``crl.stale``), InvariantBroken for a bug of the gate.
        """
        if len(submissions) < SPLIT_FROM:
            return self._some(submissions)
        half = len(submissions) // 2
        other = self._second.submit(self._some, submissions[half:])
        return self._some(submissions[:half]) + other.result()

    def close(self) -> None:
        """Let the second thread go."""
        self._second.shutdown()

    def _some(self, submissions: Sequence[Submission]) -> list[Verdict]:
        trust, keys = self._trust, self._storage_keys
        if trust is None:
            raise InvariantBroken("verifying before the directory was read")
        verdicts: list[Verdict] = []
        for submission in submissions:
            try:
                verdicts.append(admit(submission.value, submission.append_ms, trust, storage_keys=keys))
            except Rejected as rejected:
                verdicts.append(rejected)
            except Unavailable:
                raise
            except Exception as exc:
                where = f"{submission.topic}/{submission.partition}/{submission.offset}"
                raise InvariantBroken(f"the gate failed on {where}: {exc!r}") from exc
        return verdicts
