"""The reviewer's desk: finding, sampling, labelling by keys, agreement, exports; and what it leaves behind: nothing."""

import gzip
import hashlib
import json
import re
import uuid
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from local.client import Client
from local.sign_in import PEOPLE
from local.stack import Stack
from local.tokens import Role
from tests.portal.answers import again, refuse
from tests.portal.browser import Portal
from tests.portal.hands import Hands, Keyboard, Mouse
from tests.portal.looks import accessible, fits
from tests.portal.tenants import granted, sharing

pytestmark = pytest.mark.asyncio(loop_scope="session")

REVIEWER = PEOPLE["reviewer"]
FORMULAS = 6
SAID = "Total of all open orders\u202e"


def captures() -> list[dict[str, Any]]:
    formulas = [
        {
            "feature": "power-fx.formula",
            "conversationId": f"c-{number}",
            "input": f"{SAID} number {number}",
            "output": f"Sum(Orders, Amount) - {number}",
            "telemetry": {"latencyMs": 100 * number, "accepted": number % 2 == 0},
        }
        for number in range(FORMULAS)
    ]
    return [*formulas, {"feature": "flow.suggestion", "input": "Wenn eine E-Mail ankommt", "output": "Trigger"}]


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(client: Client) -> str:
    """One that shares what ``captures`` says, with a grant that is live for hours."""
    tenant = str(uuid.uuid4())
    await sharing(client, tenant, captures())
    await granted(client, tenant, durationMinutes=480)
    return tenant


async def desk(portal: Portal, tenant: str, **how: Any) -> Page:
    page = await portal.signed_in(REVIEWER, f"#/reviewer/{tenant}/desk", **how)
    await expect(page.get_by_role("timer")).to_be_visible()
    return page


def status(page: Page, told: str | re.Pattern[str]) -> Locator:
    return page.get_by_role("status").filter(has_text=told)


def rows(page: Page) -> Locator:
    return page.get_by_role("listbox").get_by_role("option")


async def log(client: Client, tenant: str) -> list[dict[str, Any]]:
    value: list[dict[str, Any]] = (await client.as_admin("GET", tenant, "access-log?limit=200")).body["value"]
    return value


@pytest.mark.parametrize("hands", [Mouse, Keyboard])
async def test_from_the_days_to_a_capture_that_was_looked_for(
    portal: Portal, client: Client, tenant: str, hands: type[Hands]
) -> None:
    page = await portal.signed_in(REVIEWER, f"#/reviewer/{tenant}")
    person = hands(page)
    await person.press(page.get_by_role("link", name="Find, sample, label and export"))
    await accessible(page)
    await fits(page)
    await person.write(page.get_by_role("textbox", name="Language"), "German")
    await person.press(page.get_by_role("button", name="Find", exact=True))
    await expect(page.get_by_text("Write two or three lower-case letters.")).to_be_visible()
    await expect(page.get_by_role("textbox", name="Language")).to_be_focused()
    await accessible(page)
    await person.write(page.get_by_role("textbox", name="Language"), "")
    await page.keyboard.press("Delete")
    await person.write(page.get_by_role("textbox", name="Feature"), "power-fx.formula")
    await person.write(page.get_by_role("textbox", name="Text"), "OPEN orders")
    await person.press(page.get_by_role("button", name="Add a telemetry condition"))
    await person.write(page.get_by_role("textbox", name="Member"), "latencyMs")
    await person.choose(page.get_by_role("combobox", name="Is"), "more than")
    await person.write(page.get_by_role("textbox", name="Value"), "250")
    await person.press(page.get_by_role("button", name="Find", exact=True))
    await expect(status(page, f"Found: {FORMULAS - 3}.")).to_contain_text("That is all.")
    await expect(rows(page)).to_have_count(FORMULAS - 3)
    await accessible(page)
    await fits(page)

    first = rows(page).first
    await expect(first.get_by_text("U+202E")).to_be_visible()
    await page.set_viewport_size({"width": 320, "height": 800})
    assert await first.evaluate(
        "row => [...row.querySelectorAll('bdi')].every((e) => e.offsetHeight <= row.offsetHeight / 2)"
    )
    await page.set_viewport_size({"width": 1280, "height": 900})
    if hands is Keyboard:
        await Keyboard(page).reach(page.get_by_role("listbox", name="Captures"))
        await page.keyboard.press("Enter")
    else:
        await first.click()
    capture = page.get_by_role("article", name="Capture 1 of 3")
    await expect(capture).to_be_focused()
    await expect(capture).to_contain_text("Sum(Orders, Amount)")
    await expect(capture.get_by_text("U+202E").first).to_be_visible()
    await expect(capture.get_by_role("group", name="Telemetry")).to_contain_text("latencyMs")
    await accessible(page)
    await fits(page)
    await page.keyboard.press("Escape")
    await expect(capture).to_have_count(0)
    await expect(page.get_by_role("listbox", name="Captures")).to_be_focused()

    looks = [each for each in await log(client, tenant) if each["action"] == "searched"]
    assert [each["filteredBy"] for each in looks] == [["feature", "telemetry", "text"]]
    assert "orders" not in json.dumps(await log(client, tenant)).casefold()
    assert "orders" not in json.dumps(await page.evaluate("({...sessionStorage, ...localStorage})")).casefold()


