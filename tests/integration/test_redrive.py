"""Dead letters sent again on the real Kafka: by command, killed in between, and never delivered twice."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from typer.testing import CliRunner

from exchange.agencies import Level
from exchange.backbone.actions import Action, Actions, read_actions
from exchange.backbone.clients import connection
from exchange.backbone.reading import read_to_end
from exchange.cli.app import app
from exchange.cli.dead_letters import present_of
from exchange.errors import Unavailable
from exchange.local.services import Services
from exchange.local.simulation.cast import Member
from exchange.local.waiting import wait_until
from exchange.operating.dead_letters import Selection, picked, read_letters
from exchange.operating.foreseeing import foresee
from exchange.operating.suspending import resume, suspend
from exchange.statements import KINDS, Fields
from tests.support.running import Exchange, Place

pytestmark = pytest.mark.integration

LETTERS = 8
WITHIN_S = 30.0


def refused(exchange: Exchange, member: Member) -> tuple[list[Fields], list[Place]]:
    """What a unit said while it was suspended; it may speak again."""
    registrar, code = exchange.world.registrar, member.agency.code
    recipient = exchange.member(Level.DISTRICT).agency.code
    suspend(registrar, code, "key reported stolen", "An", "Bình")
    said, places = list[Fields](), list[Place]()
    for _ in range(LETTERS):
        fields = exchange.document(member, [recipient])
        place = exchange.submit("document", fields, member)
        [fate] = exchange.fates([place])
        if fate.event["outcome"] == "accepted":  # the hop hadn't heard of it yet
            continue
        assert fate.event["code"] == "sender.suspended"
        said.append(fields)
        places.append(place)
    resume(registrar, code, "new key", "An", "Bình")
    assert len(places) > LETTERS // 2
    return said, places


def copies_of(exchange: Exchange, said: list[Fields]) -> list[int]:
    """How many deliveries there are of each document, wherever it was submitted."""
    exchange.settle()
    ids = [
        delivery.fields["id"]
        for fate in exchange.all_fates()
        for delivery in fate.deliveries
        if delivery.kind == "document"
    ]
    return [ids.count(fields["id"]) for fields in said]


def arrived(exchange: Exchange, said: list[Fields]) -> int:
    """How often any of these documents lies in its submission topic."""
    ids = [fields["id"].encode() for fields in said]
    partitions = range(exchange.world.layout.keyed)
    portions = read_to_end(exchange.world.base, {("documents", partition): None for partition in partitions})
    return sum(any(one in read.value for one in ids) for portion in portions for read in portion)


def command(exchange: Exchange, *words: str) -> list[str]:
    return [sys.executable, "-m", "exchange", "--home", str(exchange.world.home.folder), "dead-letters", *words]


def run(exchange: Exchange, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["--home", str(exchange.world.home.folder), "dead-letters", *words])
    return done.exit_code, done.stdout


def test_sent_again_twice_with_a_kill_between(exchange: Exchange) -> None:
    member = exchange.newcomer()
    said, places = refused(exchange, member)
    assert copies_of(exchange, said) == [0] * len(said)
    chosen = ("--sender", member.agency.code, "--reason", "khóa mới", "--by", "An", "--yes", "--json")

    status, shown = run(exchange, "redrive", *chosen, "--dry-run")
    assert status == 0
    foreseen = json.loads(shown)["foreseen"]
    assert {(one["was"], one["outcome"]) for one in foreseen} == {("sender.suspended", "accepted")}
    assert [one["submission"] for one in foreseen] == ["/".join(map(str, place)) for place in places]
    assert arrived(exchange, said) == len(said)  # a dry run sends nothing

    with subprocess.Popen(
        command(exchange, "redrive", *chosen, "--rate", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as sending:
        assert wait_until(lambda: arrived(exchange, said) > len(said), WITHIN_S)
        sending.kill()
    sent = arrived(exchange, said) - len(said)
    assert 0 < sent < len(said)

    letters = picked(read_letters(exchange.world.base, range(4), Selection(sender=member.agency.code)))
    assert [letter.source for letter in letters] == places
    status, shown = run(exchange, "redrive", *chosen)
    again = json.loads(shown)
    assert (status, 0 < again["sent"] <= len(said)) == (0, True)
    assert copies_of(exchange, said) == [1] * len(said)

    exchange.world.directory_log.catch_up()
    assert {one.outcome for one in foresee(present_of(exchange.world), letters)} == {"duplicate"}
    status, shown = run(exchange, "redrive", *chosen)
    assert (status, json.loads(shown)["sent"]) == (1, 0)

    # Even if somebody sends them without asking what would become of them.
    exchange.submit_all(exchange.prepare("document", fields, member) for fields in said)
    assert copies_of(exchange, said) == [1] * len(said)

    recorded = [action for _, action in read_actions(exchange.world.base) if set(action.places) & set(places)]
    assert [(action.by, action.reason, action.what) for action in recorded] == [
        ("An", "khóa mới", "dead_letters.redrive")
    ] * 2
    assert set(recorded[0].places) == set(places)
    assert set(recorded[1].places) <= set(places)
    assert recorded[1].id.hex() == again["action"]


def test_listed_and_shown(exchange: Exchange, tmp_path: Path) -> None:
    member = exchange.newcomer()
    fields = exchange.document(member, ["H99.NOWHERE"], subject="<b>\u202elừa</b>")
    record = exchange.prepare("document", fields, member)
    [place] = exchange.submit_all([record])
    exchange.settle()
    spelled, code = "/".join(map(str, place)), member.agency.code

    status, shown = run(exchange, "list", "--sender", code, "--json")
    [heap] = json.loads(shown)
    assert (status, heap["code"], heap["letters"], heap["last"]) == (0, "text.control_characters", 1, spelled)
    assert run(exchange, "list", "--sender", f"{code}.X")[0] == 1

    raw = tmp_path / "letter"
    status, shown = run(exchange, "show", spelled, "--reason", "complaint", "--by", "An", "--raw", str(raw))
    assert status == 0
    assert raw.read_bytes() == record.value
    assert fields["id"] in shown
    assert "text.control_characters" in shown
    assert "\u202e" not in shown
    assert f"000000  {record.value[:4].hex(' ')}" in shown
    looked = CliRunner().invoke(
        app, ["--home", str(exchange.world.home.folder), "trace", fields["id"], "--reason", "x", "--json"]
    )
    assert "complaint" in looked.stdout

    status, shown = run(exchange, "redrive", spelled, "--reason", "x", "--json")
    [foreseen] = json.loads(shown)["foreseen"]
    assert (status, foreseen["outcome"], foreseen["code"]) == (1, "rejected", "text.control_characters")


def test_an_action_is_kept_before_it_is_done(services: Services) -> None:
    base, topic = connection(services.bootstrap_servers), f"actions.{uuid.uuid4().hex[:12]}"
    with pytest.raises(Unavailable):
        Actions(base, topic).record(Action("x", "An"))
    admin = AdminClient(base)
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
    action = Action("x", "An", "y", None, {"a": 1}, [("documents", 1, 2)])
    Actions(base, topic).record(action)
    assert [one for _, one in read_actions(base, topic)] == [action]


def test_the_kinds_are_found_in_their_lane(exchange: Exchange) -> None:
    """A record in a wrong lane is foreseen, and sent again, in its own."""
    member = exchange.newcomer()
    fields = exchange.document(member, [exchange.member(Level.DISTRICT).agency.code])
    record = exchange.prepare("document", fields, member)._replace(topic="documents.urgent")
    [place] = exchange.submit_all([record])
    exchange.settle()
    assert exchange.fate(place).event["code"] == "record.wrong_lane"
    status, shown = run(exchange, "redrive", "/".join(map(str, place)), "--reason", "x", "--yes", "--json")
    assert (status, json.loads(shown)["sent"]) == (0, 1)
    assert copies_of(exchange, [fields]) == [1]
    assert KINDS["document"].topic(fields) == "documents"
