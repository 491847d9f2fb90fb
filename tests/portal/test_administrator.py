"""The administrator's story: opting in, who looked, opting out, and the receipt that the browser itself checks."""

import json
import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from local.client import Client
from local.sign_in import PEOPLE, Person
from local.tokens import Role
from shared.model.deadlines import SECOND_LOOK_DELAY
from tests.portal.answers import again, change, refuse
from tests.portal.browser import Portal, sign_in
from tests.portal.hands import Hands, Keyboard, Mouse
from tests.portal.looks import accessible, fits
from tests.portal.tenants import Administrator, granted, posted, sharing

pytestmark = pytest.mark.asyncio(loop_scope="session")


def switch(page: Page) -> Locator:
    return page.get_by_role("switch", name="Share Copilot data")


async def agree(page: Page, person: Hands) -> None:
    await expect(page.get_by_role("region", name=re.compile("^Notice "))).to_be_visible()
    await person.choose(page.get_by_role("combobox", name="Geo in which the data lies"), "Europe")
    await person.press(page.get_by_role("checkbox", name=re.compile("I have read the notice")))


async def purged(client: Client) -> None:
    """Let the purge delete what is due, and look a second time."""
    assert await client.run("purge") == "completed"
    await client.move_to(await client.now() + SECOND_LOOK_DELAY + timedelta(seconds=1))
    assert await client.run("purge") == "completed"


@pytest.mark.parametrize("hands", [Mouse, Keyboard])
async def test_from_opting_in_to_the_receipt(
    portal: Portal, client: Client, administrator: Administrator, hands: type[Hands]
) -> None:
    tessa, other = administrator("Tessa Brandt"), administrator("Omar Neri")
    await sharing(client, other.tenant_id)
    page = await portal.signed_in(tessa)
    person = hands(page)

    await expect(page.get_by_text("Sharing is off. No captures are taken.")).to_be_visible()
    await person.press(switch(page))
    await expect(page.get_by_role("button", name="Agree and switch on")).to_be_disabled()
    await agree(page, person)
    await accessible(page)
    await fits(page)
    await person.press(page.get_by_role("button", name="Agree and switch on"))
    await expect(page.get_by_text("Sharing is on. The data lies in Europe.")).to_be_visible()
    await expect(switch(page)).to_be_checked()
    await accessible(page)
    await fits(page)

    day, batch = await posted(client, tessa.tenant_id)
    await granted(client, tessa.tenant_id)
    for path in (f"captures?day={day}", f"captures/{day}/{batch}"):
        assert (await client.as_person(Role.REVIEWER, "GET", tessa.tenant_id, path)).status == 200
    await person.press(page.get_by_role("link", name="Access log"))
    rows = page.get_by_role("table").get_by_role("row")
    await expect(rows).to_have_count(1 + 4)
    await expect(rows.nth(1)).to_contain_text("Read a batch")
    await expect(rows.nth(1)).to_contain_text("To see why the formulas come out wrong.")
    await accessible(page)
    await fits(page)

    await person.press(page.get_by_role("link", name="Sharing"))
    await person.press(switch(page))
    await person.press(page.get_by_role("radio", name="Now: deletion begins within minutes"))
    await accessible(page)
    await fits(page)
    await person.press(page.get_by_role("button", name="Switch off"))
    await expect(page.get_by_text("The deletion begins within minutes, and everything is gone by")).to_be_visible()
    await expect(switch(page)).not_to_be_checked()
    await purged(client)
    await page.reload()
    enrollment = page.get_by_role("group", name=re.compile("^Europe, since"))
    await expect(enrollment).to_contain_text("Gone, and proved")
    await accessible(page)
    await fits(page)

    receipt = enrollment.get_by_role("region", name="Receipt of the deletion")
    check = receipt.get_by_role("button", name=re.compile("^Check"))
    await person.press(check)
    await expect(receipt).to_contain_text("The receipt is genuine.")
    consent = enrollment.get_by_role("region", name="Receipt of consent")
    await person.press(consent.get_by_role("button", name=re.compile("^Check")))
    await expect(consent).to_contain_text("The receipt is genuine.")
    await accessible(page)
    await fits(page)
    deletion = (await client.as_admin("GET", tessa.tenant_id, "deletions")).body["value"][0]
    async with page.expect_download() as download:
        await person.press(receipt.get_by_role("button", name=re.compile("^Download")))
    kept = json.loads((await (await download.value).path()).read_text())
    assert kept == (await client.as_admin("GET", tessa.tenant_id, f"deletions/{deletion['enrollmentId']}")).body

    unaffected = await portal.signed_in(other)
    await expect(switch(unaffected)).to_be_checked()
    await expect(unaffected.get_by_role("group", name=re.compile("^Europe, since"))).to_contain_text("Live")
    assert (await client.as_admin("GET", other.tenant_id, "access-log")).body["value"] == []
    enrollment_id = (await client.as_admin("GET", other.tenant_id, "data-sharing")).body["enrollmentId"]
    assert len(await client.batches("europe", enrollment_id)) == 1
    assert await client.batches("europe", deletion["enrollmentId"]) == {}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gone(client: Client) -> tuple[Person, str]:
    """An administrator of a tenant whose deletion is verified, and the enrollment's id."""
    tenant = str(uuid.uuid4())
    person = Person("admin-gone", "Gina Gone", f"administrator of {tenant}", Role.TENANT_ADMIN, tenant)
    await sharing(client, tenant)
    owed = (await client.opt_out(tenant)).body["deletion"]["enrollmentId"]
    for _ in range(100):
        if (await client.as_admin("POST", tenant, f"deletions/{owed}/expedite")).status == 202:
            break
    await purged(client)
    return person, owed


