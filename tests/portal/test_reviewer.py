"""The reviewer's pages: asking, reading, and what users said, which is shown as text and as nothing else."""

import base64
import json
import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, expect

from local.client import Client
from local.sign_in import PEOPLE
from local.tokens import Role
from tests.portal.answers import again, refuse
from tests.portal.browser import Portal, sign_in
from tests.portal.hands import Hands, Keyboard, Mouse
from tests.portal.looks import accessible, fits
from tests.portal.tenants import Administrator, granted, sharing

pytestmark = pytest.mark.asyncio(loop_scope="session")

REVIEWER = PEOPLE["reviewer"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stored(client: Client) -> tuple[str, str]:
    """A tenant that shares data, with a grant that is live for hours, and the day of its batch."""
    tenant = str(uuid.uuid4())
    day, _ = await sharing(client, tenant)
    await granted(client, tenant, durationMinutes=480)
    return tenant, day


@pytest.fixture
def tenant(stored: tuple[str, str]) -> str:
    """The tenant of ``stored``."""
    return stored[0]


@pytest.fixture
def day(stored: tuple[str, str]) -> str:
    """The day of ``stored``, which may be over: the clock is moved, and midnight comes."""
    return stored[1]


WHY = "To find out why every second formula is wrong."


async def ask(page: Page, person: Hands) -> None:
    await person.press(page.get_by_role("radio", name="Improve"))
    await person.write(page.get_by_role("textbox", name="Justification"), WHY)
    await person.press(page.get_by_role("button", name="Ask for the grant"))


@pytest.mark.parametrize("hands", [Mouse, Keyboard])
async def test_from_the_tenants_id_to_what_was_said(
    portal: Portal, client: Client, administrator: Administrator, hands: type[Hands]
) -> None:
    tenant = administrator("Tessa Brandt").tenant_id
    day, batch = await sharing(client, tenant)
    page = await portal.signed_in(REVIEWER)
    person = hands(page)
    await person.write(page.get_by_role("textbox", name="Tenant id"), "no id")
    await person.press(page.get_by_role("button", name="Open"))
    await expect(page.get_by_text("This is not a tenant id.")).to_be_visible()
    await accessible(page)
    await fits(page)
    await person.write(page.get_by_role("textbox", name="Tenant id"), tenant)
    await person.press(page.get_by_role("button", name="Open"))
    await expect(page.get_by_role("heading", name=f"Tenant {tenant}")).to_be_visible()

    await person.press(page.get_by_role("button", name="Ask for the grant"))
    await expect(page.get_by_text("Choose a purpose.")).to_be_visible()
    await expect(page.get_by_text("characters that one can see.")).to_be_visible()
    await accessible(page)
    await fits(page)
    await ask(page, person)
    await expect(page.get_by_text("The request is sent.")).to_be_visible()
    await expect(page.get_by_role("group", name="Waiting for approval: Improve")).to_contain_text(WHY)

    await granted(client, tenant)
    await page.reload()
    await expect(page.get_by_role("timer")).to_have_text(re.compile(r"^(30:00|29:\d\d)$"))
    await accessible(page)
    await fits(page)
    await person.press(page.get_by_role("region", name="Days with captures").get_by_role("link").first)
    await expect(page.get_by_role("listbox", name="Batches")).to_be_visible()
    await person.press(page.get_by_role("button", name="Read the next batch"))
    conversation = page.get_by_role("article")
    await expect(conversation.first).to_contain_text("User")
    await expect(page.get_by_role("option", name=batch)).to_have_attribute("aria-selected", "true")
    await accessible(page)
    await fits(page)
    await person.press(page.get_by_role("button", name="Clear what is shown").first)
    await expect(conversation).to_have_count(0)

    log = (await client.as_admin("GET", tenant, "access-log")).body["value"]
    assert [each["action"] for each in log if each.get("batchId") == batch] == ["read"]
    assert day in {each.get("day") for each in log}


HOSTILE = {
    "script": "<script>window.hit=1</script><img src=x onerror='window.hit=1'><a href='javascript:window.hit=1'>go</a>",
    "turned": "invoice\u202efdp.exe\u202c and \u2066isolated\u2069",
    "hidden": "pay\u200bpal\u200d\ufeff\u2060\u00ad",
    "long": "W" * 3000,
    "heaped": "a" + "\u0301" * 300,
    "ends": "</li></ol></article></main>]]>-->{{7*7}}${7*7}",
}


async def test_what_users_said_does_no_harm(portal: Portal, client: Client, administrator: Administrator) -> None:
    tenant = administrator("Tessa Brandt").tenant_id
    day, _ = await sharing(
        client,
        tenant,
        [
            {
                "feature": HOSTILE["script"],
                "conversationId": HOSTILE["turned"],
                "model": HOSTILE["hidden"],
                "input": said,
                "output": said,
                "inputMessages": [{"role": HOSTILE["script"], "parts": [{"type": HOSTILE["turned"], "content": said}]}],
                "telemetry": {HOSTILE["script"]: said, "__proto__": {"x": said}, "constructor": said},
            }
            for said in HOSTILE.values()
        ],
    )
    await granted(client, tenant)
    page = await portal.signed_in(REVIEWER, f"#/reviewer/{tenant}/{day}")
    await page.get_by_role("button", name="Read the next batch").click()
    main = page.get_by_role("main")
    await expect(page.get_by_role("article").first).to_be_visible()
    for said in (HOSTILE["script"], HOSTILE["ends"], HOSTILE["long"]):
        await expect(main).to_contain_text(said)
    for character in ("U+202E", "U+202C", "U+2066", "U+2069", "U+200B", "U+200D", "U+FEFF", "U+2060", "U+00AD"):
        await expect(main.get_by_text(character, exact=True).first).to_be_visible()
    assert await page.evaluate("window.hit") is None
    assert await main.locator("script, img, iframe, a[href^='javascript']").count() == 0
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\ufeff]", await main.inner_text())
    await accessible(page)
    await fits(page)


