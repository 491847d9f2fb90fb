"""``python -m audit posture``: on a stack that is up, against a Resource Manager of the test's own, and refused."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from audit import posture
from audit.__main__ import main
from audit.posture import AzureResourceManager, PostureError, Unreadable, deployment_of, read_settings
from local.stack import Stack
from tests.unit.management import GOOD, SUBSCRIPTION
from tests.unit.settings import GOOD as SETTINGS

TOKEN = "s3cr3t-token"


# On this machine


@pytest.mark.asyncio(loop_scope="session")
async def test_the_local_stack_holds_but_for_what_an_emulator_only_claims(
    stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"Values": stack.app_settings}))
    assert await posture.run(file, None, None) == 0
    shown = capsys.readouterr().out
    assert "20 checked, 0 do not hold." in shown
    assert shown.count("development") == 6 and shown.count("Standard_RAGRS") == 3
    for secret in (stack.description.cosmos.key, *stack.description.storage.values()):
        assert secret not in shown


@pytest.mark.asyncio(loop_scope="session")
async def test_a_store_that_is_not_there_does_not_hold(
    stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = "AccountName=steurope;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:1/steurope;"
    settings = {**stack.app_settings, "STORAGE_ACCOUNTS": json.dumps({"europe": nowhere})}
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(settings))
    assert await posture.run(file, None, None) == 1
    shown = capsys.readouterr().out
    assert shown.count("unreadable") == 6 and "storage-unreachable" in shown


# On Azure


class Manager:
    """Azure Resource Manager over HTTP, with the answers of a deployment that is as it should be."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = dict(GOOD)
        self.versions: dict[str, str] = {}
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        self.versions[request.path] = request.query["api-version"]
        answer = self.answers.get(request.path, 404)
        if isinstance(answer, int):
            return web.Response(status=answer, headers={"Location": "http://127.0.0.1:1/"}, text=f"{TOKEN} refused")
        if isinstance(answer, bytes):
            return web.Response(body=answer)
        if "page" in request.query:
            answer = answer["next"]
        return web.json_response(answer)


class Credential:
    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        assert scopes == ("https://management.azure.com/.default",)
        return AccessToken(TOKEN, 2**31)

    async def close(self) -> None:
        pass

    async def __aenter__(self) -> "Credential":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


class NoCredential(Credential):
    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        raise ClientAuthenticationError(TOKEN)


@pytest.fixture
async def manager() -> AsyncIterator[Manager]:
    manager = Manager()
    application = web.Application()
    application.router.add_get("/{path:.*}", manager.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    manager.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield manager
    await runner.cleanup()


@pytest.fixture
async def azure(manager: Manager) -> AsyncIterator[AzureResourceManager]:
    async with aiohttp.ClientSession() as session:
        yield AzureResourceManager(session, Credential(), manager.url)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manager: Manager) -> Path:
    """The settings of the deployment, as ``az functionapp config appsettings list`` prints them."""
    monkeypatch.setattr(posture, "DefaultAzureCredential", Credential)
    monkeypatch.setattr(
        posture,
        "AzureResourceManager",
        lambda session, credential: AzureResourceManager(session, credential, manager.url),
    )
    values = {
        **SETTINGS,
        "COSMOS_CONNECTION__accountEndpoint": "https://cosmos-stamp.documents.azure.com:443/",
        "STORAGE_ACCOUNTS": json.dumps({"europe": "https://stemea.blob.core.windows.net/"}),
    }
    file = tmp_path / "settings.json"
    file.write_text(json.dumps([{"name": name, "slotSetting": False, "value": values[name]} for name in values]))
    return file


def put_storage(file: Path, storage: dict[str, str]) -> None:
    values = {each["name"]: each["value"] for each in json.loads(file.read_text())}
    file.write_text(json.dumps({**values, "STORAGE_ACCOUNTS": json.dumps(storage)}))


