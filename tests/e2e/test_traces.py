"""D17, D18: spans on the whole stack, on the local host and on the worker's own library."""

import asyncio
import gzip
import json
import os
import sys
import uuid
from typing import Any

import pytest

from local.client import Client
from local.process import ROOT
from local.samples import load
from local.stack import Stack
from local.tokens import Role
from tests.e2e.conftest import everything_written
from tests.spans import chat, in_json, in_protobuf, said, span

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROTOBUF, JSON = {"Content-Type": "application/x-protobuf"}, {"Content-Type": "application/json"}


async def spans_of(client: Client, enrollment_id: str) -> list[str]:
    """The span ids of all that is stored of an enrollment."""
    batches = await client.batches("europe", enrollment_id)
    return sorted(line["spanId"] for lines in batches.values() for line in lines)


@pytest.mark.parametrize("encoded", [False, True], ids=["plain", "gzip"])
async def test_what_was_exported_is_what_a_reviewer_reads(either: Client, tenant: str, encoded: bool) -> None:
    await either.opt_in(tenant, "europe")
    texts = ["Wie viele Bestellungen?", "注文はいくつ?", 'quotes " and \\ and\nnewlines\t', "", "x" * 200_000]
    asked = [
        said("user", *texts),
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": [None]}]},
    ]
    answered = [{"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "f", "arguments": {"a": 1}}]}]
    attributes = {
        "gen_ai.operation.name": "chat",
        "microsoft.tenant.id": tenant,
        "gen_ai.input.messages": json.dumps(asked),
        "gen_ai.output.messages": json.dumps(answered, ensure_ascii=False),
    }
    now = await either.now()
    body = in_protobuf([span(now, 1, attributes)])
    headers = {**PROTOBUF, "Content-Encoding": "gzip"} if encoded else PROTOBUF
    token = either.token(Role.CAPTURE_SERVICE, now=now)
    answer = await either.call(
        "POST", "v1/traces", token=token, body=gzip.compress(body) if encoded else body, headers=headers
    )
    assert answer.status == 200
    wish = {"purpose": "improve", "justification": "To read what was exported.", "durationMinutes": 60}
    grant = (await either.as_person(Role.REVIEWER, "POST", tenant, "review-grants", wish)).body["grantId"]
    await either.as_person(Role.APPROVER, "POST", tenant, f"review-grants/{grant}/approve")
    listed = (await either.as_person(Role.REVIEWER, "GET", tenant, f"captures?day={now.date()}")).body["value"]
    [batch] = listed
    path = f"captures/{now.date()}/{batch['batchId']}"
    [capture] = (await either.as_person(Role.REVIEWER, "GET", tenant, path)).body
    assert (capture["inputMessages"], capture["outputMessages"]) == (asked, answered)


async def test_spans_that_two_instances_get_at_once_in_other_cuts_are_stored_once(
    client: Client, second: Client, tenant: str
) -> None:
    enrollment = (await client.opt_in(tenant, "europe")).body["enrollmentId"]
    now = await client.now()
    spans = [span(now, n, {**chat(str(n)), "microsoft.tenant.id": tenant}) for n in range(1, 41)]
    cuts = [
        spans,
        spans[:20],
        spans[20:],
        spans[10:30],
        spans[::2],
        spans[::-1],
        *(spans[n : n + 7] for n in range(0, 40, 5)),
    ]
    answers = await asyncio.gather(*(each.export(cut) for cut in cuts for each in (client, second)))
    # Whoever meets a batch that is under way may be told to come back.
    assert {answer.status for answer in answers} <= {200, 503}
    for cut in cuts:
        assert (await second.export(cut)).body == {}
    assert await spans_of(client, enrollment) == sorted(each["spanId"] for each in spans)


async def test_after_the_opt_outs_answer_no_span_is_stored_and_none_of_another_enrollment(
    client: Client, second: Client, tenant: str
) -> None:
    enrollment = (await client.opt_in(tenant, "europe")).body["enrollmentId"]
    now = await client.now()
    before = span(now, 1, {**chat(), "microsoft.tenant.id": tenant})
    assert (await second.export([before])).body == {}
    await client.opt_out(tenant)
    for each in (client, second):
        refused = await each.export([before, span(now, 2, before["attributes"])])
        assert refused.body["partialSuccess"] == {
            "rejectedSpans": "2",
            "errorMessage": "Not stored: 2 data-sharing-off.",
        }
    again = (await client.opt_in(tenant, "europe")).body["enrollmentId"]
    refused = await second.export([before])
    assert refused.body["partialSuccess"]["errorMessage"] == "Not stored: 1 captured-too-early."
    assert await spans_of(client, enrollment) == ["0000000000000001"]
    assert await spans_of(client, again) == []


@pytest.mark.parametrize("form", ["captures", "traces", "agents"])
async def test_the_samples_are_sent_in_each_of_the_ways(client: Client, stack: Stack, tenant: str, form: str) -> None:
    enrollment = (await client.opt_in(tenant, "europe")).body["enrollmentId"]
    command = [sys.executable, "-m", "local", "samples", "--as", form, "--tenant", tenant]
    environment = {**os.environ, "LOCAL_DIR": str(stack.directory)}
    child = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE)
    output, _ = await child.communicate()
    assert (child.returncode, output[:2]) == (0, b"20")
    lines = [line for batch in (await client.batches("europe", enrollment)).values() for line in batch]
    assert len(lines) == len(load())


async def test_no_id_and_no_name_of_a_person_is_anywhere(client: Client, stack: Stack, tenant: str) -> None:
    enrollment = (await client.opt_in(tenant, "europe")).body["enrollmentId"]
    raw = f"adele.vance.{uuid.uuid4().hex}"
    named = {"user.id": raw, "enduser.id": raw, "user.name": raw, "user.email": raw, "client.address": raw}
    of_agent = {"microsoft.agent.user.id": raw, "microsoft.a365.caller.agent.user.email": raw, "host.name": raw}
    now = await client.now()
    one = span(now, 1, {**chat(), **named, **of_agent, "microsoft.tenant.id": tenant})
    token = client.token(Role.CAPTURE_SERVICE, now=now)
    resource = {"process.owner": raw, "process.command_args": [raw], "host.ip": [raw]}
    for body, headers in (
        (in_protobuf([one], resource), PROTOBUF),
        (in_json([{**one, "spanId": "f" * 16}], resource), JSON),
    ):
        assert (await client.call("POST", "v1/traces", token=token, body=body, headers=headers)).status == 200
    assert (await client.export_as_agent(tenant, [{**one, "spanId": "e" * 16}])).body == {}
    native = {**load()[0].capture(now.isoformat()), "userId": raw, "telemetry": {"user": {"id": 1, "user.name": raw}}}
    assert (await client.post(tenant, [native], token=token)).status == 201
    lines = [line for batch in (await client.batches("europe", enrollment)).values() for line in batch]
    assert len(lines) == 4 and raw not in json.dumps(lines)
    assert len({line["userId"] for line in lines}) == 1
    for name, content in everything_written(stack).items():
        assert raw.encode() not in content, name
    answers: list[Any] = [
        (await client.as_admin("GET", tenant, path)).body
        for path in ("data-sharing", "data-sharing/history", "access-log")
    ]
    assert "personKey" not in json.dumps(answers)
