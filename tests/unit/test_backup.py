"""A home in one file, without services: whole or nothing, hostile or damaged files, keys only under a passphrase."""

from __future__ import annotations

import io
import json
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from exchange.errors import ExchangeError, Misconfigured, Rejected
from exchange.local import backup, sealing
from exchange.local.backup import back_up, restore
from exchange.local.home import Home
from exchange.local.sealing import Sealing, opened

PHRASE = "một câu rất dài để niêm phong"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key derivation that tests can afford."""
    monkeypatch.setattr(sealing, "_COST", 2)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home without services, but with something in each part."""
    made = Home(tmp_path / "home")
    made.create()
    made.settle(1)
    for name, data in {
        "kafka/node-1/documents-0/00.log": b"log" * 1000,
        "attachments/ab/cd": b"",
        "keys/registrar.key.pem": b"secret key",
        "archive-keys/keys.sqlite": bytes(range(256)) * 20,
        "inboxes/chữ Việt.json": "chữ".encode(),
        "run/kafka-1.out": b"passing",
    }.items():
        path = made.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (made.folder / "kafka" / "empty").mkdir(mode=0o700)
    (made.folder / "keys" / "registrar.key.pem").chmod(0o600)
    return made


def contents(home: Home) -> dict[str, tuple[int, bytes | None]]:
    """Each file and folder that a backup is about: its mode and bytes."""
    return {
        path.relative_to(home.folder).as_posix(): (
            stat.S_IMODE(path.stat().st_mode) & 0o700,
            None if path.is_dir() else path.read_bytes(),
        )
        for path in home.folder.rglob("*")
        if path.relative_to(home.folder).parts[0] not in {"run", "lock"}
    }


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(ExchangeError) as refused:
        act()
    return refused.value.code


