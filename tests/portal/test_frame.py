"""What is around every page: languages, appearance, and how much a browser must fetch to show it."""

import pytest
from playwright.async_api import Request, expect

from local.sign_in import PEOPLE
from tests.portal.browser import Portal, sign_in
from tests.portal.hands import Hands, Keyboard, Mouse
from tests.portal.looks import accessible, fits

pytestmark = pytest.mark.asyncio(loop_scope="session")

AT_MOST = 250 * 1024
"""Of compressed JavaScript for the first page."""


@pytest.mark.parametrize(
    ("locale", "language", "welcome", "sign_in"),
    [
        ("en-GB", "en", "Sign in to see what is shared", "Sign in"),
        ("de-AT", "de", "Melden Sie sich an", "Anmelden"),
        ("ja-JP", "ja", "サインインすると", "サインイン"),
        ("fr-FR", "en", "Sign in to see what is shared", "Sign in"),  # a language that the page does not have
    ],
)
async def test_the_page_speaks_the_language_of_the_browser(
    portal: Portal, locale: str, language: str, welcome: str, sign_in: str
) -> None:
    page = await portal.page(locale=locale)
    await expect(page.get_by_role("main")).to_contain_text(welcome)
    await expect(page.get_by_role("button", name=sign_in, exact=True)).to_be_visible()
    await expect(page.locator("html")).to_have_attribute("lang", language)


@pytest.mark.parametrize("hands", [Mouse, Keyboard])
async def test_language_and_appearance_can_be_chosen_and_stay(portal: Portal, hands: type[Hands]) -> None:
    page = await portal.page()
    person = hands(page)
    await person.choose(page.get_by_role("combobox", name="Language"), "Deutsch")
    await expect(page.get_by_role("main")).to_contain_text("Melden Sie sich an")
    await person.choose(page.get_by_role("combobox", name="Darstellung"), "Dunkel")
    await page.reload()
    await expect(page.get_by_role("main")).to_contain_text("Melden Sie sich an")
    await expect(page.get_by_role("combobox", name="Darstellung")).to_have_text("Dunkel")


async def test_nobody_signed_in_sees_a_page_that_everybody_can_read(portal: Portal) -> None:
    page = await portal.page()
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    await accessible(page)
    await fits(page)


@pytest.mark.parametrize("key", ["adatum-admin", "operator", "reviewer", "approver"])
async def test_the_first_page_of_each_needs_few_scripts(portal: Portal, key: str) -> None:
    page = await portal.blank()
    scripts: list[Request] = []
    page.on("requestfinished", lambda each: scripts.append(each) if each.resource_type == "script" else None)
    await page.goto(portal.address)
    await sign_in(page, PEOPLE[key])
    await expect(page.get_by_role("heading", level=2).first).to_be_visible()
    sizes = {each.url: (await each.sizes())["responseBodySize"] for each in scripts}
    assert 0 < sum(sizes.values()) <= AT_MOST, sizes


async def test_without_its_settings_the_page_says_so(portal: Portal) -> None:
    page = await portal.blank()
    await page.route("**/settings.json", lambda route: route.fulfill(status=503))
    await page.goto(portal.address)
    await expect(page.locator("body")).to_contain_text("This deployment offers no pages, or cannot be reached.")


async def test_signing_in_leads_back_and_signing_out_forgets(portal: Portal) -> None:
    page = await portal.page()
    await page.goto(f"{portal.address}#/administrator")
    await sign_in(page, PEOPLE["adatum-admin"])
    assert page.url == f"{portal.address}#/administrator"
    await page.reload()
    await expect(page.get_by_role("banner")).to_contain_text("Ada Lindqvist")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("banner").get_by_role("button", name="Sign in")).to_be_visible()
    await expect(page.get_by_role("banner")).not_to_contain_text("Ada Lindqvist")
    assert await page.evaluate("Object.keys(sessionStorage).filter((key) => key.startsWith('oidc'))") == []
