"""The local stack: storage per geo, Cosmos DB, issuer and Functions host, started and stopped as one."""

import asyncio
import base64
import fcntl
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from azure.core.pipeline.transport import AioHttpTransport
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from joserfc.jwk import ECKey

from local import azurite, private
from local.host.clock import MovableClock
from local.issuer import Issuer, load_key
from local.ports import free_ports, is_free
from local.process import Process
from local.tokens import AUDIENCE, OPERATOR_TENANT_ID, PORTAL_CLIENT_ID, TOOLS_AUDIENCE
from shared.stores.cosmos.account import DATABASE
from shared.stores.cosmos.schema import CONTAINERS

GEOS = ("unitedstates", "europe", "unitedkingdom")
TWO_ACCOUNTS = "unitedstates"
"""The geo that has two storage accounts (D20)."""
DESCRIPTION_FILE = "stack.json"
RECEIPT_KEYS_FILE = "receipt-keys.json"
"""Private keys (a JWK Set) in the stack's directory: what the stack's receipts are signed with."""

# The runtime's own account, as on Azure: its blobs do not belong among a geo's captures.
_RUNTIME_ACCOUNT = "stfunctionsruntime"
# As long as the children of a stack that was killed take to end.
_LOCK_SECONDS = 5.0


class StackError(Exception):
    """The stack cannot be started; the message says why."""


@dataclass(frozen=True, slots=True)
class CosmosAccount:
    """How to reach the development Cosmos DB: ``endpoint`` (with a slash at the end), account ``key``, ``database``."""

    endpoint: str
    key: str
    database: str = DATABASE


@dataclass(frozen=True, slots=True)
class Description:
    """Where everything is; kept in ``stack.json`` while the stack is up.

    Attributes:
        api: the address of the API, or None without a host.
        host: the address of the host, or None without one.
        storage: connection strings, by geo; that of a geo's second account by ``{geo}/2``.
        cosmos: the Cosmos DB account.
        issuer: the issuer's address, without a slash at the end.
    """

    api: str | None
    host: str | None
    storage: Mapping[str, str]
    cosmos: CosmosAccount
    issuer: str


