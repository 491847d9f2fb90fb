"""A geo-pinned storage account, through the Azure SDK."""

import base64
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from azure.core import MatchConditions
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import StorageErrorCode
from azure.storage.blob.aio import BlobServiceClient, LinearRetry

from shared.configuration import is_endpoint, is_this_machine
from shared.model.capture import BATCH_ID
from shared.ports import (
    BatchMissing,
    Conflict,
    ConsentExpired,
    ContainerBeingDeleted,
    ContainerMissing,
    ContainerPage,
    ListedContainer,
    MarkerRefused,
    Permit,
    Put,
    Setup,
    StagedBlock,
    Stored,
    StoreUnavailable,
    TryAgain,
    WritePermit,
)
from shared.stores.calls import Calls, retry_after
from shared.stores.uploads import Answered, ByIdentity, ByKey, SigningKeys, Uploads

_CODE = re.compile(r"[A-Za-z0-9]{1,64}")
_ANY_NAME = re.compile(".*", re.DOTALL)
_BODY_HASH = "bodysha256"
_BATCH_HEADERS = {
    "x-ms-blob-type": "BlockBlob",
    "x-ms-blob-content-type": "application/x-ndjson",
    "x-ms-blob-content-encoding": "gzip",
}
_BESIDE_HEADERS = {"x-ms-blob-type": "BlockBlob", "x-ms-blob-content-type": "application/octet-stream"}
_LOG_HEADERS = {"x-ms-blob-type": "AppendBlob"}
_CREATED, _BAD_REQUEST, _NOT_FOUND, _PRECONDITION_FAILED = 201, 400, 404, 412
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_TOO_MANY_REQUESTS = 429
_THROTTLES = frozenset({StorageErrorCode.SERVER_BUSY.value, StorageErrorCode.OPERATION_TIMED_OUT.value})
"""What an account answers at its limits, or at those of a partition; as a rule without saying how long to wait."""

# With a signature that only creates, Azure may say that an overwrite is not authorised where it would have said that
# the blob exists; Azurite says so in words of its own.
_MAY_BE_THERE = frozenset(
    {
        (409, StorageErrorCode.BLOB_ALREADY_EXISTS.value),
        (403, StorageErrorCode.UNAUTHORIZED_BLOB_OVERWRITE.value),
        (403, "AuthorizationPermissionMismatch"),
    }
)


class _Retries(LinearRetry):
    """Those of the SDK, which does not look at ``Retry-After``: an account that says when to come is not asked before.

    Whoever called knows how long there is to wait, and whether that is worth it.
    """

    def increment(
        self, settings: dict[str, Any], request: Any, response: Any = None, error: AzureError | None = None
    ) -> bool:
        """Take note of an attempt that failed, and tell whether there is another one."""
        if response is not None and retry_after(response.headers):
            return False
        return super().increment(settings, request, response, error)