async def test_an_empty_page_that_has_a_cursor_is_not_the_end(portal: Portal, tenant: str) -> None:
    page = await desk(portal, tenant)
    sent: list[dict[str, Any]] = []
    found = {"day": "2026-11-27", "batchId": "0" * 32, "line": 0, "capture": {"input": "at last"}, "labels": []}

    async def answer(route: Any) -> None:
        sent.append(route.request.post_data_json)
        last = len(sent) == 3
        body = {"value": [found] if last else [], "scanned": {"captures": 1000, "batches": 2, "unreadable": 0}}
        await route.fulfill(json=body if last else {**body, "cursor": f"c{len(sent)}"})

    await page.route("**/captures/find", answer)
    await page.get_by_role("button", name="Find", exact=True).click()
    await expect(status(page, "Found: 1. Gone through: 3,000 captures, in batches: 6.")).to_be_visible()
    assert [each.get("cursor") for each in sent] == [None, "c1", "c2"]
    await again(page)


async def test_a_seed_draws_the_same_sample_again(portal: Portal, tenant: str) -> None:
    page = await desk(portal, tenant)
    await page.get_by_role("textbox", name="Size").fill("0")
    await page.get_by_role("button", name="Draw a sample").click()
    await expect(page.get_by_text("Write a whole number from 1 to 200.")).to_be_visible()
    await page.get_by_role("textbox", name="Size").fill("3")
    samples = []
    for seed in ("7", "8", "7"):
        await page.get_by_role("textbox", name="Seed").fill(seed)
        await page.get_by_role("button", name="Draw a sample").click()
        await expect(
            status(page, f"A sample of 3 out of {FORMULAS + 1} that match, with the seed {seed}.")
        ).to_be_visible()
        samples.append(await rows(page).all_inner_texts())
    assert samples[0] == samples[2]
    assert len(samples[0]) == 3
    await accessible(page)
    await fits(page)
    before = await page.get_by_role("textbox", name="Seed").input_value()
    await page.get_by_role("button", name="Another seed").click()
    await expect(page.get_by_role("textbox", name="Seed")).not_to_have_value(before)


async def opened(page: Page) -> Locator:
    """Find everything and open the first capture."""
    await page.get_by_role("button", name="Find", exact=True).click()
    await rows(page).first.click()
    capture = page.get_by_role("article")
    await expect(capture).to_be_focused()
    return capture


async def labels(client: Client, tenant: str) -> list[dict[str, Any]]:
    found = await client.as_person(Role.REVIEWER, "POST", tenant, "captures/find", {"labelled": True})
    return [label for each in found.body["value"] for label in each["labels"]]


