"""The main job, end to end: two tenants, two geos, a month of clock time, each step checked against storage itself."""

import asyncio
import gzip
import hashlib
import json
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import ClientError

from audit.receipts import ReceiptError, read_keys, read_receipt
from local.client import Answer, Client
from local.process import ROOT, ProcessError, ProgramMissing
from local.samples import Sample, load
from local.stack import Stack
from local.terminal import Style, say
from local.tokens import Role
from shared.model.containers import DayContainer
from shared.model.items import format_instant
from shared.model.notices import NOTICES

ADATUM = "0a7d3c1e-58f2-4b96-a1d4-6c2e9f80b713"
BELLOWS = "b4f0e2d9-7c13-4a68-95be-1f3d8a60c25e"
EUROPE, UNITED_STATES = "europe", "unitedstates"

_DAYS = 4
_MARKS = {True: ("✓ ", Style.GOOD), False: ("✗ ", Style.BAD)}
_TITLE = 62

_PROMISES = ROOT / "docs" / "concepts.md"
_PROMISE = re.compile(r"^\| \*\*(?P<number>P\d+) (?P<name>[^*]+)\*\*:? ?(?P<text>[^|]*) \|", re.MULTILINE)

_INTERRUPTED = 130  # what a shell expects of a program that Ctrl-C has ended


class DemoFailed(Exception):
    """A step did not come out as promised."""


@dataclass
class Timeline:
    """Prints what happens, in the service's time, and stops at the first thing that is not so."""

    client: Client
    started: float = field(default_factory=time.monotonic)
    checks: int = 0
    chapters: list[tuple[str, int, float]] = field(default_factory=list)

    async def chapter(self, promise: str, title: str) -> None:
        """Begin a part of the story."""
        now = await self.client.now()
        self.chapters.append((f"{promise:<4}{title}", self.checks, time.monotonic()))
        say()
        say(f"{now:%Y-%m-%d %H:%M}  {promise}  {title}", style=Style.HEADING)

    def check(self, what: str, holds: bool, found: object = "") -> None:
        """Print what should be so, and go on only if it is.

        Raises:
            DemoFailed: if it is not.
        """
        mark, style = _MARKS[holds]
        say(what, mark=mark, indent=4, style=style)
        if not holds:
            raise DemoFailed(f"{what}: found {found!r}")
        self.checks += 1

    def summary(self) -> None:
        """Print a line for each chapter: how many checks held, and how long it took."""
        ends = [(checks, at) for _, checks, at in self.chapters[1:]] + [(self.checks, time.monotonic())]
        print(f"\n{'promise and what was shown':<{_TITLE}}{'checks':>8}{'seconds':>10}")
        for (title, checks, at), (checks_after, at_after) in zip(self.chapters, ends, strict=True):
            print(f"{title:<{_TITLE}}{checks_after - checks:>8}{at_after - at:>10.1f}")
        print(f"{'all held':<{_TITLE}}{self.checks:>8}{time.monotonic() - self.started:>10.1f}")


@dataclass
class Tenant:
    """A customer organisation in the story."""

    name: str
    id: str
    geo: str
    samples: Iterator[list[Sample]]
    enrollment_id: str = ""


def run() -> int:
    """Start a stack of its own, play the story, and return the process's exit code.

    Raises:
        ProgramMissing: if what the stack runs on is not installed; nothing is left then.
    """
    _introduce()
    # In a directory of its own, so that two demos, or one beside `make run`, never meet.
    directory = Path(tempfile.mkdtemp(prefix="data-sharing-demo-"))
    try:
        asyncio.run(_play(directory))
    except (KeyboardInterrupt, asyncio.CancelledError):
        shutil.rmtree(directory, ignore_errors=True)
        print("\nStopped. Nothing of the demo is left.", file=sys.stderr)
        return _INTERRUPTED
    except ProgramMissing:
        shutil.rmtree(directory)
        raise
    except (DemoFailed, ProcessError, ClientError) as failed:
        why = f"Not so: {failed}" if isinstance(failed, DemoFailed) else failed
        print(f"\n{why}\nLogs are in {directory / 'logs'}", file=sys.stderr)
        return 1
    shutil.rmtree(directory)
    say()
    say("What to do next:", style=Style.HEADING)
    say("keeps such a stack up. README.md has a walk through the API for it.", mark=f"{'make run':<18}", indent=2)
    say("the words, and how each promise is kept.", mark=f"{_PROMISES.relative_to(ROOT)!s:<18}", indent=2)
    say("the tests, in parallel.", mark=f"{'make test':<18}", indent=2)
    return 0


