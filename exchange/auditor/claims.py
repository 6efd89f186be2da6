"""What acceptance claimed in one partition number: each id once, as the duplicate store's log has it.

Guarantees: the log (topic ``store``) and the accepted events are matched one by one, whatever their order across
topics. Holds about 80 bytes for each accepted statement.

Source: layout of a claim (little endian: digest 32 | offset 8 | append ms 8 | topic 1 | …), ``schemas/changelog``.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from struct import Struct

from exchange.auditor.books import Coordinates
from exchange.auditor.columns import Column
from exchange.auditor.cut import Cut
from exchange.auditor.findings import Findings
from exchange.statements import SUBMISSION_TOPICS, Fields

_CLAIM = Struct("<32sQQB")


class Claims:
    """The claims of a partition number. `log`: the decoded records of its store."""

    def __init__(self, log: Iterable[Fields], number: int, cut: Cut, findings: Findings) -> None:
        self._number = number
        self._cut = cut
        self._findings = findings
        self._logged = {topic: Column() for topic in SUBMISSION_TOPICS}
        self._accepted = {topic: Column() for topic in SUBMISSION_TOPICS}
        self._keys = {topic: array("q") for topic in SUBMISSION_TOPICS}
        self._forgotten: set[int] = set()
        self._put_keys, self._put_times = array("q"), array("q")
        self._earlier: dict[int, int] = {}
        self._load(log)

    def accept(self, at: Coordinates, key: bytes, digest: bytes, statement_id: str) -> None:
        """Note that an accepted statement claimed its id; `key`: 16 bytes."""
        content = hash((key, digest))
        self._accepted[at.topic].add(at.offset, content)
        self._keys[at.topic].append(_short(key))
        logged = self._logged[at.topic]
        if logged.take(at.offset, content) is not None:
            return
        others = [index for index in logged.at(at.offset) if not logged.taken[index]]
        if others:
            logged.tick(others[0])
            self._findings.add("audit.altered_claim", at, "its key or digest isn't the statement's", statement_id)
        else:
            self._findings.add("audit.missing_claim", at, "the log never put it", statement_id)

    def is_original(self, topic: str, offset: int, key: bytes, digest: bytes) -> bool:
        """Whether the statement accepted at that offset has this id and these bytes."""
        accepted = self._accepted[topic]
        content = hash((key, digest))
        return any(accepted.contents[index] == content for index in accepted.at(offset))

    def append_ms(self, key: bytes, until_ms: int) -> int | None:
        """When the statement of this id was appended, by the log; of several, the last one up to `until_ms`."""
        short = _short(key)
        times = [self._put_times[at] for at in self._put_at(short)]
        if not times:
            return self._earlier.get(short)
        return max((time for time in times if time <= until_ms), default=min(times))

    def finish(self) -> None:
        """Name what the log has beyond the accepted statements, and what was accepted twice."""
        for topic, logged in self._logged.items():
            for index in logged.left():
                at = Coordinates(topic, self._number, logged.offsets[index])
                if at not in self._findings.doubted:
                    self._findings.add("audit.surplus_claim", at, "it has no accepted event")
        self._find_twins()

    def _load(self, log: Iterable[Fields]) -> None:
        reached = dict.fromkeys(SUBMISSION_TOPICS, 0)
        committed = {topic: self._cut.next(topic, self._number) for topic in SUBMISSION_TOPICS}
        met = not any(committed.values())
        for record in log:
            covers = {cover["topic"]: cover["next_offset"] for cover in record["covers"]}
            for topic, before in reached.items():
                after = covers.get(topic, -1)
                if after < before:
                    at = Coordinates(topic, self._number, before)
                    self._findings.add("audit.store_gap", at, f"it covers up to {before}, then {after}")
            reached.update(covers)
            met = met or covers == committed
            self._forgotten.update(_short(key) for key in record["forgets"])
            for carried in record.get("carried", ()):
                self._carry(carried["key"], carried["value"])
            for put in record["puts"]:
                self._put(put["key"], put["value"])
        order = sorted(range(len(self._put_keys)), key=self._put_keys.__getitem__)
        self._put_keys = array("q", [self._put_keys[place] for place in order])
        self._put_times = array("q", [self._put_times[place] for place in order])
        if not met:
            at = Coordinates("store", self._number, 0)
            self._findings.add("audit.store_gap", at, f"no record covers what is committed, {committed}")

    def _put_at(self, short: int) -> range:
        first = last = bisect_left(self._put_keys, short)
        while last < len(self._put_keys) and self._put_keys[last] == short:
            last += 1
        return range(first, last)

    def _put(self, key: bytes, value: bytes) -> None:
        digest, offset, append_ms, place = _CLAIM.unpack_from(value)
        self._put_keys.append(_short(key))
        self._put_times.append(append_ms)
        topic = SUBMISSION_TOPICS[place]
        if not self._cut.covers(topic, self._number, offset):
            return
        logged = self._logged[topic]
        if logged.at(offset):
            self._findings.add("audit.doubled_claim", Coordinates(topic, self._number, offset), "put again")
        else:
            logged.add(offset, hash((key, digest)))

    def _carry(self, key: bytes, value: bytes) -> None:
        """What a sweep carries on must have been put before: a restore takes its word for it."""
        digest, offset, append_ms, place = _CLAIM.unpack_from(value)
        topic = SUBMISSION_TOPICS[place]
        if not self._cut.covers(topic, self._number, offset):
            self._earlier[_short(key)] = append_ms
        logged, content = self._logged[topic], hash((key, digest))
        if self._cut.covers(topic, self._number, offset) and all(
            logged.contents[index] != content for index in logged.at(offset)
        ):
            at = Coordinates(topic, self._number, offset)
            self._findings.add("audit.altered_claim", at, "the store's log carries on what was never put")

    def _find_twins(self) -> None:
        twins: set[int] = set()
        before: int | None = None
        for key in sorted(key for keys in self._keys.values() for key in keys):
            if key == before and key not in self._forgotten:  # an id may be used again when its life is over
                twins.add(key)
            before = key
        if not twins:
            return
        places: dict[int, list[Coordinates]] = {}
        for topic, keys in self._keys.items():
            for key, offset in zip(keys, self._accepted[topic].offsets, strict=True):
                if key in twins:
                    places.setdefault(key, []).append(Coordinates(topic, self._number, offset))
        for first, *later in places.values():
            for at in later:
                sentence = f"its id was accepted before at {first.topic}/{first.partition}@{first.offset}"
                self._findings.add("audit.id_accepted_twice", at, sentence)


def _short(key: bytes) -> int:
    return int.from_bytes(key[:8], "little", signed=True)
