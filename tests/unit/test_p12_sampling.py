"""P12: a sample is of all captures that match, each as likely as any other, however they lie and are gone through."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from shared.model.capture import BATCH_MAX
from shared.problems import InvalidRequest
from shared.review import finding as module
from shared.review.cursors import CURSOR_MAX, Spot
from shared.review.finding import FoundPage, _Lowest
from tests.clocks import START
from tests.unit.reviewed import (
    DAY,
    actions,
    container,
    grant_forever,
    inputs,
    label,
    post,
    post_texts,
    reviewed_world,
    sample,
    sample_all,
    slowly,
)
from tests.world import TENANT, World

# Of the chi-square distribution: how often 1 of 1,000 true samples would deviate as much.
CRITICAL_29 = 58.3
CRITICAL_3 = 16.27
SIZES = (1, 20, 1, 3, 1, 4)


def names(*pages: FoundPage) -> list[str]:
    return [each.found.name for page in pages for each in page.value]


def deviation(counts: Counter[str], all_of_them: int, size: int, samples: int) -> float:
    """Return the chi-square statistic of how often each was in a sample; it has one degree of freedom less than all."""
    expected = samples * size / all_of_them
    raw = sum((counts[name] - expected) ** 2 / expected for name in counts)
    raw += (all_of_them - len(counts)) * expected
    return raw * (all_of_them - 1) / (all_of_them - size)


async def test_p12_each_capture_is_in_a_sample_as_likely_as_any_other() -> None:
    world = await reviewed_world()
    texts = await post_texts(world, *SIZES)
    samples, size = 300, 6
    counts = Counter[str]()
    for seed in range(samples):
        [page] = await sample_all(world, size, seed)
        assert len(page.value) == size and page.matched == len(texts) == 30
        counts.update(inputs(page))
    assert deviation(counts, 30, size, samples) < CRITICAL_29
    assert counts.keys() == set(texts)


def test_p12_so_it_is_for_every_place_in_a_batch_and_for_seeds_that_follow_one_another() -> None:
    spots = [Spot(DAY, f"{batch:032x}", line) for batch, size in enumerate(SIZES) for line in range(size)]
    samples, size = 4_000, 6
    counts, together = Counter[str](), Counter[str]()
    before: set[Spot] = set()
    for seed in range(samples):
        lowest = _Lowest(size, seed, [])
        for spot in spots:
            lowest.add(spot)
        chosen = set(lowest.spots())
        counts.update(f"{spot}" for spot in chosen)
        together[f"{len(chosen & before)}"] += 1
        before = chosen
    assert deviation(counts, 30, size, samples) < CRITICAL_29
    # Two samples have as many in common as they would if none knew of the other (hypergeometric, in four classes).
    likely = {"0": 0.22668, "1": 0.42950, "2": 0.26843}
    expected = {name: share * samples for name, share in likely.items()}
    seen = {name: together[name] for name in likely}
    rest, rest_seen = samples - sum(expected.values()), samples - sum(seen.values())
    statistic = sum((seen[name] - expected[name]) ** 2 / expected[name] for name in likely)
    assert statistic + (rest_seen - rest) ** 2 / rest < CRITICAL_3


def test_p12_that_a_sample_is_skewed_would_be_noticed() -> None:
    counts = Counter({f"{n}": 60 for n in range(30)})
    assert deviation(counts, 30, 6, 300) == 0
    counts.update({f"{n}": 20 for n in range(6)})
    counts.subtract({f"{n}": 20 for n in range(6, 12)})
    assert deviation(counts, 30, 6, 300) > CRITICAL_29


async def test_p12_the_same_seed_gives_the_same_sample_and_another_one_another() -> None:
    world = await reviewed_world()
    await post_texts(world, *SIZES)
    first, again, other = [names(*await sample_all(world, 6, seed)) for seed in (1, 1, 2)]
    assert first == again == sorted(first) != other
    assert set(first) < set(names(*await sample_all(world, 12, 1))), "a larger one has the smaller one in it"


async def test_p12_a_sample_is_of_what_matches() -> None:
    world = await reviewed_world()
    texts = await post_texts(world, *SIZES)
    of_some = [text for text in texts if "1" in text]
    for size in (1, 5, len(of_some), 200):
        [page] = await sample_all(world, size, 3, text="1")
        assert page.matched == len(of_some) and len(page.value) == min(size, len(of_some))
        assert set(inputs(page)) <= set(of_some)
    [page] = await sample_all(world, 200, 3, text="nowhere")
    assert (page.value, page.matched, page.scanned.captures) == ([], 0, 30)


@pytest.mark.parametrize("seconds", [0.2, 0.6, 4.0])
@pytest.mark.parametrize("room", [1, 300, module.PAGE_MAX_BYTES])
async def test_p12_how_pages_are_cut_does_not_matter(
    seconds: float, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await reviewed_world()
    texts = await post_texts(world, *SIZES, *[2] * 12)
    whole = await sample_all(world, 9, 5)
    monkeypatch.setattr(module, "PAGE_MAX_BYTES", room)
    slowly(world, seconds)
    pages = await sample_all(world, 9, 5)
    assert len(pages) > len(whole) == 1 or seconds < 0.6
    assert inputs(*pages) == inputs(*whole)
    assert pages[-1].matched == len(texts)
    matched = [page.matched for page in pages]
    assert matched == sorted(matched)
    assert sum(page.scanned.captures for page in pages) == len(texts)
    assert sum(page.scanned.batches for page in pages) == 18
    told = [(each.captures, each.opened) for each in world.access_store.records[TENANT] if each.action == "found"]
    assert told[-len(pages) :] == [(len(page.value), tuple(names(page))) for page in pages]
    assert actions(world) == ["searched", "found"] * (len(pages) + 1)


async def test_p7_the_page_that_shows_a_sample_is_on_the_record_with_all_days_that_it_shows() -> None:
    world = await reviewed_world()
    for day in range(3):
        for n in range(6):
            await post(world, {"input": f"{day}.{n}"}, key=f"{day}.{n}")
        world.clock.move(timedelta(days=1))
    grant_forever(world)
    slowly(world, module.PAGE_SECONDS)
    pages = await sample_all(world, 200, 1)
    assert len(pages) > 2
    records = [each for each in world.access_store.records[TENANT] if each.action in {"searched", "found"}]
    for searched, found in zip(records[::2], records[1::2], strict=True):
        for name in found.opened or ():
            assert searched.first_day is not None and searched.last_day is not None
            assert searched.first_day <= name[:10] <= searched.last_day


async def test_p12_what_has_gone_meanwhile_or_does_not_match_any_more_is_passed_over() -> None:
    world = await reviewed_world()
    batches = [await post(world, *({"input": f"{n}.{m}"} for m in range(3)), key=f"{n}") for n in range(9)]
    for batch_id in batches:
        label(world, batch_id, 1, verdict="good")
    slowly(world, module.PAGE_SECONDS)
    pages = [await sample(world, 200, 1, labelled=True)]
    while len(pages[-1].value) == 0 and pages[-1].matched < 9:
        assert pages[-1].cursor is not None
        pages.append(await sample(world, 200, 1, pages[-1].cursor, labelled=True))
    gone, unlabelled = batches[0], batches[1]
    del world.containers()[container(world)][gone]
    label(world, unlabelled, 2, verdict="good")
    while pages[-1].cursor is not None:
        pages.append(await sample(world, 200, 1, pages[-1].cursor, labelled=True))
    assert sorted(inputs(*pages)) == [f"{n}.1" for n in range(2, 9)]


async def test_p12_of_a_day_that_is_over_meanwhile_nothing_is_shown() -> None:
    world = await reviewed_world()
    await post(world, {"input": "old"})
    world.clock.move(timedelta(days=1))
    await post(world, {"input": "new"}, key="new")
    grant_forever(world)
    slowly(world, module.PAGE_SECONDS)
    pages = [await sample(world, 5, 1)]
    world.clock.set((START + timedelta(days=30)).replace(hour=0))
    while pages[-1].cursor is not None:
        pages.append(await sample(world, 5, 1, pages[-1].cursor))
    assert inputs(*pages) == ["new"] and pages[-1].matched == 2


async def test_p12_a_cursor_is_good_for_its_own_sample_alone() -> None:
    world = await reviewed_world()
    await post_texts(world, *SIZES)
    slowly(world, module.PAGE_SECONDS)
    cursor = (await sample(world, 5, 1)).cursor
    assert cursor is not None
    others: list[Any] = [(6, 1, {}), (5, 2, {}), (5, 1, {"text": "1"})]
    for size, seed, members in others:
        with pytest.raises(InvalidRequest, match="cursor"):
            await sample(world, size, seed, cursor, **members)
    assert (await sample(world, 5, 1, cursor)).matched > 0


async def test_p12_what_is_kept_of_a_sample_does_not_grow_with_what_it_is_of() -> None:
    world = await reviewed_world()
    for n in range(4):
        await post(world, *({"input": f"{m}"} for m in range(BATCH_MAX)), key=f"{n}")
    slowly(world, module.PAGE_SECONDS)
    pages = await sample_all(world, 200, 1)
    assert len(inputs(*pages)) == 200 and pages[-1].matched == 4 * BATCH_MAX
    assert max(len(page.cursor or "") for page in pages) <= CURSOR_MAX


async def test_p12_samples_at_a_time_do_not_disturb_one_another() -> None:
    world = await reviewed_world()
    await post_texts(world, *SIZES)

    async def of(world: World, seed: int) -> list[str]:
        return names(*await sample_all(world, 6, seed))

    alone = [await of(world, seed) for seed in range(4)]
    assert await asyncio.gather(*(of(world, seed) for seed in range(4))) == alone
