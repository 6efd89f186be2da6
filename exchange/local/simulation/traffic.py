"""What the nation sends: a deterministic stream of signed records, by seed.

The mix is ours, shaped like the article's: most traffic stays near in the tree, a fifth goes up or across, a
few documents go to whole groups; one in ten is urgent; some are recalled or updated; reports go up. The clock
and the signatures' randomness are the only things that a seed doesn't fix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import NamedTuple

from exchange.agencies.entries import Agency
from exchange.agencies.levels import Level
from exchange.backbone.attachments import Stored
from exchange.backbone.submitting import Outgoing
from exchange.local.founding import now_ms
from exchange.local.simulation.cast import Cast, Member
from exchange.pipeline.routing import day_of
from exchange.signatures import sign_record
from exchange.statements import Fields
from exchange.statements.compose import attachment, document, encode, follow_up, report

SENDER_WEIGHTS = {Level.CENTRAL: 15, Level.PROVINCE: 35, Level.DISTRICT: 30, Level.COMMUNE: 20}
URGENCY_WEIGHTS = (90, 5, 3, 1.5, 0.5)
SUBJECTS = (
    "Về việc triển khai nhiệm vụ trọng tâm quý {n}",
    "Báo cáo tình hình kinh tế - xã hội tháng {n}",
    "Mời họp giao ban công tác chuyển đổi số lần {n}",
    "Hướng dẫn thực hiện Nghị quyết số {n}/NQ-CP",
    "Về việc lấy ý kiến dự thảo kế hoạch số {n}",
    "Đôn đốc thực hiện kết luận thanh tra số {n}",
    "Phê duyệt danh mục thủ tục hành chính đợt {n}",
    "Về việc phòng, chống thiên tai, công điện số {n}",
)
TYPES = ("CV", "QĐ", "BC", "TB", "KH", "TTr", "GM", "CĐ")
REGIMES = ("KTXH-THANG", "CCHC-QUY", "PCTN-THANG", "YTDP-TUAN")
_RECENT = 500


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of the traffic, each between 0 and 1; what is left over are new documents."""

    reports: float = 0.06
    recalls: float = 0.01
    updates: float = 0.02
    groups: float = 0.003
    several: float = 0.18
    leaders: float = 0.10


class Sent(NamedTuple):
    """A document that may still be recalled or updated, and who sent it."""

    member: Member
    fields: Fields


