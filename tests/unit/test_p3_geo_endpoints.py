"""P3: what another deployment serves is refused, with that deployment's address where it is known."""

import json
from dataclasses import replace

import pytest

from functions._api.http import problem_answer
from functions._api.openapi import document
from shared.configuration import Configuration, ConfigurationError
from shared.problems import GeoNotServed
from shared.stores.memory import MemoryCaptures
from tests.changes import AGREED, opting_in
from tests.functions.api import Api, api  # noqa: F401
from tests.unit.settings import GOOD, SECRET
from tests.world import TENANT, World, capture, submission

STAMP = "https://uk.example/stamp"


@pytest.mark.parametrize(
    ("value", "endpoints"),
    [
        ("", {}),
        ("{}", {}),
        (json.dumps({"japan": STAMP}), {"japan": STAMP}),
        (json.dumps({"japan": "https://a.example/", "india": "https://b.example:8443"}), ...),
        (json.dumps({"japan": "http://127.0.0.1:7071/"}), {"japan": "http://127.0.0.1:7071"}),
    ],
)
def test_addresses_are_read_without_a_slash_at_the_end(value: str, endpoints: object) -> None:
    read = Configuration.read({**GOOD, "GEO_ENDPOINTS": value}).geo_endpoints
    assert read == (
        {"japan": "https://a.example", "india": "https://b.example:8443"} if endpoints is ... else endpoints
    )
    assert Configuration.read(GOOD).geo_endpoints == {}


@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        "[]",
        "[" * 100_000,
        json.dumps({SECRET: STAMP}),
        json.dumps({"europe": STAMP}),  # served here
        *(
            json.dumps({"japan": address})
            for address in (
                5,
                None,
                "",
                "https://",
                f"http://{SECRET}.example",
                f"http://127.0.0.1.{SECRET}.example",
                f"http://127.0.0.1@{SECRET}.example",
                f"https://user:{SECRET}@a.example",
                f"https://a.example?key={SECRET}",
                f"https://a.example/#{SECRET}",
                f"https://a.example\\{SECRET}",
                f"https://a.example/ {SECRET}",
                f"https://a.example\r\nx-injected: {SECRET}",
                f"https://-{SECRET}.example",
                f"https://[{SECRET}",
                f"javascript:{SECRET}",
            )
        ),
    ],
)
def test_what_is_no_address_or_no_other_geo_is_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(ConfigurationError, match="GEO_ENDPOINTS") as refused:
        Configuration.read({**GOOD, "GEO_ENDPOINTS": value})
    assert SECRET not in str(refused.value)


def stamp(world: World, served: str = "europe") -> World:
    """Another deployment on the same ledger that serves one geo and knows who serves the others."""
    return replace(world, stores={served: world.stores[served]}, elsewhere={"unitedkingdom": STAMP})


async def test_a_capture_for_a_geo_that_is_served_elsewhere_is_refused_with_the_address() -> None:
    world = World()
    await world.opt_in(geo="unitedkingdom")
    captures = stamp(world).captures
    with pytest.raises(GeoNotServed) as refused:
        await captures.submit(TENANT, submission(capture(world.clock.now())))
    assert refused.value.extensions == {"endpoint": STAMP} and STAMP in refused.value.detail
    assert world.stored_containers() == {}


async def test_an_opt_in_to_a_geo_that_is_served_elsewhere_is_refused_with_the_address() -> None:
    world = World()
    sharing = stamp(world).data_sharing
    with pytest.raises(GeoNotServed) as refused:
        await sharing.put(TENANT, opting_in("unitedkingdom"))
    assert refused.value.extensions == {"endpoint": STAMP}
    assert not world.ledger.events


async def test_an_address_that_nobody_knows_is_not_made_up() -> None:
    world = World()
    await world.opt_in(geo="unitedstates")
    there = stamp(world)
    for refusal in (
        there.captures.submit(TENANT, submission(capture(world.clock.now()))),
        there.data_sharing.put(TENANT, opting_in("japan")),
    ):
        with pytest.raises(GeoNotServed) as refused:
            await refusal
        assert refused.value.extensions == {}


async def test_an_account_that_was_exchanged_sends_nobody_elsewhere() -> None:
    world = World()
    await world.opt_in()
    world.stores["europe"] = MemoryCaptures("stsomeoneelse")
    with pytest.raises(GeoNotServed) as refused:
        await stamp(world).captures.submit(TENANT, submission(capture(world.clock.now())))
    assert refused.value.extensions == {}


async def test_purge_and_sweep_touch_the_served_geos_alone() -> None:
    world = World()
    await world.opt_in()  # a sweep believes no empty ledger
    names = [f"0-20200101-{'0' * 32}", f"f-{world.clock.now():%Y%m%d}-{'f' * 32}"]  # expired; of no enrollment
    for store in world.stores.values():
        for name in names:
            store.receive_container(name)
    elsewhere = {geo: world.stores.pop(geo) for geo in ("unitedstates", "unitedkingdom")}
    await world.purge.run()
    await world.sweep.run()
    assert world.stored_containers() == {}
    assert all(set(names) <= store.containers.keys() for store in elsewhere.values())


async def test_the_answer_carries_the_address_as_a_member_of_its_own(api: Api) -> None:  # noqa: F811
    problem = GeoNotServed("Another deployment serves that geo.", STAMP)
    response = problem_answer(problem)
    content = json.loads(response.get_body())
    assert (response.status_code, content["type"]) == (421, "urn:problem:geo-not-served")
    assert content["endpoint"] == STAMP and STAMP in content["detail"]
    status, _, _ = await api.call("data_sharing", "PUT", body={"enabled": True, "geo": "japan", **AGREED})
    assert status == 421


def test_the_openapi_document_says_so() -> None:
    described = document()
    for route, method in (("/tenants/{tenantId}/captures", "post"), ("/tenants/{tenantId}/data-sharing", "put")):
        answer = described["paths"][route][method]["responses"]["421"]
        if "$ref" in answer:
            answer = described["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        name = answer["content"]["application/problem+json"]["schema"]["$ref"].rpartition("/")[2]
        assert described["components"]["schemas"][name]["properties"]["endpoint"]["type"] == "string"
