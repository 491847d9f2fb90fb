"""P8: what customers say is in blobs and nowhere else, whatever is sent and however it is answered."""

import json

import pytest

from local.client import Client
from local.samples import load
from local.stack import Stack
from local.tokens import Role
from shared.model.items import format_instant
from tests.e2e.conftest import everything_written

pytestmark = pytest.mark.asyncio(loop_scope="session")

MARK = "Kaffeemühle-Seriennummer-7741"


async def test_no_log_and_no_item_holds_what_was_said(client: Client, stack: Stack, tenant: str) -> None:
    await client.opt_in(tenant, "europe")
    now = await client.now()
    token = client.token(Role.CAPTURE_SERVICE, now=now)
    captures = [sample.capture(format_instant(now)) for sample in load()]
    marked = {**captures[0], "input": MARK, "output": MARK, "telemetry": {MARK: MARK}, "userId": MARK}
    assert (await client.post(tenant, [marked, *captures], token=token)).status == 201
    bad = [
        [{**marked, MARK: 1}],
        [{**marked, "capturedAt": MARK}],
        [{**marked, "input": [MARK]}],
        [{**marked, "capturedAt": "2020-01-01T00:00:00Z"}],
        {MARK: MARK},
        MARK,
    ]
    for body in bad:
        answer = await client.post(tenant, body, token=token)
        assert 400 <= answer.status < 500
        assert MARK not in json.dumps(answer.body, ensure_ascii=False)
    for data in (MARK.encode(), json.dumps({"captures": [marked]}).encode()[:-9]):
        answer = await client.call(
            "POST", f"tenants/{tenant}/captures", token=token, body=data, headers={"Idempotency-Key": "k"}
        )
        assert answer.problem == "invalid-request" and MARK not in json.dumps(answer.body, ensure_ascii=False)
    await client.opt_out(tenant)
    assert (await client.post(tenant, [marked], token=token)).status == 403
    assert await client.run("purge") == "completed"

    texts = [MARK, *(text for sample in load() for text in (sample.input, sample.output))]
    lines = {line for text in texts for line in text.splitlines() if len(line) > 12}
    for name, content in everything_written(stack).items():
        for line in lines:
            assert line.encode() not in content, name
            assert json.dumps(line)[1:-1].encode() not in content, name