class AzureCaptureStore:
    """One storage account's containers and batches."""

    def __init__(self, client: BlobServiceClient, keys: SigningKeys) -> None:
        self._client = client
        if client.account_name is None:
            raise ValueError("the address does not tell the account's name")
        self._uploads = Uploads(client.url.rstrip("/"), client.account_name, keys)
        # As Azure has it, however the setting was written: enrollments are pinned to it by this very text (P3).
        self._account: str = client.account_name.lower()

    @classmethod
    def connect(cls, setting: str, credential: AsyncTokenCredential | None) -> "AzureCaptureStore":
        """Return the store that a setting names; nothing is sent yet.

        Args:
            setting: a blob service endpoint, or a connection string with a key.
            credential: the identity to use with an endpoint.
        """
        # Few and quick retries: the caller is told to come back, which is safe, rather than kept waiting.
        retries = _Retries(backoff=1, retry_total=2, random_jitter_range=1)
        options: Any = {"retry_policy": retries, "connection_timeout": 5, "read_timeout": 15}
        if is_endpoint(setting):
            assert credential is not None
            client = BlobServiceClient(setting, credential, **options)
            return cls(client, ByIdentity(client))
        client = BlobServiceClient.from_connection_string(setting, **options)
        return cls(client, ByKey(client.credential.account_key))

    @property
    def account(self) -> str:
        """The account's name."""
        return self._account

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
        await self._uploads.close()

    async def setup(self) -> Setup:
        """See ``InspectedAccount``. The data plane shows neither versioning nor soft delete of containers.

        An Entra identity needs ``Microsoft.Storage/storageAccounts/blobServices/read`` and ``.../getInfo/action``.
        """
        async with _call():
            service = await self._client.get_service_properties()
            account: Mapping[str, Any] = await self._client.get_account_information()
        logging = service["analytics_logging"]
        properties = {
            "sku": {"name": account.get("sku_name")},
            "kind": account.get("account_kind"),
            "isHnsEnabled": account.get("is_hns_enabled"),
            "deleteRetentionPolicy": {"enabled": service["delete_retention_policy"].enabled},
            "logging": {"enabled": bool(logging.read or logging.write or logging.delete)},
        }
        return Setup(properties, development=is_this_machine(self._client.url))

    async def put_batch(self, permit: Permit, container: str, batch_id: str, content: bytes, body_hash: str) -> Put:
        """See ``CaptureStore``."""
        async with _call():
            headers = {**_BATCH_HEADERS, f"x-ms-meta-{_BODY_HASH}": body_hash}
            answer = await self._uploads.put(permit, container, batch_id, content, headers)
            if answer.status == _CREATED:
                return Put.CREATED
            may_be_there = (answer.status, answer.code) in _MAY_BE_THERE
            found = await self._found(container, batch_id, body_hash) if may_be_there else None
            if found is None:
                raise _failure(answer.status, answer.code, answer.retry_after)
            return found

    async def find_batch(self, container: str, batch_id: str, body_hash: str) -> Put | None:
        """See ``CaptureStore``."""
        async with _call():
            return await self._found(container, batch_id, body_hash)

    async def _found(self, container: str, batch_id: str, body_hash: str) -> Put | None:
        try:
            properties = await self._client.get_blob_client(container, batch_id).get_blob_properties()
        except ResourceNotFoundError:
            return None
        return Put.SAME if properties.metadata.get(_BODY_HASH) == body_hash else Put.OTHER

    async def create_log(self, permit: Permit, container: str, log: str) -> None:
        """See ``CaptureStore``."""
        async with _call():
            answer = await self._uploads.put(permit, container, log, b"", _LOG_HEADERS)
            if answer.status != _CREATED and (answer.status, answer.code) not in _MAY_BE_THERE:
                raise _failure(answer.status, answer.code, answer.retry_after)

    async def append(self, permit: Permit, container: str, log: str, record: bytes) -> int:
        """See ``CaptureStore``."""
        async with _call():
            answer = await self._uploads.append(permit, container, log, record)
            if answer.status != _CREATED:
                raise _failure(answer.status, answer.code, answer.retry_after)
            return answer.offset

    async def read_log(self, container: str, log: str, start: int) -> bytes:
        """See ``CaptureStore``."""
        async with _call():
            stream = await self._client.get_blob_client(container, log).download_blob(offset=start)
            return await stream.readall()

    async def create_container(self, permit: Permit, container: str) -> None:
        """See ``CaptureStore``.

        Azure has no signature for this that an Entra identity could make: an identity's token is good for hours. So the
        permit is looked at as late as the SDK allows, which sends only once, with a client's time limit: behind the
        look come the token (kept, as a rule) and the connection, ``_call`` at most. A machine that stops for minutes
        just there may create an empty container when it goes on; the sweep finds that, and no batch gets into it.
        """

        def look(request: object) -> None:
            if not permit.holds:
                raise ConsentExpired

        async with _call():
            try:
                await self._client.create_container(container, retry_total=0, raw_request_hook=look)
            except ResourceExistsError as error:
                if _code(error) != StorageErrorCode.CONTAINER_ALREADY_EXISTS.value:
                    raise

    async def mark(self, container: str) -> None:
        """See ``CaptureStore``."""
        async with _call():
            try:
                await self._client.create_container(container)
            except ResourceExistsError as error:
                if _code(error) != StorageErrorCode.CONTAINER_ALREADY_EXISTS.value:
                    raise

    async def delete_container(self, container: str) -> bool:
        """See ``CaptureStore``."""
        try:
            async with _call():
                await self._client.delete_container(container)
        except ContainerBeingDeleted:
            return True
        except ContainerMissing:
            return False
        return True

    async def list_batches(self, container: str, *, limit: int, after: str | None) -> Sequence[str]:
        """See ``CaptureStore``."""
        return await self._names(container, limit, after, BATCH_ID)

    async def list_blobs(self, container: str, *, limit: int, after: str | None) -> Sequence[str]:
        """See ``CaptureStore``."""
        return await self._names(container, limit, after, _ANY_NAME)

    async def _names(self, container: str, limit: int, after: str | None, kind: re.Pattern[str]) -> Sequence[str]:
        client = self._client.get_container_client(container)
        found: list[str] = []
        # Azure begins at ``after``; a server that does not know how begins at the first, which the filter makes good.
        pages = client.list_blob_names(results_per_page=limit + 1, start_from=after).by_page()
        while len(found) < limit:
            async with _call():
                page = await anext(pages, None)
                if page is None:
                    break
                names = [name async for name in page if after is None or name > after]
                found += [name for name in names if kind.fullmatch(name)]
        return found[:limit]

    async def read_batch(self, container: str, batch_id: str, *, most: int | None = None) -> bytes:
        """See ``CaptureStore``."""
        async with _call():
            # As it lies there: a browser's convenience of undoing the encoding is not wanted.
            stream = await self._client.get_blob_client(container, batch_id).download_blob(decompress=False)
            # By now the SDK has the first 32 MiB. Asked for a part alone, it would fail where there is nothing.
            return await stream.readall() if most is None else await stream.read(most)

    async def read_beside(self, container: str, blob: str) -> Stored[bytes] | None:
        """See ``CaptureStore``."""
        try:
            async with _call():
                stream = await self._client.get_blob_client(container, blob).download_blob(decompress=False)
                return Stored(await stream.readall(), stream.properties.etag)
        except BatchMissing:
            return None

    async def write_beside(
        self, permit: WritePermit, container: str, blob: str, content: bytes, etag: str | None
    ) -> None:
        """See ``CaptureStore``."""
        condition = {"If-None-Match": "*"} if etag is None else {"If-Match": etag}
        async with _call():
            answer = await self._uploads.replace(permit, container, blob, content, {**_BESIDE_HEADERS, **condition})
            _refuse_conflict(answer, replaces=etag is not None)

    async def delete_beside(self, container: str, blob: str) -> None:
        """See ``CaptureStore``."""
        client = self._client.get_blob_client(container, blob)
        try:
            async with _call():
                await client.commit_block_list([])  # a deletion alone would leave what is staged
                await client.delete_blob()
        except (BatchMissing, ContainerMissing, ContainerBeingDeleted):
            pass

    async def stage(self, permit: WritePermit, container: str, blob: str, name: str, content: bytes) -> None:
        """See ``CaptureStore``."""
        async with _call():
            answer = await self._uploads.stage(permit, container, blob, _block_id(name), content)
            if answer.status != _CREATED:
                raise _failure(answer.status, answer.code, answer.retry_after)

    async def staged(self, container: str, blob: str) -> Sequence[StagedBlock]:
        """See ``CaptureStore``."""
        try:
            async with _call():
                made_of, waiting = await self._client.get_blob_client(container, blob).get_block_list("all")
                return [StagedBlock(str(each.id), int(each.size)) for each in made_of or waiting]
        except BatchMissing:
            return []

    async def put_staged(self, permit: WritePermit, container: str, blob: str, names: Sequence[str]) -> None:
        """See ``CaptureStore``."""
        async with _call():
            answer = await self._uploads.put_staged(permit, container, blob, [_block_id(name) for name in names])
            _refuse_conflict(answer)

    async def size_of(self, container: str, blob: str) -> Stored[int] | None:
        """See ``CaptureStore``."""
        try:
            async with _call():
                properties = await self._client.get_blob_client(container, blob).get_blob_properties()
                return Stored(int(properties.size), str(properties.etag))
        except BatchMissing:
            return None

    async def read_range(self, container: str, blob: str, etag: str, start: int, length: int) -> bytes:
        """See ``CaptureStore``."""
        async with _call():
            try:
                stream = await self._client.get_blob_client(container, blob).download_blob(
                    start, length, etag=etag, match_condition=MatchConditions.IfNotModified, decompress=False
                )
            except ResourceModifiedError:
                raise BatchMissing from None
            return await stream.readall()

    def list_containers(
        self, prefix: str, *, include_deleted: bool = False, page_size: int = 5000
    ) -> AsyncIterator[ListedContainer]:
        """See ``CaptureStore``."""
        return _Listing(partial(self.container_page, prefix, include_deleted=include_deleted, page_size=page_size))

    async def container_page(
        self, prefix: str, marker: str | None, *, include_deleted: bool = False, page_size: int = 5000
    ) -> ContainerPage:
        """See ``CaptureStore``."""
        pages: Any = self._client.list_containers(
            name_starts_with=prefix, include_deleted=include_deleted, results_per_page=page_size
        ).by_page(marker)
        async with _call():
            try:
                page = await anext(pages)
            except HttpResponseError as error:
                if marker is not None and error.status_code == _BAD_REQUEST:
                    raise MarkerRefused from None
                raise
            listed = [ListedContainer(str(each.name), deleted=bool(each.deleted)) async for each in page]
        return ContainerPage(listed, pages.continuation_token or None)


