"""P8: what customers say is in blobs and nowhere else, whatever is sent and however it is answered."""

import json

import pytest

from local.client import Client
from local.samples import load
from local.stack import Stack
from local.tokens import Role
from shared.model.items import format_instant
from tests.e2e.conftest import everything_written
from tests.spans import chat, in_json, in_protobuf, span

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
    attributes = {
        **chat(MARK, MARK),
        "gen_ai.agent.name": MARK,
        "user.id": MARK,
        MARK: MARK,
        "microsoft.tenant.id": tenant,
    }
    one = {**span(now, 1, attributes), "name": MARK}
    exports = [
        [one],
        [{**one, "endTimeUnixNano": 1}],
        [{**one, "spanId": MARK}],
        [{**one, "attributes": {**attributes, "microsoft.tenant.id": MARK}}],
        [{**one, "attributes": {**attributes, "gen_ai.input.messages": MARK * 20_000}}],
    ]
    for spans in exports:
        for answer in (await client.export(spans), await client.export_as_agent(tenant, spans)):
            assert answer.status == 200 and MARK not in json.dumps(answer.body, ensure_ascii=False)
    whole = in_protobuf([one])
    for data, form in ((whole[:-9], "x-protobuf"), (whole, "json"), (in_json([one])[:-9], "json"), (b"[]", "json")):
        headers = {"Content-Type": f"application/{form}"}
        answer = await client.call("POST", "v1/traces", token=token, body=data, headers=headers)
        assert answer.problem == "invalid-request" and MARK not in json.dumps(answer.body, ensure_ascii=False)
    await client.opt_out(tenant)
    assert (await client.post(tenant, [marked], token=token)).status == 403
    refused = (await client.export([one])).body["partialSuccess"]
    assert refused == {"rejectedSpans": "1", "errorMessage": "Not stored: 1 data-sharing-off."}
    assert await client.run("purge") == "completed"

    texts = [MARK, *(text for sample in load() for text in (sample.input, sample.output))]
    lines = {line for text in texts for line in text.splitlines() if len(line) > 12}
    for name, content in everything_written(stack).items():
        for line in lines:
            assert line.encode() not in content, name
            assert json.dumps(line)[1:-1].encode() not in content, name