def with_another_deadline(deletion: Any) -> Any:
    return {**deletion, "deadline": deletion["deadline"].replace("20", "21", 1)}


def with_another_signature(deletion: Any) -> Any:
    head, facts, signature = deletion["receipt"]["jws"].split(".")
    other = ("A" if signature[10] != "A" else "B").join((signature[:10], signature[11:]))
    return {**deletion, "receipt": {**deletion["receipt"], "jws": f"{head}.{facts}.{other}"}}


def of_nothing(deletion: Any) -> Any:
    return {**deletion, "receipt": {**deletion["receipt"], "jws": "e30.e30.AAAA"}}


@pytest.mark.parametrize(
    ("forged", "told"),
    [
        (with_another_deadline, "What is shown is not what was signed."),
        (with_another_signature, "None of the published keys of this service has signed it."),
        (of_nothing, "None of the published keys of this service has signed it."),
    ],
)
async def test_a_forged_receipt_is_no_receipt(
    portal: Portal, gone: tuple[Person, str], monkeypatch: pytest.MonkeyPatch, forged: Any, told: str
) -> None:
    person, owed = gone
    monkeypatch.setitem(PEOPLE, person.key, person)
    page = await portal.signed_in(person)
    receipt = page.get_by_role("region", name="Receipt of the deletion")
    await change(page, f"tenants/*/deletions/{owed}", forged)
    await receipt.get_by_role("button", name=re.compile("^Check")).click()
    await expect(receipt).to_contain_text("The receipt is NOT genuine.")
    await expect(receipt).to_contain_text(told)
    await accessible(page)
    await fits(page)


