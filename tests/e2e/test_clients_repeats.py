"""What a client meets that sends a batch once more: by a gateway that doubles headers, late, or under an old key."""

import json
from datetime import timedelta
from typing import Any

import pytest
from multidict import CIMultiDict

from local.client import Answer, Client
from local.tokens import Role
from shared.model.items import format_instant

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def batch(client: Client, said: str = "i") -> bytes:
    capture = {"capturedAt": format_instant(await client.now()), "feature": "f", "input": said, "output": "o"}
    return json.dumps({"captures": [capture]}).encode()


async def post(client: Client, tenant: str, body: bytes, *keys: str) -> Answer:
    headers: CIMultiDict[Any] = CIMultiDict([("Idempotency-Key", key) for key in keys])
    token = client.token(Role.CAPTURE_SERVICE, now=await client.now())
    return await client.call("POST", f"tenants/{tenant}/captures", token=token, body=body, headers=headers)


async def test_a_key_that_comes_twice_counts_once_and_two_keys_are_refused(either: Client, tenant: str) -> None:
    await either.opt_in(tenant, "europe")
    body = await batch(either)
    answers = [
        await post(either, tenant, body, *keys) for keys in (("one",), ("one", "one"), ("one, one",), ("one",) * 40)
    ]
    assert [each.status for each in answers] == [201, 200, 200, 200]
    assert len({each.body["batchId"] for each in answers}) == 1
    for keys in (("one", "two"), ("one,two",), ("one", "one", "ONE"), ("one,",), (",",), ()):
        answer = await post(either, tenant, body, *keys)
        assert (answer.status, answer.problem) == (400, "invalid-request")
        assert "Idempotency-Key" in answer.body["detail"] and "200" in answer.body["detail"]


async def test_a_batch_id_is_no_other_batchs_whatever_the_key_was(either: Client, tenant: str) -> None:
    ids = []
    for _ in range(2):
        await either.opt_in(tenant, "europe")
        for hours in (0, 24):
            await either.move_to(await either.now() + timedelta(hours=hours))
            answer = await post(either, tenant, await batch(either), "same")
            assert answer.status == 201
            ids.append(answer.body["batchId"])
        await either.opt_out(tenant)
    assert len(set(ids)) == 4


async def test_a_repeat_that_comes_a_day_late_learns_that_all_is_well(either: Client, tenant: str) -> None:
    enrollment = (await either.opt_in(tenant, "europe")).body["enrollmentId"]
    body, other, never = await batch(either), await batch(either, "another"), await batch(either, "never sent")
    first = await post(either, tenant, body, "one")
    await either.move_to(await either.now() + timedelta(hours=25))
    late = await post(either, tenant, body, "one")
    assert (first.status, late.status) == (201, 200)
    assert late.body == first.body
    assert (await post(either, tenant, other, "one")).problem == "idempotency-key-reused"
    answer = await post(either, tenant, never, "two")
    assert (answer.status, answer.problem) == (422, "captured-too-early")
    assert len(await either.batches("europe", enrollment)) == 1
    await either.opt_out(tenant)
    assert (await post(either, tenant, body, "one")).problem == "data-sharing-off"
    await either.opt_in(tenant, "europe")
    assert (await post(either, tenant, body, "one")).problem == "captured-too-early"
