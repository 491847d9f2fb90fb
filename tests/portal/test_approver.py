"""Approver and reviewer, each at a browser of their own."""

import re
import uuid

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from local.client import Client
from local.sign_in import PEOPLE
from local.tokens import Role
from tests.portal.answers import again, refuse
from tests.portal.browser import Portal, sign_in
from tests.portal.hands import Keyboard
from tests.portal.looks import accessible, fits
from tests.portal.tenants import ASKED, granted, sharing

pytestmark = pytest.mark.asyncio(loop_scope="session")

REVIEWER, APPROVER = PEOPLE["reviewer"], PEOPLE["approver"]
SOON = 11_000
"""Milliseconds after which the reviewer's page has looked again."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tenant(client: Client) -> str:
    """One that shares data. The queue is of all tenants, so nothing waits that another module has asked for."""
    token = client.token(Role.APPROVER, now=await client.now())
    waiting = (await client.call("GET", "pending-grants?limit=200", token=token)).body["value"]
    for each in waiting:
        path = f"review-grants/{each['grantId']}/revoke"
        assert (await client.as_person(Role.APPROVER, "POST", each["tenantId"], path)).status == 200
    tenant = str(uuid.uuid4())
    await sharing(client, tenant)
    return tenant


async def asked(client: Client, tenant: str, why: str) -> None:
    answer = await client.as_person(Role.REVIEWER, "POST", tenant, "review-grants", {**ASKED, "justification": why})
    assert answer.status == 201, answer.body


def request(page: Page, why: str) -> Locator:
    return page.get_by_role("group").filter(has_text=why)


async def test_one_asks_another_approves_and_ends_it(portal: Portal, tenant: str) -> None:
    why = "To find out why every second formula is wrong."
    reviewing = await portal.blank()
    await reviewing.clock.install()
    await reviewing.goto(f"{portal.address}#/reviewer/{tenant}")
    await sign_in(reviewing, REVIEWER)
    reviewer = Keyboard(reviewing)
    await reviewer.press(reviewing.get_by_role("radio", name="Validate"))
    await reviewer.write(reviewing.get_by_role("textbox", name="Justification"), why)
    await reviewer.press(reviewing.get_by_role("button", name="Ask for the grant"))
    await expect(reviewing.get_by_text("The request is sent.")).to_be_visible()

    approving = await portal.signed_in(APPROVER)
    approver = Keyboard(approving)
    card = request(approving, why)
    await expect(card).to_contain_text(tenant)
    await accessible(approving)
    await fits(approving)
    await approver.press(card.get_by_role("button", name="Approve for 60 min"))
    await expect(card).to_contain_text("Approved: its time has begun.")
    await accessible(approving)

    await reviewing.clock.fast_forward(SOON)
    await expect(reviewing.get_by_role("timer")).to_have_text(re.compile(r"^(1:00:00|59:\d\d)$"))
    await reviewer.press(reviewing.get_by_role("region", name="Days with captures").get_by_role("link").first)
    await reviewer.press(reviewing.get_by_role("button", name=re.compile("^Read the next")).first)
    await expect(reviewing.get_by_role("article").first).to_be_visible()

    await approver.press(card.get_by_role("button", name="Revoke"))
    await expect(card).to_contain_text("Nothing can be read under it any more.")
    await reviewing.clock.fast_forward(SOON)
    await expect(reviewing.get_by_text("The grant has ended.")).to_be_visible()
    await expect(reviewing.get_by_role("article")).to_have_count(0)
    await accessible(reviewing)
    await fits(reviewing)


async def test_a_request_is_rejected_and_the_tenants_grants_are_all_there(
    portal: Portal, client: Client, tenant: str
) -> None:
    why = "To be rejected <b>because</b> of \u202e these words."
    await asked(client, tenant, why)
    page = await portal.signed_in(APPROVER)
    person = Keyboard(page)
    card = request(page, "To be rejected <b>because</b>")
    await expect(card).to_contain_text("U+202E")
    await person.press(card.get_by_role("button", name="Reject"))
    await expect(card).to_contain_text("Revoked")
    await person.press(card.get_by_role("link", name="All grants of this tenant"))
    await expect(page.get_by_role("heading", name=f"Tenant {tenant}")).to_be_visible()
    await expect(request(page, "To be rejected <b>because</b>")).to_contain_text("Revoked")
    await accessible(page)
    await fits(page)


@pytest.mark.parametrize(
    ("status", "problem", "told"),
    [
        (403, "forbidden", "You are not allowed to do this."),
        (409, "grant-not-pending", "The grant has been decided on meanwhile."),
        (503, "unavailable", "The service cannot answer now."),
        (401, "unauthenticated", "Your sign-in has ended."),
        (0, "", "There is no connection."),
    ],
)
async def test_an_approval_that_was_refused_says_so_and_can_be_tried_again(
    portal: Portal, client: Client, tenant: str, status: int, problem: str, told: str
) -> None:
    why = f"To see what happens when it is refused: {problem or 'offline'}."
    await asked(client, tenant, why)
    page = await portal.signed_in(APPROVER)
    card = request(page, why)
    approve = card.get_by_role("button", name="Approve for 30 min")
    await expect(approve).to_be_visible()
    if status:
        await refuse(page, "tenants/*/review-grants/*/approve", status, problem, method="POST")
    else:
        await page.context.set_offline(True)
    await approve.click()
    await expect(card.get_by_text(told)).to_be_visible()
    await accessible(page)
    await fits(page)
    await again(page)
    await page.context.set_offline(False)
    await approve.click()
    await expect(card).to_contain_text("Approved: its time has begun.")
    await expect(card.get_by_text(told)).to_have_count(0)


async def test_a_queue_that_cannot_be_read_says_so(portal: Portal) -> None:
    page = await portal.blank()
    await refuse(page, "pending-grants*", 503, "unavailable")
    await page.goto(portal.address)
    await sign_in(page, APPROVER)
    await expect(page.get_by_text("The service cannot answer now.")).to_be_visible()
    await accessible(page)
    await again(page)
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_text(re.compile("request waits|requests wait"))).to_be_visible()


async def test_what_a_grant_was_used_for_is_counted(portal: Portal, client: Client) -> None:
    tenant = str(uuid.uuid4())
    await sharing(client, tenant)
    await granted(client, tenant, justification="To be used for two searches.")
    page = await portal.signed_in(APPROVER, f"#/approver/{tenant}")
    person = Keyboard(page)
    card = request(page, "To be used for two searches.")
    uses = card.get_by_role("button", name="What it was used for")
    await person.press(uses)
    await expect(card).to_contain_text("It has not been used.")
    for _ in range(2):
        assert (await client.as_person(Role.REVIEWER, "POST", tenant, "captures/find", {})).status == 200
    await person.press(uses)
    await expect(card.get_by_role("listitem").filter(has_text="Searched captures: 2")).to_be_visible()
    await accessible(page)
    await fits(page)


@pytest.mark.parametrize(("locale", "approve"), [("de-DE", "genehmigen"), ("ja-JP", "承認")])
async def test_the_queue_in_german_and_japanese(
    portal: Portal, client: Client, tenant: str, locale: str, approve: str
) -> None:
    await asked(client, tenant, f"To be shown in another language, {locale}.")
    page = await portal.signed_in(APPROVER, locale=locale)
    card = request(page, f"To be shown in another language, {locale}.")
    await expect(card.get_by_role("button", name=re.compile(approve, re.IGNORECASE))).to_be_visible()
    await accessible(page)
    await fits(page)
