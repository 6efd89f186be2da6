"""The directory: history, views of earlier offsets, resolution, groups, ordinals."""

from __future__ import annotations

import hashlib
from datetime import date

import pytest

from exchange.agencies import (
    Agency,
    CertificateEntry,
    Closed,
    Directory,
    DirectoryView,
    Entry,
    Group,
    Leader,
    Level,
    Open,
    Redirected,
    RevocationList,
    Unknown,
)
from exchange.agencies.resolution import SUCCESSIONS_MAX, recipient_of
from exchange.agencies.view import EXPANSIONS_MAX
from exchange.errors import InvariantBroken, Rejected, Unavailable

TODAY = date(2024, 5, 1)
START = date(2022, 1, 1)
LAST_DAY = date(2023, 12, 31)


def agency(
    code: str,
    version: int = 1,
    *,
    parent: str | None = None,
    level: Level = Level.COMMUNE,
    form: str = "commune",
    other_codes: tuple[str, ...] = (),
    valid_from: date = START,
    valid_to: date | None = None,
    successors: tuple[str, ...] = (),
) -> Agency:
    return Agency(code, version, f"UBND {code}", level, form, parent, other_codes, valid_from, valid_to, successors)


def closed(code: str, *successors: str, version: int = 1) -> Agency:
    return agency(code, version, valid_to=LAST_DAY, successors=successors)


def group(
    code: str = "@group",
    *,
    level: Level | None = None,
    form: str | None = None,
    under: str | None = None,
    members: tuple[str, ...] = (),
) -> Group:
    return Group(code, 1, "Nhóm", level, form, under, members, ())


def directory(*records: Entry | tuple[Entry, ...]) -> Directory:
    """A directory of one record each."""
    made = Directory()
    for offset, record in enumerate(records):
        made.apply(offset, record if isinstance(record, tuple) else (record,))
    return made


def codes(agencies: tuple[Agency, ...]) -> list[str]:
    return [each.code for each in agencies]


class TestLog:
    def test_empty(self) -> None:
        made = Directory()
        assert made.next_offset == 0
        assert made.latest().agency("H37") is None
        assert list(made.latest().agencies()) == []

    def test_next_offset_is_that_of_the_next_record(self) -> None:
        made = directory(agency("H37"))
        made.apply(7, ())
        assert made.next_offset == 8
        assert made.latest().offset == 8
        assert made.latest() is made.latest() is made.at(8)

    @pytest.mark.parametrize("offset", [-1, 0, 4, 5])
    def test_offset_must_be_beyond_the_last(self, offset: int) -> None:
        made = Directory()
        made.apply(5, (agency("H37"),))
        with pytest.raises(InvariantBroken):
            made.apply(offset, (agency("H38"),))
        assert made.latest().agency("H38") is None
        made.apply(6, (agency("H38"),))
        assert made.latest().agency("H38") is not None

    def test_stale_entry_is_ignored_and_counted_and_the_others_apply(self) -> None:
        made = directory(agency("H37", 5))
        made.apply(1, (agency("H37", 5, form="x"), agency("H37", 4, form="x"), agency("H38")))
        assert made.stale_entries == 2
        assert made.latest().agency("H37") == agency("H37", 5)
        assert made.latest().agency("H38") is not None

    def test_old_signed_entry_does_not_roll_back(self) -> None:
        entry = closed("H37", version=2)
        made = directory(agency("H37", 1), entry, agency("H37", 1))
        assert made.latest().agency("H37") is entry

    def test_two_versions_in_one_record(self) -> None:
        made = directory((agency("H37", 1), agency("H37", 2)))
        assert made.latest().agency("H37") == agency("H37", 2)
        assert made.stale_entries == 0

    def test_not_read_so_far(self) -> None:
        made = directory(agency("H37"))
        with pytest.raises(Unavailable) as caught:
            made.at(2)
        assert caught.value.code == "directory.behind"
        with pytest.raises(InvariantBroken):
            made.at(-1)