async def test_a_deployment_on_azure_is_checked_over_http(
    settings: Path, manager: Manager, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await posture.run(settings, SUBSCRIPTION, "rg-stamp") == 0
    assert "36 checked, 0 do not hold." in capsys.readouterr().out
    assert manager.versions.keys() == GOOD.keys()
    assert set(manager.versions.values()) == {"2024-01-01", "2024-11-15", "2021-05-01-preview", "2023-09-01"}


@pytest.mark.parametrize("status", [301, 401, 403, 404, 429, 500])
async def test_what_is_refused_makes_the_command_fail_and_is_not_repeated(
    settings: Path, manager: Manager, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    manager.answers[next(iter(GOOD))] = status
    assert await posture.run(settings, SUBSCRIPTION, "rg-stamp") == 1
    shown = capsys.readouterr().out
    assert f"HTTP {status}" in shown and TOKEN not in shown


async def test_all_pages_of_a_list_are_read(azure: AzureResourceManager, manager: Manager) -> None:
    manager.answers["/list"] = {
        "value": [1],
        "nextLink": f"{manager.url}/list?api-version=x&page=2",
        "next": {"value": [2, 3]},
    }
    assert (await azure.get("/list", "x"))["value"] == [1, 2, 3]


@pytest.mark.parametrize("link", ["http://127.0.0.1:1/list", "{base}.example/list", "{base}@127.0.0.1:1/list"])
async def test_the_token_goes_to_nobody_else(azure: AzureResourceManager, manager: Manager, link: str) -> None:
    manager.answers["/list"] = {"value": [1], "nextLink": link.format(base=manager.url)}
    with pytest.raises(Unreadable, match="foreign-next-link"):
        await azure.get("/list", "x")


async def test_what_is_no_json_cannot_be_read(azure: AzureResourceManager, manager: Manager) -> None:
    manager.answers["/text"] = b"<html>"
    with pytest.raises(Unreadable, match="not JSON"):
        await azure.get("/text", "x")


async def test_without_a_sign_in_or_a_server_nothing_can_be_read() -> None:
    async with aiohttp.ClientSession() as session:
        for credential, code in ((NoCredential(), "unauthenticated"), (Credential(), "unreachable")):
            with pytest.raises(Unreadable) as failed:
                await AzureResourceManager(session, credential, "http://127.0.0.1:1").get("/x", "x")
            assert failed.value.code == code


# The settings


def test_the_accounts_are_known_by_their_endpoints(settings: Path) -> None:
    deployment = deployment_of(read_settings(settings), SUBSCRIPTION, "rg-stamp")
    assert (deployment.cosmos, deployment.storage) == ("cosmos-stamp", {"stemea": "europe"})
    assert deployment.group == f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-stamp"


@pytest.mark.parametrize("text", ["", "5", "[5]", "null", "[]", "{}", '{"Values": 5}', '[{"name": "s3cr3t-value"}]'])
def test_settings_that_are_none_are_refused(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "settings.json"
    file.write_text(text)
    assert main(["posture", "--settings", str(file)]) == 1
    refused = capsys.readouterr()
    assert refused.err and "s3cr3t" not in refused.err and "Traceback" not in refused.err


async def test_half_on_azure_and_a_deployment_without_a_group_are_refused(settings: Path, stack: Stack) -> None:
    with pytest.raises(PostureError, match="--resource-group"):
        await posture.run(settings, SUBSCRIPTION, None)
    put_storage(settings, {"europe": stack.description.storage["europe"]})
    with pytest.raises(PostureError, match="connection strings"):
        await posture.run(settings, SUBSCRIPTION, "rg-stamp")


def test_the_environment_is_read_where_no_file_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("COSMOS_CONNECTION", raising=False)
    assert main(["posture"]) == 1
    assert "COSMOS_CONNECTION__accountEndpoint is missing" in capsys.readouterr().err


def test_a_subscription_is_named_by_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["posture", "--subscription", "production"])
    assert "a subscription is given by its id" in capsys.readouterr().err
