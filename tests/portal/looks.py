"""What every page keeps to in every state: it can be read by everybody, and it fits a narrow screen."""

from typing import Any

from playwright.async_api import Page

from local.process import ROOT

_AXE = ROOT / "portal" / "node_modules" / "axe-core" / "axe.min.js"
# Fluent marks the ends of what a dialog lets nobody leave; focus that comes there is moved on at once.
_RUN = """axe.run({exclude: ["[data-tabster-dummy]"]}, {resultTypes: ["violations"], ONLY})
    .then((found) => found.violations)"""
_ALL = "rules: {}"
_COLOURS = "runOnly: {type: 'rule', values: ['color-contrast', 'link-in-text-block']}"


async def _look(page: Page, only: str) -> None:
    # Past the page's policy, which allows no script of another origin: over the protocol of the developer tools.
    tools = await page.context.new_cdp_session(page)
    if not await page.evaluate("'axe' in window"):
        await tools.send("Runtime.evaluate", {"expression": _AXE.read_text(encoding="utf-8")})
    answer = await tools.send(
        "Runtime.evaluate", {"expression": _RUN.replace("ONLY", only), "awaitPromise": True, "returnByValue": True}
    )
    await tools.detach()
    assert "exceptionDetails" not in answer, answer
    violations = answer["result"]["value"]
    assert not violations, "\n".join(map(_told, violations))


def _told(violation: dict[str, Any]) -> str:
    places = "".join(f"\n  {node['html'][:200]}\n    {node['failureSummary']}" for node in violation["nodes"])
    return f"{violation['id']}: {violation['help']}{places}"


async def accessible(page: Page) -> None:
    """Let axe look at the page in light, and at its colours in dark as well; what it finds fails the test."""
    for scheme, only in (("light", _ALL), ("dark", _COLOURS)):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        # A button's colours change a frame later than a heading's, however short its transition is.
        await page.wait_for_function(
            """dark => getComputedStyle(document.querySelector('h1')).color.match(/\\d+/g)[0] > 128 === dark
                && !document.getAnimations().some((each) => each instanceof CSSTransition)""",
            arg=scheme == "dark",
        )
        await _look(page, only)


async def fits(page: Page, width: int = 320) -> None:
    """The page is as wide as the screen and no wider, so nobody scrolls in two directions."""
    before = page.viewport_size
    await page.set_viewport_size({"width": width, "height": 800})
    wide = await page.evaluate("""() => {
        const width = document.documentElement.clientWidth;
        const cuts = (e) => ["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(e).overflowX);
        const scrolls = (e) => e !== null && e !== document.documentElement && (cuts(e) || scrolls(e.parentElement));
        return [document.documentElement.scrollWidth - width, ...[...document.querySelectorAll("body *")]
            .filter((e) => e.getBoundingClientRect().right > width + 1 && !scrolls(e.parentElement))
            .map((e) => e.outerHTML.slice(0, 160))];
    }""")
    assert wide == [0], f"{page.url} is too wide: {wide}"
    if before:
        await page.set_viewport_size(before)
