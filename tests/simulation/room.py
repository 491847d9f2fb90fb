"""The review room: what reviewers look for and say, and exports that they ask for, download and delete."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from shared.model.labels import Said
from shared.model.selection import Selection
from shared.review import exporting as making
from tests.changes import ADMIN
from tests.simulation import reviewing
from tests.simulation.faults import Aimed

if TYPE_CHECKING:
    from tests.simulation.history import Answer, History

MINUTE = 60.0
_HELD_UP = (
    "head",
    "commit",
    "move_head",
    "read_setting",
    "read_grant",
    "read_export",
    "list_blobs",
    "read_batch",
    "write_beside",
    "stage",
    "stage",
    "staged",
    "put_staged",
    "put_staged",
    "size_of",
    "read_range",
    "read_range",
    "delete_beside",
)
_OF = ("review: export", "review: export", "exports", "exports", "review: download", "review: delete export")


@dataclass(slots=True)
class Known:
    """An export as its client knows it; ``day`` and ``bytes`` once it was told that it is ready."""

    tenant: str
    id: str
    reviewer: str
    day: date | None = None
    bytes: int = 0


async def act(history: "History", who: str) -> None:
    """Somebody does something with exports, or several do at a time."""
    random = history.random
    mine = [each for each in history.reviewers.exports if each.tenant == who]
    action = random.random()
    if random.random() < 0.35:
        await (find if random.random() < 0.5 else label)(history, who)
    elif not mine or action < 0.3:
        await ask(history, who)
    elif action < 0.5:
        await download(history, random.choice(mine[-3:]))
    elif action < 0.6:
        await delete(history, random.choice(mine[-3:]))
    elif action < 0.65:
        await see(history, who)
    elif action < 0.75:
        await just_before_it_is_ready(history, who)
    else:
        await overtaken(history, who)
    for _ in range(random.choice((0, 1, 1, 2))):
        history.spawn(tick(history, random.choice((0.0, 70.0, 70.0, 400.0)) * random.random()))


async def ask(history: "History", who: str) -> Known | None:
    """Whoever has a live grant asks for an export; the timer comes by when the request has left it to it."""
    asked = await reviewing.live(history, who)
    if asked is None:
        return None
    known = await _request(history, who, asked.reviewer)
    if history.random.random() < 0.7:
        await tick(history, 70.0)
        if known is not None:
            await download(history, known)
    return known


async def tick(history: "History", seconds: float) -> None:
    """The timer comes by after so many seconds, now and then on two instances at a time."""
    await asyncio.sleep(seconds)
    if history.unmade():
        times = 2 if history.random.random() < 0.2 else 1
        await asyncio.gather(*(history.exports() for _ in range(times)))


async def download(history: "History", known: Known) -> None:
    """A reviewer looks how an export stands, and downloads it, part by part or only one of them."""
    random = history.random
    answer = await _wish(history, "progress", known, lambda each, _: _progress(each, known))
    if answer.how == "ok" and answer.value.bytes is not None:
        known.day, known.bytes = answer.value.day, answer.value.bytes
    size = known.bytes or 1
    if random.random() < 0.4:
        start = random.choice((0, random.randrange(size), -random.randint(1, size)))
        end = random.choice((None, size, start + random.randint(1, size))) if start >= 0 else None
        await _download(history, known, start, end)
        return
    start = 0
    while start < size:
        answer = await _download(history, known, start, None)
        if answer.how != "ok":
            return
        start += len(answer.value.content)


async def delete(history: "History", known: Known) -> None:
    """A reviewer deletes an export, whether it is made already or not, and tries to download it all the same."""
    random = history.random
    if random.random() < 0.2:
        history.faults.aimed.append(Aimed("commit", 900 * random.random(), "", "review: delete export"))
    await _wish(history, "delete export", known, lambda each, by: each.exporting.delete(known.tenant, by, known.id))

    if random.random() < 0.5:
        history.spawn(tick(history, 1.0))
        await download(history, known)


async def just_before_it_is_ready(history: "History", who: str) -> None:
    """The grant ends while the file is put together or read through, or its export is deleted meanwhile."""
    random = history.random
    asked = await reviewing.live(history, who)
    if asked is None:
        return
    method = random.choice(("put_staged", "size_of", "read_range", "read_range", "stage"))
    history.faults.aimed.append(Aimed(method, 1.0 + 100 * random.random(), random.choice(("", "slow answer"))))
    history.spawn(_ask_only(history, who, asked.reviewer))
    await asyncio.sleep(random.choice((1.0, 5.0)) * random.random())
    if random.random() < 0.6:
        await reviewing.revoke(history, asked)
    else:
        await see(history, who)
        known = next((each for each in reversed(history.reviewers.exports) if each.tenant == who), None)
        if known is not None:
            await delete(history, known)


async def made_by_several(history: "History", who: str) -> None:
    """Several runs make an export at a time, and cut it into pieces of different lengths; one may be killed.

    So do runs that have more or less time, or see more captures than others. The tenant shares, the weather is calm.
    """
    random, aimed = history.random, history.faults.aimed
    for _ in range(5):
        await history.post(who, attempts=1)
    asked = await reviewing.live(history, who)
    if asked is None:
        return
    history.faults.count("exports made by several runs")
    making.REQUEST_SECONDS, making._RUN_SECONDS = 0.0, 200.0  # all is left to the runs
    known = await _request(history, who, asked.reviewer, Selection())
    await asyncio.sleep(60.0)
    held_up = Aimed(
        "stage", random.choice((0.2, 1.0, 5.0)) * random.random(), random.choice(("", "crash after")), "exports"
    )
    aimed.append(held_up)
    for n in range(random.randint(2, 4)):
        making._PIECE_BATCHES = random.randint(1, 4)
        history.spawn(tick(history, 0.0))
        for _ in range(40):
            await asyncio.sleep(0.05)
            if n or held_up not in aimed:
                break  # the first one has made its piece, and is held up with it
        aimed += [Aimed("stage", random.choice((0.0, 0.2, 1.0)) * random.random(), "", "exports") for _ in range(2)]
    await history.clients_done()
    aimed.clear()
    making.REQUEST_SECONDS, making._RUN_SECONDS = history.setup.request, history.setup.made
    making._PIECE_BATCHES = history.setup.pieces
    await tick(history, 60.0)
    if known is not None:
        await download(history, known)


async def see(history: "History", who: str) -> None:
    """A reviewer looks which exports there are: those too whose request was never answered."""
    reviewer = history.random.choice(reviewing.REVIEWERS)
    answer = await reviewing.wish(
        history, "exports", who, reviewer, lambda each: each.exporting.list(who, limit=1000, before=None)
    )
    if answer.how == "ok":
        known = {each.id for each in history.reviewers.exports}
        for each in answer.value.values:
            if each.export_id not in known:
                history.reviewers.exports.append(Known(who, each.export_id, each.requested_by))


async def find(history: "History", who: str) -> None:
    """A reviewer searches page by page, or has a sample drawn."""
    random = history.random
    asked = await reviewing.live(history, who)
    if asked is None:
        return
    selection, by, cursor, wish = _selection(history), asked.reviewer, None, None
    members = selection.model_dump(mode="json", by_alias=True, exclude_none=True)
    kind, most, names = random.choice(("find", "find", "sample")), random.choice((1, 3, 200)), list[str]()
    for page in range(40):
        following = history.reading.wished(kind, who, by, asked=members, first=page == 0)
        wish = wish or following
        after = cursor

        def call(each: Any, after: str | None = after) -> Coroutine[Any, Any, Any]:
            if kind == "find":
                return each.finding.find(who, by, selection, limit=most, after=after)  # type: ignore[no-any-return]
            return each.finding.sample(who, by, selection, size=most, seed=7, progress=after)  # type: ignore[no-any-return]

        answer = await reviewing.wished(history, following, call)
        if answer.how != "ok":
            return
        names += [f"{each.found.day}/{each.found.batch_id}/{each.found.line}" for each in answer.value.value]
        cursor = answer.value.cursor
        if cursor is None:
            if kind == "find" or most == 200:
                history.oracle.beside.all_found(wish, names)
            return
        if random.random() < 0.2:
            await asyncio.sleep(random.choice((1.0, 70.0)) * random.random())


async def label(history: "History", who: str) -> None:
    """Reviewers say what they think of captures, of the same ones at the same time now and then, and read it."""
    random = history.random
    asked = await reviewing.live(history, who)
    shown = history.reviewers.shown.get(who)
    if asked is None or not shown:
        return
    day, batch = random.choice(shown)
    if random.random() < 0.3:
        method = random.choice(("write_beside", "write_beside", "read_beside", "read_grant", "read_batch"))
        then = random.choice(("", "ambiguous", "slow answer", "crash after"))
        history.faults.aimed.append(Aimed(method, random.choice((1.0, 90.0)) * random.random(), then, "review: label"))
        if random.random() < 0.5:
            history.spawn(_revoke_soon(history, asked))
    for _ in range(random.randint(1, 3)):
        by = asked.reviewer if random.random() < 0.8 else random.choice(reviewing.REVIEWERS)
        history.spawn(_say(history, who, by, day, batch, random.choice((0, 0, 0, 1))))
        await asyncio.sleep(random.choice((0.0, 0.0, 1.0, 5.0)) * random.random())
    await asyncio.sleep(random.choice((1.0, 300.0)) * random.random())
    await reviewing.wish(
        history,
        "labels",
        who,
        asked.reviewer,
        lambda each: each.labelling.of_batch(who, asked.reviewer, day, batch),
        day=day,
        batch=batch,
    )


async def _revoke_soon(history: "History", asked: reviewing.Asked) -> None:
    await asyncio.sleep(3.0 * history.random.random())
    await reviewing.revoke(history, asked)


async def _say(history: "History", who: str, by: str, day: date, batch: str, line: int) -> None:
    """A reviewer labels a capture, or takes the label back."""
    history._numbers += 1
    comment = f"tag~{history._numbers} is what I think" if history.random.random() < 0.75 else None
    kind = "withdraw" if comment is None else "label"
    wish = history.reading.wished(kind, who, by, day=day, batch=batch, line=line)
    said = history.oracle.beside.says(wish, comment)

    def call(each: Any) -> Coroutine[Any, Any, Any]:
        if comment is None:
            return each.labelling.withdraw(who, by, day, batch, line)  # type: ignore[no-any-return]
        return each.labelling.put(who, by, day, batch, line, Said(comment=comment))  # type: ignore[no-any-return]

    answer = await reviewing.wished(history, wish, call)
    history.oracle.beside.has_said(said, answer.how)


async def stop_review(history: "History", who: str) -> None:
    """An administrator puts an end to reading, with the opt-out or after it; grants are revoked by the way."""
    random = history.random
    if history.on(who) and random.random() < 0.5:
        await history.toggle(who, None)
    if not await history.toggle(who, None, stop=True):
        return
    ended = [term for term in history.oracle.terms.values() if term.tenant == who and term.stopped is not None]
    if ended and random.random() < 0.8:  # else whoever had to do it was killed
        enrollment = max(ended, key=lambda term: term.ended or 0.0).id
        await reviewing.wish(
            history,
            "end all",
            who,
            ADMIN.actor,
            lambda each: each.access.end_all(who, enrollment, ADMIN.actor),
            enrollment=enrollment,
            others_too=True,
        )


async def overtaken(history: "History", who: str) -> None:
    """An export is held up somewhere on its way while its grant ends, reading is stopped, or it is deleted."""
    random = history.random
    asked = await reviewing.live(history, who)
    if asked is None:
        return
    mine = [each for each in history.reviewers.exports if each.tenant == who and each.reviewer == asked.reviewer]
    chosen = random.choice(mine) if mine and random.random() < 0.5 else None
    of = _OF if chosen is None else ("review: download", "review: download", "review: delete export")
    for _ in range(random.choice((1, 1, 2))):
        held = random.choice((0.5, 5.0, 90.0, 90.0, 600.0)) * random.random()
        then = random.choice(("", "", "ambiguous", "slow answer", "crash after"))
        history.faults.aimed.append(Aimed(random.choice(_HELD_UP), held, then, random.choice(of)))
    if chosen is not None:
        history.spawn(download(history, chosen))
    else:
        history.spawn(_ask_only(history, who, asked.reviewer))
    await asyncio.sleep(random.choice((0.1, 1.0, 70.0)) * random.random())
    history.spawn(tick(history, random.choice((0.0, 70.0)) * random.random()))
    await asyncio.sleep(random.choice((0.1, 1.0, 70.0)) * random.random())
    how = random.random()
    if how < 0.4:
        await reviewing.revoke(history, asked)
    elif how < 0.5 and not history.closing:
        await stop_review(history, who)
    elif how < 0.75:
        if chosen is None:
            await see(history, who)  # its request may not be answered yet
            chosen = next((each for each in reversed(history.reviewers.exports) if each.tenant == who), None)
        if chosen is not None:
            await delete(history, chosen)
    elif how < 0.82 and history.on(who) and not history.closing:
        await history.toggle(who, None)
        await history.feed()
    for _ in range(random.choice((1, 2))):
        await tick(history, random.choice((1.0, 70.0, 400.0)) * random.random())
    if chosen is not None:
        await download(history, chosen)


async def _ask_only(history: "History", who: str, reviewer: str) -> None:
    await _request(history, who, reviewer)


async def _request(history: "History", who: str, reviewer: str, selection: Selection | None = None) -> Known | None:
    selection = selection or _selection(history)
    asked = selection.model_dump(mode="json", by_alias=True, exclude_none=True)
    answer = await reviewing.wish(
        history, "export", who, reviewer, lambda each: each.exporting.request(who, reviewer, selection), asked=asked
    )
    if answer.how != "ok":
        return None
    known = Known(who, answer.value.export_id, reviewer)
    history.reviewers.exports.append(known)
    return known


def _selection(history: "History") -> Selection:
    """Return what a reviewer looks for: everything as a rule, or what some have said, of some days."""
    random, members = history.random, dict[str, Any]()
    today = history.now().date()
    if random.random() < 0.2:
        members["firstDay"] = (today - timedelta(days=random.choice((0, 1, 2, 5)))).isoformat()
    if random.random() < 0.1:
        members["lastDay"] = (today - timedelta(days=random.choice((0, 0, 1)))).isoformat()
        members.pop("firstDay", None)
    if random.random() < 0.5:
        members["text"] = random.choice(("tag~", "tag~", f"tag~{random.randrange(30)}", "twin~", "tag~ nobody says"))
    if random.random() < 0.2:
        members["feature"] = "f"
    if random.random() < 0.1:
        members["labelled"] = True
    return Selection.model_validate_json(json.dumps(members))


async def _progress(instance: Any, known: Known) -> Any:
    export = await instance.exporting.read(known.tenant, known.id)
    await instance.exporting.progress(export)
    return export


async def _download(history: "History", known: Known, start: int, end: int | None) -> "Answer":
    return await _wish(
        history,
        "download",
        known,
        lambda each, by: each.exporting.download(known.tenant, by, known.id, start, end),
        day=known.day,
        range=(start, end),
    )


async def _wish(
    history: "History", kind: str, known: Known, call: Callable[[Any, str], Coroutine[Any, Any, Any]], **what: Any
) -> "Answer":
    """Ask for something of an export, as a rule as the one who had asked for it."""
    by = known.reviewer if history.random.random() < 0.9 else history.random.choice(reviewing.REVIEWERS)
    return await reviewing.wish(history, kind, known.tenant, by, lambda each: call(each, by), export=known.id, **what)
