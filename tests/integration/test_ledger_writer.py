"""The ledger's writer on the real Kafka: one tree, whatever dies, whoever else writes, whatever is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from exchange.backbone.folder import Folder
from exchange.errors import Fenced, InvariantBroken
from exchange.ledger import writer as writing
from exchange.ledger.places import NO_SALT, find
from exchange.ledger.store import CHECKPOINT, PENDING, STATE, tile_reader
from exchange.ledger.tree import TileTree, check_consistency
from exchange.ledger.writer import STEPS
from exchange.local.services import Services
from tests.support.ledger_world import Killed, LedgerWorld, ledger_world

pytestmark = pytest.mark.integration


@pytest.fixture
def world(services: Services, tmp_path: Path) -> LedgerWorld:
    return ledger_world(services, tmp_path)


def killer(step: str) -> object:
    """Ends the writer when it reaches the step for the second time: so there is a tree before."""
    left = {step: 2}

    def probe(reached: str) -> None:
        if reached == step:
            left[step] -= 1
            if not left[step]:
                raise Killed(step)

    return probe


def test_every_event_becomes_a_leaf(world: LedgerWorld) -> None:
    world.writer().catch_up()
    assert world.check().size == 0
    world.happen(0, 3)
    world.happen(1, 300)
    world.happen(3, 1)
    assert world.writer().catch_up() == 304
    first = world.check()
    world.happen(1, 1)
    world.happen(0, 600)
    assert world.writer().catch_up() == 905
    second = world.check()
    tree = TileTree(second.size, tile_reader(Folder(world.folder)))
    check_consistency(first.size, first.root, second.size, second.root, tree.consistency(first.size))
    assert world.writer().catch_up() == 905
    assert world.checkpoint() == second
    assert Folder(world.folder).names(PENDING) == []


@pytest.mark.fault
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_the_same_tree_goes_on(
    world: LedgerWorld, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "EVENTS_MAX", 200)
    for partition in (0, 1, 2):
        world.happen(partition, 170)
    with pytest.raises(Killed):
        world.writer(killer(step)).catch_up()  # type: ignore[arg-type]
    before = world.checkpoint()
    assert before.size >= 170
    world.happen(3, 10)
    assert world.writer().catch_up() == 520
    after = world.check()
    tree = TileTree(after.size, tile_reader(Folder(world.folder)))
    check_consistency(before.size, before.root, after.size, after.root, tree.consistency(before.size))


@pytest.mark.fault
@pytest.mark.parametrize("step", ["read", "salted", "produced", "committed", "stored", "signed"])
def test_a_second_writer_fences_the_first_which_cannot_fork_the_tree(
    world: LedgerWorld, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "EVENTS_MAX", 20)
    world.happen(0, 20)
    world.happen(0, 20)  # the first writer's next batch, whatever became of the one before
    taken_over = list[str]()

    def take_over(reached: str) -> None:
        if reached == step and not taken_over:
            taken_over.append(step)
            world.happen(1, 5)
            assert world.writer().catch_up() == 45

    with pytest.raises(Fenced):
        world.writer(take_over).catch_up()
    assert taken_over
    assert world.writer().catch_up() == 45
    world.check()


def test_a_lost_tree_is_rebuilt_to_its_signed_root(world: LedgerWorld) -> None:
    world.happen(0, 300)
    world.writer().catch_up()
    world.happen(1, 10)
    world.writer().catch_up()
    signed, kept = world.check(), (world.folder / CHECKPOINT).read_bytes()
    shutil.rmtree(world.folder / "tile")
    world.writer().catch_up()
    assert world.check() == signed
    assert (world.folder / CHECKPOINT).read_bytes() == kept
    (world.folder / STATE).unlink()
    world.writer().catch_up()
    assert world.check() == signed
    # All is lost: the root is the same, only the salts are gone.
    shutil.rmtree(world.folder)
    world.writer().catch_up()
    assert world.checkpoint() == signed
    found = find(Folder(world.folder), 310, 1, 0, 3)
    assert found is not None
    assert found[1].salt == NO_SALT


def test_a_changed_tile_is_found_and_made_anew(world: LedgerWorld) -> None:
    world.happen(0, 300)
    world.writer().catch_up()
    tile = world.folder / "tile/0/001.p/44"
    tile.write_bytes(bytes(len(tile.read_bytes())))
    world.writer().catch_up()
    world.check()


def test_a_smaller_or_other_tree_is_never_signed(world: LedgerWorld, services: Services, tmp_path: Path) -> None:
    world.happen(0, 30)
    world.writer().catch_up()
    kept = (world.folder / CHECKPOINT).read_bytes()
    other = ledger_world(services, tmp_path / "other")
    other.key = world.key
    for count in (0, 10, 40):  # another deployment's order: shorter, then longer
        other.happen(0, count) if count else None
        other.writer().catch_up()
        shutil.rmtree(other.folder / "tile", ignore_errors=True)
        (other.folder / CHECKPOINT).write_bytes(kept)
        with pytest.raises(InvariantBroken):
            other.writer().catch_up()
        assert (other.folder / CHECKPOINT).read_bytes() == kept
        shutil.rmtree(other.folder)
