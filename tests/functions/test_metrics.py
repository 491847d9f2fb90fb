"""The timer that says whether the promises hold, with the real exporter against a server of the test's own."""

import asyncio
import gzip
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from functions import metrics as timer
from local.ports import free_ports
from shared import bootstrap
from shared.model.metrics import METRICS
from shared.ports import StoreUnavailable
from tests.functions import FUNCTIONS
from tests.world import TENANT, World

metrics = FUNCTIONS["metrics"].get_user_function()
KEY = "00000000-0000-4000-8000-000000000001"
ROOT = Path(__file__).parents[2]


@dataclass
class Ingestion:
    """What a server that takes telemetry was sent."""

    port: int
    answer: Callable[[int], web.Response]
    bodies: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def envelopes(self) -> list[Any]:
        return [each for body in self.bodies for each in json.loads(body)]

    @property
    def connection_string(self) -> str:
        return f"InstrumentationKey={KEY};IngestionEndpoint=http://127.0.0.1:{self.port}/"


def accepted(count: int) -> web.Response:
    return web.json_response({"itemsReceived": count, "itemsAccepted": count, "errors": []})


@pytest_asyncio.fixture
async def ingestion() -> AsyncIterator[Ingestion]:
    received = Ingestion(0, accepted)

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        received.bodies.append(body)
        received.paths.append(request.path)
        received.headers.append(dict(request.headers))
        return received.answer(len(json.loads(body)))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    received.port = runner.addresses[0][1]
    yield received
    await runner.cleanup()


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A process that has sent nothing yet, and whose exporter was not told to keep to itself."""
    monkeypatch.setattr(bootstrap._Process, "monitor", None)
    monkeypatch.delenv("APPLICATIONINSIGHTS_CONNECTION_STRING", raising=False)
    monkeypatch.delenv("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("STATSBEAT_DISABLED_ALL", "SDKSTATS_DISABLED", "CONTROLPLANE_DISABLED"):
        monkeypatch.setenv(f"APPLICATIONINSIGHTS_{name}", "false")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(bootstrap._Process, "services", world.services(None))
    return world


async def well(world: World) -> None:
    await world.opt_in()
    await world.post("Frau Schneider asks")
    await world.purge.run()
    await world.sweep.run()


def files_in(directory: Path) -> list[str]:
    return [each.name for each in directory.iterdir()]


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= level and each.name == timer.__name__]


async def test_one_line_says_that_the_promises_hold(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await well(world)
    with caplog.at_level(logging.INFO):
        await metrics(None)
    (line,) = lines(caplog, logging.INFO)
    assert "the promises hold" in line and '"operation": "metrics"' in line
    assert lines(caplog, logging.ERROR) == []


async def test_one_error_names_the_promises_that_do_not_hold(world: World, caplog: pytest.LogCaptureFixture) -> None:
    await well(world)
    world.stores["unitedstates"].receive_container(next(iter(world.containers())))
    await world.sweep.run()
    await metrics(None)
    (line,) = lines(caplog, logging.INFO)
    assert json.loads(line)["level"] == "ERROR"
    assert json.loads(line)["promises"] == "P3"


@pytest.mark.parametrize(
    ("error", "said"),
    [(StoreUnavailable("cosmos-503"), "cosmos-503"), (ValueError("Frau Schneider"), "ValueError at ")],
)
async def test_a_status_that_cannot_be_read_is_said_sent_and_not_raised(
    world: World, ingestion: Ingestion, error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    await well(world)
    monkeypatch.setenv("APPLICATIONINSIGHTS_CONNECTION_STRING", ingestion.connection_string)
    await metrics(None)
    sent = len(ingestion.envelopes)

    async def fail(*args: object) -> None:
        raise error

    world.operations.read_all = fail
    caplog.clear()
    await metrics(None)
    (line,) = lines(caplog, logging.ERROR)
    assert "the status cannot be read" in line and said in line and "Schneider" not in line
    (envelope,) = ingestion.envelopes[sent:]
    (point,) = envelope["data"]["baseData"]["metrics"]
    assert (point["name"], point["value"]) == ("data_sharing.status.readable", 0)


async def test_a_service_that_is_not_configured_says_which_setting_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bootstrap._Process, "services", None)
    monkeypatch.delenv("COSMOS_CONNECTION", raising=False)
    monkeypatch.delenv("COSMOS_CONNECTION__accountEndpoint", raising=False)
    await metrics(None)
    (line,) = lines(caplog, logging.ERROR)
    assert " is missing" in line


async def test_our_metrics_are_sent_and_nothing_else(
    world: World, ingestion: Ingestion, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    await well(world)
    event = await world.opt_out()
    await world.feed()
    monkeypatch.setenv("APPLICATIONINSIGHTS_CONNECTION_STRING", ingestion.connection_string)
    await metrics(None)
    assert {each["name"] for each in ingestion.envelopes} == {"Microsoft.ApplicationInsights.Metric"}
    points = [point for each in ingestion.envelopes for point in each["data"]["baseData"]["metrics"]]
    assert {point["name"] for point in points} == {metric.name for metric in METRICS}
    attributes = {name for each in ingestion.envelopes for name in each["data"]["baseData"].get("properties", {})}
    assert attributes == {"promise", "geo", "account", "job", "kind"}
    sent = b"".join(ingestion.bodies)
    for never in (TENANT, event.enrollment_id, "Schneider", "http:", "https:", "/api/"):
        assert never.encode() not in sent
    assert files_in(tmp_path) == [], "nothing is kept on disk"
    assert {path.rpartition("/")[2] for path in ingestion.paths} == {"track"}


SENDS = """
import asyncio, socket, threading
hosts, look_up = set(), socket.getaddrinfo
def noting(host, *args, **options):
    hosts.add(host)
    return look_up(host, *args, **options)