class _Listing:
    """The containers on some pages. A page that could not be had is asked for again, unlike by a generator."""

    def __init__(self, page_from: Callable[[str | None], Awaitable[ContainerPage]]) -> None:
        self._page_from = page_from
        self._marker: str | None = None
        self._listed = deque[ListedContainer]()
        self._is_last = False

    def __aiter__(self) -> "_Listing":
        return self

    async def __anext__(self) -> ListedContainer:
        while not self._listed:
            if self._is_last:
                raise StopAsyncIteration
            page = await self._page_from(self._marker)
            self._listed.extend(page.containers)
            self._marker, self._is_last = page.next_marker, page.next_marker is None
        return self._listed.popleft()


def _block_id(name: str) -> str:
    return base64.b64encode(name.encode()).decode()


def _refuse_conflict(answer: Answered, *, replaces: bool = False) -> None:
    """Raise what the answer to a conditional write means, unless it was carried out."""
    if answer.status == _CREATED:
        return
    exists = (answer.status, answer.code) == (409, StorageErrorCode.BLOB_ALREADY_EXISTS.value)
    gone = replaces and (answer.status, answer.code) == (_NOT_FOUND, StorageErrorCode.BLOB_NOT_FOUND.value)
    if exists or gone or answer.status == _PRECONDITION_FAILED:
        raise Conflict
    raise _failure(answer.status, answer.code, answer.retry_after)


