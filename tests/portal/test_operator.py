"""The operator's wall: what holds, what does not, and what is not known any more."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from local.client import Client
from local.sign_in import PEOPLE
from tests.portal.answers import again, change, refuse
from tests.portal.browser import Portal, sign_in
from tests.portal.hands import Keyboard
from tests.portal.looks import accessible, fits

pytestmark = pytest.mark.asyncio(loop_scope="session")

OPERATOR = PEOPLE["operator"]


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def swept(client: Client) -> AsyncIterator[None]:
    """The timers have run a moment ago, as they do on Azure: without that nothing is known."""
    for function in ("purge", "sweep"):
        assert await client.run(function) == "completed"
    yield


def tile(page: Page, promise: str) -> Any:
    return page.get_by_role("list", name="Promises").get_by_role("listitem").filter(has_text=promise)


async def test_the_wall_says_that_all_promises_hold(portal: Portal) -> None:
    page = await portal.signed_in(OPERATOR)
    await expect(page.get_by_role("heading", level=2).first).to_contain_text("promises that are watched hold.")
    await expect(tile(page, "P5 Deletion")).to_contain_text("Holds")
    await expect(tile(page, "P12 Derived data")).to_contain_text("Holds")
    for geo in ("europe", "unitedstates", "unitedkingdom"):
        account = (
            page.get_by_role("list", name=geo, exact=True).get_by_role("listitem").filter(has_text=f"st{geo}").first
        )
        await expect(account).to_contain_text("New enrollmentsopen")
    await accessible(page)
    await fits(page)


async def test_the_accounts_of_a_geo_stand_together_and_say_which_is_closed(portal: Portal) -> None:
    page = await portal.page()

    def grown(status: Any) -> Any:
        (europe, first), *others = (
            (name, each) for name, each in status["accounts"].items() if each["geo"] == "europe"
        )
        assert not others
        more = {
            europe: {**first, "state": "closed"},
            f"{europe}2": first,
            f"{europe}3": {**first, "error": "storage-403"},
        }
        reasons = {"P4": ["stgone: it is configured no more, and not empty"]}
        promises = {**status["promises"], "P4": False}
        accounts = {**status["accounts"], **more}
        return {**status, "holds": False, "promises": promises, "reasons": reasons, "accounts": accounts}

    await change(page, "status", grown)
    await sign_in(page, OPERATOR)
    await expect(page.get_by_role("button", name="Refresh now")).to_be_enabled()
    accounts = page.get_by_role("list", name="europe", exact=True).get_by_role("listitem")
    await expect(accounts).to_have_count(3)
    await expect(accounts.nth(0)).to_contain_text("New enrollmentsclosed: none are taken")
    await expect(accounts.nth(1)).to_contain_text("New enrollmentsopen")
    await expect(accounts.nth(2)).to_contain_text("Cannot be read")
    await expect(page.get_by_role("list", name="Last runs")).to_contain_text("europe, steurope2: sweep")
    await expect(tile(page, "P4 Retention")).to_contain_text(
        "stgone: the account is configured no more, and is not empty."
    )
    await accessible(page)
    await fits(page)


async def test_a_promise_that_is_broken_is_named_and_says_why(portal: Portal) -> None:
    page = await portal.page()

    def broken(status: Any) -> Any:
        reasons = {"P5": ["3 deletions are overdue"], "P4": ["europe: error, storage-silent"]}
        promises = {**status["promises"], "P4": False, "P5": False, "P99": False}
        return {**status, "holds": False, "promises": promises, "reasons": reasons, "overdueDeletions": 3}

    await change(page, "status", broken)
    await sign_in(page, OPERATOR)
    await expect(page.get_by_role("heading", level=2).first).to_contain_text("Do not hold: P4, P5, P12, P99")
    await expect(tile(page, "P5 Deletion")).to_contain_text("Does not hold")
    await expect(tile(page, "P12 Derived data")).to_contain_text("do not hold or are not known: P4, P5.")
    await expect(tile(page, "P1 Default off")).to_contain_text("Holds")
    await accessible(page)
    await fits(page)


async def test_what_could_not_be_refreshed_is_not_shown_as_if_it_held(portal: Portal) -> None:
    page = await portal.signed_in(OPERATOR)
    first = page.get_by_role("heading", level=2).first
    await expect(first).to_contain_text("promises that are watched hold.")
    refresh = page.get_by_role("button", name="Refresh now")
    keyboard = Keyboard(page)

    await refuse(page, "status", 503, "unavailable")
    await keyboard.press(refresh)
    await expect(first).to_contain_text("not refreshed since.")
    await expect(page.get_by_text("The service cannot answer now.")).to_be_visible()
    await expect(tile(page, "P5 Deletion")).to_contain_text("Held then")
    await accessible(page)
    await fits(page)

    await again(page)
    await keyboard.press(refresh)
    await expect(first).to_contain_text("promises that are watched hold.")

    await page.context.set_offline(True)
    await keyboard.press(refresh)
    await expect(page.get_by_text("There is no connection.")).to_be_visible()
    await expect(first).to_contain_text("not refreshed since.")
    await page.context.set_offline(False)
    await keyboard.press(refresh)
    await expect(first).to_contain_text("promises that are watched hold.")


@pytest.mark.parametrize(
    ("status", "problem", "told"),
    [
        (401, "unauthenticated", "Your sign-in has ended."),
        (403, "forbidden", "You are not allowed to do this."),
        (500, "internal-error", "Something went wrong in the service."),
    ],
)
async def test_what_was_refused_is_said(portal: Portal, status: int, problem: str, told: str) -> None:
    page = await portal.page()
    await refuse(page, "status", status, problem)
    await sign_in(page, OPERATOR)
    await expect(page.get_by_text("Nothing is known yet.")).to_be_visible()
    await expect(page.get_by_text(told)).to_be_visible()
    await accessible(page)


async def test_an_overdue_deletion_is_listed_with_what_hinders_it(portal: Portal, client: Client) -> None:
    now = await client.now()
    overdue = {
        "tenantId": PEOPLE["adatum-admin"].tenant_id,
        "enrollmentId": "0" * 32,
        "geo": "europe",
        "storageAccount": "steurope",
        "optedOutAt": (now - timedelta(days=32)).isoformat(),
        "deadline": (now - timedelta(days=2)).isoformat(),
        "status": "scheduled",
        "attempts": 7,
        "retryAt": (now + timedelta(minutes=10)).isoformat(),
        "lastError": "storage-403",
    }
    page = await portal.page()
    await change(page, "overdue-deletions*", lambda answer: {**answer, "value": [overdue]})
    await sign_in(page, OPERATOR)
    await expect(page.get_by_role("button", name="Refresh now")).to_be_enabled()
    card = page.get_by_role("list", name="Overdue deletions").get_by_role("listitem")
    await expect(card).to_contain_text("2 days ago")
    await expect(card).to_contain_text("storage-403")
    await accessible(page)
    await fits(page)


@pytest.mark.parametrize(("locale", "told"), [("de-DE", "Zusagen"), ("ja-JP", "約束")])
async def test_the_wall_in_german_and_japanese(portal: Portal, locale: str, told: str) -> None:
    page = await portal.signed_in(OPERATOR, locale=locale)
    await expect(page.get_by_role("list", name=told)).to_be_visible()
    await expect(page.get_by_role("heading", level=2).first).to_be_visible()
    await accessible(page)
    await fits(page)
