"""A geo-pinned storage account, through the Azure SDK."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.storage.blob import StorageErrorCode
from azure.storage.blob.aio import BlobServiceClient, LinearRetry

from shared.configuration import is_endpoint, is_this_machine
from shared.ports import (
    BatchMissing,
    ContainerBeingDeleted,
    ContainerMissing,
    ListedContainer,
    Put,
    Setup,
    StoreUnavailable,
)
from shared.stores.calls import Calls
from shared.stores.uploads import Authorizer, ByIdentity, ByKey, Uploads

_CODE = re.compile(r"[A-Za-z0-9]{1,64}")
_BODY_HASH = "bodysha256"
_CONTENT_HEADERS = {"x-ms-blob-content-type": "application/x-ndjson", "x-ms-blob-content-encoding": "gzip"}
_CREATED, _NOT_FOUND = 201, 404


class AzureCaptureStore:
    """One storage account's containers and batches."""

    def __init__(self, client: BlobServiceClient, authorizer: Authorizer) -> None:
        self._client = client
        self._uploads = Uploads(client.url.rstrip("/"), authorizer)
        if client.account_name is None:
            raise ValueError("the address does not tell the account's name")
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
        retries = LinearRetry(backoff=1, retry_total=2, random_jitter_range=1)
        options: Any = {"retry_policy": retries, "connection_timeout": 5, "read_timeout": 15}
        if is_endpoint(setting):
            assert credential is not None
            return cls(BlobServiceClient(setting, credential, **options), ByIdentity(credential))
        client = BlobServiceClient.from_connection_string(setting, **options)
        return cls(client, ByKey(client.credential.account_name, client.credential.account_key))

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

    async def put_batch(self, container: str, batch_id: str, content: bytes, body_hash: str) -> Put:
        """See ``CaptureStore``."""
        async with _call():
            headers = {**_CONTENT_HEADERS, f"x-ms-meta-{_BODY_HASH}": body_hash}
            status, code = await self._uploads.put(container, batch_id, content, headers)
            if status == _CREATED:
                return Put.CREATED
            if code != StorageErrorCode.BLOB_ALREADY_EXISTS.value:
                raise _failure(status, code)
            properties = await self._client.get_blob_client(container, batch_id).get_blob_properties()
            return Put.SAME if properties.metadata.get(_BODY_HASH) == body_hash else Put.OTHER

    async def create_container(self, container: str) -> None:
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
        client = self._client.get_container_client(container)
        found: list[str] = []
        # Azure begins at ``after``; a server that does not know how begins at the first, which the filter makes good.
        pages = client.list_blob_names(results_per_page=limit + 1, start_from=after).by_page()
        while len(found) < limit:
            async with _call():
                page = await anext(pages, None)
                if page is None:
                    break
                found += [name async for name in page if after is None or name > after]
        return found[:limit]

    async def read_batch(self, container: str, batch_id: str) -> bytes:
        """See ``CaptureStore``."""
        async with _call():
            # As it lies there: a browser's convenience of undoing the encoding is not wanted.
            stream = await self._client.get_blob_client(container, batch_id).download_blob(decompress=False)
            return await stream.readall()

    async def list_containers(
        self, prefix: str, *, include_deleted: bool = False, page_size: int = 5000
    ) -> AsyncIterator[ListedContainer]:
        """See ``CaptureStore``."""
        pages = self._client.list_containers(
            name_starts_with=prefix, include_deleted=include_deleted, results_per_page=page_size
        ).by_page()
        while True:
            async with _call():
                page = await anext(pages, None)
                if page is None:
                    return
                listed = [ListedContainer(str(each.name), deleted=bool(each.deleted)) async for each in page]
            for each in listed:
                yield each


def _failure(status: int | None, code: str) -> Exception:
    """Return what an answer of storage means: its status and error code."""
    if code == StorageErrorCode.CONTAINER_BEING_DELETED.value:
        return ContainerBeingDeleted()
    if (status, code) == (_NOT_FOUND, StorageErrorCode.CONTAINER_NOT_FOUND.value):
        return ContainerMissing()
    if (status, code) == (_NOT_FOUND, StorageErrorCode.BLOB_NOT_FOUND.value):
        return BatchMissing()
    # Without a status it was the identity that got no token.
    return StoreUnavailable(f"storage-{code if _CODE.fullmatch(code) else status or 'unauthenticated'}")


def _code(error: HttpResponseError) -> str:
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code)) if code else ""


_call = Calls("storage", 20.0, lambda error: _failure(error.status_code, _code(error)))
