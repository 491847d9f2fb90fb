"""How a person works a page: with the mouse, or with the keyboard alone."""

from typing import Protocol

from playwright.async_api import Locator, Page, expect

_ENOUGH = 150
"""So many presses of Tab lead through every page that these tests open."""


class Hands(Protocol):
    """What both kinds of people can do."""

    def __init__(self, page: Page) -> None:
        """Work on ``page``."""

    async def press(self, control: Locator) -> None:
        """Press a button, follow a link, choose a tab or an option of a group."""

    async def write(self, field: Locator, text: str) -> None:
        """Replace what stands in a field."""

    async def choose(self, dropdown: Locator, option: str) -> None:
        """Choose an option of a dropdown by its name."""


class Mouse:
    """Points and clicks."""

    def __init__(self, page: Page) -> None:
        """Work on ``page``."""
        self._page = page

    async def press(self, control: Locator) -> None:
        """Click it."""
        await control.click()

    async def write(self, field: Locator, text: str) -> None:
        """Put the text there."""
        await field.fill(text)

    async def choose(self, dropdown: Locator, option: str) -> None:
        """Open it and click the option."""
        if await is_native(dropdown):
            await dropdown.select_option(option)
            return
        await dropdown.click()
        await self._page.get_by_role("option", name=option).click()


class Keyboard:
    """Has no mouse: goes on with Tab, and sees where the focus is."""

    def __init__(self, page: Page) -> None:
        """Work on ``page``."""
        self._page = page
        self._keys = page.keyboard

    async def press(self, control: Locator) -> None:
        """Reach it and press Space or Enter; within a group of radio buttons or tabs, an arrow."""
        role = await control.evaluate("e => e.getAttribute('role') ?? e.type ?? e.tagName.toLowerCase()")
        if role in {"radio", "tab"}:
            await self._reach_in_group(control, role)
            return
        await self.reach(control)
        await self._keys.press("Space" if role in {"checkbox", "switch"} else "Enter")

    async def write(self, field: Locator, text: str) -> None:
        """Reach it, select what stands there, and type."""
        await self.reach(field)
        await self._keys.press("ControlOrMeta+A")
        await self._keys.type(text)

    async def choose(self, dropdown: Locator, option: str) -> None:
        """Open it, go down to the option, take it; or begin to type its name, where the browser itself shows it."""
        await self.reach(dropdown)
        if await is_native(dropdown):
            await self._keys.type(option)
            await expect(dropdown.locator("option:checked")).to_have_text(option)
            return
        await self._keys.press("Enter")
        wanted = self._page.get_by_role("option", name=option)
        await expect(wanted).to_be_visible()
        await self._keys.press("Home")
        for _ in range(_ENOUGH):
            chosen = await dropdown.get_attribute("aria-activedescendant")
            if chosen == await wanted.get_attribute("id"):
                await self._keys.press("Enter")
                await expect(wanted).to_be_hidden()
                return
            await self._keys.press("ArrowDown")
        raise AssertionError(f"no key leads to the option {option}")

    async def reach(self, control: Locator) -> None:
        """Press Tab until the focus is there, which must show."""
        await expect(control).to_be_visible()
        await expect(control).to_be_enabled()
        for _ in range(_ENOUGH):
            if await control.evaluate("e => e === document.activeElement"):
                return
            await self._keys.press("Tab")
        raise AssertionError(f"no key leads to {control}")

    async def _reach_in_group(self, control: Locator, role: str) -> None:
        group = "[role=tablist]" if role == "tab" else "[role=radiogroup],fieldset"
        inside = f"e => e.closest({group!r})?.contains(document.activeElement) ?? false"
        for _ in range(_ENOUGH):
            if await control.evaluate(inside):
                break
            await self._keys.press("Tab")
        else:
            raise AssertionError(f"no key leads to the group of {control}")
        for _ in range(_ENOUGH):
            if await control.evaluate("e => e === document.activeElement"):
                await self._keys.press("Enter" if role == "tab" else "Space")
                return
            await self._keys.press("ArrowRight" if role == "tab" else "ArrowDown")
        raise AssertionError(f"no arrow leads to {control}")


async def is_native(dropdown: Locator) -> bool:
    """Tell whether the browser's own list of options opens."""
    return bool(await dropdown.evaluate("e => e instanceof HTMLSelectElement"))