async def test_captures_are_labelled_with_single_keys_that_write_where_something_is_typed(
    portal: Portal, client: Client, tenant: str
) -> None:
    page = await desk(portal, tenant)
    await page.get_by_role("textbox", name="Feature").fill("power-fx.formula")
    capture = await opened(page)
    await expect(capture.get_by_role("group", name="Verdict").get_by_role("button").first).to_have_text("1correct")
    await page.keyboard.press("2")
    await expect(status(page, "Saved for capture 1: incorrect.")).to_be_visible()
    await expect(capture.get_by_role("button", name="incorrect")).to_have_attribute("aria-pressed", "true")
    await page.keyboard.press("n")
    await expect(page.get_by_role("article", name="Capture 2 of 6")).to_be_focused()
    await page.keyboard.press("1")
    await expect(status(page, "Saved for capture 2: correct.")).to_be_visible()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("p")
    await page.keyboard.press("ArrowLeft")
    await expect(page.get_by_role("article", name="Capture 1 of 6")).to_be_focused()

    await page.keyboard.press("c")
    comment = page.get_by_role("textbox", name="Comment")
    await expect(comment).to_be_focused()
    await page.keyboard.type("1 np c 2")
    await expect(comment).to_have_value("1 np c 2")
    await expect(page.get_by_role("article", name="Capture 1 of 6")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("article", name="Capture 1 of 6")).to_be_focused()
    # What is not saved yet stays with its capture.
    await page.keyboard.press("n")
    await expect(rows(page).first).to_contain_text("Not saved")
    await page.keyboard.press("p")
    await expect(comment).to_have_value("1 np c 2")
    await page.keyboard.press("c")
    await page.keyboard.press("Control+Enter")
    await expect(status(page, "Saved for capture 1: incorrect.")).to_be_visible()
    await expect(rows(page).first).to_contain_text("You: incorrect")
    await accessible(page)
    await fits(page)

    said = await labels(client, tenant)
    assert sorted((each["verdict"], each.get("comment")) for each in said) == [
        ("correct", None),
        ("incorrect", "1 np c 2"),
    ]
    assert {each["action"] for each in await log(client, tenant)} >= {"searched", "found", "labelled"}
    assert "1 np" not in json.dumps(await page.evaluate("({...sessionStorage, ...localStorage})"))


@pytest.mark.parametrize("hands", [Mouse, Keyboard])
async def test_score_tags_and_comment_are_saved_and_withdrawn_by_hand(
    portal: Portal, client: Client, tenant: str, hands: type[Hands]
) -> None:
    page = await desk(portal, tenant)
    person = hands(page)
    capture = await opened(page)
    await person.press(capture.get_by_role("button", name="Save"))
    await expect(page.get_by_text("Say at least one thing.")).to_be_visible()
    await person.write(capture.get_by_role("textbox", name="Score"), "2")
    await person.write(capture.get_by_role("textbox", name="Tags"), "Wrong!")
    await person.press(capture.get_by_role("button", name="Save"))
    await expect(page.get_by_text("Write a number from 0 to 1.")).to_be_visible()
    await accessible(page)
    await person.write(capture.get_by_role("textbox", name="Score"), "0.25")
    await person.write(capture.get_by_role("textbox", name="Tags"), "wrong-table slow")
    await person.press(capture.get_by_role("button", name="Save"))
    await expect(status(page, "Saved for capture 1: without a verdict.")).to_be_visible()
    (label,) = await labels(client, tenant)
    assert (label["score"], label["tags"]) == (0.25, ["wrong-table", "slow"])
    await person.press(capture.get_by_role("button", name="unclear"))
    await expect(status(page, "Saved for capture 1: unclear.")).to_be_visible()
    await person.press(capture.get_by_role("button", name="Withdraw"))
    await expect(status(page, "Withdrawn for capture 1.")).to_be_visible()
    assert await labels(client, tenant) == []
    await expect(capture.get_by_role("textbox", name="Tags")).to_have_value("")