def _introduce() -> None:
    say("A month of consent-based data sharing", style=Style.HEADING)
    say(
        "Two customer organisations opt in, share what their users ask and get from AI assistants, and one opts out. "
        "The clock is moved, so a month takes a minute. Each step says what should be so, and is checked against "
        "storage itself."
    )
    say()
    say(
        "The functions and the libraries that speak to Azure are those of production. Storage is Azurite, Microsoft's "
        "emulator. Cosmos DB, the Functions host and the issuer of tokens are stand-ins of this project for "
        "development (local/): they show what the service does, and nothing about Azure."
    )
    say()
    say("P and a number is a promise of the service; D is a decision (docs/design.md):")
    for promise in _PROMISE.finditer(_PROMISES.read_text(encoding="utf-8")):
        text = ": ".join(each for each in (promise["name"], promise["text"]) if each)
        say(text, mark=f"{promise['number']:<5}", indent=2, style=Style.HEADING)
    say()


async def _play(directory: Path) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    say(f"Starting the local stack in {directory}")
    started = time.monotonic()
    async with AsyncExitStack() as exit_stack:
        stack = await exit_stack.enter_async_context(Stack(directory, report=lambda line: say(line, indent=2)))
        client = await exit_stack.enter_async_context(Client(stack))
        say(f"Up after {time.monotonic() - started:.1f} s.")
        await _Story(client, directory).play()