def test_a_destroyed_home_comes_back_byte_for_byte(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    made = back_up(home, file, PHRASE)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made.secrets == ("archive-keys", "keys")
    other = Home(tmp_path / "other")
    found = restore(other, file, PHRASE)
    expected = contents(home)
    assert contents(other) == expected
    assert set(found.parts) == {name.partition("/")[0] for name in expected}
    assert found.secrets == made.secrets
    assert found.made_ms == made.made_ms
    assert b"secret key" not in file.read_bytes()


def test_without_a_passphrase_the_keys_are_left_out(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    assert back_up(home, file, None).secrets == ()
    assert b"secret key" not in file.read_bytes()
    assert "keys" not in restore(Home(tmp_path / "other"), file, None).parts


def test_the_keys_need_the_passphrase_and_the_rest_does_not(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    back_up(home, file, PHRASE)
    other = Home(tmp_path / "other")
    assert refusal(lambda: restore(other, file, PHRASE + "?")) == "backup.passphrase"
    assert [path.name for path in other.folder.iterdir()] == ["lock"]
    assert "keys" not in restore(other, file, None).parts
    assert restore(other, file, PHRASE).parts == ("archive-keys", "keys")
    assert contents(other) == contents(home)


def test_what_is_there_stays(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    back_up(home, file, PHRASE)
    assert refusal(lambda: restore(home, file, PHRASE)) == "backup.nothing_missing"
    kept = home.folder / "inboxes" / "newer"
    kept.write_bytes(b"newer")
    for path in sorted(home.kafka.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert restore(home, file, PHRASE).parts == ("kafka",)
    assert kept.read_bytes() == b"newer"
    assert (home.kafka / "node-1/documents-0/00.log").read_bytes() == b"log" * 1000


def test_what_may_not_be(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    for target, passphrase in ((home.folder / "b", PHRASE), (file, PHRASE)):
        file.write_bytes(b"in the way")
        with pytest.raises(Misconfigured):
            back_up(home, target, passphrase)
    file.unlink()
    with pytest.raises(Misconfigured):
        back_up(Home(tmp_path / "none"), file, PHRASE)
    assert refusal(lambda: back_up(home, file, "short")) == "passphrase.weak"
    (home.folder / "attachments" / "link").symlink_to("/etc/passwd")
    with pytest.raises(Misconfigured):
        back_up(home, file, PHRASE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]  # nothing half made


class TestDamaged:
    @pytest.fixture
    def whole(self, home: Home, tmp_path: Path) -> bytes:
        back_up(home, tmp_path / "backup", PHRASE)
        return (tmp_path / "backup").read_bytes()

    def restored(self, data: bytes, tmp_path: Path) -> Home:
        """Restore these bytes, and see that nothing is left if that fails."""
        file, other = tmp_path / "spoilt", Home(tmp_path / "other")
        file.write_bytes(data)
        try:
            restore(other, file, PHRASE)
        except ExchangeError:
            assert [path.name for path in other.folder.iterdir()] == ["lock"]
            raise
        return other

    def test_cut_off_anywhere(self, whole: bytes, tmp_path: Path) -> None:
        listed = whole.rindex(b"sha256.json")
        for end in (0, 1, 511, 512, 5000, len(whole) // 2, listed, listed + 600):
            with pytest.raises(Rejected):
                self.restored(whole[:end], tmp_path)

    @pytest.mark.parametrize("what", [b"loglog", b"exchange sealed", "chữ".encode()])
    def test_changed(self, whole: bytes, tmp_path: Path, what: bytes) -> None:
        place = whole.rindex(what) if what != b"exchange sealed" else whole.index(what) + 100
        spoilt = bytearray(whole)
        spoilt[place] ^= 1
        with pytest.raises(Rejected):
            self.restored(bytes(spoilt), tmp_path)

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("../outside", tarfile.REGTYPE), ("/outside-of-all", tarfile.REGTYPE),
            ("kafka/../../outside", tarfile.REGTYPE), ("kafka/empty/a/b", tarfile.REGTYPE),
            ("kafka/link", tarfile.SYMTYPE), ("kafka/hard", tarfile.LNKTYPE), ("kafka/device", tarfile.CHRTYPE),
            ("run/x.pid", tarfile.REGTYPE), ("lock", tarfile.REGTYPE), ("home.json", tarfile.REGTYPE),
        ],
    )  # fmt: skip
    def test_hostile(self, whole: bytes, tmp_path: Path, name: str, kind: bytes) -> None:
        data = io.BytesIO()
        with tarfile.open(fileobj=io.BytesIO(whole)) as source, tarfile.open(fileobj=data, mode="w") as tar:
            for member in source:
                if member.name == "sha256.json":
                    extra = tarfile.TarInfo(name)
                    extra.type, extra.linkname = kind, "/etc/passwd"
                    tar.addfile(extra, io.BytesIO())
                tar.addfile(member, source.extractfile(member) if member.isreg() else None)
        with pytest.raises(Rejected, match=r"backup\.damaged"):
            self.restored(data.getvalue(), tmp_path)
        assert not (tmp_path / "outside").exists()

    def test_of_another_version(self, tmp_path: Path) -> None:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            head = json.dumps({"format": 2}).encode()
            info = tarfile.TarInfo("backup.json")
            info.size = len(head)
            tar.addfile(info, io.BytesIO(head))
        with pytest.raises(Misconfigured):
            self.restored(data.getvalue(), tmp_path)


class TestSealing:
    @pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 20, 35])
    def test_round_trip_whatever_the_portions(self, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        monkeypatch.setattr(sealing, "PORTION_BYTES", 10)
        data = bytes(range(size))
        for step in (1, 7, 100):
            file = sealed(data, step)
            assert b"".join(opened(file, PHRASE)) == data

    def test_changed_cut_swapped_or_longer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sealing, "PORTION_BYTES", 10)
        whole, head = sealed(bytes(range(35)), 35).getvalue(), len(sealing.MAGIC) + sealing.SALT_BYTES
        cut = [whole[:end] for end in range(len(whole))]
        flipped = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
        swapped = whole[:head] + whole[head + 26 : head + 52] + whole[head : head + 26] + whole[head + 52 :]
        for spoilt in (*cut, *flipped, swapped, whole + b"x", whole + whole[head:]):
            with pytest.raises(Rejected, match=r"backup\.passphrase"):
                list(opened(io.BytesIO(spoilt), PHRASE))

    def test_two_files_have_two_keys(self) -> None:
        assert sealed(b"same", 4).getvalue() != sealed(b"same", 4).getvalue()


def sealed(data: bytes, step: int) -> io.BytesIO:
    file = io.BytesIO()
    sealing_ = Sealing(file, PHRASE)
    for start in range(0, len(data), step):
        sealing_.write(data[start : start + step])
    sealing_.close()
    file.seek(0)
    return file


def test_no_part_is_forgotten_that_holds_keys() -> None:
    """Whoever puts a key somewhere new must think of backups: the folders that hold any are listed here and there."""
    assert {"keys", "archive-keys", "witness"} == backup.SECRET_PARTS
