"""What the service would answer at other times: a page's request is answered by the test instead."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from playwright.async_api import Page, Route


async def refuse(
    page: Page, path: str, status: int, problem: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
) -> None:
    """Answer the next requests for ``path`` (below the API's address, a glob) with a problem, until ``unroute``."""

    async def handle(route: Route) -> None:
        if route.request.method != method:
            await route.fallback()
            return
        await route.fulfill(
            status=status,
            headers={"Content-Type": "application/problem+json", **(headers or {})},
            body=json.dumps({"type": f"urn:problem:{problem}", "title": "Refused by the test.", "status": status}),
        )

    await page.route(f"**/api/{path}", handle)


async def change(page: Page, path: str, by: Callable[[Any], Any]) -> None:
    """Change what the service answers to a GET of ``path``: ``by`` gets the body and returns another."""

    async def handle(route: Route) -> None:
        if route.request.method != "GET":
            await route.fallback()
            return
        answer = await route.fetch()
        await route.fulfill(response=answer, json=by(await answer.json()))

    await page.route(f"**/api/{path}", handle)


async def again(page: Page) -> None:
    """Let the service answer by itself again."""
    await page.unroute_all(behavior="wait")