class TestEarlierViews:
    def test_each_offset_has_its_own_answer(self) -> None:
        versions = [agency("H37", 1), agency("H37", 2), agency("H37", 9)]
        made = Directory()
        for offset, entry in zip((3, 10, 11), versions, strict=True):
            made.apply(offset, (entry,))
        seen = [made.at(offset).agency("H37") for offset in range(13)]
        assert seen == [None] * 4 + versions[:1] * 7 + versions[1:2] + versions[2:]

    def test_a_view_does_not_change(self) -> None:
        made = directory(agency("H37", other_codes=("000.00.00.H37",), parent="G00"))
        view = made.latest()
        made.apply(1, (closed("H37", "H38", version=2), agency("H38", parent="G00"), group(members=("H37",))))
        assert view.resolve("H37", TODAY) == Open(agency("H37", other_codes=("000.00.00.H37",), parent="G00"))
        assert view.agency("000.00.00.H37") is not None
        assert view.agency("H38") is None
        assert codes(view.children("G00")) == ["H37"]
        assert [each.code for each in view.agencies()] == ["H37"]
        assert view.group("@group") is None
        with pytest.raises(InvariantBroken):
            view.ordinal("H38")
        with pytest.raises(InvariantBroken):
            view.agency_by_ordinal(1)
        assert codes(made.latest().children("G00")) == ["H38"]

    def test_replay_sees_what_the_decision_saw(self) -> None:
        made = directory(agency("H37"), closed("H37", "H38", version=2), agency("H38"))
        before, between, after = (made.at(offset).resolve("H37", TODAY) for offset in (1, 2, 3))
        assert isinstance(before, Open)
        assert isinstance(between, Closed)
        assert isinstance(after, Redirected)

    def test_other_entries(self) -> None:
        first = Leader("L1", 1, "H37", "Nông Thị An", "Chủ tịch", START, None)
        second = Leader("L1", 2, "H37", "Nông Thị An", "Chủ tịch", START, LAST_DAY)
        certificate = CertificateEntry(b"DER", 1, "seal", "H37", None)
        crls = [RevocationList("ab" * 32, 1, b"CRL 1"), RevocationList("ab" * 32, 2, b"CRL 2")]
        made = directory((first, crls[0]), (second, certificate, crls[1]))
        fingerprint = hashlib.sha256(b"DER").digest()
        early, late = made.at(1), made.at(2)
        assert (early.leader("L1"), late.leader("L1"), late.leader("L2")) == (first, second, None)
        assert (early.certificate(fingerprint), late.certificate(fingerprint)) == (None, certificate)
        assert late.certificate(bytes(32)) is None
        assert [view.revocation_list("ab" * 32) for view in (early, late)] == crls
        assert late.revocation_list("AB" * 32) is None


class TestCodes:
    def test_old_code_by_bridge(self) -> None:
        view = directory(agency("H17.22.28")).latest()
        for old in ("000.28.22.H17", "28.22.H17"):
            assert view.agency(old) is view.agency("H17.22.28") is not None

    def test_the_directory_wins_over_the_bridge(self) -> None:
        told = agency("H56.STTTT", other_codes=("000.00.14.H56",))
        view = directory(agency("H56.14"), told).latest()
        assert view.agency("000.00.14.H56") is told
        assert view.agency("14.H56") is told
        assert view.agency("H56.14") == agency("H56.14")

    def test_canonical_code_wins_over_a_claim(self) -> None:
        view = directory(agency("H37", other_codes=("H38",)), agency("H38")).latest()
        assert view.agency("H38") == agency("H38")

    def test_claim_given_up_no_longer_counts(self) -> None:
        made = directory(agency("H37", other_codes=("OLD",)), agency("H37", 2))
        assert made.at(1).agency("OLD") == agency("H37", other_codes=("OLD",))
        assert made.at(2).agency("OLD") is None

    def test_latest_claim_wins(self) -> None:
        made = directory(agency("H37", other_codes=("OLD",)), agency("H38", other_codes=("OLD",)), agency("H38", 2))
        owners = [made.at(offset).agency("OLD") for offset in (1, 2, 3)]
        assert [owner.code for owner in owners if owner] == ["H37", "H38", "H37"]

    def test_claim_said_again_later_does_not_reach_back(self) -> None:
        first, second = agency("H37", other_codes=("OLD",)), agency("H38", other_codes=("OLD",))
        made = directory(first, second, agency("H37", 2, other_codes=("OLD",)))
        assert made.at(2).agency("OLD") is second

    @pytest.mark.parametrize("text", ["", "h37", "H37\n", "H٣٧", "X" * 100_000])
    def test_malformed_code_is_unknown(self, text: str) -> None:
        view = directory(agency("H37")).latest()
        assert view.agency(text) is None
        assert view.resolve(text, TODAY) == Unknown(text)


