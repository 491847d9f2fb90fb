"""Debian's Chromium, driven by playwright: which browser there is, and pages in which nothing may go wrong unseen."""

import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Error, Page, async_playwright, expect

from local.sign_in import Person

NAMES = ("chromium", "chromium-browser", "google-chrome")
SIGN_IN = re.compile(r"^(Sign in|Anmelden|サインイン)$")

# Chromium writes each answer that is no success into the console too; those are the tests' own business.
_ANSWERS = "Failed to load resource:"
_TELL_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => {
  const place = `${event.sourceFile}:${event.lineNumber}`;
  console.error(`CSP: ${event.effectiveDirective} forbids ${event.blockedURI} (${place})`);
});
"""


def executable() -> str | None:
    """Return the browser that ``CHROMIUM`` names, or the first that is on the PATH; None if there is none."""
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """A browser without a window; its sandbox is left off only where the system forbids it: for root."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable(), args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        try:
            yield browser
        finally:
            await browser.close()


class Portal:
    """Pages of the portal, and what went wrong in them: an uncaught error, a breach of the page's policy."""

    def __init__(self, browser: Browser, address: str) -> None:
        """Open pages in ``browser``; the portal is at ``address``."""
        self.faults: list[str] = []
        self.address = address
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    async def blank(self, *, locale: str = "en-US", dark: bool = False, width: int = 1280) -> Page:
        """Return a page in a context of its own, in which nothing is open."""
        context = await self._browser.new_context(
            locale=locale,
            timezone_id="UTC",
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            viewport={"width": width, "height": 900},
        )
        self._contexts.append(context)
        context.set_default_timeout(15_000)
        await context.add_init_script(_TELL_VIOLATIONS)
        context.on("console", self._console)
        context.on("weberror", lambda error: self._error(error.error))
        return await context.new_page()

    async def page(self, *, locale: str = "en-US", dark: bool = False, width: int = 1280) -> Page:
        """Return such a page with the portal open; nobody is signed in."""
        page = await self.blank(locale=locale, dark=dark, width=width)
        await page.goto(self.address)
        return page

    async def signed_in(
        self, person: Person, at: str = "", *, locale: str = "en-US", dark: bool = False, width: int = 1280
    ) -> Page:
        """Return such a page, in which ``person`` has signed in; ``at`` is a route, such as ``#/reviewer``."""
        page = await self.blank(locale=locale, dark=dark, width=width)
        await page.goto(self.address + at)
        await sign_in(page, person)
        return page

    async def close(self) -> None:
        """Close all pages."""
        for context in self._contexts:
            await context.close()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(_ANSWERS):
            self.faults.append(f"{message.type}: {message.text}")

    def _error(self, error: Error) -> None:
        self.faults.append(f"uncaught: {error.message}\n{error.stack}")


async def sign_in(page: Page, person: Person) -> None:
    """Press the button, choose ``person`` on the page of the local issuer, and wait until the portal knows."""
    await page.get_by_role("banner").get_by_role("button", name=SIGN_IN).click()
    await page.get_by_role("link", name=f"{person.name}, {person.title}").click()
    await expect(page.get_by_role("banner")).to_contain_text(person.name)
