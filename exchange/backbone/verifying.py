"""The gate over a whole batch. Two threads verify its signatures, which is half of all the work and lets go of the
interpreter; what needs the interpreter is done in one, for two would only take it from each other."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from exchange.agencies.view import DirectoryView
from exchange.errors import InvariantBroken, Rejected, Unavailable
from exchange.pipeline.decide import Verdict
from exchange.pipeline.submission import Submission
from exchange.signatures import Entered, Trust, TrustCache, enter

SPLIT_FROM = 8
"""Fewer signatures aren't worth a second thread."""
PORTION = 250
"""Submissions taken through the gate together: few enough to stay in the processor's cache."""


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
        verdicts: list[Verdict] = []
        for start in range(0, len(submissions), PORTION):
            verdicts += self._portion(submissions[start : start + PORTION])
        return verdicts

    def close(self) -> None:
        """Let the second thread go."""
        self._second.shutdown()

    def _portion(self, submissions: Sequence[Submission]) -> list[Verdict]:
        within = [self._enter(submission) for submission in submissions]
        waiting = [each for each in within if isinstance(each, Entered) and not each.is_verified]
        if len(waiting) < SPLIT_FROM:
            _verify(waiting)
        else:
            other = self._second.submit(_verify, waiting[::2])
            _verify(waiting[1::2])
            other.result()
        return [self._conclude(*each) for each in zip(submissions, within, strict=True)]

    def _enter(self, submission: Submission) -> Entered | Rejected:
        if self._trust is None:
            raise InvariantBroken("verifying before the directory was read")
        try:
            return enter(submission.value, submission.append_ms, self._trust)
        except Rejected as rejected:
            return rejected
        except Unavailable:
            raise
        except Exception as exc:
            raise _bug(submission, exc) from exc

    def _conclude(self, submission: Submission, within: Entered | Rejected) -> Verdict:
        if isinstance(within, Rejected):
            return within
        try:
            return within.conclude(self._storage_keys)
        except Rejected as rejected:
            return rejected
        except Exception as exc:
            raise _bug(submission, exc) from exc


def _verify(entered: Sequence[Entered]) -> None:
    for each in entered:
        each.verify()


def _bug(submission: Submission, exc: Exception) -> InvariantBroken:
    where = f"{submission.topic}/{submission.partition}/{submission.offset}"
    return InvariantBroken(f"the gate failed on {where}: {exc!r}")