async def test_a_label_that_was_refused_is_still_there_and_can_be_saved_later(
    portal: Portal, client: Client, tenant: str
) -> None:
    page = await desk(portal, tenant)
    capture = await opened(page)
    await capture.get_by_role("textbox", name="Comment").fill("The wrong table.")
    await refuse(page, "tenants/*/captures/*/*/*/label", 503, "unavailable", method="PUT")
    await capture.get_by_role("button", name="Save").click()
    await expect(status(page, "The label of capture 1 is not saved.")).to_be_visible()
    await expect(page.get_by_text("The service cannot answer now.")).to_be_visible()
    await expect(capture.get_by_role("textbox", name="Comment")).to_have_value("The wrong table.")
    await accessible(page)
    await fits(page)
    await again(page)
    await page.get_by_role("button", name="Try again").click()
    await expect(status(page, "Saved for capture 1: without a verdict.")).to_be_visible()
    assert [each["comment"] for each in await labels(client, tenant)] == ["The wrong table."]


async def other_reviewer_labels(stack: Stack, client: Client, tenant: str, verdicts: list[str]) -> None:
    """Let a second reviewer, who has a grant too, give verdicts to the first captures that a search finds."""
    second = stack.issuer.token(Role.REVIEWER, now=await client.now(), claims={"oid": str(uuid.uuid4())})
    wish = {"purpose": "improve", "justification": "To judge them once more by myself.", "durationMinutes": 60}
    grant = await client.call("POST", f"tenants/{tenant}/review-grants", body=wish, token=second)
    approve = f"review-grants/{grant.body['grantId']}/approve"
    assert (await client.as_person(Role.APPROVER, "POST", tenant, approve)).status == 200
    found = (await client.call("POST", f"tenants/{tenant}/captures/find", body={}, token=second)).body["value"]
    for verdict, each in zip(verdicts, found, strict=False):
        path = f"tenants/{tenant}/captures/{each['day']}/{each['batchId']}/{each['line']}/label"
        body = {"verdict": verdict, "comment": f"{SAID} again"}
        said = await client.call("PUT", path, body=body, token=second)
        assert said.status == 200, said.body


async def test_the_agreement_of_two_reviewers(portal: Portal, stack: Stack, client: Client, tenant: str) -> None:
    await other_reviewer_labels(stack, client, tenant, ["correct", "incorrect", "correct", "incorrect"])
    page = await desk(portal, tenant)
    await opened(page)
    for key, verdict in (("1", "correct"), ("2", "incorrect"), ("1", "correct"), ("1", "correct")):
        await page.keyboard.press(key)
        await expect(status(page, re.compile(rf"^Saved for capture \d: {verdict}\.$"))).to_be_visible()
        await page.keyboard.press("n")
    await page.keyboard.press("p")
    # What others say does not stand there before one has looked.
    capture = page.get_by_role("article")
    await expect(capture.get_by_text("Closed, so that your verdict is your own.")).to_be_hidden()
    await capture.get_by_text("Labels of others: 1").click()
    await expect(capture.get_by_role("listitem").filter(has_text="incorrect").get_by_text("U+202E")).to_be_visible()
    await accessible(page)

    await page.get_by_role("tab", name="Agreement").click()
    await page.get_by_role("button", name="Compare").click()
    table = page.get_by_role("table")
    await expect(table).to_contain_text("Captures that both have judged: 4. The same verdict: 75%.")
    await expect(table.get_by_role("row", name="All verdicts")).to_contain_text("0.50")
    await expect(table.get_by_role("row", name=re.compile("^incorrect"))).to_contain_text("0.50")
    await expect(status(page, "Labels compared: 8.")).to_be_visible()
    await accessible(page)
    await fits(page)
    # What was found is still there.
    await page.get_by_role("tab", name="Find and label").click()
    await expect(page.get_by_role("article", name="Capture 4 of 7")).to_be_visible()


async def test_an_agreement_that_is_not_defined_says_so(
    portal: Portal, stack: Stack, client: Client, tenant: str
) -> None:
    await other_reviewer_labels(stack, client, tenant, ["correct"])
    page = await desk(portal, tenant)
    await page.get_by_role("tab", name="Agreement").click()
    await page.get_by_role("button", name="Compare").click()
    await expect(page.get_by_text("No two reviewers have given a verdict to the same capture.")).to_be_visible()
    await page.get_by_role("tab", name="Find and label").click()
    await opened(page)
    await page.keyboard.press("1")
    await expect(status(page, "Saved for capture 1: correct.")).to_be_visible()
    await page.get_by_role("tab", name="Agreement").click()
    await page.get_by_role("button", name="Compare").click()
    await expect(page.get_by_role("row", name="All verdicts")).to_contain_text("not defined")


