"""The documents of the benchmarks: statements of 2 KiB from and to real units, signed; the same by seed.

Nine in ten have one recipient, the others two to eight; all four levels send and receive. Signing times and the
randomness inside ECDSA are the only things that a seed doesn't fix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from exchange.agencies.levels import Level
from exchange.backbone.submitting import Outgoing
from exchange.local.founding import now_ms
from exchange.local.simulation.cast import Cast, Member
from exchange.local.simulation.traffic import SENDER_WEIGHTS
from exchange.pipeline.routing import day_of
from exchange.signatures import sign_batch, sign_record
from exchange.statements import Fields
from exchange.statements.compose import days, document, encode

STATEMENT_BYTES = 2048
BATCH_SIZE = 1_000
SEVERAL_SHARE = 0.1
_SUBJECT = ("Về việc triển khai nhiệm vụ trọng tâm, đôn đốc thực hiện kết luận của Thủ tướng Chính phủ. " * 6)[:500]
_CONTENT = ("Kính gửi quý cơ quan, trân trọng đề nghị phối hợp thực hiện và báo cáo kết quả đúng hạn. " * 6)[:500]
_SIGNER = ("Nguyễn Thị Hồng Phượng", "Phó Chủ tịch Thường trực Ủy ban nhân dân", None)
_REFERENCES = 4


class Corpus:
    """An endless stream of documents. `run`: begins every id, so that runs don't repeat each other.

    `to`: the levels that receive.
    """

    def __init__(self, cast: Cast, seed: int, run: str, to: Sequence[Level] = tuple(Level)) -> None:
        self._cast = cast
        self._to = to
        self._random = Random(f"{seed}/{run}")
        self._run = run
        self._number = 0

    def signed_singly(self, count: int, urgency: int = 0) -> Iterator[Outgoing]:
        """So many documents, each with its own signature."""
        for _ in range(count):
            member = self._sender()
            fields, raw = self._document(member, urgency)
            yield Outgoing("document", fields, sign_record(raw, [member.key]))

    def signed_in_batches(self, count: int) -> Iterator[Outgoing]:
        """So many documents, `BATCH_SIZE` of one sender under one signature, the batches of many senders mixed."""
        signed: list[Outgoing] = []
        for first in range(0, count, BATCH_SIZE):
            member = self._sender()
            said = [self._document(member, 0) for _ in range(min(BATCH_SIZE, count - first))]
            records = sign_batch([raw for _, raw in said], member.key, member.agency.code, now_ms())
            signed += [Outgoing("document", fields, r) for (fields, _), r in zip(said, records, strict=True)]
        return iter(signed)

    def _document(self, member: Member, urgency: int) -> tuple[Fields, bytes]:
        random, now = self._random, now_ms()
        self._number += 1
        fields = document(
            member.agency.code,
            f"{self._run}-{self._number:07d}-{random.getrandbits(32):08x}",
            self._recipients(member),
            _SUBJECT,
            signed_ms=now,
            issued=day_of(now),
            code=(str(self._number % 100_000), "CV-BENCH"),
            content=_CONTENT,
            signer=_SIGNER,
            urgency=urgency,
            references=[
                {"agency": member.agency.code, "code": f"{n}/QĐ-UBND", "issued": days(day_of(now)), "id": ""}
                for n in range(_REFERENCES)
            ],
        )
        short = STATEMENT_BYTES - len(encode("document", fields))
        for reference in fields["references"]:
            reference["id"] = "0" * (short // _REFERENCES)
        return fields, encode("document", fields)

    def _sender(self) -> Member:
        level = self._random.choices(list(SENDER_WEIGHTS), list(SENDER_WEIGHTS.values()))[0]
        return self._random.choice(self._cast.by_level[level])

    def _recipients(self, sender: Member) -> list[str]:
        random = self._random
        count = random.randint(2, 8) if random.random() < SEVERAL_SHARE else 1
        chosen: dict[str, None] = {}
        while len(chosen) < count:
            level = random.choice(self._to)
            code = random.choice(self._cast.by_level[level]).agency.code
            if code != sender.agency.code:
                chosen[code] = None
        return list(chosen)
