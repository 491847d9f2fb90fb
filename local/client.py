"""A caller of the local stack: the API in any role, the clock, and storage itself, asked directly."""

import gzip
import io
import json
import re
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import aiohttp
from azure.storage.blob.aio import BlobServiceClient
from multidict import CIMultiDict

from local import exports
from local.stack import Stack
from local.tokens import Role
from shared.model.capture import BATCH_ID
from shared.model.containers import DEPLOYMENT_PREFIX
from shared.model.items import format_instant
from shared.model.notices import DEFAULT_LOCALE, NOTICES

_MADE = re.compile("^export-|-labels-")
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; ``body`` is parsed JSON, a list of the values of JSON Lines, a file's bytes, or None."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def problem(self) -> str | None:
        """The problem's slug, or None if the answer is no problem."""
        if not self.headers.get("content-type", "").startswith("application/problem+json"):
            return None
        return str(self.body["type"]).removeprefix("urn:problem:")


class Client:
    """Talks to one host of a stack, as an async context manager."""

    def __init__(self, stack: Stack, host: str | None = None) -> None:
        """Call ``host`` (``http://127.0.0.1:PORT``), or the stack's first one."""
        self._stack = stack
        self._host = host or stack.description.host
        self._exit = AsyncExitStack()
        self._session: aiohttp.ClientSession
        self._storage: dict[str, BlobServiceClient]

    async def __aenter__(self) -> Self:
        """Open connections."""
        self._session = await self._exit.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        self._storage = {
            place: await self._exit.enter_async_context(BlobServiceClient.from_connection_string(setting))
            for place, setting in self._stack.description.storage.items()
        }
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close them."""
        await self._exit.aclose()

    # The API

    def token(self, role: Role, *, tenant: str | None = None, now: datetime) -> str:
        """Return a token of the stack's issuer that is valid at ``now``."""
        return self._stack.issuer.token(role, now=now, tenant=tenant)

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Call ``/api/{path}``.

        ``body`` is sent as it is if it is bytes, without a length if it is an iterator of bytes, and as JSON otherwise.
        """
        sent = CIMultiDict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        data = body
        if not isinstance(body, AsyncIterator | None):
            data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        url = f"{self._host}/api/{path}"
        async with self._session.request(method, url, data=data, headers=sent) as response:
            return Answer(
                response.status,
                _parsed(response.content_type, await response.read()),
                {name.lower(): value for name, value in response.headers.items()},
            )

    async def as_admin(self, method: str, tenant: str, path: str, body: Any = None) -> Answer:
        """Call ``/api/tenants/{tenant}/{path}`` as the tenant's administrator."""
        token = self.token(Role.TENANT_ADMIN, tenant=tenant, now=await self.now())
        return await self.call(method, f"tenants/{tenant}/{path}", token=token, body=body)

    async def as_person(self, role: Role, method: str, tenant: str, path: str, body: Any = None) -> Answer:
        """Call ``/api/tenants/{tenant}/{path}`` as a reviewer or approver of the operator's."""
        token = self.token(role, now=await self.now())
        return await self.call(method, f"tenants/{tenant}/{path}", token=token, body=body)

    async def opt_in(self, tenant: str, geo: str) -> Answer:
        """Switch data sharing on, and agree to the notice in force."""
        return await self.as_admin("PUT", tenant, "data-sharing", to_opt_in(geo, await self.now()))

    async def opt_out(self, tenant: str) -> Answer:
        """Switch data sharing off."""
        return await self.as_admin("PUT", tenant, "data-sharing", {"enabled": False})

    async def post(self, tenant: str, captures: Any, *, key: str | None = None, token: str | None = None) -> Answer:
        """Post a batch of captures as a capture service, under ``key`` or a new one."""
        token = token or self.token(Role.CAPTURE_SERVICE, now=await self.now())
        return await self.call(
            "POST",
            f"tenants/{tenant}/captures",
            token=token,
            body={"captures": captures},
            headers={"Idempotency-Key": key or uuid.uuid4().hex},
        )

    async def export(self, spans: Sequence[Mapping[str, Any]], *, token: str | None = None) -> Answer:
        """Export spans (``local.exports``) as an instrumented Copilot service does."""
        token = token or self.token(Role.CAPTURE_SERVICE, now=await self.now())
        body = exports.otlp(spans, {"service.name": "samples"})
        return await self.call("POST", "v1/traces", token=token, body=body, headers=_JSON)

    async def export_as_agent(self, tenant: str, spans: Sequence[Mapping[str, Any]]) -> Answer:
        """Export spans of one tenant as an agent with the Agent 365 SDK does."""
        token = self.token(Role.CAPTURE_SERVICE, now=await self.now())
        path = f"observabilityService/tenants/{tenant}/otlp/agents/samples/traces?api-version=1"
        body = exports.of_agent(spans, {"service.name": "samples"})
        return await self.call("POST", path, token=token, body=body, headers=_JSON)

    async def status(self) -> Any:
        """Return the service's own view of its promises."""
        answer = await self.call("GET", "status", token=self.token(Role.OPERATOR, now=await self.now()))
        return answer.body

    # The host

    async def now(self) -> datetime:
        """Return the host's time."""
        async with self._session.get(f"{self._host}/admin/clock") as response:
            return datetime.fromisoformat((await response.json())["now"])

    async def move_to(self, now: datetime) -> None:
        """Move the host's clock."""
        async with self._session.post(f"{self._host}/admin/clock", json={"now": format_instant(now)}) as response:
            response.raise_for_status()

    async def run(self, function: str, documents: str = "") -> str:
        """Run a function that no caller triggers, wait until it has ended, and return ``completed`` or ``failed``.

        Args:
            function: its name.
            documents: for the change feed's, a JSON array as text.
        """
        async with self._session.post(
            f"{self._host}/admin/functions/{function}", json={"input": documents}, headers={"x-local-wait": "true"}
        ) as response:
            response.raise_for_status()
            return str((await response.json())["status"])

    # Storage, asked directly

    def _of(self, geo: str) -> Sequence[BlobServiceClient]:
        return [storage for place, storage in self._storage.items() if place.partition("/")[0] == geo]

    async def containers(self, geo: str) -> list[str]:
        """Return the names of all containers in a geo's accounts, but for those that say whose the accounts are."""
        return [name for storage in self._of(geo) for name in await containers_in(storage)]

    async def all_containers(self) -> dict[str, list[str]]:
        """Return the names of all containers in every account, by geo."""
        return {geo: await self.containers(geo) for geo in self._storage if "/" not in geo}

    async def create_container(self, place: str, name: str) -> None:
        """Put a container into a geo's account by hand; ``{geo}/2`` is its second."""
        await self._storage[place].create_container(name)

    async def batches(self, geo: str, enrollment_id: str) -> dict[str, list[dict[str, Any]]]:
        """Return an enrollment's captures in a geo's accounts, as stored, by ``container/batch``."""
        found: dict[str, list[dict[str, Any]]] = {}
        for storage in self._of(geo):
            for container in await containers_in(storage):
                if not container.endswith(enrollment_id):
                    continue
                client = storage.get_container_client(container)
                async for name in client.list_blob_names():
                    if not BATCH_ID.fullmatch(name):
                        continue  # a log of spans
                    content = await (await client.download_blob(name, decompress=False)).readall()
                    lines = gzip.decompress(content).splitlines()
                    found[f"{container}/{name}"] = [json.loads(line) for line in lines]
        return found

    async def beside(self, enrollment_id: str) -> list[str]:
        """Return what reviewers have made of an enrollment's captures, in whatever account, as ``container/blob``.

        What is staged and not yet put together is among it.
        """
        found = []
        for storage in self._storage.values():
            for container in await containers_in(storage):
                if container.endswith(enrollment_id):
                    blobs = storage.get_container_client(container).list_blobs(include=["uncommittedblobs"])
                    found += [f"{container}/{each.name}" async for each in blobs if _MADE.search(each.name)]
        return found


async def containers_in(storage: BlobServiceClient) -> list[str]:
    """Return the names of all containers in an account, but for the one that says whose the account is."""
    listing = storage.list_containers(include_deleted=True)
    return [str(each.name) async for each in listing if not each.name.startswith(DEPLOYMENT_PREFIX)]


def to_opt_in(geo: str, now: datetime) -> dict[str, Any]:
    """Return the body of a PUT that switches data sharing on, and agrees to the notice in force at ``now``."""
    notice = NOTICES.in_force(now)
    assert notice is not None
    return {"enabled": True, "geo": geo, "notice": notice.version, "locale": DEFAULT_LOCALE}


def _parsed(content_type: str, content: bytes) -> Any:
    if content_type == "application/gzip":
        return content
    if content_type == "application/x-ndjson":
        return [json.loads(line) for line in content.splitlines()]
    return json.loads(content) if content and content_type in {"application/json", "application/problem+json"} else None