async def exported(page: Page) -> Locator:
    """Ask for an export of the formulas and wait until it is ready."""
    await page.get_by_role("textbox", name="Feature").fill("power-fx.formula")
    await page.get_by_role("button", name="Export all of these").click()
    await expect(status(page, "The export is asked for.")).to_be_visible()
    export = page.get_by_role("group", name=re.compile("^Export of")).first
    await expect(export).to_contain_text("Ready", timeout=90_000)
    return export


async def test_an_export_is_downloaded_and_is_what_the_service_says(
    portal: Portal, client: Client, tenant: str
) -> None:
    page = await desk(portal, tenant)
    export = await exported(page)
    await expect(export).to_contain_text(re.compile(rf"Captures\s*{FORMULAS}"))
    await expect(export).to_contain_text(re.compile(r"Chosen by\s*Feature"))
    await accessible(page)
    await fits(page)
    async with page.expect_download() as downloading:
        await Keyboard(page).press(export.get_by_role("button", name="Download"))
    await expect(export.get_by_text("Saved. Its SHA-256 was computed here")).to_be_visible()
    file = (await (await downloading.value).path()).read_bytes()
    lines = [json.loads(line) for line in gzip.decompress(file).splitlines()]
    assert {each["capture"]["feature"] for each in lines} == {"power-fx.formula"}
    assert len(lines) == FORMULAS
    (download,) = [each for each in await log(client, tenant) if each["action"] == "exportDownloaded"]
    assert download["sha256"] == hashlib.sha256(file).hexdigest()
    await expect(export).to_contain_text(download["sha256"])

    person = Keyboard(page)
    await person.press(export.get_by_role("button", name="Delete"))
    dialog = page.get_by_role("alertdialog")
    await expect(dialog).to_contain_text("Delete this export?")
    await accessible(page)
    await person.press(dialog.get_by_role("button", name="Keep it"))
    await expect(export).to_contain_text("Ready")
    await person.press(export.get_by_role("button", name="Delete"))
    await person.press(dialog.get_by_role("button", name="Delete"))
    await expect(export).to_contain_text("Deleted")
    await expect(export.get_by_role("button", name="Download")).to_have_count(0)


async def test_a_file_that_was_changed_on_its_way_is_not_saved(portal: Portal, tenant: str) -> None:
    page = await desk(portal, tenant)
    export = await exported(page)
    saved: list[object] = []

    def keep(download: object) -> None:
        saved.append(download)

    page.on("download", keep)

    async def change(route: Any) -> None:
        answer = await route.fetch()
        body = bytearray(await answer.body())
        body[-1] ^= 1
        await route.fulfill(response=answer, body=bytes(body))

    await page.route("**/content", change)
    await export.get_by_role("button", name="Download").click()
    await expect(export.get_by_text("NOT saved")).to_be_visible()
    assert saved == []
    await accessible(page)
    await again(page)


@pytest.mark.parametrize(
    ("reason", "told"),
    [("grant-ended", "The grant had ended."), ("nothing-found", "No capture was as was asked for.")],
)
async def test_an_export_under_way_is_looked_at_again_and_says_why_it_was_stopped(
    portal: Portal, tenant: str, reason: str, told: str
) -> None:
    page = await desk(portal, tenant)
    running = {
        "exportId": "0" * 32,
        "enrollmentId": "0" * 32,
        "grantId": "0" * 32,
        "requestedBy": "somebody",
        "requestedAt": "2026-11-27T10:00:00.000000Z",
        "firstDay": "2026-11-20",
        "lastDay": "2026-11-27",
        "filteredBy": [],
        "status": "running",
    }
    looks: list[str] = []

    async def listed(route: Any) -> None:
        looks.append(route.request.url)
        ended = {**running, "status": "stopped", "reason": reason}
        await route.fulfill(json={"value": [ended if len(looks) > 2 else running]})

    await page.route(re.compile(r"/exports\?"), listed)
    await page.route(
        re.compile(r"/exports/0{32}$"),
        lambda route: route.fulfill(json={**running, "progress": {"captures": 1200, "bytes": 4096}}),
    )
    await page.get_by_role("tab", name="Exports").click()
    export = page.get_by_role("group", name=re.compile("^Export of"))
    await expect(export).to_contain_text("1,200 captures, 4,096 bytes so far")
    await accessible(page)
    await fits(page)
    await expect(export).to_contain_text(told, timeout=20_000)
    await again(page)