async def test_a_ledger_that_was_changed_makes_no_receipt_genuine(
    portal: Portal, gone: tuple[Person, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    person, _ = gone
    monkeypatch.setitem(PEOPLE, person.key, person)
    page = await portal.blank()

    def without_its_first(history: Any) -> Any:
        *kept, first = history["value"]
        return {**history, "value": [*kept, {**first, "actor": str(uuid.uuid4())}]}

    await change(page, "tenants/*/data-sharing/history*", without_its_first)
    await page.goto(portal.address)
    await sign_in(page, person)
    receipt = page.get_by_role("region", name="Receipt of the deletion")
    await receipt.get_by_role("button", name=re.compile("^Check")).click()
    await expect(receipt).to_contain_text("The receipt is NOT genuine.")
    await expect(receipt).to_contain_text("The ledger has a gap, or an event was changed.")


async def test_opting_out_can_stop_review_and_be_hastened_later(
    portal: Portal, client: Client, administrator: Administrator
) -> None:
    tessa = administrator("Tessa Brandt")
    day, batch = await sharing(client, tessa.tenant_id)
    await granted(client, tessa.tenant_id)
    page = await portal.signed_in(tessa)
    person = Mouse(page)
    await person.press(switch(page))
    await person.press(page.get_by_role("checkbox", name=re.compile("^Stop review now")))
    await person.press(page.get_by_role("button", name="Switch off"))
    await expect(page.get_by_text("Sharing is off. Everything will be gone by")).to_be_visible()
    refused = await client.as_person(Role.REVIEWER, "GET", tessa.tenant_id, f"captures/{day}/{batch}")
    assert refused.status in {403, 404}
    await expect(page.get_by_role("group", name=re.compile("^Europe, since"))).to_contain_text("Review stopped")
    await person.press(page.get_by_role("button", name="Delete now"))
    await expect(page.get_by_text("The deletion begins with the next run, within minutes.")).to_be_visible()
    await accessible(page)
    await fits(page)
    await person.press(page.get_by_role("link", name="History"))
    await expect(page.get_by_role("table").get_by_role("row").nth(1)).to_contain_text("Switched off · Review stopped")
    await expect(page.get_by_role("table").get_by_role("row").nth(1)).to_contain_text("This page")
    await accessible(page)
    await fits(page)
    async with page.expect_download() as download:
        await person.press(page.get_by_role("button", name="Download all as CSV"))
    lines = (await (await download.value).path()).read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].split(",")[:2] == ["When", "What"] and len(lines) >= 3


async def test_somebody_elses_change_is_not_overwritten(
    portal: Portal, client: Client, administrator: Administrator
) -> None:
    tessa = administrator("Tessa Brandt")
    page = await portal.signed_in(tessa)
    person = Mouse(page)
    await person.press(switch(page))
    await agree(page, person)
    assert (await client.opt_in(tessa.tenant_id, "unitedkingdom")).status == 200
    await person.press(page.get_by_role("button", name="Agree and switch on"))
    await expect(page.get_by_text("Somebody else has changed the setting meanwhile.")).to_be_visible()
    await expect(page.get_by_text("What holds now: Sharing is on. The data lies in United Kingdom.")).to_be_visible()
    await accessible(page)
    await fits(page)


@pytest.fixture(scope="module")
def off() -> Person:
    """An administrator of a tenant that never shared data."""
    tenant = str(uuid.uuid4())
    return Person("admin-off", "Otto Off", f"administrator of {tenant}", Role.TENANT_ADMIN, tenant)


@pytest.mark.parametrize(
    ("status", "problem", "told"),
    [
        (409, "geo-pinned", "The data lies in another geo."),
        (409, "notice-outdated", "There is a newer notice."),
        (412, "precondition-failed", "Somebody else has changed the setting meanwhile."),
        (421, "geo-not-served", "This geo is served elsewhere."),
        (429, "too-many-opt-ins", "It can be tried again in 2 min."),
        (403, "forbidden", "You are not allowed to do this."),
        (503, "unavailable", "The service cannot answer now."),
        (0, "", "There is no connection."),
    ],
)
async def test_an_opt_in_that_was_refused_says_why_and_keeps_what_was_chosen(
    portal: Portal, off: Person, monkeypatch: pytest.MonkeyPatch, status: int, problem: str, told: str
) -> None:
    monkeypatch.setitem(PEOPLE, off.key, off)
    page = await portal.signed_in(off)
    person = Mouse(page)
    await person.press(switch(page))
    await agree(page, person)
    if status:
        await refuse(page, "tenants/*/data-sharing", status, problem, method="PUT", headers={"Retry-After": "120"})
    else:
        await page.context.set_offline(True)
    await person.press(page.get_by_role("button", name="Agree and switch on"))
    await expect(page.get_by_role("dialog").get_by_text(told)).to_be_visible()
    await page.context.set_offline(False)
    if problem != "notice-outdated":  # then there is another one to be read
        await expect(page.get_by_role("checkbox", name=re.compile("I have read the notice"))).to_be_checked()
    await expect(page.get_by_role("combobox", name="Geo in which the data lies")).to_have_value("europe")
    await accessible(page)
    await fits(page)


@pytest.mark.parametrize("hands", [Mouse, Keyboard])
async def test_a_sign_in_that_ends_in_the_middle_loses_nothing_that_was_chosen(
    portal: Portal, client: Client, administrator: Administrator, hands: type[Hands]
) -> None:
    tessa = administrator("Tessa Brandt")
    page = await portal.signed_in(tessa)
    person = hands(page)
    await person.press(switch(page))
    await agree(page, person)
    await client.move_to(await client.now() + timedelta(minutes=65))  # a token lives for an hour
    await person.press(page.get_by_role("button", name="Agree and switch on"))
    ended = page.get_by_role("dialog").get_by_text("Your sign-in has ended.")
    await expect(ended).to_be_visible()
    await accessible(page)
    await fits(page)
    await person.press(page.get_by_role("dialog").get_by_role("button", name="Sign in"))
    await person.press(page.get_by_role("link", name=tessa.name))
    await person.press(switch(page))
    await expect(page.get_by_role("checkbox", name=re.compile("I have read the notice"))).to_be_checked()
    await expect(page.get_by_role("combobox", name="Geo in which the data lies")).to_have_value("europe")
    await person.press(page.get_by_role("button", name="Agree and switch on"))
    await expect(switch(page)).to_be_checked()


@pytest.mark.parametrize(
    ("status", "problem", "told"),
    [
        (401, "unauthenticated", "Your sign-in has ended."),
        (403, "forbidden", "You are not allowed to do this."),
        (503, "unavailable", "The service cannot answer now."),
    ],
)
async def test_what_cannot_be_read_is_said(
    portal: Portal, off: Person, monkeypatch: pytest.MonkeyPatch, status: int, problem: str, told: str
) -> None:
    monkeypatch.setitem(PEOPLE, off.key, off)
    page = await portal.blank()
    for path in ("data-sharing", "data-sharing/history*", "deletions*", "access-log*"):
        await refuse(page, f"tenants/*/{path}", status, problem)
    await page.goto(portal.address)
    await sign_in(page, off)
    await expect(page.get_by_text(told).first).to_be_visible()
    await accessible(page)
    await fits(page)
    for tab in ("History", "Access log"):
        await page.get_by_role("link", name=tab).click()
        await expect(page.get_by_text(told)).to_have_count(1)  # the page before said it twice
        await expect(page.get_by_text(told)).to_be_visible()
        await accessible(page)
    if status == 503:
        await again(page)
        await page.get_by_role("button", name="Try again").click()
        await expect(page.get_by_text("Nobody has asked for or looked at anything.")).to_be_visible()


@pytest.mark.parametrize(
    ("locale", "label", "agreement"),
    [
        ("de-DE", "Copilot-Daten freigeben", "Ich habe den Hinweis gelesen und stimme für meine Organisation zu"),
        ("ja-JP", "Copilot のデータを共有する", "通知を読み、組織を代表して同意します"),
    ],
)
async def test_the_page_in_german_and_japanese(
    portal: Portal, gone: tuple[Person, str], monkeypatch: pytest.MonkeyPatch, locale: str, label: str, agreement: str
) -> None:
    person, _ = gone
    monkeypatch.setitem(PEOPLE, person.key, person)
    page = await portal.signed_in(person, locale=locale)
    await expect(page.get_by_role("switch", name=label)).to_be_enabled()
    await expect(page.get_by_role("group").get_by_role("button")).to_have_count(4)
    await accessible(page)
    await fits(page)
    await page.get_by_role("switch").click()
    await expect(page.get_by_role("dialog").get_by_role("checkbox", name=agreement)).to_be_visible()
    await accessible(page)
    await fits(page)