class TestResolution:
    @pytest.mark.parametrize("on", [START, date(2023, 6, 1), LAST_DAY])
    def test_both_ends_are_inclusive(self, on: date) -> None:
        assert directory(closed("H37")).latest().resolve("H37", on) == Open(closed("H37"))

    @pytest.mark.parametrize("on", [date(2021, 12, 31), date(2024, 1, 1)])
    def test_outside_is_closed(self, on: date) -> None:
        assert directory(closed("H37")).latest().resolve("H37", on) == Closed(closed("H37"))

    def test_not_yet_open_is_not_redirected(self) -> None:
        view = directory(closed("H37", "H38"), agency("H38", valid_from=date(2000, 1, 1))).latest()
        assert view.resolve("H37", date(2021, 12, 31)) == Closed(closed("H37", "H38"))

    def test_chain_of_successors(self) -> None:
        view = directory(closed("A", "B"), closed("B", "000.00.00.C22"), agency("C22")).latest()
        resolution = view.resolve("A", TODAY)
        assert resolution == Redirected(closed("A", "B"), agency("C22"))
        assert recipient_of(resolution) == agency("C22")

    @pytest.mark.parametrize(
        "entries",
        [
            (closed("A"),),
            (closed("A", "B", "C"), agency("B"), agency("C")),
            (closed("A", "B"),),
            (closed("A", "A"),),
            (closed("A", "B"), closed("B", "A")),
            (closed("A", "B"), agency("B", valid_from=date(2030, 1, 1))),
        ],
        ids=["none", "several", "unknown", "itself", "cycle", "not yet"],
    )
    def test_nobody_stands_in(self, entries: tuple[Entry, ...]) -> None:
        resolution = directory(entries).latest().resolve("A", TODAY)
        assert resolution == Closed(closed("A", *resolution.agency.successors))  # type: ignore[union-attr]
        assert recipient_of(resolution) is None

    def test_chains_are_bounded(self) -> None:
        links = tuple(closed(f"A{n}", f"A{n + 1}") for n in range(SUCCESSIONS_MAX + 1))
        view = directory((*links, agency(f"A{SUCCESSIONS_MAX + 1}"))).latest()
        assert isinstance(view.resolve("A1", TODAY), Redirected)
        assert isinstance(view.resolve("A0", TODAY), Closed)

    def test_unknown(self) -> None:
        resolution = Directory().latest().resolve("H99", TODAY)
        assert resolution == Unknown("H99")
        assert recipient_of(resolution) is None


