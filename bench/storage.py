"""Asking a local storage account directly."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas
from azure.storage.blob.aio import BlobServiceClient

CONTAINER = "bench"
"""The container of what is not ours."""


def sas(connection: str) -> str:
    """Return a shared access signature with which blobs of any container can be written for an hour."""
    parts = dict(part.split("=", 1) for part in connection.rstrip(";").split(";"))
    return generate_account_sas(
        parts["AccountName"],
        parts["AccountKey"],
        ResourceTypes(object=True),
        AccountSasPermissions(write=True, create=True),
        datetime.now(UTC) + timedelta(hours=1),
    )


async def create_containers(connection: str, names: Sequence[str]) -> None:
    """Create containers."""
    async with BlobServiceClient.from_connection_string(connection) as service:
        for name in names:
            await service.create_container(name)


async def blobs(connection: str, prefix: str = "") -> list[Any]:
    """Return the properties of all blobs in the containers whose name begins with ``prefix``."""
    async with BlobServiceClient.from_connection_string(connection) as service:
        containers = [str(each.name) async for each in service.list_containers(name_starts_with=prefix)]
        return [blob for name in containers async for blob in service.get_container_client(name).list_blobs()]


async def stored_bytes(connection: str, enrollment_id: str) -> int:
    """Return how many bytes the blobs of an enrollment have."""
    async with BlobServiceClient.from_connection_string(connection) as service:
        names = [str(each.name) async for each in service.list_containers()]
        mine = [service.get_container_client(name) for name in names if name.endswith(enrollment_id)]
        return sum([int(blob.size) for container in mine async for blob in container.list_blobs()])
