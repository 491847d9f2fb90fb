"""Reads that are under way, each shared by all who need what it reads."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SharedReads(Generic[K, T]):
    """At most one read of each key at a time; nothing is kept once it has ended."""

    def __init__(self, read: Callable[[K], Awaitable[T]]) -> None:
        self._read = read
        self._under_way: dict[K, asyncio.Task[T]] = {}

    async def __call__(self, key: K) -> T:
        """Return, or raise, what the read of ``key`` comes to that is under way, or else one that starts now.

        So the read may have started earlier than the call: who needs to know when must be told by what it returns.
        """
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._now(key))
            task.add_done_callback(lambda done: self._finish(key, done))
        # One request that is cancelled must not take the shared read away from the others.
        return await asyncio.shield(task)

    async def _now(self, key: K) -> T:
        return await self._read(key)

    def _finish(self, key: K, task: "asyncio.Task[T]") -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # whoever waits for it gets it; if all of them are gone, nobody needs it
