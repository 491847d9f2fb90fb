"""``python -m local``: what a developer types, and what is left when it ends."""

import asyncio
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from azure.storage.blob.aio import BlobServiceClient
from joserfc import jwt

from local import __main__ as command
from local import azurite
from local.__main__ import main
from local.issuer import load_key
from local.ports import free_ports
from local.process import ROOT
from local.stack import CosmosAccount, Description
from local.tokens import SAMPLE_TENANT_ID

TENANT = "00000000-1111-2222-3333-444444444444"


needs_proc = pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds the child in /proc")


class Up:
    """``python -m local up --without-host`` as a child process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    async def __aenter__(self) -> "Up":
        self.child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "local", "up", "--without-host"),
            cwd=ROOT,
            env=os.environ | {"LOCAL_DIR": str(self.directory)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert self.child.stdout
        self.said = ""
        async with asyncio.timeout(300):
            while "  token " not in self.said:
                line = (await self.child.stdout.readline()).decode()
                assert line, self.said
                self.said += line
        self.description: dict[str, Any] = json.loads((self.directory / "stack.json").read_text())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.child.returncode is None:
            self.child.kill()
            await self.child.communicate()

    async def ended(self) -> tuple[int | None, str]:
        async with asyncio.timeout(120):
            said, _ = await self.child.communicate()
        return self.child.returncode, said.decode()

    def urls(self) -> Iterator[str]:
        yield self.description["issuer"]
        yield self.description["cosmos"]["endpoint"]
        for connection_string in self.description["storage"].values():
            yield connection_string.partition("BlobEndpoint=")[2]

    def anything_left(self) -> bool:
        """Tell whether a process still serves, or still holds the lock that every child inherits."""
        for url in self.urls():
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0:
                    return True
        return self.directory_is_taken()

    def directory_is_taken(self) -> bool:
        with (self.directory / "lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    async def until_gone(self) -> None:
        for _ in range(600):
            if not self.anything_left():
                return
            await asyncio.sleep(0.1)
        raise AssertionError("a child outlives its supervisor")

    def europe(self) -> BlobServiceClient:
        return BlobServiceClient.from_connection_string(self.description["storage"]["europe"])


def test_it_says_where_the_portal_is_or_that_it_was_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "ROOT", tmp_path)
    described = Description("http://127.0.0.1:1/api", "http://127.0.0.1:1", {}, CosmosAccount("", ""), "")
    stack: Any = SimpleNamespace(description=described, directory=tmp_path, processes={})
    assert "\n  portal   not built: run make setup," in command._where(stack)
    (tmp_path / "portal/dist").mkdir(parents=True)
    (tmp_path / "portal/dist/index.html").touch()
    assert "\n  portal   http://127.0.0.1:1/api/portal/\n" in command._where(stack)


@pytest.mark.stack
async def test_nothing_is_left_by_a_supervisor_that_was_stopped_nor_by_one_that_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One story, because each start costs seconds of CPU; the data survives all of it."""
    monkeypatch.setenv("LOCAL_DIR", str(tmp_path))
    async with Up(tmp_path) as up:
        assert "func start" in up.said
        settings = json.loads((tmp_path / "local.settings.json").read_text())
        accounts = json.loads(settings["Values"]["STORAGE_ACCOUNTS"])
        first, second = accounts.pop("unitedstates")
        assert accounts | {"unitedstates": first, "unitedstates/2": second} == up.description["storage"]
        assert (tmp_path / "local.settings.json").stat().st_mode & 0o777 == 0o600
        assert await asyncio.to_thread(main, ["token", "--role", "operator"]) == 0
        claims = jwt.decode(capsys.readouterr().out.strip(), load_key(tmp_path)).claims
        assert claims["iss"].startswith(up.description["issuer"])
        async with up.europe() as client:
            await client.create_container("kept")
        up.child.send_signal(signal.SIGTERM)
        code, said = await up.ended()
        assert code == 0, said
        assert not up.anything_left()
        assert not (tmp_path / "stack.json").exists()

    async with Up(tmp_path) as up:
        assert up.anything_left()  # it can tell
        up.child.send_signal(signal.SIGKILL)
        await up.ended()
        await up.until_gone()
    async with Up(tmp_path) as next_up, next_up.europe() as client:
        assert [container.name async for container in client.list_containers()] == ["kept"]


@needs_proc
@pytest.mark.stack
async def test_a_child_that_dies_ends_the_stack_with_its_name_and_log(tmp_path: Path) -> None:
    async with Up(tmp_path) as up:
        os.kill(cosmos_process(up), signal.SIGKILL)
        code, said = await up.ended()
        assert code == 1
        assert "cosmos ended by itself." in said and "cosmos.log" in said
        assert not up.anything_left()


@needs_proc
@pytest.mark.stack
async def test_a_child_that_lingers_after_a_kill_keeps_the_directory_from_the_next_stack(tmp_path: Path) -> None:
    async with Up(tmp_path) as up:
        cosmos = cosmos_process(up)
        os.kill(cosmos, signal.SIGSTOP)
        up.child.send_signal(signal.SIGKILL)
        await up.ended()
        try:
            await asyncio.sleep(1)  # all others end
            assert up.directory_is_taken()
        finally:
            os.kill(cosmos, signal.SIGCONT)
        await up.until_gone()