class Traffic:
    """The stream. `files`: attachments already in the object store, to be sent again and again."""

    def __init__(self, cast: Cast, seed: int, run: str, files: Sequence[Stored], mix: Mix = Mix()) -> None:
        self._cast = cast
        self._random = Random(f"{seed}/{run}")  # noqa: S311  a simulation, repeatable by its seed
        self._run = run
        self._files = files
        self._mix = mix
        self._number = 0
        self._recent: list[Sent] = []
        self._senders = [level for level in SENDER_WEIGHTS if cast.by_level[level]]
        self._near: dict[str, list[Member]] = {}
        for member in cast.members.values():
            self._near.setdefault(_root_of(member.agency), []).append(member)
        self._parents = {member.agency.parent for member in cast.members.values()}
        self._weights = [SENDER_WEIGHTS[level] for level in self._senders]

    def records(self, count: int) -> Iterator[Outgoing]:
        """So many signed records, in an order in which they may be submitted."""
        for _ in range(count):
            self._number += 1
            draw = self._random.random()
            mix = self._mix
            if draw < mix.reports:
                yield self._report()
            elif draw < mix.reports + mix.recalls + mix.updates and self._recent:
                yield self._follow_up("recall" if draw < mix.reports + mix.recalls else "update")
            else:
                yield self._document()

    def _id(self) -> str:
        return f"{self._run}-{self._number:07d}-{self._random.getrandbits(40):010x}"

    def _sender(self) -> Member:
        level = self._random.choices(self._senders, self._weights)[0]
        return self._random.choice(self._cast.by_level[level])

    def _document(self) -> Outgoing:
        random, member, now = self._random, self._sender(), now_ms()
        signs = member.leader is not None and random.random() < self._mix.leaders
        leader = member.leader if signs else None
        chosen = self._attachments()
        fields = document(
            member.agency.code,
            self._id(),
            self._recipients(member),
            random.choice(SUBJECTS).format(n=random.randint(1, 400)),
            signed_ms=now,
            issued=day_of(now),
            code=(str(random.randint(1, 9999)), f"{random.choice(TYPES)}-{member.agency.code}"[:30]),
            type_=random.choice(TYPES),
            content="Kính gửi quý cơ quan, trân trọng đề nghị phối hợp thực hiện. " * random.randint(1, 6),
            signer=("", "", None) if leader is None else (leader.name, leader.position, leader.id),
            urgency=random.choices(range(5), URGENCY_WEIGHTS)[0],
            due=date.fromordinal(day_of(now).toordinal() + random.randint(3, 30)),
            attachments=[
                attachment(f"van-ban-{n}.pdf", "application/pdf", stored.size, stored.sha256)
                for n, stored in enumerate(chosen, 1)
            ],
        )
        if len(self._recent) < _RECENT:
            self._recent.append(Sent(member, fields))
        else:
            self._recent[random.randrange(_RECENT)] = Sent(member, fields)
        keys = [member.key]
        if leader is not None and member.leader_key is not None:
            keys.append(member.leader_key)
        record = sign_record(encode("document", fields), keys, [stored._asdict() for stored in chosen])
        return Outgoing("document", fields, record)

    def _follow_up(self, business: str) -> Outgoing:
        sent = self._recent.pop(self._random.randrange(len(self._recent)))
        subject = f"{'Thu hồi' if business == 'recall' else 'Cập nhật'}: {sent.fields['subject']}"
        fields = follow_up(sent.fields, business, self._id(), subject[:500], signed_ms=now_ms())
        fields["signer"] = {"name": "", "position": "", "leader": None}
        return Outgoing("document", fields, sign_record(encode("document", fields), [sent.member.key], []))

    def _report(self) -> Outgoing:
        random, member = self._random, self._sender()
        fields = report(
            member.agency.code,
            self._id(),
            random.choice(REGIMES),
            f"2022-{random.randint(1, 12):02d}",
            [(f"CT-{n:03d}", "%", round(random.uniform(0, 100), 2)) for n in range(1, random.randint(4, 12))],
            signed_ms=now_ms(),
            content="Số liệu tổng hợp trong kỳ.",
        )
        return Outgoing("report", fields, sign_record(encode("report", fields), [member.key], []))

    def _attachments(self) -> list[Stored]:
        if not self._files:
            return []
        count = self._random.choices((0, 1, 2, 3), (15, 60, 18, 7))[0]
        return self._random.sample(list(self._files), min(count, len(self._files)))

    def _recipients(self, sender: Member) -> list[str]:
        random = self._random
        if random.random() < self._mix.groups:
            group = self._group_of(sender)
            if group is not None:
                return [group]
        count = random.randint(2, 12) if random.random() < self._mix.several else 1
        chosen: dict[str, None] = {}
        while len(chosen) < count:
            chosen[self._recipient(sender)] = None
        return list(chosen)

    def _recipient(self, sender: Member) -> str:
        """The parent or another unit near in the tree four times in five, else anyone of the cast."""
        random, agency = self._random, sender.agency
        draw = random.random()
        if draw < 0.3 and agency.parent in self._cast.members:
            return agency.parent
        near = self._near[_root_of(agency)]
        while True:
            crowd = near if draw < 0.8 and len(near) > 1 else self._cast.by_level[random.choice(self._senders)]
            other = random.choice(crowd).agency.code
            if other != agency.code:
                return other

    def _group_of(self, sender: Member) -> str | None:
        match sender.agency.form:
            case "province":
                return f"@districts-of-{sender.agency.code}"
            case "district" if sender.agency.code in self._parents:  # five island districts have no communes
                return f"@communes-of-{sender.agency.code}"
            case "ministry":
                return "@provinces"
            case _:
                return None


def _root_of(agency: Agency) -> str:
    return agency.code.partition(".")[0]
