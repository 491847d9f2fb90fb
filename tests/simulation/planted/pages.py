"""Bugs of the sweep of an account at the borders of pages, and where a round goes on in another run (P9, D14)."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from shared.accounts import Account
from shared.model.heartbeats import Heartbeat
from shared.ports import ContainerPage
from shared.runs import BriefStore, Run
from shared.sweep import places
from shared.sweep.places import Place
from shared.sweep.rounds import Round
from shared.sweep.storage import StorageSweep
from tests.simulation.planted.registry import mutant, patched


def _pages(change: Any) -> Any:
    """Let each page that a sweep sees be another one: ``change`` gets it and the marker with which it was asked for."""
    container_page = BriefStore.container_page

    async def changed(self: BriefStore, prefix: str, marker: str | None, **more: Any) -> ContainerPage:
        return change(await container_page(self, prefix, marker, **more), marker)  # type: ignore[no-any-return]

    return patched(BriefStore, "container_page", changed)


@mutant("the last name of a page is left out")
def _() -> Iterator[None]:
    with _pages(lambda page, _: replace(page, containers=page.containers[:-1]) if page.next_marker else page):
        yield


@mutant("the last name of all is left out")
def _() -> Iterator[None]:
    with _pages(lambda page, _: page if page.next_marker else replace(page, containers=page.containers[:-1])):
        yield


@mutant("the first name of the next page is skipped")
def _() -> Iterator[None]:
    with _pages(lambda page, marker: replace(page, containers=page.containers[1:]) if marker else page):
        yield


@mutant("the marker of an empty page ends the walk")
def _() -> Iterator[None]:
    with _pages(lambda page, _: page if page.containers else replace(page, next_marker=None)):
        yield


@mutant("one page is taken for the whole account")
def _() -> Iterator[None]:
    after = Place.after_judging

    with patched(Place, "after_judging", lambda self, marker, found: after(self, None, found)):
        yield


@mutant("one page is taken for all of a day")
def _() -> Iterator[None]:
    after = Place.after_driving_out

    with patched(Place, "after_driving_out", lambda self, marker: after(self, None)):
        yield


@mutant("only the first day on which something was found is gone through")
def _() -> Iterator[None]:
    def first_only(self: Place, marker: str | None) -> Place:
        return Place(judged=True, marker=marker, found=self.found if marker else ())

    with patched(Place, "after_driving_out", first_only):
        yield


@mutant("of too many days on which something was found the last are forgotten")
def _() -> Iterator[None]:
    after = Place.after_judging

    def cut_off(self: Place, marker: str | None, found: Any) -> Place:
        most = places._PREFIXES_MAX
        with patched(places, "_PREFIXES_MAX", 10**6):
            place = after(self, marker, found)
        return place.model_copy(update={"found": place.found[:most]})

    with patched(Place, "after_judging", cut_off):
        yield


def _beginning(change: Any) -> Any:
    """Let each run of the sweep of an account begin with what ``change`` makes of its round."""
    begin = Round.__init__

    def changed(self: Round, run: Run, last: Heartbeat | None, *, account: Account | None, operations: Any) -> None:
        begin(self, run, last, account=account, operations=operations)
        if account is not None and last is not None:
            change(self, last, account)

    return patched(Round, "__init__", changed)


@mutant("what was found is forgotten when a round goes on in another run")
def _() -> Iterator[None]:
    def forget(round_: Round, last: Heartbeat, account: Account) -> None:
        if (place := Place.parse(round_.cursor)) is not None:
            round_.cursor = place.model_copy(update={"found": ()}).cursor

    with _beginning(forget):
        yield


@mutant("a round that goes on in another run counts anew")
def _() -> Iterator[None]:
    def forget(round_: Round, last: Heartbeat, account: Account) -> None:
        round_._counts_before.clear()

    with _beginning(forget):
        yield


@mutant("a new round goes on where the last one was before its end")
def _() -> Iterator[None]:
    markers: dict[str, str] = {}

    def old(round_: Round, last: Heartbeat, account: Account) -> None:
        place = Place.parse(round_.cursor)
        if place is not None and not place.judged and place.marker is not None:
            markers[account.name] = place.cursor
        elif round_.cursor is None:
            round_.cursor = markers.pop(account.name, None)

    with _beginning(old):
        yield


@mutant("what a round under way has counted is told as a whole one's")
def _() -> Iterator[None]:
    def whole(round_: Round, last: Heartbeat, account: Account) -> None:
        round_._previous_counts = last.counts

    with _beginning(whole):
        yield


@mutant("the status goes by the round under way alone")
def _() -> Iterator[None]:
    with patched(Heartbeat, "rounds", property(lambda self: [self.counts])):
        yield


@mutant("a round that begins again counts twice")
def _() -> Iterator[None]:
    with patched(Round, "forget", lambda self, *counts: None):
        yield


@mutant("the place after a page is kept before the page was looked at")
def _() -> Iterator[None]:
    look_at = StorageSweep._look_at

    async def hasty(self: StorageSweep, page: ContainerPage) -> Sequence[Any] | None:
        place = Place.parse(self.round.cursor)
        if place is not None and page.next_marker is not None:
            self.round.cursor = place.after_judging(page.next_marker, ()).cursor
            await self.round.report()
        return await look_at(self, page)

    with patched(StorageSweep, "_look_at", hasty):
        yield


@mutant("a page is kept with its counts, and its place with the next")
def _() -> Iterator[None]:
    report = Round.report

    async def late(self: Round) -> bool:
        place, before = Place.parse(self.cursor), getattr(self, "_place_before", None)
        self._place_before = self.cursor  # type: ignore[attr-defined]
        if self._account is None or place is None or place.judged or before is None:
            return await report(self)
        self.cursor, now = before, self.cursor
        kept = await report(self)
        self.cursor = now
        return kept

    with patched(Round, "report", late):
        yield


@mutant("whether an account is full of strangers is judged by what one run has seen")
def _() -> Iterator[None]:
    with patched(Round, "so_far", lambda self, count: self.run.counts[count]):
        yield


@mutant("whether an account is full of strangers is judged by its last page")
def _() -> Iterator[None]:
    judge = StorageSweep._judge

    async def last_only(self: StorageSweep, containers: Sequence[Any], found: list[Any]) -> None:
        self.round.forget("strangers")
        await judge(self, containers, found)

    with patched(StorageSweep, "_judge", last_only):
        yield