socket.getaddrinfo = noting
from functions import metrics
asyncio.run(metrics._send(metrics.unreadable()))
from azure.monitor.opentelemetry.exporter.statsbeat._state import is_statsbeat_enabled  # begins for known regions only
print(sorted(hosts), [each.name for each in threading.enumerate()], is_statsbeat_enabled())
"""


async def test_the_exporter_talks_to_nobody_else_and_nothing_goes_on_after_a_run(ingestion: Ingestion) -> None:
    environment = {"APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SENDS, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    assert told.decode().strip() == "['127.0.0.1'] ['MainThread'] False"
    assert len(ingestion.envelopes) == 1


async def test_one_provider_serves_all_runs_of_a_process(
    world: World, ingestion: Ingestion, monkeypatch: pytest.MonkeyPatch
) -> None:
    await well(world)
    monkeypatch.setenv("APPLICATIONINSIGHTS_CONNECTION_STRING", ingestion.connection_string)
    await metrics(None)
    monitor, once = bootstrap._Process.monitor, len(ingestion.envelopes)
    await metrics(None)
    assert bootstrap._Process.monitor is monitor
    assert len(ingestion.envelopes) == 2 * once


def refused(status: int) -> Callable[[int], web.Response]:
    return lambda count: web.Response(status=status, text="no")


@pytest.mark.parametrize("answer", [refused(status) for status in (200, 400, 401, 403, 439)], ids=range(5))
async def test_a_server_that_refuses_fails_nothing_and_the_next_run_sends_again(
    world: World, ingestion: Ingestion, answer: Callable[[int], web.Response], monkeypatch: pytest.MonkeyPatch
) -> None:
    await well(world)
    monkeypatch.setenv("APPLICATIONINSIGHTS_CONNECTION_STRING", ingestion.connection_string)
    ingestion.answer = answer
    await metrics(None)
    before = len(ingestion.envelopes)
    assert before > 0
    ingestion.answer = accepted
    await metrics(None)
    assert len(ingestion.envelopes) > before


async def test_a_server_that_cannot_be_reached_fails_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    await well(world)
    string = f"InstrumentationKey={KEY};IngestionEndpoint=http://127.0.0.1:{free_ports(1)[0]}/"
    monkeypatch.setenv("APPLICATIONINSIGHTS_CONNECTION_STRING", string)
    with caplog.at_level(logging.INFO):
        await metrics(None)
    assert "the promises hold" in lines(caplog, logging.INFO)[0]
    assert any(each.levelno >= logging.WARNING and each.name.startswith("azure.monitor") for each in caplog.records)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("string", ["secret", "InstrumentationKey=secret", "a=b=c;secret", ";"])
async def test_a_connection_string_that_is_none_is_said_without_its_value(
    world: World, string: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await well(world)
    monkeypatch.setenv("APPLICATIONINSIGHTS_CONNECTION_STRING", string)
    await metrics(None)
    (line,) = lines(caplog, logging.ERROR)
    assert "the metrics cannot be sent" in line and "secret" not in line
    assert bootstrap._Process.monitor is None


async def test_with_an_identity_nothing_goes_out_without_its_token(
    world: World, ingestion: Ingestion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token may only travel over https: here the exporter must rather send nothing than send without one."""
    await well(world)
    monkeypatch.setenv("APPLICATIONINSIGHTS_CONNECTION_STRING", ingestion.connection_string)
    monkeypatch.setenv("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", f"Authorization=AAD;ClientId={KEY}")
    await metrics(None)
    assert ingestion.bodies == []


LOADS = """
import asyncio, sys
import function_app
from functions import metrics
asyncio.run(metrics._send(metrics.unreadable()))
loaded = sorted(name for name in sys.modules if name.startswith(("azure.monitor", "opentelemetry.sdk")))
print(loaded)
"""


def test_no_function_waits_for_the_exporters_imports() -> None:
    ran = subprocess.run([sys.executable, "-c", LOADS], cwd=ROOT, env={}, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
