"""What jobs keep of themselves, written in place of nothing but what was read right before (P9).

A write whose answer was lost may be carried out later. By then it must find another etag, and do nothing: or it would
take away what was told after it.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.ports import Conflict, Stored, StoreUnavailable

T = TypeVar("T")

_ATTEMPTS_MAX = 5


async def put(
    last: Callable[[], Awaitable[Stored[T | None] | None]],
    write: Callable[[T, str | None], Awaitable[None]],
    decide: Callable[[T | None], T | None],
) -> None:
    """Write what follows from what stands there, and decide again if another writer came first.

    Args:
        last: reads what stands there.
        write: writes in place of what has an etag, or with None where there is nothing.
        decide: returns what to write in place of what stands there, or None to leave that as it is. It is given None
            where there is nothing, or nothing that anybody understands.

    Raises:
        StoreUnavailable: if it is not known to be written; also if others kept coming first.
    """
    for _ in range(_ATTEMPTS_MAX):
        stands = await last()
        value = decide(None if stands is None else stands.value)
        if value is None:
            return
        try:
            await write(value, None if stands is None else stands.etag)
        except Conflict:
            continue
        return
    raise StoreUnavailable("conflict")
