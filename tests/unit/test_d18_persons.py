"""D18: persons are pseudonyms, and nothing else that is stored names them."""

import gzip
import itertools
import json
from typing import Any

import pytest

from shared.model.persons import PSEUDONYM_BYTES, pseudonym, without_persons
from shared.ports import Stored
from tests.world import OTHER_TENANT, TENANT, World, capture, submission

ADELE = "adele.vance@adatum.example"
KEY = "k" * 64
KEYS = itertools.count()


async def stored(world: World, user: str = ADELE, **telemetry: Any) -> dict[str, Any]:
    """What is stored of a capture."""
    sent = {**capture(world.clock.now()), "userId": user, "telemetry": telemetry}
    batch = await world.captures.submit(TENANT, submission(sent, key=f"key-{next(KEYS)}"))
    [content] = [batches[batch.batch_id][0] for batches in world.containers().values() if batch.batch_id in batches]
    line: dict[str, Any] = json.loads(gzip.decompress(content))
    assert ADELE not in json.dumps(line)
    return line


async def test_a_person_is_the_same_pseudonym_throughout_an_enrollment_and_another_in_the_next() -> None:
    world = World()
    await world.opt_in()
    first = (await stored(world))["userId"]
    assert len(first) == 2 * PSEUDONYM_BYTES and int(first, 16) >= 0
    told = await stored(world, **{"user.id": ADELE, "user.name": ADELE, "latencyMs": 8})
    assert (told["userId"], told["telemetry"]) == (first, {"user.id": first, "latencyMs": 8})
    assert (await stored(world, "other@adatum.example"))["userId"] != first
    await world.opt_out()
    await world.opt_in()
    assert (await stored(world))["userId"] != first


async def test_two_tenants_have_two_keys_and_each_enrollment_its_own() -> None:
    world = World()
    await world.opt_in()
    await world.opt_in(OTHER_TENANT)
    keys = [world.ledger.settings[tenant].value.person_key for tenant in (TENANT, OTHER_TENANT)]
    await world.opt_out()
    assert world.ledger.settings[TENANT].value.person_key is None
    await world.opt_in()
    keys.append(world.ledger.settings[TENANT].value.person_key)
    assert len(set(keys)) == 3 and all(len(bytes.fromhex(str(key))) == 32 for key in keys)


async def test_the_key_is_in_the_setting_and_in_no_event() -> None:
    world = World()
    setting = await world.opt_in()
    await world.opt_out()
    assert setting.person_key is not None and setting.person_key not in repr(setting)
    for event in world.ledger.events[TENANT]:
        assert setting.person_key not in json.dumps(event.to_json())


async def test_an_enrollment_without_a_key_keeps_no_ids_until_it_is_renewed() -> None:
    world = World()
    await world.opt_in()
    kept = world.ledger.settings[TENANT]
    without = kept.value.model_copy(update={"person_key": None})
    world.ledger.settings[TENANT] = Stored(without, kept.etag)
    assert "userId" not in await stored(world)
    world.ledger.settings[TENANT] = Stored(without.model_copy(update={"notice": None}), kept.etag)
    await world.opt_in()  # agrees to the notice in force
    assert "userId" in await stored(world)


NAMING = """
user.name user.full_name user.email userEmail user_name displayName UPN client.address source.address
network.peer.address net.peer.ip http.client_ip user_agent.original microsoft.agent.user.email
microsoft.a365.caller.agent.user.email user.principal_name email process.owner process.command_args host.name host.ip
geo.locality.name device.id os.name
"""
IDS = """
user.id userId USER_ID enduser.id enduser.pseudo.id user.hash microsoft.agent.user.id
microsoft.a365.caller.agent.user.id aadObjectId
"""


@pytest.mark.parametrize("name", NAMING.split())
def test_what_names_a_person_or_a_machine_is_dropped_at_any_depth(name: str) -> None:
    kept = {"latencyMs": 8, "list": [{"in": 1}]}
    named = {**kept, name: ADELE, "list": [{"in": 1, name: {"x": ADELE}}]}
    assert without_persons(named, KEY) == kept


@pytest.mark.parametrize("name", IDS.split())
def test_what_tells_persons_apart_is_a_pseudonym_at_any_depth(name: str) -> None:
    expected = pseudonym(KEY, ADELE)
    assert without_persons({"in": [{name: ADELE}]}, KEY) == {"in": [{name: expected}]}
    assert without_persons({name: 4711}, KEY) == {name: pseudonym(KEY, "4711")}
    assert without_persons({name: {"x": ADELE}}, KEY) == {}, "of a form that is no id: not kept"
    assert without_persons({name: ADELE, "kept": 1}, None) == {"kept": 1}


@pytest.mark.parametrize(
    "name", ["accepted", "userCount", "hostile", "oslo", "gen_ai.agent.name", "session.id", "service.name"]
)
def test_other_members_stay_as_they_are(name: str) -> None:
    assert without_persons({name: [1, None, "x", {"y": True}]}, KEY) == {name: [1, None, "x", {"y": True}]}


async def test_what_was_said_stays_what_it_is() -> None:
    world = World()
    await world.opt_in()
    said = {
        **capture(world.clock.now(), "Who is user.name?"),
        "inputMessages": [{"role": "user", "parts": [{"type": "x", "userId": 1}]}],
    }
    batch = await world.captures.submit(TENANT, submission(said))
    [content] = [batches[batch.batch_id][0] for batches in world.containers().values() if batch.batch_id in batches]
    assert json.loads(gzip.decompress(content)) == said