async def test_when_the_grant_is_revoked_nothing_of_the_desk_is_left(portal: Portal, client: Client) -> None:
    tenant = str(uuid.uuid4())
    await sharing(client, tenant, captures())
    grant = await granted(client, tenant)
    page = await desk(portal, tenant)
    capture = await opened(page)
    await capture.get_by_role("textbox", name="Comment").fill("What a customer has said.")
    await client.as_person(Role.APPROVER, "POST", tenant, f"review-grants/{grant}/revoke")
    await capture.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("The grant has ended.")).to_be_visible()
    for left in (page.get_by_role("article"), page.get_by_role("listbox"), page.get_by_role("textbox", name="Text")):
        await expect(left).to_have_count(0)
    await expect(page.get_by_role("main")).not_to_contain_text("What a customer has said.")
    await expect(page.get_by_role("main")).not_to_contain_text("Sum(Orders")
    await accessible(page)
    await fits(page)


async def test_days_of_which_nothing_may_be_read_are_no_error(portal: Portal, tenant: str) -> None:
    page = await desk(portal, tenant)
    await page.get_by_label("To day").fill("2020-01-01")
    await page.get_by_role("button", name="Find", exact=True).click()
    await expect(page.get_by_text("There is nothing to go through.")).to_be_visible()
    await page.get_by_label("From day").fill("2020-01-02")
    await page.get_by_role("button", name="Find", exact=True).click()
    await expect(page.get_by_text("This day is after the last one.")).to_be_visible()
    await accessible(page)


@pytest.mark.parametrize(
    ("locale", "find", "tabs"),
    [
        ("de-DE", "Suchen", {"Übereinstimmung": "Kappa sagt", "Exporte": "Es wurde keiner angefordert."}),
        ("ja-JP", "検索", {"一致度": "カッパ係数は", "エクスポート": "エクスポートはありません。"}),
    ],
)
async def test_the_desk_in_german_and_japanese(
    portal: Portal, tenant: str, locale: str, find: str, tabs: dict[str, str]
) -> None:
    page = await desk(portal, tenant, locale=locale, dark=True)
    await page.get_by_role("button", name=find, exact=True).click()
    await rows(page).first.click()
    await expect(page.get_by_role("article")).to_be_visible()
    await accessible(page)
    await fits(page)
    for tab, told in tabs.items():
        await page.get_by_role("tab", name=tab).click()
        await expect(page.get_by_text(told)).to_be_visible()
        await accessible(page)
        await fits(page)


async def test_the_tenant_reads_in_words_what_was_done(portal: Portal, client: Client) -> None:
    administrator = PEOPLE["adatum-admin"]
    tenant = administrator.tenant_id
    await sharing(client, tenant, captures())
    await granted(client, tenant)
    found = await client.as_person(Role.REVIEWER, "POST", tenant, "captures/find", {"feature": "power-fx.formula"})
    first = found.body["value"][0]
    path = f"captures/{first['day']}/{first['batchId']}/{first['line']}/label"
    await client.as_person(Role.REVIEWER, "PUT", tenant, path, {"verdict": "correct"})
    page = await portal.signed_in(administrator, "#/administrator/access")
    table = page.get_by_role("table")
    searched = table.get_by_role("row").filter(has_text="Searched captures").first
    await expect(searched).to_contain_text("Chosen by: Feature. What was searched for is on no record.")
    shown = table.get_by_role("row").filter(has_text="Saw what a search or a sample found").first
    await expect(shown).to_contain_text(f"Captures: {len(found.body['value'])}.")
    await expect(table.get_by_role("row").filter(has_text="Labelled a capture").first).to_contain_text("Line: 1.")
    await accessible(page)
    await fits(page)
