"""``python -m local up | token | env | samples | demo``."""

import argparse
import asyncio
import json
import os
import shlex
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from audit.command_line import Parser
from local import exports, private
from local.issuer import load_key
from local.lifetime import until_stopped
from local.process import ROOT, ProcessError
from local.samples import load
from local.stack import DESCRIPTION_FILE, Stack, StackError
from local.tokens import SAMPLE_TENANT_ID, Role, mint
from shared.model.items import format_instant

_SETTINGS_FILE = "local.settings.json"
_FORMS = ("captures", "traces", "agents")
_IN_SHELL = {
    "ADMIN": Role.TENANT_ADMIN,
    "SERVICE": Role.CAPTURE_SERVICE,
    "OPERATOR": Role.OPERATOR,
    "REVIEWER": Role.REVIEWER,
    "APPROVER": Role.APPROVER,
}
"""The variable that has a role's token, as curl's ``-H`` takes it."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0, or 1 when it could not do its work."""
    parser = Parser(prog="python -m local", description="The development stack.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="keep the stack up until interrupted (LOCAL_DIR: where it keeps its files)")
    up.add_argument("--without-host", action="store_true", help="leave the Functions host out, for `func start`")
    up.add_argument("--port", type=_port, help="where the host listens; any free port unless given")
    token = commands.add_parser("token", help="print a token that the stack which is up accepts")
    token.add_argument("--role", choices=[role.value for role in Role], required=True)
    token.add_argument("--tenant", type=_guid, help="the tenant admin's tenant; one for trying out unless given")
    commands.add_parser("env", help="print exports for a shell: addresses, a tenant, a token for each role")
    samples = commands.add_parser("samples", help="send the sample interactions of a tenant that shares data")
    samples.add_argument("--as", dest="form", choices=_FORMS, default="captures", help="captures unless given")
    samples.add_argument("--tenant", type=_guid, default=SAMPLE_TENANT_ID, help="the one of `env` unless given")
    commands.add_parser("demo", help="play the main job end to end")
    options = parser.parse_args(arguments)

    directory = Path(os.environ.get("LOCAL_DIR") or ROOT / ".local")
    match options.command:
        case "up":
            if options.port and options.without_host:
                up.error("--port is the host's, and --without-host starts none.")
            return _report_failure(lambda: asyncio.run(_up(directory, not options.without_host, options.port)))
        case "token":
            role = Role(options.role)
            if options.tenant and role is not Role.TENANT_ADMIN:
                token.error("--tenant is for --role tenant-admin: all others belong to the operator's tenant.")
            return _report_failure(lambda: asyncio.run(_token(directory, role, options.tenant)))
        case "env":
            return _report_failure(lambda: asyncio.run(_env(directory)))
        case "samples":
            return _report_failure(lambda: asyncio.run(_samples(directory, options.form, options.tenant)))
        case _:
            from local.demo import run  # noqa: PLC0415 - `up` and `token` must work without what the demo imports

            return _report_failure(run)


def _guid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise argparse.ArgumentTypeError("a tenant is a GUID, such as " + SAMPLE_TENANT_ID) from None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 0 < int(text) < 1 << 16):
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535")
    return int(text)