class _Story:
    def __init__(self, client: Client, directory: Path) -> None:
        self.client = client
        self.directory = directory
        self.timeline = Timeline(client)
        self.samples = load()
        batches = [self.samples[n : n + 4] for n in range(0, len(self.samples), 4)]
        self.adatum = Tenant("Adatum", ADATUM, EUROPE, iter(batches[0::2]))
        self.bellows = Tenant("Bellows", BELLOWS, UNITED_STATES, iter(batches[1::2]))
        self.day: date
        self.opted_out_at: datetime
        self.old_enrollment = ""
        self.deletion: dict[str, Any]
        self.export: dict[str, Any]

    async def play(self) -> None:
        await self._default_off()
        await self._opt_in()
        await self._capture()
        await self._replay()
        await self._review()
        await self._opt_out()
        await self._scheduled()
        await self._opt_in_again()
        await self._retention()
        await self._purge()
        await self._verified()
        await self._sweep()
        await self._other_tenant()
        await self._no_leaks()
        self.timeline.summary()

    def _check(self, what: str, holds: bool, found: object = "") -> None:
        self.timeline.check(what, holds, found)

    async def _default_off(self) -> None:
        # At a quiet hour, so that the story's days are whole ones whenever it is played.
        tomorrow = (await self.client.now()).date() + timedelta(days=1)
        await self._move(tomorrow, "09:00")
        self.day = tomorrow
        await self.timeline.chapter("P1", "Data sharing is off until an administrator switches it on")
        for tenant in (self.adatum, self.bellows):
            setting = await self.client.as_admin("GET", tenant.id, "data-sharing")
            self._check(f"{tenant.name} is off", setting.status == 200 and setting.body["enabled"] is False, setting)
            answer = await self._post(tenant)
            self._check(f"a capture of {tenant.name} is refused: 403 {answer.problem}", _refused(answer), answer)
        await self._check_containers("no account holds anything", {})

    async def _opt_in(self) -> None:
        await self.timeline.chapter("P11", "What an organisation agrees to")
        shown = await self.client.call("GET", "notices")
        [notice] = [each for each in shown.body["value"] if each["inForce"]]
        languages = ", ".join(each["locale"] for each in notice["texts"])
        self._check(f"the notice of {notice['version']} is in force, in {languages}", shown.status == 200, shown)
        unnamed = {"enabled": True, "geo": self.adatum.geo}
        answer = await self.client.as_admin("PUT", self.adatum.id, "data-sharing", unnamed)
        refused = (answer.status, answer.problem) == (422, "notice-required")
        self._check(
            f"who does not say to have seen it cannot opt in: {answer.status} {answer.problem}", refused, answer
        )
        await self.timeline.chapter("P3", "Two tenants opt in, each pinned to its geo")
        for tenant in (self.adatum, self.bellows):
            answer = await self.client.opt_in(tenant.id, tenant.geo)
            self._check(f"{tenant.name} shares data in {tenant.geo}", answer.status == 200, answer)
            tenant.enrollment_id = answer.body["enrollmentId"]
        await self._check_consent(notice)
        await self._check_containers("still no account holds anything", {})

    async def _check_consent(self, notice: dict[str, Any]) -> None:
        [event] = (await self.client.as_admin("GET", self.adatum.id, "data-sharing/history")).body["value"]
        sha256 = {each["locale"]: each["sha256"] for each in notice["texts"]}[event["locale"]]
        self._check(f"the ledger has the hash of the text: {sha256[:16]}...", event["noticeHash"] == sha256, event)
        path = f"enrollments/{self.adatum.enrollment_id}/consent-receipt"
        receipt, text, keys = (self.directory / name for name in ("consent.json", "notice.md", "published-keys.json"))
        receipt.write_text(json.dumps((await self.client.as_admin("GET", self.adatum.id, path)).body))
        keys.write_text(json.dumps((await self.client.call("GET", "receipt-keys")).body))
        text.write_bytes(NOTICES.published[-1].text(event["locale"]))
        signed = read_receipt(receipt, read_keys(keys)).beside_notice(text)
        self._check("anyone can check the consent receipt offline, with the text", len(signed.compared) == 2, signed)
        text.write_bytes(text.read_bytes() + b"\n")
        try:
            forged = signed.beside_notice(text)
        except ReceiptError:
            self._check("with one byte more it is another text", True)
        else:
            self._check("with one byte more it is another text", False, forged)

    async def _capture(self) -> None:
        await self.timeline.chapter("P3", f"Copilot services post captures for {_DAYS} days")
        sent: dict[str, list[str]] = {tenant.name: [] for tenant in (self.adatum, self.bellows)}
        for n in range(_DAYS):
            await self._move(self._day(n), "10:00")
            for tenant in (self.adatum, self.bellows):
                batch = next(tenant.samples)
                way, answer = await self._share(tenant, batch, n)
                told = answer.status == 201 and answer.body["accepted"] == len(batch)
                self._check(
                    f"{self._day(n)}: {len(batch)} captures of {tenant.name} ({_languages(batch)}) {way}",
                    told or (answer.status, answer.body) == (200, {}),
                    answer,
                )
                sent[tenant.name] += [sample.input for sample in batch]
        for tenant in (self.adatum, self.bellows):
            stored = await self.client.batches(tenant.geo, tenant.enrollment_id)
            texts = [_asked(line) for lines in stored.values() for line in lines]
            self._check(
                f"what is stored of {tenant.name} in {tenant.geo} is what was sent: {len(texts)} captures",
                sorted(texts) == sorted(sent[tenant.name]),
            )
            everything = json.dumps(list(stored.values()))
            ids = [sample.user_id for sample in self.samples if sample.user_id]
            self._check(
                f"in it none of {len(ids)} ids of users: they are pseudonyms",
                not any(each in everything for each in ids),
            )
        await self._check_days("each day has a container in its tenant's geo, and nothing lies elsewhere", range(_DAYS))

    async def _replay(self) -> None:
        await self.timeline.chapter("D6", "A lost answer: the service sends the same batch again")
        tenant, batch, key = self.adatum, next(self.adatum.samples), "batch-0815"
        captures = await self._captures(batch)
        first = await self.client.post(tenant.id, captures, key=key)
        before = await self.client.batches(tenant.geo, tenant.enrollment_id)
        again = await self.client.post(tenant.id, captures, key=key)
        self._check("201, then 200 with the same answer", (first.status, again.status) == (201, 200), again)
        self._check("the same batch id", first.body == again.body, again.body)
        after = await self.client.batches(tenant.geo, tenant.enrollment_id)
        self._check("it is stored once", before == after and len(after) == _DAYS + 1, len(after))
        other = await self.client.post(tenant.id, captures[:1], key=key)
        self._check(
            f"the same key with another body: {other.status} {other.problem}",
            other.problem == "idempotency-key-reused",
            other,
        )

    async def _review(self) -> None:
        await self.timeline.chapter("P7", "A reviewer reads: elevated, for a purpose, on the record")
        tenant, day = self.adatum, self._day(0)
        batch_id = next(iter(await self.client.batches(EUROPE, tenant.enrollment_id))).partition("/")[2]
        path = f"captures/{day}/{batch_id}"
        asked = {"purpose": "improve", "justification": "Formulas are refused too often.", "durationMinutes": 60}

        async def as_reviewer(method: str, path: str, body: Any = None) -> Answer:
            return await self.client.as_person(Role.REVIEWER, method, tenant.id, path, body)

        async def check_refused(what: str, answer: Answer, problem: str) -> None:
            self._check(f"{what}: {answer.status} {answer.problem}", answer.problem == problem, answer)

        await check_refused("without a grant", await as_reviewer("GET", path), "grant-required")
        training = await as_reviewer("POST", "review-grants", {**asked, "purpose": "train-foundation-model"})
        await check_refused("to train a foundation model", training, "purpose-refused")
        grant = (await as_reviewer("POST", "review-grants", asked)).body
        self._check(f"a grant to improve the product is asked for: {grant['status']}", grant["status"] == "pending")
        await check_refused("not yet approved", await as_reviewer("GET", path), "grant-required")
        approve = f"review-grants/{grant['grantId']}/approve"
        await check_refused("a reviewer cannot approve", await as_reviewer("POST", approve), "forbidden")
        approved = await self.client.as_person(Role.APPROVER, "POST", tenant.id, approve)
        self._check(f"another person approves it, until {approved.body['expiresAt'][11:16]}", approved.status == 200)
        days = [each["day"] for each in (await as_reviewer("GET", "captures")).body["value"]]
        self._check(f"the days there are: {', '.join(days)}", days == [str(self._day(n)) for n in range(_DAYS)], days)
        stored = (await self.client.batches(EUROPE, tenant.enrollment_id)).items()
        expected = next(captures for name, captures in stored if name.endswith(batch_id))
        read = await as_reviewer("GET", path)
        self._check(f"a batch is read as it is stored: {len(read.body)} captures", read.body == expected)
        self._check("and never to be cached", read.headers["cache-control"] == "no-store", read.headers)
        log = (await self.client.as_admin("GET", tenant.id, "access-log")).body["value"]
        for each in reversed(log):
            what = " ".join(str(each[name]) for name in ("action", "purpose", "day", "batchId") if name in each)
            say(what, mark=f"{each['sequence']}  {each['actor'][:8]}  ", indent=6)
        seen = ["read", "listed", "approved", "requested", "purposeRefused"]
        self._check("the tenant sees all of it", [each["action"] for each in log] == seen, log)
        await self._make_something(tenant, as_reviewer)
        await self.client.move_to(await self.client.now() + timedelta(minutes=61))
        await check_refused("an hour later", await as_reviewer("GET", path), "grant-required")

    async def _make_something(self, tenant: Tenant, as_reviewer: Callable[..., Awaitable[Answer]]) -> None:
        await self.timeline.chapter("P12", "What a reviewer makes of captures lies beside them")
        found = (await as_reviewer("POST", "captures/find", {"language": "de", "limit": 200})).body["value"]
        languages = {each["language"] for each in found}
        self._check(f"{len(found)} captures in German are found", bool(found) and languages == {"de"}, languages)
        one = found[0]
        label = {"verdict": "incorrect", "tags": ["wrong-table"]}
        said = await as_reviewer("PUT", f"captures/{one['day']}/{one['batchId']}/{one['line']}/label", label)
        self._check("one of them is labelled", said.status == 200, said)
        export = (await as_reviewer("POST", "exports", {"language": "de"})).body
        self._check(f"an export of them is made: {export['bytes']} bytes", export["captures"] == len(found), export)
        file = await as_reviewer("GET", f"exports/{export['exportId']}/content")
        self._check("downloaded, its hash is right", hashlib.sha256(file.body).hexdigest() == export["sha256"])
        lines = [json.loads(line) for line in gzip.decompress(file.body).splitlines()]
        verdicts = [each["verdict"] for line in lines for each in line["labels"]]
        self._check(
            "it has the captures and the label", (len(lines), verdicts) == (len(found), ["incorrect"]), verdicts
        )
        made = await self.client.beside(tenant.enrollment_id)
        self._check("label and export lie beside the captures, nowhere else", len(made) == 2, made)
        say(f"the file goes with the oldest day that it holds, by {export['expiresAt'][:10]}", indent=6)
        self.export = export

    async def _opt_out(self) -> None:
        await self.timeline.chapter("P2", f"{self.adatum.name} opts out: withdrawal is immediate")
        captures = await self._captures(next(self.adatum.samples))
        before = await self.client.all_containers()
        answer = await self.client.opt_out(self.adatum.id)
        self.opted_out_at = datetime.fromisoformat(answer.body["since"])
        self.old_enrollment = self.adatum.enrollment_id
        self._check("answered when no instance relies on an older consent any more", answer.status == 200, answer)
        refused = await self.client.post(self.adatum.id, captures)
        self._check(f"the next capture is refused: {refused.status} {refused.problem}", _refused(refused), refused)
        after = await self.client.all_containers()
        self._check("storage has not changed", before == after, after)

    async def _scheduled(self) -> None:
        await self.timeline.chapter("P5", "The change feed has scheduled the deletion")
        self.deletion = await self._deletion()
        expected = format_instant(self.opted_out_at + timedelta(days=30))
        self._check(f"deadline {self.deletion['deadline']}: 30 days", self.deletion["deadline"] == expected, expected)
        begins = format_instant(self.opted_out_at + timedelta(days=28))
        self._check(f"it begins {begins}: two days before", self.deletion["notBefore"] == begins, self.deletion)
        self._check("one deletion, status scheduled", self.deletion["status"] == "scheduled", self.deletion)

    async def _opt_in_again(self) -> None:
        await self.timeline.chapter("P5", f"{self.adatum.name} opts in again meanwhile")
        answer = await self.client.opt_in(self.adatum.id, EUROPE)
        self.adatum.enrollment_id = answer.body["enrollmentId"]
        self._check("a new enrollment", self.adatum.enrollment_id != self.old_enrollment, answer)
        now = await self._deletion()
        self._check("the old one's deletion is untouched", now == self.deletion, now)

    async def _retention(self) -> None:
        await self.timeline.chapter("P4", "Retention removes day after day")
        for n in range(2):
            due = self._day(n + 29)
            await self._move(due, "17:59")
            await self._purge_now()
            await self._check_days(f"{due} 17:59: {self._day(n)} is still there", range(n, _DAYS))
            await self._move(due, "18:00")
            await self._purge_now()
            await self._check_days(f"{due} 18:00: {self._day(n)} is gone", range(n + 1, _DAYS))
        for tenant in (self.adatum, self.bellows):
            answer = await self._post(tenant, next(tenant.samples))
            self._check(f"{tenant.name} goes on sharing: a new capture", answer.status == 201, answer)

    async def _purge(self) -> None:
        begins = self.opted_out_at + timedelta(days=28)
        await self.client.move_to(begins - timedelta(minutes=1))
        await self.timeline.chapter("P5", f"The purge of {self.adatum.name}'s old enrollment")
        await self._purge_now()
        before = await self._of(self.old_enrollment)
        self._check(f"a minute before it begins: {len(before)} containers left", len(before) == 2, before)
        others = [name for name in await self._everything() if name not in before]
        await self.client.move_to(begins)
        await self._purge_now()
        left = await self._of(self.old_enrollment)
        self._check("when it begins: no container of it in any account", left == [], left)
        made = await self.client.beside(self.old_enrollment)
        self._check("and with them what the reviewer has made of the captures", made == [], made)
        now = await self._everything()
        self._check(f"the {len(others)} other containers are all there", now == others, now)
        deletion = await self._deletion()
        self._check("status purged: emptied, not yet proved", deletion["status"] == "purged", deletion)

    async def _verified(self) -> None:
        await self.client.move_to(await self.client.now() + timedelta(minutes=5))
        await self.timeline.chapter("P6", "Five minutes later storage is read again")
        await self._purge_now()
        deletion = await self._deletion()
        self._check("status verified", deletion["status"] == "verified", deletion)
        receipt = deletion["receipt"]
        self._check("with the same deadline, and in time", deletion["deadline"] == self.deletion["deadline"])
        for name, value in receipt.items():
            shown = f"{value[:40]}..." if name == "jws" else str(value)
            say(shown, mark=f"{name:<18} ", indent=6)
        days = (receipt["firstDay"], receipt["lastDay"])
        downloads = receipt["downloads"]
        told = (downloads["records"], downloads["sha256"])
        self._check("it tells of the one download", told == (1, [self.export["sha256"]]), downloads)
        self._check("the receipt covers its days", days == (str(self._day(0)), str(self._day(_DAYS - 1))), days)
        await self._check_signature(deletion)
        await self._purge_now()
        self._check("a further purge changes nothing", await self._deletion() == deletion)

    async def _check_signature(self, deletion: dict[str, Any]) -> None:
        keys = self.directory / "published-keys.json"
        keys.write_text(json.dumps((await self.client.call("GET", "receipt-keys")).body))
        file = self.directory / "deletion.json"
        file.write_text(json.dumps(deletion))
        signed = read_receipt(file, read_keys(keys))
        self._check("anyone can check it offline: its signature is good", bool(signed.compared), signed)
        file.write_text(json.dumps({**deletion, "deadline": format_instant(await self.client.now())}))
        try:
            forged = read_receipt(file, read_keys(keys))
        except ReceiptError as error:
            self._check(f"with another deadline it is not: {error}", True)
        else:
            self._check("with another deadline it is not", False, forged)

    async def _sweep(self) -> None:
        await self.timeline.chapter("P9", "The sweep compares storage with the ledger")
        await self._run("sweep")
        before = (await self._status())["findings"]
        left = await self.client.all_containers()
        day = self._day(_DAYS - 1)
        wrong_geo = DayContainer(self.bellows.enrollment_id, day).name
        restored = DayContainer(self.old_enrollment, day).name
        foreign = "somebody-elses"
        for name in (wrong_geo, restored, foreign):
            await self.client.create_container(EUROPE, name)
        await self._run("sweep")
        now = await self.client.all_containers()
        self._check("what was put into another geo's account is deleted", wrong_geo not in now[EUROPE], now)
        self._check("what came back after its receipt is deleted", restored not in now[EUROPE], now)
        kept = {**left, EUROPE: sorted([*left[EUROPE], foreign])}
        self._check("what is not ours, and all else, is left alone", now == kept, now)
        status = await self._status()
        found = {kind: count - before.get(kind, 0) for kind, count in status["findings"].items()}
        expected = {"wrongAccount": 1, "afterReceipt": 1, "foreignContainers": 1}
        self._check("each is counted as what it is", expected.items() <= found.items(), found)
        broken = sorted(promise for promise, holds in status["promises"].items() if not holds)
        self._check(
            f"the operator's status says which promises were broken: {', '.join(broken)}", broken == ["P3", "P5", "P6"]
        )
        deletion = await self._deletion()
        again = (
            deletion["status"],
            (await self.client.as_admin("GET", ADATUM, "data-sharing/history")).body["value"][0]["kind"],
        )
        self._check(
            "the ledger says when the data was there again, and the deletion begins anew",
            again == ("scheduled", "reappeared"),
            again,
        )
        await self._purge_now()
        await self.client.move_to(await self.client.now() + timedelta(minutes=5))
        await self._purge_now()
        deletion = await self._deletion()
        told = deletion["status"] == "verified" and len(deletion["receipt"]["reappeared"]) == 1
        self._check("looked at twice more, it has another receipt, which tells", told, deletion)
        await self._run("sweep")

    async def _other_tenant(self) -> None:
        await self.timeline.chapter("P5", f"{self.bellows.name} never opted out")
        days = sorted(name[2:10] for name in await self.client.containers(UNITED_STATES))
        kept = [f"{self._day(n):%Y%m%d}" for n in (2, 3, 30)]
        self._check(f"its live days are all there: {', '.join(days)}", days == kept, days)
        setting = await self.client.as_admin("GET", BELLOWS, "data-sharing")
        self._check("and it still shares data", setting.body["enabled"] is True, setting)
        status = await self._status()
        self._check("the operator's status says that every promise holds", status["holds"] is True, status)

    async def _no_leaks(self) -> None:
        await self.timeline.chapter("P8", "Nothing that a user or an assistant said is anywhere else")
        logs = sorted((self.directory / "logs").glob("*.log"))
        for file in [*logs, *sorted(self.directory.glob("cosmos.sqlite*"))]:
            content = file.read_bytes()
            said = [each for each in self.samples if _traces(each) and any(text in content for text in _traces(each))]
            self._check(f"{file.name}: none of {len(self.samples)} samples ({len(content):,} bytes)", not said)

    # What the chapters have in common

    def _day(self, n: int) -> date:
        return self.day + timedelta(days=n)

    async def _move(self, day: date, at: str) -> None:
        await self.client.move_to(datetime.fromisoformat(f"{day}T{at}:00+00:00"))

    async def _captures(self, batch: Sequence[Sample]) -> list[dict[str, Any]]:
        now = format_instant(await self.client.now())
        return [sample.capture(now) for sample in batch]

    async def _share(self, tenant: Tenant, batch: Sequence[Sample], n: int) -> tuple[str, Answer]:
        """Share a batch in one of the three ways that there are, and say in which."""
        now = await self.client.now()
        spans = [sample.span(now, place + 1, tenant.id) for place, sample in enumerate(batch)]
        match n % 3:
            case 0:
                return "by POST captures", await self._post(tenant, batch)
            case 1:
                return "as OpenTelemetry's spans", await self.client.export(spans)
            case _:
                return "as an agent's spans", await self.client.export_as_agent(tenant.id, spans)

    async def _post(self, tenant: Tenant, batch: Sequence[Sample] | None = None) -> Answer:
        return await self.client.post(tenant.id, await self._captures(batch or self.samples[:1]))

    async def _deletion(self) -> dict[str, Any]:
        """Return the deletion of the old enrollment, once the change feed has scheduled it."""
        for _ in range(100):
            answer = await self.client.as_admin("GET", ADATUM, f"deletions/{self.old_enrollment}")
            if answer.status == 200:
                return dict(answer.body)
            await asyncio.sleep(0.1)
        raise DemoFailed("the change feed has not scheduled the deletion within 10 seconds")

    async def _purge_now(self) -> None:
        await self._run("purge")

    async def _run(self, timer: str) -> None:
        outcome = await self.client.run(timer)
        if outcome != "completed":
            raise DemoFailed(f"the {timer} {outcome}")

    async def _status(self) -> dict[str, Any]:
        answer = await self.client.status()
        if "holds" not in answer:
            raise DemoFailed(f"the status cannot be read: {answer}")
        return dict(answer)

    async def _everything(self) -> list[str]:
        return sorted(name for names in (await self.client.all_containers()).values() for name in names)

    async def _of(self, enrollment_id: str) -> list[str]:
        return [name for name in await self._everything() if name.endswith(enrollment_id)]

    async def _check_days(self, what: str, days: Sequence[int]) -> None:
        expected = {
            geo: {f"{enrollment_id[0]}-{self._day(n):%Y%m%d}-{enrollment_id}" for n in days}
            for geo, enrollment_id in (
                (EUROPE, self.old_enrollment or self.adatum.enrollment_id),
                (UNITED_STATES, self.bellows.enrollment_id),
            )
        }
        await self._check_containers(what, expected)

    async def _check_containers(self, what: str, expected: dict[str, set[str]]) -> None:
        found = {geo: set(names) for geo, names in (await self.client.all_containers()).items() if names}
        self._check(what, found == expected, found)


def _refused(answer: Answer) -> bool:
    return answer.status == 403 and answer.problem == "data-sharing-off"


def _asked(capture: dict[str, Any]) -> str:
    """Return what the user wrote, of a capture however it came."""
    return str(capture["input"] if "input" in capture else capture["inputMessages"][0]["parts"][0]["content"])


def _languages(batch: Sequence[Sample]) -> str:
    return ", ".join(sorted({sample.language for sample in batch}))


def _traces(sample: Sample) -> list[bytes]:
    """Return what of a sample would be found where it leaked: whole lines, plain and as JSON escapes them."""
    lines = [line for text in (sample.input, sample.output) for line in text.splitlines() if len(line) > 12]
    return [form for line in lines for form in (line.encode(), json.dumps(line)[1:-1].encode())]