MANY = 10_000
AT_ONCE = 200


async def test_a_day_with_ten_thousand_batches_scrolls(portal: Portal, tenant: str, day: str) -> None:
    ids = [f"{number:032x}" for number in range(MANY)]

    async def listed(route: Route) -> None:
        url = route.request.url
        begin = int(re.search(r"after=(\d+)", url)[1]) if "after=" in url else 0  # type: ignore[index]
        page: dict[str, Any] = {"value": [{"day": day, "batchId": each} for each in ids[begin : begin + AT_ONCE]]}
        if begin + AT_ONCE < MANY:
            page["nextLink"] = f"{url.partition('?')[0]}?day={day}&limit={AT_ONCE}&after={begin + AT_ONCE}"
        await route.fulfill(json=page)

    page = await portal.blank()
    await page.route("**/captures?*day=*", listed)
    await page.goto(f"{portal.address}#/reviewer/{tenant}/{day}")
    await sign_in(page, REVIEWER)
    batches = page.get_by_role("listbox", name="Batches")
    rows = batches.get_by_role("option")
    await Keyboard(page).reach(batches)
    for known in range(AT_ONCE, MANY, AT_ONCE):
        await page.keyboard.press("End")
        await expect(rows.first).to_have_attribute("aria-setsize", str(min(known + AT_ONCE, MANY)))
    await page.keyboard.press("End")
    await expect(page.get_by_role("option", name=ids[-1])).to_be_in_viewport()
    assert await rows.count() < 60
    await accessible(page)
    await fits(page)
    await batches.hover()
    await page.mouse.wheel(0, -MANY * 100)
    await expect(page.get_by_role("option", name=ids[0])).to_be_in_viewport()


@pytest.mark.parametrize("hands", [Mouse, Keyboard])
async def test_a_sign_in_that_ends_in_the_middle_loses_nothing_that_was_typed(
    portal: Portal, client: Client, tenant: str, hands: type[Hands]
) -> None:
    page = await portal.signed_in(REVIEWER, f"#/reviewer/{tenant}")
    person = hands(page)
    await person.write(page.get_by_role("textbox", name="Minutes"), "45")
    await client.move_to(await client.now() + timedelta(minutes=65))  # a token lives for an hour
    await ask(page, person)
    ended = page.get_by_text("Your sign-in has ended.").last
    await expect(ended).to_be_visible()
    await accessible(page)
    await fits(page)
    await person.press(page.get_by_role("main").get_by_role("button", name="Sign in").last)
    await person.press(page.get_by_role("link", name=REVIEWER.name))
    await expect(page.get_by_role("heading", name=f"Tenant {tenant}")).to_be_visible()
    await expect(page.get_by_role("textbox", name="Justification")).to_have_value(WHY)
    await expect(page.get_by_role("textbox", name="Minutes")).to_have_value("45")
    await expect(page.get_by_role("radio", name="Improve")).to_be_checked()
    await person.press(page.get_by_role("button", name="Ask for the grant"))
    await expect(page.get_by_text("The request is sent.")).to_be_visible()


