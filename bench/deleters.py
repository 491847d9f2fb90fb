"""``python -m bench.deleters purge`` or ``sdk CONNECTION CONTAINER``: delete once, and tell what it took.

A process of its own, so that its CPU time is that of the deleting; what it imports beforehand does not count.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable

from azure.storage.blob.aio import BlobServiceClient

from bench.results import BenchError
from shared.bootstrap import connect
from shared.clock import SystemClock
from shared.configuration import Configuration

_BATCH = 256  # the most that a batch can have


async def _purge() -> dict[str, float]:
    """Purge as the timer does, with the settings in the environment."""
    services = connect(Configuration.read(os.environ), SystemClock())
    try:
        return await _timed(services.purge.run)
    finally:
        for close in services.closers:
            await close()


async def _list_and_delete(connection: str, container: str) -> dict[str, float]:
    """Delete all blobs of a container as the SDK's documentation does it: by listing them, and in full batches."""
    async with BlobServiceClient.from_connection_string(connection) as service:
        client = service.get_container_client(container)

        async def delete() -> None:
            names: list[str] = []
            async for name in client.list_blob_names():
                names.append(name)
                if len(names) == _BATCH:
                    await client.delete_blobs(*names)
                    names = []
            if names:
                await client.delete_blobs(*names)

        return await _timed(delete)


async def _timed(work: Callable[[], Awaitable[object]]) -> dict[str, float]:
    started, used = time.perf_counter(), time.process_time()
    await work()
    return {"seconds": time.perf_counter() - started, "deleter CPU s": time.process_time() - used}


async def main() -> None:
    """Delete and print what it took."""
    match sys.argv[1:]:
        case ["purge"]:
            told = await _purge()
        case ["sdk", connection, container]:
            told = await _list_and_delete(connection, container)
        case _:
            raise BenchError(str(__doc__))
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main())
