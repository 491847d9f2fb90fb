"""D6: a service can repeat a capture blindly."""

import asyncio
import gzip
import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from shared.model.capture import StoredBatch, compressed
from shared.model.messages import TEXT_MAX_BYTES
from shared.ports import ContainerMissing
from shared.problems import DataSharingOff, IdempotencyKeyReused, Unavailable
from tests.clocks import START
from tests.world import TENANT, World, capture, submission


async def enrolled() -> World:
    world = World()
    await world.opt_in()
    return world


async def test_the_same_key_and_body_is_answered_as_the_first_time_and_stored_once() -> None:
    world = await enrolled()
    sent = submission(capture(world.clock.now()))
    first = await world.captures.submit(TENANT, sent)
    world.clock.move(timedelta(hours=13))  # across midnight: the day is the captures', not the request's
    again = await world.instance().submit(TENANT, sent)
    assert (first.created, again.created) == (True, False)
    assert (first.batch_id, first.accepted, first.enrollment_id, first.expires_at) == (
        again.batch_id,
        again.accepted,
        again.enrollment_id,
        again.expires_at,
    )
    assert sum(len(batches) for batches in world.containers().values()) == 1


def test_p4_a_blob_says_of_no_other_time_than_its_captures_do() -> None:
    content = compressed([b"{}"])
    assert (gzip.decompress(content), content[4:8]) == (b"{}\n", bytes(4))  # RFC 1952, 2.3.1: no time is there


async def test_the_answer_says_which_batch_it_is_how_much_of_whom_was_taken_and_until_when_it_is_kept() -> None:
    world = await enrolled()
    now = world.clock.now()
    sent = submission(capture(now), capture(now + timedelta(minutes=1)), key="key-7", app_id="app-7")
    stored = await world.captures.submit(TENANT, sent)
    setting = await world.data_sharing.get(TENANT)
    assert setting.enrollment is not None
    enrollment_id = setting.enrollment.enrollment_id
    assert stored == StoredBatch(
        batch_id=hashlib.sha256(f"{enrollment_id}\n{now:%Y%m%d}\napp-7\nkey-7".encode()).hexdigest()[:32],
        accepted=2,
        enrollment_id=enrollment_id,
        expires_at=now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=30),
        created=True,
    )
    [batches] = world.containers().values()
    assert list(batches) == [stored.batch_id]


async def test_the_same_key_with_another_body_is_refused_and_the_first_stays() -> None:
    world = await enrolled()
    await world.post("first")
    before = {name: dict(batches) for name, batches in world.containers().items()}
    with pytest.raises(IdempotencyKeyReused):
        await world.post("second")
    assert world.containers() == before


async def test_a_key_means_nothing_to_another_app_enrollment_or_day() -> None:
    world = await enrolled()
    now = world.clock.now()
    assert (await world.captures.submit(TENANT, submission(capture(now, "a"), app_id="app-1"))).created
    assert (await world.captures.submit(TENANT, submission(capture(now, "b"), app_id="app-2"))).created
    world.clock.move(timedelta(days=1))
    assert (await world.captures.submit(TENANT, submission(capture(world.clock.now(), "c")))).created
    await world.opt_out()
    await world.opt_in()
    assert (await world.captures.submit(TENANT, submission(capture(world.clock.now(), "d")))).created


async def test_concurrent_repeats_store_one_batch() -> None:
    world = await enrolled()
    sent = submission(capture(world.clock.now()))
    answers = await asyncio.gather(*(world.captures.submit(TENANT, sent) for _ in range(20)))
    assert sum(answer.created for answer in answers) == 1
    assert len({answer.batch_id for answer in answers}) == 1


async def test_the_blob_is_json_lines_of_what_was_sent_under_an_opaque_name() -> None:
    world = await enrolled()
    now = world.clock.now()
    sent = [{**capture(now, f"text {n}"), "userId": "u", "telemetry": {"ms": n, "tags": [None, 1.5]}} for n in range(3)]
    stored = await world.captures.submit(TENANT, submission(*sent))
    [batches] = world.containers().values()
    [(name, (content, _))] = batches.items()
    assert name == stored.batch_id and len(name) == 32 and "key-1" not in name
    lines = [json.loads(line) for line in gzip.decompress(content).splitlines()]
    assert [{**line, "userId": "u"} for line in lines] == sent  # its pseudonym is for test_d18_persons.py to hold


async def test_a_container_that_is_being_deleted_is_told_and_nothing_is_half_stored() -> None:
    world = await enrolled()
    await world.post()
    [name] = world.containers()
    world.stores["europe"].containers.clear()
    world.stores["europe"].being_deleted.add(name)
    with pytest.raises(Unavailable, match=Unavailable.CONTAINER_BEING_DELETED):
        await world.post()
    world.stores["europe"].being_deleted.clear()
    assert (await world.post()).created


async def test_a_writer_that_races_a_container_delete_loses_nothing_silently() -> None:
    world = await enrolled()
    store = world.stores["europe"]

    async def gone(*args: object) -> None:
        raise ContainerMissing

    put, store.put_batch = store.put_batch, gone
    with pytest.raises(Unavailable, match=Unavailable.CONTAINER_BEING_DELETED):
        await world.post()
    store.put_batch = put
    assert (await world.post()).created


async def test_after_an_opt_out_a_repeat_is_refused_too() -> None:
    world = await enrolled()
    sent = submission(capture(world.clock.now()))
    await world.captures.submit(TENANT, sent)
    await world.opt_out()
    with pytest.raises(DataSharingOff):
        await world.captures.submit(TENANT, sent)


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({"input": "x" * TEXT_MAX_BYTES, "output": "\N{EURO SIGN}" * (TEXT_MAX_BYTES // 3)}, True),
        ({"input": "x" * (TEXT_MAX_BYTES + 1)}, False),
        ({"output": "\N{EURO SIGN}" * (TEXT_MAX_BYTES // 3 + 1)}, False),
        ({"capturedAt": "2026-11-21t13:00:00.123456789+01:00"}, True),
        ({"capturedAt": "2026-11-21T12:00:00z"}, True),
        ({"capturedAt": "2026-11-21T12:00:00"}, False),
        ({"capturedAt": "2026-11-21"}, False),
        ({"capturedAt": " 2026-11-21T12:00:00Z"}, False),
        ({"capturedAt": 1795262400}, False),
        ({"capturedAt": None}, False),
    ],
    ids=lambda each: "" if isinstance(each, bool) else "".join(each)[:12],
)
def test_a_text_of_256_kib_and_an_instant_with_its_offset_are_taken_and_nothing_else(
    change: dict[str, Any], taken: bool
) -> None:
    sent = {**capture(START), **change}
    if taken:
        [read] = submission(sent).batch.captures
        assert (read.input, read.output) == (sent["input"], sent["output"])
        return
    with pytest.raises(ValidationError) as refused:
        submission(sent)
    assert refused.value.error_count() == 1
    assert "xxx" not in str(refused.value), "and is not shown (P8)"