class TestTree:
    def view(self) -> DirectoryView:
        return directory(
            agency("G00", level=Level.CENTRAL, form="government"),
            agency("H2", level=Level.PROVINCE, form="province", parent="G00"),
            agency("H1", level=Level.PROVINCE, form="province", parent="G00"),
            (
                agency("H1.21", level=Level.DISTRICT, form="district", parent="H1"),
                agency("H1.01", level=Level.PROVINCE, form="department", parent="H1"),
            ),
            agency("H1.21.02", parent="H1.21"),
            agency("H1.21.01", parent="H1.21"),
            agency("H1.21.03", parent="H1.21", valid_to=LAST_DAY, successors=("H1.21.01",)),
            agency("H2.21.01", parent="H2.21"),
            (
                group("@below", under="H1"),
                group("@communes-of-H1", level=Level.COMMUNE, under="H1"),
                group("@provinces", form="province"),
                group("@listed", members=("H2", "H1.21.03", "H1.21.01", "H9", "000.00.01.H1")),
                group("@both", form="province", members=("H2", "H1.01")),
                group("@nobody"),
            ),
        ).latest()

    @pytest.mark.parametrize(
        ("code", "on", "expected"),
        [
            ("@below", TODAY, ["H1.01", "H1.21", "H1.21.01", "H1.21.02"]),
            ("@communes-of-H1", TODAY, ["H1.21.01", "H1.21.02"]),
            ("@communes-of-H1", LAST_DAY, ["H1.21.01", "H1.21.02", "H1.21.03"]),
            ("@provinces", TODAY, ["H1", "H2"]),
            ("@provinces", date(2021, 1, 1), []),
            ("@listed", TODAY, ["H1.21.01", "H2"]),
            ("@listed", LAST_DAY, ["H1.21.01", "H1.21.03", "H2"]),
            ("@both", TODAY, ["H1", "H1.01", "H2"]),
            ("@nobody", TODAY, []),
        ],
    )
    def test_expand(self, code: str, on: date, expected: list[str]) -> None:
        assert codes(self.view().expand(code, on)) == expected

    def test_expansion_is_remembered(self) -> None:
        view = self.view()
        assert view.expand("@below", TODAY) is view.expand("@below", TODAY)

    def test_expansions_are_bounded_and_stay_right(self) -> None:
        view = self.view()
        for day in range(EXPANSIONS_MAX + 2):
            view.expand("@below", date.fromordinal(TODAY.toordinal() + day))
        assert len(view._records.expansions) == EXPANSIONS_MAX
        assert codes(view.expand("@provinces", TODAY)) == ["H1", "H2"]

    def test_expansion_belongs_to_its_offset(self) -> None:
        made = directory(agency("H1", form="province"), group("@provinces", form="province"))
        assert codes(made.latest().expand("@provinces", TODAY)) == ["H1"]
        made.apply(2, (agency("H0", form="province"),))
        assert codes(made.latest().expand("@provinces", TODAY)) == ["H0", "H1"]
        assert codes(made.at(2).expand("@provinces", TODAY)) == ["H1"]

    def test_unknown_group_is_rejected(self) -> None:
        with pytest.raises(Rejected) as caught:
            self.view().expand("@none", TODAY)
        assert caught.value.code == "group.unknown"

    def test_children_are_sorted(self) -> None:
        view = self.view()
        assert codes(view.children("H1.21")) == ["H1.21.01", "H1.21.02", "H1.21.03"]
        assert view.children("H1.21.01") == ()

    def test_child_that_moved(self) -> None:
        made = directory(agency("C", parent="A"), agency("C", 2, parent="B"))
        assert [codes(made.at(1).children(parent)) for parent in "AB"] == [["C"], []]
        assert [codes(made.at(2).children(parent)) for parent in "AB"] == [[], ["C"]]

    def test_ancestors_are_nearest_first(self) -> None:
        view = self.view()
        assert codes(view.ancestors("H1.21.01")) == ["H1.21", "H1", "G00"]
        assert codes(view.ancestors("G00")) == []
        assert codes(view.ancestors("H2.21.01")) == []  # its parent is not in the directory
        assert codes(view.ancestors("H9")) == []

    def test_a_cycle_of_parents_ends(self) -> None:
        view = directory(agency("A", parent="B"), agency("B", parent="A"), group("@below", under="A")).latest()
        assert codes(view.ancestors("A")) == ["B"]
        assert codes(view.expand("@below", TODAY)) == ["B"]


class TestOrdinals:
    def test_order_of_first_appearance(self) -> None:
        made = directory((agency("H9"), agency("H1")), agency("H9", 2), agency("H1", 1), (group(), agency("H5")))
        view = made.latest()
        assert [each.code for each in view.agencies()] == ["H9", "H1", "H5"]
        assert [view.ordinal(code) for code in ("H9", "H1", "H5")] == [0, 1, 2]
        assert [view.agency_by_ordinal(n).code for n in range(3)] == ["H9", "H1", "H5"]
        assert view.agency_by_ordinal(0).version == 2

    @pytest.mark.parametrize("ordinal", [-1, 1])
    def test_no_such_ordinal(self, ordinal: int) -> None:
        with pytest.raises(InvariantBroken):
            directory(agency("H1")).latest().agency_by_ordinal(ordinal)

    def test_ordinal_of_an_unknown_agency(self) -> None:
        with pytest.raises(InvariantBroken):
            directory(agency("H1", other_codes=("OLD",))).latest().ordinal("OLD")
