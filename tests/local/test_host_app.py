"""Loading, indexing and refusals."""

import subprocess
import sys
from pathlib import Path

import pytest

from local.host.app import RefusedError
from local.ports import free_ports
from tests.local.host_app import COSMOS, ROOT, feed, http, indexed, running, write_app

TIMER = """
@app.timer_trigger(arg_name="timer", schedule="{}")
def tick(timer: func.TimerRequest) -> None: ...
"""
REFUSED = {
    "no functions": ("", "no functions"),
    "duplicate names": (http("a", "x") + http("a", "y"), "unique"),
    "duplicate names in other case": (http("a", "x") + http("A", "y"), "have one name"),
    "one route, overlapping methods": (http("a", "X/{i}", ["GET"]) + http("b", "/x/{i}/", ["PUT", "GET"]), "one route"),
    "one route, no methods declared": (http("a", "x", ["GET"]) + http("b", "x"), "one route"),
    "admin route": (http("a", "admin/x"), "built in"),
    "runtime route": (http("a", "Runtimes"), "built in"),
    "optional parameter": (http("a", "x/{id?}"), "local host matches"),
    "catch-all before the end": (http("a", "x/{*rest}/y"), "local host matches"),
    "one route with a catch-all": (http("a", "x/{*Rest}", ["GET"]) + http("b", "X/{*rest}", ["GET"]), "one route"),
    "unknown constraint": (http("a", "x/{id:regex(a)}"), "local host matches"),
    "auth level": (http("a", "x").replace("methods", "auth_level='FUNCTION', methods"), "auth level 'function'"),
    "unresolvable setting": (TIMER.format("%SCHEDULE%"), "%SCHEDULE%"),
    "bad schedule": (TIMER.format("@daily"), "NCRONTAB"),
    "schedule out of range": (TIMER.format("0 99 * * * *"), "99"),
    "unknown trigger": (
        "@app.queue_trigger(arg_name='m', queue_name='q', connection='C')\ndef a(m: func.QueueMessage) -> None: ...",
        "queueTrigger",
    ),
    "other binding": (
        "@app.route(route='x')\n@app.queue_output(arg_name='o', queue_name='q', connection='C')\n"
        "def a(req: func.HttpRequest, o: func.Out[str]) -> str: ...",
        "'queue' binding",
    ),
    "parameter without a binding": (http("a", "x").replace("req:", "request:"), "takes ['request']"),
    "parameter of another type": (http("a", "x").replace("func.HttpRequest", "dict"), "cannot be"),
    "no trigger": ("@app.function_name('a')\ndef a() -> None: ...", "does not have a trigger"),
    "retry without an interval": (
        "@app.retry(strategy='fixed_delay', max_retry_count='3')" + TIMER.format("0 0 * * * *"),
        "hh:mm:ss",
    ),
    "one lease for two feeds": (feed("a") + feed("b"), "lease_container_prefix"),
    "two apps": ("other = func.FunctionApp()\n" + http("a", "x"), "2 function apps"),
    "import error": ("import nowhere_to_be_found", "nowhere_to_be_found"),
}


@pytest.mark.parametrize(("body", "reason"), REFUSED.values(), ids=REFUSED)
def test_an_app_that_the_platform_refuses_is_refused(tmp_path: Path, body: str, reason: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        indexed(write_app(tmp_path, body), COSMOS)
    assert reason in str(refusal.value)


def test_two_feeds_with_two_prefixes_or_two_methods_on_a_route_are_fine(tmp_path: Path) -> None:
    body = feed("a", lease_container_prefix="a") + feed("b", lease_container_prefix="b")
    body += http("c", "x", ["GET"]) + http("d", "x", ["PUT"])
    _, functions = indexed(write_app(tmp_path, body), COSMOS)
    assert [function.name for function in functions] == ["a", "b", "c", "d"]


def test_a_feed_needs_a_connection_string_and_says_so_without_its_value(tmp_path: Path) -> None:
    file = write_app(tmp_path, feed("a"))
    with pytest.raises(RefusedError, match="needs a connection string in COSMOS"):
        indexed(file, {"COSMOS__accountEndpoint": "https://secret.example"})
    with pytest.raises(RefusedError, match="must hold a Cosmos DB connection string") as refusal:
        indexed(file, {"COSMOS": "AccountEndpoint=secret"})
    assert "secret" not in str(refusal.value)


def test_settings_in_percent_signs_are_resolved(tmp_path: Path) -> None:
    file = write_app(tmp_path, feed("a", lease_container_prefix="%PREFIX%-") + TIMER.format("%WHEN%"))
    _, functions = indexed(file, COSMOS | {"PREFIX": "p", "WHEN": "0 0 1 * * *"})
    assert functions[0].trigger.lease_id == "p-d_c..0"  # type: ignore[union-attr]
    assert functions[1].trigger.schedule == "0 0 1 * * *"  # type: ignore[union-attr]


@pytest.mark.stack
@pytest.mark.parametrize(("body", "reason"), [("", "the app has no functions"), (None, "no function app at")])
def test_the_process_says_in_one_line_why_it_refuses(tmp_path: Path, body: str | None, reason: str) -> None:
    file = tmp_path / "missing.py" if body is None else write_app(tmp_path, body)
    command = [
        sys.executable,
        "-m",
        "local.host",
        "--port",
        "1",
        "--directory",
        str(tmp_path / "s"),
        "--app",
        str(file),
    ]
    run = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (run.returncode, "Traceback" in run.stderr) == (1, False)
    assert f"local host: refused to start: {reason}" in run.stderr


@pytest.mark.stack
def test_the_process_runs_and_ends_with_its_standard_input(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    file = write_app(tmp_path, http("a", "x"))
    command = [sys.executable, "-m", "local.host", "--port", str(port), "--directory", str(tmp_path / "s")]
    with subprocess.Popen(
        [*command, "--app", str(file), "--exit-with-stdin"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        for line in process.stderr:
            if f"1 functions on port {port}" in line:
                break
        process.stdin.close()
        assert process.wait(120) == 0


async def test_the_route_prefix_comes_from_host_json(tmp_path: Path) -> None:
    file = write_app(tmp_path, http("a", "x", ["GET"]))
    (tmp_path / "host.json").write_text('{"version": "2.0", "extensions": {"http": {"routePrefix": "v1/app"}}}')
    async with running(file, tmp_path / "state") as host:
        assert (await host.client.get("/v1/app/x")).status == 200
        assert (await host.client.get("/api/x")).status == 404