def cosmos_process(up: Up) -> int:
    """Return the id of the stack's Cosmos DB process."""
    port = str(urlsplit(up.description["cosmos"]["endpoint"]).port)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if "local.cosmos" in arguments and port in arguments:
            return int(process.name)
    raise AssertionError(f"nothing was told to listen on {port}")


@asynccontextmanager
async def host_at(now: str) -> AsyncIterator[str]:
    """Serve a host's clock, and return the host's address."""

    async def clock(_: web.Request) -> web.Response:
        return web.json_response({"now": now})

    app = web.Application()
    app.router.add_get("/admin/clock", clock)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_ports(1)[0]
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCAL_DIR", str(tmp_path))
    return tmp_path


async def test_a_token_is_valid_by_the_hosts_clock(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with host_at("2031-02-03T04:05:06.789Z") as host:
        (directory / "stack.json").write_text(json.dumps({"host": host, "issuer": "http://127.0.0.1:1"}))
        arguments = ["token", "--role", "tenant-admin", "--tenant", TENANT.upper()]
        assert await asyncio.to_thread(main, arguments) == 0
    printed = capsys.readouterr()
    claims = jwt.decode(printed.out.removesuffix("\n"), load_key(directory)).claims
    assert claims["iat"] == int(datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC).timestamp())
    assert (claims["tid"], claims["iss"]) == (TENANT, f"http://127.0.0.1:1/{TENANT}/v2.0")
    assert printed.err == ""


async def test_env_prints_exports_that_a_shell_takes(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with host_at("2031-02-03T04:05:06.789Z") as host:
        described = {"api": f"{host}/api", "host": host, "issuer": "http://127.0.0.1:1"}
        (directory / "stack.json").write_text(json.dumps(described))
        assert await asyncio.to_thread(main, ["env"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    names = ["API", "HOST", "TENANT", "ADMIN", "SERVICE", "OPERATOR", "REVIEWER", "APPROVER"]
    assert re.findall(r"^export (\w+)=", printed.out, re.MULTILINE) == names
    shown = "; ".join(f'echo "${name}"' for name in names)
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-euc", f'eval "$0"; {shown}', printed.out), stdout=asyncio.subprocess.PIPE
    )
    lines = (await shell.communicate())[0].decode().splitlines()
    assert lines[:3] == [f"{host}/api", host, SAMPLE_TENANT_ID]
    for line in lines[3:]:
        claims = jwt.decode(line.removeprefix("Authorization: Bearer "), load_key(directory)).claims
        assert claims["iat"] == int(datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC).timestamp())
        assert (claims["tid"] == SAMPLE_TENANT_ID) == (line == lines[3])


def test_env_of_a_stack_without_a_host_has_no_addresses(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    described = {"api": None, "host": None, "issuer": "http://127.0.0.1:1"}
    (directory / "stack.json").write_text(json.dumps(described))
    assert main(["env"]) == 0
    printed = capsys.readouterr().out
    assert "export ADMIN=" in printed and "export API=" not in printed and "export HOST=" not in printed


@pytest.mark.parametrize("command", [["token", "--role", "operator"], ["env"]])
def test_a_description_that_cannot_be_read_is_told_in_one_line(
    directory: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    (directory / "stack.json").write_text("{")
    assert main(command) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_directory_that_cannot_be_made_is_told_in_one_line(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "file").touch()
    monkeypatch.setenv("LOCAL_DIR", str(directory / "file"))
    monkeypatch.setattr(azurite, "require", lambda: None)
    assert main(["up"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_port_that_is_taken_is_told_in_one_line_before_anything_is_touched(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(azurite, "require", lambda: None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["up", "--port", port]) == 1
    assert capsys.readouterr().err == f"Port {port} is in use. Choose another one.\n"
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(("given", "said"), [(["PORT=7071"], "local up --port 7071\n"), ([], "local up \n")])
def test_make_run_takes_the_port(given: list[str], said: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PORT"}
    made = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "run", *given],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout.endswith(said)


def test_no_token_without_a_stack(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "--role", "operator"]) == 1
    printed = capsys.readouterr()
    assert (printed.out, "No stack is up" in printed.err) == ("", True)
    assert list(directory.iterdir()) == []


def test_no_token_when_the_stack_was_killed(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = f"http://127.0.0.1:{free_ports(1)[0]}"
    (directory / "stack.json").write_text(json.dumps({"host": host, "issuer": "http://127.0.0.1:1"}))
    assert main(["token", "--role", "operator"]) == 1
    printed = capsys.readouterr()
    assert (printed.out, "does not answer" in printed.err) == ("", True)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--role", "tenant-admin", "--tenant", "contoso"], "a tenant is a GUID"),
        (["--role", "reviewer", "--tenant", TENANT], "--tenant is for --role tenant-admin"),
        (["--role", "emperor"], "invalid choice"),
        ([], "--role"),
    ],
)
def test_wrong_arguments_are_explained(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["token", *arguments])
    assert ended.value.code == 2
    errors = capsys.readouterr().err
    assert complaint in errors and errors.count("\n") == 1