async def test_a_stronger_sign_in_is_asked_for_and_loses_nothing_either(
    portal: Portal, client: Client, tenant: str
) -> None:
    page = await portal.signed_in(REVIEWER, f"#/reviewer/{tenant}")
    claims = json.dumps({"access_token": {"acrs": {"essential": True, "value": "c1"}}}).encode()
    challenge = f'Bearer error="insufficient_claims", claims="{base64.b64encode(claims).decode()}"'
    await refuse(
        page, "tenants/*/review-grants", 401, "step-up", method="POST", headers={"WWW-Authenticate": challenge}
    )
    await ask(page, Mouse(page))
    await expect(page.get_by_text("A stronger sign-in is needed.")).to_be_visible()
    await accessible(page)
    await fits(page)
    await again(page)
    async with page.expect_navigation(url=re.compile(r"/authorize\?.*claims=")):
        await page.get_by_role("main").get_by_role("button", name="Sign in").click()
    await page.get_by_role("link", name=REVIEWER.name).click()
    await expect(page.get_by_role("textbox", name="Justification")).to_have_value(WHY)
    await page.get_by_role("button", name="Ask for the grant").click()
    await expect(page.get_by_text("The request is sent.")).to_be_visible()


async def test_what_was_shown_is_gone_when_the_grant_has_ended(
    portal: Portal, client: Client, administrator: Administrator
) -> None:
    tenant = administrator("Tessa Brandt").tenant_id
    day, _ = await sharing(client, tenant)
    grant = await granted(client, tenant)
    page = await portal.signed_in(REVIEWER, f"#/reviewer/{tenant}/{day}")
    await page.get_by_role("button", name="Read the next batch").click()
    await expect(page.get_by_role("article").first).to_be_visible()
    await client.as_person(Role.APPROVER, "POST", tenant, f"review-grants/{grant}/revoke")
    await page.get_by_role("option").first.click()  # away
    await page.get_by_role("option").first.click()  # and again
    await expect(page.get_by_text("The grant has ended.")).to_be_visible()
    await expect(page.get_by_role("article")).to_have_count(0)
    await accessible(page)
    await fits(page)


@pytest.mark.parametrize(
    ("status", "problem", "told"),
    [
        (403, "forbidden", "You are not allowed to do this."),
        (403, "purpose-refused", "Captures may not be read for this purpose."),
        (429, "too-many-requests", "It can be tried again in 2 min."),
        (503, "unavailable", "The service cannot answer now."),
        (0, "", "There is no connection."),
    ],
)
async def test_what_was_refused_is_said_and_what_was_typed_stays(
    portal: Portal, client: Client, tenant: str, status: int, problem: str, told: str
) -> None:
    page = await portal.signed_in(REVIEWER, f"#/reviewer/{tenant}")
    await expect(page.get_by_role("textbox", name="Justification")).to_be_visible()
    if status:
        await refuse(page, "tenants/*/review-grants", status, problem, method="POST", headers={"Retry-After": "120"})
    else:
        await page.context.set_offline(True)
    await ask(page, Mouse(page))
    asking = page.get_by_role("region", name="Ask for a grant")  # the list of days may meet the same
    await expect(asking.get_by_text(told)).to_be_visible()
    await expect(page.get_by_role("textbox", name="Justification")).to_have_value(WHY)
    await accessible(page)
    await fits(page)
    await again(page)
    await page.context.set_offline(False)
    await page.get_by_role("button", name="Try again").last.click()
    await expect(page.get_by_text("The request is sent.")).to_be_visible()


@pytest.mark.parametrize(("locale", "purpose"), [("de-DE", "Verbessern"), ("ja-JP", "改善")])
async def test_asking_and_reading_in_german_and_japanese(
    portal: Portal, tenant: str, day: str, locale: str, purpose: str
) -> None:
    page = await portal.signed_in(REVIEWER, f"#/reviewer/{tenant}", locale=locale)
    await expect(page.get_by_role("timer")).to_be_visible()
    await expect(page.get_by_role("radio", name=purpose)).to_be_visible()
    await accessible(page)
    await fits(page)
    await page.goto(f"{portal.address}#/reviewer/{tenant}/{day}")
    await expect(page.get_by_role("listbox")).to_be_visible()
    await accessible(page)
    await fits(page)
