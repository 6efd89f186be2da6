"""The gate over a whole batch. Two threads verify its signatures, which is half of all the work and lets go of the
interpreter; what needs the interpreter is done in one, for two would only take it from each other.

What an operator set aside doesn't enter the gate. A bug of the gate's names the record that tripped it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from exchange.agencies.entries import SettingAside
from exchange.agencies.view import DirectoryView
from exchange.errors import InvariantBroken, Rejected, Unavailable
from exchange.pipeline.decide import Verdict, decision_on
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
        self._deciding: DirectoryView | None = None
        """The view, if it may set anything aside."""
        self._second = ThreadPoolExecutor(1, thread_name_prefix="verify")

    def renew(self, view: DirectoryView) -> None:
        """Trust what the directory says as of this view; what was checked before isn't checked again."""
        self._trust = Trust(view, self._roots, self._cache)
        self._deciding = view if view.sets_anything_aside else None

    def verdicts(self, submissions: Sequence[Submission]) -> list[Verdict | SettingAside]:
        """The gate's verdict on each submission, in order; or the decision to set it aside.

        Raises: Unavailable if the world is at fault (``crl.stale``), InvariantBroken for a bug of the gate.
        """
        verdicts: list[Verdict | SettingAside] = []
        for start in range(0, len(submissions), PORTION):
            verdicts += self._portion(submissions[start : start + PORTION])
        return verdicts

    def close(self) -> None:
        """Let the second thread go."""
        self._second.shutdown()

    def _portion(self, submissions: Sequence[Submission]) -> list[Verdict | SettingAside]:
        within: Sequence[Entered | Rejected | SettingAside]
        if self._deciding is None:
            within = [self._enter(submission) for submission in submissions]
        else:
            within = [decision_on(each, self._deciding) or self._enter(each) for each in submissions]
        pairs = zip(submissions, within, strict=True)
        waiting = [(s, each) for s, each in pairs if isinstance(each, Entered) and not each.is_verified]
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

    def _conclude(self, submission: Submission, within: Entered | Rejected | SettingAside) -> Verdict | SettingAside:
        if not isinstance(within, Entered):
            return within
        try:
            return within.conclude(self._storage_keys)
        except Rejected as rejected:
            return rejected
        except Exception as exc:
            raise _bug(submission, exc) from exc


def _verify(waiting: Sequence[tuple[Submission, Entered]]) -> None:
    for submission, entered in waiting:
        try:
            entered.verify()
        except Exception as exc:
            raise _bug(submission, exc) from exc


def _bug(submission: Submission, exc: Exception) -> InvariantBroken:
    return InvariantBroken(f"the gate failed on {submission.place}: {exc!r}", submission.place)
