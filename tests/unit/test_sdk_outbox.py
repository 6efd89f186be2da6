"""The outbox: what was put in comes out, in order, whatever happened in between."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from exchange.errors import InvariantBroken, Misconfigured, Unavailable
from exchange.sdk import journal, keys
from exchange.sdk.entries import silent
from exchange.sdk.journal import Journal
from exchange.sdk.outbox import Outbox
from exchange.statements.compose import attachment
from tests.support.signing import World

WRITER = """
import sys
from pathlib import Path
from exchange.sdk.journal import Journal
journal = Journal(Path(sys.argv[1]))
number = len(journal)
while True:
    journal.append([b"%d" % number])
    print(number, flush=True)
    number += 1
"""


def records(found: Journal) -> list[bytes]:
    return [entry.record for entry in found]


class TestJournal:
    def test_survives_a_restart(self, tmp_path: Path) -> None:
        first = Journal(tmp_path)
        first.append([b"a", b"b"])
        first.append([b"c"])
        first.done(first.first(1, 100)[0])
        first.close()
        again = Journal(tmp_path)
        assert records(again) == [b"b", b"c"]
        again.close()

    def test_is_one_processs_at_a_time(self, tmp_path: Path) -> None:
        first = Journal(tmp_path)
        with pytest.raises(Unavailable, match=r"outbox\.locked"):
            Journal(tmp_path)
        first.close()
        Journal(tmp_path).close()

    def test_a_torn_end_is_cut_off(self, tmp_path: Path) -> None:
        for cut in range(1, 13):
            folder = tmp_path / str(cut)
            first = Journal(folder)
            first.append([b"whole", b"torn"])
            first.close()
            path = next(folder.glob("*.segment"))
            os.truncate(path, path.stat().st_size - cut)
            again = Journal(folder)
            assert records(again) == [b"whole"]
            again.append([b"next"])
            again.close()
            last = Journal(folder)
            assert records(last) == [b"whole", b"next"]
            last.close()

    def test_segments_go_when_they_are_done(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal, "SEGMENT_BYTES", 100)
        found = Journal(tmp_path)
        chosen, expected = random.Random(7), list[bytes]()
        for number in range(200):
            found.append([b"%d" % number])
            expected.append(b"%d" % number)
            if chosen.random() < 0.3:
                batch = found.first(chosen.randint(1, 5), 1000)
                found.done(batch[-1])
                del expected[: len(batch)]
            if chosen.random() < 0.1:
                found.close()
                found = Journal(tmp_path)
            assert records(found) == expected
        while batch := found.first(50, 10_000):
            found.done(batch[-1])
        assert len(list(tmp_path.glob("*.segment"))) == 1
        found.close()

    def test_damage_in_the_middle_is_loud(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(journal, "SEGMENT_BYTES", 10)
        found = Journal(tmp_path)
        for number in range(3):
            found.append([b"record %d" % number])
        found.close()
        first = min(tmp_path.glob("*.segment"))
        first.write_bytes(first.read_bytes()[:-1] + b"!")
        with pytest.raises(InvariantBroken):
            Journal(tmp_path)

    def test_killed_while_it_writes(self, tmp_path: Path) -> None:
        written = 0
        for _ in range(3):
            with subprocess.Popen(
                [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
            ) as writer:
                assert writer.stdout is not None
                for _ in range(20):
                    written = int(writer.stdout.readline())
                writer.send_signal(signal.SIGKILL)
                written = max([written, *(int(line) for line in writer.stdout if line.endswith("\n"))])
            found = Journal(tmp_path)
            assert records(found)[: written + 1] == [b"%d" % number for number in range(written + 1)]
            found.close()


class TestOutbox:
    def test_files_stay_as_long_as_they_are_wanted(self, tmp_path: Path) -> None:
        world = World()
        source = tmp_path / "plan.pdf"
        source.write_bytes(b"plan")
        outbox = Outbox(tmp_path / "outbox")
        ref = outbox.keep(source, silent)
        source.write_bytes(b"changed since")
        attached = [attachment("plan.pdf", "application/pdf", ref.size, ref.sha256)]
        outbox.put([world.record(id="1", attachments=attached), world.record(id="2", attachments=attached)])
        outbox.close()
        outbox = Outbox(tmp_path / "outbox")
        assert outbox.path(ref.sha256).read_bytes() == b"plan"
        outbox.done(outbox.first(1, 10_000))
        assert outbox.path(ref.sha256).is_file()
        outbox.done(outbox.first(1, 10_000))
        assert not outbox.path(ref.sha256).exists()
        assert len(outbox) == 0
        outbox.close()

    def test_refused_ones_are_set_aside(self, tmp_path: Path) -> None:
        outbox = Outbox(tmp_path)
        outbox.put([World().record()])
        [waiting] = outbox.first(1, 1)
        outbox.set_aside(waiting, "sender.not_yours")
        outbox.done([waiting])
        assert len(outbox) == 0
        assert b"sender.not_yours" in next((tmp_path / "refused").glob("*.json")).read_bytes()
        outbox.close()


class TestKeys:
    def test_from_a_folder(self, tmp_path: Path) -> None:
        from exchange.local.authority import Authority

        authority = Authority.create(tmp_path / "authority")
        authority.save(authority.issue("H26", "Hà Nội"), authority.issue("H29", "Khác"))
        folder = authority.folder / "agencies" / "H26"
        assert keys.load(folder).certificate == authority.issued("H26")[0].fingerprint
        other = authority.folder / "agencies" / "H29" / "seal.key.pem"
        (folder / "seal.key.pem").write_bytes(other.read_bytes())
        with pytest.raises(Misconfigured, match="isn't the key"):
            keys.load(folder)
        with pytest.raises(Misconfigured, match="no usable key"):
            keys.load(tmp_path)
