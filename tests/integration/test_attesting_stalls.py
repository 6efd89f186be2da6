"""The ledger goes on, checkpoint after checkpoint, while its witness and its time-stamping authority hang."""

from __future__ import annotations

import socket
from pathlib import Path
from threading import Event, Thread

import pytest

from exchange.backbone.folder import Folder
from exchange.ledger.attesting import Attesting, Stamping, Watcher, ages
from exchange.ledger.notes import COSIGNATURE, NoteKey
from exchange.ledger.store import signed
from exchange.local.founding import now_ms
from exchange.local.services import Services
from exchange.local.waiting import wait_until
from tests.support.ledger_world import ledger_world

pytestmark = pytest.mark.integration


def test_whoever_stalls_holds_up_nobody(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.ledger.writer.LINGER_S", 0.05)
    monkeypatch.setattr("exchange.ledger.attesting.loop.POLL_S", 0.01)
    world, stop = ledger_world(services, tmp_path), Event()
    folder, key = Folder(world.folder), NoteKey.generate("witness.test", COSIGNATURE)
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # it takes connections and says nothing
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        attesting = Attesting(
            Folder(world.folder), world.key.verifier, Stamping(url, (b"",)), [Watcher(url, key.verifier)]
        )
        threads = [Thread(target=attesting.run, args=(stop,)), Thread(target=world.writer().run, args=(stop,))]
        for thread in threads:
            thread.start()
        try:
            for count in range(1, 6):
                world.happen(count % 4, 10)

                def is_signed(size: int = 10 * count) -> bool:
                    found = signed(folder, world.key.verifier)
                    return found is not None and found.size == size

                assert wait_until(is_signed, 60)
            assert threads[0].is_alive()
            found = ages(folder, world.key.verifier, now_ms() / 1000)
            assert found.unwitnessed_s
            assert found.unstamped_s
            hanging.settimeout(10)
            asked, _ = hanging.accept()  # it was asked, and has said nothing since
            asked.close()
        finally:
            stop.set()
            hanging.close()
            for thread in threads:
                thread.join(60)
    world.check()
