"""``python -m tests.portal.screenshots``: the pictures in docs/images, of the real pages on a stack of their own."""

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path

from playwright.async_api import Page, expect

from local.client import Client
from local.process import ROOT
from local.sign_in import PEOPLE, Person
from local.stack import Stack
from local.tokens import Role
from shared.model.deadlines import SECOND_LOOK_DELAY
from tests.portal.browser import Portal, executable, launched
from tests.portal.tenants import granted, sharing

IMAGES = ROOT / "docs" / "images"
WIDTH = 1280
HEIGHTS = {"administrator": 1010, "operator": 720}


async def main() -> None:
    """Start the stack, let it have a history, take the pictures, and stop it."""
    if executable() is None:
        raise SystemExit("There is no Chromium: install Debian's chromium, or let CHROMIUM name one.")
    with tempfile.TemporaryDirectory() as directory:
        async with Stack(Path(directory)) as stack, Client(stack) as client, launched() as browser:
            await history(client)
            portal = Portal(browser, f"{stack.description.api}/portal/")
            IMAGES.mkdir(exist_ok=True)
            for name, person in (("administrator", PEOPLE["adatum-admin"]), ("operator", PEOPLE["operator"])):
                page = await opened(portal, client, person)
                if name == "administrator":
                    await page.get_by_role("button", name="Check: Receipt of the deletion").click()
                    await expect(page.get_by_text("The receipt is genuine.")).to_be_visible()
                await page.set_viewport_size({"width": WIDTH, "height": HEIGHTS[name]})
                await page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")
                print(f"docs/images/{name}.png: {(IMAGES / f'{name}.png').stat().st_size // 1024} KiB")
            await portal.close()
    assert portal.faults == [], portal.faults


async def history(client: Client) -> None:
    """Adatum has shared, opted out, has the receipt, shares again and was reviewed; Bellows is opting out."""
    adatum, bellows = PEOPLE["adatum-admin"].tenant_id, PEOPLE["bellows-admin"].tenant_id
    await run(client, "purge", "sweep")
    await sharing(client, adatum)
    await client.move_to(await client.now() + timedelta(days=2))
    await client.opt_out(adatum)
    await client.move_to(await client.now() + timedelta(days=29))
    await run(client, "purge")
    await client.move_to(await client.now() + SECOND_LOOK_DELAY + timedelta(seconds=1))
    await run(client, "purge", "sweep")
    await client.move_to(await client.now() + timedelta(days=3))
    day, batch = await sharing(client, adatum)
    await sharing(client, bellows)
    await client.move_to(await client.now() + timedelta(days=5))
    await granted(client, adatum)
    for path in ("captures", f"captures?day={day}", f"captures/{day}/{batch}"):
        assert (await client.as_person(Role.REVIEWER, "GET", adatum, path)).status == 200
    await client.opt_out(bellows)
    await client.move_to(await client.now() + timedelta(hours=4))
    await run(client, "purge", "sweep")


async def run(client: Client, *functions: str) -> None:
    """Run timers' functions, one after the other."""
    for function in functions:
        assert await client.run(function) == "completed"


async def opened(portal: Portal, client: Client, person: Person) -> Page:
    """Return the first page of somebody, at the time of the stack."""
    page = await portal.blank(width=WIDTH)
    await page.clock.install(time=await client.now())
    await page.goto(portal.address)
    await page.get_by_role("banner").get_by_role("button", name="Sign in").click()
    await page.get_by_role("link", name=person.name).click()
    await expect(page.get_by_role("heading", level=2).first).to_be_visible()
    await page.wait_for_load_state("networkidle")
    return page


if __name__ == "__main__":
    asyncio.run(main())