def _report_failure(command: Callable[[], int]) -> int:
    try:
        return command()
    except (StackError, ProcessError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


async def _up(directory: Path, with_host: bool, port: int | None) -> int:
    """Keep the stack up until SIGTERM or SIGINT, which may come while it is still starting."""
    stopped = asyncio.create_task(until_stopped(exit_with_stdin=False))
    running = asyncio.create_task(_run(directory, with_host, port))
    await asyncio.wait([stopped, running], return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        stopped.cancel()
        return running.result()
    running.cancel()
    await asyncio.wait([running])
    _say("The stack is down.")
    return 0


async def _run(directory: Path, with_host: bool, port: int | None) -> int:
    """Return 1 once a process of the stack has died."""
    async with Stack(directory, with_host=with_host, port=port, report=_say) as stack:
        if not with_host:
            _write_settings(stack)
        _say(_where(stack))
        dead = await stack.death()
        print(f"{dead.name} ended by itself.\n{dead.tail()}", file=sys.stderr)
        return 1


def _write_settings(stack: Stack) -> None:
    values = {"IsEncrypted": False, "Values": stack.app_settings}
    private.write(stack.directory / _SETTINGS_FILE, json.dumps(values, indent=2) + "\n")


def _where(stack: Stack) -> str:
    description = stack.description
    if description.host:
        built = (ROOT / "portal/dist/index.html").exists()
        lines = [
            f"  api      {description.api}",
            f"  portal   {description.api}/portal/"
            if built
            else "  portal   not built: run make setup, then start again",
            f"  status   {description.api}/status  (with a token of --role operator)",
            f"  clock    {description.host}/admin/clock",
        ]
    else:
        lines = [f"  settings {stack.directory / _SETTINGS_FILE}  (copy it to {ROOT}, then run: func start)"]
    lines += [
        *(
            f"  storage  {stack.processes[f'storage-{geo}'].url}  ({geo}; connection strings in {DESCRIPTION_FILE})"
            for geo in description.storage
            if "/" not in geo
        ),
        f"  cosmos   {description.cosmos.endpoint}  (database {description.cosmos.database})",
        f"  files    {stack.directory}  ({DESCRIPTION_FILE}, logs/)",
        f'  shell    eval "$({Path(sys.executable)} -m local env)"',
        f"  token    {Path(sys.executable)} -m local token --role {{{','.join(Role)}}}",
    ]
    return "\n".join(["The stack is up. Ctrl-C stops it.", *lines])


def _say(line: str) -> None:
    print(line, flush=True)


async def _token(directory: Path, role: Role, tenant: str | None) -> int:
    description = _description(directory)
    now = await _now(description["host"])
    print(mint(load_key(directory), role, issuer=description["issuer"], now=now, tenant=tenant))
    return 0


async def _env(directory: Path) -> int:
    description = _description(directory)
    now = await _now(description["host"])
    key = load_key(directory)
    variables = {
        "API": description["api"],
        "HOST": description["host"],
        "TENANT": SAMPLE_TENANT_ID,
        **{
            name: f"Authorization: Bearer {mint(key, role, issuer=description['issuer'], now=now)}"
            for name, role in _IN_SHELL.items()
        },
    }
    for name, value in variables.items():
        if value is not None:  # without a host there is no address
            print(f"export {name}={shlex.quote(value)}")
    return 0


async def _samples(directory: Path, form: str, tenant: str) -> int:
    """Send all samples as one batch, or one export, and print the answer."""
    description = _description(directory)
    now = await _now(description["host"])
    token = mint(load_key(directory), Role.CAPTURE_SERVICE, issuer=description["issuer"], now=now)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    spans = [sample.span(now, number, tenant) for number, sample in enumerate(load(), 1)]
    match form:
        case "captures":
            path, headers["Idempotency-Key"] = f"tenants/{tenant}/captures", uuid.uuid4().hex
            body = json.dumps({"captures": [sample.capture(format_instant(now)) for sample in load()]}).encode()
        case "traces":
            path, body = "v1/traces", exports.otlp(spans, {"service.name": "samples"})
        case _:
            path = f"observabilityService/tenants/{tenant}/otlp/agents/samples/traces?api-version=1"
            body = exports.of_agent(spans, {"service.name": "samples"})
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{description['api']}/{path}", data=body, headers=headers) as response,
    ):
        print(response.status, await response.text())
        return 0 if response.ok else 1


def _description(directory: Path) -> dict[str, Any]:
    file = directory / DESCRIPTION_FILE
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise StackError(f"No stack is up in {directory}. Start one: python -m local up") from None
    except ValueError:
        raise StackError(f"{file} is no description of a stack. Stop the stack and start it again.") from None


async def _now(host: str | None) -> datetime:
    """Return the host's time: it may have been moved, and what the machine's clock calls valid it would refuse."""
    if host is None:
        return datetime.now(UTC)
    try:
        async with (
            aiohttp.ClientSession(raise_for_status=True, timeout=aiohttp.ClientTimeout(total=10)) as session,
            session.get(f"{host}/admin/clock") as response,
        ):
            return datetime.fromisoformat((await response.json())["now"])
    except (aiohttp.ClientError, TimeoutError) as error:
        raise StackError(f"The stack's host at {host} does not answer ({error}). Is the stack still up?") from None


if __name__ == "__main__":
    sys.exit(main())
