"""How the Azure adapters tell what went wrong: by a code, without the words of the other side, and in bounded time."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from azure.cosmos.aio import CosmosClient
from azure.identity.aio import DefaultAzureCredential
from joserfc.jwk import ECKey

from local.ports import free_ports
from local.stack import CosmosAccount as Address
from shared import bootstrap
from shared.clock import SystemClock
from shared.configuration import Configuration, ConfigurationError, StorageAccount
from shared.model.ledger import Change
from shared.ports import ContainerBeingDeleted, ContainerMissing, StoreUnavailable
from shared.stores import blobs
from shared.stores.blobs import AzureCaptureStore
from shared.stores.cosmos import account as cosmos
from shared.stores.cosmos.account import CosmosAccount
from shared.stores.cosmos.deletions import CosmosDeletions
from shared.stores.cosmos.ledger import CosmosLedger
from shared.stores.receipt_keys import KeyVaultSigner
from shared.stores.signing_keys import fetch_keys
from tests.contract.items import deletion, new_account, opt_in
from tests.world import permit

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "Herr Schneider, Rechnung 4711"
TENANT = "3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30"
ACCOUNT = "AccountName=steurope;AccountKey=a2V5;"
ENVIRONMENT = {
    "COSMOS_CONNECTION": "AccountEndpoint=http://127.0.0.1:1/;AccountKey=a2V5;",
    "STORAGE_ACCOUNTS": json.dumps({"europe": ACCOUNT}),
    "OPERATOR_TENANT_ID": TENANT,
    "TOKEN_AUDIENCES": "api://one",
    "REVIEW_AUTH_CONTEXT": "c1",
    "RECEIPT_KEY": "https://kv-receipts.vault.azure.net/keys/receipts",
}


class Broken:
    """A server that answers everything as it is told to."""

    def __init__(self) -> None:
        self.port = free_ports(1)[0]
        self.status, self.code = 500, ""
        self.hangs = False
        self.drops = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.hangs:
            await asyncio.sleep(30)
        if self.drops:
            part = {"Content-Range": "bytes 0-999/1000"} if "x-ms-range" in request.headers else {}
            headers = {"Content-Length": "1000", "Content-Type": "application/xml", **part}
            answer = web.StreamResponse(status=206 if part else 200, headers=headers)
            if self.drops == "in the middle of the answer":
                await answer.prepare(request)
                await answer.write(b"<?xml version='1.0'?><Enum")
            assert request.transport is not None
            request.transport.close()
            return answer
        headers = {"x-ms-error-code": self.code} if self.code else {}
        body = f"<?xml version='1.0'?><Error><Code>{self.code}</Code><Message>{SECRET}</Message></Error>"
        return web.Response(status=self.status, headers=headers, text=body, content_type="application/xml")


@pytest_asyncio.fixture(loop_scope="session")
async def broken() -> AsyncIterator[Broken]:
    broken = Broken()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", broken.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", broken.port).start()
    yield broken
    await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="session")
async def store(broken: Broken) -> AsyncIterator[AzureCaptureStore]:
    setting = f"AccountName=stbroken;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:{broken.port}/stbroken;"
    store = AzureCaptureStore.connect(setting, None)
    yield store
    await store.close()


async def outcome(call: Any) -> Any:
    try:
        return await call
    except StoreUnavailable as error:
        assert SECRET not in str(error) and error.__cause__ is None
        assert error.__suppress_context__ or error.__context__ is None
        return error.code
    except (ContainerMissing, ContainerBeingDeleted) as error:
        return type(error)


async def calls(store: AzureCaptureStore) -> dict[str, Any]:
    async def listed() -> list[Any]:
        return [each async for each in store.list_containers("a-")]

    return {
        "put": await outcome(store.put_batch(permit(), "c", "b", b"x", "h")),
        "log": await outcome(store.create_log(permit(), "c", "l")),
        "append": await outcome(store.append(permit(), "c", "l", b"x")),
        "read log": await outcome(store.read_log("c", "l", 0)),
        "create": await outcome(store.create_container(permit(), "c")),
        "delete": await outcome(store.delete_container("c")),
        "list": await outcome(listed()),
    }


async def test_a_container_that_is_being_deleted(broken: Broken, store: AzureCaptureStore) -> None:
    broken.status, broken.code = 409, "ContainerBeingDeleted"
    assert await calls(store) == {
        "put": ContainerBeingDeleted,
        "log": ContainerBeingDeleted,
        "append": ContainerBeingDeleted,
        "read log": ContainerBeingDeleted,
        "create": ContainerBeingDeleted,
        "delete": True,
        "list": ContainerBeingDeleted,
    }


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "AuthorizationFailure", "storage-AuthorizationFailure"),
        (412, "LeaseIdMissing", "storage-LeaseIdMissing"),
        (409, "BlobImmutableDueToPolicy", "storage-BlobImmutableDueToPolicy"),
        (404, "ResourceNotFound", "storage-ResourceNotFound"),
        (404, "", "storage-404"),
        (418, "a text: " + "x" * 80, "storage-418"),
    ],
)
async def test_whatever_else_an_account_answers_is_a_code(
    broken: Broken, store: AzureCaptureStore, status: int, code: str, expected: str
) -> None:
    broken.status, broken.code = status, code
    assert set((await calls(store)).values()) == {expected}


@pytest.mark.parametrize("drops", ["before the answer", "in the middle of the answer"])
async def test_a_connection_that_ends_early_is_an_account_that_cannot_be_reached(
    broken: Broken, store: AzureCaptureStore, drops: str
) -> None:
    broken.drops = drops
    told = await calls(store)
    told["find"] = await outcome(store.find_batch("c", "b", "h"))
    told["read"] = await outcome(store.read_batch("c", "b"))
    told["batches"] = await outcome(store.list_batches("c", limit=1, after=None))
    assert set(told.values()) == {"storage-unreachable"}


async def test_an_account_that_hangs_or_is_not_there_is_told_in_bounded_time(
    broken: Broken, store: AzureCaptureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken.hangs = True
    monkeypatch.setattr(blobs, "_call", replace(blobs._call, seconds=0.2))
    assert set((await calls(store)).values()) == {"storage-timeout"}
    monkeypatch.undo()
    nobody = f"AccountName=stnobody;AccountKey=a2V5;BlobEndpoint=http://127.0.0.1:{free_ports(1)[0]}/stnobody;"
    gone = AzureCaptureStore.connect(nobody, None)
    with pytest.raises(StoreUnavailable, match="storage-unreachable"):
        await gone.delete_container("c")
    await gone.close()


async def test_a_cosmos_db_that_hangs_errs_or_is_not_there(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    async def code_of_a_read(port: int) -> str:
        account = CosmosAccount.connect(f"AccountEndpoint=http://127.0.0.1:{port}/;AccountKey=a2V5;", None)
        with pytest.raises(StoreUnavailable) as failed:
            await CosmosLedger(account).read_setting(TENANT)
        await account.close()
        assert SECRET not in str(failed.value)
        return failed.value.code

    broken.status = 403
    assert await code_of_a_read(broken.port) == "cosmos-403"
    assert (await code_of_a_read(free_ports(1)[0])).startswith("cosmos-")
    broken.hangs = True
    monkeypatch.setattr(cosmos, "call", replace(cosmos.call, seconds=0.2))
    assert await code_of_a_read(broken.port) == "cosmos-timeout"


async def test_a_missing_database_is_no_tenant_never_seen(address: Address) -> None:
    account = CosmosAccount.connect(
        f"AccountEndpoint={address.endpoint};AccountKey={address.key};", None, f"missing-{uuid.uuid4().hex}"
    )
    for call in (
        CosmosLedger(account).read_setting(TENANT),
        CosmosLedger(account).commit(opt_in(TENANT), None),
        CosmosLedger(account).history(TENANT, limit=1, before=None),
        CosmosDeletions(account).create(deletion()),
        CosmosDeletions(account).replace(deletion(), "etag"),
    ):
        with pytest.raises(StoreUnavailable, match="cosmos-404"):
            await call
    await account.close()


async def test_an_item_that_cannot_be_understood_is_neither_on_nor_off_and_blocks_no_other(
    address: Address, account: CosmosAccount
) -> None:
    tenant, storage_account = str(uuid.uuid4()), new_account()
    good = deletion(account=storage_account)
    async with CosmosClient(address.endpoint, address.key) as client:
        database = client.get_database_client(address.database)
        await database.get_container_client("tenants").create_item({"id": "setting", "tenantId": tenant})
        await database.get_container_client("tenants").replace_item(
            "setting", {"id": "setting", "tenantId": tenant, "enrollment": {"geo": SECRET}}
        )
        await database.get_container_client("deletions").create_item(
            {**good.to_json(), "id": "bad", "deadline": SECRET, "attempts": -1}
        )
        await database.get_container_client("tenants").create_item(
            {"id": "event-000000001", "tenantId": tenant, "sequence": 1, "kind": SECRET}
        )
    with pytest.raises(StoreUnavailable, match="cosmos-item-unreadable"):
        await CosmosLedger(account).read_setting(tenant)
    assert (await CosmosLedger(account).history(tenant, limit=1, before=None)).unreadable == 1
    await CosmosDeletions(account).create(good)
    found = [stored.value async for stored in CosmosDeletions(account).due(storage_account, good.deadline)]
    assert found == [good]
    assert (await CosmosDeletions(account).counts(storage_account, good.deadline)).pending == 2


async def test_a_conditional_write_that_fails_otherwise_is_no_conflict(account: CosmosAccount) -> None:
    with pytest.raises(StoreUnavailable, match="cosmos-404"):
        await CosmosDeletions(account).replace(deletion(), '"etag"')
    ours, another = opt_in(str(uuid.uuid4())), opt_in(str(uuid.uuid4()))
    with pytest.raises(StoreUnavailable, match="cosmos-400"):
        await CosmosLedger(account).commit(Change(ours.setting, another.event), None)


async def test_keys_that_cannot_be_had_are_an_os_error(broken: Broken) -> None:
    with pytest.raises(OSError, match="ClientResponseError"):
        await fetch_keys(f"http://127.0.0.1:{broken.port}/keys")
    broken.status = 200
    with pytest.raises(ValueError, match="Expecting value"):
        await fetch_keys(f"http://127.0.0.1:{broken.port}/keys")
    with pytest.raises(OSError, match="ClientConnectorError"):
        await fetch_keys(f"http://127.0.0.1:{free_ports(1)[0]}/keys")


async def test_a_key_in_a_vault_alone_needs_the_identity_and_one_in_a_file_does_not(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [ECKey.generate_key("P-256").as_dict(private=True)]}))
    for setting, used in ((ENVIRONMENT["RECEIPT_KEY"], True), (str(file), False)):
        services = bootstrap.connect(Configuration.read({**ENVIRONMENT, "RECEIPT_KEY": setting}), SystemClock())
        kinds = [type(getattr(close, "__self__", None)) for close in services.closers]
        assert (DefaultAzureCredential in kinds, KeyVaultSigner in kinds) == (used, used)
        for close in services.closers:
            await close()


async def test_endpoints_are_used_with_one_entra_identity_and_keys_without() -> None:
    settings = Configuration(
        cosmos="https://cosmos.example:443/",
        storage=[
            StorageAccount(geo, f"https://st{geo}.blob.core.windows.net", state)
            for geo, state in (("europe", "open"), ("japan", "closed"))
        ],
        operator_tenant_id=TENANT,
        audiences=("api://one",),
        review_auth_context="c1",
        receipt_key="https://kv-receipts.vault.azure.net/keys/receipts",
    )
    services = bootstrap.connect(settings, SystemClock())
    assert [(each.name, each.geo, each.state) for each in services.accounts] == [
        ("steurope", "europe", "open"),
        ("stjapan", "japan", "closed"),
    ]
    closed = [type(getattr(close, "__self__", None)) for close in services.closers]
    assert closed[-2:] == [KeyVaultSigner, DefaultAzureCredential], "what uses the identity is closed before it"
    for close in services.closers:
        await close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STORAGE_ACCOUNTS", {"europe": "AccountName=steurope;AccountKey=a2V5;BlobEndpoint=http://["}),
        ("STORAGE_ACCOUNTS", {"europe": ACCOUNT, "japan": ACCOUNT + "EndpointSuffix=core.windows.net;"}),
        ("STORAGE_ACCOUNTS", {"europe": "https://st.blob.core.x", "japan": "https://ST.blob.core.x/"}),
        ("STORAGE_ACCOUNTS", {"europe": [ACCOUNT, {"endpoint": ACCOUNT, "state": "closed"}]}),
        ("RECEIPT_KEY", f"no/such/file/{SECRET}.json"),
        pytest.param("RECEIPT_KEY", __file__, id="RECEIPT_KEY-no key"),
    ],
)
async def test_a_setting_that_only_its_client_can_judge_is_named_too(
    name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each, good in ENVIRONMENT.items():
        monkeypatch.setenv(each, good)
    monkeypatch.setenv(name, value if isinstance(value, str) else json.dumps(value))
    with pytest.raises(ConfigurationError, match=name) as refused:
        bootstrap.services()
    assert SECRET not in str(refused.value)


async def test_the_process_has_one_set_of_services_and_lets_go_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    first = bootstrap.services()
    assert bootstrap.services() is first
    await bootstrap.close()
    await bootstrap.close()
    assert bootstrap.services() is not first
    await bootstrap.close()
