"""Whether the tests of this folder would notice: each fault is planted once."""

import pytest
from playwright.async_api import Page, expect

from tests.portal.browser import Portal
from tests.portal.hands import Keyboard
from tests.portal.looks import accessible, fits

pytestmark = pytest.mark.asyncio(loop_scope="session")

PLANTED = {
    "a picture from elsewhere": (
        "document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png', alt: ''}))",
        "CSP: img-src forbids",
    ),
    "text that becomes markup": ("setTimeout(() => { document.body.innerHTML = '<i>x</i>'; })", "CSP: require-trusted"),
    "an error": ("setTimeout(() => { throw new Error('planted'); })", "uncaught: planted"),
    "a promise that nobody waited for": ("void Promise.reject(new Error('planted'))", "uncaught: planted"),
    "a complaint of the library's": ("console.error('planted')", "planted"),
}


async def shown(portal: Portal) -> Page:
    page = await portal.page()
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    return page


@pytest.mark.parametrize("planted", PLANTED)
async def test_what_goes_wrong_in_a_page_is_noticed(portal: Portal, planted: str) -> None:
    script, noticed = PLANTED[planted]
    page = await shown(portal)
    told = (
        page.expect_event("pageerror")
        if noticed.startswith("uncaught")
        else page.expect_console_message(lambda message: message.text.startswith(noticed))
    )
    async with told:
        await page.evaluate(f"() => {{ {script} }}")
    assert any(noticed in fault for fault in portal.faults), portal.faults
    portal.faults.clear()


async def test_axe_looks_at_both_themes(portal: Portal) -> None:
    page = await shown(portal)
    for name, text, found in (("button", "", "button-name"), ("p", "dark upon dark", "color-contrast")):
        await page.evaluate(
            """([name, text]) => {
                const element = Object.assign(document.createElement(name), {textContent: text, id: "planted"});
                element.style.color = "#222";
                document.querySelector("main").append(element);
            }""",
            [name, text],
        )
        with pytest.raises(AssertionError, match=found):
            await accessible(page)
        await page.evaluate("document.getElementById('planted').remove()")


async def test_what_is_too_wide_is_noticed(portal: Portal) -> None:
    page = await shown(portal)
    await fits(page)
    await page.evaluate("document.querySelector('main').append('x'.repeat(200))")
    with pytest.raises(AssertionError):
        await fits(page)


async def test_what_no_key_leads_to_is_noticed(portal: Portal) -> None:
    page = await shown(portal)
    button = page.get_by_role("button", name="Sign in")
    await button.evaluate("button => { button.tabIndex = -1; }")
    with pytest.raises(AssertionError, match="no key leads to"):
        await Keyboard(page).press(button)
