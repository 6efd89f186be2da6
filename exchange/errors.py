"""The errors of the exchange: whose fault it is decides what happens next.

`Rejected` is the statement's fault, `Unavailable` the world's, `Misconfigured` the operator's,
`Fenced` nobody's (ownership moved), `InvariantBroken` ours. A library's exception is translated once,
at the seam where it enters, with `from exc`.

An outsider gets `code` and never the detail; the detail is for the log and the evidence.
"""

from __future__ import annotations


class ExchangeError(Exception):
    """Base of every error that the exchange raises on purpose.

    `code`: stable, dotted, lower case (``certificate.revoked``); part of the public interface.
    `detail`: for operators and evidence only, may quote hostile input, never sent to a sender.
    """

    retriable = False

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else self.code


class Rejected(ExchangeError):
    """The statement is at fault: keep it as a dead letter, tell whom its signature proves, go on.

    `sender`: the agency whose signature has verified, so may be told; None before that. `statement`: what was
    decoded, if it came so far; its sender is only a claim while `sender` is None.
    """

    sender: str | None = None
    statement: object | None = None


class Unavailable(ExchangeError):
    """The world is at fault: wait and try again, within a bound; commit nothing meanwhile."""

    retriable = True


class Fenced(ExchangeError):
    """We lost ownership to a successor: stop, commit nothing."""


class Misconfigured(ExchangeError):
    """Refuse to start; `problems` lists everything that is wrong, at once."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("misconfigured", "; ".join(problems))
        self.problems = problems

    def __reduce__(self) -> tuple[type[Misconfigured], tuple[list[str]]]:
        """Go from one process to another."""
        return Misconfigured, (self.problems,)


class InvariantBroken(ExchangeError):
    """Our own bug: stop loudly, keep the evidence; never a dead letter, never retried.

    `record`: the submission that tripped it (``topic/partition/offset``), where it was one: an operator may decide
    to set that one aside.
    """

    def __init__(self, detail: str, record: str | None = None) -> None:
        super().__init__("invariant.broken", detail)
        self.record = record

    def __reduce__(self) -> tuple[type[InvariantBroken], tuple[str, str | None]]:
        """Go from one process to another."""
        return InvariantBroken, (self.detail, self.record)