def _failure(status: int | None, code: str, asked: float | None) -> Exception:
    """Return what an answer of storage means.

    Args:
        status: its status; None if there is no answer, because the identity got no token.
        code: its error code.
        asked: how many seconds it asks to wait, if it does.
    """
    if code == StorageErrorCode.CONTAINER_BEING_DELETED.value:
        return ContainerBeingDeleted()
    if (status, code) == (_NOT_FOUND, StorageErrorCode.CONTAINER_NOT_FOUND.value):
        return ContainerMissing()
    if (status, code) == (_NOT_FOUND, StorageErrorCode.BLOB_NOT_FOUND.value):
        return BatchMissing()
    told = f"storage-{code if _CODE.fullmatch(code) else status or 'unauthenticated'}"
    # A signature that has expired, or a key that was withdrawn: both are had anew.
    passes = status in _PASSING or code == StorageErrorCode.AUTHENTICATION_FAILED.value
    kind = TryAgain if passes else StoreUnavailable
    return kind(told, throttled=status == _TOO_MANY_REQUESTS or code in _THROTTLES, retry_after=asked)


def _code(error: HttpResponseError) -> str:
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code)) if code else ""


def _refused(error: HttpResponseError) -> Exception:
    headers = getattr(error.response, "headers", None)
    return _failure(error.status_code, _code(error), retry_after(headers))


_call = Calls("storage", 20.0, _refused)