class Stack:
    """Everything on this machine, as an async context manager: up inside, gone after.

    The issuer runs on the event loop that entered the context, so that loop must keep running (in pytest: fixture and
    tests with one loop scope).

    Attributes:
        directory: what the stack keeps: data, keys, logs. One stack at a time can use it.
        description: where everything is.
        processes: ``storage-{geo}``, ``cosmos``, ``host``, ``host-2`` ..., each of which can be stopped, killed and
            started again at the same address.
        issuer: what signs tokens.
    """

    description: Description
    issuer: Issuer

    def __init__(
        self,
        directory: Path,
        geos: Sequence[str] = GEOS,
        *,
        with_host: bool = True,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        storage_on_disk: bool = True,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Describe the stack; nothing is started.

        Args:
            directory: see above; made if it does not exist.
            geos: which geos have storage.
            with_host: False leaves the Functions host out.
            port: where the host listens; None for any port that is free.
            settings: further application settings, which win over the stack's own.
            storage_on_disk: False loses what is stored when the stack ends, and never makes anybody wait for the disk.
            report: is called with a line for each thing that is up.
        """
        self.directory = directory.resolve()
        self.processes: dict[str, Process] = {}
        self._geos = geos
        self._with_host = with_host
        self._port = port
        self._settings = settings or {}
        self._storage_on_disk = storage_on_disk
        self._report = report
        self._lock = -1
        self._keys: dict[str, str] = {}
        self._runtime_storage = ""
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start everything, and return when all of it answers.

        Raises:
            StackError: if another stack uses the directory, or something the port.
            ProgramMissing: if Node or Azurite is missing; then nothing was touched.
            ProcessError: if a process did not become ready; then nothing is left running.
        """
        async with AsyncExitStack() as exit_stack:
            self._exit = exit_stack
            await self._start()
            self._exit = exit_stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop everything, last started first."""
        await self._exit.aclose()

    @property
    def app_settings(self) -> dict[str, str]:
        """The application settings that make the app use this stack."""
        cosmos = self.description.cosmos
        return {
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "AzureWebJobsStorage": self._runtime_storage,
            "COSMOS_CONNECTION": f"AccountEndpoint={cosmos.endpoint};AccountKey={cosmos.key};",
            "STORAGE_ACCOUNTS": json.dumps(
                {geo: accounts[0] if len(accounts) == 1 else accounts for geo, accounts in self._accounts().items()}
            ),
            "OPERATOR_TENANT_ID": OPERATOR_TENANT_ID,
            "TOKEN_AUDIENCES": AUDIENCE,
            "TENANT_SETTINGS_AUDIENCES": f"{TOOLS_AUDIENCE},{TOOLS_AUDIENCE.rstrip('/')}",
            "HOME_GEOS": json.dumps({"*": self._geos[0]}),
            "PORTAL_CLIENT_ID": PORTAL_CLIENT_ID,
            "PORTAL_AUTHORITY": f"{self.description.issuer}/organizations/v2.0",
            "REVIEW_AUTH_CONTEXT": "c1",
            "RECEIPT_KEY": str(self.directory / RECEIPT_KEYS_FILE),
            "TOKEN_ISSUER": f"{self.description.issuer}/{{tenantid}}/v2.0",
            "TOKEN_JWKS_URI": self.issuer.jwks_uri,
            "CONSENT_EPOCHS": "on",  # no instance of an earlier version is ever here
            **self._settings,
        }

    def _accounts(self) -> dict[str, list[str]]:
        return {geo: [self.description.storage[place] for place in _places(geo)] for geo in self._geos}

    async def start_host(self, settings: Mapping[str, str] | None = None) -> Process:
        """Start one more host on the same data, at a port of its own, and return it.

        Its clock starts with the offset of the others; one that is moved later is moved in each host by itself.

        Args:
            settings: application settings that only this one has.
        """
        return await self._start_host(free_ports(1)[0], settings or {})

    async def death(self) -> Process:
        """Return the first process that ends by itself, when one does."""
        while True:
            for process in self.processes.values():
                if process.died:
                    return process
            await asyncio.sleep(0.2)

    async def _start(self) -> None:
        azurite.require()
        if self._port is not None and not is_free(self._port):
            raise StackError(f"Port {self._port} is in use. Choose another one.")
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # what is captured lies in it
        await self._take_directory()
        description_file = self.directory / DESCRIPTION_FILE
        description_file.unlink(missing_ok=True)  # of a stack that was killed
        (self.directory / "logs").mkdir(exist_ok=True)
        self._keys = {name: self._key(name) for name in ("storage", "cosmos")}
        private.read_or_create(self.directory / RECEIPT_KEYS_FILE, _new_receipt_keys)
        others = [port for port in free_ports(4 + len(self._geos)) if port != self._port]
        any_port, issuer_port, cosmos_port, *storage_ports = others[: 3 + len(self._geos)]
        host_port = self._port or any_port
        # The host's time, as it stands each time: a token of another would not be valid there.
        self.issuer = Issuer(load_key(self.directory), issuer_port, lambda: MovableClock(self.directory / "host").now())
        self.description = self._describe(host_port, cosmos_port, storage_ports)

        await self._start_together([*self._storage(storage_ports), self._cosmos(cosmos_port)])
        await create_cosmos_containers(self.description.cosmos)
        self._exit.push_async_callback(self.issuer.stop)
        await self.issuer.start()
        self._report(f"issuer at {self.issuer.url}")
        if self._with_host:
            await self._start_host(host_port, {})
        self._exit.callback(description_file.unlink, missing_ok=True)
        private.write(description_file, json.dumps(asdict(self.description), indent=2) + "\n")

    async def _take_directory(self) -> None:
        self._lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        self._exit.callback(os.close, self._lock)
        give_up = time.monotonic() + _LOCK_SECONDS
        while not _locked(self._lock):
            if time.monotonic() > give_up:
                raise StackError(
                    f"{self.directory} is used by another stack. Stop that one, or set LOCAL_DIR to another directory."
                )
            await asyncio.sleep(0.1)

    def _key(self, name: str) -> str:
        return private.read_or_create(
            self.directory / f"{name}.key", lambda: base64.b64encode(secrets.token_bytes(64)).decode()
        )

    def _describe(self, host_port: int, cosmos_port: int, storage_ports: Sequence[int]) -> Description:
        host = f"http://127.0.0.1:{host_port}" if self._with_host else None
        return Description(
            api=f"{host}/api" if host else None,
            host=host,
            storage={
                place: azurite.connection_string(
                    account=azurite.account_name(place), key=self._keys["storage"], port=port
                )
                for geo, port in zip(self._geos, storage_ports, strict=True)
                for place in _places(geo)
            },
            cosmos=CosmosAccount(f"http://127.0.0.1:{cosmos_port}/", self._keys["cosmos"]),
            issuer=self.issuer.url,
        )

    def _storage(self, ports: Sequence[int]) -> list[Process]:
        key = self._keys["storage"]
        self._runtime_storage = azurite.connection_string(account=_RUNTIME_ACCOUNT, key=key, port=ports[0])
        return [
            self._process(
                f"storage-{geo}",
                azurite.command(
                    port=port, location=self.directory / "storage" / geo if self._storage_on_disk else None
                ),
                port,
                environment=azurite.environment(
                    {azurite.account_name(place): key for place in _places(geo)}
                    | ({_RUNTIME_ACCOUNT: key} if port == ports[0] else {})
                ),
            )
            for geo, port in zip(self._geos, ports, strict=True)
        ]

    def _cosmos(self, port: int) -> Process:
        arguments = [
            "--port",
            str(port),
            "--data",
            str(self.directory / "cosmos.sqlite"),
            "--key",
            self._keys["cosmos"],
        ]
        return self._process("cosmos", _python_module("local.cosmos", *arguments), port)

    async def _start_host(self, port: int, settings: Mapping[str, str]) -> Process:
        number = 1 + sum(name.startswith("host") for name in self.processes)
        host = self._process(
            "host" if number == 1 else f"host-{number}",
            # One directory for all of them: it holds the clock's offset, which they must share.
            _python_module("local.host", "--port", str(port), "--directory", str(self.directory / "host")),
            port,
            environment={**self.app_settings, **settings},
            ready="/admin/host/status",
            ready_status=200,
        )
        await self._start_together([host])
        return host

    def _process(
        self,
        name: str,
        command: Sequence[str],
        port: int,
        *,
        environment: Mapping[str, str] | None = None,
        ready: str = "/",
        ready_status: int | None = None,
    ) -> Process:
        process = self.processes[name] = Process(
            name,
            command,
            port=port,
            log=self.directory / "logs" / f"{name}.log",
            environment=environment or {},
            ready=ready,
            ready_status=ready_status,
            # When this process is killed, the directory stays taken until the last child has let go of its files.
            keep_open=(self._lock,),
        )
        self._exit.push_async_callback(process.stop)
        return process

    async def _start_together(self, processes: Sequence[Process]) -> None:
        async def start(process: Process) -> None:
            started = time.monotonic()
            await process.start()
            self._report(f"{process.name} at {process.url} ({time.monotonic() - started:.1f} s)")

        try:
            async with asyncio.TaskGroup() as group:
                for process in processes:
                    group.create_task(start(process))
        except ExceptionGroup as failed:  # the first says why; the others were only cancelled
            raise failed.exceptions[0] from None


async def create_cosmos_containers(account: CosmosAccount) -> None:
    """Create the database and its containers where they do not exist, as ``infra/`` does on Azure."""
    transport = AioHttpTransport(use_env_settings=False)  # no proxy between this machine and itself
    async with CosmosClient(account.endpoint, account.key, transport=transport) as client:
        database = await client.create_database_if_not_exists(account.database)
        for name, schema in CONTAINERS.items():
            await database.create_container_if_not_exists(
                name, PartitionKey(schema.partition_key), indexing_policy=schema.indexing_policy
            )


def _places(geo: str) -> list[str]:
    return [geo, f"{geo}/2"] if geo == TWO_ACCOUNTS else [geo]


def _new_receipt_keys() -> str:
    return json.dumps({"keys": [ECKey.generate_key("P-256").as_dict(private=True)]})


def _python_module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments, "--exit-with-stdin"]


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
